# SPDX-License-Identifier: LGPL-3.0-or-later
"""Regular grids of a cell, and densities on them."""
