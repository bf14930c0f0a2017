# SPDX-License-Identifier: LGPL-3.0-or-later
"""What a model of the family ``se_charge`` has learnt, compiled: see :class:`SeCharge`."""

from __future__ import annotations

import numpy as np

from ..atoms.images import Images
from ..model.descriptors.se_charge import SeChargeSpec
from ..model.equations.channels import mixtures, start
from ..model.equations.response import scales
from ..model.kernels.network import activation, skips
from ..model.kernels.radial import inverse_distance, switch
from ..model.neighbors import Neighbors
from ..model.spec import ModelSpec
from ..model.weights import Weights
from ..typing import Floats, Integers
from .family import Family, Function, Unsupported
from .layout import Layer, Moments
from .of_atoms import OfAtoms, OfStructures
from .tables import Functions, Unresolved, tabulate

__all__ = ["SeCharge"]

# Degree of the radial tables' polynomials and their tolerance.
_TABLES = {"float32": (4, 2e-7), "float64": (7, 2e-11)}


class SeCharge(Family):
    """Tables of the radial functions, and a net, for ``se_charge_writer``."""

    def __init__(self, spec: ModelSpec, weights: Weights) -> None:
        super().__init__(spec, weights)
        self._d = spec.family(SeChargeSpec)
        self._check_activations()

    @property
    def dtypes(self) -> set[str]:
        """The precisions of descriptor and net."""
        return {*super().dtypes, self.spec.fitting_net.dtype}

    def compile(self, real: str) -> Function:
        """See :meth:`.Family.compile`; tables may be too long to be made."""
        moments = self._moments()
        functions, begin = self._mixed() if moments.linear else self._embedding()
        # derivatives of the embedding's weight jump where it begins to fall
        smooth = self._d.rcut_smth
        breaks = [smooth] if smooth > 0.0 and not moments.linear else []
        try:
            table = tabulate(functions, self._d.rcut, *_TABLES[real], breaks)
        except Unresolved as unresolved:
            raise Unsupported(str(unresolved)) from None
        from .se_charge_writer import build, packed_scales

        kernel = build(moments, table, self.spec.places, begin, self._layers(moments), real)
        if not moments.scaled:
            return lambda images, points: kernel(points, images.bins)
        pack, width = packed_scales(moments, real)
        weights = self.weights.map(lambda array: np.asarray(array, np.float64))

        def compute(around: Neighbors, element: Integers, places: Integers) -> Floats:
            found = scales(self._d, weights, around, element, len(self.spec.elements))
            return pack(found)

        structures = OfStructures(
            lambda images: OfAtoms(self.spec, images, compute, (width,), real)
        )

        def difference(images: Images, points: Floats) -> Floats:
            of_atoms = structures(images)
            types = images.types[images.originals][of_atoms.atoms].astype(np.int32)
            types = types if len(types) else np.zeros(1, np.int32)
            return kernel(points, of_atoms.bins, types, of_atoms.near(images, points))

        return difference

    def _check_activations(self) -> None:
        """Refuse functions that the kernels do not have, though DeePMD-kit may."""
        names = [self.spec.fitting_net.activation_function]
        names += [self._d.activation_function] if self._d.embedded else []
        for name in names:
            try:
                activation(name)
            except (KeyError, ValueError):
                raise Unsupported(f"its activation_function {name}") from None

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
            scaled=d.rcut_env > 0.0,
        )

    def _mixed(self) -> tuple[Functions, Floats]:
        """The mixed radial functions of all elements, and what their sums start from."""
        d, n = self._d, len(self.spec.elements)
        weights = self.weights.map(lambda array: np.asarray(array, np.float64))
        mixes = mixtures(d, weights, n, "descriptor")
        begin = -start(weights, "descriptor")
        linear, offset = self.value("fitting.linear"), self.value("fitting.offset")
        if not d.by_atom(n):
            linear = self.value("descriptor.whiten[0]") @ linear
            offset = offset - self.value("descriptor.mean") @ linear
        mixes.insert(1, linear.reshape(n, d.n_radial, 1))
        # (elements, radial functions, mixed functions)
        mix = np.concatenate(mixes, axis=2)

        def functions(r: Floats) -> Floats:
            basis = d.basis(np, r)
            return np.concatenate(np.stack(basis, axis=1) @ mix, axis=1)

        return functions, np.append(begin, offset)

    def _embedding(self) -> tuple[Functions, Floats]:
        """The embedding nets' functions, and what their sums start from."""
        d = self._d
        shift, scale, number = (
            self.value(f"embedding.{name}") for name in ("mean", "scale", "neighbors")
        )
        function = activation(d.activation_function)
        nets = [self._net(f"embedding[{z}]") for z in range(len(self.spec.elements))]

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
            for matrix, bias in self.weights.layers(prefix)
        ]

    def _layers(self, moments: Moments) -> list[Layer]:
        """The net with standardisation before and the scale of the residual after it."""
        fitting = self.spec.fitting_net
        mean, scale = self.value("fitting.mean"), self.value("fitting.scale")
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
        residual = self.value("fitting.residual")
        bias = residual * self.value("fitting.output.bias")
        if not moments.linear:
            bias = bias + self.value("fitting.offset")
        matrix = residual * self.value("fitting.output.matrix")
        return [*layers, Layer(matrix, bias, "linear", 0)]
