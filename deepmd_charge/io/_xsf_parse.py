# SPDX-License-Identifier: LGPL-3.0-or-later
"""What stands in an xsf file, as plain data.

Keywords with their blocks, in any order and case, between blank lines and
comments. What they mean is left to :mod:`deepmd_charge.io.xsf`.
"""

import math
import re
from typing import NamedTuple

import numpy as np

from ..atoms.species import element_of_label
from .text.numbers import as_float

__all__ = ["PERIODIC", "Contents", "Grid", "parse"]

PERIODIC = {"CRYSTAL": 3, "SLAB": 2, "POLYMER": 1, "MOLECULE": 0}
# with and without the underscores, before which programs forget some
_GRID = re.compile(r"(?:BEGIN_)?(BLOCK_)?((?:DATA|BAND)GRID)_?([23]D)[_:]?(.*)", re.IGNORECASE)
_END = re.compile(r"END_(BLOCK_)?(?:DATA|BAND)GRID", re.IGNORECASE)
_OTHER = re.compile(r"[A-Z][A-Z0-9_-]{3,}")  # a keyword that is not known here


class Grid(NamedTuple):
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
    origin: np.ndarray
    spans: np.ndarray
    values: np.ndarray


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
    grids : list of Grid
    others : list of str
        Kinds of grids that were passed over: "DATAGRID_2D".
    """

    def __init__(self, path):
        self.path = path
        self.comments, self.grids, self.others = [], [], []
        self.n_periodic = None
        self.cells, self.sites = {}, {}


def parse(reader):
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

    def __init__(self, reader):
        self.reader = reader
        self.contents = Contents(reader.path)
        self._block = ""
        self._held = None  # a line that was read too far
        self._sections = {
            **{word: lambda _, n=n: self._say_periodic(n) for word, n in PERIODIC.items()},
            "DIM-GROUP": self._read_dimension,
            "ANIMSTEPS": self._read_steps,
            "PRIMVEC": lambda _: self._read_cell("PRIM"),
            "CONVVEC": lambda _: self._read_cell("CONV"),
            "PRIMCOORD": lambda _: self._read_counted("PRIM"),
            "CONVCOORD": lambda _: self._read_counted("CONV"),
            "ATOMS": lambda _: self._read_molecule(),
        }

    def run(self):
        while (line := self._line()) is not None:
            words = line.split()
            if grid := _GRID.match(line):
                self._read_grid(line, *grid.groups())
            elif end := _END.match(line):
                self._block = "" if end[1] else self._block
            elif section := self._sections.get(words[0].upper()):
                section(words[1:])

    def _line(self):
        """Next line that is neither blank nor a comment, or None."""
        line, self._held = self._held, None
        while line is None and (line := self.reader.line()) is not None:
            line = line.strip()
            if line.startswith("#"):
                self.contents.comments.append(line.lstrip("# "))
            if not line or line.startswith("#"):
                line = None
        return line

    def _words(self, expected):
        """Words of the next line, which must be there."""
        line = self._line()
        if line is None:
            raise self.reader.error(f"the file ends here, expected {expected}")
        return line.partition("#")[0].split()

    def _floats(self, expected):
        return self.reader.as_floats(self._words(expected), (3,), expected)

    def _counts(self, words, expected, least=0, most=10**18):
        """Whole numbers, all of which the words must be."""
        numbers = [int(word) for word in words if word.isdecimal() and len(word) < 20]
        if len(numbers) < max(len(words), 1) or min(numbers) < least or max(numbers) > most:
            raise self.reader.error(f"expected {expected}, found {' '.join(words)[:40]!r}")
        return numbers

    def _say_periodic(self, n):
        self.contents.n_periodic = n

    def _read_dimension(self, words):
        expected = "the number of periodic directions and the group"
        words = words or self._words(expected)
        self._say_periodic(self._counts(words[:1], expected, most=3)[0])

    def _read_steps(self, words):
        if words != ["1"]:
            raise self.reader.error("an animation; give a file with one structure")

    def _read_cell(self, name):
        cell = self._vectors()
        if not np.array_equal(self.contents.cells.setdefault(name, cell), cell):
            raise self.reader.error(f"another {name}VEC; give a file with one structure")

    def _vectors(self):
        vectors = np.array([self._floats(f"vector {i}, three numbers") for i in (1, 2, 3)])
        if not abs(np.linalg.det(vectors)) > 1e-12:
            raise self.reader.error("the three vectors have no volume")
        return vectors

    def _read_counted(self, name):
        words = self._words("the number of atoms")
        count = self._counts(words[:1], "the number of atoms")[0]
        expected = f"atoms, {count} lines"
        self._add_sites(name, [self._site(self._words(expected), expected) for _ in range(count)])
        self._held = self._line()
        if self._held and self._is_site(self._held.split()):
            raise self.reader.error(f"more than the {count} atoms that {name}COORD announces")

    def _read_molecule(self):
        """Atoms up to the next keyword."""
        sites = []
        while (line := self._line()) is not None and not self._ends_atoms(line):
            sites.append(self._site(line.partition("#")[0].split(), "an atom"))
        self._held = line
        self._add_sites("ATOMS", sites)

    def _ends_atoms(self, line):
        word = line.split()[0].upper()
        is_known = _GRID.match(line) or _END.match(line) or word in self._sections
        return is_known or _OTHER.fullmatch(line)

    def _add_sites(self, name, sites):
        if self.contents.sites.setdefault(name, sites) != sites:
            raise self.reader.error(f"other atoms of {name}; give a file with one structure")

    def _site(self, words, expected):
        """Label and position; forces may follow."""
        if not words or not element_of_label(words[0]):
            raise self.reader.error(f"expected {expected}, found {' '.join(words)[:40]!r}")
        return words[0], self.reader.as_floats(words[1:4], (3,), expected)

    def _is_site(self, words):
        try:
            return bool(element_of_label(words[0])) and len([*map(as_float, words[1:4])]) == 3
        except ValueError:
            return False

    def _read_grid(self, line, block, kind, dimensions, name):
        keyword = f"{kind}_{dimensions}".upper()
        if keyword != "DATAGRID_3D":
            self.contents.others.append(keyword)
            self._skip_grid(block)
        elif block:
            title = self._line()
            is_title = title is not None and not _GRID.match(title) and not _END.match(title)
            self._block, self._held = (title, None) if is_title else ("", title)
        else:
            number = self.reader.number
            self._held = self._line()
            if self._held and _GRID.match(self._held):  # the name of a block that looks like one
                self._block = line
            else:
                self.contents.grids.append(self._grid(number, name.strip()))

    def _skip_grid(self, block):
        while (line := self._line()) is not None:
            if (end := _END.match(line)) and bool(end[1]) == bool(block):
                return

    def _grid(self, line, name):
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
        return Grid(line, self._block, name, origin, spans, values)
