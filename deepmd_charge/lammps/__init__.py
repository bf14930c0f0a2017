# SPDX-License-Identifier: LGPL-3.0-or-later
"""Densities from LAMMPS.

A model is, for LAMMPS, an ordinary DeePMD potential in which the energy of an
atom of type X is the density at its place, in e/A^3.
"""

from .average import Average
from .driven import run_script
from .dump import average_dump
from .static import read_run, write_run

__all__ = ["Average", "average_dump", "read_run", "run_script", "write_run"]
