# SPDX-License-Identifier: LGPL-3.0-or-later
r"""Ensembles of gradient-boosted trees (LightGBM), one ensemble for each property.

.. math::

    \hat y(x) = \frac{1}{M} \sum_{m=1}^{M} f_m(x), \qquad
    s(x)^2 = \frac{1}{M - 1} \sum_{m=1}^{M} \bigl(f_m(x) - \hat y(x)\bigr)^2

The members f_m differ in the seed that draws the rows and the columns of each tree, and every
second one draws the thresholds at which it splits, too (Geurts, Ernst and Wehenkel, Machine
Learning 63, 3 (2006)), and sees twice the columns. With the same seed the trees are the same,
on any number of threads. Errors e count by Huber's loss, as e^2 / 2 up to h standard deviations
of the labels and linearly above, so that single wrong labels do not bend all others.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ChargeError
from ..threads import in_order
from ..typing import Floats

__all__ = ["Ensemble", "TreeSettings", "fit_ensemble"]

# A tree of few columns learns nothing of how they act together.
_FEWEST_COLUMNS = 16


@dataclass(frozen=True)
class TreeSettings:
    """Settings of the trees, for 10^2 to 10^5 samples with hundreds of columns.

    Attributes
    ----------
    n_trees : int
        Of each member.
    learning_rate : float
        By which each tree counts.
    n_leaves : int
        Most leaves of a tree.
    min_samples_leaf : int
        Fewest samples in a leaf.
    column_fraction : float
        Of the columns, drawn for each tree; not less than 16 columns, if there are so many.
    row_fraction : float
        Of the samples, drawn for each tree.
    l2 : float
        Penalty of the values of leaves, in units of samples.
    huber : float
        h above; 0 for squares of all errors.
    n_members : int
        Of the ensemble.
    """

    n_trees: int = 900
    learning_rate: float = 0.05
    n_leaves: int = 24
    min_samples_leaf: int = 6
    column_fraction: float = 0.2
    row_fraction: float = 0.7
    l2: float = 0.5
    huber: float = 0.35
    n_members: int = 4

    def __post_init__(self) -> None:
        if self.n_trees < 1:
            raise ChargeError(f"--trees {self.n_trees}: give a number of at least 1")
        if not 0.0 < self.learning_rate <= 1.0:
            raise ChargeError(
                f"--learning-rate {self.learning_rate:g}: give a number above 0 and at most 1"
            )
        if self.n_members < 1:
            raise ChargeError(f"--members {self.n_members}: give a number of at least 1")

    def parameters(
        self, seed: int, n_threads: int, n_columns: int, spread: float, is_random: bool
    ) -> dict[str, Any]:
        """As LightGBM names them, for labels of this spread, and thresholds at random or not."""
        fraction = max(self.column_fraction, _FEWEST_COLUMNS / n_columns)
        loss: dict[str, Any] = {"objective": "regression"}
        if self.huber and spread > 0.0:
            loss = {"objective": "huber", "alpha": self.huber * spread}
        return {
            **loss,
            "extra_trees": is_random,
            "learning_rate": self.learning_rate,
            "num_leaves": self.n_leaves,
            "min_data_in_leaf": self.min_samples_leaf,
            "feature_fraction": min(1.0, fraction * (2.0 if is_random else 1.0)),
            "bagging_fraction": self.row_fraction,
            "bagging_freq": 1,
            "lambda_l2": self.l2,
            "seed": seed,
            "num_threads": n_threads,
            "deterministic": True,
            "force_row_wise": True,
            "verbosity": -1,
        }


class Ensemble:
    """Members that predict one property.

    Parameters
    ----------
    texts : sequence of str
        Of the members, as LightGBM writes them.
    """

    def __init__(self, texts: tuple[str, ...]) -> None:
        self.texts = texts
        lightgbm = _lightgbm()
        try:
            self._boosters = [lightgbm.Booster(model_str=text) for text in texts]
        except lightgbm.basic.LightGBMError as error:
            raise ValueError(f"no trees of LightGBM: {error}") from None

    @property
    def n_columns(self) -> int:
        """int: Columns of the matrix that the members were fitted to."""
        return int(self._boosters[0].num_feature())

    def predict(self, matrix: Floats) -> tuple[Floats, Floats]:
        """Predict, with the spread of the members.

        Parameters
        ----------
        matrix : np.ndarray
            (n, d).

        Returns
        -------
        values, spread : np.ndarray
            (n,); the spread of a single member is zero.
        """
        # the library's threads on these few rows cost more than they save
        each = np.array([b.predict(matrix, num_threads=1) for b in self._boosters])
        if len(each) == 1:
            return each[0], np.zeros(len(matrix))
        return each.mean(axis=0), each.std(axis=0, ddof=1)

    def gains(self) -> Floats:
        """Decrease of the squared error by each column, (d,), of the mean member."""
        return np.mean([b.feature_importance("gain") for b in self._boosters], axis=0)


def fit_ensemble(
    matrix: Floats,
    labels: Floats,
    settings: TreeSettings,
    seed: int = 0,
    n_threads: int = 1,
    tick: Callable[[], object] = lambda: None,
) -> Ensemble:
    """Fit trees to labels.

    Parameters
    ----------
    matrix : np.ndarray
        (n, d).
    labels : np.ndarray
        (n,), all of them known.
    settings : TreeSettings
    seed : int
    n_threads : int
    tick : callable
        Called after each member.

    Returns
    -------
    Ensemble
    """
    lightgbm = _lightgbm()
    # of these few rows the library's own threads would mostly wait for one another
    n_beside = min(n_threads, settings.n_members)
    spread = float(labels.std())

    def member(item: tuple[int, int]) -> str:
        number, state = item
        parameters = settings.parameters(
            state >> 1, n_threads // n_beside, matrix.shape[1], spread, number % 2 == 1
        )
        data = lightgbm.Dataset(matrix, labels, params=parameters)
        return lightgbm.train(parameters, data, settings.n_trees).model_to_string()

    # seeds of members must not meet those of the next seed
    states = np.random.SeedSequence(seed).generate_state(settings.n_members).tolist()
    texts = []
    for text in in_order(member, enumerate(states), n_beside):
        texts.append(text)
        tick()
    return Ensemble(tuple(texts))


def _lightgbm() -> Any:
    try:
        import lightgbm
    except ImportError:
        raise ChargeError(
            "LightGBM is not installed: pip install 'deepmd-charge[property]'"
        ) from None
    return lightgbm
