# SPDX-License-Identifier: LGPL-3.0-or-later
"""DP systems out of the frames of densities, one density in memory at a time."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..atoms.species import GRID_TYPE, element_of
from ..errors import ChargeError
from ..grid.quantity import split_kind
from ..typing import Integers
from .pieces import Piece

__all__ = ["Written", "hill_formula", "write_mixed_system", "write_system"]

# Arrays with a value, or three, for each atom.
_ATOMIC = {"coord": 3, "density": 1, "saed": 1}
# What densities may lack that others have, and what stands for it.
_OPTIONAL = {"functional": b""}
# Bytes of a set of mixed types: `dp` holds one at a time.
_SET_SIZE = 1 << 30


@dataclass
class Written:
    """A DP system that was written.

    Attributes
    ----------
    folder : Path
    names : list of str
        Its types, "X" last.
    n_frames, n_points, n_compositions : int
    electrons : tuple of float or None
        Fewest and most of a structure, where total densities are learnt.
    kind : str
        Format and quantity of the densities.
    """

    folder: Path
    names: list[str]
    n_frames: int
    n_points: int
    n_compositions: int
    electrons: tuple[float, float] | None
    kind: str


class _Rows:
    """A ``.npy`` file whose rows are written in any order."""

    def __init__(self, path: Path, dtype: np.dtype[Any], shape: tuple[int, int]) -> None:
        self._file = open(path, "wb")  # noqa: SIM115 (closed by close)
        self._dtype, self._width = dtype, dtype.itemsize * shape[1]
        header = {"descr": np.lib.format.dtype_to_descr(dtype), "fortran_order": False}
        np.lib.format.write_array_header_1_0(self._file, {**header, "shape": shape})
        self._start = self._file.tell()

    def put(self, rows: Integers, values: NDArray[Any]) -> None:
        values = np.ascontiguousarray(values, dtype=self._dtype)
        runs = np.split(np.arange(len(rows)), np.nonzero(np.diff(rows) != 1)[0] + 1)
        for run in runs:
            if len(run):
                self._file.seek(self._start + int(rows[run[0]]) * self._width)
                self._file.write(values[run].tobytes())

    def close(self) -> None:
        self._file.close()


def hill_formula(names: Sequence[str]) -> str:
    """Formula of atoms in Hill's order, with all counts, such as "C2H6O1".

    Carbon comes first, then hydrogen, then the other elements by the alphabet; where there is no
    carbon all go by the alphabet. A name that ends with a digit is kept apart from its count, as
    in "Fe1_8Fe2_8".

    Parameters
    ----------
    names : sequence of str
        Type of each atom.
    """
    found = dict.fromkeys(names)
    elements = {name: element_of(name) or name for name in found}
    first = ["C", "H"] if "C" in elements.values() else []

    def order(name: str) -> tuple[int, str, str]:
        element = elements[name]
        return first.index(element) if element in first else len(first), element, name

    def counted(name: str) -> str:
        return f"{name}{'_' if name[-1].isdigit() else ''}{list(names).count(name)}"

    return "".join(map(counted, sorted(found, key=order)))


def write_system(folder: Path, pieces: Sequence[Piece]) -> Written:
    """Write densities of one composition as a DP system of one set.

    Parameters
    ----------
    folder : Path
        To make.
    pieces : list of Piece

    Returns
    -------
    Written

    Raises
    ------
    ChargeError
        If some are total densities and others not, or some have superpositions and others not.
    """
    names = pieces[0].names
    types = _types(pieces[0], names)
    if any((_types(piece, names) != types).any() for piece in pieces):
        types = np.sort(types)  # atoms in the order of their types
    order: dict[str, Integers | None] = {}
    for piece in pieces:
        mine = _types(piece, names)
        order[piece.path] = None if (mine == types).all() else np.argsort(mine, kind="stable")

    rows = np.arange(sum(piece.n_frames for piece in pieces))
    return _write(folder, pieces, names, types, [rows], order)


def write_mixed_system(
    folder: Path, pieces: Sequence[Piece], generator: np.random.Generator
) -> Written:
    """Write densities of any compositions as one DP system of mixed types.

    Frames of fewer atoms are filled up with atoms of type -1 at the end. The frames are in
    random order, so that each set, of at most a gigabyte, holds some of all structures.

    Parameters
    ----------
    folder : Path
        To make.
    pieces : list of Piece
    generator : numpy.random.Generator
        Source of the order.

    Returns
    -------
    Written

    Raises
    ------
    ChargeError
        As for :func:`write_system`.
    """
    found = dict.fromkeys(name for piece in pieces for name in piece.names)
    names = [*(name for name in found if name != GRID_TYPE), GRID_TYPE]
    n_atoms = max(len(piece.types) for piece in pieces)
    n_frames = sum(piece.n_frames for piece in pieces)
    n_sets = math.ceil(n_frames * n_atoms * 8 * sum(_ATOMIC.values()) / _SET_SIZE)
    sets = np.array_split(generator.permutation(n_frames), n_sets)
    return _write(folder, pieces, names, np.zeros(n_atoms, int), sets, None)


def _write(
    folder: Path,
    pieces: Sequence[Piece],
    names: list[str],
    types: Integers,
    sets: Sequence[Integers],
    order: dict[str, Integers | None] | None,
) -> Written:
    """Write a system: frames of sets, by their places; an order of atoms, or mixed types."""
    folder.mkdir(parents=True)
    np.savetxt(folder / "type.raw", types, fmt="%d")
    np.savetxt(folder / "type_map.raw", names, fmt="%s")
    if all(piece.is_open for piece in pieces):
        (folder / "nopbc").touch()
    n_frames = sum(piece.n_frames for piece in pieces)
    # of each frame its set and its row there
    place = np.empty((n_frames, 2), dtype=int)
    for k, frames in enumerate(sets):
        place[frames, 0], place[frames, 1] = k, np.arange(len(frames))
        (folder / f"set.{k:03d}").mkdir()
    columns = _columns(pieces)
    if order is None:
        columns["real_atom_types"] = (np.dtype(np.int64), len(types))
    rows = {
        (k, name): _Rows(
            folder / f"set.{k:03d}" / f"{name}.npy",
            dtype,
            (len(frames), len(types) * _ATOMIC[name] if name in _ATOMIC else width),
        )
        for k, frames in enumerate(sets)
        for name, (dtype, width) in columns.items()
    }
    electrons: list[float] = []
    first = 0
    try:
        for piece in pieces:
            arrays = piece.load()
            of_piece = place[first : first + piece.n_frames]
            first += piece.n_frames
            if order is None:
                missing = len(types) - len(piece.types)
                mine = np.pad(_types(piece, names), (0, missing), constant_values=-1)
                arrays["real_atom_types"] = np.tile(mine, (piece.n_frames, 1))
            for name, (dtype, width) in columns.items():
                values = arrays.get(name)
                if values is None:
                    values = np.full((piece.n_frames, width), _OPTIONAL[name], dtype=dtype)
                if n := _ATOMIC.get(name):
                    by_atom = values.reshape(piece.n_frames, -1, n)
                    if order is None:
                        fill = ((0, 0), (0, len(types) - by_atom.shape[1]), (0, 0))
                        by_atom = np.pad(by_atom, fill)
                    elif (places := order[piece.path]) is not None:
                        by_atom = by_atom[:, places]
                    values = by_atom.reshape(piece.n_frames, -1)
                for k in np.unique(of_piece[:, 0]):
                    is_there = of_piece[:, 0] == k
                    rows[k, name].put(of_piece[is_there, 1], values[is_there])
            electrons += arrays["n_electrons"].ravel().tolist() if "n_electrons" in arrays else []
    finally:
        for file in rows.values():
            file.close()
    quantity = split_kind(arrays["density_kind"].ravel()[0].decode())[1]
    # those that are noted are of the total density, whatever is learnt
    has_electrons = electrons and quantity.is_total
    return Written(
        folder=folder,
        names=names,
        n_frames=n_frames,
        n_points=sum(piece.n_frames * piece.types.count(GRID_TYPE) for piece in pieces),
        n_compositions=len({piece.composition for piece in pieces}),
        electrons=(min(electrons), max(electrons)) if has_electrons else None,
        kind=quantity.description,
    )


def _types(piece: Piece, names: Sequence[str]) -> Integers:
    """Types of the atoms of a density."""
    return np.array([names.index(name) for name in piece.types])


def _columns(pieces: Sequence[Piece]) -> dict[str, tuple[np.dtype[Any], int]]:
    """Types and widths of the arrays of densities, by their names."""
    columns: dict[str, tuple[np.dtype[Any], int]] = {}
    for piece in pieces:
        if columns and (odd := (columns.keys() ^ piece.columns.keys()) - _OPTIONAL.keys()):
            raise ChargeError(
                f"{piece.name}: only one of this and {pieces[0].name} has {', '.join(sorted(odd))};"
                " convert densities of one kind together"
            )
        for name, (dtype, width) in piece.columns.items():
            known = columns[name][0] if name in columns else np.dtype(dtype)
            columns[name] = np.promote_types(known, dtype), width
    return columns
