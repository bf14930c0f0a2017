# SPDX-License-Identifier: LGPL-3.0-or-later
"""Waves up to a cutoff: their order, and what they add up to, against plain loops."""

from functools import cmp_to_key

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepmd_charge import ChargeError
from deepmd_charge.grid.waves import from_grid, shape_for, sphere, to_grid


def slow_sphere(reciprocal, cutoff, is_half):
    """As `sphere`, one wave after the other."""
    found = []
    most = int(2 + cutoff**0.5 * np.linalg.norm(np.linalg.inv(reciprocal)))
    for i in range(-most, most + 1):
        for j in range(-most, most + 1):
            for k in range(-most, most + 1):
                g2 = sum(x**2 for x in i * reciprocal[0] + j * reciprocal[1] + k * reciprocal[2])
                if g2 <= cutoff and ((i, j, k) >= (0, 0, 0) or not is_half):
                    found.append((g2, (i, j, k)))

    def compare(one, other):
        if abs(one[0] - other[0]) < 1e-8:
            return -1 if one[1] < other[1] else 1
        return -1 if one[0] < other[0] else 1

    return [m for _, m in sorted(found, key=cmp_to_key(compare))]


def slow_sum(miller, coefficients, shape, is_half):
    """Sum over waves, point by point."""
    places = np.stack(np.meshgrid(*(np.arange(n) / n for n in shape), indexing="ij"), -1)
    total = np.zeros(shape, complex)
    for m, c in zip(miller, coefficients, strict=True):
        wave = np.exp(2j * np.pi * (places @ m))
        total += c * wave
        if is_half and any(m):
            total += np.conj(c * wave)
    return total


def random_coefficients(miller, rng):
    """Of a real sum; opposite waves have conjugate ones where both are there."""
    drawn = {}
    for m in map(tuple, miller.tolist()):
        opposite = tuple(-k for k in m)
        value = rng.normal() + 1j * rng.normal() * any(m)
        drawn[m] = np.conj(drawn[opposite]) if opposite in drawn else value
    return np.array(list(drawn.values()))


CELLS = {
    "cubic": np.eye(3),
    "fcc": np.ones((3, 3)) - 2 * np.eye(3),
    "hexagonal": np.array([[1, 1 / 3**0.5, 0], [0, 2 / 3**0.5, 0], [0, 0, 0.6]]),
    "skew": np.array([[0.9, 0.1, -0.2], [0.3, 1.1, 0.05], [-0.1, 0.2, 0.7]]),
    "long": np.diag([1.0, 1.0, 0.25]),
    "left-handed": -np.eye(3),
}


@pytest.mark.parametrize("is_half", [True, False])
@pytest.mark.parametrize("name", CELLS)
def test_order(name, is_half):
    """Of cells with and without waves of equal length, one of them right on the sphere."""
    cell = CELLS[name]
    cutoff = float((cell[0] ** 2).sum()) * 4
    assert sphere(cell, cutoff, is_half).tolist() == [
        list(m) for m in slow_sphere(cell, cutoff, is_half)
    ]


@settings(deadline=None, max_examples=40)
@given(
    st.integers(0, 2**32 - 1),
    st.floats(0.3, 6.0),
    st.booleans(),
    st.tuples(*[st.integers(0, 5)] * 3),
)
def test_waves_and_grids(seed, cutoff, is_half, more):
    """Any cell, cutoff and grid: the order and the sums are those of plain loops."""
    rng = np.random.default_rng(seed)
    cell = np.diag(rng.uniform(0.6, 1.5, 3)) + rng.uniform(-0.2, 0.2, (3, 3))
    miller = sphere(cell, cutoff, is_half)
    assert miller.dtype == np.int32
    assert miller.tolist() == [list(m) for m in slow_sphere(cell, cutoff, is_half)]
    coefficients = random_coefficients(miller, rng)
    shape = tuple(n + k for n, k in zip(shape_for(miller), more, strict=True))
    values = to_grid(miller, coefficients, shape, is_half)
    truth = slow_sum(miller, coefficients, shape, is_half)
    scale = np.abs(coefficients).sum()
    np.testing.assert_allclose(values, truth, rtol=0, atol=1e-13 * scale)
    np.testing.assert_allclose(from_grid(values, miller), coefficients, rtol=0, atol=1e-13 * scale)


def test_a_grid_that_is_too_coarse():
    miller = sphere(np.eye(3), 4.0, False)
    assert shape_for(miller) == (5, 5, 5)
    with pytest.raises(ChargeError, match="does not tell the waves apart"):
        to_grid(miller, np.ones(len(miller), complex), (5, 4, 5), False)


@pytest.mark.parametrize("is_half", [True, False])
def test_waves_that_are_no_sphere(is_half):
    miller = sphere(np.eye(3), 4.0, is_half)
    ones = np.ones(len(miller), complex)
    shape = shape_for(miller)
    twice = miller.copy()
    twice[3] = twice[4]
    with pytest.raises(ChargeError, match="more than once"):
        to_grid(twice, ones, shape, is_half)
    with pytest.raises(ChargeError, match="not real"):
        to_grid(miller, 1j * ones, shape, is_half)
    other = ones.copy()
    other[-1] = 2.0
    if is_half:
        other[0] = 1.0 + 1.0j
    with pytest.raises(ChargeError, match="not real"):
        to_grid(miller, other, shape, is_half)
    both = np.array([[0, 0, 0], [1, 0, 0], [-1, 0, 0]])
    with pytest.raises(ChargeError, match="more than once"):
        to_grid(both, np.ones(3, complex), (3, 3, 3), True)


def test_lengths_that_differ_by_next_to_nothing():
    """By less than is told apart, and by more over several: pw.x's sorting may do anything."""
    cell = np.diag([1.0, 1.0 + 4e-9, 1.0 + 8e-9])
    with pytest.raises(ChargeError, match="order cannot be told"):
        sphere(cell, 4.0, True)
