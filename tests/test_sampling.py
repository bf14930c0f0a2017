# SPDX-License-Identifier: LGPL-3.0-or-later
"""Sampling of grid points."""

import numpy as np
import pytest

from deepmd_charge import ChargeError
from deepmd_charge.sampling import sample_frames


def test_without_replacement():
    index = sample_frames(5000, 2000, 100, seed=1)
    assert index.shape == (20, 100)
    assert len(np.unique(index)) == 2000
    assert index.min() >= 0
    assert index.max() < 5000


def test_short_frame_takes_unused_points():
    index = sample_frames(5000, 2001, 100, seed=1)
    assert index.shape == (21, 100)
    assert len(np.unique(index)) == 2100


@pytest.mark.parametrize("n_points", [1050, 10**6])
def test_whole_grid(n_points):
    """Every point appears; only the rest of the last frame repeats."""
    index = sample_frames(1050, n_points, 100, seed=1)
    assert index.shape == (11, 100)
    counts = np.bincount(index.reshape(-1), minlength=1050)
    assert (counts >= 1).all()
    assert counts.sum() == 1100
    assert all(len(np.unique(frame)) == 100 for frame in index)


def test_frame_larger_than_the_grid():
    index = sample_frames(8, 100, 20, seed=1)
    assert index.shape == (1, 20)
    assert set(index[0]) == set(range(8))


def test_seed():
    same = [sample_frames(10**6, 1000, 10, seed=3) for _ in range(2)]
    np.testing.assert_array_equal(*same)
    assert (sample_frames(10**6, 1000, 10, seed=4) != same[0]).any()
    assert (sample_frames(10**6, 1000, 10) != sample_frames(10**6, 1000, 10)).any()
    generator = np.random.default_rng(3)
    draws = [sample_frames(10**6, 1000, 10, generator) for _ in range(2)]
    np.testing.assert_array_equal(draws[0], same[0])
    assert (draws[0] != draws[1]).any()


@pytest.mark.parametrize("n_points", [900, 3000, 9000])
def test_uniform(n_points):
    """Points of all parts of the grid are equally likely, in every frame position."""
    index = np.concatenate([sample_frames(10000, n_points, 300, seed=s) for s in range(40)])
    counts = np.bincount(index[:, 0] // 2500, minlength=4)
    expected = len(index) / 4
    assert (np.abs(counts - expected) < 4.5 * np.sqrt(expected)).all()


@pytest.mark.parametrize("numbers", [(0, 10), (10, 0), (-1, 10)])
def test_bad_numbers(numbers):
    with pytest.raises(ChargeError, match="positive"):
        sample_frames(100, *numbers)
