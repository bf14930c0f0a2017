# SPDX-License-Identifier: LGPL-3.0-or-later
"""What ``dp train`` goes on from: a checkpoint or a frozen model."""

from __future__ import annotations

from deepmd.tf.env import tf

from ...errors import ChargeError
from .frozen import Frozen, read_checkpoint, read_model
from .trainer import trainer_at_work

__all__ = ["starting_point"]

# Variables of a checkpoint that a frozen model has as constants, and that must be known here.
_NAMES = ("saed/step", "saed/coefficients", "se_charge/crowding_low")


def starting_point() -> tuple[Frozen, list[str]] | None:
    """Find the model that the training under way goes on from, and its data.

    DeePMD-kit does not tell a model that it restores a checkpoint, so that its
    trainer is asked, which is among the callers.

    Returns
    -------
    model : Frozen
        Of a checkpoint only what it remembers, the table of atomic densities, and of which
        elements it has parameters.
    system_dirs : list of str
        The training data.

    Or None where no training is under way.

    Raises
    ------
    ChargeError
        If it is no charge model, or DeePMD-kit keeps it to itself.
    """
    trainer, data = trainer_at_work()
    options = getattr(trainer, "run_opt", None)
    if options is None and not _is_training():
        return None
    if prefix := options and (options.restart or options.init_model):
        model = read_checkpoint(prefix)
        variables = tf.train.load_checkpoint(prefix)
        model.constants.update(
            {name: variables.get_tensor(name) for name in _NAMES if variables.has_tensor(name)}
        )
    elif path := options and (options.init_frz_model or options.finetune):
        model = read_model(path)
    else:
        raise ChargeError("this version of DeePMD-kit does not tell what training starts from")
    return model, data.system_dirs


def _is_training() -> bool:
    """Whether ``dp train`` has put its input into the graph."""
    try:
        tf.get_default_graph().get_operation_by_name("train_attr/training_script")
    except KeyError:
        return False
    return True
