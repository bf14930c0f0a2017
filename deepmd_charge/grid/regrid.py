# SPDX-License-Identifier: LGPL-3.0-or-later
"""A density on another grid of its cell."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import SupportsIndex

import numpy as np

from ..errors import ChargeError
from ..typing import Floats
from .density import Density
from .fourier import fourier_interpolate
from .grid import check_shape

__all__ = ["regrid", "seam"]

# What interpolation across open faces may do to values (e/A^3, or the file's unit):
# as much as on the faces of a cube that is read as a molecule, and next to nothing.
_MOST = 0.01
_NOTICEABLE = 1e-5


def regrid(density: Density, shape: Iterable[SupportsIndex]) -> Density:
    """Interpolate a density and its spin grids with the waves of its own grid.

    Waves are periodic. Along an axis that is open they go on from the last plane of
    the grid to the first, which does no harm where the density vanishes at both.

    Parameters
    ----------
    density : Density
    shape : tuple of int
        The other grid.

    Returns
    -------
    Density
        With the same integral and origin; augmentation occupancies, which belong
        to no grid, are kept.

    Raises
    ------
    ChargeError
        If the shape is not three positive integers, or values do not vanish at the
        faces of an open axis along which it differs.

    Warns
    -----
    UserWarning
        If values near such faces may be off by more than 1e-5 e/A^3.
    """
    shape = check_shape(shape)
    blocks = [density.values, *density.extra.get("spin", [])]
    unit = f" {density.unit}".rstrip()
    for axis in np.flatnonzero(~density.atoms.pbc & (np.array(density.shape) != shape)).tolist():
        _check_seam(max(seam(block, axis) for block in blocks), unit, "abc"[axis])
    moved = [fourier_interpolate(block, shape) for block in blocks]
    extra = {key: value for key, value in density.extra.items() if key != "datasets"}
    return Density(
        density.atoms, moved[0], density.origin, density.kind, {**extra, "spin": moved[1:]}
    )


def seam(values: Floats, axis: int) -> float:
    """How far values near the faces of a grid are off where its two ends are joined.

    Each end is continued by one plane, its steps dying away as they do already. The
    estimate grows with how far that is from the other end, and with the steps
    themselves, for what the continuation may miss. 9 of 60000 sums of Gaussians were
    off by more, by three times at most. The error is largest at the joint and falls
    like the inverse distance from it.

    Parameters
    ----------
    values : np.ndarray
        (nx, ny, nz)
    axis : int
        0, 1 or 2.

    Returns
    -------
    float
        In the unit of the values.
    """
    n = values.shape[axis]
    if n == 1:  # a plane tells nothing of what is beside it
        return float(np.abs(values).max())
    ends = (0, 1, min(2, n - 1)), (-1, -2, -min(3, n))
    planes = np.moveaxis(values, axis, 0)
    low, high = ([planes[k] for k in end] for end in ends)
    joints = [np.abs(_continued(*low) - high[0]), np.abs(_continued(*high) - low[0])]
    steps = np.abs(low[0] - low[1]) + np.abs(high[0] - high[1])
    return float((1.5 * np.maximum(*joints) + 0.3 * steps).max())


def _continued(first: Floats, second: Floats, third: Floats) -> Floats:
    """The plane before the first of three, by their steps, the next as much smaller as the last."""
    step, before = first - second, second - third
    with np.errstate(divide="ignore", invalid="ignore"):
        ratio = np.nan_to_num(step / before, nan=1.0, posinf=1.0, neginf=1.0)
    return first + np.clip(ratio, 0.0, 1.0) * step


def _check_seam(error: float, unit: str, name: str) -> None:
    if error > _MOST:
        raise ChargeError(
            f"the density is open along {name} and does not vanish at the faces of its grid: "
            f"interpolation, which is periodic, would change it by about {error:.1g}{unit} there;"
            f" keep the number of points along {name}, or compute it in a larger box"
        )
    if error > _NOTICEABLE:
        warnings.warn(
            f"the density is open along {name}, and interpolation is periodic: near the faces of "
            f"the grid it may be off by {error:.1e}{unit}",
            stacklevel=3,
        )
