# SPDX-License-Identifier: LGPL-3.0-or-later
"""The TensorFlow backend: importing ``tf.model`` registers model, descriptor and fitting."""
