# SPDX-License-Identifier: LGPL-3.0-or-later
"""VASP's POTCAR: the pseudo charge density of the free atom.

A POTCAR is one data set after another. Each has a header with ``VRHFIN =Si: ...``
and ``ZVAL = 4.000``, and then tables in reciprocal space with 1000 values each at
q = q_max (i - 1) / 1000 in 1/A. q_max is the number after the heading ``local
part``; the table of the density follows the heading ``atomic pseudo
charge-density`` and is in electrons, so that its first value is the valence.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

import numpy as np

from ..atoms.free_atoms import AtomicDensity
from ..errors import ChargeError
from ..io.text.reader import TextReader
from ..typing import Floats, PathLike

N_VALUES = 1000
# Electrons by which the table may miss ZVAL.
VALENCE_TOLERANCE = 0.01

# The tables of real ones end at 50 to 200 1/A, and their data sets have a few thousand lines.
_MOST_Q = 500.0
_MOST_LINES = 10**5

_END = "End of Dataset"
_LOCAL = re.compile(r"^[ \t]*local part\s*?\n\s*(\S+)", re.M)
_DENSITY = re.compile(r"^[ \t]*atomic pseudo charge-density\s*?\n", re.M)
_ZVAL = re.compile(r"\bZVAL\s*=\s*([\d.]+)")
_VRHFIN = re.compile(r"\bVRHFIN\s*=\s*([A-Z][a-z]?)\b")


def read_potcar(path: PathLike) -> dict[str, AtomicDensity]:
    """Read the atomic densities of all data sets of a POTCAR.

    Parameters
    ----------
    path : str or Path

    Returns
    -------
    dict of str to AtomicDensity
        By element.

    Raises
    ------
    ChargeError
        If the file is damaged, an element occurs twice with different tables,
        or a table does not hold ZVAL electrons.
    """
    found: dict[str, AtomicDensity] = {}
    tables: dict[str, Floats] = {}
    with TextReader(path) as reader:
        for number, part in enumerate(_sets(reader), start=1):
            density, table = _read_set(part, f"{path}, data set {number}")
            if not np.array_equal(tables.setdefault(density.element, table), table):
                raise ChargeError(
                    f"{path}: two different data sets of {density.element}; keep the one of the run"
                )
            found[density.element] = density
    if not found:
        raise ChargeError(f"{path}: no line {_END!r}; give a whole POTCAR")
    return found


def _sets(reader: TextReader) -> Iterator[str]:
    """The texts of the data sets that have an end."""
    lines: list[str] = []
    for line in iter(reader.line, None):
        if _END in line:
            yield "\n".join(lines) + "\n"
            lines = []
        elif len(lines) == _MOST_LINES:
            raise reader.error(f"{_MOST_LINES} lines and no {_END!r}: give a whole POTCAR")
        else:
            lines.append(line)


def _read_set(text: str, where: str) -> tuple[AtomicDensity, Floats]:
    element, *numbers = (
        _found(pattern, text, what, where)
        for pattern, what in ((_VRHFIN, "VRHFIN"), (_ZVAL, "ZVAL"), (_LOCAL, "local part"))
    )
    try:
        valence, q_max = map(float, numbers)
    except ValueError:
        raise ChargeError(f"{where}: ZVAL or the number after 'local part' is no number") from None
    heading = _DENSITY.search(text)
    if heading is None:
        raise ChargeError(f"{where}: no table 'atomic pseudo charge-density'")
    words = text[heading.end() :].split(maxsplit=N_VALUES)[:N_VALUES]
    try:
        table = np.array(words, dtype=float)
    except ValueError as error:
        reason = str(error)[:80]
        raise ChargeError(f"{where}: in 'atomic pseudo charge-density': {reason}") from None
    if not 0 < q_max < _MOST_Q:
        raise ChargeError(f"{where}: the tables end at {q_max:g} 1/A ('local part'): copy it again")
    if len(table) < N_VALUES or not np.isfinite(table).all():
        raise ChargeError(
            f"{where}: 'atomic pseudo charge-density' has {len(table)} values of {N_VALUES}:"
            " truncated?"
        )
    if abs(table[0] - valence) > VALENCE_TOLERANCE:
        raise ChargeError(
            f"{where}: the atomic density of {element} holds {table[0]:.4f} electrons, ZVAL is"
            f" {valence:g}: is this a POTCAR of VASP 4.5 or later?"
        )
    return _density(element, valence, q_max, table), table


def _density(element: str, valence: float, q_max: float, table: Floats) -> AtomicDensity:
    from scipy.interpolate import CubicSpline

    q = np.arange(N_VALUES) * (q_max / N_VALUES)
    # F is an even function of q
    spline = CubicSpline(q, table, bc_type=((1, 0.0), "not-a-knot"))
    return AtomicDensity(element, valence, lambda w: spline(np.minimum(w, q[-1])), q_max=q[-1])


def _found(pattern: re.Pattern[str], text: str, what: str, where: str) -> str:
    match = pattern.search(text)
    if match is None:
        raise ChargeError(f"{where}: no {what}; give a whole POTCAR")
    return match[1]
