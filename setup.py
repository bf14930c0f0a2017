# SPDX-License-Identifier: LGPL-3.0-or-later
"""Everything about the distribution stands in pyproject.toml."""

from setuptools import setup

setup()
