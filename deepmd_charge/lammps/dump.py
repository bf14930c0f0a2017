# SPDX-License-Identifier: LGPL-3.0-or-later
"""Densities at atoms of type X in a LAMMPS dump, put on their grid and averaged."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from ..atoms.species import GRID_TYPE, named_atoms
from ..errors import ChargeError
from ..grid.density import Density
from ..typing import Floats, PathLike, Shape
from .average import Average

__all__ = ["average_dump"]

COLUMNS = ("id", "type", "x", "y", "z", "c_density")
# Part of the distance of two grid points by which an atom of type X may be off
_OFF = 0.01


def average_dump(path: PathLike, species: Sequence[str], grid: Shape, kind: str = "") -> Average:
    """Average the densities of a dump of atoms and grid points.

    Parameters
    ----------
    path : str or Path
        Text dump of style custom with the columns of COLUMNS, of all atoms.
        The atoms of type X are the points of a grid, in any order.
    species : list of str
        Elements of LAMMPS' atom types 1, 2, ..., X for grid points.
    grid : tuple of int
        Number of points along the three vectors of the box.
    kind : str, optional
        Of what the model of the dump predicts; a total density by default.

    Returns
    -------
    Average

    Raises
    ------
    ChargeError
        When the dump is not such a one, or its last frame is not complete.
    """
    if GRID_TYPE not in species:
        raise ChargeError(
            f"--species {' '.join(species)}: name {GRID_TYPE} for the type of the grid points"
        )
    average = Average()
    for step, cell, pbc, table in _frames(path):
        try:
            average.add(_density(cell, pbc, table, np.array(species), grid, kind))
        except ChargeError as error:
            raise ChargeError(f"{path}, step {step}: {error}") from None
    if average.count == 0:
        raise ChargeError(f"{path}: no frame in this file; run LAMMPS first")
    return average


def _density(
    cell: Floats,
    pbc: list[bool],
    table: Floats,
    species: NDArray[np.str_],
    grid: Shape,
    kind: str,
) -> Density:
    """Sort one frame (n, 6) into atoms and the values of a grid."""
    kinds = table[:, 1].astype(int) - 1
    if kinds.max() >= len(species):
        raise ChargeError(
            f"there are atoms of type {kinds.max() + 1}; name an element for each type, "
            f"not {' '.join(species)}"
        )
    names = species[kinds]
    is_grid = names == GRID_TYPE
    points = table[is_grid, 2:5] @ np.linalg.inv(cell) * grid
    index = np.round(points).astype(int)
    fits = np.abs(points - index).max(initial=0.0) <= _OFF
    index = np.where(pbc, index % grid, index)
    if len(index) != np.prod(grid) or not fits or ((index < 0) | (index >= grid)).any():
        shape = " x ".join(map(str, grid))
        raise ChargeError(
            f"its {len(index)} atoms of type {GRID_TYPE} are not the points of a grid of {shape} "
            "that begins at the corner of the box; give their --grid"
        )
    values = np.full(grid, np.nan)
    values[tuple(index.T)] = table[is_grid, 5]
    if not np.isfinite(values).all():
        raise ChargeError(
            f"some points of type {GRID_TYPE} coincide, or their density is not finite"
        )
    order = np.argsort(table[~is_grid, 0])
    real = table[~is_grid][order]
    atoms = named_atoms(names[~is_grid][order], real[:, 2:5], cell=cell, pbc=pbc)
    return Density(atoms, values, kind=kind)


def _frames(path: PathLike) -> Iterator[tuple[int, Floats, list[bool], Floats]]:
    """Yield step, cell (3, 3), pbc and table (n, 6), its positions from the box's corner."""
    with open(path) as file:
        while header := list(islice(file, 9)):
            if len(header) < 9 or not header[8].endswith("\n"):
                raise _unfinished(path)
            names = header[8].split()[2:]
            if header[0].strip() != "ITEM: TIMESTEP" or not set(COLUMNS) <= set(names):
                raise ChargeError(
                    f"{path}: not a dump with the columns {' '.join(COLUMNS)}; "
                    f"write it with `dump ID all custom N FILE {' '.join(COLUMNS)}`"
                )
            count = int(header[3])
            lines = list(islice(file, count))
            if len(lines) < count or not (lines and lines[-1].endswith("\n")):
                raise _unfinished(path)
            kind = header[4].split()[3:]
            if "abc" in kind:
                raise ChargeError(
                    f"{path}: a dump of general triclinic boxes; write it without triclinic/general"
                )
            # older dumps tell no boundaries
            pbc = [flag == "pp" for flag in kind if set(flag) <= set("pfsm")] or [True] * 3
            cell, low = _box([line.split() for line in header[5:8]])
            table = np.array([line.split() for line in lines]).astype(float)
            table = table[:, [names.index(column) for column in COLUMNS]]
            table[:, 2:5] -= low
            yield int(header[1]), cell, pbc, table


def _unfinished(path: PathLike) -> ChargeError:
    return ChargeError(
        f"{path}: the last frame is not complete; let LAMMPS finish, or delete that frame"
    )


def _box(bounds: list[list[str]]) -> tuple[Floats, Floats]:
    """Cell and corner of the BOX BOUNDS of a dump, which enclose a tilted box."""
    low, high, tilt = np.zeros(3), np.zeros(3), np.zeros(3)
    for axis, words in enumerate(bounds):
        low[axis], high[axis], *rest = map(float, words)
        tilt[axis] = rest[0] if rest else 0.0
    xy, xz, yz = tilt
    low[0] -= min(0.0, xy, xz, xy + xz)
    high[0] -= max(0.0, xy, xz, xy + xz)
    low[1] -= min(0.0, yz)
    high[1] -= max(0.0, yz)
    lx, ly, lz = high - low
    return np.array([[lx, 0, 0], [xy, ly, 0], [xz, yz, lz]]), low
