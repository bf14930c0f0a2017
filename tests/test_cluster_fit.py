# SPDX-License-Identifier: LGPL-3.0-or-later
"""The least-squares fit of ``se_cluster``: its rows, ridge, folds, and what it refuses."""

import re
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from clusters import density, random_weights, specification
from training import CELL, structure, true_density

from deepmd_charge import ChargeError
from deepmd_charge.atoms.images import Images
from deepmd_charge.model.equations import se_cluster
from deepmd_charge.model.fit.channels import set_channels
from deepmd_charge.model.fit.cluster import fit_cluster
from deepmd_charge.model.fit.columns import Columns
from deepmd_charge.model.fit.design import Surroundings
from deepmd_charge.model.fit.doubts import doubts
from deepmd_charge.model.fit.gates import invariant_scales
from deepmd_charge.model.fit.points import Sample
from deepmd_charge.model.fit.ridge import NormalEquations, Ridge, choose
from deepmd_charge.model.neighbors import around_atoms
from deepmd_charge.model.weights import Weights

# all channels, so that any model of these settings is within reach of a fit
COMPLETE = {
    "n_radial": 3,
    "n_radial_env": 2,
    "n_radial_product": 3,
    "n_radial_env_product": 1,
    "lmax": 2,
    "lmax_product": 1,
    "n_channel": 9,
    "n_product": 9,
    "n_component": 99,
    "lmax_triple": 0,
    "n_component_triple": 99,
}


def types_of(spec, atoms):
    return np.array([spec.type_map.index(s) for s in atoms.get_chemical_symbols()])


def sample(spec, atoms, n, seed=0, values=true_density):
    """Points at random in a structure, with the values of a function of atoms and points."""
    points = np.random.default_rng(seed).uniform(-0.5, 1.5, size=(n, 3)) @ atoms.cell.array
    return Sample(atoms, types_of(spec, atoms), points, values(atoms, points))


def structures(spec, n_structures=4, n=150, **options):
    return [sample(spec, structure(k), n, seed=k, **options) for k in range(n_structures)]


def fit(spec, samples, **options):
    return fit_cluster(spec, lambda: iter(samples), **options)


def weights_of(spec, found):
    """The weights of a model with what a fit found."""
    return Weights(spec, {**random_weights(spec), **found.arrays})


def rows_of(spec, found, sample):
    images = Images(sample.atoms, sample.types, spec.descriptor.reach)
    surroundings = Surroundings(spec, weights_of(spec, found), images)
    return surroundings.rows(surroundings.block(surroundings.pairs(images.wrap(sample.points))))


# rows


@pytest.mark.parametrize("pbc", [True, False, (1, 0, 1)], ids=["crystal", "molecule", "slab"])
@pytest.mark.parametrize("electrons", ["free", "exact"])
@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_rows_times_a_solution_are_the_reference(order, electrons, pbc):
    spec = specification(["C", "X", "Ge", "Si"], order=order, electrons=electrons)
    columns = Columns(spec)
    solution = np.random.default_rng(5).normal(size=len(columns.of_columns))
    arrays = columns.arrays(solution)
    table = arrays["contribution.coefficients"]
    weights = Weights(spec, {**random_weights(spec), **arrays})
    atoms = structure(3, "SiCGeC")
    atoms.pbc = pbc
    points = np.random.default_rng(1).uniform(-1.0, 2.0, size=(40, 3)) @ CELL
    points = np.concatenate([points, atoms.positions, [[80.0, 0.0, 0.0]]])
    images = Images(atoms, types_of(spec, atoms), spec.descriptor.reach)
    surroundings = Surroundings(spec, weights, images)
    block = surroundings.block(surroundings.pairs(images.wrap(points)))
    rows, known = surroundings.rows(block), surroundings.known(block)
    found = rows @ solution + known
    expected = density(spec, weights, atoms, points)
    assert found == pytest.approx(expected, abs=1e-9 * np.abs(expected).max())
    assert np.ptp(found) > 0.1
    # and without making rows
    assert surroundings.values(block, solution) == pytest.approx(rows @ solution, abs=1e-9)
    values = np.random.default_rng(6).normal(size=len(points))
    adjoint = surroundings.adjoint(block, values)
    assert adjoint == pytest.approx(rows.T @ values, abs=1e-9 * np.abs(adjoint).max())
    if electrons == "exact":
        assert known.any()
        n = columns.n_scalars
        assert table[:, :n] @ spec.descriptor.integrals() == pytest.approx(0.0, abs=1e-9)
    else:
        assert not known.any()


@pytest.mark.parametrize("electrons", ["free", "exact"])
def test_rows_of_points_that_see_nothing_are_zero(electrons):
    """Whole blocks of vacuum, and no points at all."""
    spec = specification(electrons=electrons)
    images = Images(Atoms("SiC", [[0, 0, 0], [1, 1, 1]]), [0, 1], spec.descriptor.reach)
    surroundings = Surroundings(spec, random_weights(spec), images)
    for points in (np.full((5, 3), 50.0), np.zeros((0, 3))):
        block, n_columns = (
            surroundings.block(surroundings.pairs(points)),
            len(Columns(spec).of_columns),
        )
        assert surroundings.rows(block).shape == (len(points), n_columns)
        for values in (
            surroundings.rows(block),
            surroundings.known(block),
            surroundings.values(block, np.ones(n_columns)),
            surroundings.adjoint(block, np.ones(len(points))),
        ):
            assert not values.any()


def test_radial_functions_of_the_columns_are_orthonormal():
    """Over space, but for what is near to a nucleus, which counts for more."""
    spec = specification(n_radial=6)
    d, columns = spec.descriptor, Columns(spec)
    r = np.linspace(0.0, d.rcut, 4001)
    f = np.stack(d.basis(np, r), axis=1) @ columns.functions
    overlap = np.trapezoid(f[:, :, None] * f[:, None] * (r**2 + 0.3**2)[:, None, None], r, axis=0)
    assert overlap == pytest.approx(np.eye(6), abs=2e-3)
    assert d.integrals() @ columns.functions @ columns.neutral == pytest.approx(0.0, abs=1e-10)
    assert columns.neutral.T @ columns.neutral == pytest.approx(np.eye(5), abs=1e-12)


@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_columns_are_told_apart_by_their_orders(order):
    columns = Columns(specification(order=order))
    n_features = columns.spec.descriptor.n_features(2)
    assert set(columns.orders) == set(range(order + 1))
    assert (columns.orders == 0).sum() == 1
    assert len(columns.orders) == np.sum(n_features)
    # of products the smoothest radial functions
    n_of = [5, 5, 4, 4]
    assert len(columns.of_columns) == 2 * sum(
        n_of[k] * sum(of_l[k] for of_l in n_features) for k in range(4)
    )


@pytest.mark.parametrize("electrons", ["free", "exact"])
def test_coarse_columns_are_the_smooth_ones_without_products(electrons):
    """The same functions of each element, as many as there is room for."""
    columns = Columns(specification(order=2, electrons=electrons))
    plain = columns.of_columns < 2
    assert not columns.coarse(0).any()
    assert np.array_equal(columns.coarse(10**9), plain)
    sizes = [columns.coarse(most).sum() for most in range(1, plain.sum() + 1)]
    assert all(size <= most for most, size in enumerate(sizes, 1))
    assert len(set(sizes)) >= 4 and sizes == sorted(sizes)
    some = columns.coarse(plain.sum() - 1)
    assert not (some & ~plain).any()
    one, other = (some[columns.elements == z] for z in (0, 1))
    assert np.array_equal(one, other)


# the fit


@pytest.mark.slow
@pytest.mark.parametrize("electrons", ["free", "exact"])
@pytest.mark.parametrize("order", [0, 1, 2, 3])
def test_data_of_a_model_give_that_model(order, electrons):
    """Whose components may be others that span the same: of structures not seen, too."""
    settings = {**COMPLETE, "order": order, "electrons": electrons}
    if order > 1:
        settings |= {"n_radial_env": 1, "n_transfer": 1}
    spec = specification(**settings)
    columns, held = Columns(spec), np.array([4.0, 3.0])
    arrays = dict(random_weights(spec, seed=3))
    solution = np.random.default_rng(3).normal(size=len(columns.of_columns))
    if order > 1:  # without the mean of their factors products would be others
        atoms = [Images(s.atoms, s.types, 9.0) for s in structures(spec, 12)]
        set_channels(spec, arrays, atoms)
    arrays |= columns.arrays(0.3 * solution)
    if electrons == "exact":
        arrays["contribution.electrons"] = held
    true = Weights(spec, arrays)
    samples = structures(spec, 12, 150, values=lambda a, points: density(spec, true, a, points))
    atoms = structure(15)
    points = np.random.default_rng(9).uniform(size=(60, 3)) @ CELL
    expected = density(spec, true, atoms, points)
    assert expected.std() > 0.05
    for ridge, bound in ((None, 1e-3), (1e-10, 1e-3)):
        found = fit(
            specification(**{**settings, "ridge": ridge}),
            samples,
            electrons=held if electrons == "exact" else None,
        )
        error = density(spec, weights_of(spec, found), atoms, points) - expected
        assert np.abs(error).max() < bound
        assert found.solution.rmse < bound and found.solution.held_out < bound


def test_residual_and_neighbour_counts_are_those_of_the_data():
    spec = specification(order=1, rcut=2.0)
    samples = structures(spec)
    found = fit(spec, samples)
    weights = weights_of(spec, found)
    errors, counts = [], []
    for s in samples:
        errors.append(density(spec, weights, s.atoms, s.points) - s.values)
        shifts = np.array(list(np.ndindex(5, 5, 5))) - 2
        points = s.points - np.floor(s.points @ np.linalg.inv(CELL)) @ CELL
        positions = (s.atoms.positions[:, None] + shifts @ CELL)[:, None]
        r = np.linalg.norm(positions - points[None, :, None], axis=-1)
        share = np.maximum(1.0 - (r / 2.0) ** 2, 0.0) ** 3
        of_atoms = share.sum(axis=2)
        counts.append([of_atoms[s.types == z].sum(axis=0) for z in (0, 1)])
    assert found.solution.rmse == pytest.approx(np.sqrt(np.mean(np.square(errors))), rel=1e-6)
    assert found.arrays["fitting.residual"] == pytest.approx(found.solution.rmse)
    counts = np.concatenate(counts, axis=1)
    assert found.arrays["neighbor_range.low"] == pytest.approx(counts.min(axis=1))
    assert found.arrays["neighbor_range.high"] == pytest.approx(counts.max(axis=1))


@pytest.mark.parametrize("order", [1, 2, 3])
def test_components_are_principal_components_halfway_between(order):
    """Of the atoms of each element uncorrelated, the largest first, of l = 0 without mean."""
    spec = specification(order=order, n_channel=4)
    arrays = dict(random_weights(spec))
    for name in arrays:
        if not name.startswith("contribution"):
            arrays[name] = np.zeros_like(arrays[name])
    samples = structures(spec, 6)
    images = [Images(s.atoms, s.types, spec.descriptor.reach) for s in samples]
    set_channels(spec, arrays, images)
    weights = Weights(spec, arrays)
    features, kinds = [], []
    for around, element in (found for i in images for found in around_atoms(spec, i)):
        features.append(se_cluster.features(spec, weights, around, element))
        kinds.append(element[0])
    kinds = np.concatenate(kinds)
    for l, counts in enumerate(spec.descriptor.n_features(2)):
        of_l = np.concatenate([f[l][0] for f in features])
        parts = np.split(of_l, np.cumsum(counts)[:-1], axis=-1)[1:]
        for z in (0, 1):
            for part in parts:
                b = part[kinds == z].reshape((kinds == z).sum() * (2 * l + 1), part.shape[-1])
                if l == 0:
                    assert b.mean(axis=0) == pytest.approx(0.0, abs=1e-9)
                variance = b.T @ b / (kinds == z).sum() / (2 * l + 1)
                assert variance == pytest.approx(np.diag(np.diag(variance)), abs=1e-8)
                assert np.all(np.diff(np.diag(variance)) < 1e-9)
                if part.size:  # in units of its own deviation and of the first one's
                    assert np.diag(variance)[0] == pytest.approx(1.0, abs=1e-6)


def test_a_net_is_fed_with_standardised_invariants_and_changes_no_fit():
    """Of the atoms of each element; what does not vary is not made large."""
    type_map = ["Si", "Ge", "C", "X"]
    spec = specification(type_map, neuron=[4], order=2, ridge=1e-3)
    samples = structures(spec, 6)
    found, linear = fit(spec, samples), fit(spec.linear, samples)
    for name, array in linear.arrays.items():
        assert np.array_equal(found.arrays[name], array), name
    assert found.arrays.keys() - linear.arrays.keys() == {"gate.mean", "gate.scale"}
    mean, scale = found.arrays["gate.mean"], found.arrays["gate.scale"]
    images = [Images(s.atoms, s.types, spec.descriptor.reach) for s in samples]
    rows, kinds = [], []
    for around, element in (a for i in images for a in around_atoms(spec, i)):
        phi = se_cluster.features(spec, weights_of(spec, found), around, element)
        for n, kind in enumerate(element[0]):
            norms = [np.sqrt(1.0 + (f[0, n] ** 2).sum(axis=0)) for f in phi[1:]]
            rows.append(np.concatenate([phi[0][0, n, 0, 1:], *norms]))
            kinds.append(kind)
    for z in (0, 2):
        mine = np.array(rows)[np.array(kinds) == z]
        assert mean[z] == pytest.approx(mine.mean(axis=0), abs=1e-12)
        assert scale[z] == pytest.approx(np.maximum(mine.std(axis=0), 1e-3), abs=1e-12)
    assert scale.min() > 1e-2 and scale.max() > 1.0
    assert not mean[1].any() and (scale[1] == 1.0).all()  # no Ge
    one = Images(structure(1, "Si"), [0], spec.descriptor.reach)
    alone = invariant_scales(spec, weights_of(spec, found), [one])
    assert (alone["gate.scale"] == [[1e-3], [1.0], [1.0]]).all()


# the ridge


def leave_out(rows, values, fold, penalty):
    """Root mean square error of the points of each fold by numpy's least squares of the others."""
    squares = 0.0
    for f in np.unique(fold):
        there = fold != f
        n = there.sum()
        x = np.concatenate([rows[there] / np.sqrt(n), np.diag(np.sqrt(penalty))])
        y = np.concatenate([values[there] / np.sqrt(n), np.zeros(len(penalty))])
        w = np.linalg.lstsq(x, y, rcond=None)[0]
        squares += np.sum((rows[~there] @ w - values[~there]) ** 2)
    return np.sqrt(squares / len(values))


@pytest.mark.parametrize("products", [False, True])
def test_the_ridge_is_that_of_the_least_error_of_plain_leave_out_loops(products):
    rng = np.random.default_rng(2)
    fold = rng.integers(0, 4, size=300)
    rows = rng.normal(size=(300, 25)) * rng.uniform(0.01, 3.0, size=25)
    values = rows @ rng.normal(size=25) + rng.normal(scale=3.0, size=300)
    of_products = (np.arange(25) > 17) & products
    equations = NormalEquations(25, 4)
    for start in range(0, 300, 70):
        for f in range(4):
            mine = fold[start : start + 70] == f
            equations.add(f, rows[start : start + 70][mine], values[start : start + 70][mine])
    tried = {}
    costs = rng.uniform(0.1, 2.0, size=25)
    found = choose(equations, costs, of_products, told=tried.__setitem__)
    assert equations.scale == pytest.approx(np.mean(rows**2, axis=0))
    for ridge, error in tried.items():
        penalty = ridge.strength * np.where(of_products, ridge.weight, 1.0) * costs
        assert error == pytest.approx(leave_out(rows, values, fold, penalty), rel=1e-9)
    assert len(tried) > 4
    assert found.held_out == tried[found.ridge] == min(tried.values())
    assert (len({r.weight for r in tried}) > 1) == products
    best = found.ridge.strength * np.where(of_products, found.ridge.weight, 1.0) * costs
    x = np.concatenate([rows / np.sqrt(300), np.diag(np.sqrt(best))])
    y = np.concatenate([values / np.sqrt(300), np.zeros(25)])
    w = np.linalg.lstsq(x, y, rcond=None)[0]
    assert found.coefficients == pytest.approx(w, rel=1e-9)
    assert found.rmse == pytest.approx(np.sqrt(np.mean((rows @ w - values) ** 2)))
    scaled = np.linalg.cond(x / np.sqrt(equations.scale)) ** 2
    assert scaled / 10 < found.condition < 30 * scaled


def test_a_stronger_ridge_is_taken_where_it_is_hardly_worse():
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(90, 20))
    values = rows @ rng.normal(size=20) + rng.normal(scale=3.0, size=90)
    equations = NormalEquations(20, 3)
    for f in range(3):
        equations.add(f, rows[30 * f : 30 * f + 30], values[30 * f : 30 * f + 30])
    none, costs = np.zeros(20, dtype=bool), np.full(20, 30.0)
    best = choose(equations, costs, none)
    tried = {}
    found = choose(equations, costs, none, None, 0.05, tried.__setitem__)
    assert found.ridge.strength > best.ridge.strength
    alike = [r.strength for r, e in tried.items() if e <= 1.05 * min(tried.values())]
    assert found.ridge.strength == max(alike)
    assert found.held_out == tried[found.ridge]


def test_a_given_ridge_is_taken():
    rng = np.random.default_rng(2)
    rows, values = rng.normal(size=(50, 5)), rng.normal(size=50)
    equations = NormalEquations(5, 2)
    equations.add(0, rows[:20], values[:20])
    equations.add(1, rows[20:], values[20:])
    told = []
    found = choose(
        equations, np.ones(5), np.zeros(5, dtype=bool), 0.0, told=lambda *a: told.append(a)
    )
    assert (found.ridge, told) == (Ridge(0.0), [])
    assert found.coefficients == pytest.approx(np.linalg.lstsq(rows, values, rcond=None)[0])
    fold = np.arange(50) >= 20
    assert found.held_out == pytest.approx(leave_out(rows, values, fold, np.zeros(5)))


def test_a_ridge_that_leaves_no_digit_is_raised(monkeypatch):
    """Two columns that are the same, where the least ridge would be the best one."""
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(60, 5))
    rows[:, 1] = rows[:, 0]
    values = rows[:, 0] - 2.0 * rows[:, 2]
    equations = NormalEquations(5, 2)
    equations.add(0, rows[:30], values[:30])
    equations.add(1, rows[30:], values[30:])
    costs, none = np.ones(5), np.zeros(5, dtype=bool)

    def least(error, tried):
        error(Ridge(1e-17))
        return Ridge(1e-17)

    monkeypatch.setattr("deepmd_charge.model.fit.ridge._best", least)
    found = choose(equations, costs, none)
    assert 1e-17 < found.ridge.strength < 1e-13 and found.condition < 1e15
    assert found.coefficients[:2].sum() == pytest.approx(1.0, abs=1e-6)
    assert found.coefficients[2:] == pytest.approx([-2.0, 0.0, 0.0], abs=1e-6)
    with pytest.raises(ChargeError, match="cannot be solved"):
        choose(equations, costs, none, 1e-17)


def test_columns_of_which_the_points_say_nothing_get_zero():
    """Those of zeros, and what only some points know, without a ridge, too."""
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(60, 5))
    rows[:, 1] = 0.0
    rows[30:, 3] = 0.0
    values = rows[:, 0] - 2.0 * rows[:, 2] + rng.normal(scale=0.1, size=60)
    equations = NormalEquations(5, 2)
    equations.add(0, rows[:30], values[:30])
    equations.add(1, rows[30:], values[30:])
    none = np.zeros(5, dtype=bool)
    for strength in (None, 0.0):
        found = choose(equations, np.ones(5), none, strength)
        assert found.coefficients[1] == 0.0
        assert np.abs(found.coefficients).max() < 3.0 and np.isfinite(found.held_out)
        assert found.condition < 1e3
    known = [0, 2, 3, 4]
    expected = np.linalg.lstsq(rows[:, known], values, rcond=None)[0]
    assert found.coefficients[known] == pytest.approx(expected)
    nothing_held = NormalEquations(5, 2)
    nothing_held.add(1, rows, values)
    found = choose(nothing_held, np.ones(5), none)
    assert found.ridge == Ridge(1e-6) and np.isnan(found.held_out)


# folds


def held_out_by_hand(spec, found, samples, folds):
    rows = np.concatenate([rows_of(spec, found, s) for s in samples])
    values = np.concatenate([s.values for s in samples])
    columns = Columns(spec)
    scale = np.mean(rows**2, axis=0)
    costs = np.full(len(scale), scale[columns.of_columns == 0].mean())
    costs[columns.of_columns == 0] *= 0.01  # spheres themselves cost little
    penalty = found.solution.ridge.strength * costs
    return leave_out(rows, values, np.concatenate(folds), penalty)


@pytest.mark.parametrize("n_structures, n_folds", [(2, 2), (4, 4), (7, 5)])
def test_structures_are_held_out_in_turn(n_structures, n_folds):
    spec = specification(order=1, ridge=1e-4, **COMPLETE)
    samples = structures(spec, n_structures, 120)
    found = fit(spec, samples)
    assert (found.by_structure, found.n_folds) == (True, n_folds)
    assert (found.n_structures, found.n_points) == (n_structures, 120 * n_structures)
    folds = [np.full(120, k % n_folds) for k in range(n_structures)]
    expected = held_out_by_hand(spec, found, samples, folds)
    assert found.solution.held_out == pytest.approx(expected, rel=1e-6)


def test_systems_are_held_out_in_turn():
    spec = specification(order=1, ridge=1e-4, held_out="systems", **COMPLETE)
    samples = structures(spec, 5, 120)
    systems = "acbca"
    of_system = [replace(s, system=name) for s, name in zip(samples, systems, strict=True)]
    found = fit(spec, of_system)
    assert (found.by_structure, found.by_system, found.n_folds) == (True, True, 3)
    folds = [np.full(120, "acb".index(name)) for name in systems]
    expected = held_out_by_hand(spec, found, samples, folds)
    assert found.solution.held_out == pytest.approx(expected, rel=1e-6)
    with pytest.raises(ChargeError, match="the training data are one DP system; give each phase"):
        fit(spec, samples)


def test_of_one_structure_atoms_are_held_out_in_turn():
    spec = specification(order=1, ridge=1e-4, **COMPLETE)
    samples = structures(spec, 1, 400)
    found = fit(spec, samples)
    assert (found.by_structure, found.n_folds, found.n_structures) == (False, 4, 1)
    atoms = samples[0].atoms
    shifts = (np.array(list(np.ndindex(5, 5, 5))) - 2) @ CELL
    points = samples[0].points
    points = points - np.floor(points @ np.linalg.inv(CELL)) @ CELL
    vectors = points[:, None, None] - atoms.positions[:, None] - shifts
    nearest = np.linalg.norm(vectors, axis=-1).min(axis=2).argmin(axis=1)
    expected = held_out_by_hand(spec, found, samples, [nearest])
    assert found.solution.held_out == pytest.approx(expected, rel=1e-6)


def test_frames_do_not_matter():
    """The points of a structure in any number of frames, among those of others, in any order."""
    spec = specification(order=1, **COMPLETE)
    whole = structures(spec, 3, 150)

    def parts(s, n):
        return [
            Sample(s.atoms, s.types, points, values)
            for points, values in zip(np.split(s.points, n), np.split(s.values, n), strict=True)
        ]

    first, second, third = (parts(s, n) for s, n in zip(whole, (2, 3, 1), strict=True))
    split = [first[0], *second[:2], *third, second[2], first[1]]
    nothing = Sample(whole[0].atoms, whole[0].types, np.zeros((0, 3)), np.zeros(0))
    one, other = fit(spec, whole), fit(spec, [nothing, *split])
    for name in one.arrays:
        if not name.startswith(("contribution", "fitting")):
            assert np.array_equal(one.arrays[name], other.arrays[name]), name
    assert (other.n_structures, other.n_folds, other.n_points) == (3, 3, 450)
    assert other.solution.ridge == one.solution.ridge
    assert other.solution.held_out == pytest.approx(one.solution.held_out, rel=1e-9)
    atoms, points = structure(9), whole[0].points
    a, b = (density(spec, weights_of(spec, f), atoms, points) for f in (one, other))
    assert a == pytest.approx(b, abs=1e-9)
    alone = fit(spec, parts(whole[0], 5))
    assert (alone.by_structure, alone.n_structures, alone.n_folds) == (False, 1, 4)


def test_a_structure_is_another_where_anything_differs():
    spec = specification()
    one = sample(spec, structure(1), 5)
    same = sample(spec, structure(1), 9, seed=4)
    assert one.structure == same.structure
    for change in ("positions", "cell", "pbc", "types"):
        atoms, types = structure(1), one.types.copy()
        if change == "positions":
            atoms.positions[2, 0] += 1e-12
        elif change == "cell":
            atoms.set_cell(atoms.cell * (1 + 1e-15))
        elif change == "pbc":
            atoms.pbc = (1, 1, 0)
        else:
            types[0] = 1 - types[0]
        assert Sample(atoms, types, one.points, one.values).structure != one.structure


def test_blocks_do_not_matter(monkeypatch):
    """Few points at a time, for progress and memory, give the same up to rounding."""
    spec = specification(order=1, **COMPLETE)
    samples = structures(spec, 3, 700)
    told, one = [], fit(spec, samples)
    monkeypatch.setattr("deepmd_charge.model.fit.cluster._BLOCK", 1)
    other = fit(spec, samples, progress=lambda _, done, total: told.append((done, total)))
    assert told[0] == (256, 2100) and told[-1] == (2100, 2100) and len(told) == 9
    assert other.solution.held_out == pytest.approx(one.solution.held_out, rel=1e-9)


# without a matrix


@pytest.mark.slow
@pytest.mark.parametrize(
    "electrons, n_structures", [("free", 6), ("exact", 3), ("free", 1)], ids=str
)
def test_many_coefficients_are_fitted_without_a_matrix(monkeypatch, electrons, n_structures):
    """To the solution that the normal equations have, of the same ridge, and in its errors."""
    settings = {**COMPLETE, "n_radial_env": 1, "n_transfer": 1, "n_radial": 4}
    settings["order"] = 1 if electrons == "exact" else 2
    spec = specification(electrons=electrons, ridge=1e-3, **settings)
    held = np.array([4.0, 3.0]) if electrons == "exact" else None
    samples = structures(spec, n_structures, 1500 if n_structures == 1 else 300)
    direct = fit(spec, samples, electrons=held)
    monkeypatch.setattr("deepmd_charge.model.fit.cluster._MOST", 10)
    doing = []
    rough = fit(spec, samples, electrons=held, progress=lambda what, *_: doing.append(what))
    assert "conjugate gradients, ridge 1e-03, step 2 of at most 100" in doing
    assert (direct.iterative, rough.iterative) == (False, True)
    assert rough.solution.rmse == pytest.approx(direct.solution.rmse, rel=1e-2)
    told = {}
    free = specification(electrons=electrons, **settings)
    chosen = fit(free, samples, electrons=held, told=told.__setitem__).solution
    assert chosen.held_out == min(told.values()) == told[chosen.ridge]
    assert chosen.condition > 1.0
    if electrons == "exact":  # which takes more steps
        return
    monkeypatch.setattr("deepmd_charge.model.fit.iterative._LEFT", 1e-7)
    monkeypatch.setattr("deepmd_charge.model.fit.iterative._STEPS", 500)
    found = fit(spec, samples, electrons=held)
    points = np.random.default_rng(9).uniform(size=(60, 3)) @ CELL
    a, b = (density(spec, weights_of(spec, f), structure(9), points) for f in (direct, found))
    assert np.abs(a - b).max() < 1e-4 * np.ptp(a)
    assert found.solution.rmse == pytest.approx(direct.solution.rmse, rel=1e-5)


# what is lacking


def test_an_element_without_atoms_has_no_density():
    for ridge in (None, 0.0):
        spec = specification(["Si", "Ge", "C", "X"], order=1, ridge=ridge, **COMPLETE)
        found = fit(spec, structures(spec, 4, 300))
        coefficients = found.arrays["contribution.coefficients"]
        assert not coefficients[1].any() and coefficients[0].any() and coefficients[2].any()
        two = specification(order=1, ridge=ridge, **COMPLETE)
        expected = fit(two, structures(two, 4, 300))
        points = np.random.default_rng(0).uniform(size=(20, 3)) @ CELL
        a = density(spec, weights_of(spec, found), structure(9), points)
        b = density(two, weights_of(two, expected), structure(9), points)
        assert a == pytest.approx(b, abs=1e-6)


@pytest.mark.parametrize("cubic", [True, False], ids=["8 atoms", "2 atoms"])
@pytest.mark.parametrize("order", [1, 2])
def test_a_perfect_crystal_says_nothing_of_what_it_has_none(order, cubic):
    """What is zero by symmetry is rounding in its data, and must not count in other structures."""
    spec = specification(["Si", "X"], order=order, rcut=3.0, rcut_env=4.5, n_radial=6)
    atoms = bulk("Si", cubic=cubic)

    def values(atoms, points):
        many = atoms.repeat(5)
        many.positions -= 2 * atoms.cell.array.sum(axis=0)
        r2 = ((points[:, None] - many.positions) ** 2).sum(axis=-1)
        return np.exp(-0.8 * r2).sum(axis=1)

    samples = [sample(spec, atoms, 1500, values=values)]
    found = fit(spec, samples)
    weights = weights_of(spec, found)
    assert found.solution.rmse < 1e-3
    for amplitude, bound in ((1e-6, 5e-3), (1e-3, 5e-3), (0.03, 0.05)):
        moved = atoms.copy()
        moved.rattle(amplitude, seed=3)
        points = samples[0].points[:200]
        points = points - np.floor(points @ np.linalg.inv(atoms.cell.array)) @ atoms.cell.array
        error = density(spec, weights, moved, points) - values(moved, points)
        assert np.abs(error).max() < bound


def test_one_atom_is_fitted_without_holding_out():
    spec = specification(["Si", "X"], order=1, **COMPLETE)
    found = fit(spec, [sample(spec, structure(0, "Si"), 300)])
    assert (found.n_folds, found.by_structure) == (1, False)
    assert np.isnan(found.solution.held_out)
    assert np.isfinite(found.solution.coefficients).all() and found.solution.rmse < 0.05


def test_atoms_without_neighbours_are_fitted():
    """Molecules of one atom: nothing is known of surroundings, and nothing becomes huge."""
    spec = specification(["Si", "X"], order=1, **COMPLETE)
    atoms = Atoms("Si", [[0.1, 0.2, 0.3]])
    points = np.random.default_rng(0).normal(size=(300, 3))
    r = np.linalg.norm(points - atoms.positions, axis=1)
    found = fit(spec, [Sample(atoms, np.zeros(1, dtype=int), points, np.exp(-(r**2)))])
    pair = Atoms("Si2", [[0.1, 0.2, 0.3], [0.1, 0.2, 2.5]])
    values = density(spec, weights_of(spec, found), pair, points)
    assert np.abs(values).max() < 3.0


def far(spec):
    s = sample(spec, structure(0), 400)
    atoms = Atoms(s.atoms.symbols, s.atoms.positions)
    return [Sample(atoms, s.types, s.points + 90.0, s.values)]


@pytest.mark.parametrize(
    "settings, samples, complaint",
    [
        (
            {"order": 1},
            lambda spec: structures(spec, 2, 20),
            r"40 points for 170 coefficients of model/descriptor: convert more --points",
        ),
        ({"order": 0}, lambda spec: [], "0 points for 10 coefficients"),
        ({"order": 0}, far, "no grid point of the training data has an atom within 3.5 A; raise"),
        (
            {"order": 2, "ridge": 0.0},
            lambda spec: structures(spec, 1, 2000),
            r"cannot be solved \(condition number .*\): give more points, or lower",
        ),
    ],
    ids=["few points", "no point", "no atom near", "ill-conditioned"],
)
def test_what_cannot_be_fitted_is_said_in_one_line(settings, samples, complaint):
    spec = specification(**settings)
    with pytest.raises(ChargeError, match=complaint) as error:
        fit(spec, samples(spec))
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "settings, complaints",
    [
        ({"order": 0, "rcut": 3.4}, []),
        ({"order": 0, "rcut": 3.6}, ["images of an atom are 5.25 A apart.*descriptor/rcut 3.6:"]),
        ({"order": 1, "rcut": 2.0, "rcut_env": 3.4, "rcut_product": 0.1}, []),
        ({"order": 1, "rcut": 2.0, "rcut_env": 3.6}, ["apart.*descriptor/rcut_env 3.6:"]),
        ({"order": 2, "rcut": 3.6, "rcut_env": 3.4, "rcut_product": 4.0}, ["rcut_product 4:"]),
        (
            {"order": 2, "rcut": 2.0, "rcut_env": 0.4, "rcut_product": 0.2},
            ["within model/descriptor/rcut_env 0.4: order 2 has", "rcut_product 0.2: .*; raise"],
        ),
    ],
    ids=str,
)
def test_what_may_be_wrong_is_said_in_one_line(settings, complaints):
    """Of cells in which atoms move with their images, and of cutoffs that reach nobody."""
    spec = specification(**settings)
    images = [Images(structure(k), types_of(spec, structure(k)), 4.0) for k in range(2)]
    found = doubts(spec, images, 5.25)
    assert len(found) == len(complaints)
    for text, complaint in zip(found, complaints, strict=True):
        assert re.search(complaint, text) and "\n" not in text
    assert doubts(spec, images, np.inf) == [text for text in found if "images" not in text]


# weights of points


@pytest.mark.parametrize("most", [10, 10_000])
def test_a_point_counts_by_its_weight(monkeypatch, most):
    """Weights of 0, 1 and 2 are points that are left out, there and there twice."""
    monkeypatch.setattr("deepmd_charge.model.fit.cluster._MOST", most)
    monkeypatch.setattr("deepmd_charge.model.fit.iterative._LEFT", 1e-9)
    monkeypatch.setattr("deepmd_charge.model.fit.iterative._STEPS", 500)
    spec = specification(order=1, ridge=1e-4)
    whole, often = [], []
    for s in structures(spec, 3, 300):
        times = np.arange(300) % 3
        whole.append(Sample(s.atoms, s.types, s.points, s.values, times.astype(float)))
        many = np.repeat(np.arange(300), times)
        often.append(Sample(s.atoms, s.types, s.points[many], s.values[many]))
    weighted, repeated = fit(spec, whole), fit(spec, often)
    rows = rows_of(spec, repeated, whole[0])
    expected = rows @ repeated.solution.coefficients
    # the neighbour counts, not the fit, know of points without weight
    assert rows @ weighted.solution.coefficients == pytest.approx(expected, abs=1e-6)
    assert weighted.solution.rmse == pytest.approx(repeated.solution.rmse, rel=1e-6)


@pytest.mark.parametrize("steps", [1, 500])
def test_gradients_that_have_not_converged_are_told(monkeypatch, steps):
    monkeypatch.setattr("deepmd_charge.model.fit.cluster._MOST", 10)
    monkeypatch.setattr("deepmd_charge.model.fit.iterative._STEPS", steps)
    spec = specification(order=1, ridge=1e-4)
    assert fit(spec, structures(spec, 2, 300)).solution.converged == (steps == 500)
