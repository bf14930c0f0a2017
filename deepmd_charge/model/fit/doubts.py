# SPDX-License-Identifier: LGPL-3.0-or-later
"""What may be wrong with the structures of a fit of ``se_cluster``, or with its cutoffs."""

from __future__ import annotations

from collections.abc import Iterable

from ...atoms.images import Images
from ..descriptors.se_cluster import SeClusterSpec
from ..spec import ModelSpec

__all__ = ["doubts"]

# Shortest distance between images in units of a cutoff: silicon of 32 atoms, with 1.46, has 1.5
# times the error in larger cells, where 1.2 times is what other cutoffs lose, too.
_APART = 1.5


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
