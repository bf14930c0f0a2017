# SPDX-License-Identifier: LGPL-3.0-or-later
"""Periodic images of atoms around the cell."""

import numpy as np

__all__ = ["Images"]


class Images:
    """All atoms, with those periodic images that points in the cell can see.

    Parameters
    ----------
    atoms : ase.Atoms
        The structure; images are made along the axes of its ``pbc``.
    types : np.ndarray
        (natoms,) index of each atom in the model's type map.
    rcut : float
        Cutoff radius in A.
    """

    def __init__(self, atoms, types, rcut):
        self._rcut = rcut
        self._pbc = np.array(atoms.pbc, dtype=bool)
        self._cell = atoms.cell.complete().array
        self._inverse = np.linalg.inv(self._cell)
        # rcut in fractions of the height of the cell along each axis
        margin = rcut * np.linalg.norm(self._inverse, axis=0)
        reach = np.where(self._pbc, np.ceil(margin).astype(int), 0)
        shifts = np.stack(
            np.meshgrid(*(np.arange(-n, n + 1) for n in reach), indexing="ij"), axis=-1
        ).reshape(-1, 3)
        fractions = self._wrapped(atoms.positions)
        images = (fractions[:, None, :] + shifts[None, :, :]).reshape(-1, 3)
        inside = (images >= -margin) & (images <= 1.0 + margin) | ~self._pbc
        keep = inside.all(axis=1)
        self.positions = images[keep] @ self._cell
        self.types = np.repeat(types, len(shifts))[keep]

    def _wrapped(self, positions):
        fractions = positions @ self._inverse
        return fractions - np.floor(fractions) * self._pbc

    def wrap(self, points):
        """Bring points (n, 3) into the cell along its periodic axes."""
        return self._wrapped(points) @ self._cell

    def around(self, points):
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
