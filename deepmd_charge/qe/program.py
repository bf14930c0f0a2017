# SPDX-License-Identifier: LGPL-3.0-or-later
"""pw.x: where it is, and runs of it."""

from __future__ import annotations

import logging
import os
import re
import shlex
import shutil
import signal
import subprocess
from pathlib import Path

from ..errors import ChargeError
from ..typing import PathLike

__all__ = ["Program"]

log = logging.getLogger(__name__)

_NAME = "pw.x"
_DONE = "JOB DONE."
_ERROR = re.compile(r"Error in routine\s+(?P<routine>.+?)\s*:?\s*\n(?P<text>.*?)\n?\s*%%%", re.S)
_NOT_CONVERGED = "convergence NOT achieved"
# Signals of a fault in the program itself, which need not come again.
_CRASHES = {
    getattr(signal, name).value
    for name in ("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT")
}  # fmt: skip
# Cores of a run belong to whoever starts it with mpirun; a library takes all of them otherwise.
_THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS")


class Program:
    """pw.x, or a command that runs it.

    Parameters
    ----------
    command : str, optional
        The program, or a command with arguments such as ``mpirun -n 4 pw.x``; by default the
        pw.x of the search path.

    Attributes
    ----------
    command : str
    """

    def __init__(self, command: str | None = None) -> None:
        self.command = command or _NAME
        try:
            self._words = shlex.split(self.command)
        except ValueError as error:
            raise ChargeError(f"{self.command}: no command: {error}") from None

    @property
    def is_there(self) -> bool:
        """bool: Whether there is such a program."""
        return self._path() is not None

    def _path(self) -> str | None:
        return shutil.which(self._words[0]) if self._words else None

    def find(self) -> list[str]:
        """The command in words, the program with its path.

        Raises
        ------
        ChargeError
            If there is no such program.
        """
        path = self._path()
        if path is None:
            raise ChargeError(
                f"{self.command}: there is no such program: install Quantum ESPRESSO, or say where"
                " its pw.x is (--pw PATH)"
            )
        return [os.path.abspath(path), *self._words[1:]]

    def run(
        self,
        input: str | Path,
        folder: PathLike,
        output: PathLike,
        must_converge: bool = False,
    ) -> Path:
        """Run it once, or after a crash twice.

        Parameters
        ----------
        input : str or Path
            Text of the input, which is kept beside the output under its name and ".in"; or
            its file.
        folder : str or os.PathLike
            Where it runs: paths of the input are relative to it.
        output : str or os.PathLike
            File of what it prints.
        must_converge : bool
            Whether self-consistency that was not reached is an error.

        Returns
        -------
        Path
            `output`.

        Raises
        ------
        ChargeError
            If it is missing, is killed, crashes twice, or does not get to its end.
        """
        command = self.find()
        output = Path(os.path.abspath(output))
        if isinstance(input, Path):
            file = input
        else:
            file = output.with_name(f"{output.name}.in")
            file.write_text(input)
        command += ["-in", os.path.abspath(file)]
        environment = {**dict.fromkeys(_THREADS, "1"), **os.environ}
        for is_last in (False, True):
            log.info("%s > %s", shlex.join(command), output)
            with open(output, "wb") as printed:
                try:
                    done = subprocess.run(
                        command, cwd=folder, env=environment, stdin=subprocess.DEVNULL,
                        stdout=printed, stderr=subprocess.STDOUT, check=False,
                    )  # fmt: skip
                except OSError as error:
                    raise ChargeError(f"{command[0]}: cannot be run: {error.strerror}") from None
            number = _signal_of(done.returncode)
            if number not in _CRASHES or is_last:
                break
            log.info("%s: crashed (%s), run once more", output, signal.Signals(number).name)
        self._check(output, done.returncode, number, must_converge)
        return output

    def _check(self, output: Path, status: int, number: int, must_converge: bool) -> None:
        """Raise ChargeError unless a run got to its end."""
        text = output.read_text(errors="replace")
        if message := _message(text):
            raise ChargeError(f"{output}: pw.x stopped: {message}")
        if number:
            name = signal.Signals(number).name
            if number in _CRASHES:
                raise ChargeError(
                    f"{output}: pw.x crashed twice ({name}): see the end of this file"
                )
            raise ChargeError(f"{output}: pw.x was killed ({name}): was there enough memory?")
        if must_converge and _NOT_CONVERGED in text:
            raise ChargeError(
                f"{output}: pw.x did not reach self-consistency: allow more iterations"
                " (electron_maxstep), or mix less (mixing_beta)"
            )
        if _DONE not in text:
            raise ChargeError(
                f"{output}: pw.x ended with status {status}, before its end: see the end of this"
                " file"
            )


def _signal_of(status: int) -> int:
    """Number of the signal that ended a process, or one that a shell or mpirun ran; else 0."""
    number = -status if status < 0 else status - 128
    return number if number in {each.value for each in signal.Signals} else 0


def _message(text: str) -> str:
    """What pw.x says of an error, in a line; empty where it says none."""
    found = _ERROR.search(text)
    if not found:
        return ""
    return " ".join(f"{found['text']} ({found['routine']})".split())
