# SPDX-License-Identifier: LGPL-3.0-or-later
r"""Power spectrum of a density, and the layers that it makes.

Of the waves :math:`\rho_G` with :math:`G \ne 0` the amplitude in soft shells,

.. math:: A_q = \frac1{\bar\rho}
    \left(\sum_G |\rho_G|^2 e^{-(|G| - q)^2 / 2 w^2}\right)^{1/2}, \qquad w = 0.35 / \text{A},

and how their directions are ordered, by the Legendre polynomials of the angles between all pairs,

.. math:: O_l = \sum_{G G'} p_G \, p_{G'} P_l(\hat G \cdot \hat G'), \qquad
          p_G \propto |\rho_G|^2 g(|G|), \quad \textstyle\sum p_G = 1 ,

with the shares :math:`g` of low and high waves, :math:`e^{-|G|^2 / 2 k^2}` and
:math:`1 - e^{-|G|^2 / 2 k^2}`, k = 3/A. Along every direction :math:`\hat G` the average of the
density over planes,

.. math:: p(z) = \bar\rho + \sum_{n \ge 1} 2 \operatorname{Re} \rho_{n G} e^{i n |G| z},

shows gaps between layers: its lowest value over all directions of waves up to 5/A.
Means :math:`\bar\rho` are those of :math:`|\rho|`.
"""

from __future__ import annotations

from math import factorial

import numpy as np

from ...typing import Complexes, Floats
from ..field import Field
from .feature import Feature

__all__ = ["FEATURES", "evaluate"]

SHELLS = np.arange(1.0, 9.1, 0.5)  # 1/A
WIDTH = 0.35  # 1/A
LOW = 3.0  # 1/A
ORDERS = (2, 4, 6)
# Directions of the waves up to this length (1/A) are looked along: planes 1.26 A apart and more.
_LONGEST = 5.0
# Waves beyond have no part in any shell (1/A), and of all power less than 1e-5.
_SHORTEST = SHELLS[-1] + 6.0 * WIDTH
_POINTS = 48

FEATURES = (
    *(Feature(f"spectrum_{q:.1f}", "", f"A_q, q = {q:.1f}/A") for q in SHELLS),
    *(
        Feature(f"order_{l}_{part}", "", f"O_{l} of the {part} waves")
        for part in ("low", "high")
        for l in ORDERS
    ),
    Feature("first_wave", "1/A", "|G| of the shortest G with 1% of the power of all"),
    Feature("plane_minimum", "", "lowest p(z) / mean of all directions"),
    Feature("plane_minimum_log", "", "lg(0.001 + the same), layered crystals told apart"),
    Feature("plane_spread", "", "largest sqrt <(p(z) / mean - 1)^2> of all directions"),
    Feature("plane_distance", "A", "2 pi / |G| of that direction"),
)


def evaluate(field: Field) -> Floats:
    """The features of this block, in the order of ``FEATURES``."""
    scale = max(float(np.abs(field.values).mean()), 1e-12)
    # half of the waves: the others are their conjugates, but for the plane of no z component
    counts = np.full(field.waves.shape, 2.0)
    counts[..., 0] = 1.0
    if field.grid.shape[2] % 2 == 0:
        counts[..., -1] = 1.0
    length = np.linalg.norm(field.wave_vectors, axis=0)
    each = np.abs(field.waves) ** 2 / scale**2
    each[0, 0, 0] = 0.0
    total = np.sum(counts * each)
    there = (length < _SHORTEST) & (each > 0.0)
    length, each, power = length[there], each[there], (counts * each)[there]
    vectors = field.wave_vectors[:, there] / length
    amplitudes = [
        np.sqrt(np.sum(power * np.exp(-0.5 * ((length - q) / WIDTH) ** 2))) for q in SHELLS
    ]
    low = np.exp(-0.5 * (length / LOW) ** 2)
    strong = each > 0.01 * total
    return np.array(
        [
            *amplitudes,
            *_order(vectors, power * low),
            *_order(vectors, power * (1.0 - low)),
            length[strong].min() if strong.any() else 0.0,
            *_planes(field, scale),
        ]
    )


def _order(directions: Floats, power: Floats) -> list[float]:
    """O_l of unit vectors (3, n) with powers (n,); pairs are summed by moments."""
    p = power / max(power.sum(), 1e-300)
    m2, m4, m6 = (_pairs(directions, p, k) for k in ORDERS)
    return [
        (3 * m2 - 1) / 2,
        (35 * m4 - 30 * m2 + 3) / 8,
        (231 * m6 - 315 * m4 + 105 * m2 - 5) / 16,
    ]


def _pairs(directions: Floats, p: Floats, k: int) -> float:
    """Sum over pairs of p p' (g . g')^k, as that over the monomials of degree k squared."""
    x, y, z = (np.vander(component, k + 1, increasing=True).T for component in directions)
    total = 0.0
    for a in range(k + 1):
        of_x = p * x[a]
        for b in range(k + 1 - a):
            c = k - a - b
            ways = factorial(k) / (factorial(a) * factorial(b) * factorial(c))
            total += ways * float(np.dot(of_x * y[b], z[c])) ** 2
    return total


def _planes(field: Field, scale: float) -> tuple[float, float, float, float]:
    """Lowest plane, its logarithm, widest spread and the distance there."""
    shape = np.array(field.grid.shape)
    reciprocal = 2.0 * np.pi * np.linalg.inv(field.grid.cell).T
    lowest, widest, distance = field.mean / scale, 0.0, 0.0
    for m in _directions(shape, reciprocal):
        n = np.arange(1, int(np.min((shape[m != 0] - 1) // (2 * np.abs(m[m != 0])))) + 1)
        # half of the waves do: those directions have no negative z
        coefficients: Complexes = field.waves[tuple((n[:, None] * m % shape).T)] / scale
        spread = float(np.sqrt(2.0 * np.sum(np.abs(coefficients) ** 2)))
        if spread < 1e-4:
            continue
        # in a supercell the first waves along a direction are absent
        period = np.gcd.reduce(n[np.abs(coefficients) > 1e-4 * spread])
        length = period * np.linalg.norm(m @ reciprocal)
        if length > _LONGEST:
            continue
        waves = coefficients[period - 1 :: period]
        # most directions cannot go lower, whatever their phases
        if field.mean / scale - 2.0 * np.sum(np.abs(waves)) < lowest:
            lowest = min(lowest, field.mean / scale + _lowest(waves))
        # the direction of the largest spread; of equal ones that of the longer distance
        if spread > widest * (1.0 + 1e-4) or (
            spread > widest * (1.0 - 1e-4) and 2.0 * np.pi / length > distance
        ):
            widest, distance = max(spread, widest), 2.0 * np.pi / length
    return lowest, float(np.log10(1e-3 + max(lowest, 0.0))), widest, distance


def _lowest(coefficients: Complexes) -> float:
    """Lowest value over a period of 2 Re sum of c_n exp(i n z), n = 1, 2, ..."""
    n = np.arange(1, len(coefficients) + 1)
    z, step = 2.0 * np.pi * np.arange(_POINTS) / _POINTS, 2.0 * np.pi / _POINTS
    lowest = np.inf
    for _ in range(3):  # each time nearer about the best place
        found = 2.0 * np.real(np.exp(1j * np.outer(z, n)) @ coefficients)
        lowest = min(lowest, float(found.min()))
        z = z[np.argmin(found)] + step * np.linspace(-1.0, 1.0, 33)
        step /= 16.0
    return lowest


def _directions(shape: Floats, reciprocal: Floats) -> Floats:
    """Shortest whole vectors m (n, 3) along each direction, of two opposite ones that with +z."""
    most = np.floor(_LONGEST * np.linalg.norm(np.linalg.inv(reciprocal), axis=0) + 1e-9)
    most = np.minimum(most, (shape - 1) // 2).astype(int)
    m = np.stack(np.meshgrid(*(np.arange(-k, k + 1) for k in most), indexing="ij"), -1)
    m = m.reshape(-1, 3)
    half = (m[:, 2] > 0) | ((m[:, 2] == 0) & ((m[:, 1] > 0) | ((m[:, 1] == 0) & (m[:, 0] > 0))))
    m = m[half & (np.linalg.norm(m @ reciprocal, axis=1) <= _LONGEST)]
    return m[np.gcd.reduce(m, axis=1) == 1]
