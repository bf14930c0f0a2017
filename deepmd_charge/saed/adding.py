# SPDX-License-Identifier: LGPL-3.0-or-later
"""Adding a superposition that the model does not carry itself."""

from __future__ import annotations

from typing import Any

from ..errors import ChargeError
from ..grid.density import Density
from ..grid.mapped import by_planes
from ..model.info import ModelInfo
from ..typing import PathLike
from .sources import matching

__all__ = ["add", "check_given", "check_known"]


def check_known(path: PathLike, info: dict[str, Any]) -> None:
    """Raise ChargeError where nothing tells what a model predicts.

    Parameters
    ----------
    path : str
        The model, for complaints.
    info : dict
        ``ChargeModel.info``
    """
    if ModelInfo.from_json(info).content is None:
        raise ChargeError(
            f"{path}: this model does not remember what it predicts; say so: --is total,"
            ' difference, up, ... (ChargeModel(..., quantity="total") in Python)'
        )


def check_given(path: PathLike, info: dict[str, Any], saed: object) -> None:
    """Raise ChargeError unless a superposition is given exactly where it is needed.

    A model of which nothing tells what it predicts is refused as well.

    Parameters
    ----------
    path : str
        The model, for complaints.
    info : dict
        ``ChargeModel.info``
    saed : object or None
        What the user gave.
    """
    check_known(path, info)
    needed = ModelInfo.from_json(info).needs_superposition
    if needed and saed is None:
        raise ChargeError(
            f"{path}: this model has learnt the difference to superposed atomic densities; give"
            " that of the structure on the same grid (predict --saed FILE, saed= in Python)"
        )
    if saed is not None and not needed:
        raise ChargeError(
            f"{path}: this model gives the total density by itself; leave the SAED out"
        )


def add(density: Density, saed: object) -> None:
    """Add a superposition to a predicted difference, in place.

    Parameters
    ----------
    density, saed : Density

    Raises
    ------
    ChargeError
        If grids, cells or atoms differ.
    """
    values = matching(density.atoms, density.grid, saed, "saed")
    for plane, more in by_planes(density.values, values):
        plane += more
