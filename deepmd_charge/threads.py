# SPDX-License-Identifier: LGPL-3.0-or-later
"""Work on several cores: in threads or processes of Python, and in the library of matrices."""

from __future__ import annotations

import signal
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import get_context
from typing import TypeVar

__all__ = ["in_order", "in_processes", "one_thread_of_blas"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    function: Callable[[Item], Result], items: Iterable[Item], n_threads: int
) -> Iterator[Result]:
    """Yield function(item) of every item, in their order, evaluated by several threads.

    No more than a few results wait at any time. When the caller stops early,
    or an evaluation fails, what has not begun is dropped.
    """
    if n_threads == 1:
        yield from map(function, items)
        return
    yield from _ordered(ThreadPoolExecutor(n_threads), function, items, 2 * n_threads)


def in_processes(
    function: Callable[[Item], Result], items: Iterable[Item], n_processes: int
) -> Iterator[Result]:
    """As :func:`in_order`, but in processes, of work that holds Python's lock for long.

    Function, items and results must be such that pickle can hand them over. Each process has
    one thread for matrices, also where there is no other than this one, so that results are the
    same to the last bit; others leave Ctrl-C to the first one.
    """
    if n_processes == 1:
        with one_thread_of_blas():
            yield from map(function, items)
        return
    # a process that is forked inherits locks of threads that it does not have
    pool = ProcessPoolExecutor(n_processes, get_context("spawn"), initializer=_begin_process)
    yield from _ordered(pool, function, items, 4 * n_processes)


def _begin_process() -> None:
    # libraries that are loaded later would not be limited
    from scipy.linalg import lapack  # noqa: F401
    from threadpoolctl import threadpool_limits

    signal.signal(signal.SIGINT, signal.SIG_IGN)
    threadpool_limits(1)


def _ordered(
    pool: Executor, function: Callable[[Item], Result], items: Iterable[Item], most: int
) -> Iterator[Result]:
    """Results in the order of items, of which no more than `most` wait."""
    try:
        waiting: deque[Future[Result]] = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > most:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def one_thread_of_blas() -> Iterator[int]:
    """Have the library of matrices work in the thread that calls it; gives how many it used.

    Threads of OpenBLAS wait for each other in loops that keep cores busy: where another program
    has one of the cores, a Cholesky decomposition takes ten times as long on two of them as on
    one.
    """
    from scipy.linalg import lapack  # noqa: F401  # loads that of scipy
    from threadpoolctl import threadpool_info, threadpool_limits

    libraries = (library for library in threadpool_info() if library["user_api"] == "blas")
    before = [library["num_threads"] for library in libraries]
    with threadpool_limits(1, user_api="blas"):
        yield max(before, default=1)
