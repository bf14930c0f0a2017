# SPDX-License-Identifier: LGPL-3.0-or-later
"""Density files: one module a format, found by name or by file name.

A format is a module with ``read(path) -> Density`` and
``write(path, density)``. It may have ``check_name(path)``, which refuses names
that stand for something else, and ``ORDER``, the memory order in which it
reads through values fastest (C by default). Names that end in .gz or .xz are
compressed.
"""

import os
from fnmatch import fnmatchcase
from importlib import import_module

from ..errors import ChargeError
from ..output import check_output
from ._text import COMPRESSIONS

__all__ = [
    "FORMATS",
    "check_writable",
    "format_of",
    "labelled",
    "order_of",
    "read_density",
    "write_density",
]

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


def check_writable(path, format=None):
    """Refuse, before any work is done, a file that no density can be written to.

    Parameters
    ----------
    path : str or os.PathLike
        File to write.
    format : str, optional
        Name of a format; found from the file's name by default.

    Raises
    ------
    ChargeError
        If the folder is missing or not writable, or the name is unfit.
    """
    check_output(path)
    module = _module(path, format)
    if hasattr(module, "check_name"):
        module.check_name(path)


def order_of(path, format=None):
    """Memory order, "C" or "F", of the values that a file is written from fastest."""
    return getattr(_module(path, format), "ORDER", "C")


def labelled(path, label):
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
        With the label before the ending: ``CHGCAR_std``, ``Si_std.CHGCAR.gz``.
    """
    stem, compression = os.path.splitext(os.fspath(path))
    if compression.lower() not in COMPRESSIONS:
        stem, compression = os.fspath(path), ""
    stem, ending = os.path.splitext(stem)
    return f"{stem}_{label}{ending}{compression}"


def _module(path, format):
    return import_module(f".{FORMATS[format_of(path, format)][0]}", __name__)
