# SPDX-License-Identifier: LGPL-3.0-or-later
"""Sums over neighbours of radial functions times harmonics: what every family starts from."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from array_api_compat import array_namespace, device

from ..kernels.arrays import Array
from ..kernels.coupling import coupling
from ..kernels.harmonics import harmonics
from ..kernels.radial import inverse_distance

__all__ = ["coupled", "moments", "of_directions"]


def of_directions(vector: Array, r: Array, lmax: int, eps: float) -> Array:
    r"""The harmonics :math:`Y_{lm}(\mathbf u), \mathbf u = \mathbf r / \sqrt{r^2 + \epsilon^2}`.

    Parameters
    ----------
    vector, r : array
        (..., neighbours, 3) and (..., neighbours), A
    lmax : int
    eps : float
        In A.

    Returns
    -------
    array
        (..., (lmax + 1)^2, neighbours) of r (..., neighbours).
    """
    xp = array_namespace(r)
    u = vector * inverse_distance(xp, r, eps)[..., None]
    return xp.stack(harmonics(xp, u[..., 0], u[..., 1], u[..., 2], lmax), axis=-2)


def moments(functions: Iterable[Array], ylm: Array, element: Array) -> list[Array]:
    r"""The moments :math:`A_{zn,lm} = \sum_{j \in z} R_{zn}(r_j) Y_{lm}(\mathbf u_j)`.

    Parameters
    ----------
    functions : iterable of array
        For each element R, (..., neighbours, functions).
    ylm : array
        (..., harmonics, neighbours)
    element : array
        (..., neighbours) its place among the elements; other numbers count for none.

    Returns
    -------
    list of array
        For each element (..., harmonics, functions).
    """
    xp = array_namespace(ylm)
    return [
        xp.matmul(ylm, xp.where((element == z)[..., None], f, xp.zeros_like(f)))
        for z, f in enumerate(functions)
    ]


def coupled(first: Array, second: Array, ls: Sequence[int]) -> Array:
    r"""Products of two moments that turn as one of l3 does.

    .. math:: C_{k,m_3} = \sum_{m_1 m_2} G^{l_1 l_2 l_3}_{m_1 m_2 m_3} A_{k,m_1} B_{k,m_2}

    Parameters
    ----------
    first, second : array
        A (..., k, 2 l1 + 1) and B (..., k, 2 l2 + 1).
    ls : sequence of int
        l1, l2, l3, of even sum.

    Returns
    -------
    array
        (..., k, 2 l3 + 1)
    """
    xp = array_namespace(first)
    g = xp.asarray(coupling(*ls), dtype=first.dtype, device=device(first))
    product = first[..., :, None] * second[..., None, :]
    product = xp.reshape(product, (*product.shape[:-2], -1))
    return xp.matmul(product, xp.reshape(g, (-1, g.shape[-1])))
