# SPDX-License-Identifier: LGPL-3.0-or-later
"""The keys of the descriptor ``se_charge``."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from ...errors import ChargeError
from ..kernels.arrays import Array, Namespace
from ..kernels.coupling import TRIPLES
from ..kernels.harmonics import LMAX
from ..kernels.radial import RADIAL_BASES
from ..keys import Check, at_least, key, one_of
from .base import DescriptorSpec, activation_key, layers_key, precision_key, seed_key

__all__ = ["SeChargeSpec"]

EMBEDDING = "embedding"
# Elements beyond which they share radial channels, and how many sets of them.
_SETS = 8


@dataclass(frozen=True)
class SeChargeSpec(DescriptorSpec):
    """The descriptor ``se_charge``: moments of the atoms around grid points, their invariants."""

    later: ClassVar[frozenset[str]] = frozenset(
        ("n_species", "rcut_env", "n_radial_env", "lmax_env", "n_channel_env", "neuron_env")
    )

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
    n_species: int = key(
        "The number of sets of radial channels that the elements share, each element a trained "
        "mixture of them. 0: chosen by the elements in the data, a set for each of up to 8, or "
        "8 shared by more. As many as elements, or more, are a set for each. Not used by the "
        "embedding.",
        0,
        at_least(zero=True),
    )
    rcut_env: float = key(
        "The cutoff radius in angstrom of the surroundings of an atom, by which a small net scales "
        "the atom's radial channels, once for each atom. 0: they are those of its element. Not "
        "for the embedding.",
        0.0,
        at_least(zero=True),
    )
    n_radial_env: int = key(
        "The number of radial functions of an atom's surroundings, for each element.", 8, at_least()
    )
    lmax_env: int = key(
        "The largest l of an atom's surroundings.",
        2,
        Check(lambda value: 0 <= value <= LMAX, f"must lie between 0 and {LMAX}"),
    )
    n_channel_env: int = key(
        "The number of mixed radial channels of an atom's surroundings.", 8, at_least()
    )
    neuron_env: tuple[int, ...] = layers_key(
        "The layers of the net of an atom's surroundings.", (32,)
    )
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
    neuron: tuple[int, ...] = layers_key("The layers of the embedding network.", (20, 40, 80))
    activation_function: str = activation_key("tanh")
    precision: str = precision_key()
    trainable: bool = key("Whether the parameters of the descriptor are trained.", True)
    seed: int | None = seed_key()

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
        if self.embedded and self.rcut_env:
            raise ChargeError(
                f"{self.where}/rcut_env does not go with radial {EMBEDDING}; take another"
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
    def rcut_atoms(self) -> float:
        """float: See :attr:`.DescriptorSpec.rcut_atoms`."""
        return self.rcut_env

    @property
    def env(self) -> SeChargeSpec:
        """SeChargeSpec: Of an atom's surroundings, described as those of a grid point are."""
        return replace(
            self,
            rcut=self.rcut_env,
            n_radial=self.n_radial_env,
            lmax=self.lmax_env,
            n_channel=self.n_channel_env,
            axis_neuron=min(self.axis_neuron, self.n_channel_env),
            triples=(),
            rcut_env=0.0,
        )

    def sets(self, n_elements: int) -> int:
        """How many sets of radial channels there are for so many elements."""
        return min(self.n_species or _SETS, n_elements)

    def shares(self, n_elements: int) -> bool:
        """Whether elements share their radial channels."""
        return not self.embedded and self.sets(n_elements) < n_elements

    def by_atom(self, n_elements: int) -> bool:
        """Whether radial channels are mixed for each neighbour, before the sum over them."""
        return self.rcut_env > 0.0 or self.shares(n_elements)

    @property
    def n_scales(self) -> int:
        """int: Radial channels of all l, which an atom's surroundings scale."""
        return (self.lmax + 1) * self.channels

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
