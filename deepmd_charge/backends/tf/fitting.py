# SPDX-License-Identifier: LGPL-3.0-or-later
r"""The fitting ``charge``: from the features of a grid point to the density there.

.. math::
    \rho = \rho_0 + \mathbf w \cdot \mathbf p + \sigma \, N(\hat{\mathbf D})

p are the pair-additive features, for which w and :math:`\rho_0` come from
linear least squares before training starts; the network N, fed with the
standardised invariants, learns what is left, in units of its standard
deviation :math:`\sigma`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from deepmd.tf.common import get_activation_func, get_precision
from deepmd.tf.env import GLOBAL_TF_FLOAT_PRECISION, tf
from deepmd.tf.fit.fitting import Fitting

from ...errors import ChargeError
from ...model.fit.sums import Spread, floored
from ...model.spec import FittingSpec, LossSpec
from .descriptor import GridDescriptor
from .loss import ChargeLoss
from .parameters import Parameters, network, new_network

if TYPE_CHECKING:
    from deepmd.tf.utils.learning_rate import LearningRateExp
    from deepmd.utils.data import DataRequirementItem

__all__ = ["ChargeFitting"]


@Fitting.register("charge")
class ChargeFitting(Fitting):
    """A network for the density at a grid point.

    Parameters
    ----------
    descrpt : GridDescriptor
    ntypes, type_map
        DeePMD-kit gives them to every fitting; not used.
    **keys
        Those of :class:`deepmd_charge.model.spec.FittingSpec`.
    """

    def __init__(
        self,
        descrpt: GridDescriptor[Any],
        ntypes: int | None = None,
        type_map: list[str] | None = None,
        **keys: Any,
    ) -> None:
        self.spec = spec = FittingSpec.from_dict(keys)
        self.activation = get_activation_func(spec.activation_function)
        self.dtype = get_precision(spec.dtype)
        self.dim_linear = descrpt.dim_linear
        self.dim_invariant = descrpt.get_dim_out() - self.dim_linear
        self.parameters = p = Parameters(self.dtype)
        p.add("fitting.residual", 1.0, False)
        self._is_density = descrpt.is_density
        if self._is_density:
            return
        p.add("fitting.mean", np.zeros(self.dim_invariant), False)
        p.add("fitting.scale", np.ones(self.dim_invariant), False)
        if self.dim_linear:  # freezing drops what no output needs
            p.add("fitting.linear", np.zeros((self.dim_linear, 1)), False)
        p.add("fitting.offset", 0.0, False)
        rng = np.random.default_rng(spec.seed)
        *hidden, trained = spec.trained
        new_network(p, "fitting", rng, [self.dim_invariant, *spec.neuron], hidden)
        # the output starts near zero: the pair-additive term alone
        out = 0.1 * rng.normal(size=(spec.neuron[-1], 1)) / np.sqrt(spec.neuron[-1])
        p.add("fitting.output.matrix", out, trained)
        p.add("fitting.output.bias", np.zeros(1), trained)

    @property
    def precision(self) -> tf.DType:
        """That of the parameters."""
        return self.dtype

    def get_numb_fparam(self) -> int:
        """There are no parameters of frames."""
        return 0

    def get_numb_aparam(self) -> int:
        """There are no parameters of atoms."""
        return 0

    @property
    def input_requirement(self) -> list[DataRequirementItem]:
        """Nothing is read but what the loss needs."""
        return []

    def init_variables(self, graph: tf.Graph, graph_def: tf.GraphDef, suffix: str = "") -> None:
        """Take the parameters of a frozen model."""
        self.parameters.load(graph, suffix)

    def get_loss(self, loss: dict[str, Any], lr: LearningRateExp, **saed: bool) -> ChargeLoss:
        """Make the loss of ``loss`` of an ``input.json``; options as for :class:`.ChargeLoss`."""
        if loss.get("type") != "charge":
            raise ChargeError(
                f'loss/type "{loss.get("type", "ener")}" does not go with model/type "charge"; '
                'set it to "charge"'
            )
        return ChargeLoss(LossSpec.from_dict(loss), **saed)

    def build(self, features: tf.Tensor, reuse: bool | None = None, suffix: str = "") -> tf.Tensor:
        """Build the density at the centres.

        Parameters
        ----------
        features : tf.Tensor
            (n, dim_invariant + dim_linear), the descriptor; or the density itself.

        Returns
        -------
        tf.Tensor
            (n,) density in e/A^3.
        """
        with tf.variable_scope("fitting_attr" + suffix, reuse=reuse):
            tf.constant(0, name="dfparam", dtype=tf.int32)
            tf.constant(0, name="daparam", dtype=tf.int32)
        p = self.parameters
        p.build(suffix)
        if self._is_density:
            return tf.cast(features[:, 0], GLOBAL_TF_FLOAT_PRECISION)
        invariant, pair = tf.split(
            tf.cast(features, self.dtype), [self.dim_invariant, self.dim_linear], axis=1
        )
        x = (invariant - p["fitting.mean"]) / p["fitting.scale"]
        n_layers = len(self.spec.neuron)
        x = network(p, "fitting", x, n_layers, self.activation, self.spec.resnet)
        y = tf.nn.bias_add(tf.matmul(x, p["fitting.output.matrix"]), p["fitting.output.bias"])
        density = p["fitting.residual"] * y + p["fitting.offset"]
        if self.dim_linear:
            density += tf.matmul(pair, p["fitting.linear"])
        return tf.cast(density[:, 0], GLOBAL_TF_FLOAT_PRECISION)

    def set_statistics(self, features: Spread, residual: float, offset: float) -> None:
        """Standardise the invariants, and set the unit of the net and what is added to it.

        Parameters
        ----------
        features : Spread
            Of the features at points; those of the pair-additive term are passed over.
        residual : float
            Standard deviation of what the pair-additive term leaves, e/A^3.
        offset : float
            In e/A^3.
        """
        n = self.dim_invariant
        self.parameters.set("fitting.mean", features.mean[:n])
        self.parameters.set("fitting.scale", floored(features.std[:n]))
        self.parameters.set("fitting.residual", max(residual, 1e-12))
        self.parameters.set("fitting.offset", offset)
