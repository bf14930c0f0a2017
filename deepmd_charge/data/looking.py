# SPDX-License-Identifier: LGPL-3.0-or-later
"""Which frames of each DP system to look at, so that it takes no longer for thousands."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..atoms.species import GRID_TYPE
from ..typing import Integers
from .stored import StoredSystem, evenly

__all__ = ["Look", "looks"]


@dataclass(frozen=True)
class Look:
    """What is looked at of the sets of a system.

    Attributes
    ----------
    path : str
        The system.
    stands_for : dict of str to dict of int to float
        By the path of a set, and the place of a frame that is looked at, for how many frames it
        stands.
    """

    path: str
    stands_for: dict[str, dict[int, float]]


@dataclass
class _Alike:
    """Frames of a system with atoms of the same elements: all, but in a system of mixed types.

    Attributes
    ----------
    elements : frozenset of str
    places : dict of str to np.ndarray
        The places of the frames in each set, by its path.
    per_frame : int
        Grid points of the fullest frame.
    """

    elements: frozenset[str]
    places: dict[str, Integers]
    per_frame: int = 0


def looks(
    system_dirs: Sequence[str], type_map: Sequence[str], n_points: int, n_frames: int
) -> Iterator[Look]:
    """Share points to be looked at among systems: each element has the same share.

    The share of an element is spread evenly over the systems that hold it, so that all of the
    few systems of a rare one is looked at. So it is over the frames of a system of mixed types,
    where those of the same elements are taken for a system. Each set gives a frame at least.

    Parameters
    ----------
    system_dirs : sequence of str
        DP systems.
    type_map : sequence of str
        Names of the types of systems that have no ``type_map.raw``.
    n_points, n_frames : int
        Of all systems, about.
    """
    found = [_described(path, type_map) for path in system_dirs]
    holds: dict[str, int] = {}
    for alike in found:
        for element in [element for some in alike for element in some.elements]:
            holds[element] = holds.get(element, 0) + 1
    for path, alike in zip(system_dirs, found, strict=True):
        stands_for: dict[str, dict[int, float]] = {}
        for some in alike:
            share = sum(1.0 / (len(holds) * holds[element]) for element in some.elements)
            frames = min(share * n_points / max(some.per_frame, 1), share * n_frames)
            most = max(1, math.ceil(frames / len(some.places)))
            for name, places in some.places.items():
                chosen = places[evenly(len(places), most)].tolist()
                weights = dict.fromkeys(chosen, len(places) / len(chosen))
                stands_for.setdefault(name, {}).update(weights)
        yield Look(path, stands_for)


def _described(path: str, type_map: Sequence[str]) -> list[_Alike]:
    """The frames of a system, apart where they have atoms of other elements."""
    system = StoredSystem(path, type_map)
    is_grid = np.array([name == GRID_TYPE for name in system.names])
    found: dict[frozenset[str], _Alike] = {}
    for part in system.sets():
        counts = part.counts()
        kinds, kind = np.unique((counts > 0) & ~is_grid, axis=0, return_inverse=True)
        for number, is_there in enumerate(kinds):
            elements = frozenset(np.array(system.names)[is_there].tolist())
            places = np.flatnonzero(kind.ravel() == number)
            some = found.setdefault(elements, _Alike(elements, {}))
            some.places[str(part.path)] = places
            most = int(counts[places][:, is_grid].sum(axis=1).max())
            some.per_frame = max(some.per_frame, most)
    return list(found.values())
