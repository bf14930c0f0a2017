# SPDX-License-Identifier: LGPL-3.0-or-later
"""Units that files are written in by mistake, told by their number of electrons.

Known ones are values in e/A^3 where a format has e/bohr^3 (6.748 times the electrons), density
times volume (the volume in bohr^3 times the electrons), and lengths in A where the format has
bohr (0.148 times the electrons).
"""

from __future__ import annotations

from itertools import product
from typing import NamedTuple

import numpy as np

from ...grid.density import Density
from ..formats import FORMATS
from .declared import LENGTHS, VALUES, Declared
from .evidence import closest_pair

__all__ = ["Reading", "convert_units", "is_whole", "likely_reading", "units_of"]

WHOLE = 5e-3  # electrons from a whole number
NEARLY = 0.05  # where the count as it stands is impossible
NUCLEI = 1.001  # of the sum of atomic numbers, at most
CLOSEST = 0.6  # of the sum of two covalent radii
ODD = 0.5  # of the logarithm of that

_NAMELESS = ("e", "A")  # of a density that is of no format


class Reading(NamedTuple):
    """A pair of units, and what a file would hold if it were written in them."""

    values: str
    length: str
    electrons: float
    closest: float  # distance of two atoms, as a multiple of the sum of their covalent radii


def is_whole(electrons: float, tolerance: float = WHOLE) -> bool:
    """Whether a number of electrons is one."""
    return abs(electrons - round(electrons)) <= tolerance


def units_of(density: Density, declared: Declared) -> tuple[str, str]:
    """Units of values and lengths that a file was read in."""
    entry = FORMATS.get(density.format)
    values, length = density.extra.get("units") or (entry.units if entry else _NAMELESS)
    return declared.values or values, declared.length or length


def likely_reading(density: Density, declared: Declared, electrons: float) -> Reading | None:
    """The units that a file is written in, where others than the format's explain its count.

    Parameters
    ----------
    density : Density
        ``extra["units"]`` tells in which units it was read, where these are not the format's.
    declared : Declared
        Units that are not in question.
    electrons : float
        Its integral.

    Returns
    -------
    Reading or None
        None where the present reading is a good one, or no other is better.
    """
    now = units_of(density, declared)
    entry = FORMATS.get(density.format)
    lengths = LENGTHS if entry and entry.has_units else now[1:]
    closest = closest_pair(density.atoms)[0]
    present, *others = [
        _reading(density, electrons, closest, now, units)
        for units in [now, *product(VALUES, lengths)]
        if declared.values in (None, units[0]) and declared.length in (None, units[1])
    ]
    if is_whole(present.electrons) and _can_be(present, density):
        return None
    is_possible = 0 < present.electrons <= density.atoms.numbers.sum() * NUCLEI
    tolerance = WHOLE if is_possible else NEARLY
    found = [
        other
        for other in others
        if other[:2] != now
        and is_whole(other.electrons, tolerance)
        and _can_be(other, density)
        and (other.length == now[1] or _oddity(other) <= _oddity(present))
    ]
    return min(found, key=lambda reading: _unlikeliness(reading, now), default=None)


def convert_units(density: Density, units: tuple[str, str]) -> None:
    """Take the numbers of a file for values and lengths in other units; changes the density."""
    now = density.extra["units"]
    length = LENGTHS[units[1]] / LENGTHS[now[1]]
    density.atoms.set_cell(density.atoms.cell.array * length)
    density.atoms.positions *= length
    density.origin = density.origin * length
    scale = _scale(units[0], density.volume) / _scale(now[0], density.volume / length**3)
    for values in (density.values, *density.extra.get("datasets", [])):
        values *= scale
    density.extra["units"] = units


def _reading(
    density: Density, electrons: float, closest: float, now: tuple[str, str], units: tuple[str, str]
) -> Reading:
    """What a density that was read in some units is in others."""
    length = LENGTHS[units[1]] / LENGTHS[now[1]]
    volume = density.volume * length**3
    raw = electrons / density.volume / _scale(now[0], density.volume)
    return Reading(*units, raw * _scale(units[0], volume) * volume, closest * length)


def _scale(values: str, volume: float) -> float:
    return VALUES[values] or 1.0 / volume


def _can_be(reading: Reading, density: Density) -> bool:
    """Whether so many electrons, at such distances, make these atoms."""
    atoms = density.atoms
    are_many = 0.5 * len(atoms) <= reading.electrons <= atoms.numbers.sum() * NUCLEI
    return are_many and reading.closest >= CLOSEST


def _unlikeliness(reading: Reading, now: tuple[str, str]) -> int:
    """How many mistakes a reading takes; bonds that are none count two."""
    mistakes = sum(one != other for one, other in zip(reading[:2], now, strict=True))
    return mistakes + 2 * (_oddity(reading) > ODD)


def _oddity(reading: Reading) -> float:
    """How far the shortest distance is from that of a bond."""
    return abs(np.log(max(reading.closest, 1e-9)))
