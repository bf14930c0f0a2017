# SPDX-License-Identifier: LGPL-3.0-or-later
"""Charges of atoms and dipoles of molecules, against integrals of the density."""

from dataclasses import replace

import numpy as np
import pytest
from clusters import random_weights, specification
from freezing import freeze, freeze_cluster
from training import gaussian_table, structure

from deepmd_charge import ChargeError, ChargeModel
from deepmd_charge.backends.tf.electrons import exact_electrons
from deepmd_charge.model.info import ModelInfo

pytestmark = pytest.mark.filterwarnings("ignore:.*unlike the training data")

STEP = 0.16
AXIS = np.arange(-8.0, 8.0, STEP)


@pytest.fixture(scope="module", params=[False, True], ids=["bare", "with atomic densities"])
def model(request, tmp_path_factory):
    folder, table = tmp_path_factory.mktemp("model"), gaussian_table()
    table.save(folder / "saed.npz")
    spec = specification(order=1, lmax=2, rcut=2.5, rcut_env=3.0)
    saed = str(folder / "saed.npz") if request.param else None
    freeze_cluster(folder / "charge.pb", spec, random_weights(spec, scale=0.1), saed)
    model = ChargeModel(folder / "charge.pb", n_threads=1)
    model.info = {**model.info, "valence": {"Si": 4.0, "C": 3.0}, "quantity": "total"}
    return model


def molecule(shift=0.0):
    atoms = structure(5)
    atoms.pbc = False
    atoms.positions += shift - atoms.positions.mean(axis=0)
    return atoms


def test_charges_and_dipole_are_integrals(model):
    atoms = molecule()
    points = np.stack(np.meshgrid(AXIS, AXIS, AXIS, indexing="ij"), -1).reshape(-1, 3)
    values = model.predict_points(atoms, points) * STEP**3
    charges = model.atomic_charges(atoms)
    assert charges.sum() == pytest.approx(values.sum(), abs=2e-4)
    assert np.ptp(charges) > 0.1
    valence = np.array([4.0, 3.0, 4.0, 3.0])
    assert abs(valence.sum() - charges.sum()) > 0.1
    centre = valence @ atoms.positions / valence.sum()
    expected = valence @ (atoms.positions - centre) - values @ (points - centre)
    assert model.dipole(atoms) == pytest.approx(expected, abs=1e-3)
    assert np.linalg.norm(expected) > 0.1


def test_a_dipole_does_not_depend_on_where_the_molecule_is(model):
    """Though its electrons are not quite as many as the nuclei want."""
    expected = model.dipole(molecule())
    assert model.dipole(molecule([50.0, -20.0, 9.0])) == pytest.approx(expected, abs=1e-9)
    turned, moved = molecule(), molecule(30.0)
    turned.rotate(70, (1, 2, 3), center=(0, 0, 0))
    moved.rotate(70, (1, 2, 3), center=(0, 0, 0))
    assert model.dipole(moved) == pytest.approx(model.dipole(turned), abs=1e-9)
    assert np.linalg.norm(model.dipole(moved)) == pytest.approx(np.linalg.norm(expected))


@pytest.mark.parametrize("pbc", [True, (True, True, False)], ids=["crystal", "slab"])
def test_charges_of_a_cell_are_its_electrons(model, pbc):
    """Wherever atoms are written, and of images as of the atoms themselves."""
    atoms = structure(5)
    atoms.pbc = pbc
    charges = model.atomic_charges(atoms)
    n = np.array([32, 32, 36])
    origin = np.zeros(3)
    if not atoms.pbc[2]:  # into all that the contributions reach
        origin = -1.5 * atoms.cell[2]
        atoms.set_cell(atoms.cell * [[1], [1], [4]])
        n[2] *= 4
    density = model.predict(atoms, n, origin=origin)
    total = density.values.mean() * atoms.get_volume()
    assert charges.sum() == pytest.approx(total, abs=2e-3)
    moved = structure(5)
    moved.pbc = pbc
    moved.positions[1] += moved.cell[0] - 3 * moved.cell[1]
    assert model.atomic_charges(moved) == pytest.approx(charges, abs=1e-9)
    assert model.atomic_charges(moved.repeat((2, 1, 1))) == pytest.approx(
        np.tile(charges, 2), abs=1e-9
    )


def test_other_models_have_none(model, tmp_path):
    path = freeze(tmp_path / "charge.pb")
    other = ChargeModel(path, quantity="total")
    with pytest.raises(ChargeError, match="this model has no contributions of atoms; train one"):
        other.atomic_charges(structure(0))
    spin = ChargeModel(model.path, n_threads=1)
    spin.info = {**model.info, "quantity": "magnetization"}
    if "saed" not in model.info:
        with pytest.raises(ChargeError, match="model of the magnetization tells no dipole"):
            spin.dipole(molecule())
    unknown = ChargeModel(model.path, n_threads=1)
    unknown.info = {**model.info, "valence": {"C": 3.0}}
    with pytest.raises(ChargeError, match="valence electrons of Si are not known; train with"):
        unknown.dipole(molecule())


# exact electrons


def test_atoms_hold_their_valences_less_those_of_the_table():
    spec, table = specification(["C", "X", "Ge", "Si"], electrons="exact"), gaussian_table()
    memory = ModelInfo(elements=["C", "Si"], valence={"C": 4.0, "Si": 3.99})
    assert exact_electrons(spec, memory, None, False).tolist() == [4.0, 0.0, 4.0]
    rest = exact_electrons(spec, memory, table, True)
    assert rest == pytest.approx([4.0 - table.electrons("C"), 0.0, 4.0 - table.electrons("Si")])


@pytest.mark.parametrize(
    "change, complaint",
    [
        (
            {"valence": {"C": 4.0}},
            "do not say the valence electrons of Si; give them in model/info",
        ),
        ({"kind": "vasp/chgcar:up"}, "of the total density, and the data are the up; set it to"),
        (
            {"valence_error": {"Si": 1.0}},
            "leave 1 of the valence 4 of Si in doubt; correct model/inf",
        ),
        ({"valence": {"C": 4.0, "Si": 4.3}}, "leave 0.5 of the valence 4.3 of Si in doubt"),
    ],
    ids=str,
)
def test_what_exact_electrons_cannot_be_is_said_in_one_line(change, complaint):
    spec = specification(electrons="exact")
    memory = ModelInfo(elements=["Si", "C"], valence={"Si": 4.0, "C": 4.0})
    with pytest.raises(ChargeError, match=complaint) as error:
        exact_electrons(spec, replace(memory, **change), None, False)
    assert "\n" not in str(error.value)
    with pytest.raises(ChargeError, match="cannot count what a density file superposes"):
        exact_electrons(spec, memory, None, True)
