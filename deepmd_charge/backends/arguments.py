# SPDX-License-Identifier: LGPL-3.0-or-later
"""The arguments of ``input.json``; shown by ``dp doc-train-input``.

They are made from the specifications in :mod:`deepmd_charge.model.spec`. This
module does not import TensorFlow: DeePMD-kit loads it for its documentation
and input checks in every backend.
"""

from __future__ import annotations

import inspect
from dataclasses import MISSING
from types import GenericAlias, NoneType
from typing import Any, get_args, get_origin

from dargs import Argument
from deepmd.utils.argcheck import (
    descrpt_args_plugin,
    descrpt_variant_type_args,
    fitting_args_plugin,
    fitting_variant_type_args,
    loss_args_plugin,
    model_args_plugin,
)

from ..data.together import check_together
from ..model.descriptors.se_charge import SeChargeSpec
from ..model.descriptors.se_cluster import SeClusterSpec
from ..model.keys import Key, Spec, keys_of
from ..model.spec import FittingSpec, LossSpec, ModelSpec, check_type_map

_TF = "(Supported Backend: TensorFlow) "


def _arguments(spec: type[Spec]) -> dict[str, Argument]:
    """The arguments of a specification's keys, by name."""
    return {key.name: _argument(key) for key in keys_of(spec)}


def _argument(key: Key) -> Argument:
    options: dict[str, Any] = {
        "doc": key.doc,
        "alias": key.alias,
        "optional": key.default is not MISSING,
    }
    if key.default is not MISSING and key.default is not None:
        options["default"] = _listed(key.default)
    if key.check:
        options["extra_check"] = key.check.holds
        options["extra_check_errmsg"] = key.check.message
    return Argument(key.name, _types(key.kind), **options)


def _listed(value: Any) -> Any:
    return [_listed(v) for v in value] if isinstance(value, tuple) else value


def _types(kind: object) -> Any:
    """The type in JSON, or a list of types, of a field's annotation."""
    if get_origin(kind) is tuple:
        return GenericAlias(list, (_types(get_args(kind)[0]),))
    if isinstance(kind, type):
        return None if kind is NoneType else dict if issubclass(kind, Spec) else kind
    return [_types(option) for option in get_args(kind)]


@descrpt_args_plugin.register("se_charge", doc=_TF)
def se_charge_args() -> list[Argument]:
    """Arguments of the descriptor ``se_charge``."""
    return [*_arguments(SeChargeSpec).values()]


@descrpt_args_plugin.register("se_cluster", doc=_TF)
def se_cluster_args() -> list[Argument]:
    """Arguments of the descriptor ``se_cluster``."""
    return [*_arguments(SeClusterSpec).values()]


@fitting_args_plugin.register("charge", doc=_TF)
def charge_fitting_args() -> list[Argument]:
    """Arguments of the fitting net ``charge``."""
    return [*_arguments(FittingSpec).values()]


def _data_go_together() -> bool:
    """Check the training data of an ``input.json`` that ``dp train`` is about to normalise.

    DeePMD-kit opens them before it asks the model for anything, and asserts what it needs
    without naming a file; the arguments of a model are not told of them. So they are looked
    for among the callers.
    """
    frame = inspect.currentframe()
    while frame is not None:
        is_train = frame.f_globals.get("__name__") == "deepmd.tf.entrypoints.train"
        if is_train and isinstance(config := frame.f_locals.get("jdata"), dict):
            type_map = config["model"].get("type_map")
            if type_map is not None:
                check_type_map(type_map)
            check_together(config.get("training", {}), type_map)
            break
        frame = frame.f_back
    return True


@loss_args_plugin.register("charge", doc=_TF)
def charge_loss_args() -> list[Argument]:
    """Arguments of the loss ``charge``."""
    *others, last = _arguments(LossSpec).values()
    holds = last.extra_check
    # the last of what is checked here: wrong keys of model and loss are told of first
    last.extra_check = lambda value: (holds is None or holds(value)) and _data_go_together()
    return [*others, last]


@model_args_plugin.register("charge", doc=_TF)
def charge_model_args() -> Argument:
    """Arguments of the model type ``charge``."""
    arguments = _arguments(ModelSpec)
    del arguments["type_map"]  # DeePMD-kit's own
    arguments["descriptor"].extend_subvariants([descrpt_variant_type_args()])
    arguments["fitting_net"].extend_subvariants([fitting_variant_type_args()])
    doc = _TF + "The electron density at grid points, which are atoms of type X."
    return Argument("charge", dict, [*arguments.values()], doc=doc)
