# SPDX-License-Identifier: LGPL-3.0-or-later
"""A frozen charge model as compiled code: see :class:`Engine`."""

import numpy as np

from ..kernels.network import activation, skips
from ..kernels.radial import RADIAL_BASES, cutoff, inverse_distance, switch
from ..sampling import GRID_TYPE
from .layout import Layer, Moments
from .tables import Unresolved, tabulate
from .verification import Trial

__all__ = ["Engine", "Unsupported"]

# Degree of the radial tables' polynomials and their tolerance.
_TABLES = {"float32": (4, 2e-7), "float64": (7, 2e-11)}

# |d| <= _TOLERANCE * max(1 e/A^3, |rho|): how far the engine may be from the equations.
_TOLERANCE = {"float32": 1e-5, "float64": 1e-9}
# The same of the model's own rounding. Where it is more the graph is the model.
_ROUNDING = 1e-4

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
# These do not matter here.
_TRAINING_KEYS = {"trainable", "seed"}


class Unsupported(Exception):
    """There is no engine for the model; the message tells why."""


class Engine:
    r"""The density of one model at points, compiled for this processor.

    What it computes is set by the model's own arguments and constants, with
    the functions of :mod:`deepmd_charge.kernels`.

    Parameters
    ----------
    frozen : Frozen
        The model. The engine takes its constants under ``se_charge``,
        ``se_charge_embedding_*`` and ``charge_fitting``.

    Attributes
    ----------
    precision : {"float32", "float64"}
        Of the model. What float32 is too coarse for is computed in float64.
    superposition : Superposition or None
        Of the atomic densities that the model carries, if it does.

    Raises
    ------
    Unsupported
        If its arguments are unknown here or not known, if no table resolves its radial
        functions, if there is no working llvmlite, or if the compiled program is not
        what the equations say (:mod:`.verification`).
    """

    # points in one evaluation: little memory, and long enough to keep a core busy
    block = 16384

    def __init__(self, frozen, n_threads=1):
        self.threads = n_threads
        self._d, self._f = _understood(frozen.arguments)
        self._constants = frozen.constants
        # the graph's own rcut covers atomic densities too
        self._rcut = float(self._d["rcut"])
        self._elements = [k for k, name in enumerate(frozen.type_map) if name != GRID_TYPE]
        self._kinds = frozen.kinds
        wide = "float64" in (self._d["precision"], self._f["precision"])
        self.precision = "float64" if wide else "float32"
        trial = Trial(frozen)
        if not trial.rounding <= _ROUNDING:
            raise Unsupported(
                f"rounding alone changes it by {trial.rounding:.0e} e/A^3, train it in float64"
            )
        # in float32 if that is enough
        for real in ["float64"] if wide else ["float32", "float64"]:
            self._compile(frozen, real)
            error = trial.error(self)
            if error <= _TOLERANCE[self.precision]:
                return
        raise Unsupported(f"compiled it is off by {error:.0e} e/A^3")

    def density(self, images, points):
        """Density at points, in e/A^3.

        Parameters
        ----------
        images : Images
            The atoms, with periodic images up to the model's reach from the cell.
        points : np.ndarray
            (n, 3) wrapped positions in A.

        Returns
        -------
        np.ndarray
            (n,)
        """
        values = self.difference(images, points)
        return values if self.superposition is None else values + self.superposition(images, points)

    def difference(self, images, points):
        """Density less that of :attr:`superposition`; parameters as for :meth:`density`."""
        return self._difference(points, images.bins)

    def novelty(self, images, points):
        """How far each point's neighbour count is outside the training range.

        As :meth:`.graph.FrozenGraph.novelty`; parameters as for :meth:`density`.
        """
        low, high = (
            np.asarray(self._constants[f"se_charge/crowding_{end}"], np.float64)
            for end in ("low", "high")
        )
        crowding = np.zeros((len(points), len(self._elements)))
        centres, atoms, r = images.pairs(points, self._rcut)
        np.add.at(
            crowding, (centres, self._kinds[images.types[atoms]]), cutoff(np, r, self._rcut)
        )
        outside = np.maximum(np.maximum(low - crowding, crowding - high), 0.0)
        return outside.sum(axis=1) / high.sum()

    def _compile(self, frozen, real):
        """Make the programs of the two parts of the density, in this precision."""
        moments = self._moments()
        functions, start = self._mixed(moments) if moments.linear else self._embedding()
        # derivatives of the embedding's weight jump where it begins to fall
        smooth = self._d["rcut_smth"]
        breaks = [smooth] if smooth > 0.0 and not moments.linear else []
        try:
            table = tabulate(functions, self._rcut, *_TABLES[real], breaks)
        except Unresolved as reason:
            raise Unsupported(str(reason)) from None
        parts = moments, table, self._kinds, start, self._layers(moments), real
        try:
            from .difference import build_difference
            from .superposition import Superposition

            self._difference = build_difference(*parts)
            self.superposition = Superposition(frozen) if frozen.saed else None
        except Exception as error:  # llvmlite is absent, too old, or broken in some way
            reason = " ".join(str(error).split())[:200]
            raise Unsupported(
                f"it cannot be compiled here ({type(error).__name__}: {reason})"
            ) from error

    def _moments(self):
        d = self._d
        embedded = d["radial"] == "embedding"
        n_channel = d["neuron"][-1] if embedded else d["n_channel"]
        return Moments(
            lmax=d["lmax"],
            n_channel=n_channel,
            axis=min(d["axis_neuron"], n_channel),
            triples=[] if embedded else [tuple(t) for t in d["triples"]],
            n_triple=min(d["n_triple"], n_channel),
            eps=d["eps"],
            rcut=self._rcut,
            separate=not embedded,
            linear=not embedded,
        )

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
            basis = RADIAL_BASES[d["radial"]](np, r, self._rcut, d["n_radial"], d["core"])
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
            s = inverse_distance(np, r, d["eps"]) * switch(np, r, d["rcut_smth"], self._rcut)
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

    def _layers(self, moments):
        """The net with standardisation before and the scale of the residual after it."""
        fitting, scope = self._f, "charge_fitting"
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


def _understood(arguments):
    """The arguments of descriptor and fitting net, if the engine knows them all."""
    if arguments is None:
        raise Unsupported("it does not hold the input.json of its training")
    parts = []
    for part, kind, known in (
        ("descriptor", "se_charge", _DESCRIPTOR_KEYS),
        ("fitting_net", "charge", _FITTING_KEYS),
    ):
        given = arguments[part]
        if given["type"] != kind:
            raise Unsupported(f"its {part} is of type {given['type']}")
        for keys, what in (
            (given.keys() - known, "unknown"),
            (known - given.keys() - _TRAINING_KEYS, "missing"),
        ):
            if keys:
                raise Unsupported(f"of the arguments of its {part} {', '.join(sorted(keys))} {what}")
        try:
            activation(given["activation_function"])
        except (KeyError, ValueError):
            raise Unsupported(f"its activation_function {given['activation_function']}") from None
        parts.append(given)
    if parts[0]["radial"] not in (*RADIAL_BASES, "embedding"):
        raise Unsupported(f"its radial functions are {parts[0]['radial']}")
    return parts
