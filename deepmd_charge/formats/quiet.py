# SPDX-License-Identifier: LGPL-3.0-or-later
"""Reading densities of which the electrons are no matter."""

__all__ = ["read_companion", "read_quietly"]


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
    from . import FORMATS, format_of
    from .chgcar import lacks_elements

    is_nameless = FORMATS[format_of(path, format)].module == "chgcar" and lacks_elements(path)
    return read_quietly(path, format, species if is_nameless else None, **declared)
