# SPDX-License-Identifier: LGPL-3.0-or-later
"""``deepmd-charge convert``: densities to DP systems."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

from ..atoms.species import GRID_TYPE
from ..data.sampling import N_POINTS, POINTS_PER_FRAME
from ..data.superpositions import Superpositions
from ..data.systems import TABLE, Conversion, convert
from ..data.writing import Written
from ._flags import (
    Subparsers,
    add_declarations,
    add_format,
    add_quantity,
    add_species,
    add_unchecked,
    declarations,
)
from ._verbosity import add_verbosity, is_quiet, note

# Lines on systems, above which all share one.
MOST_LINES = 20


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand to the command line."""
    parser = subparsers.add_parser(
        "convert",
        help="make DP systems for `dp train` from charge densities",
        description="Draw grid points from charge densities and write them as DP systems "
        "(deepmd/npy, float64) in which a grid point is an atom of type X. Files of one "
        "composition go in one system: DIR itself, or DIR/FORMULA where there are several; with "
        "--mixed-type all go in one.",
    )
    parser.add_argument(
        "files", nargs="+", metavar="FILE", help="density file, plain or .gz or .xz"
    )
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="new or empty folder")
    parser.add_argument(
        "--points",
        type=int,
        default=N_POINTS,
        metavar="N",
        help="grid points to draw from each file, or each frame of one (default: %(default)s, "
        "or all if there are fewer), as many more as fill the frames",
    )
    parser.add_argument(
        "--points-per-frame",
        type=int,
        default=POINTS_PER_FRAME,
        metavar="M",
        help="grid points in each frame (default: %(default)s); a short last frame is filled up, "
        "with points of the grid that are there already if it has no others",
    )
    parser.add_argument("--seed", type=int, metavar="S", help="draw the same points every time")
    parser.add_argument(
        "--by-gradient",
        type=share,
        metavar="SHARE",
        help="share of the points, 0 to 1, to draw in proportion to the gradient of the density; "
        "all others are equally likely (default: auto, the more the sharper a density is)",
    )
    parser.add_argument(
        "--mixed-type",
        action="store_true",
        help="write one system with all compositions (deepmd/npy/mixed), so that a step of dp "
        "train can take frames of several",
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on with a run that was interrupted or killed"
    )
    add_saed(parser)
    add_quantity(parser)
    add_species(parser)
    add_format(parser)
    add_declarations(parser)
    add_unchecked(parser)
    add_verbosity(parser)
    parser.set_defaults(run=run)


def share(text: str) -> float | None:
    """A share of the points; None of "auto"."""
    return None if text == "auto" else float(text)


def add_saed(parser: argparse.ArgumentParser) -> None:
    """Add the flags of superposed atomic densities."""
    parser.add_argument(
        "--saed",
        metavar="SOURCE",
        help="note superposed atomic densities, which a model with model.saed subtracts: "
        "upf:FOLDER, potcar:FILE, fit, a saed.npz, or a density file; "
        "a name without a folder is looked for beside each FILE first",
    )
    parser.add_argument(
        "--saed-ecutrho",
        type=float,
        metavar="E",
        help="cutoff of |G|^2 (Ry) of the run, for upf: (needed) and potcar:; "
        "Quantum ESPRESSO's ecutrho, four times ecutwfc unless set",
    )


def run(args: argparse.Namespace) -> None:
    """Carry out ``deepmd-charge convert``."""
    done = convert(
        args.files,
        args.output,
        args.points,
        args.points_per_frame,
        args.seed,
        args.saed,
        args.saed_ecutrho,
        args.quantity,
        args.by_gradient,
        progress=not is_quiet(),
        format=args.format,
        species=args.species,
        check=not args.unchecked,
        mixed_type=args.mixed_type,
        resume=args.resume,
        **declarations(args),
    )
    for text, names in done.notes.items():
        several = f" and {len(names) - 1} more" if len(names) > 1 else ""
        note(f"{names[0]}{several}: {text}")
    if len(done.written) > MOST_LINES:
        note(f"{summary(joined(done))}, in {len(done.written)} systems")
    else:
        note(*map(summary, done.written), sep="\n")
    if done.superpositions:
        note(*subtracted(done.superpositions, done.output / TABLE), sep="\n")


def joined(done: Conversion) -> Written:
    """What all systems hold together."""
    electrons = [n for written in done.written for n in written.electrons or ()]
    return Written(
        folder=done.output,
        names=list(dict.fromkeys(name for written in done.written for name in written.names[:-1])),
        n_frames=sum(written.n_frames for written in done.written),
        n_points=sum(written.n_points for written in done.written),
        n_compositions=len(done.written),
        electrons=(min(electrons), max(electrons)) if electrons else None,
        kind=done.written[0].kind,
    )


def summary(written: Written) -> str:
    """One line on a system."""
    held = written.kind
    if written.electrons:
        electrons = dict.fromkeys(f"{n:.3f}" for n in written.electrons)
        held = " to ".join(electrons) + " electrons"
    several = f"{written.n_compositions} compositions, " if written.n_compositions > 1 else ""
    names = [name for name in written.names if name != GRID_TYPE]
    counts = f"{written.n_frames} frames, {written.n_points} points"
    return f"{written.folder}: {several}{counts}, {held}, {' '.join(names)}"


def subtracted(superpositions: Superpositions, path: Path) -> Iterator[str]:
    """Lines on what models are to subtract, whose table is in a file."""
    table = superpositions.table
    if not table.functions:
        yield f"{path}: superpositions from density files; predict needs one as well"
    for element in table.functions:
        line = f"{path}: {element} {table.electrons(element):.4f} electrons"
        if element in table.valence:
            line += f" of {table.valence[element]:g}"
        line += f" within {table.step * len(table.functions[element]):.1f} A"
        if cost := superpositions.costs.get(element):
            line += f", truncation costs about {cost.truncation:.0e} e/A^3"
            line += f"; {cost.total:.0e} from the plane-wave code's sum"
        yield line
    counts = superpositions.electrons
    name, atoms, total = max(counts, key=lambda count: abs(count[1] - count[2]))
    line = f"{name}: superposed atoms hold {atoms:.3f} of {total:.3f} electrons"
    if len(counts) > 1:
        line += f" (the farthest of {len(counts)} files)"
    yield line
