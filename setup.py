# SPDX-License-Identifier: LGPL-3.0-or-later
"""All but the optional C code stands in pyproject.toml."""

from setuptools import Extension, setup

# Reads density files ten times as fast; without a compiler Python does it.
setup(
    ext_modules=[
        Extension(
            "deepmd_charge.formats._scan", ["deepmd_charge/formats/_scan.c"], optional=True
        )
    ]
)
