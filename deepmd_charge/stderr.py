# SPDX-License-Identifier: LGPL-3.0-or-later
"""What comes on standard error: progress bars, if so wished, and what libraries print.

TensorFlow and the libraries of DeePMD-kit say, some of them in C and whatever the settings,
that there is no CUDA, which instructions they use, and how threads could be set. The command
line asks for silence about just that (:func:`filter_libraries`); all else, and all that is
printed where the loading fails, comes through. Programs that use the package in Python
see everything.
"""

from __future__ import annotations

import atexit
import os
import re
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import IO

__all__ = ["filter_libraries", "loading", "mute_at_exit", "progress_is_shown", "show_progress"]

_STDERR = 2

_KNOWN = re.compile(
    rb"""
      implib-gen:\ libcudart
    | DeePMD-kit:\ (Cannot\ find|Error\ message:)\ libcudart
    | To\ get\ the\ best\ performance,\ it\ is\ recommended\ to\ adjust\ the\ number\ of\ threads
    | WARNING:\ All\ log\ messages\ before\ absl::InitializeLog
    | .*[ ]port\.cc:\d+\]\ oneDNN\ custom\ operations\ are\ on
    | .*[ ]cpu_feature_guard\.cc:\d+\]\ This\ TensorFlow\ binary\ is\ optimized
    | To\ enable\ the\ following\ instructions:
    | WARNING:tensorflow:.*deprecat
    """,
    re.VERBOSE,
)

_state = {"filtered": False, "loaded": False, "progress": True}


def show_progress(on: bool) -> None:
    """Say whether there are progress bars, where whoever computes does not say it himself."""
    _state["progress"] = on


def progress_is_shown() -> bool:
    """Whether there are progress bars."""
    return _state["progress"]


def filter_libraries(on: bool) -> None:
    """Say whether :func:`loading` is to keep known messages off standard error."""
    _state["filtered"] = on


@contextmanager
def loading() -> Iterator[None]:
    """Load a library that prints on standard error: known lines are dropped, if so wished.

    What is printed goes to a temporary file, and from there, when the library is loaded, the
    rest to standard error; all of it where the loading fails.
    """
    with ExitStack() as stack:
        if _state["filtered"]:
            with suppress(OSError):  # no room for a file, or no standard error
                held = stack.enter_context(tempfile.TemporaryFile())
                stack.enter_context(_held_back(held))
        yield


@contextmanager
def _held_back(held: IO[bytes]) -> Iterator[None]:
    """Send standard error to a file for a while, and then what is to be seen of it to its place."""
    original = os.dup(_STDERR)
    _flush()
    os.dup2(held.fileno(), _STDERR)
    loaded = False
    try:
        yield
        loaded = _state["loaded"] = True
    finally:
        _flush()
        os.dup2(original, _STDERR)
        os.close(original)
        held.seek(0)
        for line in held:
            if not (loaded and _KNOWN.match(line)):
                os.write(_STDERR, line)


def mute_at_exit() -> None:
    """Let the libraries that were loaded say nothing at the very end of this process.

    Their C code does when it is unloaded, after all Python. To be called before anything else
    registers with :mod:`atexit`, which then still can speak.
    """

    def mute() -> None:
        if _state["loaded"]:
            _flush()
            os.dup2(os.open(os.devnull, os.O_WRONLY), _STDERR)

    atexit.register(mute)


def _flush() -> None:
    if sys.stderr is not None:
        sys.stderr.flush()
