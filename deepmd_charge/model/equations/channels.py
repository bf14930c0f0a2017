# SPDX-License-Identifier: LGPL-3.0-or-later
"""Moments of the atoms around a centre, mixed into channels, and the invariants of these.

The centre may be a grid point, or an atom whose surroundings are described.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from array_api_compat import array_namespace

from ..descriptors.se_charge import SeChargeSpec
from ..kernels.arrays import Array, Namespace
from ..kernels.radial import inverse_distance, switch
from ..neighbors import Neighbors, distances
from ..weights import Weights
from .layers import hidden
from .moments import coupled, moments, of_directions

__all__ = ["channels", "charge_moments", "gram", "invariants", "mixtures", "start"]


def charge_moments(d: SeChargeSpec, weights: Weights, around: Neighbors, n_elements: int) -> Array:
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
    d : SeChargeSpec
    weights : Weights
    around : Neighbors
    n_elements : int

    Returns
    -------
    array
        (frames, centres, (lmax + 1)^2, elements and radial functions, or channels)
    """
    vector, r = distances(weights["neighbor_range.low"].dtype, around)
    xp = array_namespace(r)
    functions: Iterable[Array]
    if d.embedded:
        s = inverse_distance(xp, r, d.eps) * switch(xp, r, d.rcut_smth, d.rcut)
        functions = _embedding(xp, d, weights, s, n_elements)
    else:
        basis = xp.stack(d.basis(xp, r), axis=-1)
        functions = [basis] * n_elements
    of_element = moments(functions, of_directions(vector, r, d.lmax, d.eps), around.element)
    return sum(of_element) if d.embedded else xp.concat(of_element, axis=-1)


def _embedding(
    xp: Namespace, d: SeChargeSpec, weights: Weights, s: Array, n_elements: int
) -> Iterator[Array]:
    """Yield s G(s) / N of each element, (frames, centres, neighbours, channels)."""
    scale = weights["embedding.scale"]
    x = ((s - weights["embedding.mean"]) / scale)[..., None]
    weight = (s / (scale * weights["embedding.neighbors"]))[..., None]
    for z in range(n_elements):
        layers = weights.layers(f"embedding[{z}]")
        yield weight * hidden(xp, x, layers, d.activation_function, True)


def mixtures(d: SeChargeSpec, weights: Weights, n_elements: int, part: str) -> list[Array]:
    r"""What mixes the moments of each element into channels.

    .. math:: W^l_{zn,c} = \sum_k a_{zk} M^l_{kn,c}

    where elements share the sets k of channels; else each has one, and W = M. M whitens and
    mixes.

    Parameters
    ----------
    d : SeChargeSpec
    weights : Weights
    n_elements : int
    part : str
        What is described: "descriptor" (grid points) or "response" (atoms).

    Returns
    -------
    list of array
        For each l (elements, radial functions, channels).
    """
    out = []
    shape = d.sets(n_elements), d.n_radial * d.channels
    for l in range(d.lmax + 1):
        whiten, mixing = weights[f"{part}.whiten[{l}]"], weights[f"{part}.mixing[{l}]"]
        xp = array_namespace(whiten)
        mix = xp.reshape(xp.matmul(whiten, mixing), shape)
        if d.shares(n_elements):
            mix = xp.matmul(weights[f"{part}.species"], mix)
        out.append(xp.reshape(mix, (n_elements, d.n_radial, d.channels)))
    return out


def start(weights: Weights, part: str) -> Array:
    """What the mean moments of l = 0 make of the channels, (channels,): it is subtracted."""
    whiten, mixing = weights[f"{part}.whiten[0]"], weights[f"{part}.mixing[0]"]
    xp = array_namespace(whiten)
    return xp.matmul(weights[f"{part}.mean"], xp.matmul(whiten, mixing))


def channels(
    d: SeChargeSpec, weights: Weights, moments: Array, n_elements: int, part: str
) -> list[Array]:
    r"""The channels :math:`B_{c,lm} = \sum_{zn} A_{zn,lm} W^l_{zn,c}`.

    The mean of A is subtracted for l = 0.

    Parameters
    ----------
    d, weights, n_elements, part
        As for :func:`mixtures`.
    moments : array
        As :func:`charge_moments` returns them.

    Returns
    -------
    list of array
        For each l (frames, centres, 2 l + 1, channels).
    """
    xp = array_namespace(moments)
    out = []
    for l, mix in enumerate(mixtures(d, weights, n_elements, part)):
        a = moments[..., l * l : (l + 1) ** 2, :]
        b = xp.matmul(a, xp.reshape(mix, (-1, d.channels)))
        out.append(b - start(weights, part) if l == 0 else b)
    return out


def invariants(d: SeChargeSpec, channels: Sequence[Array]) -> Array:
    r"""What channels say that does not change when the structure turns.

    .. math::
        D = \Big[ B_{c,00}, \; \sum_m B_{c,lm} B_{c',lm}, \; \sum_{m_1 m_2 m_3}
            G^{l_1 l_2 l_3}_{m_1 m_2 m_3} B_{k,l_1 m_1} B_{k,l_2 m_2} B_{c',l_3 m_3} \Big],
            \quad c' < M_<, \; k < M_k

    Parameters
    ----------
    d : SeChargeSpec
    channels : sequence of array
        As :func:`channels` gives them.

    Returns
    -------
    array
        (frames, centres, dim_invariant)
    """
    xp = array_namespace(*channels)
    features = [xp.reshape(channels[0], (*channels[0].shape[:2], -1))]
    features += [gram(b, d.axis_neuron) for b in channels]
    features += [_triple(xp, d, channels, t) for t in d.products]
    return xp.concat(features, axis=-1)


def gram(b: Array, axis: int) -> Array:
    """Products (frames, centres, channels * axis) of channels b (frames, centres, m, channels)."""
    xp = array_namespace(b)
    found = xp.matmul(xp.matrix_transpose(b), b[..., :axis])
    return xp.reshape(found, (*found.shape[:2], -1))


def _triple(
    xp: Namespace, d: SeChargeSpec, channels: Sequence[Array], ls: tuple[int, ...]
) -> Array:
    """Products of three moments, (frames, centres, n_triple * axis)."""
    first, second, third = (xp.matrix_transpose(channels[l]) for l in ls)  # (..., channels, m)
    product = coupled(first[..., : d.n_triple, :], second[..., : d.n_triple, :], ls)
    out = xp.matmul(product, xp.matrix_transpose(third[..., : d.axis_neuron, :]))
    return xp.reshape(out, (*out.shape[:2], -1))
