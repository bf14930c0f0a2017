# SPDX-License-Identifier: LGPL-3.0-or-later
"""The loop over blocks: on all cores of a process, or on all ranks of an MPI run."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from ...grid.blocks import Blocks, Parts
from ...stderr import progress_is_shown
from ...threads import in_order
from ...typing import Floats
from .mpi import Ranks

__all__ = ["BlockFunction", "available_cores", "evaluate_blocks"]

log = logging.getLogger(__name__)


class BlockFunction:
    """Functions of position, (n, 3), A, to (n,) values, on numbered blocks of points.

    Attributes
    ----------
    blocks : Blocks or Parts
        Of a grid, or of a list of points.
    functions : list of callable
    threads : int
        Threads that may evaluate at the same time.
    job : object
        What other ranks make theirs from; None where this process evaluates alone.
    """

    job: object = None

    def __init__(
        self,
        blocks: Blocks | Parts,
        functions: Sequence[Callable[[Floats], Floats]],
        threads: int,
    ) -> None:
        self.blocks, self.functions, self.threads = blocks, functions, threads

    def __call__(self, number: int) -> Floats:
        """Values of each function on a block, (n_functions, ...)."""
        return np.stack([self.blocks.values(number, f) for f in self.functions])


def evaluate_blocks(
    function: BlockFunction,
    numbers: Sequence[int] | None = None,
    ranks: Ranks | None = None,
    done: int = 0,
    show: bool = True,
    name: str | None = None,
) -> Iterator[tuple[int, Floats]]:
    """Evaluate blocks by threads of this process, or by several MPI ranks, with a progress bar.

    Parameters
    ----------
    function : BlockFunction
    numbers : list of int, optional
        The blocks, by default all.
    ranks : Ranks, optional
        Who takes part, by default this process alone.
    done : int
        Points that an earlier run has done.
    show : bool
        False without the bar.
    name : str, optional
        What the bar says is done.

    Yields
    ------
    number : int
        Of a block; on several ranks in whatever order they come.
    values : np.ndarray
        (n_arrays, ...) of the shape of the block.

    Raises
    ------
    ChargeError
        If another rank fails, or is no more.
    """
    if numbers is None:
        numbers = range(len(function.blocks))
    if ranks is None or ranks.size == 1:
        values = in_order(function, numbers, function.threads)
        found: Iterable[tuple[int, Floats]] = zip(numbers, values, strict=True)
    else:
        found = ranks.evaluate(function, numbers)
    size = 1 if ranks is None else ranks.size
    log.info(
        "%d points, %d to a block; threads: %d, ranks: %d",
        function.blocks.size, function.blocks.most, function.threads, size,
    )  # fmt: skip
    with _progress_bar(function.blocks.size, done, show, name) as bar:
        for number, block in found:
            yield number, block
            bar.update(block[0].size)


def available_cores() -> int:
    """Number of cores that this process may use: those of its affinity mask."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1


def _progress_bar(size: int, done: int, show: bool, name: str | None) -> Any:
    """Points done of so many, points a second and the time left, on standard error."""
    from tqdm import tqdm

    return tqdm(
        total=size,
        desc=name,
        initial=done,
        unit="pts",
        unit_scale=True,
        disable=not (show and progress_is_shown()),
        # a log file of a queue gets a line now and then
        mininterval=0.5 if sys.stderr.isatty() else 20.0,
    )
