# SPDX-License-Identifier: LGPL-3.0-or-later
r"""The descriptor ``se_cluster``: a sum over atoms that is the density itself.

.. math:: \rho = \sum_I \sum_{nlm} c_{I,nlm} \, R_n(r_I) \, Y_{lm}(\mathbf u_I)

with coefficients that are linear in tensors of the surroundings of atom I, or in these scaled
by a net: the equations are those of :mod:`deepmd_charge.model.equations.se_cluster`. The
coefficients are made once for each atom that a grid point sees, and contracted atom by atom.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from deepmd.tf.descriptor.descriptor import Descriptor
from deepmd.tf.env import tf

from ...model.descriptors.se_cluster import SeClusterSpec
from ...model.kernels.coupling import coupling
from ...model.kernels.harmonics import harmonics
from ...model.kernels.radial import inverse_distance
from ...model.weights import cluster_shapes
from .descriptor import GridDescriptor
from .neighbors import (
    Environment,
    Pairs,
    RealAtoms,
    Sources,
    atom_pairs,
    closer_pairs,
    padded,
    slots,
    some,
)
from .parameters import Parameters
from .se_cluster_gates import Gates

__all__ = ["SeCluster"]


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

    Attributes
    ----------
    gates : Gates or None
        The nets that scale features, where the model has some.
    """

    gates: Gates | None = None

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
        # what is worked out once for each atom is always in float64
        self.atomic = Parameters(tf.float64, self.elements)
        for name, size in cluster_shapes(spec, len(self.elements)).items():
            self.atomic.add(name, np.zeros([n or 0 for n in size]), False)

    @property
    def parts(self) -> list[Parameters]:
        """All parameters."""
        nets = [self.gates.parameters] if self.gates else []
        return [self.parameters, self.atomic, *nets]

    @property
    def is_density(self) -> bool:
        """It is: what there is of a net scales the features of atoms."""
        return True

    def get_dim_out(self) -> int:
        """The density is the only feature."""
        return 1

    def init_variables(self, graph: tf.Graph, graph_def: tf.GraphDef, suffix: str = "") -> None:
        """Take the parameters of a frozen model."""
        for part in self.parts:
            part.load(graph, suffix)

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
        for part in self.parts:
            part.build(suffix)
        margin = max(self.sight, self.spec.rcut_env, self.spec.rcut_product)
        sources, atoms = self.locate(coord_, atype_, natoms, box_, mesh, margin)
        pairs = self.pairs
        if self.sight > self.rcut:
            pairs = closer_pairs(pairs, self.rcut)
        # the atoms that a grid point sees, and which of them each pair is of
        seen, atom = tf.unique(tf.gather(sources.atom, pairs.source), out_idx=tf.int32)
        coefficients = self._build_coefficients(sources, atoms, seen)
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
        ylm = self._build_harmonics(x, y, z, r, d.lmax)
        radial = tf.stack(d.basis(tf, r), axis=2)
        of_atoms = tf.matmul(ylm, coefficients, transpose_a=True)  # (natoms, pairs, n_radial)
        value = tf.reduce_sum(of_atoms * radial, axis=2)
        value = tf.gather(tf.reshape(value, [-1]), slots(atom, n_atoms)[0])
        return tf.math.unsorted_segment_sum(value, center, self.n_centers)

    def _build_harmonics(
        self, x: tf.Tensor, y: tf.Tensor, z: tf.Tensor, r: tf.Tensor, lmax: int
    ) -> tf.Tensor:
        """Build the harmonics of vectors (n, pairs), (n, (lmax + 1)^2, pairs)."""
        inverse = inverse_distance(tf, r, self.spec.eps)
        return tf.stack(harmonics(tf, x * inverse, y * inverse, z * inverse, lmax), 1)

    def _build_coefficients(self, sources: Sources, atoms: RealAtoms, seen: tf.Tensor) -> tf.Tensor:
        """Build the coefficients of the contributions, (seen, (lmax + 1)^2, n_radial)."""
        d, n_seen = self.spec, tf.shape(seen)[0]
        exchange: Pairs | None = None
        if d.exact:  # the atoms that these see are asked for their features, too
            exchange = atom_pairs(sources, some(atoms, seen), d.rcut_env)
            others = tf.gather(sources.atom, exchange.source)
            seen, place = tf.unique(tf.concat([seen, others], 0), out_idx=tf.int32)
            exchange = exchange._replace(source=place[n_seen:])
        known = some(atoms, seen)
        element = tf.gather(tf.constant(self.places, dtype=tf.int64), known.type)
        phi = self._build_features(sources, known, element)
        if self.gates:
            phi = self.gates.build(phi, element)
        table = tf.gather(self.atomic["contribution.coefficients"], element[:n_seen])
        counts = [sum(of_l) for of_l in d.n_features(len(self.elements))]
        own = tf.split(table, counts, axis=1)
        parts = [tf.matmul(f[:n_seen], w) for f, w in zip(phi, own, strict=True)]
        if exchange is not None:
            held = self._build_electrons(exchange, element, phi[0][:, 0, :], n_seen)
            parts[0] += held[:, None, None] * tf.constant(d.carrier(), dtype=tf.float64)
        return tf.concat(parts, axis=1)

    def _build_electrons(
        self, exchange: Pairs, element: tf.Tensor, scalars: tf.Tensor, n_seen: tf.Tensor
    ) -> tf.Tensor:
        """Build the electrons of atoms, (n_seen,), of pairs of them and other atoms."""
        d = self.spec
        own = tf.gather(self.atomic["contribution.transfer"], element)
        x = tf.einsum("ak,akp->ap", scalars, own)
        share = d.basis_env(tf, tf.norm(exchange.vector, axis=1))[: d.n_transfer]
        apart = tf.gather(x, exchange.source) - tf.gather(x, exchange.center)
        passing = tf.reduce_sum(tf.stack(share, axis=1) * apart, axis=1)
        gained = tf.math.unsorted_segment_sum(passing, exchange.center, n_seen)
        return gained + tf.gather(self.atomic["contribution.electrons"], element[:n_seen])

    def _build_features(
        self, sources: Sources, atoms: RealAtoms, element: tf.Tensor
    ) -> list[tf.Tensor]:
        """Build for each l what the coefficients are linear in, (natoms, 2 l + 1, features)."""
        d = self.spec
        n_atoms = tf.shape(element)[0]
        one = tf.ones([n_atoms, 1, 1], dtype=tf.float64)
        phi = [[one]] + [
            [tf.zeros([n_atoms, 2 * l + 1, 0], dtype=tf.float64)] for l in range(1, d.lmax + 1)
        ]
        if d.order > 0:
            a = self._build_moments(sources, atoms, d.rcut_env, d.basis_env, d.lmax)
            for l, of_l in enumerate(a):
                phi[l].append(self._build_components(of_l, "environment", l, element))
        if d.order > 1:
            a = self._build_moments(sources, atoms, d.rcut_product, d.basis_product, d.tops[0])
            channels = [
                self._build_components(of_l, "multiplied", l, element) for l, of_l in enumerate(a)
            ]
            two = []
            for l in range(d.lmax + 1):
                pairs = tf.concat(
                    [_none(channels[0], l)]
                    + [
                        _product(channels[l1], channels[l2], (l1, l2, l), ordered=l1 == l2)
                        for l1, l2 in d.pairs(l)
                    ],
                    axis=2,
                )
                two.append(self._build_components(pairs, "pair", l, element))
                phi[l].append(two[l])
        if d.order > 2:
            for l in range(d.lmax + 1):
                triples = tf.concat(
                    [_none(channels[0], l)]
                    + [
                        _product(two[l1][:, :, : d.n_triple], channels[l2], (l1, l2, l))
                        for l1, l2 in d.triples(l)
                    ],
                    axis=2,
                )
                phi[l].append(self._build_components(triples, "triple", l, element))
        return [tf.concat(of_l, axis=2) for of_l in phi]

    def _build_components(self, a: tf.Tensor, name: str, l: int, element: tf.Tensor) -> tf.Tensor:
        """Build the components (natoms, 2 l + 1, C) of tensors, by the element of the atom."""
        matrices = self.atomic[f"{name}.components[{l}]"]
        out = None
        for z in range(len(self.elements)):
            centred = a - self.atomic[f"{name}.mean"][z] if l == 0 else a
            found = tf.einsum("amk,kc->amc", centred, matrices[z])
            mine = tf.equal(element, z)[:, None, None]
            out = found if out is None else tf.where_v2(mine, found, out)
        return out

    def _build_moments(
        self,
        sources: Sources,
        atoms: RealAtoms,
        rcut: float,
        basis: Callable[[Any, tf.Tensor], list[tf.Tensor]],
        lmax: int,
    ) -> list[tf.Tensor]:
        """Build the moments of neighbours, for each l (natoms, 2 l + 1, moments)."""
        pairs = atom_pairs(sources, atoms, rcut)
        types = tf.gather(sources.type, pairs.source)
        environment = Environment(pairs, types, tf.shape(atoms.frame)[0], rcut, tf.float64)
        parts = []
        for itype in self.elements:
            x, y, z = environment.of_type(itype)
            r = tf.sqrt(x * x + y * y + z * z)
            ylm = self._build_harmonics(x, y, z, r, lmax)
            parts.append(tf.matmul(ylm, tf.stack(basis(tf, r), axis=1), transpose_b=True))
        a = tf.concat(parts, axis=2)
        return [a[:, l * l : (l + 1) ** 2, :] for l in range(lmax + 1)]


def _none(like: tf.Tensor, l: int) -> tf.Tensor:
    """Build no tensors of l, (natoms, 2 l + 1, 0), of the atoms of others."""
    return tf.zeros([tf.shape(like)[0], 2 * l + 1, 0], dtype=like.dtype)


def _product(
    first: tf.Tensor, second: tf.Tensor, ls: tuple[int, int, int], ordered: bool = False
) -> tf.Tensor:
    """Build products (natoms, 2 l3 + 1, ...) of all pairs of channels, or of those i <= j."""
    n, m = first.shape[2], second.shape[2]
    taken = [(i, j) for i in range(n) for j in range(i if ordered else 0, m)]
    a = tf.gather(first, [i for i, _ in taken], axis=2)
    b = tf.gather(second, [j for _, j in taken], axis=2)
    g = tf.constant(coupling(*ls).reshape(-1, 2 * ls[2] + 1), dtype=tf.float64)
    product = a[:, :, None, :] * b[:, None, :, :]
    width = (2 * ls[0] + 1) * (2 * ls[1] + 1)
    product = tf.reshape(product, [-1, width, len(taken)])
    return tf.einsum("axk,xm->amk", product, g)
