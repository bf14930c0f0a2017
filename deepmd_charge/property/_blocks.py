# SPDX-License-Identifier: LGPL-3.0-or-later
"""The two halves of the autoencoder, as Keras models that take boxes of any side.

Channels come last here, as Keras on a CPU wants them.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np

from ..stderr import loading
from ..typing import Floats
from ._strided import strided_layers

__all__ = ["build_decoder", "build_encoder"]

# What the network sees is (x - CENTRE) / SCALE, so that zeros beyond the faces of the box, which
# convolutions are padded with, are the mean of solids.
CENTRE = 0.2
SCALE = 0.23


class Layers:
    """Layers with seeds of their own, which do not depend on what else is made in this process."""

    def __init__(self, seed: int) -> None:
        with loading():
            import keras

        self.keras = keras
        self._strided, self._transposed = strided_layers()
        self._seeds = itertools.count(1000 * seed)

    def conv(self, x: Any, channels: int, width: int, **options: Any) -> Any:
        options = {"kernel_initializer": self._initializer(), "padding": "same", **options}
        kind = self._strided if "strides" in options else self.keras.layers.Conv3D
        return kind(channels, width, **options)(x)

    def transposed(self, x: Any, channels: int, width: int, **options: Any) -> Any:
        return self._transposed(channels, width, padding="same", **options)(x)

    def halve(self, x: Any, channels: int) -> Any:
        return self.conv(x, channels, 4 if x.shape[-1] == 1 else 2, strides=2)

    def double(self, x: Any, channels: int) -> Any:
        # its kernel is (2, 2, 2, out, in), and a point of the result has part in one of these 8
        initializer = self._initializer(8.0, "fan_out")
        return self.transposed(x, channels, 2, strides=2, kernel_initializer=initializer)

    def residual(self, x: Any) -> Any:
        """Add W1 gelu(W3 * x), with kernels of 1 and 3 points; nothing at first: W1 starts at 0."""
        channels = x.shape[-1]
        change = self.conv(x, channels, 3, activation="gelu")
        return self.keras.layers.Add()(
            [x, self.conv(change, channels, 1, kernel_initializer="zeros")]
        )

    def _initializer(self, scale: float = 1.0, mode: str = "fan_in") -> Any:
        """Weights that keep the variance: with smaller ones training would not start for long."""
        return self.keras.initializers.VarianceScaling(scale, mode, seed=next(self._seeds))


def build_encoder(channels: tuple[int, ...], latent_channels: int, seed: int) -> Any:
    """Build the map from boxes (b, n, n, n, 1) to latents (b, n/8, n/8, n/8, c)."""
    layers = Layers(seed)
    keras = layers.keras
    boxes = keras.Input((None, None, None, 1))
    scaled = x = keras.layers.Rescaling(1.0 / SCALE, -CENTRE / SCALE)(boxes)
    for count in channels:
        x = layers.residual(layers.halve(x, count))
    change = layers.conv(x, latent_channels, 1, kernel_initializer="zeros")
    waves = keras.initializers.Constant(lapped_cosines(latent_channels))
    linear = layers.conv(
        scaled, latent_channels, 16, strides=8, use_bias=False, kernel_initializer=waves
    )
    return keras.Model(boxes, keras.layers.Add()([linear, change]))


def build_decoder(channels: tuple[int, ...], latent_channels: int, seed: int) -> Any:
    """Build the map from latents (b, m, m, m, c) to boxes (b, 8m, 8m, 8m, 1)."""
    layers = Layers(seed + 1)
    keras = layers.keras
    latent = keras.Input((None, None, None, latent_channels))
    x = layers.residual(layers.conv(latent, channels[-1], 3))
    for count in reversed(channels[:-1]):
        x = layers.residual(layers.double(x, count))
    change = layers.transposed(x, 1, 4, strides=2, kernel_initializer="zeros")
    waves = keras.initializers.Constant(lapped_cosines(latent_channels))
    linear = layers.transposed(latent, 1, 16, strides=8, use_bias=False, kernel_initializer=waves)
    x = keras.layers.Add()([linear, change])
    return keras.Model(latent, keras.layers.Rescaling(SCALE, CENTRE)(x))


def lapped_cosines(n_waves: int) -> Floats:
    """Kernels (16, 16, 16, 1, n_waves) of the longest waves of a lapped orthogonal transform.

    At a stride of 8 points all 512 of them would give every box again, but near its faces.
    """
    n, k = np.arange(16), np.arange(8)
    phases = np.pi / 8.0 * (n[:, None] + 4.5) * (k + 0.5)
    waves = 0.5 * np.sin(np.pi / 16.0 * (n[:, None] + 0.5)) * np.cos(phases)
    longest = sorted(itertools.product(k, repeat=3), key=lambda m: (np.square(m).sum(), m))
    kernels = [
        np.einsum("i,j,k", waves[:, a], waves[:, b], waves[:, c]) for a, b, c in longest[:n_waves]
    ]
    return np.stack(kernels, axis=-1)[:, :, :, None]
