# SPDX-License-Identifier: LGPL-3.0-or-later
"""Evaluate a trained model on points and grids."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .charge_model import ChargeModel

__all__ = ["ChargeModel"]


def __getattr__(name: str) -> object:
    # on first use: the command line asks only for its rank, whatever its command
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(".charge_model", __name__), name)
