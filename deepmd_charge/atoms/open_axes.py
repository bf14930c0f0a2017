# SPDX-License-Identifier: LGPL-3.0-or-later
"""Open axes for programs that know only periodic ones: images so far that they do not matter."""

from __future__ import annotations

import numpy as np

from ..typing import ArrayLike, Booleans, Floats

__all__ = ["MARGIN", "gaps", "separated"]

# A, how far away images are kept in training data: no cutoff and no table of
# atomic densities reaches farther.
MARGIN = 101.0


def separated(cell: Floats, pbc: ArrayLike, places: Floats, margin: float) -> Floats:
    """Cell vectors with which a structure that is periodic along all looks as it is.

    Parameters
    ----------
    cell : np.ndarray
        (3, 3) independent vectors, A.
    pbc : array_like
        (3,) whether the structure is periodic along each of them.
    places : np.ndarray
        (n, 3) where something is, A.
    margin : float
        How close no image may come across the open axes, A.

    Returns
    -------
    np.ndarray
        (3, 3) the vectors of the periodic axes as they are, and in place of the
        others normals to all, so long that images of the places stay farther than
        the margin away.
    """
    periodic = np.asarray(pbc, dtype=bool)
    normals = np.linalg.svd(cell[periodic])[2][periodic.sum() :]
    vectors = np.array(cell, dtype=np.float64)
    vectors[~periodic] = normals * (np.ptp(places @ normals.T, axis=0) + margin)[:, None]
    return vectors


def gaps(places: Floats, cells: Floats, periodic: Booleans) -> Floats:
    """How close images come across the open axes of frames.

    Parameters
    ----------
    places : np.ndarray
        (n_frames, n, 3) where something is, A.
    cells : np.ndarray
        (n_frames, 3, 3) vectors, A.
    periodic : np.ndarray
        (n_frames, 3) bool, false for open axes.

    Returns
    -------
    np.ndarray
        (n_frames,) A; infinite where no axis is open, zero where a cell has no volume.
    """
    found = np.zeros(len(cells))
    solid = np.abs(np.linalg.det(cells)) > 0.0
    inverse = np.linalg.inv(cells[solid])
    heights = 1.0 / np.linalg.norm(inverse, axis=1)
    taken = np.ptp(places[solid] @ inverse, axis=1) * heights
    found[solid] = np.where(periodic[solid], np.inf, heights - taken).min(axis=1)
    return found
