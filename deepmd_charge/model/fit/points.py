# SPDX-License-Identifier: LGPL-3.0-or-later
"""The points of a fit: what samples hold, and how they stream, block by block."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain, groupby
from typing import TYPE_CHECKING

import numpy as np

from ...atoms.images import Images
from ...atoms.order import image_distance
from ...errors import ChargeError
from ...typing import Booleans, Floats, Integers
from ..descriptors.se_cluster import SeClusterSpec
from ..neighbors import neighbor_counts
from ..spec import ModelSpec
from ..weights import Weights
from .design import Block, Pairs, Surroundings
from .folds import folds_of

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["CORE", "Part", "Points", "Sample", "surveyed"]

# Within this distance of an atom its own density is learnt, A.
CORE = 1.0

# Points of a sample whose neighbours are counted.
_COUNTED = 500


@dataclass(frozen=True)
class Sample:
    """Some points of a structure.

    Attributes
    ----------
    atoms : ase.Atoms
    types : np.ndarray
        (atoms,) places in the type map.
    points : np.ndarray
        (n, 3) A
    values : np.ndarray
        (n,) what is to be learnt, e/A^3.
    weights : np.ndarray, optional
        (n,) how much each point counts; one by default.
    system : str
        The DP system that it is from.
    """

    atoms: Atoms
    types: Integers
    points: Floats
    values: Floats
    weights: Floats | None = None
    system: str = ""

    @property
    def structure(self) -> bytes:
        """bytes: The same for samples of the same structure."""
        parts = (self.atoms.positions, self.atoms.cell.array, self.types, self.atoms.pbc)
        return b"".join(np.ascontiguousarray(part).tobytes() for part in parts)


@dataclass(frozen=True)
class Part:
    """A block of points of one structure, whose surroundings are looked up when asked for.

    Attributes
    ----------
    surroundings : Surroundings
    points : np.ndarray
        (n, 3) wrapped, A.
    labels : np.ndarray
        (n,) what is to be learnt, e/A^3.
    weights : np.ndarray
        (n,) how much each point counts.
    folds : int or np.ndarray
        The fold of all points; of the only structure those of its atoms, (atoms,).
    """

    surroundings: Surroundings
    points: Floats
    labels: Floats
    weights: Floats
    folds: int | Integers

    @cached_property
    def pairs(self) -> Pairs:
        """Pairs: The atoms around the points."""
        return self.surroundings.pairs(self.points)

    def block(self) -> Block:
        """The functions of these."""
        return self.surroundings.block(self.pairs)

    def values(self, block: Block) -> Floats:
        """What the columns have to say, (n,) e/A^3."""
        return self.labels - self.surroundings.known(block)

    @cached_property
    def fold(self) -> Integers:
        """np.ndarray: Which fold each point is in, (n,)."""
        if isinstance(self.folds, int):
            return np.full(len(self.points), self.folds)
        of_points: Integers = self.folds[self.surroundings.nearest(self.points)]
        return of_points

    def thinned(self, every: int) -> Part:
        """One of so many of the points."""
        points, labels, weights = (a[::every] for a in (self.points, self.labels, self.weights))
        return replace(self, points=points, labels=labels, weights=weights)


class Points:
    """All points of a fit, as often as they are gone through.

    Parameters
    ----------
    spec : ModelSpec
    samples : callable
        Gives all samples, each time it is called.

    Attributes
    ----------
    structures : list of Images
        The structures, with images as far as an atom sees.
    count : int
        Of the points.
    weight : float
        The mean of what they count.
    image_distance : float
        Shortest distance between images of an atom in any structure, A.

    Raises
    ------
    ChargeError
        If systems are to be held out in turn, and there is one.
    """

    def __init__(self, spec: ModelSpec, samples: Callable[[], Iterable[Sample]]) -> None:
        d = spec.family(SeClusterSpec)
        self._spec, self._samples = spec, samples
        self._places: dict[bytes, int] = {}
        self._systems: dict[str, list[int]] = {}  # the places of their structures
        self.structures: list[Images] = []
        self.count, weight = 0, 0.0
        self.image_distance = float("inf")
        for sample in samples():
            if sample.structure not in self._places:
                apart = image_distance(sample.atoms.cell.array, sample.atoms.pbc)
                self.image_distance = min(self.image_distance, apart)
                place = self._places[sample.structure] = len(self._places)
                self._systems.setdefault(sample.system, []).append(place)
                reach = max(d.rcut_env, d.rcut_product)
                self.structures.append(Images(sample.atoms, sample.types, reach))
            n = len(sample.values)
            self.count += n
            weight += n if sample.weights is None else float(sample.weights.sum())
        self.weight = weight / max(self.count, 1)
        if self.by_system and len(self._systems) < 2:
            raise ChargeError(
                'model/descriptor/held_out "systems": the training data are one DP system; give'
                " each phase or composition a system of its own, or leave this key out"
            )

    @property
    def by_structure(self) -> bool:
        """bool: Whether whole structures are in a fold, and not the points near some atoms."""
        return len(self._places) > 1

    @property
    def by_system(self) -> bool:
        """bool: Whether all structures of a system are in one fold."""
        return self._spec.family(SeClusterSpec).held_out == "systems"

    @property
    def most_folds(self) -> int:
        """int: The number of systems or structures, or of atoms of the only one."""
        if self.by_system:
            return len(self._systems)
        sizes = [len(images.originals) for images in self.structures]
        return len(sizes) if len(sizes) != 1 else sizes[0]

    @property
    def has_atoms(self) -> Booleans:
        """np.ndarray: Whether some structure has atoms of each element, (elements,)."""
        return np.isin(np.arange(len(self._spec.elements)), np.concatenate(self._kinds))

    @cached_property
    def _kinds(self) -> list[Integers]:
        """The elements of the atoms of each structure."""
        return [self._spec.places[i.types[i.originals]] for i in self.structures]

    def folds(self, n_folds: int) -> tuple[Integers, list[int]]:
        """The fold of each structure, or of each atom of the only one: see :func:`.folds_of`."""
        kinds = self._kinds
        if not self.by_system:
            # neighbours in different folds: a stride mixes the order of atoms
            return folds_of(kinds if self.by_structure else list(kinds[0][:, None]), n_folds)
        systems = list(self._systems.values())
        of_systems, alone = folds_of(
            [np.concatenate([kinds[place] for place in places]) for places in systems], n_folds
        )
        folds = np.empty(len(kinds), dtype=int)
        for fold, places in zip(of_systems, systems, strict=True):
            folds[places] = fold
        return folds, alone

    def parts(self, arrays: dict[str, Floats], n_folds: int, size: int) -> Iterator[Part]:
        """Yield all points, in blocks of a size at most.

        Parameters
        ----------
        arrays : dict
            Those of the model, of which the components are known.
        n_folds : int
        size : int
        """
        d = self._spec.family(SeClusterSpec)
        known = Weights(self._spec, arrays)
        folds, _ = self.folds(n_folds)
        for structure, some in groupby(self._samples(), key=lambda sample: sample.structure):
            first = next(some)
            images = Images(first.atoms, first.types, d.reach)
            surroundings = Surroundings(self._spec, known, images)
            own = int(folds[self._places[structure]]) if self.by_structure else folds
            for points, labels, weights in _together(chain([first], some), size):
                yield Part(surroundings, images.wrap(points), labels, weights, own)


def _together(samples: Iterable[Sample], size: int) -> Iterator[tuple[Floats, Floats, Floats]]:
    """Points, values and weights of samples of a structure: a number at a time, or the rest."""
    waiting: list[tuple[Floats, Floats, Floats]] = []
    n = 0
    for sample in samples:
        weights = np.ones(len(sample.points)) if sample.weights is None else sample.weights
        waiting.append((sample.points, sample.values, weights))
        n += len(sample.points)
        if n >= size:
            points, values, weights = (np.concatenate(part) for part in zip(*waiting, strict=True))
            whole = n - n % size
            for start in range(0, whole, size):
                part = slice(start, start + size)
                yield points[part], values[part], weights[part]
            waiting, n = [(points[whole:], values[whole:], weights[whole:])], n - whole
    if n:
        points, values, weights = (np.concatenate(part) for part in zip(*waiting, strict=True))
        yield points, values, weights


def surveyed(spec: ModelSpec, samples: Iterable[Sample]) -> tuple[Floats, Floats, Integers]:
    """Look up what is near to points.

    Returns
    -------
    low, high : np.ndarray
        (elements,) the least and largest count of neighbours, see
        :func:`deepmd_charge.model.reference.neighbor_count`, of some points of every sample.
    near : np.ndarray
        (elements,) points within 1 A of an atom of each.
    """
    n = len(spec.elements)
    low, high, near = np.full(n, np.inf), np.zeros(n), np.zeros(n, dtype=int)
    for _, some in groupby(samples, key=lambda sample: sample.structure):
        first = next(some)
        images = Images(first.atoms, first.types, max(spec.descriptor.rcut, CORE))
        for sample in chain([first], some):
            if not len(sample.points):
                continue
            points = images.wrap(sample.points)
            counts = neighbor_counts(spec, images, points[:_COUNTED])
            low, high = np.minimum(low, counts.min(axis=0)), np.maximum(high, counts.max(axis=0))
            atom = images.pairs(points, CORE)[1]
            near += np.bincount(spec.places[images.types[atom]], minlength=n)
    return np.where(np.isfinite(low), low, 0.0), high, near
