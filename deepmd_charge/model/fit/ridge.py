# SPDX-License-Identifier: LGPL-3.0-or-later
r"""Ridge least squares by its normal equations, the ridge chosen by cross-validation.

.. math::
    \min_w \; \frac1N \Vert X w - y \Vert^2 + \lambda \sum_j \tau_j s_j w_j^2

:math:`\lambda` is the strength, s what a unit of each coefficient costs, and :math:`\tau` a
weight of the columns of products, one for the others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ...errors import ChargeError
from ...typing import Booleans, Floats

__all__ = ["STRONGER", "NormalEquations", "Ridge", "Solution", "choose"]

# Strengths that are tried: from the first one down in decades, or, where it is best, up; then
# between two of them.
_STRENGTHS, STRONGER = [10.0**-k for k in range(2, 12)], [10.0**k for k in range(-2, 3)]
# Weights of the columns of products: they are held back more than the others.
_WEIGHTS = [30.0, 100.0, 300.0, 1000.0, 3000.0]
# Factors of the strength that are tried with that of products held.
_LESS, _FINER = [10.0, 1.0, 0.1, 0.01, 1e-3], [10.0**0.5, 1.0, 10.0**-0.5]
# The strength where nothing can be held out.
_UNTRIED = 1e-6
# Columns of the normal equations that one thread adds to.
_PANEL = 256
# Bytes of the equations of all folds below which these are solved at the same time.
_MEMORY = 1e9
# Below this reciprocal condition number float64 knows no digit of a solution.
_SINGULAR = 1e-15


@dataclass(frozen=True)
class Ridge:
    """The ridge: its strength, and the weight of the columns of products."""

    strength: float
    weight: float = 100.0

    def penalty(self, costs: Floats, products: Booleans) -> Floats:
        """What each squared coefficient costs, (columns,), of units of cost (columns,)."""
        return self.strength * costs * np.where(products, self.weight, 1.0)


@dataclass(frozen=True)
class Solution:
    """What the fit found.

    Attributes
    ----------
    coefficients : np.ndarray
        (columns,)
    ridge : Ridge
    rmse : float
        Of the points of the fit, in the unit of y.
    held_out : float
        Root mean square error of the points of each fold by the fit of the others; not a
        number where none can be held out.
    condition : float
        Condition number of the scaled system, an estimate in the 1-norm.
    converged : bool
        Whether an iterative solution came as near as it should.
    """

    coefficients: Floats
    ridge: Ridge
    rmse: float
    held_out: float
    condition: float
    converged: bool = True


class NormalEquations:
    """The sums of a linear system that least squares needs, for each fold of its points.

    Parameters
    ----------
    n_columns : int
    n_folds : int
    mapped : callable
        As ``map``, but it may call its function for several items at a time: the results are
        the same.
    n_held : int, optional
        How many folds, the first ones, may be held out; all by default.
    """

    def __init__(
        self,
        n_columns: int,
        n_folds: int,
        mapped: Callable[..., Iterator[Any]] = map,
        n_held: int | None = None,
    ) -> None:
        self._mapped = mapped
        self._n_held = n_folds if n_held is None else n_held
        self._gram = np.zeros((n_folds, n_columns, n_columns))
        self._whole = True  # and not its upper panels alone
        self.moment = np.zeros((n_folds, n_columns))
        self.square = np.zeros(n_folds)
        self.count = np.zeros(n_folds, dtype=int)

    def add(self, fold: int, rows: Floats, values: Floats) -> None:
        """Add points: rows (n, columns) and values (n,)."""
        gram = self._gram[fold]

        def add_panel(panel: slice) -> None:
            gram[panel, panel.start :] += rows[:, panel].T @ rows[:, panel.start :]

        for _ in self._mapped(add_panel, self._panels):
            pass
        self._whole = False
        self.moment[fold] += rows.T @ values
        self.square[fold] += values @ values
        self.count[fold] += len(values)

    @property
    def gram(self) -> Floats:
        """np.ndarray: Sums (folds, columns, columns) of the products of two columns."""
        if not self._whole:
            for panel in self._panels:
                right = self._gram[:, panel, panel.stop :]
                self._gram[:, panel.stop :, panel] = right.transpose(0, 2, 1)
            self._whole = True
        return self._gram

    @property
    def _panels(self) -> list[slice]:
        n = self._gram.shape[1]
        return [slice(start, min(start + _PANEL, n)) for start in range(0, n, _PANEL)]

    @property
    def scale(self) -> Floats:
        """np.ndarray: The mean square of each column."""
        return np.einsum("fii->i", self.gram) / max(self.count.sum(), 1)

    @property
    def folds(self) -> list[int]:
        """Those that can be held out, for they hold points, and others do, too."""
        there = np.flatnonzero(self.count).tolist()
        return [fold for fold in there if fold < self._n_held] if len(there) > 1 else []

    def solve(self, penalty: Floats, without: int | None = None) -> tuple[Floats, float]:
        """Solve for the coefficients (columns,), with their condition number.

        Columns of zeros, as of an element without atoms, get zero.

        Parameters
        ----------
        penalty : np.ndarray
            (columns,) what a column's squared coefficient costs, for one point.
        without : int, optional
            A fold that is left out.
        """
        used = [f for f in range(len(self.count)) if f != without]
        factor, scale, norm = self._factorised(penalty, used)
        if factor is None:
            return np.full(len(scale), np.nan), np.inf
        lapack = _lapack()
        moment = self.moment[used].sum(axis=0) / (self.count[used].sum() * scale)
        found, _ = lapack.dpotrs(factor, moment, lower=True)
        reciprocal, _ = lapack.dpocon(factor, norm, uplo="L")
        return found / scale, 1.0 / max(float(reciprocal), np.finfo(float).tiny)

    def inverse(self, penalty: Floats) -> Callable[[slice], Floats] | None:
        """What gives columns of the inverse of the matrix that :meth:`solve` solves with.

        Parameters
        ----------
        penalty : np.ndarray
            As there.

        Returns
        -------
        callable or None
            Of a slice of size n an array (columns, n); None where the matrix has no inverse.
        """
        factor, scale, _ = self._factorised(penalty, list(range(len(self.count))))
        if factor is None:
            return None

        def columns(part: slice) -> Floats:
            found, _ = _lapack().dpotrs(factor, np.eye(len(scale))[:, part], lower=True)
            inverse: Floats = found / (scale[:, None] * scale[part])
            return inverse

        return columns

    def _factorised(self, penalty: Floats, used: list[int]) -> tuple[Floats | None, Floats, float]:
        """Cholesky's factor of the matrix of some folds, the root of its diagonal, and a norm.

        The matrix is divided by this root from both sides; the norm is what is left of it.
        """
        gram = np.zeros(self.gram.shape[1:], order="F")  # in which it is factorised in place
        for f in used:
            gram += self.gram[f]
        gram /= self.count[used].sum()
        # of columns of which nothing is known the ridge is all there is
        diagonal = np.diag(gram) + penalty
        scale = np.sqrt(np.where(diagonal > 0.0, diagonal, 1.0))
        gram /= scale
        gram /= scale[:, None]
        gram[np.diag_indices_from(gram)] = 1.0
        norm = max(float(np.abs(column).sum()) for column in gram.T)
        factor, failed = _lapack().dpotrf(gram, lower=True, overwrite_a=True)
        return None if failed else factor, scale, norm

    def squares(self, coefficients: Floats, fold: int) -> float:
        """The sum of the squared errors of the points of a fold."""
        error = coefficients @ self.gram[fold] @ coefficients
        return max(self.square[fold] + error - 2.0 * coefficients @ self.moment[fold], 0.0)

    def held_out(self, penalty: Floats) -> float:
        """Root mean square error of the points of each fold by the fit of the others."""

        def of_fold(fold: int) -> float:
            return self.squares(self.solve(penalty, without=fold)[0], fold)

        # each holds a matrix
        mapped = self._mapped if self.gram.nbytes < _MEMORY else map
        folds = self.folds
        return float(np.sqrt(sum(mapped(of_fold, folds)) / self.count[folds].sum()))


def _lapack() -> Any:
    """LAPACK of scipy, which is slow to import."""
    from scipy.linalg import lapack

    return lapack


def choose(
    equations: NormalEquations,
    costs: Floats,
    products: Booleans,
    strength: float | None = None,
    tolerance: float = 0.0,
    told: Callable[[Ridge, float], None] = lambda ridge, error: None,
) -> Solution:
    """Fit, with the ridge whose held-out error is least, or nearly so.

    Parameters
    ----------
    equations : NormalEquations
        Where no fold can be held out, the strength is 1e-6 unless it is given.
    costs : np.ndarray
        (columns,) s.
    products : np.ndarray
        (columns,) bool: those that get a weight of their own.
    strength : float, optional
        Of the ridge, where it is not to be chosen.
    tolerance : float
        The strongest ridge is taken whose held-out error is larger than the least by no more
        than this share: what is held out may be more like the rest than structures to come.
    told : callable
        Is told of each ridge that is tried, and its held-out error.

    Returns
    -------
    Solution

    Raises
    ------
    ChargeError
        If the system cannot be solved.
    """

    def penalty(ridge: Ridge) -> Floats:
        return ridge.penalty(costs, products)

    errors: dict[Ridge, float] = {}

    def error(ridge: Ridge) -> float:
        if ridge not in errors:
            errors[ridge] = equations.held_out(penalty(ridge))
            told(ridge, errors[ridge])
        return errors[ridge]

    several = bool(equations.folds)
    if strength is not None or not several:
        ridge = Ridge(_UNTRIED if strength is None else strength)
        held_out = equations.held_out(penalty(ridge)) if several else np.nan
    else:
        ridge = _best(error, (Ridge(s) for s in _STRENGTHS))
        if ridge.strength == _STRENGTHS[0]:
            ridge = _best(error, (Ridge(s) for s in STRONGER))
        if products.any():
            ridge = _best(error, (Ridge(ridge.strength, w) for w in _WEIGHTS))
        # the others may want less than products do
        held = ridge.strength * ridge.weight
        if products.any():
            ridge = _best(error, iter([_with_held(ridge, f) for f in _LESS]))
            ridge = _best(error, iter([_with_held(ridge, f) for f in _FINER]))
        else:
            ridge = _best(error, iter([Ridge(ridge.strength * f) for f in _FINER]))
        enough = (1.0 + tolerance) * error(ridge)
        alike = [ridge]
        for other, its in errors.items():
            same = not products.any() or abs(other.strength * other.weight - held) < 1e-6 * held
            if same and its <= enough:
                alike.append(other)
        ridge = max(alike, key=lambda r: r.strength)
        held_out = errors[ridge]
    found, condition = equations.solve(penalty(ridge))
    while strength is None and condition * _SINGULAR > 1.0 and ridge.strength < _STRENGTHS[0]:
        # of data without noise the least ridge is the best one
        ridge = Ridge(10.0 * ridge.strength, ridge.weight)
        held_out = error(ridge) if several else np.nan
        found, condition = equations.solve(penalty(ridge))
    if not np.isfinite(found).all() or condition * _SINGULAR > 1.0:
        raise ChargeError(
            f"the least-squares fit cannot be solved (condition number {condition:.0e}): give more "
            "points, or lower model/descriptor/n_radial, n_channel or order"
        )
    total = sum(equations.squares(found, f) for f in range(len(equations.count)))
    rmse = float(np.sqrt(total / equations.count.sum()))
    return Solution(found, ridge, rmse, float(held_out), condition)


def _with_held(ridge: Ridge, factor: float) -> Ridge:
    """The ridge with another strength, that of products held."""
    return Ridge(ridge.strength * factor, ridge.weight / factor)


def _best(error: Callable[[Ridge], float], tried: Iterator[Ridge]) -> Ridge:
    """The ridge of the least error, tried in order until it has risen twice."""
    best = next(tried)
    worse = 0
    for ridge in tried:
        if not error(ridge) < error(best):
            worse += 1
            if worse == 2:
                break
        else:
            best, worse = ridge, 0
    return best
