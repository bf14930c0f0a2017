# SPDX-License-Identifier: LGPL-3.0-or-later
"""The constants of a frozen graph, read without TensorFlow.

A ``.pb`` is a protocol buffer, a list of (field number, value). Of TensorFlow's
``GraphDef`` only these fields matter here: node = 1; of a node name = 1,
op = 2, attr = 5 (a map: key = 1, value = 2); of an attribute's value tensor = 8;
of a tensor dtype = 1, shape = 2 (its dim = 2, of that size = 1), content = 4,
and values in a list for small tensors.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeAlias

import numpy as np

from ...atoms.species import GRID_TYPE
from ...errors import ChargeError
from ...model.info import FILE, ModelInfo
from ...model.keys import keys_of
from ...model.spec import DESCRIPTORS, FITTINGS, ModelSpec, places
from ...model.weights import Weights
from ...typing import Floats, Integers, PathLike
from .names import weights_of

__all__ = ["TRAINING_KEYS", "Frozen", "known_types", "read_checkpoint", "read_model"]

Constant: TypeAlias = Floats | bytes
# Of a field of a protocol buffer.
Value: TypeAlias = int | memoryview

# TensorFlow's dtypes: numpy's, the field with a list of values
_FLOATS = {1: ("<f4", 5), 2: ("<f8", 6)}
_STRING, _STRING_VALUES = 7, 8
_NOTHING = memoryview(b"")
# Field of a MetaGraphDef with its GraphDef.
_GRAPH_OF_META = 2
# Keys that change a training and no model: former versions may not have them. What has no
# default is not in the arguments where it is not given.
TRAINING_KEYS = {"trainable", "seed", "refit", "held_out", "relative", "ridge"}
# What comes of reading another file.
_DAMAGED = (ValueError, KeyError, TypeError, OverflowError)


@dataclass
class Frozen:
    """What a frozen charge model holds.

    Attributes
    ----------
    path : str
    constants : dict
        Name: array, or bytes for a string.
    """

    path: str
    constants: dict[str, Constant]

    def array(self, name: str) -> Floats | None:
        """Array of the graph by its name; None where there is none."""
        found = self.constants.get(name)
        return None if isinstance(found, bytes) else found

    def _text(self, name: str) -> str:
        return bytes(self.constants[name]).decode()

    @property
    def type_map(self) -> list[str]:
        """Elements, and X for grid points."""
        return self._text("model_attr/tmap").split()

    @property
    def known_types(self) -> list[str]:
        """The types that it has parameters for: elements that its data had, and X."""
        return known_types(self.type_map, self.info, len(self.constants["se_charge/crowding_low"]))

    @property
    def kinds(self) -> Integers:
        """np.ndarray: Of each known type its place among those but X, which gets any."""
        return places(self.known_types)

    @property
    def info(self) -> dict[str, Any]:
        """dict: What the model remembers of its training data, see :class:`.ModelInfo`."""
        info = json.loads(self._text("model_attr/charge_info"))
        lost = ModelInfo.from_json(info).content is None
        if lost and (self.saed or (self.arguments or {}).get("saed")):
            # learnt was the total without atomic densities, which the graph has, or files
            info["saed"] = {"source": None if self.saed else FILE}
        return info

    @property
    def rcut(self) -> float:
        """float: Cutoff radius, A."""
        return float(self.constants["descrpt_attr/rcut"])

    @property
    def saed(self) -> tuple[float, Floats] | None:
        """Interval (A) and coefficients (types but X, intervals, 4) of atomic densities.

        See :func:`deepmd_charge.model.kernels.piecewise.piecewise_cubic`. None where the
        model carries none.
        """
        step, coefficients = self.array("saed/step"), self.array("saed/coefficients")
        return None if step is None or coefficients is None else (float(step), coefficients)

    @property
    def reach(self) -> float:
        """float: How far a point sees, A: the cutoff, or the extent of atomic densities."""
        if self.saed is None:
            return self.rcut
        step, coefficients = self.saed
        return max(self.rcut, step * coefficients.shape[1])

    @cached_property
    def spec(self) -> ModelSpec:
        """ModelSpec: Settings of the model; ChargeError where it does not hold them all."""
        arguments = self.arguments
        if arguments is None:
            raise ChargeError("it does not hold the input.json of its training")
        for part, families in (("descriptor", DESCRIPTORS), ("fitting_net", FITTINGS)):
            given = arguments[part]
            if given["type"] not in families:
                raise ChargeError(f"its {part} is of type {given['type']}")
            keys = keys_of(families[given["type"]])
            known = {k.name for k in keys}
            left_out = TRAINING_KEYS | {k.name for k in keys if k.default is None}
            left_out |= families[given["type"]].later
            for names, what in (
                (given.keys() - known - {"type"}, "unknown"),
                (known - given.keys() - left_out, "missing"),
            ):
                if names:
                    listed = ", ".join(sorted(names))
                    raise ChargeError(f"of the arguments of its {part} {listed} {what}")
        return ModelSpec.from_dict({**arguments, "type_map": self.known_types, "saed": None})

    @cached_property
    def weights(self) -> Weights:
        """Weights: Arrays of the model, in its own precision."""
        return weights_of(self.spec, self.constants)

    @property
    def arguments(self) -> dict[str, Any] | None:
        """``model`` of the ``input.json`` it was trained with, or None."""
        name = "train_attr/training_script"
        script = self._text(name) if name in self.constants else ""
        return json.loads(script)["model"] if script else None


def known_types(type_map: Sequence[str], info: Mapping[str, Any], n_elements: int) -> list[str]:
    """The types that a model has parameters for, in the order of its type map.

    Parameters
    ----------
    type_map : sequence of str
    info : dict
        What the model remembers of its training data.
    n_elements : int
        Of how many elements it has parameters: of all, or of those of the data.

    Returns
    -------
    list of str
        With X.
    """
    if n_elements == len(type_map) - 1:
        return list(type_map)
    return [name for name in type_map if name in (*info["elements"], GRID_TYPE)]


def _no_model(path: str) -> str:
    """What to say where there is no file of a model."""
    if os.path.isdir(path):
        return "is a folder; give the file that dp freeze wrote"
    if os.path.exists(f"{path}.index"):
        return "a checkpoint of a training; dp freeze -o charge.pb in its folder, and give that"
    return "no such model file; make one with dp freeze -o charge.pb"


def read_model(path: PathLike) -> Frozen:
    """Read a frozen charge model.

    Parameters
    ----------
    path : str or os.PathLike
        The ``.pb`` file.

    Returns
    -------
    Frozen

    Raises
    ------
    ChargeError
        If the file is missing, or is not a charge model.
    """
    if not os.path.isfile(path):
        raise ChargeError(f"{path}: {_no_model(os.fspath(path))}")
    try:
        with open(path, "rb") as file:
            constants = _constants(file.read())
    except _DAMAGED as error:
        raise ChargeError(
            f"{path}: not a frozen TensorFlow model; give the file that dp freeze wrote"
        ) from error
    if "model_attr/charge_info" not in constants:
        raise ChargeError(
            f'{path}: not a charge model; train one with model.type "charge" and dp freeze it'
        )
    if "se_charge/crowding_low" not in constants:
        raise ChargeError(
            f"{path}: a model of an older version, which did not note the range of its training "
            "data; train and freeze it again"
        )
    return Frozen(os.fspath(path), constants)


def read_checkpoint(prefix: PathLike) -> Frozen:
    """Read what a checkpoint of a charge model says without its variables.

    Parameters
    ----------
    prefix : str or os.PathLike
        Name of the checkpoint, without ".meta".

    Returns
    -------
    Frozen

    Raises
    ------
    ChargeError
        If it is missing, or is not of a charge model.
    """
    try:
        with open(f"{prefix}.meta", "rb") as file:
            constants = _constants(_bytes(dict(_fields(file.read()))[_GRAPH_OF_META]))
    except OSError as error:
        raise ChargeError(f"{prefix}.meta: cannot be read: {error.strerror}") from None
    except _DAMAGED as error:
        raise ChargeError(f"{prefix}.meta: not the graph of a TensorFlow checkpoint") from error
    if "model_attr/charge_info" not in constants:
        raise ChargeError(f"{prefix}: not a checkpoint of a charge model")
    return Frozen(os.fspath(prefix), constants)


def _constants(graph: bytes | memoryview) -> dict[str, Constant]:
    """The constants of a graph, as bytes, that are real numbers or strings."""
    constants: dict[str, Constant] = {}
    nodes = 0
    for number, node in _fields(graph):
        if number != 1:
            continue
        nodes += 1
        fields = list(_fields(_bytes(node)))
        found = {n: bytes(_bytes(v)) for n, v in fields if n in (1, 2)}
        if found.get(2) == b"Const":
            value = _attribute(fields, b"value")
            tensor = _tensor(_bytes(dict(_fields(value))[8]))
            if tensor is not None:
                constants[found[1].decode()] = tensor
    if not nodes:
        raise ValueError("no node in this graph")
    return constants


def _attribute(fields: Iterable[tuple[int, Value]], name: bytes) -> memoryview:
    for number, entry in fields:
        if number == 5:
            pair = dict(_fields(_bytes(entry)))
            if bytes(_bytes(pair[1])) == name:
                return _bytes(pair[2])
    raise ValueError(f"no attribute {name!r}")


def _tensor(message: memoryview) -> Constant | None:
    fields = list(_fields(message))
    single = dict(fields)
    kind = _number(single.get(1, 0))
    dims = [_bytes(d) for n, d in _fields(_bytes(single.get(2, _NOTHING))) if n == 2]
    shape = [_number(dict(_fields(d)).get(1, 0)) for d in dims]
    if kind == _STRING:
        return b"".join(_bytes(v) for n, v in fields if n == _STRING_VALUES)
    if kind not in _FLOATS:
        return None
    dtype, values = _FLOATS[kind]
    content: bytes | memoryview = _bytes(single.get(4, _NOTHING))
    content = content or b"".join(_bytes(v) for n, v in fields if n == values)
    flat = np.frombuffer(content, dtype)
    # the last number stands for all that follow, none for zeros
    rest = int(np.prod(shape)) - flat.size
    if rest:
        flat = np.concatenate([flat, np.full(rest, flat[-1] if flat.size else 0, dtype)])
    return flat.reshape(shape)


def _fields(message: bytes | memoryview) -> Iterator[tuple[int, Value]]:
    """Yield (field number, value): an int, or a view of bytes."""
    message = memoryview(message)
    value: Value
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, at = _varint(message, at)
        elif wire in (1, 2, 5):
            size = {1: 8, 5: 4}.get(wire)
            if size is None:
                size, at = _varint(message, at)
            if at + size > len(message):
                raise ValueError("the file ends within a field")
            value, at = message[at : at + size], at + size
        else:
            raise ValueError(f"wire type {wire}")
        yield number, value


def _bytes(value: Value) -> memoryview:
    if isinstance(value, int):
        raise ValueError("a number where bytes belong")
    return value


def _number(value: Value) -> int:
    if not isinstance(value, int):
        raise ValueError("bytes where a number belongs")
    return value


def _varint(message: memoryview, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if at >= len(message) or shift > 63:
            raise ValueError("not a number")
        byte = message[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at
