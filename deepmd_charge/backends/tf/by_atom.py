# SPDX-License-Identifier: LGPL-3.0-or-later
r"""Radial channels mixed for each neighbour, before the sum over them.

.. math::
    B_{c,lm} = \sum_j s_{j,lc} \, g^{z_j}_{lc}(r_j) \, Y_{lm}(\mathbf u_j), \qquad
    g^z_{lc}(r) = \sum_n R_n(r) \sum_k a_{zk} M^l_{kn,c}

which is :mod:`.mixed` where each element has a set k of its own and all scales s are 1, but
costs no more with many elements, and lets atoms of one element differ.
"""

from __future__ import annotations

from deepmd.tf.env import tf

from ...model.kernels.harmonics import harmonics
from ...model.kernels.radial import inverse_distance
from .mixed import Mixed
from .neighbors import Pairs, rows, slots

__all__ = ["ByAtom"]


class ByAtom:
    """The features of grid points, of radial channels that belong to each neighbour.

    Parameters
    ----------
    mixed : Mixed
        What has the parameters.
    """

    def __init__(self, mixed: Mixed) -> None:
        self._mixed = mixed

    def build_features(
        self,
        pairs: Pairs,
        element: tf.Tensor,
        n_centers: tf.Tensor,
        scales: tf.Tensor | None,
        dtype: tf.DType,
    ) -> tf.Tensor:
        """Build D and, behind it, the pair-additive features.

        Parameters
        ----------
        pairs : Pairs
            Closer than the cutoff, by centres in ascending order.
        element : tf.Tensor
            (npairs,) places of their atoms among the elements.
        n_centers : tf.Tensor
            Scalar.
        scales : tf.Tensor or None
            (npairs, n_scales) what scales the channels of their atoms; None is 1.
        dtype : tf.DType
            Of the result.

        Returns
        -------
        tf.Tensor
            (ncenters, dim_invariant + dim_linear)
        """
        mixed, d = self._mixed, self._mixed.spec
        vector = tf.cast(pairs.vector, dtype)
        r = tf.norm(vector, axis=1)
        basis = tf.stack(d.basis(tf, r), axis=1)
        inverse = inverse_distance(tf, r, d.eps)
        x, y, z = tf.unstack(vector * inverse[:, None], axis=1)
        ylm = tf.stack(harmonics(tf, x, y, z, d.lmax), axis=1)
        # channels are made in the order of the elements, and go to the rows of their centres
        order = tf.argsort(element, stable=True)
        channels = self._build_mixed(tf.gather(basis, order), tf.gather(element, order))
        if scales is not None:
            channels *= tf.gather(scales, order)
        places, shape = slots(pairs.center, n_centers)
        places = tf.gather(places, order)[:, None]
        # scattered, not gathered: the gradient of that is many times slower
        table = tf.scatter_nd(places, channels, [shape[0] * shape[1], d.n_scales])
        table = tf.reshape(table, [*tf.unstack(shape), d.n_scales])
        of_l = tf.split(table, [d.channels] * (d.lmax + 1), axis=2)
        index = rows(pairs.center, n_centers)
        ylm = tf.gather(tf.concat([ylm, tf.zeros([1, ylm.shape[1]], dtype)], 0), index)
        harmonic = tf.split(ylm, [2 * l + 1 for l in range(d.lmax + 1)], axis=2)
        sums = [tf.matmul(y, g, transpose_a=True) for y, g in zip(harmonic, of_l, strict=True)]
        sums[0] -= self._build_start()
        n = len(mixed.elements)
        which = tf.cast(pairs.center, tf.int32) * n + element
        linear = tf.math.unsorted_segment_sum(basis, which, tf.cast(n_centers, tf.int32) * n)
        linear = tf.reshape(linear, [-1, n * d.n_radial])
        return tf.concat([mixed.build_invariants(sums), linear], axis=1)

    def _build_start(self) -> tf.Tensor:
        """Build what the mean moments of l = 0 make of the channels, (channels,)."""
        mixed = self._mixed
        mean = mixed.parameters[f"{mixed.part}.mean"]
        return tf.tensordot(mean, mixed.build_mixtures()[0], 1)

    def _build_mixed(self, basis: tf.Tensor, element: tf.Tensor) -> tf.Tensor:
        """Build g of radial functions (npairs, n_radial), by elements, (npairs, n_scales)."""
        mixed, d = self._mixed, self._mixed.spec
        n = len(mixed.elements)
        shape = [mixed.n_sets, d.n_radial, d.channels]
        mixtures = tf.concat([tf.reshape(m, shape) for m in mixed.build_mixtures()], axis=2)
        if mixed.shares:
            species = mixed.parameters[f"{mixed.part}.species"]
            mixtures = tf.tensordot(species, mixtures, 1)
        # one multiplication for each element, of its pairs alone
        counts = tf.math.bincount(element, minlength=n, maxlength=n)
        parts = tf.split(basis, counts, axis=0, num=n)
        return tf.concat(
            [tf.matmul(*p) for p in zip(parts, tf.unstack(mixtures, n), strict=True)], 0
        )
