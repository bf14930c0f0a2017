# SPDX-License-Identifier: LGPL-3.0-or-later
"""A frozen charge model as a function of atoms and points, through TensorFlow."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ...atoms.images import Images
from ...atoms.species import GRID_TYPE
from ...saed.table import superposed
from ...stderr import loading
from ...typing import Floats
from .frozen import Frozen

__all__ = ["FrozenGraph"]

# With a mesh of this size the graph takes periodic images as they are given.
_MESH_WITH_GHOSTS = np.zeros(16, dtype=np.int32)


class FrozenGraph:
    """The TensorFlow graph that ``dp freeze`` wrote.

    Parameters
    ----------
    frozen : Frozen
        The model.
    n_threads : int
        Threads of one operation.

    Attributes
    ----------
    superposition : callable or None
        Of the atomic densities that the model carries, if it does: takes what
        :meth:`density` does.
    """

    # points in one evaluation: enough to keep the cores busy, little memory
    block = 4096
    # TensorFlow has threads of its own
    threads = 1

    def __init__(self, frozen: Frozen, n_threads: int = 1) -> None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        with loading():
            import tensorflow.compat.v1 as tf

        definition = tf.GraphDef()
        with open(frozen.path, "rb") as file:
            definition.ParseFromString(file.read())
        with tf.Graph().as_default() as graph:
            try:
                tf.import_graph_def(definition, name="")
            except tf.errors.NotFoundError:
                # libraries that few graphs need: of DeePMD-kit's own gelu
                with loading():
                    import deepmd.tf.env  # noqa: F401

                tf.import_graph_def(definition, name="")
        threads = tf.ConfigProto(
            intra_op_parallelism_threads=n_threads, inter_op_parallelism_threads=1
        )
        self._session = tf.Session(graph=graph, config=threads)
        self._n_types = len(frozen.type_map)
        # of each type that the model knows its number in the type map
        self._types = np.array([frozen.type_map.index(name) for name in frozen.known_types])
        self._grid = frozen.type_map.index(GRID_TYPE)
        self.superposition: Callable[[Images, Floats], Floats] | None = None
        if frozen.saed:
            step, coefficients = frozen.saed
            table = coefficients[frozen.kinds]
            self.superposition = partial(superposed, step=step, coefficients=table)

    def _fetch(self, name: str, feed: Mapping[str, NDArray[Any]] | None = None) -> NDArray[Any]:
        return self._session.run(f"{name}:0", feed)

    def density(self, images: Images, points: Floats) -> Floats:
        """Density at points, in e/A^3.

        Parameters
        ----------
        images : Images
            The atoms, with periodic images up to the model's reach from the cell.
        points : np.ndarray
            (n, 3) wrapped positions in A.

        Returns
        -------
        np.ndarray
            (n,)
        """
        return self._evaluate("o_atom_energy", images, points)[0]

    def difference(self, images: Images, points: Floats) -> Floats:
        """Density less that of :attr:`superposition`; parameters as for :meth:`density`."""
        values = self.density(images, points)
        return values if self.superposition is None else values - self.superposition(images, points)

    def novelty(self, images: Images, points: Floats) -> Floats:
        """How far each point's neighbour count is outside the training range.

        As a share of the largest count in training: 0 inside the range, about
        1 in a vacuum that was never seen. Parameters as for :meth:`density`;
        returns (n,).
        """
        return self._evaluate("se_charge/novelty", images, points)

    def _evaluate(self, name: str, images: Images, points: Floats) -> Floats:
        atoms, types = images.around(points)
        # local atoms come first: the points; the real atoms are all ghosts
        natoms = np.zeros(2 + self._n_types, dtype=np.int32)
        natoms[:2] = len(points), len(points) + len(atoms)
        natoms[2 + self._grid] = len(points)
        atype = np.concatenate([np.full(len(points), self._grid), self._types[types]])
        return self._fetch(
            name,
            {
                "t_coord:0": np.concatenate([points, atoms]).reshape(-1),
                "t_type:0": atype.astype(np.int32),
                "t_natoms:0": natoms,
                "t_box:0": np.zeros(9),
                "t_mesh:0": _MESH_WITH_GHOSTS,
            },
        )
