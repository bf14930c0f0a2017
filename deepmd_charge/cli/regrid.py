# SPDX-License-Identifier: LGPL-3.0-or-later
"""``deepmd-charge regrid``: a density on another grid."""

from __future__ import annotations

import argparse

from ..errors import ChargeError
from ..grid.regrid import regrid
from ..io import check_readable, check_writable, read_density, write_density
from ..io.output import check_apart
from ..io.related import read_related
from ._flags import (
    Subparsers,
    add_declarations,
    add_format,
    add_grid_flags,
    add_species,
    check_grid,
    choose_grid,
    declarations,
    summary,
)
from ._verbosity import add_verbosity, note


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand to the command line."""
    parser = subparsers.add_parser(
        "regrid",
        help="move a density to another grid",
        description="Interpolate a density, and its spin grids, with the waves of its own grid; "
        "the number of electrons stays the same. Augmentation occupancies, which belong to no "
        "grid, are kept as they are.",
    )
    parser.add_argument("file", metavar="FILE", help="density file")
    parser.add_argument(
        "-o", "--output", required=True, metavar="FILE", help="density file to write"
    )
    add_grid_flags(parser, required=True)
    add_species(parser)
    add_format(parser)
    add_declarations(parser)
    add_verbosity(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Carry out ``deepmd-charge regrid``."""
    check_writable(args.output, kind=args.format or "")
    check_readable([args.file], args.format)
    check_apart(args.output, [args.file, args.like])
    if args.like is not None:
        check_readable([args.like])
    check_grid(args)
    options = declarations(args)
    density = read_density(args.file, args.format, args.species, check=False, **options)
    like = read_related(args.like, args.species).grid if args.like else None
    try:
        moved = regrid(density, choose_grid(args, density.atoms, like).shape)
    except ChargeError as error:
        raise ChargeError(f"{args.file}: {error}") from None
    write_density(args.output, moved)
    shape = " x ".join(map(str, moved.shape))
    note(f"{args.output}: {shape} points, {summary(moved)}")
