# SPDX-License-Identifier: LGPL-3.0-or-later
"""What ``dp train`` shows of a model that no step is wanted of: see :func:`show_without_steps`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from deepmd.tf.utils.data_system import DeepmdDataSystem

__all__ = ["show_without_steps"]


def show_without_steps(trainer: Any) -> None:
    """Have a training of no steps end with its errors, printed and in ``lcurve.out``.

    DeePMD-kit displays errors in steps only, and builds no loss where there are none; a model
    that is complete without a step is shown on all batches of its data.

    Parameters
    ----------
    trainer : deepmd.tf.train.trainer.DPTrainer
    """
    train = trainer.train

    def shown(
        train_data: DeepmdDataSystem | None = None, valid_data: DeepmdDataSystem | None = None
    ) -> None:
        trainer.loss.build(
            trainer.learning_rate,
            trainer.place_holders["natoms_vec"],
            trainer.model_pred,
            trainer.place_holders,
            suffix="test",
        )
        train(train_data, valid_data)
        if trainer.run_opt.is_chief:
            with open(trainer.disp_file, "a") as file:
                trainer.valid_on_the_fly(
                    file, _batches(train_data), _batches(valid_data), print_header=True
                )

    trainer.train = shown


def _batches(data: DeepmdDataSystem | None) -> list[dict[str, Any]] | None:
    """All batches of a data set."""
    if data is None:
        return None
    return [
        data.get_batch(sys_idx=system)
        for system, n in enumerate(data.get_nbatches())
        for _ in range(n)
    ]
