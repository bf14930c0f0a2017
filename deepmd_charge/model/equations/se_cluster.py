# SPDX-License-Identifier: LGPL-3.0-or-later
r"""The family ``se_cluster``: a sum over atoms whose contributions depend on their surroundings.

After the Deep Density paper (arXiv 1912.00775), linear in its coefficients W: with
:math:`\mathbf r_I` the vector from atom I to the grid point and
:math:`\mathbf u = \mathbf r / \sqrt{r^2 + \epsilon^2}`,

.. math::
    \rho &= \sum_I \sum_{nlm} c_{I,nlm} \, R_n(r_I) \, Y_{lm}(\mathbf u_I) \\
    c_{I,nlm} &= \sum_k \Phi^l_{I,k,m} W^{z_I l}_{k,n}

of :func:`features` :math:`\Phi` of the atoms around I. What follows the distances from the
grid point is in the model's precision, the coefficients c of each atom always in float64.
"""

from __future__ import annotations

from array_api_compat import array_namespace, device

from ..descriptors.se_cluster import SeClusterSpec
from ..kernels.arrays import Array
from ..neighbors import Neighbors, distances, of_neighbors
from ..spec import ModelSpec
from ..weights import Weights
from .moments import coupled, moments, of_directions

__all__ = ["coefficients", "density", "electrons", "environment", "features"]


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
    phi = features(spec, weights, around)
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
        (frames, centres, features) the features of l = 0.

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


def features(spec: ModelSpec, weights: Weights, around: Neighbors) -> list[Array]:
    r"""What the contribution of an atom is linear in: tensors of its surroundings.

    .. math::
        B_{c,lm} &= \sum_{zk} A_{zk,lm} M^l_{zk,c} \\
        \Phi^l_m &= \Big[ \delta_{l0}, \; B_{c,lm}, \; \sum_{m_1 m_2}
            G^{l_1 l_2 l}_{m_1 m_2 m} B_{c,l_1 m_1} B_{c',l_2 m_2} \Big]

    with the mean of A subtracted for l = 0. Of the products with l1 = l2 those with c <= c'
    are taken.

    Parameters
    ----------
    spec, weights, around
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
    if not d.order:
        return [one] + [
            xp.zeros((*one.shape[:2], 2 * l + 1, 0), dtype=table.dtype, device=device(table))
            for l in range(1, d.lmax + 1)
        ]
    a = environment(spec, weights, around)
    b = []
    for l in range(d.lmax + 1):
        of_l = a[..., l * l : (l + 1) ** 2, :]
        of_l = of_l - weights["environment.mean"] if l == 0 else of_l
        b.append(xp.matmul(of_l, weights[f"environment.channels[{l}]"]))
    phi = [[one, b[0]], *([of_l] for of_l in b[1:])]
    n = min(d.n_product, b[0].shape[-1])
    for l1, l2, l in d.paths():
        pairs = [(i, j) for i in range(n) for j in range(i if l1 == l2 else 0, n)]
        first, second = (
            xp.matrix_transpose(xp.stack([of_l[..., pair[k]] for pair in pairs], axis=-1))
            for k, of_l in enumerate((b[l1], b[l2]))
        )
        phi[l].append(xp.matrix_transpose(coupled(first, second, (l1, l2, l))))
    return [xp.concat(of_l, axis=-1) for of_l in phi]


def environment(spec: ModelSpec, weights: Weights, around: Neighbors) -> Array:
    r"""The moments of the surroundings of atoms.

    .. math:: A_{I,zk,lm} = \sum_{J \in z} Q_k(r_{IJ}) Y_{lm}(\mathbf u_{IJ})

    Parameters
    ----------
    spec, weights, around
        As for :func:`density`.

    Returns
    -------
    array
        (frames, centres, (lmax + 1)^2, elements and radial functions)
    """
    d = spec.family(SeClusterSpec)
    vector, r = distances(weights["contribution.coefficients"].dtype, around)
    xp = array_namespace(r)
    functions = [xp.stack(d.basis_env(xp, r), axis=-1)] * len(spec.elements)
    ylm = of_directions(vector, r, d.lmax, d.eps)
    return xp.concat(moments(functions, ylm, around.element), axis=-1)
