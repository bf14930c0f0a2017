# SPDX-License-Identifier: LGPL-3.0-or-later
"""Work on several cores: in threads of Python, and of the library that multiplies matrices."""

from __future__ import annotations

import ctypes
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

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
    """Have OpenBLAS work in the thread that calls it; gives how many it used until then.

    Its threads wait for each other in loops that keep cores busy: where another program has
    one of the cores, a Cholesky decomposition takes ten times as long on two of them as on one.
    Other libraries, and those of other systems than Linux, are left as they are: one thread is
    given, for they may have more of their own.
    """
    libraries = _openblas()
    before = [get() for get, _ in libraries]
    for _, put in libraries:
        put(1)
    try:
        yield max(before, default=1)
    finally:
        for (_, put), n in zip(libraries, before, strict=True):
            put(n)


def _openblas() -> list[tuple[Any, Any]]:
    """Functions that get and set the threads of each OpenBLAS that numpy and scipy use."""
    from scipy.linalg import lapack  # noqa: F401  # loads that of scipy

    maps = Path("/proc/self/maps")
    if not maps.exists():
        return []
    paths = {line.split(maxsplit=5)[-1] for line in maps.read_text().splitlines()}
    found = []
    for path in sorted(path for path in paths if "openblas" in path.rsplit("/", 1)[-1]):
        library = ctypes.CDLL(path)
        # as it calls itself, in the wheels of numpy and scipy, and with integers of 64 bits
        for prefix, suffix in itertools.product(("", "scipy_"), ("", "64_")):
            names = (f"{prefix}openblas_{verb}_num_threads{suffix}" for verb in ("get", "set"))
            functions = [getattr(library, name, None) for name in names]
            if all(functions):
                found.append((functions[0], functions[1]))
                break
    return found
