# SPDX-License-Identifier: LGPL-3.0-or-later
"""The structures in a file, one after the other."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator, Sequence
from itertools import chain, count, islice
from typing import TYPE_CHECKING, Any, cast

import numpy as np

from ..atoms.sound import check_sites
from ..atoms.species import name_species
from ..errors import ChargeError
from ..typing import Floats, PathLike
from ._groups import group_counts
from .density_files import iterate_densities
from .formats import format_of
from .frames import choose_frames, is_one_frame, no_such_frames, split_frames

if TYPE_CHECKING:
    from ase import Atoms

_DUMP = "lammps-dump-text"
# Columns of a LAMMPS dump from which ase knows elements.
_NAMING_COLUMNS = {"element", "mass"}
_PLACES = "x", "xs", "xu", "xsu"  # and places, the first that is there


def iterate_structures(
    path: PathLike, frames: str | None = None, species: Sequence[str] | None = None
) -> Iterator[tuple[int | None, Atoms, Floats]]:
    """Read the structures of a file one at a time.

    Parameters
    ----------
    path : str or os.PathLike
        Any file that ase reads, or a density file.
    frames : str, optional
        Frames as ase spells them; all by default.
    species : list of str, optional
        Elements of the types of a LAMMPS dump; of other files see
        :func:`deepmd_charge.atoms.species.name_species`.

    Yields
    ------
    frame : int or None
        Number of the frame, from 0; None where the file has one frame, or one
        was asked for.
    atoms : ase.Atoms
    origin : np.ndarray
        (3,) where a grid of its cell is to begin, A: zero, but for molecules, wires
        and slabs from density files, which are in the box there, and, along open axes,
        where a file (a LAMMPS dump) says that the box begins elsewhere.

    Raises
    ------
    ChargeError
        When the file, or a frame of it, cannot be read, or is not there.
    """
    path = os.fspath(path)
    if _is_density(path):
        path = path if frames is None else f"{path}@{frames}"
        for _, density in iterate_densities(path, species=species, check=False):
            number = None if is_one_frame(frames) else density.extra.get("frame")
            corner = np.zeros(3) if density.atoms.pbc.all() else density.origin
            yield number, density.atoms, corner
        return
    is_dump = _is_dump(path)
    columns = _columns(path) if is_dump else []
    options = _dump_options(path, columns, species) if is_dump else {}
    # ase counts fractions from zero, wherever the box begins
    has_fractions = next((name for name in _PLACES if name in columns), "").startswith("xs")
    names = None if is_dump else species
    counts = None if names is None else group_counts(path)
    for number, atoms in _chosen(path, frames, options):
        if is_dump and species is not None:
            _check_named(path, atoms, species)
        name_species(path, atoms, names, counts)
        try:
            check_sites(atoms)
        except ChargeError as error:
            raise ChargeError(f"{path}: {error}") from None
        yield number, atoms, np.zeros(3) if has_fractions else _corner(atoms)


def read_structure(path: PathLike, species: Sequence[str] | None = None) -> tuple[Atoms, Floats]:
    """Read one structure.

    Parameters
    ----------
    path : str or os.PathLike
        Any file that ase reads (``file@3`` picks a frame, the last is the
        default) or a density file.
    species : list of str, optional
        See :func:`iterate_structures`.

    Returns
    -------
    atoms : ase.Atoms
    origin : np.ndarray
        (3,) where a grid of its cell is to begin, A.

    Raises
    ------
    ChargeError
        When the file cannot be read.
    """
    file, frames = split_frames(path)
    meant = "-1" if frames is None else frames
    last = deque(iterate_structures(file, meant, species), maxlen=1)
    if not last:
        raise ChargeError(f"{path}: there are no such frames in this file")
    _, atoms, origin = last[0]
    return atoms, origin


def _corner(atoms: Atoms) -> Floats:
    """Where the box begins along open axes; along periodic ones that is of no account."""
    shift = np.ravel(atoms.get_celldisp())
    if atoms.cell.rank < 3 or not shift.any():
        return np.zeros(3)
    cell = atoms.cell.array
    corner: Floats = np.where(atoms.pbc, 0.0, np.linalg.solve(cell.T, shift)) @ cell
    return corner


def _chosen(
    path: str, frames: str | None, options: dict[str, Any]
) -> Iterator[tuple[int | None, Atoms]]:
    """Yield number, where there are several, and structure of the frames that are meant."""
    if frames is None:
        numbered = _read_all(path, options)
        first = list(islice(numbered, 2))
        several = len(first) > 1
        for number, atoms in chain(first, numbered):
            yield number if several else None, atoms
    elif is_one_frame(frames):
        yield None, _read_one(path, frames, options)
    else:
        chosen = choose_frames(path, frames, lambda: _count(path, options))
        yield from islice(_read_all(path, options), chosen.start, chosen.stop, chosen.step)


def _is_density(path: str) -> bool:
    try:
        format_of(path)
    except ChargeError:
        return False
    return True


def _read_all(path: str, options: dict[str, Any]) -> Iterator[tuple[int, Atoms]]:
    """Yield number and structure of all frames."""
    from ase.io import iread

    # rank 0 of an MPI run reads alone
    frames = iread(path, ":", parallel=False, do_not_split_by_at_sign=True, **options)
    for number in count():
        try:
            atoms = next(frames, None)
        except Exception as error:  # ase's readers raise all kinds
            raise _unreadable(path, f"frame {number}", options, error) from error
        if atoms is None:
            if not number:
                raise ChargeError(f"{path}: there are no structures in this file")
            return
        yield number, atoms


def _count(path: str, options: dict[str, Any]) -> int:
    return sum(1 for _ in _read_all(path, options))


def _read_one(path: str, frame: str, options: dict[str, Any]) -> Atoms:
    from ase.io import read

    number = int(frame)
    # ase takes the first of a file with fewer frames than are counted from its end
    if number < -1 and -number > (n := _count(path, options)):
        raise no_such_frames(path, frame, n)
    try:
        atoms = read(path, number, parallel=False, do_not_split_by_at_sign=True, **options)
    except Exception as error:  # as above, and all kinds where there is no such frame
        if number >= (n := _count(path, options)):
            raise no_such_frames(path, frame, n) from error
        raise _unreadable(path, f"frame {number}", options, error) from error
    return cast("Atoms", atoms)  # of slices, and of these alone, ase makes lists


def _unreadable(path: str, frame: str, options: dict[str, Any], error: Exception) -> Exception:
    if isinstance(error, OSError) and error.filename:
        return error  # of the system, which names the file
    if os.path.isdir(path):
        return ChargeError(f"{path}: is a folder: give the file, or prefix.save, in it")
    if options and isinstance(error, IndexError):
        return ChargeError(f"{path}: {frame} has more atom types than --species has elements")
    if type(error).__name__ == "UnknownFileTypeError":
        return ChargeError(
            f"{path}: ase cannot read a structure from this file, for neither its name nor its"
            " first lines tell what it is: call a POSCAR POSCAR_... or NAME.vasp, or give an"
            " extxyz, cif, ..."
        )
    reason = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    return ChargeError(
        f"{path}: ase cannot read a structure from this file ({frame}: {reason}); "
        "give a POSCAR, extxyz, cif, ..."
    )


def _is_dump(path: str) -> bool:
    from ase.io.formats import UnknownFileTypeError, filetype

    try:
        return filetype(path) == _DUMP
    except UnknownFileTypeError:
        return False  # the reader will complain


def _dump_options(path: str, columns: list[str], species: Sequence[str] | None) -> dict[str, Any]:
    """What ase must be told to read a LAMMPS dump: its elements."""
    from ase.data import atomic_numbers

    if species is not None:
        if unknown := [name for name in species if name not in atomic_numbers]:
            raise ChargeError(f"--species: {unknown[0]} is no element; give symbols such as Si")
        return {"specorder": species}
    if columns and _NAMING_COLUMNS.isdisjoint(columns):
        raise ChargeError(
            f"{path}: this LAMMPS dump has numbers for elements; give --species, the elements of "
            "type 1, 2, ..."
        )
    return {}


def _columns(path: str) -> list[str]:
    """Names of the columns of a LAMMPS dump; none where it is cut short."""
    from ase.io.formats import open_with_compression

    with open_with_compression(path, "r") as file:
        for line in file:
            if line.startswith("ITEM: ATOMS"):
                return line.split()[2:]
    return []  # the reader will complain


def _check_named(path: str, atoms: Atoms, species: Sequence[str]) -> None:
    """Refuse names of types that are not the elements of a LAMMPS dump, whose own ase takes."""
    types = atoms.arrays.get("type", [None] * len(atoms))
    for name, number in set(zip(atoms.symbols, types, strict=True)):
        if name not in (species if number is None else species[number - 1 : number]):
            what = "an atom" if number is None else f"an atom of type {number}"
            raise ChargeError(
                f"{path}: --species {' '.join(species)} is not what this LAMMPS dump says, in"
                f" which {what} is {name}: leave --species out, or name its types so"
            )
