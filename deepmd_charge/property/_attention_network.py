# SPDX-License-Identifier: LGPL-3.0-or-later
"""One member of the network with attention, as a Keras model, and its training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np

from ..errors import ChargeError
from ..stderr import loading
from ..typing import Floats, Integers

__all__ = ["AttentionSettings", "Member", "predict", "train"]

_BATCH = 256  # of predictions
# The part of the further features that is left out of each step.
_NOISE = 0.05
# Errors count linearly above this, in standard deviations of the targets.
_HUBER = 0.5


@dataclass(frozen=True)
class AttentionSettings:
    """Size and training of the network.

    Attributes
    ----------
    channels : int
        Of the maps.
    blocks : int
        Convolutions, each with its attention.
    units : int
        Of the dense layers.
    dropout : float
        The part of the dense units that is left out of each step.
    learning_rate : float
    batch_size : int
    epochs : int
        At most.
    patience : int
        Epochs without a smaller validation loss after which training ends.
    members : int
        Networks that are averaged.
    seed : int
    """

    channels: int = 32
    blocks: int = 2
    units: int = 256
    dropout: float = 0.2
    learning_rate: float = 2e-3
    batch_size: int = 64
    epochs: int = 100
    patience: int = 25
    members: int = 4
    seed: int = 0

    def __post_init__(self) -> None:
        counts = (self.channels, self.blocks, self.units, self.batch_size, self.epochs)
        if min(*counts, self.patience, self.members) < 1 or not 0.0 <= self.dropout < 1.0:
            raise ChargeError(
                "an attention network needs counts of at least 1 and a dropout in [0, 1): give"
                " other settings"
            )


class Member:
    """The layers of a member, with seeds of their own."""

    def __init__(self, settings: AttentionSettings, member: int) -> None:
        with loading():
            import keras

        self.keras, self.layers, self.settings = keras, keras.layers, settings
        self._seed = 1000 * (settings.seed + 1000 * member)

    def build(self, n_latent: int, n_extra: int, n_targets: int) -> Any:
        settings, layers = self.settings, self.layers
        latent = self.keras.Input((None, None, None, n_latent))
        extra = self.keras.Input((n_extra,))
        y = latent
        for _ in range(settings.blocks):
            y = self._conv(y, settings.channels, "gelu")
            y = self._attend_places(self._attend_channels(y))
        branches = [layers.GlobalAveragePooling3D()(y), layers.GlobalMaxPooling3D()(y)]
        if n_extra:
            branches.append(layers.Dropout(_NOISE, seed=self._next())(extra))
        y = self._dense(layers.Concatenate()(branches), settings.units, "gelu")
        for _ in range(2):
            step = self._dense(layers.LayerNormalization()(y), settings.units, "gelu")
            y = layers.Add()([y, layers.Dropout(settings.dropout, seed=self._next())(step)])
        y = layers.Dropout(settings.dropout, seed=self._next())(y)
        return self.keras.Model([latent, extra], self._dense(y, n_targets, None))

    def _attend_channels(self, y: Any) -> Any:
        channels = y.shape[-1]
        squeezed = self.layers.GlobalAveragePooling3D(keepdims=True)(y)
        squeezed = self._dense(squeezed, max(1, channels // 4), "relu")
        return self.layers.Multiply()([y, self._dense(squeezed, channels, "sigmoid")])

    def _attend_places(self, y: Any) -> Any:
        # pooling over channels, with layers that a saved model needs no code of ours for
        ops = self.keras.ops
        over = [ops.mean(y, axis=-1, keepdims=True), ops.max(y, axis=-1, keepdims=True)]
        weight = self._conv(self.layers.Concatenate()(over), 1, "sigmoid")
        return self.layers.Multiply()([y, weight])

    def _conv(self, y: Any, channels: int, activation: str) -> Any:
        return self.layers.Conv3D(
            channels, 3, padding="same", activation=activation, kernel_initializer=self._weights()
        )(y)

    def _dense(self, y: Any, units: int, activation: str | None) -> Any:
        return self.layers.Dense(units, activation=activation, kernel_initializer=self._weights())(
            y
        )

    def _weights(self) -> Any:
        return self.keras.initializers.GlorotUniform(seed=self._next())

    def _next(self) -> int:
        self._seed += 1
        return self._seed


def train(
    network: Any,
    settings: AttentionSettings,
    rng: np.random.Generator,
    data: tuple[Floats, Floats, Floats],
    parts: tuple[Integers, Integers],
) -> Iterator[float]:
    """Train a member; yields its validation loss after each epoch."""
    with loading():
        import keras

    def loss(known: Any, predicted: Any) -> Any:
        label, is_there = keras.ops.split(known, 2, axis=-1)
        error = keras.ops.abs(predicted - label)
        small = keras.ops.minimum(error, _HUBER)
        wrong = keras.ops.sum(is_there * small * (error - 0.5 * small))
        return wrong / keras.ops.maximum(keras.ops.sum(is_there), 1.0)

    z, features, labels = data
    is_there = np.isfinite(labels)
    known = np.concatenate([np.where(is_there, labels, 0.0), is_there], axis=1).astype(np.float32)
    train, valid = parts
    # whole batches only: what is left over is others in the next epoch
    size = min(settings.batch_size, len(train))
    n_steps = settings.epochs * (len(train) // size)
    rate = keras.optimizers.schedules.CosineDecay(settings.learning_rate, n_steps, alpha=0.01)
    network.compile(keras.optimizers.AdamW(rate, weight_decay=1e-3), loss=loss)
    best, best_loss, since = network.get_weights(), np.inf, 0
    for _ in range(settings.epochs):
        order = rng.permutation(train)
        poses = rng.integers(z.shape[1], size=len(order))
        for first in range(0, len(order) - size + 1, size):
            rows = order[first : first + size]
            batch = z[rows, poses[first : first + size]]
            network.train_on_batch([batch, features[rows]], known[rows])
        wrong = predict(network, z[valid], features[valid]) - labels[valid]
        now = float(np.nanmean(wrong**2)) if is_there[valid].any() else 0.0
        yield now
        since += 1
        if now < best_loss:
            best, best_loss, since = network.get_weights(), now, 0
        if since >= settings.patience:
            break
    network.set_weights(best)


def predict(network: Any, z: Floats, features: Floats) -> Floats:
    """Standardised targets (n, t), averaged over poses."""
    found = []
    for first in range(0, len(z), _BATCH):
        part = slice(first, first + _BATCH)
        poses = [network.predict_on_batch([z[part, k], features[part]]) for k in range(z.shape[1])]
        found.append(np.mean(poses, axis=0, dtype=np.float64))
    return np.concatenate(found)
