# SPDX-License-Identifier: LGPL-3.0-or-later
"""Arrays that live in files, for values that need not fit into memory."""

from __future__ import annotations

import mmap
import os
import tempfile
from collections.abc import Iterator, Sequence
from typing import IO, overload

import numpy as np

from ..errors import ChargeError
from ..typing import Floats, PathLike

__all__ = ["allocate", "as_arrays", "by_planes", "release", "scratch", "slow_axis"]


def scratch(folder: PathLike, shape: Sequence[int], order: str = "C") -> Floats:
    """Make an array in a file without a name, which goes when the array goes.

    Parameters
    ----------
    folder : str or Path
        Where there is space for it.
    shape : tuple of int
        Of the array.
    order : {"C", "F"}
        Memory order of the last three axes.

    Returns
    -------
    np.ndarray
        float64

    Raises
    ------
    ChargeError
        If there is no space.
    """
    size = 8 * int(np.prod(shape))
    try:
        with tempfile.TemporaryFile(dir=folder) as file:
            allocate(file, size)
            return as_arrays(mmap.mmap(file.fileno(), size), shape, order)
    except OSError as error:
        raise ChargeError(
            f"{folder}: no {size / 1e9:.3g} GB for values here: {error.strerror or error}"
        ) from None


def allocate(file: IO[bytes], size: int) -> None:
    """Claim space for a file: one that is mapped and outgrows its disk would end the process."""
    if hasattr(os, "posix_fallocate"):
        os.posix_fallocate(file.fileno(), 0, size)
    else:
        os.ftruncate(file.fileno(), size)


def as_arrays(buffer: mmap.mmap, shape: Sequence[int], order: str, offset: int = 0) -> Floats:
    """See a buffer as float64 arrays of the last three axes, each in C or Fortran order."""
    flat = np.frombuffer(buffer, np.float64, int(np.prod(shape)), offset)
    if order == "C":
        return flat.reshape(shape)
    *stack, x, y, z = shape
    return np.swapaxes(flat.reshape(*stack, z, y, x), -1, -3)


def release(array: Floats) -> None:
    """Give back the memory of an array if it lives in a file; its values stay there."""
    owner: object = array
    while isinstance(owner, np.ndarray):
        if getattr(owner, "mode", None) == "c":  # what was changed lives nowhere else
            return
        owner = owner.base
    if isinstance(owner, memoryview):
        owner = owner.obj
    if isinstance(owner, mmap.mmap) and hasattr(mmap, "MADV_DONTNEED"):
        owner.madvise(mmap.MADV_DONTNEED)


def slow_axis(values: Floats) -> int:
    """Axis of a grid across which its planes lie together in memory."""
    return int(np.argmax(np.abs(values.strides)))


@overload
def by_planes(values: Floats) -> Iterator[Floats]: ...


@overload
def by_planes(
    values: Floats, other: Floats, /, *others: Floats
) -> Iterator[tuple[Floats, ...]]: ...


def by_planes(values: Floats, *others: Floats) -> Iterator[Floats | tuple[Floats, ...]]:
    """Yield planes of a grid that lie together in memory; a file's are given back.

    Parameters
    ----------
    values : np.ndarray
        (nx, ny, nz)
    *others : np.ndarray
        Of the same shape: the same planes of each, in a tuple.
    """
    axis = slow_axis(values)
    for k in range(values.shape[axis]):
        planes = [np.moveaxis(array, axis, 0)[k] for array in (values, *others)]
        yield tuple(planes) if others else planes[0]
        release(values)
