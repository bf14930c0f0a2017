# SPDX-License-Identifier: LGPL-3.0-or-later
r"""The density of one free atom, by its form factor, and superpositions of it.

The form factor is the spherical Fourier transform of the density,

.. math::
    F(q) = \int_0^\infty 4 \pi r^2 \rho(r) \frac{\sin q r}{q r} \, dr,
    \qquad F(0) = \text{electrons}.

A plane-wave code superposes atoms in reciprocal space, for the vectors G of its
density grid within a sphere, :math:`|G|^2 \le E_{cut}`:

.. math::
    \rho(\mathbf r) = \frac1V \sum_{|G| \le G_c} \sum_z F_z(|G|)
    \sum_{j \in z} e^{i \mathbf G \cdot (\mathbf r - \mathbf R_j)} .
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ..grid.grid import Grid
from ..typing import Floats
from ..units import BOHR

if TYPE_CHECKING:
    from ase import Atoms

# Step (1/A) of splines of form factors. Those of densities that end at 10 bohr
# wiggle no faster than sin(5.3 q): the spline is good to 1e-8 of the electrons.
_STEP = 0.01
# A wave exactly on the sphere is in it.
_ROUNDING = 1e-9

# From wave numbers (n,) in 1/A to electrons (n,).
FormFactor: TypeAlias = Callable[[Floats], Floats]


@dataclass(frozen=True)
class AtomicDensity:
    """A spherical density in reciprocal space.

    Attributes
    ----------
    element : str
    valence : float
        Electrons of the neutral pseudo-atom, as the file states them.
    form_factor : callable
        From wave numbers (n,) in 1/A to electrons (n,), as the plane-wave code
        integrates it.
    q_max : float
        The largest wave number (1/A) that the form factor is known for.
    exact : callable, optional
        The form factor without the errors of the code's quadrature, where there
        is a difference.
    """

    element: str
    valence: float
    form_factor: FormFactor
    q_max: float = math.inf
    exact: FormFactor | None = None

    @property
    def resolved(self) -> FormFactor:
        """FormFactor: The exact form factor; the code's where there is no difference."""
        return self.exact or self.form_factor


def wave_number(ecut: float) -> float:
    """Convert a cutoff of ``|G|^2`` in Ry (1/bohr^2) to a wave number in 1/A."""
    return math.sqrt(ecut) / BOHR


def superpose(
    atoms: Atoms, grid: Grid, densities: Mapping[str, AtomicDensity], q_max: float
) -> Floats:
    """Sum atomic densities in reciprocal space, exactly as a plane-wave code does.

    Where the grid is coarser than the sphere of waves the values at its points
    are still those of the whole sum.

    Parameters
    ----------
    atoms : ase.Atoms
        Structure, periodic in all directions.
    grid : Grid
        Of its cell.
    densities : dict of str to AtomicDensity
        For every element of the structure.
    q_max : float
        Radius of the sphere of waves, 1/A.

    Returns
    -------
    np.ndarray, shape (nx, ny, nz)
        e/A^3.
    """
    cell, shape = grid.cell, grid.shape
    reciprocal = 2.0 * np.pi * np.linalg.inv(cell).T
    # an integer vector m of the sphere has |m_k| = |G . a_k| / 2 pi
    most = np.floor(q_max * np.linalg.norm(cell, axis=1) / (2.0 * np.pi)).astype(int)
    mx, my, mz = (np.arange(-n, n + 1) for n in most)
    fractions = np.linalg.solve(cell.T, (atoms.positions - grid.origin).T).T
    phases = [
        np.exp(-2j * np.pi * np.outer(fractions[:, k], m)) for k, m in enumerate((mx, my, mz))
    ]
    symbols = np.array(atoms.get_chemical_symbols())
    factors = {e: _spline(densities[e].form_factor, q_max) for e in dict.fromkeys(symbols)}
    plane = my[:, None, None] * reciprocal[1] + mz[:, None] * reciprocal[2]
    iy, iz = np.meshgrid(my % shape[1], mz % shape[2], indexing="ij")
    waves = np.zeros(shape, dtype=complex)
    for x, m in enumerate(mx):
        q = np.linalg.norm(plane + m * reciprocal[0], axis=-1)
        inside = q <= q_max * (1.0 + _ROUNDING)
        total = np.zeros(inside.sum(), dtype=complex)
        for element, factor in factors.items():
            px, py, pz = (p[symbols == element] for p in phases)
            structure = (px[:, x, None] * py).T @ pz
            total += factor(q[inside]) * structure[inside]
        np.add.at(waves[m % shape[0]], (iy[inside], iz[inside]), total)
    return np.fft.ifftn(waves, norm="forward").real / grid.volume


def _spline(form_factor: FormFactor, q_max: float) -> FormFactor:
    """A form factor as a spline: its error is far below that of any file's digits."""
    from scipy.interpolate import CubicSpline

    q = np.linspace(0.0, q_max, max(16, math.ceil(q_max / _STEP)))
    return CubicSpline(q, form_factor(q), bc_type=((1, 0.0), "not-a-knot"))
