# SPDX-License-Identifier: LGPL-3.0-or-later
r"""Latents of densities, and what of them hardly depends on the pose of the box.

Of the latents :math:`z_{cp}` at the places p of several poses, the means and covariances of
channels,

.. math::
    m_c = \langle z_{cp} \rangle_p, \qquad
    C_{cd} = \langle (z_{cp} - m_c)(z_{dp} - m_d) \rangle_p, \qquad c \le d,

are features for methods that know nothing of places: 16 + 136 of them by default.
"""

from __future__ import annotations

import numpy as np

from ..grid.density import Density
from ..typing import ArrayLike, Floats
from .autoencoder import Autoencoder
from .boxes import BoxSource

__all__ = ["latents", "pooled", "pooled_names"]


def latents(density: Density, model: Autoencoder, poses: int = 0, seed: int = 0) -> Floats:
    """Compress the box of a density.

    Parameters
    ----------
    density : Density
    model : Autoencoder
        Its settings say how large the box is.
    poses : int, optional
        Boxes of random shift and rotation. Default: one box from the Cartesian origin along x,
        y and z.
    seed : int, optional
        Of these poses, the same for every density.

    Returns
    -------
    np.ndarray, shape (max(poses, 1), c, m, m, m)
        float32.

    Raises
    ------
    ChargeError
        If it is no charge density.
    """
    source = BoxSource(density, model.settings.boxes)
    rng = np.random.default_rng(seed)
    return model.encode(source.boxes(poses, rng) if poses else source.box()[None])


def pooled(latents: ArrayLike) -> Floats:
    """Means and covariances of channels over poses and places.

    Parameters
    ----------
    latents : array_like, shape (poses, c, m, m, m)

    Returns
    -------
    np.ndarray, shape (c + c (c + 1) / 2,)
        Means, then covariances (0, 0), (0, 1), ... (1, 1), (1, 2), ...
    """
    z = np.moveaxis(np.asarray(latents, dtype=np.float64), 1, 0)
    z = z.reshape(len(z), -1)
    mean = z.mean(axis=1)
    covariance = np.cov(z, bias=True).reshape(len(z), len(z))
    return np.concatenate([mean, covariance[np.triu_indices(len(z))]])


def pooled_names(channels: int) -> list[str]:
    """Names of the features that :func:`pooled` gives."""
    pairs = zip(*np.triu_indices(channels), strict=True)
    return [
        *(f"latent_mean_{c}" for c in range(channels)),
        *(f"latent_cov_{c}_{d}" for c, d in pairs),
    ]
