# SPDX-License-Identifier: LGPL-3.0-or-later
"""Convolutions with strides, and their transposes, as products of matrices.

Their kernels are one or two strides wide. Keras's own layers give the same. Where TensorFlow is
without oneDNN, as on processors without AVX-512 and on Macs, it evaluates the transposes and the
gradients of those as if the stride were one: with a stride of 8 that is 512 times the work.
"""

from __future__ import annotations

from typing import Any

from ..stderr import loading

__all__ = ["strided_layers"]


def strided_layers() -> tuple[Any, Any]:
    """Make the classes of Conv3D and of Conv3DTranspose, padded as if ``"same"`` were given."""
    with loading():
        import keras
        import tensorflow as tf

    class Strided(keras.layers.Conv3D):
        def call(self, boxes: Any) -> Any:
            windows = boxes
            for axis, (width, stride) in enumerate(
                zip(self.kernel_size, self.strides, strict=True)
            ):
                windows = _windows(tf, windows, 1 + 2 * axis, width, stride)
            # (b, m, i, m, j, m, k, in) and (i, j, k, in, out)
            found = tf.einsum("bxiyjzkd,ijkdc->bxyzc", windows, self.kernel)
            return found + self.bias if self.use_bias else found

    class StridedTranspose(keras.layers.Conv3DTranspose):
        def call(self, boxes: Any) -> Any:
            windows = tf.einsum("bxyzc,ijkdc->bxiyjzkd", boxes, self.kernel)
            for axis in (2, 1, 0):
                width, stride = self.kernel_size[axis], self.strides[axis]
                windows = _added(tf, windows, 1 + 2 * axis, width, stride)
            return windows + self.bias if self.use_bias else windows

    return Strided, StridedTranspose


def _windows(tf: Any, x: Any, axis: int, width: int, stride: int) -> Any:
    """Split an axis of m strides in m windows of one or two; beyond the ends there are zeros."""
    beyond = (width - stride) // 2
    x = tf.pad(x, [[beyond, beyond] if a == axis else [0, 0] for a in range(x.shape.rank)])
    shape = tf.shape(x)
    x = tf.reshape(x, tf.concat([shape[:axis], [-1, stride], shape[axis + 1 :]], 0))
    if width == stride:
        return x
    first = tf.range(tf.shape(x)[axis] - 1)
    return tf.concat([tf.gather(x, first + k, axis=axis) for k in (0, 1)], axis + 1)


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
    return tf.gather(x, tf.range(beyond, tf.shape(x)[axis] - beyond), axis=axis)
