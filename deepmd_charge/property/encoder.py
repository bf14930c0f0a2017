# SPDX-License-Identifier: LGPL-3.0-or-later
"""Latent arrays of densities, by a trained autoencoder that is kept as the content of its file.

An array depends on where the box begins and how it is turned. Each density is therefore taken in
several poses, drawn at random, the same for every one.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from ..errors import ChargeError
from ..typing import Floats, PathLike
from .autoencoder import Autoencoder

__all__ = ["N_POSES", "LatentEncoder", "encoder_of", "open_encoder"]

N_POSES = 4


class LatentEncoder:
    """An autoencoder as what makes inputs.

    Parameters
    ----------
    path : str or Path
        File of :meth:`.Autoencoder.save`.
    n_poses : int
        Of each density.

    Attributes
    ----------
    content : bytes
        Of the file.
    definition : str
        A hash of it and of the number of poses.
    shape : tuple of int
        Of the latent arrays of a density, (poses, c, m, m, m).
    boxes : BoxSettings
        What is encoded.
    """

    def __init__(self, path: PathLike, n_poses: int = N_POSES) -> None:
        self._autoencoder = Autoencoder.load(path)
        try:
            self.content = Path(path).read_bytes()
        except OSError as error:
            raise ChargeError(f"{path}: cannot be read: {error.strerror or error}") from None
        self.definition = hashlib.sha256(self.content).hexdigest()[:16] + f"x{n_poses}"
        settings = self._autoencoder.settings
        self.boxes = settings.boxes
        self.shape: tuple[int, ...] = (
            n_poses, settings.latent_channels, *(settings.box // 8,) * 3
        )  # fmt: skip

    def encode(self, boxes: Floats) -> Floats:
        """Latent arrays (poses, c, m, m, m) of boxes."""
        return self._autoencoder.encode(boxes)


def open_encoder(path: PathLike, n_poses: int = N_POSES) -> LatentEncoder:
    """Open the file of an autoencoder."""
    return LatentEncoder(path, n_poses)


def encoder_of(
    content: bytes, n_poses: int = N_POSES, name: str = "the model"
) -> LatentEncoder | None:
    """Open an autoencoder from the content of its file in a model; None where it is empty."""
    if not content:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "autoencoder.npz")
        Path(path).write_bytes(content)
        try:
            return LatentEncoder(path, n_poses)
        except ChargeError as error:
            told = str(error).removeprefix(f"{path}: ")
            raise ChargeError(f"{name}: the autoencoder in it: {told}") from None
