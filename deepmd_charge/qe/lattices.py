# SPDX-License-Identifier: LGPL-3.0-or-later
"""Cells by ``ibrav``, as pw.x (6.5 and later) orients them.

``celldm(1)`` is the length a (bohr), ``celldm(2)`` and ``(3)`` are b/a and c/a, and the others
cosines of angles: see the table of ``ibrav`` in pw.x's description of its input.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..errors import ChargeError
from ..typing import Floats

__all__ = ["LATTICES", "celldm_of", "lattice"]

# Vectors in units of a/2, b/2 and c/2, where no angle enters.
_HALVES = {
    1: ((2, 0, 0), (0, 2, 0), (0, 0, 2)),
    2: ((-1, 0, 1), (0, 1, 1), (-1, 1, 0)),
    3: ((1, 1, 1), (-1, 1, 1), (-1, -1, 1)),
    -3: ((-1, 1, 1), (1, -1, 1), (1, 1, -1)),
    6: ((2, 0, 0), (0, 2, 0), (0, 0, 2)),
    7: ((1, -1, 1), (1, 1, 1), (-1, -1, 1)),
    8: ((2, 0, 0), (0, 2, 0), (0, 0, 2)),
    9: ((1, 1, 0), (-1, 1, 0), (0, 0, 2)),
    -9: ((1, -1, 0), (1, 1, 0), (0, 0, 2)),
    91: ((2, 0, 0), (0, 1, -1), (0, 1, 1)),
    10: ((1, 0, 1), (1, 1, 0), (0, 1, 1)),
    11: ((1, 1, 1), (-1, 1, 1), (-1, -1, 1)),
}
_WITH_ANGLES = (4, 5, -5, 12, -12, 13, -13, 14)
LATTICES = (*_HALVES, *_WITH_ANGLES)
# Which of celldm(2) to celldm(6) a lattice needs; others are not looked at.
_CUBIC, _UNIAXIAL, _TRIGONAL = (1, 2, 3, -3), (4, 6, 7), (5, -5)


def lattice(ibrav: int, celldm: Sequence[float]) -> Floats:
    """Make the cell of a lattice.

    Parameters
    ----------
    ibrav : int
        Not 0.
    celldm : sequence of float
        (6,) where what is not given is zero.

    Returns
    -------
    np.ndarray
        (3, 3) cell vectors in rows, bohr.

    Raises
    ------
    ChargeError
        If there is no such lattice, or a number makes no cell.
    """
    if ibrav not in LATTICES:
        known = ", ".join(map(str, sorted(LATTICES)))
        raise ChargeError(f"ibrav = {ibrav}: there is no such lattice, only 0, {known}")
    a, ratio_b, ratio_c, *cosines = celldm
    b = a * (1.0 if ibrav in (*_CUBIC, *_UNIAXIAL, *_TRIGONAL) else ratio_b)
    c = a * (1.0 if ibrav in (*_CUBIC, *_TRIGONAL) else ratio_c)
    for number, length in enumerate((a, b, c), 1):
        if not length > 0:
            raise ChargeError(f"ibrav = {ibrav}: celldm({number}) must be given, and positive")
    if ibrav in _HALVES:
        return np.array(_HALVES[ibrav], float) * (a / 2, b / 2, c / 2)
    try:
        return np.array(_with_angles(ibrav, a, b, c, *cosines), float)
    except (ValueError, ZeroDivisionError):
        raise ChargeError(
            f"ibrav = {ibrav}: its cosines make no cell: correct celldm(4-6)"
        ) from None


def _with_angles(
    ibrav: int, a: float, b: float, c: float, cos4: float, cos5: float, cos6: float
) -> Sequence[Sequence[float]]:
    if ibrav == 4:
        return (a, 0, 0), (-a / 2, a * math.sqrt(3) / 2, 0), (0, 0, c)
    if ibrav in _TRIGONAL:
        along, across = a * math.sqrt(1 + 2 * cos4), a * math.sqrt(1 - cos4)
        if ibrav == 5:
            x, y, z = across / math.sqrt(2), across / math.sqrt(6), along / math.sqrt(3)
            return (x, -y, z), (0, 2 * y, z), (-x, -y, z)
        u, v = (along - 2 * across) / 3, (along + across) / 3
        return (u, v, v), (v, u, v), (v, v, u)
    if ibrav in (12, 13):
        x, y = b * cos4, b * _sine(cos4)
        if ibrav == 12:
            return (a, 0, 0), (x, y, 0), (0, 0, c)
        return (a / 2, 0, -c / 2), (x, y, 0), (a / 2, 0, c / 2)
    if ibrav in (-12, -13):
        x, z = c * cos5, c * _sine(cos5)
        if ibrav == -12:
            return (a, 0, 0), (0, b, 0), (x, 0, z)
        return (a / 2, b / 2, 0), (-a / 2, b / 2, 0), (x, 0, z)
    sine = _sine(cos6)
    y = (cos4 - cos5 * cos6) / sine
    z = math.sqrt(1 - cos5**2 - y**2)
    return (a, 0, 0), (b * cos6, b * sine, 0), (c * cos5, c * y, c * z)


def _sine(cosine: float) -> float:
    return math.sqrt(1 - cosine**2)


def celldm_of(ibrav: int, lengths: Sequence[float], cosines: Sequence[float]) -> list[float]:
    """What A, B, C (here in bohr) and cosAB, cosAC, cosBC are in ``celldm``.

    Parameters
    ----------
    ibrav : int
    lengths : sequence of float
        (3,) a, b and c, bohr.
    cosines : sequence of float
        (3,) of the angles of a and b, a and c, b and c.

    Returns
    -------
    list of float
        (6,)
    """
    a, b, c = lengths
    ab, ac, bc = cosines
    angles = [0.0, 0.0, 0.0]
    if ibrav in (14, 0):
        angles = [bc, ac, ab]
    elif ibrav in (-12, -13):
        angles[1] = ac
    else:
        angles[0] = ab
    return [a, b / a, c / a, *angles]
