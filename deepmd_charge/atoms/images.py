# SPDX-License-Identifier: LGPL-3.0-or-later
"""Periodic images of atoms around the cell, found by place."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..grid.grid import place
from ..typing import ArrayLike, Floats, Integers

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["Bins", "Images"]


@dataclass
class Bins:
    """Atoms sorted into boxes along the axes.

    Attributes
    ----------
    positions : np.ndarray
        (n, 3) in A, bin by bin, the bins with z running fastest.
    labels : np.ndarray
        (n,) int32, what is to be known of each.
    starts : np.ndarray
        (bins + 1,) int64, where each bin begins.
    frame : np.ndarray
        The corner (3,) and 1 / width (3,) of the bins.
    shape : np.ndarray
        (3,) int64, number of bins along each axis.
    """

    positions: Floats
    labels: Integers
    starts: Integers
    frame: Floats
    shape: Integers

    @property
    def arrays(self) -> tuple[Floats, Integers, Integers, Floats, Integers]:
        """The attributes in this order."""
        return self.positions, self.labels, self.starts, self.frame, self.shape

    def between(self, low: Floats, high: Floats) -> Integers:
        """Labels of the atoms in the bins that a box meets, with corners (3,) in A."""
        origin, per_width = self.frame[:3], self.frame[3:]
        ends = np.floor((np.array([low, high]) - origin) * per_width)
        # beyond the bins on the far side of those there are none, on the near side neither
        (x, y, z), stop = np.clip(ends + np.array([[0], [1]]), 0, self.shape).astype(np.int64)
        columns = np.arange(x, stop[0])[:, None] * self.shape[1] + np.arange(y, stop[1])
        columns = columns.reshape(-1) * self.shape[2]
        begin, end = self.starts[columns + z], self.starts[columns + max(z, stop[2])]
        count = end - begin
        return self.labels[
            np.arange(count.sum()) + np.repeat(begin - np.cumsum(count) + count, count)
        ]


class Images:
    """All atoms, with those periodic images that points in the cell can see.

    Parameters
    ----------
    atoms : ase.Atoms
        The structure; images are made along the axes of its ``pbc``.
    types : array_like of int
        (natoms,) index of each atom in the model's type map.
    rcut : float
        How far a point sees, A.

    Attributes
    ----------
    positions : np.ndarray
        (n, 3) in A, of atoms and images.
    types : np.ndarray
        (n,)
    parents : np.ndarray
        (n,) which of the atoms each is an image of.
    originals : np.ndarray
        (natoms,) which of them are the atoms themselves, wrapped into the cell.
    bins : Bins
        The same, labelled by their types, for points that see as far as `rcut`.
    """

    def __init__(self, atoms: Atoms, types: ArrayLike, rcut: float) -> None:
        self._rcut = rcut
        self._pbc = np.array(atoms.pbc, dtype=bool)
        self._cell = atoms.cell.complete().array
        self._inverse = np.linalg.inv(self._cell)
        # rcut in fractions of the height of the cell along each axis
        margin = rcut * np.linalg.norm(self._inverse, axis=0)
        images, parents = self._wrapped(atoms.positions), np.arange(len(atoms))
        at_home = np.ones(len(atoms), dtype=bool)
        for axis in np.flatnonzero(self._pbc):
            reach = int(np.ceil(margin[axis]))
            shifts = np.arange(-reach, reach + 1)
            along = images[:, axis, None] + shifts
            atom, shift = np.nonzero((along >= -margin[axis]) & (along <= 1.0 + margin[axis]))
            images = images[atom]
            images[:, axis] = along[atom, shift]
            parents, at_home = parents[atom], at_home[atom] & (shifts[shift] == 0)
        self.positions = place(images, self._cell)
        self.parents: Integers = parents
        self.originals: Integers = np.flatnonzero(at_home)
        self.types: Integers = np.asarray(types)[parents]
        self.bins = self.binned(self.types, rcut)

    def _wrapped(self, positions: Floats) -> Floats:
        fractions = place(positions, self._inverse)
        for axis in np.flatnonzero(self._pbc):
            fractions[:, axis] -= np.floor(fractions[:, axis])
        return fractions

    def along(self, points: Floats) -> Floats:
        """Coordinates (n, 3), A, of points along the cell's vectors, to about the last digit."""
        return points @ (self._inverse * np.linalg.norm(self._cell, axis=1))

    def wrap(self, points: Floats) -> Floats:
        """Bring points (n, 3) into the cell along its periodic axes."""
        return place(self._wrapped(points), self._cell)

    def around(self, points: Floats) -> tuple[Floats, Integers]:
        """Positions and types of all atoms that may lie within the cutoff of points.

        Parameters
        ----------
        points : np.ndarray
            (n, 3) wrapped positions in A.

        Returns
        -------
        positions : np.ndarray
            (m, 3)
        types : np.ndarray
            (m,)
        """
        low = points.min(axis=0) - self._rcut
        high = points.max(axis=0) + self._rcut
        near = np.all((self.positions >= low) & (self.positions <= high), axis=1)
        return self.positions[near], self.types[near]

    def pairs(self, points: Floats, rcut: float) -> tuple[Integers, Integers, Floats]:
        """All pairs of a point and an atom or image within a distance.

        Parameters
        ----------
        points : np.ndarray
            (n, 3) wrapped positions in A.
        rcut : float
            Distance, A; at most that of the images.

        Returns
        -------
        point, atom : np.ndarray
            (m,) indices.
        r : np.ndarray
            (m,) distances in A.
        """
        from scipy.spatial import cKDTree

        if not len(points) or not len(self.positions):
            return np.zeros(0, int), np.zeros(0, int), np.zeros(0)
        found = cKDTree(points).sparse_distance_matrix(self._tree, rcut, output_type="ndarray")
        order = np.lexsort((found["j"], found["i"]))
        point, atom = found["i"][order], found["j"][order]
        r = np.linalg.norm(self.positions[atom] - points[point], axis=1)
        return point, atom, r

    def nearest(self, points: Floats) -> Integers:
        """Which atom or image is nearest to each of some wrapped points (n, 3), A."""
        return self._tree.query(points)[1]

    def binned(self, labels: Integers, reach: float) -> Bins:
        """Sort atoms and images into bins of half the distance that a point sees.

        Parameters
        ----------
        labels : np.ndarray
            (n,) what is to be known of each.
        reach : float
            That distance, A.

        Returns
        -------
        Bins
            Those of one bin in their order.
        """
        if not len(self.positions):
            empty = np.zeros(0), np.zeros(0, np.int32), np.zeros(2, np.int64)
            return Bins(*empty, np.ones(6), np.ones(3, np.int64))
        low, high = self.positions.min(axis=0), self.positions.max(axis=0)
        width = 0.5 * reach
        # few atoms far apart: no more bins than there are atoms, or little memory holds
        most = max(1e6, 4.0 * len(self.positions))
        while np.prod(np.floor((high - low) / width) + 1) > most:
            width *= 1.3
        shape = (np.floor((high - low) / width) + 1).astype(np.int64)
        where = np.minimum(((self.positions - low) / width).astype(np.int64), shape - 1)
        bins = (where[:, 0] * shape[1] + where[:, 1]) * shape[2] + where[:, 2]
        order = np.argsort(bins, kind="stable")
        starts = np.searchsorted(bins[order], np.arange(np.prod(shape) + 1))
        return Bins(
            np.ascontiguousarray(self.positions[order]),
            np.asarray(labels)[order].astype(np.int32),
            starts.astype(np.int64),
            np.concatenate([low, np.full(3, 1.0 / width)]),
            shape,
        )

    @cached_property
    def _tree(self) -> Any:
        from scipy.spatial import cKDTree

        return cKDTree(self.positions)
