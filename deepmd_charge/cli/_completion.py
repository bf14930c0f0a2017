# SPDX-License-Identifier: LGPL-3.0-or-later
"""``deepmd-charge --print-completion``: what a shell needs to complete our words."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import Any, NoReturn

__all__ = ["PrintCompletion"]

# What the words of flags stand for, as the help calls them.
_FILES = {"FILE", "MODEL", "DENSITY", "PREDICTION", "A", "B", "DUMP", "FROM", "SOURCE"}
_FOLDERS = {"DIR"}


class PrintCompletion(argparse.Action):
    """Print a script of completion for a shell, and exit."""

    def __call__(self, parser: argparse.ArgumentParser, *given: Any) -> NoReturn:
        """Print the script for the shell that is given second."""
        import shtab

        shell = given[1]
        for action in _actions(parser):
            names = action.metavar if isinstance(action.metavar, tuple) else (action.metavar,)
            kinds = [
                kind
                for known, kind in ((_FILES, shtab.FILE), (_FOLDERS, shtab.DIRECTORY))
                if known.intersection(names)
            ]
            if kinds and action.choices is None:
                action.complete = kinds[0]  # type: ignore[attr-defined]
        print(shtab.complete(parser, shell))
        parser.exit()


def _actions(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Flags and arguments of a parser and its subcommands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from _actions(child)
        else:
            yield action
