# SPDX-License-Identifier: LGPL-3.0-or-later
"""What kind of structure it is: how far its images are, whether it has order, or vacuum."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..typing import ArrayLike, Floats

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["bond_order", "image_distance", "widest_gap"]

# Bonds are pairs up to so many times the distance of nearest neighbours, within reach (A).
_BOND = 1.3
_BOND_REACH = 4.5
_MOST_BONDS = 1500  # of a structure


def image_distance(cell: Floats, periodic: ArrayLike) -> float:
    """Shortest distance between periodic images of an atom.

    Parameters
    ----------
    cell : np.ndarray
        (3, 3) vectors, A.
    periodic : array_like
        (3,) whether the structure is periodic along each.

    Returns
    -------
    float
        A; infinite where no axis is periodic.
    """
    from ase.geometry import minkowski_reduce

    periodic = np.asarray(periodic, dtype=bool)
    if not periodic.any():
        return float("inf")
    # a reduced cell has the shortest vectors that there are
    reduced, _ = minkowski_reduce(cell, periodic)
    return float(np.linalg.norm(reduced[periodic], axis=1).min())


def bond_order(atoms: Atoms) -> float:
    r"""Order of the directions of bonds, Steinhardt's :math:`Q_6` over all of them.

    .. math:: Q_6^2 = \frac1{N^2} \sum_{ij} P_6(\hat b_i \cdot \hat b_j)

    About 0.5 to 0.65 in crystals, less where atoms move; near zero, like
    :math:`1/\sqrt N`, where directions are at random, as in a glass or a liquid.

    Returns
    -------
    float
        NaN where there are no bonds.
    """
    from ase.neighborlist import neighbor_list

    first, distance, vector = neighbor_list("idD", atoms, _BOND_REACH)
    nearest = np.full(len(atoms), np.inf)
    np.minimum.at(nearest, first, distance)
    nearest = nearest[np.isfinite(nearest)]
    if not len(nearest):
        return float("nan")
    bonded = distance < _BOND * np.median(nearest)
    directions = vector[bonded] / distance[bonded, None]
    directions = directions[:: 1 + len(directions) // _MOST_BONDS]
    sixth = np.polynomial.Legendre.basis(6)
    return float(np.sqrt(max(sixth(directions @ directions.T).mean(), 0.0)))


def widest_gap(atoms: Atoms) -> float:
    """Width of the widest layer without atoms, A; infinite where an axis is open."""
    if not atoms.pbc.all():
        return float("inf")
    cell = atoms.cell.array
    heights = 1.0 / np.linalg.norm(np.linalg.inv(cell), axis=0)
    fractions = np.sort(atoms.get_scaled_positions(), axis=0)
    steps = np.diff(fractions, axis=0, append=fractions[:1] + 1.0)
    return float((steps.max(axis=0) * heights).max())
