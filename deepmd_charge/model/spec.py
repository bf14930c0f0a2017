# SPDX-License-Identifier: LGPL-3.0-or-later
"""The keys of ``input.json`` that make a model: types, defaults, checks, documentation.

``dp doc-train-input`` and the checks of ``dp train`` are made from these
classes by :mod:`deepmd_charge.backends.arguments`, and every backend takes a model's
settings, and what follows from them, from here.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..atoms.species import GRID_TYPE
from ..errors import ChargeError
from ..typing import Integers
from .kernels.arrays import Array, Namespace
from .kernels.coupling import TRIPLES
from .kernels.harmonics import LMAX
from .kernels.radial import RADIAL_BASES
from .keys import Check, Spec, at_least, key, one_of

if TYPE_CHECKING:
    from typing import Self  # of Python 3.11

__all__ = [
    "DESCRIPTORS",
    "FITTINGS",
    "DescriptorSpec",
    "FittingSpec",
    "LossSpec",
    "ModelSpec",
    "places",
]

EMBEDDING = "embedding"


def _activation(default: str) -> Any:
    return key(
        'The activation function of the layers, a name that DeePMD-kit knows: "silu", "tanh", ...',
        default,
    )


def _layers(doc: str, default: tuple[int, ...], alias: Sequence[str] = ()) -> Any:
    check = Check(
        lambda value: len(value) > 0 and min(value) > 0, "must be a list of positive numbers"
    )
    return key(doc, default, check, alias)


def _precision() -> Any:
    return key(
        "The precision of the parameters and of all that follows the distances: "
        '"float64", "float32"; "default" is "float32".',
        "default",
        Check(
            lambda value: value in ("default", "float32", "float64"),
            'must be "default", "float32" or "float64"',
        ),
    )


def _seed() -> Any:
    return key("Seed of the initial parameters.", None)


class _Precise:
    """What has the key ``precision``."""

    precision: str

    @property
    def dtype(self) -> str:
        """str: "float32" or "float64"."""
        return "float32" if self.precision == "default" else self.precision


@dataclass(frozen=True)
class DescriptorSpec(_Precise, Spec):
    """The descriptor ``se_charge``: moments of the atoms around grid points, their invariants."""

    where: ClassVar[str] = "model/descriptor"

    rcut: float = key("The cutoff radius in angstrom.", check=at_least())
    radial: str = key(
        'The radial functions: "bessel" (spherical Bessel functions of order zero), "chebyshev" '
        "(polynomials on an axis that resolves the surroundings of a nucleus more finely), or "
        '"embedding": a network of the weighted inverse distance, with which the descriptor is the '
        "DeepPot-SE one of the Deep Charge paper.",
        "bessel",
        one_of(*RADIAL_BASES, EMBEDDING),
    )
    n_radial: int = key(
        "The number of radial functions for each element. Not used by the embedding.",
        24,
        at_least(),
    )
    core: float = key(
        'The length in angstrom below which "chebyshev" stops refining its axis.', 0.5, at_least()
    )
    lmax: int = key(
        "The largest l of the spherical harmonics, 0 to 6. The paper's descriptor has 1.",
        4,
        Check(lambda value: 0 <= value <= LMAX, f"must lie between 0 and {LMAX}"),
    )
    n_channel: int = key(
        "The number of mixed radial channels for each l. The embedding has as many as its last "
        "layer.",
        16,
        at_least(),
    )
    axis_neuron: int = key(
        "The number of channels with which every channel is multiplied; at most the number of "
        "channels.",
        4,
        at_least(),
    )
    triples: tuple[tuple[int, ...], ...] = key(
        "Triples of l, such as [[1, 1, 2], [2, 2, 2], [1, 2, 3]], for which products of three "
        "moments are added to those of two: better on disordered structures, at some cost. Each "
        "needs an even sum, no l of zero, and no l above the sum of the two others. Not used by "
        "the embedding.",
        (),
        Check(
            lambda value: all(tuple(sorted(t)) in TRIPLES for t in value),
            f"must hold triples of even sum, 0 < l <= {LMAX}, none above the sum of the two others",
        ),
    )
    n_triple: int = key("The number of channels that take part in triples.", 8, at_least())
    eps: float = key(
        "The length in angstrom that keeps directions, and 1/r of the embedding, finite and smooth "
        "on a nucleus: 1/r becomes 1/sqrt(r^2 + eps^2).",
        0.5,
        at_least(),
    )
    rcut_smth: float = key(
        "Where the fifth-order switching function of the embedding begins, in angstrom. Not used "
        "by the other radial functions, whose cutoff is (1 - r^2/rcut^2)^3.",
        0.5,
        at_least(zero=True),
    )
    neuron: tuple[int, ...] = _layers("The layers of the embedding network.", (20, 40, 80))
    activation_function: str = _activation("tanh")
    precision: str = _precision()
    trainable: bool = key("Whether the parameters of the descriptor are trained.", True)
    seed: int | None = _seed()

    def check_together(self) -> None:
        """Refuse an l, or more channels, than there are, and a switch beyond the cutoff."""
        if any(max(t) > self.lmax for t in self.products):
            listed = [list(t) for t in self.triples]
            raise ChargeError(f"triples {listed}: an l above lmax {self.lmax}; raise lmax")
        taken = {"axis_neuron": self.axis_neuron, "n_triple": self.n_triple if self.products else 0}
        for name, n in taken.items():
            if n > self.channels:
                raise ChargeError(
                    f"{self.where}/{name} {n} is more than the {self.channels} channels; lower it"
                )
        if self.embedded and self.rcut_smth >= self.rcut:
            raise ChargeError(
                f"{self.where}/rcut_smth {self.rcut_smth} must lie below rcut {self.rcut}"
            )

    @property
    def embedded(self) -> bool:
        """bool: Whether a network makes the radial functions."""
        return self.radial == EMBEDDING

    def basis(self, xp: Namespace, r: Array) -> list[Array]:
        """Return the fixed radial functions at distances r, each of the shape of r."""
        return RADIAL_BASES[self.radial](xp, r, self.rcut, self.n_radial, self.core)

    @property
    def channels(self) -> int:
        """int: Channels of each l."""
        return self.neuron[-1] if self.embedded else self.n_channel

    @property
    def products(self) -> tuple[tuple[int, ...], ...]:
        """tuple: The triples of l whose moments are multiplied."""
        return () if self.embedded else self.triples

    @property
    def dim_invariant(self) -> int:
        """int: Number of invariants."""
        pairs = self.channels * self.axis_neuron
        if self.embedded:
            return pairs
        triples = len(self.triples) * self.n_triple * self.axis_neuron
        return self.n_channel + (self.lmax + 1) * pairs + triples

    def dim_linear(self, n_elements: int) -> int:
        """The number of pair-additive features."""
        return 0 if self.embedded else n_elements * self.n_radial


@dataclass(frozen=True)
class FittingSpec(_Precise, Spec):
    """The fitting net ``charge``."""

    where: ClassVar[str] = "model/fitting_net"

    neuron: tuple[int, ...] = _layers(
        "The hidden layers of the fitting net.", (64, 64, 64), ["n_neuron"]
    )
    activation_function: str = _activation("silu")
    resnet: bool = key(
        "Whether a layer as wide as its input, or twice as wide, adds its input to its output.",
        True,
    )
    precision: str = _precision()
    trainable: tuple[bool, ...] | bool = key(
        "Whether the layers are trained: one value, or one for each hidden layer and the output "
        "layer.",
        True,
    )
    seed: int | None = _seed()

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
DESCRIPTORS: dict[str, type[DescriptorSpec]] = {"se_charge": DescriptorSpec}
FITTINGS: dict[str, type[FittingSpec]] = {"charge": FittingSpec}


@dataclass(frozen=True)
class ModelSpec(Spec):
    """The model ``charge``: all that its weights and its equations follow from."""

    where: ClassVar[str] = "model"
    foreign: ClassVar[tuple[str, ...]] = (
        *("type", "data_stat_nbatch", "data_stat_protect", "data_bias_nsample", "use_srtab"),
        *("smin_alpha", "sw_rmin", "sw_rmax", "pair_exclude_types", "atom_exclude_types"),
        *("preset_out_bias", "srtab_add_bias", "type_embedding", "modifier", "compress", "spin"),
        "finetune_head",
    )

    type_map: tuple[str, ...] = key(f'The elements, and the grid type "{GRID_TYPE}".')
    descriptor: DescriptorSpec = key(
        "The descriptor of the surroundings of a grid point: se_charge."
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
        "kind, grid_spacing), and must not contradict them.",
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
        """Refuse a type map without the grid type, or with a type twice."""
        types = self.type_map
        if types.count(GRID_TYPE) != 1 or len({*types}) != len(types):
            raise ChargeError(
                f"model/type_map {list(types)}: list each element once, and the grid type "
                f'"{GRID_TYPE}" once'
            )

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

    @property
    def dim_linear(self) -> int:
        """int: Number of pair-additive features."""
        return self.descriptor.dim_linear(len(self.elements))


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
