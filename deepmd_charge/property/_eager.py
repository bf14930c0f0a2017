# SPDX-License-Identifier: LGPL-3.0-or-later
"""Keras at work where DeePMD-kit has been loaded, too.

DeePMD-kit turns what TensorFlow 2 does by itself off for the whole process when it is imported:
eager execution, and shapes that are made of numbers. Keras needs both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import ParamSpec, TypeVar

from ..stderr import loading

__all__ = ["eagerly"]

P = ParamSpec("P")
Result = TypeVar("Result")


def eagerly(function: Callable[P, Result]) -> Callable[P, Result]:
    """Let a function run as TensorFlow 2 does by itself, whatever the process has set."""

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> Result:
        with loading():
            # no public name does this once the process has begun
            from tensorflow.python.eager.context import eager_mode
        with eager_mode(), _shapes_of_numbers():
            return function(*args, **kwargs)

    return wrapped


@contextmanager
def _shapes_of_numbers() -> Iterator[None]:
    from tensorflow.compat import v1
    from tensorflow.python.framework import tensor_shape

    # None where nobody has said anything, which means that they are
    was_off = tensor_shape._TENSORSHAPE_V2_OVERRIDE is False
    v1.enable_v2_tensorshape()
    try:
        yield
    finally:
        if was_off:
            v1.disable_v2_tensorshape()
