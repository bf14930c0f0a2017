# SPDX-License-Identifier: LGPL-3.0-or-later
"""Radial functions that are tabulated as piecewise cubic polynomials."""

from __future__ import annotations

from .arrays import Array, Namespace

__all__ = ["piecewise_cubic"]


def piecewise_cubic(
    xp: Namespace, r: Array, kind: Array, step: float | Array, coefficients: Array
) -> Array:
    r"""Evaluate one of several tabulated radial functions at each distance.

    .. math::
        f_z(r) = \sum_{p=0}^{3} c_{z,k,p} \, t^p, \qquad
        k = \lfloor r / h \rfloor, \quad t = r / h - k

    and zero from the end of the table on.

    Parameters
    ----------
    xp : module
        Array namespace.
    r : array
        (n,) distances in angstrom, float64: a table is exact to more digits
        than float32 has.
    kind : array of int64
        (n,) which function.
    step : float or array of shape ()
        The width h of the intervals in angstrom.
    coefficients : array
        (functions, intervals, 4) in powers of t, float64.

    Returns
    -------
    array
        (n,) values in the unit of the coefficients.
    """
    intervals = int(coefficients.shape[1])
    x = r / step
    k = xp.floor(x)
    inside = k < intervals
    k = xp.where(inside, k, xp.zeros_like(k))
    row = kind * intervals + _integer(xp, k)
    c = _rows(xp, xp.reshape(coefficients, (-1, 4)), row)
    t = x - k
    value = c[:, 0] + t * (c[:, 1] + t * (c[:, 2] + t * c[:, 3]))
    return xp.where(inside, value, xp.zeros_like(value))


# TensorFlow has names of its own for what the array API calls astype and take


def _integer(xp: Namespace, x: Array) -> Array:
    return xp.cast(x, xp.int64) if hasattr(xp, "cast") else xp.astype(x, xp.int64)


def _rows(xp: Namespace, table: Array, index: Array) -> Array:
    return xp.take(table, index, axis=0) if hasattr(xp, "take") else xp.gather(table, index)
