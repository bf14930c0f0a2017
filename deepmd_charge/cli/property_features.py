# SPDX-License-Identifier: LGPL-3.0-or-later
"""``deepmd-charge property features``: tables of invariants of densities."""

from __future__ import annotations

import argparse
from functools import cache, partial

from ..errors import ChargeError
from ..grid.density import Density
from ..property.extraction import BLOCKS, Extraction, write_features
from ..property.superposed import superposed_on
from ..saed.sources import Source, open_source
from ._flags import add_declarations, add_format, add_species, declarations
from ._property import add_jobs, check_outputs, jobs, paths_of
from ._verbosity import add_verbosity, note, print_line


def add_features_command(parser: argparse.ArgumentParser) -> None:
    """Declare the flags of the subcommand."""
    parser.description = (
        "Write a CSV table of numbers that tell of densities whatever cell, origin, orientation"
        " and grid they were computed in. Densities come from files of any format; of a"
        " structure the valence densities of free atoms are superposed. --list shows each number"
        " with its unit and formula."
    )
    parser.add_argument(
        "files",
        nargs="*",
        metavar="FILE",
        help="density files, or structures in any file that ase reads (all frames; file@3,"
        " file@::10 for some); or tables (.csv) with a column `file` of such",
    )
    parser.add_argument("-o", "--output", metavar="TABLE", help="CSV file to write")
    parser.add_argument(
        "--of",
        nargs="+",
        choices=list(BLOCKS),
        default=["invariants"],
        help="what the columns are: invariants of the density, those of its difference from"
        " superposed free atoms, MAGPIE's statistics of the composition (default: invariants)",
    )
    parser.add_argument(
        "--saed",
        metavar="SOURCE",
        help="superposed atoms that differences are taken from, on the grid of each density:"
        " upf:FOLDER, potcar:FILE, a saed.npz, or a density file (default: the package's table of"
        " free atoms)",
    )
    parser.add_argument(
        "--saed-ecutrho",
        type=float,
        metavar="E",
        help="cutoff of |G|^2 (Ry) of the run, for upf: (needed) and potcar:",
    )
    parser.add_argument(
        "--list", action="store_true", help="print name, unit and formula of each column, and end"
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on with a table that was interrupted or killed"
    )
    parser.add_argument(
        "--keep-going",
        action="store_true",
        help="leave densities out that cannot be used, with a line for each, instead of stopping"
        " at the first",
    )
    add_species(parser)
    add_format(parser)
    add_declarations(parser)
    add_jobs(parser)
    add_verbosity(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Carry out ``deepmd-charge property features``."""
    reference = (
        partial(_superposed_by, args.saed, args.saed_ecutrho) if args.saed else superposed_on
    )
    reading = {"format": args.format, "species": args.species, **declarations(args)}
    blocks = tuple(block for block in BLOCKS if block in args.of)
    if "difference" in blocks and args.holds != "difference":
        # what files hold decides, one by one
        reading["check"] = "invariants" in blocks
    extraction = Extraction(blocks, reference, reading, _told(args))
    if args.list:
        for feature in extraction.columns:
            print(f"{feature.name}\t{feature.unit or '-'}\t{feature.formula}")
        return
    if not args.files or not args.output:
        raise ChargeError("property features: give density or structure files, and -o TABLE")
    if args.saed and "difference" not in blocks:
        raise ChargeError(f"--saed {args.saed}: is for differences; add --of difference")
    check_outputs([args.output], args.files, [args.output])
    files = [path for name in args.files for path in paths_of(name, not args.keep_going)]
    check_outputs([args.output], files)
    left_out: list[str] = []

    def leave_out(text: str) -> None:
        left_out.append(text)
        print_line(f"deepmd-charge: left out: {text}")

    failed = leave_out if args.keep_going else None
    n = write_features(args.output, files, extraction, jobs(args), args.resume, failed)
    rest = f", {len(left_out)} left out" if left_out else ""
    note(f"{args.output}: {len(extraction.columns)} features of {n} densities{rest}")


def _told(args: argparse.Namespace) -> str:
    """Flags that rows depend on, as they were given."""
    given = {
        "--saed": args.saed,
        "--saed-ecutrho": args.saed_ecutrho,
        "--species": args.species,
        "--format": args.format,
        "--pbc": args.pbc,
        "--unit": args.unit,
        "--is": args.holds,
    }
    values = ((flag, v if isinstance(v, (list, tuple)) else [v]) for flag, v in given.items())
    return " ".join(f"{flag} {' '.join(map(str, v))}" for flag, v in values if v != [None])


def _superposed_by(source: str, ecutrho: float | None, density: Density) -> Density:
    atoms = density.atoms
    values = _opened(source, ecutrho).on_grid(atoms, density.grid)
    return Density(atoms, values, density.origin)


@cache
def _opened(source: str, ecutrho: float | None) -> Source:
    return open_source(source, ecutrho)
