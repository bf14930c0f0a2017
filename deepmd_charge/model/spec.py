# SPDX-License-Identifier: LGPL-3.0-or-later
"""The keys of ``input.json`` that make a model: types, defaults, checks, documentation.

``dp doc-train-input`` and the checks of ``dp train`` are made from these
classes by :mod:`deepmd_charge.backends.arguments`, and every backend takes a model's
settings, and what follows from them, from here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import numpy as np

from ..atoms.species import GRID_TYPE
from ..errors import ChargeError
from ..typing import Integers
from .descriptors.base import (
    DescriptorSpec,
    Precise,
    activation_key,
    layers_key,
    precision_key,
    seed_key,
)
from .descriptors.se_charge import SeChargeSpec
from .descriptors.se_cluster import SeClusterSpec
from .keys import Spec, at_least, key, one_of

if TYPE_CHECKING:
    from typing import Self  # of Python 3.11

__all__ = [
    "DESCRIPTORS",
    "FITTINGS",
    "FittingSpec",
    "LossSpec",
    "ModelSpec",
    "check_type_map",
    "places",
]

D = TypeVar("D", bound=DescriptorSpec)


@dataclass(frozen=True)
class FittingSpec(Precise, Spec):
    """The fitting net ``charge``."""

    where: ClassVar[str] = "model/fitting_net"

    neuron: tuple[int, ...] = layers_key(
        "The hidden layers of the fitting net. With se_cluster they are those of a net that scales "
        "the features of each atom, and [] is none: a model without training.",
        (64, 64, 64),
        ["n_neuron"],
        empty=True,
    )
    activation_function: str = activation_key("silu")
    resnet: bool = key(
        "Whether a layer as wide as its input, or twice as wide, adds its input to its output.",
        True,
    )
    precision: str = precision_key()
    trainable: tuple[bool, ...] | bool = key(
        "Whether the layers are trained: one value, or one for each hidden layer and the output "
        "layer.",
        True,
    )
    seed: int | None = seed_key()

    def check_together(self) -> None:
        """Refuse another number of values of ``trainable`` than there are layers."""
        if len(self.trained) != len(self.neuron) + 1:
            raise ChargeError(
                f"{self.where}/trainable has {len(self.trained)} values; give one for each of "
                f"the {len(self.neuron)} hidden layers and one for the output layer"
            )

    @property
    def trained(self) -> tuple[bool, ...]:
        """Whether each hidden layer, and the output layer, is trained."""
        if isinstance(self.trainable, bool):
            return (self.trainable,) * (len(self.neuron) + 1)
        return self.trainable


@dataclass(frozen=True)
class LossSpec(Spec):
    """The loss ``charge``."""

    where: ClassVar[str] = "loss"

    loss_func: str = key(
        'What is minimised over the grid points: "mse" (squares), "mae" (absolute values), '
        '"huber".',
        "mse",
        one_of("mse", "mae", "huber"),
    )
    huber_delta: float = key(
        'Where "huber" turns from square to linear, in units of the standard deviation that '
        "the pair-additive fit leaves.",
        0.02,
        at_least(),
    )
    weight_decay: float = key(
        "Adds this times half the sum of the squares of all trained parameters to the loss: "
        "less overfitting to few structures. 1e-4 to 1e-3 is a sensible range with huber.",
        0.0,
        at_least(zero=True),
    )


# The families of models: a descriptor's type, and its specification.
DESCRIPTORS: dict[str, type[DescriptorSpec]] = {
    "se_charge": SeChargeSpec,
    "se_cluster": SeClusterSpec,
}
FITTINGS: dict[str, type[FittingSpec]] = {"charge": FittingSpec}


@dataclass(frozen=True)
class ModelSpec(Spec):
    """The model ``charge``: all that its weights and its equations follow from."""

    where: ClassVar[str] = "model"
    foreign: ClassVar[tuple[str, ...]] = (
        *("type", "data_stat_nbatch", "data_stat_protect", "data_bias_nsample", "compress"),
        *("smin_alpha", "sw_rmin", "sw_rmax", "srtab_add_bias"),  # parts of use_srtab
    )
    unheeded: ClassVar[tuple[str, ...]] = (
        *("pair_exclude_types", "atom_exclude_types", "preset_out_bias", "use_srtab"),
        *("type_embedding", "modifier", "spin", "finetune_head"),
    )

    type_map: tuple[str, ...] = key(f'The elements, and the grid type "{GRID_TYPE}".')
    descriptor: DescriptorSpec = key(
        "What the density at a grid point depends on: se_charge or se_cluster."
    )
    fitting_net: FittingSpec = key("The fitting net: charge.")
    saed: str | None = key(
        "The saed.npz that `deepmd-charge convert --saed` wrote beside the data: the network "
        "learns the density without the superposed atomic densities, and the model adds them "
        "again.",
        None,
    )
    info: dict = key(
        "Notes that go into the model. Elements, valences, grid spacing and file kind of the "
        "training data are added to it; what these leave open can be said here (valence, quantity, "
        "kind, grid_spacing, functional), and must not contradict them.",
        factory=dict,
    )

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        """Make the specification of ``model`` of an ``input.json``: see :meth:`.Spec.from_dict`."""
        parts: dict[str, Mapping[str, type[Spec]]] = {
            "descriptor": DESCRIPTORS,
            "fitting_net": FITTINGS,
        }
        made = {part: _part(part, given[part], parts[part]) for part in parts if part in given}
        return super().from_dict({**given, **made})

    def check_together(self) -> None:
        """Refuse a type map as :func:`check_type_map` does, and a net out of place."""
        check_type_map(self.type_map)
        neuron, d = self.fitting_net.neuron, self.descriptor
        if not neuron and not isinstance(d, SeClusterSpec):
            raise ChargeError(
                "model/fitting_net/neuron [] goes with the descriptor se_cluster alone; give a "
                "list of layers with se_charge"
            )
        if neuron and isinstance(d, SeClusterSpec) and d.order == 0:
            raise ChargeError(
                "model/fitting_net/neuron must be [] with order 0 of se_cluster, which tells a net "
                "nothing of an atom's neighbours"
            )

    @property
    def linear(self) -> ModelSpec:
        """ModelSpec: Of ``se_cluster`` the same without a net."""
        return replace(self, fitting_net=replace(self.fitting_net, neuron=(), trainable=True))

    @property
    def grid_type(self) -> int:
        """int: The type of grid points."""
        return self.type_map.index(GRID_TYPE)

    @property
    def elements(self) -> list[int]:
        """The types of atoms, in the order of all that is kept for each element."""
        return [t for t in range(len(self.type_map)) if t != self.grid_type]

    @property
    def places(self) -> Integers:
        """np.ndarray: Of each type its place among the elements; X gets any."""
        return places(self.type_map)

    def family(self, kind: type[D]) -> D:
        """The descriptor, which must be of this family."""
        if not isinstance(self.descriptor, kind):
            raise ChargeError(f"{self.descriptor.where}: not a {kind.__name__}")
        return self.descriptor


def check_type_map(types: Sequence[str]) -> None:
    """Refuse a type map without the grid type, with a type twice, or with a name that is none.

    Parameters
    ----------
    types : sequence of str

    Raises
    ------
    ChargeError
    """
    if any(name.split() != [name] for name in types):  # blanks part the names in a model
        raise ChargeError(
            f"model/type_map {list(types)}: a name is empty or has blanks; give each type one"
            " without"
        )
    if types.count(GRID_TYPE) != 1 or len({*types}) != len(types):
        raise ChargeError(
            f"model/type_map {list(types)}: list each element once, and the grid type "
            f'"{GRID_TYPE}" once'
        )


def places(type_map: Sequence[str]) -> Integers:
    """Of each type its place among the elements; X gets any.

    Parameters
    ----------
    type_map : sequence of str

    Returns
    -------
    np.ndarray
    """
    return np.maximum(np.cumsum([name != GRID_TYPE for name in type_map]) - 1, 0)


def _part(name: str, given: Spec | Mapping[str, Any], families: Mapping[str, type[Spec]]) -> Spec:
    """The specification of a part of the model, of the family that its type names."""
    if isinstance(given, Spec):
        return given
    kind = str(given.get("type"))
    if kind not in families:
        raise ChargeError(
            f'model/{name}/type "{kind}" does not go with model/type "charge"; use '
            + " or ".join(f'"{family}"' for family in families)
        )
    return families[kind].from_dict(given)
