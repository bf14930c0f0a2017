# SPDX-License-Identifier: LGPL-3.0-or-later
r"""The training of the autoencoder, from boxes that are streamed from disk.

.. math::
    \min_{E, D} \left\langle (x - D(E(x)))^2 \right\rangle

by Adam, over boxes x of random poses, each turned by one of the 24 rotations of the cube, drawn
anew in each epoch. Order and rotations of an epoch follow from the seed and its number: together
with the weights and the optimizer's moments they are all that a checkpoint needs, so that a run
that is interrupted after any epoch ends with the bits it would have ended with.
"""

from __future__ import annotations

import itertools
import json
import zlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from ..errors import ChargeError
from ..io.output import replacing
from ..stderr import loading, progress_is_shown
from ..typing import ArrayLike, Floats, Integers, PathLike
from ._eager import eagerly
from .autoencoder import Autoencoder, AutoencoderSettings, check_edge

__all__ = ["cube_rotations", "train_autoencoder"]


@eagerly
def train_autoencoder(
    boxes: Floats,
    settings: AutoencoderSettings | None = None,
    rows: ArrayLike | None = None,
    validation: float = 0.05,
    checkpoint: PathLike | None = None,
) -> Autoencoder:
    """Train an autoencoder until its validation loss falls no more.

    Parameters
    ----------
    boxes : np.ndarray, shape (n, copies, k, k, k)
        On the logarithmic scale, as :func:`.boxes.write_boxes` writes and maps them: no more
        than a batch is held in memory.
    settings : AutoencoderSettings, optional
    rows : array_like of int, optional
        Which of the n densities to train on. Default: all.
    validation : float, optional
        The part of these densities that is kept apart to tell when to stop.
    checkpoint : str or Path, optional
        A file to go on from, written after each epoch.

    Returns
    -------
    Autoencoder
        With the weights of the epoch of the smallest validation loss.

    Raises
    ------
    ChargeError
        If there are too few densities, boxes are of another size than the settings say, or the
        checkpoint is that of another training.
    """
    from tqdm import tqdm

    settings = settings or AutoencoderSettings()
    _check(boxes, settings)
    train, valid = _parts(boxes, rows, validation, settings.seed)
    # whole batches only: what is left over is others in the next epoch
    n_batches = len(train) // min(settings.batch_size, len(train))
    run = _Run(Autoencoder(settings), settings.epochs * n_batches)
    run.model.mean = _mean(boxes, train)
    # rounded, for sums may differ in their last bits from machine to machine
    mean = f"{run.model.mean:.9g}"
    told = json.dumps([asdict(settings), boxes.shape, zlib.crc32(train.tobytes()), mean])
    if checkpoint is not None and Path(checkpoint).exists():
        run.restore(checkpoint, told)
    with tqdm(
        desc="train",
        unit="batch",
        delay=1e-6,
        total=settings.epochs * n_batches,
        initial=len(run.history) * n_batches,
        disable=not progress_is_shown(),
    ) as bar:
        while not run.is_done:
            losses = []
            for batch in itertools.islice(
                _epoch(boxes, train, settings, len(run.history)), n_batches
            ):
                losses.append(run.step(batch))
                bar.update()
            run.end_epoch(float(np.mean(losses)), _loss(run.model, boxes, valid))
            bar.set_postfix_str("train {:.2e} validation {:.2e}".format(*run.history[-1]))
            if checkpoint is not None:
                run.store(checkpoint, told)
    run.model.weights = run.best
    return run.model


@dataclass
class _Run:
    """A training between two epochs."""

    model: Autoencoder
    n_steps: int
    history: list[tuple[float, float]] = field(default_factory=list)  # training, validation
    best: list[Floats] = field(default_factory=list)

    def __post_init__(self) -> None:
        with loading():
            import keras

        whole = keras.Sequential([self.model.encoder, self.model.decoder])
        warmup = max(1, self.n_steps // 100)
        rate = keras.optimizers.schedules.CosineDecay(
            0.0,
            decay_steps=max(1, self.n_steps - warmup),
            alpha=0.01,
            warmup_target=self.model.settings.learning_rate,
            warmup_steps=warmup,
        )
        self._optimizer = keras.optimizers.Adam(rate, clipnorm=1.0)
        whole.compile(self._optimizer, loss="mse")
        self._optimizer.build(whole.trainable_variables)
        self._whole = whole

    def step(self, batch: Floats) -> float:
        return float(self._whole.train_on_batch(batch, batch))

    def end_epoch(self, training: float, validation: float) -> None:
        if not self.history or validation < min(loss for _, loss in self.history):
            self.best = self.model.weights
        self.history.append((training, validation))

    @property
    def is_done(self) -> bool:
        settings = self.model.settings
        losses = [loss for _, loss in self.history]
        if not losses:
            return False
        since = len(losses) - 1 - int(np.argmin(losses))
        return len(losses) >= settings.epochs or since >= settings.patience

    def store(self, path: PathLike, told: str) -> None:
        arrays: dict[str, Any] = {
            **_named("w", self.model.weights),
            **_named("b", self.best),
            **_named("o", [np.asarray(v) for v in self._optimizer.variables]),
        }
        with replacing(path) as temporary, open(temporary, "wb") as file:
            np.savez(file, training=np.array(told), history=np.array(self.history), **arrays)

    def restore(self, path: PathLike, told: str) -> None:
        try:
            with np.load(path, allow_pickle=False) as file:
                arrays = dict(file)
            before = str(arrays["training"])
        except Exception:
            raise ChargeError(f"{path}: is no checkpoint; remove it") from None
        if before != told:
            raise ChargeError(
                f"{path}: is the checkpoint of another training (settings or boxes); remove it"
            )
        self.history = [(float(a), float(b)) for a, b in arrays["history"]]
        self.model.weights = _all_of("w", arrays)
        self.best = _all_of("b", arrays)
        for variable, value in zip(self._optimizer.variables, _all_of("o", arrays), strict=True):
            variable.assign(value)


def _named(letter: str, arrays: list[Floats]) -> dict[str, Floats]:
    return {f"{letter}{k:04d}": array for k, array in enumerate(arrays)}


def _all_of(letter: str, arrays: dict[str, Any]) -> list[Floats]:
    return [arrays[name] for name in sorted(arrays) if name[0] == letter and name[1:].isdigit()]


def cube_rotations() -> list[tuple[tuple[int, ...], tuple[int, ...]]]:
    """The 24 proper rotations of a cube: order of axes, and axes (0, 1, 2) reversed after that."""
    rotations = []
    for order in itertools.permutations(range(3)):
        for signs in itertools.product((1, -1), repeat=3):
            matrix = np.zeros((3, 3))
            matrix[range(3), order] = signs
            if np.linalg.det(matrix) > 0:
                rotations.append((order, tuple(k for k in range(3) if signs[k] < 0)))
    return rotations


def _epoch(
    boxes: Floats, train: Integers, settings: AutoencoderSettings, epoch: int
) -> Iterator[Floats]:
    """Batches (b, k, k, k, 1) of all boxes in random order, turned."""
    rng = np.random.default_rng([settings.seed, epoch])
    order = rng.permutation(len(train))
    rotations = cube_rotations()
    turns = rng.integers(len(rotations), size=len(train))
    for first in range(0, len(train), settings.batch_size):
        batch = []
        for k in order[first : first + settings.batch_size]:
            axes, reversed_axes = rotations[turns[k]]
            box = np.asarray(boxes[tuple(train[k])], dtype=np.float32)
            batch.append(np.flip(box.transpose(axes), reversed_axes))
        yield np.stack(batch)[..., None]


def _parts(
    boxes: Floats, rows: ArrayLike | None, validation: float, seed: int
) -> tuple[Integers, Integers]:
    """(density, copy) of each box to train on, and of the first copies to validate on."""
    chosen = np.arange(len(boxes)) if rows is None else np.asarray(rows)
    chosen = np.random.default_rng(seed).permutation(chosen)
    n_valid = max(1, round(validation * len(chosen)))
    if len(chosen) <= n_valid:
        raise ChargeError(f"{len(chosen)} densities to train on and to validate: give more")
    train = np.sort(chosen[n_valid:])
    copies = boxes.shape[1]
    pairs = np.stack([np.repeat(train, copies), np.tile(np.arange(copies), len(train))], axis=1)
    return pairs, np.stack([np.sort(chosen[:n_valid]), np.zeros(n_valid, dtype=int)], axis=1)


def _mean(boxes: Floats, pairs: Integers) -> float:
    return float(np.mean([np.mean(boxes[k, j], dtype=np.float64) for k, j in pairs]))


def _loss(model: Autoencoder, boxes: Floats, pairs: Integers) -> float:
    """Mean squared error of boxes."""
    step = model.settings.batch_size
    total = 0.0
    for first in range(0, len(pairs), step):
        part = pairs[first : first + step]
        batch = np.stack([np.asarray(boxes[k, j], dtype=np.float32) for k, j in part])
        wrong = model.decode(model.encode(batch)) - batch
        total += len(part) * float(np.mean(wrong**2, dtype=np.float64))
    return total / len(pairs)


def _check(boxes: Floats, settings: AutoencoderSettings) -> None:
    if boxes.ndim != 5 or boxes.shape[2:] != (settings.box,) * 3:
        raise ChargeError(
            f"boxes {boxes.shape} are not (densities, copies, {settings.box}, {settings.box},"
            f" {settings.box}), as the settings of the autoencoder say"
        )
    check_edge(settings.box)
