# SPDX-License-Identifier: LGPL-3.0-or-later
r"""Gradient and Laplacian of a density.

The reduced gradient, made finite where the density vanishes,

.. math::
    s = \frac{|\nabla \rho|}{2 (3 \pi^2)^{1/3} (\rho^2 + \rho_0^2)^{2/3}},

its soft histogram over the volume and over the electrons; the Laplacian
:math:`\nabla^2 \rho`; and how unlike the directions are, by the eigenvalues
:math:`\lambda_1 \ge \lambda_2 \ge \lambda_3` of

.. math:: T_{ab} = \langle w \, \partial_a S \, \partial_b S \rangle ,

with w = 1 and, for the space between the atoms, :math:`w = 1 / (1 + (\rho / \rho_{25})^2)`,
where :math:`\rho_{25}` is the lower quartile of :math:`|\rho|`. All eigenvalues are equal in
cubic crystals, and one is much larger in layered ones. Where the Laplacian is negative, charge
is drawn together; the share of the volume has an edge of t = 0.1 e/A^5.
"""

from __future__ import annotations

import numpy as np

from ...typing import Floats
from ..field import RHO_0, Field
from .distribution import soft_histogram
from .feature import Feature

__all__ = ["FEATURES", "evaluate"]

CENTRES = np.arange(-1.5, 1.3, 0.25)
WIDTH = 0.15
EDGE = 0.1  # e/A^5
PERCENTILES = (5, 25, 50, 75, 95)
_UNIT = 2.0 * (3.0 * np.pi**2) ** (1 / 3)

FEATURES = (
    Feature("s_mean", "", "<s>"),
    Feature("s_of_electrons", "", "<|rho| s> / <|rho|>"),
    Feature("s_between", "", "<w s> / <w>"),
    *(Feature(f"s_histogram_{c:+.2f}", "", f"soft histogram of lg s at {c:.2f}") for c in CENTRES),
    *(
        Feature(f"s_electrons_{c:+.2f}", "", f"the same, weighted by |rho|, at {c:.2f}")
        for c in CENTRES
    ),
    Feature("weizsaecker", "e/A^5", "<|grad rho|^2 / 8 sqrt(rho^2 + rho_0^2)>"),
    Feature("laplacian_size", "e/A^5", "<|lap rho|>"),
    Feature("laplacian_spread", "e/A^5", "sqrt <(lap rho)^2>"),
    Feature("laplacian_negative", "", "share of the volume with lap rho < 0: <Phi(-lap rho / t)>"),
    Feature("laplacian_between", "e/A^5", "<w lap rho> / <w>"),
    *(
        Feature(f"laplacian_p{p:02d}", "", f"percentile {p} of arsinh(lap rho / (1 e/A^5))")
        for p in PERCENTILES
    ),
    *(
        Feature(f"{where}_{what}", unit, formula)
        for where in ("all", "between")
        for what, unit, formula in (
            ("steepness", "1/A", "sqrt((l1 + l2 + l3) / <w>)"),
            ("axis_1", "", "l1 / (l1 + l2 + l3)"),
            ("axis_3", "", "l3 / (l1 + l2 + l3)"),
        )
    ),
)


def evaluate(field: Field) -> Floats:
    """The features of this block, in the order of ``FEATURES``."""
    from scipy.special import ndtr

    rho, lap = field.values.ravel(), field.laplacian.ravel()
    slope = field.gradient.reshape(3, -1)
    size, floor = np.abs(rho), np.sqrt(rho**2 + RHO_0**2)
    squares = np.sum(slope**2, axis=0)
    s = np.sqrt(squares) / (_UNIT * floor ** (4 / 3))
    between = 1.0 / (1.0 + (size / max(np.percentile(size, 25), RHO_0)) ** 2)
    electrons = size + 1e-12
    log_s = np.log10(s + 1e-6)
    # dS/d rho of the signed logarithm
    steps = slope / (np.log(10.0) * np.sqrt(rho**2 + 4.0 * RHO_0**2))
    return np.concatenate(
        [
            [s.mean(), np.average(s, weights=electrons), np.average(s, weights=between)],
            soft_histogram(log_s, CENTRES, WIDTH),
            soft_histogram(log_s, CENTRES, WIDTH, electrons),
            [(squares / (8.0 * floor)).mean(), np.abs(lap).mean(), lap.std()],
            [ndtr(-lap / EDGE).mean()],
            [np.average(lap, weights=between)],
            np.percentile(np.arcsinh(lap), PERCENTILES),
            _axes(steps, np.ones_like(rho)),
            _axes(steps, between),
        ]
    )


def _axes(steps: Floats, weights: Floats) -> Floats:
    """Steepness and shares of the largest and the smallest eigenvalue."""
    tensor = (weights * steps) @ steps.T / weights.sum()
    low, _, high = np.linalg.eigvalsh(tensor)
    trace = max(np.trace(tensor), 1e-12)
    return np.array([np.sqrt(trace), high / trace, low / trace])
