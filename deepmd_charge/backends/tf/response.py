# SPDX-License-Identifier: LGPL-3.0-or-later
"""How the radial channels of an atom respond to its surroundings: a net, once for each atom.

The equations are those of :mod:`deepmd_charge.model.equations.response`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from deepmd.tf.common import get_activation_func
from deepmd.tf.env import tf

from ...model.descriptors.se_charge import SeChargeSpec
from ...model.fit.sums import Spread, floored
from .mixed import Mixed
from .neighbors import RealAtoms, Sources, atom_pairs
from .parameters import Parameters, network, new_network

__all__ = ["Response"]


class Response:
    """A net of the invariants of an atom's surroundings, which scales its radial channels.

    Parameters
    ----------
    spec : SeChargeSpec
        Of the descriptor.
    parameters : Parameters
        Of the descriptor; those of the surroundings and the net are added to them.
    elements : sequence of int
        The types of atoms.
    rng : numpy.random.Generator
    """

    def __init__(
        self,
        spec: SeChargeSpec,
        parameters: Parameters,
        elements: Sequence[int],
        rng: np.random.Generator,
    ) -> None:
        self.spec, self.parameters = spec, parameters
        self.mixed = Mixed(spec.env, parameters, elements, rng, "response")
        self._activation = get_activation_func(spec.activation_function)
        first, *rest = neuron = spec.neuron_env
        n_elements, n_in = len(elements), spec.env.dim_invariant
        p, trained = parameters, spec.trainable
        p.add("response.invariant_mean", np.zeros(n_in), False)
        p.add("response.invariant_scale", np.ones(n_in), False)
        matrix = rng.normal(size=(n_in, first)) / np.sqrt(n_in + first)
        p.add("response.first", matrix, trained)
        p.add("response.element", rng.normal(size=(n_elements, first)), trained)
        new_network(p, "response", rng, neuron, [trained] * len(rest))
        # training starts from channels that are those of the element
        p.add("response.output.matrix", np.zeros((neuron[-1], spec.n_scales)), trained)
        p.add("response.output.bias", np.zeros((n_elements, spec.n_scales)), trained)

    def build_moments(self, sources: Sources, atoms: RealAtoms) -> tf.Tensor:
        """Build the moments of the other atoms around atoms, as :class:`.Mixed` does."""
        pairs = atom_pairs(sources, atoms, self.spec.rcut_env)
        types = tf.gather(sources.type, pairs.source)
        n_atoms, dtype = tf.shape(atoms.frame)[0], self.parameters.dtype
        return self.mixed.build_moments(pairs, types, n_atoms, dtype)

    def build_invariants(self, moments: tf.Tensor) -> tf.Tensor:
        """Build the invariants of moments, (natoms, dim_invariant)."""
        return self.mixed.build_invariants(self.mixed.build_channels(moments))

    def build_scales(self, invariants: tf.Tensor, types: tf.Tensor) -> tf.Tensor:
        """Build by how much the radial channels of atoms are scaled, (natoms, n_scales).

        Parameters
        ----------
        invariants : tf.Tensor
            (natoms, dim_invariant)
        types : tf.Tensor
            (natoms,) of the atoms.
        """
        p, element = self.parameters, self.mixed.build_places(types)
        x = (invariants - p["response.invariant_mean"]) / p["response.invariant_scale"]
        x = self._activation(
            tf.matmul(x, p["response.first"]) + tf.gather(p["response.element"], element)
        )
        n_layers = len(self.spec.neuron_env) - 1
        x = network(p, "response", x, n_layers, self._activation, True)
        bias = tf.gather(p["response.output.bias"], element)
        return 1.0 + tf.matmul(x, p["response.output.matrix"]) + bias

    def set_statistics(self, invariants: Spread) -> None:
        """Standardise the invariants."""
        self.parameters.set("response.invariant_mean", invariants.mean)
        self.parameters.set("response.invariant_scale", floored(invariants.std))
