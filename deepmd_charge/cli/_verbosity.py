# SPDX-License-Identifier: LGPL-3.0-or-later
"""How much the commands say: ``-q``, ``-v``, and what neither changes.

Warnings, errors and what a command was asked to print come in any case.
"""

from __future__ import annotations

import argparse
import logging
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from ..predict.parallel.mpi import launched
from ..stderr import filter_libraries, progress_is_shown, show_progress

__all__ = ["add_verbosity", "is_quiet", "note", "print_line", "verbosity"]

_log = logging.getLogger(__package__.partition(".")[0])


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
    return not progress_is_shown()


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
    filter_libraries(not verbose)
    show_progress(name != "quiet")
    if verbose and launched()[0] == 0:  # of MPI ranks the first one speaks
        _log.addHandler(handler)
        _log.setLevel(logging.INFO)
        _log.propagate = False
    try:
        yield
    finally:
        filter_libraries(False)
        show_progress(True)
        _log.removeHandler(handler)
        _log.setLevel(level)
        _log.propagate = propagate
