# SPDX-License-Identifier: LGPL-3.0-or-later
"""Properties to be learned: in which unit, and on which scale."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import ChargeError
from ..typing import Floats
from .property_units import label_of
from .tables import Labels

__all__ = ["Target", "choose_targets"]

# Properties whose square root is learned unless it is said otherwise: they span decades, and
# their relative errors are smallest where they are large.
_ROOTED = ("K", "G", "E", "debye")

# To the scale on which a property is learned, and back.
_SCALES: dict[str, tuple[Callable[[Floats], Floats], Callable[[Floats], Floats]]] = {
    "linear": (lambda values: values, lambda values: values),
    "sqrt": (np.sqrt, lambda values: np.maximum(values, 0.0) ** 2),
    "log": (np.log, np.exp),
}


@dataclass(frozen=True)
class Target:
    """A property that is learned.

    Attributes
    ----------
    name, unit : str
    scale : str
        What is learned: the property itself ("linear"), its square root ("sqrt"), or its
        logarithm ("log").
    """

    name: str
    unit: str
    scale: str = "linear"

    @classmethod
    def usual(cls, name: str, unit: str, labels: Floats) -> Target:
        """A property on the scale that serves it as a rule, with labels (n,) of it."""
        is_rooted = name in _ROOTED and np.nanmin(labels) >= 0.0
        return cls(name, unit, "sqrt" if is_rooted else "linear")

    @property
    def label(self) -> str:
        """Name with unit."""
        return label_of(self.name, self.unit)

    def to_scale(self, values: Floats) -> Floats:
        """Values on the scale on which they are learned."""
        return _SCALES[self.scale][0](values)

    def from_scale(self, values: Floats) -> Floats:
        """Values in the unit of the property."""
        with np.errstate(over="ignore"):  # the end of an interval may be infinite
            return _SCALES[self.scale][1](values)


def choose_targets(
    labels: Labels, names: Sequence[str], logarithmic: Sequence[str] | None, n_folds: int
) -> tuple[Target, ...]:
    """Choose the scales of properties, and refuse those that nothing can be learned of.

    Parameters
    ----------
    labels : Labels
    names : sequence of str
        Of the properties.
    logarithmic : sequence of str or None
        Those whose logarithm is learned. By default the square root of K, G, E and debye is,
        where none is negative.
    n_folds : int
        Of cross-validation, for which there must be two labels each.

    Returns
    -------
    tuple of Target

    Raises
    ------
    ChargeError
        If a property has too few labels, or only one value, or a logarithm of no number is
        asked for.
    """
    path = labels.table.path
    unknown = sorted(set(logarithmic or ()) - set(names))
    if unknown:
        raise ChargeError(f"--log {unknown[0]}: is none of --targets")
    found = []
    for name in names:
        values = labels.of(name)
        known = values[np.isfinite(values)]
        if len(known) == 0:
            raise ChargeError(f"{path}: {name} has no label in any row; leave it out of --targets")
        if len(known) < 2 * n_folds:
            raise ChargeError(
                f"{path}: {name} has {len(known)} labels, too few for {n_folds} folds; give at"
                f" least {2 * n_folds}, or fewer --folds"
            )
        if known.min() == known.max():
            raise ChargeError(
                f"{path}: every label of {name} is {known[0]:g}; there is nothing to learn"
            )
        if logarithmic is not None and name in logarithmic and known.min() <= 0.0:
            line = labels.table.lines[int(np.nanargmin(values))]
            raise ChargeError(
                f"{path}:{line}: {name} is {known.min():g}, which has no logarithm; leave it out"
                " of --log"
            )
        unit = labels.units[labels.names.index(name)]
        if logarithmic is None:
            found.append(Target.usual(name, unit, known))
        else:
            found.append(Target(name, unit, "log" if name in logarithmic else "linear"))
    return tuple(found)
