# SPDX-License-Identifier: LGPL-3.0-or-later
"""Comparing structures, and the densities of them."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ChargeError
from ..grid.density import Density
from ..typing import Floats, Integers, PathLike

if TYPE_CHECKING:
    from ase import Atoms

SAME_PLACE = 0.01  # A; files print positions with at least three decimals


def same_atoms(one: Atoms, other: Atoms) -> bool:
    """Whether two structures of one cell hold the same atoms, in whatever order.

    Returns
    -------
    bool
        False when an atom has no atom of its element within SAME_PLACE.
    """
    return same_places(one, other) is not None


def same_places(one: Atoms, other: Atoms) -> Integers | None:
    """Find the atoms of a structure in another one of the same cell.

    Along an axis that is open in both an atom and its image are different places.

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
    period = (one.pbc | other.pbc).astype(float)  # 0 for none, as cKDTree has it
    for number in set(one.numbers):
        mine, its = (np.flatnonzero(atoms.numbers == number) for atoms in (one, other))
        here, there = (
            _wrapped(atoms.cell.scaled_positions(atoms.positions[index]), period)
            for atoms, index in ((one, mine), (other, its))
        )
        nearest = cKDTree(there, boxsize=period).query(here)[1]
        step = there[nearest] - here
        step = (step - np.round(step) * period) @ one.cell.array
        if np.linalg.norm(step, axis=1).max() > SAME_PLACE or len(set(nearest)) < len(nearest):
            return None
        place[mine] = its[nearest]
    return place


def check_same_grid(path: PathLike, density: Density, other_path: PathLike, other: Density) -> None:
    """Raise ChargeError when two densities are not on one grid of one cell.

    Parameters
    ----------
    path, other_path : str
        Their files, for complaints.
    density, other : Density

    Warns
    -----
    UserWarning
        When the atoms are not the same.
    """
    try:
        density.matching(other)
    except ChargeError as error:
        raise ChargeError(f"{path} and {other_path}: {error}") from None
    if not same_atoms(density.atoms, other.atoms):
        warnings.warn(
            f"{path} and {other_path}: these are densities of different structures", stacklevel=2
        )


def _wrapped(fractions: Floats, period: Floats) -> Floats:
    """Bring fractions (n, 3) to 0 <= f < 1 along the axes of period 1."""
    # twice: a tiny negative number modulo 1 is 1
    return np.where(period, fractions % 1.0 % 1.0, fractions)
