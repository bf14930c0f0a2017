# SPDX-License-Identifier: LGPL-3.0-or-later
"""A regular grid: cell, shape, origin and periodicity."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable
from typing import TYPE_CHECKING, SupportsIndex

import numpy as np

from ..errors import ChargeError
from ..typing import ArrayLike, Floats, Integers, Shape

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["CELL_TOLERANCE", "Grid", "check_origin", "check_shape", "fft_size", "place"]

# Files print the same cell with 6 to 16 decimals; closer than this is equal.
CELL_TOLERANCE = 1e-5  # A
MOST_POINTS = 10**12  # 8 terabytes


class Grid:
    """The points origin + (i/nx) a + (j/ny) b + (k/nz) c of a cell.

    Parameters
    ----------
    cell : array_like, shape (3, 3)
        Cell vectors in rows, A.
    shape : sequence of int
        (nx, ny, nz), points along each of them.
    origin : array_like, shape (3,), optional
        Position of point (0, 0, 0), A.
    pbc : sequence of bool, optional
        Along which axes the cell is repeated.

    Raises
    ------
    ChargeError
        If the cell has no volume, the shape is not three counts of at least 1, or the origin
        is no point.
    """

    def __init__(
        self,
        cell: ArrayLike,
        shape: Iterable[SupportsIndex],
        origin: ArrayLike = (0.0, 0.0, 0.0),
        pbc: Iterable[bool] = (True, True, True),
    ) -> None:
        self.cell = np.array(cell, dtype=np.float64)
        self.shape = check_shape(shape)
        self.origin = check_origin(origin)
        self.pbc = tuple(map(bool, pbc))
        if self.cell.shape != (3, 3) or not self.volume > 0:
            raise ChargeError("a grid needs a cell of three independent vectors: give them")

    @classmethod
    def of(
        cls, atoms: Atoms, shape: Iterable[SupportsIndex], origin: ArrayLike = (0.0, 0.0, 0.0)
    ) -> Grid:
        """Make the grid of a structure's cell, with its periodicity.

        Raises
        ------
        ChargeError
            See the class.
        """
        shape = check_shape(shape)
        if atoms.cell.rank < 3:
            raise ChargeError("the structure has no cell of three vectors; add one")
        return cls(atoms.cell.array, shape, origin, atoms.pbc)

    @classmethod
    def spaced(cls, atoms: Atoms, spacing: float, origin: ArrayLike = (0.0, 0.0, 0.0)) -> Grid:
        """Make the grid of a structure whose points are no farther apart than a spacing (A).

        The numbers of points are products of 2, 3, 5 and 7.

        Raises
        ------
        ChargeError
            If the spacing is not a positive length; see the class.
        """
        if not (spacing > 0.0 and math.isfinite(spacing)):
            raise ChargeError(f"spacing {spacing:g}: a spacing must be a positive length in A")
        counts = atoms.cell.lengths() / spacing
        _check_size(float(counts.prod()), f"spacing {spacing:g}")
        return cls.of(atoms, map(fft_size, counts), origin)

    @property
    def size(self) -> int:
        """int: Number of points."""
        return math.prod(self.shape)

    @property
    def volume(self) -> float:
        """float: Volume of the cell, A^3."""
        return abs(float(np.linalg.det(self.cell)))

    @property
    def point_volume(self) -> float:
        """float: Volume that one point stands for, A^3."""
        return self.volume / self.size

    @property
    def spacing(self) -> Floats:
        """np.ndarray, shape (3,): Distances of neighbouring points along the axes, A."""
        return np.linalg.norm(self.cell, axis=1) / self.shape

    def points(self, index: Integers | None = None) -> Floats:
        """Positions of points.

        Parameters
        ----------
        index : array_like of int, shape (n,), optional
            Flat C-order indices. Default: all points.

        Returns
        -------
        np.ndarray, shape (n, 3)
            A; each is the same to the last bit whatever others are asked for.
        """
        index = np.arange(self.size) if index is None else index
        return self.at(np.stack(np.unravel_index(index, self.shape), axis=-1))

    def at(self, indices: ArrayLike) -> Floats:
        """Positions (n, 3), A, of indices (n, 3) along the axes, which need not be whole."""
        return place(np.asarray(indices) / self.shape, self.cell) + self.origin

    def mesh(self, *indices: Integers) -> Floats:
        """Positions (n, 3), A, of all combinations of indices along each axis, in C order.

        Each is that of :meth:`at`, to the last bit.
        """
        a, b, c = (
            (index / n)[:, None] * vector
            for index, n, vector in zip(indices, self.shape, self.cell, strict=True)
        )
        out = np.empty((len(a), len(b), len(c), 3))
        for k in range(3):
            out[..., k] = (a[:, None, k] + b[:, k])[:, :, None] + c[:, k] + self.origin[k]
        return out.reshape(-1, 3)

    def with_shape(self, shape: Iterable[SupportsIndex]) -> Grid:
        """The grid of the same cell with other numbers of points."""
        return Grid(self.cell, shape, self.origin, self.pbc)

    def coarser(self, factor: int) -> Grid:
        """The grid that holds what this one does, but for its short waves.

        Parameters
        ----------
        factor : int
            How many times coarser along each axis.

        Returns
        -------
        Grid
            Its numbers of points are products of 2, 3, 5 and 7, as few as make the spacing at
            most `factor` times as large; this grid for a factor of 1.

        Raises
        ------
        ChargeError
            If the factor is below 1, or the cell is not periodic.
        """
        if factor < 1:
            raise ChargeError(f"a grid {factor} times coarser: give a number of at least 1")
        if factor == 1:
            return self
        if not all(self.pbc):
            raise ChargeError(
                "the structure is not periodic in all directions, which Fourier interpolation from"
                " a coarser grid needs; predict it on the full grid"
            )
        return self.with_shape([min(n, fft_size(n / factor)) for n in self.shape])

    def check_same(self, other: Grid) -> None:
        """Raise ChargeError unless the points of another grid are those of this one."""
        if other.shape != self.shape:
            raise ChargeError(f"densities on different grids: {self.shape} and {other.shape}")
        for name, mine, its in (
            ("cells", self.cell, other.cell),
            ("origins", self.origin, other.origin),
        ):
            if not np.allclose(mine, its, rtol=0, atol=CELL_TOLERANCE):
                raise ChargeError(
                    f"densities with different {name}: they differ by up to"
                    f" {np.abs(mine - its).max():.3g} A"
                )

    def __repr__(self) -> str:
        axes = "".join("FT"[is_periodic] for is_periodic in self.pbc)
        return f"Grid({'x'.join(map(str, self.shape))}, {self.volume:.6g} A^3, pbc {axes})"


def place(fractions: Floats, cell: Floats) -> Floats:
    """Positions (n, 3) of fractional coordinates, each the same whatever the others are.

    A matrix product may round a row differently in matrices of different size.
    """
    # long columns one after the other take a quarter of the time of many short rows
    x, y, z = np.ascontiguousarray(fractions.T)
    out = np.empty((len(fractions), 3))
    for k, (a, b, c) in enumerate(cell.T):
        out[:, k] = x * a + y * b + z * c
    return out


def check_shape(shape: Iterable[SupportsIndex], name: str | None = None) -> Shape:
    """Return a shape as a tuple of int.

    Raises
    ------
    ChargeError
        With a name for the shape, if it is not three counts of at least 1, or no computer
        holds so many points.
    """
    try:
        counts = [operator.index(n) for n in shape]
    except TypeError:
        counts = []
    name = name or f"grid {tuple(counts) or shape}"
    if len(counts) != 3 or min(counts) < 1:
        raise ChargeError(f"{name}: this grid has no points; give three counts of at least 1")
    _check_size(math.prod(counts), name)
    nx, ny, nz = counts
    return nx, ny, nz


def _check_size(n_points: float, name: str) -> None:
    if n_points > MOST_POINTS:
        raise ChargeError(f"{name}: a grid of {n_points:.1e} points does not fit into memory")


def check_origin(origin: ArrayLike) -> Floats:
    """Return an origin as an array (3,), A, or raise ChargeError where it cannot be."""
    try:
        point = np.array(origin, dtype=np.float64)
    except (TypeError, ValueError):
        point = np.empty(0)
    if point.shape != (3,) or not np.isfinite(point).all():
        raise ChargeError("an origin is three finite numbers in A: give x, y and z")
    return point


def fft_size(points: float) -> int:
    """Round up to the next product of 2, 3, 5 and 7, which FFTs like best.

    Parameters
    ----------
    points : float
        Smallest size; a millionth of it is allowed for rounding errors.

    Returns
    -------
    int
    """
    size = max(1, math.ceil(points * (1.0 - 1e-6)))
    while not _is_smooth(size):
        size += 1
    return size


def _is_smooth(number: int) -> bool:
    for prime in (2, 3, 5, 7):
        while number % prime == 0:
            number //= prime
    return number == 1
