# SPDX-License-Identifier: LGPL-3.0-or-later
r"""How good predictions are, and whether some are better than others.

.. math::

    R^2 = 1 - \frac{\sum_i (y_i - \hat y_i)^2}{\sum_i (y_i - \bar y)^2}, \qquad
    \mathrm{MAE} = \frac{1}{n} \sum_i |y_i - \hat y_i|, \qquad
    \mathrm{RMSE}^2 = \frac{1}{n} \sum_i (y_i - \hat y_i)^2

over the pooled predictions of all folds, in real units. A difference of two sets of predictions
of the same samples comes with the percentile interval of a paired bootstrap: samples, or groups
of samples, are drawn with replacement, the same ones for both.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from ..typing import Floats, Integers

__all__ = ["Difference", "Scores", "bootstrap_difference", "bootstrap_interval", "score"]

# Numbers of the counts of samples that are drawn at a time.
_BLOCK = 4_000_000


@dataclass(frozen=True)
class Scores:
    """Scores of predictions; mae and rmse are in the unit of the property."""

    r2: float
    mae: float
    rmse: float
    n: int

    def to_json(self) -> dict[str, float | int]:
        """As a dictionary."""
        return asdict(self)


@dataclass(frozen=True)
class Difference:
    """A difference of two scores with its interval."""

    value: float
    lower: float
    upper: float

    @property
    def is_clear(self) -> bool:
        """Whether the interval leaves out zero."""
        return self.lower > 0.0 or self.upper < 0.0

    def to_json(self) -> dict[str, float]:
        """As a dictionary."""
        return asdict(self)

    def __str__(self) -> str:
        return f"{self.value:+.4g} [{self.lower:+.4g}, {self.upper:+.4g}]"


def score(labels: Floats, predicted: Floats) -> Scores:
    """Score predictions.

    Parameters
    ----------
    labels, predicted : np.ndarray
        (n,); samples where either is NaN do not count.

    Returns
    -------
    Scores
        NaN where there is no sample; R2 also where all labels are equal.
    """
    known = np.isfinite(labels) & np.isfinite(predicted)
    sums = _sums(labels[known], predicted[known])
    if not known.any():
        return Scores(np.nan, np.nan, np.nan, 0)
    r2, mae, rmse = (float(_score(name, sums.sum(axis=0))) for name in ("r2", "mae", "rmse"))
    return Scores(r2, mae, rmse, int(known.sum()))


def bootstrap_difference(
    labels: Floats,
    first: Floats,
    second: Floats,
    name: str = "r2",
    groups: Sequence[str] | None = None,
    n_draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Difference:
    """Score of the second predictions minus that of the first, with its interval.

    Parameters
    ----------
    labels, first, second : np.ndarray
        (n,); samples where one of them is NaN do not count.
    name : str
        "r2", "mae" or "rmse".
    groups : sequence of str, optional
        Group of each sample; groups are drawn, then, instead of samples.
    n_draws : int
    seed : int
    level : float
        Of the interval.

    Returns
    -------
    Difference
    """
    known = np.isfinite(labels) & np.isfinite(first) & np.isfinite(second)
    sums = np.concatenate(
        [_sums(labels[known], first[known]), _sums(labels[known], second[known])], axis=1
    )

    def difference(totals: Floats) -> Floats:
        return _score(name, totals[..., _N_SUMS:]) - _score(name, totals[..., :_N_SUMS])

    members = None if groups is None else np.asarray(groups)[known]
    return _bootstrapped(sums, difference, members, n_draws, seed, level)


def bootstrap_interval(
    labels: Floats,
    predicted: Floats,
    name: str = "r2",
    groups: Sequence[str] | None = None,
    n_draws: int = 2000,
    seed: int = 0,
    level: float = 0.95,
) -> Difference:
    """A score with its interval; parameters as of :func:`bootstrap_difference`."""
    known = np.isfinite(labels) & np.isfinite(predicted)
    sums = _sums(labels[known], predicted[known])
    members = None if groups is None else np.asarray(groups)[known]
    return _bootstrapped(sums, lambda t: _score(name, t), members, n_draws, seed, level)


_N_SUMS = 5


def _sums(labels: Floats, predicted: Floats) -> Floats:
    """What all scores follow from when it is added up over samples, (n, 5)."""
    # about the mean, for the difference of two large sums would lose digits
    centred = labels - (labels.mean() if labels.size else 0.0)
    errors = predicted - labels
    return np.stack([np.ones_like(centred), centred, centred**2, np.abs(errors), errors**2], axis=1)


def _score(name: str, sums: Floats) -> Floats:
    """Score from sums (..., 5)."""
    n, total, squares, absolute, squared = np.moveaxis(sums, -1, 0)
    if name == "mae":
        return absolute / n
    if name == "rmse":
        return np.sqrt(squared / n)
    with np.errstate(divide="ignore", invalid="ignore"):
        spread = squares - total**2 / n
        return np.where(spread > 1e-12 * squares, 1.0 - squared / spread, np.nan)


def _bootstrapped(
    sums: Floats, statistic: object, groups: object, n_draws: int, seed: int, level: float
) -> Difference:
    assert callable(statistic)
    value = float(statistic(sums.sum(axis=0)))
    if groups is not None:
        _, members = np.unique(np.asarray(groups), return_inverse=True)
        sums = np.stack([np.bincount(members, column) for column in sums.T], axis=1)
    draws = [statistic(counts @ sums) for counts in _counts(len(sums), n_draws, seed)]
    tail = 50.0 * (1.0 - level)
    lower, upper = np.nanpercentile(np.concatenate(draws), (tail, 100.0 - tail))
    return Difference(value, float(lower), float(upper))


def _counts(n: int, n_draws: int, seed: int) -> Iterator[Integers]:
    """How often each of n samples is drawn, (draws, n) at a time."""
    generator = np.random.default_rng(seed)
    step = max(1, _BLOCK // max(n, 1))
    for start in range(0, n_draws, step):
        size = min(step, n_draws - start)
        drawn = generator.integers(0, n, (size, n)) + n * np.arange(size)[:, None]
        yield np.bincount(drawn.ravel(), minlength=size * n).reshape(size, n).astype(float)
