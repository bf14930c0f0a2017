# SPDX-License-Identifier: LGPL-3.0-or-later
r"""A density as the invariants see it: at one resolution, on one spacing, with derivatives.

Codes differ in their grids and in what they do near nuclei. All that is computed here is of the
density convolved with a Gaussian,

.. math:: \rho(r) = \sum_G e^{-|G|^2 \sigma^2 / 2} \, \rho_G \, e^{i G r},
          \qquad \sigma = 0.25 \text{ A},

which grids of 0.25 A or finer give alike (but for the reduced gradient in vacuum, below
:math:`10^{-3}` e/A^3, which needs 0.2 A), on a grid of at most 0.2 A and at least 30000 points, so
that averages over points are integrals over the cell in small cells, too. The grid begins a part
of its spacing away from the origin: where its points lie on the mirror planes of a crystal few
of their values differ, and percentiles depend on the cell that was chosen. Its
orders of magnitude come in by the signed logarithm

.. math:: S(\rho) = \frac{\operatorname{arsinh}(\rho / 2 \rho_0)}{\ln 10}, \qquad
          \rho_0 = 10^{-3} \text{ e/A}^3,

that is :math:`\log_{10}(\rho / \rho_0)` for a density well above :math:`\rho_0`, and odd: the
densities of PAW files, which are negative near some nuclei, and differences of densities have
one as well.
"""

from __future__ import annotations

import warnings
from functools import cached_property

import numpy as np

from ..errors import ChargeError
from ..grid.density import Density
from ..grid.fourier import fourier_interpolate
from ..grid.grid import Grid
from ..typing import Complexes, Floats

__all__ = ["RHO_0", "SIGMA", "SPACING", "Field", "signed_log"]

SIGMA = 0.25  # A
SPACING = 0.2  # A
FEWEST = 30_000  # points
RHO_0 = 1e-3  # e/A^3
# Where the grid begins, in its spacings along the vectors of the cell: on no symmetry element.
_BEGIN = (0.2113, 0.3819, 0.4567)
# Waves that a coarser grid cannot hold (A) are still a tenth of what they were.
_TOO_COARSE = 0.36
# Order of the splines that give values between grid points.
_ORDER = 3
# Places along an edge of the cube in which an extreme is looked for.
_FINER = 9


def signed_log(rho: Floats) -> Floats:
    """The signed logarithm S of densities in e/A^3."""
    return np.arcsinh(rho / (2.0 * RHO_0)) / np.log(10.0)


class Field:
    """A density at the resolution of the invariants.

    Parameters
    ----------
    density : Density
        Of a cell that is taken as periodic along all its vectors; of any quantity.

    Attributes
    ----------
    atoms : ase.Atoms
        Structure, moved so that the grid begins at the origin.
    grid : Grid
        Points, at most ``SPACING`` apart, and at least ``FEWEST``.
    values : np.ndarray, shape (nx, ny, nz)
        The convolved density, e/A^3.

    Raises
    ------
    ChargeError
        If values are missing or infinite.

    Warns
    -----
    UserWarning
        If the grid of the density is too coarse for the resolution.
    """

    def __init__(self, density: Density) -> None:
        if not np.isfinite(density.values).all():
            raise ChargeError("has values that are no numbers: it is no density; write it anew")
        if density.grid.spacing.max() > _TOO_COARSE:
            warnings.warn(
                f"grid points are {density.grid.spacing.max():.2f} A apart: invariants of a grid"
                f" coarser than {_TOO_COARSE} A depend on the grid; give a finer one",
                stacklevel=2,
            )
        self.atoms = density.atoms.copy()
        self.atoms.pbc = True
        spacing = min(SPACING, (density.volume / FEWEST) ** (1 / 3))
        self.grid = Grid.spaced(self.atoms, spacing)
        begin = _BEGIN / np.array(self.grid.shape) @ self.grid.cell
        self.atoms.positions -= density.origin + begin
        waves = np.fft.rfftn(density.values, norm="forward")
        squares = np.sum(_wave_vectors(density.grid) ** 2, axis=0)
        waves *= np.exp(-0.5 * SIGMA**2 * squares)
        smooth = np.fft.irfftn(waves, density.shape, axes=(0, 1, 2), norm="forward")
        waves = np.fft.rfftn(fourier_interpolate(smooth, self.grid.shape), norm="forward")
        self.values: Floats = self._back(
            waves * np.exp(1j * np.tensordot(begin, self.wave_vectors, axes=1))
        )

    @property
    def volume(self) -> float:
        """float: Volume of the cell, A^3."""
        return self.grid.volume

    @cached_property
    def mean(self) -> float:
        """float: Mean density, e/A^3."""
        return float(self.values.mean())

    @cached_property
    def log(self) -> Floats:
        """np.ndarray, shape (nx, ny, nz): Signed logarithm of the density."""
        return signed_log(self.values)

    @cached_property
    def wave_vectors(self) -> Floats:
        """np.ndarray, shape (3, nx, ny, nz // 2 + 1): G of half of the waves, 1/A."""
        return _wave_vectors(self.grid)

    @cached_property
    def waves(self) -> Complexes:
        """np.ndarray, shape (nx, ny, nz // 2 + 1): Their coefficients, e/A^3."""
        return np.fft.rfftn(self.values, norm="forward")

    @cached_property
    def gradient(self) -> Floats:
        """np.ndarray, shape (3, nx, ny, nz): Gradient of the density, e/A^4."""
        return np.stack([self._back(1j * g * self.waves) for g in self.wave_vectors])

    @cached_property
    def laplacian(self) -> Floats:
        """np.ndarray, shape (nx, ny, nz): Laplacian of the density, e/A^5."""
        return self._back(-np.sum(self.wave_vectors**2, axis=0) * self.waves)

    def extreme(self, sign: int) -> float:
        """Lowest (sign -1) or highest (+1) density, e/A^3, between the points of the grid.

        The best point is the middle of a cube of two spacings in which the spline is looked at,
        and its best place that of a smaller one.
        """
        point = np.argmax(sign * self.values)
        best = np.array(np.unravel_index(point, self.grid.shape), dtype=float)
        steps = np.moveaxis(np.indices((_FINER,) * 3), 0, -1).reshape(-1, 3) - _FINER // 2
        spline, value = _spline(self.values), -np.inf
        for size in (1.0, 1.0 / (_FINER - 1)):
            places = best + steps * (2.0 * size / (_FINER - 1))
            found = sign * self._on_grid(spline, places)
            best, value = places[np.argmax(found)], max(value, float(found.max()))
        return sign * value

    def log_at(self, points: Floats) -> Floats:
        """Signed logarithm of the density at points (..., 3), A; splines through the grid."""
        return self._interpolated(self._spline_of_log, points)

    def laplacian_at(self, points: Floats) -> Floats:
        """Laplacian of the density, e/A^5, at points (..., 3), A."""
        return self._interpolated(self._spline_of_laplacian, points)

    @cached_property
    def _spline_of_log(self) -> Floats:
        return _spline(self.log)

    @cached_property
    def _spline_of_laplacian(self) -> Floats:
        return _spline(self.laplacian)

    def _interpolated(self, spline: Floats, points: Floats) -> Floats:
        return self._on_grid(spline, points @ np.linalg.inv(self.grid.cell) * self.grid.shape)

    @staticmethod
    def _on_grid(spline: Floats, places: Floats) -> Floats:
        from scipy.ndimage import map_coordinates

        return map_coordinates(
            spline, np.moveaxis(places, -1, 0), order=_ORDER, mode="grid-wrap", prefilter=False
        )

    def _back(self, waves: Complexes) -> Floats:
        return np.fft.irfftn(waves, self.grid.shape, axes=(0, 1, 2), norm="forward")


def _spline(values: Floats) -> Floats:
    """Coefficients of a periodic spline through values on the grid."""
    from scipy.ndimage import spline_filter

    return spline_filter(values, order=_ORDER, mode="grid-wrap")


def _wave_vectors(grid: Grid) -> Floats:
    """G (3, nx, ny, nz // 2 + 1), 1/A, of the waves that rfftn gives."""
    nx, ny, nz = grid.shape
    reciprocal = 2.0 * np.pi * np.linalg.inv(grid.cell)  # vectors in columns
    m = np.meshgrid(
        np.fft.fftfreq(nx, 1 / nx),
        np.fft.fftfreq(ny, 1 / ny),
        np.arange(nz // 2 + 1),
        indexing="ij",
    )
    return np.tensordot(reciprocal, np.stack(m), axes=1)
