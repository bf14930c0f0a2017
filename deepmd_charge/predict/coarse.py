# SPDX-License-Identifier: LGPL-3.0-or-later
"""Predict on a coarse grid, and interpolate to the full one.

A density whose waves all fit the coarse grid is met exactly there. Of a model
with superposed atomic densities, which are sharp, only the difference to them
is interpolated. How far that misses is measured: at some points of the full
grid the model is evaluated as well.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from ..grid.density import Density
from ..grid.fourier import fourier_interpolate
from ..grid.mapped import release, scratch
from ..typing import Floats, PathLike
from .evaluation import ModelsOnGrid
from .field import Field
from .parallel.blocks import evaluate_blocks
from .parallel.mpi import Ranks

__all__ = ["AddedError", "added_error", "refine", "superpose"]

# Points of the full grid at which interpolation and model are compared.
_PROBES = 2048
_PLANE_BYTES = 1 << 25  # of values in memory at a time


@dataclass(frozen=True)
class AddedError:
    """What interpolation adds to a model's error, from a sample of points.

    Attributes
    ----------
    mean, max : float
        Of ``|interpolated - evaluated|``, e/A^3.
    share : float
        ``Sum |interpolated - evaluated| / sum |evaluated|``.
    n_points : int
        Number of points.
    """

    mean: float
    max: float
    share: float
    n_points: int


def refine(coarse: Floats, full: Floats, folder: PathLike) -> None:
    """Bring values from a coarse to a full grid, some planes at a time.

    Parameters
    ----------
    coarse : np.ndarray
        (nx, ny, nz)
    full : np.ndarray
        (mx, my, mz), to be filled; see :func:`deepmd_charge.grid.fourier.fourier_interpolate`.
    folder : str or Path
        For a file with what is half done.
    """
    nx, _, _ = coarse.shape
    mx, my, mz = full.shape
    half = scratch(folder, (nx, my, mz))
    for part in _planes(half.shape, 0):
        half[part] = fourier_interpolate(coarse[part], (part.stop - part.start, my, mz))
        release(half)
    for part in _planes(full.shape, 1):
        full[:, part] = fourier_interpolate(half[:, part], (mx, part.stop - part.start, mz))
        release(half)
        release(full)


def _planes(shape: tuple[int, ...], axis: int) -> Iterator[slice]:
    """Cut a grid along an axis into pieces that fit into memory; yields slices."""
    step = max(1, _PLANE_BYTES // (8 * (int(np.prod(shape)) // shape[axis])))
    for start in range(0, shape[axis], step):
        yield slice(start, min(start + step, shape[axis]))


def superpose(full: Floats, function: ModelsOnGrid, ranks: Ranks | None) -> None:
    """Add the atomic densities that models carry to what each has learnt, block by block.

    Parameters
    ----------
    full : np.ndarray
        (models, nx, ny, nz), to be completed.
    function : ModelsOnGrid
        The superpositions on the full grid.
    ranks : Ranks or None
        Who evaluates, see ``evaluate_blocks``.
    """
    if not any(field.is_superposed for field in function.fields):
        return
    for number, values in evaluate_blocks(function, ranks=ranks, name="atomic densities"):
        full[(slice(None), *function.blocks.slices(number))] += values
        release(full)


def added_error(
    fields: Sequence[Field], density: Density, saed: Density | None = None
) -> AddedError:
    """Compare interpolated values with the models' own.

    Parameters
    ----------
    fields : list of Field
        The models, with the structure; their mean counts.
    density : Density
        That comes from interpolation, e/A^3.
    saed : Density, optional
        What was added to the models' values.

    Returns
    -------
    AddedError
        At random points, the same ones every time.
    """
    values = density.values
    n_points = min(_PROBES, values.size)
    index = np.random.default_rng(0).choice(values.size, n_points, replace=False)
    points = density.points(index)
    true = np.mean([field(points) for field in fields], axis=0)
    place = np.unravel_index(index, values.shape)
    if saed is not None:
        true += saed.values[place]
    error = np.abs(values[place] - true)
    scale = np.abs(true).sum()
    return AddedError(
        float(error.mean()),
        float(error.max()),
        float(error.sum() / scale) if scale else np.inf,
        n_points,
    )
