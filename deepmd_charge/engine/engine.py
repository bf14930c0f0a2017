# SPDX-License-Identifier: LGPL-3.0-or-later
"""A frozen charge model as compiled code: see :class:`Engine`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..atoms.images import Images
from ..model.kernels.network import activation, skips
from ..model.kernels.radial import cutoff, inverse_distance, switch
from ..model.spec import ModelSpec
from ..model.weights import COEFFICIENTS, STEP, Weights
from ..typing import Floats
from .layout import Layer, Moments
from .tables import Functions, Unresolved, tabulate
from .verification import Trial

if TYPE_CHECKING:
    from .superposition import Superposition

__all__ = ["Engine", "Unsupported"]

# Degree of the radial tables' polynomials and their tolerance.
_TABLES = {"float32": (4, 2e-7), "float64": (7, 2e-11)}

# What compiles, in the versions that are tested; pyproject.toml has them, too.
_COMPILER = "llvmlite>=0.45,<0.51"

# |d| <= _TOLERANCE * max(1 e/A^3, |rho|): how far the engine may be from the equations.
_TOLERANCE = {"float32": 1e-5, "float64": 1e-9}
# The same of the model's own rounding. Where it is more the graph is the model.
_ROUNDING = 1e-4


class Unsupported(Exception):
    """There is no engine for the model; the message tells why."""


class Engine:
    r"""The density of one model at points, compiled for this processor.

    What it computes is set by the model's specification and weights, with
    the functions of :mod:`deepmd_charge.model.kernels`.

    Parameters
    ----------
    spec : ModelSpec
    weights : Weights
    n_threads : int
        That may evaluate at the same time.

    Attributes
    ----------
    precision : {"float32", "float64"}
        Of the model. What float32 is too coarse for is computed in float64.
    superposition : Superposition or None
        Of the atomic densities that the model carries, if it does.

    Raises
    ------
    Unsupported
        If no table resolves its radial functions, if there is no working llvmlite, or if the
        compiled program is not what the equations say (:mod:`.verification`).
    """

    # points in one evaluation: little memory, and long enough to keep a core busy
    block = 16384

    def __init__(self, spec: ModelSpec, weights: Weights, n_threads: int = 1) -> None:
        self.threads = n_threads
        self._spec, self._weights = spec, weights
        self._d = spec.descriptor
        self._kinds = spec.places
        self._check_activations()
        wide = "float64" in (spec.descriptor.dtype, spec.fitting_net.dtype)
        self.precision = "float64" if wide else "float32"
        trial = Trial(spec, weights)
        if not trial.rounding <= _ROUNDING:
            raise Unsupported(
                f"rounding alone changes it by {trial.rounding:.0e} e/A^3, train it in float64"
            )
        # in float32 if that is enough
        for real in ["float64"] if wide else ["float32", "float64"]:
            self._compile(real)
            error = trial.error(self.difference, self.superposition)
            if error <= _TOLERANCE[self.precision]:
                return
        raise Unsupported(f"compiled it is off by {error:.0e} e/A^3")

    def density(self, images: Images, points: Floats) -> Floats:
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

    def difference(self, images: Images, points: Floats) -> Floats:
        """Density less that of ``superposition``; parameters as for :meth:`density`."""
        return self._difference(points, images.bins)

    def novelty(self, images: Images, points: Floats) -> Floats:
        """How far each point's neighbour count is outside the training range.

        As ``FrozenGraph.novelty``; parameters as for :meth:`density`.
        """
        low, high = (self._value(f"neighbor_range.{end}") for end in ("low", "high"))
        counts = np.zeros((len(points), len(low)))
        centres, atoms, r = images.pairs(points, self._d.rcut)
        np.add.at(counts, (centres, self._kinds[images.types[atoms]]), cutoff(np, r, self._d.rcut))
        outside = np.maximum(np.maximum(low - counts, counts - high), 0.0)
        return outside.sum(axis=1) / high.sum()

    def _check_activations(self) -> None:
        """Refuse functions that the kernels do not have, though DeePMD-kit may."""
        names = [self._spec.fitting_net.activation_function]
        names += [self._d.activation_function] if self._d.embedded else []
        for name in names:
            try:
                activation(name)
            except (KeyError, ValueError):
                raise Unsupported(f"its activation_function {name}") from None

    def _compile(self, real: str) -> None:
        """Make the programs of the two parts of the density, in this precision."""
        moments = self._moments()
        functions, start = self._mixed() if moments.linear else self._embedding()
        # derivatives of the embedding's weight jump where it begins to fall
        smooth = self._d.rcut_smth
        breaks = [smooth] if smooth > 0.0 and not moments.linear else []
        try:
            table = tabulate(functions, self._d.rcut, *_TABLES[real], breaks)
        except Unresolved as unresolved:
            raise Unsupported(str(unresolved)) from None
        parts = moments, table, self._kinds, start, self._layers(moments), real
        try:
            from .difference import build_difference
            from .superposition import Superposition

            self._difference = build_difference(*parts)
            self.superposition: Superposition | None = None
            if self._weights.superposed:
                atomic = self._value(COEFFICIENTS)[self._kinds]
                self.superposition = Superposition(float(self._value(STEP)), atomic)
        except Exception as error:  # llvmlite is absent, too old, or broken in some way
            reason = " ".join(str(error).split())[:200]
            raise Unsupported(
                f"it cannot be compiled here ({type(error).__name__}: {reason}); "
                f"pip install --force-reinstall '{_COMPILER}'"
            ) from error

    def _moments(self) -> Moments:
        d = self._d
        return Moments(
            lmax=d.lmax,
            n_channel=d.channels,
            axis=d.axis_neuron,
            triples=list(d.products),
            n_triple=d.n_triple,
            eps=d.eps,
            rcut=d.rcut,
            separate=not d.embedded,
            linear=not d.embedded,
        )

    def _value(self, name: str) -> Floats:
        return np.asarray(self._weights[name], np.float64)

    def _mixed(self) -> tuple[Functions, Floats]:
        """The mixed radial functions of all elements, and what their sums start from."""
        d = self._d
        mean = self._value("descriptor.mean")
        mixes = []
        for l in range(d.lmax + 1):
            whiten = self._value(f"descriptor.whiten[{l}]")
            mixes.append(whiten @ self._value(f"descriptor.mixing[{l}]"))
            if l == 0:
                mixes.append(whiten @ self._value("fitting.linear"))
        start = -mean @ np.concatenate(mixes[:2], axis=1)
        start[-1] += self._value("fitting.offset")
        # (elements, radial functions, mixed functions)
        mix = np.concatenate(mixes, axis=1)
        mix = mix.reshape(len(self._spec.elements), d.n_radial, -1)

        def functions(r: Floats) -> Floats:
            basis = d.basis(np, r)
            return np.concatenate(np.stack(basis, axis=1) @ mix, axis=1)

        return functions, start

    def _embedding(self) -> tuple[Functions, Floats]:
        """The embedding nets' functions, and what their sums start from."""
        d = self._d
        shift, scale, number = (
            self._value(f"embedding.{name}") for name in ("mean", "scale", "neighbors")
        )
        function = activation(d.activation_function)
        nets = [self._net(f"embedding[{z}]") for z in range(len(self._spec.elements))]

        def functions(r: Floats) -> Floats:
            s = inverse_distance(np, r, d.eps) * switch(np, r, d.rcut_smth, d.rcut)
            weight = s / (scale * number)
            out = []
            for net in nets:
                x = ((s - shift) / scale)[:, None]
                for matrix, bias in net:
                    y = function(np, x @ matrix + bias)
                    n_in, n_out = matrix.shape
                    n = skips(n_in, n_out)
                    x = y + np.tile(x, [1, n]) if n else y
                out.append(weight[:, None] * x)
            return np.concatenate(out, axis=1)

        return functions, np.zeros(d.channels)

    def _net(self, prefix: str) -> list[tuple[Floats, Floats]]:
        return [
            (np.asarray(matrix, np.float64), np.asarray(bias, np.float64))
            for matrix, bias in self._weights.layers(prefix)
        ]

    def _layers(self, moments: Moments) -> list[Layer]:
        """The net with standardisation before and the scale of the residual after it."""
        fitting = self._spec.fitting_net
        mean, scale = self._value("fitting.mean"), self._value("fitting.scale")
        standard = np.diag(1.0 / scale), -mean / scale
        layers = []
        for k, (matrix, bias) in enumerate(self._net("fitting")):
            n_in, n_out = matrix.shape
            n = skips(n_in, n_out, fitting.resnet)
            if k == 0 and n:  # adds the standardised features: a layer of their own
                layers.append(Layer(*standard, "linear", 0))
            elif k == 0:
                bias = bias + standard[1] @ matrix
                matrix = matrix / scale[:, None]
            layers.append(Layer(matrix, bias, fitting.activation_function, n))
        residual = self._value("fitting.residual")
        bias = residual * self._value("fitting.output.bias")
        if not moments.linear:
            bias = bias + self._value("fitting.offset")
        matrix = residual * self._value("fitting.output.matrix")
        return [*layers, Layer(matrix, bias, "linear", 0)]
