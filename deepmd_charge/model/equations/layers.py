# SPDX-License-Identifier: LGPL-3.0-or-later
"""The layers of networks."""

from __future__ import annotations

from collections.abc import Iterable

from ..kernels.arrays import Array, Namespace
from ..kernels.network import activation, skips

__all__ = ["hidden"]


def hidden(
    xp: Namespace, x: Array, layers: Iterable[tuple[Array, Array]], name: str, resnet: bool
) -> Array:
    """Layers h <- f(h W + b), plus h where widths allow: see :func:`.kernels.network.skips`."""
    function = activation(name)
    for matrix, bias in layers:
        y = function(xp, xp.matmul(x, matrix) + bias)
        n_in, n_out = matrix.shape
        n = skips(n_in, n_out, resnet)
        x = y + xp.concat([x] * n, axis=-1) if n else y
    return x
