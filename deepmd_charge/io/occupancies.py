# SPDX-License-Identifier: LGPL-3.0-or-later
"""PAW augmentation occupancies for a predicted density, from real CHGCARs.

A density on a grid says nothing about the one-centre terms of the PAW method,
which VASP wants beside it to start from a charge density (ICHARG=1 and 11).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from ..atoms.compare import same_places
from ..errors import ChargeError
from ..grid.grid import CELL_TOLERANCE
from ..typing import Floats, Integers, PathLike
from .paw import format_occupancies, parse_occupancies, spherical_entries
from .related import read_related

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["MISSING", "occupancies"]

MISSING = "no PAW augmentation occupancies"  # in the first line of the file


def occupancies(
    atoms: Atoms, paths: Sequence[PathLike], species: Sequence[str] | None = None
) -> tuple[str, str]:
    """Make the text that VASP writes after the grid.

    Parameters
    ----------
    atoms : ase.Atoms
        The atoms of the file to be.
    paths : list of str
        CHGCARs, or vaspwave.h5. One of the same atoms in the same cell is copied, in the
        order of ``atoms``. Else each element gets the mean of the L = 0 values over all its atoms
        in the files, and zero for the others.
    species : list of str, optional
        Names of the types in files that tell no elements.

    Returns
    -------
    text : str
    how : str
        What was done, for a comment.

    Raises
    ------
    ChargeError
        If a file has no occupancies, an element is missing, or its occupancies
        are not of one kind.
    """
    files = [_read(path, species) for path in paths]
    if len(files) == 1:
        place = _same_places(atoms, files[0][0])
        if place is not None:
            copied = [files[0][1][k] for k in place]
            return format_occupancies(copied), f"augmentation occupancies of {paths[0]}"
    means = {}
    for element in dict.fromkeys(atoms.get_chemical_symbols()):
        samples = [
            values
            for theirs, all_values in files
            for symbol, values in zip(theirs.get_chemical_symbols(), all_values, strict=True)
            if symbol == element
        ]
        means[element] = _spherical_mean(element, samples, ", ".join(map(str, paths)))
    text = format_occupancies([means[symbol] for symbol in atoms.get_chemical_symbols()])
    return text, "augmentation occupancies: mean spherical part"


def _same_places(atoms: Atoms, theirs: Atoms) -> Integers | None:
    """Where the atoms stand in a file; None unless it is of these atoms in this cell."""
    cells = atoms.cell.array, theirs.cell.array
    # in a strained cell even atoms at the same fractions have other surroundings
    if not np.allclose(*cells, rtol=0, atol=CELL_TOLERANCE):
        return None
    return same_places(atoms, theirs)


def _spherical_mean(element: str, samples: list[Floats], where: str) -> Floats:
    if not samples:
        raise ChargeError(f"{where}: no {element}, whose augmentation occupancies are needed")
    if len({len(values) for values in samples}) > 1:
        raise ChargeError(
            f"{where}: different numbers of augmentation occupancies for {element}; take files that"
            " were made with one potential and one LMAXMIX"
        )
    table = np.array(samples)
    try:
        spherical = spherical_entries(table)
    except ChargeError as error:
        raise ChargeError(
            f"{where}: {element}: {error}; give a CHGCAR of these very atoms"
        ) from None
    return np.where(spherical, table.mean(axis=0), 0.0)


def _read(path: PathLike, species: Sequence[str] | None) -> tuple[Atoms, list[Floats]]:
    """Atoms of a file, and the occupancies of its total density."""
    density = read_related(path, species)
    texts = density.extra.get("augmentation") or [""]
    try:
        values = parse_occupancies(texts[0])
    except ChargeError as error:
        raise ChargeError(f"{path}: damaged: {error}") from None
    if len(values) != len(density.atoms):
        raise ChargeError(
            f"{path}: augmentation occupancies of {len(values)} atoms, of {len(density.atoms)};"
            " give a whole CHGCAR or vaspwave.h5 of a PAW run (CHG has none)"
        )
    return density.atoms, values
