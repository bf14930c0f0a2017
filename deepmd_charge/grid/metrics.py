# SPDX-License-Identifier: LGPL-3.0-or-later
"""Errors of a predicted density, gathered block by block."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..typing import ArrayLike


@dataclass(frozen=True)
class Comparison:
    """Sums over grid points from which every error measure follows.

    Two comparisons add up to the comparison of all their points, so that a
    grid may come in blocks and a test set in files. With d = predicted - true
    the sums are plain ones, except for the spread of the true values,
    sum (true - mean)^2, which is merged after Chan, Golub and LeVeque
    (1979): subtracting two large sums of squares would cancel digits.

    Attributes
    ----------
    n_points : int
        Number of points.
    sum_abs, sum_sq, max_abs : float
        ``sum |d|``, ``sum d^2`` and ``max |d|``, in e/A^3 and its square.
    true_abs, true_sq, true_mean, true_spread : float
        ``sum |true|``, ``sum true^2``, mean and spread of the true values.
    electrons_true, electrons_predicted : float
        Sum of the values times the volume of a grid point.
    """

    n_points: int = 0
    sum_abs: float = 0.0
    sum_sq: float = 0.0
    max_abs: float = 0.0
    true_abs: float = 0.0
    true_sq: float = 0.0
    true_mean: float = 0.0
    true_spread: float = 0.0
    electrons_true: float = 0.0
    electrons_predicted: float = 0.0

    @classmethod
    def of(cls, true: ArrayLike, predicted: ArrayLike, point_volume: float) -> Comparison:
        """Compare two densities at the same points.

        Parameters
        ----------
        true, predicted : array_like
            Densities in e/A^3, of one shape, any number of dimensions.
        point_volume : float
            Volume in A^3 that one point stands for: that of the cell over the
            number of points which are compared in it.

        Returns
        -------
        Comparison

        Raises
        ------
        ValueError
            When the shapes differ or there is no point.
        """
        true = np.asarray(true, dtype=np.float64)
        predicted = np.asarray(predicted, dtype=np.float64)
        if true.shape != predicted.shape or not true.size:
            raise ValueError(f"cannot compare arrays of shapes {true.shape} and {predicted.shape}")
        error = np.abs(predicted - true)
        mean = true.mean()
        return cls(
            n_points=true.size,
            sum_abs=float(error.sum()),
            sum_sq=float(np.sum(error**2)),
            max_abs=float(error.max()),
            true_abs=float(np.abs(true).sum()),
            true_sq=float(np.sum(true**2)),
            true_mean=float(mean),
            true_spread=float(np.sum((true - mean) ** 2)),
            electrons_true=float(true.sum() * point_volume),
            electrons_predicted=float(predicted.sum() * point_volume),
        )

    def __add__(self, other: Comparison) -> Comparison:
        n = self.n_points + other.n_points
        if n == 0:
            return self
        share = other.n_points / n
        step = other.true_mean - self.true_mean
        return Comparison(
            n_points=n,
            sum_abs=self.sum_abs + other.sum_abs,
            sum_sq=self.sum_sq + other.sum_sq,
            max_abs=float(np.maximum(self.max_abs, other.max_abs)),  # unlike max(), keeps a NaN
            true_abs=self.true_abs + other.true_abs,
            true_sq=self.true_sq + other.true_sq,
            true_mean=self.true_mean + step * share,
            true_spread=self.true_spread + other.true_spread + step**2 * self.n_points * share,
            electrons_true=self.electrons_true + other.electrons_true,
            electrons_predicted=self.electrons_predicted + other.electrons_predicted,
        )

    def summary(self) -> dict[str, float]:
        """Error measures under the names that ``deepmd-charge test`` uses.

        Returns
        -------
        dict
            ``mae = sum |d| / n``, ``rmse = sqrt(sum d^2 / n)`` and ``max = max |d|``,
            in e/A^3; ``r2 = 1 - sum d^2 / sum (true - mean)^2``;
            ``nmae = 100 sum |d| / sum |true|`` and
            ``rrmse = 100 sqrt(sum d^2) / sqrt(sum true^2)``, in %; ``electrons_true``
            and ``electrons_predicted``; ``n_points``. A ratio whose denominator
            is zero is NaN.
        """
        return {
            "mae": _ratio(self.sum_abs, self.n_points),
            "rmse": _ratio(self.sum_sq, self.n_points) ** 0.5,
            "max": self.max_abs if self.n_points else float("nan"),
            "r2": 1.0 - _ratio(self.sum_sq, self.true_spread),
            "nmae": 100.0 * _ratio(self.sum_abs, self.true_abs),
            "rrmse": 100.0 * _ratio(self.sum_sq, self.true_sq) ** 0.5,
            "electrons_true": self.electrons_true,
            "electrons_predicted": self.electrons_predicted,
            "n_points": self.n_points,
        }


def _ratio(numerator: float, denominator: float) -> float:
    return numerator / denominator if denominator else float("nan")
