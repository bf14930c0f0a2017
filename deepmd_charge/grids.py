# SPDX-License-Identifier: LGPL-3.0-or-later
"""Sizes and origins of grids."""

import math
import operator

import numpy as np

from .errors import ChargeError

__all__ = ["check_grid", "check_origin", "fft_size"]


def check_grid(atoms, grid):
    """Return a grid as a tuple of int, or raise ChargeError where it cannot be."""
    try:
        shape = tuple(operator.index(n) for n in grid)
    except TypeError:
        shape = ()
    if len(shape) != 3 or min(shape) < 1:
        raise ChargeError(f"grid {grid!r}: give three counts of at least 1")
    if atoms.cell.rank < 3:
        raise ChargeError("the structure has no cell of three vectors; add one")
    return shape


def check_origin(origin):
    """Return an origin as an array (3,), A, or raise ChargeError where it cannot be."""
    try:
        point = np.array(origin, dtype=np.float64)
    except (TypeError, ValueError):
        point = np.empty(0)
    if point.shape != (3,) or not np.isfinite(point).all():
        raise ChargeError("an origin is three finite numbers in A: give x, y and z")
    return point


def fft_size(points):
    """Round up to the next product of 2, 3, 5 and 7, which FFTs like best.

    Parameters
    ----------
    points : float
        Smallest size; a millionth of it is allowed for rounding errors.

    Returns
    -------
    int
    """
    size = max(1, math.ceil(points * (1.0 - 1e-6)))
    while not _is_smooth(size):
        size += 1
    return size


def _is_smooth(number):
    for prime in (2, 3, 5, 7):
        while number % prime == 0:
            number //= prime
    return number == 1
