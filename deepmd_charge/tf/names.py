# SPDX-License-Identifier: LGPL-3.0-or-later
"""What the arrays of a model are called in TensorFlow's graphs.

Frozen models and checkpoints are read by these names, so they stay.
"""

from ..errors import ChargeError
from ..model.weights import Weights, shapes

__all__ = ["graph_names", "weights_of"]

# The parts of a model, and what is called otherwise within them.
_SCOPES = {"descriptor": "se_charge", "fitting": "charge_fitting", "superposition": "saed"}
_NAMES = {
    "neighbor_range.low": "se_charge/crowding_low",
    "neighbor_range.high": "se_charge/crowding_high",
    "embedding.mean": "se_charge/s_mean",
    "embedding.scale": "se_charge/s_scale",
    "embedding.neighbors": "se_charge/n_neighbors",
    "fitting.output.matrix": "charge_fitting/matrix_out",
    "fitting.output.bias": "charge_fitting/bias_out",
}


def graph_names(spec, superposed=False):
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
    return {name: _graph_name(spec, name) for name in shapes(spec, superposed)}


def _graph_name(spec, name):
    if name in _NAMES:
        return _NAMES[name]
    part, array = name.split(".")
    if part.startswith("embedding["):  # z counts elements, the scope has the type
        scope = f"se_charge_embedding_{spec.elements[int(part[len('embedding[') : -1])]}"
    else:
        scope = _SCOPES[part]
    return f"{scope}/{array.replace('[', '_').replace(']', '')}"


def weights_of(spec, constants):
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
    names = graph_names(spec, _graph_name(spec, "superposition.step") in constants)
    if missing := [there for there in names.values() if there not in constants]:
        raise ChargeError(
            f"the graph has no {', '.join(missing)}; its settings are not those of this model"
        )
    return Weights(spec, {name: constants[there] for name, there in names.items()})
