# SPDX-License-Identifier: LGPL-3.0-or-later
"""What several subcommands do with their input files."""

import os
import warnings

from ..errors import ChargeError, ElectronCountWarning
from ..structures import same_atoms


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
        When the file cannot be read, has no cell, or has an element that is
        not in the model's ``type_map``.
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
    check_elements(path, atoms, model)
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


def check_elements(path, atoms, model):
    """Raise ChargeError when a structure has elements unknown to a model."""
    known = model.elements
    unknown = sorted(set(atoms.get_chemical_symbols()) - set(known))
    if unknown:
        raise ChargeError(
            f"{path}: the model has not seen {', '.join(unknown)}, only {', '.join(known)}; "
            "train on densities that have them"
        )


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
