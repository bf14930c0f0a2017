# SPDX-License-Identifier: LGPL-3.0-or-later
"""Superposed atomic densities in the graph: a radial table in float64.

The frozen graph carries the table in the nodes ``saed/step`` (A) and
``saed/coefficients`` (types of the type map without X, intervals, 4).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from deepmd.tf.env import tf
from deepmd.tf.utils.errors import GraphWithoutTensorError
from deepmd.tf.utils.graph import get_tensor_by_name_from_graph
from numpy.typing import NDArray

from ...atoms.species import GRID_TYPE
from ...data.stored import frames
from ...errors import ChargeError
from ...model.kernels.piecewise import piecewise_cubic
from ...model.weights import COEFFICIENTS, STEP
from ...saed.table import RadialTable
from .names import graph_name
from .neighbors import Pairs, neighbor_pairs, sources_and_centers
from .parameters import Parameters

__all__ = ["Superposition", "check_dataset"]

# Frames of each set that the check looks at.
_FRAMES = 10
# e/A^3, or a share of larger densities, for coordinates in float64 and float32.
_TOLERANCE = {"float64": 1e-5, "float32": 1e-3}


class Superposition:
    """The sum of tabulated functions over the atoms around each grid point.

    Its parameters are variables that are never trained, so that a checkpoint
    keeps the table it was trained with.

    Parameters
    ----------
    table : RadialTable
    type_map : list of str
        Types of the model.
    """

    def __init__(self, table: RadialTable, type_map: Sequence[str]) -> None:
        types = [name for name in type_map if name != GRID_TYPE]
        self.reach = table.reach
        self._kinds = [types.index(name) if name in types else 0 for name in type_map]
        self.parameters = Parameters(tf.float64)
        self.parameters.add(STEP, table.step, False)
        self.parameters.add(COEFFICIENTS, table.coefficients(types), False)

    def build(
        self, pairs: Pairs, types: tf.Tensor, n_centers: tf.Tensor, suffix: str = ""
    ) -> tf.Tensor:
        """Build the superposition at the centres.

        Parameters
        ----------
        pairs : Pairs
            At least as far as ``reach``.
        types : tf.Tensor
            (npairs,) types of their atoms.
        n_centers : tf.Tensor
            Scalar.

        Returns
        -------
        tf.Tensor
            (n_centers,) e/A^3, float64.
        """
        self.parameters.build(suffix)
        kind = tf.gather(tf.constant(self._kinds, dtype=tf.int64), types)
        value = piecewise_cubic(
            tf,
            tf.norm(pairs.vector, axis=1),
            kind,
            self.parameters[STEP],
            self.parameters[COEFFICIENTS],
        )
        return tf.math.unsorted_segment_sum(value, pairs.center, n_centers)

    def load(self, graph: tf.Graph, suffix: str = "") -> None:
        """Check that a frozen graph has this table.

        Raises
        ------
        ChargeError
            If it has none, or another.
        """

        def find(name: str) -> NDArray[Any] | None:
            try:
                return get_tensor_by_name_from_graph(graph, name)
            except GraphWithoutTensorError:
                return None

        self.check(find, suffix)

    def check(self, find: Callable[[str], NDArray[Any] | None], suffix: str = "") -> None:
        """Check that the model that training goes on from has this table.

        Parameters
        ----------
        find : callable
            Gives an array of that model by its name, or None.

        Raises
        ------
        ChargeError
            If it has none, or another.
        """
        for name in (STEP, COEFFICIENTS):
            mine = self.parameters.value(name)
            its = find(graph_name(name, (), suffix))
            if its is None or its.shape != mine.shape or not np.allclose(its, mine, atol=1e-8):
                raise ChargeError(
                    "model/saed: the model that training starts from has"
                    f" {'no' if its is None else 'another'} table; name the one that it was"
                    " trained with"
                )


def check_dataset(
    system_dirs: Iterable[str], table: RadialTable, type_map: Sequence[str], name: str
) -> None:
    """Check that the graph reproduces the superposition that stands in a dataset.

    Parameters
    ----------
    system_dirs : list of str
        DP systems.
    table : RadialTable
    type_map : list of str
    name : str
        The file of the table, for complaints.

    Raises
    ------
    ChargeError
        If a value differs, or a system has none.
    """
    superposition = Superposition(table, type_map)
    with tf.Graph().as_default():
        coord, box = (tf.placeholder(tf.float64, shape) for shape in ([1, None, 3], [1, 3, 3]))
        atype, mesh = tf.placeholder(tf.int32, [1, None]), tf.placeholder(tf.int32, [None])
        is_grid = tf.equal(atype, type_map.index(GRID_TYPE))
        sources, centers, center_index, _ = sources_and_centers(
            coord, box, atype, tf.shape(atype)[1], mesh, is_grid, table.reach
        )
        pairs = neighbor_pairs(sources, centers, table.reach)
        types = tf.gather(sources.type, pairs.source)
        value = superposition.build(pairs, types, tf.shape(centers.position)[0])
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            for frame in frames(system_dirs, type_map, ("saed",), _FRAMES):
                feed = {
                    coord: [frame["coord"]],
                    box: [frame["box"]],
                    atype: [frame["type"]],
                    mesh: np.zeros(6 if frame["periodic"] else 0, dtype=np.int32),
                }
                found, index = session.run([value, center_index], feed)
                stored = frame["saed"][index[:, 1]]
                wrong = np.abs(found - stored) / np.maximum(1.0, np.abs(stored))
                if not (wrong <= _TOLERANCE[frame["coord"].dtype.name]).all():
                    raise ChargeError(
                        f"{name}: this table does not give the superposition that stands in"
                        f" {frame['set']}/saed.npy: {np.nanmax(wrong):.1e} e/A^3 off; name the"
                        " table that was written with these data"
                    )
