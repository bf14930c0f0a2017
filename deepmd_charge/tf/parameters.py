# SPDX-License-Identifier: LGPL-3.0-or-later
"""The variables of one part of the model, by name."""

import numpy as np
from deepmd.tf.env import tf
from deepmd.tf.utils.errors import GraphWithoutTensorError
from deepmd.tf.utils.graph import get_tensor_by_name_from_graph

from ..errors import ChargeError
from ..kernels.network import skips

__all__ = ["Parameters", "network", "new_network"]


class Parameters:
    """Arrays that become TensorFlow variables when the graph is built.

    Their values come from initialisation and statistics, from a frozen model,
    or, on a restart, from the checkpoint that is restored over them.

    Parameters
    ----------
    scope : str
        Variable scope.
    dtype : tf.DType
        Precision of the variables.
    """

    def __init__(self, scope, dtype):
        self._scope = scope
        self.dtype = dtype
        self._arrays = {}
        self._trainable = {}
        self._variables = {}

    def add(self, name, value, trainable):
        self._arrays[name] = np.asarray(value)
        self._trainable[name] = trainable

    def set(self, name, value):
        """Replace the initial value of a parameter by one of the same shape."""
        self._arrays[name] = np.reshape(value, self._arrays[name].shape)

    def value(self, name):
        return self._arrays[name]

    def build(self, suffix=""):
        """Make the variables in the current graph."""
        with tf.variable_scope(self._scope + suffix, reuse=tf.AUTO_REUSE):
            self._variables = {
                name: tf.get_variable(
                    name,
                    shape=array.shape,
                    dtype=self.dtype,
                    initializer=tf.constant_initializer(array),
                    trainable=self._trainable[name],
                )
                for name, array in self._arrays.items()
            }

    def __getitem__(self, name):
        return self._variables[name]

    def load(self, graph, suffix=""):
        """Take the values from a frozen graph.

        Raises
        ------
        ChargeError
            If the graph is of a model with other settings.
        """
        for name, array in self._arrays.items():
            full = f"{self._scope}{suffix}/{name}"
            try:
                value = get_tensor_by_name_from_graph(graph, full)
            except GraphWithoutTensorError:
                raise ChargeError(
                    f"the initial model has no {full}; use its own descriptor and fitting net"
                ) from None
            if np.shape(value) != array.shape:
                raise ChargeError(
                    f"the initial model's {full} has shape {np.shape(value)}, here it is "
                    f"{array.shape}; use its own descriptor and fitting net"
                )
            self.set(name, value)


def new_network(parameters, rng, sizes, trainable):
    """Add the layers of a fully connected network, initialised as DeePMD-kit does.

    Parameters
    ----------
    parameters : Parameters
        Where they go, as ``matrix_k`` and ``bias_k``.
    rng : numpy.random.Generator
        Source of the initial values.
    sizes : list of int
        Widths, the input's first.
    trainable : list of bool
        For each layer.
    """
    for k, (n_in, n_out) in enumerate(zip(sizes[:-1], sizes[1:], strict=True)):
        matrix = rng.normal(size=(n_in, n_out)) / np.sqrt(n_in + n_out)
        parameters.add(f"matrix_{k}", matrix, trainable[k])
        parameters.add(f"bias_{k}", rng.normal(size=n_out), trainable[k])


def network(parameters, x, n_layers, activation, resnet):
    """Hidden layers h <- activation(h W + b), with skip connections where widths allow.

    See :func:`deepmd_charge.kernels.network.skips`.
    """
    for k in range(n_layers):
        y = activation(
            tf.nn.bias_add(tf.matmul(x, parameters[f"matrix_{k}"]), parameters[f"bias_{k}"])
        )
        # of y itself TensorFlow may not know the width: DeePMD-kit's own gelu does not tell
        n = skips(*parameters.value(f"matrix_{k}").shape, resnet)
        x = y + tf.concat([x] * n, axis=1) if n else y
    return x
