# SPDX-License-Identifier: LGPL-3.0-or-later
"""Reading densities of which the electrons are no matter."""

import warnings

from ..errors import ElectronCountWarning

__all__ = ["read_quietly"]


def read_quietly(path):
    """Read a density that need not hold a whole number of electrons.

    Few predictions and superpositions do, and where only the grid or the atoms
    of a file count, or it is looked at, the number does no harm.
    """
    from . import read_density

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ElectronCountWarning)
        return read_density(path)
