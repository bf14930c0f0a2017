# SPDX-License-Identifier: LGPL-3.0-or-later
"""Work on all cores of this process."""

import os
from collections import deque
from concurrent.futures import ThreadPoolExecutor

__all__ = ["available_cores", "in_order"]


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
