# SPDX-License-Identifier: LGPL-3.0-or-later
"""Whether densities are of the potentials that a model was trained on, by their electrons.

A density with 18 valence electrons of a transition metal is another field than one with 12, and
tells a model of the other nothing. The valences of the training densities are found as those of
the data for densities are (:mod:`deepmd_charge.atoms.valences`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from ..atoms.valences import fit
from ..errors import ChargeError
from ..typing import Floats
from .folds import parse_formula

__all__ = ["check_electrons", "common_valences"]

# Electrons by which a predicted or charged density may be off, in training and afterwards: of all,
# and at least.
_PART, _LEAST = 0.02, 0.5


def common_valences(
    files: Sequence[str], formulas: Sequence[str], electrons: Floats
) -> dict[str, float]:
    """Find the valence electrons of each element in training densities.

    Parameters
    ----------
    files, formulas : sequence of str
        (n).
    electrons : np.ndarray
        (n,) per atom; NaN where they are not known.

    Returns
    -------
    dict of str to float
        Of the elements that the densities determine.

    Raises
    ------
    ChargeError
        If the densities are of potentials with different valences.
    """
    facts = []
    for file, formula, each in zip(files, formulas, electrons, strict=True):
        counts = parse_formula(formula)
        if np.isfinite(each):
            facts.append((counts, float(each) * sum(counts.values()), file))
    elements = sorted({element for counts, _, _ in facts for element in counts})
    return fit(elements, facts, {}, _PART)[0]


def check_electrons(
    valences: Mapping[str, float],
    files: Sequence[str],
    formulas: Sequence[str],
    electrons: Floats,
) -> None:
    """Refuse densities of other potentials than those of the training.

    Parameters
    ----------
    valences : dict of str to float
        Of :func:`common_valences`; densities with other elements pass.
    files, formulas, electrons
        See there.

    Raises
    ------
    ChargeError
        If a density has other electrons than its atoms had in training.
    """
    for file, formula, each in zip(files, formulas, electrons, strict=True):
        counts = parse_formula(formula)
        if not np.isfinite(each) or not set(counts) <= set(valences):
            continue
        n = float(each) * sum(counts.values())
        expected = sum(count * valences[element] for element, count in counts.items())
        if abs(n - expected) > max(_LEAST, _PART * expected):
            raise ChargeError(
                f"{file}: has {n:.2f} electrons where the model's training had {expected:.2f}: give"
                " a density of the same valence electrons, or a structure if it was trained on"
                " structures"
            )
