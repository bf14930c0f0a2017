# SPDX-License-Identifier: LGPL-3.0-or-later
"""``deepmd-charge test``: the error of a model on known densities."""

from __future__ import annotations

import argparse
import json
import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from .. import predict
from ..errors import ChargeError
from ..grid.metrics import Comparison
from ..io import check_readable
from ..io.output import check_apart, check_output, replacing
from ..predict.compare import check_points, compare_files, compare_predictions
from ._flags import (
    Subparsers,
    add_declarations,
    add_format,
    add_model_argument,
    add_quantity,
    add_species,
    add_unchecked,
    declarations,
    strictness,
)
from ._verbosity import add_verbosity, is_quiet

if TYPE_CHECKING:
    from ..predict.charge_model import ChargeModel

Row: TypeAlias = dict[str, Any]

COLUMNS = (
    # key, heading, format
    ("mae", "MAE", "{:.3e}"),
    ("rmse", "RMSE", "{:.3e}"),
    ("max", "max", "{:.3e}"),
    ("r2", "R2", "{:.6f}"),
    ("nmae", "NMAE %", "{:.3f}"),
    ("rrmse", "RRMSE %", "{:.3f}"),
    ("electrons_true", "electrons", "{:.3f}"),
    ("electrons_predicted", "predicted", "{:.3f}"),
    ("n_points", "points", "{:d}"),
)


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand to the command line."""
    parser = subparsers.add_parser(
        "test",
        help="compare predicted densities with known ones",
        description="Predict the density of every file on the file's own grid and print the errors:"
        " MAE, RMSE and the largest error in e/A^3; R2; NMAE = sum|d|/sum|rho| and "
        "RRMSE = sqrt(sum d^2)/sqrt(sum rho^2) in %; the electrons of both densities.",
    )
    add_model_argument(parser, required=False)
    parser.add_argument(
        "-s", "--system", required=True, nargs="+", metavar="FILE", help="true densities"
    )
    parser.add_argument(
        "-p",
        "--prediction",
        nargs="+",
        metavar="FILE",
        help="densities that were predicted before, one for each of -s, in place of -m",
    )
    parser.add_argument("--json", metavar="FILE", help="write the numbers to this file as well")
    parser.add_argument(
        "--points",
        type=int,
        metavar="N",
        help="test on N random grid points of each file; electrons are then estimates",
    )
    parser.add_argument("--seed", type=int, metavar="S", help="test on the same points every time")
    parser.add_argument(
        "--saed",
        nargs="+",
        metavar="FILE",
        help="superpositions of atomic densities, one for each file of -s, or one name that is "
        "looked for beside each; for a model that was trained with such files",
    )
    parser.add_argument(
        "--electrons",
        metavar="N",
        help="scale predictions to N electrons, or with `auto` to the valences of the potentials, "
        "before they are compared; whole grids of a model only",
    )
    add_quantity(parser, default=None, default_text="what the model predicts; with -p, total")
    add_species(parser)
    add_format(parser)
    add_declarations(parser)
    add_unchecked(parser)
    add_verbosity(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Carry out ``deepmd-charge test``."""
    if (args.model is None) == (args.prediction is None):
        raise ChargeError("give either a model (-m) or predicted densities (-p)")
    if args.model is None and (args.saed or args.electrons):
        raise ChargeError("--saed and --electrons go with a model (-m)")
    check_points(args.points, args.electrons)
    if args.json:
        check_output(args.json)
        check_apart(args.json, [*args.system, *(args.prediction or []), args.saed, args.model])
    check_readable(args.system, args.format)
    check_readable(args.prediction or [])
    options = {
        "points": args.points,
        "seed": args.seed,
        "species": args.species,
        "format": args.format,
        "check": strictness(args),
        **declarations(args),
    }
    if args.model is None:
        quantity = args.quantity or "total"
        found = compare_predictions(args.prediction, args.system, quantity=quantity, **options)
    else:
        found = compare_files(
            _open(args),
            args.system,
            quantity=args.quantity,
            saed=args.saed,
            electrons=args.electrons,
            progress=not is_quiet(),
            **options,
        )
    total, rows = Comparison(), []
    for name, comparison in found:
        total += comparison
        rows.append({"file": name, **comparison.summary()})
    everything = total.summary()
    print(format_table([*rows, {"file": "all", **everything}]))
    if args.json:
        results = {"files": [_finite(row) for row in rows], "all": _finite(everything)}
        with replacing(args.json) as temporary:
            temporary.write_text(json.dumps(results, indent=2) + "\n")


def _open(args: argparse.Namespace) -> ChargeModel:
    """The model; of one that does not remember what it predicts, --is says it too."""
    with warnings.catch_warnings():
        if args.holds:
            warnings.simplefilter("ignore")
        model = predict.ChargeModel(args.model)
    if args.holds and model.memory.content is None:
        model = predict.ChargeModel(args.model, quantity=args.holds)
    return model


def format_table(rows: Sequence[Row]) -> str:
    """Lay out rows of ``{"file": ..., "mae": ..., ...}`` as text.

    Returns
    -------
    str
        A line of headings, one line a row; MAE, RMSE and max in e/A^3.
    """
    lines = [["file", *(heading for _, heading, _ in COLUMNS)]]
    lines += [[row["file"], *(form.format(row[key]) for key, _, form in COLUMNS)] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])])
        for line in lines
    )


def _finite(row: Row) -> Row:
    """Replace NaN and infinity, which JSON does not have, by None."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in row.items()
    }
