# SPDX-License-Identifier: LGPL-3.0-or-later
"""Gaussian's cube files, as Gaussian, CP2K, Quantum ESPRESSO, ABACUS, Psi4, PySCF write them.

Two comment lines; number of atoms, origin and perhaps the number of values at
each point; for each axis the number of points and the step; a line for each
atom: atomic number, charge, position; the values with z running fastest.
Lengths are in bohr, or in A where the numbers of points are negative. Densities
are in e/bohr^3 always. A negative number of atoms announces a line with
the number of datasets and their labels before the values.

The format does not say what the values are: programs do, in words of their own in the comment
lines (:mod:`deepmd_charge.io.verdict.said`); nor whether the atoms are periodic
(:mod:`deepmd_charge.io.verdict.periodicity`). Files that are written here do, by
``quantity="difference"`` and ``pbc="T T F"`` at the ends of the comment lines.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from ..atoms.species import name_species
from ..errors import ChargeError
from ..grid.density import Density
from ..grid.grid import Grid
from ..grid.quantity import QUANTITIES, Quantity, compose_kind
from ..typing import Floats, PathLike
from ..units import BOHR, PER_BOHR3
from . import abacus
from ._cube_header import Header, read_header
from .text.reader import TextReader
from .text.writer import slabs, text_writer, write_values
from .verdict.declared import LENGTHS, UNDECLARED, Declared
from .verdict.evidence import largest_on_faces, repeated_planes
from .verdict.mistakes import convert_units, is_whole, likely_reading
from .verdict.periodicity import FACE_DENSITY, guess_periodicity
from .verdict.said import (
    MOLECULAR,
    NAMING,
    program_said,
    quantity_named,
    quantity_said,
    split_quantity,
    units_said,
    with_quantity,
    words_of,
)  # fmt: skip

if TYPE_CHECKING:
    from ase import Atoms

COLUMNS = 6
_PBC = re.compile(r' pbc="([TF]) ([TF]) ([TF])"\s*$')  # as in extxyz


def read(path: PathLike, kind: str = "cube", declared: Declared = UNDECLARED) -> Density:
    """Read a cube file.

    Parameters
    ----------
    path : str or os.PathLike
        File, plain or compressed.
    kind : str
        Becomes the density's kind, with what the comment says of its quantity.
    declared : Declared
        What the user says of the file.

    Returns
    -------
    Density
        In e/A^3; a potential, an orbital and what else is not so much per volume as it is.
        ``extra`` holds "comment" (str, two lines), "notes" and "doubts" (see
        :func:`deepmd_charge.read_density`), "said" (what tells the quantity, or None), "units"
        (of values and lengths), "untold" (``("pbc",)`` where the file does not tell it) and,
        where there are several datasets, "datasets": those after the first, like ``values``.

    Raises
    ------
    ChargeError
        If the file is damaged.
    """
    with TextReader(path) as reader:
        header = read_header(reader)
        comment, pbc, said = _split_comment(header.comment)
        extra: dict[str, Any] = {"comment": comment, "notes": [], "doubts": []}
        quantity = declared.quantity or _find_quantity(reader.path, extra, header, said)
        length = declared.length or ("A" if header.in_angstrom else "bohr")
        cell, origin, positions = (
            lengths * LENGTHS[length] for lengths in (header.cell, header.origin, header.positions)
        )
        divisor = declared.divisor(quantity, "e/bohr^3", abs(np.linalg.det(cell)))
        values = reader.values(math.prod(header.shape) * header.n_sets, divisor)
        _expect_end(reader)
    values = np.moveaxis(values.reshape(*header.shape, header.n_sets), -1, 0)
    first, *others = map(np.ascontiguousarray, values)
    if others:
        extra["datasets"] = others
        extra["notes"].append(f"the first of {header.n_sets} datasets")
    extra["units"] = declared.values or "e/bohr^3", length
    atoms = _named_atoms(reader.path, header.numbers, positions, cell, declared.species)
    density = Density(atoms, first, origin, compose_kind(kind, quantity), extra)
    _trust_words(density, declared)
    if pbc is not None:
        atoms.pbc = pbc
        return density
    density = _one_period(density, declared.pbc)
    density.extra["untold"] = ("pbc",)
    if declared.pbc is None:
        guess_periodicity(density, program_said(comment))
    else:  # a cell that is too long may still be found
        density.atoms.pbc = declared.pbc
    return density


def _split_comment(lines: list[str]) -> tuple[str, list[bool] | None, Quantity | None]:
    """Words, and the periodicity and quantity that files written here note beside them."""
    first, pbc = lines[0], None
    if said := _PBC.search(first):
        first = first[: said.start()]
        pbc = [letter == "T" for letter in said.groups()]
    comment, quantity = split_quantity(f"{first}\n{lines[1]}")
    return comment, pbc, quantity


def _find_quantity(
    path: str, extra: dict[str, Any], header: Header, tagged: Quantity | None
) -> Quantity:
    """What a file says that it holds; what it does not say is taken as the total density."""
    comment = extra["comment"]
    quantity, said, doubt = abacus.told_by_name(path, comment)
    if program_said(comment) in NAMING and (quantity := quantity_named(path)):
        said = os.path.basename(path)
    if told := tagged or quantity_said(comment):
        quantity = told
        lines = [line.strip() for line in comment.splitlines()]
        said = next((line[:40] for line in lines if quantity_said(line) == quantity), "")
    extra["said"] = said
    if quantity and not quantity.is_total and not tagged:
        extra["notes"].append(f"{quantity.description}, for it says {said!r} (--is says otherwise)")
    if doubt is None and quantity is None and header.labels:
        doubt = (
            f"its datasets have numbers ({' '.join(header.labels[:5])}), as those of orbitals: say"
            " by --is orbital or --is total (holds=) what they are"
        )
    extra["doubts"] += [doubt] if doubt else []
    return quantity or QUANTITIES["total"]


def _trust_words(density: Density, declared: Declared) -> None:
    """Take the units that the comment names, where the number of electrons bears them out."""
    now: tuple[str, str] = density.extra["units"]
    values, length = units_said(density.extra["comment"])
    named = (declared.values or values or now[0], declared.length or length or now[1])
    if named == now or not density.quantity.is_per_volume:
        return
    is_total, electrons = density.quantity.is_total, density.n_electrons
    likely = likely_reading(density, declared, electrons) if is_total else None
    if likely and likely[:2] == named:
        convert_units(density, named)
        density.extra["notes"].append(
            f"values in {named[0]}, lengths in {named[1]}, as its comment and its"
            f" {likely.electrons:.3f} electrons say (--unit says otherwise)"
        )
    elif likely or not (is_total and is_whole(electrons)):
        density.extra["doubts"].append(
            f"its comment speaks of {' and '.join(set(named) - set(now))}, the format of"
            f" {' and '.join(set(now) - set(named))}: say by --unit (unit=) which it is"
        )


def _one_period(density: Density, pbc: Sequence[bool] | None) -> Density:
    """A grid without the last planes that repeat its first ones, as of XCrySDen's general grids.

    Along axes that are declared open they stay.
    """
    repeated = repeated_planes(density.values)
    if pbc is not None:
        repeated = {axis: is_sure for axis, is_sure in repeated.items() if pbc[axis]}
    elif (
        program_said(density.extra["comment"]) in MOLECULAR
        or largest_on_faces(density.values) < FACE_DENSITY
    ):
        return density
    if not repeated:
        return density
    keep = tuple(slice(-1 if axis in repeated else None) for axis in range(3))
    values = np.ascontiguousarray(density.values[keep])
    atoms = density.atoms.copy()
    atoms.set_cell(atoms.cell.array * (np.divide(values.shape, density.shape))[:, None])
    extra = dict(density.extra)
    if "datasets" in extra:
        extra["datasets"] = [np.ascontiguousarray(one[keep]) for one in extra["datasets"]]
    period = Density(atoms, values, density.origin, density.kind, extra)
    if density.extra["units"][0] == "e":  # times a volume that is none
        values *= density.volume / period.volume
    counts = [density.quantity.is_total and is_whole(d.n_electrons) for d in (density, period)]
    if counts == [True, False] or (not all(repeated.values()) and counts != [False, True]):
        return density
    axes = "".join("abc"[axis] for axis in repeated)
    extra["notes"].append(
        f"without the last planes along {axes}, which repeat the first (--pbc F F F keeps them)"
    )
    return Density(atoms, values, density.origin, density.kind, extra)


def write(path: PathLike, density: Density, kind: str = "cube") -> None:
    """Write a cube file in bohr and e/bohr^3.

    Values have 11 digits, more than the usual 6E13.5, in six columns: nothing
    is lost, and whoever splits lines at blanks reads them.

    Parameters
    ----------
    path : str or os.PathLike
        File; .gz and .xz compress.
    density : Density
        In e/A^3 (or what LOCPOT and ELFCAR hold, written as it is). The file holds
        its values only, no spin grids.
    kind : str
        Not used.

    Raises
    ------
    ChargeError
        If the file cannot be written, a value is not finite, or an atom is no element.
    """
    path = os.fspath(path)
    atoms = density.atoms
    check(path, density.atoms, density.grid)
    steps = atoms.cell.array / np.reshape(density.shape, (3, 1)) / BOHR
    with text_writer(path) as file:
        lines = [
            *_comment(density),
            _line(len(atoms), density.origin / BOHR),
            *(_line(n, step) for n, step in zip(density.shape, steps, strict=True)),
            *(
                _line(z, [z, *xyz / BOHR])
                for z, xyz in zip(atoms.numbers, atoms.positions, strict=True)
            ),
        ]
        file.write(("\n".join(lines) + "\n").encode())
        unit = PER_BOHR3 if density.quantity.is_per_volume else 1.0
        rows = (slab.reshape(-1, density.shape[2]) / unit for slab in slabs(density.values))
        write_values(file, path, rows, COLUMNS)


def _comment(density: Density) -> tuple[str, str]:
    """Two lines that say what is periodic and what the values are."""
    first, second = [*density.extra.get("comment", "").splitlines(), "", ""][:2]
    first = first or density.atoms.get_chemical_formula()
    if not second:
        second = words_of(density.quantity)
        second += " in e/bohr^3" if density.quantity.is_total else ""
    first, second = with_quantity(f"{first}\n{second}", density.quantity).splitlines()
    periodicity = " ".join("FT"[int(is_periodic)] for is_periodic in density.atoms.pbc)
    return f'{first} pbc="{periodicity}"', second


def check(path: PathLike, atoms: Atoms, grid: Grid) -> None:
    """Raise ChargeError unless the atoms of a density have a place in a cube."""
    if not len(atoms) or (atoms.numbers < 1).any():
        raise ChargeError(f"{path}: a cube needs atoms, and elements for all of them")


def _line(count: int, numbers: Iterable[float]) -> str:
    return f"{count:5d}" + "".join(f" {x:17.12f}" for x in numbers)


def _named_atoms(
    path: str, numbers: list[int], positions: Floats, cell: Floats, species: Sequence[str] | None
) -> Atoms:
    from ase import Atoms

    atoms = Atoms(numbers, positions=positions, cell=cell)
    name_species(path, atoms, species)
    return atoms


def _expect_end(reader: TextReader) -> None:
    while (line := reader.line()) is not None:
        if line.strip():
            raise reader.error("more values than the grid has: do the counts of the header hold?")
