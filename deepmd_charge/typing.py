# SPDX-License-Identifier: LGPL-3.0-or-later
"""Types that many signatures share; shapes and units stand in the docstrings."""

import os
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

__all__ = ["ArrayLike", "Booleans", "Complexes", "Floats", "Integers", "PathLike", "Shape"]

Floats: TypeAlias = NDArray[np.floating[Any]]
Integers: TypeAlias = NDArray[np.integer[Any]]
Booleans: TypeAlias = NDArray[np.bool_]
Complexes: TypeAlias = NDArray[np.complexfloating[Any, Any]]
PathLike: TypeAlias = "str | os.PathLike[str]"
Shape: TypeAlias = tuple[int, int, int]
