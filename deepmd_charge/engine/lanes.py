# SPDX-License-Identifier: LGPL-3.0-or-later
"""Compiled functions of many points side by side, and the atoms around them."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..atoms.images import Bins, Images
from ..typing import Floats, Integers
from .kernel import Kernel, Writer
from .symbols import Value

__all__ = ["LaneKernel", "LaneWriter", "grouped"]

# Points farther apart than about this (A) are not evaluated together.
_SPREAD = 3.0
# Points less than this apart along an axis (A) are in one plane.
_CLOSE = 1e-4
# Points whose distances are looked at for the spacings of a grid.
_LOOKED_AT = 4096
# Bits of the number of a cell along each axis, of a space-filling curve.
_BITS = 10


class LaneKernel(Kernel):
    """A compiled program that evaluates as many points at a time as there are in a vector."""

    def __init__(self, width: int, *program: Any) -> None:
        super().__init__(*program)
        self._width = width

    def at(self, points: Floats, images: Images, bins: Bins, *arrays: NDArray[Any]) -> Floats:
        """Values (n,) at wrapped points (n, 3), A, around `images`; else as for a kernel's call."""
        index = grouped(images.along(points), self._width)
        values = np.empty(len(points))
        together = np.ascontiguousarray(points.T).take(index, axis=1)
        values[index] = self.run(together, len(index), bins, *arrays)
        return values


def grouped(along: Floats, width: int) -> Integers:
    """Sort points into groups that lie close together.

    Parameters
    ----------
    along : np.ndarray
        (n, 3) coordinates, A, along axes on which the points may be a grid.
    width : int
        How many points make a group.

    Returns
    -------
    np.ndarray
        (groups * width,) numbers of points; a group that lacks points has its last one again.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        axes = np.array(along.T, order="C")
        axes -= axes.min(axis=1, keepdims=True)
        axes = axes.astype(np.float32)  # the order needs no more digits
        steps = _steps(axes)
        # numbers that are too large for an integer come to some integer, too
        cells = np.rint(axes * (1.0 / steps)[:, None]).astype(np.int32)
    number = _interleaved(cells & (1 << _BITS) - 1)
    if number.max() < 1 << 16:
        number = number.astype(np.uint16)  # is sorted in less time
    order = np.argsort(number, kind="stable")
    tile = number[order] >> 3 * int(max(np.log2(_SPREAD / steps.max()), 0.0))
    stop = np.append(np.flatnonzero(tile[1:] != tile[:-1]) + 1, len(order))
    first = np.append(0, stop[:-1])
    groups = -(-(stop - first) // width)
    begin = np.arange(groups.sum()) - np.repeat(np.cumsum(groups) - groups, groups)
    begin = np.repeat(first, groups) + width * begin
    last = np.repeat(stop, groups) - 1
    members = np.minimum(begin[:, None] + np.arange(width), last[:, None])
    return order[members.reshape(-1)]


def _steps(axes: Floats) -> Floats:
    """Sizes (3,), A, of cells that hold about one point: of a grid in any order its spacings."""
    n = axes.shape[1]
    extent = axes.max(axis=1)
    wide = extent > _CLOSE  # not along the normal of a plane
    typical = (np.prod(extent[wide], dtype=float) / n) ** (1.0 / max(wide.sum(), 1))
    apart = np.abs(np.diff(axes[:, :_LOOKED_AT], axis=1))
    steps = np.where(apart > _CLOSE, apart, np.inf).min(axis=1, initial=np.inf)
    seen = np.isfinite(steps)
    steps[~seen] = steps[seen].max(initial=0.5 * typical)
    return np.clip(steps, 0.5 * typical, _SPREAD)


def _interleaved(cells: Integers) -> Integers:
    """Numbers (n,) of cells (3, n) on a curve that fills space: their bits by turns."""
    for shift, mask in ((16, 0x030000FF), (8, 0x0300F00F), (4, 0x030C30C3), (2, 0x09249249)):
        cells = (cells | cells << shift) & mask
    return cells[0] << 2 | cells[1] << 1 | cells[2]


class LaneWriter(Writer):
    """Writes the program of a function of vectors of points; for the rest see its base.

    The points are (3, n), n a multiple of the vectors' width, each vector's close together.
    """

    def compile_lanes(self, tables: list[NDArray[Any]]) -> LaneKernel:
        """Compile what is written: see :meth:`.Writer.compile`."""
        return LaneKernel(self.p.width, self.p.compile(), tables, self.scratch.bytes)

    @contextmanager
    def each_vector(self) -> Iterator[tuple[Value, list[Value], Value]]:
        """Write what follows for every vector: its first point, places, count of candidates."""
        p = self.p
        points, n = p.array("points", p.double), p.integer("n")
        with p.loop(0, n, p.width) as i:
            low, high = [], []
            for k in range(3):
                least = most = points[k * n + i]
                for lane in range(1, p.width):
                    x = points[k * n + (i + lane)]
                    least, most = p.minimum(x, least), p.maximum(x, most)
                low.append(least)
                high.append(most)
            candidates = self.candidates(low, high)
            yield i, [points.vector(k * n + i, p.width) for k in range(3)], candidates
