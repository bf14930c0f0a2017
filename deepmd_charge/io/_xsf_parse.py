# SPDX-License-Identifier: LGPL-3.0-or-later
"""What stands in an xsf file, as plain data.

Keywords with their blocks, in any order and case, between blank lines and
comments. What they mean is left to :mod:`deepmd_charge.io.xsf`.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from typing import NamedTuple, TypeAlias

import numpy as np

from ..atoms.species import element_of_label
from ..typing import Floats
from .text.numbers import as_float
from .text.reader import TextReader

__all__ = ["PERIODIC", "Contents", "DataGrid", "parse"]

PERIODIC = {"CRYSTAL": 3, "SLAB": 2, "POLYMER": 1, "MOLECULE": 0}
# with and without the underscores, before which programs forget some
_GRID = re.compile(r"(?:BEGIN_)?(BLOCK_)?((?:DATA|BAND)GRID)_?([23]D)[_:]?(.*)", re.IGNORECASE)
_END = re.compile(r"END_(BLOCK_)?(?:DATA|BAND)GRID", re.IGNORECASE)
_OTHER = re.compile(r"[A-Z][A-Z0-9_-]{3,}")  # a keyword that is not known here


class DataGrid(NamedTuple):
    """A DATAGRID_3D.

    Attributes
    ----------
    line : int
        Of its keyword.
    block : str
        What the line after BEGIN_BLOCK_DATAGRID_3D says.
    name : str
        What the keyword itself says: "RHO:spin_1".
    origin, spans : numpy.ndarray, shape (3,) and (3, 3)
    values : numpy.ndarray, shape (nx, ny, nz)
    """

    line: int
    block: str
    name: str
    origin: Floats
    spans: Floats
    values: Floats


_Site: TypeAlias = tuple[str, list[float]]


class Contents:
    """All sections of a file; lengths and values are as they stand there.

    Attributes
    ----------
    path : str
    comments : list of str
        Without the "#".
    n_periodic : int or None
        Number of periodic directions, where a keyword says it.
    cells : dict of str to numpy.ndarray, shape (3, 3)
        "PRIM" and "CONV".
    sites : dict of str to list of (str, list of float)
        Label or atomic number, and position: "PRIM", "CONV", and "ATOMS" of a molecule.
    grids : list of DataGrid
    others : list of str
        Kinds of grids that were passed over: "DATAGRID_2D".
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self.comments: list[str] = []
        self.n_periodic: int | None = None
        self.cells: dict[str, Floats] = {}
        self.sites: dict[str, list[_Site]] = {}
        self.grids: list[DataGrid] = []
        self.others: list[str] = []


def parse(reader: TextReader) -> Contents:
    """Read a file to its end.

    Parameters
    ----------
    reader : TextReader

    Returns
    -------
    Contents

    Raises
    ------
    ChargeError
        If the file is damaged.
    """
    parser = _Parser(reader)
    parser.run()
    return parser.contents


class _Parser:
    """Goes through a file once."""

    def __init__(self, reader: TextReader) -> None:
        self.reader = reader
        self.contents = Contents(reader.path)
        self._block = ""
        self._held: str | None = None  # a line that was read too far

        def says(n: int) -> Callable[[list[str]], None]:
            return lambda _: self._say_periodic(n)

        self._sections: dict[str, Callable[[list[str]], None]] = {
            **{word: says(n) for word, n in PERIODIC.items()},
            "DIM-GROUP": self._read_dimension,
            "ANIMSTEPS": self._read_steps,
            "PRIMVEC": lambda _: self._read_cell("PRIM"),
            "CONVVEC": lambda _: self._read_cell("CONV"),
            "PRIMCOORD": lambda _: self._read_counted("PRIM"),
            "CONVCOORD": lambda _: self._read_counted("CONV"),
            "ATOMS": lambda _: self._read_molecule(),
        }

    def run(self) -> None:
        while (line := self._line()) is not None:
            words = line.split()
            if grid := _GRID.match(line):
                self._read_grid(line, *grid.groups())
            elif end := _END.match(line):
                self._block = "" if end[1] else self._block
            elif section := self._sections.get(words[0].upper()):
                section(words[1:])

    def _line(self) -> str | None:
        """Next line that is neither blank nor a comment, or None."""
        line, self._held = self._held, None
        while line is None and (line := self.reader.line()) is not None:
            line = line.strip()
            if line.startswith("#"):
                self.contents.comments.append(line.lstrip("# "))
            if not line or line.startswith("#"):
                line = None
        return line

    def _words(self, expected: str) -> list[str]:
        """Words of the next line, which must be there."""
        line = self._line()
        if line is None:
            raise self.reader.error(f"the file ends here, expected {expected}")
        return line.partition("#")[0].split()

    def _floats(self, expected: str) -> list[float]:
        return self.reader.as_floats(self._words(expected), (3,), expected)

    def _counts(
        self, words: list[str], expected: str, least: int = 0, most: int = 10**18
    ) -> list[int]:
        """Whole numbers, all of which the words must be."""
        numbers = [int(word) for word in words if word.isdecimal() and len(word) < 20]
        if len(numbers) < max(len(words), 1) or min(numbers) < least or max(numbers) > most:
            raise self.reader.error(f"expected {expected}, found {' '.join(words)[:40]!r}")
        return numbers

    def _say_periodic(self, n: int) -> None:
        self.contents.n_periodic = n

    def _read_dimension(self, words: list[str]) -> None:
        expected = "the number of periodic directions and the group"
        words = words or self._words(expected)
        self._say_periodic(self._counts(words[:1], expected, most=3)[0])

    def _read_steps(self, words: list[str]) -> None:
        if words != ["1"]:
            raise self.reader.error("an animation; give a file with one structure")

    def _read_cell(self, name: str) -> None:
        cell = self._vectors()
        if not np.array_equal(self.contents.cells.setdefault(name, cell), cell):
            raise self.reader.error(f"another {name}VEC; give a file with one structure")

    def _vectors(self) -> Floats:
        vectors = np.array([self._floats(f"vector {i}, three numbers") for i in (1, 2, 3)])
        if not abs(np.linalg.det(vectors)) > 1e-12:
            raise self.reader.error("the three vectors have no volume")
        return vectors

    def _read_counted(self, name: str) -> None:
        words = self._words("the number of atoms")
        count = self._counts(words[:1], "the number of atoms")[0]
        expected = f"atoms, {count} lines"
        self._add_sites(name, [self._site(self._words(expected), expected) for _ in range(count)])
        self._held = self._line()
        if self._held and self._is_site(self._held.split()):
            raise self.reader.error(f"more than the {count} atoms that {name}COORD announces")

    def _read_molecule(self) -> None:
        """Atoms up to the next keyword."""
        sites = []
        while (line := self._line()) is not None and not self._ends_atoms(line):
            sites.append(self._site(line.partition("#")[0].split(), "an atom"))
        self._held = line
        self._add_sites("ATOMS", sites)

    def _ends_atoms(self, line: str) -> bool:
        word = line.split()[0].upper()
        is_known = _GRID.match(line) or _END.match(line) or word in self._sections
        return bool(is_known or _OTHER.fullmatch(line))

    def _add_sites(self, name: str, sites: list[_Site]) -> None:
        if self.contents.sites.setdefault(name, sites) != sites:
            raise self.reader.error(f"other atoms of {name}; give a file with one structure")

    def _site(self, words: list[str], expected: str) -> _Site:
        """Label and position; forces may follow."""
        if not words or not element_of_label(words[0]):
            raise self.reader.error(f"expected {expected}, found {' '.join(words)[:40]!r}")
        return words[0], self.reader.as_floats(words[1:4], (3,), expected)

    def _is_site(self, words: list[str]) -> bool:
        try:
            return bool(element_of_label(words[0])) and len([*map(as_float, words[1:4])]) == 3
        except ValueError:
            return False

    def _read_grid(
        self, line: str, block: str | None, kind: str, dimensions: str, name: str
    ) -> None:
        keyword = f"{kind}_{dimensions}".upper()
        if keyword != "DATAGRID_3D":
            self.contents.others.append(keyword)
            self._skip_grid(block)
        elif block:
            title = self._line()
            if title is None or _GRID.match(title) or _END.match(title):
                self._block, self._held = "", title
            else:
                self._block = title
        else:
            number = self.reader.number
            self._held = self._line()
            if self._held and _GRID.match(self._held):  # the name of a block that looks like one
                self._block = line
            else:
                self.contents.grids.append(self._grid(number, name.strip()))

    def _skip_grid(self, block: str | None) -> None:
        while (line := self._line()) is not None:
            if (end := _END.match(line)) and bool(end[1]) == bool(block):
                return

    def _grid(self, line: int, name: str) -> DataGrid:
        shape = self._counts(self._words("the numbers of points"), "the numbers of points", 1)
        if len(shape) != 3:
            raise self.reader.error(f"expected the numbers of points, three, found {len(shape)}")
        origin = np.array(self._floats("the origin, three numbers"))
        spans = self._vectors()
        values = self.reader.values(math.prod(shape)).reshape(shape[::-1]).T
        end = self._line()
        if end is None or not _END.match(end):
            raise self.reader.error("expected END_DATAGRID_3D after the values of the grid")
        self._held = end
        return DataGrid(line, self._block, name, origin, spans, values)
