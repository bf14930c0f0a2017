# SPDX-License-Identifier: LGPL-3.0-or-later
r"""Moments of the embedding network, and their invariants: the Deep Charge paper's.

.. math::
    B_{c,lm} &= \frac1N \sum_j s(r_j) Y_{lm}(\mathbf u_j) G^{z_j}_c(s(r_j)), \qquad
        s(r) = w(r) / \sqrt{r^2 + \epsilon^2} \\
    D &= \sum_{lm} B_{c,lm} B_{c',lm}, \quad c' < M_<

with a network G for each element and the switching function w: the descriptor
DeepPot-SE (Phys. Rev. B 108, 235159), smooth on a nucleus.
"""

from deepmd.tf.common import get_activation_func
from deepmd.tf.env import tf

from ..errors import ChargeError
from ..kernels.radial import switch
from .parameters import Parameters, network, new_network

__all__ = ["Embedded"]


class Embedded:
    """A network of s(r) for each element.

    Parameters
    ----------
    parameters : Parameters
        Of the descriptor; the scaling of s is added to them.
    elements : list of int
        Types of the elements.
    rng : numpy.random.Generator
        Source of the networks' initial values.
    rcut, rcut_smth, neuron, activation_function, axis_neuron, trainable
        As in ``input.json``.

    Raises
    ------
    ChargeError
        If ``rcut_smth`` or the axes do not fit.
    """

    dim_linear = 0

    def __init__(
        self,
        parameters,
        elements,
        rng,
        rcut,
        rcut_smth,
        neuron,
        activation_function,
        axis_neuron,
        trainable,
    ):
        if axis_neuron > neuron[-1]:
            raise ChargeError(
                f"model/descriptor/axis_neuron {axis_neuron} is more than the {neuron[-1]} "
                "channels; lower it"
            )
        if rcut_smth >= rcut:
            raise ChargeError(f"model/descriptor/rcut_smth {rcut_smth} must lie below rcut {rcut}")
        self.rcut = rcut
        self.rcut_smth = rcut_smth
        self.n_layers = len(neuron)
        self.n_channel = neuron[-1]
        self.axis = axis_neuron
        self.activation = get_activation_func(activation_function)
        self.dim_out = self.n_channel * axis_neuron
        self.parameters = parameters
        parameters.add("s_mean", 0.0, False)
        parameters.add("s_scale", 1.0, False)
        parameters.add("n_neighbors", 1.0, False)
        self.nets = []
        for t in elements:
            net = Parameters(f"se_charge_embedding_{t}", parameters.dtype)
            new_network(net, rng, [1, *neuron], [trainable] * len(neuron))
            self.nets.append(net)

    def load(self, graph, suffix):
        """Take the networks from a frozen graph."""
        for net in self.nets:
            net.load(graph, suffix)

    def build_moments(self, atoms, suffix):
        """Build B, (ncenters, (lmax + 1)^2, channels).

        Parameters
        ----------
        atoms : list of tuple
            For each element r, 1 / sqrt(r^2 + eps^2), both (ncenters, pairs), and
            the harmonics, (lmax + 1)^2 of that shape.
        suffix : str
            Of variable scopes.
        """
        mean, scale = self.parameters["s_mean"], self.parameters["s_scale"]
        moments, self._weights = [], []
        for net, (r, inverse, ylm) in zip(self.nets, atoms, strict=True):
            net.build(suffix)
            s = inverse * switch(tf, r, self.rcut_smth, self.rcut)
            self._weights.append(s)
            flat = tf.reshape((s - mean) / scale, [-1, 1])
            g = network(net, flat, self.n_layers, self.activation, True)
            g = tf.reshape(g, tf.concat([tf.shape(s), [self.n_channel]], 0))
            weight = s / (scale * self.parameters["n_neighbors"])
            moments.append(tf.matmul(tf.stack(ylm, 1) * weight[:, None, :], g))
        return tf.add_n(moments)

    def build_features(self, moments):
        """Build D, (ncenters, dim_out)."""
        gram = tf.matmul(tf.transpose(moments, [0, 2, 1]), moments[:, :, : self.axis])
        return tf.reshape(gram, [-1, self.dim_out])

    def build_sample(self, moments):
        """Build what :meth:`set_statistics` takes, after :meth:`build_moments`."""
        return tf.concat([tf.reshape(s, [-1]) for s in self._weights], 0)

    def set_statistics(self, s, n_centers):
        """Standardise s on those of a sample of grid points, zero where padded."""
        s = s[s > 0]
        self.parameters.set("s_mean", s.mean())
        self.parameters.set("s_scale", s.std())
        self.parameters.set("n_neighbors", max(1.0, len(s) / n_centers))
