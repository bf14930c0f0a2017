# SPDX-License-Identifier: LGPL-3.0-or-later
"""How many electrons a structure has, and a density with exactly so many."""

import math

from .errors import ChargeError
from .mapped import by_planes
from .quantities import split_kind
from .species import species_of

__all__ = ["expected_electrons", "known_valences", "parse_electrons", "rescale"]

AUTO = "auto"
# Valences of potentials have two decimals at most (VASP's fractional hydrogens).
_DECIMALS = 2


def expected_electrons(info, atoms):
    """Electrons of a neutral structure.

    Parameters
    ----------
    info : dict
        ``ChargeModel.info``: the valences of the pseudopotentials, where the
        model knows them, or those that the training data tell.
    atoms : ase.Atoms

    Returns
    -------
    float or None
        None where a valence is not known, or where the model does not predict
        the total density.
    """
    if not split_kind(info.get("kind"))[1].is_total:
        return None
    valence = known_valences(info)
    names = species_of(atoms)
    if set(names) - set(valence):
        return None
    return sum(valence[name] for name in names)


def known_valences(info):
    """Valences that a model knows, {type: electrons}; see :func:`expected_electrons`."""
    valence = {**info.get("valence", {}), **(info.get("saed") or {}).get("valence", {})}
    return {name: round(z, _DECIMALS) for name, z in valence.items()}


def parse_electrons(text, path, info, atoms):
    """Read a number of electrons, or "auto".

    Returns
    -------
    float

    Raises
    ------
    ChargeError
        If it is neither, or a valence is not known.
    """
    if text == AUTO:
        quantity = split_kind(info.get("kind"))[1]
        if not quantity.is_total:
            raise ChargeError(
                f"{path}: predicts {quantity.name}, whose integral does not follow from valences;"
                " give --electrons N"
            )
        number = expected_electrons(info, atoms)
        if number is None:
            raise ChargeError(
                f"{path}: the model does not know the valences of all elements; give --electrons N"
            )
        return number
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (number > 0 and math.isfinite(number)):
        raise ChargeError(f"--electrons {text}: give a positive number, or {AUTO}")
    return number


def rescale(density, electrons):
    """Multiply a density, in place, so that it holds so many electrons.

    Parameters
    ----------
    density : Density
    electrons : float

    Returns
    -------
    float
        The factor.

    Raises
    ------
    ChargeError
        If the density holds no electrons to speak of.
    """
    found = density.n_electrons
    if not found > 0:
        raise ChargeError(f"a density of {found:.4f} electrons cannot be scaled to {electrons:g}")
    for plane in by_planes(density.values):
        plane *= electrons / found
    return electrons / found
