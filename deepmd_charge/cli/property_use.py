# SPDX-License-Identifier: LGPL-3.0-or-later
"""``deepmd-charge property predict`` and ``test``: what a trained model is used for."""

from __future__ import annotations

import argparse
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ChargeError
from ..property.encoder import encoder_of
from ..property.feature_tables import formulas_in, gather_from_table
from ..property.gathering import gather
from ..property.inputs import Inputs
from ..property.moduli import DERIVED, derived
from ..property.panels import Panel
from ..property.property_units import KNOWN_UNITS, label_of
from ..property.tables import read_labels, read_table, write_table
from ..property.trained import Prediction, PropertyModel
from ._property import (
    add_features,
    add_jobs,
    check_outputs,
    draw,
    jobs,
    paths_of,
    pictures,
    write_json,
)
from ._tables import print_table
from ._verbosity import add_verbosity, note


def add_predict(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of ``property predict``."""
    parser.description = (
        "Predict properties of densities, or of structures with superposed atoms, with intervals."
    )
    _add_model(parser)
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE",
        help="densities or structures, CHG@3 for one frame; or tables (.csv) with a column `file`",
    )
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="FILE",
        help="table (CSV) to write: file, and of each property such as K the columns K (GPa),"
        " K_lower and K_upper",
    )
    parser.add_argument(
        "--formulas",
        action="store_true",
        help="add E (GPa), poisson and debye (K) by their formulas from the predicted K and G,"
        " where the model does not predict them",
    )
    add_features(parser)
    add_jobs(parser)
    add_verbosity(parser)
    parser.set_defaults(run=run_predict)


def add_test(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of ``property test``."""
    parser.description = "Predict properties of a table of labels, and score the predictions."
    _add_model(parser)
    parser.add_argument(
        "labels", metavar="LABELS", help="table (CSV) as for `property train`, of other samples"
    )
    parser.add_argument("--json", metavar="FILE", help="write the scores here")
    parser.add_argument("--plot", metavar="PREFIX", help="draw PREFIX-parity.png")
    add_features(parser)
    add_jobs(parser)
    add_verbosity(parser)
    parser.set_defaults(run=run_test)


def _add_model(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "-m", "--model", required=True, metavar="MODEL", help="model of `property train`"
    )


def run_predict(args: argparse.Namespace) -> None:
    """Carry out ``deepmd-charge property predict``."""
    jobs(args)
    check_outputs([args.output], [args.model, args.features, *args.files], [args.output])
    model = PropertyModel.load(args.model)
    if args.formulas and not {"K", "G"} <= set(model.names):
        raise ChargeError(f"--formulas: {args.model} does not predict both K and G; leave it out")
    paths = [path for name in args.files for path in paths_of(name)]
    check_outputs([args.output], paths)
    inputs = _inputs(args, model, paths, each_is_one=False)
    found = model.predict(inputs, args.model)
    _warn_of_elements(model, inputs, args.model)
    header = ["file"]
    columns: list[Any] = [inputs.files]
    for place, target in enumerate(model.targets):
        header += [target.label, f"{target.name}_lower", f"{target.name}_upper"]
        columns += [part[:, place] for part in (found.values, found.lower, found.upper)]
    if args.formulas:
        for name in DERIVED:
            if name not in model.names:
                header.append(label_of(name, KNOWN_UNITS[name]))
                columns.append(_by_formula(name, model, found, inputs))
    write_table(args.output, header, zip(*columns, strict=True))
    labels = ", ".join(target.label for target in model.targets)
    note(f"{args.output}: {labels} of {len(inputs)} samples")


def run_test(args: argparse.Namespace) -> None:
    """Carry out ``deepmd-charge property test``."""
    jobs(args)
    outputs = list(filter(None, (args.json, *pictures(args.plot))))
    check_outputs(outputs, [args.labels, args.model, args.features])
    model = PropertyModel.load(args.model)
    there = set(read_table(args.labels).names)
    names = [name for name in model.names if name in there]
    if not names:
        raise ChargeError(
            f"{args.labels}: has no column of {', '.join(model.names)}, which {args.model} predicts"
        )
    labels = read_labels(args.labels, names)
    for text in labels.notes:
        note(f"{args.labels}: {text}")
    check_outputs(outputs, labels.table.paths())
    unknown = [name for name in names if not np.isfinite(labels.of(name)).any()]
    if unknown == names:
        raise ChargeError(f"{args.labels}: has no label of {', '.join(names)} in any row")
    for name in unknown:
        note(f"{args.labels}: {name} has no label in any row, and is left out")
        names.remove(name)
    targets = {target.name: target for target in model.targets}
    for name, unit in zip(labels.names, labels.units, strict=True):
        if unit != targets[name].unit:
            raise ChargeError(
                f"{args.labels}: {name} is in {unit or 'no unit'}, and in"
                f" {targets[name].unit or 'no unit'} in {args.model}; give it in that"
            )
    formulas = formulas_in(labels.table) if args.features else None
    inputs = _inputs(args, model, labels.table.paths(), formulas=formulas)
    found = model.predict(inputs, args.model)
    _warn_of_elements(model, inputs, args.model)
    panels = []
    for name in names:
        place = model.names.index(name)
        parts = (part[:, place] for part in (found.values, found.lower, found.upper))
        panels.append(Panel(targets[name], labels.of(name), *parts))
    scores = {panel.target.name: _scores(panel) for panel in panels}
    _print(panels, scores)
    if args.json:
        write_json(args.json, scores)
    if args.plot:
        draw(args.plot, panels)


def _inputs(
    args: argparse.Namespace,
    model: PropertyModel,
    paths: Sequence[str],
    each_is_one: bool = True,
    formulas: Sequence[str] | None = None,
) -> Inputs:
    if args.features:
        needs_densities = bool(getattr(args, "formulas", False))
        return gather_from_table(
            args.features, paths, model.kinds, formulas, needs_densities, each_is_one=each_is_one
        )
    encoder = encoder_of(model.autoencoder, model.settings.n_poses, args.model)
    return gather(paths, model.kinds, encoder, each_is_one, jobs(args))


def _by_formula(name: str, model: PropertyModel, found: Prediction, inputs: Inputs) -> Any:
    bulk, shear = (found.values[:, model.names.index(modulus)] for modulus in "KG")
    return derived(name, bulk, shear, inputs.facts.mass_density, inputs.facts.number_density)


def _warn_of_elements(model: PropertyModel, inputs: Inputs, path: str) -> None:
    for element, numbers in model.unknown_elements(inputs.facts.formulas).items():
        others = f" and {len(numbers) - 1} more" if len(numbers) > 1 else ""
        warnings.warn(
            f"{inputs.files[numbers[0]]}{others}: {element} was in no sample that {path} was"
            " trained on: do not trust this prediction or its interval",
            stacklevel=2,
        )


def _scores(panel: Panel) -> dict[str, Any]:
    assert panel.lower is not None and panel.upper is not None
    known = np.isfinite(panel.labels)
    inside = (panel.labels >= panel.lower) & (panel.labels <= panel.upper)
    coverage = float(inside[known].mean()) if known.any() else float("nan")
    return {**panel.scores.to_json(), "unit": panel.target.unit, "coverage": coverage}


def _print(panels: Sequence[Panel], scores: dict[str, dict[str, Any]]) -> None:
    rows = []
    for panel in panels:
        each = scores[panel.target.name]
        rows.append(
            [panel.target.label, str(each["n"]), f"{each['r2']:.4f}", f"{each['mae']:.4g}",
             f"{each['rmse']:.4g}", f"{100 * each['coverage']:.1f}%"]
        )  # fmt: skip
    print_table(["property", "n", "R2", "MAE", "RMSE", "in the"],
                ["", "", "", "", "", "interval"], rows)  # fmt: skip
