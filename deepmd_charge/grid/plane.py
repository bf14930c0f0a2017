# SPDX-License-Identifier: LGPL-3.0-or-later
"""A plane of a grid, as it lies in space, with the atoms near it."""

import math

import numpy as np
from matplotlib.lines import Line2D

from ..errors import ChargeError

__all__ = [
    "AXES",
    "NEAR_PLANE",
    "Plane",
    "busiest_slice",
    "choose_slice",
    "heights",
    "layer_spacing",
]

AXES = "abc"
NEAR_PLANE = 0.5  # A; atoms closer than this to a slice are marked


def busiest_slice(density, axis):
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


def choose_slice(density, axis, index=None, position=None, path="this density"):
    """Find the index of a slice.

    Parameters
    ----------
    density : Density
    axis : int
    index : int, optional
        The index itself, to be checked.
    position : float, optional
        Fractional coordinate along the axis, any, in place of it.
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
        if not math.isfinite(position):
            raise ChargeError(f"--position {position}: give a fractional coordinate")
        return round(position * n) % n
    if index is None:
        return busiest_slice(density, axis)
    if not 0 <= index < n:
        raise ChargeError(
            f"{path}: there is no slice {index} along {AXES[axis]}; give --index 0 to {n - 1}"
        )
    return index


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
    """

    def __init__(self, density, axis, index):
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
        counts = [n + closed for n, closed in zip(self.shape, self.periodic)]
        fractions = np.meshgrid(
            *(np.arange(m) / n for m, n in zip(counts, self.shape)), indexing="ij"
        )
        self.x, self.y = np.einsum("dij,dk->kij", np.array(fractions), self.edges)
        self._find_atoms(density)

    def _find_atoms(self, density):
        """Collect the atoms near the plane with the images on its borders."""
        atoms = density.atoms
        near = np.abs(heights(density, self.axis, self.index)) < NEAR_PLANE
        origin = np.asarray(density.origin)
        scaled = atoms.cell.scaled_positions(atoms.positions[near] - origin)[:, self.others]
        scaled = np.where(self.periodic, scaled % 1.0, scaled)
        numbers = atoms.numbers[near]
        for column, closed in enumerate(self.periodic):
            if not closed:
                continue
            border = np.minimum(scaled[:, column], 1.0 - scaled[:, column]) < 1e-3
            image = scaled[border]
            image[:, column] += np.where(image[:, column] < 0.5, 1.0, -1.0)
            scaled = np.concatenate([scaled, image])
            numbers = np.concatenate([numbers, numbers[border]])
        self.atom_positions = scaled @ self.edges  # (m, 2)
        self.atom_numbers = numbers

    def take(self, values):
        """Return the plane's values of a grid, closed like `x` and `y`."""
        values = np.take(values, self.index, axis=self.axis)
        return np.pad(values, [(0, int(closed)) for closed in self.periodic], mode="wrap")

    def draw(self, axes, values, norm, colours):
        """Draw the plane of a grid of values with the atoms near it."""
        image = axes.pcolormesh(
            self.x, self.y, self.take(values), norm=norm, cmap=colours, shading="gouraud"
        )
        outline = np.array([(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)]) @ self.edges
        axes.plot(*outline.T, color="0.3", linewidth=0.8, clip_on=False)
        self._mark_atoms(axes)
        axes.set(
            aspect="equal",
            xlabel=f"along {AXES[self.others[0]]} (Å)",
            ylabel=f"normal to {AXES[self.others[0]]}, in the plane (Å)",
        )
        for side in axes.spines.values():
            side.set_visible(False)
        return image

    def _mark_atoms(self, axes):
        from ase.data import chemical_symbols
        from ase.data.colors import jmol_colors

        handles = []
        for number in np.unique(self.atom_numbers):
            style = {
                "marker": "o",
                "linestyle": "none",
                "markersize": 6,
                "markerfacecolor": jmol_colors[number],
                "markeredgecolor": "black",
                "markeredgewidth": 0.9,
            }
            here = self.atom_positions[self.atom_numbers == number]
            axes.plot(*here.T, **style, clip_on=False, zorder=3)
            handles.append(Line2D([], [], label=chemical_symbols[number], **style))
        if handles:
            axes.legend(
                handles=handles,
                loc="lower right",
                bbox_to_anchor=(1.0, 1.0),
                ncols=len(handles),
                frameon=False,
                borderaxespad=0.1,
                handletextpad=0.1,
                columnspacing=0.8,
            )


def heights(density, axis, index):
    """Return the signed distances (A) of the atoms from grid planes, (..., natoms)."""
    atoms = density.atoms
    origin = np.asarray(density.origin)
    scaled = atoms.cell.scaled_positions(atoms.positions - origin)[:, axis]
    difference = scaled - np.asarray(index) / density.shape[axis]
    if atoms.pbc[axis]:
        difference = difference - np.round(difference)
    return difference * layer_spacing(density, axis) * density.shape[axis]


def layer_spacing(density, axis):
    """Return the distance (A) between neighbouring grid planes."""
    return 1.0 / np.linalg.norm(density.atoms.cell.reciprocal()[axis]) / density.shape[axis]
