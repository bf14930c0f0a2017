# SPDX-License-Identifier: LGPL-3.0-or-later
"""Models of the family ``se_cluster`` for the tests, and its equations, written out in numpy."""

import numpy as np
from test_descriptor import integral, real_harmonic
from training import RCUT, TYPE_MAP

from deepmd_charge.model import reference
from deepmd_charge.model.neighbors import neighbor_list
from deepmd_charge.model.spec import ModelSpec
from deepmd_charge.model.weights import Weights, shapes

SMALL = {
    "type": "se_cluster",
    "rcut": RCUT,
    "rcut_env": 4.0,
    "n_radial": 5,
    "n_radial_env": 3,
    "lmax": 3,
    "n_channel": 4,
    "n_product": 2,
    "lmax_product": 2,
    "precision": "float64",
}


def specification(type_map=TYPE_MAP, **descriptor):
    """The specification of a small model; float64 unless another precision is given."""
    return ModelSpec.from_dict(
        {
            "type_map": type_map,
            "descriptor": {**SMALL, **descriptor},
            "fitting_net": {"type": "charge", "neuron": []},
        }
    )


def random_weights(spec, seed=0, scale=1.0):
    """Weights at random, with densities of the order of 1 e/A^3."""
    rng = np.random.default_rng(seed)
    narrow = spec.descriptor.dtype
    arrays = {}
    for name, shape in shapes(spec).items():
        size = (
            scale if name == "contribution.coefficients" else 1.0 / np.sqrt(max(shape, default=1))
        )
        atomic = name.startswith(("environment", "contribution"))
        arrays[name] = rng.normal(scale=size, size=shape).astype("float64" if atomic else narrow)
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
    shifts = _shifts(atoms, d.rcut + d.rcut_env)
    contributions = [
        _coefficients(spec, weights, kind, *_neighbours(atoms, kinds, i, shifts, d.rcut_env))
        for i, kind in enumerate(kinds)
    ]
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
                values = [radial(d.radial, n, r, d.rcut, d.core) for n in range(d.n_radial)]
                found[p] += np.einsum("yn,y,n->", c, y, values)
    return found


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
    """Vectors from an atom to the others within a distance, images of itself too; their kinds."""
    vectors, found = [], []
    for j, position in enumerate(atoms.positions):
        for vector in _home(atoms, position - atoms.positions[i]) - shifts:
            if 1e-9 < np.linalg.norm(vector) < rcut:
                vectors.append(vector)
                found.append(kinds[j])
    return np.reshape(vectors, (-1, 3)), np.array(found)


def _coefficients(spec, weights, kind, vectors, kinds):
    """The coefficients of an atom, (harmonics, n_radial), from what stands in the docstrings."""
    d = spec.descriptor
    n_elements = len(spec.type_map) - 1
    phi = {l: [[1.0]] if l == 0 else [] for l in range(d.lmax + 1)}
    if d.order:
        r = np.linalg.norm(vectors, axis=1)
        u = vectors / np.sqrt(r**2 + d.eps**2)[:, None]
        b = {}
        for l in range(d.lmax + 1):
            a = np.zeros((2 * l + 1, n_elements, d.n_radial_env))
            for m in range(-l, l + 1):
                for z in range(n_elements):
                    for k in range(d.n_radial_env):
                        values = radial(d.radial_env, k, r, d.rcut_env, d.core)
                        values = values * real_harmonic(l, m, u)
                        a[m + l, z, k] = values[kinds == z].sum()
            a = a.reshape(2 * l + 1, -1)
            if l == 0:
                a = a - weights["environment.mean"]
            b[l] = a @ weights[f"environment.channels[{l}]"]
            phi[l] += [*b[l].T]
    if d.order == 2:
        n = min(d.n_product, b[0].shape[1])
        top = min(d.lmax, d.lmax_product)
        for l in range(d.lmax + 1):
            for l1 in range(top + 1):
                for l2 in range(l1, top + 1):
                    if not l2 - l1 <= l <= l1 + l2 or (l1 + l2 + l) % 2:
                        continue
                    g = integral(l1, l2, l)
                    for i in range(n):
                        for j in range(i if l1 == l2 else 0, n):
                            phi[l].append(np.einsum("abc,a,b->c", g, b[l1][:, i], b[l2][:, j]))
    table = weights["contribution.coefficients"][kind]
    rows, start = [], 0
    for l in range(d.lmax + 1):
        stop = start + len(phi[l])
        of_l = np.reshape(phi[l], (stop - start, 2 * l + 1))
        rows.append(of_l.T @ table[start:stop])
        start = stop
    assert start == len(table)
    return np.concatenate(rows)
