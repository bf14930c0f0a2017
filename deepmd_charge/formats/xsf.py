# SPDX-License-Identifier: LGPL-3.0-or-later
"""XCrySDen's xsf files with a DATAGRID_3D, as Quantum ESPRESSO, ABINIT and SIESTA write them.

Keywords with their blocks: CRYSTAL, SLAB, POLYMER or MOLECULE, or DIM-GROUP;
PRIMVEC (cell, A); PRIMCOORD or ATOMS (A); DATAGRID_3D: numbers of points,
origin, three spanning vectors (A) and the values with x running fastest. The
format names no unit of the values; those programs write e/bohr^3, and so it is
taken here where no comment says otherwise.

It is a "general grid": its last point along an axis lies at the end of the
spanning vector. In a periodic structure that is the first point once more,
which is dropped in reading and added in writing. Files that do not keep to this
are read as far as they leave no doubt: see :mod:`._xsf_grids`.

Files of molecules that are written here end a comment with ``pbc="F F F"``. Any
other grid with ATOMS alone may be of a crystal whose program wrote no cell.
"""

import os
import re
import warnings
from itertools import chain

import numpy as np

from ..density import Density
from ..errors import ChargeError
from ..mapped import by_planes
from ..quantities import QUANTITIES, compose_kind
from ..units import PER_BOHR3
from ._text import TextReader
from ._text_writer import slabs, text_writer, write_values
from ._xsf_atoms import MOLECULE, read_structure, repeated, without_images
from ._xsf_fields import choose_field
from ._xsf_grids import find_period, is_cut, is_periodic, open_cell, repeats
from ._xsf_parse import PERIODIC, parse
from .declared import LENGTHS, VALUES, Declared
from .said import words_of

COLUMNS = 6

_BOHR = r"a0|bohrs?|b|a\.u\."
_ANGSTROM = r"ang(?:stroe?ms?)?|a|å"
_PER_CUBE = (
    r"(?:\be|\belectrons?|\b1|\bmu_?b) ?/ ?(?:{0}) ?(?:\^|\*\*)? ?3\b"
    r"|\b(?:{0}) ?(?:\^|\*\*) ?\(?-3\b(?! ?/)"
)
_SAID_VALUES = {"e/bohr^3": _PER_CUBE.format(_BOHR), "e/A^3": _PER_CUBE.format(_ANGSTROM)}
_SAID_LENGTHS = {  # by Octopus
    name: rf"\bcoords = (?:{unit})(?!\w)" for name, unit in (("bohr", _BOHR), ("A", _ANGSTROM))
}


def read(path, kind="xsf", declared=Declared()):
    """Read the density of an xsf file.

    Parameters
    ----------
    path : str or os.PathLike
        File, plain or compressed.
    kind : str
        Name of the format.
    declared : Declared
        What the user says of the file.

    Returns
    -------
    Density
        In e/A^3, or the unit of what else the file says that it holds. A molecule gets a
        cell that continues its grid by one step. ``extra`` holds "spin" where further grids
        are spin channels, and "notes".

    Raises
    ------
    ChargeError
        If the file is damaged, or its grid covers no period of the structure.

    Warns
    -----
    UserWarning
        If there are further grids.
    """
    with TextReader(path) as reader:
        contents = parse(reader)
    path = contents.path
    if not contents.grids:
        instead = f", but a {contents.others[0]}" if contents.others else ""
        raise ChargeError(f"{path}: there is no DATAGRID_3D in this file{instead}")
    field = choose_field(contents.grids, contents.comments, declared.quantity)
    if field.warning:
        warnings.warn(f"{path}: {field.warning}", stacklevel=3)
    quantity, grid, notes = field.quantity, field.grid, list(field.notes)
    text = "\n".join([grid.name, grid.block, *contents.comments])
    scale = LENGTHS[_unit(text, declared.length, _SAID_LENGTHS, "A", notes)]
    grid = grid._replace(origin=scale * grid.origin, spans=scale * grid.spans)
    unit = None  # as it is
    if quantity.is_per_volume:
        unit = _unit(text, declared.values, _SAID_VALUES, "e/bohr^3", notes)
    atoms, is_sure, more_notes = read_structure(contents, scale, declared)
    notes += more_notes
    try:
        if not is_sure:
            quantity = _judge_box(atoms, grid, unit, quantity, notes)
        atoms, arrays = _arrange(atoms, grid, [grid.values, *field.spin], declared.pbc, notes)
        for array in arrays:
            _convert(array, unit, atoms)
        density = Density(atoms, arrays[0], grid.origin, compose_kind(kind, quantity))
    except ChargeError as error:
        raise ChargeError(f"{path}:{grid.line}: {error}") from None
    extra = {"spin": arrays[1:], "notes": notes}
    density.extra.update({name: value for name, value in extra.items() if value})
    return density


def _unit(text, declared, said, usual, notes):
    """A unit that the user names, or else the file, or else the format."""
    found = [name for name, way in said.items() if re.search(way, text, re.IGNORECASE)]
    if declared or len(found) != 1 or found[0] == usual:
        return declared or usual
    notes.append(f"in {found[0]}, as the file says")
    return found[0]


def _convert(array, unit, atoms):
    """Turn values of a unit into e/A^3, in place."""
    factor = VALUES.get(unit, 1.0)
    divisor = 1.0 / factor if factor else atoms.get_volume()
    for plane in by_planes(array):
        with np.errstate(over="ignore"):
            plane /= divisor
        if not np.isfinite(plane).all():
            raise ChargeError("some values are too large: compute the file again")


def _judge_box(atoms, grid, unit, quantity, notes):
    """Find out whether atoms without a cell are a molecule; sets their cell if they are not.

    Returns what the grid holds: a part of the electrons where it is no whole molecule either.
    """
    factor = VALUES.get(unit) or 0.0
    cuts = quantity.is_per_volume and is_cut(
        grid.values, grid.origin, grid.spans, atoms.positions, factor
    )
    if is_periodic(grid.values) or (cuts and repeats(grid.values)):
        _set_box(atoms, grid.spans, True)
        notes.append("periodic, for the values at the ends of the grid are those at its beginnings")
    elif cuts and quantity.is_total:
        notes.append("the grid cuts through the structure: it holds a part of the electrons")
        return QUANTITIES["partial"]
    return quantity


def _set_box(atoms, vectors, pbc):
    """Set a right-handed cell; returns the order of the axes that makes it one.

    Files made of Gaussian's cubes have them in the opposite order.
    """
    order = (0, 1, 2) if np.linalg.det(vectors) > 0 else (2, 1, 0)
    atoms.set_cell(vectors[list(order)])
    atoms.pbc = pbc
    return order


def _arrange(atoms, grid, arrays, pbc, notes):
    """Atoms with the cell of the points, and arrays of these points alone."""
    shape = grid.values.shape
    n_periodic = int(atoms.pbc.sum())
    if not n_periodic and not any(pbc or ()):
        if min(shape) < 2:
            raise ChargeError("a molecule's grid needs two points on each axis")
        order = _set_box(atoms, open_cell(grid.spans, shape), False)
        return atoms, [array.transpose(order) for array in arrays]
    if not n_periodic:
        does_repeat = repeats(grid.values)
        _set_box(atoms, grid.spans if does_repeat else open_cell(grid.spans, shape), pbc)
    period = find_period(grid.values, grid.spans, atoms.cell.array, n_periodic or 3)
    notes += period.notes
    whole = without_images(atoms)
    if len(whole) < len(atoms):
        notes.append(f"{len(atoms) - len(whole)} atoms are left out, which are others once more")
    atoms = repeated(whole, period.cells, period.cell)
    return atoms, [array[period.kept].transpose(period.order) for array in arrays]


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
    check(path, density)
    n_periodic = int(atoms.pbc.sum())
    repeat = 1 if n_periodic else 0
    shape = np.array(density.shape) + repeat
    spans = atoms.cell.array * ((shape - 1) / density.shape)[:, None]
    scaled = density.quantity.is_per_volume
    quantity = density.quantity
    name = "density" if quantity.is_total else quantity.name
    words = name if quantity.is_total else words_of(quantity)
    unit = f" in {quantity.unit.replace('A', 'bohr')}" if scaled else ""
    lines = [f"# {words}{unit}" + ("" if n_periodic else f" {MOLECULE}")]
    if n_periodic:
        lines += [word for word, n in PERIODIC.items() if n == n_periodic]
        lines += ["PRIMVEC", *map(_line, atoms.cell.array), "PRIMCOORD", f" {len(atoms)} 1"]
    else:
        lines += ["ATOMS"]
    lines += [f" {z:3d}{_line(xyz)}" for z, xyz in zip(atoms.numbers, atoms.positions)]
    lines += ["BEGIN_BLOCK_DATAGRID_3D", f" {name}", f" BEGIN_DATAGRID_3D_{name}"]
    lines += ["".join(f" {n:5d}" for n in shape), *map(_line, (density.origin, *spans))]
    with text_writer(path) as file:
        file.write(("\n".join(lines) + "\n").encode())
        # x runs fastest, and the general grid repeats its first planes
        planes = chain(slabs(values.T), slabs(values.T[:repeat]))
        padded = (np.pad(slab, ((0, 0), (0, repeat), (0, repeat)), mode="wrap") for slab in planes)
        divisor = PER_BOHR3 if scaled else 1.0
        rows = (slab.reshape(-1, shape[0]) / divisor for slab in padded)
        write_values(file, path, rows, COLUMNS)
        file.write(b" END_DATAGRID_3D\nEND_BLOCK_DATAGRID_3D\n")


def check(path, density):
    """Raise ChargeError unless atoms, periodicity and grid of a density have a place in an xsf."""
    atoms = density.atoms
    if not len(atoms) or (atoms.numbers < 1).any():
        raise ChargeError(f"{path}: an xsf needs atoms, and elements for all of them")
    if not atoms.pbc[: atoms.pbc.sum()].all():
        raise ChargeError(f"{path}: an xsf is periodic along a, or a and b, or all axes")
    if not atoms.pbc.any() and min(density.shape) < 2:
        raise ChargeError(f"{path}: a molecule's grid needs two points on each axis")


def _line(numbers):
    return "".join(f" {x:19.14f}" for x in numbers)
