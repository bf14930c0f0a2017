# SPDX-License-Identifier: LGPL-3.0-or-later
"""The mean of densities along a trajectory, and how far they fluctuate."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ChargeError
from ..grid.density import Density
from ..grid.grid import CELL_TOLERANCE
from ..grid.quantity import compose_kind, deviation_of
from ..io import write_density
from ..typing import Floats, PathLike

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["Average"]


class Average:
    """Mean and standard deviation of densities in one cell, as they come.

    Attributes
    ----------
    count : int
        Number of densities so far.
    """

    def __init__(self) -> None:
        self.count = 0

    def add(self, density: Density) -> None:
        """Take one more density into account.

        Parameters
        ----------
        density : Density
            Its atoms are in the same order, its cell and kind the same every time;
            atoms may be wrapped.

        Raises
        ------
        ChargeError
            When the cell or the number of atoms changes.
        """
        atoms, values = density.atoms, density.values
        if self.count == 0:
            self._atoms, self._kind = atoms.copy(), density.kind
            self._sum = np.zeros((len(atoms), 3))
            self._mean = np.zeros(values.shape)
            self._squares = np.zeros(values.shape)
        elif not np.allclose(atoms.cell.array, self._atoms.cell.array, rtol=0, atol=CELL_TOLERANCE):
            raise ChargeError(
                "the box changes: a mean density needs a fixed one (nve or nvt, no npt, no"
                " shrink-wrapped boundary)"
            )
        elif len(atoms) != len(self._atoms):
            raise ChargeError("the number of atoms changes: a mean density needs a fixed one")
        self.count += 1
        # Welford: no difference of large sums
        step = values - self._mean
        self._mean += step / self.count
        self._squares += step * (values - self._mean)
        self._sum += self._near_the_first(atoms)

    def mean(self) -> Density:
        """Density: The mean, at the mean positions of the atoms."""
        atoms = self._atoms.copy()
        atoms.positions = self._sum / self.count
        return Density(atoms, self._mean, kind=self._kind)

    def deviation(self) -> Density:
        """Density: sqrt(<rho^2> - <rho>^2), at the mean positions of the atoms."""
        mean = self.mean()
        kind = compose_kind("", deviation_of(mean.quantity))
        return Density(mean.atoms, np.sqrt(self._squares / self.count), kind=kind)

    def write(self, folder: PathLike) -> None:
        """Write ``CHGCAR_mean`` and ``CHGCAR_std`` into a folder, which is made if need be.

        Warns
        -----
        UserWarning
            If there was only one density, which does not fluctuate: no ``CHGCAR_std`` then.
        """
        folder = Path(folder)
        folder.mkdir(exist_ok=True)
        write_density(folder / "CHGCAR_mean", self.mean())
        if self.count > 1:
            write_density(folder / "CHGCAR_std", self.deviation())
        else:
            warnings.warn(
                f"{folder}: one density has no standard deviation: no CHGCAR_std; evaluate more"
                " steps for it",
                stacklevel=2,
            )

    def _near_the_first(self, atoms: Atoms) -> Floats:
        """Positions, each the image nearest to where the atom was at first."""
        from ase.geometry import find_mic

        away, _ = find_mic(atoms.positions - self._atoms.positions, atoms.cell, atoms.pbc)
        return self._atoms.positions + away
