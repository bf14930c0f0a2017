# SPDX-License-Identifier: LGPL-3.0-or-later
"""What is reported of a predicted density, and whether it is good enough to be written."""

from __future__ import annotations

import warnings
from dataclasses import dataclass

import numpy as np

from ..errors import ChargeError
from ..grid.mapped import by_planes
from ..typing import Floats, Shape
from .coarse import AddedError

__all__ = ["Report", "check_interpolation", "mean_and_max"]

# Share of the density that interpolation may add to the error without a word:
# good models have an NMAE of 0.2 to 0.5%.
_SMALL = 1e-3


@dataclass(frozen=True)
class Report:
    """What a user wants to know about a file that was written.

    Attributes
    ----------
    path : str
        File of the density.
    shape, predicted_shape : tuple of int
        Its grid, and the grid on which models were evaluated.
    n_electrons : float
        Integral of the density.
    added : AddedError or None
        Of the interpolation, where these grids differ.
    deviation_path : str or None
        File of the standard deviation, where there are several models.
    mean_deviation, max_deviation : float or None
        Of its values, e/A^3.
    is_known : bool
        Whether surroundings of its points are those of the training data.
    """

    path: str
    shape: Shape
    predicted_shape: Shape
    n_electrons: float
    added: AddedError | None = None
    deviation_path: str | None = None
    mean_deviation: float | None = None
    max_deviation: float | None = None
    is_known: bool = True


def check_interpolation(report: Report, factor: int, model_error: float | None = None) -> None:
    """Refuse, or warn of, an interpolation that is worse than the model.

    Parameters
    ----------
    report : Report
        Without `added` there is nothing to say.
    factor : int
        How many times coarser the grid of the models was.
    model_error : float, optional
        The models' mean error, e/A^3.

    Raises
    ------
    ChargeError
        If interpolation adds more than that.

    Warns
    -----
    UserWarning
        If that is not known, and interpolation adds more than models deviate
        from one another, or of one model a noticeable share of the density.
    """
    added, remedy = report.added, "take a smaller N"
    if added is None:
        return
    adds = f"--coarsen {factor} adds an error of {added.mean:.1e} e/A^3 on average"
    if model_error is not None:
        if added.mean > model_error:
            raise ChargeError(
                f"{report.path}: not written: {adds}, above --model-error {model_error:g}: {remedy}"
            )
    elif report.mean_deviation is not None:
        if added.mean > report.mean_deviation:
            warnings.warn(
                f"{report.path}: {adds}, more than the models deviate from one another "
                f"({report.mean_deviation:.1e}): {remedy}",
                stacklevel=2,
            )
    elif added.share > _SMALL:
        warnings.warn(
            f"{report.path}: {adds}, {100 * added.share:.2g}% of the density, where good "
            f"models are wrong by some 0.3%: {remedy}, or tell the model's MAE by --model-error",
            stacklevel=2,
        )


def mean_and_max(values: Floats) -> tuple[float, float]:
    """Mean and maximum of an array that need not fit into memory."""
    total, largest = 0.0, -np.inf
    for plane in by_planes(values):
        total += float(plane.sum())
        largest = max(largest, float(plane.max()))
    return total / values.size, largest
