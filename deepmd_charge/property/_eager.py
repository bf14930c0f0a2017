# SPDX-License-Identifier: LGPL-3.0-or-later
"""Keras at work where DeePMD-kit has been loaded, too.

DeePMD-kit turns the eager execution of TensorFlow off for the whole process when it is imported,
and Keras needs it.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import ParamSpec, TypeVar

from ..stderr import loading

__all__ = ["eagerly"]

P = ParamSpec("P")
Result = TypeVar("Result")


def eagerly(function: Callable[P, Result]) -> Callable[P, Result]:
    """Let a function run with eager execution, whatever the process has set."""

    @wraps(function)
    def wrapped(*args: P.args, **kwargs: P.kwargs) -> Result:
        with loading():
            # no public name does this once the process has begun
            from tensorflow.python.eager.context import eager_mode
        with eager_mode():
            return function(*args, **kwargs)

    return wrapped
