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
    from scipy.spatial import cKDTree

    if sorted(one.numbers) != sorted(other.numbers):
        return False
    for number in set(one.numbers):
        # twice: a tiny negative number modulo 1 is 1
        here, there = (
            atoms.cell.scaled_positions(atoms.positions[atoms.numbers == number]) % 1.0 % 1.0
            for atoms in (one, other)
        )
        nearest = cKDTree(there, boxsize=1.0).query(here)[1]
        step = there[nearest] - here
        step = (step - np.round(step)) @ one.cell.array
        if np.linalg.norm(step, axis=1).max() > SAME_PLACE:
            return False
    return True
