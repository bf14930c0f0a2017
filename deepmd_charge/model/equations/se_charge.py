# SPDX-License-Identifier: LGPL-3.0-or-later
r"""The family ``se_charge``: a net of invariants of the atoms around a grid point.

With :math:`\mathbf r_j` the vectors from the point to the atoms within the
cutoff and :math:`\mathbf u = \mathbf r / \sqrt{r^2 + \epsilon^2}`,

.. math::
    \rho = \rho_0 + \mathbf w \cdot \mathbf p + \sigma N(\hat{\mathbf D})

of the invariants D of :mod:`deepmd_charge.model.equations.channels`, through a
:func:`network` N, and the :func:`pair_additive` features p. Where atoms respond to their
surroundings (:mod:`deepmd_charge.model.equations.response`) the channels are those of
:func:`scaled_channels`.
"""

from __future__ import annotations

from array_api_compat import array_namespace, device

from ..descriptors.se_charge import SeChargeSpec
from ..kernels.arrays import Array
from ..neighbors import Neighbors, distances, of_neighbors
from ..spec import ModelSpec
from ..weights import Weights
from .channels import channels, charge_moments, gram, invariants, mixtures, start
from .layers import hidden
from .moments import of_directions
from .response import scales

__all__ = ["density", "network", "pair_additive", "scaled_channels"]


def density(
    spec: ModelSpec,
    weights: Weights,
    around: Neighbors,
    element: Array,
    nlist: Array,
    n: int | None = None,
) -> Array:
    """Evaluate the family: (frames, n) e/A^3, without superposed atomic densities.

    Parameters
    ----------
    spec : ModelSpec
    weights : Weights
    around : Neighbors
        The atoms within the cutoff of each centre, at least.
    element, nlist, n
        As for :func:`.se_cluster.density`; of use where atoms respond to their surroundings.
    """
    d, n_elements = spec.family(SeChargeSpec), len(spec.elements)
    wanted = around.first(n)
    a = charge_moments(d, weights, wanted, n_elements)
    if d.embedded:
        found = gram(a, d.axis_neuron)
    elif d.rcut_env:
        of_atoms = scales(d, weights, around, element, n_elements)
        inside = (element[:, :n] < 0)[..., None] & (wanted.element >= 0)
        _, r = distances(of_atoms.dtype, wanted)
        of_atoms = of_neighbors(of_atoms, nlist[:, :n, ...], inside & (r < d.rcut))
        found = invariants(d, scaled_channels(spec, weights, wanted, of_atoms))
    else:
        found = invariants(d, channels(d, weights, a, n_elements, "descriptor"))
    return pair_additive(spec, weights, a) + network(spec, weights, found)


def scaled_channels(
    spec: ModelSpec, weights: Weights, around: Neighbors, scales: Array
) -> list[Array]:
    r"""The channels where each atom scales its own.

    .. math::
        B_{c,lm} = \sum_j s_{j,lc} \sum_n W^l_{z_j n,c} R_n(r_j) Y_{lm}(\mathbf u_j)

    less, for l = 0, what the mean moments make of them.

    Parameters
    ----------
    spec : ModelSpec
    weights : Weights
    around : Neighbors
    scales : array
        (frames, centres, neighbours, n_scales)

    Returns
    -------
    list of array
        As :func:`deepmd_charge.model.equations.channels.channels`.
    """
    d, n_elements = spec.family(SeChargeSpec), len(spec.elements)
    vector, r = distances(weights["neighbor_range.low"].dtype, around)
    xp = array_namespace(r)
    basis = xp.stack(d.basis(xp, r), axis=-1)
    ylm = of_directions(vector, r, d.lmax, d.eps)
    out = []
    for l, mix in enumerate(mixtures(d, weights, n_elements, "descriptor")):
        g = xp.zeros((*r.shape, d.channels), dtype=r.dtype, device=device(r))
        for z in range(n_elements):
            mine = (around.element == z)[..., None]
            g = xp.where(mine, xp.matmul(basis, mix[z, ...]), g)
        g = g * scales[..., l * d.channels : (l + 1) * d.channels]
        out.append(xp.matmul(ylm[..., l * l : (l + 1) ** 2, :], g))
    out[0] = out[0] - start(weights, "descriptor")
    return out


def pair_additive(spec: ModelSpec, weights: Weights, moments: Array) -> Array:
    r"""The part :math:`\rho_0 + \mathbf w \cdot \mathbf p` of the density that pairs make.

    p are the moments of l = 0, whitened where each element has channels of its own that are
    mixed after the sum over atoms; the embedding has none.

    Parameters
    ----------
    spec : ModelSpec
    weights : Weights
    moments : array
        As :func:`deepmd_charge.model.equations.channels.charge_moments` returns them.

    Returns
    -------
    array
        (frames, centres) e/A^3
    """
    xp = array_namespace(moments)
    d = spec.family(SeChargeSpec)
    offset = weights["fitting.offset"]
    if d.embedded:
        zeros = xp.zeros(moments.shape[:2], dtype=offset.dtype, device=device(moments))
        return zeros + offset
    pair = moments[..., 0, :]
    if not d.by_atom(len(spec.elements)):
        pair = xp.matmul(pair - weights["descriptor.mean"], weights["descriptor.whiten[0]"])
    pair = xp.astype(pair, offset.dtype)
    return xp.matmul(pair, weights["fitting.linear"])[..., 0] + offset


def network(spec: ModelSpec, weights: Weights, invariants: Array) -> Array:
    r"""What the fitting net adds to the pair-additive part, :math:`\sigma N(\hat{\mathbf D})`.

    Parameters
    ----------
    spec : ModelSpec
    weights : Weights
    invariants : array
        (frames, centres, dim_invariant)

    Returns
    -------
    array
        (frames, centres) e/A^3
    """
    xp = array_namespace(invariants)
    mean = weights["fitting.mean"]
    x = (xp.astype(invariants, mean.dtype) - mean) / weights["fitting.scale"]
    fitting = spec.fitting_net
    layers = weights.layers("fitting")
    x = hidden(xp, x, layers, fitting.activation_function, fitting.resnet)
    y = xp.matmul(x, weights["fitting.output.matrix"]) + weights["fitting.output.bias"]
    return weights["fitting.residual"] * y[..., 0]
