# SPDX-License-Identifier: LGPL-3.0-or-later
"""The pair-additive fit of ``se_charge``, and the points it is made of: rare elements."""

from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms

from deepmd_charge.atoms.images import Images
from deepmd_charge.model.fit import pair_additive
from deepmd_charge.model.fit.chosen import choose_points
from deepmd_charge.model.fit.pair_additive import fit_pair_additive, pair_columns, roughness
from deepmd_charge.model.fit.points import Sample
from deepmd_charge.model.fit.ridge import NormalEquations
from deepmd_charge.model.fit.sums import MomentSums, Spread
from deepmd_charge.model.spec import ModelSpec

TYPE_MAP = ["H", "C", "F", "X", "Y"]
# heights in e/A^3 and widths in A of made-up atoms
SHAPES = {"H": (1.0, 0.5), "C": (3.0, 0.4), "F": (9.0, 0.3)}


def specification(**settings):
    descriptor = {"type": "se_charge", "rcut": 4.0, "n_radial": 16, "radial": "chebyshev"}
    descriptor |= {"core": 0.3, **settings}
    parts = {"descriptor": descriptor, "fitting_net": {"type": "charge"}}
    return ModelSpec.from_dict({"type_map": TYPE_MAP, **parts})


def density(atoms, points):
    """Gaussians, of heights that depend on the structure: no sum over pairs is exact."""
    factor = 1.0 + 0.05 * np.sin(atoms.positions.sum())
    rho = np.zeros(len(points))
    for symbol, position in zip(atoms.symbols, atoms.positions, strict=True):
        height, width = SHAPES[symbol]
        r = np.linalg.norm(points - position, axis=1)
        rho += factor * height * np.exp(-0.5 * (r / width) ** 2)
    return rho


def molecule(symbols, seed):
    """Atoms about 1.3 A apart, in a row that bends."""
    steps = np.random.default_rng(seed).normal(size=(len(symbols), 3)) * 0.5 + [1.2, 0.0, 0.0]
    return Atoms(symbols, np.cumsum(steps, axis=0))


def sample(atoms, n=400, seed=0, away=()):
    """Points at random in a box around a molecule, none within 0.45 A of some of its elements."""
    low, high = atoms.positions.min(axis=0) - 2.0, atoms.positions.max(axis=0) + 2.0
    points = np.random.default_rng(seed).uniform(low, high, size=(n, 3))
    for symbol in away:
        centres = atoms.positions[atoms.symbols == symbol]
        r = np.linalg.norm(points[:, None] - centres, axis=2).min(axis=1)
        points = points[r > 0.45]
    types = np.array([TYPE_MAP.index(s) for s in atoms.symbols])
    return Sample(atoms, types, points, density(atoms, points))


def near(atoms, symbol):
    """Points up to 0.5 A from the atoms of an element."""
    steps = np.linspace(0.0, 0.5, 26)[:, None] * np.array([0.6, 0.0, 0.8])
    return np.concatenate([p + steps for p in atoms.positions[atoms.symbols == symbol]])


COMMON = [sample(molecule("CHHCHCH", k), seed=k) for k in range(12)]

# with so many points the functions of these elements may be as rough as they like
MANY = [sample(molecule("CHHCHCH", k), n=3000, seed=k) for k in range(6)]


def error_near(spec, fit, atoms, symbol):
    """Largest error at those points, e/A^3."""
    types = np.array([TYPE_MAP.index(s) for s in atoms.symbols])
    points = near(atoms, symbol)
    return np.abs(fit.residuals(spec, Sample(atoms, types, points, density(atoms, points)))).max()


# the fit


@pytest.mark.parametrize("radial", ["bessel", "chebyshev"])
def test_what_is_pair_additive_is_met(radial):
    """Everywhere: a sum of the radial functions, and a constant."""
    spec = specification(radial=radial)
    rng = np.random.default_rng(3)
    truth = 0.1 * rng.normal(size=(4, 16)) / (1 + np.arange(16.0))

    def exact(sample):
        images = Images(sample.atoms, sample.types, spec.descriptor.rcut)
        columns = pair_columns(spec, images, images.wrap(sample.points))
        return replace(sample, values=0.02 + np.tensordot(columns, truth, 2))

    fit = fit_pair_additive(spec, [exact(s) for s in MANY])
    other = exact(sample(molecule("HCCHCH", 40), seed=40))
    assert np.abs(fit.residuals(spec, other)).max() < 1e-5
    assert fit.offset == pytest.approx(0.02, abs=1e-5)


@pytest.mark.parametrize("symbols", ["CHFH", "F", "FCFFC"])
@pytest.mark.parametrize("common", [COMMON, MANY], ids=["few", "many"])
@pytest.mark.parametrize("radial", ["bessel", "chebyshev"])
def test_an_element_without_points_near_its_nucleus_stays_an_atom(symbols, radial, common):
    """In one molecule of many, and none of its points within 0.45 A of it."""
    spec = specification(radial=radial)
    rare = sample(molecule(symbols, 77), seed=77, away="F")
    fit = fit_pair_additive(spec, [*common, rare])
    for seed in (77, 78, 79):
        assert error_near(spec, fit, molecule("HCFCH", seed), "F") < SHAPES["F"][0]


def test_points_near_the_nucleus_are_used():
    spec = specification()
    rare = sample(molecule("CHFH", 77), n=4000, seed=77)
    fit = fit_pair_additive(spec, choose_points(spec, [*COMMON, rare], 3000).samples)
    assert error_near(spec, fit, molecule("HCFCH", 78), "F") < 0.3 * SHAPES["F"][0]


def test_a_rare_element_leaves_the_others_as_they_are():
    spec = specification()
    without = fit_pair_additive(spec, COMMON)
    rare = sample(molecule("CHFH", 77), seed=77, away="F")
    with_it = fit_pair_additive(spec, [*COMMON, rare])
    r = np.linspace(0.0, 3.5, 100)
    functions = np.stack(spec.descriptor.basis(np, r), axis=-1)
    for place, symbol in enumerate("HC"):
        change = functions @ (with_it.coefficients - without.coefficients)[place]
        assert np.abs(change).max() < 0.1 * SHAPES[symbol][0]


def test_the_unit_of_the_density_does_not_matter():
    spec = specification()
    one = fit_pair_additive(spec, COMMON)
    two = fit_pair_additive(spec, [replace(s, values=1e3 * s.values) for s in COMMON])
    assert two.smoothness == one.smoothness
    scale = np.abs(one.coefficients).max()
    assert two.coefficients == pytest.approx(1e3 * one.coefficients, abs=1e-2 * scale)


def test_an_element_that_is_absent_has_nothing():
    fit = fit_pair_additive(specification(), COMMON)
    assert not fit.coefficients[2:].any()
    assert fit.coefficients[:2].any(axis=1).all()


def test_the_only_atom_of_an_element_in_the_only_structure():
    """It is not held out, and does not decide how smooth the others are."""
    spec = specification()
    atoms = molecule("CHCHFHCHC", 4)
    fit = fit_pair_additive(spec, [sample(atoms, n=3000)])
    # of one structure the density is pair-additive
    assert fit.held_out < 1e-3
    assert error_near(spec, fit, atoms, "F") < 0.1 * SHAPES["F"][0]


@pytest.mark.parametrize("n", [1, 7, 400])
def test_one_atom_and_few_points(n):
    """There is nothing to hold out, and less to know than there are functions."""
    spec = specification()
    fit = fit_pair_additive(spec, [sample(molecule("C", 5), n=n, seed=5)])
    assert error_near(spec, fit, molecule("C", 5), "C") < 1.5 * SHAPES["C"][0]


def test_roughness_is_that_of_second_derivatives():
    from scipy.integrate import quad

    d = specification(radial="bessel", n_radial=4).descriptor

    def second(u, n, h=1e-3):
        r = 0.5 * np.sqrt(np.expm1(np.maximum(u + h * np.array([-1.0, 0.0, 1.0]), 0.0)))
        f = d.basis(np, r)[n]
        return (f[0] - 2.0 * f[1] + f[2]) / h**2

    end = np.log1p((d.rcut / 0.5) ** 2)
    found = roughness(d)
    for n, m in ((0, 0), (1, 3), (3, 3)):
        integral = quad(
            lambda u, n=n, m=m: second(u, n) * second(u, m), 2e-3, end - 2e-3, limit=200
        )[0]
        assert found[n, m] == pytest.approx(integral, rel=0.02)


# the points


def cut(samples, n, step):
    """The same points in frames of n, in another order."""
    found = []
    for s in samples:
        for start in range(0, len(s.points), n):
            part = slice(start, start + n)
            found.append(replace(s, points=s.points[part], values=s.values[part], system="x"))
    return [s for k in range(step) for s in found[::-1][k::step]]


@pytest.mark.parametrize("n_points", [300, 2000, 100_000])
def test_the_choice_does_not_depend_on_order_or_frames(n_points):
    spec = specification()
    one = choose_points(spec, COMMON, n_points)
    for other in (cut(COMMON, 400, 1), cut(COMMON, 70, 3), COMMON[::-1]):
        two = choose_points(spec, other, n_points)
        for a, b in zip(one.samples, two.samples, strict=True):
            assert np.array_equal(a.points, b.points)
            assert np.array_equal(a.values, b.values)
            assert np.array_equal(a.weights, b.weights)
        assert two.near == pytest.approx(one.near, rel=1e-12)


def test_so_many_points_are_chosen_and_all_of_few():
    spec = specification()
    total = sum(len(s.points) for s in COMMON)
    assert sum(len(s.points) for s in choose_points(spec, COMMON, 1000).samples) == 1000
    every = choose_points(spec, cut(COMMON, 90, 2), 2 * total)
    assert sum(len(s.points) for s in every.samples) == total
    assert all(s.weights.all() for s in every.samples)


def test_points_of_weight_one_are_like_the_data():
    spec = specification()
    many = [sample(molecule("CHHCHCH", k), n=4000, seed=k) for k in range(6)]
    values = np.concatenate([s.values for s in many])
    chosen = choose_points(spec, many, 6000)
    alike = np.concatenate([s.values for s in chosen.alike])
    assert len(alike) > 3000
    assert alike.mean() == pytest.approx(values.mean(), abs=4 * values.std() / len(alike) ** 0.5)
    near_too = np.concatenate([s.values for s in chosen.samples])
    assert near_too.mean() > 1.1 * values.mean()


def test_a_frame_that_stands_for_many_is_drawn_from_as_often():
    spec = specification()
    few = sample(molecule("CHC", 1), n=5000, seed=1)
    few = replace(few, weights=np.full(5000, 9.0))
    rest = sample(molecule("CHH", 2), n=5000, seed=2)
    alike = choose_points(spec, [few, rest], 2000).alike
    counts = {len(s.types == 1): len(s.points) for s in alike}
    sizes = sorted(len(s.points) for s in alike)
    assert sizes[1] / sum(sizes) == pytest.approx(0.9, abs=0.04), counts


def test_points_near_a_rare_nucleus_are_among_them():
    """Across a face of the cell, too."""
    spec = specification()
    atoms = Atoms("CF", [[2.0, 2.0, 2.0], [0.05, 4.0, 0.1]], cell=[5.0, 5.0, 5.0], pbc=True)
    points = np.random.default_rng(1).uniform(-2.0, 7.0, size=(20_000, 3))
    types = np.array([1, 2])
    rare = Sample(atoms, types, points, np.zeros(len(points)))
    chosen = choose_points(spec, [*COMMON, rare], 1500)
    inside = next(s for s in chosen.samples if 2 in s.types).points

    def count(points):
        apart = points - atoms.positions[1]
        apart -= 5.0 * np.round(apart / 5.0)
        return (np.linalg.norm(apart, axis=1) < 0.3).sum()

    assert count(points) > 20
    assert count(inside) == count(points)
    assert chosen.n_near[2] > 100


# sums


@pytest.mark.parametrize("size", [1, 7, 50])
def test_sums_do_not_depend_on_the_blocks(size):
    rng = np.random.default_rng(2)
    a = rng.normal(size=(50, 9, 6)) + 3.0
    a[:20, :, 4:] = 0.0
    spread, sums = Spread(), MomentSums(2, 6)
    for start in range(0, 50, size):
        spread.add(a[start : start + size, 0])
        sums.add(a[start : start + size], len(a[start : start + size]))
    assert spread.mean == pytest.approx(a[:, 0].mean(axis=0))
    assert spread.std == pytest.approx(a[:, 0].std(axis=0))
    assert sums.mean == pytest.approx(a[:, 0].mean(axis=0))
    assert sums.covariance(0) == pytest.approx(np.cov(a[:, 0].T, bias=True))
    of_two = a[:, 4:].reshape(-1, 6)
    assert sums.covariance(2) == pytest.approx(of_two.T @ of_two / len(of_two))


def test_rare_elements_do_not_multiply_the_solutions(monkeypatch):
    """Each stiffer function is a change of a few columns; the choice is that of full solutions."""
    rng = np.random.default_rng(1)
    n_atoms = [1, 3, 7, 20, 60, 200, 2, 4]
    size = 5
    n = size * len(n_atoms) + 1
    equations = NormalEquations(n, 3)
    truth = rng.normal(size=n) * np.geomspace(1, 1e-3, n)
    for fold in range(3):
        rows = rng.normal(size=(150, n)) * np.geomspace(1, 1e-2, n)
        equations.add(fold, rows, rows @ truth + 0.01 * rng.normal(size=150))
    penalty = np.append(10.0 ** rng.uniform(-9, -5, n - 1), 0.0)

    def squares(penalty):
        found, _ = equations.solve(penalty)
        return sum(equations.squares(found, fold) for fold in range(3))

    expected, decades = penalty.copy(), []
    for place, count in enumerate(n_atoms):
        mine, tried = slice(place * size, (place + 1) * size), penalty.copy()
        decades.append(0)
        for _ in range(10 if count <= 100 else 0):
            tried[mine] *= 10.0
            if squares(tried) > (1.0 + 2e-3 / count) * squares(penalty):
                break
            expected[mine] = tried[mine]
            decades[-1] += 1
    assert len({*decades}) > 3 and decades[5] == 0
    solved, solve = [], NormalEquations.solve
    monkeypatch.setattr(
        NormalEquations, "solve", lambda *a, **k: (solved.append(0), solve(*a, **k))[1]
    )
    found = pair_additive._stiffened(equations, penalty, n_atoms)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert len(solved) == 1
