# SPDX-License-Identifier: LGPL-3.0-or-later
"""Predicted densities in runs of Quantum ESPRESSO: into pw.x, and what they are worth there."""
