# SPDX-License-Identifier: LGPL-3.0-or-later
"""What is held out together to try a fit: see :func:`folds_of`."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np

from ...typing import Integers

__all__ = ["folds_of"]


def folds_of(elements: Sequence[Iterable[int]], n_folds: int) -> tuple[Integers, list[int]]:
    """Share groups among folds, those of the same elements evenly.

    Parameters
    ----------
    elements : sequence of iterable of int
        The elements that each group has: a structure, a system, or an atom.
    n_folds : int

    Returns
    -------
    folds : np.ndarray
        (groups,) the fold of each; `n_folds` of those that cannot be held out, for only they have
        an element, and fits of the others know nothing of it.
    alone : list of int
        These elements.
    """
    own = [{int(element) for element in those} for those in elements]
    folds = np.empty(len(own), dtype=int)
    folds[sorted(range(len(own)), key=lambda k: sorted(own[k]))] = np.arange(len(own)) % n_folds
    where: dict[int, set[int]] = {}
    for fold, those in zip(folds.tolist(), own, strict=True):
        for element in those:
            where.setdefault(element, set()).add(fold)
    alone = {element for element, its in where.items() if len(its) == 1}
    folds[[bool(those & alone) for those in own]] = n_folds
    return folds, sorted(alone)
