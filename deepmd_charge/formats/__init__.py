# SPDX-License-Identifier: LGPL-3.0-or-later
"""Density files: one module a format, found by name or by file name.

A format is a module with ``read(path) -> Density`` and
``write(path, density)``. Names that end in .gz or .xz are compressed.
"""

import os
from fnmatch import fnmatchcase
from importlib import import_module

from ..errors import ChargeError
from ._text import COMPRESSIONS

__all__ = ["FORMATS", "format_of", "read_density", "write_density"]

# format name -> (module, file names without compression suffix, in capitals)
FORMATS = {
    # The same layout under other names is refused by that module, with the reason.
    "vasp/chgcar": (
        "chgcar",
        ("*CHGCAR*", "CHG", "CHG[._-]*", "*[._-]CHG", "*LOCPOT*", "*ELFCAR*"),
    ),
}
_OTHER_COMPRESSIONS = (".bz2", ".zst", ".zip", ".z", ".lz4", ".7z")


def read_density(path, format=None):
    """Read a charge density.

    Parameters
    ----------
    path : str or os.PathLike
        File, plain or compressed (.gz, .xz).
    format : str, optional
        Name of a format; found from the file's name by default.

    Returns
    -------
    Density
        In e/A^3, with ``kind`` the name of the format.

    Raises
    ------
    ChargeError
        If the file cannot be read or is not what its format asks for.
    """
    return _module(path, format).read(path)


def write_density(path, density, format=None):
    """Write a charge density; the file appears when it is complete.

    Parameters
    ----------
    path : str or os.PathLike
        File; .gz and .xz compress.
    density : Density
        In e/A^3.
    format : str, optional
        Name of a format; found from the file's name by default.

    Raises
    ------
    ChargeError
        If the file cannot be written or the format cannot hold the density.
    """
    _module(path, format).write(path, density)


def format_of(path, format=None):
    """Find the format of a file by its name.

    Parameters
    ----------
    path : str or os.PathLike
        File; it need not exist.
    format : str, optional
        A format's name, to be checked instead of guessed.

    Returns
    -------
    str
        Key of ``FORMATS``.

    Raises
    ------
    ChargeError
        If the name says nothing or the format does not exist.
    """
    known = ", ".join(FORMATS)
    if format is not None:
        if format not in FORMATS:
            raise ChargeError(f"{os.fspath(path)}: unknown format {format!r}: give one of {known}")
        return format
    stem, suffix = os.path.splitext(os.path.basename(os.fspath(path)).upper())
    if suffix.lower() in _OTHER_COMPRESSIONS:
        raise ChargeError(f"{os.fspath(path)}: only .gz and .xz are known compressions: use one")
    name = stem if suffix.lower() in COMPRESSIONS else stem + suffix
    for key, (_, patterns) in FORMATS.items():
        if any(fnmatchcase(name, pattern) for pattern in patterns):
            return key
    raise ChargeError(
        f"{os.fspath(path)}: the name does not tell the format:"
        f" call it CHGCAR_..., or give format= in Python ({known})"
    )


def _module(path, format):
    return import_module(f".{FORMATS[format_of(path, format)][0]}", __name__)
