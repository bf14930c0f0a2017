# SPDX-License-Identifier: LGPL-3.0-or-later
"""Densities as DP systems, and what a training set says about itself."""

import subprocess
import sys
from collections import Counter
from pathlib import Path

import dpdata
import numpy as np
import pytest
from ase import Atoms

import deepmd_charge.data.dpdata_plugin  # noqa: F401  (where it is not installed)
from deepmd_charge import ChargeError, Density, read_density, write_density
from deepmd_charge.data.dataset import dataset_info

FORMAT = "vasp/chgcar"


def make(path, symbols, electrons, seed=0, shape=(6, 5, 4)):
    """Write a CHGCAR of random positions and values in a skew cell."""
    generator = np.random.default_rng(seed)
    cell = np.array([[4.0, 0.5, 0.3], [-1.0, 4.5, 0.2], [0.2, -0.4, 5.0]])
    atoms = Atoms(
        symbols, cell=cell, scaled_positions=generator.random((len(symbols), 3)), pbc=True
    )
    values = generator.normal(size=shape)
    values += electrons / atoms.get_volume() - values.mean()
    write_density(path, Density(atoms, values))
    return path


def fractional(system):
    """Fractional coordinates, shape (frames, atoms, 3)."""
    return system["coords"] @ np.linalg.inv(system["cells"])


def assert_true_to(system, density, frames=slice(None)):
    """Every X of the system is a grid point and carries the density there."""
    is_x = system["atom_types"] == system["atom_names"].index("X")
    index = fractional(system)[frames][:, is_x] * density.shape
    np.testing.assert_allclose(index, np.rint(index), atol=1e-8)
    i, j, k = np.moveaxis(np.rint(index).astype(int), -1, 0)
    np.testing.assert_array_equal(system["density"][frames][:, is_x], density.values[i, j, k])
    assert (system["density"][frames][:, ~is_x] == 0).all()
    real = fractional(system)[frames][:, ~is_x]
    names = np.array(system["atom_names"])[system["atom_types"]][~is_x]
    expected = density.atoms.get_scaled_positions(wrap=False)
    for frame in real:
        for name in set(names):
            theirs = expected[np.array(density.atoms.get_chemical_symbols()) == name]
            np.testing.assert_allclose(frame[names == name], theirs, atol=1e-12)


def test_system(tmp_path):
    path = make(tmp_path / "CHGCAR", ["Zn", "O", "Zn"], 30)
    system = dpdata.System(str(path), fmt=FORMAT, n_points=50, points_per_frame=20, seed=1)
    density = read_density(path)
    assert system["atom_names"] == ["Zn", "O", "X"]
    assert system["atom_numbs"] == [2, 1, 20]
    assert len(system) == 3
    assert_true_to(system, density)
    is_x = system["atom_types"] == 2
    points = {tuple(p) for p in np.rint(fractional(system)[:, is_x].reshape(-1, 3) * density.shape)}
    assert len(points) == 60
    np.testing.assert_allclose(system["n_electrons"], 30, atol=1e-8)
    assert (system["grid_shape"] == [6, 5, 4]).all()
    assert (system["density_kind"] == FORMAT.encode()).all()
    again = dpdata.System(str(path), fmt=FORMAT, n_points=50, points_per_frame=20, seed=1)
    np.testing.assert_array_equal(again["density"], system["density"])


def test_real_file(al32):
    system = dpdata.System(al32, fmt=FORMAT, n_points=3000, seed=1)
    assert system["coords"].shape == (3, 1032, 3)
    assert_true_to(system, read_density(al32))


@pytest.mark.parametrize("fmt", ["deepmd/npy", "deepmd/npy/mixed"])
def test_round_trip(tmp_path, fmt):
    path = make(tmp_path / "CHGCAR", ["Zn", "O", "Zn"], 30)
    system = dpdata.System(str(path), fmt=FORMAT, n_points=60, points_per_frame=20)
    system.to(fmt, str(tmp_path / "dp"))
    if fmt == "deepmd/npy":
        again = dpdata.System(str(tmp_path / "dp"), fmt=fmt)
        stored = np.load(tmp_path / "dp" / "set.000" / "density.npy")
        assert stored.dtype == np.float64
        assert stored.shape == (3, 23)
    else:
        systems = dpdata.MultiSystems()
        (again,) = systems.load_systems_from_file(str(tmp_path / "dp"), fmt=fmt, labeled=False)
    facts = ("n_electrons", "grid_shape", "grid_spacing", "density_kind", "periodic")
    for key in ("density", "coords", "cells", *facts):
        np.testing.assert_array_equal(again[key], system[key])
    assert_true_to(again, read_density(path))
    assert dataset_info([str(tmp_path / "dp")])["elements"] == ["Zn", "O"]


def test_append(tmp_path):
    """Another order of atoms and elements: dpdata sorts, X comes before Zn."""
    symbols = ["Zn", "O", "Zn"], ["O", "Zn", "Zn"]
    paths = [make(tmp_path / f"CHGCAR_{i}", s, 30, seed=i) for i, s in enumerate(symbols)]
    options = {"n_points": 40, "points_per_frame": 20}
    system = dpdata.System(str(paths[0]), fmt=FORMAT, **options)
    system.append(dpdata.System(str(paths[1]), fmt=FORMAT, **options))
    assert system["atom_names"] == ["O", "X", "Zn"]
    assert len(system) == 4
    assert_true_to(system, read_density(paths[0]), slice(0, 2))
    assert_true_to(system, read_density(paths[1]), slice(2, 4))


def test_multi_systems(tmp_path):
    systems = dpdata.MultiSystems()
    for i, (symbols, n) in enumerate([("SiSi", 8), ("SiC", 8), ("SiSi", 8)]):
        atoms = Atoms(symbols).get_chemical_symbols()
        path = make(tmp_path / f"CHGCAR_{i}", atoms, n, seed=i)
        systems.append(dpdata.System(str(path), fmt=FORMAT, n_points=20, points_per_frame=20))
    assert sorted(len(s) for s in systems) == [1, 2]
    assert Counter(s["density"].shape for s in systems) == {(2, 22): 1, (1, 22): 1}


def test_refusals(tmp_path):
    path = make(tmp_path / "CHGCAR", ["Si"], 4)
    with pytest.raises(ChargeError, match="ecutrho"):
        dpdata.System(str(path), fmt=FORMAT, saed="upf:x")
    with pytest.raises(ChargeError, match="No such file"):
        dpdata.System(str(tmp_path / "CHGCAR_2"), fmt=FORMAT)
    with pytest.raises(ChargeError, match="positive"):
        dpdata.System(str(path), fmt=FORMAT, n_points=0)


def test_plugin_is_light():
    """The import brings nothing that dpdata does not bring by itself."""
    script = (
        "import sys, dpdata; before = set(sys.modules); import deepmd_charge.data.dpdata_plugin;"
        "print([m for m in ('tensorflow', 'deepmd', 'ase', 'scipy', 'matplotlib')"
        " if m in set(sys.modules) - before])"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.strip() == "[]"


# dataset_info


@pytest.fixture
def folder(tmp_path):
    """Make a DP system of one density, and give its folder."""

    def folder(name, symbols, electrons, shape=(6, 5, 4), remove=(), **facts):
        path = make(tmp_path / f"CHGCAR_{name}", symbols, electrons, shape=shape)
        system = dpdata.System(str(path), fmt=FORMAT, n_points=20, points_per_frame=10)
        for key, value in facts.items():
            system.data[key][:] = value
        system.to("deepmd/npy", str(tmp_path / name))
        for key in remove:
            (tmp_path / name / "set.000" / f"{key}.npy").unlink()
        return str(tmp_path / name)

    return folder


def test_valences(folder):
    systems = [
        folder("a", ["Zn", "O"], 18.0),
        folder("b", ["O", "O", "Zn"], 24.001),
        folder("c", ["Zn", "O", "H", "C"], 23.0),
    ]
    info = dataset_info(systems)
    assert info["elements"] == ["Zn", "O", "H", "C"]
    assert info["valence"] == pytest.approx({"Zn": 12, "O": 6}, abs=0.01)
    assert info["kind"] == FORMAT
    cell = read_density(systems[0].replace("/a", "/CHGCAR_a")).atoms.cell.lengths()
    assert info["grid_spacing"] == pytest.approx(np.mean(cell / [6, 5, 4]))
    assert dataset_info(systems[:1])["valence"] == {}
    assert dataset_info([folder("d", ["Si", "Si"], 7.999)])["valence"] == pytest.approx(
        {"Si": 3.9995}
    )


def test_mixed_valences(folder):
    systems = [folder("a", ["Li"] * 2, 2), folder("b", ["Li"] * 3, 3), folder("c", ["Li"] * 2, 6)]
    assert dataset_info(systems[:2])["valence"] == pytest.approx({"Li": 1})
    with pytest.raises(ChargeError, match=r"/c \(6 electrons\)"):
        dataset_info(systems)


def test_mixed_kinds(folder):
    systems = [folder("a", ["Li"], 1), folder("b", ["Li"], 1, density_kind="cube")]
    with pytest.raises(ChargeError, match=r"cube in .*/b"):
        dataset_info(systems)


def test_functionals(folder):
    """Compared by their usual names; a system that does not tell fits any."""
    said = {"a": b"PBE", "b": b"SLA PW PBX PBC", "c": b"unheard  of", "d": b"PZ"}
    paths = {name: folder(name, ["Li"], 1) for name in (*said, "e")}
    for name, functional in said.items():
        np.save(f"{paths[name]}/set.000/functional.npy", [[functional]] * 2)
    assert dataset_info([paths[name] for name in "abe"])["functional"] == "PBE"
    assert dataset_info([paths["c"]])["functional"] == "UNHEARD OF"
    for name, found in (("c", "UNHEARD OF"), ("d", "LDA")):
        with pytest.raises(ChargeError, match=rf"PBE in .*/a, {found} in .*/{name}; keep one$"):
            dataset_info([paths["a"], paths[name]])


def test_dataset_without_facts(folder):
    facts = ("n_electrons", "grid_shape", "grid_spacing", "density_kind", "periodic")
    systems = [folder("a", ["Li"], 1, remove=facts)]
    assert dataset_info(systems) == {
        "elements": ["Li"],
        "valence": {},
        "grid_spacing": None,
        "kind": None,
        "saed": None,
    }
    with pytest.raises(ChargeError, match="nowhere: cannot be read as a DP system"):
        dataset_info(["nowhere"])


def test_elements_are_those_of_atoms(folder):
    """A type map may list more than the data hold, and may be absent."""
    system = Path(folder("a", ["Li", "H"], 2))
    (system / "type_map.raw").write_text("Li H X O\n")
    assert dataset_info([str(system)])["elements"] == ["Li", "H"]
    (system / "type_map.raw").unlink()
    (system / "set.000" / "box.npy").unlink()  # as in a system that is not periodic
    assert dataset_info([str(system)], ["Na", "K", "X"])["elements"] == ["Na", "K"]
    assert dataset_info([str(system)]) == {
        "elements": [],
        "valence": {},
        "grid_spacing": pytest.approx(np.load(system / "set.000/grid_spacing.npy").mean()),
        "kind": FORMAT,
        "saed": None,
    }
    (system / "set.000" / "grid_spacing.npy").unlink()
    assert dataset_info([str(system)])["grid_spacing"] is None


@pytest.mark.filterwarnings("ignore:.*not a whole number")
def test_charged_cells_and_coarse_grids_share_valences(folder):
    systems = [
        folder("a", ["Li"] * 4, 4),
        folder("b", ["Li"] * 4, 4.1),
        folder("c", ["Li"] * 4, 3.6),
    ]
    assert dataset_info(systems)["valence"] == pytest.approx({"Li": 11.7 / 12})


def test_hdf5_is_the_same_data(folder, tmp_path):
    """What dp reads from ``FILE.hdf5#/GROUP`` says the same as the folder, strings included."""
    system = folder("a", ["Zn", "O"], 18.0)
    dpdata.System(system, fmt="deepmd/npy").to("deepmd/hdf5", str(tmp_path / "a.hdf5"))
    assert dataset_info([str(tmp_path / "a.hdf5")]) == dataset_info([system])
    again = dpdata.System(str(tmp_path / "a.hdf5"), fmt="deepmd/hdf5")
    assert again["density"].dtype == np.float64
    assert_true_to(again, read_density(tmp_path / "CHGCAR_a"))
