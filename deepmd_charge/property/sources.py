# SPDX-License-Identifier: LGPL-3.0-or-later
"""Densities by name: read where a file holds them, superposed where it holds structures."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from fnmatch import fnmatchcase
from typing import TYPE_CHECKING, Any

import numpy as np

from ..atoms.sound import check_apart, check_sites
from ..errors import ChargeError, ElectronCountWarning
from ..grid.density import Density
from ..io.density_files import iterate_densities
from ..io.formats import FORMATS
from ..io.frames import split_frames
from ..io.structures import iterate_structures
from ..typing import PathLike
from .superposed import superposed

if TYPE_CHECKING:
    from ase import Atoms

# Nearer than any two nuclei are, A.
_NEAREST = 0.3
# Of superpositions, A: fine enough for free atoms with d electrons.
SPACING = 0.15
_COMPRESSIONS = (".GZ", ".XZ", ".BZ2", ".ZST", ".ZIP", ".Z", ".LZ4", ".7Z")

__all__ = ["density_of", "is_density", "iterate_parts", "iterate_sources"]


def iterate_sources(
    names: Iterable[PathLike], spacing: float = SPACING, **options: Any
) -> Iterator[tuple[str, Density]]:
    """Read densities, one at a time.

    Parameters
    ----------
    names : iterable of str
        Density files, and structures in any file that ase reads, whose atoms are superposed.
        Of a file with several frames all come, or those of ``file@3``, ``file@::10``.
    spacing : float
        Largest distance of the grid points of superpositions, A.
    **options
        ``format`` and ``species``, ``pbc``, ``unit`` and ``holds`` of
        :func:`deepmd_charge.read_density`.

    Yields
    ------
    name : str
        The file, and ``@frame`` where it has several.
    density : Density

    Raises
    ------
    ChargeError
        If a file cannot be read, is no density or structure, or has an element that the table
        of atomic densities does not know.
    """
    for name in names:
        for part, atoms in iterate_parts(name, **options):
            yield from density_of(part, atoms, spacing, **options)


def is_density(name: PathLike, format: str | None = None) -> bool:
    """Whether a file is read as a density: by a format that is given, or by its name.

    Names of potentials and of compressions that cannot be read count: ase would find atoms in
    some of these files, which nobody asked for.
    """
    file = os.path.basename(os.path.normpath(split_frames(name)[0])).upper()
    stem, suffix = os.path.splitext(file)
    bare = stem if suffix in _COMPRESSIONS else file
    patterns = (pattern for entry in FORMATS.values() for pattern in entry.patterns)
    return format is not None or any(fnmatchcase(bare, pattern) for pattern in patterns)


def iterate_parts(
    name: PathLike,
    format: str | None = None,
    species: Sequence[str] | None = None,
    **options: Any,
) -> Iterator[tuple[str, Atoms | None]]:
    """Iterate over what can be worked on apart: a density file, or each structure of another.

    Yields
    ------
    name : str
        The density file as it was given, or ``file@frame``.
    atoms : ase.Atoms or None
        The structure; None for a density file.

    Raises
    ------
    ChargeError
        If a structure cannot be read.
    """
    if is_density(name, format):
        yield str(name), None
        return
    file, frames = split_frames(name)
    for number, atoms, _ in iterate_structures(file, frames, species):
        yield (str(name) if number is None else f"{file}@{number}"), atoms


def density_of(
    name: str, atoms: Atoms | None, spacing: float = SPACING, **options: Any
) -> Iterator[tuple[str, Density]]:
    """Read or superpose one part that :func:`iterate_parts` gave; see :func:`iterate_sources`."""
    if atoms is None:
        with warnings.catch_warnings():
            # predicted densities are not whole, and that is no matter here
            warnings.simplefilter("ignore", ElectronCountWarning)
            yield from iterate_densities(name, **options)
        return
    try:
        density = superposed(atoms, spacing)  # says what is wrong with the cell
        _check_structure(atoms)
        yield name, density
    except ChargeError as error:
        raise ChargeError(f"{name}: {error}") from None


def _check_structure(atoms: Atoms) -> None:
    """Refuse what no crystal is: sites that atoms share, and atoms at one place."""
    check_sites(atoms)
    if not np.isfinite(atoms.positions).all():
        raise ChargeError("has positions that are no numbers; write it anew")
    everywhere = atoms.copy()
    everywhere.pbc = True
    check_apart(everywhere, _NEAREST)


def check_periodic(name: str, density: Density) -> None:
    """Warn where averages over the cell depend on how large it was chosen."""
    if not density.atoms.pbc.all():
        axes = " and ".join("abc"[k] for k in np.flatnonzero(~density.atoms.pbc))
        warnings.warn(
            f"{name}: is not periodic along {axes}: averages over its cell depend on how much"
            " vacuum there is",
            stacklevel=2,
        )
