# SPDX-License-Identifier: LGPL-3.0-or-later
"""The loop over blocks: on all cores of a process, or on all ranks of an MPI run."""

import logging
import os
import sys
from collections import deque
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from ...io.stderr import progress_is_shown

__all__ = ["BlockFunction", "available_cores", "evaluate_blocks", "in_order"]

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
    """

    def __init__(self, blocks, functions, threads):
        self.blocks, self.functions, self.threads = blocks, functions, threads

    def __call__(self, number):
        """Values of each function on a block, (n_functions, ...)."""
        return np.stack([self.blocks.values(number, f) for f in self.functions])


def evaluate_blocks(function, numbers=None, ranks=None, done=0, show=True, name=None):
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
        found = zip(numbers, in_order(function, numbers, function.threads))
    else:
        found = ranks.evaluate(function, numbers)
    size = 1 if ranks is None else ranks.size
    log.info(
        "%d points, %d to a block; threads: %d, ranks: %d",
        function.blocks.size, function.blocks.most, function.threads, size,
    )  # fmt: skip
    with _progress_bar(function.blocks.size, done, show, name) as bar:
        for number, values in found:
            yield number, values
            bar.update(values[0].size)


def available_cores():
    """Number of cores that this process may use: those of its affinity mask."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # not on macOS
        return os.cpu_count() or 1


def in_order(function, items, n_threads):
    """Yield function(item) of every item, in their order, evaluated by several threads.

    No more than a few results wait at any time. When the caller stops early,
    or an evaluation fails, what has not begun is dropped.
    """
    if n_threads == 1:
        yield from map(function, items)
        return
    pool = ThreadPoolExecutor(n_threads)
    try:
        waiting = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 2 * n_threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


def _progress_bar(size, done, show, name):
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
