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
are read as far as they leave no doubt: see ``_xsf_grids``.

Files of molecules that are written here end a comment with ``pbc="F F F"``. Any
other grid with ATOMS alone may be of a crystal whose program wrote no cell.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Sequence
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ChargeError
from ..grid.density import Density
from ..grid.grid import Grid
from ..grid.mapped import by_planes
from ..grid.quantity import Quantity, compose_kind
from ..typing import Floats, PathLike, Shape
from ..units import PER_BOHR3
from ._xsf_atoms import MOLECULE, read_structure, repeated, without_images
from ._xsf_fields import Field, choose_field
from ._xsf_grids import find_period, is_periodic, open_cell, repeats
from ._xsf_parse import PERIODIC, DataGrid, parse
from .text.reader import TextReader
from .text.writer import slabs, text_writer, write_values
from .verdict.declared import LENGTHS, UNDECLARED, Declared
from .verdict.evidence import atoms_outside, largest_on_faces
from .verdict.said import units_said, words_of

if TYPE_CHECKING:
    from ase import Atoms

COLUMNS = 6

# A box that ends this near to an atom (A), or in so much density (e/A^3), cuts through something.
NEAR_ATOM = 0.5
FACE_DENSITY = 0.1

_OCTOPUS = re.compile(r"units: coords = (\w+), function = (\S*)")
_OF_OCTOPUS = {"b": "bohr", "A": "A", "b^-3": "e/bohr^3", "A^-3": "e/A^3"}


def read(path: PathLike, kind: str = "xsf", declared: Declared = UNDECLARED) -> Density:
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
        cell that continues its grid by one step. ``extra`` holds "units" (of values and
        lengths) and, where there is something to say, "spin" (further grids that are spin
        channels), "notes" and "doubts" (see :func:`deepmd_charge.read_density`), "said" (what
        tells the quantity) and "untold" (``("pbc",)``).

    Raises
    ------
    ChargeError
        If the file is damaged, or its grid covers no period of the structure.
    """
    with TextReader(path) as reader:
        contents = parse(reader)
    path = contents.path
    if not contents.grids:
        instead = f", but a {contents.others[0]}" if contents.others else ""
        raise ChargeError(f"{path}: there is no DATAGRID_3D in this file{instead}")
    field = choose_field(contents.grids, contents.comments, declared.quantity)
    grid, notes, doubts = field.grid, list(field.notes), list(field.doubts)
    units = _find_units(field, contents.comments, declared, notes)
    scale = LENGTHS[units[1]]
    grid = grid._replace(origin=scale * grid.origin, spans=scale * grid.spans)
    atoms, is_told, more_notes = read_structure(contents, scale, declared)
    notes += more_notes
    try:
        is_guessed = not is_told and declared.pbc is None
        if is_guessed and _judge_box(atoms, grid, field.quantity, declared, units[0], notes):
            doubts.append(
                "its grid ends at atoms or amid the density, as that of a part of something larger:"
                " give one about all of it (or say by --pbc what it is)"
            )
        atoms, arrays = _arrange(atoms, grid, [grid.values, *field.spin], declared.pbc, notes)
        divisor = declared.divisor(field.quantity, units[0], atoms.get_volume())
        for array in arrays:
            _divide(array, divisor)
        kind = compose_kind(kind, field.quantity)
        density = Density(atoms, arrays[0], grid.origin, kind, {"units": units})
    except ChargeError as error:
        raise ChargeError(f"{path}:{grid.line}: {error}") from None
    extra = {"spin": arrays[1:], "notes": notes, "doubts": doubts, "said": field.said}
    extra["untold"] = () if is_told else ("pbc",)
    density.extra.update({name: value for name, value in extra.items() if value})
    return density


def _find_units(
    field: Field, comments: list[str], declared: Declared, notes: list[str]
) -> tuple[str, str]:
    """Units of values and lengths that the user names, or else the file, or else the format."""
    grid, usual = field.grid, ("e/bohr^3", "A")
    values, _ = units_said("\n".join([grid.name, grid.block, *comments]))
    length = None
    if octopus := _OCTOPUS.match(grid.block):
        length = _OF_OCTOPUS.get(octopus[1])
        values = _OF_OCTOPUS.get(re.sub(r"[()]", "", octopus[2]))
    said = (values if field.quantity.is_per_volume else None) or usual[0], length or usual[1]
    users = declared.values, declared.length
    found = [
        its
        for its, user, other in zip(said, users, usual, strict=True)
        if not user and its != other
    ]
    if found:
        notes.append(f"in {' and '.join(found)}, as it says (--unit says otherwise)")
    return users[0] or said[0], users[1] or said[1]


def _divide(array: Floats, divisor: float) -> None:
    for plane in by_planes(array):
        with np.errstate(over="ignore"):
            plane /= divisor
        if not np.isfinite(plane).all():
            raise ChargeError("some values are too large: compute the file again")


def _judge_box(
    atoms: Atoms,
    grid: DataGrid,
    quantity: Quantity,
    declared: Declared,
    unit: str,
    notes: list[str],
) -> bool:
    """Find out whether atoms without a cell are a molecule; sets their cell if they are not.

    Returns whether a total density is that of a part of something larger.
    """
    boxed = atoms.copy()
    boxed.set_cell(grid.spans)
    box = Density(boxed, grid.values, grid.origin)
    dense = FACE_DENSITY * declared.divisor(quantity, unit, box.volume)
    cuts = bool(atoms_outside(boxed, grid.origin, -NEAR_ATOM)) or (
        quantity.is_per_volume and largest_on_faces(grid.values) > dense
    )
    if not is_periodic(grid.values) and not (cuts and repeats(grid.values)):
        return cuts and quantity.is_total and not declared.quantity
    _set_box(atoms, grid.spans, True)
    notes.append(
        "taken as periodic, for the last planes of its grid repeat the first ones"
        " (--pbc F F F says otherwise)"
    )
    return False


def _set_box(atoms: Atoms, vectors: Floats, pbc: bool | Sequence[bool]) -> Shape:
    """Set a right-handed cell; returns the order of the axes that makes it one.

    Files made of Gaussian's cubes have them in the opposite order.
    """
    order = (0, 1, 2) if np.linalg.det(vectors) > 0 else (2, 1, 0)
    atoms.set_cell(vectors[list(order)])
    atoms.pbc = pbc
    return order


def _arrange(
    atoms: Atoms, grid: DataGrid, arrays: list[Floats], pbc: Sequence[bool] | None, notes: list[str]
) -> tuple[Atoms, list[Floats]]:
    """Atoms with the cell of the points, and arrays of these points alone."""
    shape = grid.values.shape
    n_periodic = int(atoms.pbc.sum())
    pbc = pbc or ()
    if not n_periodic and not any(pbc):
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


def write(path: PathLike, density: Density, kind: str = "xsf") -> None:
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
    lines += [f" {z:3d}{_line(xyz)}" for z, xyz in zip(atoms.numbers, atoms.positions, strict=True)]
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


def check(path: PathLike, atoms: Atoms, grid: Grid) -> None:
    """Raise ChargeError unless atoms, periodicity and grid of a density have a place in an xsf."""
    if not len(atoms) or (atoms.numbers < 1).any():
        raise ChargeError(f"{path}: an xsf needs atoms, and elements for all of them")
    if not atoms.pbc[: atoms.pbc.sum()].all():
        raise ChargeError(f"{path}: an xsf is periodic along a, or a and b, or all axes")
    if not atoms.pbc.any() and min(grid.shape) < 2:
        raise ChargeError(f"{path}: a molecule's grid needs two points on each axis")


def _line(numbers: Iterable[float]) -> str:
    return "".join(f" {x:19.14f}" for x in numbers)
