# SPDX-License-Identifier: LGPL-3.0-or-later
"""Functions of the distance r between a grid point and an atom.

A grid point may sit on a nucleus, so everything here is an even, smooth
function of r at r = 0, and goes to zero smoothly at the cutoff.
"""

import math

__all__ = ["RADIAL_BASES", "bessel", "chebyshev", "inverse_distance", "switch"]


def cutoff(xp, r, rcut):
    r"""Even polynomial cutoff :math:`f_c(r) = (1 - r^2/r_c^2)^3`, 0 beyond r_c.

    Its first two derivatives vanish at r_c.
    """
    u = 1.0 - (r / rcut) ** 2
    u = xp.maximum(u, xp.zeros_like(u))
    return u * u * u


def chebyshev(xp, r, rcut, n_radial, core):
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
    scale = 2.0 / math.log1p((rcut / core) ** 2)
    x = scale * xp.log(1.0 + (r / core) ** 2) - 1.0
    fc = cutoff(xp, r, rcut)
    # the recurrence T_n+1 = 2 x T_n - T_n-1 is linear, so it may start from f_c
    basis = [fc, x * fc]
    while len(basis) < n_radial:
        basis.append(2.0 * x * basis[-1] - basis[-2])
    return basis[:n_radial]


def bessel(xp, r, rcut, n_radial, core):
    r"""Spherical Bessel functions of order zero times the cutoff.

    .. math:: R_n(r) = \frac{\sin(n \pi r / r_c)}{n \pi r / r_c} f_c(r),
              \qquad n = 1, 2, \ldots

    Parameters and return value as for :func:`chebyshev`; ``core`` is not used.
    """
    x = math.pi / rcut * r
    near = x < 1e-2
    safe = xp.where(near, xp.ones_like(x), x)
    # sin(n x) / x = U_n-1(cos x) sin(x) / x
    sinc = xp.where(near, 1.0 - x * x / 6.0, xp.sin(safe) / safe)
    twocos = 2.0 * xp.cos(x)
    first = sinc * cutoff(xp, r, rcut)
    chain = [first, twocos * first]
    while len(chain) < n_radial:
        chain.append(twocos * chain[-1] - chain[-2])
    return [f / (n + 1.0) for n, f in enumerate(chain[:n_radial])]


RADIAL_BASES = {"chebyshev": chebyshev, "bessel": bessel}


def inverse_distance(xp, r, eps):
    r"""The regularised :math:`1/\sqrt{r^2 + \epsilon^2}` (1/angstrom)."""
    return 1.0 / xp.sqrt(r * r + eps * eps)


def switch(xp, r, rcut_smth, rcut):
    r"""The fifth-order switching function of DeepPot-SE.

    .. math:: w(u) = u^3 (-6 u^2 + 15 u - 10) + 1, \qquad
              u = \frac{r - r_s}{r_c - r_s} \text{ held to } [0, 1]
    """
    u = (r - rcut_smth) / (rcut - rcut_smth)
    u = xp.minimum(xp.maximum(u, xp.zeros_like(u)), xp.ones_like(u))
    return u * u * u * (u * (15.0 - 6.0 * u) - 10.0) + 1.0
