# SPDX-License-Identifier: LGPL-3.0-or-later
"""A frozen charge model as compiled code: see :class:`Engine`."""

import json

import numpy as np

from ..dataset import GRID_TYPE
from ..kernels.network import activation, skips
from ..kernels.radial import RADIAL_BASES, cutoff, inverse_distance, switch
from .kernel import TILE, Layer, Moments, build_kernel
from .tables import tabulate

__all__ = ["Engine", "Unsupported"]

# Degree of the radial tables' polynomials and their largest relative error.
_TABLES = {"float32": (4, 1e-7), "float64": (7, 1e-12)}

# What the engine knows of the arguments of input.json. A key that is not here
# may change the model, and then only the graph is right.
_DESCRIPTOR_KEYS = {
    *("type", "rcut", "radial", "n_radial", "core", "lmax", "n_channel", "axis_neuron"),
    *("triples", "n_triple", "eps", "rcut_smth", "neuron", "activation_function"),
    *("precision", "trainable", "seed"),
}
_FITTING_KEYS = {
    *("type", "neuron", "activation_function", "resnet", "precision", "trainable", "seed"),
}


class Unsupported(Exception):
    """The model has something that the engine does not know."""


class Engine:
    """The density of one model at points, compiled for this processor.

    What it computes is set by the model's own arguments and constants, with
    the functions of :mod:`deepmd_charge.kernels`.

    Parameters
    ----------
    constants : dict
        Names and arrays in the frozen graph, as
        :func:`.frozen.read_constants` gives them: those under ``se_charge``,
        ``se_charge_embedding_*`` and ``charge_fitting``, and, in a model with
        atomic densities, ``saed/step`` (h, A) and ``saed/coefficients``
        (elements, intervals, 4): :math:`f_z(r) = \\sum_k c_{zik} t^k` with
        :math:`r/h = i + t`, added for every atom; zero beyond the last interval.
    descriptor, fitting : dict
        The arguments ``model/descriptor`` and ``model/fitting_net``, complete.
    type_map : list of str
        Elements, and X for grid points.

    Raises
    ------
    Unsupported
        If an argument is unknown.
    """

    def __init__(self, constants, descriptor, fitting, type_map):
        unknown = (descriptor.keys() - _DESCRIPTOR_KEYS) | (fitting.keys() - _FITTING_KEYS)
        if unknown:
            raise Unsupported(f"arguments {', '.join(sorted(unknown))}")
        self._constants = constants
        self._d = descriptor
        self.rcut = float(descriptor["rcut"])
        self._elements = [t for t, name in enumerate(type_map) if name != GRID_TYPE]
        # index of a type among the elements
        self._index = np.cumsum([name != GRID_TYPE for name in type_map]) - 1
        wide = "float64" in (descriptor["precision"], fitting["precision"])
        self.precision = "float64" if wide else "float32"
        embedded = descriptor["radial"] == "embedding"
        n_channel = descriptor["neuron"][-1] if embedded else descriptor["n_channel"]
        moments = Moments(
            lmax=descriptor["lmax"],
            n_channel=n_channel,
            axis=min(descriptor["axis_neuron"], n_channel),
            triples=[] if embedded else [tuple(t) for t in descriptor["triples"]],
            n_triple=min(descriptor["n_triple"], n_channel),
            eps=descriptor["eps"],
            rcut=self.rcut,
            separate=not embedded,
            linear=not embedded,
        )
        functions, start = self._embedding() if embedded else self._mixed(moments)
        degree, tolerance = _TABLES[self.precision]
        table = tabulate(functions, self.rcut, degree, tolerance)
        # (intervals, terms, elements * functions) to one table an element
        table = table.reshape(*table.shape[:2], len(self._elements), -1).transpose(2, 0, 1, 3)
        saed = None
        self.reach = self.rcut
        if "saed/step" in constants:
            saed = float(constants["saed/step"]), constants["saed/coefficients"]
            self.reach = max(self.rcut, saed[0] * saed[1].shape[1])
        layers = self._layers(fitting, moments)
        self._kernel = build_kernel(moments, table, start, layers, self.precision, saed)

    @classmethod
    def of_graph(cls, constants):
        """The engine of a frozen graph's constants, which hold the arguments too."""
        script = constants.get("train_attr/training_script")
        if not script:
            raise Unsupported("a graph without its training script")
        model = json.loads(script)["model"]
        type_map = constants["model_attr/tmap"].decode().split()
        return cls(constants, model["descriptor"], model["fitting_net"], type_map)

    def density(self, images, points):
        """Density at points, in e/A^3.

        Parameters
        ----------
        images : Images
            The atoms, with periodic images up to ``reach`` from the cell.
        points : np.ndarray
            (n, 3) wrapped positions in A.

        Returns
        -------
        np.ndarray
            (n,)
        """
        cubes = np.floor(points / TILE).astype(np.int64)
        cubes -= cubes.min(axis=0)
        extent = cubes.max(axis=0) + 1
        tiles = (cubes[:, 0] * extent[1] + cubes[:, 1]) * extent[2] + cubes[:, 2]
        order = np.argsort(tiles, kind="stable")
        values = np.empty(len(points))
        values[order] = self._kernel(
            np.ascontiguousarray(points[order]), tiles[order], images.bins(self._index)
        )
        return values

    def novelty(self, images, points):
        """How far each point's neighbour count is outside the training range.

        As :meth:`.graph.FrozenGraph.novelty`; parameters as for :meth:`density`.
        """
        low, high = (
            np.asarray(self._constants[f"se_charge/crowding_{end}"], np.float64)
            for end in ("low", "high")
        )
        crowding = np.zeros((len(points), len(self._elements)))
        centres, atoms, r = images.pairs(points, self.rcut)
        np.add.at(
            crowding, (centres, self._index[images.types[atoms]]), cutoff(np, r, self.rcut)
        )
        outside = np.maximum(np.maximum(low - crowding, crowding - high), 0.0)
        return outside.sum(axis=1) / high.sum()

    def _value(self, name):
        return np.asarray(self._constants[name], np.float64)

    def _mixed(self, moments):
        """The mixed radial functions of all elements, and what their sums start from."""
        d = self._d
        mean = self._value("se_charge/mean")
        mixes = []
        for l in range(moments.lmax + 1):
            whiten = self._value(f"se_charge/whiten_{l}")
            mixes.append(whiten @ self._value(f"se_charge/mixing_{l}"))
            if l == 0:
                mixes.append(whiten @ self._value("charge_fitting/linear"))
        start = -mean @ np.concatenate(mixes[:2], axis=1)
        start[-1] += self._value("charge_fitting/offset")
        # (elements, radial functions, mixed functions)
        mix = np.concatenate(mixes, axis=1).reshape(len(self._elements), d["n_radial"], -1)

        def functions(r):
            basis = RADIAL_BASES[d["radial"]](np, r, self.rcut, d["n_radial"], d["core"])
            return np.concatenate(np.stack(basis, axis=1) @ mix, axis=1)

        return functions, start

    def _embedding(self):
        """The embedding nets' functions, and what their sums start from."""
        d = self._d
        shift, scale, number = (
            self._value(f"se_charge/{name}") for name in ("s_mean", "s_scale", "n_neighbors")
        )
        function = activation(d["activation_function"])

        def functions(r):
            s = inverse_distance(np, r, d["eps"]) * switch(np, r, d["rcut_smth"], self.rcut)
            weight = s / (scale * number)
            out = []
            for t in self._elements:
                x = ((s - shift) / scale)[:, None]
                for k in range(len(d["neuron"])):
                    net = f"se_charge_embedding_{t}"
                    y = x @ self._value(f"{net}/matrix_{k}") + self._value(f"{net}/bias_{k}")
                    y = function(np, y)
                    n = skips(x.shape[1], y.shape[1])
                    x = y + np.tile(x, [1, n]) if n else y
                out.append(weight[:, None] * x)
            return np.concatenate(out, axis=1)

        return functions, np.zeros(d["neuron"][-1])

    def _layers(self, fitting, moments):
        """The net with standardisation before and the scale of the residual after it."""
        scope = "charge_fitting"
        mean, scale = self._value(f"{scope}/mean"), self._value(f"{scope}/scale")
        standard = np.diag(1.0 / scale), -mean / scale
        layers, n_in = [], len(mean)
        for k, n_out in enumerate(fitting["neuron"]):
            matrix = self._value(f"{scope}/matrix_{k}")
            bias = self._value(f"{scope}/bias_{k}")
            n = skips(n_in, n_out, fitting["resnet"])
            if k == 0 and n:  # adds the standardised features: a layer of their own
                layers.append(Layer(*standard, "linear", 0))
            elif k == 0:
                bias = bias + standard[1] @ matrix
                matrix = matrix / scale[:, None]
            layers.append(Layer(matrix, bias, fitting["activation_function"], n))
            n_in = n_out
        residual = self._value(f"{scope}/residual")
        bias = residual * self._value(f"{scope}/bias_out")
        if not moments.linear:
            bias = bias + self._value(f"{scope}/offset")
        matrix = residual * self._value(f"{scope}/matrix_out")
        return [*layers, Layer(matrix, bias, "linear", 0)]
