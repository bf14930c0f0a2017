# SPDX-License-Identifier: LGPL-3.0-or-later
r"""The PAW augmentation occupancies at the end of a CHGCAR.

After the grid VASP writes for each atom a heading ``augmentation occupancies``
with the atom's number and a count, and so many values, five to a line. They are
the one-centre occupancies of pairs of projector channels i <= j (in the order of
the POTCAR), coupled to angular momentum L:

.. math:: \rho_{ij,LM}, \qquad L = |l_i - l_j|, |l_i - l_j| + 2, \ldots,
          \min(l_i + l_j, L_{mix}), \quad M = -L \ldots L

with L_mix the LMAXMIX of the run. Only pairs with l_i = l_j have an L = 0 value;
it is the spherical part of the atom's density. A non-collinear run also writes their
imaginary parts, under headings that say so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import permutations, product

import numpy as np

from ..errors import ChargeError
from ..typing import Booleans, Floats, Integers

__all__ = [
    "HEADING", "augmentation_counts", "format_occupancies", "parse_occupancies",
    "spherical_entries",
]  # fmt: skip

_HEADING = "augmentation occupancies"
_IMAGINARY = " (imaginary part)"
HEADING = re.compile(
    rf"\s*{_HEADING}(?P<imaginary>{re.escape(_IMAGINARY)})?\D*"
    r"(?:(?P<atom>\d+)\s+(?P<count>\d+))?\s*"
)
_COLUMNS = 5
# LMAXMIX of VASP runs: 2 is the default, 4 and 6 are advised for d and f electrons.
_LMAXMIX = (2, 4, 6)
# Channels of one l that potentials have at most.
_MOST_CHANNELS = 3
# The share of the mean occupancies' squares that the L = 0 values of the right layout
# may leave, and how many times as much the next best must leave.
_REST = 0.5
_MARGIN = 1.5


def augmentation_counts(text: str) -> list[int]:
    """Occupancies of each atom, as the headings in the text after a block announce them."""
    headings = filter(None, map(HEADING.fullmatch, text.splitlines()))
    return [int(h["count"]) for h in headings if h["count"] and not h["imaginary"]]


def parse_occupancies(text: str) -> list[Floats]:
    """Read the occupancies of all atoms.

    Parameters
    ----------
    text : str
        What follows the first grid of a CHGCAR
        (``Density.extra["augmentation"][0]``); magnetic moments at its end and
        imaginary parts are left out.

    Returns
    -------
    list of np.ndarray
        For each atom; empty where there are none.

    Raises
    ------
    ChargeError
        If a heading is damaged, or values are missing.
    """
    occupancies = []
    for part in text.split(_HEADING)[1:]:
        heading, _, body = part.partition("\n")
        if heading.startswith(_IMAGINARY):
            continue
        try:
            count = int(heading[4:] or heading.split()[1])
            values = np.array(body.split()[:count], dtype=float)
        except (ValueError, IndexError):
            raise ChargeError(f"augmentation occupancies with heading {heading!r}") from None
        if len(values) < count:
            raise ChargeError(f"augmentation occupancies with {len(values)} values of {count}")
        occupancies.append(values)
    return occupancies


def format_occupancies(occupancies: Iterable[Floats]) -> str:
    """Write occupancies as VASP does.

    Parameters
    ----------
    occupancies : list of np.ndarray
        For each atom.

    Returns
    -------
    str
    """
    lines = []
    for number, values in enumerate(occupancies, start=1):
        lines.append(f"{_HEADING}{number:4d}{len(values):4d}")
        fields = [_fortran(x) for x in values]
        lines += ["".join(fields[k : k + _COLUMNS]) for k in range(0, len(fields), _COLUMNS)]
    return "".join(line + "\n" for line in lines)


def _fortran(x: float) -> str:
    """A number in Fortran's E15.7: a zero, a point and seven digits."""
    mantissa, exponent = f"{abs(x):.6E}".split("E")
    power = int(exponent) + 1 if x else 0
    if power < -99:  # what VASP may read without its E, others not
        mantissa, power = "0.000000", 0
    digits = mantissa.replace(".", "")
    sign = "-" if x < 0 else ""
    return f"{sign}0.{digits}E{power:+03d}".rjust(15)


def entries(channels: tuple[int, ...], lmaxmix: int) -> Integers:
    """L of every value for a sequence of channels.

    Parameters
    ----------
    channels : tuple of int
        l of each channel.
    lmaxmix : int

    Returns
    -------
    np.ndarray
    """
    found: list[int] = []
    for i, a in enumerate(channels):
        for b in channels[i:]:
            for total in range(abs(a - b), min(a + b, lmaxmix) + 1, 2):
                found += [total] * (2 * total + 1)
    return np.array(found)


def spherical_entries(samples: Floats) -> Booleans:
    """Find which values are those of L = 0 pairs.

    The count leaves few sequences of channels; the right one is that whose
    L = 0 values make up most of the mean: all others depend on directions.

    Parameters
    ----------
    samples : np.ndarray
        (atoms, count) occupancies of one element.

    Returns
    -------
    np.ndarray of bool, shape (count,)

    Raises
    ------
    ChargeError
        If no sequence, or more than one, explains the values.
    """
    mean = samples.mean(axis=0)
    weights = mean**2 / max(np.sum(mean**2), np.finfo(float).tiny)
    rest = {layout: 1.0 - weights[list(layout)].sum() for layout in _layouts(len(mean))}
    best = sorted(rest, key=lambda layout: rest[layout])
    if not best or rest[best[0]] > _REST:
        raise ChargeError(
            f"{len(mean)} occupancies an atom: it is not plain which of them are the spherical part"
        )
    if len(best) > 1 and rest[best[1]] < _MARGIN * rest[best[0]] + 1e-6:
        raise ChargeError(f"{len(mean)} occupancies an atom: two orders of projectors are possible")
    chosen = np.zeros(len(mean), dtype=bool)
    chosen[list(best[0])] = True
    return chosen


def _layouts(count: int) -> set[tuple[int, ...]]:
    """Sets of L = 0 positions of all sequences of channels with so many values."""
    found: set[tuple[int, ...]] = set()
    for numbers in product(range(_MOST_CHANNELS + 1), repeat=4):
        if not any(numbers):
            continue
        groups = [(l,) * n for l, n in enumerate(numbers) if n]
        for lmaxmix in _LMAXMIX:
            if len(entries(sum(groups, ()), lmaxmix)) != count:
                continue
            for order in permutations(groups):
                spherical = entries(sum(order, ()), lmaxmix) == 0
                found.add(tuple(np.flatnonzero(spherical).tolist()))
    return found
