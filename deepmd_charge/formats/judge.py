# SPDX-License-Identifier: LGPL-3.0-or-later
"""Whether what a file holds can be the density of all valence electrons."""

import warnings

from ..errors import ChargeError, ElectronCountWarning

__all__ = ["check_total", "is_valence_density"]

# An integral this far (electrons) from a whole number earns a warning, one this
# far (as a fraction) above the sum of atomic numbers an error.
INTEGRAL_TOLERANCE = 0.01
NUCLEI_TOLERANCE = 1e-3


def is_valence_density(density):
    """Whether the integral of a density can be a number of valence electrons."""
    return _is_valence(density.n_electrons, density)


def check_total(density, path):
    """Refuse what cannot be the density of all valence electrons; wonder at odd counts.

    Parameters
    ----------
    density : Density
        As it was read. What its format holds by its name (LOCPOT) is not judged.
    path : str
        Its file, for complaints.

    Raises
    ------
    ChargeError
        If the file says that it holds something else, or by its integral.

    Warns
    -----
    ElectronCountWarning
        If the integral is not a whole number of electrons.
    """
    if ":" not in density.kind and not density.quantity.is_total:
        return
    if not density.quantity.is_total:
        raise ChargeError(
            f"{path}: holds {density.quantity.description}, not the total density: give that, or"
            f" say what is to be learnt by --is (holds=), --is total if it is that after all"
        )
    electrons = density.n_electrons
    if not _is_valence(electrons, density):
        raise ChargeError(
            f"{path}: not a charge density: it integrates to {electrons:.6g} electrons, where"
            f" {density.atoms.get_chemical_formula()} has between 0 and"
            f" {density.atoms.numbers.sum()}: give a CHGCAR (or take it unchecked)"
        )
    if abs(electrons - round(electrons)) > INTEGRAL_TOLERANCE:
        warnings.warn(
            f"{path}: the density integrates to {electrons:.6g} electrons, not a whole number",
            ElectronCountWarning,
            stacklevel=4,
        )


def _is_valence(electrons, density):
    protons = int(density.atoms.numbers.sum())
    return bool(0 < electrons <= protons * (1 + NUCLEI_TOLERANCE))
