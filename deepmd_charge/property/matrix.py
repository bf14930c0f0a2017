# SPDX-License-Identifier: LGPL-3.0-or-later
r"""The matrix that trees learn from: blocks side by side, and what sums latent arrays up.

Of latent arrays these are the principal components of their mean over poses, and means and
covariances of channels over poses and places (:mod:`.latents`), which hardly depend on how a
density lies in its box. Components, and the range of each column, are those of the training samples
alone.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ..errors import ChargeError
from ..typing import Floats
from .inputs import KINDS, Block, Inputs
from .intervals import excess
from .latents import pooled, pooled_names

__all__ = ["Columns", "PrincipalComponents"]

# Samples that components are made of, at most: a Gram matrix of 0.8 GB.
_MOST_SAMPLES = 10_000


@dataclass(frozen=True)
class PrincipalComponents:
    """Directions of largest variance.

    Attributes
    ----------
    mean : np.ndarray
        (d,).
    directions : np.ndarray
        (k, d), orthonormal, by falling variance.
    """

    mean: Floats
    directions: Floats

    @classmethod
    def fit(cls, values: Floats, n_components: int, seed: int = 0) -> PrincipalComponents:
        """Find the components of samples.

        Parameters
        ----------
        values : np.ndarray
            (n, d).
        n_components : int
            At most n - 1 or d are found.
        seed : int
            Draws 10000 samples where there are more.

        Returns
        -------
        PrincipalComponents
        """
        if len(values) > _MOST_SAMPLES:
            generator = np.random.default_rng(seed)
            values = values[generator.choice(len(values), _MOST_SAMPLES, replace=False)]
        mean = values.mean(axis=0, dtype=np.float64)
        centred = np.asarray(values, dtype=np.float64) - mean
        n, d = centred.shape
        if d <= n:
            _, vectors = np.linalg.eigh(centred.T @ centred)
            directions = vectors.T[::-1]
        else:
            variances, vectors = np.linalg.eigh(centred @ centred.T)
            kept = variances > 1e-12 * max(variances[-1], 1e-300)
            directions = ((vectors[:, kept] / np.sqrt(variances[kept])).T @ centred)[::-1]
        return cls(mean, np.ascontiguousarray(directions[: min(n_components, max(n - 1, 1))]))

    def project(self, values: Floats) -> Floats:
        """Components (n, k) of samples (n, d)."""
        return (values - self.mean) @ self.directions.T


@dataclass(frozen=True)
class Columns:
    """How samples become rows of a matrix.

    Attributes
    ----------
    names : tuple of str
        Of the columns, (d).
    kinds : tuple of str
        Of the columns, such as "invariants".
    components : PrincipalComponents or None
        Of latent arrays, where there are any.
    low, high : np.ndarray
        (d,) smallest and largest values in training.
    """

    names: tuple[str, ...]
    kinds: tuple[str, ...]
    components: PrincipalComponents | None
    low: Floats
    high: Floats

    @classmethod
    def fit(cls, inputs: Inputs, n_components: int, seed: int = 0) -> tuple[Columns, Floats]:
        """Set up the columns by training samples.

        Parameters
        ----------
        inputs : Inputs
        n_components : int
            Of latent arrays.
        seed : int

        Returns
        -------
        columns : Columns
        matrix : np.ndarray
            (n, d) of these samples.
        """
        components = None
        if "latent" in inputs.blocks:
            flat = _over_poses(inputs.blocks["latent"])
            components = PrincipalComponents.fit(flat, n_components, seed)
        names: list[str] = []
        kinds: list[str] = []
        for kind, block in _in_order(inputs):
            of_block = block.names
            if kind == "latent" and components is not None:
                of_block = (
                    *(f"latent PC {k + 1}" for k in range(len(components.directions))),
                    *pooled_names(block.shape[1]),
                )
            names += of_block
            kinds += [kind] * len(of_block)
        matrix = _assembled(inputs, components)
        # NaN, of elements that a table does not know, is a value of its own to trees
        low = np.fmin.reduce(matrix, axis=0)
        high = np.fmax.reduce(matrix, axis=0)
        return cls(tuple(names), tuple(kinds), components, low, high), matrix

    def matrix(self, inputs: Inputs) -> Floats:
        """Rows of samples, (n, d)."""
        return _assembled(inputs, self.components)

    def outside(self, matrix: Floats) -> Floats:
        """How far rows are outside of the training data, (n,); see :mod:`.intervals`."""
        return excess(matrix, self.low, self.high)


def _assembled(inputs: Inputs, components: PrincipalComponents | None) -> Floats:
    parts = []
    for kind, block in _in_order(inputs):
        if kind == "latent" and components is not None:
            arrays = block.values.reshape(len(inputs), *block.shape)
            parts.append(components.project(_over_poses(block)))
            parts.append(np.array([pooled(each) for each in arrays]))
        else:
            parts.append(block.values)
    if not parts:
        raise ChargeError("there is nothing to learn from; give --inputs")
    return np.concatenate(parts, axis=1, dtype=np.float64)


def _over_poses(block: Block) -> Floats:
    """Latent arrays (n, c * m^3), means over their poses."""
    return block.values.reshape(len(block.values), block.shape[0], -1).mean(axis=1)


def _in_order(inputs: Inputs) -> list[tuple[str, Block]]:
    return [(kind, inputs.blocks[kind]) for kind in KINDS if kind in inputs.blocks]
