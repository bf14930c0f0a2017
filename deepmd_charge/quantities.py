# SPDX-License-Identifier: LGPL-3.0-or-later
"""What of a spin-polarised density is looked at, or learnt."""

import numpy as np

from .density import Density
from .errors import ChargeError

QUANTITIES = ("total", "up", "down", "magnetization", "magnitude")


def select(density, quantity="total", path="this density"):
    """Choose one scalar field of a density with spin.

    With n the total density and m the magnetisation, these are n, (n + m)/2,
    (n - m)/2, m and |m|. A model's output does not change when the structure is
    rotated; of a non-collinear magnetisation, whose components do, only |m| can
    be learnt.

    Parameters
    ----------
    density : Density
        With ``extra["spin"]``: none, one (collinear) or three (non-collinear)
        grids.
    quantity : str
        "total", "up", "down", "magnetization" or "magnitude".
    path : str, optional
        File that the density is from, for complaints.

    Returns
    -------
    Density
        Without ``extra``, except for "total", which is `density` itself. Its
        ``kind`` has the quantity added: "vasp/chgcar:up".

    Raises
    ------
    ChargeError
        If the density has no such field.
    """
    if quantity not in QUANTITIES:
        raise ChargeError(f"unknown quantity {quantity!r}: give one of {', '.join(QUANTITIES)}")
    if quantity == "total":
        return density
    spin = density.extra.get("spin", [])
    if not spin:
        raise ChargeError(f"{path}: holds no magnetisation, so that there is no {quantity!r}")
    if len(spin) == 3 and quantity != "magnitude":
        raise ChargeError(
            f"{path}: is non-collinear, so that there is no {quantity!r}: take 'total' or 'magnitude'"
        )
    total, m = density.values, spin[0]
    if quantity == "up":
        values = (total + m) / 2
    elif quantity == "down":
        values = (total - m) / 2
    elif quantity == "magnetization":
        values = m
    else:
        values = np.sqrt(sum(component**2 for component in spin))
    return Density(density.atoms, values, density.origin, f"{density.kind}:{quantity}")
