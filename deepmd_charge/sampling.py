# SPDX-License-Identifier: LGPL-3.0-or-later
"""Which grid points are learnt from."""

import math

import numpy as np

from .errors import ChargeError

GRID_TYPE = "X"  # name of the pseudo-atoms that stand for grid points
N_POINTS = 100_000
POINTS_PER_FRAME = 1000


def sample_frames(n_total, n_points=N_POINTS, points_per_frame=POINTS_PER_FRAME, seed=None):
    """Draw grid points uniformly, without replacement, in frames of equal size.

    A short last frame is filled up with unused points. Where the grid has none
    left, points of the first frames appear once more.

    Parameters
    ----------
    n_total : int
        Points of the grid.
    n_points : int, optional
        Points to draw; all of them if the grid has fewer.
    points_per_frame : int, optional
        Points of each frame.
    seed : int or numpy.random.Generator, optional
        A number gives the same points every time; by default they differ.

    Returns
    -------
    numpy.ndarray of int, shape (n_frames, points_per_frame)
        Flat C-order indices of the points, in random order.

    Raises
    ------
    ChargeError
        If a number of points is not positive, or the seed is negative.
    """
    for name, number in (("n_points", n_points), ("points_per_frame", points_per_frame)):
        if number < 1:
            raise ChargeError(f"{name} is {number}: give a positive number of points")
    n_frames = math.ceil(min(n_points, n_total) / points_per_frame)
    needed = n_frames * points_per_frame
    chosen = random_generator(seed).choice(n_total, min(needed, n_total), replace=False)
    return np.resize(chosen, (n_frames, points_per_frame))


def random_generator(seed):
    """Make a numpy Generator of a seed, or ChargeError of a negative one."""
    try:
        return np.random.default_rng(seed)
    except ValueError:
        raise ChargeError(f"seed is {seed}: give a whole number that is not negative") from None
