# SPDX-License-Identifier: LGPL-3.0-or-later
"""The structure at the head of VASP's files: a POSCAR.

Its lines are a comment, a scale, three cell vectors, the elements (since VASP 5), the
numbers of their atoms, perhaps "Selective dynamics", "Direct" or "Cartesian", and the
positions.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..atoms.species import element_of, name_species
from ..errors import ChargeError
from ..typing import Floats
from .text.reader import TextReader

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["element_of_label", "goes_on", "is_vasp_4", "read_structure", "scaled"]

# "Si", and VASP 6's names of potentials: "Si_pv", "Si/4f2a...", "Si_pv/", "H1.25", "H.5"
_LABEL = re.compile(r"([A-Z][a-z]?)(?:[_/.\d].*)?")
_MODES = "DdCcKk"


def element_of_label(label: str) -> str | None:
    """Element that VASP's name of a potential stands for; None where it is none."""
    match = _LABEL.fullmatch(label.strip())
    return element_of(match[1]) if match else None


def scaled(cell: Floats, scale: Floats) -> tuple[Floats, Floats]:
    """Apply the scale of a POSCAR.

    Parameters
    ----------
    cell : np.ndarray, shape (3, 3)
    scale : np.ndarray, shape (1,) or (3,)
        A factor, three of them along x, y and z, or as a negative number the volume.

    Returns
    -------
    cell : np.ndarray, shape (3, 3)
    scale : np.ndarray
        The factors, for Cartesian positions.

    Raises
    ------
    ValueError
        If the cell has no volume.
    """
    volume = abs(np.linalg.det(cell))
    if not volume > 1e-12 or not scale.all() or (len(scale) == 3 and (scale < 0).any()):
        raise ValueError("the cell has no volume")
    if scale[0] < 0:  # the volume of the cell
        scale = np.cbrt(-scale / volume)
    return cell * scale, scale


def read_structure(reader: TextReader, species: Sequence[str] | None) -> tuple[str, Atoms]:
    """Read a structure, up to its last position.

    Parameters
    ----------
    reader : TextReader
    species : sequence of str or None
        See :func:`deepmd_charge.atoms.species.name_species`; the elements of VASP 4.

    Returns
    -------
    comment : str
    atoms : ase.Atoms

    Raises
    ------
    ChargeError
        If it is damaged.
    """
    from ase import Atoms

    comment = reader.line()
    if comment is None:
        raise ChargeError(f"{reader.path}: the file is empty")
    scale = np.array(reader.floats((1, 3), "a scale factor (or three)"))
    cell = np.array([reader.floats((3,), f"cell vector {i}, three numbers") for i in (1, 2, 3)])
    try:
        cell, scale = scaled(cell, scale)
    except ValueError as error:
        raise reader.error(f"{error}: check the scale factor and the cell vectors") from None
    elements, counts = _read_species(reader, species or comment.split())
    mode = reader.words("'Direct' or 'Cartesian'")
    if mode[:1] and mode[0][0] in "Ss":
        mode = reader.words("'Direct' or 'Cartesian' after 'Selective dynamics'")
    if not mode or mode[0][0] not in _MODES:
        raise reader.error(f"expected 'Direct' or 'Cartesian', found {' '.join(mode)[:40]!r}")
    rows = []
    for i in range(sum(counts)):
        expected = f"position {i + 1} of the {sum(counts)} that the header counts"
        # what may follow are the flags of selective dynamics, no part of a density
        rows.append(reader.as_floats(reader.words(expected)[:3], (3,), expected))
    positions = np.array(rows)
    positions = positions @ cell if mode[0][0] in "Dd" else positions * scale
    symbols = [
        element for element, count in zip(elements, counts, strict=True) for _ in range(count)
    ]
    atoms = Atoms(symbols, positions=positions, cell=cell, pbc=True)
    name_species(reader.path, atoms, species, counts)
    return comment, atoms


def _read_species(reader: TextReader, names: Sequence[str]) -> tuple[list[str], list[int]]:
    """Elements and counts, from their lines, or of VASP 4 from names and a line of counts."""
    labels = reader.words("element symbols")
    if not labels:
        raise reader.error("expected element symbols, found an empty line")
    if is_vasp_4(labels):
        words = labels
        elements = [element_of(name) or "" for name in names]
        if len(elements) != len(words) or "" in elements:
            raise reader.error(
                f"no line of element symbols (VASP 4): name the {len(words)} species"
                " (--species, species=), or insert the line"
            )
    else:
        elements = [element_of_label(label) or "" for label in labels]
        if "" in elements:
            label = labels[elements.index("")]
            raise reader.error(f"{label[:40]!r} is not an element symbol")
        words = reader.words("the number of atoms of each element")
    if not all(word.isdecimal() and int(word) > 0 for word in words):
        raise reader.error(f"expected the numbers of atoms, found {' '.join(words)[:40]!r}")
    if len(words) != len(elements):
        raise reader.error(f"{len(words)} counts for {len(elements)} elements")
    return elements, [int(word) for word in words]


def is_vasp_4(labels: Sequence[str]) -> bool:
    """Whether the words after the cell are the counts of the atoms."""
    return all(label.isdecimal() for label in labels)


def goes_on(reader: TextReader) -> bool:
    """Whether the next lines are those of a structure after its comment.

    Also where it is cut off after its first cell vector: magnetic moments, in lines of
    equal length but the last, look otherwise.
    """
    if _count_numbers(reader.peek(1)) not in ([1], [3]):
        return False
    lines = reader.peek(7)
    numbers = _count_numbers(lines[:4])
    if len(lines) < 7:
        return numbers[:2] == [1, 3]
    labels, counts, mode = (line.split() for line in lines[4:])
    if labels and is_vasp_4(labels):
        counts, mode = labels, counts
    elif not labels or None in map(element_of_label, labels):
        return False
    has_mode = bool(mode) and mode[0][0] in _MODES + "Ss"
    return numbers[1:] == [3, 3, 3] and is_vasp_4(counts) and has_mode


def _count_numbers(lines: Sequence[str]) -> list[int | None]:
    """How many numbers are in each line; None where a word is none."""
    counts: list[int | None] = []
    for line in lines:
        try:
            counts.append(len([float(word) for word in line.split()]))
        except ValueError:
            counts.append(None)
    return counts
