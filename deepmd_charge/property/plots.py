# SPDX-License-Identifier: LGPL-3.0-or-later
"""Pictures of learned properties: predicted against true, and what predictions rest on."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from ..typing import Floats
from .panels import Panel
from .targets import Target

__all__ = ["plot_importances", "plot_parity"]

_MANY = 500  # samples from which they are drawn as densities
_MOST_BARS = 25
_COLOURS = {
    "invariants": "tab:blue",
    "difference": "tab:purple",
    "latent": "tab:orange",
    "composition": "tab:green",
}
_PRETTY = {"e_form": "formation energy", "debye": "Debye temperature", "poisson": "Poisson's ratio"}


def plot_parity(panels: Sequence[Panel]) -> Figure:
    """Draw predictions against labels, one panel for each property.

    Parameters
    ----------
    panels : sequence of Panel
        Intervals are drawn where they are given and samples are few.

    Returns
    -------
    matplotlib.figure.Figure
    """
    n_columns = min(3, len(panels))
    n_rows = math.ceil(len(panels) / n_columns)
    figure = Figure(figsize=(4.6 * n_columns, 4.3 * n_rows), layout="constrained")
    all_axes = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
    for axes, panel in zip(all_axes, panels, strict=False):
        _parity(axes, panel)
    for axes in all_axes[len(panels) :]:
        axes.set_axis_off()
    return figure


def plot_importances(
    targets: Sequence[Target], gains: Mapping[str, Floats], kinds: Mapping[str, str]
) -> Figure:
    """Draw which columns decrease the squared error most, and how much each kind of them does.

    Parameters
    ----------
    targets : sequence of Target
        t properties.
    gains : mapping
        Decrease of the squared error (t,) by each column.
    kinds : mapping
        Kind of each column.

    Returns
    -------
    matplotlib.figure.Figure
    """
    names = np.array(list(gains))
    shares = np.array([gains[name] for name in names])  # (d, t)
    totals = shares.sum(axis=0)
    shares = 100.0 * shares / np.where(totals > 0.0, totals, 1.0)
    n_bars = min(_MOST_BARS, len(names))
    figure = Figure(figsize=(4.4 * len(targets), 2.2 + 0.21 * n_bars), layout="constrained")
    upper, lower = figure.subplots(2, len(targets), squeeze=False, height_ratios=(0.06, 1.0))
    there = [kind for kind in _COLOURS if kind in kinds.values()]
    of_kind = np.array([kinds[name] for name in names])
    for column, target in enumerate(targets):
        _blocks(
            upper[column],
            {kind: float(shares[of_kind == kind, column].sum()) for kind in there},
            target,
        )
        best = np.argsort(shares[:, column])[::-1][:n_bars][::-1]
        axes = lower[column]
        axes.barh(
            [_shortened(names[k]) for k in best],
            shares[best, column],
            color=[_COLOURS[of_kind[k]] for k in best],
        )
        axes.tick_params(axis="y", labelsize="x-small")
        axes.margins(y=0.01)
        axes.set_xlabel("share of the gain (%)")
    handles = [Patch(color=_COLOURS[kind], label=kind) for kind in there]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(there), fontsize="small")
    return figure


def _parity(axes: Axes, panel: Panel) -> None:
    known = np.isfinite(panel.labels) & np.isfinite(panel.predicted)
    true, predicted = panel.labels[known], panel.predicted[known]
    low, high = (float(f([f(true), f(predicted)])) for f in (np.min, np.max))
    margin = 0.03 * (high - low) or 1.0
    limits = low - margin, high + margin
    axes.plot(limits, limits, color="0.6", linewidth=0.8, zorder=0)
    if len(true) >= _MANY:
        image = axes.hexbin(
            true, predicted, gridsize=60, extent=(*limits, *limits), mincnt=1, norm=LogNorm(),
            cmap="viridis", linewidths=0.2,
        )  # fmt: skip
        axes.figure.colorbar(image, ax=axes, label="samples", shrink=0.8, pad=0.02)
    else:
        if panel.lower is not None and panel.upper is not None:
            ends = np.stack([predicted - panel.lower[known], panel.upper[known] - predicted])
            axes.errorbar(
                true, predicted, np.maximum(ends, 0.0), fmt="none", ecolor="0.75", elinewidth=0.7,
                zorder=1,
            )  # fmt: skip
        axes.plot(true, predicted, "o", color="tab:blue", markersize=3.5, alpha=0.7, zorder=2)
    target = panel.target
    name, unit = _pretty(target.name), f" ({target.unit})" if target.unit else ""
    axes.set(
        aspect="equal",
        xlim=limits,
        ylim=limits,
        title=name,
        xlabel=f"label{unit}",
        ylabel=f"prediction{unit}",
    )
    scores = panel.scores
    bare = f" {target.unit}" if target.unit else ""
    lines = [f"R$^2$ {scores.r2:.3f}", f"MAE {scores.mae:.3g}{bare}"]
    lines += [f"RMSE {scores.rmse:.3g}{bare}", f"n {scores.n}"]
    axes.text(
        0.04, 0.96, "\n".join(lines), transform=axes.transAxes, va="top", fontsize="small",
        bbox={"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 3.0},
    )  # fmt: skip


def _blocks(axes: Axes, shares: Mapping[str, float], target: Target) -> None:
    """Draw one bar that the kinds of columns divide."""
    start = 0.0
    for kind, share in shares.items():
        axes.barh([0], [share], left=[start], color=_COLOURS[kind])
        if share > 6.0:
            text = axes.text(start + share / 2.0, 0, f"{share:.0f}%", fontsize="x-small")
            text.set(ha="center", va="center", color="white")
        start += share
    axes.set(xlim=(0.0, 100.0), title=_pretty(target.name))
    axes.set_axis_off()


def _pretty(name: str) -> str:
    return _PRETTY.get(name, name).replace("$", r"\$")


def _shortened(name: str) -> str:
    name = str(name).replace("$", r"\$")
    return name if len(name) <= 34 else name[:31] + "..."
