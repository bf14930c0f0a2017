# SPDX-License-Identifier: LGPL-3.0-or-later
"""Error measures against the formulas written out in numpy."""

import numpy as np
import pytest

from deepmd_charge.grid.metrics import Comparison


@pytest.fixture
def densities():
    rng = np.random.default_rng(7)
    # A large offset: sums of squares would lose the spread of the values.
    true = 1e3 + rng.normal(size=(6, 5, 4))
    return true, true + 0.01 * rng.normal(size=true.shape)


def expected(true, predicted, volume):
    d = predicted - true
    return {
        "mae": np.mean(np.abs(d)),
        "rmse": np.sqrt(np.mean(d**2)),
        "max": np.max(np.abs(d)),
        "r2": 1 - np.sum(d**2) / np.sum((true - np.mean(true)) ** 2),
        "nmae": 100 * np.sum(np.abs(d)) / np.sum(np.abs(true)),
        "rrmse": 100 * np.sqrt(np.sum(d**2)) / np.sqrt(np.sum(true**2)),
        "electrons_true": np.sum(true) * volume / true.size,
        "electrons_predicted": np.sum(predicted) * volume / true.size,
        "n_points": true.size,
    }


def test_formulas(densities):
    true, predicted = densities
    got = Comparison.of(true, predicted, 30.0 / true.size).summary()
    assert got == pytest.approx(expected(true, predicted, 30.0), rel=1e-12)


def test_negative_density_counts_by_its_size():
    got = Comparison.of([-1.0, 1.0], [-1.5, 1.0], 1.0).summary()
    assert got["nmae"] == pytest.approx(25.0)
    assert got["electrons_true"] == 0.0


def test_blocks_add_up_to_the_whole(densities):
    true, predicted = densities
    point = 30.0 / true.size
    total = Comparison()
    for part in (slice(0, 1), slice(1, 4), slice(4, 6)):
        total += Comparison.of(true[part], predicted[part], point)
    assert total.summary() == pytest.approx(expected(true, predicted, 30.0), rel=1e-11)


def test_nan_is_not_lost_in_a_sum(densities):
    true, predicted = densities
    bad = predicted.copy()
    bad[0, 0, 0] = np.nan
    good = Comparison.of(true, predicted, 1.0)
    for total in (good + Comparison.of(true, bad, 1.0), Comparison.of(true, bad, 1.0) + good):
        summary = total.summary()
        assert all(np.isnan(summary[key]) for key in ("mae", "rmse", "max", "r2"))


def test_constant_density_has_no_r2():
    summary = Comparison.of(np.ones(3), np.ones(3), 1.0).summary()
    assert np.isnan(summary["r2"])
    assert summary["mae"] == 0.0


def test_no_points():
    assert np.isnan((Comparison() + Comparison()).summary()["mae"])
    with pytest.raises(ValueError, match="shapes"):
        Comparison.of([], [], 1.0)
    with pytest.raises(ValueError, match="shapes"):
        Comparison.of(np.ones(3), np.ones((3, 1)), 1.0)
