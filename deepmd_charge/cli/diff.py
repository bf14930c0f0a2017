# SPDX-License-Identifier: LGPL-3.0-or-later
"""``deepmd-charge diff``: the difference of two densities."""


def add_parser(subparsers):
    """Add the subcommand to the command line."""
    from ._inputs import add_declarations, add_format, add_quantity, add_species

    parser = subparsers.add_parser(
        "diff",
        help="subtract one density from another",
        description="Write A - B. Grids and cells must be the same.",
    )
    parser.add_argument("files", nargs=2, metavar=("A", "B"), help="density files")
    parser.add_argument(
        "-o", "--output", required=True, metavar="FILE", help="density file to write"
    )
    add_quantity(parser)
    add_species(parser)
    add_format(parser)
    add_declarations(parser)
    parser.set_defaults(run=run)


def run(args):
    """Carry out ``deepmd-charge diff``."""
    import numpy as np

    from ..io import check_writable, write_density
    from ..grid.channels import select
    from ._inputs import check_densities, check_same_grid, content, declared, read_companion, read_quietly

    check_writable(args.output, kind=args.format or "")
    check_densities(args.files, args.format)
    path, other_path = args.files
    said = declared(args)
    one = select(read_quietly(path, args.format, args.species, **said), args.quantity, path)
    other = read_companion(other_path, args.species, args.format, **said)
    other = select(other, args.quantity, other_path)
    check_same_grid(path, one, other_path, other)
    difference = one - other
    write_density(args.output, difference)
    size = np.abs(difference.values)
    print(
        f"{args.output}: {content(difference)}, mean |d| {size.mean():.6g},"
        f" largest {size.max():.6g} {one.unit}".rstrip()
    )
