# SPDX-License-Identifier: LGPL-3.0-or-later
r"""Distances of neighbouring atoms, and the density on the lines between them.

The neighbours j of an atom i count with the weights

.. math:: w_{ij} = e^{-(d_{ij} / d_i - 1)^2 / 2 \omega^2}, \qquad
          d_i = \min_j d_{ij}, \quad \omega = 0.1 ,

up to :math:`1.4\, d_i`. On each line lies a lowest density, near the bond critical point. Over the
bonds of one atom values are averaged with these weights; over the atoms come mean, least and
largest.
"""

from __future__ import annotations

import numpy as np

from ...atoms.images import Images
from ...typing import Floats
from ..field import RHO_0, Field
from .feature import Feature

__all__ = ["FEATURES", "evaluate"]

OMEGA, REACH = 0.1, 1.4
# Where on the line the lowest density is looked for, as shares of its length.
_PLACES = np.linspace(0.15, 0.85, 21)
# Second differences along the line are taken over this share of its length.
_STEP = 0.1

_PER_ATOM = (
    ("nearest", "A", "d_i"),
    ("distance", "A", "mean of d_ij over bonds"),
    ("neighbours", "", "sum of w_ij"),
    ("bond_log", "", "mean over bonds of the lowest S on the line"),
    ("bond_log_low", "", "least over bonds (w > 0.1) of the lowest S on the line"),
    ("bond_laplacian", "", "mean over bonds of arsinh(lap rho / (1 e/A^5)) there"),
    ("bond_place", "", "mean over bonds of |share of the length - 1/2| there"),
    ("bond_curvature", "1/A^2", "mean over bonds of d^2 S / dx^2 along the line there"),
    ("bond_angles", "", "order O_4 of the directions of bonds, weighted"),
)
FEATURES = (
    Feature("volume", "A^3", "volume per atom"),
    Feature("electrons", "e", "integral of the density per atom"),
    *(
        Feature(f"{name}_{how}", unit, f"{how} over atoms of the {text}")
        for name, unit, text in _PER_ATOM
        for how in ("mean", "min", "max")
    ),
    Feature("bonds_per_volume", "1/A^3", "sum of all w_ij / 2 V"),
    Feature("bond_electrons", "e/A^6", "sum of all w_ij rho (lowest on the line) / 2 V"),
)


def evaluate(field: Field) -> Floats:
    """The features of this block, in the order of ``FEATURES``."""
    n, volume = len(field.atoms), field.volume
    start, step, d, first = _neighbours(field)
    w = np.exp(-0.5 * ((d / first[start] - 1.0) / OMEGA) ** 2)
    origins = field.atoms.positions[start]
    lines = origins[:, None] + _PLACES[:, None] * step[:, None]
    log = field.log_at(lines)
    at = np.clip(np.argmin(log, axis=1), 1, len(_PLACES) - 2)
    bonds = np.arange(len(d))
    before, here, after = (log[bonds, at + k] for k in (-1, 0, 1))
    # a parabola through three points, which bends upwards but where the end is the lowest
    bend = np.maximum(before - 2.0 * here + after, 1e-6)
    shift = np.clip(0.5 * (before - after) / bend, -1.0, 1.0)
    width = _PLACES[1] - _PLACES[0]
    place = _PLACES[at] + shift * width
    low = here + shift * (0.5 * (after - before) + 0.5 * bend * shift)
    beside = place[:, None] + _STEP * np.array([-1.0, 1.0])
    around = field.log_at(origins[:, None] + beside[..., None] * step[:, None])
    curvature = (around.sum(axis=1) - 2.0 * low) / (_STEP * d) ** 2
    laplacian = np.arcsinh(field.laplacian_at(origins + place[:, None] * step))
    total = np.bincount(start, w, n)

    def averaged(values: Floats) -> Floats:
        return np.bincount(start, w * values, n) / total

    lowest = np.full(n, np.inf)
    np.minimum.at(lowest, start, np.where(w > 0.1, low, np.inf))
    per_atom = [
        first,
        averaged(d),
        total,
        averaged(low),
        lowest,
        averaged(laplacian),
        averaged(np.abs(place - 0.5)),
        averaged(curvature),
        _order_4(start, step / d[:, None], w / total[start], n),
    ]
    stats = [f(values) for values in per_atom for f in (np.mean, np.min, np.max)]
    density = 2.0 * RHO_0 * np.sinh(low * np.log(10.0))
    return np.array(
        [
            volume / n,
            field.mean * volume / n,
            *stats,
            w.sum() / (2.0 * volume),
            np.sum(w * density) / (2.0 * volume),
        ]
    )


def _neighbours(field: Field) -> tuple[np.ndarray, Floats, Floats, Floats]:
    """Bonds: atom (m,), vectors (m, 3) and lengths (m,); and nearest distances (n,), A."""
    atoms = field.atoms
    reach = 3.5
    while True:
        images = Images(atoms, np.zeros(len(atoms), int), reach)
        points = images.positions[images.originals]
        point, other, d = images.pairs(points, reach)
        apart = d > 1e-3
        point, other, d = point[apart], other[apart], d[apart]
        first = np.full(len(atoms), np.inf)
        np.minimum.at(first, point, d)
        # an atom in a box of its own still has its images
        if first.max() * REACH <= reach:
            break
        reach *= 1.6
    near = d <= REACH * first[point]
    point, other = point[near], other[near]
    parents = images.parents[images.originals]
    return (
        parents[point],
        images.positions[other] - points[point],
        d[near],
        first[parents.argsort()],
    )


def _order_4(start: np.ndarray, directions: Floats, p: Floats, n: int) -> Floats:
    """O_4 = sum over pairs of bonds of an atom of p p' P_4(cos)."""
    order = np.argsort(start, kind="stable")
    ends = np.searchsorted(start[order], np.arange(n + 1))
    found = np.zeros(n)
    for i in range(n):
        mine = order[ends[i] : ends[i + 1]]
        x = directions[mine] @ directions[mine].T
        found[i] = p[mine] @ ((35 * x**4 - 30 * x**2 + 3) / 8) @ p[mine]
    return found
