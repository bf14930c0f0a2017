# SPDX-License-Identifier: LGPL-3.0-or-later
"""``deepmd-charge lammps``: predict with LAMMPS in place of Python."""

import os

from ..errors import ChargeError
from ._inputs import add_model_argument, add_structure_arguments


def add_parser(subparsers):
    """Add the subcommand and its two halves to the command line."""
    parser = subparsers.add_parser(
        "lammps",
        help="predict with LAMMPS: write its input, read its result",
        description="Write a folder with a LAMMPS input, run `lmp -in in.lammps` there (under MPI "
        "if you like), then read the density back. Needs a LAMMPS with `pair_style deepmd`: "
        "pip install 'deepmd-charge[lmp]'.",
    )
    halves = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    write = halves.add_parser("write", help="make in.lammps and data.lammps for a grid")
    add_model_argument(write)
    add_structure_arguments(write)
    write.add_argument(
        "--grid",
        nargs=3,
        type=int,
        required=True,
        metavar=("NX", "NY", "NZ"),
        help="number of grid points",
    )
    write.add_argument("-o", "--output", required=True, metavar="DIR", help="folder to make")
    write.set_defaults(run=run_write)
    read = halves.add_parser("read", help="turn the dump of a finished run into a density")
    read.add_argument("folder", metavar="DIR", help="folder of `lammps write`")
    read.add_argument(
        "-o", "--output", required=True, metavar="FILE", help="density to write (CHGCAR_..., NAME.cube, NAME.xsf; .gz, .xz)"
    )
    read.set_defaults(run=run_read)


def run_write(args):
    """Carry out ``deepmd-charge lammps write``."""
    from ..inference import ChargeModel
    from ..lammps import SCRIPT, write_run
    from ..saed.adding import check_given
    from ._inputs import read_structure
    from .predict import check_grid

    check_grid(args.grid)
    if os.path.exists(args.output) and not os.path.isdir(args.output):
        raise ChargeError(f"{args.output}: is a file; give the name of a folder to make")
    model = ChargeModel(args.model)
    check_given(args.model, model.info, None)  # LAMMPS cannot add one
    atoms = read_structure(args.structure, model, args.species)
    if not atoms.pbc.all():
        raise ChargeError(f"{args.structure}: LAMMPS needs a structure periodic in all directions")
    write_run(args.output, model, atoms, tuple(args.grid))
    print(f"{args.output}: now run `lmp -in {SCRIPT}` in this folder")


def run_read(args):
    """Carry out ``deepmd-charge lammps read``."""
    from .. import formats
    from ..lammps import read_run

    formats.check_writable(args.output)
    density = read_run(args.folder)
    formats.write_density(args.output, density)
    print(f"{args.output}: {density.n_electrons:.4f} electrons")
