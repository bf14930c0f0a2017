# SPDX-License-Identifier: LGPL-3.0-or-later
"""A conversion under way, on disk: the frames of every density that is done.

In the hidden folder ``.OUTPUT.partial`` each density file has ``PLACE.json``, what is known of its
densities, and ``PLACE.K.npz``, the frames of the K-th of them. A file is done when its JSON is
there, which is written last, still tells of the same file of the same size and time, and was
read as it would be now: a flag on how files are read that one of them asks for may be added.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ChargeError
from ..io.identity import identity
from ..io.output import replacing
from ..typing import PathLike

__all__ = ["Done", "Piece", "Pieces"]

_ABOUT = "about.json"


@dataclass
class Piece:
    """What is known of the frames of one density; their arrays are on disk.

    Attributes
    ----------
    name : str
        Of the density.
    path : str
        File of the arrays, those of a DP system by their names there.
    types : list of str
        Name of the type of every atom, grid points among them.
    names : list of str
        Names of the types in order of appearance, "X" last.
    n_frames : int
    is_open : bool
        Whether its structure is periodic along no axis.
    notes : str
        What was found out of the density that its format does not say.
    columns : dict of str to tuple
        Names of the arrays, each with the type and width of a row.
    filled : str
        What its frames are filled up with, where no more points are to be drawn.
    superposed : tuple of float, optional
        Electrons of the superposed atomic densities, and of the density.
    superposition : list or dict, optional
        What tells that these atomic densities are still the same.
    """

    name: str
    path: str
    types: list[str]
    names: list[str]
    n_frames: int
    is_open: bool
    notes: str = ""
    filled: str = ""
    columns: dict[str, tuple[str, int]] = field(default_factory=dict)
    superposed: tuple[float, float] | None = None
    superposition: Any = None

    @property
    def composition(self) -> tuple[tuple[str, int], ...]:
        """tuple: Names of its types in alphabetical order, each with the number of atoms."""
        return tuple((name, self.types.count(name)) for name in sorted(self.names))

    def load(self) -> dict[str, NDArray[Any]]:
        """The arrays by their names in a DP system, a row for each frame.

        Raises
        ------
        ChargeError
            If they are damaged.
        """
        try:
            with np.load(self.path) as arrays:
                return dict(arrays)
        except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
            raise ChargeError(f"{self.path}: damaged ({error}); remove its folder") from None


@dataclass
class Done:
    """A file whose densities are all done.

    Attributes
    ----------
    identity : list
        What tells that it is the same file.
    first : int
        Place of its first density among those of all files.
    reading : dict
        How it was read.
    pieces : list of Piece
    warnings : list of tuple of str
        Categories and texts.
    """

    identity: list[Any]
    first: int
    reading: dict[str, Any]
    pieces: list[Piece] = field(default_factory=list)
    warnings: list[tuple[str, str]] = field(default_factory=list)


class Pieces:
    """The densities of several files, in a folder that is kept when a run ends early.

    In a ``with`` statement the folder goes at the end, and an error tells what it keeps.

    Parameters
    ----------
    output : str or os.PathLike
        What the files are to be converted into.
    files : list of str
        Density files.
    settings : dict
        What the frames of all files depend on, in JSON's types.
    reading : dict
        How files are read: arguments of :func:`deepmd_charge.read_density`, in JSON's types.
    entropy : int
        Of the random numbers; `entropy` is that of the run that is gone on with.
    resume : bool
        Go on with a run that ended early, if there is one.

    Raises
    ------
    ChargeError
        If there is an unfinished run with files that are done and `resume` is false, or it
        had other settings; if another process is at work on it.
    """

    def __init__(
        self,
        output: PathLike,
        files: list[str],
        settings: Mapping[str, Any],
        reading: Mapping[str, Any],
        entropy: int,
        resume: bool = False,
    ) -> None:
        output = Path(os.path.abspath(output))
        self.folder = output.with_name(f".{output.name}.partial")
        self.entropy = entropy
        self._reading = _of_json(reading)
        self._identities = [identity(file, reading["format"]) for file in files]
        self._done: dict[int, Done] = {}
        self._lock: IO[str] | None = None
        about = _of_json(settings)
        earlier = self._read(_ABOUT)
        if earlier is not None:
            self._take_lock()
        if self._has_files((earlier or {}).get("settings", {}), about, resume):
            assert earlier is not None  # it has the same settings
            self._find_done()
            self.entropy = int(earlier["entropy"])
            return
        shutil.rmtree(self.folder, ignore_errors=True)
        try:
            self.folder.mkdir()
            self._write(_ABOUT, {"settings": about, "entropy": str(self.entropy)})
        except OSError as error:
            raise ChargeError(f"{self.folder}: cannot be made: {error.strerror}") from None
        self._take_lock()

    def __len__(self) -> int:
        return len(self._done)

    def __enter__(self) -> Pieces:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: Any
    ) -> None:
        if self._lock is not None:
            self._lock.close()
        # of one file there is nothing to go on from
        if error is None or len(self._identities) == 1 or not self._any_done():
            shutil.rmtree(self.folder, ignore_errors=True)
        elif isinstance(error, (ChargeError, KeyboardInterrupt)):
            kept = f"{self.folder} keeps what is done: go on with --resume"
            message = str(error)
            raise type(error)(f"{message}; {kept}" if message else kept) from None

    def get(self, place: int, first: int) -> Done | None:
        """What is done of the file at a place, if all of it and with this place of its first."""
        done = self._done.get(place)
        return done if done is not None and done.first == first else None

    def all(self) -> list[Piece]:
        """All densities, in the order of their files."""
        return [piece for place in sorted(self._done) for piece in self._done[place].pieces]

    def put(
        self,
        place: int,
        first: int,
        densities: Iterator[tuple[Piece, dict[str, NDArray[Any]]]],
        warnings: list[tuple[str, str]],
    ) -> Done:
        """Keep the densities of a file.

        Parameters
        ----------
        place : int
            Of the file.
        first : int
            Place of its first density among those of all files.
        densities : iterator of tuple
            Each, without a path, and its arrays.
        warnings : list of tuple of str
            Categories and texts; may grow while the densities are made.
        """
        done = Done(self._identities[place], first, self._reading)
        # what it tells is not of the arrays to come
        (self.folder / f"{place:06d}.json").unlink(missing_ok=True)
        for k, (piece, arrays) in enumerate(densities):
            piece.path = str(self.folder / f"{place:06d}.{k}.npz")
            piece.columns = {name: (a.dtype.str, a.shape[1]) for name, a in arrays.items()}
            with replacing(piece.path) as temporary, open(temporary, "wb") as file:
                np.savez(file, **arrays)  # type: ignore[arg-type]
            done.pieces.append(piece)
        done.warnings = warnings
        self._write(f"{place:06d}.json", asdict(done))
        self._done[place] = done
        return done

    def _any_done(self) -> bool:
        """Whether there are files that are done, of this run or an earlier one."""
        return any(self.folder.glob("[0-9]*.json"))

    def _has_files(self, earlier: dict[str, Any], about: dict[str, Any], resume: bool) -> bool:
        """Whether an earlier run has done files; refuse to throw them away."""
        if not self._any_done():
            return False
        others = [key for key in about if earlier.get(key) != about[key]]
        unfinished = f"{self.folder}: holds an unfinished conversion"
        if others:
            how = "give" if resume else "go on with --resume and"
            raise ChargeError(
                f"{unfinished} with other {', '.join(others)}; {how} the arguments of then,"
                " or remove this folder"
            )
        if not resume:
            raise ChargeError(f"{unfinished}; go on with --resume, or remove this folder")
        return True

    def _find_done(self) -> None:
        for place, known in enumerate(self._identities):
            found = self._read(f"{place:06d}.json")
            if found is None or found["identity"] != known:
                continue
            if not _reads_the_same(found.get("reading", {}), self._reading):
                continue
            pieces = [Piece(**piece) for piece in found["pieces"]]
            for k, piece in enumerate(pieces):  # the folder may have been moved
                piece.path = str(self.folder / f"{place:06d}.{k}.npz")
            if all(os.path.exists(piece.path) for piece in pieces):
                warnings = [(category, text) for category, text in found["warnings"]]
                self._done[place] = Done(known, found["first"], found["reading"], pieces, warnings)

    def _take_lock(self) -> None:
        """Keep a second run away."""
        self._lock = open(self.folder / _ABOUT)  # noqa: SIM115 (as long as the run)
        try:
            fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ChargeError(f"{self.folder}: another process is at work on this") from None
        except OSError:
            pass  # a file system without locks

    def _read(self, name: str) -> dict[str, Any] | None:
        try:
            found: dict[str, Any] = json.loads((self.folder / name).read_text())
        except (OSError, ValueError):
            return None
        return found

    def _write(self, name: str, content: dict[str, Any]) -> None:
        with replacing(self.folder / name) as temporary:
            temporary.write_text(json.dumps(content))


def _of_json(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values as they are when they have been written and read again."""
    found: dict[str, Any] = json.loads(json.dumps(dict(values)))
    return found


def _reads_the_same(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether what was read with some arguments is the same with others.

    It is without a check that it has passed.
    """
    if now["check"] and earlier.get("check") != now["check"]:
        return False
    return all(key in earlier and earlier[key] == now[key] for key in now if key != "check")
