# SPDX-License-Identifier: LGPL-3.0-or-later
r"""The density on spheres about the atoms.

On a sphere of radius r about atom i, with averages over its surface,

.. math::
    m_i(r) = \langle S \rangle, \qquad
    P_i^l(r) = \left( \langle S(\Omega) \, S(\Omega') \, P_l(\Omega \cdot \Omega')
    \rangle \right)^{1/2},

the mean and the power of the angular momentum l of the signed logarithm of the density, by
Lebedev's points (194, exact to order 23). Over the atoms come mean, least and largest.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from ...typing import Floats
from ..field import Field
from .feature import Feature

__all__ = ["FEATURES", "evaluate"]

RADII = (1.0, 1.5, 2.0, 2.5, 3.0)  # A
DEGREES = (1, 2, 3, 4, 6)
_EXACT_TO = 23

FEATURES = tuple(
    Feature(f"shell_{r:.1f}_{name}_{how}", "", f"{how} over atoms of {text}, r = {r:.1f} A")
    for r in RADII
    for name, text in (
        ("mean", "m_i(r)"),
        *((f"l{l}", f"P_i^{l}(r)") for l in DEGREES),
    )
    for how in ("mean", "min", "max")
)


def evaluate(field: Field) -> Floats:
    """The features of this block, in the order of ``FEATURES``."""
    directions, weights, legendre = _sphere()
    spheres = np.array(RADII)[:, None, None] * directions
    # (atoms, radii, points)
    log = field.log_at(field.atoms.positions[:, None, None] + spheres)
    power = np.einsum("arp,lpq,arq->arl", log, legendre, log, optimize=True)
    per_atom = np.concatenate(
        [(log @ weights)[..., None], np.sqrt(np.maximum(power, 0.0))], axis=-1
    )
    stats = [per_atom.mean(axis=0), per_atom.min(axis=0), per_atom.max(axis=0)]
    return np.stack(stats, axis=-1).ravel()


@cache
def _sphere() -> tuple[Floats, Floats, Floats]:
    """Points (p, 3), weights (p,) and w_p w_q P_l(cos) (l, p, q)."""
    from scipy.integrate import lebedev_rule
    from scipy.special import eval_legendre

    points, weights = lebedev_rule(_EXACT_TO)
    weights = weights / weights.sum()
    cosines = np.clip(points.T @ points, -1.0, 1.0)
    matrices = [weights[:, None] * weights * eval_legendre(l, cosines) for l in DEGREES]
    return points.T, weights, np.array(matrices)
