# SPDX-License-Identifier: LGPL-3.0-or-later
"""The groups of atoms in VASP's files, of which ase tells the elements only."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice
from typing import IO
from xml.etree import ElementTree

from ..errors import ChargeError

__all__ = ["group_counts"]


def group_counts(path: str) -> list[int] | None:
    """Find how many atoms the groups of a file have, in the order of its header.

    Parameters
    ----------
    path : str
        Any file that ase reads, plain or compressed.

    Returns
    -------
    list of int or None
        None where the format has no groups.

    Raises
    ------
    ChargeError
        If the file of a format with groups does not tell them.
    """
    from ase.io.formats import UnknownFileTypeError, filetype, open_with_compression

    try:
        reader = _READERS.get(filetype(path))
    except UnknownFileTypeError:
        return None  # who reads the structure will complain
    if reader is None:
        return None
    try:
        with open_with_compression(path, "r") as file:
            words = reader(file)
        return [int(word) for word in words]
    except (ValueError, IndexError, AttributeError, StopIteration, ElementTree.ParseError):
        raise ChargeError(
            f"{path}: does not tell how many atoms its groups have; give one name for each atom"
        ) from None


def _of_header(file: Iterable[str]) -> list[str]:
    """Of a POSCAR, and what begins like one; VASP 4 has no line of elements."""
    first, second = (line.split("!")[0].split() for line in islice(file, 5, 7))
    return first if first[0].isdecimal() else second


def _of_outcar(file: Iterable[str]) -> list[str]:
    return next(line for line in file if "ions per type =" in line).split("=")[1].split()


def _of_vasprun(file: IO[str]) -> list[str]:
    for _, element in ElementTree.iterparse(file):
        if element.tag == "array" and element.get("name") == "atomtypes":
            return [row[0].text or "" for row in element.iterfind("set/*")]
    raise ValueError("no atomtypes")


_READERS: dict[str, Callable[[IO[str]], list[str]]] = {
    "vasp": _of_header,
    "vasp-xdatcar": _of_header,
    "vasp-out": _of_outcar,
    "vasp-xml": _of_vasprun,
}
