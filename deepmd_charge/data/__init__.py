# SPDX-License-Identifier: LGPL-3.0-or-later
"""Training data: points drawn from densities, and DP systems of them."""
