# SPDX-License-Identifier: LGPL-3.0-or-later
"""The nets of ``se_cluster``, which scale the features of atoms.

The equations are those of :mod:`deepmd_charge.model.equations.gates`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from deepmd.tf.common import get_activation_func
from deepmd.tf.env import tf

from ...model.spec import ModelSpec
from ...model.weights import gate_shapes
from .parameters import Parameters, network, new_network

__all__ = ["Gates"]


class Gates:
    """A net for each element of the atom.

    Parameters
    ----------
    spec : ModelSpec
        Of a model with a net.

    Attributes
    ----------
    parameters : Parameters
        In float64, as all that is worked out once for each atom.
    """

    def __init__(self, spec: ModelSpec) -> None:
        self._spec = fitting = spec.fitting_net
        self._elements = spec.elements
        self._activation = get_activation_func(fitting.activation_function)
        shapes = gate_shapes(spec)
        self.parameters = p = Parameters(tf.float64, spec.elements)
        p.add("gate.mean", np.zeros(shapes["gate.mean"]), False)
        p.add("gate.scale", np.ones(shapes["gate.scale"]), False)
        rng = np.random.default_rng(fitting.seed)
        *hidden, trained = fitting.trained
        for z in range(len(spec.elements)):
            sizes = [shapes["gate.mean"][1] or 0, *fitting.neuron]
            new_network(p, f"gate[{z}]", rng, sizes, hidden)
            # training starts from the fit
            for name in (f"gate[{z}].output.matrix", f"gate[{z}].output.bias"):
                p.add(name, np.zeros([n or 0 for n in shapes[name]]), trained)

    def build(self, phi: Sequence[tf.Tensor], element: tf.Tensor) -> list[tf.Tensor]:
        """Build the features, for each l (natoms, 2 l + 1, features), of atoms of elements."""
        p = self.parameters
        norms = [tf.sqrt(1.0 + tf.reduce_sum(f * f, axis=1)) for f in phi[1:]]
        s = tf.concat([phi[0][:, 0, 1:], *norms], axis=1)
        counts = [int(f.shape[2]) for f in phi]
        gates = tf.zeros([tf.shape(s)[0], sum(counts)], dtype=s.dtype)
        for z in range(len(self._elements)):
            x = (s - p["gate.mean"][z]) / p["gate.scale"][z]
            n_layers = len(self._spec.neuron)
            x = network(p, f"gate[{z}]", x, n_layers, self._activation, self._spec.resnet)
            g = tf.matmul(x, p[f"gate[{z}].output.matrix"]) + p[f"gate[{z}].output.bias"]
            mine = tf.equal(element, z)[:, None]
            gates = tf.where_v2(mine, g, gates)
        parts = tf.split(1.0 + gates, counts, axis=1)
        return [f * g[:, None, :] for f, g in zip(phi, parts, strict=True)]
