# SPDX-License-Identifier: LGPL-3.0-or-later
"""What the engine needs of a family of models: see :class:`Family`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import TypeAlias

import numpy as np

from ..atoms.images import Images
from ..model.spec import ModelSpec
from ..model.weights import Weights
from ..typing import Floats

__all__ = ["Family", "Function", "Unsupported"]

# Values (n,) at wrapped points (n, 3), A, around the atoms of images.
Function: TypeAlias = Callable[[Images, Floats], Floats]


class Unsupported(Exception):
    """There is no engine for the model; the message tells why."""


class Family(ABC):
    """What a model of one family has learnt, ready to be compiled.

    Parameters
    ----------
    spec : ModelSpec
    weights : Weights

    Raises
    ------
    Unsupported
        If there is no program for its settings.
    """

    def __init__(self, spec: ModelSpec, weights: Weights) -> None:
        self.spec, self.weights = spec, weights

    @property
    def dtypes(self) -> set[str]:
        """The precisions of its parts."""
        return {self.spec.descriptor.dtype}

    @abstractmethod
    def compile(self, real: str) -> Function:
        """Make the program, in the precision "float32" or "float64".

        Raises
        ------
        Unsupported
            If the program cannot be as precise as that.
        """

    def value(self, name: str) -> Floats:
        """One of the weights, in float64."""
        return np.asarray(self.weights[name], np.float64)
