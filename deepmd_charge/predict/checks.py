# SPDX-License-Identifier: LGPL-3.0-or-later
"""What is refused before a prediction on a grid begins."""

from ..errors import ChargeError
from ..saed.adding import check_given
from ..saed.sources import matching

__all__ = ["check_structure", "check_superposition"]


def check_structure(name, atoms, models):
    """Refuse a structure that models cannot predict on a grid.

    Parameters
    ----------
    name : str
        Its file, for complaints.
    atoms : ase.Atoms
    models : list of ChargeModel

    Raises
    ------
    ChargeError
        If it has no atoms, or no cell, or a model cannot evaluate it.
    """
    if not len(atoms):
        raise ChargeError(f"{name}: there are no atoms in this file")
    if atoms.cell.rank < 3:
        raise ChargeError(f"{name}: the structure has no cell of three vectors; add one")
    for model in models:
        model.check(atoms, name)


def check_superposition(name, models, atoms, grid, saed):
    """Refuse a superposition that models do not want, or none where they do.

    Parameters
    ----------
    name : str
        Its file, for complaints.
    models : list of ChargeModel
    atoms : ase.Atoms
        The structure.
    grid : Grid
        Where it is predicted.
    saed : Density or None
        The superposition that was given.

    Raises
    ------
    ChargeError
        Also if it is on another grid, or of other atoms.
    """
    for model in models:
        check_given(model.path, model.info, saed)
    if saed is not None:
        matching(atoms, grid, saed, name)
