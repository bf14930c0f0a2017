# SPDX-License-Identifier: LGPL-3.0-or-later
"""Densities on their own."""

import numpy as np
import pytest
from ase import Atoms

from deepmd_charge import ChargeError, Density


def test_electrons_of_a_gaussian():
    """A normalised gaussian in a skew cell integrates to its number of electrons."""
    cell = np.array([[9.0, 0, 0], [1.5, 8.0, 0], [-1.0, 0.7, 8.5]])
    atoms = Atoms("He", cell=cell, scaled_positions=[[0.5, 0.5, 0.5]], pbc=True)
    empty = Density(atoms, np.zeros((40, 36, 38)))
    r2 = ((empty.points() - atoms.positions) ** 2).sum(axis=1)
    rho = 2 * np.exp(-r2 / (2 * 0.6**2)) / (2 * np.pi * 0.6**2) ** 1.5
    assert Density(atoms, rho.reshape(empty.shape)).n_electrons == pytest.approx(2, abs=1e-6)


def test_points(density):
    density.origin += [0.1, 0.2, 0.3]
    a, b, c = density.atoms.cell.array
    nx, ny, nz = density.shape
    points = density.points().reshape(nx, ny, nz, 3)
    expected = density.origin + 3 / nx * a + 2 / ny * b + 5 / nz * c
    np.testing.assert_allclose(points[3, 2, 5], expected, atol=1e-14)
    flat = np.ravel_multi_index((3, 2, 5), density.shape)
    np.testing.assert_allclose(density.points([flat]), [expected], atol=1e-14)
    assert density.values.reshape(-1)[flat] == density.values[3, 2, 5]


def test_arithmetic(density):
    density.extra["spin"] = [density.values]
    other = Density(density.atoms, density.values**2, kind="cube")
    np.testing.assert_array_equal((density + other).values, density.values + density.values**2)
    np.testing.assert_array_equal((density - other).values, density.values - density.values**2)
    for scaled in (2.5 * density, density * 2.5, np.float64(2.5) * density, density / 0.4):
        np.testing.assert_allclose(scaled.values, 2.5 * density.values, rtol=1e-15)
        assert scaled.extra == {}
        assert scaled.kind == density.kind
    np.testing.assert_array_equal((-density).values, -density.values)
    assert (density + other).kind == ""
    assert (density + density).kind == density.kind


def test_values_are_not_copied(density):
    assert Density(density.atoms, density.values).values is density.values


def test_mismatches(density):
    with pytest.raises(ChargeError, match="grids"):
        density + Density(density.atoms, np.ones((4, 5, 6)))
    strained = density.atoms.copy()
    strained.set_cell(strained.cell.array * 1.001, scale_atoms=True)
    with pytest.raises(ChargeError, match="cells"):
        density - Density(strained, density.values)
    with pytest.raises(ChargeError, match="origins"):
        density - Density(density.atoms, density.values, origin=(0, 0, 0.1))
    with pytest.raises(ChargeError, match="not int: make it a Density"):
        density + 3
    with pytest.raises(TypeError):
        density * density


def test_bad_grids():
    atoms = Atoms("H", cell=[1, 1, 1])
    for shape in [(2, 2), (0, 3, 3), (1, 2, 3, 4)]:
        with pytest.raises(ChargeError, match="grid"):
            Density(atoms, np.ones(shape))
    with pytest.raises(ChargeError, match="cell"):
        Density(Atoms("H"), np.ones((2, 2, 2)))
