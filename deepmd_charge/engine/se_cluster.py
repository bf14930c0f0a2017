# SPDX-License-Identifier: LGPL-3.0-or-later
"""What a model of the family ``se_cluster`` has learnt, compiled: see :class:`SeCluster`."""

from __future__ import annotations

import numpy as np

from ..atoms.images import Images
from ..model.descriptors.se_cluster import SeClusterSpec
from ..model.equations.se_cluster import coefficients
from ..model.neighbors import Neighbors
from ..model.spec import ModelSpec
from ..model.weights import Weights
from ..typing import Floats, Integers
from .family import Family, Function
from .of_atoms import OfAtoms, OfStructures

__all__ = ["SeCluster", "contributions"]


class SeCluster(Family):
    """The coefficients of each structure's atoms, for ``se_cluster_writer``."""

    def compile(self, real: str) -> Function:
        """See :meth:`.Family.compile`."""
        from .se_cluster_writer import build

        kernel = build(self.spec.family(SeClusterSpec), real)
        weights = self.weights.map(lambda array: np.asarray(array, np.float64))
        structures = OfStructures(lambda images: contributions(self.spec, weights, images, real))

        def difference(images: Images, points: Floats) -> Floats:
            of_atoms = structures(images)
            return kernel.at(points, images, of_atoms.bins, of_atoms.near(images, points))

        return difference


def contributions(spec: ModelSpec, weights: Weights, images: Images, real: str) -> OfAtoms:
    """The coefficients of the contributions of a structure's atoms, ((lmax + 1)^2, n_radial) each.

    Parameters
    ----------
    spec : ModelSpec
    weights : Weights
        In float64.
    images : Images
        The atoms, with images as far as the model reaches.
    real : {"float32", "float64"}
        What they are rounded to.
    """
    d = spec.family(SeClusterSpec)

    def compute(around: Neighbors, element: Integers, places: Integers) -> Floats:
        return coefficients(spec, weights, around, element, places)

    return OfAtoms(spec, images, compute, ((d.lmax + 1) ** 2, d.n_radial), real)
