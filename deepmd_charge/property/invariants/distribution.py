# SPDX-License-Identifier: LGPL-3.0-or-later
r"""How the values of a density are distributed over the cell.

With S the signed logarithm of the density :math:`\rho` (:mod:`deepmd_charge.property.field`) and
averages :math:`\langle \cdot \rangle` over the volume,

.. math::
    h_c = \left\langle e^{-(S - c)^2 / 2 w^2} \right\rangle, \qquad
    v_t = \left\langle \Phi\!\left(\frac{S(t) - S}{w}\right) \right\rangle,

a histogram with soft bins about c, and the share of the volume in which the density is below t,
with an edge as soft (:math:`\Phi` is the normal distribution function, w = 0.15). Soft edges
make both smooth, so that they depend on the grid as little as an integral does.
"""

from __future__ import annotations

import numpy as np

from ...typing import Floats
from ..field import RHO_0, Field, signed_log
from .feature import Feature

__all__ = ["FEATURES", "evaluate", "soft_histogram"]

WIDTH = 0.15
CENTRES = np.arange(-2.0, 4.3, 0.25)
THRESHOLDS = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.4, 0.8, 1.6)
PERCENTILES = (1, 5, 10, 25, 50, 75, 90, 95, 99)
THIRDS = (4, 5, 6)

FEATURES = (
    Feature("density_mean", "e/A^3", "<rho>"),
    Feature("log_minimum", "", "min S: the interstitial minimum"),
    Feature("log_maximum", "", "max S"),
    *(Feature(f"log_p{p:02d}", "", f"percentile {p} of S") for p in PERCENTILES),
    *(
        Feature(f"log_moment_{k}", "", t)
        for k, t in enumerate(
            ("<S>", "sqrt <(S - <S>)^2>", "<(S - <S>)^3> / spread^3", "<(S - <S>)^4> / spread^4"), 1
        )
    ),
    Feature("log_of_electrons", "", "<|rho| S> / <|rho|>"),
    *(Feature(f"histogram_{c:+.2f}", "", f"h_c, c = {c:.2f}") for c in CENTRES),
    *(Feature(f"volume_below_{t:g}", "", f"v_t, t = {t:g} e/A^3") for t in THRESHOLDS),
    *(
        Feature(f"power_mean_{n / 3:.2f}", "e/A^3", f"<|rho|^p>^(1/p), p = {n / 3:.2f}")
        for n in THIRDS
    ),
)


def evaluate(field: Field) -> Floats:
    """The features of this block, in the order of ``FEATURES``."""
    from scipy.special import ndtr

    log, size = field.log.ravel(), np.abs(field.values.ravel())
    mean, spread = log.mean(), max(log.std(), 1e-12)
    scaled, root = (log - mean) / spread, np.cbrt(size)
    square = scaled * scaled
    places, shares = binned(log, WIDTH / 10.0)
    edges = signed_log(np.array(THRESHOLDS))
    return np.concatenate(
        [
            [field.mean, *signed_log(np.array([field.extreme(-1), field.extreme(1)]))],
            np.percentile(log, PERCENTILES),
            [mean, spread, (square * scaled).mean(), (square * square).mean()],
            [(size * log).mean() / max(size.mean(), RHO_0)],
            soft_histogram(log, CENTRES, WIDTH),
            ndtr((edges[:, None] - places) / WIDTH) @ shares,
            [(size * root ** (n - 3)).mean() ** (3 / n) for n in THIRDS],
        ]
    )


def soft_histogram(
    values: Floats, centres: Floats, width: float, weights: Floats | None = None
) -> Floats:
    """Mean of exp(-(x - c)^2 / 2 w^2) over values for each centre c.

    Parameters
    ----------
    values : np.ndarray, shape (n,)
    centres : np.ndarray, shape (m,)
    width : float
        w, in the unit of the values.
    weights : np.ndarray, shape (n,), optional
        For a weighted mean.

    Returns
    -------
    np.ndarray, shape (m,)
    """
    places, shares = binned(values, width / 10.0, weights)
    return np.exp(-0.5 * ((places - centres[:, None]) / width) ** 2) @ shares


def binned(values: Floats, step: float, weights: Floats | None = None) -> tuple[Floats, Floats]:
    """Share values out among places a step apart, each between its two neighbours.

    Means of smooth functions over the places are those over the values to the square of the
    step, and thousands of exponentials do for a hundred thousand.

    Returns
    -------
    places, shares : np.ndarray
        (m,) each; the shares add up to 1.
    """
    start = values.min()
    along = (values - start) / step
    left = along.astype(np.int64)
    right = along - left
    weights = np.ones_like(values) if weights is None else weights
    n = int(left.max()) + 2
    shares = np.bincount(left, weights * (1.0 - right), n)
    shares += np.bincount(left + 1, weights * right, n)
    return start + step * np.arange(n), shares / shares.sum()
