# SPDX-License-Identifier: LGPL-3.0-or-later
"""Units of well-known properties, and what is converted to them.

====================  ==========  =================================================
property              unit        units that are converted
====================  ==========  =================================================
``K``, ``G``, ``E``   GPa         Pa, kPa, MPa, TPa, Mbar, kbar, bar, eV/A^3
``debye``             K
``e_form``            eV/atom     meV/atom, Ha/atom, Ry/atom, kJ/mol, kcal/mol (of atoms)
``poisson``           none
``density``           g/cm^3      kg/m^3, g/mL
====================  ==========  =================================================

All other properties keep the unit that they come with.
"""

from __future__ import annotations

import re

from ..errors import ChargeError

__all__ = ["KNOWN_UNITS", "factor_to_known", "label_of", "split_unit"]

_PRESSURES = {
    "GPa": 1.0,
    "Pa": 1e-9,
    "kPa": 1e-6,
    "MPa": 1e-3,
    "TPa": 1e3,
    "Mbar": 100.0,
    "kbar": 0.1,
    "bar": 1e-4,
    "eV/A^3": 160.2176634,
}
_ENERGIES = {
    "eV/atom": 1.0,
    "meV/atom": 1e-3,
    "Ha/atom": 27.211386245988,
    "Ry/atom": 13.605693122994,
    "kJ/mol": 1.0 / 96.48533212331,
    "kcal/mol": 4.184 / 96.48533212331,
}
_DENSITIES = {"g/cm^3": 1.0, "kg/m^3": 1e-3, "g/mL": 1.0}
# Of each property its unit, the first, and factors from others to it.
_FACTORS: dict[str, dict[str, float]] = {
    **dict.fromkeys(("K", "G", "E"), _PRESSURES),
    "debye": {"K": 1.0},
    "e_form": _ENERGIES,
    "poisson": {"": 1.0},
    "density": _DENSITIES,
}
_MEANT = {
    "K": "bulk modulus",
    "G": "shear modulus",
    "E": "Young's modulus",
    "debye": "Debye temperature",
    "e_form": "formation energy",
    "poisson": "Poisson's ratio",
    "density": "mass density",
}
KNOWN_UNITS = {name: next(iter(factors)) for name, factors in _FACTORS.items()}

_SPELLINGS = {"g/cm3": "g/cm^3", "g/cc": "g/cm^3", "kg/m3": "kg/m^3", "g/ml": "g/mL"}
_SPELLINGS |= {"eV/Å^3": "eV/A^3", "eV/A3": "eV/A^3", "eV": "eV/atom", "meV": "meV/atom"}
_SPELLINGS |= {"none": "", "1": "", "-": ""}
_HEADER = re.compile(r"(?P<name>.*?\S)\s*(?:\((?P<round>[^()]*)\)|\[(?P<square>[^\[\]]*)\])")


def split_unit(header: str) -> tuple[str, str | None]:
    """Part the head of a column, ``K (GPa)`` or ``K[GPa]``, into a name and a unit.

    Parameters
    ----------
    header : str

    Returns
    -------
    name : str
    unit : str or None
        None where there are no brackets.
    """
    found = _HEADER.fullmatch(header.strip())
    if found is None:
        return header.strip(), None
    unit = found["round"] if found["round"] is not None else found["square"]
    return found["name"], unit.strip()


def label_of(name: str, unit: str) -> str:
    """Head of a column: ``K (GPa)``, or the name alone where there is no unit."""
    return f"{name} ({unit})" if unit else name


def factor_to_known(name: str, unit: str | None) -> tuple[str, float]:
    """Unit of a property, and what values in the given unit are multiplied by for it.

    Parameters
    ----------
    name : str
        Of the property.
    unit : str or None
        As a table has it; None where it has none, which means the known one.

    Returns
    -------
    unit : str
    factor : float

    Raises
    ------
    ChargeError
        If the property is a known one that has no such unit.
    """
    factors = _FACTORS.get(name)
    if factors is None:
        return unit or "", 1.0
    known = KNOWN_UNITS[name]
    if unit is None:
        return known, 1.0
    spelled = _SPELLINGS.get(unit, unit)
    if spelled not in factors:
        allowed = ", ".join(filter(None, factors)) or "no unit"
        raise ChargeError(
            f"{name} in {unit or 'no unit'}: give it in {allowed}; what is no {_MEANT[name]} needs"
            " another name"
        )
    return known, factors[spelled]
