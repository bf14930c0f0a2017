# SPDX-License-Identifier: LGPL-3.0-or-later
"""What several subcommands do with their input files."""

import os
import warnings

from ..errors import ChargeError, ElectronCountWarning

SAME_PLACE = 0.01  # A; files print positions with at least three decimals


def check_densities(paths):
    """Refuse, before any work is done, files that cannot be densities.

    Raises
    ------
    ChargeError
        When a file is missing, or its name tells no format.
    """
    from ..formats import format_of

    for path in paths:
        if not os.path.exists(path):
            raise ChargeError(f"{path}: no such file")
        format_of(path)


def read_quietly(path):
    """Read a density that need not hold a whole number of electrons.

    Few predictions do, and where only the grid or the atoms of a file count,
    or it is looked at, the number does no harm.
    """
    from ..formats import read_density

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ElectronCountWarning)
        return read_density(path)


def read_structure(path, model):
    """Read a periodic structure and check that a model knows its elements.

    Parameters
    ----------
    path : str
        Any file that ase reads (``file@3`` picks a frame, the last is the
        default) or a density file.
    model : ChargeModel
        Model that the structure is meant for.

    Returns
    -------
    ase.Atoms

    Raises
    ------
    ChargeError
        When the file cannot be read, has no cell, or the model cannot evaluate
        the structure.
    """
    from .. import formats

    try:
        formats.format_of(path)
    except ChargeError:
        atoms = _read_with_ase(path)
    else:
        atoms = read_quietly(path).atoms
    if not len(atoms):
        raise ChargeError(f"{path}: there are no atoms in this file")
    if atoms.cell.rank < 3:
        raise ChargeError(f"{path}: the structure has no cell of three vectors; add one")
    model.check(atoms, path)
    return atoms


def _read_with_ase(path):
    from ase.io import read

    try:
        return read(path)
    except OSError:
        raise
    except Exception as error:  # ase's readers raise all kinds
        reason = f"{type(error).__name__}: {error}".splitlines()
        raise ChargeError(
            f"{path}: ase cannot read a structure from this file ({reason[0]}); "
            "give a POSCAR, extxyz, cif, ..."
        ) from error


def check_same_grid(path, reference, other_path, other):
    """Raise ChargeError when two densities are not on one grid of one cell.

    Warns
    -----
    UserWarning
        When the atoms are not the same.
    """
    try:
        reference - other
    except ChargeError as error:
        raise ChargeError(f"{path} and {other_path}: {error}") from None
    if not same_atoms(reference.atoms, other.atoms):
        warnings.warn(
            f"{path} and {other_path}: these are densities of different structures", stacklevel=2
        )


def same_atoms(one, other):
    """Whether two structures of one cell hold the same atoms, in whatever order.

    Returns
    -------
    bool
        False when an atom has no atom of its element within SAME_PLACE.
    """
    import numpy as np
    from scipy.spatial import cKDTree

    if sorted(one.numbers) != sorted(other.numbers):
        return False
    for number in set(one.numbers):
        # twice: a tiny negative number modulo 1 is 1
        here, there = (
            atoms.cell.scaled_positions(atoms.positions[atoms.numbers == number]) % 1.0 % 1.0
            for atoms in (one, other)
        )
        nearest = cKDTree(there, boxsize=1.0).query(here)[1]
        step = there[nearest] - here
        step = (step - np.round(step)) @ one.cell.array
        if np.linalg.norm(step, axis=1).max() > SAME_PLACE:
            return False
    return True
