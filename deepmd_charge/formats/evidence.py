# SPDX-License-Identifier: LGPL-3.0-or-later
"""What atoms and values tell of a grid: whether it is one period, a part, or the wrong length."""

from itertools import product

import numpy as np

__all__ = [
    "atoms_outside", "closest_through_cell", "faces_break", "largest_on_faces", "repeated_planes",
    "stride_cell",
]  # fmt: skip

# Atoms this close are none: H2 measures 0.74 A, 1.2 times the sum of its covalent radii.
CLOSEST = 0.5  # A
CLOSEST_RADII = 0.4  # of the sum of covalent radii
# Across opposite faces that do not continue one another ln rho misses what its slopes on
# either side lead to expect by 0.56 (rms) or more, and by 1.2 times those slopes (tails of 168
# molecules, cut 1.6 to 2.1 A from the nuclei, at steps of 0.2 and 0.4 A). Within crystals it
# is 0.2 and 0.5 at steps up to 0.3 A, and below 0.65 and 1.1 up to 0.45 A.
BREAK, BREAK_SLOPES = 0.3, 1.15
TAILS = (1e-4, 0.3)  # e/A^3, where densities are smooth on the scale of a grid's step
REPEAT = 1e-5  # of a value: what digits leave of equal ones


def largest_on_faces(values):
    """The largest absolute value on the six faces of a grid."""
    faces = [np.moveaxis(values, axis, 0)[k] for axis in range(3) for k in (0, -1)]
    return max(np.abs(face).max() for face in faces)


def faces_break(values, axis):
    """Whether a density does not go on from the last plane of an axis to the first.

    Parameters
    ----------
    values : np.ndarray
        e/A^3.
    axis : int

    Returns
    -------
    bool or None
        None where nothing tells: few points, or no density but that of nuclei.
    """
    planes = np.moveaxis(values, axis, 0)
    if len(planes) < 6:
        return None
    across = np.stack([planes[k] for k in (-3, -2, -1, 0, 1, 2)])
    least, most = TAILS
    chosen = (across > least).all(axis=0) & (across[2:4] < most).all(axis=0)
    if chosen.sum() < 4:
        return None
    slopes = np.diff(np.log(across[:, chosen]), axis=0)
    expected = 2 * slopes[1] - slopes[0], 2 * slopes[3] - slopes[4]
    misses = np.sqrt(np.mean([(slopes[2] - slope) ** 2 for slope in expected]))
    return bool(misses > max(BREAK, BREAK_SLOPES * np.sqrt(np.mean(slopes[1:4] ** 2))))


def atoms_outside(density, margin=1e-2):
    """Which atoms lie outside the box of a grid, by more than a margin (A).

    Returns
    -------
    list of int
        Indices, from 0. With a negative margin those that lie near its faces, too.
    """
    cell = density.atoms.cell.array
    inverse = np.linalg.inv(cell)
    fractional = (density.atoms.positions - density.origin) @ inverse
    slack = margin * np.linalg.norm(inverse, axis=0)  # of each face, as a fraction
    is_outside = (fractional < -slack) | (fractional > 1 + slack)
    return np.flatnonzero(is_outside.any(axis=1)).tolist()


def closest_through_cell(atoms):
    """Two atoms that are too close to one another through the faces of the cell.

    Returns
    -------
    tuple or None
        Distance (A) and two indices.
    """
    from ase.data import covalent_radii
    from ase.neighborlist import neighbor_list

    reach = np.maximum(CLOSEST / 2, CLOSEST_RADII * covalent_radii[atoms.numbers])
    first, second, distances, shifts = neighbor_list("ijdS", atoms, reach)
    through = shifts.any(axis=1)
    if not through.any():
        return None
    k = np.argmin(np.where(through, distances, np.inf))
    return float(distances[k]), int(first[k]), int(second[k])


def repeated_planes(values):
    """Along which axes the last plane of a grid is its first one.

    Returns
    -------
    dict of int to bool
        Axes, and whether this is certain: where its neighbours are alike as well, the grid may
        be one period of a crystal with a mirror plane between two planes of points.
    """

    def alike(one, other):
        return np.allclose(one, other, rtol=REPEAT, atol=0)

    found = {}
    for axis in range(3):
        planes = np.moveaxis(values, axis, 0)
        first, last = planes[0], planes[-1]
        if len(planes) > 3 and not alike(first, first.flat[0]) and alike(first, last):
            found[axis] = not alike(planes[1], planes[-2])
    return found


def stride_cell(density):
    """The cell of a grid with an odd number of points, of which every second was written.

    CP2K's STRIDE writes (n + 1) / 2 of n points, so that number times step is half a step
    longer than the cell. The integral over the shorter cell, by a periodic spline through the
    unevenly spaced points, tells along which axes.

    Returns
    -------
    cell : np.ndarray or None
        The cell (A) that holds a whole number of electrons, if one does.
    electrons : float
    """
    shape = np.array(density.shape)
    even = [np.ones(n) for n in shape]
    odd = [_spline_weights(n, 0.5) for n in shape]
    found = []
    for is_odd in product((False, True), repeat=3):
        if any(is_odd):
            weights = [pair[flag] for pair, flag in zip(zip(even, odd), is_odd)]
            planes = density.values @ weights[2] @ weights[1]
            electrons = float(planes @ weights[0]) / shape.prod() * density.volume
            found.append((abs(electrons - round(electrons)), is_odd, electrons))
    miss, is_odd, electrons = min(found)
    if miss > STRIDE_TOLERANCE:
        return None, electrons
    return density.atoms.cell.array * ((shape - np.array(is_odd) / 2) / shape)[:, None], electrons


STRIDE_TOLERANCE = 0.02  # electrons; the spline adds to what the digits leave


def _spline_weights(n, last):
    """Weights of points with unit steps, but for the one from the last to the first again."""
    from scipy.interpolate import CubicSpline

    if n < 3:
        return np.full(n, (n - 1 + last) / n)
    places = np.append(np.arange(n), n - 1 + last)
    units = np.vstack([np.eye(n), np.eye(n)[:1]])
    return CubicSpline(places, units, bc_type="periodic").integrate(0, n - 1 + last)
