# SPDX-License-Identifier: LGPL-3.0-or-later
"""The graph of the descriptor against its equations, written out in numpy."""

import numpy as np
import pytest
from scipy.integrate import lebedev_rule
from scipy.special import sph_harm_y
from training import RCUT, TYPE_MAP, structure

from deepmd_charge.model.kernels.radial import RADIAL_BASES

POINTS = np.array(
    [[0.3, 0.2, 0.1], [2.0, 1.0, 3.0], [4.0, 3.9, 0.2], [-3.0, 11.0, 1.0], [1.1, 2.2, 3.3]]
)
EPS, CORE = 0.1, 0.5


TRIPLES = {0: [], 2: [(1, 1, 2), (2, 2, 2)], 6: [(1, 2, 3), (3, 3, 4), (5, 4, 1), (2, 6, 6)]}


def integral(l1, l2, l3):
    """Normalised integrals of three real harmonics, on scipy's Lebedev points."""
    u, weight = lebedev_rule(21)
    y = [[real_harmonic(l, m, u.T) for m in range(-l, l + 1)] for l in (l1, l2, l3)]
    g = np.einsum("p,ap,bp,cp->abc", weight, *y)
    return g / np.sqrt((g**2).sum())


def build(atoms, points, seed=3, **settings):
    """Features of points from the graph, and the descriptor with random parameters."""
    from deepmd.tf.env import tf

    from deepmd_charge.backends.tf.se_charge import SeCharge

    descriptor = SeCharge(rcut=RCUT, ntypes=3, precision="float64", seed=seed, **settings)
    rng = np.random.default_rng(seed)
    parameters = descriptor.parameters
    for name in list(parameters._arrays):
        value = parameters.value(name)
        parameters.set(name, value + 0.3 * rng.random(value.shape))
    symbols = atoms.get_chemical_symbols()
    types = [TYPE_MAP.index(s) for s in symbols] + [2] * len(points)
    natoms = [len(types)] * 2 + list(np.bincount(types, minlength=3))
    with tf.Graph().as_default():
        coord = tf.placeholder(tf.float64, [None])
        features = descriptor.build(
            coord,
            tf.constant(types, tf.int32),
            tf.constant(natoms, tf.int32),
            tf.constant(atoms.cell.array.reshape(-1)),
            tf.zeros([6 if atoms.pbc.any() else 0], tf.int32),
            {},
        )
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            where = np.concatenate([atoms.positions, points]).reshape(-1)
            return session.run(features, {coord: where}), descriptor


def neighbours(atoms, point):
    """(vectors, symbols) of all atoms and images within the cutoff, by brute force."""
    reach = np.arange(-6, 7) if atoms.pbc.any() else np.zeros(1)
    shifts = np.stack(np.meshgrid(reach, reach, reach), -1).reshape(-1, 3) @ atoms.cell.array
    fraction = np.linalg.solve(atoms.cell.array.T, point)
    if atoms.pbc.any():
        point = (fraction % 1) @ atoms.cell.array
    vectors = (atoms.positions[:, None] - point + shifts).reshape(-1, 3)
    symbols = np.repeat(atoms.get_chemical_symbols(), len(shifts))
    near = np.linalg.norm(vectors, axis=1) < RCUT
    return vectors[near], symbols[near]


def real_harmonic(l, m, u):
    """Racah-normalised real harmonics times |u|^l, from scipy's complex ones."""
    length = np.linalg.norm(u, axis=-1)
    theta = np.arccos(np.clip(u[:, 2] / np.maximum(length, 1e-300), -1, 1))
    y = sph_harm_y(l, abs(m), theta, np.arctan2(u[:, 1], u[:, 0]))
    y = y.real if m == 0 else np.sqrt(2) * (-1) ** m * (y.real if m > 0 else y.imag)
    return np.sqrt(4 * np.pi / (2 * l + 1)) * y * length**l


def chebyshev(n, r, n_radial, core):
    """T_n(2 q - 1) with all its digits where q is small."""
    q = np.log1p((r / core) ** 2) / np.log1p((RCUT / core) ** 2)
    return (-1.0) ** n * np.cos(2 * n * np.arcsin(np.sqrt(q)))


# the functions n = 0 ... n_radial - 1 of every radial basis without their cutoff
CLOSED_FORMS = {
    "bessel": lambda n, r, n_radial, core: np.sinc((n + 1) * r / RCUT),
    "chebyshev": chebyshev,
}


def radial(kind, n, r, n_radial, core=CORE):
    if kind not in CLOSED_FORMS:
        raise KeyError(f"no closed form for {kind}: add it to CLOSED_FORMS")
    return CLOSED_FORMS[kind](n, r, n_radial, core) * (1 - (r / RCUT) ** 2) ** 3


@pytest.mark.parametrize("core", [0.05, 0.5, 1e3])
@pytest.mark.parametrize("n_radial", [1, 2, 24, 100])
@pytest.mark.parametrize("kind", RADIAL_BASES)
def test_radial_functions_lose_no_digits(kind, n_radial, core):
    """Near a nucleus either recurrence of the textbook loses as many as n^2 has."""
    for precision, share in (("float64", 1e-15), ("float32", 3e-7)):
        r = np.concatenate([[0.0], RCUT * np.geomspace(1e-6, 0.999, 400)]).astype(precision)
        found = np.stack(RADIAL_BASES[kind](np, r, RCUT, n_radial, core), axis=1)
        r = r.astype(float)[:, None]
        n = np.arange(n_radial)
        assert found.dtype == precision
        assert np.all(np.abs(found - radial(kind, n, r, n_radial, core)) <= share * (n + 2))


@pytest.mark.slow
@pytest.mark.parametrize("periodic", [True, False], ids=["periodic", "molecule"])
@pytest.mark.parametrize("kind", RADIAL_BASES)
@pytest.mark.parametrize("lmax", [0, 2, 6])
def test_features_are_their_equations(kind, lmax, periodic):
    atoms = structure(1)
    atoms.pbc = periodic
    n_radial, channels, axis = 5, 4, 3
    features, descriptor = build(
        atoms,
        POINTS,
        radial=kind,
        lmax=lmax,
        n_radial=n_radial,
        n_channel=channels,
        axis_neuron=axis,
        eps=EPS,
        core=CORE,
        triples=TRIPLES[lmax],
        n_triple=2,
    )
    p = descriptor.parameters.value
    for point, found in zip(POINTS, features, strict=True):
        vectors, symbols = neighbours(atoms, point)
        r = np.linalg.norm(vectors, axis=1)
        u = vectors / np.sqrt(r**2 + EPS**2)[:, None]
        expected, moments = [], []
        for l in range(lmax + 1):
            a = np.array(
                [
                    [
                        np.sum(
                            (radial(kind, n, r, n_radial) * real_harmonic(l, m, u))[symbols == z]
                        )
                        for z in TYPE_MAP[:2]
                        for n in range(n_radial)
                    ]
                    for m in range(-l, l + 1)
                ]
            )
            if l == 0:
                pair = (a - p("descriptor.mean")) @ p("descriptor.whiten[0]")
                b = pair @ p("descriptor.mixing[0]")
                expected.append(b[0])
            else:
                b = a @ p(f"descriptor.whiten[{l}]") @ p(f"descriptor.mixing[{l}]")
            expected.append((b.T @ b[:, :axis]).reshape(-1))
            moments.append(b)
        for l1, l2, l3 in TRIPLES[lmax]:
            g = integral(l1, l2, l3)
            first, second, third = moments[l1][:, :2], moments[l2][:, :2], moments[l3][:, :axis]
            expected.append(np.einsum("abc,ak,bk,cm->km", g, first, second, third).reshape(-1))
        expected = np.concatenate([*expected, pair[0]])
        assert found == pytest.approx(expected, rel=1e-9, abs=1e-9)


@pytest.mark.slow
def test_embedding_is_the_descriptor_of_the_paper():
    atoms = structure(1)
    features, descriptor = build(
        atoms,
        POINTS,
        radial="embedding",
        lmax=1,
        neuron=[4, 8],
        axis_neuron=3,
        eps=EPS,
        rcut_smth=1.0,
    )
    p = descriptor.parameters.value
    for point, found in zip(POINTS, features, strict=True):
        vectors, symbols = neighbours(atoms, point)
        r = np.linalg.norm(vectors, axis=1)
        t = np.clip((r - 1.0) / (RCUT - 1.0), 0, 1)
        s = (t**3 * (-6 * t**2 + 15 * t - 10) + 1) / np.sqrt(r**2 + EPS**2)
        rows = s[:, None] * np.concatenate(
            [np.ones((len(r), 1)), vectors / np.sqrt(r**2 + EPS**2)[:, None]], axis=1
        )
        g = np.empty((len(r), 8))
        for z in range(2):
            x = ((s - p("embedding.mean")) / p("embedding.scale"))[:, None]
            x = np.tanh(x @ p(f"embedding[{z}].matrix[0]") + p(f"embedding[{z}].bias[0]"))
            y = np.tanh(x @ p(f"embedding[{z}].matrix[1]") + p(f"embedding[{z}].bias[1]"))
            x = y + np.concatenate([x, x], axis=1)
            mine = symbols == TYPE_MAP[z]
            g[mine] = x[mine]
        m = g.T @ rows / (p("embedding.scale") * p("embedding.neighbors"))
        assert found == pytest.approx((m @ m[:3].T).reshape(-1), rel=1e-9, abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("kind", [*RADIAL_BASES, "embedding"])
def test_features_are_smooth_through_a_nucleus_and_the_cutoff(kind):
    """Along a line second differences shrink like h^2, on a nucleus and where r = rcut."""
    atoms = structure(2, "Si")
    atoms.pbc = False
    direction = np.array([0.48, 0.6, 0.64])
    for distance in (0.0, RCUT):
        ratios = []
        for h in (0.02, 0.01):
            t = distance + h * (np.arange(-6, 7) + 0.5)
            t = np.append(t, 1.0)  # a point that gives the scale
            line = atoms.positions[0] + t[:, None] * direction
            features, _ = build(atoms, line, radial=kind, neuron=[4, 8], eps=0.3)
            assert np.isfinite(features).all()
            bends = np.abs(np.diff(features[:-1], n=2, axis=0)).max(axis=0)
            ratios.append((bends / np.abs(features[-1])).max())
        # a kink would halve the second difference, a jump keep it
        assert ratios[1] < 0.3 * ratios[0]


@pytest.mark.slow
def test_a_point_on_a_nucleus_is_finite_and_the_limit_of_its_surroundings():
    atoms = structure(1)
    on = atoms.positions[:1]
    for kind in (*RADIAL_BASES, "embedding"):
        at, _ = build(atoms, on, radial=kind)
        near, _ = build(atoms, on + 1e-7, radial=kind)
        assert np.isfinite(at).all()
        assert at == pytest.approx(near, rel=1e-4, abs=1e-4)


@pytest.mark.slow
def test_no_neighbour_is_cut_in_a_dense_cell():
    """Over 400 neighbours: there is no table that could be too short."""
    atoms = structure(1)
    atoms.set_cell(0.25 * atoms.cell, scale_atoms=True)
    features, descriptor = build(atoms, POINTS[:1], n_radial=1, lmax=0, n_channel=1, axis_neuron=1)
    vectors, symbols = neighbours(atoms, POINTS[0])
    assert len(vectors) > 400
    r = np.linalg.norm(vectors, axis=1)
    a = [np.sum(radial("bessel", 0, r[symbols == z], 1)) for z in TYPE_MAP[:2]]
    p = descriptor.parameters.value
    assert features[0, -2:] == pytest.approx((a - p("descriptor.mean")) @ p("descriptor.whiten[0]"))
