# SPDX-License-Identifier: LGPL-3.0-or-later
r"""The descriptor ``se_charge``: what the atoms around a grid point look like.

With :math:`\mathbf r_j` the vectors from the grid point to the atoms within
the cutoff and :math:`\mathbf u = \mathbf r / \sqrt{r^2 + \epsilon^2}`,

.. math::
    A_{zn,lm} &= \sum_{j \in z} R_n(r_j) Y_{lm}(\mathbf u_j) \\
    B_{c,lm}  &= \sum_{zn} A_{zn,lm} M^{l}_{zn,c} \\
    D &= \Big[ B_{c,00}, \; \sum_m B_{c,lm} B_{c',lm}, \;
        \sum_{m_1 m_2 m_3} G^{l_1 l_2 l_3}_{m_1 m_2 m_3} B_{k,l_1 m_1} B_{k,l_2 m_2} B_{c',l_3 m_3}
        \Big], \quad c' < M_<, \; k < M_k

for elements z, radial functions n, channels c, and the chosen triples of l with
their coupling coefficients G. M is trained; it starts from
random mixtures of the whitened moments, so that every direction in the space
of radial functions is learnt at the same pace.

With ``radial = "embedding"`` it is the DeepPot-SE descriptor of the Deep Charge
paper (Phys. Rev. B 108, 235159): :math:`B_{c,lm} = \frac1N \sum_j s(r_j)
Y_{lm}(\mathbf u_j) G^{z_j}_c(s(r_j))` with a network G for each element,
:math:`s(r) = w(r) / \sqrt{r^2 + \epsilon^2}`, and one sum over all l and m.

Beside the features stands the *crowding* :math:`k_z = \sum_{j \in z} f_c(r_j)`,
a smooth count of neighbours, whose range in the training data tells
extrapolation.
"""

import numpy as np
from deepmd.tf.common import get_activation_func, get_precision
from deepmd.tf.descriptor.descriptor import Descriptor
from deepmd.tf.env import GLOBAL_TF_FLOAT_PRECISION, tf

from ..errors import ChargeError
from ..kernels.coupling import coupling
from ..kernels.harmonics import harmonics
from ..kernels.radial import RADIAL_BASES, cutoff, inverse_distance, switch
from .neighbors import Environment, closer_pairs, neighbor_pairs, sources_and_centers
from .parameters import Parameters, network, new_network

__all__ = ["SeCharge"]

# Directions of the radial space whose variance is below this share of the
# largest one are damped instead of blown up by the whitening.
_WHITEN_FLOOR = 1e-3


@Descriptor.register("se_charge")
class SeCharge(Descriptor):
    """Invariants of the atoms around each grid point.

    The parameters are documented in :mod:`deepmd_charge.argcheck`.
    """

    def __init__(
        self,
        rcut,
        radial="bessel",
        n_radial=24,
        core=0.5,
        lmax=4,
        n_channel=16,
        axis_neuron=4,
        triples=(),
        n_triple=8,
        eps=0.5,
        rcut_smth=0.5,
        neuron=(20, 40, 80),
        activation_function="tanh",
        precision="default",
        trainable=True,
        seed=None,
        ntypes=None,
        type_map=None,
        grid_type=None,
        reach=0.0,
        **kwargs,
    ):
        self.rcut = float(rcut)
        # how far the model looks: farther than the descriptor where a table needs it
        self.reach = max(self.rcut, reach)
        self.ntypes = ntypes
        self.grid_type = ntypes - 1 if grid_type is None else grid_type
        self.elements = [t for t in range(ntypes) if t != self.grid_type]
        self.radial = radial
        self.n_radial = n_radial
        self.core = core
        self.lmax = lmax
        self.eps = eps
        self.rcut_smth = rcut_smth
        self.neuron = list(neuron)
        self.activation = get_activation_func(activation_function)
        self.dtype = get_precision("float32" if precision == "default" else precision)
        self.embedding = radial == "embedding"
        self.n_channel = self.neuron[-1] if self.embedding else n_channel
        self.axis = axis_neuron
        self.triples = [] if self.embedding else [tuple(t) for t in triples]
        self.n_triple = n_triple
        self._check()
        self.parameters = Parameters("se_charge", self.dtype)
        for name in ("crowding_low", "crowding_high"):
            self.parameters.add(name, np.zeros(len(self.elements)), False)
        rng = np.random.default_rng(seed)
        if self.embedding:
            self._new_embedding(rng, trainable)
        else:
            self._new_mixing(rng, trainable)

    def _check(self):
        if any(max(t) > self.lmax for t in self.triples):
            raise ChargeError(f"triples {self.triples}: an l above lmax {self.lmax}; raise lmax")
        taken = {"axis_neuron": self.axis, "n_triple": self.n_triple if self.triples else 0}
        for key, n in taken.items():
            if n > self.n_channel:
                raise ChargeError(
                    f"model/descriptor/{key} {n} is more than the {self.n_channel} channels; lower it"
                )
        if self.embedding and self.rcut_smth >= self.rcut:
            raise ChargeError(
                f"model/descriptor/rcut_smth {self.rcut_smth} must lie below rcut {self.rcut}"
            )

    def _new_embedding(self, rng, trainable):
        self.parameters.add("s_mean", 0.0, False)
        self.parameters.add("s_scale", 1.0, False)
        self.parameters.add("n_neighbors", 1.0, False)
        self.nets = {}
        for t in self.elements:
            net = Parameters(f"se_charge_embedding_{t}", self.dtype)
            new_network(net, rng, [1, *self.neuron], [trainable] * len(self.neuron))
            self.nets[t] = net

    def _new_mixing(self, rng, trainable):
        n = self.dim_radial
        self.parameters.add("mean", np.zeros(n), False)
        for l in range(self.lmax + 1):
            self.parameters.add(f"whiten_{l}", np.eye(n), False)
            weights = rng.normal(size=(n, self.n_channel)) / np.sqrt(n)
            self.parameters.add(f"mixing_{l}", weights, trainable)

    @property
    def dim_radial(self):
        """Number of (element, radial function) pairs."""
        return len(self.elements) * self.n_radial

    @property
    def dim_linear(self):
        """How many of the last features are the pair-additive ones."""
        return 0 if self.embedding else self.dim_radial

    @property
    def _dim_gram(self):
        return self.n_channel * self.axis

    # what DeePMD-kit asks of a descriptor

    def get_rcut(self):
        return self.reach

    def get_ntypes(self):
        return self.ntypes

    def get_dim_out(self):
        if self.embedding:
            return self._dim_gram
        triples = len(self.triples) * self.n_triple * self.axis
        return (
            self.n_channel + (self.lmax + 1) * self._dim_gram + triples + self.dim_radial
        )

    def get_dim_rot_mat_1(self):
        return 0

    def get_nlist(self):
        raise NotImplementedError("se_charge keeps no neighbour list of DeePMD-kit's form")

    @property
    def explicit_ntypes(self):
        return False

    @property
    def input_requirement(self):
        return []

    @classmethod
    def update_sel(cls, train_data, type_map, local_jdata):
        """Neighbours are counted in the graph: there is no ``sel`` to find."""
        return local_jdata, None

    def compute_input_stats(self, *args, **kwargs):
        raise NotImplementedError("the charge model computes the statistics")

    def init_variables(self, graph, graph_def, suffix=""):
        self.parameters.load(graph, suffix)
        for net in getattr(self, "nets", {}).values():
            net.load(graph, suffix)

    def prod_force_virial(self, atom_ener, natoms):
        raise NotImplementedError("a density has no forces")

    def build(self, coord_, atype_, natoms, box_, mesh, input_dict, reuse=None, suffix=""):
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
        if self.embedding:
            flat = tf.transpose(moments, [0, 2, 1])
            gram = tf.matmul(flat, moments[:, :, : self.axis])
            return tf.reshape(gram, [-1, self._dim_gram])
        return self._invariants(moments)

    # the equations

    def build_moments(self, coord_, atype_, natoms, box_, mesh, suffix=""):
        """Build the moments A (or B, with an embedding), (ncenters, (lmax + 1)^2, channels)."""
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
        self.pairs = pairs = neighbor_pairs(sources, centers, self.reach)
        if self.reach > self.rcut:
            pairs = closer_pairs(pairs, self.rcut)
        environment = Environment(pairs, self.n_centers, self.rcut, self.dtype)
        self._crowding = []
        if self.embedding:
            self.pair_weights = []
            return tf.add_n(
                [self._embedded_moments(t, environment, suffix) for t in self.elements]
            )
        return tf.concat([self._moments(t, environment) for t in self.elements], axis=2)

    def build_novelty(self, suffix=""):
        """Build how far each centre's crowding lies outside the training range.

        Returns
        -------
        tf.Tensor
            (ncenters,) the part of the crowding, summed over the elements, that
            is too little or too much, as a share of the largest that was seen.
        """
        low, high = self.parameters["crowding_low"], self.parameters["crowding_high"]
        crowding = self.build_crowding()
        outside = tf.maximum(tf.maximum(low - crowding, crowding - high), 0.0)
        return tf.divide(
            tf.reduce_sum(outside, axis=1),
            tf.reduce_sum(high),
            name="se_charge/novelty" + suffix,
        )

    def build_crowding(self):
        """Stack the crowding that :meth:`build_moments` left, (ncenters, elements)."""
        return tf.stack(self._crowding, axis=1)

    def _geometry(self, itype, environment):
        x, y, z = environment.of_type(itype)
        r = tf.sqrt(x * x + y * y + z * z)
        self._crowding.append(tf.reduce_sum(cutoff(tf, r, self.rcut), axis=1))
        inverse = inverse_distance(tf, r, self.eps)
        ylm = harmonics(tf, x * inverse, y * inverse, z * inverse, self.lmax)
        return r, inverse, ylm

    def _moments(self, itype, environment):
        r, _, ylm = self._geometry(itype, environment)
        basis = RADIAL_BASES[self.radial](tf, r, self.rcut, self.n_radial, self.core)
        return tf.matmul(tf.stack(ylm, 1), tf.stack(basis, 1), transpose_b=True)

    def _embedded_moments(self, itype, environment, suffix):
        net = self.nets[itype]
        net.build(suffix)
        r, inverse, ylm = self._geometry(itype, environment)
        s = inverse * switch(tf, r, self.rcut_smth, self.rcut)
        self.pair_weights.append(s)
        scaled = (s - self.parameters["s_mean"]) / self.parameters["s_scale"]
        g = network(
            net, tf.reshape(scaled, [-1, 1]), len(self.neuron), self.activation, True
        )
        g = tf.reshape(g, tf.concat([tf.shape(s), [self.n_channel]], 0))
        weight = s / (self.parameters["s_scale"] * self.parameters["n_neighbors"])
        return tf.matmul(tf.stack(ylm, 1) * weight[:, None, :], g)

    def _invariants(self, moments):
        n_centers = tf.shape(moments)[0]
        features, channels, axes = [], [], []
        for l in range(self.lmax + 1):
            m = 2 * l + 1
            a = moments[:, l * l : (l + 1) ** 2, :]
            a = tf.reshape(a, [-1, self.dim_radial])
            if l == 0:
                pair = tf.matmul(a - self.parameters["mean"], self.parameters["whiten_0"])
                b = tf.matmul(pair, self.parameters["mixing_0"])
                features.append(b)
            else:
                mix = tf.matmul(
                    self.parameters[f"whiten_{l}"], self.parameters[f"mixing_{l}"]
                )
                b = tf.matmul(a, mix)
            b = tf.reshape(b, [n_centers, m, self.n_channel])
            # split, not sliced: the gradient of a slice is many times slower
            axis, _ = tf.split(b, [self.axis, self.n_channel - self.axis], axis=2)
            gram = tf.matmul(b, axis, transpose_a=True)
            features.append(tf.reshape(gram, [-1, self._dim_gram]))
            channels.append(b)
            axes.append(axis)
        features += [self._triple(t, channels, axes) for t in self.triples]
        return tf.concat([*features, pair], axis=1)

    def _triple(self, ls, channels, axes):
        l1, l2, l3 = ls
        k = self.n_triple
        rest = self.n_channel - k
        first = tf.transpose(tf.split(channels[l1], [k, rest], axis=2)[0], [0, 2, 1])
        second = tf.transpose(tf.split(channels[l2], [k, rest], axis=2)[0], [0, 2, 1])
        product = first[:, :, :, None] * second[:, :, None, :]
        width = (2 * l1 + 1) * (2 * l2 + 1)
        g = tf.constant(coupling(*ls).reshape(width, 2 * l3 + 1), dtype=self.dtype)
        coupled = tf.matmul(tf.reshape(product, [-1, width]), g)
        coupled = tf.reshape(coupled, [-1, k, 2 * l3 + 1])
        return tf.reshape(tf.matmul(coupled, axes[l3]), [-1, k * self.axis])

    # statistics

    def set_crowding(self, crowding):
        """Note the range of a sample's crowding (n, elements)."""
        self.parameters.set("crowding_low", crowding.min(axis=0))
        self.parameters.set("crowding_high", crowding.max(axis=0))

    def set_statistics(self, moments, s, n_centers):
        """Whiten the moments, or standardise s, on a sample of grid points.

        Parameters
        ----------
        moments : np.ndarray
            (n, (lmax + 1)^2, dim_radial) moments A of the sample.
        s : np.ndarray or None
            The weights s(r) of the sample's pairs, zero where padded.
        n_centers : int
            Number of grid points in the sample.
        """
        if self.embedding:
            s = s[s > 0]
            self.parameters.set("s_mean", s.mean())
            self.parameters.set("s_scale", s.std())
            self.parameters.set("n_neighbors", max(1.0, len(s) / n_centers))
            return
        moments = np.asarray(moments, dtype=np.float64)
        mean = moments[:, 0].mean(axis=0)
        self.parameters.set("mean", mean)
        for l in range(self.lmax + 1):
            a = moments[:, l * l : (l + 1) ** 2].reshape(-1, self.dim_radial)
            a = a - mean if l == 0 else a
            self.parameters.set(f"whiten_{l}", _whitening(a))


def _whitening(a):
    """Symmetric-eigenvalue whitening T of samples a (n, k): a T has unit variance."""
    variance, vectors = np.linalg.eigh(a.T @ a / len(a))
    variance = np.maximum(variance, 0.0)
    floor = _WHITEN_FLOOR * variance.max() + np.finfo(np.float64).tiny
    return vectors / np.sqrt(variance + floor)
