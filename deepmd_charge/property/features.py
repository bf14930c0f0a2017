# SPDX-License-Identifier: LGPL-3.0-or-later
"""All invariants of a density, in one vector, and the same of its difference from free atoms."""

from __future__ import annotations

import hashlib
import json
import warnings
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..errors import ChargeError
from ..grid.density import Density
from ..typing import Floats
from .field import Field
from .invariants import bonds, distribution, gradients, shells, spectrum
from .invariants.feature import Feature

__all__ = ["DIFFERENCE", "FEATURES", "Feature", "definition", "difference", "features"]

_BLOCKS = (distribution, gradients, spectrum, bonds, shells)
FEATURES = tuple(feature for block in _BLOCKS for feature in block.FEATURES)
# The same of another density: what it gained over free atoms.
DIFFERENCE = tuple(replace(feature, name=f"difference_{feature.name}") for feature in FEATURES)
# Of the values; to be raised where these change under formulas that stay.
_VERSION = 2
# Superpositions have the electrons of the density, but for what a coarse grid makes of them.
_ELECTRONS = 0.02
# The part of a superposition that is rounding.
_NOTHING = 1e-9


def features(density: Density) -> Floats:
    """Evaluate the invariants of a density.

    Parameters
    ----------
    density : Density
        Of a cell that is taken as periodic; of any quantity.

    Returns
    -------
    np.ndarray, shape (n,)
        In the order of ``FEATURES``.

    Raises
    ------
    ChargeError
        If it has values that are no numbers, or no atoms.
    """
    field = Field(density)
    return np.concatenate([block.evaluate(field) for block in _BLOCKS])


def difference(density: Density, atoms: Density) -> Density:
    """Subtract the superposed atoms from a density of the same electrons.

    Parameters
    ----------
    density, atoms : Density
        On one grid.

    Returns
    -------
    Density

    Raises
    ------
    ChargeError
        If they do not have as many electrons, so that the difference would be of another kind.

    Warns
    -----
    UserWarning
        If they are the same, so that there is no difference.
    """
    n, superposed = density.n_electrons, atoms.n_electrons
    if abs(n - superposed) > _ELECTRONS * max(abs(n), 1.0):
        raise ChargeError(
            f"has {n:.2f} electrons, its superposed atoms {superposed:.2f}: give the atoms of its"
            " own potentials by --saed"
        )
    change = density - atoms
    if np.abs(change.values).max() < _NOTHING * np.abs(atoms.values).max():
        warnings.warn(
            "is no other than its superposed atoms (a structure?): features of the difference are"
            " noise; give a density",
            stacklevel=2,
        )
    return change


def definition(columns: Sequence[Feature]) -> str:
    """A word for what features are, which changes with their names, units and formulas.

    Returns
    -------
    str
        Begins with a letter: no reader of tables takes it for a number.
    """
    content = json.dumps([_VERSION, *([f.name, f.unit, f.formula] for f in columns)])
    return f"v{hashlib.sha256(content.encode()).hexdigest()[:12]}"
