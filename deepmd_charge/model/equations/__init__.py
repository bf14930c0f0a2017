# SPDX-License-Identifier: LGPL-3.0-or-later
"""The equations of the families of models, in plain array code: one file a descriptor."""
