# SPDX-License-Identifier: LGPL-3.0-or-later
"""How three spherical harmonics couple to an invariant."""

from __future__ import annotations

from functools import cache

import numpy as np

from ...typing import Floats
from .harmonics import LMAX, harmonics

__all__ = ["TRIPLES", "coupling"]

# The independent triples l1 <= l2 <= l3 of even sum with l1 > 0 that LMAX allows.
TRIPLES = [
    (a, b, c)
    for a in range(1, LMAX + 1)
    for b in range(a, LMAX + 1)
    for c in range(b, min(a + b, LMAX) + 1)
    if (a + b + c) % 2 == 0
]


@cache
def coupling(l1: int, l2: int, l3: int) -> Floats:
    r"""Normalised Gaunt coefficients of real harmonics.

    .. math:: G_{m_1 m_2 m_3} \propto \int Y_{l_1 m_1} Y_{l_2 m_2} Y_{l_3 m_3} \, d\Omega,
              \qquad \sum G^2 = 1

    Summed with three sets of harmonics' coefficients they give an invariant
    under rotation and, because l1 + l2 + l3 is even, reflection.

    Parameters
    ----------
    l1, l2, l3 : int
        One of :data:`TRIPLES`, in any order.

    Returns
    -------
    np.ndarray
        (2 l1 + 1, 2 l2 + 1, 2 l3 + 1), not to be written to.
    """
    # Gauss-Legendre x trapezoid is exact for polynomials up to 3 LMAX
    nodes, weight = np.polynomial.legendre.leggauss(2 * LMAX)
    angles = 2.0 * np.pi * np.arange(4 * LMAX) / (4 * LMAX)
    z, phi = np.meshgrid(nodes, angles, indexing="ij")
    sine = np.sqrt(1.0 - z**2)
    y = harmonics(np, sine * np.cos(phi), sine * np.sin(phi), z, LMAX)
    y1, y2, y3 = (np.array(y[l * l : (l + 1) ** 2]) for l in (l1, l2, l3))
    g = np.einsum("q,aqp,bqp,cqp->abc", weight, y1, y2, y3)
    g /= np.sqrt(np.sum(g**2))
    g.flags.writeable = False  # it is everybody's
    return g
