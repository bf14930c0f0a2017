# SPDX-License-Identifier: LGPL-3.0-or-later
r"""The whole model in plain array code: what every other evaluation must equal.

With :math:`\mathbf r_j` the vectors from a grid point to the atoms within the
cutoff and :math:`\mathbf u = \mathbf r / \sqrt{r^2 + \epsilon^2}`,

.. math::
    \rho = \rho_0 + \mathbf w \cdot \mathbf p + \sigma N(\hat{\mathbf D})
        + \sum_j f_{z_j}(r_j)

of :func:`invariants` D of :func:`moments`, through a :func:`network` N, the
:func:`pair_additive` features p, and, where the model carries them, the
:func:`superposition` of atomic densities f.

The code is that of the array API standard: it takes the namespace from its
arguments, has no loop over points or neighbours, and can be differentiated, on
a nucleus as well. Each stage computes in the precision of its own weights; every
array, weights included, is of one namespace.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from array_api_compat import array_namespace, device

from .kernels.arrays import Array, Namespace
from .kernels.coupling import coupling
from .kernels.harmonics import harmonics
from .kernels.network import activation, skips
from .kernels.piecewise import piecewise_cubic
from .kernels.radial import cutoff, inverse_distance, switch
from .neighbors import Neighbors, distances, neighbors
from .spec import DescriptorSpec, ModelSpec
from .weights import Weights

__all__ = [
    "evaluate",
    "invariants",
    "moments",
    "neighbor_count",
    "network",
    "novelty",
    "pair_additive",
    "superposition",
]


def evaluate(spec: ModelSpec, weights: Weights, coord: Array, atype: Array, nlist: Array) -> Array:
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
        be among them and do not count.

    Returns
    -------
    array
        (frames, centres) density in e/A^3, in the precision of ``coord``; zero at
        centres that are not of the grid type.
    """
    xp = array_namespace(coord)
    around = neighbors(spec, coord, atype, nlist)
    m = moments(spec, weights, around)
    density = pair_additive(spec, weights, m)
    density = density + network(spec, weights, invariants(spec, weights, m))
    density = xp.astype(density, coord.dtype)
    if weights.superposed:
        added = superposition(spec, weights, around)
        density = density + xp.astype(added, coord.dtype)
    is_grid = atype[:, : nlist.shape[1]] == spec.grid_type
    return xp.where(is_grid, density, xp.zeros_like(density))


def moments(spec: ModelSpec, weights: Weights, around: Neighbors) -> Array:
    r"""Sums over the atoms of radial functions times harmonics.

    .. math::
        A_{zn,lm} = \sum_{j \in z} R_n(r_j) Y_{lm}(\mathbf u_j)

    or, of the embedding, with a network G for each element,

    .. math::
        B_{c,lm} = \frac1N \sum_j s(r_j) Y_{lm}(\mathbf u_j) G^{z_j}_c(s(r_j)), \qquad
        s(r) = w(r) / \sqrt{r^2 + \epsilon^2}

    R and w are those of :mod:`deepmd_charge.model.kernels.radial`. s has the unit of its
    standard deviation in the training data; G takes it less its mean.

    Parameters
    ----------
    spec : ModelSpec
    weights : Weights
    around : Neighbors

    Returns
    -------
    array
        (frames, centres, (lmax + 1)^2, elements and radial functions, or channels)
    """
    d = spec.descriptor
    vector, r = distances(weights["neighbor_range.low"].dtype, around)
    xp = array_namespace(r)
    inverse = inverse_distance(xp, r, d.eps)
    u = vector * inverse[..., None]
    ylm = xp.stack(harmonics(xp, u[..., 0], u[..., 1], u[..., 2], d.lmax), axis=-2)
    functions: Iterable[Array]
    if d.embedded:
        functions = _embedding(xp, spec, weights, inverse * switch(xp, r, d.rcut_smth, d.rcut))
    else:
        basis = xp.stack(d.basis(xp, r), axis=-1)
        functions = [basis] * len(spec.elements)
    of_element = [
        xp.matmul(ylm, xp.where((around.element == z)[..., None], f, xp.zeros_like(f)))
        for z, f in enumerate(functions)
    ]
    return sum(of_element) if d.embedded else xp.concat(of_element, axis=-1)


def _embedding(xp: Namespace, spec: ModelSpec, weights: Weights, s: Array) -> Iterator[Array]:
    """Yield s G(s) / N of each element, (frames, centres, neighbours, channels)."""
    d = spec.descriptor
    scale = weights["embedding.scale"]
    x = ((s - weights["embedding.mean"]) / scale)[..., None]
    weight = (s / (scale * weights["embedding.neighbors"]))[..., None]
    for z in range(len(spec.elements)):
        layers = weights.layers(f"embedding[{z}]")
        yield weight * _hidden(xp, x, layers, d.activation_function, True)


def invariants(spec: ModelSpec, weights: Weights, moments: Array) -> Array:
    r"""What moments say that does not change when the structure turns.

    .. math::
        B_{c,lm} &= \sum_{zn} A_{zn,lm} M^l_{zn,c} \\
        D &= \Big[ B_{c,00}, \; \sum_m B_{c,lm} B_{c',lm}, \; \sum_{m_1 m_2 m_3}
            G^{l_1 l_2 l_3}_{m_1 m_2 m_3} B_{k,l_1 m_1} B_{k,l_2 m_2} B_{c',l_3 m_3} \Big],
            \quad c' < M_<, \; k < M_k

    M whitens and mixes, and the mean of A is subtracted for l = 0; of the
    embedding :math:`D = \sum_{lm} B_{c,lm} B_{c',lm}`.

    Parameters
    ----------
    spec : ModelSpec
    weights : Weights
    moments : array
        As :func:`moments` returns them.

    Returns
    -------
    array
        (frames, centres, dim_invariant)
    """
    d = spec.descriptor
    xp = array_namespace(moments)
    lead = moments.shape[:2]
    if d.embedded:
        return _gram(xp, moments, d.axis_neuron)
    channels = []
    for l in range(d.lmax + 1):
        a = moments[..., l * l : (l + 1) ** 2, :]
        a = a - weights["descriptor.mean"] if l == 0 else a
        mix = xp.matmul(weights[f"descriptor.whiten[{l}]"], weights[f"descriptor.mixing[{l}]"])
        channels.append(xp.matmul(a, mix))
    features = [xp.reshape(channels[0], (*lead, -1))]
    features += [_gram(xp, b, d.axis_neuron) for b in channels]
    features += [_triple(xp, d, channels, t) for t in d.products]
    return xp.concat(features, axis=-1)


def _gram(xp: Namespace, b: Array, axis: int) -> Array:
    """Products (frames, centres, channels * axis) of channels b (frames, centres, m, channels)."""
    gram = xp.matmul(xp.matrix_transpose(b), b[..., :axis])
    return xp.reshape(gram, (*gram.shape[:2], -1))


def _triple(xp: Namespace, d: DescriptorSpec, channels: list[Array], ls: tuple[int, ...]) -> Array:
    """Products of three moments, (frames, centres, n_triple * axis)."""
    first, second, third = (xp.matrix_transpose(channels[l]) for l in ls)  # (..., channels, m)
    first, second = first[..., : d.n_triple, :], second[..., : d.n_triple, :]
    g = xp.asarray(coupling(*ls), dtype=first.dtype, device=device(first))
    product = first[..., :, None] * second[..., None, :]  # (..., n_triple, m1, m2)
    product = xp.reshape(product, (*product.shape[:3], -1))
    coupled = xp.matmul(product, xp.reshape(g, (-1, g.shape[-1])))  # (..., n_triple, m3)
    out = xp.matmul(coupled, xp.matrix_transpose(third[..., : d.axis_neuron, :]))
    return xp.reshape(out, (*out.shape[:2], -1))


def pair_additive(spec: ModelSpec, weights: Weights, moments: Array) -> Array:
    r"""The part :math:`\rho_0 + \mathbf w \cdot \mathbf p` of the density that pairs make.

    p are the whitened moments of l = 0; the embedding has none.

    Parameters
    ----------
    spec, weights, moments
        As for :func:`invariants`.

    Returns
    -------
    array
        (frames, centres) e/A^3
    """
    xp = array_namespace(moments)
    offset = weights["fitting.offset"]
    if spec.descriptor.embedded:
        zeros = xp.zeros(moments.shape[:2], dtype=offset.dtype, device=device(moments))
        return zeros + offset
    pair = moments[..., 0, :] - weights["descriptor.mean"]
    pair = xp.matmul(pair, weights["descriptor.whiten[0]"])
    pair = xp.astype(pair, offset.dtype)
    return xp.matmul(pair, weights["fitting.linear"])[..., 0] + offset


def network(spec: ModelSpec, weights: Weights, invariants: Array) -> Array:
    r"""What the fitting net adds to the pair-additive part, :math:`\sigma N(\hat{\mathbf D})`.

    Parameters
    ----------
    spec : ModelSpec
    weights : Weights
    invariants : array
        (frames, centres, dim_invariant)

    Returns
    -------
    array
        (frames, centres) e/A^3
    """
    xp = array_namespace(invariants)
    mean = weights["fitting.mean"]
    x = (xp.astype(invariants, mean.dtype) - mean) / weights["fitting.scale"]
    fitting = spec.fitting_net
    layers = weights.layers("fitting")
    x = _hidden(xp, x, layers, fitting.activation_function, fitting.resnet)
    y = xp.matmul(x, weights["fitting.output.matrix"]) + weights["fitting.output.bias"]
    return weights["fitting.residual"] * y[..., 0]


def _hidden(
    xp: Namespace, x: Array, layers: Iterable[tuple[Array, Array]], name: str, resnet: bool
) -> Array:
    """Layers h <- f(h W + b), plus h where widths allow: see :func:`.kernels.network.skips`."""
    function = activation(name)
    for matrix, bias in layers:
        y = function(xp, xp.matmul(x, matrix) + bias)
        n_in, n_out = matrix.shape
        n = skips(n_in, n_out, resnet)
        x = y + xp.concat([x] * n, axis=-1) if n else y
    return x


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
