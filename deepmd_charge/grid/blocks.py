# SPDX-License-Identifier: LGPL-3.0-or-later
"""Points in pieces: a grid in compact blocks, or a list of places in parts."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from ..typing import Floats
from .grid import Grid

__all__ = ["Blocks", "Parts", "Values"]

# From positions (n, 3), A, to values (n,).
Values: TypeAlias = Callable[[Floats], Floats]


class Blocks:
    """A grid cut into boxes of about equal size, numbered in C order.

    How a grid is cut depends on its shape alone, and each block is evaluated
    by itself: so values do not depend on who computes which block, or when.
    Points of a block share their surroundings.

    Parameters
    ----------
    grid : Grid
    most : int
        Most points in a block.

    Attributes
    ----------
    grid : Grid
    shape : tuple of int
        Of the grid's values.
    size : int
        Number of grid points.
    most : int
        Most points in a block.
    """

    def __init__(self, grid: Grid, most: int) -> None:
        self.grid, self.shape, self.size, self.most = grid, grid.shape, grid.size, most
        edges, room = [0, 0, 0], most
        # what a short axis leaves over makes the blocks longer along the others
        for left, axis in zip((3, 2, 1), np.argsort(self.shape, kind="stable"), strict=True):
            edge = int(room ** (1.0 / left) * (1.0 + 1e-12))
            edges[axis] = max(1, min(edge, self.shape[axis]))
            room //= edges[axis]
        self._cuts = [
            np.arange(pieces + 1) * n // pieces
            for n, edge in zip(self.shape, edges, strict=True)
            for pieces in [-(-n // edge)]
        ]
        self._counts = tuple(len(cuts) - 1 for cuts in self._cuts)

    def __len__(self) -> int:
        return int(np.prod(self._counts))

    def slices(self, number: int) -> tuple[slice, ...]:
        """Where a block lies in an array of the grid's values.

        Parameters
        ----------
        number : int
            From 0 to ``len(self) - 1``.

        Returns
        -------
        tuple of slice
            Along the three axes.
        """
        place = np.unravel_index(number, self._counts)
        return tuple(
            slice(int(cuts[i]), int(cuts[i + 1])) for cuts, i in zip(self._cuts, place, strict=True)
        )

    def points(self, number: int) -> Floats:
        """Positions of a block's points, (n, 3), A; in C order within the block."""
        return self.grid.mesh(*(np.arange(s.start, s.stop) for s in self.slices(number)))

    def values(self, number: int, function: Values) -> Floats:
        """Values of a function of positions on a block.

        Parameters
        ----------
        number : int
            The block.
        function : callable
            Takes positions (n, 3), A, and gives (n,) values.

        Returns
        -------
        np.ndarray
            Of the shape that :meth:`slices` cuts out.
        """
        shape = [s.stop - s.start for s in self.slices(number)]
        return function(self.points(number)).reshape(shape)


class Parts:
    """A list of places (n, 3), A, in parts; see :class:`Blocks`."""

    def __init__(self, places: Floats, most: int) -> None:
        self._places, self.shape, self.size, self.most = places, (len(places),), len(places), most

    def __len__(self) -> int:
        return -(-self.size // self.most)

    def slices(self, number: int) -> tuple[slice]:
        """Where a part lies in an array of the values, a tuple of one slice."""
        return (slice(number * self.most, (number + 1) * self.most),)

    def points(self, number: int) -> Floats:
        """Positions of a part's points, (n, 3), A."""
        return self._places[self.slices(number)]

    def values(self, number: int, function: Values) -> Floats:
        """Values (n,) of a function of positions on a part."""
        return function(self.points(number))
