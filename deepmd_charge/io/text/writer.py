# SPDX-License-Identifier: LGPL-3.0-or-later
"""Writing text files with large blocks of numbers, plain or compressed.

Some megabytes at a time, printed by all cores: gigabytes go through without a
second copy in memory.
"""

from __future__ import annotations

import gzip
import lzma
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from io import BufferedIOBase

import numpy as np

from ...errors import ChargeError
from ...grid.mapped import release
from ...typing import Floats, PathLike
from ..output import replacing
from .numbers import format_values
from .reader import THREADS, suffix_of

CHUNK_VALUES = 1 << 15  # their text is half a megabyte
SLAB_VALUES = 1 << 18


@contextmanager
def text_writer(path: PathLike) -> Iterator[BufferedIOBase]:
    """Open a file that appears under its name when it is complete.

    Parameters
    ----------
    path : str or os.PathLike
        Final name; .gz and .xz compress.

    Yields
    ------
    binary file object

    Raises
    ------
    ChargeError
        If the file cannot be written. What stood there before is left as it is.
    """
    with replacing(path) as temporary, open(temporary, "wb") as raw:
        if suffix_of(path) == ".gz":
            # neither a name nor a time inside: equal data, equal files
            with gzip.GzipFile("", "wb", 6, raw, mtime=0) as file:
                yield file
        elif suffix_of(path) == ".xz":
            with lzma.LZMAFile(raw, "wb") as file:
                yield file
        else:
            yield raw


def slabs(values: Floats, multiple: int = 8) -> Iterator[Floats]:
    """Cut a grid along its first axis into slabs of some megabytes.

    Parameters
    ----------
    values : numpy.ndarray or numpy.memmap, shape (nx, ny, nz)
        In any order of memory. A file's memory is given back after each slab.
    multiple : int
        Of planes in all slabs but the last. With eight or more, which fill a line of
        a processor's cache, an array whose planes lie side by side is read fast, too.

    Yields
    ------
    numpy.ndarray, shape (n, ny, nz)
        Contiguous; a view where possible.
    """
    n_planes = SLAB_VALUES // (values.shape[1] * values.shape[2])
    step = max(n_planes // multiple, 1) * multiple
    for start in range(0, len(values), step):
        yield np.ascontiguousarray(values[start : start + step])
        release(values)


def write_values(
    file: BufferedIOBase, path: PathLike, slabs: Iterable[Floats], columns: int
) -> None:
    """Print slabs of numbers.

    Parameters
    ----------
    file : binary file object
    path : str
        Name for the complaint.
    slabs : iterable of numpy.ndarray, shape (rows, n)
        Each row begins a new line.
    columns : int
        Numbers in a line.

    Raises
    ------
    ChargeError
        If a value is not finite.
    """
    pending: deque[Future[bytes]] = deque()
    with ThreadPoolExecutor(THREADS) as pool:
        for slab in slabs:
            if not np.isfinite(slab).all():
                raise ChargeError(f"{path}: not written: some values are not finite")
            for part in _parts(slab, columns):
                pending.append(pool.submit(format_values, part, columns))
                if len(pending) > 2 * THREADS:
                    file.write(pending.popleft().result())
        for text in pending:
            file.write(text.result())


def _parts(slab: Floats, columns: int) -> Iterator[Floats]:
    """Cut rows into parts of some thousand numbers, whole rows or whole lines."""
    n_rows = max(1, CHUNK_VALUES // slab.shape[1])
    n_values = max(1, CHUNK_VALUES // columns) * columns
    for start in range(0, len(slab), n_rows):
        for first in range(0, slab.shape[1], n_values):
            yield slab[start : start + n_rows, first : first + n_values]
