# SPDX-License-Identifier: LGPL-3.0-or-later
"""Values on a periodic grid, moved to another grid by Fourier interpolation."""

from __future__ import annotations

from collections.abc import Iterable
from typing import SupportsIndex

import numpy as np

from ..typing import ArrayLike, Floats
from .grid import check_shape


def fourier_interpolate(values: ArrayLike, shape: Iterable[SupportsIndex]) -> Floats:
    """Sample the trigonometric polynomial through periodic values on another grid.

    Along an axis of n points the values f_j are taken as::

        f(x) = sum_{|k| <= n/2} c_k exp(2 pi i k x),    f_j = f(j/n),

    where for even n the two waves k = +-n/2, which the grid cannot tell apart,
    share one coefficient equally (this keeps f real). Waves with ``|k| > m/2`` are
    left out, where m is the new number of points, and the rest is sampled at
    j/m. So the mean, hence the number of electrons, stays as it is; a function
    whose waves fit both grids is met exactly; and a finer grid and back gives
    the values again.

    Parameters
    ----------
    values : array_like, shape (nx, ny, nz)
        Real values at (i/nx, j/ny, k/nz) of the cell vectors.
    shape : sequence of int, length 3
        The other grid.

    Returns
    -------
    numpy.ndarray of float64, shape ``shape``
        Values at (i/mx, j/my, k/mz). Where the shape is the same, `values`.

    Raises
    ------
    ChargeError
        If `shape` is not three positive integers.
    """
    moved: Floats = np.asarray(values, dtype=np.float64)
    counts = check_shape(shape)
    # a tensor product; shrinking axes first is less work
    for axis in sorted(range(3), key=lambda axis: counts[axis] / moved.shape[axis]):
        moved = _interpolate(moved, axis, counts[axis])
    return moved


def _interpolate(values: Floats, axis: int, m: int) -> Floats:
    n = values.shape[axis]
    if m == n:
        return values
    from scipy import fft

    waves = fft.rfft(values, axis=axis, norm="forward")
    # irfft cuts or pads, and takes the last wave of an even grid once; inside
    # a grid a wave of that number counts twice, as k and -k
    last = min(m, n) // 2
    if min(m, n) % 2 == 0:
        waves[(slice(None),) * axis + (last,)] *= 0.5 if m > n else 2.0
    return fft.irfft(waves, m, axis=axis, norm="forward", overwrite_x=True)
