# SPDX-License-Identifier: LGPL-3.0-or-later
"""The superposed valence densities of free atoms, for structures without a density of their own.

The table holds 93 elements, PBE, scalar-relativistic, smoothed inside a core radius with the
charge kept, made with Quantum ESPRESSO's ld1.x. Its radial functions hold the valence electrons to
1.2e-4 of their number (Na; 3e-5 in the median), as form factors at q = 0 do. Their second
derivatives jump at the core radius, so that a sphere of waves leaves ripples of some thousandths
of an electron per A^3, which the resolution of invariants (:mod:`deepmd_charge.property.field`)
takes away.
"""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..atoms.free_atoms import AtomicDensity, superpose
from ..errors import ChargeError
from ..grid.density import Density
from ..grid.grid import Grid
from ..threads import one_thread_of_blas
from ..typing import Floats

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["free_atom", "superposed", "superposed_on"]

_TABLE = Path(__file__).parent / "tables" / "atomic_densities.npz"
# Step (A) of the radial quadrature, and that (1/A) of the tabulated form factor.
_DR = 0.005
_DQ = 0.05
# The largest wave number of the table, 1/A: of grids down to 0.08 A.
_Q_MAX = 40.0


def superposed(atoms: Atoms, spacing: float) -> Density:
    """Superpose the valence densities of free atoms on a grid of the structure's cell.

    Parameters
    ----------
    atoms : ase.Atoms
        With a cell of three vectors, along which it is taken as periodic.
    spacing : float
        Largest distance of grid points along a cell vector, A.

    Returns
    -------
    Density
        Valence electrons, e/A^3; all waves that the grid can hold in a sphere.

    Raises
    ------
    ChargeError
        If an element is not in the table, or the grid cannot be made.
    """
    return _on(Grid.spaced(atoms, spacing), atoms)


def superposed_on(density: Density) -> Density:
    """Superpose the valence densities of free atoms on the grid of another density.

    Parameters
    ----------
    density : Density

    Returns
    -------
    Density

    Raises
    ------
    ChargeError
        If an element is not in the table.
    """
    return _on(density.grid, density.atoms)


def _on(grid: Grid, atoms: Atoms) -> Density:
    densities = {symbol: free_atom(symbol) for symbol in dict.fromkeys(atoms.symbols)}
    # the largest sphere of waves that the grid holds
    q_max = min(_Q_MAX, np.pi / float(grid.spacing.max()))
    return Density(atoms, superpose(atoms, grid, densities, q_max), grid.origin)


@cache
def free_atom(symbol: str) -> AtomicDensity:
    """The valence density of a free atom, by its form factor.

    Parameters
    ----------
    symbol : str
        Chemical symbol.

    Returns
    -------
    AtomicDensity

    Raises
    ------
    ChargeError
        If the table does not have the element.
    """
    from ase.data import atomic_numbers
    from scipy.interpolate import CubicSpline

    number = atomic_numbers.get(symbol)
    table = _table()
    if f"rho_{number}" not in table:
        raise ChargeError(
            f"{symbol}: the table of atomic densities has no such element;"
            " give a density of this structure instead"
        )
    r = _radii()
    q, kernel = _kernel()
    with one_thread_of_blas():  # the same to the last bit, however many there are
        rho = CubicSpline(table["r"], table[f"rho_{number}"])(r)
        factor = CubicSpline(q, kernel @ (4.0 * np.pi * r**2 * rho * _DR))
    return AtomicDensity(symbol, float(table[f"nval_{number}"]), factor, _Q_MAX)


@cache
def _kernel() -> tuple[Floats, Floats]:
    """Wave numbers (n,) of form factors, and sin(q r) / q r at all radii (n, m)."""
    q = np.arange(0.0, _Q_MAX + _DQ, _DQ)
    return q, np.sinc(np.outer(q, _radii()) / np.pi)


@cache
def _radii() -> Floats:
    return np.arange(0.0, _table()["r"][-1] + _DR / 2, _DR)


@cache
def _table() -> dict[str, Floats]:
    with np.load(_TABLE) as file:
        return dict(file)
