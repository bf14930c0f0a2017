# SPDX-License-Identifier: LGPL-3.0-or-later
"""A grid in compact blocks, whose points share their surroundings."""

import numpy as np

from .images import place

__all__ = ["Blocks", "grid_points"]


class Blocks:
    """A grid cut into boxes of about equal size, numbered in C order.

    How a grid is cut depends on its shape alone, and each block is evaluated
    by itself: so values do not depend on who computes which block, or when.

    Parameters
    ----------
    shape : tuple of int
        The grid (nx, ny, nz).
    points : int
        Most points in a block.

    Attributes
    ----------
    shape : tuple of int
        The grid.
    size : int
        Number of grid points.
    points_at_most : int
        In a block.
    """

    def __init__(self, shape, points):
        self.shape = tuple(shape)
        self.size = int(np.prod(self.shape))
        self.points_at_most = points
        edges, room = [0, 0, 0], points
        # what a short axis leaves over makes the blocks longer along the others
        for left, axis in zip((3, 2, 1), np.argsort(self.shape, kind="stable")):
            edge = int(room ** (1.0 / left) * (1.0 + 1e-12))
            edges[axis] = max(1, min(edge, self.shape[axis]))
            room //= edges[axis]
        self._cuts = [
            np.arange(pieces + 1) * n // pieces
            for n, edge in zip(self.shape, edges)
            for pieces in [-(-n // edge)]
        ]
        self._counts = tuple(len(cuts) - 1 for cuts in self._cuts)

    def __len__(self):
        return int(np.prod(self._counts))

    def slices(self, number):
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
            slice(int(cuts[i]), int(cuts[i + 1])) for cuts, i in zip(self._cuts, place)
        )

    def points(self, number, cell):
        """Positions of a block's points.

        Parameters
        ----------
        number : int
            The block.
        cell : np.ndarray
            (3, 3) cell vectors, A, as rows.

        Returns
        -------
        np.ndarray
            (n, 3), A; in C order within the block.
        """
        axes = [np.arange(s.start, s.stop) for s in self.slices(number)]
        index = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
        return place(index / self.shape, cell)

    def values(self, number, cell, function):
        """Values of a function of positions on a block.

        Parameters
        ----------
        number : int
            The block.
        cell : np.ndarray
            (3, 3) cell vectors, A, as rows.
        function : callable
            Takes positions (n, 3), A, and gives (n,) values.

        Returns
        -------
        np.ndarray
            Of the shape that :meth:`slices` cuts out.
        """
        shape = [s.stop - s.start for s in self.slices(number)]
        return function(self.points(number, cell)).reshape(shape)


def grid_points(shape, index, cell):
    """Positions (n, 3), A, of the points of a grid that have flat C-order indices (n,)."""
    return place(np.stack(np.unravel_index(index, shape), axis=1) / shape, cell)
