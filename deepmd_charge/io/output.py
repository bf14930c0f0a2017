# SPDX-License-Identifier: LGPL-3.0-or-later
"""Output files that appear whole under their names, or not at all."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from ..errors import ChargeError
from ..typing import PathLike
from .frames import split_frames


def check_output(path: PathLike) -> None:
    """Refuse, before any work is done, an output file that cannot be written.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    ChargeError
        When the folder is missing or not writable, or `path` is a folder.
    """
    path = Path(path)
    if path.is_dir():
        raise ChargeError(f"{path}: is a folder; give the name of a file to write")
    if not path.parent.is_dir():
        raise ChargeError(f"{path}: there is no folder {path.parent}; make it first")
    if not os.access(path.parent, os.W_OK):
        raise ChargeError(f"{path}: cannot write in the folder {path.parent}")


def check_apart(output: PathLike, inputs: Iterable[PathLike | None]) -> None:
    """Refuse an output file that is one of the inputs, which would be lost.

    A folder, such as prefix.save, is more than the one file that is written into it.

    Parameters
    ----------
    output : str or Path
    inputs : iterable of str, Path or None
        Also one frame of a file, ``CHG@3``.

    Raises
    ------
    ChargeError
        If both names lead to one file.
    """
    if not os.path.isfile(output):
        return
    for path in inputs:
        if not path:
            continue
        file, _ = split_frames(path)
        if os.path.exists(file) and os.path.samefile(output, file):
            raise ChargeError(f"{output}: is read, too; give the output another name")


def lock(file: IO[Any], path: PathLike, what: str) -> None:
    """Keep a second run away from a file, until it is closed.

    Parameters
    ----------
    file : file
        Open for writing.
    path : str or Path
        Its name, for the complaint.
    what : str
        What is being made.

    Raises
    ------
    ChargeError
        If another process has it. A file system without locks keeps nobody away.
    """
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise ChargeError(f"{path}: another process is at work on this {what}") from None
    except OSError:
        pass


def check_new_folder(path: PathLike) -> None:
    """Refuse, before any work is done, a folder that is not empty and cannot be made.

    Parameters
    ----------
    path : str or Path

    Raises
    ------
    ChargeError
        When `path` is a file or a folder that holds something or is not writable, or the
        folder that it is to be in is missing or not writable.
    """
    path = Path(os.path.abspath(path))
    if not path.is_dir():
        check_output(path)
        if path.exists():
            raise ChargeError(f"{path}: is a file; give the name of a new folder")
    elif any(path.iterdir()):
        raise ChargeError(f"{path}: is not empty; give the name of a new folder")
    elif not os.access(path, os.W_OK):
        raise ChargeError(f"{path}: cannot write in this folder")


@contextmanager
def replacing(path: PathLike) -> Iterator[Path]:
    """Write a file under a temporary name and rename it when it is complete.

    Parameters
    ----------
    path : str or Path
        Final name. A file of that name is replaced.

    Yields
    ------
    Path
        Name to write to, in the same folder and with the same ending. After
        an exception it is removed, and `path` is as it was.

    Raises
    ------
    ChargeError
        See :func:`check_output`; also when the disk is full or fails.
    """
    path = Path(path)
    check_output(path)
    temporary = temporary_name(path)
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise ChargeError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: PathLike) -> Iterator[Path]:
    """Fill a folder under a temporary name and rename it when it is complete.

    Parameters
    ----------
    path : str or Path
        Final name, of nothing or of an empty folder.

    Yields
    ------
    Path
        Name of the folder to make and to fill. After an exception it is removed.

    Raises
    ------
    ChargeError
        When the disk is full or fails.
    """
    path = Path(os.path.abspath(path))
    temporary = temporary_name(path)
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise ChargeError(f"{path}: cannot be written: {error.strerror or error}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def temporary_name(path: Path) -> Path:
    """Name beside a path for what is not complete yet, another one in every process."""
    return path.with_name(f".{os.getpid()}.{path.name}")
