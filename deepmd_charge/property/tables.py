# SPDX-License-Identifier: LGPL-3.0-or-later
"""Tables (CSV) of files with labels, and of what is predicted for them.

A column ``file`` names densities or structures, ``CHG@3`` one frame, relative to the folder of
the table. Columns of properties may say their units, ``K (GPa)`` or ``K[GPa]``; an empty cell is
a label that is not known. Other columns (``id``, ``formula``, ...) may hold anything.
"""

from __future__ import annotations

import csv
import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from io import BufferedReader, TextIOWrapper
from pathlib import Path
from typing import cast

import numpy as np

from ..errors import ChargeError
from ..io.frames import split_frames
from ..io.output import replacing
from ..io.text.reader import opened
from ..typing import Floats, PathLike
from .property_units import KNOWN_UNITS, factor_to_known, label_of, split_unit

__all__ = [
    "Labels", "Table", "finite_number", "iterate_rows", "read_labels", "read_table", "write_table",
]  # fmt: skip

FILE = "file"


@dataclass(frozen=True)
class Table:
    """Cells of a CSV file, by the names of its columns without their units.

    Attributes
    ----------
    path : str
    names : tuple of str
        Of the columns.
    units : dict
        Of the columns whose heads have one in brackets.
    rows : tuple of tuple of str
        Cells, as many to a row as there are names.
    lines : tuple of int
        Line of the file at which each row ends, from 1.
    """

    path: str
    names: tuple[str, ...]
    units: dict[str, str]
    rows: tuple[tuple[str, ...], ...]
    lines: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.rows)

    def column(self, name: str) -> list[str]:
        """Cells of a column, from top to bottom."""
        if name not in self.names:
            raise ChargeError(
                f"{self.path}: has no column {name}; there are {', '.join(self.names)}"
            )
        place = self.names.index(name)
        return [row[place] for row in self.rows]

    def numbers(self, name: str) -> Floats:
        """Values of a column, (n_rows,); NaN where a cell is empty."""
        cells = self.column(name)
        return np.array(
            [
                _number(cell, self.path, line, name)
                for cell, line in zip(cells, self.lines, strict=True)
            ]
        )

    @property
    def files(self) -> list[str]:
        """Names of the files, relative to the folder of the table."""
        return self.column(FILE)

    def paths(self, must_exist: bool = True) -> list[str]:
        """Paths of the files, from where this program runs.

        Parameters
        ----------
        must_exist : bool

        Returns
        -------
        list of str

        Raises
        ------
        ChargeError
            If a row names none, or one that is not there, with the line.
        """
        folder = Path(self.path).parent
        paths = [os.fspath(folder / name) if name else "" for name in self.files]
        for path, name, line in zip(paths, self.files, self.lines, strict=True):
            if not name:
                raise ChargeError(
                    f"{self.path}:{line}: names no {FILE}; give a density or a structure"
                )
            if must_exist and not os.path.exists(split_frames(path)[0]):
                raise ChargeError(
                    f"{self.path}:{line}: there is no {path}; names are relative to the folder of"
                    " the table"
                )
        return paths


@dataclass(frozen=True)
class Labels:
    """Properties of samples.

    Attributes
    ----------
    table : Table
        Where they stand.
    names, units : tuple of str
        Of the properties, (t).
    values : np.ndarray
        (n, t), NaN where a label is not known.
    notes : tuple of str
        What was converted.
    """

    table: Table
    names: tuple[str, ...]
    units: tuple[str, ...]
    values: Floats
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.table)

    def of(self, name: str) -> Floats:
        """Labels of one property, (n,)."""
        return self.values[:, self.names.index(name)]


def read_table(path: PathLike) -> Table:
    """Read a table with a column ``file``.

    Parameters
    ----------
    path : str or Path
        CSV in UTF-8, also with .gz or .xz.

    Returns
    -------
    Table

    Raises
    ------
    ChargeError
        If it is no such table, with the line.
    """
    path = os.fspath(path)
    found = iterate_rows(path)
    _, header = next(found)
    names, units = _names(header, path)
    rows, lines = [], []
    for line, cells in found:
        rows.append(tuple(cells))
        lines.append(line)
    if not rows:
        raise ChargeError(f"{path}: has no rows below its head")
    return Table(path, names, units, tuple(rows), tuple(lines))


def iterate_rows(path: PathLike) -> Iterator[tuple[int, list[str]]]:
    """Read a CSV file row by row.

    Parameters
    ----------
    path : str or Path
        In UTF-8, also with .gz or .xz.

    Yields
    ------
    line : int
        Line at which the row ends, from 1.
    cells : list of str
        First the head of the table, then as many as it has.
    """
    path = os.fspath(path)
    with opened(path) as file:
        # ends of lines inside of quotes stay as they are
        text = TextIOWrapper(cast("BufferedReader", file), "utf-8-sig", newline="")
        reader = csv.reader(text, strict=True)
        try:
            header = next(reader, None) or [""]
            yield 1, header
            for cells in reader:
                if not cells:
                    continue  # an empty line
                if len(cells) != len(header):
                    raise ChargeError(
                        f"{path}:{reader.line_num}: has {len(cells)} cells and the head of the"
                        f" table {len(header)}; put quotes around cells with commas"
                    )
                yield reader.line_num, [cell.strip() for cell in cells]
        except UnicodeDecodeError:
            raise ChargeError(f"{path}: is no text in UTF-8; give a table (CSV)") from None
        except csv.Error as error:
            raise ChargeError(f"{path}:{reader.line_num}: is no line of CSV: {error}") from None


def read_labels(path: PathLike, targets: Sequence[str], optional: Sequence[str] = ()) -> Labels:
    """Read a table of labels.

    Parameters
    ----------
    path : str or Path
    targets : sequence of str
        Columns to take, by their names without units.
    optional : sequence of str
        Columns to take if they are there, and hold labels in a unit of this property.

    Returns
    -------
    Labels

    Raises
    ------
    ChargeError
        If a column is missing, a label is no number, or a unit does not fit.
    """
    table = read_table(path)
    twice = [name for name in targets if list(targets).count(name) > 1]
    if twice:
        raise ChargeError(f"{table.path}: {twice[0]} is asked for twice; leave one out")
    names, units, columns, notes = [], [], [], []
    for name in [*targets, *(n for n in optional if n in table.names and n not in targets)]:
        given = table.units.get(name)
        try:
            unit, factor = _factor(table, name, given)
            values = table.numbers(name)
        except ChargeError as error:
            if name in targets:
                raise
            notes.append(f"{name} is left out: {str(error).removeprefix(f'{table.path}: ')}")
            continue
        names.append(name)
        if given is not None and name in KNOWN_UNITS and given != unit:
            meant = " (of atoms)" if given.endswith("/mol") else ""
            meant = " (for each atom)" if given in ("eV", "meV") else meant
            notes.append(f"{name} converted from {given}{meant} to {unit or 'no unit'}")
        units.append(unit)
        columns.append(values * factor)
    return Labels(table, tuple(names), tuple(units), np.stack(columns, axis=1), tuple(notes))


def write_table(path: PathLike, header: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Write a CSV file, which appears when it is complete.

    Parameters
    ----------
    path : str or Path
    header : sequence of str
    rows : iterable of sequences
        Cells: text, or numbers, which are written with seven digits, NaN as an empty cell.
    """
    with replacing(path) as temporary, open(temporary, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(header)
        for row in rows:
            writer.writerow([_cell(value) for value in row])


def _factor(table: Table, name: str, given: str | None) -> tuple[str, float]:
    """Unit of a column that is a property, and the factor to it."""
    try:
        return factor_to_known(name, given)
    except ChargeError as error:
        raise ChargeError(f"{table.path}: {error}") from None


def _names(header: Sequence[str], path: str) -> tuple[tuple[str, ...], dict[str, str]]:
    """Names of the columns, and the units that stand with them."""
    parted = [split_unit(text) for text in header]
    names = [name for name, _ in parted]
    if FILE not in names:
        hint = "separate the columns by commas" if len(header) == 1 else "name the densities in it"
        raise ChargeError(f"{path}:1: has no column {FILE}; {hint}")
    twice = [name for name in names if name and names.count(name) > 1]
    if twice:
        raise ChargeError(f"{path}:1: has two columns {twice[0]}; rename one")
    return tuple(names), {name: unit for name, unit in parted if unit is not None}


def finite_number(cell: str) -> float:
    """The number in a cell; NaN where it holds none that is finite."""
    try:
        value = math.nan if "_" in cell else float(cell)  # Python takes 1_5 for 15
    except ValueError:
        return math.nan
    return value if math.isfinite(value) else math.nan  # InF is a compound


def _number(cell: str, path: str, line: int, name: str) -> float:
    if not cell:
        return math.nan
    value = finite_number(cell)
    if math.isnan(value):
        raise ChargeError(
            f"{path}:{line}: {name} is {cell!r}, which is no finite number; leave the cell empty"
            " where a label is not known"
        )
    return value


def _cell(value: object) -> str:
    if not isinstance(value, (float, np.floating)):
        return str(value)
    return "" if math.isnan(value) else f"{value:.7g}"


def column_heads(names: Sequence[str], units: Sequence[str]) -> list[str]:
    """Heads of columns with their units."""
    return [label_of(name, unit) for name, unit in zip(names, units, strict=True)]
