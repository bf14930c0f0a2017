# SPDX-License-Identifier: LGPL-3.0-or-later
"""What ``dp train`` goes on from: a checkpoint or a frozen model."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from deepmd.tf.env import tf

from ...errors import ChargeError
from .frozen import TRAINING_KEYS, Frozen, read_checkpoint, read_model
from .trainer import trainer_at_work

__all__ = ["check_settings", "starting_point"]

# Variables of a checkpoint that a frozen model has as constants, and that must be known here.
_NAMES = ("saed/step", "saed/coefficients", "se_charge/crowding_low")
# Keys that may be others: what they change is trained or fitted, or told of elsewhere.
_FREE = {*TRAINING_KEYS, "precision"}


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


def check_settings(start: Frozen, parts: Mapping[str, Mapping[str, Any]]) -> None:
    """Refuse settings with which the parameters of a model would mean something else.

    Parameters
    ----------
    start : Frozen
        The model that training goes on from.
    parts : dict
        The arguments of descriptor and fitting net.

    Raises
    ------
    ChargeError
        If one is not as it was.
    """
    for part, given in parts.items():
        before = (start.arguments or {}).get(part, {})
        # what a former version does not have is no other value
        for name in ("type", *sorted(given.keys() & before.keys() - {"type"} - _FREE)):
            here, its = (settings.get(name) for settings in (given, before))
            if before and here != its:
                raise ChargeError(
                    f"{start.path}: has model/{part}/{name} {its}, not {here}; give the same, or "
                    "train from the beginning"
                )


def _is_training() -> bool:
    """Whether ``dp train`` has put its input into the graph."""
    try:
        tf.get_default_graph().get_operation_by_name("train_attr/training_script")
    except KeyError:
        return False
    return True
