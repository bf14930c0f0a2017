# SPDX-License-Identifier: LGPL-3.0-or-later
"""The points that the statistics of ``se_charge`` look at, chosen from all of a training set.

A share is drawn from all points alike, and tells of the data as they are; others lie near
atoms, so many in each shell of distances about each element, so that the function of every
element is known as far in as the data allow. Each point draws its number from its own
coordinates and density: the choice has no seed, and depends neither on the order of the data
nor on how they are cut into frames, sets and systems.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from itertools import chain, groupby

import numpy as np

from ...atoms.images import Images
from ...typing import Booleans, Floats, Integers
from ..spec import ModelSpec
from .points import CORE, Sample

__all__ = ["Chosen", "choose_points"]

# Shells about the atoms of an element, A. The points beyond are many.
_SHELLS = np.array([0.0, 0.1, 0.2, 0.3, 0.45, 0.65, 0.9, 1.3, 2.0, 3.0])
# Most points of a shell of an element, and the share of all that may be near atoms.
_IN_SHELL, _NEAR = 100, 0.5
# Rows that wait before those of the least numbers are kept.
_WAITING = 50_000


@dataclass(frozen=True)
class Chosen:
    """Points of a training set.

    Attributes
    ----------
    samples : list of Sample
        The points of each structure. Their weights are one for those that were drawn from all
        points alike, zero for those that are there because they are near an atom.
    near : np.ndarray
        (elements,) the share of the points that were looked at within 1 A of an atom of each.
    n_near : np.ndarray
        (elements,) their number.
    is_there : np.ndarray
        (elements,) whether a structure that was looked at has atoms of each.
    """

    samples: list[Sample]
    near: Floats
    n_near: Integers
    is_there: Booleans

    @property
    def alike(self) -> list[Sample]:
        """Those points alone that were drawn from all alike."""
        kept = [_where(s, s.weights > 0.0) for s in self.samples if s.weights is not None]
        return [sample for sample in kept if len(sample.points)]


def choose_points(spec: ModelSpec, samples: Iterable[Sample], n_points: int) -> Chosen:
    """Choose a number of points at most.

    Parameters
    ----------
    spec : ModelSpec
    samples : iterable of Sample
        They are gone through once. The weight of a point is how many points it stands for.
    n_points : int

    Returns
    -------
    Chosen
        Sorted by elements and structure.
    """
    n_elements, n_shells = len(spec.elements), len(_SHELLS) - 1
    # group 0 is that of all points, the others are the shells of the elements
    most = np.full(1 + n_elements * n_shells, _IN_SHELL)
    most[0] = n_points
    least = _Least(most)
    structures: list[Sample] = []
    n_near, total = np.zeros(n_elements), 0.0
    is_there = np.zeros(n_elements, dtype=bool)
    for _, some in groupby(samples, key=lambda sample: sample.structure):
        first = next(some)
        images = Images(first.atoms, first.types, float(_SHELLS[-1]))
        is_there[spec.places[first.types]] = True
        number = len(structures)
        structures.append(_where(first, np.zeros(0, dtype=int)))
        for sample in chain([first], some):
            weights = np.ones(len(sample.points)) if sample.weights is None else sample.weights
            rows = _rows(sample, weights, number)
            least.add(rows, np.zeros(len(rows), dtype=int))
            point, element, r = _nearest(spec, images, sample.points)
            shell = np.searchsorted(_SHELLS, r, side="right") - 1
            inside = shell < n_shells
            least.add(rows[point[inside]], 1 + element[inside] * n_shells + shell[inside])
            core = r < CORE
            n_near += np.bincount(element[core], weights[point[core]], minlength=n_elements)
            total += weights.sum()
    chosen = _together(*least.rows(), structures, n_points)
    return Chosen(chosen, n_near / max(total, 1.0), np.round(n_near).astype(int), is_there)


def _nearest(spec: ModelSpec, images: Images, points: Floats) -> tuple[Integers, Integers, Floats]:
    """Of each point the nearest atom of each element in the shells: place, element, distance."""
    point, atom, r = images.pairs(images.wrap(points), float(_SHELLS[-1]))
    element = spec.places[images.types[atom]]
    order = np.lexsort((r, element, point))
    point, element, r = point[order], element[order], r[order]
    first = np.ones(len(point), dtype=bool)
    first[1:] = (point[1:] != point[:-1]) | (element[1:] != element[:-1])
    return point[first], element[first], r[first]


def _together(
    rows: Floats, groups: Integers, structures: list[Sample], n_points: int
) -> list[Sample]:
    """The points of all groups, structure by structure."""
    n_shells = len(_SHELLS) - 1
    seen = len(np.unique((groups[groups > 0] - 1) // n_shells))
    per_shell = max(1, min(_IN_SHELL, int(_NEAR * n_points / max(1, seen * n_shells))))
    near = (groups > 0) & (_ranks(groups) < per_shell)
    names: dict[tuple[tuple[int, ...], bytes], int] = {}
    keys = [(tuple(sorted({*s.types.tolist()})), s.structure) for s in structures]
    same = np.array([names.setdefault(key, n) for n, key in enumerate(keys)], dtype=int)
    number = same[rows[:, 1].astype(int)]
    # a point may be near several elements, and stand in several frames
    which = np.column_stack([number, rows[:, 0]])
    _, first, point = np.unique(which, axis=0, return_index=True, return_inverse=True)
    is_near = np.bincount(point, near) > 0.0
    others = np.cumsum((groups == 0) & ~is_near[point])
    is_alike = np.bincount(point, (groups == 0) & (others <= n_points - is_near.sum())) > 0.0
    used = is_near | is_alike
    rows, number, alike = rows[first][used], number[first][used], is_alike[used]
    found = []
    for n in sorted(np.unique(number).tolist(), key=keys.__getitem__):
        mine = number == n
        points, values = rows[mine, 2:5], rows[mine, 5]
        weights = alike[mine].astype(float)
        found.append(replace(structures[n], points=points, values=values, weights=weights))
    return found


def _rows(sample: Sample, weights: Floats, number: int) -> Floats:
    """The points of a sample, (n, 6): what each draws, the structure, where it is and its value."""
    draws, structure = _draws(sample, weights), np.full(len(weights), float(number))
    return np.column_stack([draws, structure, sample.points, sample.values])


def _where(sample: Sample, places: Booleans | Integers) -> Sample:
    """Some points of a sample."""
    weights = None if sample.weights is None else sample.weights[places]
    points, values = sample.points[places], sample.values[places]
    return replace(sample, points=points, values=values, weights=weights)


def _draws(sample: Sample, weights: Floats) -> Floats:
    """What each point draws: an exponential number, of the rate of its weight.

    The least of them are a sample without replacement in proportion to the weights (Efraimidis
    and Spirakis, Inf. Process. Lett. 97, 181 (2006)).
    """
    bits = np.column_stack([sample.points, sample.values]).astype(np.float64) + 0.0  # no -0.0
    state: Integers = np.full(len(bits), 0x9E3779B97F4A7C15, dtype=np.uint64)
    for column in np.ascontiguousarray(bits).view(np.uint64).T:
        state = _mixed(state ^ column)
    uniform = ((state >> np.uint64(11)) + 0.5) * 2.0**-53
    with np.errstate(divide="ignore"):
        return -np.log(uniform) / weights


def _mixed(state: Integers) -> Integers:
    """Numbers of which every bit depends on all bits of those given (MurmurHash3's last step)."""
    state = (state ^ (state >> np.uint64(33))) * np.uint64(0xFF51AFD7ED558CCD)
    state = (state ^ (state >> np.uint64(33))) * np.uint64(0xC4CEB9FE1A85EC53)
    return state ^ (state >> np.uint64(33))


def _ranks(groups: Integers) -> Integers:
    """The place of each row in its group, of groups in ascending order."""
    return np.arange(len(groups)) - np.searchsorted(groups, groups)


class _Least:
    """The rows of each group whose first entry is least.

    Parameters
    ----------
    most : np.ndarray
        (groups,) how many are kept of each.
    """

    def __init__(self, most: Integers) -> None:
        self._most = most
        self._limit = np.full(len(most), np.inf)
        self._parts: list[tuple[Floats, Integers]] = []
        self._waiting = 0

    def add(self, rows: Floats, groups: Integers) -> None:
        """Add rows (n, columns) to groups (n,)."""
        kept = rows[:, 0] < self._limit[groups]
        self._parts.append((rows[kept], groups[kept]))
        self._waiting += int(kept.sum())
        if self._waiting > _WAITING:
            self.rows()

    def rows(self) -> tuple[Floats, Integers]:
        """Rows and their groups, group by group and in the order of their first entries."""
        if not self._parts:
            return np.zeros((0, 6)), np.zeros(0, dtype=int)
        rows, groups = (np.concatenate(part) for part in zip(*self._parts, strict=True))
        order = np.lexsort((rows[:, 0], groups))
        rows, groups = rows[order], groups[order]
        kept = _ranks(groups) < self._most[groups]
        rows, groups = rows[kept], groups[kept]
        count = np.bincount(groups, minlength=len(self._most))
        full = np.flatnonzero(count == self._most)
        self._limit[full] = rows[np.cumsum(count)[full] - 1, 0]
        self._parts, self._waiting = [(rows, groups)], 0
        return rows, groups
