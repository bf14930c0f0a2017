# SPDX-License-Identifier: LGPL-3.0-or-later
"""Evaluate a trained model on points and grids."""

from .charge_model import ChargeModel

__all__ = ["ChargeModel"]
