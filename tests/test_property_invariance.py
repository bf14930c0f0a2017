# SPDX-License-Identifier: LGPL-3.0-or-later
"""No choice of cell, origin, orientation, order of atoms or grid changes the invariants."""

import re

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell, molecule

from deepmd_charge import Density
from deepmd_charge.property import features as module
from deepmd_charge.property.features import FEATURES, features
from deepmd_charge.property.superposed import superposed

SPACING = 0.15
# Largest changes, in parts of max(1, |x|), that were seen, and a little air. Second derivatives on
# bonds are of splines between points that may be 0.2 A apart.
TOLERANCES = {
    "log_p": 0.004,
    "laplacian_p": 0.018,
    "bond_laplacian": 0.06,
    "bond_curvature": 0.035,
    "s_histogram": 0.008,
    "distribution": 0.007,
    "gradients": 0.006,
    "spectrum": 0.002,
    "bonds": 0.003,
    "shells": 0.007,
}


def tolerances():
    """Of each feature: that of its name, else that of its block."""
    found = []
    for block in module._BLOCKS:
        for feature in block.FEATURES:
            by_name = [
                t for start, t in TOLERANCES.items() if re.match(rf"{start}[_\d]", feature.name)
            ]
            found.append(by_name[0] if by_name else TOLERANCES[block.__name__.split(".")[-1]])
    return np.array(found)


def random_crystal(formula, seed, apart):
    """A triclinic cell with atoms that keep their distance."""
    rng = np.random.default_rng(seed)
    cell = np.diag(rng.uniform(4.0, 5.5, 3)) + rng.uniform(-1.0, 1.0, (3, 3))
    atoms = Atoms(cell=cell, pbc=True)
    for symbol in Atoms(formula).symbols:
        while True:
            more = atoms + Atoms(symbol, positions=[rng.random(3) @ cell])
            distances = more.get_distances(-1, range(len(atoms)), mic=True) if atoms else [apart]
            if min(distances) >= apart:
                break
        atoms = more
    return atoms


def layers():
    places = [(1 / 3, 2 / 3, 0.25), (2 / 3, 1 / 3, 0.12), (2 / 3, 1 / 3, 0.38)]
    cell = [3.16, 3.16, 12.3, 90, 90, 120]
    return Atoms("MoS2", scaled_positions=places, cell=cell, pbc=True)


def water():
    atoms = molecule("H2O")
    atoms.set_cell([4.2, 4.6, 5.1])
    atoms.pbc = True
    return atoms


CRYSTALS = {
    "rocksalt": lambda: bulk("NaCl", "rocksalt", a=5.64),
    "diamond": lambda: bulk("C", "diamond", a=3.567),
    "hexagonal": lambda: bulk("Mg", "hcp", a=3.21, c=5.21),
    "layers": layers,
    "molecules": water,
    "one atom": lambda: bulk("W", "bcc", a=3.17),
    "triclinic, 3": lambda: random_crystal("AlFeO", 1, 1.6),
    "triclinic, 8": lambda: random_crystal("CaSi2O4N", 2, 1.3),
}
crystals = pytest.mark.parametrize("name", CRYSTALS)


def assert_same(density, reference, times=1.0):
    found = features(density)
    change = np.abs(found - reference) / np.maximum(1.0, np.abs(reference)) / tolerances()
    worst = np.argmax(change)
    assert change[worst] <= times, (
        f"{FEATURES[worst].name}: {found[worst]:.6g}, not {reference[worst]:.6g}"
    )


@crystals
def test_supercells(name):
    atoms = CRYSTALS[name]()
    reference = features(superposed(atoms, SPACING))
    # the same lattice in a skew cell, and several times the cell, along its vectors and not
    shapes = [[[1, 1, 0], [0, 1, 0], [0, 0, 1]], [[2, 0, 0], [0, 1, 0], [0, 0, 1]]]
    if len(atoms) < 4:
        shapes.append([[1, 1, 0], [-1, 1, 0], [0, 1, 3]])
    if len(atoms) < 3:
        shapes.append([[2, 0, 0], [0, 2, 0], [0, 0, 2]])
    for shape in shapes:
        assert_same(superposed(make_supercell(atoms, shape), SPACING), reference)


@pytest.mark.parametrize(
    "arguments",
    [
        ("Al", "fcc", 4.05),
        ("Cu", "fcc", 3.61),
        ("W", "bcc", 3.17),
        ("Si", "diamond", 5.43),
        ("C", "diamond", 3.567),
        ("MgO", "rocksalt", 4.21),
        ("GaAs", "zincblende", 5.65),
    ],
)
def test_conventional_cells(arguments):
    atoms = bulk(*arguments)
    reference = features(superposed(atoms, SPACING))
    assert_same(superposed(bulk(*arguments, cubic=True), SPACING), reference)


@crystals
def test_origin_orientation_and_order(name):
    atoms = CRYSTALS[name]()
    reference = features(superposed(atoms, SPACING))
    rng = np.random.default_rng(5)
    moved = atoms.copy()
    moved.positions += rng.normal(size=3)
    assert_same(superposed(moved, SPACING), reference)
    rotation = np.linalg.qr(rng.normal(size=(3, 3)))[0]
    rotation *= np.sign(np.linalg.det(rotation))
    turned = atoms.copy()
    turned.set_cell(atoms.cell.array @ rotation.T, scale_atoms=True)
    assert_same(superposed(turned, SPACING), reference)
    mixed = atoms[rng.permutation(len(atoms))]
    mixed.set_cell(atoms.cell.array[[2, 0, 1]])
    assert_same(superposed(mixed, SPACING), reference)


@crystals
def test_grids(name):
    atoms = CRYSTALS[name]()
    reference = features(superposed(atoms, SPACING))
    # far from all atoms the waves that a grid of 0.25 A lacks are more than the density
    for spacing in (0.1, 0.2) if name == "layers" else (0.1, 0.25):
        assert_same(superposed(atoms, spacing), reference)


def test_where_a_grid_begins():
    density = superposed(layers(), 0.2)
    steps = np.array([3, 5, 11])
    origin = (steps / density.shape) @ density.atoms.cell.array
    rolled = Density(density.atoms, np.roll(density.values, -steps, axis=(0, 1, 2)), origin)
    assert_same(rolled, features(density))


def test_other_crystals_differ():
    """By far more than what is tolerated."""
    one, other = (features(superposed(bulk("Al", "fcc", a), SPACING)) for a in (4.05, 4.2))
    changed = np.abs(one - other) > 2.0 * tolerances() * np.maximum(1.0, np.abs(one))
    assert changed.mean() > 0.3
    for block in ("histogram", "s_histogram", "spectrum_2.5", "nearest", "shell_2.0_mean"):
        assert any(changed[k] for k, f in enumerate(FEATURES) if f.name.startswith(block)), block
