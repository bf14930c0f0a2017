# SPDX-License-Identifier: LGPL-3.0-or-later
"""What the values on a grid are, apart from the file format that they came in."""

from __future__ import annotations

from dataclasses import dataclass

from ..errors import ChargeError

__all__ = [
    "QUANTITIES",
    "Quantity",
    "compose_kind",
    "deviation_of",
    "find_quantity",
    "split_kind",
]


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
    def is_total(self) -> bool:
        """bool: Whether it is the density of all valence electrons."""
        return self.name == "total"

    @property
    def is_per_volume(self) -> bool:
        """bool: Whether the values are so much per volume, and change with its unit."""
        return self.unit.endswith("/A^3")

    @property
    def is_signed(self) -> bool:
        """bool: Whether zero lies amid the values, and either sign means as much."""
        return self.name in ("magnetization", "difference", "orbital")


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
        Quantity("deviation", "a standard deviation of densities", "e/A^3", ""),
        Quantity("orbital", "an orbital", "", ""),
        Quantity("potential", "a potential", "", ""),
        Quantity("elf", "an electron localisation function", "", ""),
        Quantity("other", "no charge density", "", ""),
    )
}
# What the files of a format hold, where that is not the total density.
_OF_FORMAT = {"vasp/locpot": "potential", "vasp/elfcar": "elf"}


def find_quantity(name: str | Quantity) -> Quantity:
    """Find a quantity by its name, or raise ChargeError."""
    if isinstance(name, Quantity):
        return name
    if name not in QUANTITIES:
        raise ChargeError(f"unknown quantity {name!r}: give one of {', '.join(QUANTITIES)}")
    return QUANTITIES[name]


def deviation_of(quantity: Quantity) -> Quantity:
    """What the standard deviation of several fields of a quantity is."""
    return QUANTITIES["deviation" if quantity.is_per_volume else "other"]


def split_kind(kind: str | None) -> tuple[str, Quantity]:
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


def compose_kind(format: str, quantity: Quantity) -> str:
    """Join a format and a quantity; see :func:`split_kind`."""
    if quantity.name == _OF_FORMAT.get(format, "total"):
        return format
    return f"{format}:{quantity.name}"
