# SPDX-License-Identifier: LGPL-3.0-or-later
"""Gaussian's cube files, as Gaussian, CP2K, Quantum ESPRESSO, ABACUS, Psi4, PySCF write them.

Two comment lines; number of atoms, origin and perhaps the number of values at
each point; for each axis the number of points and the step; a line for each
atom: atomic number, charge, position; the values with z running fastest.
Lengths are in bohr, or in A where the numbers of points are negative. The
values are in e/bohr^3 always. A negative number of atoms announces a line with
the number of datasets and their labels before the values.

The format does not say whether the atoms are periodic. Files that are written
here do, by ``pbc="T T F"`` at the end of the first line. Any other is read as
periodic, unless the density stays below ``FACE_DENSITY`` on all six faces of the
grid: then it is a molecule in a box, and ``atoms.pbc`` is False.
"""

import math
import os
import re
import warnings

import numpy as np

from ..density import Density
from ..errors import ChargeError
from ..species import name_species
from ..units import BOHR, PER_BOHR3
from .declared import Declared
from ._text import TextReader
from ._text_writer import slabs, text_writer, write_values

COLUMNS = 6
FACE_DENSITY = 0.01  # e/A^3; between the atoms of condensed matter there is ten times as much
_PBC = re.compile(r' pbc="([TF]) ([TF]) ([TF])"\s*$')  # as in extxyz


def read(path, kind="cube", declared=Declared()):
    """Read a cube file.

    Parameters
    ----------
    path : str or os.PathLike
        File, plain or compressed.
    kind : str
        Becomes the density's kind.
    declared : Declared
        What the user says of the file.

    Returns
    -------
    Density
        In e/A^3. ``extra`` holds "comment" (str, two lines) and, where there
        are several datasets, "datasets": those after the first, like ``values``.

    Raises
    ------
    ChargeError
        If the file is damaged.

    Warns
    -----
    UserWarning
        If ABACUS wrote the file for one of two spin channels.
    """
    from ase import Atoms

    with TextReader(path) as reader:
        comment = [reader.line(), reader.line()]
        if None in comment:
            raise ChargeError(f"{reader.path}: the file is empty")
        n_atoms, origin, n_sets = _read_counts(reader, "the number of atoms and the origin")
        if n_atoms == 0:
            raise reader.error("there are no atoms in this file")
        axes = [_read_counts(reader, f"points and step of axis {i}")[:2] for i in (1, 2, 3)]
        signs = {math.copysign(1, n) for n, _ in axes}
        if not all(n for n, _ in axes) or len(signs) > 1:
            raise reader.error("the numbers of points must all be positive, or all negative (A)")
        unit = BOHR if signs == {1} else 1.0
        shape = tuple(abs(n) for n, _ in axes)
        cell = np.array([abs(n) * step for n, step in axes]) * unit
        if not abs(np.linalg.det(cell)) > 1e-12:
            raise reader.error("the cell has no volume: check the steps of the grid")
        numbers, positions = _read_atoms(reader, abs(n_atoms))
        if n_atoms < 0:
            n_sets = _read_labels(reader)
        values = reader.values(math.prod(shape) * n_sets, 1.0 / PER_BOHR3)
        _expect_end(reader)
    sets = [np.ascontiguousarray(one) for one in np.moveaxis(values.reshape(*shape, n_sets), -1, 0)]
    if said := _PBC.search(comment[0]):
        comment[0] = comment[0][: said.start()]
        pbc = [letter == "T" for letter in said.groups()]
    else:
        pbc = not _is_open(sets[0])
    atoms = Atoms(numbers, positions=positions * unit, cell=cell, pbc=pbc)
    name_species(reader.path, atoms, declared.species)
    extra = {"comment": "\n".join(comment)}
    if n_sets > 1:
        extra["datasets"] = sets[1:]
    if comment[1].split()[:2] == ["2", "(nspin)"]:
        warnings.warn(
            f"{reader.path}: ABACUS wrote one spin channel to this file: add the other", stacklevel=3
        )
    return Density(atoms, sets[0], origin * unit, kind, extra)


def write(path, density, kind="cube"):
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
    comment = (density.extra.get("comment", "").splitlines() + ["", ""])[:2]
    periodicity = " ".join("FT"[int(is_periodic)] for is_periodic in atoms.pbc)
    steps = atoms.cell.array / np.reshape(density.shape, (3, 1)) / BOHR
    scaled = density.quantity.is_per_volume
    with text_writer(path) as file:
        lines = [
            f'{comment[0] or atoms.get_chemical_formula()} pbc="{periodicity}"',
            comment[1] or ("electron density in e/bohr^3" if scaled else density.quantity.description),
            _line(len(atoms), density.origin / BOHR),
            *(_line(n, step) for n, step in zip(density.shape, steps)),
            *(_line(z, [z, *xyz / BOHR]) for z, xyz in zip(atoms.numbers, atoms.positions)),
        ]
        file.write(("\n".join(lines) + "\n").encode())
        unit = PER_BOHR3 if scaled else 1.0
        rows = (slab.reshape(-1, density.shape[2]) / unit for slab in slabs(density.values))
        write_values(file, path, rows, COLUMNS)


def _is_open(values):
    """Whether there is next to nothing on the faces of a grid."""
    faces = [np.moveaxis(values, axis, 0)[k] for axis in range(3) for k in (0, -1)]
    return max(np.abs(face).max() for face in faces) < FACE_DENSITY


def check(path, atoms, grid):
    """Raise ChargeError unless the atoms of a density have a place in a cube."""
    if not len(atoms) or (atoms.numbers < 1).any():
        raise ChargeError(f"{path}: a cube needs atoms, and elements for all of them")


def _line(count, numbers):
    return f"{count:5d}" + "".join(f" {x:17.12f}" for x in numbers)


def _read_counts(reader, expected):
    """A whole number, three numbers and perhaps a whole number."""
    words = reader.words(expected)
    numbers = reader.as_floats(words, (4, 5), expected)
    n_sets = numbers[4] if len(numbers) > 4 else 1
    if not (numbers[0].is_integer() and n_sets == int(n_sets) and n_sets > 0):
        raise reader.error(f"expected {expected}, found {' '.join(words)[:40]!r}")
    return int(numbers[0]), np.array(numbers[1:4]), int(n_sets)


def _read_atoms(reader, n_atoms):
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


def _read_labels(reader):
    """How many datasets there are; their labels may take several lines."""
    expected = "the number of datasets and their labels"
    words = reader.words(expected)
    if not words or not words[0].isdecimal() or not 0 < int(words[0]) < 10**6:
        raise reader.error(f"expected {expected}, found {' '.join(words)[:40]!r}")
    n_sets = int(words[0])
    n_labels = len(words) - 1
    while n_labels < n_sets:
        n_labels += len(reader.words(expected))
    return n_sets


def _expect_end(reader):
    while (line := reader.line()) is not None:
        if line.strip():
            raise reader.error("more values than the grid has: do the counts of the header hold?")
