# SPDX-License-Identifier: LGPL-3.0-or-later
"""Entry point of the command ``deepmd-charge``."""

import argparse
import os
import signal
import sys
import time
import warnings
from contextlib import contextmanager, redirect_stderr, redirect_stdout

from .. import __version__
from ..errors import ChargeError
from ..predict.parallel.mpi import launched
from . import convert, diff, info, lammps, plot, predict, regrid, test

COMMANDS = (convert, predict, test, plot, info, diff, regrid, lammps)


def build_parser():
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
    subparsers = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for command in COMMANDS:
        command.add_parser(subparsers)
    return parser


def main(argv=None):
    """Run ``deepmd-charge``.

    Parameters
    ----------
    argv : list of str, optional
        Arguments without the program's name; those of the process by default.

    Returns
    -------
    int
        Exit status: 0, 1 after an error, 130 after Ctrl-C or a SIGTERM. As
        usual with argparse, wrong arguments exit with status 2.
    """
    with _first_rank_speaks():
        args = build_parser().parse_args(argv)
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
    except KeyboardInterrupt as stop:
        why = f": {stop}" if str(stop) else ""
        print(f"\ndeepmd-charge: interrupted{why}", file=sys.stderr)
        return 130
    return 0


@contextmanager
def _first_rank_speaks():
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


def _wait_for_the_first_rank():
    """Give MPI rank 0 time to say what is wrong: a launcher ends all ranks when one has failed."""
    if launched()[0]:
        time.sleep(2.0)


@contextmanager
def _terminated_gently():
    """Take a SIGTERM, of a queue or of mpirun that lost a rank, as a Ctrl-C: files are cleared up."""

    def interrupt(number, frame):
        signal.signal(signal.SIGTERM, signal.SIG_IGN)  # mpirun says it twice
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, previous)


def _warn(message, *_):
    """Print a warning without the place in the code where it arose."""
    from tqdm import tqdm

    # not into the middle of a progress bar
    tqdm.write(f"deepmd-charge: warning: {message}", file=sys.stderr)


def _fail(message):
    """Print a one-line complaint and return the exit status."""
    _wait_for_the_first_rank()
    print(f"deepmd-charge: error: {message}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
