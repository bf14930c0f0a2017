# SPDX-License-Identifier: LGPL-3.0-or-later
"""One structure in LAMMPS: box, sweep, data file, script and dump; real runs against Python."""

import json

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import read
from running import bare_lmp, lmp
from training import structure

from deepmd_charge import ChargeError, read_density
from deepmd_charge.cli.main import main
from deepmd_charge.lammps import read_run, write_run
from deepmd_charge.lammps.box import Box
from deepmd_charge.lammps.sweep import Sweep, choose_stride

TYPE_MAP = ["C", "Na", "Cl", "X"]
GRID = (3, 4, 5)


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
    write_run(tmp_path / "run", tmp_path / "model.pb", TYPE_MAP, 6.5, crystal, GRID, probes=20)
    return tmp_path / "run"


@pytest.mark.parametrize("pbc", [(1, 1, 1), (1, 0, 1), (0, 1, 0), (0, 0, 0)])
def test_the_box_shows_every_point_the_same_atoms(crystal, pbc):
    crystal.pbc = pbc
    rcut = 4.0
    box = Box(crystal, rcut)
    edges = np.diag(box.cell)
    assert np.all(np.triu(box.cell, 1) == 0.0) and np.all(edges > 0.0)
    assert np.all(np.abs(np.tril(box.cell, -1)) <= 0.5 * edges + 1e-9)
    fractions = np.random.default_rng(0).uniform(0, 1.9, (20, 3))
    points = fractions @ crystal.cell.array
    ours = distances(box.place(points), box.place(crystal.positions), box.cell, (1, 1, 1), rcut)
    true = distances(points, crystal.positions, crystal.cell.array, pbc, rcut)
    for mine, its in zip(ours, true, strict=True):
        assert mine == pytest.approx(its, abs=1e-9)


def distances(points, positions, cell, pbc, rcut):
    """Sorted distances of the atoms and images within rcut of each point."""
    shifts = np.array(list(np.ndindex(13, 13, 13))) - 6
    images = (shifts * np.array(pbc)) @ cell
    images = np.unique(np.round(images, 9), axis=0)
    # the shortest images of wrapped positions lie within some cells
    inverse = np.linalg.inv(cell)
    points = points - np.floor(points @ inverse) * pbc @ cell
    positions = positions - np.floor(positions @ inverse) * pbc @ cell
    found = np.linalg.norm((positions[:, None] + images).reshape(-1, 1, 3) - points, axis=2)
    return [np.sort(d[d < rcut]) for d in found.T]


@pytest.mark.parametrize("grid", [(1, 1, 1), (7, 5, 6), (45, 1, 13), (2, 31, 2)])
@pytest.mark.parametrize("most", [1, 10, 100])
def test_a_sweep_visits_every_point_once_in_short_steps(grid, most):
    sweep = Sweep(grid, choose_stride(grid, (4.0, 7.0, 11.0), most))
    assert sweep.n_probes <= most
    visits = np.zeros(grid, int)
    for step in range(sweep.n_steps):
        visits[np.ix_(*sweep.indices(step))] += 1
    assert np.all(visits == 1)
    offsets = np.array([sweep.offset(step) for step in range(sweep.n_steps)])
    assert np.all(offsets[0] == 0)
    assert np.all(np.abs(np.diff(offsets, axis=0)).sum(axis=1) == 1)


def test_strides_waste_little():
    for grid in [(72, 72, 72), (168, 168, 168), (71, 73, 67), (20, 24, 200)]:
        sweep = Sweep(grid, choose_stride(grid, grid, 4096))
        assert sweep.n_probes * sweep.n_steps < 1.15 * np.prod(grid)
        assert sweep.n_probes > 2000
    assert choose_stride((8, 8, 8), (1, 1, 1), 8, still=(False, True, False))[1] == 1


def test_ase_reads_the_same_structure_from_the_data_file(folder, crystal):
    data = read(folder / "data.lammps", format="lammps-data", atom_style="atomic")
    sweep = Sweep(GRID, choose_stride(GRID, crystal.cell.lengths(), 20))
    index = np.array(list(np.ndindex(sweep.probes))) * sweep.stride
    everything = np.concatenate([crystal.positions, index / GRID @ crystal.cell.array])
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


@pytest.mark.parametrize("one, other", [("Na1", "Na2"), ("inner", "outer")])
def test_types_beyond_the_elements_have_the_masses_of_theirs(tmp_path, one, other):
    atoms = skew_crystal()
    atoms.set_array("species", np.array([one, "Cl", other, "Cl"]))
    (tmp_path / "model.pb").write_bytes(b"a model")
    type_map = [other, "X", "Cl", one]
    write_run(tmp_path / "run", tmp_path / "model.pb", type_map, 6.5, atoms, GRID, probes=20)
    data = read(tmp_path / "run/data.lammps", format="lammps-data", atom_style="atomic")
    assert data.arrays["type"][:4].tolist() == [3, 2, 1, 2]
    assert data.get_masses()[:4] == pytest.approx(atoms.get_masses(), abs=0.01)


def test_script(folder):
    script = (folder / "in.lammps").read_text()
    assert "units           metal" in script
    assert "pair_style      deepmd charge.pb" in script
    assert "pair_coeff      * * Na Cl X" in script  # only what the structure has
    assert (folder / "charge.pb").read_bytes() == b"a model"


@pytest.fixture
def values():
    return np.random.default_rng(1).normal(size=GRID)


@pytest.fixture
def text(values, crystal):
    """The dump that LAMMPS would write."""
    sweep = Sweep(GRID, choose_stride(GRID, crystal.cell.lengths(), 20))
    assert sweep.n_steps > 2
    frames = []
    for step in range(sweep.n_steps):
        found = np.full(sweep.probes, 1e9)  # of probes beyond the grid
        indices = sweep.indices(step)
        found[tuple(slice(len(i)) for i in indices)] = values[np.ix_(*indices)]
        frames += ["ITEM: TIMESTEP", str(step), "ITEM: NUMBER OF ATOMS", str(found.size)]
        frames += ["ITEM: BOX BOUNDS xy xz yz pp pp pp", *(["0 1 0"] * 3)]
        frames += ["ITEM: ATOMS c_density ", *(f"{v:.17g}" for v in found.ravel())]
    return "\n".join(frames) + "\n"


def test_read_puts_values_in_their_places(folder, crystal, values, text):
    (folder / "density.dump").write_text(text)
    density = read_run(folder)
    assert np.array_equal(density.values, values)
    assert np.array_equal(density.atoms.positions, crystal.positions)
    assert np.array_equal(density.atoms.cell, crystal.cell)
    assert density.atoms.symbols.get_chemical_formula() == crystal.get_chemical_formula()


def test_unfinished_dumps_are_refused(folder, text):
    with pytest.raises(ChargeError, match=r"run `lmp -in in.lammps`"):
        read_run(folder)
    lines = text.splitlines(keepends=True)
    half = len(lines) // 2
    for cut in ("", *("".join(lines[:n]) for n in (5, 9, half, -1)), text[:-1], text[:-3]):
        (folder / "density.dump").write_text(cut)
        with pytest.raises(ChargeError, match=r"LAMMPS has finished \d+ of \d+ steps; .* again"):
            read_run(folder)


def test_foreign_and_bad_dumps_are_refused(folder, text):
    dump = folder / "density.dump"
    lines = text.splitlines()
    for change, message in [
        (text.replace("c_density", "c_other"), "step 0 is not what in.lammps writes"),
        (text.replace(f"\n{lines[3]}\n", "\n5\n"), "step 0 is not what"),
        (text + "ITEM: TIMESTEP\n", "more than the"),
        (text.replace(lines[9], "nan"), r"grid point \(0, 0, 0\) is not a finite"),
        (text.replace(lines[9], "1.0x"), "step 0 is damaged"),
    ]:
        assert change != text
        dump.write_text(change)
        with pytest.raises(ChargeError, match=message):
            read_run(folder)


def test_a_new_run_forgets_the_old_result(folder, crystal, tmp_path):
    (folder / "density.dump").write_text("old")
    write_run(folder, tmp_path / "model.pb", TYPE_MAP, 6.5, crystal, GRID)
    assert not (folder / "density.dump").exists()


def test_damaged_folder(folder):
    (folder / "grid.json").write_text('{"grid": [3')
    with pytest.raises(ChargeError, match=r"grid.json: damaged"):
        read_run(folder)
    (folder / "grid.json").unlink()
    with pytest.raises(ChargeError, match="lammps write"):
        read_run(folder)


def test_a_folder_without_an_origin_begins_at_zero(folder, text):
    """As they were written once."""
    content = json.loads((folder / "grid.json").read_text())
    del content["origin"]
    (folder / "grid.json").write_text(json.dumps(content))
    (folder / "density.dump").write_text(text)
    assert not read_run(folder).origin.any()


def test_what_the_model_predicts_is_remembered(folder, crystal, tmp_path, text, capsys):
    """A magnetisation does not come back as a total density; older folders do not say."""
    (folder / "density.dump").write_text(text)
    assert read_run(folder).quantity.name == "total"
    content = json.loads((folder / "grid.json").read_text())
    del content["kind"]
    (folder / "grid.json").write_text(json.dumps(content))
    assert read_run(folder).quantity.name == "total"
    options = {"probes": 20, "kind": ":magnetization"}
    write_run(folder, tmp_path / "model.pb", TYPE_MAP, 6.5, crystal, GRID, **options)
    (folder / "density.dump").write_text(text)
    for name in "CHGCAR_m", "m.cube":
        assert main(["lammps", "read", str(folder), "-o", str(tmp_path / name)]) == 0
        assert "mu_B" in capsys.readouterr().out
        found = read_density(tmp_path / name, check=False)
        assert found.quantity.name == "magnetization"
    content["kind"] = ":nothing"
    (folder / "grid.json").write_text(json.dumps(content))
    with pytest.raises(ChargeError, match=r"grid.json: damaged"):
        read_run(folder)


@pytest.mark.parametrize(
    "change, message",
    [
        ({"origin": (0, np.nan, 0)}, "three finite numbers"),
        ({"grid": (3, 0, 5)}, "no points"),
        ({"type_map": ["Na", "X"]}, "not seen Cl"),
        ({"type_map": ["Na", "Cl"]}, "has no X"),
        ({"atoms": Atoms("Na", pbc=False)}, "no cell"),
        ({"probes": 0}, "at least 1"),
    ],
)
def test_refusals_leave_nothing_behind(tmp_path, change, message):
    (tmp_path / "model.pb").write_bytes(b"a model")
    wanted = {"type_map": TYPE_MAP, "rcut": 6.5, "atoms": skew_crystal(), "grid": GRID, **change}
    with pytest.raises(ChargeError, match=message):
        write_run(tmp_path / "run", tmp_path / "model.pb", **wanted)
    assert not (tmp_path / "run").exists()
    (tmp_path / "file").touch()
    with pytest.raises(ChargeError, match="file: is a file; give"):
        write_run(tmp_path / "file", tmp_path / "model.pb", TYPE_MAP, 6.5, skew_crystal(), GRID)


def slanted():
    """A cell whose vectors lean far over one another, left-handed."""
    atoms = structure(seed=20, symbols="CSiC")
    atoms.positions -= atoms.positions[1]  # a grid point is on a nucleus
    cell = atoms.cell.array
    atoms.set_cell([cell[0], cell[2] - 3 * cell[0], cell[1] + 2 * cell[0] + 3 * cell[2]])
    return atoms


def slab():
    """Open along its second vector, with so much vacuum that a rank sees no atom."""
    atoms = structure(seed=21, symbols="SiC")
    atoms.set_cell(atoms.cell.array * [[1], [8], [1]])
    atoms.pbc = (1, 0, 1)
    return atoms


@pytest.mark.parametrize(
    "atoms, grid, probes, ranks, origin",
    [
        pytest.param(slanted(), (4, 5, 7), 20, 1, (0, 0, 0), id="slanted"),
        pytest.param(slab(), (3, 11, 2), 15, 2, (0, 0, 0), id="slab, 2 ranks"),
        pytest.param(slab(), (3, 11, 2), 15, 1, (-1.3, 0.4, 7.7), id="slab, from elsewhere on"),
        pytest.param(structure(seed=22), (2, 3, 1), 1, 2, (0, 0, 0), id="a probe, 2 ranks"),
    ],
)
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_lammps_equals_python(
    precise_model, programs, tmp_path, atoms, grid, probes, ranks, origin
):
    model = precise_model
    write_run(tmp_path, model.path, model.type_map, model.rcut, atoms, grid, probes, origin)
    lmp(programs, tmp_path, "in.lammps", ranks)
    density = read_run(tmp_path)
    assert density.origin.tolist() == list(origin)
    assert density.atoms.positions == pytest.approx(atoms.positions, abs=1e-12)
    found = density.values
    expected = model.predict(atoms, grid, origin=origin).values
    assert np.all(np.abs(found - expected) <= 1e-9 * np.maximum(1.0, np.abs(expected)))
    assert np.ptp(expected) > 0.1


def test_a_lammps_without_deepmd_says_what_to_install(programs, tmp_path):
    (tmp_path / "model.pb").touch()
    write_run(tmp_path / "run", tmp_path / "model.pb", TYPE_MAP, 6.5, skew_crystal(), GRID)
    run = bare_lmp(programs, tmp_path / "run", "in.lammps", check=False)
    assert run.returncode == 1
    assert "this LAMMPS lacks it: pip install deepmd-kit[lmp]" in run.stdout.splitlines()[-1]
