# SPDX-License-Identifier: LGPL-3.0-or-later
r"""The family ``se_cluster``: a sum over atoms whose contributions depend on their surroundings.

After the Deep Density paper (arXiv 1912.00775), linear in its coefficients W: with
:math:`\mathbf r_I` the vector from atom I to the grid point and
:math:`\mathbf u = \mathbf r / \sqrt{r^2 + \epsilon^2}`,

.. math::
    \rho &= \sum_I \sum_{nlm} c_{I,nlm} \, R_n(r_I) \, Y_{lm}(\mathbf u_I) \\
    c_{I,nlm} &= \sum_k \Phi^l_{I,k,m} W^{z_I l}_{k,n}

of :func:`features` :math:`\Phi` of the atoms around I, which a net scales if the model has one
(:mod:`.gates`): all that is not linear. What follows the distances from the
grid point is in the model's precision, the coefficients c of each atom always in float64.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from array_api_compat import array_namespace, device

from ..descriptors.se_cluster import SeClusterSpec
from ..kernels.arrays import Array, Namespace
from ..neighbors import Neighbors, distances, of_neighbors
from ..spec import ModelSpec
from ..weights import Weights
from .gates import gated
from .moments import coupled, moments, of_directions

__all__ = [
    "coefficients",
    "density",
    "electrons",
    "environment",
    "features",
    "multiplied",
    "multiplied_channels",
    "pair_components",
    "pairs",
    "triples",
]


def density(
    spec: ModelSpec,
    weights: Weights,
    around: Neighbors,
    element: Array,
    nlist: Array,
    n: int | None = None,
) -> Array:
    """Evaluate the family: (frames, n) e/A^3, without superposed atomic densities.

    Parameters
    ----------
    spec : ModelSpec
    weights : Weights
    around : Neighbors
        The atoms within the cutoffs of each centre, grid point or atom, at least.
    element : array
        (frames, centres) the place of each centre among the elements; -1 at grid points.
    nlist : array
        (frames, centres, neighbours) the places of the neighbours among the centres.
    n : int, optional
        How many of the centres, the first, are wanted; by default all.
    """
    d = spec.family(SeClusterSpec)
    wanted = around.first(n)
    vector, r = distances(weights["neighbor_range.low"].dtype, wanted)
    xp = array_namespace(r)
    y = xp.matrix_transpose(of_directions(-vector, r, d.lmax, d.eps))
    c = coefficients(spec, weights, around, element, nlist)
    c = xp.astype(xp.reshape(c, (*c.shape[:2], -1)), r.dtype)
    at_grid = (element[:, :n] < 0)[..., None]
    inside = at_grid & (wanted.element >= 0) & (r < d.rcut)
    c = xp.reshape(of_neighbors(c, nlist[:, :n, ...], inside), (*y.shape, d.n_radial))
    of_radial = xp.matmul(y[..., None, :], c)[..., 0, :]
    return xp.sum(of_radial * xp.stack(d.basis(xp, r), axis=-1), axis=(-2, -1))


def coefficients(
    spec: ModelSpec, weights: Weights, around: Neighbors, element: Array, nlist: Array
) -> Array:
    """The coefficients c of the contribution of each atom.

    Parameters
    ----------
    spec, weights, around, element, nlist
        As for :func:`density`.

    Returns
    -------
    array
        (frames, centres, (lmax + 1)^2, n_radial) e/A^3; of no meaning at grid points.
    """
    table = weights["contribution.coefficients"]
    xp = array_namespace(table)
    place = xp.where(element >= 0, element, xp.zeros_like(element))
    own = xp.take(table, xp.reshape(place, (-1,)), axis=0)
    own = xp.reshape(own, (*element.shape, *table.shape[1:]))
    parts, start = [], 0
    phi = features(spec, weights, around, element)
    if spec.fitting_net.neuron:
        phi = gated(spec, weights, phi, element)
    for of_l in phi:
        stop = start + of_l.shape[-1]
        parts.append(xp.matmul(of_l, own[..., start:stop, :]))
        start = stop
    d = spec.family(SeClusterSpec)
    if d.exact:
        carrier = xp.asarray(d.carrier(), dtype=table.dtype, device=device(table))
        held = electrons(spec, weights, around, element, nlist, phi[0][..., 0, :])
        parts[0] = parts[0] + held[..., None, None] * carrier
    return xp.concat(parts, axis=-2)


def electrons(
    spec: ModelSpec,
    weights: Weights,
    around: Neighbors,
    element: Array,
    nlist: Array,
    scalars: Array,
) -> Array:
    r"""The electrons of each atom, where those of every structure are exact.

    .. math::
        q_I = N_{z_I} + \sum_J \sum_p Q_p(r_{IJ}) (x_{Jp} - x_{Ip}), \qquad
        x_{Ip} = \sum_k \Phi^0_{I,k} V^{z_I}_{k,p}

    What one atom gains its neighbour loses, so that the sum over a structure is that of N.

    Parameters
    ----------
    spec, weights, around, element, nlist
        As for :func:`density`.
    scalars : array
        (frames, centres, features) the features of l = 0, scaled by the net if there is one.

    Returns
    -------
    array
        (frames, centres); of no meaning at grid points.
    """
    d = spec.family(SeClusterSpec)
    table = weights["contribution.transfer"]
    _, r = distances(table.dtype, around)
    xp = array_namespace(r)
    place = xp.where(element >= 0, element, xp.zeros_like(element))
    own = xp.take(table, xp.reshape(place, (-1,)), axis=0)
    own = xp.reshape(own, (*element.shape, *table.shape[1:]))
    x = xp.matmul(scalars[..., None, :], own)[..., 0, :]  # (frames, centres, n_transfer)
    at_atom = (element >= 0)[..., None]
    inside = at_atom & (around.element >= 0) & (r < d.rcut_env)
    # atoms at the rim, whose electrons nobody asks for, have neighbours that are no centres
    known = nlist < element.shape[1]
    apart = of_neighbors(x, nlist, inside & known) - x[..., None, :]
    share = xp.stack(d.basis_env(xp, r)[: d.n_transfer], axis=-1)
    share = xp.where(inside[..., None], share, xp.zeros_like(share))
    held = xp.take(weights["contribution.electrons"], xp.reshape(place, (-1,)), axis=0)
    return xp.reshape(held, element.shape) + xp.sum(share * apart, axis=(-2, -1))


def features(spec: ModelSpec, weights: Weights, around: Neighbors, element: Array) -> list[Array]:
    r"""What the contribution of an atom is linear in: tensors of its surroundings.

    .. math::
        B_c &= \sum_{zk} A_{zk} M_{zk,c}, \qquad D_c = \sum_{zk} A'_{zk} M'_{zk,c} \\
        P_q &= \sum_{cc'} (D_c \otimes D_{c'}) \, T_{cc',q}, \qquad
        S_q = \sum_{pc} (P_p \otimes D_c) \, T'_{pc,q} \\
        \Phi^l &= [ \delta_{l0}, \; B, \; P, \; S ]

    for each l, m, with the products that turn as l does, of :func:`.moments.coupled`; those of
    two channels of one l with c <= c', and of P only the first ones. A are the moments of the
    neighbours, A' those of closer ones. M, M', T and T' are of the element of the atom; before
    them the means of A, A' and of the products are subtracted for l = 0.

    Parameters
    ----------
    spec, weights, around, element
        As for :func:`density`.

    Returns
    -------
    list of array
        For each l (frames, centres, 2 l + 1, features).
    """
    d = spec.family(SeClusterSpec)
    table = weights["contribution.coefficients"]
    xp = array_namespace(around.vector)
    one = xp.ones((*around.vector.shape[:2], 1, 1), dtype=table.dtype, device=device(table))
    phi: list[list[Array]] = [[one] if l == 0 else [] for l in range(d.lmax + 1)]
    if d.order == 0:
        return [one, *(_none(one, l) for l in range(1, d.lmax + 1))]
    for l, of_l in enumerate(environment(spec, around, table.dtype)):
        phi[l].append(components(of_l, weights, "environment", l, element))
    if d.order > 1:
        channels = multiplied_channels(spec, weights, around, element)
        two = pair_components(spec, weights, channels, element)
        for l, of_l in enumerate(two):
            phi[l].append(of_l)
    if d.order > 2:
        for l, of_l in enumerate(triples(spec, two, channels)):
            phi[l].append(components(of_l, weights, "triple", l, element))
    return [xp.concat(of_l, axis=-1) for of_l in phi]


def multiplied_channels(
    spec: ModelSpec, weights: Weights, around: Neighbors, element: Array
) -> list[Array]:
    """The channels D of the neighbours that are multiplied, up to the largest l of these."""
    a = multiplied(spec, around, weights["contribution.coefficients"].dtype)
    return [components(of_l, weights, "multiplied", l, element) for l, of_l in enumerate(a)]


def components(a: Array, weights: Weights, name: str, l: int, element: Array) -> Array:
    """Components (..., 2 l + 1, C) of tensors a (..., 2 l + 1, n), by the element of the centre."""
    xp = array_namespace(a)
    matrices = weights[f"{name}.components[{l}]"]
    out = xp.zeros((*a.shape[:-1], matrices.shape[-1]), dtype=a.dtype, device=device(a))
    for z in range(matrices.shape[0]):
        centred = a - weights[f"{name}.mean"][z, :] if l == 0 else a
        found = xp.matmul(centred, matrices[z, :, :])
        out = xp.where((element == z)[..., None, None], found, out)
    return out


def pair_components(
    spec: ModelSpec, weights: Weights, channels: list[Array], element: Array
) -> list[Array]:
    """The components of the products of two of some channels, for each l."""
    two = pairs(spec, channels)
    return [components(of_l, weights, "pair", l, element) for l, of_l in enumerate(two)]


def pairs(spec: ModelSpec, channels: list[Array]) -> list[Array]:
    """All products P of two channels: for each l (..., 2 l + 1, products)."""
    d = spec.family(SeClusterSpec)
    out = []
    for l in range(d.lmax + 1):
        parts = [_none(channels[0], l)]
        for l1, l2 in d.pairs(l):
            first, second = channels[l1], channels[l2]
            n = first.shape[-1]
            taken = [(i, j) for i in range(n) for j in range(i if l1 == l2 else 0, n)]
            parts.append(_product(first, second, taken, (l1, l2, l)))
        out.append(array_namespace(*parts).concat(parts, axis=-1))
    return out


def triples(spec: ModelSpec, two: list[Array], channels: list[Array]) -> list[Array]:
    """All products of a component of products of two and a channel, as :func:`pairs`."""
    d = spec.family(SeClusterSpec)
    out = []
    for l in range(d.lmax + 1):
        parts = [_none(channels[0], l)]
        for l1, l2 in d.triples(l):
            first, second = two[l1], channels[l2]
            n = min(d.n_triple, first.shape[-1])
            taken = [(i, j) for i in range(n) for j in range(second.shape[-1])]
            parts.append(_product(first, second, taken, (l1, l2, l)))
        out.append(array_namespace(*parts).concat(parts, axis=-1))
    return out


def _none(like: Array, l: int) -> Array:
    """No tensors of l, (..., 2 l + 1, 0), of the atoms of others."""
    xp = array_namespace(like)
    return xp.zeros((*like.shape[:-2], 2 * l + 1, 0), dtype=like.dtype, device=device(like))


def _product(
    first: Array, second: Array, taken: list[tuple[int, int]], ls: tuple[int, int, int]
) -> Array:
    """Products (..., 2 l3 + 1, taken) of channels (..., 2 l1 + 1, k) and (..., 2 l2 + 1, k)."""
    xp = array_namespace(first)
    a = xp.stack([first[..., i] for i, _ in taken], axis=-2)
    b = xp.stack([second[..., j] for _, j in taken], axis=-2)
    return xp.matrix_transpose(coupled(a, b, ls))


def environment(spec: ModelSpec, around: Neighbors, dtype: Any) -> list[Array]:
    r"""The moments :math:`A_{zk,lm} = \sum_{J \in z} Q_k(r_J) Y_{lm}(\mathbf u_J)` of neighbours.

    Parameters
    ----------
    spec : ModelSpec
    around : Neighbors
        The other atoms around each atom.
    dtype : dtype
        Of the result.

    Returns
    -------
    list of array
        For each l (frames, centres, 2 l + 1, elements and radial functions).
    """
    d = spec.family(SeClusterSpec)
    return _moments(spec, around, dtype, d.basis_env, d.lmax)


def multiplied(spec: ModelSpec, around: Neighbors, dtype: Any) -> list[Array]:
    """The moments A' of the neighbours that take part in products; as :func:`environment`."""
    d = spec.family(SeClusterSpec)
    return _moments(spec, around, dtype, d.basis_product, d.tops[0])


def _moments(
    spec: ModelSpec,
    around: Neighbors,
    dtype: Any,
    basis: Callable[[Namespace, Array], list[Array]],
    lmax: int,
) -> list[Array]:
    vector, r = distances(dtype, around)
    xp = array_namespace(r)
    functions = [xp.stack(basis(xp, r), axis=-1)] * len(spec.elements)
    ylm = of_directions(vector, r, lmax, spec.descriptor.eps)
    a = xp.concat(moments(functions, ylm, around.element), axis=-1)
    return [a[..., l * l : (l + 1) ** 2, :] for l in range(lmax + 1)]
