# SPDX-License-Identifier: LGPL-3.0-or-later
"""What may be wrong with the structures of a fit of ``se_cluster``, or with its cutoffs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from ...atoms.images import Images
from ...typing import Booleans, Floats, Integers
from ..descriptors.se_cluster import SeClusterSpec
from ..spec import ModelSpec
from .ridge import STRONGER, Solution

__all__ = ["doubts", "doubts_of_ridge", "too_few"]

# Shortest distance between images in units of a cutoff: silicon of 32 atoms, with 1.46, has 1.5
# times the error in larger cells, where 1.2 times is what other cutoffs lose, too.
_APART = 1.5
# Points within 1 A of an element's atoms below which it is not learnt.
_FEW = 30


def doubts(spec: ModelSpec, structures: Iterable[Images], image_distance: float) -> list[str]:
    """Say what may be wrong, a line each.

    Parameters
    ----------
    spec : ModelSpec
    structures : iterable of Images
        With images as far as an atom sees.
    image_distance : float
        Shortest distance between images of an atom in any of them, A.
    """
    d = spec.family(SeClusterSpec)
    used = ["rcut", "rcut_env", "rcut_product"][: min(d.order, 2) + 1]
    of_neighbors = {key: getattr(d, key) for key in used[1:]}
    found = []
    key = max(used, key=lambda key: getattr(d, key))
    if _APART * getattr(d, key) > image_distance:
        found.append(
            f"images of an atom are {image_distance:.4g} A apart, less than {_APART:g} times "
            f"{d.where}/{key} {getattr(d, key):g}: atoms are seen to move with their images, and "
            "in larger cells the errors may be half as large again (1.5 times in silicon); train "
            "on larger cells"
        )
    seen: set[str] = set()
    for images in structures:
        own = images.positions[images.originals]
        seen |= {
            key
            for key in of_neighbors.keys() - seen
            if len(images.pairs(own, of_neighbors[key])[0]) > len(own)
        }
        if len(seen) == len(of_neighbors):
            break
    found += [
        f"no atom of the training data has another within {d.where}/{key} {of_neighbors[key]:g}: "
        f"order {d.order} has nothing to tell of; raise {key}, or lower order"
        for key in used[1:]
        if key not in seen
    ]
    return found


def doubts_of_ridge(spec: ModelSpec, solution: Solution, alone: Sequence[int]) -> list[str]:
    """Say where the held-out error tells less than it seems to, a line each.

    Parameters
    ----------
    spec : ModelSpec
    solution : Solution
    alone : sequence of int
        Elements that were not held out, for only one part of the points has them.
    """
    found = []
    if alone:
        names = ", ".join(spec.type_map[spec.elements[z]] for z in alone)
        found.append(
            f"the held-out error says nothing of {names}: what has some is not held out, for the "
            "rest has none; give more structures that do"
        )
    if solution.ridge.strength >= STRONGER[-1]:
        found.append(
            f"the ridge {solution.ridge.strength:.0e} is the strongest that is tried: what is held "
            "out is hardly like the rest; give more structures, or lower "
            f"{spec.descriptor.where}/order"
        )
    return found


def too_few(spec: ModelSpec, near: Integers, share: Floats, is_there: Booleans) -> list[str]:
    """Say which elements have hardly a point near their atoms, in a line at most.

    Parameters
    ----------
    spec : ModelSpec
    near, share : np.ndarray
        (elements,) points within 1 A of an atom of each, their number and as a share of all.
    is_there : np.ndarray
        (elements,) whether there are atoms: what the data lack is no matter of points.
    """
    counts = zip(spec.elements, near, share, is_there, strict=True)
    names = ", ".join(
        f"{spec.type_map[t]} ({n} points within 1 A, {100.0 * part:.2g} % of all)"
        for t, n, part, there in counts
        if there and n < _FEW
    )
    line = "too few grid points near atoms to learn {}: give more points or structures"
    return [line.format(names)] if names else []
