# SPDX-License-Identifier: LGPL-3.0-or-later
r"""Intervals that hold a label as often as is asked for.

.. math::

    \hat y(x) \pm q \bigl[s(x) + c\, (1 + e(x))\bigr]

with the spread s of an ensemble, c twice the median spread over predictions of samples that were
held out, and q the quantile of ``|y - ŷ| / [s + c (1 + e)]`` over these, of rank
ceil((n + 1) coverage) (split conformal prediction with normalised residuals, Lei et al., J. Am.
Stat. Assoc. 113, 1094 (2018)). Trees are constant outside of their data, and so is their spread;
e(x) is how far x is outside:

.. math::

    e(x) = \min\Bigl(10,\; \max_j \frac{\max(0,\, x_j - b_j,\, a_j - x_j)}{b_j - a_j}\Bigr)

with the smallest and largest values a, b of each column in training; zero within. What is farther
than ten ranges is just far: some columns are but noise in all training samples.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from ..errors import ChargeError
from ..typing import Floats, Integers

__all__ = ["IntervalScale", "check_coverage", "cross_coverage", "excess"]

_FAR = 10.0  # ranges of a column


@dataclass(frozen=True)
class IntervalScale:
    """What scales the spread of an ensemble to intervals.

    Attributes
    ----------
    coverage : float
        Fraction of labels that the intervals are to hold.
    quantile, constant : float
        q and c above.
    """

    coverage: float
    quantile: float
    constant: float

    @classmethod
    def fit(
        cls, residuals: Floats, spread: Floats, outside: Floats, coverage: float
    ) -> IntervalScale:
        """Fit the scale to predictions of samples that were held out.

        Parameters
        ----------
        residuals, spread, outside : np.ndarray
            (n,) y - ŷ, s and e above.
        coverage : float
            Of so few samples that the rank is above n, the largest residual counts.

        Returns
        -------
        IntervalScale
        """
        constant = 2.0 * float(np.median(spread)) or float(np.std(residuals)) or 1.0
        ratios = np.sort(np.abs(residuals) / (spread + constant * (1.0 + outside)))
        rank = min(math.ceil((len(ratios) + 1) * coverage), len(ratios))
        return cls(coverage, float(ratios[rank - 1]), constant)

    def half_width(self, spread: Floats, outside: Floats) -> Floats:
        """Half of the intervals, (n,)."""
        return self.quantile * (spread + self.constant * (1.0 + outside))


def check_coverage(coverage: float) -> None:
    """Raise ChargeError for a coverage that is no fraction."""
    if not 0.0 < coverage < 1.0:
        raise ChargeError(f"--coverage {coverage:g}: give a fraction between 0 and 1, such as 0.9")


def cross_coverage(
    residuals: Floats, spread: Floats, outside: Floats, folds: Integers, coverage: float
) -> float:
    """Fraction of labels in intervals whose scale was fitted to the other folds."""
    held = np.zeros(len(residuals), dtype=bool)
    for fold in np.unique(folds):
        here = folds == fold
        if here.all():
            return float("nan")
        scale = IntervalScale.fit(residuals[~here], spread[~here], outside[~here], coverage)
        held[here] = np.abs(residuals[here]) <= scale.half_width(spread[here], outside[here])
    return float(held.mean())


def excess(matrix: Floats, low: Floats, high: Floats) -> Floats:
    """How far samples (n, d) are outside of the data, (n,): e above, without what is NaN."""
    width = high - low
    width = np.where(width > 0.0, width, np.maximum(np.abs(high), 1.0))
    over = np.maximum(np.maximum(matrix - high, low - matrix), 0.0) / width
    return np.minimum(np.fmax.reduce(over, axis=1, initial=0.0), _FAR)
