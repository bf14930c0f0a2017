# SPDX-License-Identifier: LGPL-3.0-or-later
"""Whether a compiled model computes what its equations say: see :class:`Trial`."""

import math

import numpy as np
from ase import Atoms

from ..sampling import GRID_TYPE
from .images import Images
from .reference import Reference, superposition

__all__ = ["Trial"]


class Trial:
    """A model in atoms as dense as those of its training data, by its equations.

    Errors are in e/A^3, and where the density is larger than 1 e/A^3 shares of it.

    Parameters
    ----------
    frozen : Frozen
        A model with its arguments.

    Attributes
    ----------
    rounding : float
        What rounding to the model's precision changes: about what it does in its graph.
    """

    def __init__(self, frozen):
        self._images, self._points = _probes(frozen)
        scene = self._images, self._points
        self._expected = Reference(frozen)(*scene)
        self.rounding = _distance(Reference(frozen, rounded=True)(*scene), self._expected)
        self._superposed = superposition(frozen, *scene) if frozen.saed else None

    def error(self, engine):
        """How far the parts of a compiled model are off, the largest of points and parts."""
        error = _distance(engine.difference(self._images, self._points), self._expected)
        if self._superposed is None:
            return error
        superposed = engine.superposition(self._images, self._points)
        return np.maximum(error, _distance(superposed, self._superposed))


def _distance(found, expected):
    """The largest difference; not a number if there is one that is none."""
    return np.max(np.abs(found - expected) / np.maximum(1.0, np.abs(expected)))


def _probes(frozen):
    """Atoms, and points between, near and on them.

    A simple cubic lattice, a little disordered, with as many atoms of each
    element in a volume as the training data have around their points.
    """
    rng = np.random.default_rng(0)
    low, high = (
        np.asarray(frozen.constants[f"se_charge/crowding_{end}"], float) for end in ("low", "high")
    )
    rcut = float(frozen.arguments["descriptor"]["rcut"])
    # an atom's share in the crowding, over all places: the integral of f_c
    number = 0.5 * (low + high) / (4.0 * np.pi * rcut**3 * 16.0 / 315.0)
    present = np.flatnonzero(number)
    side = max(3, math.ceil((2 * len(present)) ** (1 / 3)))
    spacing = number.sum() ** (-1 / 3)
    sites = np.stack(np.indices([side] * 3), axis=-1).reshape(-1, 3)
    atoms = (sites + rng.normal(scale=0.08, size=sites.shape)) * spacing
    kinds = rng.choice(len(number), len(sites), p=number / number.sum())
    kinds[: len(present)] = present
    elements = np.array([k for k, name in enumerate(frozen.type_map) if name != GRID_TYPE])
    cell = np.eye(3) * side * spacing
    images = Images(Atoms(positions=atoms, cell=cell, pbc=True), elements[kinds], frozen.reach)
    away = rng.normal(size=atoms.shape) * 10.0 ** rng.uniform(-4, 0, (len(atoms), 1))
    points = np.concatenate([rng.uniform(size=(32, 3)) @ cell, atoms, atoms + away])
    return images, images.wrap(points)
