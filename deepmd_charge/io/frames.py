# SPDX-License-Identifier: LGPL-3.0-or-later
"""Which frames of a file are meant: ``FILE@3``, ``FILE@-1``, ``FILE@::10``, as ase spells them."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable
from typing import TypeGuard

from ..errors import ChargeError
from ..typing import PathLike

__all__ = ["choose_frames", "is_one_frame", "no_such_frames", "split_frames"]

_INTEGER = re.compile(r"[+-]?\d+")
_SLICE = re.compile(r"[+-]?\d*:[+-]?\d*(:[+-]?\d*)?")


def split_frames(path: PathLike, frames: str | None = None) -> tuple[str, str | None]:
    """Part a file's name from the frames that are meant.

    Parameters
    ----------
    path : str or os.PathLike
        File, or ase's ``file@frames``. A file of that very name is no frame of another.
    frames : str, optional
        Frames given apart: ``3``, ``-1``, ``::10``.

    Returns
    -------
    path : str
    frames : str or None

    Raises
    ------
    ChargeError
        When both are given, or make no sense.
    """
    path = os.fspath(path)
    name, at, index = path.rpartition("@")
    if at and "/" not in index and not os.path.exists(path):
        if frames is not None:
            raise ChargeError(f"{path}: frames are given here and by --frames; leave one out")
        if _are_frames(index) or os.path.exists(name):
            path, frames = name, index
    if frames is not None and not _are_frames(frames):
        raise ChargeError(
            f"{path}: {frames!r} are no frames; give a number, or start:stop:step as in Python"
        )
    return path, frames


def is_one_frame(frames: str | None) -> TypeGuard[str]:
    """Whether frames are one by its number."""
    return frames is not None and bool(_INTEGER.fullmatch(frames))


def choose_frames(path: PathLike, frames: str | None, count: Callable[[], int]) -> range:
    """Numbers of the frames that are meant, from 0.

    Parameters
    ----------
    path : str
        File, for complaints.
    frames : str or None
        As :func:`split_frames` returns them; None for all.
    count : callable
        Finds how many frames the file has; called only where frames are counted from its end.

    Returns
    -------
    range
        Ascending; of a slice without an end, to ``sys.maxsize``.

    Raises
    ------
    ChargeError
        When the step is not positive.
    """
    if is_one_frame(frames):
        number = int(frames)
        number += count() if number < 0 else 0
        return range(number, number + 1) if number >= 0 else range(0)
    parts = slice(*(int(part) if part else None for part in (frames or ":").split(":")))
    if parts.step is not None and parts.step < 1:
        raise ChargeError(f"{path}: frames {frames}: give a step of at least 1")
    if min(parts.start or 0, parts.stop or 0) < 0:
        return range(*parts.indices(count()))
    stop = sys.maxsize if parts.stop is None else parts.stop
    return range(parts.start or 0, stop, parts.step or 1)


def no_such_frames(path: PathLike, frames: str | None, count: int) -> ChargeError:
    """Make the ChargeError of frames that are not among so many."""
    missing = f"is no frame {frames}" if is_one_frame(frames) else f"are no frames {frames}"
    return ChargeError(f"{path}: there {missing} in this file, which has {count}: count from 0")


def _are_frames(index: str) -> bool:
    return bool(_INTEGER.fullmatch(index) or _SLICE.fullmatch(index))
