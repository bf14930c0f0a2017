# SPDX-License-Identifier: LGPL-3.0-or-later
"""How many electrons a structure has, and a density with exactly so many."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING

from ..atoms.species import species_of
from ..errors import ChargeError
from ..grid.density import Density
from ..grid.mapped import by_planes
from ..model.info import ModelInfo

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["electrons_in_doubt", "expected_electrons", "parse_electrons", "rescale"]

AUTO = "auto"
# Electrons in doubt with which a whole number is not known any more.
_DOUBT = 0.5


def expected_electrons(memory: ModelInfo, atoms: Atoms) -> float | None:
    """Electrons of a neutral structure.

    Parameters
    ----------
    memory : ModelInfo
        ``ChargeModel.memory``: the valences of the pseudopotentials, where the
        model knows them, or those that the training data tell.
    atoms : ase.Atoms

    Returns
    -------
    float or None
        None where a valence is not known, or where the model does not predict
        the total density.
    """
    found = _neutral(memory, atoms)
    return found[0] if found else None


def electrons_in_doubt(memory: ModelInfo, atoms: Atoms) -> float:
    """By how many electrons :func:`expected_electrons` may be wrong.

    The files of the training may hold other numbers than whole valences, for they
    are of charged cells or not exact. What that leaves open of a valence counts
    for each atom.

    Returns
    -------
    float
    """
    found = _neutral(memory, atoms)
    return found[1] if found else 0.0


def _neutral(memory: ModelInfo, atoms: Atoms) -> tuple[float, float] | None:
    """Electrons of a neutral structure, and how many are in doubt; None if not known."""
    counts, valences = Counter(species_of(atoms)), memory.valences
    if memory.quantity not in ("total", None) or counts.keys() - valences:
        return None
    terms = [(n, *valences[name]) for name, n in counts.items()]
    return sum(n * valence for n, valence, _ in terms), sum(n * doubt for n, _, doubt in terms)


def parse_electrons(text: str | float, path: str, memory: ModelInfo, atoms: Atoms) -> float:
    """Read a number of electrons, or "auto".

    Returns
    -------
    float

    Raises
    ------
    ChargeError
        If it is neither, or a valence is not known, or not well enough for a
        structure of this size.
    """
    if text == AUTO:
        return _auto(path, memory, atoms)
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not (number > 0 and math.isfinite(number)):
        raise ChargeError(f"--electrons {text}: give a positive number, or {AUTO}")
    return number


def _auto(path: str, memory: ModelInfo, atoms: Atoms) -> float:
    """Electrons of a neutral structure, where the valences tell them well enough."""
    if memory.quantity not in ("total", None):
        raise ChargeError(
            f"{path}: predicts {memory.quantity}, whose integral does not follow from valences;"
            " give --electrons N"
        )
    found = _neutral(memory, atoms)
    if found is None:
        raise ChargeError(
            f"{path}: the model does not know the valences of all elements; give --electrons N"
        )
    number, doubt = found
    if round(doubt, 6) >= _DOUBT:
        valences = ", ".join(
            f"{name} {valence:.6g} +- {error:.2g}"
            for name, (valence, error) in memory.valences.items()
            if error and name in species_of(atoms)
        )
        raise ChargeError(
            f"{path}: the electrons of its training data leave {doubt:.2g} electrons of this"
            f" structure in doubt ({valences}), as those of charged cells do; give --electrons N"
        )
    return number


def rescale(density: Density, electrons: float, name: str) -> float:
    """Multiply a density, in place, so that it holds so many electrons.

    Parameters
    ----------
    density : Density
    electrons : float
    name : str
        What complaints are about: a file to write, or a model.

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
        raise ChargeError(
            f"{name}: {found:.4f} electrons predicted, which cannot be scaled to {electrons:g}: the"
            " structure is far from the training data; check its cell and units"
        )
    for plane in by_planes(density.values):
        plane *= electrons / found
    return electrons / found
