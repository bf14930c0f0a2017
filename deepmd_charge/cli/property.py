# SPDX-License-Identifier: LGPL-3.0-or-later
"""``deepmd-charge property``: from densities to properties of materials."""

from __future__ import annotations

from ._flags import Subparsers
from ._verbosity import add_verbosity
from .property_features import add_features_command
from .property_train import add_train
from .property_use import add_predict, add_test


def add_parser(subparsers: Subparsers) -> None:
    """Add the subcommand and its parts to the command line."""
    parser = subparsers.add_parser(
        "property",
        help="learn properties of materials from densities, and predict them",
        description="`features` makes tables of invariants of densities, `train` learns properties"
        " from a table of labels, `predict` predicts them, `test` tells how good predictions are.",
    )
    add_verbosity(parser)
    parts = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    add_features_command(
        parts.add_parser("features", help="make a table of invariants of densities")
    )
    add_train(parts.add_parser("train", help="learn properties from a table of labels"))
    add_predict(parts.add_parser("predict", help="predict properties of densities or structures"))
    add_test(parts.add_parser("test", help="compare predictions with a table of labels"))
