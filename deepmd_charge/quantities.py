# SPDX-License-Identifier: LGPL-3.0-or-later
"""What of a spin-polarised density is looked at, or learnt."""

import numpy as np

from .density import Density
from .errors import ChargeError

QUANTITIES = ("total", "up", "down", "magnetization", "magnitude")


def select(density, quantity="total", path="this density"):
    """Choose one scalar field of a density with spin; see :func:`field`.

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
        For "total", `density` itself; else without ``extra``.

    Raises
    ------
    ChargeError
        If the density has no such field.
    """
    if quantity == "total":
        return density
    values = field(density, quantity, path=path)
    return Density(density.atoms, values, density.origin, kind_of(density, quantity))


def kind_of(density, quantity):
    """Kind of a density's field: "vasp/chgcar", "vasp/chgcar:up"."""
    return density.kind if quantity == "total" else f"{density.kind}:{quantity}"


def quantity_of(kind):
    """Quantity of a kind of data: "up" of "vasp/chgcar:up", "total" where it names none."""
    return (kind or "").partition(":")[2] or "total"


def unit_of(quantity):
    """Unit of a quantity's integral over the cell."""
    return "mu_B" if quantity in ("magnetization", "magnitude") else "electrons"


def field(density, quantity="total", index=Ellipsis, path="this density"):
    """Values of one scalar field, on the whole grid or at some of its points.

    With n the total density and m the magnetisation, these are n, (n + m)/2,
    (n - m)/2, m and |m|. A model's output does not change when the structure is
    rotated; of a non-collinear magnetisation, whose components do, only |m| can
    be learnt.

    Parameters
    ----------
    density, quantity, path
        As for :func:`select`.
    index : tuple of arrays, optional
        Grid points, as indices into ``density.values``.

    Returns
    -------
    numpy.ndarray
        e/A^3; of the magnetisation, mu_B/A^3.

    Raises
    ------
    ChargeError
        If the density has no such field.
    """
    if quantity not in QUANTITIES:
        raise ChargeError(f"unknown quantity {quantity!r}: give one of {', '.join(QUANTITIES)}")
    total = density.values[index]
    if quantity == "total":
        return total
    spin = [component[index] for component in density.extra.get("spin", [])]
    if not spin:
        raise ChargeError(f"{path}: holds no magnetisation, so that there is no {quantity!r}")
    if quantity == "magnitude":
        return np.sqrt(sum(component**2 for component in spin))
    if len(spin) == 3:
        raise ChargeError(
            f"{path}: is non-collinear, so that there is no {quantity!r}: take 'total' or 'magnitude'"
        )
    if quantity == "magnetization":
        return spin[0]
    return (total + spin[0]) / 2 if quantity == "up" else (total - spin[0]) / 2
