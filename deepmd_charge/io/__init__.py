# SPDX-License-Identifier: LGPL-3.0-or-later
"""Density files: what they hold, in e/A^3, and what they say of it."""

from .density_files import (
    check_holds,
    check_readable,
    check_writable,
    count_densities,
    iterate_densities,
    read_density,
    write_density,
)
from .formats import FORMATS, format_of
from .verdict.judge import LEARN, is_valence_density

__all__ = [
    "FORMATS",
    "LEARN",
    "check_holds",
    "check_readable",
    "check_writable",
    "count_densities",
    "format_of",
    "is_valence_density",
    "iterate_densities",
    "read_density",
    "write_density",
]
