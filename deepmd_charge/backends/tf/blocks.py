# SPDX-License-Identifier: LGPL-3.0-or-later
"""Tensors of a descriptor at points of any structures, a block of points at a time."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from deepmd.tf.env import GLOBAL_TF_FLOAT_PRECISION, tf
from numpy.typing import NDArray

from ...model.fit.points import Sample
from .parameters import Parameters

__all__ = ["Evaluation"]

# Most points, and numbers of coordinates and types, of a block.
_POINTS, _ATOMS = 1024, 1 << 16
# DeePMD-kit's mesh sizes, see .neighbors.
_OPEN, _PERIODIC = 0, 6


class Evaluation:
    """A graph and its session, made once, into which structures of any composition are fed.

    Parameters
    ----------
    build : callable
        Takes the tensors coord, atype, natoms, box and mesh, and gives tensors by name.
    parameters : Parameters
        Of the tensors; see :meth:`assign`.
    n_types, grid_type : int
    """

    def __init__(
        self,
        build: Callable[..., dict[str, tf.Tensor]],
        parameters: Parameters,
        n_types: int,
        grid_type: int,
    ) -> None:
        self._parameters, self._n_types, self._grid_type = parameters, n_types, grid_type
        with tf.Graph().as_default() as graph:
            coord, box = (tf.placeholder(GLOBAL_TF_FLOAT_PRECISION, [None]) for _ in range(2))
            atype, mesh = (tf.placeholder(tf.int32, [None]) for _ in range(2))
            natoms = tf.placeholder(tf.int32, [2 + n_types])
            self._inputs = coord, atype, natoms, box, mesh
            self._tensors = build(*self._inputs)
            initialised = tf.global_variables_initializer()
        self._session = tf.Session(graph=graph)
        self._session.run(initialised)

    def __enter__(self) -> Evaluation:
        return self

    def __exit__(self, *reason: object) -> None:
        self._session.close()

    def assign(self) -> None:
        """Give the variables the values that the parameters have now."""
        with self._session.graph.as_default():
            self._parameters.assign(self._session)

    def run(
        self, name: str, samples: Sequence[Sample], most: int = _POINTS
    ) -> Iterator[tuple[NDArray[Any], int]]:
        """Yield a tensor at points of samples, and the number of the points, block by block.

        Parameters
        ----------
        name : str
        samples : sequence of Sample
            Best with like structures together.
        most : int
            Points of a block.
        """
        for block in _blocks(samples, min(most, _POINTS)):
            feed = dict(zip(self._inputs, self._fed(block), strict=True))
            count = sum(len(sample.points) for sample in block)
            yield self._session.run(self._tensors[name], feed), count

    def _fed(self, block: list[Sample]) -> list[NDArray[Any]]:
        """The inputs of the graph: shorter frames are filled up with atoms of type -1."""
        width = max(len(s.types) + len(s.points) for s in block)
        coord, atype = np.zeros((len(block), width, 3)), np.full((len(block), width), -1)
        for k, s in enumerate(block):
            n = len(s.types)
            coord[k, :n], atype[k, :n] = s.atoms.positions, s.types
            points = slice(n, n + len(s.points))
            coord[k, points], atype[k, points] = s.points, self._grid_type
        natoms = np.zeros(2 + self._n_types, dtype=np.int32)
        natoms[:2] = width
        box = [s.atoms.cell.array for s in block]
        size = _PERIODIC if block[0].atoms.pbc.any() else _OPEN
        return [coord.ravel(), atype.ravel(), natoms, np.ravel(box), np.zeros(size, np.int32)]


def _blocks(samples: Sequence[Sample], most: int) -> Iterator[list[Sample]]:
    """Group samples, and parts of them, in blocks of so many points, periodic or open."""
    block: list[Sample] = []
    n_points, width = 0, 0
    for sample in samples:
        for start in range(0, len(sample.points), most):
            part = slice(start, start + most)
            piece = replace(
                sample, points=sample.points[part], values=sample.values[part], weights=None
            )
            wider = max(width, len(piece.types) + len(piece.points))
            full = n_points + len(piece.points) > most or wider * (len(block) + 1) > _ATOMS
            if block and (full or block[0].atoms.pbc.any() != piece.atoms.pbc.any()):
                yield block
                block, n_points, width = [], 0, 0
            block.append(piece)
            n_points += len(piece.points)
            width = max(width, len(piece.types) + len(piece.points))
    if block:
        yield block
