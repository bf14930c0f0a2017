# SPDX-License-Identifier: LGPL-3.0-or-later
"""Functions of a distance as polynomials, on intervals as short as each place needs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any, TypeAlias

import numpy as np

from ..typing import Floats, Integers

__all__ = ["Cells", "Table", "Unresolved", "tabulate"]

# Cells of equal width from zero, or a break, to the next break or the end.
_CELLS = 64
# A table is given up where it would grow beyond so many intervals, or, if there are
# many functions, beyond so many numbers, and then not before it has some intervals.
_MOST_INTERVALS, _MOST_NUMBERS, _SOME_INTERVALS = 2**15, 2**23, 2**10
# Values, and points, that are computed at a time.
_VALUES, _POINTS = 2**20, 2**14


# Of distances (n,), with values (n, m).
Functions: TypeAlias = Callable[[Floats], Floats]


class Unresolved(Exception):
    """No table of a sensible size has the functions to the tolerance."""


class Cells:
    """Where on 0 <= r <= end a distance stands, without a search.

    Parameters
    ----------
    ends : list of float
        The breaks, where derivatives may jump, and the end, in ascending order.

    Attributes
    ----------
    edges : np.ndarray
        (cells + 1,) in A.
    """

    def __init__(self, ends: list[float]) -> None:
        self._stretches = list(pairwise([0.0, *ends]))
        parts = [np.linspace(*s, _CELLS, endpoint=False) for s in self._stretches]
        self.edges = np.concatenate([*parts, ends[-1:]])

    def place(self, xp: Any, r: Any) -> Any:
        """The number of the cell and the share of it that lies below r, added up.

        Beyond the end it stays in the last cell.
        """
        place = r * (_CELLS / self._stretches[0][1])
        for k, (low, high) in enumerate(self._stretches[1:], start=1):
            place = xp.where(r < low, place, (r - low) * (_CELLS / (high - low)) + k * _CELLS)
        return xp.minimum(place, np.nextafter(len(self.edges) - 1.0, 0.0))


class Table:
    r"""Continuous piecewise polynomials.

    A cell has n intervals of equal length. On interval i of a cell of which
    the share s lies below r,

    .. math:: f(r) = \sum_k c_k t^k, \qquad t = n s - i - 1/2, \; i = \lfloor n s \rfloor

    Attributes
    ----------
    cells : Cells
    counts, first : np.ndarray
        (cells,) number of intervals of each cell, and the first of them.
    coefficients : np.ndarray
        (intervals, degree + 1, functions)
    """

    def __init__(self, cells: Cells, counts: Integers, coefficients: Floats) -> None:
        self.cells = cells
        self.counts = counts
        self.first = np.cumsum(counts) - counts
        self.coefficients = coefficients

    def __call__(self, r: Floats) -> Floats:
        """The functions (n, m) at distances (n,)."""
        place = self.cells.place(np, r)
        cell = place.astype(int)
        place = (place - cell) * self.counts[cell]
        interval = place.astype(int)
        t = (place - interval - 0.5)[:, None]
        *rest, value = self.coefficients[self.first[cell] + interval].swapaxes(0, 1)
        for c in reversed(rest):
            value = value * t + c
        return value


def tabulate(
    functions: Functions,
    end: float,
    degree: int,
    tolerance: float,
    breaks: Sequence[float] = (),
) -> Table:
    """Approximate functions on 0 <= r <= end by a :class:`Table`.

    An interval's polynomial goes through its Chebyshev-Lobatto points, so that
    neighbours agree where they meet. It is compared with the functions between
    these, and at points at random; where one of them is not met the cell is
    divided further.

    Parameters
    ----------
    functions : callable
        Takes distances (n,) and gives (n, m) values, float64.
    end : float
        Where the table ends.
    degree : int
        Of the polynomials.
    tolerance : float
        Largest error of each function, as a share of its largest value on the
        interval plus its mean absolute value in the sphere.
    breaks : list of float
        Where between 0 and the end derivatives of the functions jump, ascending.

    Returns
    -------
    Table

    Raises
    ------
    Unresolved
        If it would need too many intervals, or a value is not finite.
    """
    cells = Cells([*breaks, end])
    low, widths = cells.edges[:-1], np.diff(cells.edges)
    fit = _Fit(functions, degree, _mean_in_sphere(functions, low, widths))
    most = max(_SOME_INTERVALS, _MOST_NUMBERS // ((degree + 1) * fit.n_functions))
    most = min(most, _MOST_INTERVALS)
    counts = np.ones(len(low), int)
    pieces: dict[int, Floats] = {}
    todo = np.arange(len(low))
    least = 1.0
    while len(todo):
        if counts.sum() > most:
            raise Unresolved(
                f"{most} intervals do not resolve the radial functions to {tolerance:g}"
            )
        n = counts[todo]
        begin = np.cumsum(n) - n
        step = np.repeat(widths[todo] / n, n)
        number = np.arange(n.sum()) - np.repeat(begin, n)
        coefficients, errors = fit(np.repeat(low[todo], n), number, step)
        pieces.update(zip(todo.tolist(), np.split(coefficients, begin[1:]), strict=True))
        # where it was not looked at the error may be larger
        excess = 2.0 * np.maximum.reduceat(errors, begin) / tolerance
        # the error of a smooth function falls with this power of the number of intervals;
        # what is not smooth comes to an end, too
        least += 0.1
        growth = np.maximum(np.minimum(1.05 * excess ** (1.0 / (degree + 1)), 4.0), least)
        more = excess > 1.0
        todo, n = todo[more], np.ceil(n * growth)[more]
        counts[todo] = n
    return Table(cells, counts, np.concatenate([pieces[cell] for cell in range(len(low))]))


class _Fit:
    """Polynomials of functions on intervals, and their errors."""

    def __init__(self, functions: Functions, degree: int, typical: Floats) -> None:
        self._functions = functions
        self._typical = typical
        self.n_functions = len(typical)
        self._nodes = -0.5 * np.cos(np.pi * np.arange(degree + 1) / degree)
        self._solve = np.linalg.inv(np.vander(self._nodes, increasing=True))
        self._between = 0.5 * (self._nodes[1:] + self._nodes[:-1])
        self._rng = np.random.default_rng(0)

    def __call__(self, low: Floats, number: Integers, step: Floats) -> tuple[Floats, Floats]:
        """Coefficients (n, degree + 1, m) and errors (n,) on so many steps from a low end on."""
        points = 2 * len(self._nodes) + 2
        size = max(1, min(_POINTS, _VALUES // self.n_functions) // points)
        parts = [slice(k, k + size) for k in range(0, len(low), size)]
        found = [self._batch(low[p, None], number[p, None], step[p, None]) for p in parts]
        coefficients, errors = zip(*found, strict=True)
        return np.concatenate(coefficients), np.concatenate(errors)

    def _batch(self, low: Floats, number: Integers, step: Floats) -> tuple[Floats, Floats]:
        random = self._rng.uniform(-0.5, 0.5, (len(low), 3))
        between = np.broadcast_to(self._between, (len(low), len(self._between)))
        t = np.concatenate([between, random], axis=1)
        values = self._at(low + (number + 0.5 + self._nodes) * step)
        exact = self._at(low + (number + 0.5 + t) * step)
        coefficients = self._solve @ values
        found = t[..., None] ** np.arange(len(self._nodes)) @ coefficients
        scale = np.maximum(np.abs(values).max(axis=1), np.abs(exact).max(axis=1)) + self._typical
        # of a function that is zero everywhere the error is zero
        error = np.abs(found - exact).max(axis=1) / (scale + np.finfo(float).tiny)
        return coefficients, error.max(axis=1)

    def _at(self, r: Floats) -> Floats:
        return _values(self._functions, r.reshape(-1)).reshape(*r.shape, -1)


def _values(functions: Functions, r: Floats) -> Floats:
    with np.errstate(all="ignore"):
        values = functions(r)
    if not np.isfinite(values).all():
        raise Unresolved("the radial functions are not finite everywhere")
    return values


def _mean_in_sphere(functions: Functions, low: Floats, widths: Floats) -> Floats:
    """Mean absolute values (m,) over a sphere whose radius is where the cells end."""
    share = (np.arange(4) + 0.5) / 4
    r = (low[:, None] + share * widths[:, None]).reshape(-1)
    weight = r * r * np.repeat(widths, 4)
    return weight @ np.abs(_values(functions, r)) / weight.sum()
