# SPDX-License-Identifier: LGPL-3.0-or-later
"""Files of a run of Quantum ESPRESSO, and which waves one that is to be written has."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ChargeError
from ..grid.grid import CELL_TOLERANCE, Grid, fft_size
from ..grid.waves import shape_for, sphere
from ..typing import Floats, Integers, PathLike
from ..units import BOHR
from ._qe_run import Run, find_schema, read_run
from ._qe_waves import read_waves
from .text.reader import COMPRESSIONS

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["Cutoff", "Target", "check_cell", "find_file", "find_target", "is_folder", "output_file"]

_FILES = ("charge-density.dat", "charge-density.hdf5")
_ON_SPHERE = 1e-9  # of |G|^2: waves that near to the cutoff may be in or out


@dataclass(frozen=True)
class Cutoff:
    """Which waves a run has.

    Attributes
    ----------
    ecutrho : float
        The largest squared length of a wave, Ry.
    gamma_only : bool
        Whether one of two opposite waves is left out.
    alat : float
        Unit of lengths of the run, bohr.
    n_waves : int
    """

    ecutrho: float
    gamma_only: bool
    alat: float
    n_waves: int


@dataclass(frozen=True)
class Target:
    """A file to write.

    Attributes
    ----------
    path : str
    gamma_only, reciprocal, miller
        Its waves, see :class:`deepmd_charge.io._qe_waves.Waves`.
    n_spin : int or None
        As of a run; None where it is the density's.
    run : Run or None
        The one whose data-file-schema.xml is there.
    """

    path: str
    gamma_only: bool
    reciprocal: Floats
    miller: Integers
    n_spin: int | None
    run: Run | None


def output_file(path: PathLike) -> str:
    """The file that is written for a folder or file.

    Raises
    ------
    ChargeError
        If a folder has several.
    """
    path = os.fspath(path)
    if not is_folder(path):
        return path
    return find_file(path) or os.path.join(path, _FILES[0])


def is_folder(path: str) -> bool:
    """Whether a name stands for a folder, there or to be made."""
    name = os.path.basename(os.path.normpath(path))
    return os.path.isdir(path) or (name.lower().endswith(".save") and not os.path.exists(path))


def find_file(folder: str) -> str | None:
    """Path of the charge-density file in a folder; None if there is none.

    Raises
    ------
    ChargeError
        If there are several.
    """
    names = [name + suffix for name in _FILES for suffix in ("", *COMPRESSIONS)]
    found = [name for name in names if os.path.exists(os.path.join(folder, name))]
    if len(found) > 1:
        raise ChargeError(f"{folder}: holds {' and '.join(found)}: give the one that is meant")
    return os.path.join(folder, found[0]) if found else None


def find_target(path: str, atoms: Atoms, grid: Grid, cutoff: Cutoff | None, n_spin: int) -> Target:
    """Find what is to be written.

    Parameters
    ----------
    path : str
        Folder or file.
    atoms : ase.Atoms
    grid : Grid
    cutoff : Cutoff or None
        Of the run that the density was read from.
    n_spin : int
        Grids of its magnetisation.

    Returns
    -------
    Target

    Raises
    ------
    ChargeError
        If the density has no place there.
    """
    if grid.origin.any():
        origin = ", ".join(f"{x:g}" for x in grid.origin)
        raise ChargeError(
            f"{path}: Quantum ESPRESSO has its origin at zero, this density at ({origin}) A:"
            " write a cube or an xsf"
        )
    if not atoms.pbc.all():
        raise ChargeError(
            f"{path}: Quantum ESPRESSO is periodic along all axes, this density is not: write a"
            " cube or an xsf, or say by --pbc T T T that it is"
        )
    target = _waves_there(path, atoms, cutoff)
    least = shape_for(target.miller)
    if (np.array(grid.shape) < least).any():
        needed = target.run.shape if target.run else map(fft_size, least)
        raise ChargeError(
            f"{path}: a grid of {' x '.join(map(str, grid.shape))} points cannot hold the waves of"
            f" this run: give one of at least {' '.join(map(str, needed))} (--grid)"
        )
    if target.n_spin not in (None, 1, n_spin + 1):
        magnetisation = "a magnetisation" if target.n_spin == 2 else "three components of one"
        raise ChargeError(
            f"{path}: of a run with spin, which needs {magnetisation} beside the density, and would"
            " end in a wrong state without: give a density with spin"
        )
    return target


def _waves_there(path: str, atoms: Atoms, cutoff: Cutoff | None) -> Target:
    """Find which waves a file is to have."""
    file = output_file(path)
    folder = os.path.dirname(file)
    schema = find_schema(folder)
    run = None if schema is None else read_run(schema)
    if run is not None:
        check_cell(path, 2 * np.pi / run.alat * run.reciprocal, atoms, "the density")
    earlier = file if os.path.exists(file) else find_file(folder)
    if earlier:
        there = read_waves(earlier)
        check_cell(earlier, there.reciprocal, atoms, "the density")
        if run is None or (there.gamma_only, len(there.miller)) == (run.gamma_only, run.n_waves):
            components = len(there.components) if run is None else run.n_spin
            return Target(file, there.gamma_only, there.reciprocal, there.miller, components, run)
    if run is not None:
        waves_of_run = Cutoff(run.ecutrho, run.gamma_only, run.alat, run.n_waves)
        reciprocal = run.reciprocal
    elif cutoff is not None:
        waves_of_run = cutoff
        reciprocal = cutoff.alat * BOHR * np.linalg.inv(atoms.cell.array).T
    else:
        raise ChargeError(
            f"{path}: nothing tells the waves: give a prefix.save folder that pw.x wrote for this"
            " cell and ecutrho (electron_maxstep = 0 suffices), or its charge-density file"
        )
    miller = _waves_of(path, waves_of_run, reciprocal)
    # to all digits, which alat in the XML file has not
    vectors = 2 * np.pi * BOHR * np.linalg.inv((run.atoms if run else atoms).cell.array).T
    n_spin = None if run is None else run.n_spin
    return Target(file, waves_of_run.gamma_only, vectors, miller, n_spin, run)


def _waves_of(path: str, cutoff: Cutoff, reciprocal: Floats) -> Integers:
    """The waves (n, 3) of a run by the rule of pw.x; ``reciprocal`` in 2 pi / alat."""
    # 1 Ry is 1/bohr^2
    most = cutoff.ecutrho / (2 * np.pi / cutoff.alat) ** 2
    for scale in (1.0, 1.0 + _ON_SPHERE, 1.0 - _ON_SPHERE):
        try:
            miller = sphere(reciprocal, scale * most, cutoff.gamma_only)
        except ChargeError as error:
            raise ChargeError(f"{path}: {error}: let pw.x write a charge-density first") from None
        if len(miller) == cutoff.n_waves:
            return miller
    raise ChargeError(
        f"{path}: the run counts {cutoff.n_waves} waves, where there are {len(miller)} up to"
        f" {cutoff.ecutrho:g} Ry: let pw.x write a charge-density file there first"
    )


def check_cell(path: str, reciprocal: Floats, atoms: Atoms, other: str) -> None:
    """Raise ChargeError unless a reciprocal cell (1/bohr) is that of atoms."""
    cell = 2 * np.pi * BOHR * np.linalg.inv(reciprocal).T
    if (apart := np.abs(cell - atoms.cell.array).max()) > CELL_TOLERANCE:
        raise ChargeError(
            f"{path}: its cell and that of {other} differ by up to {apart:.3g} A: they must be of"
            " one structure, in one orientation"
        )
