# SPDX-License-Identifier: LGPL-3.0-or-later
"""DP systems as DeePMD-kit sees them: folders, or groups of HDF5 files."""

from __future__ import annotations

import os
import zipfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ChargeError
from ..typing import Integers

if TYPE_CHECKING:
    from deepmd.utils.path import DPPath

__all__ = ["TYPES", "StoredSet", "StoredSystem", "evenly", "frames"]

# The types of each frame, where they differ.
TYPES = "real_atom_types"


class StoredSystem:
    """A DP system of which single arrays are read.

    Parameters
    ----------
    path : str
        A folder (``deepmd/npy``, mixed or not), or ``FILE.hdf5#/GROUP``.
    type_map : sequence of str, optional
        Names of the types of a system that has no ``type_map.raw``.

    Attributes
    ----------
    folder : deepmd.utils.path.DPPath
    names : list of str
        Names of its types; empty where nothing tells them.

    Raises
    ------
    ChargeError
        If it, or here and below a part of it, cannot be read.
    """

    def __init__(self, path: str, type_map: Sequence[str] | None = None) -> None:
        from deepmd.utils.path import DPPath

        try:
            self.folder = DPPath(str(path))
        except OSError as error:
            raise ChargeError(f"{path}: cannot be read as a DP system: {error}") from None
        file = self.folder / "type_map.raw"
        if file.is_file():
            self.names: list[str] = _load(file, dtype=str, ndmin=1).tolist()
        else:
            self.names = list(type_map or [])

    @property
    def is_open(self) -> bool:
        """bool: Whether DeePMD-kit takes it for periodic along no axis."""
        return (self.folder / "nopbc").is_file()

    @cached_property
    def is_mixed(self) -> bool:
        """bool: Whether its frames have types of their own."""
        return any((path / f"{TYPES}.npy").is_file() for path in self.folder.glob("set.*"))

    @cached_property
    def types(self) -> Integers:
        """np.ndarray: Types of ``type.raw``, (natoms,): of all frames where they are not mixed."""
        return _load(self.folder / "type.raw", dtype=int, ndmin=1)

    def sets(self) -> list[StoredSet]:
        """Return its sets, ``set.000`` and so on, as :class:`StoredSet`."""
        return [StoredSet(self, path) for path in sorted(self.folder.glob("set.*"))]


class StoredSet:
    """One of the sets of a system; its name in messages is `path`."""

    def __init__(self, system: StoredSystem, path: DPPath) -> None:
        self._system = system
        self.path = path

    def read(self, name: str) -> NDArray[Any]:
        """Array of the frames; see :meth:`find`, but ChargeError where there is none."""
        return _load(self.path / f"{name}.npy")

    def find(self, name: str) -> NDArray[Any] | None:
        """Array ``name.npy``, a row for each frame; None where there is none."""
        return self.read(name) if (self.path / f"{name}.npy").is_file() else None

    def types(self) -> Integers:
        """Types of the atoms, (n_frames, natoms), or (1, natoms) where all frames have the same.

        In a system of mixed types -1 fills up frames of fewer atoms.
        """
        types = self.find(TYPES)
        if types is None:
            return self._system.types[None]
        return np.atleast_2d(types if types.dtype.kind == "i" else types.astype(int))

    def counts(self) -> Integers:
        """Atoms of each of the system's types in each frame, (n_frames, n_types)."""
        types = self.types()
        n = len(self._system.names)
        # one place more for what fills up
        counts = [np.bincount(row + 1, minlength=n + 1)[1 : n + 1] for row in types]
        is_mixed = (self.path / f"{TYPES}.npy").is_file()
        found = np.reshape(counts, (len(types), n)).astype(int)
        return found if is_mixed else np.tile(found, (len(self.read("coord")), 1))


def frames(
    system_dirs: Iterable[str],
    type_map: Sequence[str],
    labels: Iterable[str],
    most: int | None = None,
    known: Sequence[str] | None = None,
    only: Mapping[str, Iterable[int]] | None = None,
) -> Iterator[dict[str, Any]]:
    """Read frames of every set of a training set.

    Parameters
    ----------
    system_dirs : list of str
        As for :class:`StoredSystem`.
    type_map : sequence of str
        Types of the model; those of the systems are translated to it.
    labels : tuple of str
        Atomic labels to read.
    most : int, optional
        Frames of each set, evenly spread; all by default.
    known : sequence of str, optional
        Types by whose places types are numbered, -1 for others; by default those of the model.
    only : dict of str to iterable of int, optional
        Places of the frames to read of each set, by its path.

    Yields
    ------
    dict
        "coord" (natoms, 3), "box" (3, 3), "type" (natoms,), "periodic" (bool),
        "set" (DPPath), "place" (int) in it, and the labels (natoms,). What fills up a frame of a
        system of mixed types is left out.

    Raises
    ------
    ChargeError
        If a file is missing or cannot be read, or a type is not in the type map.
    """
    places = {name: place for place, name in enumerate(known or type_map)}
    for path in system_dirs:
        system = StoredSystem(path, type_map)
        if missing := [name for name in system.names if name not in type_map]:
            raise ChargeError(
                f"{path}: has the type {missing[0]}, which the model's type_map lacks; add it there"
            )
        number = np.array([places.get(name, -1) for name in system.names])
        for part in system.sets():
            types = part.types()
            arrays = {name: part.read(name) for name in ("coord", *labels)}
            n = len(arrays["coord"])
            box = part.find("box")
            box = np.zeros((n, 9)) if box is None else box
            chosen = evenly(n, most) if only is None else only[str(part.path)]
            for k in map(int, chosen):
                row = types[k % len(types)]
                is_there = row >= 0
                yield {
                    **{name: arrays[name][k].reshape(-1)[is_there] for name in labels},
                    "coord": arrays["coord"][k].reshape(-1, 3)[is_there],
                    "box": box[k].reshape(3, 3),
                    "type": number[row[is_there]],
                    "periodic": not system.is_open,
                    "set": part.path,
                    "place": k,
                }


def evenly(n: int, most: int | None) -> Integers:
    """So many places among n, evenly spread, or all."""
    return np.unique(np.linspace(0, n - 1, n if most is None else most).astype(int))


def _load(path: DPPath, **options: Any) -> NDArray[Any]:
    """Load a text file where there are options, or else an array."""
    try:
        if options:
            return path.load_txt(**options)
        if os.path.isfile(str(path)):  # mapped: who wants a few frames reads no others
            return np.asarray(np.load(str(path), mmap_mode="r"))
        return path.load_numpy()
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile) as error:
        reason = getattr(error, "strerror", None) or error
        raise ChargeError(f"{path}: cannot be read as part of a DP system: {reason}") from None
