# SPDX-License-Identifier: LGPL-3.0-or-later
"""Whether a compiled model computes what its equations say: see :class:`Trial`."""

from __future__ import annotations

import math

import numpy as np

from ..atoms.images import Images
from ..model import reference
from ..model.neighbors import list_of_images, neighbors
from ..model.spec import ModelSpec
from ..model.weights import COEFFICIENTS, STEP, Weights
from ..typing import Floats
from .family import Function

__all__ = ["Trial", "probes"]


class Trial:
    """A model in atoms as dense as those of its training data, by its equations.

    Errors are in e/A^3, and where the density is larger than 1 e/A^3 shares of it.

    Parameters
    ----------
    spec : ModelSpec
    weights : Weights

    Attributes
    ----------
    rounding : float
        What rounding to the model's precision changes: about what it does in its graph.
    """

    def __init__(self, spec: ModelSpec, weights: Weights) -> None:
        reach = spec.descriptor.reach
        if weights.superposed:
            reach = max(reach, float(weights[STEP]) * weights[COEFFICIENTS].shape[1])
        self._images, self._points = probes(spec, weights, reach)
        learnt = Weights(spec, {n: w for n, w in weights.items() if n not in (STEP, COEFFICIENTS)})
        near = list_of_images(spec, self._images, self._points, spec.descriptor.rcut)
        with np.errstate(all="ignore"):  # what overflows on the way is told by the result
            exact, rounded = (
                reference.evaluate(spec, w, *near, len(self._points))[0]
                for w in (learnt.map(lambda array: array.astype(np.float64)), learnt)
            )
        self._expected = exact
        self.rounding = _distance(rounded, exact)
        self._superposed = np.zeros(len(self._points))
        if weights.superposed:
            around = neighbors(spec, *list_of_images(spec, self._images, self._points, reach))
            around = around.first(len(self._points))
            self._superposed = reference.superposition(spec, weights, around)[0]

    def error(self, difference: Function, superposition: Function | None) -> float:
        """How far the parts of a compiled model are off, the largest of points and parts."""
        error = _distance(difference(self._images, self._points), self._expected)
        if superposition is None:
            return error
        superposed = superposition(self._images, self._points)
        return float(np.maximum(error, _distance(superposed, self._superposed)))


def _distance(found: Floats, expected: Floats) -> float:
    """The largest difference; not a number if there is one that is none."""
    return float(np.max(np.abs(found - expected) / np.maximum(1.0, np.abs(expected))))


def probes(spec: ModelSpec, weights: Weights, reach: float) -> tuple[Images, Floats]:
    """Atoms, and points between, near and on them.

    A simple cubic lattice, a little disordered, with as many atoms in a volume as the training
    data have around their points, the elements in the shares that they have there.

    Parameters
    ----------
    spec : ModelSpec
    weights : Weights
    reach : float
        How far the images of the atoms are to go, A.

    Returns
    -------
    images : Images
    points : np.ndarray
        (n, 3) A, the first 32 anywhere.
    """
    from ase import Atoms

    rng = np.random.default_rng(0)
    low, high = (np.asarray(weights[f"neighbor_range.{end}"], float) for end in ("low", "high"))
    rcut = spec.descriptor.rcut
    # an atom's share in the neighbour count, over all places: the integral of f_c
    share = 4.0 * np.pi * rcut**3 * 16.0 / 315.0
    number = 0.5 * (low + high) / share
    present = np.flatnonzero(number)
    side = max(3, math.ceil((2 * len(present)) ** (1 / 3)))
    # no point has as many of each element as it can have: one of them has its most somewhere
    total = 0.5 * (low.sum() + max(low.sum(), high.max())) / share
    spacing = total ** (-1 / 3)
    sites = np.moveaxis(np.indices([side] * 3), 0, -1).reshape(-1, 3)
    atoms = (sites + rng.normal(scale=0.08, size=sites.shape)) * spacing
    kinds = rng.choice(len(number), len(sites), p=number / number.sum())
    kinds[: len(present)] = present
    cell = np.eye(3) * side * spacing
    structure = Atoms(positions=atoms, cell=cell, pbc=True)
    images = Images(structure, np.array(spec.elements)[kinds], reach)
    away = rng.normal(size=atoms.shape) * 10.0 ** rng.uniform(-4, 0, (len(atoms), 1))
    points = np.concatenate([rng.uniform(size=(32, 3)) @ cell, atoms, atoms + away])
    return images, images.wrap(points)
