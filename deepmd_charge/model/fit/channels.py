# SPDX-License-Identifier: LGPL-3.0-or-later
r"""The principal components of what atoms see: see :func:`set_channels`.

Of tensors t of atoms of one element with covariance :math:`C^l = \langle t_m t_m^T \rangle`,
eigenvectors v and standard deviations s in descending order, component k is
:math:`v_k \cdot t / \sqrt{s_k s_1}`: halfway between all alike and as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TypeAlias

import numpy as np

from ...atoms.images import Images
from ...typing import Floats, Integers
from ..descriptors.se_cluster import SeClusterSpec
from ..equations.se_cluster import (
    environment,
    multiplied,
    multiplied_channels,
    pair_components,
    pairs,
    triples,
)
from ..neighbors import Neighbors, around_atoms
from ..spec import ModelSpec
from ..weights import Weights

__all__ = ["set_channels"]

# Components that vary less, as a share of the first, are left out: they would be noise.
_NOISE = 1e-8
# So are those that vary less as a share of the root mean square of the scalars, or of one: what
# is zero by symmetry varies in a perfect crystal by rounding. Below the second share the first
# component is not made large.
_STILL, _LARGE = 1e-6, 1e-3

# Of some atoms: for each l tensors (atoms, 2 l + 1, n), and their elements (atoms,).
Tensors: TypeAlias = tuple[list[Floats], Integers]


def set_channels(spec: ModelSpec, arrays: dict[str, Floats], structures: list[Images]) -> None:
    """Set the components of a model's arrays to those of some structures.

    Parameters
    ----------
    spec : ModelSpec
    arrays : dict
        By the names of :func:`deepmd_charge.model.weights.shapes`; those of the components
        are replaced.
    structures : list of Images
    """
    d = spec.family(SeClusterSpec)

    def of_all(
        function: Callable[[Neighbors, Integers], list[Floats]],
    ) -> Callable[[], Iterator[Tensors]]:
        def found() -> Iterator[Tensors]:
            for images in structures:
                for around, element in around_atoms(spec, images):
                    of_l = function(around, element)
                    yield [a[0] for a in of_l], element[0]

        return found

    if d.order > 0:
        neighbours = of_all(lambda around, element: environment(spec, around, np.float64))
        _set(arrays, "environment", neighbours)
    if d.order > 1:
        closer = of_all(lambda around, element: multiplied(spec, around, np.float64))
        _set(arrays, "multiplied", closer)
        weights = Weights(spec, arrays)
        _set(arrays, "pair", of_all(lambda *a: pairs(spec, multiplied_channels(spec, weights, *a))))
    if d.order > 2:

        def three(around: Neighbors, element: Integers) -> list[Floats]:
            channels = multiplied_channels(spec, weights, around, element)
            return triples(spec, pair_components(spec, weights, channels, element), channels)

        _set(arrays, "triple", of_all(three))


def _set(arrays: dict[str, Floats], name: str, tensors: Callable[[], Iterable[Tensors]]) -> None:
    """Set the means and components of one kind of tensors, by the element of the atom."""
    mean = arrays[f"{name}.mean"]
    shapes = [arrays[key].shape for key in arrays if key.startswith(f"{name}.components")]
    squares = [np.zeros((n_elements, n, n)) for n_elements, n, _ in shapes]
    count = np.zeros(len(mean))
    total = np.zeros_like(mean)
    for of_l, element in tensors():
        for z in np.unique(element):
            mine = element == z
            count[z] += mine.sum()
            total[z] += of_l[0][mine].sum(axis=(0, 1))
            for l, tensor in enumerate(of_l):
                flat = tensor[mine].reshape(mine.sum() * (2 * l + 1), tensor.shape[-1])
                squares[l][z] += flat.T @ flat / (2 * l + 1)
    for z in np.flatnonzero(count):
        mean[z] = total[z] / count[z]
        size = np.sqrt(max(1.0, np.trace(squares[0][z]) / count[z]))
        for l, square in enumerate(squares):
            covariance = square[z] / count[z]
            if l == 0:
                covariance = covariance - np.outer(mean[z], mean[z])
            arrays[f"{name}.components[{l}]"][z] = _components(covariance, shapes[l][2], size)


def _components(covariance: Floats, n: int, size: float) -> Floats:
    """The n largest components of a covariance (k, k) of tensors of some size, (k, n)."""
    if not n:
        return np.zeros((len(covariance), 0))
    variance, vectors = np.linalg.eigh(covariance)
    spread = np.sqrt(np.maximum(variance[::-1][:n], 0.0))
    known = spread > max(_NOISE * spread[0], _STILL * size)
    first = max(spread[0], _LARGE * size)
    scale = np.where(known, np.sqrt(np.where(known, spread, 1.0) * first), np.inf)
    return vectors[:, ::-1][:, :n] / scale
