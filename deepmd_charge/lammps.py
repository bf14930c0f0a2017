# SPDX-License-Identifier: LGPL-3.0-or-later
"""Densities from LAMMPS: grid points as atoms of type X, their energies read back.

A model is, for LAMMPS, an ordinary DeePMD potential in which the energy of an
atom of type X is the density at its place, in e/A^3. :func:`write_run` makes
a folder in which ``lmp -in in.lammps`` evaluates a whole grid, and
:func:`read_run` gathers the result.

LAMMPS wants the cell vectors as the rows of a lower triangular matrix with a
positive diagonal. Every cell has exactly one such form up to a rotation (and
a reflection, when its vectors are left-handed), both of which leave a density
as it is, so that atoms and points keep their fractional coordinates and the
values come back in the order of the grid.
"""

import math
import shutil
import warnings
from pathlib import Path

import numpy as np

from .sampling import GRID_TYPE
from .density import Density
from .errors import ChargeError
from .output import replacing
from .species import element_of, species_of

MODEL = "charge.pb"
DATA = "data.lammps"
SCRIPT = "in.lammps"
DUMP = "density.dump"
GRID = "grid.json"  # structure and grid shape, in ase's JSON
GRID_MASS = 1.0  # any: nothing moves

_SCRIPT = """\
# Density of {formula} on a grid of {grid} points: run `lmp -in {script}` in
# this folder, then `deepmd-charge lammps read` on it.
units           metal
atom_style      atomic
boundary        p p p
read_data       {data}

pair_style      deepmd {model}
pair_coeff      * * {names}
# Grid points never see one another. A real atom has very many of them as
# neighbours: `one` is above their number within the cutoff.
neighbor        0.0 bin
neigh_modify    exclude type {x} {x} one {one} page {page}

group           grid type {x}
compute         density grid pe/atom
thermo_style    custom step pe press
dump            density grid custom 1 {dump} id type c_density
dump_modify     density format float %.17g
run             0
"""


def lammps_cell(cell):
    """Turn a cell the way LAMMPS wants it.

    Parameters
    ----------
    cell : ase.cell.Cell
        Three independent vectors, A.

    Returns
    -------
    (3, 3) numpy.ndarray
        The vectors as rows of a lower triangular matrix with a positive
        diagonal; lengths and angles are those of `cell`.
    """
    turned, _ = cell.standard_form("lower")
    # ase keeps the handedness: for left-handed vectors its form is minus ours.
    return turned.array * cell.handedness


def write_run(folder, model, atoms, grid):
    """Make a folder in which LAMMPS evaluates a model on a grid.

    Parameters
    ----------
    folder : str or Path
        Made when it is not there. An older result in it is removed.
    model : ChargeModel
        The model; its file is copied.
    atoms : ase.Atoms
        Structure, periodic in all directions.
    grid : tuple of int
        Number of points along the three cell vectors.

    Raises
    ------
    ChargeError
        When the grid has no points, the structure is not periodic, or the
        model cannot evaluate it.
    """
    if len(grid) != 3 or min(grid) < 1:
        raise ChargeError(f"a grid of {' x '.join(map(str, grid))} has no points")
    if not atoms.pbc.all():
        raise ChargeError("LAMMPS runs need a structure that is periodic in all directions")
    symbols = species_of(atoms)
    model.check(atoms)
    names = [name for name in model.type_map if name in symbols] + [GRID_TYPE]

    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / DUMP).unlink(missing_ok=True)
    with replacing(folder / MODEL) as temporary:
        shutil.copyfile(model.path, temporary)
    with replacing(folder / GRID) as temporary:
        _write_grid(temporary, atoms, grid)
    with replacing(folder / DATA) as temporary, open(temporary, "w") as file:
        _write_data(file, names, atoms, grid)
    one = most_neighbours(atoms.cell, grid, model.rcut) + len(atoms)
    script = _SCRIPT.format(
        formula=atoms.get_chemical_formula(),
        grid=" x ".join(map(str, grid)),
        script=SCRIPT,
        data=DATA,
        model=MODEL,
        names=" ".join(names),
        x=len(names),
        one=max(one, 2000),  # LAMMPS's own default
        page=max(10 * one, 100_000),  # at least ten times `one`
        dump=DUMP,
    )
    with replacing(folder / SCRIPT) as temporary:
        temporary.write_text(script)


def most_neighbours(cell, grid, rcut):
    """Bound the number of grid points within the cutoff of any place.

    Every point owns a cell of the grid; those of the points within `rcut` lie
    in a ball that is larger by the longest half diagonal of such a cell.

    Parameters
    ----------
    cell : ase.cell.Cell
    grid : tuple of int
    rcut : float
        Cutoff, A.

    Returns
    -------
    int
    """
    small = cell.array / np.asarray(grid)[:, None]
    corners = np.array([(1, s, t) for s in (-1, 1) for t in (-1, 1)]) @ small
    reach = rcut + 0.5 * np.linalg.norm(corners, axis=1).max()
    return math.ceil(4.0 / 3.0 * math.pi * reach**3 / abs(np.linalg.det(small)))


def read_run(folder):
    """Read the density that LAMMPS has evaluated.

    Parameters
    ----------
    folder : str or Path
        Made by :func:`write_run`, after ``lmp -in in.lammps``.

    Returns
    -------
    Density

    Raises
    ------
    ChargeError
        When LAMMPS has not run or not finished, or its dump does not belong
        to this grid.
    """
    folder = Path(folder)
    atoms, grid = _read_grid(folder / GRID)
    ids, values = _read_dump(folder / DUMP)
    points = ids - len(atoms) - 1
    if not np.array_equal(np.sort(points), np.arange(np.prod(grid))):
        raise ChargeError(
            f"{folder / DUMP}: these are not the {np.prod(grid)} points of {folder / GRID}; "
            "write the folder and run LAMMPS again"
        )
    if not np.isfinite(values).all():
        bad = ids[~np.isfinite(values)][0]
        raise ChargeError(f"{folder / DUMP}: the density of atom {bad} is not a finite number")
    density = np.empty(len(values))
    density[points] = values
    return Density(atoms, density.reshape(grid))


def _write_grid(path, atoms, grid):
    from ase import Atoms
    from ase.io.jsonio import write_json

    bare = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    write_json(path, {"atoms": bare, "grid": [int(n) for n in grid]})


def _read_grid(path):
    from ase.io.jsonio import read_json

    if not path.is_file():
        raise ChargeError(f"{path}: no such file; make the folder with `deepmd-charge lammps write`")
    try:
        content = read_json(path)
        return content["atoms"], tuple(content["grid"])
    except (ValueError, KeyError, TypeError) as error:
        raise ChargeError(
            f"{path}: damaged; make the folder again with `deepmd-charge lammps write`"
        ) from error


def _write_data(file, names, atoms, grid):
    """Write a LAMMPS data file: the real atoms, then the grid points."""
    from ase.data import atomic_masses, atomic_numbers

    cell = lammps_cell(atoms.cell)
    masses = [atomic_masses[atomic_numbers[element_of(name)]] for name in names[:-1]] + [GRID_MASS]
    types = [names.index(name) + 1 for name in species_of(atoms)]
    positions = atoms.cell.scaled_positions(atoms.positions) @ cell
    count = len(atoms) + math.prod(grid)
    file.write(f"{atoms.get_chemical_formula()} and {math.prod(grid)} grid points of type {GRID_TYPE}\n\n")
    file.write(f"{count} atoms\n{len(names)} atom types\n\n")
    for low, length, axis in zip("xyz", np.diag(cell), range(3)):
        file.write(f"0.0 {length:.17g} {low}lo {low}hi\n")
    file.write(f"{cell[1, 0]:.17g} {cell[2, 0]:.17g} {cell[2, 1]:.17g} xy xz yz\n")
    file.write("\nMasses\n\n")
    for number, (name, mass) in enumerate(zip(names, masses), start=1):
        file.write(f"{number} {mass:.10g}  # {name}\n")
    file.write("\nAtoms  # atomic\n\n")
    for number, (kind, place) in enumerate(zip(types, positions), start=1):
        file.write("%d %d %.17g %.17g %.17g\n" % (number, kind, *place))
    number = len(atoms)
    for i in range(grid[0]):  # a layer at a time: the whole grid may be large
        layer = np.stack(np.meshgrid(i, np.arange(grid[1]), np.arange(grid[2]), indexing="ij"), -1)
        for place in (layer.reshape(-1, 3) / grid @ cell).tolist():
            number += 1
            file.write("%d %d %.17g %.17g %.17g\n" % (number, len(names), *place))


def _read_dump(path):
    """Return the atom numbers and values of a dump's only frame."""
    if not path.is_file():
        raise ChargeError(f"{path}: no such file; run `lmp -in {SCRIPT}` in {path.parent} first")
    unfinished = ChargeError(f"{path}: LAMMPS has not finished this file; run it again")
    with open(path) as file:
        header = [file.readline() for _ in range(9)]
        if not header[8].endswith("\n"):
            raise unfinished
        if header[8].split() != ["ITEM:", "ATOMS", "id", "type", "c_density"]:
            raise ChargeError(f"{path}, line 9: not a dump of {SCRIPT}; run it unchanged")
        count = int(header[3])
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", UserWarning)  # numpy's word for "no rows"
                table = np.loadtxt(file, max_rows=count, ndmin=2, usecols=(0, 2))
        except (ValueError, IndexError, UserWarning) as error:
            raise unfinished from error
    # A number that is cut short is still a number: look at the end of the line.
    if len(table) < count or not _ends_with_newline(path):
        raise unfinished
    return table[:, 0].astype(np.int64), table[:, 1]


def _ends_with_newline(path):
    with open(path, "rb") as file:
        file.seek(-1, 2)
        return file.read() == b"\n"
