# SPDX-License-Identifier: LGPL-3.0-or-later
"""Adding a superposition that the model does not carry itself."""

from ..errors import ChargeError
from ..mapped import by_planes
from .sources import FILE, matching

__all__ = ["add", "check_given", "needs_file"]


def needs_file(info):
    """Whether a model gives a difference to a superposition that the user must add.

    Parameters
    ----------
    info : dict
        ``ChargeModel.info``
    """
    return (info.get("saed") or {}).get("source") == FILE


def check_given(path, info, saed):
    """Raise ChargeError unless a superposition is given exactly where it is needed.

    Parameters
    ----------
    path : str
        The model, for complaints.
    info : dict
        ``ChargeModel.info``
    saed : object or None
        What the user gave.
    """
    if needs_file(info) and saed is None:
        raise ChargeError(
            f"{path}: this model has learnt the difference to superposed atomic densities; give"
            " that of the structure on the same grid (predict --saed FILE, saed= in Python)"
        )
    if saed is not None and not needs_file(info):
        raise ChargeError(
            f"{path}: this model gives the total density by itself; leave the SAED out"
        )


def add(density, saed):
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
