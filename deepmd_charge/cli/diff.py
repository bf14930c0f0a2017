# SPDX-License-Identifier: LGPL-3.0-or-later
"""``deepmd-charge diff``: the difference of two densities."""

from __future__ import annotations

import argparse

import numpy as np

from ..atoms.compare import check_same_grid
from ..grid.channels import select
from ..io import check_readable, check_writable, read_density, write_density
from ..io.output import check_apart
from ..io.related import read_related
from ._flags import (
    Subparsers,
    add_declarations,
    add_format,
    add_quantity,
    add_species,
    declarations,
    summary,
)
from ._verbosity import add_verbosity, note


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand to the command line."""
    parser = subparsers.add_parser(
        "diff",
        help="subtract one density from another",
        description="Write A - B. Grids and cells must be the same.",
    )
    parser.add_argument("one", metavar="A", help="density file")
    parser.add_argument("other", metavar="B", help="density file that is subtracted")
    parser.add_argument(
        "-o", "--output", required=True, metavar="FILE", help="density file to write"
    )
    add_quantity(parser)
    add_species(parser)
    add_format(parser)
    add_declarations(parser)
    add_verbosity(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Carry out ``deepmd-charge diff``."""
    check_writable(args.output, kind=args.format or "")
    path, other_path = args.one, args.other
    check_readable([path, other_path], args.format)
    check_apart(args.output, [path, other_path])
    options = declarations(args)
    one = read_density(path, args.format, args.species, check=False, **options)
    one = select(one, args.quantity, path)
    other = read_related(other_path, args.species, args.format, **options)
    other = select(other, args.quantity, other_path)
    check_same_grid(path, one, other_path, other)
    difference = one - other
    write_density(args.output, difference)
    size = np.abs(difference.values)
    note(
        f"{args.output}: {summary(difference)}, mean |d| {size.mean():.6g},"
        f" largest {size.max():.6g} {one.unit}".rstrip()
    )
