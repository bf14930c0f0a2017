# SPDX-License-Identifier: LGPL-3.0-or-later
r"""The periodic density in a cube of fixed size, as networks of convolutions take it.

Point :math:`(i, j, k)` of a box with n^3 points at spacing h is

.. math::
    \mathbf r_{ijk} = \mathbf s + h\, R\, (i, j, k)^T, \qquad i, j, k = 0 \dots n - 1,

with a shift **s** and a rotation R, and holds the density, repeated periodically and smoothed,
on a logarithmic scale,

.. math::
    x_{ijk} = \tfrac12 \left(1 + \log_{10} \max(\bar\rho(\mathbf r_{ijk}), \rho_0)\right),
    \qquad
    \bar\rho(\mathbf r) = \sum_{\mathbf G} \rho_{\mathbf G}\, e^{-\sigma^2 G^2 / 2}\,
    e^{i \mathbf G \cdot \mathbf r},

so that 0.001, 0.1 and 10 e/A^3 are -1, 0 and 1. What the cell, its origin and its grid are does
not show, and a small cell stands in the box many times.

The smoothing, :math:`\sigma = 0.75\, h`, is what makes grids and pseudopotentials of different
kinds comparable: waves that the points of the box cannot tell apart
(:math:`G_i > \pi / h`) keep less than 7%. The floor :math:`\rho_0` = 0.001 e/A^3 is the one place
where this package clips a density: a logarithm needs it, the smoothed density of a solid hardly
ever comes near it, and pseudo-densities are negative at some nuclei.

The smoothed density is known exactly on a grid of spacing h/2 or finer, and is interpolated
from there by periodic cubic splines. In 20 binaries that changed boxes by less than 2e-4 of
their norm, and the density by less than 1e-3 of its maximum anywhere.
"""

from __future__ import annotations

import io
import math
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from ..errors import ChargeError
from ..grid.density import Density
from ..grid.fourier import fourier_interpolate
from ..grid.grid import Grid
from ..io.output import check_output
from ..stderr import progress_is_shown
from ..typing import ArrayLike, Floats, PathLike
from ._box_record import BoxRecord, fingerprint

__all__ = [
    "FLOOR",
    "BoxSettings",
    "BoxSource",
    "from_log_scale",
    "open_boxes",
    "random_pose",
    "to_log_scale",
    "write_boxes",
]

# The smallest density that is told from nothing, e/A^3.
FLOOR = 1e-3
# Width of the Gaussian that smooths, and largest spacing of the grid that splines go through, in
# spacings of the box.
_WIDTH = 0.75
_FINE = 0.5
# Points of a large box that are interpolated at a time.
_SLAB_POINTS = 2**21


@dataclass(frozen=True)
class BoxSettings:
    """Size of a box.

    Attributes
    ----------
    n : int
        Points along an edge. That of the paper is 128.
    spacing : float
        Distance of neighbouring points, A.
    """

    n: int = 32
    spacing: float = 0.3

    def __post_init__(self) -> None:
        if self.n < 1 or not 0.0 < self.spacing < np.inf:
            raise ChargeError(
                f"a box of {self.n} points at a spacing of {self.spacing:g} A: both must be"
                " positive"
            )


class BoxSource:
    """The smoothed density that boxes are cut from.

    Parameters
    ----------
    density : Density
        A charge density; repeated along all three cell vectors, whether its atoms are or not.
    settings : BoxSettings, optional

    Raises
    ------
    ChargeError
        If it is another quantity than a total charge density, or has values that are not finite.
    """

    def __init__(self, density: Density, settings: BoxSettings | None = None) -> None:
        from scipy import fft, ndimage

        self.settings = settings or BoxSettings()
        if not density.quantity.is_total:
            raise ChargeError(
                f"{density.quantity.description} has no logarithm: give a total charge density"
            )
        if not np.isfinite(density.values).all():
            raise ChargeError("a density with values that are not finite: repair it first")
        spacing = self.settings.spacing
        grid = Grid.spaced(density.atoms, _FINE * spacing, density.origin)
        self._grid = grid
        values = fourier_interpolate(density.values, grid.shape)
        reciprocal = 2.0 * np.pi * np.linalg.inv(grid.cell).T
        nx, ny, nz = grid.shape
        m = np.meshgrid(
            fft.fftfreq(nx, 1.0 / nx),
            fft.fftfreq(ny, 1.0 / ny),
            fft.rfftfreq(nz, 1.0 / nz),
            indexing="ij",
        )
        squares = sum(sum(m[i] * reciprocal[i, k] for i in range(3)) ** 2 for k in range(3))
        waves = fft.rfftn(values)
        waves *= np.exp(-0.5 * (_WIDTH * spacing) ** 2 * squares)
        smooth = fft.irfftn(waves, grid.shape, overwrite_x=True)
        self._spline = ndimage.spline_filter(smooth, mode="grid-wrap", output=np.float64)

    def density(
        self, shift: ArrayLike = (0.0, 0.0, 0.0), rotation: ArrayLike | None = None
    ) -> Floats:
        """The smoothed density at the points of a box.

        Parameters
        ----------
        shift : array_like, shape (3,), optional
            Position of point (0, 0, 0), A.
        rotation : array_like, shape (3, 3), optional
            Its columns are the directions of the edges. Default: x, y and z.

        Returns
        -------
        np.ndarray, shape (n, n, n)
            e/A^3, float32.
        """
        from scipy import ndimage

        n, spacing = self.settings.n, self.settings.spacing
        rotation = np.eye(3) if rotation is None else np.asarray(rotation, dtype=np.float64)
        to_index = np.linalg.inv(self._grid.cell) * self._grid.shape  # r @ to_index
        start = (np.asarray(shift, dtype=np.float64) - self._grid.origin) @ to_index
        x, y, z = np.arange(n)[:, None] * (spacing * rotation.T @ to_index)[:, None]  # each (n, 3)
        out = np.empty((n, n, n), dtype=np.float32)
        step = max(1, _SLAB_POINTS // n**2)
        for first in range(0, n, step):
            slab = slice(first, first + step)
            at = start + x[slab, None, None] + y[:, None] + z
            out[slab] = ndimage.map_coordinates(
                self._spline, np.moveaxis(at, -1, 0), mode="grid-wrap", prefilter=False
            )
        return out

    def box(self, shift: ArrayLike = (0.0, 0.0, 0.0), rotation: ArrayLike | None = None) -> Floats:
        """The smoothed density on the logarithmic scale; see :meth:`density`."""
        return to_log_scale(self.density(shift, rotation))

    def boxes(self, copies: int, rng: np.random.Generator) -> Floats:
        """Boxes (copies, n, n, n) on the logarithmic scale, of random poses."""
        return np.stack([self.box(*random_pose(self._grid, rng)) for _ in range(copies)])


def random_pose(grid: Grid, rng: np.random.Generator) -> tuple[Floats, Floats]:
    """Draw a shift (3,), A, evenly from a cell and a rotation (3, 3) evenly from all."""
    from scipy.spatial.transform import Rotation

    return rng.random(3) @ grid.cell, Rotation.random(rng=rng).as_matrix()


def to_log_scale(rho: ArrayLike) -> Floats:
    """Bring a density, e/A^3, to the scale of the boxes: (1 + log10 max(rho, floor)) / 2."""
    return 0.5 + 0.5 * np.log10(np.maximum(rho, np.float32(FLOOR)))


def from_log_scale(box: ArrayLike) -> Floats:
    """Undo :func:`to_log_scale`, but for the floor."""
    return 10.0 ** (2.0 * np.asarray(box) - 1.0)


def write_boxes(
    path: PathLike,
    densities: Sequence[Density],
    settings: BoxSettings | None = None,
    copies: int = 4,
    seed: int = 0,
    names: Sequence[str] | None = None,
) -> Floats:
    """Write boxes of random poses to one file, to be streamed from there.

    The poses of a density depend on the seed and on its index only. What an interrupted run has
    written, under a hidden name beside the file, is not computed again. The settings, the seed and
    what tells the densities are kept in ``NAME.npy.jsonl`` beside it: boxes of others than those
    asked for, of a complete file or of an interrupted run, are refused.

    Parameters
    ----------
    path : str or Path
        A ``.npy`` file of float16, which appears when it is complete. One that is there is left
        as it is if it holds what is asked for.
    densities : sequence of Density
        They are asked for one by one, so that a sequence that reads or computes them only then
        saves memory.
    settings : BoxSettings, optional
    copies : int, optional
        Boxes of each density.
    seed : int, optional
    names : sequence of str, optional
        What tells each density from all others. By default a hash of its values, cell and origin,
        for which those are asked for again that there are boxes of already.

    Returns
    -------
    np.ndarray, shape (len(densities), copies, n, n, n)
        The file, mapped read-only.

    Raises
    ------
    ChargeError
        If the file cannot be written, has other boxes, or a density is none.
    """
    settings = settings or BoxSettings()
    path = Path(path)
    shape = (len(densities), copies, *[settings.n] * 3)
    if names is not None and len(names) != len(densities):
        raise ChargeError(f"{len(names)} names for {len(densities)} densities; give one for each")
    told = {"densities": len(densities), "copies": copies, "seed": seed}
    record = BoxRecord(path, {**asdict(settings), **told})
    if path.exists():
        boxes = open_boxes(path, shape)
        record.checked(path, len(densities), lambda k: _name(densities, names, k))
        return boxes
    check_output(path)
    _append_boxes(path, densities, settings, copies, seed, names, record)
    return open_boxes(path, shape)


def open_boxes(path: PathLike, shape: tuple[int, ...] | None = None) -> Floats:
    """Map a file of boxes into memory, read-only; a ChargeError if it is none of that shape."""
    try:
        boxes = np.load(path, mmap_mode="r")
    except (OSError, ValueError):
        raise ChargeError(f"{path}: is no file of boxes; write one with write_boxes") from None
    if shape is not None and boxes.shape != shape:
        raise ChargeError(f"{path}: holds boxes {boxes.shape}, not {shape}; remove it")
    return boxes


def _name(densities: Sequence[Density], names: Sequence[str] | None, k: int) -> str:
    """What tells density k from others."""
    return fingerprint(densities[k]) if names is None else names[k]


def _append_boxes(
    path: Path,
    densities: Sequence[Density],
    settings: BoxSettings,
    copies: int,
    seed: int,
    names: Sequence[str] | None,
    record: BoxRecord,
) -> None:
    from tqdm import tqdm

    shape = (len(densities), copies, *[settings.n] * 3)
    row_bytes = 2 * math.prod(shape[1:])
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        header, {"descr": "<f2", "fortran_order": False, "shape": shape}
    )
    start = header.tell()
    partial = path.with_name(f".{path.name}.partial")
    try:
        done, known = 0, []
        if partial.exists():
            done = max(0, (partial.stat().st_size - start) // row_bytes)
            known = record.checked(partial, done, lambda k: _name(densities, names, k))
        record.begin(known)
        with open(partial, "ab") as file:
            file.truncate(start + done * row_bytes if done else 0)
            if not done:
                file.write(header.getvalue())
            bar = tqdm(
                range(done, len(densities)),
                desc="boxes",
                unit="density",
                delay=1e-6,
                initial=done,
                total=len(densities),
                disable=not progress_is_shown(),
            )
            for k in bar:
                density = densities[k]
                boxes = BoxSource(density, settings).boxes(copies, np.random.default_rng([seed, k]))
                record.append(fingerprint(density) if names is None else names[k])
                file.write(boxes.astype("<f2").tobytes())
                file.flush()
        os.replace(partial, path)
    except OSError as error:
        raise ChargeError(f"{path}: cannot be written: {error.strerror or error}") from None
