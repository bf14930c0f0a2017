# SPDX-License-Identifier: LGPL-3.0-or-later
"""VASP's CHGCAR and the files of its layout: CHG, PARCHG, AECCAR0, 1 and 2, LOCPOT, ELFCAR.

The layout is a POSCAR (comment, scale, cell, elements, counts, positions), an
empty line, and then one block or more of a line ``nx ny nz``, nx*ny*nz values
with x running fastest, and text. The values are density times cell volume, in
electrons; in LOCPOT (eV) and ELFCAR they are what they are. The first block is the total density; a collinear run adds the
magnetisation, a non-collinear one its three components. The text holds the
PAW augmentation occupancies and, between blocks, the magnetic moments.
"""

import io
import math
import os
import re
from itertools import groupby

import numpy as np

from ..density import Density
from ..errors import ChargeError
from ..quantities import compose_kind, split_kind
from ..species import element_of, name_species, species_of
from .declared import Declared
from .said import split_quantity
from ._text import TextReader
from ._text_writer import slabs, text_writer, write_values

COLUMNS = 5
NOT_TIMES_VOLUME = ("vasp/locpot", "vasp/elfcar")

# "Si", and VASP 6's names of potentials: "Si_pv", "Si/4f2a...", "Si_pv/", "H1.25", "H.5"
_LABEL = re.compile(r"([A-Z][a-z]?)(?:[_/.\d].*)?")
_AUGMENTATION = re.compile(r"\s*augmentation occupancies\D*(?:(\d+)\s+(\d+))?\s*")


def read(path, kind="vasp/chgcar", declared=Declared()):
    """Read a file in the layout of CHGCAR, of any version of VASP.

    Parameters
    ----------
    path : str or os.PathLike
        File, plain or compressed.
    kind : str
        Name of the format; it tells whether the values are times the volume.
    declared : Declared
        What the user says of the file.
        The header of VASP 4 has no line of elements: they are its ``species``, or else
        the words of the comment, if these are elements and as many as the groups.

    Returns
    -------
    Density
        In e/A^3 (or what LOCPOT and ELFCAR hold), of the quantity that ``quantity="..."`` in the
        comment names, as files written here have it. ``extra`` holds "comment"
        (str), "spin" (list of 0, 1 or 3 arrays like ``values``) and
        "augmentation" (list of the text after each block, as it stands in the
        file).

    Raises
    ------
    ChargeError
        If the file is damaged.
    """
    with TextReader(path) as reader:
        comment, atoms = _read_structure(reader, declared.species)
        comment, quantity = split_quantity(comment)
        grid = _read_grid(reader)
        quantity = declared.quantity or quantity or split_kind(kind)[1]
        unit = declared.divisor(quantity, "e", atoms.get_volume())
        blocks, texts, more = [], [], True
        while more:
            if len(blocks) == 4:
                raise reader.error("a fifth grid, where a CHGCAR has 1, 2 or 4")
            blocks.append(reader.values(math.prod(grid), unit).reshape(grid[::-1]).T)
            text, more = _read_text(reader, grid, len(atoms))
            texts.append(text)
        if len(blocks) == 3:
            raise reader.error(
                "3 grids, where a CHGCAR has 1, 2 (spin) or 4 (non-collinear): truncated?"
            )
    extra = {"comment": comment, "spin": blocks[1:], "augmentation": texts}
    return Density(atoms, blocks[0], kind=compose_kind(kind, quantity), extra=extra)


def lacks_elements(path):
    """Whether a file has the header of VASP 4, in which no line tells the elements."""
    with TextReader(path) as reader:
        *_, line = (reader.line() for _ in range(6))
    return _is_vasp_4((line or "").split())


def write(path, density, kind="vasp/chgcar"):
    """Write a CHGCAR that reads back to the last digit.

    Values have 11 digits as in VASP. Cell and positions have VASP's six
    decimals where these say it all (to 1e-13), and 16 decimals otherwise.
    Atoms stay in their order; where like atoms do not follow one another an
    element appears more than once in the header, as VASP allows. Spin grids
    and augmentation text in ``density.extra`` are written as well.

    Parameters
    ----------
    path : str or os.PathLike
        File; .gz and .xz compress.
    density : Density
        In e/A^3 (or what LOCPOT and ELFCAR hold).
    kind : str
        Name of the format, as for :func:`read`.

    Raises
    ------
    ChargeError
        If the file cannot be written, a value is not finite, the origin is not
        zero, or an atom is no element.
    """
    path = os.fspath(path)
    blocks = [density.values, *density.extra.get("spin", [])]
    texts = density.extra.get("augmentation", [""] * len(blocks))
    check(path, density)
    if any(block.shape != density.shape for block in blocks) or len(texts) != len(blocks):
        raise ChargeError(f"{path}: the spin grids or augmentation texts do not match the density")
    unit = 1.0 if kind in NOT_TIMES_VOLUME else density.volume
    grid = "".join(f" {n:4d}" for n in density.shape) + "\n"
    with text_writer(path) as file:
        file.write((_structure_text(density) + "\n").encode())
        for block, text in zip(blocks, texts):
            file.write(grid.encode())
            # x runs fastest, and only the last slab may end within a line
            rows = (slab.reshape(1, -1) * unit for slab in slabs(block.T, 2 * COLUMNS))
            write_values(file, path, rows, COLUMNS)
            file.write(text.encode())


def check(path, density):
    """Raise ChargeError unless origin and atoms of a density have a place in a CHGCAR."""
    if density.origin.any():
        origin = ", ".join(f"{x:g}" for x in density.origin)
        raise ChargeError(
            f"{path}: a CHGCAR has its origin at zero, this density at ({origin}) A;"
            " write a cube or an xsf"
        )
    if not len(density.atoms) or (density.atoms.numbers < 1).any():
        raise ChargeError(f"{path}: a CHGCAR needs atoms, and elements for all of them")


def augmentation_counts(text):
    """Occupancies of each atom, as the headings in the text after a block announce them."""
    headings = map(_AUGMENTATION.fullmatch, text.splitlines())
    return [int(heading[2]) for heading in headings if heading and heading[2]]


def _read_structure(reader, species):
    """Comment and atoms of the header."""
    from ase import Atoms

    comment = reader.line()
    if comment is None:
        raise ChargeError(f"{reader.path}: the file is empty")
    scale = np.array(reader.floats((1, 3), "a scale factor (or three)"))
    cell = np.array([reader.floats((3,), f"cell vector {i}, three numbers") for i in (1, 2, 3)])
    volume = abs(np.linalg.det(cell))
    if not volume > 1e-12 or not scale.all() or (len(scale) == 3 and (scale < 0).any()):
        raise reader.error("the cell has no volume: check the scale factor and the cell vectors")
    if scale[0] < 0:  # the volume of the cell
        scale = np.cbrt(-scale / volume)
    cell *= scale
    elements, counts = _read_species(reader, species or comment.split())
    mode = reader.words("'Direct' or 'Cartesian'")
    if mode[:1] and mode[0][0] in "Ss":
        mode = reader.words("'Direct' or 'Cartesian' after 'Selective dynamics'")
    if not mode or mode[0][0] not in "DdCcKk":
        raise reader.error(f"expected 'Direct' or 'Cartesian', found {' '.join(mode)[:40]!r}")
    positions = []
    for i in range(sum(counts)):
        expected = f"position {i + 1} of the {sum(counts)} that the header counts"
        # what may follow are the flags of selective dynamics, no part of a density
        positions.append(reader.as_floats(reader.words(expected)[:3], (3,), expected))
    positions = np.array(positions)
    positions = positions @ cell if mode[0][0] in "Dd" else positions * scale
    symbols = [element for element, count in zip(elements, counts) for _ in range(count)]
    atoms = Atoms(symbols, positions=positions, cell=cell, pbc=True)
    name_species(reader.path, atoms, species, counts)
    return comment, atoms


def _read_species(reader, names):
    """Elements and counts, from their lines, or of VASP 4 from names and a line of counts."""
    labels = reader.words("element symbols")
    if not labels:
        raise reader.error("expected element symbols, found an empty line")
    if _is_vasp_4(labels):
        words = labels
        elements = [element_of(name) for name in names]
        if len(elements) != len(words) or None in elements:
            raise reader.error(
                f"no line of element symbols (VASP 4): name the {len(words)} species"
                " (--species, species=), or insert the line"
            )
    else:
        elements = []
        for label in labels:
            match = _LABEL.fullmatch(label)
            if not match or not element_of(match[1]):
                raise reader.error(f"{label[:40]!r} is not an element symbol")
            elements.append(match[1])
        words = reader.words("the number of atoms of each element")
    if not all(word.isdecimal() and int(word) > 0 for word in words):
        raise reader.error(f"expected the numbers of atoms, found {' '.join(words)[:40]!r}")
    if len(words) != len(elements):
        raise reader.error(f"{len(words)} counts for {len(elements)} elements")
    return elements, [int(word) for word in words]


def _is_vasp_4(labels):
    """Whether the words after the cell are the counts of the atoms."""
    return all(label.isdecimal() for label in labels)


def _read_grid(reader):
    """Shape from the first grid line, after any empty lines."""
    words = []
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


def _read_text(reader, grid, n_atoms):
    """Text up to the next grid line or the end, and whether a grid follows.

    The only numbers that may stand before the first heading, or without one,
    are magnetic moments; more of them are values that the header denies. An
    occupancy list must be as long as its heading says.
    """
    text, more = io.StringIO(), False
    n_free = missing = 0
    headed, last_atom = False, None
    while (line := reader.line()) is not None:
        words = line.split()
        if not missing and _as_grid(words) == grid:
            more = True
            break
        text.write(line + "\n")
        heading = _AUGMENTATION.fullmatch(line)
        if heading:
            if missing:
                break
            headed = True
            if heading[1]:
                last_atom, missing = int(heading[1]), int(heading[2])
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
    if last_atom not in (None, n_atoms):
        raise reader.error(
            f"augmentation occupancies up to atom {last_atom}, but the header counts {n_atoms} atoms"
        )
    return text.getvalue(), more


def _as_grid(words):
    if len(words) == 3 and all(word.isdecimal() for word in words):
        return tuple(map(int, words))
    return None


def _structure_text(density):
    """Header up to and without the empty line."""
    atoms = density.atoms
    cell = atoms.cell.array
    fractional = np.linalg.solve(cell.T, atoms.positions.T).T
    runs = [(element_of(name), len(list(run))) for name, run in groupby(species_of(atoms))]
    comment = density.extra.get("comment") or atoms.get_chemical_formula()
    if ":" in density.kind:  # of what the format's files usually hold nothing is said
        comment += f' quantity="{density.quantity.name}"'
    lines = [
        " ".join(comment.splitlines()),
        "   1.0000000000000000     ",
        *(" " + row for row in _rows(cell, 12)),
        "".join(f"   {symbol:<2}" for symbol, _ in runs),
        "".join(f" {n:5d}" for _, n in runs),
        "Direct",
        *_rows(fractional, 10),
    ]
    return "\n".join(lines) + "\n"


def _rows(numbers, width):
    """Rows in VASP's six decimals, or in 16 where six would lose something."""
    if np.allclose(numbers, np.round(numbers, 6), rtol=0, atol=1e-13):
        numbers = np.round(numbers, 6) + 0.0  # no "-0.000000"
        return ["".join(f"{x:{width}.6f}" for x in row) for row in numbers]
    return ["".join(f" {x:{width + 10}.16f}" for x in row) for row in numbers]
