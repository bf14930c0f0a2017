# SPDX-License-Identifier: LGPL-3.0-or-later
"""Latent arrays of densities, by a trained autoencoder that is kept as the content of its file."""

from __future__ import annotations

import hashlib
import os
import tempfile
from pathlib import Path

from ..errors import ChargeError
from ..grid.density import Density
from ..typing import Floats, PathLike
from .autoencoder import Autoencoder
from .boxes import BoxSource

__all__ = ["LatentEncoder", "encoder_of", "open_encoder"]


class LatentEncoder:
    """An autoencoder as what makes inputs.

    Parameters
    ----------
    path : str or Path
        File of :meth:`.Autoencoder.save`.

    Attributes
    ----------
    content : bytes
        Of the file.
    definition : str
        A hash of it.
    shape : tuple of int
        Of a latent array, (channels, k, k, k).
    """

    def __init__(self, path: PathLike) -> None:
        try:
            self.content = Path(path).read_bytes()
        except OSError as error:
            raise ChargeError(f"{path}: cannot be read: {error.strerror or error}") from None
        self.definition = hashlib.sha256(self.content).hexdigest()[:16]
        self._autoencoder = Autoencoder.load(path)
        settings = self._autoencoder.settings
        self.shape: tuple[int, ...] = (settings.latent_channels, *(settings.box // 8,) * 3)

    def encode(self, density: Density) -> Floats:
        """Latent array of a density, of shape `shape`."""
        box = BoxSource(density, self._autoencoder.settings.boxes).box()
        return self._autoencoder.encode(box[None])[0]


def open_encoder(path: PathLike) -> LatentEncoder:
    """Open the file of an autoencoder."""
    return LatentEncoder(path)


def encoder_of(content: bytes) -> LatentEncoder | None:
    """Open an autoencoder from the content of its file; None where it is empty."""
    if not content:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "autoencoder")
        Path(path).write_bytes(content)
        return LatentEncoder(path)
