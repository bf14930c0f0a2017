# SPDX-License-Identifier: LGPL-3.0-or-later
"""Names of predicted files, and how they are best written."""

from __future__ import annotations

import os
from typing import Literal

from ..errors import ChargeError
from ..typing import PathLike
from .formats import FORMATS, format_of
from .text.reader import COMPRESSIONS

__all__ = ["deviation_file", "labelled", "memory_order"]


def labelled(path: PathLike, label: str) -> str:
    """Name a file that belongs to a density file.

    Parameters
    ----------
    path : str or os.PathLike
        The density file.
    label : str
        What sets the new one apart.

    Returns
    -------
    str
        With the label before the ending, ``CHGCAR_std``, ``Si_std.cube.gz``,
        or in front, ``std_Si_CHG``, where the ending has to stay.
    """
    path = os.fspath(path).rstrip(os.sep)  # the format may be that of a folder
    stem, compression = _parted(path)
    stem, ending = os.path.splitext(stem)
    name = f"{stem}_{label}{ending}{compression}"
    try:
        if format_of(name) == format_of(path):
            return name
    except ChargeError:
        pass
    folder, name = os.path.split(path)
    return os.path.join(folder, f"{label}_{name}")


def _parted(path: str) -> tuple[str, str]:
    """Name without the ending that tells the compression, and that ending."""
    stem, ending = os.path.splitext(path)
    return (stem, ending) if ending.lower() in COMPRESSIONS else (path, "")


def deviation_file(path: PathLike) -> str:
    """Name the file of the deviation of several models, beside that of their mean.

    A cube where the format of the density has no place for other fields.
    """
    if not FORMATS[format_of(path)].has_quantity:
        stem, compression = _parted(os.path.normpath(path))
        path = f"{os.path.splitext(stem)[0]}.cube{compression}"
    return labelled(path, "std")


def memory_order(path: PathLike) -> Literal["C", "F"]:
    """Order of values in memory, "C" or "F", in which a file is written from end to end."""
    return FORMATS[format_of(path)].order
