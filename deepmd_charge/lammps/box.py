# SPDX-License-Identifier: LGPL-3.0-or-later
"""How a structure lies in a box that LAMMPS takes.

LAMMPS wants the vectors of a periodic box as the rows of a lower triangular
matrix with a positive diagonal and small tilts. Every lattice has such vectors
up to a rotation and a reflection, both of which leave a density as it is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..atoms.open_axes import separated
from ..typing import ArrayLike, Booleans, Floats

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["Box"]

# A, so that rounding brings no image across an open direction within reach
_SLACK = 0.1
# Fractions of a vector of the box that count as half of it
_TIE = 1e-6


class Box:
    """A periodic box around a structure and the probes in its cell.

    Directions in which the structure is not periodic become periodic with a
    period so long that no probe sees an image, even beyond the cell by as much
    as another cell: there go the last probes of a grid.

    Parameters
    ----------
    atoms : ase.Atoms
        Cell of three independent vectors; periodic along the axes of ``pbc``.
    rcut : float
        Cutoff of the model, A.

    Attributes
    ----------
    cell : (3, 3) numpy.ndarray
        Vectors in rows, lower triangular with a positive diagonal, no tilt
        beyond half of the edge it leans along, A.
    """

    def __init__(self, atoms: Atoms, rcut: float) -> None:
        from ase.geometry import minkowski_reduce

        corners = 2.0 * np.array(list(np.ndindex(2, 2, 2))) @ atoms.cell.array
        places = np.concatenate([atoms.positions, corners])
        vectors = separated(atoms.cell.array, atoms.pbc, places, rcut + _SLACK)
        reduced, _ = minkowski_reduce(vectors)
        # reduced = (R^T) Q^T, with a positive diagonal of R
        q, r = np.linalg.qr(reduced.T)
        signs = np.sign(np.diag(r))
        self.cell = _less_tilted((r * signs[:, None]).T)
        self._turn = q * signs

    def place(self, positions: ArrayLike) -> Floats:
        """Bring positions (..., 3) into the box, turned as it is turned, A."""
        inside = self._fractions(positions)
        return (inside - np.floor(inside)) @ self.cell

    def shortest(self, steps: ArrayLike) -> tuple[Floats, Booleans]:
        """Find the shortest of a step's images across each pair of faces.

        Parameters
        ----------
        steps : array_like
            (n, 3) vectors in the directions of the structure, A.

        Returns
        -------
        vectors : (n, 3) numpy.ndarray
            In the directions of the box, A.
        half : (n,) numpy.ndarray of bool
            Whether another image is as short.
        """
        fractions = self._fractions(steps)
        fractions = fractions - np.round(fractions)
        return fractions @ self.cell, np.abs(fractions).max(axis=1) > 0.5 - _TIE

    def height(self, vectors: ArrayLike) -> float:
        """Find how far vectors reach across the box's pairs of faces.

        Parameters
        ----------
        vectors : array_like
            (n, 3) in the directions of the box, A.

        Returns
        -------
        float
            The largest component along a normal of a face, A.
        """
        normals = np.linalg.inv(self.cell)
        normals /= np.linalg.norm(normals, axis=0)
        return float(np.abs(np.asarray(vectors) @ normals).max())

    def _fractions(self, positions: ArrayLike) -> Floats:
        return np.asarray(positions) @ self._turn @ np.linalg.inv(self.cell)


def _less_tilted(cell: Floats) -> Floats:
    cell = np.tril(cell)
    for row, axis in ((1, 0), (2, 1), (2, 0)):
        cell[row] -= np.round(cell[row, axis] / cell[axis, axis]) * cell[axis]
    return cell
