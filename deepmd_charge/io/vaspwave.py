# SPDX-License-Identifier: LGPL-3.0-or-later
"""VASP's vaspwave.h5, which holds the density since VASP 6 (LCHARGH5 = .TRUE.).

``charge/charge`` has the shape (blocks, nz, ny, nx) and the blocks and units of
a CHGCAR: total density times volume, then the magnetisation or its three
components. ``charge/aug_occupancies_s01`` are the augmentation occupancies of the
first block, a row for each atom, of which so many values count as
``charge/aug_occupancies_ions_s01`` says. The structure lies in the same file. VASP does
not document this layout; it is that of its own py4vasp and of pymatgen.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BufferedIOBase
from types import EllipsisType
from typing import IO, TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ..atoms.species import name_species
from ..errors import ChargeError
from ..grid.density import Density
from ..grid.quantity import compose_kind, split_kind
from ..typing import Floats, Integers, PathLike
from .foreign import Group, explain_hdf5
from .paw import format_occupancies
from .poscar import element_of_label, scaled
from .text.reader import COMPRESSIONS, MOST_EXPANSION, open_binary, suffix_of
from .verdict.declared import UNDECLARED, Declared

if TYPE_CHECKING:
    from ase import Atoms

Dataset: TypeAlias = Any  # of h5py, which has no hints

# Where a structure may be: with the density, or in a vaspout.h5 those of the end and the
# start of a run.
_START = "input/poscar"
_OF_RUN = "results/positions", _START
_STRUCTURES = "structure/positions", "locpot/position", *_OF_RUN
_STEPS = "intermediate/ion_dynamics"
_SAME = 1e-4  # A, of positions


def read(path: PathLike, kind: str = "vasp/h5", declared: Declared = UNDECLARED) -> Density:
    """Read the charge density of a vaspwave.h5.

    Parameters
    ----------
    path : str or os.PathLike
        File; a compressed one is decompressed to a temporary one.
    kind : str
        Becomes the density's kind.
    declared : Declared
        What the user says of the file.

    Returns
    -------
    Density
        In e/A^3. ``extra`` holds "spin" and "augmentation", as for a CHGCAR, and "notes".

    Raises
    ------
    ChargeError
        If the file cannot be read or lacks density or structure.
    """
    import h5py

    path = os.fspath(path)
    try:
        with _unpacked(path) as source, h5py.File(source, "r") as file:
            return _read(path, file, kind, declared)
    except ChargeError:
        raise
    except Exception as error:  # HDF5 and h5py have any of them for a damaged file
        reason = getattr(error, "strerror", None) or next(iter(error.args), type(error).__name__)
        raise ChargeError(f"{path}: cannot be read: {' '.join(str(reason).split())}") from None


@contextmanager
def _unpacked(path: str) -> Iterator[BufferedIOBase | IO[bytes]]:
    """A file, or a temporary one with what a compressed one holds, open."""
    with open_binary(path) as file:
        if suffix_of(path) not in COMPRESSIONS:
            yield file
            return
        with tempfile.TemporaryFile() as unpacked:
            shutil.copyfileobj(file, unpacked)
            yield unpacked


def _read(path: str, file: Group, kind: str, declared: Declared) -> Density:
    import h5py

    if not isinstance(file.get("charge/charge"), h5py.Dataset):
        raise ChargeError(f"{path}: {explain_hdf5(file)}")
    charge = _dataset(file, "charge/charge")
    shape = charge.shape
    if len(shape) != 4 or shape[0] not in (1, 2, 4) or not charge.size or charge.dtype.kind != "f":
        raise ChargeError(f"{path}: charge/charge is no grid of 1, 2 or 4 densities: {shape}")
    if "charge/grid" in file and _whole_numbers(file, "charge/grid").tolist() != [*shape[:0:-1]]:
        raise ChargeError(f"{path}: charge/grid is not that of charge/charge, {[*shape[:0:-1]]}")
    atoms, notes = _read_atoms(path, file, declared.species)
    quantity = declared.quantity or split_kind(kind)[1]
    divisor = declared.divisor(quantity, "e", atoms.get_volume())
    blocks = []
    for i in range(shape[0]):
        block = np.empty(shape[1:])
        charge.read_direct(block, np.s_[i])
        block /= divisor
        if not np.isfinite(block).all():
            raise ChargeError(f"{path}: some values are not finite: compute the file again")
        blocks.append(block.T)
    texts = [_read_occupancies(path, file, i + 1, len(atoms)) for i in range(shape[0])]
    extra = {"spin": blocks[1:], "augmentation": texts, "notes": notes}
    return Density(atoms, blocks[0], kind=compose_kind(kind, quantity), extra=extra)


def _dataset(group: Group, name: str) -> Dataset:
    """A dataset, no larger than what the file has of it can be."""
    data = group[name]
    stored = data.id.get_storage_size()
    if data.nbytes > MOST_EXPANSION[".gz"] * stored:
        raise ValueError(f"{name} holds {stored} bytes, too few for {data.shape}")
    return data


def _whole_numbers(group: Group, name: str) -> Integers:
    numbers = np.ravel(_dataset(group, name)[()])
    if numbers.dtype.kind not in "iu":
        raise ValueError(f"{name}: no whole numbers")
    return numbers.astype(int)


def _read_occupancies(path: str, file: Group, block: int, n_atoms: int) -> str:
    """Text of the augmentation occupancies of a block, as in a CHGCAR; empty if there are none."""
    rows_name, lengths_name = (f"charge/aug_occupancies_{x}s{block:02d}" for x in ("", "ions_"))
    if rows_name not in file and lengths_name not in file:
        return ""
    try:
        rows = np.array(_dataset(file, rows_name), dtype=float)
        lengths = _whole_numbers(file, lengths_name)
        if rows.ndim != 2 or not len(rows) == len(lengths) == n_atoms:
            raise ValueError(f"rows {rows.shape} and {len(lengths)} lengths for {n_atoms} atoms")
        if lengths.min() < 0 or lengths.max() > rows.shape[1]:
            raise ValueError(f"a length that is not within the rows of {rows.shape[1]}")
        if not np.isfinite(rows).all():
            raise ValueError("values that are not finite")
        padding = rows[np.arange(rows.shape[1]) >= lengths[:, None]]
        if padding.any():
            raise ValueError("rows that go on where their lengths say that they end")
    except (KeyError, ValueError, TypeError, AttributeError) as error:
        reason = " ".join(str(error).split())[:150]
        raise ChargeError(f"{path}: {rows_name} and {lengths_name}: damaged: {reason}") from None
    if not lengths.any():
        return ""
    return format_occupancies([row[:length] for row, length in zip(rows, lengths, strict=True)])


def _read_atoms(path: str, file: Group, species: Sequence[str] | None) -> tuple[Atoms, list[str]]:
    """Atoms, and notes on what the file leaves open about them."""
    from ase import Atoms

    name = next((name for name in _STRUCTURES if f"{name}/lattice_vectors" in file), None)
    if name is None:
        raise ChargeError(f"{path}: there is no structure in this file")
    group, notes = file[name], []
    try:
        scale = _dataset(group, "scale")[()] if "scale" in group else 1.0
        scale = np.ravel(scale).astype(float)
        cell, positions = _read_geometry(group, scale)
        if name in _OF_RUN and f"{_STEPS}/position_ions" in file:
            last = _read_geometry(file[_STEPS], scale, -1)
            if name == _START:
                cell, positions = last
                notes.append(f"the structure is that of the last step in {_STEPS}")
            elif len(last[1]) != len(positions) or _distance(cell, positions, *last) > _SAME:
                notes.append(f"the structure is that of {name}; the last step in {_STEPS} differs")
        symbols, counts = _read_symbols(group, len(positions))
    except (KeyError, ValueError, TypeError, AttributeError, np.linalg.LinAlgError) as error:
        reason = " ".join(str(error).split())[:150]
        raise ChargeError(f"{path}: the structure cannot be read: {reason}") from None
    atoms = Atoms(symbols, scaled_positions=positions, cell=cell, pbc=True)
    name_species(path, atoms, species, counts)
    return atoms, notes


def _read_symbols(group: Group, n_atoms: int) -> tuple[list[str], list[int]]:
    """Element of each atom, and the counts of the groups."""
    labels = np.ravel(_dataset(group, "ion_types")[()]).tolist()
    labels = [label.decode() if isinstance(label, bytes) else str(label) for label in labels]
    counts = _whole_numbers(group, "number_ion_types")
    elements = [element_of_label(label.strip(" \0")) or "" for label in labels]
    if (counts < 1).any() or counts.sum() != n_atoms or len(counts) != len(elements):
        raise ValueError("counts of atoms that do not match")
    if "" in elements:
        raise ValueError(f"an unknown element {labels[elements.index('')][:20]!r}")
    return np.repeat(elements, counts).tolist(), counts.tolist()


def _read_geometry(
    group: Group, scale: Floats, step: int | EllipsisType = ...
) -> tuple[Floats, Floats]:
    """Cell (A) and fractional positions, of one step where there are several."""
    cell = np.array(_dataset(group, "lattice_vectors")[step], dtype=float).reshape(3, 3)
    positions = np.array(_dataset(group, "position_ions")[step], dtype=float).reshape(-1, 3)
    try:
        cell, scale = scaled(cell, scale)
    except ValueError:
        raise ValueError("a cell without volume") from None
    if not (np.isfinite(cell).all() and np.isfinite(positions).all()):
        raise ValueError("a cell or positions that are not finite")
    if "direct_coordinates" in group and not np.ravel(_dataset(group, "direct_coordinates")[()])[0]:
        positions = np.linalg.solve(cell.T, (positions * scale).T).T
    return cell, positions


def _distance(cell: Floats, positions: Floats, other_cell: Floats, others: Floats) -> float:
    """Largest difference of two cells, or of positions in them, A."""
    apart = positions - others
    apart = (apart - np.round(apart)) @ cell
    return float(max(np.abs(cell - other_cell).max(), np.abs(apart).max()))
