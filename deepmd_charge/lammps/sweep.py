# SPDX-License-Identifier: LGPL-3.0-or-later
r"""A grid as a sparse lattice of probes and the places to which it moves.

Along each axis of a grid of n points stand p probes, a stride of k points
apart, :math:`p = \lceil n / k \rceil`. Probe j visits the points
:math:`jk + o`, :math:`0 \le o < k`; those at n and beyond, which the last
probes visit where k does not divide n, belong to no point of the grid.

They go to and fro along the third axis, then the second: from one step to the
next a probe moves by one grid point, and it never leaves the stride beyond
which the next probe began.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..typing import ArrayLike, Booleans, Integers

__all__ = ["Sweep", "choose_stride"]

# Work of one step that no probe does, as a share of that of all probes.
_STEP_COST = 1 / 16


class Sweep:
    """The steps in which probes visit every point of a grid.

    Parameters
    ----------
    grid : tuple of int
        Number of points along each axis.
    stride : tuple of int
        Number of points from one probe to the next along each axis.

    Attributes
    ----------
    probes : tuple of int
        Number of probes along each axis; they are numbered in C order.
    n_steps : int
        Number of places of each probe.
    """

    def __init__(self, grid: Sequence[int], stride: Sequence[int]) -> None:
        self.grid = tuple(grid)
        self.stride = tuple(stride)
        self.probes = tuple(-(-n // k) for n, k in zip(grid, stride, strict=True))
        self.n_probes = math.prod(self.probes)
        self.n_steps = math.prod(stride)

    def offset(self, step: int) -> tuple[int, int, int]:
        """Where the probes are in a step, (o1, o2, o3) points from their first places."""
        _, k2, k3 = self.stride
        row, o3 = divmod(step, k3)
        o1, o2 = divmod(row, k2)
        return o1, o2 if o1 % 2 == 0 else k2 - 1 - o2, o3 if row % 2 == 0 else k3 - 1 - o3

    def indices(self, step: int) -> tuple[Integers, ...]:
        """Grid indices that the probes visit in a step, along each axis.

        Returns
        -------
        tuple of numpy.ndarray
            Three arrays of at most as many indices as there are probes along
            the axis; where one is shorter, the last probes visit no point.
        """
        axes = zip(self.offset(step), self.grid, self.stride, strict=True)
        return tuple(np.arange(o, n, k) for o, n, k in axes)


def choose_stride(
    grid: Sequence[int],
    lengths: ArrayLike,
    most: int,
    still: Sequence[bool] | Booleans = (False, False, False),
) -> tuple[int, ...]:
    """Choose strides that leave at most so many probes.

    Parameters
    ----------
    grid : tuple of int
        Number of points along each axis.
    lengths : array_like
        (3,) lengths of the grid along its axes, A.
    most : int
        Number of probes that must not be exceeded.
    still : tuple of bool
        Axes along which no probe may move.

    Returns
    -------
    tuple of int
        Of the strides with about the least work, those with which no probe
        goes far.
    """
    choices = [
        np.unique(-(-n // np.arange(1, n + 1))) if not fixed else np.array([n])
        for n, fixed in zip(grid, still, strict=True)
    ]  # numbers of probes
    probes = np.stack(np.meshgrid(*choices, indexing="ij"), -1).reshape(-1, 3)
    count = probes.prod(axis=1)
    probes = probes[count <= max(most, count.min())]
    stride = -(-np.asarray(grid) // probes)
    work = stride.prod(axis=1) * (probes.prod(axis=1) + _STEP_COST * most)
    span = (stride * (np.asarray(lengths) / grid)).max(axis=1)
    span[work > 1.1 * work.min()] = np.inf
    best = np.lexsort((work, span))[0]
    return tuple(int(k) for k in stride[best])
