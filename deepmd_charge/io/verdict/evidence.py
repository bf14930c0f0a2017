# SPDX-License-Identifier: LGPL-3.0-or-later
"""What atoms and values tell of a grid: whether it is one period, a part, or the wrong length."""

from __future__ import annotations

from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from ...grid.density import Density
from ...typing import ArrayLike, Booleans, Floats, Integers

if TYPE_CHECKING:
    from ase import Atoms

__all__ = [
    "atoms_outside", "closest_pair", "closest_through_cell", "faces_break", "images",
    "largest_on_faces", "repeated_planes",
]  # fmt: skip

# Atoms this close are none: H2 measures 0.74 A, 1.2 times the sum of its covalent radii.
CLOSEST = 0.5  # A
CLOSEST_RADII = 0.4  # of the sum of covalent radii
NEIGHBOURS = 12  # of an atom, among which the closest is looked for
# Across opposite faces that do not continue one another ln rho misses what its slopes on
# either side lead to expect by 0.5 (rms) or more, and by 1.2 times those slopes (boxes about
# 18 molecules, 1.4 to 2.1 A from nuclei, at steps of 0.2 and 0.4 A). In crystals one of both is
# below 0.85 of these limits at steps up to 0.4 A (26 densities of VASP, ABACUS and Quantum
# ESPRESSO, cut anywhere); coarser grids do not tell.
BREAK, BREAK_SLOPES = 0.3, 1.15
BREAK_STEP = 0.4  # A
TAILS = (1e-4, 0.3)  # e/A^3, where densities are smooth on the scale of a grid's step
ATOM = 1.2  # A, or the covalent radius: within it they are not
FACE_POINTS = 100  # along each axis of a face, at most
REPEAT = 1e-5  # of a value: what digits leave of equal ones


def largest_on_faces(values: Floats) -> float:
    """The largest absolute value on the six faces of a grid."""
    faces = [np.moveaxis(values, axis, 0)[k] for axis in range(3) for k in (0, -1)]
    return float(max(np.abs(face).max() for face in faces))


def faces_break(density: Density, axis: int) -> bool | None:
    """Whether a density does not go on from the last plane of an axis to the first.

    Parameters
    ----------
    density : Density
    axis : int

    Returns
    -------
    bool or None
        None where nothing tells: few points, or none but in atoms and far from all of them.
    """
    planes = np.moveaxis(density.values, axis, 0)
    if len(planes) < 6 or density.atoms.cell.lengths()[axis] > BREAK_STEP * len(planes):
        return None
    steps = tuple(slice(None, None, -(-n // FACE_POINTS)) for n in planes.shape[1:])
    across = np.stack([planes[k][steps] for k in (-3, -2, -1, 0, 1, 2)])
    least, most = TAILS
    chosen = np.all(across > least, axis=0) & np.all(across[2:4] < most, axis=0)
    face = np.zeros(planes.shape[1:], dtype=bool)
    face[steps] = chosen
    index = np.insert(np.argwhere(face), axis, 0, axis=1)
    chosen[chosen] = ~_in_atoms(density, index)
    if chosen.sum() < 4:
        return None
    slopes = np.diff(np.log(across[:, chosen]), axis=0)
    expected = 2 * slopes[1] - slopes[0], 2 * slopes[3] - slopes[4]
    misses = np.sqrt(np.mean([(slopes[2] - slope) ** 2 for slope in expected]))
    return bool(misses > max(BREAK, BREAK_SLOPES * np.sqrt(np.mean(slopes[1:4] ** 2))))


def _in_atoms(density: Density, index: Integers) -> Booleans:
    """Whether points of a grid (n, 3) lie within atoms or their images, where nothing is smooth."""
    from ase.data import covalent_radii
    from scipy.spatial import cKDTree

    places, numbers = images(density.atoms, density.origin)
    points = density.grid.at(index)
    inside = np.zeros(len(points), dtype=bool)
    for number in np.unique(numbers):
        reach = max(ATOM, covalent_radii[number])
        tree = cKDTree(places[numbers == number])
        inside |= tree.query(points, distance_upper_bound=reach)[0] < reach
    return inside


def images(atoms: Atoms, origin: ArrayLike = (0.0, 0.0, 0.0)) -> tuple[Floats, Integers]:
    """Atoms in the cell that begins at an origin and in the 26 about it.

    Returns
    -------
    positions : np.ndarray, shape (27 n, 3)
        The n atoms in the cell come first.
    numbers : np.ndarray, shape (27 n,)
        Their atomic numbers.
    """
    shifts = np.array(sorted(product((-1, 0, 1), repeat=3), key=np.any))[:, None]
    fractional = atoms.cell.scaled_positions(atoms.positions - origin) % 1.0
    positions = (fractional + shifts).reshape(-1, 3) @ atoms.cell.array + origin
    return positions, np.tile(atoms.numbers, len(shifts))


def closest_pair(atoms: Atoms) -> tuple[float, float, int, int]:
    """The two atoms or images that are closest as a multiple of the sum of their covalent radii.

    Returns
    -------
    share : float
        That multiple.
    distance : float
        A.
    first, second : int
        Indices; equal where an atom is closest to its own image.
    """
    from ase.data import covalent_radii
    from scipy.spatial import cKDTree

    places, numbers = images(atoms)
    n = len(atoms)
    distances, index = cKDTree(places).query(places[:n], k=min(NEIGHBOURS, 27 * n))
    distances, index = distances[:, 1:], index[:, 1:]  # the first is the atom, or one on it
    shares = distances / (covalent_radii[numbers[:n]][:, None] + covalent_radii[numbers[index]])
    k = np.unravel_index(np.argmin(shares), shares.shape)
    return float(shares[k]), float(distances[k]), int(k[0]), int(index[k] % n)


def atoms_outside(
    atoms: Atoms, origin: ArrayLike, margin: float = 1e-2, axes: ArrayLike = True
) -> list[int]:
    """Which atoms lie outside the box of a grid, along some axes, by more than a margin (A).

    Returns
    -------
    list of int
        Indices, from 0. With a negative margin those that lie near its faces, too.
    """
    inverse = np.linalg.inv(atoms.cell.array)
    fractional = (atoms.positions - origin) @ inverse
    slack = margin * np.linalg.norm(inverse, axis=0)  # of each face, as a fraction
    is_outside = ((fractional < -slack) | (fractional > 1 + slack)) & np.asarray(axes)
    return np.flatnonzero(is_outside.any(axis=1)).tolist()


def closest_through_cell(atoms: Atoms) -> tuple[float, int, int] | None:
    """Two atoms that are too close to one another through the faces of the cell.

    Returns
    -------
    tuple or None
        Distance (A) and two indices.
    """
    share, distance, i, j = closest_pair(atoms)
    direct = np.linalg.norm(atoms.positions[i] - atoms.positions[j]) if i != j else np.inf
    if (distance > CLOSEST and share > CLOSEST_RADII) or distance > direct - 1e-3:
        return None
    return distance, i, j


def repeated_planes(values: Floats) -> dict[int, bool]:
    """Along which axes the last plane of a grid is its first one.

    Returns
    -------
    dict of int to bool
        Axes, and whether this is certain: where its neighbours are alike as well, the grid may
        be one period of a crystal with a mirror plane between two planes of points.
    """

    def alike(one: Floats, other: ArrayLike) -> bool:
        return np.allclose(one, other, rtol=REPEAT, atol=0)

    found = {}
    for axis in range(3):
        planes = np.moveaxis(values, axis, 0)
        first, last = planes[0], planes[-1]
        if len(planes) > 3 and not alike(first, first.flat[0]) and alike(first, last):
            found[axis] = not alike(planes[1], planes[-2])
    return found
