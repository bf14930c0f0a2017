# SPDX-License-Identifier: LGPL-3.0-or-later
"""A plane of a grid, as it lies in space, with the atoms near it."""

from __future__ import annotations

import numpy as np

from ..errors import ChargeError
from ..typing import ArrayLike, Floats, PathLike
from .density import Density

__all__ = [
    "AXES",
    "NEAR_PLANE",
    "Plane",
    "busiest_slice",
    "check_fraction",
    "choose_slice",
    "heights",
    "layer_spacing",
]

AXES = "abc"
NEAR_PLANE = 0.5  # A; atoms closer than this to a slice are marked
NEAR_BORDER = 0.1  # A; atoms closer than this to a border are marked on the opposite one too


def busiest_slice(density: Density, axis: int) -> int:
    """Find the slice that passes most atoms within half an angstrom.

    Parameters
    ----------
    density : Density
    axis : int

    Returns
    -------
    int
        Index along `axis`; among equals the one nearest to the middle.
    """
    n = density.shape[axis]
    distances = np.abs(heights(density, axis, np.arange(n)[:, None]))  # (n, natoms)
    # A smooth count, so that a layer of atoms is met at its middle.
    count = np.exp(-((distances / (0.5 * NEAR_PLANE)) ** 2)).sum(axis=1).round(6)
    best = np.flatnonzero(count == count.max())
    return int(best[np.argmin(np.abs(best - n // 2))])


def choose_slice(
    density: Density,
    axis: int,
    index: int | None = None,
    position: float | None = None,
    path: PathLike = "this density",
) -> int:
    """Find the index of a slice.

    Parameters
    ----------
    density : Density
    axis : int
    index : int, optional
        The index itself, to be checked.
    position : float, optional
        Fractional coordinate along the axis, from 0 to below 1, in place of it; the
        nearest plane of grid points is taken.
    path : str, optional
        File of the density, for complaints.

    Returns
    -------
    int
        Without either, that of :func:`busiest_slice`.

    Raises
    ------
    ChargeError
        If there is no such slice.
    """
    n = density.shape[axis]
    if position is not None:
        check_fraction(position, f"--position {position}")
        nearest = round(position * n)
        return nearest % n if density.atoms.pbc[axis] else min(nearest, n - 1)
    if index is None:
        return busiest_slice(density, axis)
    if not 0 <= index < n:
        raise ChargeError(
            f"{path}: there is no slice {index} along {AXES[axis]}; give --index 0 to {n - 1}"
        )
    return index


def check_fraction(fraction: float, flag: str) -> None:
    """Raise ChargeError, about a flag, for a place along a cell vector outside of the cell."""
    if not 0.0 <= fraction < 1.0:
        raise ChargeError(f"{flag}: give a fractional coordinate from 0 to below 1")


class Plane:
    """One grid plane of a density in Cartesian coordinates of its own.

    Parameters
    ----------
    density : Density
        Where grid, cell and atoms come from.
    axis, index : int
        The plane holds the grid points whose `axis`-th index is `index`.

    Attributes
    ----------
    x, y : (n1, n2) numpy.ndarray
        Coordinates in A of the points along the two other axes, x along the
        first of them; the periodic images that close the cell are included.
    edges : (2, 2) numpy.ndarray
        The two other cell vectors in the same coordinates.
    atom_positions, atom_numbers : (m, 2) and (m,) numpy.ndarray
        Coordinates and atomic numbers of the atoms near the plane, those on a border
        (within 0.1 A) with their images.
    """

    def __init__(self, density: Density, axis: int, index: int) -> None:
        self.axis, self.index = axis, index
        self.others = [i for i in range(3) if i != axis]
        self.periodic = [bool(density.atoms.pbc[i]) for i in self.others]
        cell = np.asarray(density.atoms.cell)
        self.shape = [density.shape[i] for i in self.others]
        self.height = layer_spacing(density, axis) * index
        first, second = cell[self.others]
        along = first / np.linalg.norm(first)
        across = second - (second @ along) * along
        across /= np.linalg.norm(across)
        self.edges = np.array([first, second]) @ np.array([along, across]).T  # (2, 2)
        counts = [n + closed for n, closed in zip(self.shape, self.periodic, strict=True)]
        fractions = np.meshgrid(
            *(np.arange(m) / n for m, n in zip(counts, self.shape, strict=True)), indexing="ij"
        )
        self.x, self.y = np.einsum("dij,dk->kij", np.array(fractions), self.edges)
        self._find_atoms(density)

    def _find_atoms(self, density: Density) -> None:
        """Collect the atoms near the plane with the images on its borders."""
        atoms = density.atoms
        near = np.abs(heights(density, self.axis, self.index)) < NEAR_PLANE
        origin = np.asarray(density.origin)
        scaled = atoms.cell.scaled_positions(atoms.positions[near] - origin)[:, self.others]
        scaled = np.where(self.periodic, scaled % 1.0, scaled)
        numbers = atoms.numbers[near]
        area = abs(float(np.linalg.det(self.edges)))
        for column, closed in enumerate(self.periodic):
            if not closed:
                continue
            width = area / np.linalg.norm(self.edges[1 - column])  # A, between the two borders
            border = np.minimum(scaled[:, column], 1.0 - scaled[:, column]) * width < NEAR_BORDER
            image = scaled[border]
            image[:, column] += np.where(image[:, column] < 0.5, 1.0, -1.0)
            scaled = np.concatenate([scaled, image])
            numbers = np.concatenate([numbers, numbers[border]])
        self.atom_positions = scaled @ self.edges  # (m, 2)
        self.atom_numbers = numbers

    def where(self, angstrom: str = "A") -> str:
        """Say which plane this is, and how far from the origin in such a unit."""
        others = "".join(AXES[i] for i in self.others)
        return f"{others} plane {self.index} at {self.height:.2f} {angstrom}"

    def take(self, values: Floats) -> Floats:
        """Return the plane's values of a grid, closed like `x` and `y`."""
        values = np.take(values, self.index, axis=self.axis)
        return np.pad(values, [(0, int(closed)) for closed in self.periodic], mode="wrap")


def heights(density: Density, axis: int, index: ArrayLike) -> Floats:
    """Return the signed distances (A) of the atoms from grid planes, (..., natoms)."""
    atoms = density.atoms
    origin = np.asarray(density.origin)
    scaled = atoms.cell.scaled_positions(atoms.positions - origin)[:, axis]
    difference = scaled - np.asarray(index) / density.shape[axis]
    if atoms.pbc[axis]:
        difference = difference - np.round(difference)
    return difference * layer_spacing(density, axis) * density.shape[axis]


def layer_spacing(density: Density, axis: int) -> float:
    """Return the distance (A) between neighbouring grid planes."""
    return 1.0 / float(np.linalg.norm(density.atoms.cell.reciprocal()[axis])) / density.shape[axis]
