# SPDX-License-Identifier: LGPL-3.0-or-later
"""The structure of an xsf file, and of the cell that its grid covers."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby, product
from typing import TYPE_CHECKING

import numpy as np

from ..atoms.compare import SAME_PLACE
from ..atoms.species import element_of_label, name_species, species_of, types_of_labels
from ..errors import ChargeError
from ..typing import Booleans, Floats, Integers
from ._xsf_parse import Contents
from .verdict.declared import Declared

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["MOLECULE", "read_structure", "repeated", "without_images"]

MOLECULE = 'pbc="F F F"'  # as in extxyz; ends a comment of the molecules that are written here


def read_structure(
    contents: Contents, scale: float, declared: Declared
) -> tuple[Atoms, bool, list[str]]:
    """Make the atoms of a file.

    Parameters
    ----------
    contents : Contents
    scale : float
        Unit of its lengths, A.
    declared : Declared
        What the user says of the file: here, the names of atom types.

    Returns
    -------
    atoms : ase.Atoms
        The cell is zero where the file has none.
    is_told : bool
        Whether the file says whether they are periodic.
    notes : list of str

    Raises
    ------
    ChargeError
        If atoms or cell are missing, or the names of types do not match them.
    """
    from ase import Atoms

    found = [name for name in ("PRIM", "ATOMS", "CONV") if contents.sites.get(name)]
    if not found:
        raise ChargeError(f"{contents.path}: there is no atoms in this file")
    cell = contents.cells.get("CONV" if found[0] == "CONV" else "PRIM")
    n_periodic, notes = contents.n_periodic, []
    if n_periodic is None:
        n_periodic = 0 if cell is None else 3
        if n_periodic:
            notes.append("taken as periodic, for it has a cell (--pbc says otherwise)")
    if not n_periodic:
        cell = None
    elif cell is None:
        raise ChargeError(f"{contents.path}: there is no PRIMVEC in this file")
    labels, positions = zip(*contents.sites[found[0]], strict=True)
    atoms = Atoms(
        list(map(element_of_label, labels)),
        positions=scale * np.array(positions),
        cell=None if cell is None else scale * cell,
        pbc=np.arange(3) < n_periodic,
    )
    notes += _name_types(contents.path, atoms, labels, declared.species)
    is_said = contents.n_periodic is not None or any(MOLECULE in text for text in contents.comments)
    return atoms, n_periodic > 0 or is_said, notes


def _name_types(
    path: str, atoms: Atoms, labels: Sequence[str], species: Sequence[str] | None
) -> list[str]:
    """Name the types of atoms by their labels, or as the user says; returns notes."""
    if species is not None:
        # a group is of like labels, as well as of like atoms
        counts = [len(list(run)) for _, run in groupby(labels)]
        name_species(path, atoms, species, counts if len(counts) == len(species) else None)
    elif atoms.pbc.any() and (types := types_of_labels(labels)):
        name_species(path, atoms, types)
        names = " ".join(dict.fromkeys(types))
        return [f"atom types {names}, by the labels of the atoms (--species says otherwise)"]
    elif atoms.pbc.any() and len(set(labels)) > 2 * len(set(atoms.numbers)):
        return ["labels number the atoms: their elements are the types (--species says otherwise)"]
    return []


def repeated(atoms: Atoms, cells: Integers, cell: Floats) -> Atoms:
    """Atoms of a larger cell.

    Parameters
    ----------
    atoms : ase.Atoms
    cells : numpy.ndarray of int, shape (3, 3)
        The larger cell's vectors in those of a primitive cell.
    cell : numpy.ndarray, shape (3, 3)
        The larger cell, A.

    Returns
    -------
    ase.Atoms
    """
    atoms = atoms.copy()
    atoms.set_cell(np.linalg.solve(cells, cell))
    if abs(round(np.linalg.det(cells))) > 1:
        from ase.build import make_supercell

        atoms = make_supercell(atoms, cells)
    atoms.set_cell(cell)
    return atoms


def without_images(atoms: Atoms) -> Atoms:
    """Leave out what stands where the cell repeats another atom of the same type."""
    cell, inverse = atoms.cell.array, np.linalg.inv(atoms.cell.array)
    fractions = atoms.positions @ inverse
    names = np.array(species_of(atoms))
    is_kept = np.ones(len(atoms), dtype=bool)
    suspects = _close_ones(fractions, SAME_PLACE * np.linalg.norm(inverse, axis=0), atoms.pbc)
    for k, i in enumerate(suspects):
        others = [j for j in suspects[:k] if is_kept[j] and names[j] == names[i]]
        step = fractions[others] - fractions[i]
        step -= np.where(atoms.pbc, np.round(step), 0.0)
        is_kept[i] = not (np.linalg.norm(step @ cell, axis=1) <= SAME_PLACE).any()
    return atoms[is_kept]


def _close_ones(fractions: Floats, reach: Floats, pbc: Booleans) -> Integers:
    """Indices of the points that may have another one within reach along each axis."""
    n_bins = np.maximum(np.floor(0.4 / reach), 1.0)
    is_close = np.zeros(len(fractions), dtype=bool)
    # what is less than half a bin apart is in one bin, or in one of the bins half a bin further
    for shift in product((0.0, 0.5), repeat=3):
        bins = np.floor(fractions * n_bins + shift)
        bins = np.where(pbc, bins % n_bins, bins)
        _, which, counts = np.unique(bins, axis=0, return_inverse=True, return_counts=True)
        is_close |= counts[which.ravel()] > 1
    return np.flatnonzero(is_close)
