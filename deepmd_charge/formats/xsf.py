# SPDX-License-Identifier: LGPL-3.0-or-later
"""XCrySDen's xsf files with a DATAGRID_3D, as Quantum ESPRESSO, ABINIT and SIESTA write them.

Keywords with their blocks: CRYSTAL, SLAB, POLYMER or MOLECULE; PRIMVEC (cell,
A); PRIMCOORD or ATOMS (A); DATAGRID_3D: numbers of points, origin, three
spanning vectors (A) and the values with x running fastest. The format names no
unit of the values; those programs write e/bohr^3, and so it is taken here.

It is a "general grid": its last point along an axis lies at the end of the
spanning vector. In a periodic structure that is the first point once more,
which is dropped in reading and added in writing.
"""

import math
import os
import warnings
from itertools import chain

import numpy as np

from ..density import Density
from ..errors import ChargeError
from ..species import name_species
from ..units import PER_BOHR3
from .declared import Declared
from ._text import TextReader
from ._text_writer import slabs, text_writer, write_values

COLUMNS = 6
# Spanning vectors are printed with six decimals, values with six digits.
VECTOR_TOLERANCE = 1e-4  # A
REPEAT_TOLERANCE = 1e-4  # of the largest value

_PERIODIC = {"CRYSTAL": 3, "SLAB": 2, "POLYMER": 1, "MOLECULE": 0}


def read(path, kind="xsf", declared=Declared()):
    """Read the first DATAGRID_3D of an xsf file.

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
        In e/A^3. A molecule gets a cell that continues its grid by one step.

    Raises
    ------
    ChargeError
        If the file is damaged, or its grid does not span the primitive cell.

    Warns
    -----
    UserWarning
        If there are further grids.
    """
    from ase import Atoms

    dimensions, cell, sites, grid = 0, None, None, None
    with TextReader(path) as reader:
        line = reader.line()
        while line is not None:
            word = line.split()[0] if line.strip() else "#"
            line = None
            if word in _PERIODIC:
                dimensions = _PERIODIC[word]
            elif word == "ANIMSTEPS":
                raise reader.error("an animation; give a file with one structure")
            elif word == "PRIMVEC":
                cell = _vectors(reader)
            elif word == "PRIMCOORD":
                sites = _read_atoms(reader)
            elif word == "ATOMS":
                sites, line = _read_molecule(reader)
            elif word.startswith(("DATAGRID_3D", "BEGIN_DATAGRID_3D")):
                if grid is not None:
                    warnings.warn(f"{reader.path}: only the first grid is read", stacklevel=3)
                    break
                grid = _read_grid(reader)
            line = reader.line() if line is None else line
        for what, found in ("DATAGRID_3D", grid), ("atoms", sites):
            if not found:
                raise ChargeError(f"{reader.path}: there is no {what} in this file")
        values, origin, spans = grid
        if dimensions:
            values = _period(reader, values, spans, cell)
        else:
            if min(values.shape) < 2:
                raise ChargeError(f"{reader.path}: a molecule's grid needs two points on each axis")
            cell = spans * (np.array(values.shape) / (np.array(values.shape) - 1))[:, None]
    symbols, positions = zip(*sites)
    atoms = Atoms(symbols, positions=positions, cell=cell, pbc=np.arange(3) < dimensions)
    name_species(reader.path, atoms, declared.species)
    return Density(atoms, values, origin, kind)


def write(path, density, kind="xsf"):
    """Write an xsf file with the values in e/bohr^3.

    Parameters
    ----------
    path : str or os.PathLike
        File; .gz and .xz compress.
    density : Density
        In e/A^3 (or what LOCPOT and ELFCAR hold, written as it is). The file holds
        its values only, no spin grids. Periodicity must be along none, a, a and
        b, or all axes.
    kind : str
        Not used.

    Raises
    ------
    ChargeError
        If the file cannot be written, a value is not finite, an atom is no
        element, or the format has no such periodicity.
    """
    path = os.fspath(path)
    atoms, values = density.atoms, density.values
    check(path, density.atoms, density.grid)
    n_periodic = int(atoms.pbc.sum())
    repeat = 1 if n_periodic else 0
    shape = np.array(density.shape) + repeat
    spans = atoms.cell.array * ((shape - 1) / density.shape)[:, None]
    scaled = density.quantity.is_per_volume
    lines = [f"# {'density in e/bohr^3' if scaled else density.quantity.description}"]
    if n_periodic:
        lines += [name for name, n in _PERIODIC.items() if n == n_periodic]
        lines += ["PRIMVEC", *map(_line, atoms.cell.array), "PRIMCOORD", f" {len(atoms)} 1"]
    else:
        lines += ["ATOMS"]
    lines += [f" {z:3d}{_line(xyz)}" for z, xyz in zip(atoms.numbers, atoms.positions)]
    lines += ["BEGIN_BLOCK_DATAGRID_3D", " density", " BEGIN_DATAGRID_3D_density"]
    lines += ["".join(f" {n:5d}" for n in shape), *map(_line, (density.origin, *spans))]
    with text_writer(path) as file:
        file.write(("\n".join(lines) + "\n").encode())
        # x runs fastest, and the general grid repeats its first planes
        planes = chain(slabs(values.T), slabs(values.T[:repeat]))
        padded = (np.pad(slab, ((0, 0), (0, repeat), (0, repeat)), mode="wrap") for slab in planes)
        unit = PER_BOHR3 if scaled else 1.0
        rows = (slab.reshape(-1, shape[0]) / unit for slab in padded)
        write_values(file, path, rows, COLUMNS)
        file.write(b" END_DATAGRID_3D\nEND_BLOCK_DATAGRID_3D\n")


def check(path, atoms, grid):
    """Raise ChargeError unless atoms, periodicity and grid of a density have a place in an xsf."""
    if not len(atoms) or (atoms.numbers < 1).any():
        raise ChargeError(f"{path}: an xsf needs atoms, and elements for all of them")
    if not atoms.pbc[: atoms.pbc.sum()].all():
        raise ChargeError(f"{path}: an xsf is periodic along a, or a and b, or all axes")
    if not atoms.pbc.any() and min(grid.shape) < 2:
        raise ChargeError(f"{path}: a molecule's grid needs two points on each axis")


def _line(numbers):
    return "".join(f" {x:19.14f}" for x in numbers)


def _vectors(reader):
    vectors = np.array([reader.floats((3,), f"vector {i}, three numbers") for i in (1, 2, 3)])
    if not abs(np.linalg.det(vectors)) > 1e-12:
        raise reader.error("the three vectors have no volume")
    return vectors


def _read_atoms(reader):
    words = reader.words("the number of atoms")
    if not words or not words[0].isdecimal():
        raise reader.error(f"expected the number of atoms, found {' '.join(words)[:40]!r}")
    expected = f"atoms, {words[0]} lines"
    return [_site(reader, reader.words(expected), expected) for _ in range(int(words[0]))]


def _read_molecule(reader):
    """Atoms up to the next keyword, and its line."""
    sites = []
    while (line := reader.line()) is not None and len(words := line.split()) in (4, 7):
        sites.append(_site(reader, words, "atom"))
    return sites, line


def _site(reader, words, expected):
    """Element and position; forces may follow."""
    from ase.data import atomic_numbers, chemical_symbols

    name = words[0] if words else ""
    if name.isdecimal() and int(name) < len(chemical_symbols):
        name = chemical_symbols[int(name)]
    if atomic_numbers.get(name, 0) < 1:
        raise reader.error(f"expected {expected}, found {' '.join(words)[:40]!r}")
    return name, reader.as_floats(words[1:4], (3,), expected)


def _read_grid(reader):
    """Values, origin and spanning vectors."""
    words = reader.words("the numbers of points")
    if len(words) != 3 or not all(word.isdecimal() and int(word) for word in words):
        raise reader.error(f"expected the numbers of points, found {' '.join(words)[:40]!r}")
    shape = tuple(map(int, words))
    origin = reader.floats((3,), "the origin, three numbers")
    spans = _vectors(reader)
    values = reader.values(math.prod(shape), 1.0 / PER_BOHR3).reshape(shape[::-1]).T
    end = reader.line()
    if end is None or not end.split() or not end.split()[0].startswith("END_DATAGRID"):
        raise reader.error("expected END_DATAGRID_3D after the values of the grid")
    return values, origin, spans


def _period(reader, values, spans, cell):
    """One period of a general grid."""
    if cell is None:
        raise ChargeError(f"{reader.path}: there is no PRIMVEC in this file")
    if not np.allclose(spans, cell, rtol=0, atol=VECTOR_TOLERANCE):
        raise ChargeError(
            f"{reader.path}: the grid does not span the primitive cell; write it for PRIMVEC"
        )
    limit = REPEAT_TOLERANCE * max(values.max(), -values.min())
    for axis in range(3):
        planes = np.moveaxis(values, axis, 0)
        if len(planes) < 2 or np.abs(planes[-1] - planes[0]).max() > limit:
            raise ChargeError(
                f"{reader.path}: the last plane of the grid does not repeat the first"
                f" along {'abc'[axis]}: not a general grid of this cell"
            )
    return values[:-1, :-1, :-1]
