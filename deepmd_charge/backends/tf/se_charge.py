# SPDX-License-Identifier: LGPL-3.0-or-later
r"""The descriptor ``se_charge``: what the atoms around a grid point look like.

With :math:`\mathbf r_j` the vectors from the grid point to the atoms within
the cutoff and :math:`\mathbf u = \mathbf r / \sqrt{r^2 + \epsilon^2}`, moments are
sums over the atoms of radial functions times the spherical harmonics
:math:`Y_{lm}(\mathbf u_j)`, and features are their invariants: see
:mod:`deepmd_charge.backends.tf.mixed` for a fixed radial basis and
:mod:`deepmd_charge.backends.tf.embedded` for the embedding network of the Deep Charge paper.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from deepmd.tf.descriptor.descriptor import Descriptor
from deepmd.tf.env import tf

from ...model.descriptors.se_charge import SeChargeSpec
from ...model.kernels.harmonics import harmonics
from ...model.kernels.radial import inverse_distance
from .descriptor import GridDescriptor
from .embedded import Embedded
from .mixed import Mixed
from .neighbors import Environment, Surroundings, closer_pairs

__all__ = ["SeCharge"]


@Descriptor.register("se_charge")
class SeCharge(GridDescriptor[SeChargeSpec]):
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
        spec = SeChargeSpec.from_dict(keys)
        super().__init__(spec, ntypes, grid_type, reach)
        kind: type[Embedded | Mixed] = Embedded if spec.embedded else Mixed
        rng = np.random.default_rng(spec.seed)
        self.moments = kind(spec, self.parameters, len(self.elements), rng)

    @property
    def dim_linear(self) -> int:
        """How many of the last features are the pair-additive ones."""
        return self.spec.dim_linear(len(self.elements))

    def get_dim_out(self) -> int:
        """Number of features."""
        return self.spec.dim_invariant + self.dim_linear

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
        self.build_constants(suffix, reuse)
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
        sources, _ = self.locate(coord_, atype_, natoms, box_, mesh, self.sight)
        pairs = self.pairs
        if self.sight > self.rcut:
            pairs = closer_pairs(pairs, self.rcut)
        types = tf.gather(sources.type, pairs.source)
        environment = Environment(pairs, types, self.n_centers, self.rcut, self.dtype)
        atoms = [self._build_atoms(t, environment) for t in self.elements]
        return self.moments.build_moments(atoms)

    def _build_atoms(self, itype: int, environment: Environment) -> Surroundings:
        x, y, z = environment.of_type(itype)
        r = tf.sqrt(x * x + y * y + z * z)
        inverse = inverse_distance(tf, r, self.spec.eps)
        return r, inverse, harmonics(tf, x * inverse, y * inverse, z * inverse, self.spec.lmax)
