# SPDX-License-Identifier: LGPL-3.0-or-later
r"""Moments of the embedding network, and their invariants: the Deep Charge paper's.

.. math::
    B_{c,lm} &= \frac1N \sum_j s(r_j) Y_{lm}(\mathbf u_j) G^{z_j}_c(s(r_j)), \qquad
        s(r) = w(r) / \sqrt{r^2 + \epsilon^2} \\
    D &= \sum_{lm} B_{c,lm} B_{c',lm}, \quad c' < M_<

with a network G for each element and the switching function w: the descriptor
DeepPot-SE (Phys. Rev. B 108, 235159), smooth on a nucleus.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from deepmd.tf.common import get_activation_func
from deepmd.tf.env import tf

from ...model.descriptors.se_charge import SeChargeSpec
from ...model.fit.sums import EmbeddingSums
from ...model.kernels.radial import switch
from .neighbors import Environment, Pairs
from .parameters import Parameters, network, new_network

__all__ = ["Embedded"]


class Embedded:
    """A network of s(r) for each element.

    Parameters
    ----------
    spec : SeChargeSpec
    parameters : Parameters
        Of the descriptor; the networks and the scaling of s are added to them.
    elements : sequence of int
        The types of atoms.
    rng : numpy.random.Generator
        Source of the networks' initial values.
    """

    def __init__(
        self,
        spec: SeChargeSpec,
        parameters: Parameters,
        elements: Sequence[int],
        rng: np.random.Generator,
    ) -> None:
        self.spec, self._elements = spec, elements
        self.activation = get_activation_func(spec.activation_function)
        self.parameters = parameters
        parameters.add("embedding.mean", 0.0, False)
        parameters.add("embedding.scale", 1.0, False)
        parameters.add("embedding.neighbors", 1.0, False)
        sizes, trainable = [1, *spec.neuron], [spec.trainable] * len(spec.neuron)
        for z in range(len(elements)):
            new_network(parameters, f"embedding[{z}]", rng, sizes, trainable)

    def build_moments(
        self, pairs: Pairs, types: tf.Tensor, n_centers: tf.Tensor, dtype: tf.DType
    ) -> tf.Tensor:
        """Build B, (ncenters, (lmax + 1)^2, channels); see :meth:`.Mixed.build_moments`."""
        p, d = self.parameters, self.spec
        mean, scale = p["embedding.mean"], p["embedding.scale"]
        moments: list[tf.Tensor] = []
        self._weights: list[tf.Tensor] = []
        environment = Environment(pairs, types, n_centers, d.rcut, dtype)
        for z, itype in enumerate(self._elements):
            r, inverse, ylm = environment.surroundings(itype, d.eps, d.lmax)
            s = inverse * switch(tf, r, d.rcut_smth, d.rcut)
            self._weights.append(s)
            flat = tf.reshape((s - mean) / scale, [-1, 1])
            g = network(p, f"embedding[{z}]", flat, len(d.neuron), self.activation, True)
            g = tf.reshape(g, tf.concat([tf.shape(s), [d.channels]], 0))
            weight = s / (scale * p["embedding.neighbors"])
            moments.append(tf.matmul(tf.stack(ylm, 1) * weight[:, None, :], g))
        return tf.add_n(moments)

    def build_features(self, moments: tf.Tensor) -> tf.Tensor:
        """Build D, (ncenters, dim_invariant)."""
        axis = moments[:, :, : self.spec.axis_neuron]
        gram = tf.matmul(tf.transpose(moments, [0, 2, 1]), axis)
        return tf.reshape(gram, [-1, self.spec.dim_invariant])

    def build_sample(self, moments: tf.Tensor) -> tf.Tensor:
        """Build what the sums of :meth:`new_sums` add up, after :meth:`build_moments`."""
        return tf.concat([tf.reshape(s, [-1]) for s in self._weights], 0)

    def new_sums(self) -> EmbeddingSums:
        """Sums over points that :meth:`set_statistics` takes."""
        return EmbeddingSums()

    def set_statistics(self, sums: EmbeddingSums) -> None:
        """Standardise s."""
        self.parameters.set("embedding.mean", sums.mean)
        self.parameters.set("embedding.scale", sums.std)
        self.parameters.set("embedding.neighbors", sums.neighbors)
