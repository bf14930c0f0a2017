# SPDX-License-Identifier: LGPL-3.0-or-later
"""What the arrays of a model are called in TensorFlow's graphs.

Frozen models and checkpoints are read by these names, so they stay.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from ...errors import ChargeError
from ...model.kernels.arrays import Array
from ...model.spec import ModelSpec
from ...model.weights import STEP, Weights, shapes

__all__ = ["graph_name", "graph_names", "weights_of"]

# The parts of a model, and what is called otherwise within them.
_SCOPES = {
    "descriptor": "se_charge",
    "environment": "se_cluster_environment",
    "multiplied": "se_cluster_multiplied",
    "pair": "se_cluster_pair",
    "triple": "se_cluster_triple",
    "contribution": "se_cluster",
    "gate": "se_cluster_gate",
    "embedding": "se_charge_embedding",
    "fitting": "charge_fitting",
    "response": "se_charge_response",
    "superposition": "saed",
}
_NAMES = {
    "neighbor_range.low": "se_charge/crowding_low",
    "neighbor_range.high": "se_charge/crowding_high",
    "embedding.mean": "se_charge/s_mean",
    "embedding.scale": "se_charge/s_scale",
    "embedding.neighbors": "se_charge/n_neighbors",
    "fitting.output.matrix": "charge_fitting/matrix_out",
    "fitting.output.bias": "charge_fitting/bias_out",
}


def graph_name(name: str, elements: Sequence[int], suffix: str = "") -> str:
    """The name of an array in the graph.

    Parameters
    ----------
    name : str
        One of :func:`deepmd_charge.model.weights.shapes`.
    elements : sequence of int
        The types of atoms: :attr:`deepmd_charge.model.spec.ModelSpec.elements`.
    suffix : str
        Of variable scopes.

    Returns
    -------
    str
        "scope/variable"
    """
    part, array = name.split(".", 1)
    if name in _NAMES:
        scope, array = _NAMES[name].split("/")
    elif part.endswith("]"):  # z counts elements, the scope has the type
        of_element, z = part[:-1].split("[")
        scope = f"{_SCOPES[of_element]}_{elements[int(z)]}"
    else:
        scope = _SCOPES[part]
    return f"{scope}{suffix}/{array.replace('[', '_').replace(']', '').replace('.', '_')}"


def graph_names(spec: ModelSpec, superposed: bool = False) -> dict[str, str]:
    """Names in the graph of the arrays of a model.

    Parameters
    ----------
    spec : ModelSpec
    superposed : bool
        Whether it carries superposed atomic densities.

    Returns
    -------
    dict of str to str
        By the names of :func:`deepmd_charge.model.weights.shapes`.
    """
    return {name: graph_name(name, spec.elements) for name in shapes(spec, superposed)}


def weights_of(spec: ModelSpec, constants: Mapping[str, Array]) -> Weights:
    """The weights that a frozen graph holds.

    Parameters
    ----------
    spec : ModelSpec
    constants : dict
        Arrays by their names in the graph.

    Returns
    -------
    Weights

    Raises
    ------
    ChargeError
        If an array is missing, or has another shape than the specification gives it.
    """
    names = graph_names(spec, superposed=graph_name(STEP, spec.elements) in constants)
    if missing := [there for there in names.values() if there not in constants]:
        raise ChargeError(
            f"the graph has no {', '.join(missing)}; its settings are not those of this model"
        )
    return Weights(spec, {name: constants[there] for name, there in names.items()})
