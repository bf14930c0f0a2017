# SPDX-License-Identifier: LGPL-3.0-or-later
"""Pictures of densities: slices, parity and planar averages.

Figures are made without pyplot: nothing needs a display, and no global state
is left behind.
"""

from pathlib import Path

import numpy as np
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ..errors import ChargeError
from .metrics import Comparison

AXES = "abc"
NEAR_PLANE = 0.5  # A; atoms closer than this to a slice are marked


def plot_density(density, axis=2, index=None, title=None):
    """Draw a slice and the planar average of one density.

    Parameters
    ----------
    density : Density
        Values of shape (nx, ny, nz) in e/A^3.
    axis : int, optional
        Grid axis that numbers the slices; the average runs along it too.
    index : int, optional
        Slice along `axis`; by default :func:`busiest_slice`.
    title : str, optional
        Heading of the page.

    Returns
    -------
    matplotlib.figure.Figure
    """
    index = busiest_slice(density, axis) if index is None else index
    figure = Figure(figsize=(11.0, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.0, 1.2))
    plane = Plane(density, axis, index)
    image = plane.draw(left, density.values, _shared_norm(plane, density.values), "viridis")
    _colorbar(figure, image, left, _label(density))
    left.set_title(_name(density))
    _averages(right, density, axis, {_name(density): density.values})
    _heading(figure, title, plane)
    return figure


def plot_comparison(reference, prediction, axis=2, index=None, title=None):
    """Draw a predicted density beside the true one.

    The page has slices of the reference, the prediction and the error (in the
    first two one colour means one density), the parity of all points, and
    planar averages.

    Parameters
    ----------
    reference, prediction : Density
        Densities of shape (nx, ny, nz) in e/A^3 on one grid in one cell.
    axis, index, title
        As in :func:`plot_density`.

    Returns
    -------
    matplotlib.figure.Figure
    """
    index = busiest_slice(reference, axis) if index is None else index
    true, predicted = reference.values, prediction.values
    error = predicted - true
    figure = Figure(figsize=(13.5, 9.0), layout="constrained")
    figure.get_layout_engine().set(h_pad=0.09)
    top, bottom = figure.subfigures(2, 1, height_ratios=(1.0, 0.95))

    plane = Plane(reference, axis, index)
    slices = top.subplots(1, 3, sharey=True)
    density_norm = _shared_norm(plane, true, predicted)
    for axes, values, name in zip(slices, (true, predicted), ("reference", "prediction")):
        image = plane.draw(axes, values, density_norm, "viridis")
        axes.set_title(name)
    _colorbar(top, image, slices[:2], _label(reference))
    image = plane.draw(slices[2], error, _symmetric_norm(plane, error), "RdBu_r")
    slices[2].set_title("prediction \N{MINUS SIGN} reference")
    _colorbar(top, image, slices[2], _label(reference, "error"))
    for axes in slices[1:]:
        axes.set_ylabel("")
        axes.tick_params(left=False)

    left, right = bottom.subfigures(1, 2, width_ratios=(1.0, 1.65))
    _parity(left, reference, prediction)
    upper, lower = right.subplots(2, 1, sharex=True, height_ratios=(2.0, 1.0))
    _averages(upper, reference, axis, {"reference": true, "prediction": predicted})
    upper.set_xlabel("")
    _averages(lower, reference, axis, {"error": error}, colour="tab:red")
    lower.axhline(0.0, color="0.6", linewidth=0.8, zorder=0)
    lower.set(title="", ylabel=_label(reference, "error"))
    _heading(figure, title, plane)
    return figure


def picture_format(path):
    """Name the picture format of a file by its ending.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    str
        Such as "png".

    Raises
    ------
    ChargeError
        When matplotlib cannot write files of that ending.
    """
    form = Path(path).suffix.lstrip(".").lower()
    known = sorted(Figure().canvas.get_supported_filetypes())
    if form not in known:
        raise ChargeError(f"{path}: not a picture's name; let it end in .{', .'.join(known)}")
    return form


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
    distances = np.abs(_heights(density, axis, np.arange(n)[:, None]))  # (n, natoms)
    # A smooth count, so that a layer of atoms is met at its middle.
    count = np.exp(-((distances / (0.5 * NEAR_PLANE)) ** 2)).sum(axis=1).round(6)
    best = np.flatnonzero(count == count.max())
    return int(best[np.argmin(np.abs(best - n // 2))])


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
        self.height = _layer_spacing(density, axis) * index
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
        near = np.abs(_heights(density, self.axis, self.index)) < NEAR_PLANE
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


def _name(density):
    """What is drawn, without an article."""
    quantity = density.quantity
    return "density" if quantity.is_total else quantity.description.partition(" ")[2]


def _unit(density):
    return density.unit.replace("mu_B", "µ$_B$").replace("A^3", "Å$^3$")


def _label(density, name=None):
    """A label with the unit of the values, where they have one."""
    unit = _unit(density)
    return (name or _name(density)) + (f" ({unit})" if unit else "")


def _heights(density, axis, index):
    """Return the signed distances (A) of the atoms from grid planes, (..., natoms)."""
    atoms = density.atoms
    origin = np.asarray(density.origin)
    scaled = atoms.cell.scaled_positions(atoms.positions - origin)[:, axis]
    difference = scaled - np.asarray(index) / density.shape[axis]
    if atoms.pbc[axis]:
        difference = difference - np.round(difference)
    return difference * _layer_spacing(density, axis) * density.shape[axis]


def _layer_spacing(density, axis):
    """Return the distance (A) between neighbouring grid planes."""
    return 1.0 / np.linalg.norm(density.atoms.cell.reciprocal()[axis]) / density.shape[axis]


def _shared_norm(plane, *grids):
    """Make one colour scale that spans all but the outermost 0.2% of the values.

    A few points at the nuclei would else take all the colours; the ends of
    the colour bar show that there is more.
    """
    low, high = np.percentile([plane.take(values) for values in grids], (0.2, 99.8))
    return Normalize(low, high if high > low else low + 1.0)


def _symmetric_norm(plane, values):
    """Make a colour scale with zero in the middle, else like `_shared_norm`."""
    limit = np.percentile(np.abs(plane.take(values)), 99.8) or 1.0
    return Normalize(-limit, limit)


def _colorbar(figure, image, axes, label):
    values = image.get_array()
    below, above = values.min() < image.norm.vmin, values.max() > image.norm.vmax
    extend = {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}[below, above]
    figure.colorbar(image, ax=axes, label=label, extend=extend, shrink=0.85, pad=0.02)


def _parity(figure, reference, prediction):
    """Draw a histogram of all points, predicted against true density."""
    true, predicted = reference.values.ravel(), prediction.values.ravel()
    axes = figure.subplots()
    limits = min(true.min(), predicted.min()), max(true.max(), predicted.max())
    margin = 0.02 * (limits[1] - limits[0]) or 1.0
    limits = limits[0] - margin, limits[1] + margin
    counts, edges, _ = np.histogram2d(true, predicted, bins=160, range=(limits, limits))
    image = axes.pcolormesh(
        edges, edges, np.ma.masked_equal(counts.T, 0), norm=LogNorm(), cmap="viridis"
    )
    figure.colorbar(image, ax=axes, label="grid points", shrink=0.85, pad=0.02)
    axes.plot(limits, limits, color="0.5", linewidth=0.8, zorder=0)
    axes.set(
        aspect="equal",
        xlim=limits,
        ylim=limits,
        title="parity",
        xlabel=_label(reference, "reference"),
        ylabel=_label(reference, "prediction"),
    )
    point_volume = reference.volume / true.size
    summary = Comparison.of(true, predicted, point_volume).summary()
    lines = [f"{name.upper()} {summary[name]:.2e}" for name in ("mae", "rmse", "max")]
    lines = [f"{line} {_unit(reference)}" for line in lines] + [f"NMAE {summary['nmae']:.3g}%"]
    axes.text(0.04, 0.96, "\n".join(lines), transform=axes.transAxes, va="top", family="monospace")


def _averages(axes, density, axis, curves, colour=None):
    """Draw averages over the grid planes against the distance along their normal."""
    n = density.shape[axis]
    closed = int(density.atoms.pbc[axis])
    distance = np.arange(n + closed) * _layer_spacing(density, axis)
    others = tuple(i for i in range(3) if i != axis)
    styles = ("-", "--")
    for (name, values), style in zip(curves.items(), styles):
        mean = np.pad(values.mean(axis=others), (0, closed), mode="wrap")
        axes.plot(distance, mean, style, color=colour, label=name)
    if len(curves) > 1:
        axes.legend(
            frameon=False, ncols=len(curves), loc="lower right", bbox_to_anchor=(1.0, 1.0)
        )
    axes.set(
        title="planar average",
        xlabel=f"distance normal to the {AXES[others[0]]}{AXES[others[1]]} plane (Å)",
        ylabel=_label(density),
    )
    axes.margins(x=0)
    axes.spines[["top", "right"]].set_visible(False)


def _heading(figure, title, plane):
    others = "".join(AXES[i] for i in plane.others)
    where = f"slice: {others} plane {plane.index} at {plane.height:.2f} Å"
    figure.suptitle(f"{title} ({where})" if title else where, fontsize="x-large")
