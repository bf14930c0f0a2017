# SPDX-License-Identifier: LGPL-3.0-or-later
"""What one diagonalisation at a density finds, against self-consistency.

Energies of a density that is off by d err in the second order of d, bands, forces and stress in
the first. Two energies can be had of one diagonalisation, that of Kohn and Sham at the density
that comes out, which is too high, and that of Harris and Foulkes at the one that went in.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import ChargeError
from ..typing import Booleans, Floats
from .result import Result

__all__ = ["ONE_STEP", "Spread", "Worth", "bands_apart"]

_MEV = 1000.0
_GPA = 160.2176634  # of an eV/A^3

# In the second iteration pw.x has the density given once more, for next to nothing of what came
# out is mixed to it; the energy of the first is, therefore, that of Harris and Foulkes. Of the
# last iteration, converged or not, pw.x keeps the density that came out: its energy, and forces
# with the correction of first order for the potential.
ONE_STEP: dict[str, str | None] = {
    "electron_maxstep": "2", "scf_must_converge": ".false.", "adaptive_thr": None,
    "mixing_mode": "'plain'", "mixing_beta": "1.0d-8", "mixing_ndim": None, "conv_thr": "1.0d-20",
    "diago_thr_init": "1.0d-8", "diago_full_acc": ".true.",
}  # fmt: skip


@dataclass(frozen=True)
class Spread:
    """Mean and largest of absolute deviations."""

    mae: float
    max: float

    @classmethod
    def of(cls, deviations: Floats, weights: Floats | None = None) -> Spread | None:
        """Of deviations of any shape; None where there are none."""
        if not deviations.size:
            return None
        absolute = np.abs(deviations)
        return cls(float(np.average(absolute, weights=weights)), float(absolute.max()))


@dataclass(frozen=True)
class Worth:
    """Deviations of one diagonalisation from self-consistency.

    Attributes
    ----------
    energy, harris_foulkes : float
        meV/atom, with sign.
    occupied, empty : Spread or None
        Of bands, meV: those that are more than half filled, and the lowest above them.
    gap : float or None
        meV, with sign; None for metals.
    forces : Spread or None
        Of components, meV/A.
    stress : Spread or None
        Of components, GPa.
    accuracy : float
        The scf accuracy that pw.x estimates for the density given, Ry.
    """

    energy: float
    harris_foulkes: float
    occupied: Spread | None
    empty: Spread | None
    gap: float | None
    forces: Spread | None
    stress: Spread | None
    accuracy: float

    @classmethod
    def of(cls, found: Result, converged: Result, exact: Result, n_empty: int) -> Worth:
        """Compare.

        Parameters
        ----------
        found : Result
            Of one diagonalisation with the settings ``ONE_STEP``.
        converged : Result
            The self-consistent one.
        exact : Result
            Of one diagonalisation at the self-consistent density, which tells the empty bands:
            self-consistency has none, or does not converge them.
        n_empty : int
            Empty bands that count at each k point.

        Returns
        -------
        Worth

        Raises
        ------
        ChargeError
            If the runs have different k points or bands.
        """
        if found.eigenvalues.shape != exact.eigenvalues.shape:
            raise ChargeError("one diagonalisation has other k points or bands than another")
        occupied = bands_apart(found, converged)[converged.occupied]
        weights = np.broadcast_to(converged.weights[:, None], converged.eigenvalues.shape)
        lowest = lowest_empty(exact, n_empty)
        over = np.broadcast_to(exact.weights[:, None], exact.eigenvalues.shape)
        per_atom = _MEV / converged.n_atoms
        gaps = found.gap, exact.gap
        return cls(
            per_atom * (found.energy - converged.energy),
            per_atom * (found.printed.energies[0] - converged.energy),
            Spread.of(_MEV * occupied, weights[converged.occupied]),
            Spread.of(_MEV * bands_apart(found, exact)[lowest], over[lowest]),
            None if gaps[0] is None or gaps[1] is None else _MEV * (gaps[0] - gaps[1]),
            _apart(found.forces, converged.forces, _MEV),
            _apart(found.stress, converged.stress, _GPA),
            found.printed.accuracies[0],
        )


def bands_apart(found: Result, reference: Result) -> Floats:
    """Differences of eigenvalues (n_spin, n_k, n_bands), eV, of the bands that both have.

    Raises
    ------
    ChargeError
        If the runs have different spins or k points.
    """
    one, two = found.eigenvalues, reference.eigenvalues
    if one.shape[:2] != two.shape[:2]:
        raise ChargeError("the bands of two runs have different k points")
    n_bands = min(one.shape[2], two.shape[2])
    return one[..., :n_bands] - two[..., :n_bands]


def lowest_empty(result: Result, count: int) -> Booleans:
    """Which bands (n_spin, n_k, n_bands) are the lowest of those less than half filled."""
    empty = ~result.occupied
    return empty & (np.cumsum(empty, axis=-1) <= count)


def _apart(found: Floats | None, reference: Floats | None, unit: float) -> Spread | None:
    if found is None or reference is None:
        return None
    return Spread.of(unit * (found - reference))
