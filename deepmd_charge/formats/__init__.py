# SPDX-License-Identifier: LGPL-3.0-or-later
"""Density files: one module a layout, found by name or by file name.

A module has ``read(path, kind, species) -> Density`` and, where it can,
``write(path, density, kind)``, where ``kind`` is the name of the format, and
``check(path, density)``, which refuses what the format cannot hold. Names of
files that end in .gz or .xz are compressed.
"""

import os
import warnings
from fnmatch import fnmatchcase
from importlib import import_module
from typing import NamedTuple

from ..errors import ChargeError, ElectronCountWarning
from ..output import check_output
from ._text import COMPRESSIONS

__all__ = [
    "FORMATS",
    "check_holds",
    "check_writable",
    "format_of",
    "holds",
    "is_valence_density",
    "read_density",
    "write_density",
]

# An integral this far (electrons) from a whole number earns a warning, one this
# far (as a fraction) above the sum of atomic numbers an error.
INTEGRAL_TOLERANCE = 0.01
NUCLEI_TOLERANCE = 1e-3


class Format(NamedTuple):
    """Where a format is read, and what files have it."""

    module: str
    patterns: tuple  # of file names without compression suffix, in capitals
    other: str = ""  # what it holds in place of a charge density


# The first pattern that fits decides.
FORMATS = {
    "cube": Format("cube", ("*.CUBE", "*.CUB")),
    "xsf": Format("xsf", ("*.XSF",)),
    "vasp/h5": Format("vaspwave", ("*.H5", "*.HDF5")),
    "vasp/locpot": Format("chgcar", ("*LOCPOT*",), "a potential"),
    "vasp/elfcar": Format("chgcar", ("*ELFCAR*",), "an electron localisation function"),
    "vasp/aeccar0": Format("chgcar", ("*AECCAR0*",)),
    "vasp/aeccar1": Format("chgcar", ("*AECCAR1*",)),
    "vasp/aeccar2": Format("chgcar", ("*AECCAR2*",)),
    "vasp/parchg": Format("chgcar", ("*PARCHG*",)),
    "vasp/chgcar": Format("chgcar", ("*CHGCAR*", "CHG", "CHG[._-]*", "*[._-]CHG")),
}
_OTHER_COMPRESSIONS = (".bz2", ".zst", ".zip", ".z", ".lz4", ".7z")
_NAMES = "CHGCAR_..., NAME.cube or NAME.xsf"


def read_density(path, format=None, species=None, check=True):
    """Read a charge density.

    Parameters
    ----------
    path : str or os.PathLike
        File, plain or compressed (.gz, .xz).
    format : str, optional
        Name of a format; found from the file's name by default. A LOCPOT or
        ELFCAR is read only where its format is given: it is no density.
    species : sequence of str, optional
        Names of atom types, one for each group of like atoms (as in the header
        of a CHGCAR), or one for each atom: "Fe1", "Fe2", "O" for the
        sublattices of an antiferromagnet. They also name the elements of a
        CHGCAR of VASP 4.
    check : bool, optional
        Refuse what cannot be an electron density by its integral.

    Returns
    -------
    Density
        In e/A^3, with ``kind`` the name of the format.

    Raises
    ------
    ChargeError
        If the file cannot be read or is not what its format asks for, or if
        `check` and the integral is not positive, or above the sum of the atomic
        numbers.

    Warns
    -----
    ElectronCountWarning
        If `check` and the integral is not a whole number of electrons.
    """
    format = format_of(path, format)
    density = _module(format).read(path, format, species)
    if check and not FORMATS[format].other:
        _check_electrons(density, os.fspath(path))
    return density


def write_density(path, density, format=None):
    """Write a charge density; the file appears when it is complete.

    Parameters
    ----------
    path : str or os.PathLike
        File; .gz and .xz compress.
    density : Density
        In e/A^3.
    format : str, optional
        Name of a format; found from the file's name by default. What was read
        from a LOCPOT or ELFCAR is written as one, or with its values as they
        are to the formats without a name for what they hold.

    Raises
    ------
    ChargeError
        If the file cannot be written or the format cannot hold the density.

    Warns
    -----
    UserWarning
        If the density has spin grids and the format has no place for them.
    """
    format = _writable(path, format, density.kind)
    if density.extra.get("spin") and FORMATS[format].module != "chgcar":
        warnings.warn(
            f"{os.fspath(path)}: holds the total density only, the magnetisation is left out",
            stacklevel=2,
        )
    _module(format).write(path, density, format)


def check_writable(path, format=None, kind=""):
    """Refuse, before any work is done, a density file that cannot be written.

    Parameters
    ----------
    path : str or os.PathLike
    format : str, optional
        As for :func:`write_density`.
    kind : str, optional
        That of the density.

    Raises
    ------
    ChargeError
        If the folder does not take it, or its name stands for no format that
        can be written.
    """
    check_output(path)
    _writable(path, format, kind)


def check_holds(path, density, format=None):
    """Refuse, before any work is done, a density that a format cannot hold.

    Parameters
    ----------
    path : str or os.PathLike
    density : Density
        With whatever values: what counts are its atoms and its grid.
    format : str, optional
        As for :func:`write_density`.

    Raises
    ------
    ChargeError
        If the format has no place for the atoms, their periodicity or the origin.
    """
    _module(_writable(path, format)).check(os.fspath(path), density)


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
        If the name says nothing, or says that the file is no charge density,
        or the format does not exist.
    """
    path = os.fspath(path)
    if format is not None and format not in FORMATS:
        raise ChargeError(f"{path}: unknown format {format!r}: give one of {', '.join(FORMATS)}")
    found = _by_name(path)
    if found and FORMATS[found].other and format in (None, "vasp/chgcar"):
        raise ChargeError(
            f"{path}: by its name {FORMATS[found].other}, not a charge density: give a CHGCAR"
            f" (or its format, {found}, to handle it as it is)"
        )
    if format or found:
        return format or found
    raise ChargeError(
        f"{path}: the name does not tell the format: call it {_NAMES}, or give its format"
        f" ({', '.join(FORMATS)})"
    )


def holds(kind):
    """What something of a kind is in place of a charge density, or an empty text."""
    format = kind.partition(":")[0]
    return FORMATS[format].other if format in FORMATS else ""


def is_valence_density(density):
    """Whether the integral of a density can be a number of valence electrons."""
    return _is_valence(density.n_electrons, density)


def _is_valence(electrons, density):
    protons = int(density.atoms.numbers.sum())
    return bool(0 < electrons <= protons * (1 + NUCLEI_TOLERANCE))


def _by_name(path):
    stem, suffix = os.path.splitext(os.path.basename(path).upper())
    if suffix.lower() in _OTHER_COMPRESSIONS:
        raise ChargeError(f"{path}: only .gz and .xz are known compressions: use one")
    name = stem if suffix.lower() in COMPRESSIONS else stem + suffix
    for key, entry in FORMATS.items():
        if any(fnmatchcase(name, pattern) for pattern in entry.patterns):
            return key
    return None


def _writable(path, format, kind=""):
    if other := holds(kind):
        own = kind.partition(":")[0]
        format = format or _by_name(os.fspath(path))
        if format is None or (format != own and FORMATS[format].module == FORMATS[own].module):
            name = own.removeprefix("vasp/").upper()
            raise ChargeError(
                f"{os.fspath(path)}: not a name for {other}:"
                f" call it {name}_..., NAME.cube or NAME.xsf"
            )
    format = format_of(path, format)
    if not hasattr(_module(format), "write"):
        raise ChargeError(f"{os.fspath(path)}: {format} can only be read: call it {_NAMES}")
    return format


def _module(format):
    return import_module(f".{FORMATS[format].module}", __name__)


def _check_electrons(density, path):
    """Refuse what cannot be an electron density; wonder at odd counts."""
    electrons = density.n_electrons
    if not _is_valence(electrons, density):
        raise ChargeError(
            f"{path}: not a charge density: it integrates to {electrons:.6g} electrons, where"
            f" {density.atoms.get_chemical_formula()} has between 0 and"
            f" {density.atoms.numbers.sum()}: give a CHGCAR (or take it unchecked)"
        )
    if abs(electrons - round(electrons)) > INTEGRAL_TOLERANCE:
        warnings.warn(
            f"{path}: the density integrates to {electrons:.6g} electrons, not a whole number",
            ElectronCountWarning,
            stacklevel=3,
        )
