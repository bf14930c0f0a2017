# SPDX-License-Identifier: LGPL-3.0-or-later
"""The least-squares fit of what a model is linear in, in plain numpy."""
