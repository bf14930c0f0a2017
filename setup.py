# SPDX-License-Identifier: LGPL-3.0-or-later
"""All but the optional C code stands in pyproject.toml."""

from setuptools import Extension, setup

# Reads and writes density files ten times as fast; without a compiler Python does it.
folder = "deepmd_charge/io/text/"
setup(
    ext_modules=[
        Extension(
            "deepmd_charge.io.text._decimal",
            [f"{folder}_scan.c", f"{folder}_print.c"],
            depends=[f"{folder}_decimal.h"],
            optional=True,
        )
    ]
)
