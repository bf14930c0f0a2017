# SPDX-License-Identifier: LGPL-3.0-or-later
"""Functions of the distance r between a grid point and an atom.

A grid point may sit on a nucleus, so everything here is an even, smooth
function of r at r = 0, and goes to zero smoothly at the cutoff.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TypeAlias

from .arrays import Array, Namespace

__all__ = ["RADIAL_BASES", "RadialBasis", "bessel", "chebyshev", "inverse_distance", "switch"]

RadialBasis: TypeAlias = Callable[[Namespace, Array, float, int, float], list[Array]]


def cutoff(xp: Namespace, r: Array, rcut: float) -> Array:
    r"""Even polynomial cutoff :math:`f_c(r) = (1 - r^2/r_c^2)^3`, 0 beyond r_c.

    Its first two derivatives vanish at r_c.
    """
    u = 1.0 - (r / rcut) ** 2
    u = xp.maximum(u, xp.zeros_like(u))
    return u * u * u


def chebyshev(xp: Namespace, r: Array, rcut: float, n_radial: int, core: float) -> list[Array]:
    r"""Chebyshev polynomials on a logarithmic axis that opens up at the nucleus.

    .. math::
        R_n(r) = T_n(x(r)) f_c(r), \qquad
        x(r) = \frac{\ln(1 + r^2/a^2)}{\ln(1 + r_c^2/a^2)} \cdot 2 - 1

    with a the length ``core``: the resolution is about a near a nucleus and
    grows in proportion to r away from it, as the structure of a density does.

    Parameters
    ----------
    xp : module
        Array namespace.
    r : array
        Distances in angstrom, any shape.
    rcut, core : float
        The cutoff radius and the length a, in angstrom.
    n_radial : int
        The number of functions, n = 0 ... n_radial - 1.

    Returns
    -------
    list of array
        The functions, each of the shape of r.
    """
    # 2 x + 2, which is known to its last digit near a nucleus, where it goes to zero
    rise = 4.0 / math.log1p((rcut / core) ** 2) * xp.log1p((r / core) ** 2)
    fc = cutoff(xp, r, rcut)
    # T_n+1 = 2 x T_n - T_n-1 by way of the sums T_n+1 + T_n, which loses no digits there;
    # it is linear, so it may start from f_c
    total = 0.5 * rise * fc
    basis = [fc, total - fc]
    while len(basis) < n_radial:
        total = rise * basis[-1] - total
        basis.append(total - basis[-1])
    return basis[:n_radial]


def bessel(xp: Namespace, r: Array, rcut: float, n_radial: int, core: float) -> list[Array]:
    r"""Spherical Bessel functions of order zero times the cutoff.

    .. math:: R_n(r) = \frac{\sin(n \pi r / r_c)}{n \pi r / r_c} f_c(r),
              \qquad n = 1, 2, \ldots

    Parameters and return value as for :func:`chebyshev`; ``core`` is not used.
    """
    x = math.pi / rcut * r
    near = x < 1e-2
    safe = xp.where(near, xp.ones_like(x), x)
    # the series to the last digit of float64, or there would be a step
    series = 1.0 - x * x / 6.0 * (1.0 - x * x / 20.0)
    sinc = xp.where(near, series, xp.sin(safe) / safe)
    fall = 4.0 * xp.sin(0.5 * x) ** 2
    # sin((n + 1) x) = 2 cos(x) sin(n x) - sin((n - 1) x) by way of the differences, which
    # loses no digits near a nucleus: 2 cos(x) = 2 - fall
    step = sinc * cutoff(xp, r, rcut)
    chain = [step]
    while len(chain) < n_radial:
        step = step - fall * chain[-1]
        chain.append(chain[-1] + step)
    return [f / (n + 1.0) for n, f in enumerate(chain)]


RADIAL_BASES: dict[str, RadialBasis] = {"bessel": bessel, "chebyshev": chebyshev}


def inverse_distance(xp: Namespace, r: Array, eps: float) -> Array:
    r"""The regularised :math:`1/\sqrt{r^2 + \epsilon^2}` (1/angstrom)."""
    return 1.0 / xp.sqrt(r * r + eps * eps)


def switch(xp: Namespace, r: Array, rcut_smth: float, rcut: float) -> Array:
    r"""The fifth-order switching function of DeepPot-SE.

    .. math:: w(u) = u^3 (-6 u^2 + 15 u - 10) + 1, \qquad
              u = \frac{r - r_s}{r_c - r_s} \text{ held to } [0, 1]
    """
    u = (r - rcut_smth) / (rcut - rcut_smth)
    u = xp.minimum(xp.maximum(u, xp.zeros_like(u)), xp.ones_like(u))
    return u * u * u * (u * (15.0 - 6.0 * u) - 10.0) + 1.0
