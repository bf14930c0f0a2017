# SPDX-License-Identifier: LGPL-3.0-or-later
"""Evaluate a trained model on points and grids."""

__all__ = ["ChargeModel"]


def __getattr__(name):
    # on first use: the command line asks only for its rank, whatever its command
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from .charge_model import ChargeModel

    return ChargeModel
