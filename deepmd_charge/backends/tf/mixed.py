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
from ...typing import Floats
from .neighbors import Surroundings
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
        Of the descriptor; mean, whitening and mixing are added to them.
    n_elements : int
    rng : numpy.random.Generator
        Source of the initial mixtures.
    """

    def __init__(
        self,
        spec: SeChargeSpec,
        parameters: Parameters,
        n_elements: int,
        rng: np.random.Generator,
    ) -> None:
        self.spec = spec
        self.dim_linear = n = spec.dim_linear(n_elements)  # (element, radial function) pairs
        self.parameters = parameters
        parameters.add("descriptor.mean", np.zeros(n), False)
        for l in range(spec.lmax + 1):
            mixing = rng.normal(size=(n, spec.channels)) / np.sqrt(n)
            parameters.add(f"descriptor.whiten[{l}]", np.eye(n), False)
            parameters.add(f"descriptor.mixing[{l}]", mixing, spec.trainable)

    def build_moments(self, atoms: Sequence[Surroundings]) -> tf.Tensor:
        """Build A, (ncenters, (lmax + 1)^2, elements and radial functions).

        Parameters
        ----------
        atoms : list of tuple
            For each element r, 1 / sqrt(r^2 + eps^2), both (ncenters, pairs), and
            the harmonics, (lmax + 1)^2 of that shape.
        """
        d = self.spec
        moments: list[tf.Tensor] = []
        for r, _, ylm in atoms:
            basis = d.basis(tf, r)
            moments.append(tf.matmul(tf.stack(ylm, 1), tf.stack(basis, 1), transpose_b=True))
        return tf.concat(moments, axis=2)

    def build_features(self, moments: tf.Tensor) -> tf.Tensor:
        """Build D and, behind it, the whitened moments of l = 0, (ncenters, features)."""
        p, d = self.parameters, self.spec
        n_centers = tf.shape(moments)[0]
        features: list[tf.Tensor] = []
        channels: list[tf.Tensor] = []
        axes: list[tf.Tensor] = []
        for l in range(d.lmax + 1):
            m = 2 * l + 1
            a = moments[:, l * l : (l + 1) ** 2, :]
            a = tf.reshape(a, [-1, self.dim_linear])
            whiten, mixing = p[f"descriptor.whiten[{l}]"], p[f"descriptor.mixing[{l}]"]
            if l == 0:
                pair = tf.matmul(a - p["descriptor.mean"], whiten)
                b = tf.matmul(pair, mixing)
                features.append(b)
            else:
                b = tf.matmul(a, tf.matmul(whiten, mixing))
            b = tf.reshape(b, [n_centers, m, d.channels])
            # split, not sliced: the gradient of a slice is many times slower
            axis, _ = tf.split(b, [d.axis_neuron, d.channels - d.axis_neuron], axis=2)
            gram = tf.matmul(b, axis, transpose_a=True)
            features.append(tf.reshape(gram, [-1, d.channels * d.axis_neuron]))
            channels.append(b)
            axes.append(axis)
        features += [self._triple(t, channels, axes) for t in d.products]
        return tf.concat([*features, pair], axis=1)

    def _triple(
        self, ls: tuple[int, ...], channels: list[tf.Tensor], axes: list[tf.Tensor]
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
        return MomentSums(self.spec.lmax, self.dim_linear)

    def set_statistics(self, sums: MomentSums) -> None:
        """Whiten the moments."""
        self.parameters.set("descriptor.mean", sums.mean)
        for l in range(self.spec.lmax + 1):
            self.parameters.set(f"descriptor.whiten[{l}]", _whitening(sums.covariance(l)))

    def whitened(self, coefficients: Floats) -> tuple[Floats, float]:
        """Weights (dim_linear,) of the pair-additive features, and an offset, that equal some sum.

        Parameters
        ----------
        coefficients : np.ndarray
            (dim_linear,) of the moments of l = 0.
        """
        p = self.parameters
        offset = float(p.value("descriptor.mean") @ coefficients)
        return np.linalg.solve(p.value("descriptor.whiten[0]"), coefficients), offset


def _whitening(covariance: Floats) -> Floats:
    """Whitening T by symmetric eigenvalues: a T has unit variance, of a of this covariance."""
    variance, vectors = np.linalg.eigh(covariance)
    variance = np.maximum(variance, 0.0)
    floor = _WHITEN_FLOOR * variance.max() + np.finfo(np.float64).tiny
    return vectors / np.sqrt(variance + floor)
