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
from .by_atom import ByAtom
from .descriptor import GridDescriptor
from .embedded import Embedded
from .mixed import Mixed
from .neighbors import Pairs, RealAtoms, Sources, closer_pairs, some
from .response import Response

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
        rng = np.random.default_rng(spec.seed)
        self.moments: Embedded | Mixed
        self.response: Response | None = None
        self._by_atom: ByAtom | None = None
        if spec.embedded:
            self.moments = Embedded(spec, self.parameters, self.elements, rng)
            return
        self.moments = Mixed(spec, self.parameters, self.elements, rng)
        if self.is_raw:
            self._by_atom = ByAtom(self.moments)
        if spec.rcut_env:
            self.response = Response(spec, self.parameters, self.elements, rng)

    @property
    def is_raw(self) -> bool:
        """Whether the pair-additive features are the moments of l = 0, not whitened."""
        return self.spec.by_atom(len(self.elements))

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
        return self.build_statistics(coord_, atype_, natoms, box_, mesh, suffix)["features"]

    def build_statistics(
        self,
        coord_: tf.Tensor,
        atype_: tf.Tensor,
        natoms: tf.Tensor,
        box_: tf.Tensor,
        mesh: tf.Tensor,
        suffix: str = "",
    ) -> dict[str, tf.Tensor]:
        """Build the features of grid points, and all that is scaled on the way to them.

        Returns
        -------
        dict of str to tf.Tensor
            "features" (ncenters, dim_out); "moments", what the sums of :attr:`moments` add up;
            and where atoms respond to their surroundings their moments, "surroundings", and the
            invariants of these, "invariants".
        """
        pairs, sources, atoms = self._build_pairs(coord_, atype_, natoms, box_, mesh, suffix)
        types = tf.gather(sources.type, pairs.source)
        built: dict[str, tf.Tensor] = {}
        if self._by_atom is None or not isinstance(self.moments, Mixed):
            moments = self.build_moments(pairs, types)
            built["features"] = self.moments.build_features(moments)
        else:
            scales = None
            if self.response:
                # only of the atoms that a grid point sees
                seen, place = tf.unique(tf.gather(sources.atom, pairs.source), out_idx=tf.int32)
                known = some(atoms, seen)
                around = self.response.build_moments(sources, known)
                built["surroundings"] = around
                built["invariants"] = self.response.build_invariants(around)
                scales = self.response.build_scales(built["invariants"], known.type)
                scales = tf.gather(scales, place)
            moments = self.build_moments(pairs, types)
            element = self.moments.build_places(types)
            built["features"] = self._by_atom.build_features(
                pairs, element, self.n_centers, scales, self.dtype
            )
        return {**built, "moments": self.moments.build_sample(moments)}

    def build_moments(self, pairs: Pairs, types: tf.Tensor) -> tf.Tensor:
        """Build the moments of pairs with atoms of types, (ncenters, (lmax + 1)^2, ...)."""
        return self.moments.build_moments(pairs, types, self.n_centers, self.dtype)

    def _build_pairs(
        self,
        coord_: tf.Tensor,
        atype_: tf.Tensor,
        natoms: tf.Tensor,
        box_: tf.Tensor,
        mesh: tf.Tensor,
        suffix: str,
    ) -> tuple[Pairs, Sources, RealAtoms]:
        """Build the pairs of grid points and atoms within the cutoff."""
        self.parameters.build(suffix)
        margin = max(self.sight, self.spec.rcut_env)
        sources, atoms = self.locate(coord_, atype_, natoms, box_, mesh, margin)
        pairs = self.pairs
        if self.sight > self.rcut:
            pairs = closer_pairs(pairs, self.rcut)
        return pairs, sources, atoms
