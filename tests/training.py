# SPDX-License-Identifier: LGPL-3.0-or-later
"""Small data sets with a known density, and ``dp`` on them."""

import json
from pathlib import Path

import forked
import numpy as np
from ase import Atoms

CELL = np.array([[4.6, 0.0, 0.0], [1.1, 4.2, 0.0], [-0.7, 0.9, 5.1]])
RCUT = 3.5
TYPE_MAP = ["Si", "C", "X"]
# electrons, width in A and neighbour dependence of the made-up atoms
SHAPES = {"Si": (4.0, 0.8), "C": (4.0, 0.5)}


def structure(seed, symbols="SiCSiC"):
    """Atoms at random in a skew cell, smaller than the cutoff needs."""
    rng = np.random.default_rng(seed)
    base = rng.permutation([[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]])
    n = len(Atoms(symbols))
    fractions = base[:n] + rng.normal(scale=0.04, size=(n, 3)) + 0.1
    return Atoms(symbols, scaled_positions=fractions, cell=CELL, pbc=True)


def true_density(atoms, points):
    """Gaussians on all periodic images, times a many-body factor."""
    shifts = np.stack(np.meshgrid(*[[-2, -1, 0, 1, 2]] * 3, indexing="ij"), -1).reshape(-1, 3)
    rho, crowd = np.zeros(len(points)), np.zeros(len(points))
    for symbol, position in zip(atoms.get_chemical_symbols(), atoms.positions, strict=True):
        n, width = SHAPES[symbol]
        images = position + shifts @ atoms.cell.array
        r2 = ((points[:, None, :] - images) ** 2).sum(-1)
        rho += n / (2 * np.pi * width**2) ** 1.5 * np.exp(-r2 / (2 * width**2)).sum(1)
        crowd += np.exp(-r2 / 2).sum(1)
    return rho * (1 + 0.3 * np.sin(3 * crowd))


def nonlinear_density(atoms, points):
    """Gaussians on all periodic images, of electrons that depend sharply on neighbours."""
    shifts = np.stack(np.meshgrid(*[[-2, -1, 0, 1, 2]] * 3, indexing="ij"), -1).reshape(-1, 3)
    rho = np.zeros(len(points))
    for symbol, position in zip(atoms.get_chemical_symbols(), atoms.positions, strict=True):
        n, width = SHAPES[symbol]
        images = position + shifts @ atoms.cell.array
        around = (atoms.positions[:, None] + shifts @ atoms.cell.array - position).reshape(-1, 3)
        crowd = np.exp(-((around**2).sum(-1)) / 2).sum()
        n *= 1.0 + 0.4 * np.tanh(60.0 * (crowd - 1.1))
        r2 = ((points[:, None, :] - images) ** 2).sum(-1)
        rho += n / (2 * np.pi * width**2) ** 1.5 * np.exp(-r2 / (2 * width**2)).sum(1)
    return rho


def gaussian_table(**widths):
    """A RadialTable of Gaussian atoms: the electrons of SHAPES, widths in A."""
    from deepmd_charge.atoms.free_atoms import AtomicDensity
    from deepmd_charge.saed import RadialTable
    from deepmd_charge.saed.table import band_limited

    functions, valence = {}, {}
    for element, (n, width) in SHAPES.items():
        width = widths.get(element, width)
        atom = AtomicDensity(element, n, lambda q, n=n, w=width: n * np.exp(-0.5 * (q * w) ** 2))
        functions[element], _ = band_limited(atom, 14.0 / width)
        valence[element] = n
    return RadialTable(functions, "upf", valence, ecutrho=100.0)


def write_system(folder, atoms_list, n_points, seed, saed=None, density=true_density):
    """Write a DP system, one frame a structure, points at random.

    With a RadialTable, its superposition stands beside the density.
    """
    rng = np.random.default_rng(seed)
    part = Path(folder) / "set.000"
    part.mkdir(parents=True)
    symbols = atoms_list[0].get_chemical_symbols() + ["X"] * n_points
    coord, label, subtracted = [], [], []
    for atoms in atoms_list:
        points = rng.uniform(size=(n_points, 3)) @ atoms.cell.array
        coord.append(np.concatenate([atoms.positions, points]).reshape(-1))
        label.append(np.concatenate([np.zeros(len(atoms)), density(atoms, points)]))
        if saed:
            subtracted.append(np.pad(saed.evaluate(atoms, points), (len(atoms), 0)))
    (Path(folder) / "type_map.raw").write_text("\n".join(TYPE_MAP) + "\n")
    np.savetxt(Path(folder) / "type.raw", [TYPE_MAP.index(s) for s in symbols], fmt="%d")
    np.save(part / "coord.npy", coord)
    np.save(part / "box.npy", [a.cell.array.reshape(-1) for a in atoms_list])
    np.save(part / "density.npy", label)
    np.save(part / "n_electrons.npy", [8.0 * len(a) / 2 for a in atoms_list])
    np.save(part / "grid_shape.npy", [[24, 22, 26]] * len(atoms_list))
    if saed:
        np.save(part / "saed.npy", subtracted)
        np.save(part / "saed_source.npy", [saed.source.encode()] * len(atoms_list))


def configuration(steps, descriptor=None, fitting=None, training=None):
    """An ``input.json`` for the systems that :func:`write_system` makes."""
    return {
        "model": {
            "type": "charge",
            "type_map": TYPE_MAP,
            "descriptor": {
                "type": "se_charge",
                "rcut": RCUT,
                "triples": [[1, 1, 2], [1, 2, 3]],
                "seed": 1,
                **(descriptor or {}),
            },
            "fitting_net": {"type": "charge", "neuron": [32, 32], "seed": 1, **(fitting or {})},
        },
        "learning_rate": {"type": "cosine", "start_lr": 5e-3, "stop_lr": 1e-5},
        "loss": {"type": "charge"},
        "training": {
            "training_data": {"systems": ["train"], "batch_size": 1},
            "validation_data": {"systems": ["valid"], "batch_size": 1, "numb_btch": 2},
            "numb_steps": steps,
            "seed": 1,
            "disp_freq": 25,
            "save_freq": 1000,
            **(training or {}),
        },
    }


def cluster_configuration(steps=0, descriptor=None, training=None, neuron=()):
    """An ``input.json`` of the family ``se_cluster``, fitted in an instant, and its net."""
    config = configuration(steps, training=training)
    small = {"rcut": RCUT, "rcut_env": RCUT, "n_radial": 8, "n_radial_env": 4}
    config["model"]["descriptor"] = {
        "type": "se_cluster",
        **small,
        "lmax": 2,
        "n_channel": 4,
        "order": 1,
        **(descriptor or {}),
    }
    config["model"]["fitting_net"] = {"type": "charge", "neuron": list(neuron), "seed": 1}
    return config


def dp(folder, *arguments, check=True):
    """Run ``dp`` in a folder; the output of a failure is shown by pytest."""
    done = forked.python("-m", "deepmd", *arguments, folder=folder)
    if check and done.returncode:
        raise AssertionError(done.stdout[-2000:] + done.stderr[-4000:])
    return done


def new_run(folder, config, saed=None, density=true_density):
    """Write the data sets and the configuration of a run."""
    more = {"saed": saed, "density": density}
    write_system(folder / "train", [structure(k) for k in range(8)], 150, seed=1, **more)
    write_system(folder / "valid", [structure(k) for k in range(8, 10)], 150, seed=2, **more)
    (folder / "input.json").write_text(json.dumps(config))


def lcurve(folder):
    """Read ``lcurve.out`` as {column: values}."""
    lines = (folder / "lcurve.out").read_text().splitlines()
    rows = np.loadtxt([line for line in lines if not line.startswith("#")], ndmin=2)
    return dict(zip(lines[0].split()[1:], rows.T, strict=True))
