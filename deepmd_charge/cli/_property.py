# SPDX-License-Identifier: LGPL-3.0-or-later
"""What the parts of ``deepmd-charge property`` share."""

from __future__ import annotations

import argparse
import json
import math
import os
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import ChargeError
from ..io.output import check_apart, check_output, replacing
from ..predict.parallel.blocks import available_cores
from ..property.panels import Panel
from ..property.tables import read_table
from ..property.targets import Target
from ..typing import Floats
from ._verbosity import note
from .plot import without_backend


def add_features(parser: argparse.ArgumentParser) -> None:
    """Declare ``--features``."""
    parser.add_argument(
        "--features",
        metavar="TABLE",
        help="table that `property features` made of the same files, instead of making it again",
    )


def add_jobs(parser: argparse.ArgumentParser) -> None:
    """Declare ``-j``."""
    parser.add_argument(
        "-j", "--jobs", type=int, metavar="N", help="cores to work on (default: all)"
    )


def jobs(args: argparse.Namespace) -> int:
    """Number of cores that the flags ask for."""
    if args.jobs is not None and args.jobs < 1:
        raise ChargeError(f"-j {args.jobs}: give a number of at least 1")
    return args.jobs or available_cores()


def paths_of(name: str, must_exist: bool = True) -> list[str]:
    """Paths of files, or of those of a table, which must be there or may be missed later."""
    if name.lower().endswith((".csv", ".csv.gz", ".csv.xz")):
        return read_table(name).paths(must_exist)
    return [name]


def check_outputs(
    outputs: Sequence[str], inputs: Sequence[str | None], tables: Sequence[str | None] = ()
) -> None:
    """Refuse outputs that cannot be written, are read, too, or are one; tables are not packed."""
    for number, output in enumerate(outputs):
        check_output(output)
        check_apart(output, inputs)
        if os.path.abspath(output) in map(os.path.abspath, outputs[:number]):
            raise ChargeError(f"{output}: is asked for twice; give one of them another name")
    for table in tables:
        if table and table.lower().endswith((".gz", ".xz")):
            raise ChargeError(f"{table}: tables are written as plain CSV; give it a name like that")


def write_json(path: str, scores: Mapping[str, Any]) -> None:
    """Write scores; what is not known is null."""
    with replacing(path) as temporary:
        temporary.write_text(json.dumps(_without_nan(scores), indent=2) + "\n")
    note(f"{path}: scores")


def pictures(prefix: str | None) -> list[str]:
    """Files that are drawn."""
    return [f"{prefix}-parity.png", f"{prefix}-importances.png"] if prefix else []


def draw(
    prefix: str,
    panels: Sequence[Panel],
    targets: Sequence[Target] = (),
    gains: Mapping[str, Floats] | None = None,
    kinds: Mapping[str, str] | None = None,
) -> None:
    """Draw predictions against labels and, where there are any, importances of columns."""
    with without_backend():
        from ..property import plots
    figures = {"parity": plots.plot_parity(panels)}
    if gains and kinds:
        figures["importances"] = plots.plot_importances(targets, gains, kinds)
    for name, figure in figures.items():
        path = f"{prefix}-{name}.png"
        with replacing(path) as temporary:
            figure.savefig(temporary, format="png", dpi=150)
        note(f"{path}: {'predicted against true' if name == 'parity' else 'importances'}")


def _without_nan(found: Any) -> Any:
    if isinstance(found, Mapping):
        return {key: _without_nan(value) for key, value in found.items()}
    if isinstance(found, (list, tuple)):
        return [_without_nan(value) for value in found]
    return None if isinstance(found, float) and not math.isfinite(found) else found
