# SPDX-License-Identifier: LGPL-3.0-or-later
"""Scalar fields of a density with spin."""

from __future__ import annotations

from types import EllipsisType

import numpy as np

from ..errors import ChargeError
from ..typing import Floats, Integers, PathLike
from .density import Density
from .quantity import QUANTITIES, Quantity, compose_kind, find_quantity

__all__ = ["CHANNELS", "channel", "counterpart", "select"]

# Fields that follow from a total density and its magnetisation.
CHANNELS = ("total", "up", "down", "magnetization", "magnitude")


def select(density: Density, quantity: str = "total", path: PathLike = "this density") -> Density:
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
    if quantity == "total":
        return density
    values = channel(density, quantity, path=path)
    kind = compose_kind(density.format, QUANTITIES[quantity])
    return Density(density.atoms, values, density.origin, kind)


def channel(
    density: Density,
    quantity: str = "total",
    index: tuple[Integers, ...] | EllipsisType = Ellipsis,
    path: PathLike = "this density",
) -> Floats:
    """Values of one scalar field, on the whole grid or at some of its points.

    With n the total density and m the magnetisation, these are n, (n + m)/2,
    (n - m)/2, m and ``|m|``. A model's output does not change when the structure is
    rotated; of a non-collinear magnetisation, whose components do, only ``|m|`` can
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
            f"{path}: is non-collinear, so that there is no {quantity!r}:"
            " take 'total' or 'magnitude'"
        )
    if quantity == "magnetization":
        return spin[0]
    return (total + spin[0]) / 2 if quantity == "up" else (total - spin[0]) / 2


def counterpart(
    density: Density,
    wanted: Quantity,
    path: PathLike,
    index: tuple[Integers, ...] | EllipsisType = Ellipsis,
    other_path: PathLike = "the other",
) -> Floats:
    """Values that are to be compared with those of another density.

    Parameters
    ----------
    density : Density
        With ``extra["spin"]`` one of its fields is taken, see :func:`channel`; a file of one
        grid that does not say what it holds is trusted to hold what is wanted.
    wanted : Quantity
        That of the other density.
    path, other_path : str
        What complaints call the two, such as their files.
    index : tuple of arrays, optional
        See :func:`channel`.

    Returns
    -------
    numpy.ndarray

    Raises
    ------
    ChargeError
        If the density says that it holds something else.
    """
    if density.extra.get("spin"):
        return channel(density, wanted.name, index, path)
    if density.quantity not in (wanted, QUANTITIES["total"]):
        raise ChargeError(
            f"{path}: holds {density.quantity.description}, and {other_path}"
            f" {wanted.description}: give files of one quantity (--quantity, --is)"
        )
    return density.values[index]
