# SPDX-License-Identifier: LGPL-3.0-or-later
"""Predictions beside labels, as they are scored and drawn."""

from __future__ import annotations

from dataclasses import dataclass

from ..typing import Floats
from .scores import Scores, score
from .targets import Target

__all__ = ["Panel"]


@dataclass(frozen=True)
class Panel:
    """A property of samples.

    Attributes
    ----------
    target : Target
    labels, predicted : np.ndarray
        (n,) in its unit; NaN where a label is not known.
    lower, upper : np.ndarray or None
        (n,) ends of intervals.
    """

    target: Target
    labels: Floats
    predicted: Floats
    lower: Floats | None = None
    upper: Floats | None = None

    @property
    def scores(self) -> Scores:
        """Scores of the predictions."""
        return score(self.labels, self.predicted)
