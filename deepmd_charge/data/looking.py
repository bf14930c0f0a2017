# SPDX-License-Identifier: LGPL-3.0-or-later
"""How many frames of each DP system to look at, so that it takes no longer for thousands."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..atoms.species import GRID_TYPE
from .stored import StoredSet, StoredSystem

__all__ = ["Look", "looks"]


@dataclass(frozen=True)
class Look:
    """What is looked at of the sets of a system.

    Attributes
    ----------
    path : str
        The system.
    most : int
        Frames of each set, evenly spread, as :func:`.stored.frames` takes them.
    stands_for : dict of str to float
        By the path of a set how many frames each of them stands for.
    """

    path: str
    most: int
    stands_for: dict[str, float]


def looks(
    system_dirs: Sequence[str], type_map: Sequence[str], n_points: int, n_frames: int
) -> Iterator[Look]:
    """Share points to be looked at among systems: each element has the same share.

    The share of an element is spread evenly over the systems that hold it, so that all of the
    few systems of a rare one is looked at. Each set gives a frame at least.

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
    for elements, _, _ in found:
        for element in elements:
            holds[element] = holds.get(element, 0) + 1
    for path, (elements, per_frame, lengths) in zip(system_dirs, found, strict=True):
        share = sum(1.0 / (len(holds) * holds[element]) for element in elements)
        frames = min(share * n_points / max(per_frame, 1), share * n_frames)
        most = max(1, math.ceil(frames / max(len(lengths), 1)))
        stands_for = {name: n / min(n, most) for name, n in lengths.items() if n}
        yield Look(path, most, stands_for)


def _described(path: str, type_map: Sequence[str]) -> tuple[set[str], int, dict[str, int]]:
    """Elements of a system, grid points of its fullest frame, and the lengths of its sets."""
    system = StoredSystem(path, type_map)
    elements, per_frame, lengths = set[str](), 0, dict[str, int]()
    names = system.names or list(type_map)
    for part in system.sets():
        types = part.types()
        elements |= {names[t] for t in set(types.ravel().tolist()) if t >= 0}
        if GRID_TYPE in names:
            grid = (types == names.index(GRID_TYPE)).sum(axis=1)
            per_frame = max(per_frame, int(grid.max(initial=0)))
        lengths[str(part.path)] = _length(part)
    return elements - {GRID_TYPE}, per_frame, lengths


def _length(part: StoredSet) -> int:
    """The number of frames of a set."""
    box = part.find("box")  # the smallest array, but open systems may lack it
    return len(part.read("coord") if box is None else box)
