# SPDX-License-Identifier: LGPL-3.0-or-later
r"""The loss ``charge``: errors of the density over the grid points only.

With :math:`d = (\rho - \rho_{DFT}) / \sigma`, in units of the spread
:math:`\sigma` that the pair-additive term leaves, so that the same learning
rate suits every material: the mean of :math:`d^2` (``mse``), of :math:`|d|`
(``mae``), or of the Huber function (``huber``), plus :math:`\lambda / 2` times
the squares of all trained parameters (``weight_decay``).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepmd.tf.env import GLOBAL_TF_FLOAT_PRECISION, tf
from deepmd.tf.loss.loss import Loss
from deepmd.tf.utils.sess import run_sess
from deepmd.utils.data import DataRequirementItem

from ...model.spec import LossSpec

__all__ = ["ChargeLoss"]


class ChargeLoss(Loss):
    """Loss and displayed errors of a charge model.

    Parameters
    ----------
    spec : LossSpec
    saed : bool
        Whether the data must hold superposed atomic densities.
    difference : bool
        Whether the model's output is the density without them: then they are
        subtracted from the label.
    """

    def __init__(self, spec: LossSpec, saed: bool = False, difference: bool = False) -> None:
        self.spec = spec
        self.saed = saed
        self.difference = difference

    def build(
        self,
        learning_rate: tf.Tensor,
        natoms: tf.Tensor,
        model_dict: Mapping[str, tf.Tensor],
        label_dict: Mapping[str, tf.Tensor],
        suffix: str,
    ) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
        """Build the loss, without unit, and what is shown of it, e/A^3."""
        label = label_dict["density"]
        if self.difference:
            label -= label_dict["saed"]
        label = tf.reshape(label, [-1, natoms[0]])
        label = tf.gather_nd(label, model_dict["center_index"])
        error = model_dict["density"] - label
        d = error / tf.cast(model_dict["residual"], error.dtype)
        if self.spec.loss_func == "mse":
            loss = tf.reduce_mean(tf.square(d))
        elif self.spec.loss_func == "mae":
            loss = tf.reduce_mean(tf.abs(d))
        else:
            delta = self.spec.huber_delta
            small = tf.minimum(tf.abs(d), delta)
            # of the order of |d|, like mae
            loss = tf.reduce_mean(small * (tf.abs(d) - 0.5 * small)) / delta
        self.mae = tf.reduce_mean(tf.abs(error))
        self.rmse = tf.sqrt(tf.reduce_mean(tf.square(error)))
        self.count = tf.size(error)
        tf.summary.scalar("mae_e_per_A3" + suffix, self.mae)
        tf.summary.scalar("rmse_e_per_A3" + suffix, self.rmse)
        loss = tf.cast(loss, GLOBAL_TF_FLOAT_PRECISION)
        if self.spec.weight_decay:
            squares = [tf.nn.l2_loss(v) for v in tf.trainable_variables()]
            loss += self.spec.weight_decay * tf.add_n(
                [tf.cast(s, GLOBAL_TF_FLOAT_PRECISION) for s in squares]
            )
        return loss, {
            "mae": self.mae,
            "rmse": self.rmse,
        }

    def eval(
        self, sess: tf.Session, feed_dict: Mapping[tf.Tensor, Any], natoms: tf.Tensor
    ) -> dict[str, float]:
        """MAE and RMSE of a batch in e/A^3, over its grid points."""
        mae, rmse, count = run_sess(sess, [self.mae, self.rmse, self.count], feed_dict=feed_dict)
        return {"natoms": count, "mae": mae, "rmse": rmse}

    @property
    def label_requirement(self) -> list[DataRequirementItem]:
        """The labels that the data must hold."""
        names = ["density", "saed"] if self.saed else ["density"]
        return [
            DataRequirementItem(name, 1, atomic=True, must=True, high_prec=False) for name in names
        ]
