# SPDX-License-Identifier: LGPL-3.0-or-later
"""A charge density: values on a regular grid of a cell, with its atoms."""

from __future__ import annotations

from collections.abc import Mapping
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ChargeError
from ..typing import ArrayLike, Floats, Integers, Shape
from .grid import Grid, check_origin
from .mapped import by_planes
from .quantity import QUANTITIES, compose_kind, split_kind

if TYPE_CHECKING:
    from ase import Atoms

_UNIT_OF_FORMAT = {"vasp/locpot": "eV"}

# What sums and differences of two quantities are; of two other equals, what these are.
_SUMS = {
    ("up", "down"): "total",
    ("down", "up"): "total",
    ("total", "difference"): "total",
    ("difference", "total"): "total",
}
_DIFFERENCES = {
    ("total", "up"): "down",
    ("total", "down"): "up",
    ("up", "down"): "magnetization",
    **{
        (name, name): "difference"
        for name in ("total", "up", "down", "partial", "difference", "deviation")
    },
    ("total", "difference"): "total",
    ("total", "partial"): "partial",
}


class Density:
    """Values on a regular grid of a cell, with the atoms of that cell.

    The value at ``values[i, j, k]`` belongs to the point
    ``origin + (i/nx) a + (j/ny) b + (k/nz) c``.

    Parameters
    ----------
    atoms : ase.Atoms
        Atoms, cell (A) and periodicity.
    values : array_like, shape (nx, ny, nz)
        Density, e/A^3, positive for electrons. A float64 array is kept, not
        copied, whatever its memory order.
    origin : array_like, shape (3,), optional
        Position of grid point (0, 0, 0), A.
    kind : str, optional
        Name of the format that the values came from, such as "vasp/chgcar", and what they
        are if that is not the total density: "vasp/chgcar:up", "cube:difference".
    extra : dict, optional
        What the format carries besides (spin grids, augmentation text, ...).
        Arithmetic drops it: it describes the file, not the new values.

    Attributes
    ----------
    format : str
        Name of the format; empty where there is none.
    quantity : Quantity
        What the values are.

    Raises
    ------
    ChargeError
        If the values are not a three-dimensional grid of at least one point,
        the origin is no point, or the cell has no volume.
    """

    # numpy scalars leave ``2.0 * density`` to __rmul__ instead of looping over it
    __array_ufunc__ = None

    def __init__(
        self,
        atoms: Atoms,
        values: ArrayLike,
        origin: ArrayLike = (0.0, 0.0, 0.0),
        kind: str | None = "",
        extra: Mapping[str, Any] | None = None,
    ) -> None:
        self.atoms = atoms
        self.values: Floats = np.asarray(values, dtype=np.float64)
        self.origin = check_origin(origin)
        self.format, self.quantity = split_kind(kind)
        self.extra: dict[str, Any] = dict(extra or {})
        if self.values.ndim != 3 or not self.values.size:
            raise ChargeError(
                "a density needs a grid (nx, ny, nz) of at least one point,"
                f" not {self.values.shape}"
            )
        if not abs(np.linalg.det(atoms.cell.array)) > 0:
            raise ChargeError("a density needs a cell with three independent vectors")

    @property
    def kind(self) -> str:
        """str: Format and quantity in one word, as data sets note them."""
        return compose_kind(self.format, self.quantity)

    def declare(self, kind: str | None) -> None:
        """Say anew of what kind the values are, which stay as they are."""
        self.format, self.quantity = split_kind(kind)

    @property
    def unit(self) -> str:
        """str: Unit of the values; empty where they have none, or it is not known."""
        return _UNIT_OF_FORMAT.get(self.format, self.quantity.unit)

    @property
    def grid(self) -> Grid:
        """Grid: Where the values are, with the cell and the periodicity of the atoms."""
        return Grid(self.atoms.cell.array, self.shape, self.origin, self.atoms.pbc)

    @property
    def shape(self) -> Shape:
        """Shape: Grid points along the three cell vectors."""
        nx, ny, nz = self.values.shape
        return nx, ny, nz

    @property
    def volume(self) -> float:
        """float: Volume of the cell, A^3."""
        return self.grid.volume

    @property
    def n_electrons(self) -> float:
        """float: Integral over the cell."""
        total = sum(float(plane.sum()) for plane in by_planes(self.values))
        return total / self.values.size * self.volume

    def points(self, index: Integers | None = None) -> Floats:
        """Positions of grid points, (n, 3), A; see :meth:`.Grid.points`."""
        return self.grid.points(index)

    def __add__(self, other: Density) -> Density:
        return self._combined(self.values + self.matching(other), other, _SUMS)

    def __sub__(self, other: Density) -> Density:
        return self._combined(self.values - self.matching(other), other, _DIFFERENCES)

    def __mul__(self, factor: object) -> Density:
        if not isinstance(factor, Real):
            return NotImplemented
        return self._with(self.values * float(factor), self.kind)

    __rmul__ = __mul__

    def __truediv__(self, divisor: object) -> Density:
        if not isinstance(divisor, Real):
            return NotImplemented
        return self._with(self.values / float(divisor), self.kind)

    def __neg__(self) -> Density:
        return self * -1.0

    def __repr__(self) -> str:
        grid = "x".join(map(str, self.shape))
        return f"Density({self.atoms.get_chemical_formula()}, {grid}, {self.n_electrons:.6g} e)"

    def _combined(
        self, values: Floats, other: Density, results: Mapping[tuple[str, str], str]
    ) -> Density:
        """What comes of two densities; its format is known only where both agree."""
        format = self.format if other.format == self.format else ""
        pair = self.quantity.name, other.quantity.name
        otherwise = pair[0] if pair[0] == pair[1] else "other"
        quantity = QUANTITIES[results.get(pair, otherwise)]
        return self._with(values, compose_kind(format, quantity))

    def _with(self, values: Floats, kind: str) -> Density:
        """Other values on this grid."""
        return Density(self.atoms.copy(), values, self.origin, kind)

    def matching(self, other: object) -> Floats:
        """Values of another density, once it is known to live on the same grid.

        Parameters
        ----------
        other : Density

        Returns
        -------
        np.ndarray

        Raises
        ------
        ChargeError
            If it is none, or grids, cells or origins differ.
        """
        if not isinstance(other, Density):
            raise ChargeError(
                f"only a density can be added to a density, not {type(other).__name__}:"
                " make it a Density on the same grid"
            )
        self.grid.check_same(other.grid)
        return other.values
