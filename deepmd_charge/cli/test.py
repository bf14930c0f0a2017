# SPDX-License-Identifier: LGPL-3.0-or-later
"""``deepmd-charge test``: the error of a model on known densities."""

import json
import math
import warnings

from ..errors import ChargeError
from ._inputs import add_model_argument

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


def add_parser(subparsers):
    """Add the subcommand to the command line."""
    from ._inputs import add_declarations, add_format, add_quantity, add_species, add_unchecked

    parser = subparsers.add_parser(
        "test",
        help="compare predicted densities with known ones",
        description="Predict the density of every file on the file's own grid and print the errors: "
        "MAE, RMSE and the largest error in e/A^3; R2; NMAE = sum|d|/sum|rho| and "
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
    add_quantity(parser, default=None, told="what the model predicts; with -p, total")
    add_species(parser)
    add_format(parser)
    add_declarations(parser)
    add_unchecked(parser)
    parser.set_defaults(run=run)


def run(args):
    """Carry out ``deepmd-charge test``."""
    from ..io import iterate_densities
    from ..io.quiet import iterate_companions
    from ..grid.metrics import Comparison
    from ..grid.channels import channel
    from ..io.output import check_output, replacing
    from ..data.sampling import random_generator
    from ._inputs import check_densities, checking, declared

    if (args.model is None) == (args.prediction is None):
        raise ChargeError("give either a model (-m) or predicted densities (-p)")
    if args.model is None and (args.saed or args.electrons or args.content):
        raise ChargeError("--saed, --electrons and --is go with a model (-m)")
    if args.electrons and args.points is not None:
        raise ChargeError("--electrons needs whole grids: leave --points out")
    if args.points is not None and args.points < 1:
        raise ChargeError(f"--points {args.points}: give a number of at least 1")
    if args.json:
        check_output(args.json)
    check_densities(args.system, args.format)
    check_densities(args.prediction or [])
    generator = random_generator(args.seed)
    predictions = iterate_companions(args.prediction or [], args.species)
    quantity, predict = _from_model(args) if args.model else _from_files(args, predictions)

    total = Comparison()
    rows = []
    options = {"check": checking(args), **declared(args)}
    references = (
        (number, *found)
        for number, file in enumerate(args.system)
        for found in iterate_densities(file, args.format, args.species, **options)
    )
    for number, path, reference in references:
        if args.model and quantity == "total" and not reference.quantity.is_total:
            raise ChargeError(
                f"{path}: holds {reference.quantity.description}, and {args.model} predicts the"
                " total density: test it on that"
            )
        chosen = _choose_points(reference, args.points, generator)
        true = channel(reference, quantity, chosen, path)
        comparison = Comparison.of(
            true, predict(number, path, reference, chosen), reference.volume / true.size
        )
        total += comparison
        rows.append({"file": path, **comparison.summary()})
    for name, _ in predictions:
        raise ChargeError(f"{name}: -s has none for it: give one for each of -p, in order")
    everything = total.summary()
    print(format_table([*rows, {"file": "all", **everything}]))
    if args.json:
        results = {"files": [_finite(row) for row in rows], "all": _finite(everything)}
        with replacing(args.json) as temporary:
            temporary.write_text(json.dumps(results, indent=2) + "\n")


def _from_model(args):
    """What a model predicts, and a function that does so at the chosen points of a file."""
    import numpy as np

    from ..predict import electrons
    from ..model.info import ModelInfo
    from ..saed.adding import check_given
    from ..saed.sources import matching
    from ._inputs import read_companion

    model = _open(args)
    check_given(args.model, model.info, args.saed)
    memory = ModelInfo.from_json(model.info)
    is_said = memory.kind or memory.stated
    quantity = memory.quantity if is_said else args.quantity or "total"
    if args.quantity not in (None, quantity):
        raise ChargeError(
            f"{args.model}: predicts {quantity}, not {args.quantity}: leave --quantity out"
        )
    superpositions = _superpositions(args)

    def predict(number, path, reference, chosen):
        model.check(reference.atoms, path)
        saed = None
        if superpositions:
            saed = read_companion(superpositions[number], args.species)
            matching(reference.atoms, reference.grid, saed, superpositions[number])
        if chosen is Ellipsis:
            density = model.predict(
                reference.atoms, reference.shape, progress=True, saed=saed, origin=reference.origin
            )
            if args.electrons:
                wanted = electrons.parse_electrons(
                    args.electrons, args.model, model.memory, reference.atoms
                )
                electrons.rescale(density, wanted)
            return density.values
        if saed is not None:
            saed = saed.values[chosen]
        points = reference.points(np.ravel_multi_index(chosen, reference.shape))
        return model.predict_points(reference.atoms, points, saed=saed)

    return quantity, predict


def _open(args):
    """The model; of one that does not remember what it predicts, --is says it too."""
    from ..predict import ChargeModel
    from ..model.info import ModelInfo

    with warnings.catch_warnings():
        if args.holds:
            warnings.simplefilter("ignore")
        model = ChargeModel(args.model)
    if args.holds and ModelInfo.from_json(model.info).content is None:
        model = ChargeModel(args.model, quantity=args.holds)
    return model


def _superpositions(args):
    """The file of superposed atomic densities for each true density."""
    from ..saed.sources import beside

    if not args.saed:
        return []
    names = args.saed * len(args.system) if len(args.saed) == 1 else args.saed
    if len(names) != len(args.system):
        raise ChargeError(
            f"--saed has {len(names)} files and -s {len(args.system)}; give one for each, or a name"
        )
    return [str(beside(path, name)) for path, name in zip(args.system, names)]


def _from_files(args, predictions):
    """The quantity of predicted densities, and a function that takes points of the next one."""
    from ..io import count_densities
    from ..io.quiet import names_needed
    from ..grid.quantity import QUANTITIES, find_quantity
    from ._inputs import check_same_grid

    quantity = args.quantity or "total"
    n_files = len(args.prediction), len(args.system)
    if n_files[0] != n_files[1]:  # frames may make up for it
        names = [names_needed(path, args.species) for path in args.prediction]
        given = sum(count_densities(p, None, n) for p, n in zip(args.prediction, names))
        wanted = sum(count_densities(p, args.format, args.species) for p in args.system)
        if given != wanted:
            raise ChargeError(
                f"-p has {n_files[0]} files and -s {n_files[1]}, with {given} and {wanted} densities;"
                " give one for each"
            )

    def predict(number, path, reference, chosen):
        name, prediction = next(predictions, (None, None))
        if prediction is None:
            raise ChargeError(f"{path}: -p has none for it: give one for each of -s, in order")
        check_same_grid(path, reference, name, prediction)
        true = find_quantity(quantity) if quantity != "total" else reference.quantity
        if prediction.quantity not in (true, QUANTITIES["total"]):  # what does not say is trusted
            raise ChargeError(
                f"{name}: holds {prediction.quantity.description}, and {path}"
                f" {true.description}: give files of one quantity (--quantity, --is)"
            )
        return prediction.values[chosen]

    return quantity, predict


def _choose_points(density, n_points, generator):
    """Return indices into the grid: of all points, or of a random subset."""
    import numpy as np

    size = density.values.size
    if n_points is None or n_points >= size:
        return Ellipsis
    return np.unravel_index(generator.choice(size, n_points, replace=False), density.shape)


def format_table(rows):
    """Lay out rows of ``{"file": ..., "mae": ..., ...}`` as text.

    Returns
    -------
    str
        A line of headings, one line a row; MAE, RMSE and max in e/A^3.
    """
    lines = [["file", *(heading for _, heading, _ in COLUMNS)]]
    lines += [[row["file"], *(form.format(row[key]) for key, _, form in COLUMNS)] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines)]
    return "\n".join(
        "  ".join([line[0].ljust(widths[0]), *map(str.rjust, line[1:], widths[1:])])
        for line in lines
    )


def _finite(row):
    """Replace NaN and infinity, which JSON does not have, by None."""
    return {
        key: None if isinstance(value, float) and not math.isfinite(value) else value
        for key, value in row.items()
    }
