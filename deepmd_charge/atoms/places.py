# SPDX-License-Identifier: LGPL-3.0-or-later
"""Which positions make sense."""

import numpy as np

from ..errors import ChargeError

__all__ = ["FARTHEST", "check_points", "misplaced"]

# A; farther from the origin places are known to less than 1e-7 A.
FARTHEST = 1e9


def misplaced(positions):
    """Which positions (n, 3) are no places that float64 resolves."""
    with np.errstate(invalid="ignore"):
        if np.abs(positions).max(initial=0.0) <= FARTHEST:  # in a fraction of the time
            return np.empty(0, dtype=int)
        return np.flatnonzero(~(np.abs(positions) <= FARTHEST).all(axis=1))


def check_points(points):
    """Return points as an array (n, 3), A, or raise ChargeError where they cannot be."""
    try:
        points = np.asarray(points, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ChargeError("points: give three coordinates (A) for each") from error
    if points.size and (points.ndim not in (1, 2) or points.shape[-1] != 3):
        raise ChargeError(f"points: give three coordinates (A) for each, (n, 3), not {points.shape}")
    points = points.reshape(-1, 3)
    bad = misplaced(points)
    if len(bad):
        raise ChargeError(
            f"points: number {bad[0]}, {points[bad[0]]}, is not finite, or farther than"
            f" {FARTHEST:.0e} A away; correct it"
        )
    return points
