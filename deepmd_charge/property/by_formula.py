# SPDX-License-Identifier: LGPL-3.0-or-later
"""Young's modulus, Poisson's ratio and Debye temperature, learned and by their formulas.

The formulas (:mod:`.moduli`) take the predicted K and G; scores of both ways are compared on the
same samples.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from .inputs import Facts
from .moduli import DERIVED, derived
from .scores import Difference, Scores, bootstrap_difference, score
from .tables import Labels
from .validation import OutOfFold

__all__ = ["ByFormula", "compare_formulas"]


@dataclass(frozen=True)
class ByFormula:
    """A property by its formula from the predicted K and G.

    Attributes
    ----------
    name, unit : str
    scores : Scores
    r2, mae : Difference or None
        Score by formula minus score by learning; None where it was not learned.
    """

    name: str
    unit: str
    scores: Scores
    r2: Difference | None = None
    mae: Difference | None = None

    @property
    def is_better(self) -> bool | None:
        """Whether the formula beats learning by more than the doubt; None within it."""
        if self.r2 is None or not self.r2.is_clear:
            return None
        return self.r2.value > 0.0

    def to_json(self) -> dict[str, Any]:
        """As a dictionary."""
        found: dict[str, Any] = {**self.scores.to_json(), "unit": self.unit}
        if self.r2 is not None and self.mae is not None:
            found["r2_minus_learned"] = self.r2.to_json()
            found["mae_minus_learned"] = self.mae.to_json()
        return found


def compare_formulas(
    found: OutOfFold, labels: Labels, facts: Facts, groups: Sequence[str] | None = None
) -> list[ByFormula]:
    """Make what follows from K and G by formula, and compare it with what was learned.

    Parameters
    ----------
    found : OutOfFold
        Predictions; without K and G among them nothing follows.
    labels : Labels
        Also of properties that were not learned.
    facts : Facts
        With the mass densities, for Debye temperatures.
    groups : sequence of str, optional
        Of samples, for the bootstrap.

    Returns
    -------
    list of ByFormula
        Of properties that have labels.
    """
    if not {"K", "G"} <= set(found.names):
        return []
    compared = []
    for name in DERIVED:
        if name not in labels.names:
            continue
        truth = labels.of(name)
        made = derived(
            name, found.values("K"), found.values("G"), facts.mass_density, facts.number_density
        )
        scores = score(truth, made)
        if scores.n < 2:
            continue
        unit = labels.units[labels.names.index(name)]
        differences: dict[str, Difference] = {}
        if name in found.names:
            learned = np.where(np.isfinite(made), found.values(name), np.nan)
            differences = {
                key: bootstrap_difference(truth, learned, made, key, groups)
                for key in ("r2", "mae")
            }
        compared.append(ByFormula(name, unit, scores, **differences))
    return compared
