# SPDX-License-Identifier: LGPL-3.0-or-later
"""A frozen charge model as a function of atoms and points."""

import json
import os

import numpy as np

from ..errors import ChargeError
from ..sampling import GRID_TYPE

__all__ = ["FrozenGraph"]

# With a mesh of this size the graph takes periodic images as they are given.
_MESH_WITH_GHOSTS = np.zeros(16, dtype=np.int32)


class FrozenGraph:
    """The TensorFlow graph that ``dp freeze`` wrote.

    Parameters
    ----------
    path : str
        The ``.pb`` file.
    n_threads : int, optional
        Cores to use; by default as DeePMD-kit's environment variables say,
        else all.

    Raises
    ------
    ChargeError
        If the file is missing, or is not a charge model.
    """

    def __init__(self, path, n_threads=None):
        if not os.path.isfile(path):
            raise ChargeError(f"{path}: no such model file; make one with dp freeze -o {path}")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
        # deepmd's own TensorFlow module would load libraries that the graph does not need
        import tensorflow.compat.v1 as tf
        from deepmd.env import get_default_nthreads

        definition = tf.GraphDef()
        try:
            with open(path, "rb") as file:
                definition.ParseFromString(file.read())
            names = {node.name for node in definition.node}
        except Exception as error:  # protobuf has no common class for a bad file
            raise ChargeError(
                f"{path}: not a frozen TensorFlow model; give the file that dp freeze wrote"
            ) from error
        if "model_attr/charge_info" not in names:
            raise ChargeError(
                f"{path}: not a charge model; train one with model.type \"charge\" and dp freeze it"
            )
        with tf.Graph().as_default() as graph:
            tf.import_graph_def(definition, name="")
        intra, inter = get_default_nthreads() if n_threads is None else (n_threads, 1)
        threads = tf.ConfigProto(
            intra_op_parallelism_threads=intra, inter_op_parallelism_threads=inter
        )
        self._session = tf.Session(graph=graph, config=threads)
        self.type_map = self._fetch("model_attr/tmap").decode().split()
        self.info = json.loads(self._fetch("model_attr/charge_info"))
        self.rcut = float(self._fetch("descrpt_attr/rcut"))

    def _fetch(self, name, feed=None):
        return self._session.run(f"{name}:0", feed)

    def density(self, atoms, types, points):
        """Density at points, in e/A^3.

        Parameters
        ----------
        atoms : np.ndarray
            (n, 3) positions in A of all atoms and periodic images within the
            cutoff of a point.
        types : np.ndarray
            (n,) their indices in the type map.
        points : np.ndarray
            (m, 3) positions in A.

        Returns
        -------
        np.ndarray
            (m,)
        """
        return self._evaluate("o_atom_energy", atoms, types, points)[0]

    def novelty(self, atoms, types, points):
        """How far each point's neighbour count is outside the training range.

        As a share of the largest count in training: 0 inside the range, about
        1 in a vacuum that was never seen. Parameters as for :meth:`density`;
        returns (m,).
        """
        return self._evaluate("se_charge/novelty", atoms, types, points)

    def _evaluate(self, name, atoms, types, points):
        # local atoms come first: the points; the real atoms are all ghosts
        n_types = len(self.type_map)
        grid = self.type_map.index(GRID_TYPE)
        natoms = np.zeros(2 + n_types, dtype=np.int32)
        natoms[:2] = len(points), len(points) + len(atoms)
        natoms[2 + grid] = len(points)
        return self._fetch(
            name,
            {
                "t_coord:0": np.concatenate([points, atoms]).reshape(-1),
                "t_type:0": np.concatenate(
                    [np.full(len(points), grid), types]
                ).astype(np.int32),
                "t_natoms:0": natoms,
                "t_box:0": np.zeros(9),
                "t_mesh:0": _MESH_WITH_GHOSTS,
            },
        )
