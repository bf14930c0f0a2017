# SPDX-License-Identifier: LGPL-3.0-or-later
"""The formats of density files, found by name or by file name.

The module of a format has ``read(path, kind, declared) -> Density``, where ``kind`` is the
name of the format and ``declared`` what the user says of the file
(:class:`deepmd_charge.io.verdict.declared.Declared`); where files may hold several frames
``iterate(path, kind, declared, frames)``, which yields their densities, and
``count_frames(path, declared)``; where it can be written ``write(path, density, kind)`` and
``check(path, atoms, grid)``, which refuses what the format cannot hold, and which ``write``
calls; where a folder may be named, ``output_file(path)``, which finds the file in it. Names of
files that end in .gz or .xz are compressed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from fnmatch import fnmatchcase
from importlib import import_module
from types import ModuleType
from typing import Literal

from ..errors import ChargeError
from ..grid.quantity import split_kind
from ..typing import PathLike
from .foreign import explain_name
from .text.reader import COMPRESSIONS

__all__ = ["FORMATS", "Format", "format_of", "output_file", "writable_format"]


@dataclass(frozen=True)
class Format:
    """What files have a format, and what they can hold.

    Attributes
    ----------
    module : str
        Name of the module that reads it, of this room.
    patterns : tuple of str
        Of file names without compression suffix, in capitals.
    units : tuple of str
        Of values and of lengths, as its programs write them: names of ``VALUES`` and ``LENGTHS``
        in :mod:`deepmd_charge.io.verdict.declared`.
    is_written : bool
        Whether it can be written, too.
    has_quantity : bool
        Whether it says what its values are, a total density, a difference, a potential, ...
    has_spin, has_frames : bool
        Whether there is a place for a magnetisation, and for further structures.
    has_units : bool
        Whether the unit of lengths may be another than that of the format.
    belongs_to_run : bool
        Whether other files of a run beside it tell the structure; it may be named by its
        folder.
    order : {"C", "F"}
        Order of values in memory in which a file is written from end to end.
    """

    module: str
    patterns: tuple[str, ...]
    units: tuple[str, str]
    is_written: bool = True
    has_quantity: bool = False
    has_spin: bool = False
    has_frames: bool = False
    has_units: bool = False
    belongs_to_run: bool = False
    order: Literal["C", "F"] = "F"

    @property
    def is_vasp_text(self) -> bool:
        """bool: Whether the layout is that of a CHGCAR."""
        return self.module == "chgcar"

    @property
    def functions(self) -> ModuleType:
        """module: What reads and writes it, imported on first use."""
        return import_module(f".{self.module}", __package__)


def _vasp(*patterns: str) -> Format:
    return Format("chgcar", patterns, ("e", "A"), has_quantity=True, has_spin=True, has_frames=True)


# The first pattern that fits decides.
FORMATS = {
    "cube": Format(
        "cube",
        ("*.CUBE", "*.CUB"),
        ("e/bohr^3", "bohr"),
        has_quantity=True,
        has_units=True,
        order="C",
    ),
    "xsf": Format("xsf", ("*.XSF",), ("e/bohr^3", "A"), has_quantity=True, has_units=True),
    "qe/save": Format(
        "quantum_espresso",
        ("*.SAVE", "CHARGE-DENSITY.DAT", "CHARGE-DENSITY.HDF5"),
        ("e/bohr^3", "A"),
        has_spin=True,
        belongs_to_run=True,
        order="C",
    ),
    "vasp/h5": Format("vaspwave", ("*.H5", "*.HDF5"), ("e", "A"), is_written=False, has_spin=True),
    "vasp/locpot": _vasp("*LOCPOT*"),
    "vasp/elfcar": _vasp("*ELFCAR*"),
    "vasp/aeccar0": _vasp("*AECCAR0*"),
    "vasp/aeccar1": _vasp("*AECCAR1*"),
    "vasp/aeccar2": _vasp("*AECCAR2*"),
    "vasp/parchg": _vasp("*PARCHG*"),
    "vasp/chgcar": _vasp("*CHGCAR*", "CHG", "CHG[._-]*", "*[._-]CHG"),
}
_OTHER_COMPRESSIONS = (".bz2", ".zst", ".zip", ".z", ".lz4", ".7z")


def _names(has_quantity: bool = False) -> str:
    """Names for files to be written, of formats that need nothing beside them."""
    names = [
        entry.patterns[0].lower().replace("*", "NAME")
        for entry in FORMATS.values()
        if entry.is_written and not (entry.belongs_to_run or entry.is_vasp_text)
        if entry.has_quantity or not has_quantity
    ]
    names = names if has_quantity else ["CHGCAR_...", *names]
    return f"{', '.join(names[:-1])} or {names[-1]}"


def format_of(path: PathLike, format: str | None = None) -> str:
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
    if found and _holds_other(found) and format in (None, "vasp/chgcar"):
        raise ChargeError(
            f"{path}: by its name {split_kind(found)[1].description}, not a charge density:"
            f" give a CHGCAR (or its format, {found}, to handle it as it is)"
        )
    if known := format or found:
        return known
    if os.path.exists(path) and (foreign := explain_name(path)):
        raise ChargeError(f"{path}: {foreign}")
    if os.path.isdir(path):
        raise ChargeError(f"{path}: is a folder: give the CHGCAR or prefix.save in it")
    raise ChargeError(
        f"{path}: the name does not tell the format: call it {_names()}, or give its format"
        f" ({', '.join(FORMATS)})"
    )


def _holds_other(format: str) -> bool:
    """Whether a format is that of files which hold no charge density."""
    return not split_kind(format)[1].is_total


def _by_name(path: str) -> str | None:
    stem, suffix = os.path.splitext(os.path.basename(os.path.normpath(path)).upper())
    if suffix.lower() in _OTHER_COMPRESSIONS:
        raise ChargeError(f"{path}: only .gz and .xz are known compressions: use one")
    name = stem if suffix.lower() in COMPRESSIONS else stem + suffix
    for key, entry in FORMATS.items():
        if any(fnmatchcase(name, pattern) for pattern in entry.patterns):
            return key
    return None


def writable_format(path: PathLike, format: str | None = None, kind: str = "") -> str:
    """Find the format that a density of a kind is written in.

    Parameters
    ----------
    path, format
        As for :func:`format_of`.
    kind : str, optional
        That of the density, see :func:`deepmd_charge.grid.quantity.split_kind`.

    Returns
    -------
    str
        Key of ``FORMATS``.

    Raises
    ------
    ChargeError
        If the name stands for no format that can be written, or for one of other fields.
    """
    own, quantity = split_kind(kind)
    if not quantity.is_per_volume:
        found = format or _by_name(os.fspath(path))
        # a CHGCAR is density times volume, and VASP has other names for other fields
        if found is None or (FORMATS[found].is_vasp_text and found != own):
            name = f"{own.removeprefix('vasp/').upper()}_..., " if _holds_other(own) else ""
            raise ChargeError(
                f"{os.fspath(path)}: not a name for {quantity.description}:"
                f" call it {name}{_names(has_quantity=True)}"
            )
        format = found
    if format is None and _by_name(os.fspath(path)) is None:
        raise ChargeError(
            f"{os.fspath(path)}: the name does not tell the format: call it {_names()}"
        )
    format = format_of(path, format)
    if not FORMATS[format].is_written:
        raise ChargeError(f"{os.fspath(path)}: {format} can only be read: call it {_names()}")
    usual = split_kind(format)[1]
    if quantity != usual and not FORMATS[format].has_quantity:
        raise ChargeError(
            f"{os.fspath(path)}: {format} holds {usual.description}, not {quantity.description}:"
            f" call it {_names(has_quantity=True)}"
        )
    return format


def output_file(path: PathLike, format: str | None = None) -> str:
    """The file that is written for a name: itself, but of folders that are formats one in it."""
    path = os.fspath(path)
    if found := format or _by_name(path):
        entry = FORMATS.get(found)
        if entry is not None and entry.belongs_to_run:
            return str(entry.functions.output_file(path))
    return path
