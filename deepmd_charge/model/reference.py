# SPDX-License-Identifier: LGPL-3.0-or-later
r"""The whole model in plain array code: what every other evaluation must equal.

.. math:: \rho = \rho_\text{family} + \sum_j f_{z_j}(r_j)

with the density of the model's family, of :mod:`deepmd_charge.model.equations`, and, where the
model carries them, the :func:`superposition` of atomic densities f.

The code is that of the array API standard: it takes the namespace from its
arguments, has no loop over points or neighbours, and can be differentiated, on
a nucleus as well. Each stage computes in the precision of its own weights; every
array, weights included, is of one namespace.
"""

from __future__ import annotations

from array_api_compat import array_namespace

from .descriptors.se_cluster import SeClusterSpec
from .equations import se_charge, se_cluster
from .kernels.arrays import Array
from .kernels.piecewise import piecewise_cubic
from .kernels.radial import cutoff
from .neighbors import Neighbors, distances, elements, neighbors
from .spec import ModelSpec
from .weights import Weights

__all__ = ["evaluate", "neighbor_count", "novelty", "superposition"]


def evaluate(
    spec: ModelSpec,
    weights: Weights,
    coord: Array,
    atype: Array,
    nlist: Array,
    n: int | None = None,
) -> Array:
    """Evaluate a model.

    Parameters
    ----------
    spec : ModelSpec
    weights : Weights
    coord : array
        (frames, atoms, 3) positions in A. The first ones are the centres, among
        the others are periodic images.
    atype : array
        (frames, atoms) int64 types; -1 for an atom that is none.
    nlist : array
        (frames, centres, neighbours) int64: for each centre the places of all atoms
        within its reach, in any order, and -1. Farther atoms and grid points may
        be among them and do not count. Where :attr:`.DescriptorSpec.atoms_are_centres`
        those in the cutoff of a grid point are centres, too.
    n : int, optional
        How many of the centres, the first, are wanted; by default all.

    Returns
    -------
    array
        (frames, n) density in e/A^3, in the precision of ``coord``; zero at
        centres that are not of the grid type.
    """
    xp = array_namespace(coord)
    around = neighbors(spec, coord, atype, nlist)
    element = elements(spec, atype[:, : nlist.shape[1]])
    family = se_cluster if isinstance(spec.descriptor, SeClusterSpec) else se_charge
    density = family.density(spec, weights, around, element, nlist, n)
    density = xp.astype(density, coord.dtype)
    if weights.superposed:
        added = superposition(spec, weights, around.first(n))
        density = density + xp.astype(added, coord.dtype)
    is_grid = atype[:, : density.shape[1]] == spec.grid_type
    return xp.where(is_grid, density, xp.zeros_like(density))


def superposition(spec: ModelSpec, weights: Weights, around: Neighbors) -> Array:
    r"""The atomic densities that the model carries, :math:`\sum_j f_{z_j}(r_j)`.

    Parameters
    ----------
    spec : ModelSpec
    weights : Weights
    around : Neighbors
        All atoms as far as the table reaches.

    Returns
    -------
    array
        (frames, centres) e/A^3
    """
    step, table = weights["superposition.step"], weights["superposition.coefficients"]
    _, r = distances(table.dtype, around)
    xp = array_namespace(r)
    there = around.element >= 0
    kind = xp.where(there, around.element, xp.zeros_like(around.element))
    values = piecewise_cubic(xp, xp.reshape(r, (-1,)), xp.reshape(kind, (-1,)), step, table)
    values = xp.reshape(values, r.shape)
    return xp.sum(xp.where(there, values, xp.zeros_like(values)), axis=-1)


def neighbor_count(spec: ModelSpec, weights: Weights, around: Neighbors) -> Array:
    r"""A smooth count of the neighbours of each element, :math:`\sum_{j \in z} f_c(r_j)`.

    Parameters
    ----------
    spec : ModelSpec
    weights : Weights
    around : Neighbors

    Returns
    -------
    array
        (frames, centres, elements)
    """
    _, r = distances(weights["neighbor_range.low"].dtype, around)
    xp = array_namespace(r)
    share = cutoff(xp, r, spec.descriptor.rcut)
    counts = [
        xp.sum(xp.where(around.element == z, share, xp.zeros_like(share)), axis=-1)
        for z in range(len(spec.elements))
    ]
    return xp.stack(counts, axis=-1)


def novelty(spec: ModelSpec, weights: Weights, around: Neighbors) -> Array:
    """How far each centre's neighbour count lies outside that of the training data.

    Parameters
    ----------
    spec, weights, around
        As for :func:`neighbor_count`.

    Returns
    -------
    array
        (frames, centres) the part of the count, summed over the elements, that is
        too little or too much, as a share of the largest that was seen.
    """
    xp = array_namespace(around.vector)
    low, high = weights["neighbor_range.low"], weights["neighbor_range.high"]
    count = neighbor_count(spec, weights, around)
    outside = xp.maximum(low - count, count - high)
    outside = xp.maximum(outside, xp.zeros_like(outside))
    return xp.sum(outside, axis=-1) / xp.sum(high)
