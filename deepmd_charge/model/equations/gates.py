# SPDX-License-Identifier: LGPL-3.0-or-later
r"""What of ``se_cluster`` is not linear: a net of each atom that scales its features.

.. math::
    \Phi^l_{I,k,m} \leftarrow (1 + g^{z_I}_{lk}(\hat{\mathbf s}_I)) \, \Phi^l_{I,k,m}, \qquad
    \mathbf s = \Big[ \Phi^0_{k > 0}, \; \sqrt{1 + \textstyle\sum_m (\Phi^l_{k,m})^2} \Big]

with a net g for each element of the atom, fed with the standardised invariants s. A feature
that is scaled turns as it did, and what held no electrons still holds none.
"""

from __future__ import annotations

from collections.abc import Sequence

from array_api_compat import array_namespace, device

from ..kernels.arrays import Array
from ..spec import ModelSpec
from ..weights import Weights
from .layers import hidden

__all__ = ["gated", "invariants"]


def invariants(phi: Sequence[Array]) -> Array:
    """One invariant of each feature but the constant, (..., features - 1).

    Parameters
    ----------
    phi : sequence of array
        For each l (..., 2 l + 1, features), of l = 0 the constant first.
    """
    xp = array_namespace(*phi)
    norms = [xp.sqrt(1.0 + xp.sum(f * f, axis=-2)) for f in phi[1:]]
    return xp.concat([phi[0][..., 0, 1:], *norms], axis=-1)


def gated(spec: ModelSpec, weights: Weights, phi: Sequence[Array], element: Array) -> list[Array]:
    """Scale the features of atoms by the net of their element.

    Parameters
    ----------
    spec : ModelSpec
    weights : Weights
    phi : sequence of array
        As :func:`.se_cluster.features` gives them.
    element : array
        (frames, centres) the place of each centre among the elements; others stay as they are.

    Returns
    -------
    list of array
        Of the shapes of phi.
    """
    s, fitting = invariants(phi), spec.fitting_net
    xp = array_namespace(s)
    gates = xp.zeros((*s.shape[:-1], s.shape[-1] + 1), dtype=s.dtype, device=device(s))
    for z in range(len(spec.elements)):
        x = (s - weights["gate.mean"][z, :]) / weights["gate.scale"][z, :]
        layers = weights.layers(f"gate[{z}]")
        x = hidden(xp, x, layers, fitting.activation_function, fitting.resnet)
        g = xp.matmul(x, weights[f"gate[{z}].output.matrix"]) + weights[f"gate[{z}].output.bias"]
        gates = xp.where((element == z)[..., None], g, gates)
    out, start = [], 0
    for f in phi:
        stop = start + f.shape[-1]
        out.append(f * (1.0 + gates[..., None, start:stop]))
        start = stop
    return out
