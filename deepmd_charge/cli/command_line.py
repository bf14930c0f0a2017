# SPDX-License-Identifier: LGPL-3.0-or-later
"""The command line of ``deepmd-charge``: its subcommands, and what they say of errors."""

from __future__ import annotations

import argparse
import logging
import os
import signal
import sys
import time
import traceback
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from types import FrameType
from typing import TextIO

from .. import __version__
from ..errors import ChargeError
from ..predict.parallel.mpi import launched
from ..stderr import mute_at_exit
from . import configure, convert, diff, info, lammps, plot, predict, property, qe, regrid, test
from ._completion import PrintCompletion
from ._verbosity import add_verbosity, print_line, verbosity

log = logging.getLogger(__package__)  # by that name also with python -m

COMMANDS = (convert, configure, predict, test, plot, info, diff, regrid, lammps, qe, property)


def build_parser() -> argparse.ArgumentParser:
    """Make the parser of the whole command line.

    Returns
    -------
    argparse.ArgumentParser
    """
    parser = argparse.ArgumentParser(
        prog="deepmd-charge",
        description="Learn electron charge densities with DeePMD-kit and predict them.",
        epilog="Training and freezing are done by DeePMD-kit itself: "
        "`dp train input.json`, `dp freeze -o charge.pb`. "
        "Densities are in e/A^3, lengths in A.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {__version__}")
    parser.add_argument(
        "--print-completion",
        action=PrintCompletion,
        choices=("bash", "zsh", "tcsh"),
        help="print a script with which this shell completes subcommands, flags and files",
    )
    add_verbosity(parser)
    parser.set_defaults(verbosity="normal")
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(subparsers)
    return parser


def run(argv: Sequence[str] | None = None) -> int:
    """Run ``deepmd-charge``, as :func:`.main` does, but for a Ctrl-C."""
    if argv is None:  # this process is ours
        mute_at_exit()
    with _first_rank_speaks():
        args = build_parser().parse_args(argv)
    with verbosity(args.verbosity):
        return _carry_out(args)


def _carry_out(args: argparse.Namespace) -> int:
    """Run a subcommand, and say in a line what goes wrong."""
    start = time.monotonic()
    try:
        with warnings.catch_warnings(), _terminated_gently():
            warnings.showwarning = _warn
            # what one library deprecates in another is nothing that a user can mend
            warnings.simplefilter("ignore", DeprecationWarning)
            args.run(args)
        sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output (head, less) has had enough. Python would
        # complain once more when it flushes stdout at its own exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except ChargeError as error:
        return _fail(error)
    except OSError as error:
        reason = error.strerror or str(error)
        return _fail(f"{error.filename}: {reason}" if error.filename else reason)
    except MemoryError as error:
        return _fail(f"out of memory: {str(error) or 'take a smaller grid'}")
    log.info("done in %.1f s", time.monotonic() - start)
    return 0


@contextmanager
def _terminated_gently() -> Iterator[None]:
    """Take a SIGTERM, of a queue or of mpirun, as a Ctrl-C: files are cleared up."""

    def interrupt(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # mpirun says it twice
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


@contextmanager
def _first_rank_speaks() -> Iterator[None]:
    """Let one of several MPI ranks show the help and complain of wrong flags."""
    if launched()[0] == 0:
        yield
        return
    try:
        with open(os.devnull, "w") as nowhere, redirect_stdout(nowhere), redirect_stderr(nowhere):
            yield
    except SystemExit:
        _wait_for_the_first_rank()
        raise


def _wait_for_the_first_rank() -> None:
    """Give MPI rank 0 time to say what is wrong: a launcher ends all ranks when one has failed."""
    if launched()[0]:
        time.sleep(2.0)


def _warn(
    message: Warning | str,
    category: type[Warning],
    filename: str,
    lineno: int,
    file: TextIO | None = None,
    line: str | None = None,
) -> None:
    """Print a warning without the place in the code where it arose."""
    print_line(f"deepmd-charge: warning: {message}")


def _fail(message: object) -> int:
    """Print a one-line complaint, with -v after its traceback, and return the exit status."""
    _wait_for_the_first_rank()
    log.info("%s", traceback.format_exc().rstrip())
    print(f"deepmd-charge: error: {message}", file=sys.stderr)
    return 1
