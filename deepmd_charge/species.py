# SPDX-License-Identifier: LGPL-3.0-or-later
"""Names of atom types beyond the elements, such as the sublattices Fe1 and Fe2.

A model tells atoms apart by the names of their types. Where one element plays
two parts, as in an antiferromagnet, the user names them; the names are an
array of the ``ase.Atoms``, so that slices, copies and supercells keep them.
"""

import re
from itertools import groupby

from .errors import ChargeError

ARRAY = "species"
_NAME = re.compile(r"([A-Z][a-z]?)(?![a-z])\S*")


def species_of(atoms):
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


def element_of(name):
    """Element of a type: "Fe" of "Fe1"; None where it is no element's name."""
    from ase.data import atomic_numbers

    match = _NAME.fullmatch(name)
    return match[1] if match and atomic_numbers.get(match[1], 0) > 0 else None


def named_atoms(names, positions, **options):
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


def name_species(path, atoms, names, counts=None):
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
        each = [name for name, count in zip(each, counts) for _ in range(count)]
    if len(each) != len(atoms):
        raise ChargeError(
            f"{path}: {len(names)} names of species for {len(counts)} groups of atoms"
            f" ({len(atoms)} atoms); {remedy}"
        )
    for name, symbol in zip(each, symbols):
        if element_of(name) != symbol:
            raise ChargeError(
                f"{path}: {name!r} is no name for atoms of {symbol}; call them {symbol}1, {symbol}2, ..."
            )
    atoms.set_array(ARRAY, each, dtype="U32")
