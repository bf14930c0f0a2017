# SPDX-License-Identifier: LGPL-3.0-or-later
"""``deepmd-charge info``: what a density file holds."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterable
from typing import Any

from ..io import check_readable, iterate_densities
from ..io.facts import describe
from ._flags import Subparsers, add_declarations, add_format, add_species, declarations
from ._verbosity import add_verbosity


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand to the command line."""
    parser = subparsers.add_parser(
        "info",
        help="tell what density files hold",
        description="Print format, cell, species, grid, electrons, range, magnetic moment and PAW "
        "augmentation occupancies of density files. Also what is no valence density is read.",
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="density file")
    parser.add_argument("--json", action="store_true", help="print JSON: a list, one object a file")
    add_species(parser)
    add_format(parser)
    add_declarations(parser)
    add_verbosity(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Carry out ``deepmd-charge info``."""
    check_readable(args.files, args.format)
    facts, options = [], declarations(args)
    for path in args.files:
        for name, density in iterate_densities(
            path, args.format, args.species, check=False, **options
        ):
            facts.append(describe(name, density, **options))
            if not args.json:
                print(as_text(facts[-1]))
    if args.json:
        print(json.dumps(facts, indent=2))


def as_text(facts: dict[str, Any]) -> str:
    """Lay out the facts of one file."""

    def row(numbers: Iterable[float], form: str) -> str:
        return " ".join(format(number, form) for number in numbers)

    periodic = "".join(
        axis for axis, is_periodic in zip("abc", facts["periodic"], strict=True) if is_periodic
    )
    lines = [
        ("format", f"{facts['format']}, {facts['holds']}"),
        ("atoms", f"{facts['n_atoms']}, {facts['formula']}"),
        ("cell", f"{row(facts['lengths'], '.5f')} A, {row(facts['angles'], '.3f')} degrees"),
        ("volume", f"{facts['volume']:.5f} A^3, periodic along {periodic or 'no axis'}"),
        (
            "grid",
            f"{' x '.join(map(str, facts['grid']))}, spacing {row(facts['spacing'], '.4f')} A",
        ),
    ]
    if any(facts["origin"]):
        lines.append(("origin", f"{row(facts['origin'], '.5f')} A"))
    if waves := facts["waves"]:
        half = ", one of two opposite ones (Gamma)" if waves["gamma_only"] else ""
        lines.append(("waves", f"{waves['n_waves']} up to {waves['ecutrho']:g} Ry{half}"))
    unit = f" {facts['unit']}".rstrip()
    if facts["electrons"] is None and facts["integral"] is not None:
        lines.append(("integral", f"{facts['integral']:.6f} mu_B"))
    if facts["electrons"] is not None:
        note = "" if facts["can_be_valence_density"] else ", no number of valence electrons"
        lines.append(("electrons", f"{facts['electrons']:.6f}{note}"))
    lines.append(
        ("values", f"{facts['min']:.6g} to {facts['max']:.6g}{unit}, mean {facts['mean']:.6g}")
    )
    if facts["negative_points"]:
        lines.append(("negative", f"{facts['negative_points']} points"))
    if facts["moment"]:
        lines.append(
            (
                "spin",
                f"{facts['spin']}, moment {row(facts['moment'], '.6f')} mu_B,"
                f" integral of its size {facts['absolute_moment']:.6f}",
            )
        )
    if facts["augmentation"]:
        lines.append(
            (
                "PAW",
                "augmentation occupancies, "
                + ", ".join(
                    f"{a['values']} values of {a['atoms']} atoms" for a in facts["augmentation"]
                ),
            )
        )
    if facts["further_datasets"]:
        lines.append(("datasets", f"{facts['further_datasets']} more, which are not described"))
    lines += [("note", note) for note in facts["notes"]]
    lines += [("doubt", doubt) for doubt in facts["doubts"]]
    return "\n".join([f"{facts['file']}:", *(f"  {name:<10}{text}" for name, text in lines)])
