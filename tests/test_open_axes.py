# SPDX-License-Identifier: LGPL-3.0-or-later
"""Slabs, wires and molecules: training sees the axes as open as prediction does."""

import itertools
import json

import dpdata
import numpy as np
import pytest
from ase import Atoms
from training import TYPE_MAP, gaussian_table

import deepmd_charge.data.dpdata_plugin  # noqa: F401  (where it is not installed)
from deepmd_charge import ChargeError, Density, read_density, write_density
from deepmd_charge.atoms.compare import same_atoms
from deepmd_charge.atoms.open_axes import MARGIN
from deepmd_charge.cli.main import main
from deepmd_charge.data.dataset import check_open_axes, dataset_info
from deepmd_charge.io.verdict.evidence import closest_pair

AXES = list(itertools.product([True, False], repeat=3))
NAMES = ["".join("abc"[i] for i in range(3) if pbc[i]) or "none" for pbc in AXES]


def slanted(pbc, left_handed=False, seed=5, symbols="SiCSiC"):
    """A small skew cell in any direction, atoms outside of it, a grid that begins elsewhere."""
    rng = np.random.default_rng(seed)
    atoms = Atoms(
        symbols,
        scaled_positions=rng.uniform(-0.3, 1.3, (len(Atoms(symbols)), 3)),
        cell=[[4.6, 0.2, 0.0], [1.1, 4.2, -0.3], [-1.7, 0.9, 5.1]],
        pbc=pbc,
    )
    while closest_pair(atoms)[0] < 0.65:  # of a bond: such files are refused
        atoms.set_scaled_positions(rng.uniform(-0.3, 1.3, (len(atoms), 3)))
    atoms.rotate(40.0, (1.0, -2.0, 0.7), rotate_cell=True)
    if left_handed:
        atoms.set_cell(atoms.cell[[1, 0, 2]])
        atoms.pbc = np.array(pbc)[[1, 0, 2]]
    values = rng.uniform(0.1, 0.3, (9, 8, 10))
    values *= 16.0 / values.mean() / atoms.get_volume()
    return Density(atoms, values, origin=(-1.3, 0.4, 2.2))


def converted(tmp_path, *densities, saed=None):
    """The DP system that ``convert`` makes of densities of one composition, two frames of each."""
    for k, density in enumerate(densities):
        write_density(tmp_path / f"{k}.cube", density)
    paths = [str(tmp_path / f"{k}.cube") for k in range(len(densities))]
    flags = ["--points", "60", "--points-per-frame", "30", "--seed", "1"]
    if saed is not None:
        saed.save(tmp_path / "saed.npz")
        flags += ["--saed", str(tmp_path / "saed.npz")]
    assert main(["convert", *paths, "-o", str(tmp_path / "dp"), *flags]) == 0
    return tmp_path / "dp"


def graph_values(potential, folder):
    """What the frozen graph makes of each frame as DeePMD-kit trains on it, at the grid points."""
    part = folder / "set.000"
    names = np.array((folder / "type_map.raw").read_text().split())
    types = np.loadtxt(folder / "type.raw", dtype=int)
    number = np.array([potential.get_type_map().index(name) for name in names])
    boxes = None if (folder / "nopbc").exists() else np.load(part / "box.npy")
    coords = np.load(part / "coord.npy")
    values = potential.eval(coords, boxes, number[types], atomic=True)[3]
    return values.reshape(len(coords), -1)[:, names[types] == "X"]


def own_points(density, frame):
    """Grid points of the density that carry a frame's values, which are all different."""
    index = [np.flatnonzero(density.values.ravel() == value) for value in frame]
    assert all(len(found) == 1 for found in index)
    return density.points(np.concatenate(index))


@pytest.fixture(scope="module")
def potentials(precise_model, differed):
    """Two models as DeePMD-kit and as this project evaluates them: alone, and with a long SAED."""
    from deepmd.infer import DeepPot

    from deepmd_charge import ChargeModel

    models = (precise_model, 1e-9), (ChargeModel(differed / "charge.pb"), 1e-5)
    return [(DeepPot(str(model.path)), model, tolerance) for model, tolerance in models]


def at_points(folder, name):
    """An array of the system, of the grid points only, (frames, points)."""
    types = np.loadtxt(folder / "type.raw", dtype=int)
    return np.load(folder / "set.000" / f"{name}.npy")[:, types == types.max()]


def assert_agree(potentials, folder, densities):
    """The graph on each frame of a system says what a model says at points of its structure."""
    for potential, model, tolerance in potentials:
        found = graph_values(potential, folder)
        spreads = []
        for density, frames, values in zip(
            densities,
            np.array_split(at_points(folder, "density"), len(densities)),
            np.array_split(found, len(densities)),
            strict=True,
        ):
            points = own_points(density, frames.ravel())
            expected = model.predict_points(density.atoms, points)
            spreads.append(np.ptp(expected))
            wrong = np.abs(values.ravel() - expected) / np.maximum(1.0, np.abs(expected))
            assert wrong.max() <= tolerance
        assert max(spreads) > 0.05


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("left_handed", [False, True], ids=["right", "left"])
@pytest.mark.parametrize("pbc", AXES, ids=NAMES)
def test_training_sees_what_prediction_sees(potentials, tmp_path, pbc, left_handed):
    """The graph on the data of ``convert``, against points of the structure itself."""
    folder = converted(tmp_path, slanted(pbc, left_handed))
    density = read_density(tmp_path / "0.cube")
    assert sorted(density.atoms.pbc) == sorted(pbc)
    assert (folder / "nopbc").exists() == (not any(pbc))
    assert_agree(potentials, folder, [density])


@pytest.mark.parametrize("pbc", [(True, True, False), (True, False, False), (False,) * 3])
def test_formats_are_converted_alike(tmp_path, pbc):
    """SLAB, POLYMER and ATOMS of an xsf, and what a cube says at the end of its first line."""
    density = slanted(pbc)
    systems = []
    for name in ("a.cube", "a.xsf"):
        write_density(tmp_path / name, density)
        folder = str(tmp_path / name[2:])
        argv = ["convert", str(tmp_path / name), "-o", folder, "--points", "50", "--seed", "1"]
        assert main([*argv, "--points-per-frame", "50"]) == 0
        systems.append(dpdata.System(folder, fmt="deepmd/npy"))
    cube, xsf = systems
    assert cube.nopbc == xsf.nopbc
    for name in ("cells", "coords", "density", "periodic", "grid_spacing"):
        assert xsf[name] == pytest.approx(cube[name], abs=1e-8)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("order", [1, -1])
def test_one_composition_of_any_periodicity(potentials, tmp_path, order):
    """Bulk, slab, wire and molecule share a system, of ``convert`` and of dpdata."""
    every = [slanted(pbc, seed=k) for k, pbc in enumerate(AXES[::order])]
    folder = converted(tmp_path, *every)
    densities = [read_density(tmp_path / f"{k}.cube") for k in range(len(every))]
    assert not (folder / "nopbc").exists()
    assert_agree(potentials, folder, densities)

    systems = dpdata.MultiSystems()
    for k in range(len(every)):
        path = str(tmp_path / f"{k}.cube")
        systems.append(dpdata.System(path, fmt="cube", n_points=30, points_per_frame=30, seed=1))
    (system,) = systems
    system.to("deepmd/npy", str(tmp_path / "again"), prec=float)
    assert_agree(potentials, tmp_path / "again", densities)


@pytest.mark.slow
@pytest.mark.parametrize("pbc", AXES, ids=NAMES)
def test_atomic_densities_of_open_axes(tmp_path, pbc):
    """Training finds in its graph the superposition that stands in the data."""
    from deepmd_charge.backends.tf.facts import training_facts

    folder = converted(tmp_path, slanted(pbc), saed=gaussian_table())
    density = read_density(tmp_path / "0.cube")
    stored = at_points(folder, "saed").ravel()
    points = own_points(density, at_points(folder, "density").ravel())
    assert stored == pytest.approx(gaussian_table().evaluate(density.atoms, points), abs=1e-12)
    facts = training_facts([str(folder)], TYPE_MAP, str(folder / "saed.npz"), rcut=6.0)
    assert facts["saed"]["source"] == "upf"


@pytest.mark.parametrize("pbc", AXES, ids=NAMES)
def test_what_the_data_say(tmp_path, pbc):
    """The spacing is that of the file's grid, whatever the box; tables and cutoffs have room."""
    folder = converted(tmp_path, slanted(pbc), slanted(pbc, left_handed=True))
    for k in range(2):
        density = read_density(tmp_path / f"{k}.cube")
        spacing = np.load(folder / "set.000/grid_spacing.npy")[2 * k]
        assert spacing == pytest.approx(density.atoms.cell.lengths() / density.shape, abs=1e-9)
        periodic = np.load(folder / "set.000/periodic.npy")[2 * k]
        assert periodic.tolist() == density.atoms.pbc.tolist()
    everything = np.load(folder / "set.000/grid_spacing.npy")
    assert dataset_info([str(folder)])["grid_spacing"] == pytest.approx(everything.mean())
    check_open_axes([str(folder)], MARGIN)


def test_data_without_facts_are_what_their_box_says(tmp_path):
    folder = converted(tmp_path, slanted((True, True, True)))
    known = dataset_info([str(folder)])["grid_spacing"]
    for name in ("grid_spacing", "periodic"):
        (folder / f"set.000/{name}.npy").unlink()
    check_open_axes([str(folder)], 1e9)
    assert dataset_info([str(folder)])["grid_spacing"] == pytest.approx(known)


def nearest_image(coord, box, periodic):
    """Least distance of two atoms, one of them moved across an open axis and along any others."""
    steps = np.array(list(itertools.product((-1, 0, 1), repeat=3)))
    across = (steps[:, ~periodic] != 0).any(axis=1)
    moved = (coord[None] + (steps[across] @ box)[:, None]).reshape(-1, 1, 3)
    return np.linalg.norm(moved - coord, axis=2).min()


@pytest.mark.parametrize("pbc", AXES[1:-1], ids=NAMES[1:-1])
def test_images_across_open_axes_within_reach_are_refused(tmp_path, pbc):
    """As in data that another program has changed."""
    from deepmd_charge.backends.tf.facts import training_facts

    folder = converted(tmp_path, slanted(pbc))
    part = folder / "set.000"
    coord, box = np.load(part / "coord.npy"), np.load(part / "box.npy").reshape(-1, 3, 3)
    is_open = ~np.array(pbc)
    box[1, is_open] *= ((box[1] ** 2).sum(axis=1) ** 0.5 - 90.0)[is_open, None] / (
        (box[1] ** 2).sum(axis=1) ** 0.5
    )[is_open, None]
    np.save(part / "box.npy", box.reshape(-1, 9))
    nearest = nearest_image(coord[1].reshape(-1, 3), box[1], ~is_open)

    def start(rcut):
        return training_facts([str(folder)], TYPE_MAP, rcut=rcut)

    start(MARGIN - 90.0)
    with pytest.raises(ChargeError, match="in frame 1 images across an open axis are"):
        start(nearest + 1e-6)
    np.save(part / "box.npy", np.zeros((2, 9)))  # as dpdata reads a system without periodicity
    with pytest.raises(ChargeError, match="in frame 0 images across an open axis are 0 A apart"):
        start(1.0)


def test_periodic_data_that_are_marked_open_are_refused(tmp_path):
    folder = converted(tmp_path, slanted((True, True, False)))
    (folder / "nopbc").touch()
    with pytest.raises(ChargeError, match=r"nopbc: frame 0 of .*set.000 is periodic"):
        check_open_axes([str(folder)], 1.0)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("pbc", AXES, ids=NAMES)
def test_of_a_prediction_is_perfect(precise_model, tmp_path, pbc, capsys):
    """``test`` evaluates a file with the axes that it has."""
    empty = slanted(pbc)
    density = precise_model.predict(empty.atoms, empty.shape, origin=empty.origin)
    write_density(tmp_path / "true.cube", density)
    flags = ["-m", precise_model.path, "-s", str(tmp_path / "true.cube"), "--unchecked"]
    for points in ([], ["--points", "100", "--seed", "1"]):
        assert main(["test", *flags, *points, "--json", str(tmp_path / "out.json")]) == 0
        assert json.loads((tmp_path / "out.json").read_text())["all"]["max"] < 1e-8


@pytest.mark.parametrize("pbc", AXES, ids=NAMES)
def test_an_atom_beyond_an_open_axis_is_another(pbc):
    """Whole cells apart, a place is the same along periodic axes only."""
    atoms = slanted(pbc).atoms
    for step in itertools.product((-1, 0, 2), repeat=3):
        moved = atoms.copy()
        moved.positions[1] += step @ atoms.cell.array
        is_same = not np.any(np.array(step)[~np.array(pbc)])
        assert same_atoms(atoms, moved) == is_same
        assert same_atoms(moved, atoms) == is_same
    moved.pbc = True  # a format may know no open axes
    assert same_atoms(atoms, moved)
