# SPDX-License-Identifier: LGPL-3.0-or-later
"""``deepmd-charge property train``: from a table of labels to a model, with cross-validation."""

from __future__ import annotations

import argparse
import warnings
from collections import Counter
from collections.abc import Sequence
from typing import Any

import numpy as np

from ..errors import ChargeError
from ..property.attention import AttentionSettings
from ..property.autoencoder import TRAINED
from ..property.by_formula import ByFormula, compare_formulas
from ..property.electron_counts import common_valences
from ..property.encoder import LatentEncoder, open_encoder
from ..property.feature_tables import formulas_in, gather_from_table
from ..property.folds import chemical_system, make_folds, reduced_formula
from ..property.gathering import gather
from ..property.inputs import KINDS, Inputs
from ..property.intervals import check_coverage
from ..property.moduli import DERIVED
from ..property.panels import Panel
from ..property.property_units import label_of
from ..property.regressors import MODELS, Settings, check_inputs
from ..property.tables import Labels, read_labels, write_table
from ..property.targets import choose_targets
from ..property.trained import train_model
from ..property.trees import TreeSettings
from ..property.validation import OutOfFold, cross_validate
from ..typing import Integers
from ._property import add_features, add_jobs, check_outputs, draw, jobs, pictures, write_json
from ._tables import print_table
from ._verbosity import add_verbosity, note

_TREES = TreeSettings()
_SETTINGS = Settings()
_GROUPS = {"formula": reduced_formula, "system": chemical_system}


def add_train(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of ``property train``."""
    parser.description = (
        "Learn properties from densities, or from structures with superposed atoms. Every sample is"
        " predicted by what was learned from the other folds, and these predictions are scored;"
        " what is written is learned from all samples."
    )
    parser.add_argument(
        "labels",
        metavar="LABELS",
        help="table (CSV) with a column `file` of densities or structures, relative to its folder,"
        " and columns of properties, such as `K (GPa)`; an empty cell is an unknown label",
    )
    parser.add_argument(
        "--targets", nargs="+", required=True, metavar="NAME", help="properties to learn"
    )
    parser.add_argument(
        "--inputs",
        nargs="+",
        choices=KINDS,
        default=["invariants", "composition"],
        help="what to learn from (default: invariants composition)",
    )
    parser.add_argument(
        "--folds",
        type=int,
        default=5,
        metavar="N",
        help="folds of cross-validation (default: 5)",
    )
    parser.add_argument(
        "--group",
        metavar="WHAT",
        help="keep samples in one fold that have the same formula, the same system of elements"
        " (`system`), or the same cell in a column of the table",
    )
    parser.add_argument(
        "--seed", type=int, default=0, metavar="S", help="of folds and fits (default: 0)"
    )
    parser.add_argument(
        "--model",
        choices=MODELS,
        default=_SETTINGS.model,
        help="what to fit: trees (LightGBM), a network with attention on latent inputs, or both,"
        " the mean of such a network and of trees on all that is not latent (default: trees)",
    )
    _add_settings(parser)
    add_features(parser)
    parser.add_argument(
        "--autoencoder",
        metavar="FILE",
        help="trained autoencoder, for latent inputs (default: the one that comes with the"
        " package)",
    )
    parser.add_argument("--json", metavar="FILE", help="write the scores here")
    parser.add_argument(
        "--predictions",
        metavar="FILE",
        help="write labels, folds, and predictions of held-out samples here (CSV)",
    )
    parser.add_argument(
        "--plot",
        metavar="PREFIX",
        help="draw PREFIX-parity.png, and PREFIX-importances.png of trees",
    )
    parser.add_argument("-o", "--output", metavar="MODEL", help="write the trained model here")
    add_jobs(parser)
    add_verbosity(parser)
    parser.set_defaults(run=run)


def _add_settings(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--trees",
        type=int,
        default=_TREES.n_trees,
        metavar="N",
        help=f"trees of each member of an ensemble (default: {_TREES.n_trees})",
    )
    parser.add_argument(
        "--learning-rate",
        type=float,
        default=_TREES.learning_rate,
        metavar="R",
        help=f"by which each tree counts (default: {_TREES.learning_rate:g})",
    )
    parser.add_argument(
        "--members",
        type=int,
        default=_TREES.n_members,
        metavar="N",
        help=f"members of each ensemble, whose spread scales intervals (default:"
        f" {_TREES.n_members})",
    )
    parser.add_argument(
        "--log",
        nargs="*",
        metavar="NAME",
        help="properties whose logarithm is learned, all others as they are (default: none, but"
        " the square root of K, G, E and debye if none is negative)",
    )
    parser.add_argument(
        "--latent-components",
        type=int,
        default=_SETTINGS.n_components,
        metavar="N",
        help="principal components of latent arrays that trees learn from (default:"
        f" {_SETTINGS.n_components})",
    )
    parser.add_argument(
        "--poses",
        type=int,
        default=_SETTINGS.n_poses,
        metavar="N",
        help="random positions and rotations in which a density is encoded (default:"
        f" {_SETTINGS.n_poses})",
    )
    parser.add_argument(
        "--epochs",
        type=int,
        default=_SETTINGS.attention.epochs,
        metavar="N",
        help=f"most epochs of the network with attention (default: {_SETTINGS.attention.epochs})",
    )
    parser.add_argument(
        "--coverage",
        type=float,
        default=0.9,
        metavar="P",
        help="fraction of labels that intervals are to hold (default: 0.9)",
    )


def run(args: argparse.Namespace) -> None:
    """Carry out ``deepmd-charge property train``."""
    settings = _checked(args)
    # by formula from these two; other columns may hold anything
    optional = DERIVED if {"K", "G"} <= set(args.targets) else ()
    labels = read_labels(args.labels, args.targets, optional)
    for text in labels.notes:
        note(f"{args.labels}: {text}")
    targets = choose_targets(labels, args.targets, args.log, args.folds)
    _tell_duplicates(labels, args)
    if args.group not in _GROUPS:
        _folds(args, labels, None)  # what is wrong with them is said before the long work
    encoder = None
    if "latent" in args.inputs:
        encoder = open_encoder(args.autoencoder or TRAINED, args.poses)
    inputs = _inputs(args, labels, encoder)
    facts = inputs.facts
    valences = common_valences(inputs.files, facts.formulas, facts.electrons)
    groups, folds = _folds(args, labels, inputs.facts.formulas)
    n_targets = len(targets)
    found = cross_validate(inputs, labels.values[:, :n_targets], targets, folds, settings)
    formulas = compare_formulas(found, labels, inputs.facts, groups)
    scores = found.to_json(args.coverage, groups)
    _print(found, formulas, scores)
    for each in formulas:
        if each.name in scores:
            scores[each.name]["by_formula"] = each.to_json()
        else:
            scores[each.name] = {**each.to_json(), "by": "formula"}
    _write(args, labels, found, scores)
    if args.output:
        content = encoder.content if encoder else b""
        model = train_model(inputs, found, settings, args.coverage, scores, valences, content)
        model.save(args.output)
        note(f"{args.output}: model of {', '.join(t.label for t in targets)}")


def _checked(args: argparse.Namespace) -> Settings:
    """Settings from the flags, which are checked before any work is done."""
    n_threads = jobs(args)
    if args.folds < 2:
        raise ChargeError(f"--folds {args.folds}: give at least 2")
    for name in ("latent_components", "poses", "epochs"):
        if getattr(args, name) < 1:
            flag = name.replace("_", "-")
            raise ChargeError(f"--{flag} {getattr(args, name)}: give a number of at least 1")
    if not 0 <= args.seed < 2**32:
        raise ChargeError(f"--seed {args.seed}: give a number from 0 to {2**32 - 1}")
    check_coverage(args.coverage)
    if args.autoencoder and "latent" not in args.inputs:
        raise ChargeError("--autoencoder: is for --inputs latent; add it there, or leave this out")
    read = [args.labels, args.features, args.autoencoder]
    check_outputs(_outputs(args), read, [args.predictions])
    check_inputs(args.model, args.inputs)
    return Settings(
        args.model,
        TreeSettings(args.trees, args.learning_rate, n_members=args.members),
        AttentionSettings(epochs=args.epochs, members=args.members),
        args.latent_components,
        args.poses,
        args.seed,
        n_threads,
    )


def _outputs(args: argparse.Namespace) -> list[str]:
    return [*filter(None, (args.json, args.predictions, args.output)), *pictures(args.plot)]


def _tell_duplicates(labels: Labels, args: argparse.Namespace) -> None:
    if args.group in _GROUPS:
        return
    files = labels.table.files
    # rows of one group are in one fold
    groups = labels.table.column(args.group) if args.group else list(map(str, range(len(files))))
    counts = Counter(name for name, _ in dict.fromkeys(zip(files, groups, strict=True)))
    several = [name for name, count in counts.items() if count > 1]
    if several:
        where = "groups" if args.group else "rows"
        warnings.warn(
            f"{args.labels}: {len(several)} files stand in several {where}, the first of them"
            f" {several[0]}: samples are held out whose like is learned from; --group file keeps"
            " them in one fold",
            stacklevel=2,
        )


def _inputs(args: argparse.Namespace, labels: Labels, encoder: LatentEncoder | None) -> Inputs:
    paths = labels.table.paths()
    check_outputs(_outputs(args), paths)
    if not args.features:
        return gather(paths, args.inputs, encoder, n_processes=jobs(args))
    formulas = formulas_in(labels.table)
    needs_densities = {"K", "G"} <= set(args.targets) and "debye" in labels.names
    return gather_from_table(
        args.features, paths, args.inputs, formulas, needs_densities, args.targets
    )


def _folds(
    args: argparse.Namespace, labels: Labels, formulas: Sequence[str] | None
) -> tuple[list[str] | None, Integers]:
    """Groups of samples, if there are any, and the folds that they are dealt out to."""
    groups = None
    if args.group in _GROUPS:
        groups = [_GROUPS[args.group](formula) for formula in formulas or ()]
    elif args.group is not None:
        groups = labels.table.column(args.group)
    try:
        return groups, make_folds(len(labels), args.folds, args.seed, groups)
    except ChargeError as error:
        raise ChargeError(f"{args.labels}: {error}") from None


# output


def _print(
    found: OutOfFold, formulas: Sequence[ByFormula], scores: dict[str, dict[str, Any]]
) -> None:
    n_folds = len(np.unique(found.folds))
    print(f"samples that were held out, {n_folds} folds")
    rows = []
    for target in found.targets:
        each = scores[target.name]
        low, high = each["r2_interval"]
        rows.append(
            [target.label, str(each["n"]), f"{each['r2']:.4f}", f"{low:.4f} to {high:.4f}",
             f"{each['mae']:.4g}", f"{each['rmse']:.4g}", f"{100 * each['coverage']:.1f}%"]
        )  # fmt: skip
    print_table(["property", "n", "R2", "", "MAE", "RMSE", "in the"],
                ["", "", "", "95%", "", "", "interval"], rows)  # fmt: skip
    if not formulas:
        return
    print("\nby formula from the predicted K and G")
    rows = [
        [label_of(each.name, each.unit), str(each.scores.n), f"{each.scores.r2:.4f}",
         f"{each.scores.mae:.4g}", str(each.r2 or "-"), str(each.mae or "-"), _verdict(each)]
        for each in formulas
    ]  # fmt: skip
    print_table(["property", "n", "R2", "MAE", "R2 - learned", "MAE - learned", "better"],
                ["", "", "", "", "95%", "95%", ""], rows)  # fmt: skip


def _verdict(each: ByFormula) -> str:
    if each.r2 is None:
        return "not learned"
    return {True: "formula", False: "learned", None: "neither"}[each.is_better]


def _write(
    args: argparse.Namespace, labels: Labels, found: OutOfFold, scores: dict[str, Any]
) -> None:
    if args.json:
        write_json(args.json, scores)
    if args.predictions:
        _write_predictions(args.predictions, labels, found, args.coverage)
        note(f"{args.predictions}: predictions of held-out samples")
    if args.plot:
        panels = [
            Panel(target, found.label(target.name), found.values(target.name))
            for target in found.targets
        ]
        draw(args.plot, panels, found.targets, found.gains, found.kinds)


def _write_predictions(path: str, labels: Labels, found: OutOfFold, coverage: float) -> None:
    header = ["file", "fold"]
    columns: list[Any] = [labels.table.files, found.folds.tolist()]
    for target in found.targets:
        header += [target.label, *(f"{target.name}_{x}" for x in ("predicted", "lower", "upper"))]
        columns += [found.label(target.name), found.values(target.name)]
        columns += found.interval(target.name, coverage)
    write_table(path, header, zip(*columns, strict=True))
