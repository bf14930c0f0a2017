# SPDX-License-Identifier: LGPL-3.0-or-later
"""Smooth functions of a distance as polynomials on equal intervals."""

import numpy as np

__all__ = ["tabulate"]

# Intervals at which a function that is not smooth is given up.
_MOST = 4000


def tabulate(functions, end, degree, tolerance):
    r"""Approximate functions on 0 <= r <= end by continuous piecewise polynomials.

    On interval i of length h, :math:`f(r) = \sum_k c_{ik} t^k` with
    :math:`t = r / h - i - 1/2`: the polynomial through the Chebyshev-Lobatto
    points of the interval, so that neighbours agree where they meet. There are
    as many intervals as the tolerance needs.

    Parameters
    ----------
    functions : callable
        Takes distances (n,) and gives (n, m) values, float64.
    end : float
        Where the table ends.
    degree : int
        Of the polynomials.
    tolerance : float
        Largest error of each function, as a share of its largest value.

    Returns
    -------
    np.ndarray
        (intervals, degree + 1, m) coefficients.
    """
    nodes = -0.5 * np.cos(np.pi * np.arange(degree + 1) / degree)
    solve = np.linalg.inv(np.vander(nodes, increasing=True))
    between = 0.5 * (nodes[1:] + nodes[:-1])
    check = np.vander(between, degree + 1, increasing=True)
    intervals, before = 16, np.inf
    while True:
        where = np.arange(intervals)[:, None] + 0.5
        step = end / intervals
        values = _on(functions, (where + nodes) * step)
        table = np.einsum("kn,inm->ikm", solve, values)
        exact = _on(functions, (where + between) * step)
        error = np.abs(np.einsum("nk,ikm->inm", check, table) - exact).max(axis=(0, 1))
        share = np.max(error / (np.abs(exact).max(axis=(0, 1)) + np.finfo(float).tiny))
        # rounding of the functions themselves ends it, and a kink at last
        if share <= tolerance or share > 0.5 * before or intervals > _MOST:
            return table
        before = share
        # the error falls with this power of the number of intervals
        growth = (share / tolerance) ** (1.0 / (degree + 1))
        intervals = int(np.ceil(intervals * min(2.0, max(1.2, growth))))


def _on(functions, r):
    return functions(r.reshape(-1)).reshape(*r.shape, -1)
