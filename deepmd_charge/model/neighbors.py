# SPDX-License-Identifier: LGPL-3.0-or-later
"""Grid points and the atoms around them as the arrays that a model is evaluated with."""

import numpy as np

from ..species import species_of

__all__ = ["neighbor_list"]


def neighbor_list(spec, atoms, points, reach):
    """List the atoms, periodic images included, around each point.

    Parameters
    ----------
    spec : ModelSpec
    atoms : ase.Atoms
        The structure, periodic along the axes of its ``pbc``.
    points : np.ndarray
        (n, 3) positions in A, anywhere.
    reach : float
        How far a point sees, A: the cutoff radius, or the extent of atomic
        densities where that is larger.

    Returns
    -------
    coord : np.ndarray
        (1, n + m, 3) positions in A: of the points, then of atoms and images.
    atype : np.ndarray
        (1, n + m) their types.
    nlist : np.ndarray
        (1, n, most) places among them of each point's neighbours, then -1.
    """
    from ..inference.images import Images

    n = len(points)
    types = [spec.type_map.index(name) for name in species_of(atoms)]
    images = Images(atoms, types, reach)
    points = images.wrap(np.reshape(points, (n, 3)))
    point, atom, _ = images.pairs(points, reach)
    count = np.bincount(point, minlength=n)
    nlist = np.full((n, count.max(initial=0)), -1)
    # pairs are in the order of the points
    place = np.arange(len(point)) - np.repeat(np.cumsum(count) - count, count)
    nlist[point, place] = n + atom
    coord = np.concatenate([points, images.positions])
    atype = np.concatenate([np.full(n, spec.grid_type), images.types]).astype(np.int64)
    return coord[None], atype[None], nlist[None]
