# SPDX-License-Identifier: LGPL-3.0-or-later
"""DP systems whose frames have compositions of their own: DeePMD-kit's ``mixed_type``.

The graph asks nothing of them that it does not ask of others: it finds grid points and
atoms by the types of each frame, and -1, with which frames are filled up, is neither.
"""

from __future__ import annotations

from abc import ABCMeta

from deepmd.tf.fit.ener import EnerFitting

from .fitting import ChargeFitting

__all__: list[str] = []

# DeePMD-kit's trainer takes such systems for this class alone, of which it asks nothing else
ABCMeta.register(EnerFitting, ChargeFitting)
