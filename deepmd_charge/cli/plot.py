# SPDX-License-Identifier: LGPL-3.0-or-later
"""``deepmd-charge plot``: pictures of one density, or of two compared."""

import math

from ..errors import ChargeError


def add_parser(subparsers):
    """Add the subcommand to the command line."""
    from ._inputs import add_declarations, add_format, add_quantity, add_species

    parser = subparsers.add_parser(
        "plot",
        help="draw slices, parity and planar averages",
        description="Draw a density: a slice and the planar average. With a second density, "
        "draw slices of both and of the error, the parity of all points and planar averages.",
    )
    parser.add_argument("density", metavar="DENSITY", help="density file; the true one of two")
    parser.add_argument(
        "prediction", nargs="?", metavar="PREDICTION", help="predicted density on the same grid"
    )
    parser.add_argument(
        "-o", "--output", required=True, metavar="FILE", help="picture to write (.png, .pdf, .svg)"
    )
    parser.add_argument(
        "--axis",
        choices="abc",
        default="c",
        help="cell vector that numbers the slices and that averages run along (default: c)",
    )
    where = parser.add_mutually_exclusive_group()
    where.add_argument("--index", type=int, metavar="I", help="grid index of the slice, from 0")
    where.add_argument(
        "--position",
        type=float,
        metavar="F",
        help="fractional coordinate of the slice; by default the slice passes most atoms",
    )
    parser.add_argument("--title", metavar="TEXT", help="heading of the picture")
    add_quantity(parser)
    add_species(parser)
    add_format(parser)
    add_declarations(parser)
    parser.set_defaults(run=run)


def run(args):
    """Carry out ``deepmd-charge plot``."""
    from ..grid import plots
    from ..io.output import check_output, replacing
    from ..grid.channels import select
    from ._inputs import check_densities, check_same_grid, declared, read_companion, read_quietly

    check_output(args.output)
    form = plots.picture_format(args.output)
    check_densities(filter(None, (args.density, args.prediction)), args.format)
    said = declared(args)
    density = read_quietly(args.density, args.format, args.species, **said)
    density = select(density, args.quantity, args.density)
    where = {"axis": "abc".index(args.axis), "title": args.title}
    where["index"] = slice_index(args, density.shape[where["axis"]])
    if args.prediction is None:
        figure = plots.plot_density(density, **where)
    else:
        # a prediction of the magnetisation is a file's only grid
        prediction = read_companion(args.prediction, args.species, args.format, **said)
        check_same_grid(args.density, density, args.prediction, prediction)
        figure = plots.plot_comparison(density, prediction, **where)
    with replacing(args.output) as temporary:
        figure.savefig(temporary, format=form, dpi=150)


def slice_index(args, n):
    """Find the index among `n` slices that the flags ask for.

    Returns
    -------
    int or None
        None when no flag was given.
    """
    if args.position is not None:
        if not math.isfinite(args.position):
            raise ChargeError(f"--position {args.position}: give a fractional coordinate")
        return round(args.position * n) % n
    if args.index is not None and not 0 <= args.index < n:
        raise ChargeError(
            f"{args.density}: there is no slice {args.index} along {args.axis}; give --index 0 to {n - 1}"
        )
    return args.index
