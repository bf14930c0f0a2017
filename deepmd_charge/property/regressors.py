# SPDX-License-Identifier: LGPL-3.0-or-later
"""What is fitted: trees, a network with attention, or both.

All of them predict every property at once, on the scale on which it is learned, with the spread
of an ensemble.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from ..typing import Floats
from .inputs import Inputs
from .matrix import Columns
from .trees import Ensemble, TreeSettings, fit_ensemble

__all__ = ["MODELS", "Predicted", "Regressor", "Settings", "Trees", "fit"]

MODELS = ("trees", "attention", "both")


@dataclass(frozen=True)
class Settings:
    """How properties are learned.

    Attributes
    ----------
    model : str
        One of `MODELS`.
    trees : TreeSettings
    n_components : int
        Principal components of latent arrays.
    seed : int
    n_threads : int
        On which results do not depend.
    """

    model: str = "trees"
    trees: TreeSettings = field(default_factory=TreeSettings)
    n_components: int = 64
    seed: int = 0
    n_threads: int = 1

    @property
    def n_fits(self) -> int:
        """Fits to each property, for progress."""
        return self.trees.n_members


@dataclass(frozen=True)
class Predicted:
    """Predictions on the scale on which properties are learned.

    Attributes
    ----------
    values, spread : np.ndarray
        (n, t).
    outside : np.ndarray
        (n,) how far samples are outside of the training data.
    """

    values: Floats
    spread: Floats
    outside: Floats


class Regressor(Protocol):
    """What was fitted."""

    def predict(self, inputs: Inputs) -> Predicted:
        """Predict all properties of samples."""


@dataclass(frozen=True)
class Trees:
    """Trees, an ensemble for each property.

    Attributes
    ----------
    columns : Columns
    ensembles : tuple of Ensemble
    """

    columns: Columns
    ensembles: tuple[Ensemble, ...]

    def predict(self, inputs: Inputs) -> Predicted:
        """Predict all properties of samples."""
        matrix = self.columns.matrix(inputs)
        found = [ensemble.predict(matrix) for ensemble in self.ensembles]
        values, spread = (np.stack(part, axis=1) for part in zip(*found, strict=True))
        return Predicted(values, spread, self.columns.outside(matrix))

    def gains(self) -> dict[str, Floats]:
        """Importance of each column for each property, (t,), by the names of columns."""
        each = np.array([ensemble.gains() for ensemble in self.ensembles])
        return dict(zip(self.columns.names, each.T, strict=True))

    @property
    def kinds(self) -> dict[str, str]:
        """Kind of each column, by its name."""
        return dict(zip(self.columns.names, self.columns.kinds, strict=True))


def fit(
    inputs: Inputs,
    labels: Floats,
    settings: Settings,
    tick: Callable[[], object] = lambda: None,
) -> Trees:
    """Fit all properties.

    Parameters
    ----------
    inputs : Inputs
        n training samples.
    labels : np.ndarray
        (n, t) on the scale on which they are learned, NaN where they are not known.
    settings : Settings
    tick : callable
        Called after each member of each ensemble.

    Returns
    -------
    Regressor
    """
    columns, matrix = Columns.fit(inputs, settings.n_components, settings.seed)
    ensembles = []
    for values in labels.T:
        known = np.isfinite(values)
        ensembles.append(
            fit_ensemble(
                matrix[known], values[known], settings.trees, settings.seed, settings.n_threads,
                tick,
            )
        )  # fmt: skip
    return Trees(columns, tuple(ensembles))
