# SPDX-License-Identifier: LGPL-3.0-or-later
"""``deepmd-charge qe compare``: what predicted densities are worth in Quantum ESPRESSO."""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable, Iterable, Sequence
from math import isnan
from pathlib import Path

from ..errors import ChargeError
from ..io.output import replacing
from ..qe.compare import MIXINGS, STARTS, Compared, Plan, compare
from ..qe.input import read_input
from ..qe.program import Program
from ..qe.worth import Spread, Worth
from ._flags import add_magnetization, add_model_argument, add_program
from ._tables import print_table
from ._verbosity import add_verbosity, note
from .plot import without_backend

_FILE = "compare.json"
_DENSITIES = {"true": "true density", "prediction": "prediction", "atoms": "superposed atoms"}
_STARTS = {"atoms": "atoms", "prediction": "prediction", "true": "true density"}


def add_compare(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of ``qe compare``."""
    parser.description = (
        "Run pw.x at predicted densities and to self-consistency, and tell what the densities are"
        " worth: energies, bands, forces and stress of one diagonalisation, iterations and CPU"
        " time of self-consistency from atoms, from the prediction and from the true density."
        " Runs are kept in the folder -o, and not made again."
    )
    add_model_argument(
        parser, nargs="+", help="frozen model of the density (charge.pb); of several the mean"
    )
    add_magnetization(parser)
    parser.add_argument(
        "-i",
        "-in",
        "--in",
        dest="input",
        nargs="+",
        required=True,
        metavar="FILE",
        help="scf inputs of pw.x; their paths are relative to their own folders",
    )
    parser.add_argument(
        "-o", "--output", required=True, metavar="DIR", help="folder of the runs, kept or new"
    )
    plan = Plan()
    parser.add_argument(
        "--mixing",
        nargs="+",
        default=list(plan.mixings),
        metavar="MODE",
        help="mixing_mode of the self-consistent runs, with mixing_beta behind a colon where it is"
        f" not that of the input, such as local-TF:0.5 (default: {' '.join(plan.mixings)})",
    )
    parser.add_argument(
        "--conv-thr",
        type=float,
        default=plan.conv_thr,
        metavar="E",
        help="estimated accuracy (Ry) to which self-consistency is brought (default: 1e-8)",
    )
    parser.add_argument(
        "--empty",
        type=int,
        default=plan.n_empty,
        metavar="N",
        help="lowest empty bands at each k point that are compared; one diagonalisation adds them"
        f" where the input has none (default: {plan.n_empty})",
    )
    parser.add_argument(
        "--repeat",
        type=int,
        default=plan.repeat,
        metavar="N",
        help="self-consistent runs of each kind, taking turns; the median of their times counts"
        " (default: 1)",
    )
    parser.add_argument(
        "--one-step",
        action="store_true",
        help="bring to self-consistency from atoms alone, with which one diagonalisation is"
        " compared",
    )
    parser.add_argument("--no-plots", action="store_true", help="draw no pictures beside the runs")
    add_program(parser)
    add_verbosity(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Carry out ``deepmd-charge qe compare``."""
    plan = _plan(args)
    inputs = {name: read_input(path) for name, path in names_of(args.input).items()}
    program = Program(args.pw)
    program.find()
    output = Path(args.output)
    output.mkdir(parents=True, exist_ok=True)
    found = []
    for name, pw in inputs.items():
        folder = output / name
        compared = compare(
            args.model, pw, folder, program, plan, args.magnetization, _progress(name)
        )
        if not args.no_plots:
            _draw(compared, folder, plan)
        _print(compared)
        found.append(compared)
        with replacing(output / _FILE) as temporary:
            results = [each.to_json() for each in found]
            Path(temporary).write_text(json.dumps(results, indent=2) + "\n")
    note(f"{output / _FILE}: all numbers")


def _plan(args: argparse.Namespace) -> Plan:
    for mixing in args.mixing:
        mode, colon, beta = mixing.partition(":")
        try:
            wrong = mode not in (*MIXINGS, "TF") or (colon and not 0.0 < float(beta) < 10.0)
        except ValueError:
            wrong = True
        if wrong:
            raise ChargeError(
                f"--mixing {mixing}: give plain, TF or local-TF, or one of them and a mixing_beta"
                " above 0 (TF in a semiconductor: 1.5), such as local-TF:0.5"
            )
    if not args.conv_thr > 0.0:
        raise ChargeError(f"--conv-thr {args.conv_thr:g}: give a positive number")
    for name in ("empty", "repeat"):
        if getattr(args, name) < 1:
            raise ChargeError(f"--{name} {getattr(args, name)}: give a number of at least 1")
    starts = STARTS[:1] if args.one_step else STARTS
    mixings = tuple(dict.fromkeys(args.mixing))
    return Plan(mixings, args.conv_thr, args.empty, args.repeat, starts)


def names_of(paths: Sequence[str]) -> dict[str, str]:
    """Inputs by names that tell them apart: of the files, with their folders if need be."""
    depth = 1
    while True:
        names = [
            "-".join([*p.parts[-depth:-1], p.stem]) for p in (Path(p).resolve() for p in paths)
        ]
        if len(set(names)) == len(names):
            return dict(zip(names, paths, strict=True))
        if depth > max(len(Path(path).resolve().parts) for path in paths):
            raise ChargeError(f"{max(paths, key=list(paths).count)}: is given twice: leave one out")
        depth += 1


def _progress(name: str) -> Callable[[str], None]:
    return lambda text: note(f"{name}: {text} ...")


def _draw(compared: Compared, folder: Path, plan: Plan) -> None:
    with without_backend():
        from ..qe import plots
    for figure, name in (
        (plots.plot_bands(compared), "bands.png"),
        (plots.plot_iterations(compared, plan.conv_thr), "iterations.png"),
    ):
        with replacing(folder / name) as temporary:
            figure.savefig(temporary, format="png", dpi=150)


# tables


def _print(compared: Compared) -> None:
    kind = "a metal" if compared.is_metal else f"gap {compared.exact.gap:.3f} eV"
    print(f"\n{compared.name}: {compared.n_atoms} atoms, {kind}; one diagonalisation at")
    print_table(
        ["density", "MAE", "accuracy", "energy", "Harris-", "occupied", "", "empty", "gap",
         "forces", "", "stress"],
        ["", "e/A^3", "Ry", "meV/atom", "Foulkes", "meV", "max", "meV", "meV", "meV/A", "max",
         "GPa"],
        [[_DENSITIES[name], *_row(compared, name, worth)]
         for name, worth in compared.one_step.items()],
    )  # fmt: skip
    print(
        f"\nself-consistency from (iterations, CPU s; the prediction itself takes"
        f" {compared.prediction_seconds:.1f} s more)"
    )
    mixings = list(compared.scf["atoms"])
    print_table(
        ["start", *mixings, "best", "", "saved", ""],
        [""] * (len(mixings) + 1) + ["iter.", "CPU s", "iter.", "CPU"],
        [_scf_row(compared, start, mixings) for start in compared.scf],
    )


def _row(compared: Compared, name: str, worth: Worth) -> Iterable[str]:
    errors = compared.densities.get(name)
    yield f"{errors['mae']:.2e}" if errors else "-"
    yield f"{worth.accuracy:.1e}"
    yield from (f"{value:.3f}" for value in (worth.energy, worth.harris_foulkes))
    yield from _spread(worth.occupied)
    yield "-" if name == "true" else next(iter(_spread(worth.empty)))
    yield "-" if worth.gap is None or name == "true" else f"{worth.gap:.1f}"
    yield from _spread(worth.forces)
    yield f"{worth.stress.mae:.3f}" if worth.stress else "-"


def _spread(spread: Spread | None) -> list[str]:
    return [f"{spread.mae:.2f}", f"{spread.max:.1f}"] if spread else ["-", "-"]


def _scf_row(compared: Compared, start: str, mixings: Sequence[str]) -> list[str]:
    found = compared.scf[start]
    cells = [f"{found[m].iterations}, {found[m].cpu_seconds:.1f}" for m in mixings]
    best = [str(compared.fewest(start)[1]), f"{compared.fastest(start)[1]:.1f}"]
    shares = [] if start == "atoms" else compared.saved(start)
    saved = ["-" if isnan(x) else f"{100 * x:.0f}%" for x in shares] or ["", ""]
    return [_STARTS[start], *cells, *best, *saved]
