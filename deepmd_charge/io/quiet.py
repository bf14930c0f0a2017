# SPDX-License-Identifier: LGPL-3.0-or-later
"""Reading densities of which the electrons are no matter."""

__all__ = ["iterate_companions", "names_needed", "read_companion", "read_quietly"]


def read_quietly(path, format=None, species=None, **declared):
    """Read a density that need not integrate to a number of valence electrons.

    Few predictions and superpositions and no differences do, and where only the
    grid or the atoms of a file count, or it is looked at, the number does no harm.
    """
    from . import read_density

    return read_density(path, format, species, check=False, **declared)


def read_companion(path, species=None, format=None, **declared):
    """Read, quietly, what goes with a structure whose types have names.

    Such as a prediction, a superposition or a grid: its atoms may be in other
    groups, so that the names are taken only where it tells no elements itself.
    """
    return read_quietly(path, format, names_needed(path, species, format), **declared)


def iterate_companions(paths, species=None):
    """Read, quietly and one at a time, all densities of files that go with others.

    Yields
    ------
    name : str
        As of :func:`deepmd_charge.iterate_densities`.
    density : Density
    """
    from . import iterate_densities

    for path in paths:
        yield from iterate_densities(path, species=names_needed(path, species), check=False)


def names_needed(path, species, format=None):
    """The names of species, where a file does not tell its elements."""
    from .frames import split_frames
    from . import FORMATS, format_of
    from .chgcar import lacks_elements

    file, _ = split_frames(path)
    is_nameless = FORMATS[format_of(file, format)].module == "chgcar" and lacks_elements(file)
    return species if is_nameless else None
