# SPDX-License-Identifier: LGPL-3.0-or-later
r"""Plane waves of a cell up to a cutoff, and the values on a grid that they add up to.

With the vectors :math:`b_k` of the reciprocal cell,

.. math:: \rho(r) = \sum_G \rho_G \, e^{i G r}, \qquad
          G = m_1 b_1 + m_2 b_2 + m_3 b_3, \qquad |G|^2 \le E .

A real density has :math:`\rho_{-G} = \rho_G^*`, so that half of the waves tell it all: those
with :math:`m_1 > 0`, or :math:`m_1 = 0` and :math:`m_2 > 0`, or :math:`m_1 = m_2 = 0` and
:math:`m_3 \ge 0`. A grid of n points along an axis tells waves apart where
:math:`2 |m| < n`.
"""

from __future__ import annotations

import numpy as np

from ..errors import ChargeError
from ..typing import Complexes, Floats, Integers, Shape

__all__ = ["from_grid", "shape_for", "sphere", "to_grid"]

# Of |G|^2, in the square of the unit of G: waves that are closer are equally long.
TIE = 1e-8
# By how much coefficients of opposite waves may differ, of the largest one.
_REAL = 1e-8


def sphere(reciprocal: Floats, cutoff: float, is_half: bool) -> Integers:
    """Find the waves in a sphere, ordered by length.

    Waves whose squared lengths differ by less than 1e-8 stand in the order of (m1, m2, m3).
    This is the order of Quantum ESPRESSO where lengths are in units of 2 pi / alat.

    Parameters
    ----------
    reciprocal : np.ndarray, shape (3, 3)
        Vectors of the reciprocal cell in rows, in any unit.
    cutoff : float
        The largest squared length, in the square of that unit.
    is_half : bool
        Whether to leave out one of two opposite waves.

    Returns
    -------
    np.ndarray of int32, shape (n, 3)
        (m1, m2, m3) of each wave.

    Raises
    ------
    ChargeError
        If lengths differ by so little that the order cannot be told.
    """
    most = np.floor(np.sqrt(cutoff) * np.linalg.norm(np.linalg.inv(reciprocal), axis=0) + 1e-6)
    m1, m2, m3 = (np.arange(-n, n + 1, dtype=np.int32) for n in most.astype(int))
    b1, b2, b3 = reciprocal
    planes: list[Integers] = []
    lengths: list[Floats] = []
    for m in m1[m1 >= 0] if is_half else m1:
        plane = np.stack(np.meshgrid(m, m2, m3, indexing="ij"), axis=-1).reshape(-1, 3)
        if is_half and m == 0:
            plane = plane[(plane[:, 1] > 0) | ((plane[:, 1] == 0) & (plane[:, 2] >= 0))]
        # summed as pw.x does, so that a wave right on the sphere falls on the same side
        waves = plane[:, :1] * b1 + plane[:, 1:2] * b2 + plane[:, 2:] * b3
        squares = waves[:, 0] ** 2 + waves[:, 1] ** 2 + waves[:, 2] ** 2
        planes.append(plane[squares <= cutoff])
        lengths.append(squares[squares <= cutoff])
    return np.concatenate(planes)[_order(np.concatenate(lengths))]


def _order(squares: Floats) -> Integers:
    """Order of waves by length, and among ties as they are."""
    order = np.argsort(squares, kind="stable")
    climbing = squares[order]
    starts = np.flatnonzero(np.diff(climbing, prepend=-np.inf) >= TIE)
    ends = np.append(starts[1:], len(climbing)) - 1
    if (climbing[ends] - climbing[starts] >= TIE).any():
        raise ChargeError("waves differ in length by so little that their order cannot be told")
    ties = np.repeat(np.arange(len(starts)), ends - starts + 1)
    return order[np.lexsort((order, ties))]


def shape_for(miller: Integers) -> Shape:
    """The smallest grid that tells waves (n, 3) apart."""
    most = np.maximum(miller.max(axis=0).astype(int), -miller.min(axis=0).astype(int))
    nx, ny, nz = (2 * most + 1).tolist()
    return nx, ny, nz


def to_grid(miller: Integers, coefficients: Complexes, shape: Shape, is_half: bool) -> Floats:
    """Sum waves on a grid.

    Parameters
    ----------
    miller : np.ndarray of int, shape (n, 3)
        The waves, in any order.
    coefficients : np.ndarray of complex, shape (n,)
    shape : Shape
        A grid that tells the waves apart.
    is_half : bool
        Whether opposite waves are left out.

    Returns
    -------
    np.ndarray, shape ``shape``
        In the unit of the coefficients.

    Raises
    ------
    ChargeError
        If a wave is there twice, the sum is not real, or the grid is too coarse.
    """
    from scipy import fft

    if (np.array(shape) < shape_for(miller)).any():
        raise ChargeError(f"a grid of {shape} points does not tell the waves apart")
    half = np.zeros((*shape[:2], shape[2] // 2 + 1), dtype=complex)
    is_filled = np.zeros(half.shape, dtype=bool)
    n_places = 0
    for sign in (1, -1) if is_half else (1,):
        # the wave of zero length is its own opposite
        chosen = (sign * miller[:, 2] >= 0) & ((sign > 0) | miller.any(axis=1))
        places = _places(sign * miller[chosen], shape)
        half[places] = coefficients[chosen] if sign > 0 else coefficients[chosen].conj()
        is_filled[places] = True
        n_places += int(chosen.sum())
    if np.count_nonzero(is_filled) < n_places:
        raise ChargeError("a wave is there more than once")
    _check_real(half, miller, coefficients, shape, is_half)
    return fft.irfftn(half, shape, norm="forward", overwrite_x=True)


def from_grid(values: Floats, miller: Integers) -> Complexes:
    """Coefficients (n,) of waves (n, 3) in values on a grid that tells them apart."""
    from scipy import fft

    half = fft.rfftn(values, norm="forward")
    coefficients = np.empty(len(miller), dtype=complex)
    below = miller[:, 2] < 0
    nx, ny, nz = values.shape
    coefficients[~below] = half[_places(miller[~below], (nx, ny, nz))]
    coefficients[below] = half[_places(-miller[below], (nx, ny, nz))].conj()
    return coefficients


def _places(miller: Integers, shape: Shape) -> tuple[Integers, ...]:
    """Where waves with m3 >= 0 are in what ``rfftn`` makes."""
    return tuple((miller % shape).T)


def _check_real(
    half: Complexes, miller: Integers, coefficients: Complexes, shape: Shape, is_half: bool
) -> None:
    """Raise ChargeError where coefficients of opposite waves are not conjugate."""
    tolerance = _REAL * np.abs(coefficients).max()
    chosen = ~miller.any(axis=1) if is_half else miller[:, 2] <= 0
    opposite = half[_places(-miller[chosen], shape)]
    if (np.abs(opposite - coefficients[chosen].conj()) > tolerance).any():
        raise ChargeError("opposite waves have other coefficients, so that their sum is not real")
