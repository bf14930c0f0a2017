# SPDX-License-Identifier: LGPL-3.0-or-later
"""How much the commands say: ``-q``, ``-v``, and what neither changes.

The level of the package's logger holds it: errors alone with ``-q``, notes of the library
with ``-v``. Warnings, errors and what a command was asked to print come in any case.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ..io.stderr import filter_libraries
from ..predict.parallel.mpi import launched

__all__ = ["add_verbosity", "is_quiet", "note", "print_line", "verbosity"]

_log = logging.getLogger(__package__.partition(".")[0])
_LEVELS = {"quiet": logging.ERROR, "normal": logging.NOTSET, "verbose": logging.INFO}


def add_verbosity(parser: argparse.ArgumentParser, short: bool = True) -> None:
    """Declare ``-q`` and ``-v``, the latter only as ``--verbose`` where -v is something else."""
    # a default here would overrule what stands before the subcommand
    parser.add_argument(
        "-q",
        "--quiet",
        dest="verbosity",
        action="store_const",
        const="quiet",
        default=argparse.SUPPRESS,
        help="print no progress and no notes, only warnings, errors and what is asked for",
    )
    parser.add_argument(
        *(["-v"] if short else []),
        "--verbose",
        dest="verbosity",
        action="store_const",
        const="verbose",
        default=argparse.SUPPRESS,
        help="print more: times, grids, cores, all that libraries print, and tracebacks of errors",
    )


def is_quiet() -> bool:
    """Whether ``-q`` was given."""
    return not _log.isEnabledFor(logging.WARNING)


def note(*texts: str, sep: str = " ") -> None:
    """Print what was done, unless ``-q`` was given."""
    if not is_quiet():
        print(*texts, sep=sep, flush=True)


def print_line(text: str) -> None:
    """Print a line on standard error, not into the middle of a progress bar."""
    from tqdm import tqdm

    tqdm.write(text, file=sys.stderr)


class _Lines(logging.Handler):
    """Records of the library as lines like all others."""

    def emit(self, record: logging.LogRecord) -> None:
        print_line(f"deepmd-charge: {record.getMessage()}")


@contextmanager
def verbosity(name: str) -> Iterator[None]:
    """Say as much as "quiet", "normal" or "verbose" has it, for the time of a command."""
    verbose = name == "verbose"
    if verbose:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "0")
    handler = _Lines()
    level, propagate = _log.level, _log.propagate
    _log.setLevel(_LEVELS[name])
    filter_libraries(not verbose)
    if verbose and launched()[0] == 0:  # of MPI ranks the first one speaks
        _log.addHandler(handler)
        _log.propagate = False
    try:
        yield
    finally:
        filter_libraries(False)
        _log.removeHandler(handler)
        _log.setLevel(level)
        _log.propagate = propagate
