# SPDX-License-Identifier: LGPL-3.0-or-later
"""Grids: where their points are, which are equal, and which cannot be."""

import numpy as np
import pytest
from ase import Atoms
from hypothesis import given
from hypothesis import strategies as st

from deepmd_charge import ChargeError
from deepmd_charge.grid.grid import Grid, fft_size

CELL = np.array([[4.0, 0.0, 0.0], [1.5, 3.0, 0.0], [0.5, -1.0, 5.0]])
ORIGIN = np.array([0.3, -2.0, 1.0])


def test_points_are_where_the_definition_has_them():
    grid = Grid(CELL, (2, 3, 5), ORIGIN)
    points = grid.points().reshape(2, 3, 5, 3)
    for i, j, k in np.ndindex(2, 3, 5):
        exact = ORIGIN + i / 2 * CELL[0] + j / 3 * CELL[1] + k / 5 * CELL[2]
        np.testing.assert_allclose(points[i, j, k], exact, rtol=0, atol=1e-14)
    assert np.array_equal(grid.points([7, 29]), grid.points()[[7, 29]])  # to the last bit
    assert grid.size == 30 and grid.volume == pytest.approx(60.0)
    assert grid.point_volume == pytest.approx(2.0)
    np.testing.assert_allclose(grid.spacing, np.linalg.norm(CELL, axis=1) / (2, 3, 5))


@pytest.mark.parametrize(
    "cell, shape, origin, complaint",
    [
        (CELL, (2, 3), (0, 0, 0), "three counts of at least 1"),
        (CELL, (2, 0, 3), (0, 0, 0), "three counts of at least 1"),
        (CELL, (2, 2.5, 3), (0, 0, 0), "three counts of at least 1"),
        (CELL, None, (0, 0, 0), "three counts of at least 1"),
        (CELL, (2, 3, 4), (0, 0), "origin is three finite numbers"),
        (CELL, (2, 3, 4), (0, np.nan, 0), "origin is three finite numbers"),
        (np.zeros((3, 3)), (2, 3, 4), (0, 0, 0), "three independent vectors"),
        (CELL[:2], (2, 3, 4), (0, 0, 0), "three independent vectors"),
    ],
)
def test_impossible_grids_are_refused(cell, shape, origin, complaint):
    with pytest.raises(ChargeError, match=complaint):
        Grid(cell, shape, origin)


def test_the_grid_of_a_structure():
    atoms = Atoms("Si", cell=CELL, pbc=(True, True, False))
    grid = Grid.of(atoms, (2, 3, 4), ORIGIN)
    assert grid.pbc == (True, True, False) and grid.shape == (2, 3, 4)
    with pytest.raises(ChargeError, match="no cell of three vectors"):
        Grid.of(Atoms("Si", cell=[3.0, 3.0, 0.0]), (2, 3, 4))


@given(st.floats(0.05, 3.0))
def test_a_spacing_is_not_exceeded(spacing):
    atoms = Atoms("Si", cell=CELL, pbc=True)
    grid = Grid.spaced(atoms, spacing)
    assert (grid.spacing <= spacing * (1.0 + 2e-6)).all()
    assert all(fft_size(n) == n for n in grid.shape)


@pytest.mark.parametrize("spacing", [0.0, -1.0, np.nan, np.inf])
def test_a_spacing_is_a_length(spacing):
    with pytest.raises(ChargeError, match="must be a positive length"):
        Grid.spaced(Atoms("Si", cell=CELL, pbc=True), spacing)


@pytest.mark.parametrize("factor", [1, 2, 3, 100])
def test_coarser(factor):
    grid = Grid(CELL, (24, 18, 35), ORIGIN)
    coarse = grid.coarser(factor)
    assert all(n <= m and n * factor >= m for n, m in zip(coarse.shape, grid.shape, strict=True))
    assert np.array_equal(coarse.origin, ORIGIN) and np.array_equal(coarse.cell, CELL)
    assert (coarse is grid) == (factor == 1)


def test_what_cannot_be_coarser():
    with pytest.raises(ChargeError, match="not periodic in all directions"):
        Grid(CELL, (24, 18, 35), pbc=(True, False, True)).coarser(2)
    with pytest.raises(ChargeError, match="at least 1"):
        Grid(CELL, (24, 18, 35)).coarser(0)


@pytest.mark.parametrize(
    "other, complaint",
    [
        (Grid(CELL, (2, 3, 5), ORIGIN), "different grids"),
        (Grid(CELL + 2e-5, (2, 3, 4), ORIGIN), "different cells.* 2e-05 A"),
        (Grid(CELL, (2, 3, 4), ORIGIN + 0.5), "different origins.* 0.5 A"),
    ],
)
def test_different_grids(other, complaint):
    grid = Grid(CELL, (2, 3, 4), ORIGIN)
    grid.check_same(Grid(CELL + 5e-6, (2, 3, 4), ORIGIN - 5e-6))
    with pytest.raises(ChargeError, match=complaint):
        grid.check_same(other)
