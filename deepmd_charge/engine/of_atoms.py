# SPDX-License-Identifier: LGPL-3.0-or-later
"""What the surroundings of each atom make of it, once for a structure: see :class:`OfAtoms`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TypeAlias
from weakref import WeakKeyDictionary

import numpy as np

from ..atoms.images import Images
from ..model.neighbors import Neighbors, around_some
from ..model.spec import ModelSpec
from ..typing import Floats, Integers

__all__ = ["OfAtoms", "OfStructures", "Rows"]

# Atoms that are computed together, more where they ask for their neighbours' surroundings,
# and the cubes (A) in which these lie.
_TOGETHER, _MORE, _CUBE = 64, 256, 10.0

# Rows (1, atoms, ...) of the other atoms around some atoms, the elements of these, (1, atoms),
# and the places of their neighbours among them, (1, atoms, neighbours).
Rows: TypeAlias = Callable[[Neighbors, Integers, Integers], Floats]


class OfAtoms:
    """A row for each atom of a structure, computed when needed.

    They are computed in float64, and those of the same atoms together whatever is asked for:
    so each is the same to the last bit.

    Parameters
    ----------
    spec : ModelSpec
    images : Images
        The atoms, with images as far as the model reaches.
    compute : callable
        Gives the rows of some atoms.
    shape : tuple of int
        Of a row.
    real : {"float32", "float64"}
        What rows are rounded to.

    Attributes
    ----------
    bins : Bins
        Atoms and images, labelled by their rows.
    atoms : np.ndarray
        (rows,) which atom of the structure each row is of.
    """

    def __init__(
        self, spec: ModelSpec, images: Images, compute: Rows, shape: tuple[int, ...], real: str
    ) -> None:
        self._spec, self._compute = spec, compute
        self._d = d = spec.descriptor
        # rows of atoms that are near each other
        cubes = np.floor(images.positions[images.originals] / _CUBE)
        self.atoms = np.lexsort(cubes.T)
        self.bins = images.binned(np.argsort(self.atoms)[images.parents], d.rcut)
        # memory that nobody writes to takes no room; the kernel may look at a first row
        self._table = np.empty((max(len(self.atoms), 1), *shape), real)
        self._together = _MORE if d.exact else _TOGETHER
        self._known = np.zeros(-(-len(self.atoms) // self._together), dtype=bool)
        self._lock = threading.Lock()

    def near(self, images: Images, points: Floats) -> Floats:
        """The rows, filled for the atoms that points see."""
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
                self._table[rows] = self._of(images, self.atoms[rows])
                self._known[part] = True
        return self._table

    def all(self, images: Images) -> Floats:
        """The rows of all atoms, in their order."""
        out = np.empty_like(self._table[: len(self.atoms)])
        for start in range(0, len(self.atoms), self._together):
            rows = slice(start, start + self._together)
            out[self.atoms[rows]] = self._of(images, self.atoms[rows])
        return out

    def _of(self, images: Images, atoms: Integers) -> Floats:
        n = len(atoms)
        around, element, parents = around_some(self._spec, images, atoms)
        if self._d.exact:  # these ask for what their neighbours are like
            atoms = np.append(atoms, np.setdiff1d(parents[parents >= 0], atoms))
            around, element, parents = around_some(self._spec, images, atoms)
        # the places of neighbours among these atoms, beyond them those of others
        places = np.full(len(self.atoms) + 1, len(atoms))
        places[atoms] = np.arange(len(atoms))
        places[-1] = -1
        with np.errstate(over="ignore"):  # of activation functions, far from the training data
            found = self._compute(around, element, places[parents])
        return found[0, :n]


class OfStructures:
    """An :class:`OfAtoms` for each structure that is looked at, for as long as it is.

    Parameters
    ----------
    make : callable
        Makes it of a structure's Images.
    """

    def __init__(self, make: Callable[[Images], OfAtoms]) -> None:
        self._make = make
        self._known: WeakKeyDictionary[Images, OfAtoms] = WeakKeyDictionary()
        self._lock = threading.Lock()

    def __call__(self, images: Images) -> OfAtoms:
        """That of one structure."""
        with self._lock:
            if images not in self._known:
                self._known[images] = self._make(images)
            return self._known[images]
