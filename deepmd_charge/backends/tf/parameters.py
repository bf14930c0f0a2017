# SPDX-License-Identifier: LGPL-3.0-or-later
"""The variables of one part of the model, by name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from deepmd.tf.env import tf
from deepmd.tf.utils.errors import GraphWithoutTensorError
from deepmd.tf.utils.graph import get_tensor_by_name_from_graph
from numpy.typing import ArrayLike, NDArray

from ...errors import ChargeError
from ...model.kernels.network import skips
from .names import graph_name

__all__ = ["Parameters", "network", "new_network"]


class Parameters:
    """Arrays that become TensorFlow variables when the graph is built.

    They have the names of :func:`deepmd_charge.model.weights.shapes` here, and
    those of :mod:`deepmd_charge.backends.tf.names` in the graph. Their values come from
    initialisation and statistics, from a frozen model, or, on a restart, from
    the checkpoint that is restored over them.

    Parameters
    ----------
    dtype : tf.DType
        Precision of the variables.
    elements : sequence of int, optional
        The types of atoms, for arrays of each element.
    """

    def __init__(self, dtype: tf.DType, elements: Sequence[int] = ()) -> None:
        self.dtype = dtype
        self._elements = elements
        self._arrays: dict[str, NDArray[Any]] = {}
        self._trainable: dict[str, bool] = {}
        self._variables: dict[str, tf.Variable] = {}

    def add(self, name: str, value: ArrayLike, trainable: bool) -> None:
        """Add a parameter with its initial value."""
        self._arrays[name] = np.asarray(value)
        self._trainable[name] = trainable

    def set(self, name: str, value: ArrayLike) -> None:
        """Replace the initial value of a parameter by one of the same shape."""
        self._arrays[name] = np.reshape(value, self._arrays[name].shape)

    def __contains__(self, name: str) -> bool:
        return name in self._arrays

    def value(self, name: str) -> NDArray[Any]:
        """The initial value of a parameter."""
        return self._arrays[name]

    def build(self, suffix: str = "") -> None:
        """Make the variables in the current graph."""
        for name, array in self._arrays.items():
            scope, variable = graph_name(name, self._elements, suffix).split("/")
            with tf.variable_scope(scope, reuse=tf.AUTO_REUSE):
                self._variables[name] = tf.get_variable(
                    variable,
                    shape=array.shape,
                    dtype=self.dtype,
                    initializer=tf.constant_initializer(array),
                    trainable=self._trainable[name],
                )

    def assign(self, session: tf.Session) -> None:
        """Give the variables their initial values in a session."""
        # all in one run: TensorFlow takes milliseconds for each set of operations that is new
        initializers = [self._variables[name].initializer for name in self._arrays]
        values = (initializer.inputs[1] for initializer in initializers)
        session.run(initializers, dict(zip(values, self._arrays.values(), strict=True)))

    def __getitem__(self, name: str) -> tf.Variable:
        return self._variables[name]

    def load(self, graph: tf.Graph, suffix: str = "") -> None:
        """Take the values from a frozen graph.

        Raises
        ------
        ChargeError
            If the graph is of a model with other settings.
        """
        for name, array in self._arrays.items():
            full = graph_name(name, self._elements, suffix)
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


def new_network(
    parameters: Parameters,
    prefix: str,
    rng: np.random.Generator,
    sizes: Sequence[int],
    trainable: Sequence[bool],
) -> None:
    """Add the layers of a fully connected network, initialised as DeePMD-kit does.

    Parameters
    ----------
    parameters : Parameters
        Where they go, as ``prefix.matrix[k]`` and ``prefix.bias[k]``.
    prefix : str
    rng : numpy.random.Generator
        Source of the initial values.
    sizes : list of int
        Widths, the input's first.
    trainable : sequence of bool
        For each layer.
    """
    for k, (n_in, n_out) in enumerate(pairwise(sizes)):
        matrix = rng.normal(size=(n_in, n_out)) / np.sqrt(n_in + n_out)
        parameters.add(f"{prefix}.matrix[{k}]", matrix, trainable[k])
        parameters.add(f"{prefix}.bias[{k}]", rng.normal(size=n_out), trainable[k])


def network(
    parameters: Parameters,
    prefix: str,
    x: tf.Tensor,
    n_layers: int,
    activation: Callable[[tf.Tensor], tf.Tensor],
    resnet: bool,
) -> tf.Tensor:
    """Hidden layers h <- activation(h W + b), with skip connections where widths allow.

    See :func:`deepmd_charge.model.kernels.network.skips`.
    """
    for k in range(n_layers):
        matrix, bias = parameters[f"{prefix}.matrix[{k}]"], parameters[f"{prefix}.bias[{k}]"]
        y = activation(tf.nn.bias_add(tf.matmul(x, matrix), bias))
        # DeePMD-kit's own gelu forgets the shape of what it is given
        n_in, n_out = matrix.shape.as_list()
        n = skips(n_in, n_out, resnet)
        x = y + tf.concat([x] * n, axis=1) if n else y
    return x
