# SPDX-License-Identifier: LGPL-3.0-or-later
"""Names of atom types beyond the elements, such as the sublattices Fe1 and Fe2.

A model tells atoms apart by the names of their types. Where one element plays
two parts, as in an antiferromagnet, the user names them; the names are an
array of the ``ase.Atoms``, so that slices, copies and supercells keep them.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

from ..errors import ChargeError
from ..typing import Floats, PathLike

if TYPE_CHECKING:
    from ase import Atoms

ARRAY = "species"
GRID_TYPE = "X"  # name of the pseudo-atoms that stand for grid points
_NAME = re.compile(r"([A-Z][a-z]?)(?![a-z])\S*")
_LABEL = re.compile(r"[A-Za-z]+")
_PLACES = ("Bq", "Va")  # labels of ghosts and vacancies
_SPINS = ("up", "dn", "dw", "down")


def species_of(atoms: Atoms) -> list[str]:
    """Names of the types of atoms.

    Parameters
    ----------
    atoms : ase.Atoms

    Returns
    -------
    list of str
        From ``atoms.arrays["species"]`` where there is one, else the elements.
    """
    if ARRAY in atoms.arrays:
        return [str(name) for name in atoms.arrays[ARRAY]]
    return atoms.get_chemical_symbols()


def element_of(name: str) -> str | None:
    """Element of a type: "Fe" of "Fe1"; None where it is no element's name."""
    from ase.data import atomic_numbers

    match = _NAME.fullmatch(name)
    return match[1] if match and atomic_numbers.get(match[1], 0) > 0 else None


def element_of_label(label: str) -> str | None:
    """Element that a program's label of an atom begins with.

    Parameters
    ----------
    label : str
        "26", "Fe", "FE", "Fe1", "Fe-up", "Fe_d", "Feup", "Oa1": a symbol, and behind it no
        letter, one, or the name of a spin.

    Returns
    -------
    str or None
        None where there is none, or "Cdn" may be cadmium or carbon.
    """
    from ase.data import atomic_numbers, chemical_symbols

    if label.isdecimal():
        number = int(label) if len(label) < 4 else 0
        return chemical_symbols[number] if 0 < number < len(chemical_symbols) else None
    match = _LABEL.match(label)
    letters = match[0].capitalize() if match else ""
    rests = {letters[:n]: letters[n:] for n in (1, 2)}
    found = [
        symbol
        for symbol, rest in rests.items()
        if atomic_numbers.get(symbol, 0) > 0 and (len(rest) < 2 or rest in _SPINS)
    ]
    if not found or letters in _PLACES or (len(found) == 2 and rests[found[0]] in _SPINS):
        return None
    return found[-1]


def types_of_labels(labels: Sequence[str]) -> list[str] | None:
    """Names of atom types that the labels of a structure's atoms make.

    Where labels tell atoms of one element apart, as those of the sublattices of an
    antiferromagnet, they are names of types. Where they are equal they are another way to
    write the element, and where they number three atoms or more, a way to count them.

    Parameters
    ----------
    labels : sequence of str
        As for :func:`element_of_label`; one that it does not know stands for itself.

    Returns
    -------
    list of str or None
        None where the elements are names enough.
    """
    elements = [element_of_label(label) or label for label in labels]
    names = list(map(_type_name, elements, labels))
    of_element = {
        element: [name for name, its in zip(names, elements, strict=True) if its == element]
        for element in set(elements)
    }
    apart = {element for element, its in of_element.items() if _are_types(its)}
    if not apart:
        return None
    return [name if its in apart else its for name, its in zip(names, elements, strict=True)]


def _are_types(names: list[str]) -> bool:
    distinct = set(names)
    is_count = len(distinct) == len(names) > 2 and all(name[-1].isdigit() for name in names)
    return len(distinct) > 1 and not is_count


def _type_name(element: str, label: str) -> str:
    """The label, or as much like it as a name of the element can be."""
    rest = "" if label.isdecimal() else label[len(element) :]
    return f"{element}_{rest}" if rest[:1].isalpha() else f"{element}{rest}"


def named_atoms(names: Sequence[str], positions: Floats, **options: Any) -> Atoms:
    """Make atoms whose types have names.

    Parameters
    ----------
    names : sequence of str
        Of the types, one for each atom.
    positions : np.ndarray
        (n, 3), A.
    **options : dict
        Of ``ase.Atoms``: the cell and the pbc.

    Returns
    -------
    ase.Atoms

    Raises
    ------
    ChargeError
        If a name does not begin with an element.
    """
    from ase import Atoms

    for name in dict.fromkeys(names):
        if element_of(name) is None:
            raise ChargeError(f"{name} names no element; call a type Fe, or Fe1, Fe2, ...")
    atoms = Atoms(list(map(element_of, names)), positions, **options)
    atoms.set_array(ARRAY, names, dtype="U32")
    return atoms


def name_species(
    path: PathLike,
    atoms: Atoms,
    names: Sequence[str] | None,
    counts: Sequence[int] | None = None,
) -> None:
    """Set the names of the types of atoms.

    Parameters
    ----------
    path : str
        File of the atoms, for complaints.
    atoms : ase.Atoms
        Changed in place.
    names : sequence of str, or None
        One for each group of atoms, or one for each atom, each beginning with
        its element. None leaves the atoms as they are.
    counts : sequence of int, optional
        Sizes of the groups, as in the header of a CHGCAR or POSCAR. By default
        the file tells none: like atoms that follow one another are a group.

    Raises
    ------
    ChargeError
        If the names do not match the groups or the elements.
    """
    if names is None:
        return
    symbols = atoms.get_chemical_symbols()
    remedy = "give one for each group, or for each atom"
    if counts is None:
        remedy = (
            "the file tells no groups but like atoms that follow one another:"
            " give one for each atom"
        )
        counts = [len(list(run)) for _, run in groupby(symbols)]
    each = list(names)
    if len(each) == len(counts):
        each = [name for name, count in zip(each, counts, strict=True) for _ in range(count)]
    if len(each) != len(atoms):
        raise ChargeError(
            f"{path}: {len(names)} names of species for {len(counts)} groups of atoms"
            f" ({len(atoms)} atoms); {remedy}"
        )
    for name, symbol in zip(each, symbols, strict=True):
        if element_of(name) != symbol:
            raise ChargeError(
                f"{path}: {name!r} is no name for atoms of {symbol};"
                f" call them {symbol}1, {symbol}2, ..."
            )
    atoms.set_array(ARRAY, each, dtype="U32")
