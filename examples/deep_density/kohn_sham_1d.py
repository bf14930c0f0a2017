# SPDX-License-Identifier: LGPL-3.0-or-later
"""Kohn-Sham equations of a periodic chain of atoms in one dimension.

    [-1/2 d^2/dx^2 + V(x)] psi_i = e_i psi_i,    rho(x) = sum_i f_i |psi_i(x)|^2
    V(k) = (4 pi / eps0) (rho - m)(k) / (k^2 + kappa^2),   V(0) = 0

in atomic units. m is a sum of Gaussian pseudo-charges, one an atom, whose width decides
between an insulator (narrow) and a metal (wide). There is no exchange and correlation, and
an orbital holds one electron (spin is left out). The orbitals are plane waves at several k,
filled by the Fermi-Dirac distribution. The potential is iterated by Anderson's method, each
change screened as electrons with the present gap would screen it.
"""

from dataclasses import dataclass, field

import numpy as np
from scipy.linalg import eigh
from scipy.optimize import brentq
from scipy.special import expit

EPS0 = 10.0
KAPPA = 0.01  # 1/bohr, inverse range of the interaction
TEMPERATURE = 100.0 * 3.166811563e-6  # Ha
LEAST_GAP = 1e-3  # Ha, smaller ones screen like none


@dataclass
class Chain:
    """Atoms in a periodic cell.

    Parameters
    ----------
    length : float
        Of the cell, bohr.
    positions, sigma, charge : np.ndarray
        (n,) positions of the atoms, bohr; widths, bohr, and electrons of their pseudo-charges.
    """

    length: float
    positions: np.ndarray
    sigma: np.ndarray
    charge: np.ndarray

    def pseudo_charge(self, k):
        """Fourier coefficients of m(x) = sum_k m(k) exp(i k x), electrons/bohr."""
        waves = np.exp(-0.5 * np.outer(k, self.sigma) ** 2 - 1j * np.outer(k, self.positions))
        return waves @ self.charge / self.length


@dataclass
class Solution:
    """Electrons in a potential.

    Attributes
    ----------
    density, potential : np.ndarray
        (n_points,) in electrons/bohr and Ha, at the points i length / n_points.
    levels : np.ndarray
        (n_k, n_bands) in Ha.
    fermi : float
        Ha.
    residuals : list of float
        Of each iteration: the density minus that which makes the potential, in relation
        to the density (L2).
    converged : bool
        Whether the last of them is below the tolerance.
    """

    density: np.ndarray
    potential: np.ndarray
    levels: np.ndarray
    fermi: float
    residuals: list = field(default_factory=list)
    converged: bool = False

    @property
    def gap(self):
        """Lowest level above the Fermi level minus the highest one below, Ha."""
        above = self.levels > self.fermi
        return self.levels[above].min() - self.levels[~above].max()


def solve(chain, n_points, n_k=1, k_max=None, tolerance=1e-9, max_iterations=200, depth=20):
    """Self-consistent density of a chain.

    Parameters
    ----------
    chain : Chain
    n_points : int
        Grid points of the cell.
    n_k : int
        Points of the k mesh, which is shifted by half a step: a cell repeated n times, with
        n_k / n points, is the same system.
    k_max : float, optional
        Largest wave number of the basis, 1/bohr; follows from the narrowest pseudo-charge.
    tolerance : float
        For the residual.
    max_iterations, depth : int
        Most iterations, and how many of them Anderson's method looks back to.

    Returns
    -------
    Solution
        Look at ``converged``.
    """
    if k_max is None:
        k_max = 1.3 + 5.0 / chain.sigma.min()
    waves = Waves(chain.length, n_points, n_k, k_max)
    n_electrons = chain.charge.sum()
    k = 2.0 * np.pi * np.fft.fftfreq(n_points, chain.length / n_points)
    pseudo = chain.pseudo_charge(k)
    mixer = Anderson(depth)
    v = np.zeros(n_points)
    residuals = []
    while True:
        solution = waves.fill(v, n_electrons)
        change = interaction(k) * (np.fft.fft(solution.density) / n_points - pseudo)
        change -= np.fft.fft(v) / n_points
        error = to_grid(change[1:] / interaction(k[1:]), n_points)
        residuals.append(np.linalg.norm(error) / np.linalg.norm(solution.density))
        if residuals[-1] < tolerance or len(residuals) == max_iterations:
            solution.residuals = residuals
            solution.converged = residuals[-1] < tolerance
            return solution
        screened = change[1:] * screening(k[1:], solution.gap, n_electrons / chain.length)
        v = mixer.next(v, to_grid(screened, n_points))


def interaction(k):
    """The potential of a unit of charge, Ha bohr; none for the mean."""
    return np.where(k == 0.0, 0.0, 4.0 * np.pi / EPS0 / (k**2 + KAPPA**2))


def screening(k, gap, density):
    """Share of a change of the potential that is left when the electrons have answered.

    1 / (1 + v(k) D F(|k| u / gap)): electrons of velocity u = pi rho, whose density of states
    is D = 1 / (pi u) without a gap, and F(z) = 1 - arsinh(z) / (z sqrt(1 + z^2)) of it with
    one. For a metal this is Kerker's preconditioner; for an insulator long waves are those in
    a dielectric.
    """
    velocity = np.pi * density
    z = np.abs(k) * velocity / max(gap, LEAST_GAP)
    response = (1.0 - np.arcsinh(z) / (z * np.sqrt(1.0 + z**2))) / (np.pi * velocity)
    return 1.0 / (1.0 + interaction(k) * response)


def to_grid(coefficients, n_points):
    """Values (n_points,) of a real function without a mean, of its Fourier coefficients."""
    return np.fft.ifft(np.concatenate([[0.0], coefficients])).real * n_points


class Waves:
    """Plane waves exp(i (k + G) x) of a cell, at the points of a k mesh, up to a wave number."""

    def __init__(self, length, n_points, n_k, k_max):
        self.length, self.n_points = length, n_points
        # k and -k have the same density: half of the mesh is enough
        half = np.arange((n_k + 1) // 2)
        self.weights = np.where(2 * half + 1 == n_k, 1.0, 2.0) / n_k
        self.unit = 2.0 * np.pi / length
        self.k = (half + 0.5) / n_k
        most = k_max / self.unit
        self.index = [np.arange(np.ceil(-most - k), most - k, dtype=int) for k in self.k]
        n_waves = max(map(len, self.index))
        if n_waves > n_points:
            raise ValueError(f"{n_points} grid points are too few for {n_waves} plane waves")

    def fill(self, potential, n_electrons):
        """Levels and density of so many electrons in a potential."""
        n_bands = min(round(1.1 * n_electrons) + 4, *map(len, self.index))
        v = np.fft.fft(potential) / self.n_points
        levels, squares = [], []
        for k, index in zip(self.k, self.index, strict=True):
            matrix = v[index[:, None] - index] + np.diag(0.5 * (self.unit * (k + index)) ** 2)
            e, c = eigh(matrix, subset_by_index=[0, n_bands - 1])
            padded = np.zeros((n_bands, self.n_points), complex)
            padded[:, index] = c.T
            orbitals = np.fft.ifft(padded) * self.n_points
            levels.append(e)
            squares.append(np.abs(orbitals) ** 2 / self.length)
        levels = np.array(levels)

        def filled(fermi):
            return self.weights[:, None] * expit((fermi - levels) / TEMPERATURE)

        fermi = brentq(
            lambda x: filled(x).sum() - n_electrons, levels.min() - 1.0, levels.max() + 1.0
        )
        density = np.einsum("kn,knx->x", filled(fermi), squares)
        return Solution(density, potential, levels, fermi)


class Anderson:
    """Anderson's mixing: the combination of earlier steps whose change is least."""

    def __init__(self, depth, share=0.7):
        self.depth, self.share = depth, share
        self.inputs, self.changes = [], []

    def next(self, x, change):
        """The input after one that would have changed by so much."""
        self.inputs = [*self.inputs, x][-self.depth - 1 :]
        self.changes = [*self.changes, change][-self.depth - 1 :]
        if len(self.inputs) > 1:
            dx, dr = np.diff(self.inputs, axis=0).T, np.diff(self.changes, axis=0).T
            part = np.linalg.lstsq(dr, change, rcond=1e-12)[0]
            x, change = x - dx @ part, change - dr @ part
        return x + self.share * change
