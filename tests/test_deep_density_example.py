# SPDX-License-Identifier: LGPL-3.0-or-later
"""examples/deep_density: its one-dimensional Kohn-Sham solver against other ways to the same."""

import sys
from pathlib import Path

import numpy as np
import pytest
from scipy.linalg import eigh

sys.path.insert(0, str(Path(__file__).parents[1] / "examples" / "deep_density"))
import kohn_sham_1d as ks

# widths of pseudo-charges: two insulators, a metal, and blocks of both
SYSTEMS = {
    "insulator-1": [1.0],
    "insulator-2": [2.0],
    "metal": [6.0],
    "mixed": 4 * [2.0] + 4 * [6.0],
}


pytestmark = pytest.mark.slow


def chain(n_atoms, sigma, seed=1, scale=0.5):
    """Atoms displaced at random, 10 bohr apart."""
    positions = 10.0 * np.arange(n_atoms)
    positions += np.random.default_rng(seed).normal(scale=scale, size=n_atoms)
    return ks.Chain(10.0 * n_atoms, positions, np.resize(sigma, n_atoms), np.full(n_atoms, 2.0))


def difference(a, b):
    """Relative L2."""
    return np.linalg.norm(a - b) / np.linalg.norm(b)


@pytest.mark.parametrize("n_k", [1, 2, 5])
def test_free_electrons(n_k):
    """Without a potential: parabolic levels, filled up to pi rho, and a constant density."""
    wide = ks.Chain(40.0, np.array([3.0]), np.array([1e3]), np.array([6.0]))
    found = ks.solve(wide, 80, n_k=n_k, k_max=2.0)
    assert found.converged
    np.testing.assert_allclose(found.density, 6.0 / 40.0, rtol=1e-10)
    mesh = (np.arange(n_k) + 0.5) / n_k
    exact = np.sort(0.5 * (2.0 * np.pi / 40.0 * np.add.outer(np.arange(-9, 9), mesh)) ** 2, axis=0)
    for k, levels in enumerate(found.levels):
        np.testing.assert_allclose(levels[:8], exact[:8, k], rtol=1e-10, atol=1e-13)
    edge = 0.5 * (np.pi * 6.0 / 40.0) ** 2
    assert (
        found.levels[found.levels < found.fermi].max()
        < edge
        < found.levels[found.levels > found.fermi].min()
    )


def test_harmonic_oscillator():
    """Levels w (n + 1/2) and the density of the two lowest ones."""
    length, n, omega = 24.0, 192, 1.3
    x = length * (np.arange(n) / n - 0.5)
    found = ks.Waves(length, n, 1, 10.0).fill(0.5 * (omega * x) ** 2, 2)
    np.testing.assert_allclose(found.levels[0, :6], omega * (np.arange(6) + 0.5), rtol=1e-9)
    ground = np.sqrt(omega / np.pi) * np.exp(-omega * x**2)
    np.testing.assert_allclose(found.density, ground * (1.0 + 2.0 * omega * x**2), atol=1e-10)


def test_fermi_dirac():
    """Levels that the temperature shares: the density counts every electron."""
    found = ks.Waves(40.0, 80, 2, 2.0).fill(np.zeros(80), 3.0)
    assert np.isclose(found.density.mean() * 40.0, 3.0, rtol=1e-12)
    assert found.gap > 0.0


def finite_differences(chain, n, potential):
    """Density and potential out of a potential: central differences, antiperiodic orbitals.

    The potential of a charge is the sum of exp(-kappa |x|) over its images, in closed form.
    """
    h = chain.length / n
    x = h * np.arange(n)
    hamiltonian = np.diag(1.0 / h**2 + potential)
    hamiltonian -= 0.5 / h**2 * (np.eye(n, k=1) + np.eye(n, k=-1))
    hamiltonian[0, -1] = hamiltonian[-1, 0] = 0.5 / h**2
    n_electrons = round(chain.charge.sum())
    orbitals = eigh(hamiltonian, subset_by_index=[0, n_electrons - 1])[1]
    density = (orbitals**2).sum(axis=1) / h
    images = chain.length * np.arange(-8, 9)
    away = (x[:, None, None] - chain.positions[:, None] - images) / chain.sigma[:, None]
    gauss = np.exp(-0.5 * away**2).sum(axis=2) / chain.sigma / np.sqrt(2.0 * np.pi)
    charge = density - gauss @ chain.charge
    distance = np.abs(x[:, None] - x)
    distance = np.minimum(distance, chain.length - distance)
    half = 0.5 * chain.length
    kernel = np.cosh(ks.KAPPA * (half - distance)) / np.sinh(ks.KAPPA * half)
    made = 2.0 * np.pi / (ks.EPS0 * ks.KAPPA) * h * kernel @ charge
    return density, made - made.mean()


@pytest.mark.parametrize("name", SYSTEMS)
def test_finite_differences(name):
    """The self-consistent potential reproduces itself on a real-space grid, up to its step."""
    atoms = chain(4, SYSTEMS[name] if name != "mixed" else [2.0, 6.0])
    errors = []
    for n in (200, 400):
        found = ks.solve(atoms, n)
        assert found.converged
        density, potential = finite_differences(atoms, n, found.potential)
        errors.append([difference(density, found.density), difference(potential, found.potential)])
    errors = np.array(errors)
    assert (errors[1] < [1e-3, 2e-2]).all()  # a metal's potential is small
    np.testing.assert_allclose(errors[0] / errors[1], 4.0, rtol=0.1)  # second order


@pytest.mark.parametrize("name", SYSTEMS)
def test_supercell(name):
    """A repeated cell with fewer k points is the same system."""
    n_atoms = 8 if name == "mixed" else 4
    small = chain(n_atoms, SYSTEMS[name])
    large = ks.Chain(
        3.0 * small.length,
        np.concatenate([small.positions + k * small.length for k in range(3)]),
        np.tile(small.sigma, 3),
        np.tile(small.charge, 3),
    )
    one = ks.solve(small, 20 * n_atoms, n_k=6, k_max=2.0, tolerance=1e-11)
    three = ks.solve(large, 60 * n_atoms, n_k=2, k_max=2.0, tolerance=1e-11)
    assert one.converged and three.converged
    assert difference(three.density, np.tile(one.density, 3)) < 1e-8


@pytest.mark.parametrize("name", SYSTEMS)
def test_k_points_and_waves_suffice(name):
    """What chains.py takes is converged: far below the errors of models."""
    atoms = chain(8, SYSTEMS[name])
    taken, more = (ks.solve(atoms, 160, n_k=n_k, k_max=3.5) for n_k in (16, 32))
    assert difference(taken.density, more.density) < 5e-7
    if name != "insulator-1":  # which needs a finer grid
        taken, more = (ks.solve(atoms, n, n_k=4, k_max=k) for n, k in ((160, None), (240, 6.0)))
        points = np.fft.irfft(np.fft.rfft(more.density)[:81], 160) * 160 / 240
        assert difference(taken.density, points) < 5e-6


def test_linear_response():
    """Weak pseudo-charges are screened as perturbation theory has it."""
    length, n, sigma, weak = 60.0, 120, 2.0, 1e-4
    k = 2.0 * np.pi / length * np.arange(1, 5)
    # a uniform background of 5 electrons (too wide to have waves), and a dipole on it
    atoms = ks.Chain(
        length,
        np.array([0.0, 20.0, 33.0]),
        np.array([1e3, sigma, sigma]),
        np.array([6.0, weak, -weak]),
    )
    found = ks.solve(atoms, n, k_max=3.0, tolerance=1e-12)
    states = 2.0 * np.pi / length * (np.arange(-20, 20) + 0.5)
    filled = np.abs(states) < np.pi * 6.0 / length
    response = [
        np.sum(2.0 / (0.5 * p**2 - 0.5 * (p + q) ** 2))
        for q in k
        for p in [states[filled & (np.abs(states + q) > np.pi * 6.0 / length)]]
    ]
    chi = np.array(response) / length
    made = ks.interaction(k) * chi
    exact = -made / (1.0 - made) * atoms.pseudo_charge(k)
    np.testing.assert_allclose(np.fft.fft(found.density)[1:5] / n, exact, rtol=1e-3)


@pytest.mark.parametrize("name", SYSTEMS)
def test_converges_in_long_cells(name):
    """The number of iterations hardly grows with the cell."""
    counts = [
        len(found.residuals)
        for n_atoms in (8, 32)
        for found in [ks.solve(chain(n_atoms, SYSTEMS[name]), 12 * n_atoms, k_max=1.6)]
        if found.converged
    ]
    assert len(counts) == 2
    assert max(counts) < 35


def test_says_that_it_has_not_converged():
    found = ks.solve(chain(8, [2.0]), 160, max_iterations=4)
    assert not found.converged
    assert len(found.residuals) == 4
    assert found.residuals[-1] > 1e-9


def test_grid_too_coarse():
    with pytest.raises(ValueError, match="16 grid points are too few"):
        ks.solve(chain(4, [1.0]), 16)
