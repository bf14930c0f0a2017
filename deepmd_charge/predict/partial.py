# SPDX-License-Identifier: LGPL-3.0-or-later
"""A prediction under way, on disk: it outlives the process that computes it.

The file is one line of JSON that describes the run, padded with spaces; a
checksum for each block of the grid, zero where the block has not been done;
and the values, as they stand in memory. A block counts as done if its values
agree with its checksum, so that no order of writing needs to be kept and
whatever a killed process, or machine, has left behind can be used.
"""

from __future__ import annotations

import json
import mmap
import os
import zlib
from io import FileIO
from pathlib import Path
from typing import Any, Literal

import numpy as np

from ..errors import ChargeError
from ..grid.blocks import Blocks
from ..grid.mapped import allocate, as_arrays, release
from ..io.output import lock, temporary_name
from ..typing import Floats, PathLike

__all__ = ["Partial", "read_description"]

_HEADER = 1 << 16  # bytes; a description of 500 models fits
_DONE = 1 << 32  # above all checksums
# Blocks between two calls that give memory back; each may touch hundreds of pages.
_RELEASE = 32


def read_description(path: PathLike) -> dict[str, Any]:
    """Description in a partial file.

    Raises
    ------
    ChargeError
        If the file is something else.
    """
    try:
        with open(path, "rb") as file:
            found = json.loads(file.read(_HEADER))
    except ValueError:
        found = None
    if not isinstance(found, dict):
        raise ChargeError(f"{path}: not an unfinished prediction; remove this file")
    return found


class Partial:
    """The values of a grid, block by block, in a file that is kept when a run ends early.

    Parameters
    ----------
    path : str or Path
        The file. One that describes the same run is gone on with, any other
        is replaced.
    description : dict
        What the values depend on, in JSON's types.
    blocks : Blocks
        The grid.
    n_arrays : int
        Values at each point.
    order : {"C", "F"}
        Memory order of each array.

    Attributes
    ----------
    path : Path
        The file.
    values : np.ndarray
        (n_arrays, nx, ny, nz), mapped from the file.
    missing : list of int
        The blocks that were not done when the file was opened.
    n_done : int
        Grid points that are done.

    Raises
    ------
    ChargeError
        If the file cannot be made, for want of space or otherwise, or another
        process is at work on it.
    """

    def __init__(
        self,
        path: PathLike,
        description: dict[str, Any],
        blocks: Blocks,
        n_arrays: int,
        order: Literal["C", "F"] = "C",
    ) -> None:
        self.path = Path(path)
        self._blocks = blocks
        self._n_put = 0
        table = _pages(8 * len(blocks))
        size = _HEADER + table + 8 * n_arrays * blocks.size
        try:
            if self.path.exists() and read_description(self.path) == description:
                self._file = _open(self.path, size)
            else:
                self._file = _create(self.path, description, size)
            self._map = mmap.mmap(self._file.fileno(), size)
        except OSError as error:
            raise ChargeError(
                f"{self.path}: cannot keep {size / 1e9:.3g} GB of values: {error.strerror or error}"
            ) from None
        self._checksums = np.frombuffer(self._map, np.uint64, len(blocks), _HEADER)
        self.values = as_arrays(self._map, (n_arrays, *blocks.shape), order, _HEADER + table)
        self.missing = [number for number in range(len(blocks)) if not self._is_done(number)]
        self.n_done = blocks.size - sum(self._at(number)[0].size for number in self.missing)

    def put(self, number: int, values: Floats) -> None:
        """Keep the values of a block.

        Parameters
        ----------
        number : int
            The block.
        values : np.ndarray
            (n_arrays, ...) as :meth:`Blocks.slices` cuts them out.
        """
        self._at(number)[...] = values
        self._checksums[number] = _checksum(values)
        self.n_done += values[0].size
        self._n_put += 1
        if self._n_put % _RELEASE == 0:
            release(self.values)

    def close(self) -> None:
        """Let go of the file: others may work on it."""
        self._file.close()  # and the lock; the map lives as long as its arrays

    def _at(self, number: int) -> Floats:
        return self.values[(slice(None), *self._blocks.slices(number))]

    def _is_done(self, number: int) -> bool:
        noted = self._checksums[number]
        return bool(noted) and bool(noted == _checksum(self._at(number)))


def _create(path: Path, description: dict[str, Any], size: int) -> FileIO:
    """Make a file of zeros with its description, whole or not at all."""
    temporary = temporary_name(path)
    try:
        file = FileIO(temporary, "w+")
        lock(file, path, "prediction")
        allocate(file, size)
        os.pwrite(file.fileno(), json.dumps(description).encode().ljust(_HEADER), 0)
        os.replace(temporary, path)
        return file
    finally:
        temporary.unlink(missing_ok=True)


def _open(path: Path, size: int) -> FileIO:
    file = FileIO(path, "r+")
    lock(file, path, "prediction")
    if os.fstat(file.fileno()).st_size != size:
        raise ChargeError(f"{path}: truncated; remove this file")
    return file


def _pages(size: int) -> int:
    return -(-size // mmap.PAGESIZE) * mmap.PAGESIZE


def _checksum(values: Floats) -> np.uint64:
    return np.uint64(zlib.crc32(np.ascontiguousarray(values)) + _DONE)
