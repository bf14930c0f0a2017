# SPDX-License-Identifier: LGPL-3.0-or-later
"""``deepmd-charge configure``: an ``input.json`` for converted data."""

from __future__ import annotations

import argparse
import json
import os
import warnings
from shlex import quote

from ..data import ready
from ..data.configure import propose
from ..data.dataset import check_open_axes
from ..data.survey import survey
from ..errors import ChargeError
from ..io.output import check_output, replacing
from ..model.info import FILE
from ..model.spec import ModelSpec
from ..saed import RadialTable
from ._flags import Subparsers
from ._verbosity import add_verbosity, note


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand to the command line."""
    parser = subparsers.add_parser(
        "configure",
        help="write an input.json for converted data",
        description="Look at DP systems that `convert` or dpdata made, choose the ready "
        "configuration, cutoff and number of steps that suit them, write an input.json for "
        "`dp train`, and say why.",
    )
    parser.add_argument(
        "folders", nargs="*", metavar="DIR", help="DP system to train on, or a folder of some"
    )
    parser.add_argument(
        "--valid", nargs="+", default=[], metavar="DIR", help="DP systems to validate with"
    )
    parser.add_argument(
        "--like",
        metavar="NAME",
        help="ready configuration to start from (default: by the material; see --list)",
    )
    parser.add_argument(
        "-o",
        "--output",
        default="input.json",
        metavar="FILE",
        help="file to write (default: %(default)s); its paths are relative to its folder",
    )
    parser.add_argument("--force", action="store_true", help="replace a file that is there")
    parser.add_argument("--list", action="store_true", help="name the ready configurations")
    add_verbosity(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Carry out ``deepmd-charge configure``."""
    if args.list:
        width = max(map(len, ready.READY))
        print(*(f"{name:<{width}}  {text}" for name, text in ready.READY.items()), sep="\n")
        return
    if not args.folders:
        raise ChargeError("give the folder of a DP system, or --list")
    check_output(args.output)
    if os.path.exists(args.output) and not args.force:
        raise ChargeError(f"{args.output}: is there; give another name, or --force to replace it")
    like = args.like and ready.name_of(args.like)
    data = survey(args.folders, args.valid)
    folder = os.path.dirname(args.output) or "."
    proposal = propose(data, folder, like)
    reach = ModelSpec.from_dict(proposal.configuration["model"]).descriptor.reach
    if data.table:
        reach = max(reach, RadialTable.load(data.table).reach)
    check_open_axes([*data.systems, *data.validation], reach)
    with replacing(args.output) as temporary:
        temporary.write_text(json.dumps(proposal.configuration, indent=2) + "\n")
    for reason in proposal.reasons:
        note(f"{args.output}: {reason}")
    for doubt in proposal.doubts:
        warnings.warn(f"{args.output}: {doubt}", stacklevel=2)
    saed = " --saed FILE" if data.table and data.saed == FILE else ""
    steps = [
        *([f"cd {quote(folder)}"] if folder != "." else []),
        f"dp train {quote(os.path.basename(args.output))}",
        "dp freeze -o charge.pb",
        f"deepmd-charge test -m charge.pb -s CHGCAR_other{saed}",
        f"deepmd-charge predict -m charge.pb -s POSCAR -o CHGCAR_pred{saed}",
    ]
    note("Now:", *(f"    {step}" for step in steps), sep="\n")
