# SPDX-License-Identifier: LGPL-3.0-or-later
"""Comparing structures."""

import numpy as np

SAME_PLACE = 0.01  # A; files print positions with at least three decimals


def same_atoms(one, other):
    """Whether two structures of one cell hold the same atoms, in whatever order.

    Returns
    -------
    bool
        False when an atom has no atom of its element within SAME_PLACE.
    """
    return same_places(one, other) is not None


def same_places(one, other):
    """Find the atoms of a structure in another one of the same cell.

    Returns
    -------
    np.ndarray of int or None
        For each atom of ``one`` the atom of ``other`` that stands at its place;
        None when an atom has no atom of its element within SAME_PLACE, or two
        have the same.
    """
    from scipy.spatial import cKDTree

    if sorted(one.numbers) != sorted(other.numbers):
        return None
    place = np.empty(len(one), dtype=int)
    for number in set(one.numbers):
        mine, its = (np.flatnonzero(atoms.numbers == number) for atoms in (one, other))
        # twice: a tiny negative number modulo 1 is 1
        here, there = (
            atoms.cell.scaled_positions(atoms.positions[index]) % 1.0 % 1.0
            for atoms, index in ((one, mine), (other, its))
        )
        nearest = cKDTree(there, boxsize=1.0).query(here)[1]
        step = there[nearest] - here
        step = (step - np.round(step)) @ one.cell.array
        if np.linalg.norm(step, axis=1).max() > SAME_PLACE or len(set(nearest)) < len(nearest):
            return None
        place[mine] = its[nearest]
    return place
