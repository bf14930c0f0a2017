# SPDX-License-Identifier: LGPL-3.0-or-later
"""Cross-validation: every sample is predicted by what was learned from the other folds."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ChargeError
from ..stderr import progress_is_shown
from ..typing import Floats, Integers
from .inputs import Inputs
from .intervals import IntervalScale, cross_coverage
from .regressors import Predicted, Settings, fit
from .scores import Scores, bootstrap_interval, score
from .targets import Target

__all__ = ["OutOfFold", "cross_validate", "scaled_labels"]


@dataclass(frozen=True)
class OutOfFold:
    """Predictions of samples that were held out.

    Attributes
    ----------
    targets : tuple of Target
        t properties.
    labels : np.ndarray
        (n, t) in real units, NaN where they are not known.
    folds : np.ndarray
        (n,) number of the fold in which each sample was held out.
    predicted : Predicted
        On the scales on which properties are learned.
    gains : dict
        Importances (t,) of columns by their names, mean over the folds.
    kinds : dict
        Kinds of the columns by their names.
    """

    targets: tuple[Target, ...]
    labels: Floats
    folds: Integers
    predicted: Predicted
    gains: dict[str, Floats]
    kinds: dict[str, str]

    @property
    def names(self) -> list[str]:
        """Names of the properties."""
        return [target.name for target in self.targets]

    def values(self, name: str) -> Floats:
        """Predictions of a property in its unit, (n,)."""
        place = self.names.index(name)
        return self.targets[place].from_scale(self.predicted.values[:, place])

    def label(self, name: str) -> Floats:
        """Labels of a property, (n,)."""
        return self.labels[:, self.names.index(name)]

    def scores(self, name: str) -> Scores:
        """Scores of the pooled predictions of a property."""
        return score(self.label(name), self.values(name))

    def interval_scale(self, name: str, coverage: float) -> IntervalScale:
        """Scale of intervals that hold so many of the labels."""
        return IntervalScale.fit(*self._residuals(name)[:3], coverage)

    def interval(self, name: str, coverage: float) -> tuple[Floats, Floats]:
        """Lower and upper ends of the intervals of a property in its unit, (n,) each."""
        place = self.names.index(name)
        target, values = self.targets[place], self.predicted.values[:, place]
        scale = self.interval_scale(name, coverage)
        half = scale.half_width(self.predicted.spread[:, place], self.predicted.outside)
        return target.from_scale(values - half), target.from_scale(values + half)

    def coverage(self, name: str, coverage: float) -> float:
        """Fraction of labels in intervals that were scaled by the other folds."""
        return cross_coverage(*self._residuals(name), coverage)

    def to_json(
        self, coverage: float, groups: Sequence[str] | None = None
    ) -> dict[str, dict[str, Any]]:
        """Scores of all properties, by their names."""
        found: dict[str, dict[str, Any]] = {}
        for target in self.targets:
            name = target.name
            interval = bootstrap_interval(self.label(name), self.values(name), "r2", groups)
            found[name] = {
                **self.scores(name).to_json(),
                "unit": target.unit,
                "r2_interval": [interval.lower, interval.upper],
                "coverage": self.coverage(name, coverage),
                "coverage_asked": coverage,
                "by": "learning",
                "scale": target.scale,
            }
        return found

    def _residuals(self, name: str) -> tuple[Floats, Floats, Floats, Integers]:
        place = self.names.index(name)
        labels = self.targets[place].to_scale(self.labels[:, place])
        known = np.isfinite(labels)
        residuals = (labels - self.predicted.values[:, place])[known]
        spread = self.predicted.spread[known, place]
        return residuals, spread, self.predicted.outside[known], self.folds[known]


def cross_validate(
    inputs: Inputs,
    labels: Floats,
    targets: Sequence[Target],
    folds: Integers,
    settings: Settings,
) -> OutOfFold:
    """Predict every sample by what is learned from the other folds.

    Parameters
    ----------
    inputs : Inputs
        n samples.
    labels : np.ndarray
        (n, t) in real units, NaN where they are not known.
    targets : sequence of Target
        t properties.
    folds : np.ndarray
        (n,).
    settings : Settings

    Returns
    -------
    OutOfFold

    Raises
    ------
    ChargeError
        If a property has no label outside of a fold.
    """
    from tqdm import tqdm

    scaled = scaled_labels(labels, targets)
    numbers = np.unique(folds)
    n, t = scaled.shape
    values, spread, outside = np.empty((n, t)), np.empty((n, t)), np.empty(n)
    gains: dict[str, Floats] = {}
    kinds: dict[str, str] = {}
    total = len(numbers) * settings.n_fits(t)
    with tqdm(total=total, desc="folds", unit="fit", disable=not progress_is_shown()) as bar:
        for number in numbers:
            held_out = np.flatnonzero(folds == number)
            rest = np.flatnonzero(folds != number)
            empty = ~np.isfinite(scaled[rest]).any(axis=0)
            if empty.any():
                name = targets[int(np.argmax(empty))].name
                raise ChargeError(
                    f"{name}: all its labels are in one fold; give other --folds or --group"
                )
            fitted = fit(inputs.take(rest), scaled[rest], settings, bar.update)
            found = fitted.predict(inputs.take(held_out))
            values[held_out], spread[held_out] = found.values, found.spread
            outside[held_out] = found.outside
            kinds.update(fitted.kinds)
            for name, gain in fitted.gains().items():
                gains[name] = gains.get(name, 0.0) + gain / len(numbers)
    predicted = Predicted(values, spread, outside)
    return OutOfFold(tuple(targets), labels, folds, predicted, gains, kinds)


def scaled_labels(labels: Floats, targets: Sequence[Target]) -> Floats:
    """Labels (n, t) on the scales on which they are learned."""
    columns = [target.to_scale(values) for target, values in zip(targets, labels.T, strict=True)]
    return np.stack(columns, axis=1)
