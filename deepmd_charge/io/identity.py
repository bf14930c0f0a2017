# SPDX-License-Identifier: LGPL-3.0-or-later
"""What tells that a density file is still the one that was read, without reading it."""

from __future__ import annotations

import os
from typing import Any

from ..errors import ChargeError
from ..typing import PathLike
from .formats import FORMATS, format_of
from .frames import split_frames

__all__ = ["identity"]


def identity(path: PathLike, format: str | None = None) -> list[Any]:
    """Sizes and times of all files that are read for a density.

    Those of a folder tell nothing: it stays as old as it is where a file in it is overwritten.

    Parameters
    ----------
    path : str or os.PathLike
        File, or frames of one.
    format : str, optional
        As for :func:`deepmd_charge.read_density`.

    Returns
    -------
    list
        In JSON's types: the path, then name, size (bytes) and time (ns) of each file; of what
        cannot be read only the path.
    """
    path = os.fspath(path)
    file, _ = split_frames(path)
    try:
        entry = FORMATS[format_of(file, format)]
        files = entry.functions.files_of(file) if entry.belongs_to_run else [file]
        stats = [(name, os.stat(name)) for name in files]
    except (OSError, ChargeError):
        return [path]
    return [path, *([name, found.st_size, found.st_mtime_ns] for name, found in stats)]
