# SPDX-License-Identifier: LGPL-3.0-or-later
"""A frame of a file in the layout of CHGCAR: a structure, its grids, and the text after each.

After the values of a grid may stand augmentation occupancies, magnetic moments, or both.
Then the line ``nx ny nz`` comes again and begins the next grid, or another structure begins,
or the file ends.
"""

from __future__ import annotations

import io
import math
import re
from typing import TYPE_CHECKING, NamedTuple

from ..grid.density import Density
from ..grid.quantity import compose_kind, split_kind
from ..typing import Floats, Shape
from . import poscar
from .paw import HEADING
from .text.reader import TextReader
from .verdict.declared import Declared
from .verdict.said import split_quantity

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["Frame", "read_frame"]

_GRID, _STRUCTURE = "grid", "structure"  # what may follow the text after a grid's values
_NUMBER = re.compile(r"[-+]?[\d.*][-+.\d*EeDd]*")


class Frame(NamedTuple):
    """What a frame holds; ``density`` is None where it was passed over."""

    number: int
    atoms: Atoms
    n_grids: int
    density: Density | None
    follows: str | None  # another structure, or nothing


def read_frame(
    reader: TextReader, kind: str, declared: Declared, number: int, is_wanted: bool
) -> Frame:
    """Read a structure and its grids, and keep them if they are wanted."""
    comment, atoms = poscar.read_structure(reader, declared.species)
    comment, quantity = split_quantity(comment)
    grid = _read_grid(reader)
    quantity = declared.quantity or quantity or split_kind(kind)[1]
    unit = declared.divisor(quantity, "e", atoms.get_volume())
    blocks: list[Floats] = []
    texts: list[str] = []
    follows: str | None = _GRID
    while follows == _GRID:
        if len(texts) == 4:
            raise reader.error("a fifth grid, where a CHGCAR has 1, 2 or 4")
        values = reader.values(math.prod(grid), unit)
        if is_wanted:
            blocks.append(values.reshape(grid[::-1]).T)
        text, follows = _read_text(reader, grid, len(atoms))
        texts.append(text)
    if len(texts) == 3:
        raise reader.error(
            "3 grids, where a CHGCAR has 1, 2 (spin) or 4 (non-collinear): truncated?"
        )
    density = None
    if is_wanted:
        extra = {"comment": comment, "spin": blocks[1:], "augmentation": texts}
        density = Density(atoms, blocks[0], kind=compose_kind(kind, quantity), extra=extra)
    return Frame(number, atoms, len(texts), density, follows)


def _read_grid(reader: TextReader) -> Shape:
    """Shape from the first grid line, after any empty lines."""
    words: list[str] = []
    while not words:
        words = reader.words("the grid line 'nx ny nz'")
    grid = _as_grid(words)
    if grid is None:
        raise reader.error(
            f"expected the grid line 'nx ny nz', found {' '.join(words)[:40]!r}:"
            " do the counts of atoms match the positions?"
        )
    if not all(grid):
        raise reader.error(f"a grid of zero points: {' '.join(words)}")
    return grid


def _read_text(reader: TextReader, grid: Shape, n_atoms: int) -> tuple[str, str | None]:
    """Text up to the next grid line, the next structure or the end, and which of these follows.

    The only numbers that may stand before the first heading, or without one,
    are magnetic moments; more of them are values that the header denies. An
    occupancy list must be as long as its heading says.
    """
    text, follows = io.StringIO(), None
    n_free = missing = 0
    headed = False
    last_atoms: dict[str | None, int] = {}  # of the real and the imaginary parts
    while (line := reader.line()) is not None:
        words, heading = line.split(), HEADING.fullmatch(line)
        if not missing and not heading and _is_comment(reader, words):
            reader.unread()
            follows = _STRUCTURE
            break
        if not missing and _as_grid(words) == grid:
            follows = _GRID
            break
        text.write(line + "\n")
        if heading:
            if missing:
                break
            headed = True
            if heading["atom"]:
                last_atom, missing = int(heading["atom"]), int(heading["count"])
                last_atoms[heading["imaginary"]] = last_atom
        elif headed:
            missing = max(missing - len(words), 0)
        else:
            n_free += len(words)
            if n_free > 3 * n_atoms:
                raise reader.error(
                    f"more values than the grid line {' '.join(map(str, grid))} announces"
                )
    if missing:
        raise reader.error(
            f"the augmentation occupancies of atom {last_atom} lack {missing} values: truncated?"
        )
    if n_free not in (0, n_atoms, 3 * n_atoms):
        raise reader.error(f"{n_free} values after the grid's {' x '.join(map(str, grid))}")
    last_atom = min(last_atoms.values(), default=n_atoms)
    if last_atom != n_atoms:
        raise reader.error(
            f"augmentation occupancies up to atom {last_atom}, but the header counts {n_atoms}"
            " atoms"
        )
    return text.getvalue(), follows


def _is_comment(reader: TextReader, words: list[str]) -> bool:
    """Whether the last line, of these words, is the comment of another structure."""
    if all(map(_NUMBER.fullmatch, words)):
        return poscar.goes_on(reader)
    is_cut = "augmentation".startswith(words[0]) and not reader.peek(1)
    if words[0] == "augmentation" or is_cut:
        raise reader.error(
            "expected an atom and a number of augmentation occupancies, found"
            f" {' '.join(words)[:60]!r}"
        )
    return True


def _as_grid(words: list[str]) -> Shape | None:
    if len(words) == 3 and all(word.isdecimal() for word in words):
        nx, ny, nz = map(int, words)
        return nx, ny, nz
    return None
