# SPDX-License-Identifier: LGPL-3.0-or-later
"""Superpositions of atomic electron densities (SAED).

A model may learn the difference between the density and the superposition of
the densities of the free atoms, as in Delta-SAED (arXiv 2510.00788). What is
subtracted from the data is added back by the model.
"""

from importlib import import_module

__all__ = ["RadialFit", "RadialTable", "open_source", "superposition"]

_HOME = {"RadialFit": "fit", "RadialTable": "table", "open_source": "sources"}


def __getattr__(name):
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{_HOME[name]}", __name__), name)


def superposition(atoms, grid, source, ecutrho=None, species=None, origin=(0.0, 0.0, 0.0)):
    """Superpose the densities of free atoms on a grid.

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
        Cutoff of \\|G\\|^2 in Ry: that of the run; needed for UPF files. Of a
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
    from ..grid.density import Density
    from ..grid.grid import Grid
    from .sources import open_source

    atoms, grid = atoms.copy(), Grid.of(atoms, grid, origin)
    return Density(atoms, open_source(source, ecutrho, species).on_grid(atoms, grid), origin)
