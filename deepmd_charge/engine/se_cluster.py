# SPDX-License-Identifier: LGPL-3.0-or-later
"""What a model of the family ``se_cluster`` has learnt, compiled: see :class:`SeCluster`."""

from __future__ import annotations

import threading
from weakref import WeakKeyDictionary

import numpy as np

from ..atoms.images import Images
from ..model.descriptors.se_cluster import SeClusterSpec
from ..model.equations.se_cluster import coefficients
from ..model.neighbors import around_some
from ..model.spec import ModelSpec
from ..model.weights import Weights
from ..typing import Floats, Integers
from .family import Family, Function

__all__ = ["Contributions", "SeCluster"]

# Atoms whose coefficients are computed together, more where they ask for their neighbours'
# surroundings, and the cubes (A) in which these lie.
_TOGETHER, _MORE, _CUBE = 64, 256, 10.0


class SeCluster(Family):
    """The coefficients of each structure's atoms, for ``se_cluster_writer``."""

    def compile(self, real: str) -> Function:
        """See :meth:`.Family.compile`."""
        from .se_cluster_writer import build

        kernel = build(self.spec.family(SeClusterSpec), real)
        weights = self.weights.map(lambda array: np.asarray(array, np.float64))
        structures: WeakKeyDictionary[Images, Contributions] = WeakKeyDictionary()
        lock = threading.Lock()

        def difference(images: Images, points: Floats) -> Floats:
            with lock:
                if images not in structures:
                    structures[images] = Contributions(self.spec, weights, images, real)
                of_atoms = structures[images]
            return kernel.at(points, images, of_atoms.bins, of_atoms.near(images, points))

        return difference


class Contributions:
    """The coefficients of the contributions of a structure's atoms, computed when needed.

    They are computed in float64, and of the same atoms together whatever is asked for: so each
    is the same to the last bit.

    Parameters
    ----------
    spec : ModelSpec
    weights : Weights
        In float64.
    images : Images
        The atoms, with images as far as the model reaches.
    real : {"float32", "float64"}
        What coefficients are rounded to.

    Attributes
    ----------
    bins : Bins
        Atoms and images, labelled by their rows among the coefficients.
    """

    def __init__(self, spec: ModelSpec, weights: Weights, images: Images, real: str) -> None:
        self._d = d = spec.family(SeClusterSpec)
        self._spec, self._weights = spec, weights
        # rows of atoms that are near each other
        cubes = np.floor(images.positions[images.originals] / _CUBE)
        self._atoms = np.lexsort(cubes.T)
        self.bins = images.binned(np.argsort(self._atoms)[images.parents], d.rcut)
        # memory that nobody writes to takes no room
        self._table = np.empty((len(self._atoms), (d.lmax + 1) ** 2, d.n_radial), real)
        self._together = _MORE if d.exact else _TOGETHER
        self._known = np.zeros(-(-len(self._atoms) // self._together), dtype=bool)
        self._lock = threading.Lock()

    def near(self, images: Images, points: Floats) -> Floats:
        """Coefficients (atoms, (lmax + 1)^2, n_radial), filled for those that points see."""
        if self._known.all():
            return self._table
        # a little more than the kernel takes: it multiplies by zero, but not what is no number
        reach = self._d.rcut + 1e-3
        seen = self.bins.between(points.min(axis=0) - reach, points.max(axis=0) + reach)
        needed = np.zeros_like(self._known)
        needed[seen // self._together] = True
        with self._lock:
            for part in np.flatnonzero(needed & ~self._known):
                rows = slice(part * self._together, (part + 1) * self._together)
                self._table[rows] = self._of(images, self._atoms[rows])
                self._known[part] = True
        return self._table

    def all(self, images: Images) -> Floats:
        """Coefficients of all atoms, in their order, (atoms, (lmax + 1)^2, n_radial)."""
        out = np.empty_like(self._table)
        for start in range(0, len(self._atoms), self._together):
            rows = slice(start, start + self._together)
            out[self._atoms[rows]] = self._of(images, self._atoms[rows])
        return out

    def _of(self, images: Images, atoms: Integers) -> Floats:
        n = len(atoms)
        around, element, parents = around_some(self._spec, images, atoms)
        if self._d.exact:  # these ask for what their neighbours are like
            atoms = np.append(atoms, np.setdiff1d(parents[parents >= 0], atoms))
            around, element, parents = around_some(self._spec, images, atoms)
        # the places of neighbours among these atoms, beyond them those of others
        places = np.full(len(self._atoms) + 1, len(atoms))
        places[atoms] = np.arange(len(atoms))
        places[-1] = -1
        with np.errstate(over="ignore"):  # of activation functions, far from the training data
            found = coefficients(self._spec, self._weights, around, element, places[parents])
        return found[0, :n]
