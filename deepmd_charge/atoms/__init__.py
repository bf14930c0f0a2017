# SPDX-License-Identifier: LGPL-3.0-or-later
"""Structures: names of types, places, periodic images, valences."""
