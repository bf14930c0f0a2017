# SPDX-License-Identifier: LGPL-3.0-or-later
"""Convolutions with strides, and their transposes, as products of matrices.

Their kernels are one or two strides wide. Keras's own layers give the same. Where TensorFlow does
not use oneDNN, as by default on some processors, their transposes and gradients take far longer.
"""

from __future__ import annotations

from functools import cache
from typing import Any

from ..stderr import loading

__all__ = ["strided_layers"]


@cache
def strided_layers() -> tuple[Any, Any]:
    """Make the classes of Conv3D and of Conv3DTranspose, padded as if ``"same"`` were given."""
    with loading():
        import keras
        import tensorflow as tf

    class Strided(keras.layers.Conv3D):
        def convolution_op(self, boxes: Any, kernel: Any) -> Any:
            windows = boxes
            for axis, (width, stride) in enumerate(
                zip(self.kernel_size, self.strides, strict=True)
            ):
                windows = _windows(tf, windows, 1 + 2 * axis, width, stride)
            # (b, m, i, m, j, m, k, in) and (i, j, k, in, out)
            return tf.einsum("bxiyjzkd,ijkdc->bxyzc", windows, kernel)

    class StridedTranspose(keras.layers.Conv3DTranspose):
        def call(self, boxes: Any) -> Any:
            windows = tf.einsum("bxyzc,ijkdc->bxiyjzkd", boxes, self.kernel)
            for axis in (2, 1, 0):
                width, stride = self.kernel_size[axis], self.strides[axis]
                windows = _added(tf, windows, 1 + 2 * axis, width, stride)
            return self.activation(windows + self.bias if self.use_bias else windows)

    return Strided, StridedTranspose


def _windows(tf: Any, x: Any, axis: int, width: int, stride: int) -> Any:
    """Split an axis of m strides in m windows of one or two; beyond the ends there are zeros."""
    beyond = (width - stride) // 2
    x = tf.pad(x, [[beyond, beyond] if a == axis else [0, 0] for a in range(x.shape.rank)])
    shape = tf.shape(x)
    x = tf.reshape(x, tf.concat([shape[:axis], [-1, stride], shape[axis + 1 :]], 0))
    if width == stride:
        return x
    before = (slice(None),) * axis
    halves = x[(*before, slice(None, -1))], x[(*before, slice(1, None))]
    return tf.concat(halves, axis + 1)


def _added(tf: Any, x: Any, axis: int, width: int, stride: int) -> Any:
    """The transpose of :func:`_windows`: add up windows, drop what is beyond the ends."""
    if width > stride:
        first, second = (
            tf.pad(half, [end if a == axis else [0, 0] for a in range(x.shape.rank)])
            for half, end in zip(tf.split(x, 2, axis + 1), ([0, 1], [1, 0]), strict=True)
        )
        x = first + second
    shape, beyond = tf.shape(x), (width - stride) // 2
    x = tf.reshape(x, tf.concat([shape[:axis], [-1], shape[axis + 2 :]], 0))
    return x[(*(slice(None),) * axis, slice(beyond, shape[axis] * stride - beyond))]
