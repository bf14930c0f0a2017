# SPDX-License-Identifier: LGPL-3.0-or-later
"""Superpositions of atomic electron densities (SAED).

A model may learn the difference between the density and the superposition of
the densities of the free atoms, as in Delta-SAED (arXiv 2510.00788). What is
subtracted from the data is added back by the model.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, SupportsIndex

from ..grid.density import Density
from ..grid.grid import Grid
from ..typing import ArrayLike, PathLike
from .fit import RadialFit
from .sources import open_source
from .table import RadialTable

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["RadialFit", "RadialTable", "open_source", "superposition"]


def superposition(
    atoms: Atoms,
    grid: Iterable[SupportsIndex],
    source: PathLike | RadialTable,
    ecutrho: float | None = None,
    species: Sequence[str] | None = None,
    origin: ArrayLike = (0.0, 0.0, 0.0),
) -> Density:
    r"""Superpose the densities of free atoms on a grid.

    Parameters
    ----------
    atoms : ase.Atoms
        Structure with a cell; periodic along the axes of its ``pbc``.
    grid : tuple of int
        (nx, ny, nz)
    source : str, os.PathLike or RadialTable
        "upf:FOLDER" and "potcar:FILE" are summed in reciprocal space, as
        Quantum ESPRESSO does, or where an axis is open tabulated; the table of a
        "saed.npz", or a ``RadialTable``, in real space; a density file must have
        this grid, cell and these atoms.
    ecutrho : float, optional
        Cutoff of \|G\|^2 in Ry: that of the run; needed for UPF files. Of a
        POTCAR the whole table is taken by default.
    species : sequence of str, optional
        Names of the types in a density file that tells no elements (VASP 4).
    origin : array_like, optional
        (3,) position of the grid's first point, A: of a density ``density.origin``.

    Returns
    -------
    Density
        In e/A^3.

    Raises
    ------
    ChargeError
        If the grid is empty, the origin is no point, the cell has no volume, or the
        source is missing, damaged, lacks an element, or has another grid.
    """
    atoms, where = atoms.copy(), Grid.of(atoms, grid, origin)
    return Density(atoms, open_source(source, ecutrho, species).on_grid(atoms, where), origin)
