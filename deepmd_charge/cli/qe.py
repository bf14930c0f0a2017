# SPDX-License-Identifier: LGPL-3.0-or-later
"""``deepmd-charge qe``: runs of Quantum ESPRESSO with predicted densities."""

from __future__ import annotations

import argparse
import os

from .. import predict as prediction
from ..errors import ChargeError
from ..io.output import check_apart, check_output, replacing
from ..predict.parallel.blocks import available_cores
from ..qe.input import PwInput, read_input
from ..qe.place import check_place
from ..qe.program import Program
from ..qe.start import Settings, Started, settings_for, start
from ._flags import Subparsers, add_magnetization, add_model_argument, add_program
from ._verbosity import add_verbosity, note
from .qe_compare import add_compare


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand and its parts to the command line."""
    parser = subparsers.add_parser(
        "qe",
        help="start runs of Quantum ESPRESSO from predicted densities",
        description="`start` predicts the density of an input of pw.x and puts it where the run"
        " will look for it; `compare` tells what predicted densities are worth in such runs.",
    )
    add_verbosity(parser)
    parts = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_start(parts.add_parser("start", help="begin a run of pw.x with a predicted density"))
    add_compare(parts.add_parser("compare", help="tell what predicted densities are worth in pw.x"))


def _add_start(parser: argparse.ArgumentParser) -> None:
    parser.description = (
        "Predict the density of a run of pw.x, scale it to the electrons of the run, write it to"
        " outdir/prefix.save, and print what the input needs to begin with it. Runs of nscf and"
        " bands are prepared completely. Paths of the input are relative to this folder, as they"
        " are for pw.x."
    )
    add_model_argument(
        parser, nargs="+", help="frozen model of the density (charge.pb), or several"
    )
    add_input(parser)
    add_magnetization(parser)
    parser.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="write the input with the new lines here, instead of printing these",
    )
    add_program(parser)
    parser.add_argument(
        "--force", action="store_true", help="replace a prefix.save folder that is there"
    )
    parser.add_argument(
        "-j", "--jobs", type=int, metavar="N", help="cores to predict on (default: all)"
    )
    add_verbosity(parser)
    parser.set_defaults(run=run_start)


def add_input(parser: argparse.ArgumentParser) -> None:
    """Declare ``-i``, the input of pw.x."""
    parser.add_argument(
        "-i",
        "-in",
        "--in",
        dest="input",
        required=True,
        metavar="FILE",
        help="input of pw.x: scf, nscf, bands, relax or vc-relax",
    )


def run_start(args: argparse.Namespace) -> None:
    """Carry out ``deepmd-charge qe start``."""
    if args.jobs is not None and args.jobs < 1:
        raise ChargeError(f"-j {args.jobs}: give a number of at least 1")
    pw = read_input(args.input)
    if args.output:
        check_output(args.output)
        check_apart(args.output, [args.input, *args.model, *args.magnetization])
    check_place(pw.save, args.force)
    program = Program(args.pw)
    if args.pw:
        program.find()
    n_threads = args.jobs or available_cores()
    models, magnetization = (
        [prediction.ChargeModel(path, n_threads, quantity=quantity) for path in paths]
        for paths, quantity in ((args.model, "total"), (args.magnetization, "magnetization"))
    )
    needed = pw, models, magnetization, program if program.is_there else None, args.force
    settings = settings_for(pw)
    text = pw.with_settings(settings)
    _show(start(*needed))
    if not args.output:
        _print_settings(pw, settings)
        return
    with replacing(args.output) as new:
        new.write_text(text)
    note(f"{args.output}: {os.path.basename(args.input)}, to begin with this density")


def _show(started: Started) -> None:
    """Say what was predicted."""
    shape = " x ".join(map(str, started.shape))
    note(
        f"{started.save}: {shape} points, multiplied by {started.factor:.5f}:"
        f" {started.predicted:.4f} electrons predicted, {started.electrons:.10g} in the run"
    )
    if started.moment is not None:
        note(f"{started.save}: total magnetisation {started.moment:.4f} mu_B predicted")
    if started.deviation is not None:
        note(
            f"{started.save}: standard deviation of the models {started.deviation:.1e} e/A^3 on"
            " average"
        )
    for text in started.notes:
        note(f"{started.save}: {text}")


def _print_settings(pw: PwInput, settings: Settings) -> None:
    """Print the lines that an input needs."""
    for namelist, keys in settings.items():
        note(f"{pw.path}: put into &{namelist.upper()}:")
        for key, value in keys.items():
            print(f"  {key} = {value}")
