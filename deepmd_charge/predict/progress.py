# SPDX-License-Identifier: LGPL-3.0-or-later
"""The progress bar of a prediction."""

import sys

__all__ = ["progress_bar"]


def progress_bar(size, done=0, show=True, name=None):
    """Points done, points a second and the time left, on standard error.

    Parameters
    ----------
    size, done : int
        Grid points in all, and those that an earlier run has done.
    show : bool
        False for a silent bar.
    name : str, optional
        What is done.

    Returns
    -------
    tqdm.tqdm
        A context manager; ``update(n)`` counts on.
    """
    from tqdm import tqdm

    return tqdm(
        total=size,
        desc=name,
        initial=done,
        unit="pts",
        unit_scale=True,
        disable=not show,
        # a log file of a queue gets a line now and then
        mininterval=0.5 if sys.stderr.isatty() else 20.0,
    )
