# SPDX-License-Identifier: LGPL-3.0-or-later
"""What every descriptor of grid points has: what DeePMD-kit asks for, pairs, neighbour counts."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, NoReturn, TypeVar

import numpy as np
from deepmd.tf.common import get_precision
from deepmd.tf.descriptor.descriptor import Descriptor
from deepmd.tf.env import tf

from ...model.descriptors.base import DescriptorSpec
from ...model.kernels.radial import cutoff
from ...typing import Floats
from .neighbors import (
    Pairs,
    RealAtoms,
    Sources,
    neighbor_pairs,
    sources_and_centers,
)
from .parameters import Parameters

if TYPE_CHECKING:
    from deepmd.tf.utils.data_system import DeepmdDataSystem
    from deepmd.utils.data import DataRequirementItem

__all__ = ["GridDescriptor"]

S = TypeVar("S", bound=DescriptorSpec)


class GridDescriptor(Descriptor, Generic[S]):
    r"""What the density at grid points depends on.

    Beside it stands the *neighbour count* :math:`k_z = \sum_{j \in z} f_c(r_j)`, a smooth
    one, whose range in the training data tells extrapolation.

    Parameters
    ----------
    spec : DescriptorSpec
    ntypes : int
        Number of types, the grid type among them.
    grid_type : int, optional
        The last one by default.
    reach : float
        How far a table of atomic densities is looked up, A.
    """

    def __init__(self, spec: S, ntypes: int, grid_type: int | None, reach: float) -> None:
        self.spec = spec
        self.rcut = spec.rcut
        self.reach = max(spec.reach, reach)
        # how far pairs of grid points and atoms are needed
        self.sight = max(spec.rcut, reach)
        self.ntypes = ntypes
        self.grid_type = ntypes - 1 if grid_type is None else grid_type
        self.elements = [t for t in range(ntypes) if t != self.grid_type]
        # of each type its place among the elements
        self.places = np.maximum(np.cumsum(np.arange(ntypes) != self.grid_type) - 1, 0)
        self.dtype = get_precision(spec.dtype)
        self.parameters = p = Parameters(self.dtype, self.elements)
        for name in ("neighbor_range.low", "neighbor_range.high"):
            p.add(name, np.zeros(len(self.elements)), False)

    @property
    def is_density(self) -> bool:
        """Whether the descriptor is the density itself, and needs no fitting net behind it."""
        return False

    @property
    def dim_linear(self) -> int:
        """How many of the last features are pair-additive ones."""
        return 0

    def get_rcut(self) -> float:
        """How far the model looks, A."""
        return self.reach

    def get_ntypes(self) -> int:
        """Number of types, the grid type among them."""
        return self.ntypes

    def get_dim_rot_mat_1(self) -> int:
        """There are no rotation matrices."""
        return 0

    def get_nlist(self) -> NoReturn:
        """There is no such list."""
        raise NotImplementedError("there is no neighbour list of DeePMD-kit's form")

    @property
    def explicit_ntypes(self) -> bool:
        """Whether there is a type embedding that counts types itself."""
        return False

    @property
    def input_requirement(self) -> list[DataRequirementItem]:
        """Nothing is read beside coordinates, types and cells."""
        return []

    @classmethod
    def update_sel(
        cls, train_data: DeepmdDataSystem, type_map: list[str] | None, local_jdata: dict[str, Any]
    ) -> tuple[dict[str, Any], float | None]:
        """Neighbours are counted in the graph: there is no ``sel`` to find."""
        return local_jdata, None

    def compute_input_stats(self, *args: Any, **kwargs: Any) -> NoReturn:
        """See :meth:`set_statistics`."""
        raise NotImplementedError("the charge model computes the statistics")

    def init_variables(self, graph: tf.Graph, graph_def: tf.GraphDef, suffix: str = "") -> None:
        """Take the parameters of a frozen model."""
        self.parameters.load(graph, suffix)

    def prod_force_virial(self, atom_ener: tf.Tensor, natoms: tf.Tensor) -> NoReturn:
        """There are none."""
        raise NotImplementedError("a density has no forces")

    def locate(
        self,
        coord_: tf.Tensor,
        atype_: tf.Tensor,
        natoms: tf.Tensor,
        box_: tf.Tensor,
        mesh: tf.Tensor,
        margin: float,
    ) -> tuple[Sources, RealAtoms]:
        """Find the pairs of grid points and atoms, up to `sight`.

        They are kept as ``pairs``, the types of their atoms as ``pair_types``, the (frame,
        atom) indices of the grid points as ``center_index``, their number as ``n_centers``.

        Parameters
        ----------
        margin : float
            How far from the cell images are made, A.

        Returns
        -------
        sources : Sources
        atoms : RealAtoms
        """
        nall = natoms[1]
        coord = tf.cast(tf.reshape(coord_, [-1, nall, 3]), tf.float64)
        box = tf.cast(tf.reshape(box_, [-1, 3, 3]), tf.float64)
        atype = tf.reshape(atype_, [-1, nall])
        is_grid = tf.equal(atype, self.grid_type)
        sources, centers, self.center_index, atoms = sources_and_centers(
            coord, box, atype, natoms[0], mesh, is_grid, margin
        )
        self.n_centers = tf.shape(centers.position)[0]
        self.pairs: Pairs = neighbor_pairs(sources, centers, self.sight)
        self.pair_types = tf.gather(sources.type, self.pairs.source)
        return sources, atoms

    def build_novelty(self, suffix: str = "") -> tf.Tensor:
        """Build how far each centre's neighbour count lies outside the training range.

        Returns
        -------
        tf.Tensor
            (ncenters,) the part of the count, summed over the elements, that
            is too little or too much, as a share of the largest that was seen.
        """
        low, high = self.parameters["neighbor_range.low"], self.parameters["neighbor_range.high"]
        count = self.build_neighbor_count()
        outside = tf.maximum(tf.maximum(low - count, count - high), 0.0)
        return tf.divide(
            tf.reduce_sum(outside, axis=1),
            tf.reduce_sum(high),
            name="se_charge/novelty" + suffix,
        )

    def build_neighbor_count(self) -> tf.Tensor:
        """Build the neighbour counts from the pairs that are kept, (ncenters, elements)."""
        n = len(self.elements)
        kinds = tf.constant(self.places, dtype=tf.int64)
        which = tf.cast(self.pairs.center, tf.int64) * n + tf.gather(kinds, self.pair_types)
        r = tf.cast(tf.norm(self.pairs.vector, axis=1), self.dtype)
        size = tf.cast(self.n_centers, tf.int64) * n
        counts = tf.math.unsorted_segment_sum(cutoff(tf, r, self.rcut), which, size)
        return tf.reshape(counts, [-1, n])

    def set_neighbor_range(self, low: Floats, high: Floats) -> None:
        """Note the range of the neighbour counts of the training data, (elements,) each."""
        self.parameters.set("neighbor_range.low", low)
        self.parameters.set("neighbor_range.high", high)
