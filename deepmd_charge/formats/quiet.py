# SPDX-License-Identifier: LGPL-3.0-or-later
"""Reading densities of which the electrons are no matter."""

__all__ = ["read_quietly"]


def read_quietly(path, format=None):
    """Read a density that need not integrate to a number of valence electrons.

    Few predictions and superpositions and no differences do, and where only the
    grid or the atoms of a file count, or it is looked at, the number does no harm.
    """
    from . import read_density

    return read_density(path, format, check=False)
