# SPDX-License-Identifier: LGPL-3.0-or-later
"""Sizes of grids."""

import math

__all__ = ["fft_size"]


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
