# SPDX-License-Identifier: LGPL-3.0-or-later
"""``deepmd-charge regrid``: a density on another grid."""

from ..errors import ChargeError
from ._grid import add_grid_flags, check_grid, choose_grid


def add_parser(subparsers):
    """Add the subcommand to the command line."""
    from ._inputs import add_declarations, add_format, add_species

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
    parser.set_defaults(run=run)


def run(args):
    """Carry out ``deepmd-charge regrid``."""
    from ..io import check_writable, write_density
    from ..grid.regrid import regrid
    from ._inputs import check_densities, content, declared, read_companion, read_quietly

    check_writable(args.output, kind=args.format or "")
    check_densities([args.file], args.format)
    if args.like is not None:
        check_densities([args.like])
    check_grid(args)
    density = read_quietly(args.file, args.format, args.species, **declared(args))
    like = read_companion(args.like, args.species).grid if args.like else None
    try:
        moved = regrid(density, choose_grid(args, density.atoms, like).shape)
    except ChargeError as error:
        raise ChargeError(f"{args.file}: {error}") from None
    write_density(args.output, moved)
    shape = " x ".join(map(str, moved.shape))
    print(f"{args.output}: {shape} points, {content(moved)}")
