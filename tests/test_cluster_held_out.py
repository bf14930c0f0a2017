# SPDX-License-Identifier: LGPL-3.0-or-later
"""What the fit of ``se_cluster`` holds out to choose its ridge, and what it says of that."""

import re
from dataclasses import replace

import numpy as np
import pytest
from ase import Atoms
from clusters import specification
from test_cluster_fit import COMPLETE, fit, sample, structures
from training import CELL, structure, true_density

from deepmd_charge import ChargeError
from deepmd_charge.model.fit.doubts import doubts_of_ridge
from deepmd_charge.model.fit.folds import folds_of
from deepmd_charge.model.fit.ridge import NormalEquations, Ridge, Solution, choose

SMALL = {"n_radial": 8, "n_radial_env": 4, "lmax": 2, "rcut_env": 3.5, "order": 1}


@pytest.mark.parametrize(
    "elements, n_folds, folds, alone",
    [
        ([[0], [0], [0]], 2, [0, 1, 0], []),
        ([[0, 1, 1]] * 7, 5, [0, 1, 2, 3, 4, 0, 1], []),
        # those of the same elements are shared evenly, wherever they stand
        ([[1], [0], [0], [1], [0], [0]], 2, [0, 0, 1, 1, 0, 1], []),
        # what has an element that no other fold has is never held out
        ([[0, 1], [0, 1], [0, 1, 2]], 3, [0, 1, 3], [2]),
        ([[0], [1]], 2, [2, 2], [0, 1]),
        ([[0]], 1, [1], [0]),
    ],
)
def test_folds_share_the_elements(elements, n_folds, folds, alone):
    found = folds_of(elements, n_folds)
    assert (found[0].tolist(), found[1]) == (folds, alone)


def germanium(atoms, points):
    """Ge atoms are as those of Si are."""
    known = atoms.copy()
    known.symbols[known.symbols == "Ge"] = "Si"
    return true_density(known, points)


@pytest.mark.parametrize("most", [10, 10_000], ids=["iterative", "direct"])
@pytest.mark.parametrize("key", ["structures", "systems"])
def test_the_only_structure_with_an_element_is_not_held_out(monkeypatch, key, most):
    """Its error by fits that know nothing of the element would be all that chooses the ridge."""
    monkeypatch.setattr("deepmd_charge.model.fit.cluster._MOST", most)
    spec = specification(["Si", "C", "Ge", "X"], held_out=key, **SMALL)
    samples = [replace(s, system=str(k)) for k, s in enumerate(structures(spec, 6, 300))]
    other = sample(spec, structure(9, "SiCGeC"), 300, values=germanium)
    plain, found = fit(spec, samples), fit(spec, [replace(other, system="Ge"), *samples])
    assert found.solution.held_out < 1.3 * plain.solution.held_out
    assert found.n_folds == 5
    [line] = [text for text in found.doubts if "held-out" in text]
    assert line.startswith("the held-out error says nothing of Ge: what has some is not held out")
    assert not [text for text in plain.doubts if "held-out" in text]


def test_of_one_structure_the_order_of_the_atoms_does_not_matter():
    """Of a cell of five atoms, repeated, each fold would have all atoms of one kind."""
    spec = specification(**SMALL)
    fractions = np.array(list(np.ndindex(2, 2, 3)))[:10] / [2, 2, 3]
    rng = np.random.default_rng(1)
    cell = CELL * [[2], [2], [2.5]]
    positions = (fractions + rng.normal(scale=0.02, size=(10, 3))) @ cell
    atoms = Atoms("SiCCCC" * 2, positions, cell=cell, pbc=True)
    one = sample(spec, atoms, 2000)
    order = np.argsort(atoms.numbers == 6, kind="stable")
    other = replace(one, atoms=atoms[order], types=one.types[order])
    found, sorted_ = fit(spec, [one]), fit(spec, [other])
    assert found.n_folds == 5 and not [text for text in found.doubts if "held-out" in text]
    assert found.solution.held_out == pytest.approx(sorted_.solution.held_out, rel=1e-6)
    # an atom that is alone: its points are never held out
    lone = fit(spec, [replace(one, types=np.where(np.arange(10) == 0, 0, 1))])
    assert [text for text in lone.doubts if "the held-out error says nothing of Si" in text]


def test_a_ridge_beyond_those_that_are_tried_first_is_found():
    """Of what is nearly all noise."""
    rng = np.random.default_rng(2)
    rows = rng.normal(size=(60, 40))
    values = rows @ rng.normal(scale=0.3, size=40) + rng.normal(scale=2.0, size=60)
    equations = NormalEquations(40, 3)
    for f in range(3):
        equations.add(f, rows[20 * f : 20 * f + 20], values[20 * f : 20 * f + 20])
    tried = {}
    found = choose(equations, np.ones(40), np.zeros(40, dtype=bool), told=tried.__setitem__)
    assert 0.1 < found.ridge.strength < 100.0
    assert found.held_out == min(tried.values())
    held = [equations.held_out(np.full(40, s)) for s in np.logspace(-3, 3, 25)]
    assert found.held_out < 1.02 * min(held)


def test_the_strongest_ridge_is_told():
    spec = specification(**SMALL)
    for strength, n in ((1.0, 0), (100.0, 1), (300.0, 1)):
        found = doubts_of_ridge(spec, Solution(np.zeros(1), Ridge(strength), 1.0, 1.0, 1.0), [])
        assert len(found) == n
        assert all(re.search("strongest that is tried: .*descriptor/order$", x) for x in found)


@pytest.mark.parametrize("n, told", [(150, True), (4000, False)])
def test_an_element_that_hardly_a_point_is_near_to_is_told(n, told):
    spec = specification(order=0)
    found = fit(spec, structures(spec, 1, n))
    lines = [text for text in found.doubts if "too few grid points near atoms" in text]
    assert bool(lines) == told
    if told:
        assert re.search(r"to learn Si \(\d+ points within 1 A, [\d.]+ % of all\), C \(", lines[0])


@pytest.mark.parametrize("most", [10, 10_000], ids=["iterative", "direct"])
def test_errors_of_weighted_points_are_means(monkeypatch, most):
    """Points that all count a quarter have the errors of points that count one."""
    monkeypatch.setattr("deepmd_charge.model.fit.cluster._MOST", most)
    spec = specification(order=0)
    samples = structures(spec, 3, 300)
    quarter = [replace(s, weights=np.full(300, 0.25)) for s in samples]
    one, other = fit(spec, samples), fit(spec, quarter)
    for name in ("rmse", "held_out"):
        expected = getattr(one.solution, name)
        assert getattr(other.solution, name) == pytest.approx(expected, rel=1e-3)
    assert other.arrays["fitting.residual"] == pytest.approx(other.solution.rmse)


def test_short_rows_are_made_of_few_points_at_a_time():
    """Their pairs with atoms take the memory."""
    spec, told = specification(order=0, lmax=0), []
    fit(spec, structures(spec, 1, 9000), progress=lambda _, done, total: told.append(done))
    assert np.diff([0, *told]).max() <= 4096


def test_no_ridge_is_refused_in_one_line_without_a_matrix(monkeypatch):
    monkeypatch.setattr("deepmd_charge.model.fit.cluster._MOST", 10)
    spec = specification(order=2, ridge=0.0, **COMPLETE)
    with pytest.raises(ChargeError, match="cannot be solved with a ridge of 0e") as e:
        fit(spec, structures(spec, 1, 5000))
    assert "\n" not in str(e.value)
