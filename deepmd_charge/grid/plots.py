# SPDX-License-Identifier: LGPL-3.0-or-later
"""Pictures of densities: slices, parity and planar averages.

Figures are made without pyplot: nothing needs a display, and no global state
is left behind.
"""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from ase.data import chemical_symbols
from ase.data.colors import jmol_colors
from matplotlib.axes import Axes
from matplotlib.collections import QuadMesh
from matplotlib.colors import LogNorm, Normalize
from matplotlib.figure import Figure, FigureBase, SubFigure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D

from ..errors import ChargeError
from ..typing import Floats, PathLike
from .density import Density
from .metrics import Comparison
from .plane import AXES, Plane, busiest_slice, layer_spacing

_SIGNED_COLOURS = "RdBu_r"  # white at zero
_HEADING_WIDTH = 6.5  # characters per inch of the page, all of them capitals


def plot_density(
    density: Density, axis: int = 2, index: int | None = None, title: str | None = None
) -> Figure:
    """Draw a slice and the planar average of one density.

    Parameters
    ----------
    density : Density
        Values of shape (nx, ny, nz) in e/A^3.
    axis : int, optional
        Grid axis that numbers the slices; the average runs along it too.
    index : int, optional
        Slice along `axis`; by default :func:`.busiest_slice`.
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
    # the unit in the title: at the bar it would be beside the label of the averages
    scale = _scale(density, plane, density.values)
    image = _draw(left, plane, density.values, *scale, _label(density))
    _colorbar(figure, image, left)
    _averages(right, density, axis, {_name(density): density.values})
    _heading(figure, title, plane)
    return figure


def plot_comparison(
    reference: Density,
    prediction: Density,
    axis: int = 2,
    index: int | None = None,
    title: str | None = None,
) -> Figure:
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
    figure = Figure(figsize=(13.5, 9.0), layout=ConstrainedLayoutEngine(h_pad=0.09))
    (top,), (bottom,) = figure.subfigures(2, 1, squeeze=False, height_ratios=(1.0, 0.95))

    plane = Plane(reference, axis, index)
    slices = top.subplots(1, 3, sharey=True)
    norm, colours = _scale(reference, plane, true, predicted)
    for axes, values, name in (
        (slices[0], true, "reference"),
        (slices[1], predicted, "prediction"),
    ):
        image = _draw(axes, plane, values, norm, colours, name)
    _colorbar(top, image, slices[1], _label(reference))
    norm, name = _symmetric_norm(plane, error), "prediction \N{MINUS SIGN} reference"
    image = _draw(slices[2], plane, error, norm, _SIGNED_COLOURS, name)
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


def picture_format(path: PathLike) -> str:
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


def _draw(
    axes: Axes, plane: Plane, values: Floats, norm: Normalize, colours: str, title: str
) -> QuadMesh:
    """Draw the plane of a grid of values with the atoms near it."""
    image = axes.pcolormesh(
        plane.x, plane.y, plane.take(values), norm=norm, cmap=colours, shading="gouraud"
    )
    outline = np.array([(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)]) @ plane.edges
    axes.plot(*outline.T, color="0.3", linewidth=0.8, clip_on=False)
    _mark_atoms(axes, plane)
    axes.set_title(title, pad=20.0 if len(plane.atom_numbers) else None)  # above the elements
    axes.set(
        aspect="equal",
        # exactly the cell: the circles of atoms at its faces would push the axes away
        xlim=(outline[:, 0].min(), outline[:, 0].max()),
        ylim=(outline[:, 1].min(), outline[:, 1].max()),
        xlabel=f"along {AXES[plane.others[0]]} (Å)",
        ylabel=f"normal to {AXES[plane.others[0]]}, in the plane (Å)",
    )
    for side in axes.spines.values():
        side.set_visible(False)
    return image


def _mark_atoms(axes: Axes, plane: Plane) -> None:
    handles = []
    for number in np.unique(plane.atom_numbers):
        style = {
            "marker": "o",
            "linestyle": "none",
            "markersize": 6,
            "markerfacecolor": jmol_colors[number],
            "markeredgecolor": "black",
            "markeredgewidth": 0.9,
        }
        here = plane.atom_positions[plane.atom_numbers == number]
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


def _name(density: Density) -> str:
    """What is drawn, without an article."""
    quantity = density.quantity
    return "density" if quantity.is_total else quantity.description.partition(" ")[2]


def _unit(density: Density) -> str:
    return density.unit.replace("mu_B", "µ$_B$").replace("A^3", "Å$^3$")


def _label(density: Density, name: str | None = None) -> str:
    """A label with the unit of the values, where they have one."""
    unit = _unit(density)
    return (name or _name(density)) + (f" ({unit})" if unit else "")


def _scale(density: Density, plane: Plane, *grids: Floats) -> tuple[Normalize, str]:
    """Choose one colour scale for grids of what a density holds, with zero in white if signed."""
    if density.quantity.is_signed:
        return _symmetric_norm(plane, *grids), _SIGNED_COLOURS
    return _shared_norm(plane, *grids), "viridis"


def _shared_norm(plane: Plane, *grids: Floats) -> Normalize:
    """Make one colour scale that spans all but the outermost 0.2% of the values.

    A few points at the nuclei would else take all the colours; the ends of
    the colour bar show that there is more.
    """
    low, high = np.percentile([plane.take(values) for values in grids], (0.2, 99.8))
    return Normalize(low, high if high > low else low + 1.0)


def _symmetric_norm(plane: Plane, *grids: Floats) -> Normalize:
    """Make a colour scale with zero in the middle, else like `_shared_norm`."""
    limit = np.percentile(np.abs([plane.take(values) for values in grids]), 99.8) or 1.0
    return Normalize(-limit, limit)


def _colorbar(figure: FigureBase, image: QuadMesh, axes: Axes, label: str = "") -> None:
    """Draw the colours of an image in a bar as high as its axes."""
    values: Floats = np.ma.asarray(image.get_array())
    below, above = values.min() < image.norm.vmin, values.max() > image.norm.vmax
    extend = {(0, 0): "neither", (1, 0): "min", (0, 1): "max", (1, 1): "both"}[below, above]
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    width = 0.05 * max(1.0, (top - bottom) / (right - left))  # of that of the axes
    bar = axes.inset_axes((1.0 + width, 0.0, width, 1.0))
    figure.colorbar(image, cax=bar, label=label, extend=extend)


def _parity(figure: SubFigure, reference: Density, prediction: Density) -> None:
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
    axes.plot(limits, limits, color="0.5", linewidth=0.8, zorder=0)
    axes.set(
        aspect="equal",
        xlim=limits,
        ylim=limits,
        title="parity",
        xlabel=_label(reference, "reference"),
        ylabel=_label(reference, "prediction"),
    )
    _colorbar(figure, image, axes, "grid points")
    point_volume = reference.volume / true.size
    summary = Comparison.of(true, predicted, point_volume).summary()
    lines = [f"{name.upper()} {summary[name]:.2e}" for name in ("mae", "rmse", "max")]
    lines = [f"{line} {_unit(reference)}" for line in lines] + [f"NMAE {summary['nmae']:.3g}%"]
    axes.text(
        0.04,
        0.96,
        "\n".join(lines),
        transform=axes.transAxes,
        va="top",
        family="monospace",
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 3.0},
    )


def _averages(
    axes: Axes,
    density: Density,
    axis: int,
    curves: Mapping[str, Floats],
    colour: str | None = None,
) -> None:
    """Draw averages over the grid planes against the distance along their normal."""
    n = density.shape[axis]
    closed = int(density.atoms.pbc[axis])
    distance = np.arange(n + closed) * layer_spacing(density, axis)
    others = tuple(i for i in range(3) if i != axis)
    styles = ("-", "--")
    for (name, values), style in zip(curves.items(), styles, strict=False):
        mean = np.pad(values.mean(axis=others), (0, closed), mode="wrap")
        axes.plot(distance, mean, style, color=colour, label=name)
    if len(curves) > 1:
        axes.legend(frameon=False, ncols=len(curves), loc="lower right", bbox_to_anchor=(1.0, 1.0))
    axes.set(
        title="planar average",
        xlabel=f"distance normal to the {AXES[others[0]]}{AXES[others[1]]} plane (Å)",
        ylabel=_label(density),
    )
    axes.margins(x=0)
    axes.spines[["top", "right"]].set_visible(False)


def _heading(figure: Figure, title: str | None, plane: Plane) -> None:
    where = f"slice: {plane.where('Å')}"
    text = f"{title} ({where})" if title else where
    width = int(_HEADING_WIDTH * figure.get_figwidth())
    lines = [textwrap.fill(line, width) for line in text.splitlines()]
    figure.suptitle("\n".join(lines), fontsize="x-large")
