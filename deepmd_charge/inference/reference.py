# SPDX-License-Identifier: LGPL-3.0-or-later
"""A model in plain numpy, step by step as in its graph: what the engine has to agree with."""

import numpy as np

from ..kernels.coupling import coupling
from ..kernels.harmonics import harmonics
from ..kernels.network import activation, skips
from ..kernels.piecewise import piecewise_cubic
from ..kernels.radial import RADIAL_BASES, inverse_distance, switch
from ..sampling import GRID_TYPE

__all__ = ["Reference", "superposition"]


def superposition(frozen, images, points):
    """Superposition (n,), e/A^3, of the atomic densities that a model carries.

    Parameters
    ----------
    frozen : Frozen
        A model with a table: :attr:`Frozen.saed`.
    images : Images
        The atoms, with periodic images up to the model's reach from the cell.
    points : np.ndarray
        (n, 3) wrapped positions in A.
    """
    step, coefficients = frozen.saed
    point, atom, r = images.pairs(points, step * coefficients.shape[1])
    kinds = frozen.kinds[images.types[atom]]
    values = piecewise_cubic(np, r, kinds, step, coefficients)
    return np.bincount(point, values, minlength=len(points))


class Reference:
    """What a model has learnt, from its equations: slow, and for few points.

    Parameters
    ----------
    frozen : Frozen
        A model with its arguments.
    rounded : bool
        Whether to compute in the precision of the model instead of float64:
        the rounding is then about that of its graph.
    """

    def __init__(self, frozen, rounded=False):
        arguments = frozen.arguments
        self._d, self._f = arguments["descriptor"], arguments["fitting_net"]
        self._constants = frozen.constants
        self._kinds = frozen.kinds
        self._elements = [k for k, name in enumerate(frozen.type_map) if name != GRID_TYPE]

        def real(part):
            narrow = rounded and part["precision"] != "float64"
            return np.float32 if narrow else np.float64

        self._real = {"se_charge": real(self._d), "charge_fitting": real(self._f)}

    def __call__(self, images, points):
        """Density less any superposition, (n,) in e/A^3; parameters as for :func:`superposition`."""
        with np.errstate(all="ignore"):  # what overflows on the way is told by the result
            moments = self._moments(images, points)
            embedded = self._d["radial"] == "embedding"
            features, pair = (self._embedded if embedded else self._mixed)(moments)
            return self._fitting(features, pair)

    def _value(self, name):
        part = "charge_fitting" if name.startswith("charge_fitting") else "se_charge"
        return np.asarray(self._constants[name], self._real[part])

    def _moments(self, images, points):
        """Sums of radial functions and harmonics, (n, elements, harmonics, functions)."""
        d, n_kinds = self._d, len(self._elements)
        point, atom, _ = images.pairs(points, float(d["rcut"]))
        kind = self._kinds[images.types[atom]]
        order = np.lexsort([kind, point])
        point, atom, kind = point[order], atom[order], kind[order]
        vectors = (images.positions[atom] - points[point]).astype(self._real["se_charge"])
        x, y, z = vectors.T
        r = np.sqrt(x * x + y * y + z * z)
        inverse = inverse_distance(np, r, d["eps"])
        ylm = np.stack(harmonics(np, x * inverse, y * inverse, z * inverse, d["lmax"]))
        if d["radial"] == "embedding":
            radial = self._embedding(r, inverse, kind)
        else:
            basis = RADIAL_BASES[d["radial"]]
            radial = np.stack(basis(np, r, float(d["rcut"]), d["n_radial"], d["core"]))
        ends = np.searchsorted(point * n_kinds + kind, np.arange(len(points) * n_kinds + 1))
        sums = [ylm[:, a:b] @ radial[:, a:b].T for a, b in zip(ends[:-1], ends[1:])]
        return np.stack(sums).reshape(len(points), n_kinds, len(ylm), len(radial))

    def _embedding(self, r, inverse, kind):
        d = self._d
        shift, scale, number = (
            self._value(f"se_charge/{name}") for name in ("s_mean", "s_scale", "n_neighbors")
        )
        s = inverse * switch(np, r, d["rcut_smth"], float(d["rcut"]))
        out = np.empty((len(r), d["neuron"][-1]), r.dtype)
        for k, t in enumerate(self._elements):
            x = ((s[kind == k] - shift) / scale)[:, None]
            out[kind == k] = self._network(f"se_charge_embedding_{t}", x, d, True)
        return out.T * (s / (scale * number))

    def _embedded(self, moments):
        """The invariants (n, features)."""
        b = moments.sum(axis=1)
        gram = np.swapaxes(b, 1, 2) @ b[:, :, : self._d["axis_neuron"]]
        return gram.reshape(len(b), -1), None

    def _mixed(self, moments):
        """The invariants (n, features), and the pair-additive ones."""
        d, n = self._d, len(moments)
        axis, k = d["axis_neuron"], d["n_triple"]
        moments = np.moveaxis(moments, 1, 2).reshape(n, moments.shape[2], -1)
        features, b = [], []
        for l in range(d["lmax"] + 1):
            a = moments[:, l * l : (l + 1) ** 2]
            whiten, mixing = (self._value(f"se_charge/{name}_{l}") for name in ("whiten", "mixing"))
            if l == 0:
                pair = (a[:, 0] - self._value("se_charge/mean")) @ whiten
                b.append((pair @ mixing)[:, None])
                features.append(b[0][:, 0])
            else:
                b.append(a @ (whiten @ mixing))
            gram = np.swapaxes(b[l], 1, 2) @ b[l][:, :, :axis]
            features.append(gram.reshape(n, -1))
        for ls in d["triples"]:
            one, two, three = (b[l] for l in ls)
            g = coupling(*ls).astype(one.dtype)
            coupled = np.einsum("abc,nak,nbk->nkc", g, one[:, :, :k], two[:, :, :k], optimize=True)
            features.append((coupled @ three[:, :, :axis]).reshape(n, -1))
        return np.concatenate(features, axis=1), pair

    def _fitting(self, features, pair):
        mean, scale, residual, offset = (
            self._value(f"charge_fitting/{name}") for name in ("mean", "scale", "residual", "offset")
        )
        x = (features.astype(mean.dtype) - mean) / scale
        x = self._network("charge_fitting", x, self._f, self._f["resnet"])
        y = x @ self._value("charge_fitting/matrix_out") + self._value("charge_fitting/bias_out")
        density = residual * y + offset
        if pair is not None:
            density = density + pair.astype(mean.dtype) @ self._value("charge_fitting/linear")
        return density[:, 0].astype(np.float64)

    def _network(self, scope, x, arguments, resnet):
        function = activation(arguments["activation_function"])
        for k in range(len(arguments["neuron"])):
            matrix, bias = (self._value(f"{scope}/{name}_{k}") for name in ("matrix", "bias"))
            y = function(np, x @ matrix + bias)
            n = skips(x.shape[1], y.shape[1], resnet)
            x = y + np.tile(x, [1, n]) if n else y
        return x
