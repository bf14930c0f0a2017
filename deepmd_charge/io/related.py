# SPDX-License-Identifier: LGPL-3.0-or-later
"""Density files that belong to a structure: predictions, superpositions, grids.

Their atoms may be in other groups than those of the structure, so that names of species are
taken only where a file tells no elements itself; and what they integrate to is no matter.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from ..grid.density import Density
from ..typing import PathLike
from .chgcar import lacks_elements
from .density_files import iterate_densities, read_density
from .formats import FORMATS, format_of
from .frames import split_frames

__all__ = ["iterate_related", "names_needed", "read_related"]


def read_related(
    path: PathLike,
    species: Sequence[str] | None = None,
    format: str | None = None,
    *,
    pbc: Sequence[bool] | None = None,
    unit: str | Sequence[str] | None = None,
    holds: str | None = None,
) -> Density:
    """Read a density, unchecked; see :func:`deepmd_charge.read_density`."""
    names = names_needed(path, species, format)
    return read_density(path, format, names, check=False, pbc=pbc, unit=unit, holds=holds)


def iterate_related(
    paths: Iterable[PathLike], species: Sequence[str] | None = None
) -> Iterator[tuple[str, Density]]:
    """Read, unchecked and one at a time, all densities of files.

    Yields
    ------
    name : str
        As of :func:`deepmd_charge.iterate_densities`.
    density : Density
    """
    for path in paths:
        yield from iterate_densities(path, species=names_needed(path, species), check=False)


def names_needed(
    path: PathLike, species: Sequence[str] | None, format: str | None = None
) -> Sequence[str] | None:
    """The names of species, where a file does not tell its elements."""
    file, _ = split_frames(path)
    is_nameless = FORMATS[format_of(file, format)].is_vasp_text and lacks_elements(file)
    return species if is_nameless else None
