# SPDX-License-Identifier: LGPL-3.0-or-later
"""Density files that belong to a structure: predictions, superpositions, grids.

Their atoms may be in other groups than those of the structure, so that names of species are
taken only where a file tells no elements itself; and what they integrate to is no matter.
"""

__all__ = ["iterate_related", "names_needed", "read_related"]


def read_related(path, species=None, format=None, **declared):
    """Read a density, unchecked; see :func:`deepmd_charge.read_density`."""
    from .density_files import read_density

    names = names_needed(path, species, format)
    return read_density(path, format, names, check=False, **declared)


def iterate_related(paths, species=None):
    """Read, unchecked and one at a time, all densities of files.

    Yields
    ------
    name : str
        As of :func:`deepmd_charge.iterate_densities`.
    density : Density
    """
    from .density_files import iterate_densities

    for path in paths:
        yield from iterate_densities(path, species=names_needed(path, species), check=False)


def names_needed(path, species, format=None):
    """The names of species, where a file does not tell its elements."""
    from .chgcar import lacks_elements
    from .formats import FORMATS, format_of
    from .frames import split_frames

    file, _ = split_frames(path)
    is_nameless = FORMATS[format_of(file, format)].is_vasp_text and lacks_elements(file)
    return species if is_nameless else None
