# SPDX-License-Identifier: LGPL-3.0-or-later
"""The arrays of a model, by name: see :func:`shapes`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import TypeAlias

from ..errors import ChargeError
from .descriptors.se_charge import SeChargeSpec
from .descriptors.se_cluster import SeClusterSpec
from .kernels.arrays import Array
from .spec import ModelSpec

__all__ = ["COEFFICIENTS", "STEP", "Weights", "cluster_shapes", "gate_shapes", "shapes"]

STEP, COEFFICIENTS = "superposition.step", "superposition.coefficients"

# None stands for any size.
Sizes: TypeAlias = tuple[int | None, ...]


def shapes(spec: ModelSpec, superposed: bool = False) -> dict[str, Sizes]:
    """Names and shapes of the arrays that a model has.

    With Z elements, n pair-additive features, C channels and D invariants:

    ================================================  =====================================
    ``neighbor_range.low``, ``.high``                 (Z,) least and largest neighbour count
                                                      of each element in the training data
    ``descriptor.mean``                               (n,) of the moments of l = 0
    ``descriptor.whiten[l]``, ``.mixing[l]``          (n, n) and (n, C), for l = 0 ... lmax
    ``descriptor.species``                            (Z, K) what each element has of the K
                                                      sets that elements share; n is then
                                                      the number of radial functions times K
    ``response.mean``, ``.whiten[l]``, ...            the same of an atom's surroundings
    ``response.invariant_mean``,                      (D',) of their invariants
    ``.invariant_scale``
    ``response.first``, ``.element``                  (D', width) and (Z, width), the first layer
    ``response.matrix[k]``, ``.bias[k]``              the layers behind it
    ``response.output.matrix``, ``.bias``             (width, C of all l) and (Z, C of all l)
    ``embedding.mean``, ``.scale``                    () of s(r)
    ``embedding.neighbors``                           () their mean number N
    ``embedding[z].matrix[k]``, ``.bias[k]``          layers of the network of each element
    ``fitting.mean``, ``.scale``                      (D,) of the invariants
    ``fitting.linear``                                (Z times radial functions, 1) weights of the
                                                      pair-additive features
    ``fitting.offset``, ``.residual``                 () e/A^3, added, and the unit of the network
    ``fitting.matrix[k]``, ``.bias[k]``               hidden layers
    ``fitting.output.matrix``, ``.bias``              the layer behind them
    ``superposition.step``                            () A, width of the table's intervals
    ``superposition.coefficients``                    (Z, intervals, 4) e/A^3, see
                                                      :mod:`deepmd_charge.model.kernels.piecewise`
    ================================================  =====================================

    A model has ``descriptor.*`` and ``fitting.linear``, or ``embedding*``. z counts
    the elements of :attr:`.ModelSpec.elements`. Of ``se_cluster``, with k functions and C
    channels of the neighbours, F features of all l and n radial functions:

    ================================================  =====================================
    ``environment.mean``                              (Z, Z k) of the neighbours' moments of l = 0
    ``environment.components[l]``                     (Z, Z k, C), for l = 0 ... lmax
    ``multiplied.mean``, ``.components[l]``           the same of the channels that are multiplied
    ``pair.mean``, ``.components[l]``                 the same of their products
    ``triple.mean``, ``.components[l]``               the same of products of three
    ``contribution.coefficients``                     (Z, F, n) e/A^3, l by l
    ``contribution.electrons``                        (Z,) of an atom, where they are exact
    ``contribution.transfer``                         (Z, features of l = 0, n_transfer) what
                                                      passes between neighbours, electrons
    ``gate.mean``, ``.scale``                         (Z, F - 1) of the invariants of features
    ``gate[z].matrix[k]``, ``.bias[k]``               hidden layers of the net of each element
    ``gate[z].output.matrix``, ``.bias``              the layer behind them, (..., F)
    ================================================  =====================================

    beside ``neighbor_range.*``, ``fitting.residual`` and ``superposition.*``; ``gate*`` with a
    net only.

    Parameters
    ----------
    spec : ModelSpec
    superposed : bool
        Whether the model carries superposed atomic densities.

    Returns
    -------
    dict of str to tuple
        None stands for any size.
    """
    n_elements = len(spec.elements)
    out: dict[str, Sizes] = {
        "neighbor_range.low": (n_elements,),
        "neighbor_range.high": (n_elements,),
        "fitting.residual": (),
    }
    if isinstance(spec.descriptor, SeClusterSpec):
        out |= cluster_shapes(spec.descriptor, n_elements)
        if spec.fitting_net.neuron:
            out |= gate_shapes(spec)
    else:
        out |= _se_charge(spec, n_elements)
    if superposed:
        out |= {STEP: (), COEFFICIENTS: (n_elements, None, 4)}
    return out


def _se_charge(spec: ModelSpec, n_elements: int) -> dict[str, Sizes]:
    d, out = spec.family(SeChargeSpec), dict[str, Sizes]()
    if d.embedded:
        out |= {f"embedding.{name}": () for name in ("mean", "scale", "neighbors")}
        for z in range(n_elements):
            out |= _layers(f"embedding[{z}]", [1, *d.neuron])
    else:
        out |= _mixed(d, n_elements, "descriptor")
        out["fitting.linear"] = (d.dim_linear(n_elements), 1)
    if d.rcut_env:
        out |= _response(d, n_elements)
    neuron = spec.fitting_net.neuron
    out |= {"fitting.mean": (d.dim_invariant,), "fitting.scale": (d.dim_invariant,)}
    out["fitting.offset"] = ()
    out |= _layers("fitting", [d.dim_invariant, *neuron])
    return out | {"fitting.output.matrix": (neuron[-1], 1), "fitting.output.bias": (1,)}


def _mixed(d: SeChargeSpec, n_elements: int, part: str) -> dict[str, Sizes]:
    n = d.sets(n_elements) * d.n_radial
    out: dict[str, Sizes] = {f"{part}.mean": (n,)}
    if d.shares(n_elements):
        out[f"{part}.species"] = (n_elements, d.sets(n_elements))
    for l in range(d.lmax + 1):
        out |= {f"{part}.whiten[{l}]": (n, n), f"{part}.mixing[{l}]": (n, d.channels)}
    return out


def _response(d: SeChargeSpec, n_elements: int) -> dict[str, Sizes]:
    out = _mixed(d.env, n_elements, "response")
    n_in, first, last = d.env.dim_invariant, d.neuron_env[0], d.neuron_env[-1]
    out |= {f"response.invariant_{name}": (n_in,) for name in ("mean", "scale")}
    out |= {"response.first": (n_in, first), "response.element": (n_elements, first)}
    out |= _layers("response", d.neuron_env)
    out["response.output.matrix"] = (last, d.n_scales)
    return out | {"response.output.bias": (n_elements, d.n_scales)}


def cluster_shapes(d: SeClusterSpec, n_elements: int) -> dict[str, Sizes]:
    """Names and shapes of the arrays of ``se_cluster`` that belong to atoms: see :func:`shapes`."""
    out: dict[str, Sizes] = {}
    features = d.n_features(n_elements)

    def components(name: str, inputs: Sequence[int], outputs: Sequence[int]) -> None:
        out[f"{name}.mean"] = (n_elements, inputs[0])
        for l, (n_in, n_out) in enumerate(zip(inputs, outputs, strict=True)):
            out[f"{name}.components[{l}]"] = (n_elements, n_in, n_out)

    if d.order > 0:
        n_in, n_out = n_elements * d.n_radial_env, d.channels(n_elements)
        components("environment", [n_in] * len(features), [n_out] * len(features))
    if d.order > 1:
        n_in, n_out = n_elements * d.n_radial_env_product, d.multiplied(n_elements)
        n_l = d.tops[0] + 1
        components("multiplied", [n_in] * n_l, [n_out] * n_l)
        components("pair", d.n_pairs(n_elements), [of_l[2] for of_l in features])
    if d.order > 2:
        components("triple", d.n_triples(n_elements), [of_l[3] for of_l in features])
    total = sum(sum(of_l) for of_l in features)
    out["contribution.coefficients"] = (n_elements, total, d.n_radial)
    if d.exact:
        out["contribution.electrons"] = (n_elements,)
        out["contribution.transfer"] = (n_elements, sum(features[0]), d.n_transfer)
    return out


def gate_shapes(spec: ModelSpec) -> dict[str, Sizes]:
    """Names and shapes of the arrays of the nets of ``se_cluster``: see :func:`shapes`."""
    n_elements, neuron = len(spec.elements), spec.fitting_net.neuron
    n = sum(map(sum, spec.family(SeClusterSpec).n_features(n_elements)))
    out: dict[str, Sizes] = {f"gate.{name}": (n_elements, n - 1) for name in ("mean", "scale")}
    for z in range(n_elements):
        out |= _layers(f"gate[{z}]", [n - 1, *neuron])
        out |= {f"gate[{z}].output.matrix": (neuron[-1], n), f"gate[{z}].output.bias": (n,)}
    return out


def _layers(prefix: str, sizes: Sequence[int]) -> dict[str, Sizes]:
    out: dict[str, Sizes] = {}
    for k, (n_in, n_out) in enumerate(pairwise(sizes)):
        out |= {f"{prefix}.matrix[{k}]": (n_in, n_out), f"{prefix}.bias[{k}]": (n_out,)}
    return out


class Weights(Mapping[str, Array]):
    """The arrays of a model.

    Parameters
    ----------
    spec : ModelSpec
    arrays : dict
        Arrays of any namespace by the names of :func:`shapes`.

    Raises
    ------
    ChargeError
        If one is missing, unknown, or of another shape.
    """

    def __init__(self, spec: ModelSpec, arrays: Mapping[str, Array]) -> None:
        self._spec = spec
        self._arrays = dict(arrays)
        expected = shapes(spec, self.superposed)
        if wrong := sorted(expected.keys() ^ self._arrays.keys()):
            raise ChargeError(
                f"weights: {', '.join(wrong)} missing or unknown; take those of a model with these "
                "settings"
            )
        for name, shape in expected.items():
            found = tuple(self._arrays[name].shape)
            if len(found) != len(shape) or any(
                b not in (a, None) for a, b in zip(found, shape, strict=True)
            ):
                raise ChargeError(
                    f"weights: {name} has shape {found}, not {shape}; take those of a model with "
                    "these settings"
                )

    def __getitem__(self, name: str) -> Array:
        return self._arrays[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._arrays)

    def __len__(self) -> int:
        return len(self._arrays)

    @property
    def superposed(self) -> bool:
        """bool: Whether there is a table of atomic densities."""
        return STEP in self._arrays

    def map(self, function: Callable[[Array], Array]) -> Weights:
        """The same weights with a function applied to each array.

        Such as ``xp.asarray``, or a conversion to another precision.
        """
        return Weights(self._spec, {name: function(w) for name, w in self.items()})

    def layers(self, prefix: str) -> list[tuple[Array, Array]]:
        """Matrices and biases of the layers ``prefix.matrix[k]``, ``prefix.bias[k]``.

        Returns
        -------
        list of tuple
        """
        found, k = [], 0
        while f"{prefix}.matrix[{k}]" in self._arrays:
            found.append((self[f"{prefix}.matrix[{k}]"], self[f"{prefix}.bias[{k}]"]))
            k += 1
        return found
