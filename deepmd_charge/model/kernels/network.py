# SPDX-License-Identifier: LGPL-3.0-or-later
"""The parts of a fully connected network."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import TypeAlias

from .arrays import Array, Namespace

__all__ = ["Activation", "activation", "skips"]

Activation: TypeAlias = Callable[[Namespace, Array], Array]


def skips(n_in: int, n_out: int, resnet: bool = True) -> int:
    """How many times over a layer adds its input to its output.

    As in DeePMD-kit: once where the widths are equal, twice side by side where
    the output is twice as wide.
    """
    return {n_in: 1, 2 * n_in: 2}.get(n_out, 0) if resnet else 0


def activation(name: str) -> Activation:
    """The activation function of a name that DeePMD-kit knows.

    Parameters
    ----------
    name : str
        "tanh", "silu", "silut:3.0", ..., in upper or lower case.

    Returns
    -------
    callable
        Takes the array namespace xp and x.

    Raises
    ------
    KeyError
        If there is no such function.
    """
    name, _, threshold = name.lower().partition(":")
    if name == "silut":
        return functools.partial(_silut, threshold=float(threshold or 3.0))
    return _ACTIVATIONS[name]


def _sigmoid(xp: Namespace, x: Array) -> Array:
    return 1.0 / (1.0 + xp.exp(-x))


def _tanh(xp: Namespace, x: Array) -> Array:
    return 1.0 - 2.0 / (1.0 + xp.exp(2.0 * x))


def _silu(xp: Namespace, x: Array) -> Array:
    return x / (1.0 + xp.exp(-x))


def _softplus(xp: Namespace, x: Array) -> Array:
    return xp.maximum(x, xp.zeros_like(x)) + xp.log1p(xp.exp(-xp.abs(x)))


def _relu(xp: Namespace, x: Array) -> Array:
    return xp.maximum(x, xp.zeros_like(x))


def _relu6(xp: Namespace, x: Array) -> Array:
    return xp.minimum(_relu(xp, x), 6.0 * xp.ones_like(x))


def _gelu(xp: Namespace, x: Array, cubic: float = 0.044715) -> Array:
    # 0.5 x (1 + tanh(t)) = x / (1 + exp(-2 t))
    t = math.sqrt(2.0 / math.pi) * (x + cubic * x * x * x)
    return x / (1.0 + xp.exp(-2.0 * t))


def _silut(xp: Namespace, x: Array, threshold: float) -> Array:
    """Silu below a threshold, above it a tanh of the same value and slope there."""
    sigmoid = 1.0 / (1.0 + math.exp(-threshold))
    slope = sigmoid + threshold * sigmoid * (1.0 - sigmoid)
    above = _tanh(xp, slope * (x - threshold)) + threshold * sigmoid
    return xp.where(x < threshold, _silu(xp, x), above)


_ACTIVATIONS: dict[str, Activation] = {
    "relu": _relu,
    "relu6": _relu6,
    "softplus": _softplus,
    "sigmoid": _sigmoid,
    "tanh": _tanh,
    "gelu": _gelu,
    # TensorFlow's own rounds the constant to float32
    "gelu_tf": functools.partial(_gelu, cubic=0.04471499845385551),
    "silu": _silu,
    "linear": lambda xp, x: x,
    "none": lambda xp, x: x,
}
