# SPDX-License-Identifier: LGPL-3.0-or-later
"""The TensorFlow backend: importing it registers model, descriptor and fitting."""

from . import model as model
