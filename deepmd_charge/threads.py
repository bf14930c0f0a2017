# SPDX-License-Identifier: LGPL-3.0-or-later
"""Work on several cores: in threads of Python, and of the library that multiplies matrices."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

__all__ = ["in_order", "one_thread_of_blas"]

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
    pool = ThreadPoolExecutor(n_threads)
    try:
        waiting: deque[Future[Result]] = deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 2 * n_threads:
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
