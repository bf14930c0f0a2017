# SPDX-License-Identifier: LGPL-3.0-or-later
"""Pictures of what a predicted density is worth: bands, and self-consistency on its way."""

from __future__ import annotations

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from .compare import Compared
from .result import Result

__all__ = ["plot_bands", "plot_iterations"]

_COLOURS = {"atoms": "0.45", "prediction": "tab:red", "true": "tab:blue"}
_NAMES = {"atoms": "from atoms", "prediction": "from the prediction", "true": "from the true one"}
_LINES = ("-", "--", ":", "-.")
_HALF = 0.36  # of the width of a k point that a level takes
_WIDTH = 2.4  # of the line of a level, points
_FEW = 60  # bands whose lines may be so thick


def plot_bands(compared: Compared) -> Figure:
    """Draw the bands at the predicted density over those at the true one, and their differences.

    Parameters
    ----------
    compared : Compared

    Returns
    -------
    matplotlib.figure.Figure
    """
    exact, predicted = compared.exact, compared.predicted
    figure = Figure(figsize=(11.0, 5.0), layout="constrained")
    left, right = figure.subplots(1, 2, width_ratios=(1.0, 1.2))
    zero = _zero(exact)
    width = min(_WIDTH, _WIDTH * _FEW / exact.eigenvalues.shape[2])
    _levels(left, exact, zero, "true density", "0.6", width)
    _levels(left, predicted, zero, "prediction", "tab:red", 0.35 * width)
    left.set(xlabel="k point", ylabel=_energy(exact))
    left.set_xticks(_ticks(exact.eigenvalues.shape[1]))
    left.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize="small")
    errors = 1000.0 * (predicted.eigenvalues - exact.eigenvalues)
    for chosen, colour, name in (
        (exact.occupied, "tab:red", "occupied"),
        (~exact.occupied, "tab:orange", "empty"),
    ):
        if chosen.any():
            energies = exact.eigenvalues[chosen] - zero
            right.plot(energies, errors[chosen], ".", color=colour, markersize=4, label=name)
    right.axhline(0.0, color="0.6", linewidth=0.8, zorder=0)
    right.set(xlabel=_energy(exact), ylabel="prediction \N{MINUS SIGN} true (meV)")
    right.legend(loc="lower center", bbox_to_anchor=(0.5, 1.0), ncols=2, fontsize="small")
    figure.suptitle(_heading(compared))
    return figure


def plot_iterations(compared: Compared, conv_thr: float) -> Figure:
    """Draw the estimated scf accuracy after each iteration, from every start.

    Parameters
    ----------
    compared : Compared
    conv_thr : float
        Where self-consistency is reached, Ry.

    Returns
    -------
    matplotlib.figure.Figure
    """
    figure = Figure(figsize=(7.0, 4.8), layout="constrained")
    axes = figure.subplots()
    for start, by_mixing in compared.scf.items():
        for (mixing, scf), line in zip(by_mixing.items(), _LINES * len(by_mixing), strict=False):
            axes.semilogy(
                np.arange(1, len(scf.accuracies) + 1),
                scf.accuracies,
                line,
                color=_COLOURS[start],
                marker="o",
                markersize=3,
                label=f"{_NAMES[start]}, {mixing}: {scf.iterations}",
            )
    axes.axhline(conv_thr, color="0.6", linewidth=0.8, zorder=0)
    axes.set(xlabel="iteration", ylabel="estimated scf accuracy (Ry)", title=_heading(compared))
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.legend(loc="best", fontsize="small")
    return figure


def _zero(result: Result) -> float:
    """Energy (eV) of the highest level that is more than half filled."""
    return float(result.eigenvalues[result.occupied].max())


def _energy(result: Result) -> str:
    highest = "Fermi level" if result.is_metal else "highest occupied level"
    return f"energy above the {highest} (eV)"


def _levels(
    axes: Axes, result: Result, zero: float, label: str, color: str, linewidth: float
) -> None:
    """Draw each level of each k point as a short line."""
    n_k = result.eigenvalues.shape[1]
    places = np.arange(1, n_k + 1)[None, :, None] + np.zeros_like(result.eigenvalues)
    axes.hlines(
        (result.eigenvalues - zero).ravel(),
        places.ravel() - _HALF,
        places.ravel() + _HALF,
        label=label,
        color=color,
        linewidth=linewidth,
    )


def _ticks(n_k: int) -> np.ndarray[tuple[int, ...], np.dtype[np.int_]]:
    return np.arange(1, n_k + 1, max(1, n_k // 8))


def _heading(compared: Compared) -> str:
    return f"{compared.name}, {compared.n_atoms} atoms".replace("$", r"\$")
