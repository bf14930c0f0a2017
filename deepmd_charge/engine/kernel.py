# SPDX-License-Identifier: LGPL-3.0-or-later
"""Compiled functions of a point and the atoms around it: see :class:`Writer`.

For every point the order of the operations is the same whatever other points
are evaluated with it, so that its value is the same to the last bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..atoms.images import Bins
from ..typing import Floats, Integers
from .compiler import Machine, Program
from .layout import round_up
from .symbols import Array, Type, Value

__all__ = ["Kernel", "Writer"]

# Points in one cube of this width (A) share a list of candidate neighbours.
_TILE = 0.5

# Bytes in a line of the cache, or more.
_LINE = 64

_INPUTS = ["points", "n", "atoms", "labels", "starts", "frame", "dims"]
_OUTPUTS = ["work", "capacity", "values"]


class Kernel:
    """The compiled program with its tables; :meth:`__call__` evaluates points."""

    def __init__(
        self,
        call: Callable[..., int],
        arrays: list[NDArray[Any]],
        scratch: Callable[[int], int],
    ) -> None:
        self._call, self._scratch = call, scratch
        self._arrays = [_aligned(array) for array in arrays]
        self._capacity = 256  # for candidate neighbours; grows when it must

    def __call__(self, points: Floats, bins: Bins, *arrays: NDArray[Any]) -> Floats:
        """Values (n,) at points.

        Parameters
        ----------
        points : np.ndarray
            (n, 3) float64 wrapped positions, A.
        bins : Bins
            The atoms, with periodic images as far as the function reaches.
        *arrays : np.ndarray
            What else the program knows of the structure.
        """
        order = _by_tiles(points)
        values = np.empty(len(points))
        values[order] = self.run(points[order], len(points), bins, *arrays)
        return values

    def run(self, points: Floats, n: int, bins: Bins, *arrays: NDArray[Any]) -> Floats:
        """Values (n,) at points in the order and layout of the program; else as for a call."""
        values = np.empty(n)
        while True:
            capacity = self._capacity
            work = _aligned(np.zeros(self._scratch(capacity), np.uint8))
            more = self._call(
                points, n, *bins.arrays, *self._arrays, *arrays, work, capacity, values
            )
            if not more:
                return values
            self._capacity = max(self._capacity, round_up(2 * more, 64))


def _aligned(array: NDArray[Any]) -> NDArray[Any]:
    """The same numbers from where a line of the cache begins, lest vectors lie across two."""
    room = np.zeros(array.nbytes + _LINE, np.uint8)
    begin = -room.ctypes.data % _LINE
    out = room[begin : begin + array.nbytes].view(array.dtype).reshape(array.shape)
    out[...] = array
    return out


def _by_tiles(points: Floats) -> Integers:
    """An order of points, tile by tile; where numbers are too large for that, it is only slower."""
    cubes = np.floor(points / _TILE)
    cubes -= cubes.min(axis=0)
    extent = cubes.max(axis=0) + 1.0
    return np.argsort((cubes[:, 0] * extent[1] + cubes[:, 1]) * extent[2] + cubes[:, 2])


class Scratch:
    """Arrays in one piece of memory, laid out while the program is written.

    Sizes are numbers, or numbers times the capacity for candidate neighbours.
    """

    def __init__(self, program: Program, work: Array, capacity: Value) -> None:
        self._program, self._work, self._capacity = program, work, capacity
        self._fixed, self._scaled = 0, 0

    def array(self, element: Type, count: int = 0, per_candidate: int = 0) -> Array:
        """An array of so many elements, and so many more for each candidate."""
        p = self._program
        size = p.size(element)
        byte = self._capacity * self._scaled + self._fixed
        self._fixed += round_up(count * size, 64)
        self._scaled += per_candidate * size
        return self._work.bytes_at(byte, element)

    def bytes(self, capacity: int) -> int:
        """How much memory it is."""
        return self._scaled * capacity + self._fixed + 64


class Writer:
    """Writes the program of a function of a point; a subclass says what is done at each.

    Parameters
    ----------
    name : str
        Its name.
    tables : list of str
        Names of its constants, then of what else it knows of a structure.
    reach : float
        How far a point sees, A.
    real : {"float32", "float64"}
        The type of the program's real numbers.
    """

    def __init__(self, name: str, tables: list[str], reach: float, real: str) -> None:
        self.p = p = Program(name, [*_INPUTS, *tables, *_OUTPUTS], Machine(), real)
        self._reach = reach
        self.scratch = s = Scratch(p, p.array("work", p.int64), p.integer("capacity"))
        # candidates: positions, labels
        self.x, self.y, self.z = (s.array(p.double, 0, 1) for _ in range(3))
        self.label = s.array(p.int32, 0, 1)

    def compile(self, tables: list[NDArray[Any]]) -> Kernel:
        """Compile what is written.

        Parameters
        ----------
        tables : list of np.ndarray
            The constants.

        Returns
        -------
        Kernel
        """
        return Kernel(self.p.compile(), tables, self.scratch.bytes)

    @contextmanager
    def each_point(self) -> Iterator[tuple[Value, list[Value], Value]]:
        """Write what follows for every point: its number, place, and candidates in full vectors."""
        p = self.p
        points, n = p.array("points", p.double), p.integer("n")
        tile = [p.variable(0.0, p.double) for _ in range(3)]
        candidates = p.variable(0, p.int64)
        with p.loop(0, n) as i:
            point = [points[3 * i + k] for k in range(3)]
            corner = [p.floor(x * (1.0 / _TILE)) * _TILE for x in point]
            moved = [new.differs(old.value) for new, old in zip(corner, tile, strict=True)]
            with p.when((i < 1) | moved[0] | moved[1] | moved[2]):
                for old, new in zip(tile, corner, strict=True):
                    old.value = new
                count = self.candidates(corner, [x + _TILE for x in corner])
                candidates.value = (count + (p.width - 1)) & -p.width
            yield i, point, candidates.value

    def distances(self, point: list[Value], j: Value) -> tuple[list[Value], Value]:
        """Vectors and distances from a point to the candidates from the j-th on, as many as fit."""
        p = self.p
        places = (self.x, self.y, self.z)
        vector = [a.vector(j, p.width) - x for a, x in zip(places, point, strict=True)]
        return vector, p.sqrt(vector[0] * vector[0] + vector[1] * vector[1] + vector[2] * vector[2])

    def candidates(self, low: list[Value], high: list[Value]) -> Value:
        """Collect the atoms within reach of a box, in the order of the bins.

        Returns how many they are; behind them are others out of reach, as many as fill a vector.
        """
        p = self.p
        atoms, labels = p.array("atoms", p.double), p.array("labels", p.int32)
        starts, dims = p.array("starts", p.int64), p.array("dims", p.int64)
        frame = p.array("frame", p.double)  # origin, 1 / width of a bin
        radius = self._reach + 1e-6
        first, last = [], []
        for k in range(3):
            inside = dims[k].to(p.double)
            least = (low[k] - radius - frame[k]) * frame[3 + k]
            most = (high[k] + radius - frame[k]) * frame[3 + k]
            first.append(p.minimum(p.maximum(least, 0.0), inside).to(p.int64))
            # one below zero must stay so when it is cut to an integer
            most = p.floor(p.minimum(p.maximum(most, -1.0), inside - 1.0))
            last.append(most.to(p.int64))
        capacity = p.integer("capacity")
        count = p.variable(0, p.int64)
        with p.loop(first[0], last[0] + 1) as bx, p.loop(first[1], last[1] + 1) as by:
            column = (bx * dims[1] + by) * dims[2]
            with p.when(first[2] <= last[2]):
                begin, end = starts[column + first[2]], starts[column + last[2] + 1]
                needed = count.value + (end - begin) + p.width
                with p.when(needed > capacity):
                    p.leave(needed)
                with p.loop(begin, end) as a:
                    position = [atoms[3 * a + k] for k in range(3)]
                    # from the box, zero inside it
                    delta = [
                        x - p.minimum(p.maximum(x, low[k]), high[k]) for k, x in enumerate(position)
                    ]
                    square = delta[0] * delta[0] + delta[1] * delta[1] + delta[2] * delta[2]
                    at = count.value
                    self.x[at], self.y[at], self.z[at] = position
                    self.label[at] = labels[a]
                    count.value = at + p.where(square < radius * radius, 1, p.constant(0, p.int64))
        for k in range(p.width):
            at = count.value + k
            self.x[at] = high[0] + 2.0 * radius
            self.y[at], self.z[at] = high[1], high[2]
            self.label[at] = 0
        return count.value
