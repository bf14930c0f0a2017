# SPDX-License-Identifier: LGPL-3.0-or-later
"""examples/deep_density: water, aluminium, and the table of both model families."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.geometry import get_distances

from deepmd_charge import Density, write_density
from deepmd_charge.model.spec import ModelSpec

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "deep_density"))
import aluminium
import cells
import table
import water

EXAMPLE = Path(table.__file__).parent
AVOGADRO = 6.02214076e23


def distances_between_molecules(atoms):
    """Of all pairs of atoms of different molecules, A."""
    distances = get_distances(atoms.positions, cell=atoms.cell, pbc=True)[1]
    of = np.arange(len(atoms)) // 3
    return distances[of[:, None] != of]


@pytest.mark.parametrize("n_molecules", water.LATTICES)
def test_water_starts_apart(n_molecules):
    atoms = water.start(n_molecules, 7)
    assert atoms.get_chemical_formula() == Atoms(n_molecules * "OHH").get_chemical_formula()
    grams = atoms.get_masses().sum() / AVOGADRO
    assert grams / (atoms.get_volume() * 1e-24) == pytest.approx(water.DENSITY, rel=1e-3)
    assert distances_between_molecules(atoms[: 3 * 128] if n_molecules > 128 else atoms).min() > 1.0
    oxygen = atoms[atoms.numbers == 8].get_all_distances(mic=True)
    assert oxygen[oxygen > 0].min() > 3.1
    bonds = atoms.positions.reshape(-1, 3, 3)
    np.testing.assert_allclose(
        np.linalg.norm(bonds[:, 1:] - bonds[:, :1], axis=2), 0.969, atol=0.02
    )


def test_water_starts_differ_by_seed():
    first, again, other = (water.start(32, seed).positions for seed in (1, 1, 2))
    assert (first == again).all()
    assert np.abs(first - other).max() > 0.1


def test_snapshots_have_seeds_of_their_own():
    """Whatever is computed starts from another dynamics."""
    seeds = [
        water.seed_of(size, number, use)
        for use, size, number in cells.structures({**water.COUNTS, **water.LARGE})
    ]
    assert len(set(seeds)) == len(seeds)


def test_lammps_data():
    text = water.lammps_data(water.start(32, 1))
    assert "96 atoms\n64 bonds\n32 angles" in text
    sections = {
        name: text.split(f"\n{name}\n\n")[1].split("\n\n")[0] for name in ("Bonds", "Angles")
    }
    bonds = np.loadtxt(sections["Bonds"].splitlines(), dtype=int)
    angles = np.loadtxt(sections["Angles"].splitlines(), dtype=int)
    assert bonds.shape == (64, 4) and angles.shape == (32, 5)
    assert (bonds[:, 0] == np.arange(1, 65)).all()
    assert (bonds[:, 2] % 3 == 1).all()  # oxygen comes first
    assert set(bonds[:, 3]) == {i for i in range(1, 97) if i % 3 != 1}
    assert (angles[:, 2:] - angles[:, 3:4] == [1, 0, 2]).all()
    charges = [
        float(line.split()[3])
        for line in text.split("Atoms # full\n\n")[1].split("\n\n")[0].splitlines()
    ]
    assert sum(charges) == pytest.approx(0.0, abs=1e-12)


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("lmp") is None, reason="needs LAMMPS")
def test_snapshot(tmp_path, monkeypatch):
    """A short dynamics: whole molecules with oxygen in the cell, no two of them in one place."""
    monkeypatch.setattr(water, "STEPS", 50)
    atoms = water.snapshot(tmp_path, 32, 1, "train")
    molecules = atoms.positions.reshape(-1, 3, 3)
    bonds = np.linalg.norm(molecules[:, 1:] - molecules[:, :1], axis=2)
    assert (np.abs(bonds - 0.957) < 0.2).all()
    inside = molecules[:, 0] / atoms.cell.lengths()
    assert ((inside >= 0.0) & (inside < 1.0)).all()
    assert distances_between_molecules(atoms).min() > 1.3


def test_cp2k_input():
    atoms = water.start(32, 1)
    text = water.cp2k_input(atoms)
    rows = text.split("&COORD\n")[1].split("\n  &END")[0].splitlines()
    np.testing.assert_allclose(
        [[float(x) for x in row.split()[1:]] for row in rows], atoms.positions, atol=1e-9
    )
    assert f"ABC {atoms.cell[0, 0]:.10f}" in text
    assert text.count("&KIND") == 2
    assert sum(line.strip().startswith("&END") for line in text.splitlines()) == text.count(
        "&"
    ) - text.count("&END")


@pytest.mark.parametrize("n_atoms", aluminium.CELLS)
def test_aluminium(n_atoms):
    """The displaced atoms of a cell, far from their images; k points as dense in each."""
    atoms = aluminium.structure(n_atoms, 1, "test")
    assert len(atoms) == n_atoms
    assert atoms.get_volume() / n_atoms == pytest.approx(aluminium.LATTICE**3 / 4)
    apart = atoms.get_all_distances(mic=True)
    assert apart[apart > 0].min() > 2.2
    images = np.indices((3, 3, 3)).reshape(3, -1).T - 1
    lengths = np.linalg.norm(images @ atoms.cell.array, axis=1)
    assert lengths[lengths > 0].min() > 11.4
    points = aluminium.k_points(n_atoms)
    assert len(points) * n_atoms == 256
    # each wave that is periodic in the cube is one k point's, up to reciprocal vectors of the cell
    cube = aluminium.EDGE * aluminium.LATTICE
    waves = (np.indices((5, 5, 5)).reshape(3, -1).T - 2) / cube
    away = (waves @ atoms.cell.array.T)[:, None] - points
    assert ((np.abs(away - np.round(away)) < 1e-8).all(axis=2).sum(axis=1) == 1).all()


def test_aluminium_differs_by_use_and_number():
    first, *others = (
        aluminium.structure(64, number, use).positions
        for number, use in ((1, "train"), (2, "train"), (1, "test"))
    )
    assert all(np.abs(first - other).max() > 0.01 for other in others)


def test_scf_input(tmp_path):
    small, large = (
        aluminium.scf_input(aluminium.structure(n, 1, "test"), tmp_path) for n in (128, 256)
    )
    assert "K_POINTS crystal\n2\n0.000000000 0.000000000 0.000000000 1\n" in small
    assert large.rstrip().endswith("K_POINTS gamma")
    assert f"pseudo_dir='{tmp_path}'" in small and "nat=128" in small


def test_runs_go_on(tmp_path):
    """What is there stays; sizes that are not asked for are left out."""
    made = []

    def compute(run, size, number, use):
        made.append((use, size, number))
        (run / "x.cube").write_text("")
        return run / "x.cube"

    counts = {"train": {2: 2}, "test": {2: 1, 4: 1}}
    cells.compute_missing(tmp_path, counts, [2], compute)
    assert made == [("train", 2, 1), ("train", 2, 2), ("test", 2, 1)]
    (tmp_path / "train" / "2-1.cube").unlink()
    cells.compute_missing(tmp_path, counts, [2, 4], compute)
    assert made[3:] == [("train", 2, 1), ("test", 4, 1)]


def test_failed_programs_are_told(tmp_path):
    with pytest.raises(SystemExit, match=r"false failed: see .*scf\.out"):
        cells.run_program(tmp_path, "scf", "", "false")
    cells.run_program(tmp_path, "scf", "x", "cat", "scf.in")
    assert (tmp_path / "scf.out").read_text() == "x"
    with pytest.raises(SystemExit, match="'converged' is not there"):
        cells.demand(tmp_path / "scf.out", "converged")


SYSTEMS = {"chains": ["He", "Be"], "molecules": ["C", "H"], "water": ["H", "O"]}
SYSTEMS["aluminium"] = ["Al"]


@pytest.mark.parametrize("family", table.FAMILIES)
@pytest.mark.parametrize("system", SYSTEMS)
def test_configurations(family, system):
    model = json.loads((EXAMPLE / family / f"{system}.json").read_text())["model"]
    spec = ModelSpec.from_dict({**model, "type_map": [*SYSTEMS[system], "X"]})
    assert model["descriptor"]["type"] == family
    if system == "aluminium":
        # an atom and its image are 11.46 A apart, and no point or atom sees both
        assert max(spec.descriptor.rcut, model["descriptor"].get("rcut_env", 0.0)) <= 5.73


@pytest.mark.parametrize("names", [["."], ["C2H6", "C3H8"]])
def test_training_data_are_found(tmp_path, monkeypatch, names):
    """One system is the folder itself, several lie in it; all of their elements are known."""
    for name, elements in zip(names, (["X", "C"], ["C", "H", "X"]), strict=False):
        folder = tmp_path / "dp" / name
        (folder / "set.000").mkdir(parents=True)
        (folder / "type_map.raw").write_text("\n".join(elements))
    called = []
    monkeypatch.setattr(table, "run_dp", lambda folder, *arguments: called.append(arguments[0]))
    monkeypatch.setattr(table, "ChargeModel", lambda path: path)
    run = tmp_path / "run"
    config = EXAMPLE / "se_cluster" / "molecules.json"
    assert table.trained(tmp_path, run, config) == run / "charge.pb"
    assert called == ["train", "freeze"]
    written = json.loads((run / "input.json").read_text())
    found = [Path(path) for path in written["training"]["training_data"]["systems"]]
    assert found == [tmp_path / "dp" / name for name in names]
    assert written["model"]["type_map"] == (["C", "X"] if names == ["."] else ["C", "H", "X"])


class Scaled:
    """A model that knows the densities of the test up to a factor."""

    def __init__(self, factor):
        self.factor = factor
        self.info = {"grid_spacing": 0.5}

    def predict(self, atoms, shape):
        return Density(atoms, self.factor * wave(atoms, shape))


def wave(atoms, shape):
    """A density on a grid, of no meaning."""
    x = np.arange(shape[2]) / shape[2]
    return np.broadcast_to(1.0 + np.cos(2.0 * np.pi * x), shape) * len(atoms) / atoms.get_volume()


def test_table(tmp_path, monkeypatch, capsys):
    """Errors by size of both families, a prediction without a density, and two pictures."""
    for system, use, name, n_atoms in (
        ("metal", "test", "8-1.cube", 8),
        ("metal", "test", "16-1.cube", 16),
        ("water", "test", "1-1.cube", 3),
        ("water", "test", "2-1.cube", 6),
        ("water", "large", "4-1.xyz", 12),
    ):
        path = tmp_path / system / use / name
        path.parent.mkdir(parents=True, exist_ok=True)
        chain = system == "metal"
        atoms = Atoms(
            n_atoms * "Be" if chain else n_atoms // 3 * "OHH",
            np.outer(np.arange(n_atoms), [0.0, 0.0, 1.0]),
            cell=[1.0 if chain else 3.0] * 2 + [float(n_atoms)],
            pbc=[not chain, not chain, True],
        )
        if path.suffix == ".xyz":
            atoms.write(path)
        else:
            shape = (1 if chain else 6,) * 2 + (2 * n_atoms,)
            density = Density(atoms, wave(atoms, shape))
            write_density(path, density)
    asked = []

    def trained(data, folder, config):
        asked.append((data.name, folder.name, config.relative_to(EXAMPLE).as_posix()))
        return Scaled({"se_charge": 1.01, "se_cluster": 1.001}[folder.name])

    monkeypatch.setattr(table, "trained", trained)
    monkeypatch.setattr(sys, "argv", ["table.py", str(tmp_path), "-o", str(tmp_path)])
    table.main()
    assert asked == [
        ("metal", "se_charge", "se_charge/chains.json"),
        ("metal", "se_cluster", "se_cluster/chains.json"),
        ("water", "se_charge", "se_charge/water.json"),
        ("water", "se_cluster", "se_cluster/water.json"),
    ]
    lines = capsys.readouterr().out.splitlines()[1:]
    found = {tuple(line.split()[:3]): line.split()[4] for line in lines if "predicted" not in line}
    assert found == {
        (system, family, size): error
        for system, sizes in (("metal", ("8", "16")), ("water", ("1", "2")))
        for family, error in (("se_charge", "1.0e-02"), ("se_cluster", "1.0e-03"))
        for size in sizes
    }
    [cluster] = [line for line in lines if "predicted" in line and "se_cluster" in line]
    assert "12 atoms, 864 points" in cluster and "12.01 electrons" in cluster
    for name in ("errors", "chains"):
        assert (tmp_path / f"{name}.png").stat().st_size > 1000
