# SPDX-License-Identifier: LGPL-3.0-or-later
"""The densities of the benchmarks, and DP systems of points drawn from them."""

import sys

import numpy as np
from ase import Atoms

from deepmd_charge import Density, read_density
from deepmd_charge.data.sampling import sample_frames

# name: (training structures, structures to report on). "qe/..." is a whole
# grid, of which one structure is left out; the others are random grid points.
# The "-choose" and "-1" sets are for choosing settings: they leave the
# reported test structures alone. Of one structure alone some blocks are held back: see held_back.
SETS = {
    "c-si": (["csi_train"], ["csi_test"]),
    "c-si-choose": (["csi_train:kept"], ["csi_train:held"]),
    "a-si": (
        [f"asi_train_{k}" for k in (1, 11, 12, 13, 14, 15, 16)],
        [f"asi_test_{k}" for k in (103, 104, 105, 106)],
    ),
    "a-si-choose": (
        [f"asi_train_{k}" for k in (1, 11, 12, 13, 14, 15, 16)],
        [f"asi_train_{k}" for k in (17, 18, 19)],
    ),
    "qe-si-1": (["qe/si/1"], ["qe/si/2"]),
    "qe-si": (["qe/si/1", "qe/si/2"], ["qe/si/3"]),
    "qe-al": (["qe/al/1", "qe/al/2"], ["qe/al/3"]),
    "qe-al-choose": (["qe/al/1"], ["qe/al/2"]),
    "qe-almg": ([f"qe/almg/{k}" for k in (1, 2, 3, 4)], ["qe/almg/5"]),
    "qe-almg-choose": ([f"qe/almg/{k}" for k in (1, 2, 3)], ["qe/almg/4"]),
    # trained on small cells, tested on cells of up to eight times their size (supercells.py)
    "size": (
        [f"supercells/32-{k}" for k in (1, 2, 3, 4)],
        [f"supercells/{n}" for n in (*(f"32-{k}" for k in range(5, 11)), "64-1", "64-2", "128-1")],
    ),
    "size-64": (["supercells/64-1"], ["supercells/64-2", "supercells/128-1"]),
    "size-cp2k": (
        [f"supercells-cp2k/32-{k}" for k in (1, 2, 3, 4)],
        [f"supercells-cp2k/32-{k}" for k in (5, 6, 7, 8)]
        + [f"supercells-cp2k/64-{k}" for k in (1, 2, 3, 4)]
        + [f"supercells-cp2k/{n}" for n in ("128-1", "128-2", "256-1", "512-1")],
    ),
    "size-64-cp2k": (
        ["supercells-cp2k/64-1"],
        [
            f"supercells-cp2k/{n}"
            for n in ("64-2", "64-3", "64-4", "128-1", "128-2", "256-1", "512-1")
        ],
    ),
    "qe-water": ([f"qe/water/{k}" for k in (1, 2, 3, 4)], ["qe/water/5"]),
    "qe-water-choose": ([f"qe/water/{k}" for k in (1, 2, 3)], ["qe/water/4"]),
}

# Molecules of QM9 (numbers of its files): elements, cell (A) and grid of their
# PySCF densities, and positions (A), which stand there around the middle of the cell.
MOLECULES = {
    "1": (
        "CH4",
        (5.65226141, 5.48601549, 5.81850733),
        (68, 66, 70),
        [
            [-0.0126981359, 1.0858041578, 0.0080009958],
            [0.002150416, -0.0060313176, 0.0019761204],
            [1.0117308433, 1.4637511618, 0.0002765748],
            [-0.540815069, 1.4475266138, -0.8766437152],
            [-0.5238136345, 1.4379326443, 0.9063972942],
        ],
    ),
    "2": (
        "NH3",
        (5.4860, 5.4860, 4.9873),
        (66, 66, 60),
        [
            [-0.0404260543, 1.0241077531, 0.0625637998],
            [0.0172574639, 0.0125452063, -0.0273771593],
            [0.9157893661, 1.3587451948, -0.0287577581],
            [-0.5202777357, 1.3435321258, -0.7755426124],
        ],
    ),
}
BOHR = 0.529177210903  # A

# Blocks along each vector of a cell of which some are held back.
BLOCKS = 4


def load(data, name):
    """Atoms, points (n, 3) in A and densities (n,) in e/A^3 of one structure.

    Of ``NAME:kept`` and ``NAME:held`` only the points outside and inside of the blocks that
    :func:`held_back` tells.
    """
    name, _, part = name.partition(":")
    atoms, points, density = load_whole(data, name)
    if part:
        chosen = held_back(atoms, points) == {"kept": False, "held": True}[part]
        points, density = points[chosen], density[chosen]
    return atoms, points, density


def held_back(atoms, points):
    """Whether points lie in 13 of the 4 x 4 x 4 blocks of a cell, no two of which share a face.

    The atoms around such a block are also seen from its other sides: an error there tells of
    forms and their resolution, hardly of how well the environments of other structures are met.
    """
    i, j, k = np.floor(atoms.cell.scaled_positions(points) % 1.0 * BLOCKS).astype(int).T % BLOCKS
    return (i + 2 * j + 3 * k) % 5 == 0


def load_whole(data, name):
    """As :func:`load`, of all points."""
    if (data / name / "CHGCAR.gz").exists():
        return load_grid(data / name / "CHGCAR.gz")
    with np.load(data / "deep_charge_vasp" / f"{name}.npz") as f:
        atoms = Atoms(f["numbers"], f["positions"], cell=f["cell"], pbc=True)
        return atoms, (f["grid_index"] / f["grid_shape"]) @ f["cell"], f["density"]


def add_sampling(parser):
    """Declare which points are learnt from."""
    parser.add_argument("--points", type=int, default=100000, help="training points a structure")
    parser.add_argument("--points-per-frame", type=int, default=1000)
    parser.add_argument(
        "--by-gradient",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="of the training points, drawn in proportion to the gradient (whole grids only)",
    )


def load_training(args, names, seed):
    """As :func:`load`, of training structures: the points that the flags may choose from."""
    if not args.by_gradient:
        return [load(args.data, name) for name in names]
    return [draw(args.data, name, args.points, args.by_gradient, seed) for name in names]


def draw(data, name, n_points, by_gradient, seed):
    """As :func:`load`, of points that ``convert --by-gradient`` would draw from a whole grid."""
    path = data / name / "CHGCAR.gz"
    if not path.exists():
        sys.exit(f"{name}: --by-gradient needs a whole grid, and these are points")
    density = read_density(path)
    index = sample_frames(density, n_points, 1, seed, by_gradient).ravel()
    return density.atoms, density.points(index), density.values.reshape(-1)[index]


def load_grid(path):
    """As :func:`load`, of a density file."""
    density = read_density(path)
    return density.atoms, density.points(), density.values.reshape(-1)


def load_molecule(data, name):
    """The density of a molecule, and the superposition on the same grid."""
    symbols, cell, shape, positions = MOLECULES[name]
    positions = np.array(positions) - np.mean(positions, axis=0) + np.array(cell) / 2.0
    atoms = Atoms(symbols, positions, cell=cell, pbc=True)
    folder = data / "real_density_files" / "MoleOrbitalHybridAnalyst+resent_density"
    for basis in ("szv50_tzvp200", "tzvp200_atomh1e"):
        values = np.load(folder / f"{basis}_smallerbox.{name}.rho_22.npy")
        yield Density(atoms.copy(), values.reshape(shape) / BOHR**3)


def repeat(structure, n, rng):
    """The structure n x n x n times over, each point in one of the copies at random."""
    atoms, points, density = structure
    copies = rng.integers(n, size=points.shape) @ atoms.cell.array
    return atoms.repeat(n), points + copies, density


def write_system(folder, structures, per_frame, n_points, seed, stock=False):
    """Write structures of one composition as a DP system; returns its type map.

    Parameters
    ----------
    folder : Path
        New folder.
    structures : list of tuple
        As :func:`load` returns them.
    per_frame, n_points : int
        Points of each frame and, at most, of each structure.
    seed : int
        The same seed draws the same points.
    stock : bool
        Whether the labels are those of the route without this package:
        atomic energies, and their sums, from which it takes its statistics.
    """
    rng = np.random.default_rng(seed)
    coord, box, label = [], [], []
    for atoms, points, density in structures:
        order = np.argsort(atoms.numbers, kind="stable")
        n_frames = min(n_points, len(points)) // per_frame
        chosen = rng.permutation(len(points))[: n_frames * per_frame]
        for index in chosen.reshape(n_frames, per_frame):
            coord.append(np.concatenate([atoms.positions[order], points[index]]))
            label.append(np.concatenate([np.zeros(len(atoms)), density[index]]))
            box.append(atoms.cell.array)
    symbols = [atoms.get_chemical_symbols()[k] for k in order] + ["X"] * per_frame
    type_map = list(dict.fromkeys(symbols))
    part = folder / "set.000"
    part.mkdir(parents=True)
    np.savetxt(folder / "type.raw", [type_map.index(s) for s in symbols], fmt="%d")
    (folder / "type_map.raw").write_text("\n".join(type_map) + "\n")
    np.save(part / "coord.npy", np.reshape(coord, [len(coord), -1]))
    np.save(part / "box.npy", np.reshape(box, [len(box), 9]))
    np.save(part / ("atom_ener.npy" if stock else "density.npy"), label)
    if stock:
        np.save(part / "energy.npy", np.sum(label, axis=1))
    return type_map
