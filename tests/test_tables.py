# SPDX-License-Identifier: LGPL-3.0-or-later
"""Tables of radial functions: as good as asked, or refused."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deepmd_charge.engine.tables import Unresolved, tabulate
from deepmd_charge.model.kernels.network import activation
from deepmd_charge.model.kernels.radial import RADIAL_BASES, inverse_distance, switch

# degree and tolerance: those of the engine, and a coarse one
KINDS = [(4, 2e-7), (7, 2e-11), (3, 1e-4)]


def intervals(table):
    """(n, 2) ends of the table's intervals."""
    edges = [
        np.linspace(*pair, n + 1)
        for pair, n in zip(pairwise(table.cells.edges), table.counts, strict=True)
    ]
    return np.concatenate([np.stack([e[:-1], e[1:]], axis=1) for e in edges])


def assert_resolved(functions, end, degree, tolerance, breaks=()):
    """At random points of every interval and where functions change fastest."""
    table = tabulate(functions, end, degree, tolerance, breaks)
    ends = intervals(table)
    assert table.coefficients.shape[:2] == (len(ends), degree + 1)
    assert ends[0, 0] == 0.0 and ends[-1, 1] == end
    rng = np.random.default_rng(7)
    near = np.concatenate([[0.0], end * np.geomspace(1e-9, 1.0, 60)])
    special = np.concatenate([near, end - near, *(b + s * near for b in breaks for s in (-1, 1))])
    special = special[(special >= 0.0) & (special <= end)]
    for r in (*(ends[:, 0] + rng.uniform(size=(5, 1)) * np.diff(ends).T), special):
        mine = ends[np.minimum(np.searchsorted(ends[:, 1], r), len(ends) - 1)]
        inside = mine[:, :1] + np.linspace(0, 1, 7) * np.diff(mine)
        local = np.abs(functions(inside.reshape(-1))).reshape(*inside.shape, -1).max(axis=1)
        everywhere = np.linspace(0.0, end, 3000)
        mean = everywhere**2 @ np.abs(functions(everywhere)) / (everywhere**2).sum()
        assert np.all(np.abs(table(r) - functions(r)) <= tolerance * (local + mean))
    return table


def test_tables_are_continuous_and_as_good_as_asked():
    def functions(r):
        return np.stack([np.sin(9 * r) * np.exp(-r), 1e-7 * np.cos(r), 0 * r], axis=1)

    for degree, tolerance in [*KINDS, (7, 1e-12)]:
        table = assert_resolved(functions, 6.0, degree, tolerance)
        ends = [
            np.einsum("k,ikm->im", t ** np.arange(degree + 1), table.coefficients)
            for t in (-0.5, 0.5)
        ]
        assert ends[0][1:] == pytest.approx(ends[1][:-1], abs=1e-13)


def mixed(kind, n_radial, core, rcut, rng):
    mix = rng.normal(size=(n_radial, 5))
    return lambda r: np.stack(RADIAL_BASES[kind](np, r, rcut, n_radial, core), axis=1) @ mix


def embedded(eps, smooth, rcut, name, rng):
    """A network of the weighted inverse distance, in units of its spread in the sphere."""
    sizes = [1, 6, 12]
    layers = [(rng.normal(size=n), rng.normal(size=n[1])) for n in pairwise(sizes)]

    def weight(r):
        return inverse_distance(np, r, eps) * switch(np, r, smooth, rcut)

    sample = weight(rcut * np.linspace(0, 1, 1000) ** (1 / 3))

    def functions(r):
        s = weight(r)
        x = ((s - sample.mean()) / sample.std())[:, None]
        with np.errstate(over="ignore"):
            for matrix, bias in layers:
                x = activation(name)(np, x @ matrix + bias)
        return s[:, None] / sample.std() * x

    return functions


extent = st.sampled_from([0.7, 2.0, 3.5, 6.5, 12.0])
seeds = st.integers(0, 9999).map(np.random.default_rng)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    kind=st.sampled_from(sorted(RADIAL_BASES)),
    n_radial=st.sampled_from([1, 2, 7, 24, 48, 100, 150]),
    core=st.sampled_from([1e-2, 0.1, 0.15, 0.5, 3.0, 1e2, 1e5]),
    rcut=extent,
    rng=seeds,
    target=st.sampled_from(KINDS),
)
def test_any_radial_basis_is_resolved(kind, n_radial, core, rcut, rng, target):
    assert_resolved(mixed(kind, n_radial, core, rcut, rng), rcut, *target)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(
    eps=st.sampled_from([1e-3, 1e-2, 0.1, 0.5, 2.0, 20.0]),
    share=st.sampled_from([0.0, 1e-3, 0.1, 0.5, 0.9, 0.999]),
    rcut=extent,
    name=st.sampled_from(["tanh", "gelu", "gelu_tf", "silu", "sigmoid", "softplus", "linear"]),
    rng=seeds,
    target=st.sampled_from(KINDS),
)
def test_any_smooth_embedding_is_resolved(eps, share, rcut, name, rng, target):
    smooth = share * rcut
    breaks = [smooth] if smooth else []
    assert_resolved(embedded(eps, smooth, rcut, name, rng), rcut, *target, breaks)


@pytest.mark.slow
@settings(max_examples=30, deadline=None)
@given(
    name=st.sampled_from(["relu", "relu6", "silut", "silut:0.5", "silut:9"]),
    eps=st.sampled_from([1e-2, 0.5, 20.0]),
    rng=seeds,
    target=st.sampled_from(KINDS),
)
def test_kinks_are_resolved_or_refused(name, eps, rng, target):
    try:
        assert_resolved(embedded(eps, 0.5, 6.5, name, rng), 6.5, *target, [0.5])
    except Unresolved:
        # a jump of the second derivative takes few intervals, one of the first too many
        assert name.startswith("relu") or target[1] < 1e-10


@pytest.mark.parametrize(
    "function",
    [
        lambda r: np.abs(r - 1.2345678),
        lambda r: np.where(r < 4.3210987, 1.0, 1.0 + 1e-5),
        lambda r: np.sin(1e6 * r),
        lambda r: np.random.default_rng(0).normal(size=len(r)),
        lambda r: 1.0 / r,
        lambda r: np.where(r < 3.0, 1.0, np.nan),
    ],
    ids=["kink", "step", "hasty", "noise", "pole", "no number"],
)
def test_what_cannot_be_resolved_is_refused(function):
    def functions(r):
        with np.errstate(divide="ignore"):
            return np.stack([np.cos(r), function(r)], axis=1)

    with pytest.raises(Unresolved, match="radial functions"):
        tabulate(functions, 6.5, *KINDS[1])
