# SPDX-License-Identifier: LGPL-3.0-or-later
"""VASP's CHGCAR and CHG.

The layout is a POSCAR (comment, scale, cell, elements, counts, positions), an
empty line, and then one block or more of a line ``nx ny nz``, nx*ny*nz values
with x running fastest, and text. The values are density times cell volume, in
electrons. The first block is the total density; a collinear run adds the
magnetisation, a non-collinear one its three components. The text holds the
PAW augmentation occupancies and, between blocks, the magnetic moments.
"""

import math
import os
import re
import warnings
from itertools import groupby

import numpy as np

from ..density import Density
from ..errors import ChargeError, ElectronCountWarning
from ._numbers import FIELD, format_values
from ._text import CHUNK_BYTES, TextReader, text_writer

KIND = "vasp/chgcar"
ORDER = "F"
COLUMNS = 5

# An integral this far (electrons) from a whole number earns a warning, one this
# far (as a fraction) above the sum of atomic numbers an error.
INTEGRAL_TOLERANCE = 0.01
NUCLEI_TOLERANCE = 1e-3

_OTHER_QUANTITIES = {"LOCPOT": "a potential", "ELFCAR": "an electron localisation function"}
# "Si", and VASP 6's names of potentials: "Si_pv", "Si/4f2a...", "Si_pv/", "H1.25", "H.5"
_LABEL = re.compile(r"([A-Z][a-z]?)(?:[_/.\d].*)?")
_AUGMENTATION = re.compile(r"\s*augmentation occupancies\D*(?:(\d+)\s+(\d+))?\s*")


def read(path):
    """Read a CHGCAR or CHG of VASP 5 or 6.

    Parameters
    ----------
    path : str or os.PathLike
        File, plain or compressed.

    Returns
    -------
    Density
        In e/A^3. ``extra`` holds "comment" (str), "spin" (list of 0, 1 or 3
        arrays like ``values``, e/A^3) and "augmentation" (list of the text
        after each block, as it stands in the file).

    Raises
    ------
    ChargeError
        If the file is damaged, or holds no charge density: by its name
        (LOCPOT, ELFCAR), or by an integral that is not positive or above the
        sum of the atomic numbers.

    Warns
    -----
    ElectronCountWarning
        If the integral is not a whole number of electrons.
    """
    check_name(path)
    with TextReader(path) as reader:
        comment, atoms = _read_structure(reader)
        grid = _read_grid(reader)
        volume = abs(np.linalg.det(atoms.cell.array))
        blocks, texts, more = [], [], True
        while more:
            values = reader.values(math.prod(grid), volume)
            blocks.append(values.reshape(grid[::-1]).T)
            text, more = _read_text(reader, grid, len(atoms))
            texts.append(text)
        if len(blocks) not in (1, 2, 4):
            raise reader.error(
                f"{len(blocks)} grids, where a CHGCAR has 1, 2 (spin) or 4 (non-collinear):"
                " truncated?"
            )
    extra = {"comment": comment, "spin": blocks[1:], "augmentation": texts}
    density = Density(atoms, blocks[0], kind=KIND, extra=extra)
    _check_electrons(density, reader.path)
    return density


def write(path, density):
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
        In e/A^3.

    Raises
    ------
    ChargeError
        If the file cannot be written, a value is not finite, the origin is not
        zero, or an atom is no element.
    """
    check_name(path)
    path = os.fspath(path)
    blocks = [density.values, *density.extra.get("spin", [])]
    texts = density.extra.get("augmentation", [""] * len(blocks))
    if density.origin.any():
        raise ChargeError(
            f"{path}: a CHGCAR has its origin at zero, this density at {density.origin.tolist()} A"
        )
    if not len(density.atoms) or (density.atoms.numbers < 1).any():
        raise ChargeError(f"{path}: a CHGCAR needs atoms, and elements for all of them")
    if any(block.shape != density.shape for block in blocks) or len(texts) != len(blocks):
        raise ChargeError(f"{path}: the spin grids or augmentation texts do not match the density")
    grid = "".join(f" {n:4d}" for n in density.shape) + "\n"
    with text_writer(path) as file:
        file.write((_structure_text(density) + "\n").encode())
        for block, text in zip(blocks, texts):
            file.write(grid.encode())
            for values in _in_file_order(block):
                if not np.isfinite(values).all():
                    raise ChargeError(f"{path}: not written: some values are not finite")
                file.write(format_values(values * density.volume, COLUMNS))
            file.write(text.encode())


def check_name(path):
    """Raise ChargeError for the names of files that hold another quantity."""
    name = os.path.basename(os.fspath(path)).upper()
    for other, what in _OTHER_QUANTITIES.items():
        if other in name:
            raise ChargeError(
                f"{os.fspath(path)}: by its name {what}, not a charge density: give a CHGCAR"
            )


def _check_electrons(density, path):
    """Refuse what cannot be an electron density; wonder at odd counts."""
    electrons = density.n_electrons
    protons = int(density.atoms.numbers.sum())
    if not 0 < electrons <= protons * (1 + NUCLEI_TOLERANCE):
        raise ChargeError(
            f"{path}: not a charge density: it integrates to {electrons:.6g} electrons, where"
            f" {density.atoms.get_chemical_formula()} has between 0 and {protons}: give a CHGCAR"
        )
    if abs(electrons - round(electrons)) > INTEGRAL_TOLERANCE:
        warnings.warn(
            f"{path}: the density integrates to {electrons:.6g} electrons, not a whole number",
            ElectronCountWarning,
            stacklevel=4,
        )


def _read_structure(reader):
    """Comment and atoms of the header."""
    from ase import Atoms

    comment = reader.line()
    if comment is None:
        raise ChargeError(f"{reader.path}: the file is empty")
    scale = np.array(_floats(reader, (1, 3), "a scale factor (or three)"))
    cell = np.array([_floats(reader, (3,), f"cell vector {i}, three numbers") for i in (1, 2, 3)])
    volume = abs(np.linalg.det(cell))
    if volume < 1e-12 or not scale.all() or (len(scale) == 3 and (scale < 0).any()):
        raise reader.error("the cell has no volume: check the scale factor and the cell vectors")
    if scale[0] < 0:  # the volume of the cell
        scale = np.cbrt(-scale / volume)
    cell *= scale
    symbols = _read_species(reader)
    mode = _words(reader, "'Direct' or 'Cartesian'")
    if mode[:1] and mode[0][0] in "Ss":
        mode = _words(reader, "'Direct' or 'Cartesian' after 'Selective dynamics'")
    if not mode or mode[0][0] not in "DdCcKk":
        raise reader.error(f"expected 'Direct' or 'Cartesian', found {' '.join(mode)[:40]!r}")
    positions = np.array(
        [
            # what may follow are the flags of selective dynamics, no part of a density
            _floats(reader, None, f"position {i + 1} of the {len(symbols)} that the header counts")
            for i in range(len(symbols))
        ]
    )
    positions = positions @ cell if mode[0][0] in "Dd" else positions * scale
    return comment, Atoms(symbols, positions=positions, cell=cell, pbc=True)


def _read_species(reader):
    """Element of each atom, from the lines of elements and counts."""
    from ase.data import atomic_numbers

    labels = _words(reader, "element symbols")
    if not labels:
        raise reader.error("expected element symbols, found an empty line")
    if all(label.isdigit() for label in labels):
        raise reader.error(
            "expected element symbols, found counts (VASP 4?): insert a line with the symbols"
        )
    elements = []
    for label in labels:
        match = _LABEL.fullmatch(label)
        if not match or atomic_numbers.get(match[1], 0) < 1:
            raise reader.error(f"{label[:40]!r} is not an element symbol")
        elements.append(match[1])
    words = _words(reader, "the number of atoms of each element")
    if not all(word.isdigit() and int(word) > 0 for word in words):
        raise reader.error(f"expected the numbers of atoms, found {' '.join(words)[:40]!r}")
    if len(words) != len(elements):
        raise reader.error(f"{len(words)} counts for {len(elements)} elements")
    return [element for element, word in zip(elements, words) for _ in range(int(word))]


def _read_grid(reader):
    """Shape from the first grid line, after any empty lines."""
    words = []
    while not words:
        words = _words(reader, "the grid line 'nx ny nz'")
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
    lines, more = [], False
    n_free = missing = 0
    headed, last_atom = False, None
    while (line := reader.line()) is not None:
        words = line.split()
        if not missing and _as_grid(words) == grid:
            more = True
            break
        lines.append(line + "\n")
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
    return "".join(lines), more


def _words(reader, expected):
    line = reader.line()
    if line is None:
        raise reader.error(f"the file ends here, expected {expected}")
    return line.split()


def _floats(reader, counts, expected):
    """Numbers of a line: as many as one of ``counts``, or three and what follows."""
    words = _words(reader, expected)
    found = " ".join(words)[:40]
    if counts is None:
        words = words[:3]
    try:
        numbers = [float(word) for word in words]
    except ValueError:
        numbers = []
    if len(numbers) not in (counts or (3,)) or not np.isfinite(numbers).all():
        raise reader.error(f"expected {expected}, found {found!r}")
    return numbers


def _as_grid(words):
    if len(words) == 3 and all(word.isdigit() for word in words):
        return tuple(map(int, words))
    return None


def _structure_text(density):
    """Header up to and without the empty line."""
    atoms = density.atoms
    cell = atoms.cell.array
    fractional = np.linalg.solve(cell.T, atoms.positions.T).T
    runs = [(symbol, len(list(run))) for symbol, run in groupby(atoms.get_chemical_symbols())]
    comment = density.extra.get("comment") or atoms.get_chemical_formula()
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


def _in_file_order(block):
    """Values with x running fastest, in pieces of whole lines."""
    n_planes = max(1, CHUNK_BYTES // FIELD // (block.shape[0] * block.shape[1]))
    rest = np.empty(0)
    for start in range(0, block.shape[2], n_planes):
        planes = block[:, :, start : start + n_planes].reshape(-1, order="F")
        values = np.concatenate([rest, planes])
        whole = len(values) // COLUMNS * COLUMNS
        rest = values[whole:]
        if whole:
            yield values[:whole]
    if len(rest):
        yield rest
