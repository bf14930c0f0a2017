# SPDX-License-Identifier: LGPL-3.0-or-later
"""Grids of which points were left out, so that number times step is no period.

CP2K's STRIDE s writes every s-th of n points; where s does not divide n, the cell ends k/s of a
step behind the last of them. Between planes at their right places cubic polynomials through the
neighbours of a gap miss the planes at its ends by least; and the integral over the right cell, by
a periodic spline through the points, is a whole number of electrons.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

import numpy as np

from ...grid.density import Density
from ...typing import Floats

__all__ = ["Shorter", "find_shorter"]

STRIDES = 2, 3, 4
FINE = 0.4  # A: the polynomials do not tell of larger steps
SURE = 0.05  # electrons: where less are in question polynomials and the integral decide together
WHOLE = 0.02  # electrons; points that are not evenly spaced cost digits


class Shorter(NamedTuple):
    """A cell that ends earlier than number times step of a grid."""

    cell: Floats  # A
    electrons: float
    is_seen: bool  # by the polynomials alone, whatever the electrons

    @property
    def miss(self) -> float:
        """float: Electrons from a whole number."""
        return abs(self.electrons - round(self.electrons))

    @property
    def is_whole(self) -> bool:
        """bool: Whether it holds a whole number of electrons."""
        return self.miss < WHOLE


def find_shorter(density: Density) -> Shorter | None:
    """Find the period of a grid with left-out points: of those that may be the best.

    Parameters
    ----------
    density : Density
        Only along its periodic axes the last step may be a shorter one.

    Returns
    -------
    Shorter or None
        None where the grid is seen to be one period.
    """
    fine = density.atoms.cell.lengths() <= FINE * np.array(density.shape)
    found = []
    for stride in STRIDES if fine.all() else STRIDES[:1]:
        choices = [
            (_last_steps(density, axis, stride) if fine[axis] else {1.0, 0.5}) if pbc else {1.0}
            for axis, pbc in enumerate(density.atoms.pbc)
        ]
        uneven = (steps for steps in product(*choices) if min(steps) < 1)
        found += [_shorter(density, steps, fine.all()) for steps in uneven]
    return min(found, key=lambda one: one.miss, default=None)


def _last_steps(density: Density, axis: int, stride: int) -> set[float]:
    """How many steps, k/stride, it may be from the last plane to the first of the next period."""
    planes = np.moveaxis(density.values, axis, 0)
    if len(planes) < 4:
        return {1.0}
    slab = (planes[0].mean() + planes[-1].mean()) / 2 * density.volume / len(planes)
    steps = [k / stride for k in range(stride, 0, -1)]
    best = min(steps, key=lambda step: _miss(planes, step))
    return {best} if slab * (1 - best) > SURE else {best, 1.0}


def _miss(planes: Floats, step: float) -> float:
    """How much the planes at a gap of so many steps miss polynomials through their neighbours."""
    places = np.array([-1 - step, -step, 1.0, 2.0])
    miss = 0.0
    for end in (planes, planes[::-1]):
        expected = np.zeros(planes.shape[1:])
        for k, neighbour in enumerate((-2, -1, 1, 2)):
            rest = np.delete(places, k)
            expected = expected + np.prod(rest / (rest - places[k])) * end[neighbour]
        miss += float(np.square(expected - end[0]).sum())
    return miss


def _shorter(density: Density, steps: Sequence[float], is_seen: bool) -> Shorter:
    """The cell of a grid whose last step along each axis is a shorter one."""
    shape = np.array(density.shape)
    weights = [
        np.ones(n) if g == 1 else _spline_weights(n, g) for n, g in zip(shape, steps, strict=True)
    ]
    total = np.einsum("xyz,x,y,z->", density.values, *weights, optimize=True)
    cell = density.atoms.cell.array * ((shape - 1 + steps) / shape)[:, None]
    return Shorter(cell, float(total) / shape.prod() * density.volume, bool(is_seen))


def _spline_weights(n: int, last: float) -> Floats:
    """Weights of points with unit steps, but for the one from the last to the first again."""
    from scipy.interpolate import CubicSpline

    places = np.append(np.arange(n), n - 1 + last)
    units = np.vstack([np.eye(n), np.eye(n)[:1]])
    return CubicSpline(places, units, bc_type="periodic").integrate(0, n - 1 + last)
