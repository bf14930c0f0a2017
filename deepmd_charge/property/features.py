# SPDX-License-Identifier: LGPL-3.0-or-later
"""All invariants of a density, in one vector."""

from __future__ import annotations

import numpy as np

from ..grid.density import Density
from ..typing import Floats
from .field import Field
from .invariants import bonds, distribution, gradients, shells, spectrum

__all__ = ["FEATURES", "features"]

_BLOCKS = (distribution, gradients, spectrum, bonds, shells)
FEATURES = tuple(feature for block in _BLOCKS for feature in block.FEATURES)


def features(density: Density) -> Floats:
    """Evaluate the invariants of a density.

    Parameters
    ----------
    density : Density
        Of a cell that is taken as periodic.

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
