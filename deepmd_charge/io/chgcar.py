# SPDX-License-Identifier: LGPL-3.0-or-later
"""VASP's CHGCAR and the files of its layout: CHG, PARCHG, AECCAR0, 1 and 2, LOCPOT, ELFCAR.

The layout is a POSCAR (comment, scale, cell, elements, counts, positions), an
empty line, and then one block or more of a line ``nx ny nz``, nx*ny*nz values
with x running fastest, and text. The values are density times cell volume, in
electrons; in LOCPOT (eV) and ELFCAR they are what they are. The first block is the total
density; a collinear run adds the magnetisation, a non-collinear one its three components.
The text holds the PAW augmentation occupancies and, between blocks, the magnetic moments.
A CHG of molecular dynamics or of a relaxation goes on with the next frame: all of this again.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from itertools import groupby
from typing import TYPE_CHECKING

import numpy as np

from ..atoms.species import element_of, species_of
from ..errors import ChargeError
from ..grid.density import Density
from ..grid.grid import Grid
from ..typing import Floats, PathLike
from ._chgcar_frame import Frame, read_frame
from .frames import choose_frames, no_such_frames
from .poscar import is_vasp_4
from .text.reader import TextReader
from .text.writer import slabs, text_writer, write_values
from .verdict.declared import UNDECLARED, Declared

if TYPE_CHECKING:
    from ase import Atoms

COLUMNS = 5


def read(path: PathLike, kind: str = "vasp/chgcar", declared: Declared = UNDECLARED) -> Density:
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
        If the file is damaged, or has several frames.
    """
    density = next(iterate(path, kind, declared))
    if "frame" in density.extra:
        n_frames, name = count_frames(path, declared), os.path.basename(path)
        raise ChargeError(
            f"{path}: holds the densities of {n_frames} frames: choose one, such as {name}@0, or"
            f" {name}@-1, the last (convert, test, info and iterate_densities take all)"
        )
    return density


def iterate(
    path: PathLike,
    kind: str = "vasp/chgcar",
    declared: Declared = UNDECLARED,
    frames: str | None = None,
) -> Iterator[Density]:
    """Read the densities of a file one at a time, as a CHG of molecular dynamics has them.

    Parameters
    ----------
    path, kind, declared
        As for :func:`read`.
    frames : str, optional
        See :func:`deepmd_charge.io.frames.choose_frames`. Those before and between them are
        checked and not kept; what comes after them is not looked at.

    Yields
    ------
    Density
        As of :func:`read`. ``extra`` has the number, from 0, as "frame", where the file has
        several or frames are asked for.

    Raises
    ------
    ChargeError
        If the file is damaged up to the last of these frames, or lacks all of them.
    """
    chosen = choose_frames(path, frames, lambda: count_frames(path, declared))
    found = False
    for frame in _walk(path, kind, declared, chosen.__contains__) if chosen else ():
        if frame.density is not None:
            if frames is not None or frame.number or frame.follows:
                frame.density.extra["frame"] = frame.number
            found = True
            yield frame.density
        if frame.number >= chosen[-1]:
            break
        del frame  # before the next one needs memory
    if not found:
        raise no_such_frames(path, frames, count_frames(path, declared))


def count_frames(path: PathLike, declared: Declared = UNDECLARED) -> int:
    """How many densities of as many structures are in a file."""
    return sum(1 for _ in _walk(path, "", declared, lambda number: False))


def lacks_elements(path: PathLike) -> bool:
    """Whether a file has the header of VASP 4, in which no line tells the elements."""
    with TextReader(path) as reader:
        *_, line = (reader.line() for _ in range(6))
    return is_vasp_4((line or "").split())


def write(path: PathLike, density: Density, kind: str = "vasp/chgcar") -> None:
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
    check(path, density.atoms, density.grid)
    if any(block.shape != density.shape for block in blocks) or len(texts) != len(blocks):
        raise ChargeError(f"{path}: the spin grids or augmentation texts do not match the density")
    unit = density.volume if density.quantity.is_per_volume else 1.0
    grid = "".join(f" {n:4d}" for n in density.shape) + "\n"
    with text_writer(path) as file:
        file.write((_structure_text(density) + "\n").encode())
        for block, text in zip(blocks, texts, strict=True):
            file.write(grid.encode())
            # x runs fastest, and only the last slab may end within a line
            rows = (slab.reshape(1, -1) * unit for slab in slabs(block.T, 2 * COLUMNS))
            write_values(file, path, rows, COLUMNS)
            file.write(text.encode())


def check(path: PathLike, atoms: Atoms, grid: Grid) -> None:
    """Raise ChargeError unless origin and atoms of a density have a place in a CHGCAR."""
    if grid.origin.any():
        origin = ", ".join(f"{x:g}" for x in grid.origin)
        raise ChargeError(
            f"{path}: a CHGCAR has its origin at zero, this density at ({origin}) A;"
            " write a cube or an xsf"
        )
    if not len(atoms) or (atoms.numbers < 1).any():
        raise ChargeError(f"{path}: a CHGCAR needs atoms, and elements for all of them")


def _walk(
    path: PathLike, kind: str, declared: Declared, is_wanted: Callable[[int], bool]
) -> Iterator[Frame]:
    """Yield all frames, with the densities of those whose number is wanted."""
    with TextReader(path) as reader:
        number = 0
        first: Frame | None = None
        while True:
            try:
                frame = read_frame(reader, kind, declared, number, is_wanted(number))
                _check_alike(reader, first or frame, frame)
            except ChargeError as error:
                if not number:
                    raise
                before = f"{os.path.basename(path)}@:{number}"
                raise ChargeError(
                    f"{error} (in frame {number}; those before it are complete: {before})"
                ) from None
            first = first or frame._replace(density=None)
            follows = frame.follows
            yield frame
            if not follows:
                return
            del frame  # before the next one needs memory
            number += 1


def _check_alike(reader: TextReader, first: Frame, frame: Frame) -> None:
    """Refuse a frame of other atoms or another number of grids: no run has these in one file."""
    if frame.n_grids != first.n_grids:
        raise reader.error(
            f"{frame.n_grids} grids, where the first frame has {first.n_grids}: truncated?"
        )
    if frame.atoms.get_chemical_symbols() != first.atoms.get_chemical_symbols():
        mine, others = (each.atoms.get_chemical_formula("reduce") for each in (frame, first))
        raise reader.error(f"atoms {mine}, where the first frame has {others}: a file for each")


def _structure_text(density: Density) -> str:
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


def _rows(numbers: Floats, width: int) -> list[str]:
    """Rows in VASP's six decimals, or in 16 where six would lose something."""
    if np.allclose(numbers, np.round(numbers, 6), rtol=0, atol=1e-13):
        numbers = np.round(numbers, 6) + 0.0  # no "-0.000000"
        return ["".join(f"{x:{width}.6f}" for x in row) for row in numbers]
    return ["".join(f" {x:{width + 10}.16f}" for x in row) for row in numbers]
