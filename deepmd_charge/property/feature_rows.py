# SPDX-License-Identifier: LGPL-3.0-or-later
"""The rows that a table of features has for files."""

from __future__ import annotations

import math
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from ..errors import ChargeError
from ..typing import Floats
from .extraction import BLOCKS
from .features import Feature, definition
from .property_units import split_unit
from .tables import FILE, finite_number, iterate_rows

__all__ = ["FORMULA", "KNOWN", "FeatureRows", "definition_of"]

# What the columns of features are, by their names.
KNOWN = {feature.name: feature for block in BLOCKS.values() for feature in block}
FORMULA = "formula"  # column of tables of features and of labels
_WORD = "definition"  # column of tables of features


def definition_of(names: Sequence[str]) -> str:
    """A word for columns, by what ours are and by the names of others."""
    return definition([KNOWN.get(name, Feature(name, "", "")) for name in names])


@dataclass(frozen=True)
class FeatureRows:
    """What a table of features has for some files, and for frames of them.

    Attributes
    ----------
    path : str
    names : tuple of str
        Of the columns of numbers.
    rows : dict
        Numbers and formula (empty where there is none) by the absolute paths of files.
    """

    path: str
    names: tuple[str, ...]
    rows: dict[str, tuple[Floats, str]]

    @classmethod
    def read(cls, path: str, files: Sequence[str], each_is_one: bool = True) -> FeatureRows:
        """Read what a table has for files.

        Parameters
        ----------
        path : str
        files : sequence of str
            Paths, ``file@3`` of one of several frames.
        each_is_one : bool
            Whether a path stands for one sample, and not for all frames of a file.

        Returns
        -------
        FeatureRows

        Raises
        ------
        ChargeError
            If it is no such table, or has numbers that are none or two rows that do not agree.
        """
        folder = Path(path).parent
        wanted = {os.path.abspath(file) for file in files}
        # the only frame of a file has no number in tables
        wanted |= {_one(file) for file in wanted if file.endswith("@0")}
        found: dict[str, tuple[Floats, str]] = {}
        table = iterate_rows(path)
        names = _heads(path, next(table)[1])
        place = names.index(FILE)
        apart = {FILE, _WORD, FORMULA, *(feature.name for feature in BLOCKS["composition"])}
        columns: list[int] | None = None
        words: dict[int, str] = {}
        version = definition([KNOWN[n] for n in names if n in KNOWN]) if _WORD in names else None
        for line, cells in table:
            if columns is None:
                others = [k for k, name in enumerate(names) if name not in apart]
                columns = [k for k in others if names[k] in KNOWN or _is_number(cells[k])]
                words = {k: cells[k] for k in others if k not in columns}
            if version is not None and cells[names.index(_WORD)] != version:
                raise ChargeError(
                    f"{path}:{line}: these features have other formulas, of another version of this"
                    " package; make the table again"
                )
            # as the command wrote it, from where it ran, or beside the table
            for base in ("", folder):
                file = os.path.abspath(os.path.join(base, cells[place]))
                if file not in wanted and (each_is_one or _one(file) not in wanted):
                    continue
                _check_words(cells, words, names, f"{path}:{line}")
                formula = cells[names.index(FORMULA)] if FORMULA in names else ""
                row = _floats(cells, columns, names, f"{path}:{line}"), formula
                before = found.setdefault(file, row)
                if formula != before[1] or not np.array_equal(row[0], before[0]):
                    raise ChargeError(
                        f"{path}:{line}: {cells[place]} has another row with other cells; take one"
                        " of them out"
                    )
                break
        return cls(path, tuple(names[k] for k in columns or ()), found)

    def expanded(self, files: Sequence[str], each_is_one: bool = True) -> list[str]:
        """Files, with all frames of those that may have some; a ChargeError without a row."""
        frames: Counter[str] = Counter()
        if not each_is_one:
            frames.update(_one(file) for file in self.rows if file != _one(file))
        found: list[str] = []
        missing: list[str] = []
        for file in files:
            of_file = [file]
            if self._row(file) is None and os.path.abspath(file) in frames:
                of_file = [f"{file}@{k}" for k in range(frames[os.path.abspath(file)])]
            found += of_file
            missing += [each for each in of_file if self._row(each) is None]
        if missing:
            others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
            raise ChargeError(
                f"{self.path}: has no row for {missing[0]}{others}, by names from here or from the"
                " folder of the table; make the table again"
            )
        return found

    def values(self, files: Sequence[str]) -> Floats:
        """Numbers of files, (n, d)."""
        found = [row[0] for row in map(self._row, files) if row is not None]
        return np.array(found).reshape(len(files), len(self.names))

    def formulas(self, files: Sequence[str]) -> list[str] | None:
        """Formulas of files; None where the table has none."""
        found = [row[1] for row in map(self._row, files) if row is not None]
        return found if all(found) else None

    def _row(self, file: str) -> tuple[Floats, str] | None:
        place = os.path.abspath(file)
        if place in self.rows or not place.endswith("@0"):
            return self.rows.get(place)
        return self.rows.get(_one(place))


def _one(file: str) -> str:
    """A file, without the number of one of its frames."""
    name, at, frame = file.rpartition("@")
    return name if at and frame.isdecimal() else file


def _heads(path: str, header: Sequence[str]) -> list[str]:
    """Names of the columns of a table of features."""
    names = [split_unit(head)[0] for head in header]
    if FILE not in names:
        raise ChargeError(f"{path}:1: has no column {FILE}; give a table of `property features`")
    twice = [name for name, n in Counter(names).items() if name and n > 1]
    if twice:
        raise ChargeError(f"{path}:1: has two columns {twice[0]}; rename one")
    return names


def _check_words(
    cells: Sequence[str], words: Mapping[int, str], names: Sequence[str], at: str
) -> None:
    """Refuse numbers in columns that are left out for the text in their first row."""
    for k, first in words.items():
        if _is_number(cells[k]):
            raise ChargeError(
                f"{at}: {names[k]} is {cells[k]}, and {first!r} in the first row: give numbers in"
                " all rows, or take the column out"
            )


def _floats(cells: Sequence[str], columns: Sequence[int], names: Sequence[str], at: str) -> Floats:
    values = np.array([finite_number(cells[k]) for k in columns])
    if not np.isfinite(values).all():
        wrong = columns[int(np.argmin(np.isfinite(values)))]
        raise ChargeError(f"{at}: {names[wrong]} is {cells[wrong]!r}, which is no finite number")
    return values


def _is_number(cell: str) -> bool:
    return not math.isnan(finite_number(cell))
