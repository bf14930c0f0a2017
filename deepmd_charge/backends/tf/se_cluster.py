# SPDX-License-Identifier: LGPL-3.0-or-later
r"""The descriptor ``se_cluster``: a sum over atoms that is the density itself.

.. math:: \rho = \sum_I \sum_{nlm} c_{I,nlm} \, R_n(r_I) \, Y_{lm}(\mathbf u_I)

with coefficients that are linear in tensors of the surroundings of atom I: the equations are
those of :mod:`deepmd_charge.model.equations.se_cluster`. The coefficients are made once for
each atom that a grid point sees, and contracted atom by atom.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from deepmd.tf.descriptor.descriptor import Descriptor
from deepmd.tf.env import tf

from ...model.descriptors.se_cluster import SeClusterSpec
from ...model.kernels.coupling import coupling
from ...model.kernels.harmonics import harmonics
from ...model.kernels.radial import inverse_distance
from .descriptor import GridDescriptor
from .neighbors import (
    Centers,
    Environment,
    Pairs,
    RealAtoms,
    Sources,
    closer_pairs,
    neighbor_pairs,
    padded,
    pairs_where,
)
from .parameters import Parameters

__all__ = ["SeCluster"]

# Closer than this (A) to itself is only an atom.
_APART = 1e-6


@Descriptor.register("se_cluster")
class SeCluster(GridDescriptor[SeClusterSpec]):
    """Contributions of the atoms to the density at each grid point.

    Parameters
    ----------
    ntypes : int
        Number of types, the grid type among them.
    type_map, spin
        DeePMD-kit gives them to every descriptor; not used.
    grid_type : int, optional
        The last one by default.
    reach : float
        How far a table of atomic densities is looked up, A.
    **keys
        Those of :class:`deepmd_charge.model.descriptors.se_cluster.SeClusterSpec`.
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
        spec = SeClusterSpec.from_dict(keys)
        super().__init__(spec, ntypes, grid_type, reach)
        n_elements = len(self.elements)
        # what is worked out once for each atom is always in float64
        self.atomic = p = Parameters(tf.float64, self.elements)
        if spec.order:
            n = n_elements * spec.n_radial_env
            p.add("environment.mean", np.zeros(n), False)
            for l in range(spec.lmax + 1):
                channels = np.zeros((n, spec.channels(n_elements)))
                p.add(f"environment.channels[{l}]", channels, False)
        self.n_features = spec.n_features(n_elements)
        shape = (n_elements, sum(self.n_features), spec.n_radial)
        p.add("contribution.coefficients", np.zeros(shape), False)

    def get_dim_out(self) -> int:
        """The density is the only feature."""
        return 1

    def init_variables(self, graph: tf.Graph, graph_def: tf.GraphDef, suffix: str = "") -> None:
        """Take the parameters of a frozen model."""
        super().init_variables(graph, graph_def, suffix)
        self.atomic.load(graph, suffix)

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
        """Build the density of the contributions at every grid point.

        Returns
        -------
        tf.Tensor
            (ncenters, 1) e/A^3; the (frame, atom) indices of the centres are kept as
            ``center_index``, the pairs as ``pairs``.
        """
        self.build_constants(suffix, reuse)
        self.parameters.build(suffix)
        self.atomic.build(suffix)
        margin = max(self.sight, self.spec.rcut_env)
        sources, atoms = self.locate(coord_, atype_, natoms, box_, mesh, margin)
        pairs = self.pairs
        if self.sight > self.rcut:
            pairs = closer_pairs(pairs, self.rcut)
        # the atoms that a grid point sees, and which of them each pair is of
        seen, atom = tf.unique(tf.gather(sources.atom, pairs.source), out_idx=tf.int32)
        seen_atoms = RealAtoms(*(tf.gather(part, seen) for part in atoms))
        coefficients = self._build_coefficients(sources, seen_atoms)
        return self._build_sum(pairs, atom, tf.cast(coefficients, self.dtype))[:, None]

    def _build_sum(self, pairs: Pairs, atom: tf.Tensor, coefficients: tf.Tensor) -> tf.Tensor:
        """Sum the contributions of atoms (natoms, harmonics, n_radial) at the centres."""
        d = self.spec
        n_atoms = tf.shape(coefficients)[0]
        order = tf.argsort(atom, stable=True)
        atom, center = tf.gather(atom, order), tf.gather(pairs.center, order)
        vector = tf.cast(-tf.gather(pairs.vector, order), self.dtype)
        x, y, z = padded(vector, atom, n_atoms, self.rcut)
        r = tf.sqrt(x * x + y * y + z * z)
        ylm = self._build_harmonics(x, y, z, r)
        radial = tf.stack(d.basis(tf, r), axis=2)
        of_atoms = tf.matmul(ylm, coefficients, transpose_a=True)  # (natoms, pairs, n_radial)
        value = tf.reduce_sum(of_atoms * radial, axis=2)
        # the place of each pair in its row
        count = tf.math.bincount(atom, minlength=n_atoms, maxlength=n_atoms)
        first = tf.cumsum(count, exclusive=True)
        slot = tf.range(tf.size(atom)) - tf.gather(first, atom)
        value = tf.gather_nd(value, tf.stack([atom, slot], axis=1))
        return tf.math.unsorted_segment_sum(value, center, self.n_centers)

    def _build_harmonics(self, x: tf.Tensor, y: tf.Tensor, z: tf.Tensor, r: tf.Tensor) -> tf.Tensor:
        """Build the harmonics of vectors (n, pairs), (n, (lmax + 1)^2, pairs)."""
        inverse = inverse_distance(tf, r, self.spec.eps)
        return tf.stack(harmonics(tf, x * inverse, y * inverse, z * inverse, self.spec.lmax), 1)

    def _build_coefficients(self, sources: Sources, atoms: RealAtoms) -> tf.Tensor:
        """Build the coefficients of the contributions, (natoms, (lmax + 1)^2, n_radial)."""
        table = self.atomic["contribution.coefficients"]
        place = tf.gather(tf.constant(self.places, dtype=tf.int64), atoms.type)
        own = tf.gather(table, place)  # (natoms, features, n_radial)
        own = tf.split(own, self.n_features, axis=1)
        phi = self._build_features(sources, atoms)
        return tf.concat([tf.matmul(f, w) for f, w in zip(phi, own, strict=True)], axis=1)

    def _build_features(self, sources: Sources, atoms: RealAtoms) -> list[tf.Tensor]:
        """Build for each l what the coefficients are linear in, (natoms, 2 l + 1, features)."""
        d = self.spec
        n_atoms = tf.shape(atoms.frame)[0]
        one = tf.ones([n_atoms, 1, 1], dtype=tf.float64)
        if not d.order:
            return [one] + [
                tf.zeros([n_atoms, 2 * l + 1, 0], dtype=tf.float64) for l in range(1, d.lmax + 1)
            ]
        a = self._build_environment(sources, atoms, n_atoms)
        b = []
        for l in range(d.lmax + 1):
            of_l = a[:, l * l : (l + 1) ** 2, :]
            of_l = of_l - self.atomic["environment.mean"] if l == 0 else of_l
            b.append(tf.einsum("amk,kc->amc", of_l, self.atomic[f"environment.channels[{l}]"]))
        phi = [[one, b[0]], *([of_l] for of_l in b[1:])]
        n = min(d.n_product, d.channels(len(self.elements)))
        for l1, l2, l in d.paths():
            pairs = [(i, j) for i in range(n) for j in range(i if l1 == l2 else 0, n)]
            first, second = (
                tf.gather(of_l, [pair[k] for pair in pairs], axis=2)
                for k, of_l in enumerate((b[l1], b[l2]))
            )
            g = tf.constant(coupling(l1, l2, l), dtype=tf.float64)
            phi[l].append(tf.einsum("axk,ayk,xym->amk", first, second, g))
        return [tf.concat(of_l, axis=2) for of_l in phi]

    def _build_environment(
        self, sources: Sources, atoms: RealAtoms, n_atoms: tf.Tensor
    ) -> tf.Tensor:
        """Build the moments of the surroundings, (natoms, (lmax + 1)^2, moments)."""
        d = self.spec
        pairs = neighbor_pairs(sources, Centers(atoms.position, atoms.frame), d.rcut_env)
        # no atom is its own neighbour
        pairs = pairs_where(pairs, tf.reduce_sum(pairs.vector**2, axis=1) > _APART**2)
        types = tf.gather(sources.type, pairs.source)
        environment = Environment(pairs, types, n_atoms, d.rcut_env, tf.float64)
        parts = []
        for itype in self.elements:
            x, y, z = environment.of_type(itype)
            r = tf.sqrt(x * x + y * y + z * z)
            basis = tf.stack(d.basis_env(tf, r), axis=1)
            parts.append(tf.matmul(self._build_harmonics(x, y, z, r), basis, transpose_b=True))
        return tf.concat(parts, axis=2)
