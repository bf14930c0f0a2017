# SPDX-License-Identifier: LGPL-3.0-or-later
"""DeePMD-kit's trainer: found while it builds a model, and made to do what it has no hook for."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

import numpy as np

from .parameters import Parameters

if TYPE_CHECKING:
    from deepmd.tf.utils.data_system import DeepmdDataSystem

__all__ = ["set_after_restoring", "show_without_steps", "trainer_at_work", "validation_systems"]


def trainer_at_work() -> tuple[Any, Any]:
    """The DPTrainer that builds a model, and the data that it was given, or None and None.

    It is among the callers, and tells a model neither what it restores nor how many steps it
    will take.
    """
    frame = inspect.currentframe()
    while frame is not None:
        caller = frame.f_locals.get("self")
        if hasattr(caller, "run_opt") and hasattr(frame.f_locals.get("data"), "system_dirs"):
            return caller, frame.f_locals["data"]
        frame = frame.f_back
    return None, None


def validation_systems() -> list[str]:
    """The validation data of the training under way; they, too, are known to callers alone."""
    frame = inspect.currentframe()
    while frame is not None:
        data = frame.f_locals.get("valid_data")
        if data is not None and hasattr(data, "system_dirs"):
            return list(data.system_dirs)
        frame = frame.f_back
    return []


def set_after_restoring(trainer: Any, parameters: Iterable[Parameters]) -> None:
    """Have parameters keep their values when the trainer restores a checkpoint.

    Parameters
    ----------
    trainer : deepmd.tf.train.trainer.DPTrainer
    parameters : iterable of Parameters
    """
    start = trainer._init_session

    def started() -> None:
        start()
        for part in parameters:
            part.assign(trainer.sess)

    trainer._init_session = started


def show_without_steps(trainer: Any) -> None:
    """Have a training of no steps end with its errors, printed and in ``lcurve.out``.

    DeePMD-kit displays errors in steps only, and builds no loss where there are none; a model
    that is complete without a step is shown on all frames of its data.

    Parameters
    ----------
    trainer : deepmd.tf.train.trainer.DPTrainer
    """
    train = trainer.train

    def frames_of(data: DeepmdDataSystem | None) -> _Frames | None:
        return None if data is None else _Frames(data)

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
                    file, frames_of(train_data), frames_of(valid_data), print_header=True
                )

    trainer.train = shown


class _Frames:
    """All frames of a data set, each a batch of its own that is read when it is asked for.

    DeePMD-kit's batches leave out frames that do not fill one, and are drawn where they are of
    several systems.
    """

    def __init__(self, data: DeepmdDataSystem) -> None:
        self._data = data
        self._ends = np.cumsum([system.get_sys_numb_batch(1) for system in data.data_systems])
        for system in data.data_systems:
            system.reset_get_batch()

    def __len__(self) -> int:
        return int(self._ends[-1])

    def __getitem__(self, place: int) -> dict[str, Any]:
        # DeePMD-kit asks for one after another, and its systems give one after another
        system = int(np.searchsorted(self._ends, place, side="right"))
        batch = self._data.data_systems[system].get_batch(1)
        batch["natoms_vec"] = self._data.natoms_vec[system]
        batch["default_mesh"] = self._data.default_mesh[system]
        return batch
