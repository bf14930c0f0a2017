# SPDX-License-Identifier: LGPL-3.0-or-later
"""Types of what the equations are about: arrays of any kind, and the functions of them."""

from typing import Any, TypeAlias

__all__ = ["Array", "Namespace"]

# numpy's or of another namespace of the array API standard, a TensorFlow tensor, or a
# symbol that stands for one.
Array: TypeAlias = Any
# The module with the functions of such arrays, or an object that has them.
Namespace: TypeAlias = Any
