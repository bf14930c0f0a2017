# SPDX-License-Identifier: LGPL-3.0-or-later
"""Fourier interpolation, against sums of waves written out."""

import itertools

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepmd_charge import ChargeError
from deepmd_charge.grid.fourier import fourier_interpolate


def grids(*shape):
    return np.meshgrid(*(np.arange(n) / n for n in shape), indexing="ij")


def waves(coefficients, shape):
    """Sum of A cos(2 pi k.x + phase) at the points of a grid."""
    x, y, z = grids(*shape)
    return sum(
        a * np.cos(2 * np.pi * (k[0] * x + k[1] * y + k[2] * z) + phase)
        for k, a, phase in coefficients
    )


def direct(values, shape):
    """The trigonometric polynomial of the docstring, wave by wave."""
    for axis, m in enumerate(shape):
        n = values.shape[axis]
        values = np.moveaxis(values, axis, -1)
        result = 0
        for k in range(-(n // 2), n // 2 + 1):
            if abs(k) > m / 2:
                continue
            share = 0.5 if 2 * abs(k) == n else 1.0
            c = (values * np.exp(-2j * np.pi * k * np.arange(n) / n)).mean(axis=-1)
            result = result + share * c[..., None] * np.exp(2j * np.pi * k * np.arange(m) / m)
        values = np.moveaxis(result.real, -1, axis)
    return values


@pytest.mark.parametrize("old", [(8, 9, 10), (7, 12, 5)])
@pytest.mark.parametrize("new", [(8, 8, 8), (9, 9, 9), (16, 7, 20), (30, 31, 7)])
def test_exact_for_waves_that_fit(old, new):
    generator = np.random.default_rng(3)
    most = [(min(pair) - 1) // 2 for pair in zip(old, new, strict=True)]
    coefficients = [
        (k, generator.normal(), generator.uniform(0, 6))
        for k in itertools.product(*(range(-m, m + 1) for m in most))
    ]
    np.testing.assert_allclose(
        fourier_interpolate(waves(coefficients, old), new), waves(coefficients, new), atol=1e-11
    )


shapes = st.tuples(*[st.integers(1, 7)] * 3)


@settings(deadline=None, max_examples=60)
@given(shapes, shapes, st.integers(0, 2**32 - 1))
def test_is_the_polynomial(old, new, seed):
    """Odd and even grids, also of one and two points; the mean stays."""
    values = np.random.default_rng(seed).normal(size=old)
    moved = fourier_interpolate(values, new)
    assert moved.shape == new
    np.testing.assert_allclose(moved, direct(values, new), atol=1e-12)
    assert moved.mean() == pytest.approx(values.mean(), abs=1e-14)
    if all(m >= n for m, n in zip(new, old, strict=True)):
        np.testing.assert_allclose(fourier_interpolate(moved, old), values, atol=1e-13)
        every = tuple(n * 3 for n in old)
        np.testing.assert_allclose(
            fourier_interpolate(values, every)[::3, ::3, ::3], values, atol=1e-13
        )


def test_last_wave_of_an_even_grid():
    """(-1)^j is cos(pi n x), on every finer grid and at the coarsest that holds it."""
    old, x = np.array([1.0, -1.0] * 3), np.arange(15) / 15
    moved = fourier_interpolate(old[:, None, None], (15, 1, 1)).ravel()
    np.testing.assert_allclose(moved, np.cos(6 * np.pi * x), atol=1e-14)
    np.testing.assert_allclose(
        fourier_interpolate(moved[:, None, None], (6, 1, 1)).ravel(), old, atol=1e-14
    )


def test_real_density(al32):
    from deepmd_charge import read_density

    values = read_density(al32).values
    moved = fourier_interpolate(values, (54, 60, 48))
    assert moved.mean() == pytest.approx(values.mean(), rel=1e-14)
    np.testing.assert_allclose(fourier_interpolate(moved, values.shape), values, atol=1e-13)


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 0), (2, 3, 1.5), 3])
def test_bad_shape(shape):
    with pytest.raises(ChargeError, match="three counts"):
        fourier_interpolate(np.ones((2, 2, 2)), shape)
