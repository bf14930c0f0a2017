# SPDX-License-Identifier: LGPL-3.0-or-later
"""Numbers of a density that no choice of cell, origin or orientation changes, block by block.

Each file is a block: the formulas, ``FEATURES`` that name them with units, and ``evaluate``.
"""
