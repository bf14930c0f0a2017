# SPDX-License-Identifier: LGPL-3.0-or-later
r"""Moments in mixed radial functions, and their invariants.

.. math::
    A_{zn,lm} &= \sum_{j \in z} R_n(r_j) Y_{lm}(\mathbf u_j) \\
    B_{c,lm}  &= \sum_{zn} A_{zn,lm} M^{l}_{zn,c} \\
    D &= \Big[ B_{c,00}, \; \sum_m B_{c,lm} B_{c',lm}, \;
        \sum_{m_1 m_2 m_3} G^{l_1 l_2 l_3}_{m_1 m_2 m_3} B_{k,l_1 m_1} B_{k,l_2 m_2} B_{c',l_3 m_3}
        \Big], \quad c' < M_<, \; k < M_k

for elements z, radial functions n, channels c, and the chosen triples of l with
their coupling coefficients G. M is trained; it starts from random mixtures of
the whitened moments, so that every direction in the space of radial functions
is learnt at the same pace.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from deepmd.tf.env import tf

from ...model.descriptors.se_charge import SeChargeSpec
from ...model.fit.sums import MomentSums
from ...model.kernels.coupling import coupling
from ...model.kernels.harmonics import harmonics
from ...model.kernels.radial import inverse_distance
from ...typing import Floats
from .neighbors import Environment, Pairs, padded, rows
from .parameters import Parameters

__all__ = ["Mixed"]

# Directions of the radial space whose variance is below this share of the
# largest one are damped instead of blown up by the whitening.
_WHITEN_FLOOR = 1e-3


class Mixed:
    """A fixed radial basis for each element, mixed into trained channels.

    Parameters
    ----------
    spec : SeChargeSpec
    parameters : Parameters
        Of the descriptor; mean, whitening and mixing are added to them, and what each element
        has of every set where elements share them.
    elements : sequence of int
        The types of atoms.
    rng : numpy.random.Generator
        Source of the initial mixtures.
    part : str
        What is described, in the names of the parameters.
    """

    def __init__(
        self,
        spec: SeChargeSpec,
        parameters: Parameters,
        elements: Sequence[int],
        rng: np.random.Generator,
        part: str = "descriptor",
    ) -> None:
        self.spec, self.part, self.elements = spec, part, elements
        n_elements = len(elements)
        self.shares = spec.shares(n_elements)
        self.dim_linear = spec.dim_linear(n_elements)  # (element, radial function) pairs
        self.parameters = parameters
        self.n_sets = spec.sets(n_elements)
        n = self.n_sets * spec.n_radial
        if self.shares:
            mixtures = rng.normal(size=(n_elements, self.n_sets)) / np.sqrt(self.n_sets)
            parameters.add(f"{part}.species", mixtures, spec.trainable)
        parameters.add(f"{part}.mean", np.zeros(n), False)
        for l in range(spec.lmax + 1):
            mixing = rng.normal(size=(n, spec.channels)) / np.sqrt(n)
            parameters.add(f"{part}.whiten[{l}]", np.eye(n), False)
            parameters.add(f"{part}.mixing[{l}]", mixing, spec.trainable)

    def build_moments(
        self, pairs: Pairs, types: tf.Tensor, n_centers: tf.Tensor, dtype: tf.DType
    ) -> tf.Tensor:
        """Build A, (ncenters, (lmax + 1)^2, sets and radial functions).

        Parameters
        ----------
        pairs : Pairs
            Closer than the cutoff, by centres in ascending order.
        types : tf.Tensor
            (npairs,) of their atoms.
        n_centers : tf.Tensor
            Scalar.
        dtype : tf.DType
            Of the result.
        """
        d = self.spec
        if self.shares:
            return self._build_shared(pairs, types, n_centers, dtype)
        environment = Environment(pairs, types, n_centers, d.rcut, dtype)
        moments: list[tf.Tensor] = []
        for itype in self.elements:
            r, _, ylm = environment.surroundings(itype, d.eps, d.lmax)
            basis = d.basis(tf, r)
            moments.append(tf.matmul(tf.stack(ylm, 1), tf.stack(basis, 1), transpose_b=True))
        return tf.concat(moments, axis=2)

    def _build_shared(
        self, pairs: Pairs, types: tf.Tensor, n_centers: tf.Tensor, dtype: tf.DType
    ) -> tf.Tensor:
        """Build the sums of A over the elements, weighed by what each has of every set."""
        d = self.spec
        x, y, z = padded(tf.cast(pairs.vector, dtype), pairs.center, n_centers, d.rcut)
        r = tf.sqrt(x * x + y * y + z * z)
        inverse = inverse_distance(tf, r, d.eps)
        ylm = tf.stack(harmonics(tf, x * inverse, y * inverse, z * inverse, d.lmax), 1)
        # what is padded stands at the cutoff, where every function is zero
        index = rows(pairs.center, n_centers)
        types = tf.gather(tf.concat([types, [self.elements[0]]], 0), index)
        weights = tf.gather(self.parameters[f"{self.part}.species"], self.build_places(types))
        functions = weights[:, :, :, None] * tf.stack(d.basis(tf, r), 2)[:, :, None, :]
        shape = [tf.shape(r)[0], tf.shape(r)[1], self.n_sets * d.n_radial]
        return tf.matmul(ylm, tf.reshape(functions, shape))

    def build_places(self, types: tf.Tensor) -> tf.Tensor:
        """Build the places of types among the elements."""
        places = np.zeros(max(self.elements) + 1, dtype=np.int32)
        places[list(self.elements)] = range(len(self.elements))
        return tf.gather(tf.constant(places), types)

    def build_features(self, moments: tf.Tensor) -> tf.Tensor:
        """Build D and, behind it, the whitened moments of l = 0, (ncenters, features)."""
        p, part = self.parameters, self.part
        pair = tf.matmul(moments[:, 0, :] - p[f"{part}.mean"], p[f"{part}.whiten[0]"])
        return tf.concat([self.build_invariants(self.build_channels(moments)), pair], axis=1)

    def build_channels(self, moments: tf.Tensor) -> list[tf.Tensor]:
        """Build B, for each l (ncenters, 2 l + 1, channels)."""
        p, d, part = self.parameters, self.spec, self.part
        channels: list[tf.Tensor] = []
        for l, mix in enumerate(self.build_mixtures()):
            a = moments[:, l * l : (l + 1) ** 2, :]
            a = a - p[f"{part}.mean"] if l == 0 else a
            b = tf.matmul(tf.reshape(a, [-1, a.shape[-1]]), mix)
            channels.append(tf.reshape(b, [-1, 2 * l + 1, d.channels]))
        return channels

    def build_mixtures(self) -> list[tf.Tensor]:
        """Build for each l what mixes moments into channels."""
        p, part = self.parameters, self.part
        return [
            tf.matmul(p[f"{part}.whiten[{l}]"], p[f"{part}.mixing[{l}]"])
            for l in range(self.spec.lmax + 1)
        ]

    def build_invariants(self, channels: Sequence[tf.Tensor]) -> tf.Tensor:
        """Build D of B, (ncenters, dim_invariant)."""
        d = self.spec
        features = [tf.reshape(channels[0], [-1, d.channels])]
        axes: list[tf.Tensor] = []
        for b in channels:
            # split, not sliced: the gradient of a slice is many times slower
            axis, _ = tf.split(b, [d.axis_neuron, d.channels - d.axis_neuron], axis=2)
            gram = tf.matmul(b, axis, transpose_a=True)
            features.append(tf.reshape(gram, [-1, d.channels * d.axis_neuron]))
            axes.append(axis)
        features += [self._triple(t, channels, axes) for t in d.products]
        return tf.concat(features, axis=1)

    def _triple(
        self, ls: tuple[int, ...], channels: Sequence[tf.Tensor], axes: list[tf.Tensor]
    ) -> tf.Tensor:
        l1, l2, l3 = ls
        k = self.spec.n_triple
        rest = self.spec.channels - k
        first = tf.transpose(tf.split(channels[l1], [k, rest], axis=2)[0], [0, 2, 1])
        second = tf.transpose(tf.split(channels[l2], [k, rest], axis=2)[0], [0, 2, 1])
        product = first[:, :, :, None] * second[:, :, None, :]
        width = (2 * l1 + 1) * (2 * l2 + 1)
        g = tf.constant(coupling(*ls).reshape(width, 2 * l3 + 1), dtype=product.dtype)
        coupled = tf.matmul(tf.reshape(product, [-1, width]), g)
        coupled = tf.reshape(coupled, [-1, k, 2 * l3 + 1])
        return tf.reshape(tf.matmul(coupled, axes[l3]), [-1, k * self.spec.axis_neuron])

    def build_sample(self, moments: tf.Tensor) -> tf.Tensor:
        """Build what the sums of :meth:`new_sums` add up."""
        return moments

    def new_sums(self) -> MomentSums:
        """Sums over points that :meth:`set_statistics` takes."""
        return MomentSums(self.spec.lmax, self.n_sets * self.spec.n_radial)

    def set_statistics(self, sums: MomentSums) -> None:
        """Whiten the moments."""
        self.parameters.set(f"{self.part}.mean", sums.mean)
        for l in range(self.spec.lmax + 1):
            self.parameters.set(f"{self.part}.whiten[{l}]", _whitening(sums.covariance(l)))

    def whitened(self, coefficients: Floats) -> tuple[Floats, float]:
        """Weights (dim_linear,) of the pair-additive features, and an offset, that equal some sum.

        Parameters
        ----------
        coefficients : np.ndarray
            (dim_linear,) of the moments of l = 0.
        """
        p, part = self.parameters, self.part
        offset = float(p.value(f"{part}.mean") @ coefficients)
        return np.linalg.solve(p.value(f"{part}.whiten[0]"), coefficients), offset


def _whitening(covariance: Floats) -> Floats:
    """Whitening T by symmetric eigenvalues: a T has unit variance, of a of this covariance."""
    variance, vectors = np.linalg.eigh(covariance)
    variance = np.maximum(variance, 0.0)
    floor = _WHITEN_FLOOR * variance.max() + np.finfo(np.float64).tiny
    return vectors / np.sqrt(variance + floor)
