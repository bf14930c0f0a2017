# SPDX-License-Identifier: LGPL-3.0-or-later
"""Invariants against values in closed form, and against plain sums over exact densities."""

import itertools

import numpy as np
import others
import pytest
from ase import Atoms
from ase.build import bulk
from ase.neighborlist import neighbor_list
from scipy.special import sph_harm_y

from deepmd_charge import ChargeError, Density
from deepmd_charge.property.features import FEATURES, features
from deepmd_charge.property.field import SIGMA, Field
from deepmd_charge.property.invariants import bonds, distribution, gradients, shells, spectrum

RHO_0 = 1e-3
LOG = np.log(10.0)


def of(block, density):
    """Features of a block by name."""
    names = [feature.name for feature in block.FEATURES]
    return dict(zip(names, block.evaluate(Field(density)), strict=True))


def signed_log(rho):
    return np.arcsinh(rho / (2 * RHO_0)) / LOG


def waves(mean, amplitudes, edge=4.0, n=32):
    """A mean and the sum of a_i cos(G x_i) along the edges of a cube."""
    x = 2 * np.pi * np.stack(np.meshgrid(*[np.arange(n) / n] * 3, indexing="ij"))
    values = mean + sum(a * np.cos(x[k]) for k, a in enumerate(amplitudes))
    return Density(Atoms("H", cell=[edge] * 3, pbc=True), values)


def damped(edge):
    """What the resolution leaves of the first wave."""
    return np.exp(-0.5 * (2 * np.pi / edge * SIGMA) ** 2)


# the last two are negative in places: PAW near nuclei, and differences
@pytest.mark.parametrize("mean, amplitude", [(0.3, 0.2), (0.02, 0.0199), (0.02, 0.03)])
def test_distribution_and_gradients_of_a_wave(mean, amplitude):
    edge = 4.0
    g, a = 2 * np.pi / edge, amplitude * damped(edge)
    x = (np.arange(200_000) + 0.5) / 200_000 * edge
    rho = mean + a * np.cos(g * x)
    slope, lap = np.gradient(rho, x), -(g**2) * a * np.cos(g * x)
    s_log, size = signed_log(rho), np.abs(rho)
    # where the sign changes, S does so between two of 32 planes
    is_positive = mean > amplitude
    density = waves(mean, [amplitude], edge)

    found = of(distribution, density)
    assert found["density_mean"] == pytest.approx(mean, abs=1e-12)
    assert found["log_minimum"] == pytest.approx(s_log.min(), abs=2e-3)
    assert found["log_maximum"] == pytest.approx(s_log.max(), abs=2e-3)
    for p in (5, 25, 50, 75, 95):
        # 32 planes are few: a percentile lies between two of them
        around = np.percentile(s_log, [max(p - 3, 0), min(p + 3, 100)])
        assert around[0] - 1e-3 <= found[f"log_p{p:02d}"] <= around[1] + 1e-3, p
    scaled = (s_log - s_log.mean()) / s_log.std()
    moments = [s_log.mean(), s_log.std(), (scaled**3).mean(), (scaled**4).mean()]
    for k, value in enumerate(moments, 1):
        assert found[f"log_moment_{k}"] == pytest.approx(
            value, abs=8e-3 if is_positive else 0.02
        ), k
    assert found["log_of_electrons"] == pytest.approx((size * s_log).mean() / size.mean(), abs=2e-3)
    for c in np.arange(-2.0, 4.3, 0.25):
        exact = np.exp(-((s_log - c) ** 2) / (2 * 0.15**2)).mean()
        assert found[f"histogram_{c:+.2f}"] == pytest.approx(
            exact, abs=0.01 if is_positive else 0.03
        ), c
    # averaged over the width of the edge, a share is the one of the sharp edge nearby
    for t in (0.005, 0.02, 0.1, 0.4):
        low, high = (np.mean(s_log < signed_log(t) + d) for d in (-0.35, 0.35))
        assert low - 0.05 <= found[f"volume_below_{t:g}"] <= high + 0.05, t
    for p in (4 / 3, 5 / 3, 2.0):
        exact = (size**p).mean() ** (1 / p)
        assert found[f"power_mean_{p:.2f}"] == pytest.approx(exact, rel=1e-3)

    found = of(gradients, density)
    floor = np.sqrt(rho**2 + RHO_0**2)
    s = np.abs(slope) / (2 * (3 * np.pi**2) ** (1 / 3) * floor ** (4 / 3))
    w = 1 / (1 + (size / np.percentile(size, 25)) ** 2)
    steps = np.gradient(s_log, x) ** 2
    # where the density vanishes, or nearly so, are sharp peaks, which few planes meet
    rel = 6e-3 if mean > amplitude * 1.1 else 0.3
    assert found["s_mean"] == pytest.approx(s.mean(), rel=rel)
    assert found["s_of_electrons"] == pytest.approx((size * s).sum() / size.sum(), rel=rel)
    assert found["s_between"] == pytest.approx((w * s).sum() / w.sum(), rel=max(rel, 0.02))
    assert found["weizsaecker"] == pytest.approx((slope**2 / (8 * floor)).mean(), rel=rel)
    assert found["laplacian_size"] == pytest.approx(np.abs(lap).mean(), rel=5e-3)
    assert found["laplacian_spread"] == pytest.approx(g**2 * a / np.sqrt(2), rel=1e-6)
    assert found["laplacian_negative"] == pytest.approx(0.5, abs=1e-6)
    assert found["all_steepness"] == pytest.approx(np.sqrt(steps.mean()), rel=rel)
    for where in ("all", "between"):
        assert found[f"{where}_axis_1"] == pytest.approx(1.0, abs=1e-9)
        assert found[f"{where}_axis_3"] == pytest.approx(0.0, abs=1e-9)
    assert found["laplacian_between"] == pytest.approx(
        (w * lap).sum() / w.sum(), rel=max(rel, 0.02), abs=1e-3
    )
    for p in (5, 25, 75, 95):
        around = np.percentile(np.arcsinh(lap), [p - 3, p + 3])
        assert around[0] - 1e-3 <= found[f"laplacian_p{p:02d}"] <= around[1] + 1e-3, p


def test_spectrum_of_a_wave():
    edge, amplitude = 3.0, 0.4
    found = of(spectrum, waves(1.0, [amplitude], edge))
    g, a = 2 * np.pi / edge, amplitude * damped(edge)
    for q in np.arange(1.0, 9.1, 0.5):
        exact = a / np.sqrt(2) * np.exp(-((g - q) ** 2) / (4 * 0.35**2))
        assert found[f"spectrum_{q:.1f}"] == pytest.approx(exact, abs=1e-9), q
    for l, part in itertools.product((2, 4, 6), ("low", "high")):
        assert found[f"order_{l}_{part}"] == pytest.approx(1.0, abs=1e-9)
    assert found["first_wave"] == pytest.approx(g)
    assert found["plane_minimum"] == pytest.approx(1.0 - a, abs=1e-9)
    assert found["plane_minimum_log"] == pytest.approx(np.log10(1e-3 + 1.0 - a), abs=1e-9)
    assert found["plane_spread"] == pytest.approx(a / np.sqrt(2))
    assert found["plane_distance"] == pytest.approx(edge)


def test_order_of_three_waves():
    """Pairs of six directions, a third of which are along one line."""
    found = of(spectrum, waves(1.0, [0.2, 0.2, 0.2]))
    for l, across in ((2, -1 / 2), (4, 3 / 8), (6, -5 / 16)):
        assert found[f"order_{l}_low"] == pytest.approx(1 / 3 + 2 / 3 * across, abs=1e-9)
    axes = of(gradients, waves(1.0, [0.2, 0.2, 0.2]))
    assert axes["all_axis_1"] == pytest.approx(1 / 3)
    assert axes["all_axis_3"] == pytest.approx(1 / 3)
    # gradients of waves of small amplitude are as the amplitudes squared
    axes = of(gradients, waves(1.0, [0.02, 0.01, 0.005]))
    total = 16 + 4 + 1
    assert axes["all_axis_1"] == pytest.approx(16 / total, rel=1e-3)
    assert axes["all_axis_3"] == pytest.approx(1 / total, rel=1e-3)


def test_waves_count_alike_along_all_axes():
    """Of those along z rfftn gives one of a pair, of the others both: less than 1% is that."""
    firsts = []
    for k in range(3):
        amplitudes = np.roll([0.4, 0.048, 0.0], k)
        edges = np.roll([4.0, 6.0, 4.0], k)
        density = waves(1.0, amplitudes)
        density.atoms.set_cell(edges)
        firsts.append(of(spectrum, density)["first_wave"])
    assert firsts == pytest.approx([2 * np.pi / 4.0] * 3)


def test_planes_of_supercells():
    """Those 1 A apart are not looked at, be the cell of 1 A or of 4 A."""
    x = 2 * np.pi * np.arange(32) / 32
    for edge in (1.0, 4.0):
        values = 1.0 + 0.8 * np.cos(edge * x)[:, None, None] + np.zeros((32, 32, 32))
        found = of(spectrum, Density(Atoms("H", cell=[edge, 4.0, 4.0], pbc=True), values))
        assert found["plane_minimum"] == pytest.approx(1.0)
        assert found["plane_spread"] == found["plane_distance"] == 0.0
        assert found["first_wave"] == pytest.approx(2 * np.pi)


def test_a_constant():
    found = dict(zip([f.name for f in FEATURES], features(waves(0.1, [0.0])), strict=True))
    assert np.isfinite(list(found.values())).all()
    assert found["log_minimum"] == pytest.approx(found["log_maximum"], abs=1e-12)
    assert found["log_minimum"] == pytest.approx(2.0, abs=1e-4)
    assert found["plane_minimum"] == pytest.approx(1.0)
    assert found["volume_below_0.05"] == pytest.approx(0.0223, abs=1e-3)  # Phi(-0.301 / 0.15)
    assert found["laplacian_spread"] == pytest.approx(0.0, abs=1e-9)


WIDTH = 0.5
CELL = np.array([[3.9, 0.2, -0.1], [-0.6, 4.2, 0.3], [0.2, 0.4, 4.4]])
PLACES = np.array([[0.3, 0.2, 0.1], [2.2, 2.3, 1.9], [0.6, 2.6, 3.3]])
ELECTRONS = (3.0, 1.5, 2.2)


def exact(points):
    """The convolved density of three Gaussian atoms: again Gaussians, and somewhat wider."""
    s2 = WIDTH**2 + SIGMA**2
    total = np.zeros(np.shape(points)[:-1])
    for shift in itertools.product(range(-2, 3), repeat=3):
        for place, n in zip(PLACES, ELECTRONS, strict=True):
            r2 = ((points - place - np.array(shift) @ CELL) ** 2).sum(-1)
            total += n * np.exp(-r2 / (2 * s2)) / (2 * np.pi * s2) ** 1.5
    return total


def derivatives(points):
    """Their gradient (3, n) and Laplacian (n,)."""
    s2 = WIDTH**2 + SIGMA**2
    slope, lap = np.zeros((3, len(points))), np.zeros(len(points))
    for shift in itertools.product(range(-2, 3), repeat=3):
        for place, n in zip(PLACES, ELECTRONS, strict=True):
            apart = (points - place - np.array(shift) @ CELL).T
            r2 = (apart**2).sum(axis=0)
            one = n * np.exp(-r2 / (2 * s2)) / (2 * np.pi * s2) ** 1.5
            slope -= apart / s2 * one
            lap += (r2 / s2**2 - 3 / s2) * one
    return slope, lap


@pytest.fixture(scope="module")
def gaussians():
    values = others.gaussians(PLACES, ELECTRONS, CELL, (28, 30, 32), width=WIDTH)
    return Density(Atoms("BeLiB", positions=PLACES, cell=CELL, pbc=True), values)


@pytest.mark.slow
def test_distribution_and_gradients_by_brute_force(gaussians):
    points = others.points(CELL, (26, 27, 28), [0.05, 0.03, 0.04]).reshape(-1, 3)
    rho, slope, lap = exact(points), *derivatives(points)
    s_log = signed_log(rho)
    found = of(distribution, gaussians)
    assert found["density_mean"] == pytest.approx(sum(ELECTRONS) / np.linalg.det(CELL))
    np.testing.assert_allclose(
        [found[f"log_p{p:02d}"] for p in (5, 25, 50, 75, 95)],
        np.percentile(s_log, (5, 25, 50, 75, 95)),
        atol=5e-3,
    )
    for c in np.arange(-2.0, 4.3, 0.25):
        value = np.exp(-((s_log - c) ** 2) / (2 * 0.15**2)).mean()
        assert found[f"histogram_{c:+.2f}"] == pytest.approx(value, abs=2e-3), c
    # shares of the volume by random numbers: each point is below with the odds of its edge
    blur = np.random.default_rng(1).normal(scale=0.15, size=(50, len(s_log)))
    for t in (0.02, 0.05, 0.1, 0.2, 0.4):
        share = np.mean(s_log + blur < signed_log(t))
        assert found[f"volume_below_{t:g}"] == pytest.approx(share, abs=2e-3), t
    assert found["log_of_electrons"] == pytest.approx((rho * s_log).sum() / rho.sum(), abs=1e-3)

    found = of(gradients, gaussians)
    squares = (slope**2).sum(axis=0)
    s = np.sqrt(squares) / (2 * (3 * np.pi**2) ** (1 / 3) * (rho**2 + RHO_0**2) ** (2 / 3))
    w = 1 / (1 + (rho / np.percentile(rho, 25)) ** 2)
    assert found["s_mean"] == pytest.approx(s.mean(), rel=2e-3)
    assert found["s_of_electrons"] == pytest.approx((rho * s).sum() / rho.sum(), rel=2e-3)
    assert found["s_between"] == pytest.approx((w * s).sum() / w.sum(), rel=3e-3)
    for c in np.arange(-1.5, 1.3, 0.25):
        soft = np.exp(-((np.log10(s) - c) ** 2) / (2 * 0.15**2))
        assert found[f"s_histogram_{c:+.2f}"] == pytest.approx(soft.mean(), abs=5e-3), c
        weighted = (rho * soft).sum() / rho.sum()
        assert found[f"s_electrons_{c:+.2f}"] == pytest.approx(weighted, abs=5e-3), c
    weizsaecker = (squares / (8 * np.sqrt(rho**2 + RHO_0**2))).mean()
    assert found["weizsaecker"] == pytest.approx(weizsaecker, rel=2e-3)
    assert found["laplacian_size"] == pytest.approx(np.abs(lap).mean(), rel=5e-3)
    assert found["laplacian_spread"] == pytest.approx(lap.std(), rel=5e-3)
    assert found["laplacian_between"] == pytest.approx((w * lap).sum() / w.sum(), rel=0.01)
    blurred = np.mean(lap + 0.1 / 0.15 * blur < 0.0)
    assert found["laplacian_negative"] == pytest.approx(blurred, abs=3e-3)
    np.testing.assert_allclose(
        [found[f"laplacian_p{p:02d}"] for p in (5, 25, 50, 75, 95)],
        np.percentile(np.arcsinh(lap), (5, 25, 50, 75, 95)),
        atol=0.01,
    )
    steps = slope / (LOG * np.sqrt(rho**2 + 4 * RHO_0**2))
    for where, weight in (("all", np.ones_like(w)), ("between", w)):
        tensor = [[np.average(a * b, weights=weight) for a in steps] for b in steps]
        values = np.linalg.eigvalsh(tensor)
        assert found[f"{where}_steepness"] == pytest.approx(np.sqrt(values.sum()), rel=3e-3)
        assert found[f"{where}_axis_1"] == pytest.approx(values[2] / values.sum(), rel=5e-3)
        assert found[f"{where}_axis_3"] == pytest.approx(values[0] / values.sum(), rel=5e-3)


@pytest.mark.slow
def test_spectrum_by_brute_force(gaussians):
    reciprocal = 2 * np.pi * np.linalg.inv(CELL).T
    m = np.array([m for m in itertools.product(range(-10, 11), repeat=3) if any(m)])
    g = m @ reciprocal
    length = np.linalg.norm(g, axis=1)
    structure = np.exp(-1j * g @ PLACES.T) @ ELECTRONS / sum(ELECTRONS)
    amplitudes = structure * np.exp(-0.5 * length**2 * (WIDTH**2 + SIGMA**2))
    power = np.abs(amplitudes) ** 2
    found = of(spectrum, gaussians)
    for q in np.arange(1.0, 9.1, 0.5):
        value = np.sqrt((power * np.exp(-((length - q) ** 2) / (2 * 0.35**2))).sum())
        assert found[f"spectrum_{q:.1f}"] == pytest.approx(value, rel=1e-4, abs=1e-9), q
    strong = power > 1e-9
    directions = g[strong] / length[strong, None]
    cosines = directions @ directions.T
    share = np.exp(-0.5 * (length / 3.0) ** 2)
    for part, weight in (("low", power * share), ("high", power * (1 - share))):
        p = weight[strong] / weight.sum()
        for l, legendre in (
            (2, (3 * cosines**2 - 1) / 2),
            (4, (35 * cosines**4 - 30 * cosines**2 + 3) / 8),
            (6, (231 * cosines**6 - 315 * cosines**4 + 105 * cosines**2 - 5) / 16),
        ):
            assert found[f"order_{l}_{part}"] == pytest.approx(p @ legendre @ p, abs=1e-4)
    assert found["first_wave"] == pytest.approx(length[power > 0.01 * power.sum()].min())
    lowest, widest, distance = 1.0, 0.0, 0.0
    z = np.linspace(0.0, 2 * np.pi, 2000)
    for k in np.flatnonzero((length <= 5.0) & (np.gcd.reduce(m, axis=1) == 1)):
        line = [np.flatnonzero((m == n * m[k]).all(axis=1)) for n in (1, 2, 3, 4)]
        line = [amplitudes[where[0]] if len(where) else 0.0 for where in line]
        profile = 1 + sum(2 * np.real(c * np.exp(1j * n * z)) for n, c in enumerate(line, 1))
        lowest = min(lowest, profile.min())
        if profile.std() > widest:
            widest, distance = profile.std(), 2 * np.pi / length[k]
    assert found["plane_minimum"] == pytest.approx(lowest, abs=2e-3)
    assert found["plane_spread"] == pytest.approx(widest, rel=1e-3)
    assert found["plane_distance"] == pytest.approx(distance)


def test_bonds_by_dense_scans(gaussians):
    atoms = gaussians.atoms
    start, lengths, vectors = neighbor_list("idD", atoms, 8.0)
    first = np.array([lengths[start == i].min() for i in range(3)])
    near = lengths <= 1.4 * first[start]
    start, lengths, vectors = start[near], lengths[near], vectors[near]
    w = np.exp(-0.5 * ((lengths / first[start] - 1) / 0.1) ** 2)
    shares = np.linspace(0.15, 0.85, 701)
    low, place, curvature = [], [], []
    for i, vector, d in zip(start, vectors, lengths, strict=True):
        line = signed_log(exact(PLACES[i] + shares[:, None] * vector))
        at = line.argmin()
        low.append(line[at])
        place.append(shares[at])
        beside = shares[at] + np.array([[-0.1], [0.1]])
        ends = signed_log(exact(PLACES[i] + beside * vector))
        curvature.append((ends.sum() - 2 * line[at]) / (0.1 * d) ** 2)
    low, place = np.array(low), np.array(place)
    cosines = (vectors @ vectors.T) / np.outer(lengths, lengths)

    def per_atom(values):
        return np.array([np.average(values[start == i], weights=w[start == i]) for i in range(3)])

    order = []
    for i in range(3):
        p = w[start == i] / w[start == i].sum()
        x = cosines[np.ix_(start == i, start == i)]
        order.append(p @ ((35 * x**4 - 30 * x**2 + 3) / 8) @ p)
    found = of(bonds, gaussians)
    expected = {
        "nearest": first,
        "distance": per_atom(lengths),
        "neighbours": np.array([w[start == i].sum() for i in range(3)]),
        "bond_log": per_atom(low),
        "bond_log_low": np.array([low[(start == i) & (w > 0.1)].min() for i in range(3)]),
        "bond_place": per_atom(np.abs(place - 0.5)),
        "bond_angles": np.array(order),
        "bond_curvature": per_atom(np.array(curvature)),
    }
    for name, values in expected.items():
        for how in ("mean", "min", "max"):
            value = getattr(values, how)()
            assert found[f"{name}_{how}"] == pytest.approx(value, rel=0.01, abs=2e-3), name
    volume = np.linalg.det(CELL)
    assert found["volume"] == pytest.approx(volume / 3)
    assert found["electrons"] == pytest.approx(sum(ELECTRONS) / 3)
    assert found["bonds_per_volume"] == pytest.approx(w.sum() / (2 * volume))
    charge = (w * 2 * RHO_0 * np.sinh(low * LOG)).sum() / (2 * volume)
    assert found["bond_electrons"] == pytest.approx(charge, rel=3e-3)


# O_4 of neighbours is the square of Steinhardt's Q_4; bcc has six more, farther ones
W_BCC = np.exp(-0.5 * ((2 / np.sqrt(3) - 1) / 0.1) ** 2)
MIXED = (-8 * np.sqrt(7 / 27) + 6 * W_BCC * np.sqrt(7 / 12)) / (8 + 6 * W_BCC)


@pytest.mark.parametrize(
    "structure, neighbours, order",
    [
        ("sc", 6, 7 / 12),
        ("fcc", 12, 0.19094**2),
        ("bcc", 8 + 6 * W_BCC, MIXED**2),
        ("hcp", 12, 0.09722**2),
        ("diamond", 4, 0.50918**2),
    ],
)
def test_neighbours_of_simple_lattices(structure, neighbours, order):
    atoms = bulk(
        "Al", structure, a=3.0, **({"c": 3.0 * np.sqrt(8 / 3)} if structure == "hcp" else {})
    )
    found = of(bonds, Density(atoms, np.full((16, 16, 16), 0.1)))
    for how in ("mean", "min", "max"):
        assert found[f"neighbours_{how}"] == pytest.approx(neighbours, rel=1e-6)
        assert found[f"bond_angles_{how}"] == pytest.approx(order, abs=1e-4)


def test_an_atom_alone():
    """Its neighbours are its images, however far they are."""
    found = of(bonds, Density(Atoms("H", cell=[15.0, 16.0, 17.0], pbc=True), np.ones((48,) * 3)))
    assert np.isfinite(list(found.values())).all()
    assert found["nearest_mean"] == pytest.approx(15.0)


@pytest.mark.slow
def test_spheres_by_another_quadrature(gaussians):
    nodes, weights = np.polynomial.legendre.leggauss(40)
    phi = np.arange(80) / 80 * 2 * np.pi
    theta, phi = np.meshgrid(np.arccos(nodes), phi, indexing="ij")
    weights = np.repeat(weights[:, None] / 2 / 80, 80, axis=1)
    unit = np.stack([np.sin(theta) * np.cos(phi), np.sin(theta) * np.sin(phi), np.cos(theta)], -1)
    found = of(shells, gaussians)
    for r in (1.0, 2.0, 3.0):
        logs = [signed_log(exact(place + r * unit)) for place in PLACES]
        means = np.array([(weights * log).sum() for log in logs])
        for how in ("mean", "min", "max"):
            value = getattr(means, how)()
            assert found[f"shell_{r:.1f}_mean_{how}"] == pytest.approx(value, abs=3e-3)
        for l in (1, 2, 3, 4, 6):
            parts = [
                [(weights * log * sph_harm_y(l, k, theta, phi)).sum() for k in range(-l, l + 1)]
                for log in logs
            ]
            powers = np.sqrt(4 * np.pi / (2 * l + 1) * (np.abs(parts) ** 2).sum(axis=1))
            for how in ("mean", "min", "max"):
                value = getattr(powers, how)()
                assert found[f"shell_{r:.1f}_l{l}_{how}"] == pytest.approx(value, abs=3e-3), (r, l)


def test_a_coarse_grid_warns():
    density = waves(1.0, [0.1], edge=4.0, n=10)
    with pytest.warns(UserWarning, match=r"grid points are 0\.40 A apart.*give a finer one"):
        features(density)


def test_values_that_are_no_numbers():
    density = waves(1.0, [0.1])
    density.values[1, 2, 3] = np.inf
    with pytest.raises(ChargeError, match="values that are no numbers"):
        features(density)
