# SPDX-License-Identifier: LGPL-3.0-or-later
"""What a number is that tells of a density."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["Feature"]


@dataclass(frozen=True)
class Feature:
    """One number of a density.

    Attributes
    ----------
    name : str
        As in tables.
    unit : str
        Empty where it has none.
    formula : str
        What it is, with the symbols of its block.
    """

    name: str
    unit: str
    formula: str
