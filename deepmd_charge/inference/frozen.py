# SPDX-License-Identifier: LGPL-3.0-or-later
"""The constants of a frozen graph, read without TensorFlow.

A ``.pb`` is a protocol buffer, a list of (field number, value). Of TensorFlow's
``GraphDef`` only these fields matter here: node = 1; of a node name = 1,
op = 2, attr = 5 (a map: key = 1, value = 2); of an attribute's value tensor = 8;
of a tensor dtype = 1, shape = 2 (its dim = 2, of that size = 1), content = 4,
and values in a list for small tensors.
"""

import numpy as np

__all__ = ["read_constants"]

# TensorFlow's dtypes: numpy's, the field with a list of values
_FLOATS = {1: ("<f4", 5), 2: ("<f8", 6)}
_STRING, _STRING_VALUES = 7, 8


def read_constants(path):
    """Read the constants of a frozen graph that are real numbers or strings.

    Parameters
    ----------
    path : str
        The ``.pb`` file.

    Returns
    -------
    dict
        Name: array, or bytes for a string.

    Raises
    ------
    ValueError
        If this is no graph.
    """
    with open(path, "rb") as file:
        graph = memoryview(file.read())
    constants, nodes = {}, 0
    for number, node in _fields(graph):
        if number != 1:
            continue
        nodes += 1
        fields = list(_fields(node))
        found = dict((n, v) for n, v in fields if n in (1, 2))
        if 2 in found and bytes(found[2]) == b"Const":
            value = _attribute(fields, b"value")
            constants[bytes(found[1]).decode()] = _tensor(dict(_fields(value))[8])
    if not nodes:
        raise ValueError("no node in this graph")
    return constants


def _attribute(fields, name):
    for number, entry in fields:
        if number == 5:
            entry = dict(_fields(entry))
            if bytes(entry[1]) == name:
                return entry[2]
    raise ValueError(f"no attribute {name!r}")


def _tensor(message):
    fields = list(_fields(message))
    single = dict(fields)
    kind = single.get(1, 0)
    shape = [dict(_fields(d)).get(1, 0) for n, d in _fields(single.get(2, b"")) if n == 2]
    if kind == _STRING:
        return b"".join(bytes(v) for n, v in fields if n == _STRING_VALUES)
    if kind not in _FLOATS:
        return None
    dtype, values = _FLOATS[kind]
    content = single.get(4) or b"".join(bytes(v) for n, v in fields if n == values)
    flat = np.frombuffer(content, dtype)
    # equal numbers are stored once, zeros not at all
    return flat.reshape(shape) if flat.size == np.prod(shape) else np.full(shape, sum(flat), dtype)


def _fields(message):
    """Yield (field number, value): an int, or a view of bytes."""
    message = memoryview(message)
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


def _varint(message, at):
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
