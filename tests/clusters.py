# SPDX-License-Identifier: LGPL-3.0-or-later
"""Models of the family ``se_cluster`` for the tests, and its equations, written out in numpy."""

import itertools

import numpy as np
from scipy.integrate import quad
from test_descriptor import integral, real_harmonic
from training import RCUT, TYPE_MAP

from deepmd_charge.model import reference
from deepmd_charge.model.neighbors import neighbor_list
from deepmd_charge.model.spec import ModelSpec
from deepmd_charge.model.weights import Weights, shapes

# What is worked out once for each atom, in float64.
ATOMIC = ("environment", "multiplied", "pair", "triple", "contribution", "gate")
SMALL = {
    "type": "se_cluster",
    "rcut": RCUT,
    "rcut_env": 4.0,
    "radial": "bessel",
    "n_radial": 5,
    "n_radial_env": 3,
    "lmax": 3,
    "n_channel": 4,
    "rcut_product": 3.5,
    "n_radial_product": 4,
    "n_radial_env_product": 2,
    "n_product": 2,
    "lmax_product": 2,
    "n_component": 5,
    "lmax_triple": 1,
    "n_triple": 2,
    "n_component_triple": 3,
    "n_transfer": 2,
    "precision": "float64",
}


def specification(type_map=TYPE_MAP, neuron=(), resnet=True, activation="silu", **descriptor):
    """The specification of a small model; float64 unless another precision is given."""
    net = {"neuron": neuron, "resnet": resnet, "activation_function": activation}
    return ModelSpec.from_dict(
        {
            "type_map": type_map,
            "descriptor": {**SMALL, **descriptor},
            "fitting_net": {"type": "charge", **net},
        }
    )


def random_weights(spec, seed=0, scale=1.0):
    """Weights at random, with densities of the order of 1 e/A^3."""
    rng = np.random.default_rng(seed)
    narrow = spec.descriptor.dtype
    arrays = {}
    for name, shape in shapes(spec).items():
        size = scale if name.startswith("contribution") else 1.0
        if "components" in name:
            size = 1.0 / np.sqrt(max(shape[1], 1))
        if "output" in name:
            size = 0.5 / np.sqrt(shape[0])
        values = rng.normal(scale=size, size=shape)
        if name == "gate.scale":
            values = 1.0 + np.abs(values)
        wide = name.startswith(ATOMIC)
        arrays[name] = values.astype("float64" if wide else narrow)
    arrays["neighbor_range.low"] = np.full_like(arrays["neighbor_range.low"], 0.5)
    arrays["neighbor_range.high"] = np.full_like(arrays["neighbor_range.high"], 2.0)
    return Weights(spec, arrays)


def density(spec, weights, atoms, points, reach=0.0):
    """The reference at points, (n,) e/A^3."""
    arrays = neighbor_list(spec, atoms, points, max(reach, spec.descriptor.rcut))
    return reference.evaluate(spec, weights, *arrays)[0, : len(points)]


def brute_force(spec, weights, atoms, points):
    """The density at points, (n,) e/A^3, by loops over atoms and their neighbours."""
    d = spec.descriptor
    elements = [name for name in spec.type_map if name != "X"]
    kinds = [elements.index(name) for name in atoms.get_chemical_symbols()]
    shifts = _shifts(atoms, d.reach)

    def around(i, rcut):
        return _neighbours(atoms, kinds, i, shifts, rcut)

    phi = [_features(spec, weights, kind, i, around) for i, kind in enumerate(kinds)]
    if spec.fitting_net.neuron:
        phi = [_gated(spec, weights, *of) for of in zip(kinds, phi, strict=True)]
    contributions = [_coefficients(spec, weights, *of) for of in zip(kinds, phi, strict=True)]
    if d.electrons == "exact":
        moments = [_integral(lambda r, n=n: _of(d, n, r), d.rcut) for n in range(d.n_radial)]
        carrier = np.array(moments) / np.dot(moments, moments)
        x = [f[0][0] @ weights["contribution.transfer"][z] for z, f in zip(kinds, phi, strict=True)]
        for i, kind in enumerate(kinds):
            held = weights["contribution.electrons"][kind]
            for vector, _, j in zip(*around(i, d.rcut_env), strict=True):
                r = np.linalg.norm(vector)
                for p in range(d.n_transfer):
                    share = radial(d.radial_env, p, r, d.rcut_env, d.core)
                    held += share * (x[j][p] - x[i][p])
            contributions[i][0] += held * carrier
    found = np.zeros(len(points))
    for p, point in enumerate(points):
        for position, c in zip(atoms.positions, contributions, strict=True):
            near = [
                v for v in _home(atoms, point - position) - shifts if np.linalg.norm(v) < d.rcut
            ]
            for vector in near:
                r = np.linalg.norm(vector)
                u = vector[None] / np.sqrt(r**2 + d.eps**2)
                y = [real_harmonic(l, m, u)[0] for l, m in _orders(d.lmax)]
                values = [_of(d, n, r) for n in range(d.n_radial)]
                found[p] += np.einsum("yn,y,n->", c, y, values)
    return found


def _of(d, n, r):
    return radial(d.radial, n, r, d.rcut, d.core)


def _integral(function, rcut):
    """Over all space, of a function of the distance up to rcut."""
    return quad(lambda r: 4.0 * np.pi * r**2 * function(r), 0.0, rcut, epsabs=1e-13)[0]


def radial(kind, n, r, rcut, core):
    """The radial function n of a basis at distances r (A)."""
    fall = np.where(r < rcut, (1.0 - (r / rcut) ** 2) ** 3, 0.0)
    if kind == "bessel":
        return np.sinc((n + 1) * r / rcut) * fall
    x = 2.0 * np.log1p((r / core) ** 2) / np.log1p((rcut / core) ** 2) - 1.0
    return np.cos(n * np.arccos(np.clip(x, -1.0, 1.0))) * fall


def _orders(lmax):
    return [(l, m) for l in range(lmax + 1) for m in range(-l, l + 1)]


def _shifts(atoms, reach):
    """Translations of the lattice up to a distance, beyond a wrapped vector."""
    if not atoms.pbc.any():
        return np.zeros((1, 3))
    heights = 1.0 / np.linalg.norm(np.linalg.inv(atoms.cell.complete().array), axis=0)
    n = np.where(atoms.pbc, np.ceil(reach / heights).astype(int) + 1, 0)
    steps = np.stack(np.meshgrid(*(np.arange(-k, k + 1) for k in n), indexing="ij"), -1)
    return steps.reshape(-1, 3) @ atoms.cell.complete().array


def _home(atoms, vector):
    """A vector moved by the lattice to where its fractions lie between 0 and 1."""
    cell = atoms.cell.complete().array
    fractions = vector @ np.linalg.inv(cell)
    return (fractions - np.floor(fractions) * atoms.pbc) @ cell


def _neighbours(atoms, kinds, i, shifts, rcut):
    """Of the others near an atom, images of itself too: vectors to them, kinds, places."""
    vectors, places = [], []
    for j, position in enumerate(atoms.positions):
        for vector in _home(atoms, position - atoms.positions[i]) - shifts:
            if 1e-9 < np.linalg.norm(vector) < rcut:
                vectors.append(vector)
                places.append(j)
    return np.reshape(vectors, (-1, 3)), np.array([kinds[j] for j in places]), places


def _moments(spec, vectors, kinds, lmax, n_radial, rcut):
    """Of each l (2 l + 1, elements * n_radial), as the docstrings have them."""
    d = spec.descriptor
    r = np.linalg.norm(vectors, axis=1)
    u = vectors / np.sqrt(r**2 + d.eps**2)[:, None]
    out = []
    for l in range(lmax + 1):
        a = np.zeros((2 * l + 1, len(spec.type_map) - 1, n_radial))
        for m, z, k in np.ndindex(a.shape):
            values = radial(d.radial_env, k, r, rcut, d.core) * real_harmonic(l, m - l, u)
            a[m, z, k] = values[kinds == z].sum()
        out.append(a.reshape(2 * l + 1, -1))
    return out


def _components(weights, name, kind, tensors):
    """Of tensors of each l, those of an element."""
    found = []
    for l, a in enumerate(tensors):
        centred = a - weights[f"{name}.mean"][kind] if l == 0 else a
        found.append(centred @ weights[f"{name}.components[{l}]"][kind])
    return found


def _products(lmax, top, taken):
    """Of each l the products of what taken(l1, l2) yields, in ascending l1 and l2."""
    out = []
    for l in range(lmax + 1):
        columns = [np.zeros((2 * l + 1, 0))]
        for l1, l2 in itertools.product(range(top + 1), repeat=2):
            if abs(l1 - l2) <= l <= l1 + l2 and (l1 + l2 + l) % 2 == 0:
                g = integral(l1, l2, l)
                columns += [np.einsum("abc,a,b->c", g, p, q)[:, None] for p, q in taken(l1, l2)]
        out.append(np.concatenate(columns, axis=1))
    return out


def _features(spec, weights, kind, i, around):
    """The features of an atom for each l, (2 l + 1, features)."""
    d = spec.descriptor
    phi = [[np.ones((1, 1))] if l == 0 else [np.zeros((2 * l + 1, 0))] for l in range(d.lmax + 1)]

    def add(parts):
        for l, of_l in enumerate(parts):
            phi[l].append(of_l)

    if d.order > 0:
        a = _moments(spec, *around(i, d.rcut_env)[:2], d.lmax, d.n_radial_env, d.rcut_env)
        add(_components(weights, "environment", kind, a))
    if d.order > 1:
        top, n = min(d.lmax, d.lmax_product), d.n_radial_env_product
        near = around(i, d.rcut_product)[:2]
        a = _moments(spec, *near, top, n, d.rcut_product)
        channels = [c.T for c in _components(weights, "multiplied", kind, a)]

        def two(l1, l2):
            for (i, p), (j, q) in itertools.product(*(enumerate(channels[l]) for l in (l1, l2))):
                if l1 < l2 or (l1 == l2 and i <= j):
                    yield p, q

        pairs = _components(weights, "pair", kind, _products(d.lmax, top, two))
        add(pairs)
    if d.order > 2:

        def three(l1, l2):
            return itertools.product(pairs[l1].T[: d.n_triple], channels[l2])

        top = min(top, d.lmax_triple)
        add(_components(weights, "triple", kind, _products(d.lmax, top, three)))
    return [np.concatenate(of_l, axis=1) for of_l in phi]


ACTIVATIONS = {"silu": lambda x: x / (1.0 + np.exp(-x)), "tanh": np.tanh}


def _gated(spec, weights, kind, phi):
    """The features of an atom, each times one and the answer of the net of its element."""
    net = spec.fitting_net
    x = list(phi[0][0, 1:])
    for of_l in phi[1:]:
        x += [np.sqrt(1.0 + column @ column) for column in of_l.T]
    x = (np.array(x) - weights["gate.mean"][kind]) / weights["gate.scale"][kind]
    for k in range(len(net.neuron)):
        matrix, bias = (weights[f"gate[{kind}].{name}[{k}]"] for name in ("matrix", "bias"))
        y = ACTIVATIONS[net.activation_function](x @ matrix + bias)
        times = len(y) / len(x)
        x = y + np.tile(x, int(times)) if net.resnet and times in (1, 2) else y
    gates = 1.0 + x @ weights[f"gate[{kind}].output.matrix"] + weights[f"gate[{kind}].output.bias"]
    parts = np.split(gates, np.cumsum([of_l.shape[1] for of_l in phi])[:-1])
    return [of_l * part for of_l, part in zip(phi, parts, strict=True)]


def _coefficients(spec, weights, kind, phi):
    """The coefficients of an atom of its features, (harmonics, n_radial)."""
    table = weights["contribution.coefficients"][kind]
    parts = np.split(table, np.cumsum([of_l.shape[1] for of_l in phi])[:-1])
    return np.concatenate([of_l @ part for of_l, part in zip(phi, parts, strict=True)])
