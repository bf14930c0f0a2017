# SPDX-License-Identifier: LGPL-3.0-or-later
r"""What follows from bulk modulus K, shear modulus G and the mass density of an isotropic solid.

.. math::

    E &= \frac{9 K G}{3 K + G}, \qquad \nu = \frac{3 K - 2 G}{2 (3 K + G)}

    v_l &= \sqrt{\frac{K + 4 G / 3}{\rho}}, \qquad v_t = \sqrt{\frac{G}{\rho}}, \qquad
    v_m = \Bigl[\tfrac{1}{3} \bigl(v_l^{-3} + 2 v_t^{-3}\bigr)\Bigr]^{-1/3}

    \theta_D &= \frac{h}{k_B} \Bigl(\frac{3 n}{4 \pi}\Bigr)^{1/3} v_m

with the mass density rho and the number density n of atoms (O. L. Anderson, J. Phys. Chem. Solids
24, 909 (1963)).
"""

from __future__ import annotations

import numpy as np

from ..typing import Floats

__all__ = [
    "DERIVED",
    "debye_temperature",
    "derived",
    "poisson_ratio",
    "sound_velocities",
    "young_modulus",
]

# Properties that follow from K and G, and from densities for the last.
DERIVED = ("E", "poisson", "debye")

_PLANCK = 6.62607015e-34  # J s
_BOLTZMANN = 1.380649e-23  # J/K


def young_modulus(bulk: Floats, shear: Floats) -> Floats:
    """Young's modulus, GPa.

    Parameters
    ----------
    bulk, shear : np.ndarray
        GPa.

    Returns
    -------
    np.ndarray
        NaN where both are zero.
    """
    with np.errstate(invalid="ignore", divide="ignore"):  # where both are zero
        return 9.0 * bulk * shear / (3.0 * bulk + shear)


def poisson_ratio(bulk: Floats, shear: Floats) -> Floats:
    """Poisson's ratio, without a unit.

    Parameters
    ----------
    bulk, shear : np.ndarray
        In one unit.

    Returns
    -------
    np.ndarray
        NaN where both are zero.
    """
    with np.errstate(invalid="ignore", divide="ignore"):
        return (3.0 * bulk - 2.0 * shear) / (2.0 * (3.0 * bulk + shear))


def sound_velocities(
    bulk: Floats, shear: Floats, mass_density: Floats
) -> tuple[Floats, Floats, Floats]:
    """Velocities of sound: longitudinal, transverse and their mean in Debye's model.

    Parameters
    ----------
    bulk, shear : np.ndarray
        GPa.
    mass_density : np.ndarray
        g/cm^3.

    Returns
    -------
    tuple of np.ndarray
        m/s; NaN where a modulus that they need is negative.
    """
    # GPa / (g/cm^3) = 1e6 m^2/s^2; moduli below zero have no velocity
    bulk, shear = (np.where(modulus >= 0.0, modulus, np.nan) for modulus in (bulk, shear))
    with np.errstate(invalid="ignore", divide="ignore"):
        longitudinal = 1e3 * np.sqrt((bulk + 4.0 * shear / 3.0) / mass_density)
        transverse = 1e3 * np.sqrt(shear / mass_density)
        mean = ((longitudinal**-3.0 + 2.0 * transverse**-3.0) / 3.0) ** (-1.0 / 3.0)
    return longitudinal, transverse, mean


def debye_temperature(
    bulk: Floats, shear: Floats, mass_density: Floats, number_density: Floats
) -> Floats:
    """Debye temperature, K.

    Parameters
    ----------
    bulk, shear : np.ndarray
        GPa.
    mass_density : np.ndarray
        g/cm^3.
    number_density : np.ndarray
        Atoms per A^3.

    Returns
    -------
    np.ndarray
        NaN where a modulus is negative.
    """
    mean = sound_velocities(bulk, shear, mass_density)[2]
    wave_number = np.cbrt(3.0 * number_density * 1e30 / (4.0 * np.pi))  # 1/m, without 2 pi
    return _PLANCK / _BOLTZMANN * wave_number * mean


def derived(
    name: str, bulk: Floats, shear: Floats, mass_density: Floats, number_density: Floats
) -> Floats:
    """One of the properties of `DERIVED` by its formula; parameters as above."""
    if name == "E":
        return young_modulus(bulk, shear)
    if name == "poisson":
        return poisson_ratio(bulk, shear)
    return debye_temperature(bulk, shear, mass_density, number_density)
