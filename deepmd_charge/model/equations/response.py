# SPDX-License-Identifier: LGPL-3.0-or-later
r"""How the radial channels of an atom respond to its surroundings.

.. math::
    s_{j,lc} = 1 + N_{lc}(\hat{\mathbf D}_j), \qquad
    \mathbf h_1 = \phi(\hat{\mathbf D}_j V + \mathbf b^{z_j}), \; \ldots

of the invariants D of the other atoms within a second cutoff, through one net for all
elements, in which each has a first and a last bias of its own. s scales what the atom
contributes to the channels of every grid point.
"""

from __future__ import annotations

from array_api_compat import array_namespace

from ..descriptors.se_charge import SeChargeSpec
from ..kernels.arrays import Array
from ..kernels.network import activation
from ..neighbors import Neighbors
from ..weights import Weights
from .channels import channels, charge_moments, invariants
from .layers import hidden

__all__ = ["scales"]


def scales(
    d: SeChargeSpec, weights: Weights, around: Neighbors, element: Array, n_elements: int
) -> Array:
    """What the surroundings of atoms scale their radial channels by.

    Parameters
    ----------
    d : SeChargeSpec
    weights : Weights
    around : Neighbors
        The other atoms around each, within its cutoff at least.
    element : array
        (frames, centres) the place of each atom among the elements.
    n_elements : int

    Returns
    -------
    array
        (frames, centres, n_scales) l by l; of no meaning where a centre is no atom.
    """
    a = charge_moments(d.env, weights, around, n_elements)
    inv = invariants(d.env, channels(d.env, weights, a, n_elements, "response"))
    xp = array_namespace(inv)
    place = xp.where(element >= 0, element, xp.zeros_like(element))

    def of_element(name: str) -> Array:
        found = xp.take(weights[name], xp.reshape(place, (-1,)), axis=0)
        return xp.reshape(found, (*place.shape, found.shape[-1]))

    x = (inv - weights["response.invariant_mean"]) / weights["response.invariant_scale"]
    x = xp.matmul(x, weights["response.first"]) + of_element("response.element")
    x = activation(d.activation_function)(xp, x)
    x = hidden(xp, x, weights.layers("response"), d.activation_function, True)
    found = xp.matmul(x, weights["response.output.matrix"])
    return 1.0 + found + of_element("response.output.bias")
