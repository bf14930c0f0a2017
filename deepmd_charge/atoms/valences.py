# SPDX-License-Identifier: LGPL-3.0-or-later
r"""Valence electrons of elements, from the electrons that densities hold.

The valences z solve :math:`\sum_e n_{fe} z_e = N_f` for all files f in the
least-squares sense, :math:`z = P N`. Potentials have whole numbers of valence
electrons, so that z stands for the next whole number p. Then
:math:`d_f = N_f - \sum_e n_{fe} p_e` is what the file misses, and z is off by
:math:`\sum_f P_{ef} d_f`. Small misses are errors of an integral, and leave no
doubt about whole numbers. Large ones may be charges: by them p may be wrong, at
most by :math:`\sum_f |P_{ef}| |d_f|`. Counts that all fit other whole numbers,
such as those of cells with one charge an atom, are not found out.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import TypeAlias

import numpy as np

from ..errors import ChargeError
from ..typing import Floats

__all__ = ["ATOM_TOLERANCE", "Facts", "fit", "settled"]

# Electrons by which a file may miss the common valences, for each atom and in
# all: superpositions and coarse grids miss by 1e-3 an atom, and another potential
# by 1 or more for each atom of its element.
ATOM_TOLERANCE = 1e-2
FILE_TOLERANCE = 0.5
# Electrons by which a file may miss whole valences for reasons other than a charge.
_ATOM_MISS, _FILE_MISS = 2e-3, 1e-2
# How far a valence may be from the number that it stands for.
_NEAR, _NEAR_FRACTION = 2e-2, 5e-4
# Valence that may be any number, for want of one that it can stand for.
_UNSETTLED = 0.5
# VASP's fractional hydrogens, such as H.75 and H1.25.
_FRACTIONAL = re.compile(r"H(\d?\.\d+)")

# Of a file: atoms of each element, electrons, and what a complaint calls it.
Facts: TypeAlias = tuple[Mapping[str, float], float, str]


def settled(name: str, valence: float) -> tuple[float, float]:
    """Valence of the potential that a fitted one stands for.

    Parameters
    ----------
    name : str
        Of the type.
    valence : float

    Returns
    -------
    value : float
        A whole number, or the fraction in the name of a fractional hydrogen;
        `valence` itself where it is not near to one.
    error : float
        How far it may be from the truth if nothing but `valence` is known.
    """
    fraction = _FRACTIONAL.fullmatch(name)
    value = float(fraction[1]) if fraction else float(round(valence))
    error = abs(valence - value)
    if value > 0 and error <= (_NEAR_FRACTION if fraction else _NEAR):
        return value, error
    return valence, _UNSETTLED


def fit(
    elements: Sequence[str],
    facts: Sequence[Facts],
    given: Mapping[str, float],
    tolerance: float = 0.0,
) -> tuple[dict[str, float], dict[str, float]]:
    """Find the valences of the elements that electron counts determine.

    An element is determined where its unit vector lies in the row space of the
    counts.

    Parameters
    ----------
    elements : list of str
    facts : list of tuple
        Of each file: dict of atoms of each element, electrons, and what a
        complaint calls it.
    given : dict of str to float
        Valences that are known from elsewhere.
    tolerance : float, optional
        Part of its electrons by which a file may miss the common valences, beyond what files of
        one kind do.

    Returns
    -------
    valence : dict of str to float
        Of given elements the given, else the fitted, as far as determined.
    error : dict of str to float
        Of the same elements: by how much the valence that it stands for
        (:func:`settled`) may be wrong, or may not hold for these files.

    Raises
    ------
    ChargeError
        If files miss the common valences by far.
    """
    given = {e: float(given[e]) for e in elements if e in given}
    if not facts or not elements:
        return given, dict.fromkeys(given, 0.0)
    counts = np.array([[row.get(element, 0) for element in elements] for row, _, _ in facts])
    electrons = np.array([n for _, n, _ in facts])
    inverse = np.linalg.pinv(counts)
    allowed = np.maximum(ATOM_TOLERANCE * counts.sum(axis=1), tolerance * electrons)
    _check_common(facts, electrons - counts @ (inverse @ electrons), allowed)
    # the others have to account for what those that are given leave
    free = np.array([e not in given for e in elements])
    inverse[free] = np.linalg.pinv(counts[:, free])
    solution = np.array([given.get(e, 0.0) for e in elements])
    solution[free] = inverse[free] @ (electrons - counts @ solution)
    is_known = ~free
    is_known[free] = np.isclose(np.diag(inverse[free] @ counts[:, free]), 1.0, rtol=0, atol=1e-8)

    valence = {
        e: float(z) for e, z, known in zip(elements, solution, is_known, strict=True) if known
    }
    meant = {e: settled(e, z) for e, z in valence.items()}
    values = [meant[e][0] if e in meant else z for e, z in zip(elements, solution, strict=True)]
    doubts = _doubts(elements, counts, electrons - counts @ values, inverse)
    # one that is no whole number says that the electrons are not those of neutral cells
    is_settled = all(error < _UNSETTLED for e, (_, error) in meant.items() if e not in given)
    error = {}
    for element, (value, _) in meant.items():
        doubt, is_small = doubts[element]
        if element not in given and not is_settled:
            doubt = max(doubt, _UNSETTLED)
        elif is_small and (element in given or (value.is_integer() and doubt <= _NEAR)):
            doubt = 0.0
        error[element] = doubt
    return valence, error


def _doubts(
    elements: Sequence[str], counts: Floats, missed: Floats, inverse: Floats
) -> dict[str, tuple[float, bool]]:
    """Change of each valence by what files miss; whether each of these misses that little."""
    weight, missed = np.abs(inverse), np.abs(missed)
    allowed = np.minimum(FILE_TOLERANCE, _FILE_MISS + _ATOM_MISS * counts.sum(axis=1))
    is_small = ~((weight > 1e-12) & (missed > allowed)).any(axis=1)
    doubts = zip((weight @ missed).tolist(), is_small.tolist(), strict=True)
    return dict(zip(elements, doubts, strict=True))


def _check_common(facts: Sequence[Facts], excess: Floats, allowed: Floats) -> None:
    """Raise ChargeError where files miss the common valences by far."""
    if (np.abs(excess) > np.maximum(FILE_TOLERANCE, allowed)).any():
        low, high = (
            f"{facts[i][2]} ({facts[i][1]:.6g} electrons)"
            for i in (int(excess.argmin()), int(excess.argmax()))
        )
        raise ChargeError(
            f"training systems with different valences: {low} and {high} cannot come from the"
            " same potentials, or have other charges; train on files that agree in them"
        )
