# SPDX-License-Identifier: LGPL-3.0-or-later
"""What the values on a grid are, apart from the file format that they came in."""

from dataclasses import dataclass

import numpy as np

from .errors import ChargeError

__all__ = [
    "CHANNELS", "QUANTITIES", "Quantity", "channel", "compose_kind", "find_quantity",
    "select", "split_kind",
]  # fmt: skip


@dataclass(frozen=True)
class Quantity:
    """A scalar field.

    Attributes
    ----------
    name : str
        As ``--is`` and ``--quantity`` spell it, and as data sets and models remember it.
    description : str
        With its article: "a charge density".
    unit : str
        Of the values; empty where they have none, or that of the program that wrote them.
    integral : str
        Unit of the integral over the cell; empty where it says nothing.
    """

    name: str
    description: str
    unit: str
    integral: str

    @property
    def is_total(self):
        """bool: Whether it is the density of all valence electrons."""
        return self.name == "total"

    @property
    def is_per_volume(self):
        """bool: Whether the values are so much per volume, and change with its unit."""
        return self.unit.endswith("/A^3")


_DENSITY, _SPIN = ("e/A^3", "electrons"), ("mu_B/A^3", "mu_B")
QUANTITIES = {
    quantity.name: quantity
    for quantity in (
        Quantity("total", "a charge density", *_DENSITY),
        Quantity("up", "the density of the electrons with spin up", *_DENSITY),
        Quantity("down", "the density of the electrons with spin down", *_DENSITY),
        Quantity("magnetization", "a magnetisation", *_SPIN),
        Quantity("magnitude", "the size of a magnetisation", *_SPIN),
        Quantity("difference", "a difference of densities", *_DENSITY),
        Quantity("partial", "the density of a part of the electrons", *_DENSITY),
        Quantity("orbital", "an orbital", "", ""),
        Quantity("potential", "a potential", "", ""),
        Quantity("elf", "an electron localisation function", "", ""),
        Quantity("other", "no charge density", "", ""),
    )
}
# Fields that follow from a total density and its magnetisation.
CHANNELS = ("total", "up", "down", "magnetization", "magnitude")
# What the files of a format hold, where that is not the total density.
_OF_FORMAT = {"vasp/locpot": "potential", "vasp/elfcar": "elf"}


def find_quantity(name):
    """Find a quantity by its name, or raise ChargeError."""
    if isinstance(name, Quantity):
        return name
    if name not in QUANTITIES:
        raise ChargeError(f"unknown quantity {name!r}: give one of {', '.join(QUANTITIES)}")
    return QUANTITIES[name]


def split_kind(kind):
    """Part the kind of some data into a format and a quantity.

    Parameters
    ----------
    kind : str or None
        "vasp/chgcar", "vasp/chgcar:up", "cube:difference"; the quantity is left out where it
        is the one that files of the format hold.

    Returns
    -------
    format : str
        Empty where it is not known.
    quantity : Quantity
    """
    format, _, name = (kind or "").partition(":")
    return format, find_quantity(name or _OF_FORMAT.get(format, "total"))


def compose_kind(format, quantity):
    """Join a format and a quantity; see :func:`split_kind`."""
    if quantity.name == _OF_FORMAT.get(format, "total"):
        return format
    return f"{format}:{quantity.name}"


def select(density, quantity="total", path="this density"):
    """Choose one scalar field of a density with spin; see :func:`channel`.

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
    from .density import Density

    if quantity == "total":
        return density
    values = channel(density, quantity, path=path)
    kind = compose_kind(density.format, QUANTITIES[quantity])
    return Density(density.atoms, values, density.origin, kind)


def channel(density, quantity="total", index=Ellipsis, path="this density"):
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
        In the unit of the quantity.

    Raises
    ------
    ChargeError
        If the density has no such field.
    """
    total = density.values[index]
    # a file's only grid may be the very field that is asked for
    if quantity in ("total", density.quantity.name):
        return total
    if quantity not in CHANNELS:
        wanted = find_quantity(quantity).description
        raise ChargeError(f"{path}: holds {density.quantity.description}, not {wanted}")
    spin = [component[index] for component in density.extra.get("spin", [])]
    if not spin:
        raise ChargeError(f"{path}: holds no magnetisation, so that there is no {quantity!r}")
    if density.quantity.integral != "electrons":  # the grids of a LOCPOT are spin up and down
        what = density.quantity.description
        raise ChargeError(f"{path}: holds {what}, which has no {quantity!r}")
    if quantity == "magnitude":
        return np.sqrt(sum(component**2 for component in spin))
    if len(spin) == 3:
        raise ChargeError(
            f"{path}: is non-collinear, so that there is no {quantity!r}: take 'total' or 'magnitude'"
        )
    if quantity == "magnetization":
        return spin[0]
    return (total + spin[0]) / 2 if quantity == "up" else (total - spin[0]) / 2
