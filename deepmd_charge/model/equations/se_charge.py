# SPDX-License-Identifier: LGPL-3.0-or-later
r"""The family ``se_charge``: a net of invariants of the atoms around a grid point.

With :math:`\mathbf r_j` the vectors from the point to the atoms within the
cutoff and :math:`\mathbf u = \mathbf r / \sqrt{r^2 + \epsilon^2}`,

.. math::
    \rho = \rho_0 + \mathbf w \cdot \mathbf p + \sigma N(\hat{\mathbf D})

of :func:`invariants` D of :func:`charge_moments`, through a :func:`network` N, and the
:func:`pair_additive` features p.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from array_api_compat import array_namespace, device

from ..descriptors.se_charge import SeChargeSpec
from ..kernels.arrays import Array, Namespace
from ..kernels.radial import inverse_distance, switch
from ..neighbors import Neighbors, distances
from ..spec import ModelSpec
from ..weights import Weights
from .layers import hidden
from .moments import coupled, moments, of_directions

__all__ = ["charge_moments", "density", "invariants", "network", "pair_additive"]


def density(spec: ModelSpec, weights: Weights, around: Neighbors) -> Array:
    """Evaluate the family: (frames, centres) e/A^3, without superposed atomic densities.

    Parameters
    ----------
    spec : ModelSpec
    weights : Weights
    around : Neighbors
        The atoms within the cutoff of each centre, at least.
    """
    m = charge_moments(spec, weights, around)
    return pair_additive(spec, weights, m) + network(spec, weights, invariants(spec, weights, m))


def charge_moments(spec: ModelSpec, weights: Weights, around: Neighbors) -> Array:
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
    d = spec.family(SeChargeSpec)
    vector, r = distances(weights["neighbor_range.low"].dtype, around)
    xp = array_namespace(r)
    functions: Iterable[Array]
    if d.embedded:
        s = inverse_distance(xp, r, d.eps) * switch(xp, r, d.rcut_smth, d.rcut)
        functions = _embedding(xp, spec, weights, s)
    else:
        basis = xp.stack(d.basis(xp, r), axis=-1)
        functions = [basis] * len(spec.elements)
    of_element = moments(functions, of_directions(vector, r, d.lmax, d.eps), around.element)
    return sum(of_element) if d.embedded else xp.concat(of_element, axis=-1)


def _embedding(xp: Namespace, spec: ModelSpec, weights: Weights, s: Array) -> Iterator[Array]:
    """Yield s G(s) / N of each element, (frames, centres, neighbours, channels)."""
    d = spec.family(SeChargeSpec)
    scale = weights["embedding.scale"]
    x = ((s - weights["embedding.mean"]) / scale)[..., None]
    weight = (s / (scale * weights["embedding.neighbors"]))[..., None]
    for z in range(len(spec.elements)):
        layers = weights.layers(f"embedding[{z}]")
        yield weight * hidden(xp, x, layers, d.activation_function, True)


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
        As :func:`charge_moments` returns them.

    Returns
    -------
    array
        (frames, centres, dim_invariant)
    """
    d = spec.family(SeChargeSpec)
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


def _triple(xp: Namespace, d: SeChargeSpec, channels: list[Array], ls: tuple[int, ...]) -> Array:
    """Products of three moments, (frames, centres, n_triple * axis)."""
    first, second, third = (xp.matrix_transpose(channels[l]) for l in ls)  # (..., channels, m)
    product = coupled(first[..., : d.n_triple, :], second[..., : d.n_triple, :], ls)
    out = xp.matmul(product, xp.matrix_transpose(third[..., : d.axis_neuron, :]))
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
    if spec.family(SeChargeSpec).embedded:
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
    x = hidden(xp, x, layers, fitting.activation_function, fitting.resnet)
    y = xp.matmul(x, weights["fitting.output.matrix"]) + weights["fitting.output.bias"]
    return weights["fitting.residual"] * y[..., 0]
