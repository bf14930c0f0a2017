# SPDX-License-Identifier: LGPL-3.0-or-later
"""``deepmd-charge plot``: pictures of one density, or of two compared."""

from __future__ import annotations

import argparse
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..atoms.compare import check_same_grid
from ..grid.channels import counterpart, select
from ..grid.plane import Plane, choose_slice
from ..io import check_readable, read_density
from ..io.output import check_output, replacing
from ..io.related import read_related
from ._flags import (
    Subparsers,
    add_declarations,
    add_format,
    add_quantity,
    add_species,
    declarations,
)
from ._verbosity import add_verbosity, note


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand to the command line."""
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
        help="fractional coordinate of the slice, from 0 to below 1: the nearest plane of grid "
        "points; by default the slice passes most atoms",
    )
    parser.add_argument("--title", metavar="TEXT", help="heading (default: the names of the files)")
    add_quantity(parser)
    add_species(parser)
    add_format(parser)
    add_declarations(parser)
    add_verbosity(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Carry out ``deepmd-charge plot``."""
    with without_backend():
        from ..grid import plots

    check_output(args.output)
    form = plots.picture_format(args.output)
    check_readable(filter(None, (args.density, args.prediction)), args.format)
    options = declarations(args)
    density = read_density(args.density, args.format, args.species, check=False, **options)
    density = select(density, args.quantity, args.density)
    axis = "abc".index(args.axis)
    index = choose_slice(density, axis, args.index, args.position, args.density)
    title = _names(args.density, args.prediction) if args.title is None else args.title
    if args.prediction is None:
        figure = plots.plot_density(density, axis, index, title)
    else:
        prediction = read_related(args.prediction, args.species, args.format, **options)
        check_same_grid(args.density, density, args.prediction, prediction)
        # a prediction of the magnetisation may be a file's only grid
        prediction.values = counterpart(
            prediction, density.quantity, args.prediction, other_path=args.density
        )
        figure = plots.plot_comparison(density, prediction, axis, index, title)
    with replacing(args.output) as temporary:
        figure.savefig(temporary, format=form, dpi=150)
    note(f"{args.output}: {Plane(density, axis, index).where()}")


@contextmanager
def without_backend() -> Iterator[None]:
    """Load matplotlib whatever backend the environment names, and without complaints.

    No backend draws here, but matplotlib does not even load with one that is not installed,
    as that of notebooks. What it says of its caches where no home can be written to is
    nothing that the picture depends on.
    """
    log = logging.getLogger("matplotlib")
    level, backend = log.level, os.environ.get("MPLBACKEND")
    log.setLevel(logging.ERROR)
    os.environ["MPLBACKEND"] = "agg"
    try:
        yield
    finally:
        log.setLevel(level)
        if backend is None:
            del os.environ["MPLBACKEND"]
        else:
            os.environ["MPLBACKEND"] = backend


def _names(density: str, prediction: str | None) -> str:
    """Name the files in a heading, with their folders only where these tell them apart."""
    paths = [Path(density)] if prediction is None else [Path(density), Path(prediction)]
    short = [path.name for path in paths]
    names = short if len(set(short)) == len(short) else [str(path) for path in paths]
    return " and ".join(names).replace("$", r"\$")  # $ begins a formula
