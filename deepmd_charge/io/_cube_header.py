# SPDX-License-Identifier: LGPL-3.0-or-later
"""What stands before the values of a cube file."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np

from ..errors import ChargeError
from ..typing import Floats, Shape
from .text.reader import TextReader

__all__ = ["Header", "read_header"]


class Header(NamedTuple):
    """Lengths are in the unit of the file."""

    comment: list[str]
    numbers: list[int]
    positions: Floats
    origin: Floats
    cell: Floats
    shape: Shape
    in_angstrom: bool
    n_sets: int
    labels: list[str]  # of the datasets


def read_header(reader: TextReader) -> Header:
    """Read up to the values."""
    first, second = reader.line(), reader.line()
    if first is None or second is None:
        raise ChargeError(f"{reader.path}: the file is empty")
    n_atoms, origin, n_sets = _read_counts(reader, "the number of atoms and the origin")
    if n_atoms == 0:
        raise reader.error("there are no atoms in this file")
    axes = [_read_counts(reader, f"points and step of axis {i}")[:2] for i in (1, 2, 3)]
    signs = {math.copysign(1, n) for n, _ in axes}
    if not all(n for n, _ in axes) or len(signs) > 1:
        raise reader.error("the numbers of points must all be positive, or all negative (A)")
    nx, ny, nz = (abs(n) for n, _ in axes)
    cell = np.array([abs(n) * step for n, step in axes])
    if not abs(np.linalg.det(cell)) > 1e-12:
        raise reader.error("the cell has no volume: check the steps of the grid")
    numbers, positions = _read_atoms(reader, abs(n_atoms))
    labels = _read_labels(reader) if n_atoms < 0 else []
    n_sets = len(labels) if labels else n_sets
    comment, shape, in_angstrom = [first, second], (nx, ny, nz), signs == {-1}
    return Header(comment, numbers, positions, origin, cell, shape, in_angstrom, n_sets, labels)


def _read_counts(reader: TextReader, expected: str) -> tuple[int, Floats, int]:
    """A whole number, three numbers and perhaps a whole number."""
    words = reader.words(expected)
    numbers = reader.as_floats(words, (4, 5), expected)
    n_sets = numbers[4] if len(numbers) > 4 else 1
    if not (numbers[0].is_integer() and n_sets == int(n_sets) and n_sets > 0):
        raise reader.error(f"expected {expected}, found {' '.join(words)[:40]!r}")
    return int(numbers[0]), np.array(numbers[1:4]), int(n_sets)


def _read_atoms(reader: TextReader, n_atoms: int) -> tuple[list[int], Floats]:
    from ase.data import chemical_symbols

    numbers, positions = [], []
    for i in range(n_atoms):
        expected = f"atom {i + 1} of the {n_atoms} that the header counts"
        z, _, *position = reader.floats((5,), expected)
        if not (z.is_integer() and 0 < z < len(chemical_symbols)):
            raise reader.error(f"{z:g} is not the atomic number of an element")
        numbers.append(int(z))
        positions.append(position)
    return numbers, np.array(positions)


def _read_labels(reader: TextReader) -> list[str]:
    """Labels of the datasets, which may take several lines."""
    expected = "the number of datasets and their labels"
    words = reader.words(expected)
    if not words or not words[0].isdecimal() or not 0 < int(words[0]) < 10**6:
        raise reader.error(f"expected {expected}, found {' '.join(words)[:40]!r}")
    n_sets = int(words[0])
    labels = words[1:]
    while len(labels) < n_sets:
        labels += reader.words(expected)
    return labels[:n_sets]
