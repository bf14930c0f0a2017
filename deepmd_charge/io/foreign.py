# SPDX-License-Identifier: LGPL-3.0-or-later
"""Files without a density on a grid that are taken for such: what they are, and what to do."""

from __future__ import annotations

import os
from fnmatch import fnmatchcase
from typing import Any, TypeAlias

from ..typing import PathLike

__all__ = ["Group", "explain_hdf5", "explain_name"]

Group: TypeAlias = Any  # of h5py, which has no hints

_PP = "write it on a grid by pp.x (plot_num = 0, output_format = 6 for a cube, 5 for an xsf)"
_VASP = "VASP writes the density to vaspwave.h5: set LCHARGH5 = .TRUE. (and LCHARG = .TRUE.)"

# Groups and datasets that only such a file has, what it is, and what to do; the first decides.
_HDF5 = (
    (
        ("rhotot_g",),
        "Quantum ESPRESSO's own charge density",
        f"call it charge-density.hdf5 again, beside its data-file-schema.xml, or {_PP}",
    ),
    (("evc", "MillerIndices"), "wave functions of Quantum ESPRESSO, no charge density", _PP),
    (("results/partial_charges",), "partial charge densities of VASP, not the total one", _VASP),
    (("intermediate",), "a vaspout.h5 without a charge density (charge/charge)", _VASP),
    (("results",), "a vaspout.h5 without a charge density (charge/charge)", _VASP),
    (("nucleus",), "orbitals of TREXIO, no density on a grid", "write a cube from them"),
    (("type.raw",), "a data set of DeePMD-kit", "name it under systems in input.json"),
)
_OF_RUN = "give its prefix.save folder, or the charge-density.dat in it"
_STRUCTURE = "a structure without a density: give the density file of its run"
_NAMES = {
    "DATA-FILE-SCHEMA.XML": f"the record of a run of Quantum ESPRESSO: {_OF_RUN}",
    "WFC*.DAT": f"wave functions of Quantum ESPRESSO, no charge density: {_OF_RUN}",
    "*POSCAR*": _STRUCTURE,
    "*CONTCAR*": _STRUCTURE,
    "*.CIF": _STRUCTURE,
    "*.VASP": _STRUCTURE,
    "*.PB": "a frozen model, no density: give it to -m",
    "WAVECAR*": "wave functions of VASP, no density: give the CHGCAR",
}


def explain_name(path: PathLike) -> str | None:
    """Say what a file or folder is by its name; None where that is not known."""
    name = os.path.basename(os.path.normpath(path)).upper()
    found = (what for pattern, what in _NAMES.items() if fnmatchcase(name, pattern))
    return next(found, None)


def explain_hdf5(file: Group) -> str:
    """Say what an HDF5 file without VASP's charge/charge is.

    Parameters
    ----------
    file : h5py.File

    Returns
    -------
    str
    """
    for names, what, remedy in _HDF5:
        if all(name in file for name in names):
            return f"{what}: {remedy}"
    held = ", ".join(list(file)[:8])[:80] or "nothing"
    if {"wave", "charge", "locpot", "kinetic_energy_density"} & set(file):
        return f"there is no charge/charge in this file, which holds {held}: {_VASP}"
    return f"an HDF5 file that holds {held}, not VASP's charge/charge: give a CHGCAR, cube or xsf"
