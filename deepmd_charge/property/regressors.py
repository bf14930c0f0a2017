# SPDX-License-Identifier: LGPL-3.0-or-later
r"""What is fitted: trees, a network with attention, or both.

All properties are predicted at once, on the scales on which they are learned, with the spread of
an ensemble. Of trees and a network together

.. math::

    \hat y = \tfrac{1}{2} (y_1 + y_2), \qquad
    s^2 = \tfrac{1}{2} (s_1^2 + s_2^2) + \tfrac{1}{2} (y_1 - y_2)^2 .
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field, replace
from functools import reduce

import numpy as np

from ..errors import ChargeError
from ..typing import Booleans, Floats
from .attention import AttentionNetwork, AttentionSettings
from .encoder import N_POSES
from .inputs import Inputs
from .matrix import MatrixColumns
from .trees import Ensemble, TreeSettings, fit_ensemble

__all__ = ["MODELS", "Fitted", "Predicted", "Settings", "check_inputs", "fit"]

MODELS = ("trees", "attention", "both")


@dataclass(frozen=True)
class Settings:
    """How properties are learned.

    Attributes
    ----------
    model : str
        One of `MODELS`.
    trees : TreeSettings
    attention : AttentionSettings
        Its seed is that below.
    n_components : int
        Principal components of latent arrays that trees learn from.
    n_poses : int
        In which each density is encoded.
    seed : int
    n_threads : int
        Of LightGBM, on which results do not depend.
    """

    model: str = "trees"
    trees: TreeSettings = field(default_factory=TreeSettings)
    attention: AttentionSettings = field(default_factory=AttentionSettings)
    n_components: int = 64
    n_poses: int = N_POSES
    seed: int = 0
    n_threads: int = 1

    @property
    def has_trees(self) -> bool:
        """Whether trees are fitted."""
        return self.model != "attention"

    @property
    def has_network(self) -> bool:
        """Whether a network is fitted."""
        return self.model != "trees"

    def n_fits(self, n_targets: int) -> int:
        """How often :func:`fit` says that it got on."""
        return self.has_trees * self.trees.n_members * n_targets + self.has_network


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


@dataclass(frozen=True)
class Fitted:
    """What was fitted to training samples.

    Attributes
    ----------
    columns : MatrixColumns
        How samples become rows of a matrix.
    ensembles : tuple of Ensemble
        Trees of each property, or none.
    network : AttentionNetwork or None
    """

    columns: MatrixColumns
    ensembles: tuple[Ensemble, ...] = ()
    network: AttentionNetwork | None = None

    def predict(self, inputs: Inputs) -> Predicted:
        """Predict all properties of samples."""
        matrix = self.columns.matrix(inputs)
        found = []
        if self.ensembles:
            each = [ensemble.predict(matrix[:, self._of_trees]) for ensemble in self.ensembles]
            values, spread = (np.stack(part, axis=1) for part in zip(*each, strict=True))
            found.append((values, spread))
        if self.network is not None:
            members = self.network.predict_members(*_for_network(inputs, self.columns, matrix))
            spread = members.std(axis=0, ddof=1) if len(members) > 1 else 0.0 * members[0]
            found.append((members.mean(axis=0), spread))
        values, spread = reduce(_mean_of_two, found)
        return Predicted(values, spread, self.columns.outside(matrix))

    def gains(self) -> dict[str, Floats]:
        """Importance of each column for each property, (t,), by the names of columns; of trees."""
        if not self.ensembles:
            return {}
        each = np.array([ensemble.gains() for ensemble in self.ensembles])
        names = np.array(self.columns.names)[self._of_trees].tolist()
        return dict(zip(names, each.T, strict=True))

    @property
    def _of_trees(self) -> Booleans:
        """Columns (d,) that the trees see."""
        sees_all = self.ensembles[0].n_columns == len(self.columns.names)
        return _for_trees(self.columns, not sees_all)

    @property
    def kinds(self) -> dict[str, str]:
        """Kind of each column, by its name."""
        return dict(zip(self.columns.names, self.columns.kinds, strict=True))


def fit(
    inputs: Inputs,
    labels: Floats,
    settings: Settings,
    tick: Callable[[], object] = lambda: None,
) -> Fitted:
    """Fit all properties.

    Parameters
    ----------
    inputs : Inputs
        n training samples.
    labels : np.ndarray
        (n, t) on the scale on which they are learned, NaN where they are not known; samples
        without any are left out.
    settings : Settings
    tick : callable
        Called ``settings.n_fits(t)`` times.

    Returns
    -------
    Fitted

    Raises
    ------
    ChargeError
        If a network is asked for without latent arrays.
    """
    check_inputs(settings.model, inputs.blocks)
    labelled = np.isfinite(labels).any(axis=1)
    if not labelled.all():  # others are no training data, whose range intervals are told by
        inputs, labels = inputs.take(np.flatnonzero(labelled)), labels[labelled]
    columns, matrix = MatrixColumns.fit(inputs, settings.n_components, settings.seed)
    ensembles, network = [], None
    if settings.has_trees:
        seen = matrix[:, _for_trees(columns, settings.has_network)]
        for values in labels.T:
            known = np.isfinite(values)
            ensembles.append(
                fit_ensemble(
                    seen[known], values[known], settings.trees, settings.seed,
                    settings.n_threads, tick,
                )
            )  # fmt: skip
    if settings.has_network:
        network = AttentionNetwork(replace(settings.attention, seed=settings.seed))
        network.fit(*_for_network(inputs, columns, matrix), labels)
        tick()
    return Fitted(columns, tuple(ensembles), network)


def check_inputs(model: str, kinds: Collection[str]) -> None:
    """Raise ChargeError for a network without latent arrays to learn from."""
    if model != "trees" and "latent" not in kinds:
        raise ChargeError(f"--model {model}: learns from latent arrays; add latent to --inputs")


def _for_trees(columns: MatrixColumns, has_network: bool) -> Booleans:
    """Columns (d,) for trees: beside a network none of latent arrays, if there are others."""
    others = np.array(columns.kinds) != "latent"
    return others if has_network and others.any() else np.ones_like(others)


def _for_network(inputs: Inputs, columns: MatrixColumns, matrix: Floats) -> tuple[Floats, Floats]:
    """Latent arrays (n, poses, c, m, m, m), and the columns that are not made of them."""
    latent = inputs.blocks["latent"]
    others = np.array(columns.kinds) != "latent"
    # what is not known of a few elements becomes a value from the middle
    middle = 0.5 * (columns.low + columns.high)
    filled = np.where(np.isfinite(matrix), matrix, np.nan_to_num(middle))
    return latent.values.reshape(len(inputs), *latent.shape), filled[:, others]


def _mean_of_two(
    first: tuple[Floats, Floats], second: tuple[Floats, Floats]
) -> tuple[Floats, Floats]:
    """Mean and spread of two predictions with theirs."""
    within = 0.5 * (first[1] ** 2 + second[1] ** 2)
    between = 0.5 * (first[0] - second[0]) ** 2
    return 0.5 * (first[0] + second[0]), np.sqrt(within + between)
