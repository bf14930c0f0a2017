# SPDX-License-Identifier: LGPL-3.0-or-later
"""What the user says of a density file; it overrules what the file says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ...errors import ChargeError
from ...grid.density import Density
from ...grid.quantity import Quantity, compose_kind, find_quantity
from ...typing import PathLike
from ...units import BOHR, PER_BOHR3

__all__ = ["LENGTHS", "UNDECLARED", "VALUES", "Declared"]

# in e/A^3; None: times the volume
VALUES: dict[str, float | None] = {"e/bohr^3": PER_BOHR3, "e/A^3": 1.0, "e": None}
LENGTHS = {"bohr": BOHR, "A": 1.0}  # in A


class Declared(NamedTuple):
    """What is known of a file beforehand; None where it is left to the file.

    Attributes
    ----------
    species : sequence of str
        Names of atom types, see :func:`deepmd_charge.atoms.species.name_species`.
    pbc : tuple of bool
        Along which axes the structure is periodic.
    values, length : str
        Units, of ``VALUES`` and ``LENGTHS``.
    quantity : Quantity
        What the file's one grid holds.
    """

    species: Sequence[str] | None = None
    pbc: tuple[bool, ...] | None = None
    values: str | None = None
    length: str | None = None
    quantity: Quantity | None = None

    @classmethod
    def of(
        cls,
        path: PathLike,
        species: Sequence[str] | None = None,
        pbc: Sequence[bool] | None = None,
        unit: str | Sequence[str] | None = None,
        holds: str | None = None,
    ) -> Declared:
        """Check what :func:`deepmd_charge.read_density` is given.

        Raises
        ------
        ChargeError
            If a unit or quantity is unknown, or the periodicity is not three truth values.
        """
        units = [unit] if isinstance(unit, str) else list(unit or [])
        values = [name for name in units if name in VALUES]
        length = [name for name in units if name in LENGTHS]
        if len(values) + len(length) < len(units) or max(len(values), len(length)) > 1:
            raise ChargeError(
                f"{path}: units {' '.join(units)}: give one of the values"
                f" ({', '.join(VALUES)}), one of lengths ({', '.join(LENGTHS)}), or both"
            )
        axes: tuple[bool, ...] | None = None
        if pbc is not None:
            given = tuple(np.ravel(pbc).tolist())
            if len(given) != 3 or not set(given) <= {True, False}:
                raise ChargeError(
                    f"{path}: pbc {given}: give three truth values, one for each axis"
                )
            axes = tuple(map(bool, given))
        return cls(
            species,
            axes,
            next(iter(values), None),
            next(iter(length), None),
            find_quantity(holds) if holds else None,
        )

    def divisor(self, quantity: Quantity, default: str, volume: float) -> float:
        """By what the values of a file are divided to become those of a density.

        Parameters
        ----------
        quantity : Quantity
            What they are; a field that is not so much per volume is left as it is.
        default : str
            Unit of the format, of ``VALUES``.
        volume : float
            Of the cell, A^3.

        Returns
        -------
        float
        """
        if not quantity.is_per_volume:
            return 1.0
        scale = VALUES[self.values or default]
        return volume if scale is None else 1.0 / scale

    def overrule(self, density: Density, path: PathLike) -> Density:
        """Set what was declared of a density that has been read.

        Raises
        ------
        ChargeError
            If a quantity is declared of a file with several grids, or a unit that its values
            cannot have.
        """
        if self.quantity is not None:
            if density.extra.get("spin"):
                raise ChargeError(
                    f"{path}: holds a density and its magnetisation: choose by --quantity"
                    " (quantity=), what a file with one grid holds is said by --is (holds=)"
                )
            density.declare(compose_kind(density.format, self.quantity))
        if self.values and not density.quantity.is_per_volume:
            raise ChargeError(
                f"{path}: holds {density.quantity.description}, which is not measured in"
                f" {self.values}: leave --unit (unit=) out, or say what it is by --is (holds=)"
            )
        if self.pbc is not None:
            density.atoms.pbc = self.pbc
        return density


UNDECLARED = Declared()  # all is left to the file
