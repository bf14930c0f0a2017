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
from ...typing import Floats, Integers
from ..descriptors.se_cluster import SeClusterSpec
from ..neighbors import neighbor_counts
from ..spec import ModelSpec
from ..weights import Weights
from .design import Block, Pairs, Surroundings

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["Part", "Points", "Sample", "neighbor_range"]

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
    group : int or None
        Number of the structure, or of its system, that is held out at once; None where there is
        one structure.
    n_folds : int
    """

    surroundings: Surroundings
    points: Floats
    labels: Floats
    weights: Floats
    group: int | None
    n_folds: int

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
        if self.group is not None:
            return np.full(len(self.points), self.group % self.n_folds)
        # neighbours in different folds: a stride mixes the order of atoms
        return self.surroundings.nearest(self.points) % self.n_folds

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
        self.count = 0
        self.image_distance = float("inf")
        for sample in samples():
            if sample.structure not in self._places:
                apart = image_distance(sample.atoms.cell.array, sample.atoms.pbc)
                self.image_distance = min(self.image_distance, apart)
                place = self._places[sample.structure] = len(self._places)
                self._systems.setdefault(sample.system, []).append(place)
                reach = max(d.rcut_env, d.rcut_product)
                self.structures.append(Images(sample.atoms, sample.types, reach))
            self.count += len(sample.values)
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
        groups = list(range(len(self._places)))
        if self.by_system:
            for number, places in enumerate(self._systems.values()):
                for place in places:
                    groups[place] = number
        for structure, some in groupby(self._samples(), key=lambda sample: sample.structure):
            first = next(some)
            images = Images(first.atoms, first.types, d.reach)
            surroundings = Surroundings(self._spec, known, images)
            group = groups[self._places[structure]] if self.by_structure else None
            for points, labels, weights in _together(chain([first], some), size):
                yield Part(surroundings, images.wrap(points), labels, weights, group, n_folds)


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


def neighbor_range(spec: ModelSpec, samples: Iterable[Sample]) -> tuple[Floats, Floats]:
    """The least and largest count of neighbours of points, (elements,) each.

    See :func:`deepmd_charge.model.reference.neighbor_count`; some points of every sample are
    looked at.
    """
    low, high = np.full(len(spec.elements), np.inf), np.zeros(len(spec.elements))
    for _, some in groupby(samples, key=lambda sample: sample.structure):
        first = next(some)
        images = Images(first.atoms, first.types, spec.descriptor.rcut)
        for sample in chain([first], some):
            if not len(sample.points):
                continue
            points = images.wrap(sample.points[:_COUNTED])
            counts = neighbor_counts(spec, images, points)
            low, high = np.minimum(low, counts.min(axis=0)), np.maximum(high, counts.max(axis=0))
    return np.where(np.isfinite(low), low, 0.0), high
