# SPDX-License-Identifier: LGPL-3.0-or-later
r"""A convolutional autoencoder that compresses boxes of the density.

.. math::
    z = E(x), \qquad x' = D(z), \qquad
    L = \langle (x - D(E(x)))^2 \rangle

with boxes x of :mod:`.boxes`. Each half is a linear map and a network,

.. math::
    E(x) = A * x + E'(x), \qquad D(z) = B * z + D'(z).

The network E' halves the edges three times, each time by a convolution of stride 2 and a residual
block,

.. math::
    y \leftarrow y + W_1\, \mathrm{GELU}(W_3 * y),

and ends with 16 channels, linear: 32^3 points become 16 x 4^3 = 1024 numbers, the 128^3 points of
arXiv:2605.07227 become 16 x 16^3. D' is its mirror image. A and B have kernels of 16^3 points at a
stride of 8; before training they are the 16 longest waves of a lapped cosine transform and E' and
D' are zero, so that training starts from a reconstruction that is blurred, where random weights
take thousands of boxes to give anything but the mean. Convolutions know no size: a trained
network takes every box whose edge is a multiple of 8 points.

Turned boxes are other boxes to it. It is trained on poses that are drawn at random, and on
each of the 24 rotations of the cube that keep the points in place.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from ..errors import ChargeError
from ..io.output import replacing
from ..typing import ArrayLike, Floats, PathLike
from ._blocks import build_decoder, build_encoder
from ._eager import eagerly
from .boxes import BoxSettings, from_log_scale

__all__ = ["TRAINED", "Autoencoder", "AutoencoderSettings", "Errors"]

# Comes with the package.
TRAINED = Path(__file__).parent / "tables" / "autoencoder.npz"
_VERSION = 1
_HALVINGS = 3


@dataclass(frozen=True)
class AutoencoderSettings:
    """Size and training of an autoencoder.

    Attributes
    ----------
    box : int
        Points along an edge of the boxes, a multiple of 8.
    spacing : float
        Their distance, A.
    channels : tuple of int
        After each of the three halvings.
    latent_channels : int
    seed : int
        Of the initial weights and of the order of boxes.
    learning_rate : float
        The highest; it rises during the first hundredth of the steps and falls by a cosine.
    batch_size : int
    epochs : int
        Most epochs: this is what the learning rate falls over.
    patience : int
        Epochs without a smaller validation loss after which training ends.
    """

    box: int = 32
    spacing: float = 0.3
    channels: tuple[int, ...] = (16, 32, 64)
    latent_channels: int = 16
    seed: int = 0
    learning_rate: float = 2e-3
    batch_size: int = 16
    epochs: int = 60
    patience: int = 10

    def __post_init__(self) -> None:
        object.__setattr__(self, "channels", tuple(self.channels))
        if len(self.channels) != _HALVINGS:
            raise ChargeError(f"channels {self.channels}: give one number for each of 3 halvings")
        counts = (*self.channels, self.latent_channels, self.batch_size, self.epochs, self.patience)
        if min(counts) < 1:
            raise ChargeError("an autoencoder needs at least one channel, box, epoch: give more")
        check_edge(self.box)

    @property
    def boxes(self) -> BoxSettings:
        """BoxSettings: What it is trained on."""
        return BoxSettings(self.box, self.spacing)


class Errors(NamedTuple):
    r"""Relative errors of reconstructed boxes, each (n,).

    Attributes
    ----------
    plain : np.ndarray
        :math:`\|x' - x\| / \|x\|` of the logarithmic scale.
    centred : np.ndarray
        :math:`\|x' - x\| / \|x - \bar x\|`, with the mean over the training set. Among random
        poses this is the same number at every point.
    density : np.ndarray
        :math:`\|\rho' - \rho\| / \|\rho\|`, of the smoothed density.
    """

    plain: Floats
    centred: Floats
    density: Floats


def check_edge(n: int) -> None:
    """Raise ChargeError unless an edge of n points can be halved three times."""
    factor = 2**_HALVINGS
    if n < factor or n % factor:
        raise ChargeError(
            f"a box of {n} points along an edge cannot be halved three times: give a multiple of"
            f" {factor}"
        )


class Autoencoder:
    """A network that compresses boxes, and the settings that it was made with.

    Parameters
    ----------
    settings : AutoencoderSettings, optional
        The weights are random until :func:`.autoencoder_training.train_autoencoder` finds better
        ones.

    Attributes
    ----------
    settings : AutoencoderSettings
    mean : float
        Of all boxes of the training set, on the logarithmic scale.
    """

    @eagerly
    def __init__(self, settings: AutoencoderSettings | None = None) -> None:
        self.settings = settings = settings or AutoencoderSettings()
        size = settings.channels, settings.latent_channels, settings.seed
        self.encoder, self.decoder = build_encoder(*size), build_decoder(*size)
        self.mean = 0.0

    @property
    @eagerly
    def weights(self) -> list[Floats]:
        """List of np.ndarray: all of them, of the encoder first."""
        return [*self.encoder.get_weights(), *self.decoder.get_weights()]

    @weights.setter
    @eagerly
    def weights(self, weights: list[Floats]) -> None:
        n = len(self.encoder.weights)
        self.encoder.set_weights(weights[:n])
        self.decoder.set_weights(weights[n:])

    @eagerly
    def encode(self, boxes: ArrayLike) -> Floats:
        """Compress boxes.

        Parameters
        ----------
        boxes : array_like, shape (n, k, k, k)
            On the logarithmic scale of :func:`.boxes.to_log_scale`, k a multiple of 8. A
            memory map is read batch by batch.

        Returns
        -------
        np.ndarray, shape (n, c, k/8, k/8, k/8)
            float32.

        Raises
        ------
        ChargeError
            If they are no boxes.
        """
        boxes = _check_boxes(boxes)
        latents = [
            np.moveaxis(self._run(self.encoder, part[..., None]), -1, 1)
            for part in self._batches(boxes)
        ]
        return np.concatenate(latents)

    @eagerly
    def decode(self, latents: ArrayLike) -> Floats:
        """Reconstruct boxes.

        Parameters
        ----------
        latents : array_like, shape (n, c, m, m, m)

        Returns
        -------
        np.ndarray, shape (n, 8m, 8m, 8m)
            float32, on the logarithmic scale.

        Raises
        ------
        ChargeError
            If they have another number of channels.
        """
        latents = np.asarray(latents, dtype=np.float32)
        if latents.ndim != 5 or latents.shape[1] != self.settings.latent_channels:
            raise ChargeError(
                f"latents {latents.shape}: this autoencoder has {self.settings.latent_channels}"
                " channels, (n, channels, m, m, m)"
            )
        boxes = [
            self._run(self.decoder, np.moveaxis(part, 1, -1))[..., 0]
            for part in self._batches(latents)
        ]
        return np.concatenate(boxes)

    def error(self, boxes: ArrayLike) -> Errors:
        """Errors of boxes (n, k, k, k) that are compressed and reconstructed."""
        boxes = _check_boxes(boxes)
        parts = [
            relative_errors(part, self.decode(self.encode(part)), self.mean)
            for part in self._batches(boxes)
        ]
        return Errors(*map(np.concatenate, zip(*parts, strict=True)))

    def save(self, path: PathLike, dtype: str = "float32") -> None:
        """Write one ``.npz`` file with weights, settings and the mean.

        Parameters
        ----------
        path : str or Path
        dtype : str, optional
            "float16" halves the file and changes latents by about 1e-3.
        """
        told = {"version": _VERSION, "settings": asdict(self.settings), "mean": self.mean}
        arrays: dict[str, Any] = {f"w{k:03d}": w.astype(dtype) for k, w in enumerate(self.weights)}
        with replacing(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(file, autoencoder=np.array(json.dumps(told)), **arrays)

    @classmethod
    @eagerly
    def load(cls, path: PathLike = TRAINED) -> Autoencoder:
        """Read what :meth:`save` wrote.

        Parameters
        ----------
        path : str or Path, optional
            Default: the one that comes with the package, which was trained on superposed
            densities of binary compounds.

        Returns
        -------
        Autoencoder

        Raises
        ------
        ChargeError
            If the file is none, or of another version of this package.
        """
        try:
            with np.load(path, allow_pickle=False) as file:
                told = json.loads(str(file["autoencoder"]))
                weights = [file[name].astype(np.float32) for name in sorted(file.files)[1:]]
        except FileNotFoundError:
            raise ChargeError(f"{path}: there is no such file") from None
        except Exception:
            raise ChargeError(f"{path}: is no autoencoder; train one, or give its file") from None
        if told["version"] != _VERSION:
            raise ChargeError(
                f"{path}: an autoencoder of version {told['version']}, this package reads version"
                f" {_VERSION}; train it again"
            )
        known = {field.name for field in fields(AutoencoderSettings)}
        settings = {key: value for key, value in told["settings"].items() if key in known}
        model = cls(AutoencoderSettings(**settings))
        model.weights = weights
        model.mean = float(told["mean"])
        return model

    def _run(self, network: Any, batch: Floats) -> Floats:
        return np.asarray(network.predict_on_batch(np.asarray(batch, dtype=np.float32)))

    def _batches(self, arrays: Floats) -> list[Floats]:
        step = self.settings.batch_size
        return [arrays[k : k + step] for k in range(0, len(arrays), step)]


def relative_errors(boxes: Floats, others: Floats, mean: float) -> Errors:
    """Errors of one batch of boxes (n, k, k, k) against another."""
    x, y = (np.asarray(a, dtype=np.float64).reshape(len(a), -1) for a in (boxes, others))
    norm = np.linalg.norm
    wrong = norm(y - x, axis=1)
    rho, other = from_log_scale(x), from_log_scale(y)
    return Errors(
        wrong / norm(x, axis=1),
        wrong / norm(x - mean, axis=1),
        norm(other - rho, axis=1) / norm(rho, axis=1),
    )


def _check_boxes(boxes: ArrayLike) -> Floats:
    boxes = np.asanyarray(boxes)
    if boxes.ndim != 4 or len(set(boxes.shape[1:])) != 1 or not len(boxes):
        raise ChargeError(f"boxes are (n, k, k, k), not {boxes.shape}")
    check_edge(boxes.shape[1])
    return boxes
