# SPDX-License-Identifier: LGPL-3.0-or-later
"""Integrals of radial functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache

import numpy as np

from ...typing import Floats

__all__ = ["radial_integrals"]

# Nodes for which the radial functions that are used are integrated to the last digits.
_NODES = 400


def radial_integrals(
    functions: Callable[[Floats], Sequence[Floats]], rcut: float, power: int
) -> Floats:
    r"""The integrals :math:`\int_0^{r_c} f_n(r) \, r^p \, dr` by Gauss-Legendre quadrature.

    Parameters
    ----------
    functions : callable
        Takes distances (k,), A, and returns n arrays of values (k,).
    rcut : float
        A
    power : int
        p

    Returns
    -------
    np.ndarray
        (n,)
    """
    nodes, weights = _rule()
    r = 0.5 * rcut * (nodes + 1.0)
    values: Floats = np.array(functions(r))
    return values @ (0.5 * rcut * weights * r**power)


@cache
def _rule() -> tuple[Floats, Floats]:
    """Nodes and weights on [-1, 1], which take longer than all that is done with them."""
    return np.polynomial.legendre.leggauss(_NODES)
