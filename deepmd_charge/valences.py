# SPDX-License-Identifier: LGPL-3.0-or-later
r"""Valence electrons of elements, from the electrons that densities hold.

The valences z solve :math:`\sum_e n_{fe} z_e = N_f` for all files f in the
least-squares sense. Potentials have whole numbers of valence electrons, so that z
stands for the next whole number p. How far p is to be trusted is what the files
miss by, :math:`d_f = N_f - \sum_e n_{fe} p_e`, carried through the solution
:math:`z = P N` as :math:`\sum_f |P_{ef}| |d_f|`. Small misses are those of an
integral and leave no doubt about whole numbers; large ones may be charges, of
which the counts do not tell the number of neutral atoms.
"""

import re

import numpy as np

from .errors import ChargeError

__all__ = ["ATOM_TOLERANCE", "fit", "settled"]

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


def settled(name, valence):
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


def fit(elements, facts, given):
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
    fitted = inverse @ electrons
    n_atoms = counts.sum(axis=1)
    _check_common(facts, electrons - counts @ fitted, n_atoms)
    determined = np.isclose(np.diag(inverse @ counts), 1.0, rtol=0, atol=1e-8)

    valence, value, is_settled = {}, fitted.copy(), np.zeros(len(elements), dtype=bool)
    for k, element in enumerate(elements):
        if element in given or determined[k]:
            valence[element] = given.get(element, float(fitted[k]))
            value[k], error = settled(element, valence[element])
            is_settled[k] = error < _UNSETTLED
    missed = np.abs(electrons - counts @ value)
    error = np.abs(inverse) @ missed
    large = missed > np.minimum(FILE_TOLERANCE, _FILE_MISS + _ATOM_MISS * n_atoms)
    is_missed = (np.abs(inverse) > 1e-12) @ large
    for k, element in enumerate(elements):
        whole = is_settled[k] and value[k] == round(value[k]) and error[k] <= _NEAR
        if not is_missed[k] and (whole or element in given):
            error[k] = 0.0
        elif not is_settled[k] and element not in given:
            error[k] = max(error[k], _UNSETTLED)
    return valence, {e: float(x) for e, x in zip(elements, error) if e in valence}


def _check_common(facts, excess, n_atoms):
    """Raise ChargeError where files miss the common valences by far."""
    if (np.abs(excess) > np.maximum(FILE_TOLERANCE, ATOM_TOLERANCE * n_atoms)).any():
        low, high = (
            f"{facts[i][2]} ({facts[i][1]:.6g} electrons)"
            for i in (excess.argmin(), excess.argmax())
        )
        raise ChargeError(
            f"training systems with different valences: {low} and {high} cannot come from the"
            " same potentials; train on files that were made with one set of them"
        )
