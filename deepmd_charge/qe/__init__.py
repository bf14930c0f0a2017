# SPDX-License-Identifier: LGPL-3.0-or-later
"""Predicted densities in runs of Quantum ESPRESSO: into pw.x, and what they are worth there."""

from .input import PwInput, read_input
from .program import Program

__all__ = ["Program", "PwInput", "read_input"]
