# SPDX-License-Identifier: LGPL-3.0-or-later
"""What DeePMD-kit offers for its models, and the model ``charge`` has not."""

from __future__ import annotations

from typing import Any, NoReturn

from deepmd.tf.model.model import Model

from ...errors import ChargeError

__all__ = ["Refusals"]


class Refusals(Model):
    """Base of the model that says in a line what DeePMD-kit's leaves unsaid."""

    def enable_mixed_precision(self, mixed_prec: dict) -> NoReturn:
        """Refuse ``training/mixed_precision``."""
        raise ChargeError(
            "training/mixed_precision does not go with model/type charge; leave it out, and choose"
            " the precision in model/descriptor and model/fitting_net"
        )

    def enable_compression(self, suffix: str = "") -> NoReturn:
        """Refuse ``dp compress``."""
        raise ChargeError(
            "models of type charge need no dp compress: their compiled code does not tabulate nets;"
            " use the frozen model as it is"
        )

    def change_energy_bias(self, *args: Any, **kwargs: Any) -> NoReturn:
        """Refuse ``dp change-bias``."""
        raise ChargeError("models of type charge have no energy bias that dp could change")

    @staticmethod
    def check_training(trainer: Any) -> None:
        """Raise ChargeError where training would end in what is refused above.

        Parameters
        ----------
        trainer : DPTrainer or None
        """
        if getattr(trainer, "change_bias_after_training", False):
            raise ChargeError(
                "training/change_bias_after_training does not go with model/type charge, which has"
                " no energy bias; leave it out"
            )
