# SPDX-License-Identifier: LGPL-3.0-or-later
"""What no structure is: sites that atoms share, and atoms at one place."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..errors import ChargeError
from .images import Images

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["check_apart", "check_sites"]

# How far the occupancy of a full site may be from 1, and the least cutoff of images, A.
_FULL, _SEEN = 1e-3, 2.0


def check_sites(atoms: Atoms) -> None:
    """Refuse a disordered structure, of which ase keeps one element of each site.

    Raises
    ------
    ChargeError
        If a site of the file that it is from (CIF) is shared, or not full.
    """
    sites = atoms.info.get("occupancy")  # of a CIF; elsewhere it may be anything
    for occupants in sites.values() if isinstance(sites, dict) else ():
        if len(occupants) > 1 or min(occupants.values()) < 1.0 - _FULL:
            told = ", ".join(f"{share:g} {element}" for element, share in occupants.items())
            raise ChargeError(
                f"has a site with {told}: give an ordered structure, in which atoms are whole"
            )


def check_apart(atoms: Atoms, nearest: float) -> None:
    """Refuse atoms that are nearer to each other, or to their own images, than this (A).

    Raises
    ------
    ChargeError
        If some are.
    """
    images = Images(atoms, np.zeros(len(atoms), int), max(nearest, _SEEN))
    point, _, _ = images.pairs(images.positions[images.originals], nearest)
    if len(point) > len(atoms):  # each atom finds itself
        found = np.flatnonzero(np.bincount(point) > 1)[:2]
        numbers = " and ".join(str(images.parents[images.originals][k]) for k in found)
        raise ChargeError(
            f"has atoms less than {nearest:g} A apart, or from their own images ({numbers}, counted"
            " from 0); take out what stands twice, or mend the cell"
        )
