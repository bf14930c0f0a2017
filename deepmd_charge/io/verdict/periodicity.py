# SPDX-License-Identifier: LGPL-3.0-or-later
"""Whether a grid that does not say so is one period of a crystal, or a box about a molecule."""

from __future__ import annotations

import numpy as np

from ...grid.density import Density
from .evidence import atoms_outside, closest_through_cell, faces_break, largest_on_faces
from .said import MOLECULAR

__all__ = ["guess_periodicity"]

FACE_DENSITY = 0.01  # e/A^3; between the atoms of condensed matter there is ten times as much
FACE_SHARE = 0.01  # of the largest value, for fields that are no total density
MARGIN = 1.1  # A, between the atoms of a molecule and the faces of its box
AT_ZERO = 1e-3  # A


def guess_periodicity(density: Density, program: str | None) -> None:
    """Set ``atoms.pbc`` of a density whose file does not tell it, and say why.

    Programs for molecules write molecules, but for a grid that begins at zero and on whose
    faces there is density that goes on across them. Any other grid is one period, unless
    there is next to nothing on all of its faces, or it begins elsewhere than at zero, keeps a
    distance from all atoms (or leaves some outside), and its opposite faces do not continue
    one another.

    Parameters
    ----------
    density : Density
        ``extra["notes"]`` and ``extra["doubts"]`` become longer.
    program : str or None
        What wrote the file.
    """
    atoms, values = density.atoms, density.values
    least = FACE_DENSITY
    if not density.quantity.is_total:
        least = FACE_SHARE * np.abs(values).max()
    is_empty = largest_on_faces(values) < least
    is_moved = np.abs(density.origin).max() > AT_ZERO
    is_density = density.quantity.is_per_volume
    breaks = [is_density and faces_break(density, axis) for axis in range(3)]
    broken = " and ".join("abc"[axis] for axis, is_broken in enumerate(breaks) if is_broken)
    outside = atoms_outside(atoms, density.origin)
    goes_on = not is_moved and not is_empty and False in breaks and not broken
    if program in MOLECULAR and not goes_on:
        atoms.pbc, why = False, f"{program} writes molecules"
    elif is_empty:
        atoms.pbc, why = False, "there is next to nothing on the faces of its grid"
    elif is_moved and broken and (outside or not atoms_outside(atoms, density.origin, -MARGIN)):
        atoms.pbc = False
        why = f"opposite faces of its grid do not continue one another along {broken}"
    else:
        atoms.pbc, why = True, "there are values on the faces of its grid"
    taken = "periodic" if atoms.pbc.any() else "a molecule in a box"
    density.extra["notes"].append(f"taken as {taken}, for {why} (--pbc says otherwise)")
    is_part = is_moved and (bool(broken) or False not in breaks)
    density.extra["doubts"] += _doubts(density, is_part, outside)


def _doubts(density: Density, is_part: bool, outside: list[int]) -> list[str]:
    """Why the grid is neither one period nor a box about all atoms."""
    if outside and (is_part or not density.atoms.pbc.any()):
        some = ", ".join(str(i + 1) for i in outside[:5]) + (", ..." if len(outside) > 5 else "")
        return [
            f"its grid covers a part of the structure: of {len(density.atoms)} atoms these lie"
            f" outside: {some}; give a grid about all of them (or say by --pbc what it is)"
        ]
    if density.atoms.pbc.any() and (close := closest_through_cell(density.atoms)):
        distance, i, j = close
        return [
            f"taken as periodic, atoms {i + 1} and {j + 1} are {distance:.2f} A from one another"
            " through the cell: no crystal; say by --pbc F F F that it is a molecule, or give"
            " the lengths' unit (--unit)"
        ]
    return []
