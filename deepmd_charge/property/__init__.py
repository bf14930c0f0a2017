# SPDX-License-Identifier: LGPL-3.0-or-later
"""From densities to properties of materials.

An extra of its own, ``pip install 'deepmd-charge[property]'``, that takes densities of any kind
(of a DFT code, predicted, or superposed from free atoms) and knows nothing of the models that
predict them.
"""
