# SPDX-License-Identifier: LGPL-3.0-or-later
"""Rows of a table that was not finished, in ``TABLE.part``, which are gone on with.

The flags that rows depend on beside their columns, if there are any, are in ``TABLE.part.flags``.
"""

from __future__ import annotations

import csv
import os
from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from ..errors import ChargeError
from ..io.frames import split_frames
from ..io.output import lock

__all__ = ["check_the_same", "held", "remove", "rows_done"]

_CHUNK = 1 << 16  # bytes


@contextmanager
def held(unfinished: Path) -> Iterator[TextIO]:
    """Open the rows to add to, and keep a second run away from them."""
    with unfinished.open("a", newline="") as file:
        lock(file, unfinished, "table")
        try:
            yield file
        finally:
            if unfinished.exists() and not unfinished.stat().st_size:
                remove(unfinished)  # nothing was begun


def rows_done(unfinished: Path, header: list[str], word: str, resume: bool) -> Counter[str]:
    """How often each file has a row already; a last row that was cut off is taken away."""
    done: Counter[str] = Counter()
    _cut_last_row(unfinished)
    with unfinished.open(newline="") as file:
        rows = csv.reader(file)
        first = next(rows, header)
        for row in rows:  # one by one: a long table does not fit into memory
            if not resume:
                raise ChargeError(
                    f"{unfinished}: holds the rows of a table that was not finished; go on with"
                    " --resume, or remove it"
                )
            if first != header or row[2] != word:
                raise ChargeError(f"{unfinished}: is of a table with other columns; remove it")
            done[row[0]] += 1
    if not done:
        unfinished.write_bytes(b"")
    return done


def check_the_same(unfinished: Path, flags: str, done: Counter[str], names: Iterable[str]) -> None:
    """Refuse to go on with rows of other files, or by other flags; keep the flags of new rows."""
    kept = _flags_of(unfinished)
    if not done:
        kept.unlink(missing_ok=True)
        if flags:
            kept.write_text(flags)
        return
    before = kept.read_text() if kept.exists() else ""
    if before != flags:
        made, now = (f"with {x}" if x else "without flags" for x in (before, flags))
        raise ChargeError(
            f"{unfinished}: holds rows that were made {made}, and this is {now}; give the same"
            " flags, or remove it"
        )
    files = {split_frames(name)[0] for name in names}
    for row in done:
        if row not in files and split_frames(row)[0] not in files:
            raise ChargeError(
                f"{unfinished}: holds a row of {row}, which is not asked for now; give the same"
                " files as before, or remove it"
            )


def remove(unfinished: Path) -> None:
    """Remove the rows, if there are any still, and their flags."""
    unfinished.unlink(missing_ok=True)
    _flags_of(unfinished).unlink(missing_ok=True)


def _flags_of(unfinished: Path) -> Path:
    return unfinished.with_name(f"{unfinished.name}.flags")


def _cut_last_row(path: Path) -> None:
    """Take away what stands after the last end of a line."""
    with path.open("r+b") as file:
        end = file.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - _CHUNK)
            file.seek(start)
            found = file.read(end - start).rfind(b"\n")
            if found >= 0:
                end = start + found + 1
                break
            end = start
        file.truncate(end)
