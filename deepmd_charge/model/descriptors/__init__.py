# SPDX-License-Identifier: LGPL-3.0-or-later
"""The keys of the families of models: one file a descriptor."""
