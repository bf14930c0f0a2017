# SPDX-License-Identifier: LGPL-3.0-or-later
"""The density of one structure on a whole grid, evaluated by LAMMPS.

:func:`write_run` makes a folder in which ``lmp -in in.lammps`` sweeps probes,
atoms of type X, over a grid, and :func:`read_run` gathers their energies.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, TextIO

import numpy as np

from ..atoms.species import GRID_TYPE, species_of
from ..errors import ChargeError
from ..grid.density import Density
from ..grid.grid import Grid, check_origin
from ..grid.quantity import split_kind
from ..io.output import check_new_folder, replacing
from ..typing import ArrayLike, Floats, PathLike
from .box import Box
from .sweep import Sweep, choose_stride

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["read_run", "write_run"]

MODEL = "charge.pb"
DATA = "data.lammps"
SCRIPT = "in.lammps"
DUMP = "density.dump"
GRID = "grid.json"  # structure, grid, its origin and stride, kind of the values, in ase's JSON
GRID_MASS = 1.0  # any: no force moves a probe
FEWEST_PROBES = 4096  # enough to keep a core busy, little memory
ATOMS_PER_PROBE = 8  # so that sparse probes stay near where they start

_SCRIPT = """\
# Density of {formula} on a grid of {grid} points: run `lmp -in {script}` in
# this folder, then `deepmd-charge lammps read` on it.
units           metal
atom_style      atomic
boundary        p p p
read_data       {data}
group           real type < {x}
group           grid type {x}

pair_style      deepmd {model}  # unrecognized? this LAMMPS lacks it: pip install deepmd-kit[lmp]
pair_coeff      * * {names}
# The model finds the neighbours of the probes among local and ghost atoms: no
# list is needed, and no ghosts of probes. Ghosts reach further than the cutoff
# by what a probe leaves its place, so that they stay the same while it moves.
neighbor        0.0 bin
neigh_modify    once yes exclude group all all
atom_modify     first real
comm_modify     group real cutoff {reach:.17g}

# Each of the {probes} probes visits {stride} points, to and fro.
variable        row equal floor(step/{stride[2]})
variable        i equal floor(v_row/{stride[1]})
variable        j equal abs(v_row%{stride[1]}-(v_i%2)*{last[1]})
variable        k equal abs(step%{stride[2]}-(v_row%2)*{last[2]})
{moves}
fix             sweep grid move variable v_dx v_dy v_dz NULL NULL NULL

compute         density grid pe/atom
dump            density grid custom 1 {dump} c_density
dump_modify     density sort id format float %.12g
thermo_style    custom step cpu cpuremain
thermo          {thermo}
run             {steps}
"""


def write_run(
    folder: PathLike,
    model_file: PathLike,
    type_map: Sequence[str],
    rcut: float,
    atoms: Atoms,
    grid: Iterable[int],
    probes: int | None = None,
    origin: ArrayLike = (0.0, 0.0, 0.0),
    kind: str = "",
) -> None:
    """Make a folder in which LAMMPS evaluates a model on a grid.

    Parameters
    ----------
    folder : str or Path
        Made when it is not there. One that was made before is made anew, without its result.
    model_file : str or Path
        Frozen model; copied.
    type_map : list of str
        Elements of the model and the grid type X.
    rcut : float
        Cutoff of the model, A.
    atoms : ase.Atoms
        Structure with a cell; periodic along the axes of its ``pbc``.
    grid : tuple of int
        Number of points along the three cell vectors.
    probes : int, optional
        Most grid points in the box at once. Default: an eighth of the number
        of atoms, and no fewer than 4096.
    origin : array_like, optional
        (3,) position of the grid's first point, A.
    kind : str, optional
        Of what the model predicts, its ``memory.predicted_kind``; a total density by default.

    Raises
    ------
    ChargeError
        When the grid has no points, its origin is none, the structure has no cell
        or elements that are not in `type_map`, that has no X, or `folder` is a file or holds
        something else.
    """
    mesh = Grid.of(atoms, grid, origin)
    if probes is None:
        probes = default_probes(len(atoms))
    if probes < 1:
        raise ChargeError(f"{probes} probes see nothing; give at least 1")
    if GRID_TYPE not in type_map:
        raise ChargeError(
            f"{model_file}: the type map {' '.join(type_map)} has no {GRID_TYPE}; "
            "train a charge model, in which it is the type of grid points"
        )
    symbols = species_of(atoms)
    if unknown := sorted(set(symbols) - (set(type_map) - {GRID_TYPE})):
        raise ChargeError(f"{model_file}: the model has not seen {', '.join(unknown)}")
    names = [name for name in type_map if name in symbols] + [GRID_TYPE]
    # the sweep begins at the corner of the box
    seen = atoms.copy()
    seen.positions -= mesh.origin
    box = Box(seen, rcut)
    edges, still = box.shortest(mesh.cell / np.reshape(mesh.shape, (3, 1)))
    lengths = mesh.spacing * mesh.shape
    sweep = Sweep(mesh.shape, choose_stride(mesh.shape, lengths, probes, still))

    last = np.subtract(sweep.stride, 1)
    reach = box.height([corner * last @ edges for corner in np.ndindex(2, 2, 2)])

    home = Path(folder)
    if not (home / GRID).is_file():  # an earlier one is made anew
        check_new_folder(home)
    home.mkdir(exist_ok=True)
    (home / DUMP).unlink(missing_ok=True)
    with replacing(home / MODEL) as temporary:
        shutil.copyfile(model_file, temporary)
    with replacing(home / GRID) as temporary:
        _write_grid(temporary, atoms, mesh.origin, sweep, kind)
    with replacing(home / DATA) as temporary, open(temporary, "w") as file:
        _write_data(file, names, seen, sweep, box)
    with replacing(home / SCRIPT) as temporary:
        temporary.write_text(_script(names, atoms, sweep, edges, rcut + reach))


def default_probes(n_atoms: int) -> int:
    """Most grid points that stand in the box at once, unless the user says otherwise."""
    return max(FEWEST_PROBES, n_atoms // ATOMS_PER_PROBE)


def read_run(folder: PathLike) -> Density:
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
    dump = Path(folder) / DUMP
    atoms, origin, sweep, kind = _read_grid(Path(folder) / GRID)
    values = np.empty(sweep.grid)
    for step, found in enumerate(_frames(dump, sweep)):
        indices = sweep.indices(step)
        found = found.reshape(sweep.probes)[tuple(slice(len(i)) for i in indices)]
        values[np.ix_(*indices)] = found
    if not np.isfinite(values).all():
        bad = tuple(int(i) for i in np.argwhere(~np.isfinite(values))[0])
        raise ChargeError(
            f"{dump}: the density at grid point {bad} is not a finite number; "
            "check the structure and the model"
        )
    return Density(atoms, values, origin, kind)


def _script(names: list[str], atoms: Atoms, sweep: Sweep, edges: Floats, reach: float) -> str:
    """Fill in the script of a sweep whose probes move along edges (3, 3), A."""
    moves = [
        f"variable        d{axis} equal "
        + "+".join(f"v_{n}*{e:.17g}" for n, e in zip("ijk", column, strict=True))
        for axis, column in zip("xyz", edges.T, strict=True)
    ]
    return _SCRIPT.format(
        formula=atoms.get_chemical_formula(),
        grid=" x ".join(map(str, sweep.grid)),
        script=SCRIPT,
        data=DATA,
        model=MODEL,
        names=" ".join(names),
        x=len(names),
        reach=reach,
        probes=sweep.n_probes,
        stride=sweep.stride,
        last=np.subtract(sweep.stride, 1),
        steps=sweep.n_steps - 1,
        moves="\n".join(moves),
        thermo=max(1, sweep.n_steps // 20),
        dump=DUMP,
    )


def _write_grid(path: Path, atoms: Atoms, origin: Floats, sweep: Sweep, kind: str) -> None:
    from ase import Atoms
    from ase.io.jsonio import write_json

    bare = Atoms(atoms.numbers, atoms.positions, cell=atoms.cell, pbc=atoms.pbc)
    counts = {"grid": [*map(int, sweep.grid)], "stride": [*map(int, sweep.stride)]}
    write_json(path, {"atoms": bare, "origin": [*map(float, origin)], "kind": kind, **counts})


def _read_grid(path: Path) -> tuple[Atoms, Floats, Sweep, str]:
    from ase.io.jsonio import read_json

    if not path.is_file():
        raise ChargeError(
            f"{path}: no such file; make the folder with `deepmd-charge lammps write`"
        )
    try:
        content = read_json(path)
        origin = check_origin(content.get("origin", np.zeros(3)))
        kind = content.get("kind", "")  # older folders do not say
        split_kind(kind)
        return content["atoms"], origin, Sweep(content["grid"], content["stride"]), kind
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ChargeError(
            f"{path}: damaged; make the folder again with `deepmd-charge lammps write`"
        ) from error


def _write_data(file: TextIO, names: list[str], atoms: Atoms, sweep: Sweep, box: Box) -> None:
    """Write a LAMMPS data file: the real atoms, then the probes where they start."""
    from ase.data import atomic_masses

    species = species_of(atoms)
    elements = [atoms.numbers[species.index(name)] for name in names[:-1]]
    masses = [*atomic_masses[elements], GRID_MASS]
    types = [names.index(name) + 1 for name in species]
    cell = box.cell
    count = len(atoms) + sweep.n_probes
    title = f"{atoms.get_chemical_formula()} and {sweep.n_probes} grid points of type {GRID_TYPE}"
    file.write(f"{title}\n\n{count} atoms\n{len(names)} atom types\n\n")
    for axis, length in zip("xyz", np.diag(cell), strict=True):
        file.write(f"0.0 {length:.17g} {axis}lo {axis}hi\n")
    file.write(f"{cell[1, 0]:.17g} {cell[2, 0]:.17g} {cell[2, 1]:.17g} xy xz yz\n")
    file.write("\nMasses\n\n")
    for number, (name, mass) in enumerate(zip(names, masses, strict=True), start=1):
        file.write(f"{number} {mass:.10g}  # {name}\n")
    file.write("\nAtoms  # atomic\n\n")
    real = zip(types, box.place(atoms.positions), strict=True)
    for number, (kind, (x, y, z)) in enumerate(real, start=1):
        file.write(f"{number} {kind} {x:.17g} {y:.17g} {z:.17g}\n")
    index = np.indices(sweep.probes).reshape(3, -1).T * sweep.stride
    places = box.place(index / np.asarray(sweep.grid) @ atoms.cell.array)
    for number, (x, y, z) in enumerate(places.tolist(), start=len(atoms) + 1):
        file.write(f"{number} {len(names)} {x:.17g} {y:.17g} {z:.17g}\n")


def _frames(path: Path, sweep: Sweep) -> Iterator[Floats]:
    """Yield the values of all probes, in their order, at every step."""
    if not path.is_file():
        raise ChargeError(f"{path}: no such file; run `lmp -in {SCRIPT}` in {path.parent} first")
    with open(path) as file:
        for step in range(sweep.n_steps):
            header = list(islice(file, 9))
            if len(header) == 9 and header[8].endswith("\n"):
                _check_header(path, header, step, sweep)
            lines = list(islice(file, sweep.n_probes))
            # a number that is cut short is still a number, but its line has no end
            if len(lines) < sweep.n_probes or not lines[-1].endswith("\n"):
                raise ChargeError(
                    f"{path}: LAMMPS has finished {step} of {sweep.n_steps} steps; "
                    f"let it finish, or run `lmp -in {SCRIPT}` in {path.parent} again"
                )
            try:
                yield np.array(lines).astype(float)
            except ValueError:
                raise ChargeError(
                    f"{path}: step {step} is damaged; run `lmp -in {SCRIPT}` in {path.parent} again"
                ) from None
        if file.readline():
            raise ChargeError(
                f"{path}: more than the {sweep.n_steps} steps of {GRID}; run {SCRIPT} unchanged"
            )


def _check_header(path: Path, header: list[str], step: int, sweep: Sweep) -> None:
    """Raise ChargeError for the head of a frame that the script cannot have written."""
    for line, wanted in ((1, step), (3, sweep.n_probes), (8, "ITEM: ATOMS c_density")):
        found = header[line].strip()
        if found != str(wanted):
            raise ChargeError(
                f"{path}: step {step} is not what {SCRIPT} writes for {GRID} "
                f"({found!r}, not '{wanted}'); make the folder again and run it unchanged"
            )
