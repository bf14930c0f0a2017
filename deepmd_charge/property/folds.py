# SPDX-License-Identifier: LGPL-3.0-or-later
"""Folds of cross-validation: at random, or with like samples in one fold."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..errors import ChargeError
from ..typing import Integers

__all__ = ["chemical_system", "make_folds", "parse_formula", "reduced_formula"]


def make_folds(
    n_samples: int, n_folds: int, seed: int = 0, groups: Sequence[str] | None = None
) -> Integers:
    """Deal samples out to folds, as scikit-learn's ``KFold(n_folds, shuffle=True)`` does.

    Parameters
    ----------
    n_samples : int
    n_folds : int
        At least 2.
    seed : int
        Of the shuffle.
    groups : sequence of str, optional
        Group of each sample. Then the groups, in alphabetical order, are dealt out in place of
        the samples, so that those of one group come into one fold.

    Returns
    -------
    np.ndarray
        (n_samples,) number of the fold in which each sample is predicted, from 0.

    Raises
    ------
    ChargeError
        If there are fewer samples, or groups, than folds.
    """
    from sklearn.model_selection import KFold

    if n_folds < 2:
        raise ChargeError(f"{n_folds} folds: give at least 2")
    if groups is None:
        names, members = np.empty(0), np.arange(n_samples)
        n_dealt, what = n_samples, "samples"
    else:
        names, members = np.unique(np.asarray(groups), return_inverse=True)
        n_dealt, what = len(names), "groups of samples"
    if n_dealt < n_folds:
        raise ChargeError(f"{n_dealt} {what} are too few for {n_folds} folds; give fewer folds")
    dealt = np.empty(n_dealt, dtype=np.int64)
    splits = KFold(n_folds, shuffle=True, random_state=seed).split(np.empty(n_dealt))
    for number, (_, held_out) in enumerate(splits):
        dealt[held_out] = number
    return dealt[members]


def reduced_formula(formula: str) -> str:
    """Formula in Hill's order, divided by the greatest common divisor: Fe4O6 -> Fe2O3."""
    from ase.formula import Formula

    parse_formula(formula)
    return str(Formula(formula).reduce()[0].convert("hill"))


def chemical_system(formula: str) -> str:
    """Elements of a formula in alphabetical order: Fe2O3 -> Fe-O."""
    return "-".join(sorted(parse_formula(formula)))


def parse_formula(formula: str) -> dict[str, int]:
    """Numbers of atoms in a formula, by their elements.

    Raises
    ------
    ChargeError
        If it is none.
    """
    from ase.data import atomic_numbers
    from ase.formula import Formula

    try:
        count = Formula(formula).count()
    except (ValueError, IndexError, KeyError):
        count = {}
    if not count or not set(count) <= set(atomic_numbers):
        raise ChargeError(f"{formula!r} is no chemical formula; write it like Fe2O3")
    return dict(count)
