# SPDX-License-Identifier: LGPL-3.0-or-later
r"""The descriptor ``se_charge``: what the atoms around a grid point look like.

With :math:`\mathbf r_j` the vectors from the grid point to the atoms within
the cutoff and :math:`\mathbf u = \mathbf r / \sqrt{r^2 + \epsilon^2}`, moments are
sums over the atoms of radial functions times the spherical harmonics
:math:`Y_{lm}(\mathbf u_j)`, and features are their invariants: see
:mod:`deepmd_charge.backends.tf.mixed` for a fixed radial basis and
:mod:`deepmd_charge.backends.tf.embedded` for the embedding network of the Deep Charge paper.

Beside the features stands the *neighbour count* :math:`k_z = \sum_{j \in z} f_c(r_j)`,
a smooth one, whose range in the training data tells
extrapolation.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from deepmd.tf.common import get_precision
from deepmd.tf.descriptor.descriptor import Descriptor
from deepmd.tf.env import GLOBAL_TF_FLOAT_PRECISION, tf

from ...model.descriptors.se_charge import SeChargeSpec
from ...model.kernels.harmonics import harmonics
from ...model.kernels.radial import cutoff, inverse_distance
from ...typing import Floats
from .embedded import Embedded
from .mixed import Mixed
from .neighbors import (
    Environment,
    Pairs,
    Surroundings,
    closer_pairs,
    neighbor_pairs,
    sources_and_centers,
)
from .parameters import Parameters

if TYPE_CHECKING:
    from deepmd.tf.utils.data_system import DeepmdDataSystem
    from deepmd.utils.data import DataRequirementItem

__all__ = ["SeCharge"]


@Descriptor.register("se_charge")
class SeCharge(Descriptor):
    """Invariants of the atoms around each grid point.

    Parameters
    ----------
    ntypes : int
        Number of types, the grid type among them.
    type_map, spin
        DeePMD-kit gives them to every descriptor; not used.
    grid_type : int, optional
        The last one by default.
    reach : float
        How far the model looks, A: farther than the descriptor where a table
        needs it.
    **keys
        Those of :class:`deepmd_charge.model.descriptors.se_charge.SeChargeSpec`.
    """

    def __init__(
        self,
        ntypes: int,
        type_map: list[str] | None = None,
        grid_type: int | None = None,
        reach: float = 0.0,
        spin: Any = None,
        **keys: Any,
    ) -> None:
        self.spec = spec = SeChargeSpec.from_dict(keys)
        self.rcut = spec.rcut
        self.reach = max(spec.rcut, reach)
        self.ntypes = ntypes
        self.grid_type = ntypes - 1 if grid_type is None else grid_type
        self.elements = [t for t in range(ntypes) if t != self.grid_type]
        self.dtype = get_precision(spec.dtype)
        self.parameters = p = Parameters(self.dtype, self.elements)
        for name in ("neighbor_range.low", "neighbor_range.high"):
            p.add(name, np.zeros(len(self.elements)), False)
        kind: type[Embedded | Mixed] = Embedded if spec.embedded else Mixed
        self.moments = kind(spec, p, len(self.elements), np.random.default_rng(spec.seed))

    @property
    def dim_linear(self) -> int:
        """How many of the last features are the pair-additive ones."""
        return self.spec.dim_linear(len(self.elements))

    # what DeePMD-kit asks of a descriptor

    def get_rcut(self) -> float:
        """How far the model looks, A."""
        return self.reach

    def get_ntypes(self) -> int:
        """Number of types, the grid type among them."""
        return self.ntypes

    def get_dim_out(self) -> int:
        """Number of features."""
        return self.spec.dim_invariant + self.dim_linear

    def get_dim_rot_mat_1(self) -> int:
        """There are no rotation matrices."""
        return 0

    def get_nlist(self) -> NoReturn:
        """There is no such list."""
        raise NotImplementedError("se_charge keeps no neighbour list of DeePMD-kit's form")

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

    def build(
        self,
        coord_: tf.Tensor,
        atype_: tf.Tensor,
        natoms: tf.Tensor,
        box_: tf.Tensor,
        mesh: tf.Tensor,
        input_dict: dict[str, Any],
        reuse: bool | None = None,
        suffix: str = "",
    ) -> tf.Tensor:
        """Build the features of every grid point.

        Returns
        -------
        tf.Tensor
            (ncenters, dim_out) features; the (frame, atom) indices of the
            centres are kept as ``center_index``, the pairs as ``pairs``.
        """
        with tf.variable_scope("descrpt_attr" + suffix, reuse=reuse):
            tf.constant(self.reach, name="rcut", dtype=GLOBAL_TF_FLOAT_PRECISION)
            tf.constant(self.ntypes, name="ntypes", dtype=tf.int32)
        moments = self.build_moments(coord_, atype_, natoms, box_, mesh, suffix)
        return self.moments.build_features(moments)

    # the equations

    def build_moments(
        self,
        coord_: tf.Tensor,
        atype_: tf.Tensor,
        natoms: tf.Tensor,
        box_: tf.Tensor,
        mesh: tf.Tensor,
        suffix: str = "",
    ) -> tf.Tensor:
        """Build the moments, (ncenters, (lmax + 1)^2, ...)."""
        self.parameters.build(suffix)
        nall = natoms[1]
        coord = tf.cast(tf.reshape(coord_, [-1, nall, 3]), tf.float64)
        box = tf.cast(tf.reshape(box_, [-1, 3, 3]), tf.float64)
        atype = tf.reshape(atype_, [-1, nall])
        is_grid = tf.equal(atype, self.grid_type)
        sources, centers = sources_and_centers(
            coord, box, atype, natoms[0], mesh, is_grid, self.reach
        )
        self.center_index = centers[1]
        self.n_centers = tf.shape(centers[0])[0]
        self.pairs: Pairs = neighbor_pairs(sources, centers, self.reach)
        pairs = self.pairs
        if self.reach > self.rcut:
            pairs = closer_pairs(pairs, self.rcut)
        environment = Environment(pairs, self.n_centers, self.rcut, self.dtype)
        self._counts: list[tf.Tensor] = []
        atoms = [self._build_atoms(t, environment) for t in self.elements]
        return self.moments.build_moments(atoms)

    def build_sample(self, moments: tf.Tensor) -> tf.Tensor:
        """Build what :meth:`set_statistics` takes, after :meth:`build_moments`."""
        return self.moments.build_sample(moments)

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
        """Stack the neighbour counts that :meth:`build_moments` left, (ncenters, elements)."""
        return tf.stack(self._counts, axis=1)

    def _build_atoms(self, itype: int, environment: Environment) -> Surroundings:
        x, y, z = environment.of_type(itype)
        r = tf.sqrt(x * x + y * y + z * z)
        self._counts.append(tf.reduce_sum(cutoff(tf, r, self.rcut), axis=1))
        inverse = inverse_distance(tf, r, self.spec.eps)
        return r, inverse, harmonics(tf, x * inverse, y * inverse, z * inverse, self.spec.lmax)

    # statistics

    def set_neighbor_range(self, count: Floats) -> None:
        """Note the range of a sample's neighbour counts (n, elements)."""
        self.parameters.set("neighbor_range.low", count.min(axis=0))
        self.parameters.set("neighbor_range.high", count.max(axis=0))

    def set_statistics(self, sample: Floats, n_centers: int) -> None:
        """Scale the features by a sample of ``n_centers`` grid points."""
        self.moments.set_statistics(sample, n_centers)
