# SPDX-License-Identifier: LGPL-3.0-or-later
r"""The rows of the linear system that the coefficients of ``se_cluster`` solve.

.. math::
    \rho(\mathbf r_p) = \sum_{z k n} X_{p,zkn} W^z_{k,n}, \qquad
    X_{p,zkn} = \sum_{I \in z} R_n(r_{pI}) \sum_m \Phi_{I,k,m} Y_{lm}(\mathbf u_{pI})

with l that of feature k: see :mod:`deepmd_charge.model.equations.se_cluster`.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from ...atoms.images import Images
from ...typing import Floats, Integers
from ..descriptors.se_cluster import SeClusterSpec
from ..equations.moments import of_directions
from ..equations.se_cluster import environment, features
from ..neighbors import Neighbors, surroundings
from ..spec import ModelSpec
from ..weights import Weights

__all__ = ["Surroundings", "environment_of", "feature_orders"]

# Atoms whose surroundings are worked out together, and numbers of the rows' blocks.
_ATOMS = 256


def feature_orders(spec: ModelSpec) -> Integers:
    """How many neighbours at a time each feature tells of, (features,): 0, 1 or 2."""
    d = spec.family(SeClusterSpec)
    channels = d.channels(len(spec.elements)) if d.order else 0
    orders: list[int] = []
    for l, n in enumerate(d.n_features(len(spec.elements))):
        first = [0] * (l == 0) + [1] * channels
        orders += first + [2] * (n - len(first))
    return np.array(orders)


def environment_of(spec: ModelSpec, weights: Weights, images: Images) -> Floats:
    """The moments of the surroundings of all atoms, (atoms, (lmax + 1)^2, moments)."""
    return np.concatenate([environment(spec, weights, a)[0] for a in _around(spec, images)])


class Surroundings:
    """A structure, ready for the rows of points in it.

    Parameters
    ----------
    spec : ModelSpec
    weights : Weights
        Of these the coefficients of the contributions are not used.
    images : Images
        The atoms, with images as far as the model reaches.
    """

    def __init__(self, spec: ModelSpec, weights: Weights, images: Images) -> None:
        self._d = spec.family(SeClusterSpec)
        self._images = images
        self._n_elements = len(spec.elements)
        self._element = spec.places[images.types]
        parts = zip(*(features(spec, weights, a) for a in _around(spec, images)), strict=True)
        # of each l (atoms, 2 l + 1, features)
        self._features = [np.concatenate([f[0] for f in of_l]) for of_l in parts]

    def nearest(self, points: Floats) -> Integers:
        """The atom that is nearest to each of some wrapped points (n, 3), A."""
        return self._images.parents[self._images.nearest(points)]

    def rows(self, points: Floats) -> Floats:
        """X at wrapped points (n, 3), A: (n, elements * features * n_radial) float64."""
        d, images = self._d, self._images
        point, image, _ = images.pairs(points, d.rcut)
        # by element, then by point
        order = np.argsort(self._element[image], kind="stable")
        point, image = point[order], image[order]
        vector = points[point] - images.positions[image]
        r = np.linalg.norm(vector, axis=1)
        y = of_directions(vector, r, d.lmax, d.eps)  # (harmonics, pairs)
        radial = np.stack(d.basis(np, r), axis=-1)
        turned = self._turned(y, images.parents[image])
        element, n = self._element[image], len(points)
        n_features = turned.shape[1]
        out = np.zeros((n, self._n_elements, n_features, d.n_radial))
        for z in np.unique(element):
            mine = slice(*np.searchsorted(element, [z, z + 1]))
            count = np.bincount(point[mine], minlength=n)
            # pairs of a point in one row of a table, which ends with zeros
            slot = np.arange(len(point[mine])) - np.repeat(np.cumsum(count) - count, count)
            table = np.zeros((n, count.max(), n_features + d.n_radial))
            table[point[mine], slot, :n_features] = turned[mine]
            table[point[mine], slot, n_features:] = radial[mine]
            out[:, z] = np.matmul(
                table[..., :n_features].transpose(0, 2, 1), table[..., n_features:]
            )
        return out.reshape(n, -1)

    def _turned(self, y: Floats, atom: Integers) -> Floats:
        """The features along the directions of pairs, (pairs, features)."""
        out = np.empty((len(atom), sum(f.shape[-1] for f in self._features)))
        order = np.argsort(atom, kind="stable")
        found, first = np.unique(atom[order], return_index=True)
        for a, mine in zip(found, np.split(order, first[1:]), strict=True):
            along = y[:, mine].T
            parts = [
                along[:, l * l : (l + 1) ** 2] @ f[a] for l, f in enumerate(self._features)
            ]
            out[mine] = np.concatenate(parts, axis=1)
        return out


def _around(spec: ModelSpec, images: Images) -> Iterator[Neighbors]:
    """Yield the other atoms around each atom, in blocks of atoms."""
    for start in range(0, len(images.originals), _ATOMS):
        stop = min(start + _ATOMS, len(images.originals))
        yield surroundings(spec, images, np.arange(start, stop))
