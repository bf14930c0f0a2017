# SPDX-License-Identifier: LGPL-3.0-or-later
"""What the nets of ``se_cluster`` take from the training data before training."""

from __future__ import annotations

import numpy as np

from ...atoms.images import Images
from ...typing import Floats
from ..equations.gates import invariants
from ..equations.se_cluster import features
from ..neighbors import around_atoms
from ..spec import ModelSpec
from ..weights import Weights

__all__ = ["invariant_scales"]

# Least unit of an invariant: what hardly varies shall not be made large. The first component of
# each kind has a deviation of one.
_LEAST = 1e-3


def invariant_scales(
    spec: ModelSpec, weights: Weights, structures: list[Images]
) -> dict[str, Floats]:
    """The mean and unit of the invariants of each element's atoms in some structures.

    Parameters
    ----------
    spec : ModelSpec
    weights : Weights
        Of these the components.
    structures : list of Images

    Returns
    -------
    dict
        ``gate.mean`` and ``gate.scale``, see :func:`deepmd_charge.model.weights.shapes`.
    """
    found = [
        (invariants(features(spec, weights, around, element))[0], element[0])
        for images in structures
        for around, element in around_atoms(spec, images)
    ]
    s, element = (np.concatenate(parts) for parts in zip(*found, strict=True))
    mean = np.zeros((len(spec.elements), s.shape[1]))
    scale = np.ones_like(mean)
    for z in np.unique(element):
        mine = s[element == z]
        mean[z], scale[z] = mine.mean(axis=0), np.maximum(mine.std(axis=0), _LEAST)
    return {"gate.mean": mean, "gate.scale": scale}
