# SPDX-License-Identifier: LGPL-3.0-or-later
r"""Features of a composition: the statistics of MAGPIE over tabulated properties of elements.

Of the values :math:`x_i` of a property for the elements of a compound with shares
:math:`f_i`, after Ward et al., npj Comput. Mater. 2, 16028 (2016):

.. math::
    \min_i x_i, \quad \max_i x_i, \quad \max - \min, \quad
    \bar x = \sum_i f_i x_i, \quad \sum_i f_i |x_i - \bar x|, \quad
    x \text{ of the largest } f_i .

Where several elements have the largest share, the last is the least of their values. The 22
properties are those of MAGPIE as matminer (BSD-3) distributes them.
"""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..errors import ChargeError
from ..typing import Floats
from .invariants.feature import Feature

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["COMPOSITION", "composition_features"]

_TABLE = Path(__file__).parent / "tables" / "magpie_elements.csv"
_STATISTICS = ("minimum", "maximum", "range", "mean", "deviation", "mode")


@cache
def _table() -> tuple[tuple[str, ...], dict[str, Floats]]:
    """Names of the properties, and their values of each element."""
    with _TABLE.open(newline="") as file:
        _, *names = next(rows := csv.reader(file))
        return tuple(names), {row[0]: np.array(row[1:], dtype=float) for row in rows}


COMPOSITION = tuple(
    Feature(f"{name}_{statistic}", "", f"{statistic} of {name} over the composition")
    for name in _table()[0]
    for statistic in _STATISTICS
)


def composition_features(atoms: Atoms) -> Floats:
    """The features of a composition.

    Parameters
    ----------
    atoms : ase.Atoms
        Only its elements count.

    Returns
    -------
    np.ndarray, shape (132,)
        In the order of ``COMPOSITION``; NaN where the table has no value of an element.

    Raises
    ------
    ChargeError
        If the table does not have an element, or there are no atoms.
    """
    table = _table()[1]
    symbols = atoms.get_chemical_symbols()
    elements = sorted(set(symbols))
    if unknown := [element for element in elements if element not in table]:
        raise ChargeError(
            f"{unknown[0]}: MAGPIE's table has no such element; leave the composition out"
        )
    if not elements:
        raise ChargeError("there are no atoms: a composition needs some")
    shares = np.array([symbols.count(element) for element in elements], dtype=float)
    shares /= shares.sum()
    x = np.array([table[element] for element in elements])  # (elements, properties)
    mean = shares @ x
    low, high = x.min(axis=0), x.max(axis=0)
    mode = x[shares == shares.max()].min(axis=0)
    statistics = [low, high, high - low, mean, shares @ np.abs(x - mean), mode]
    return np.stack(statistics, axis=-1).ravel()
