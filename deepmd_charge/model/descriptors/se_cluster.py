# SPDX-License-Identifier: LGPL-3.0-or-later
"""The keys of the descriptor ``se_cluster``."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from ...errors import ChargeError
from ...typing import Floats
from ..kernels.arrays import Array, Namespace
from ..kernels.harmonics import LMAX
from ..kernels.quadrature import radial_integrals
from ..kernels.radial import RADIAL_BASES, inverse_distance
from ..keys import Check, at_least, key, one_of
from .base import DescriptorSpec, precision_key

__all__ = ["SeClusterSpec"]


@dataclass(frozen=True)
class SeClusterSpec(DescriptorSpec):
    """The descriptor ``se_cluster``: contributions of atoms that depend on their surroundings."""

    rcut: float = key(
        "How far the contribution of an atom reaches from its nucleus, in angstrom.",
        4.5,
        at_least(),
    )
    rcut_env: float = key(
        "How far the contribution of an atom depends on its neighbours, in angstrom.",
        6.5,
        at_least(),
    )
    radial: str = key(
        'The radial functions of the contributions: "chebyshev" (polynomials on an axis that '
        'resolves the surroundings of a nucleus more finely), or "bessel" (spherical Bessel '
        "functions of order zero).",
        "chebyshev",
        one_of(*RADIAL_BASES),
    )
    n_radial: int = key("The number of radial functions of the contributions.", 20, at_least())
    core: float = key(
        'The length in angstrom below which "chebyshev" stops refining its axis: 1 for atoms '
        "without sharp cores, 0.5 to 0.25 for O or H.",
        0.5,
        at_least(),
    )
    radial_env: str = key(
        "The radial functions of the neighbours, as for radial.", "bessel", one_of(*RADIAL_BASES)
    )
    n_radial_env: int = key(
        "The number of radial functions of the neighbours, for each element.", 8, at_least()
    )
    lmax: int = key(
        "The largest l of the spherical harmonics, 0 to 6.",
        6,
        Check(lambda value: 0 <= value <= LMAX, f"must lie between 0 and {LMAX}"),
    )
    n_channel: int = key(
        "The number of channels, shared by all neighbouring elements, that tell of an atom's "
        "neighbours, for each l: the principal components of their moments. At most n_radial_env "
        "times the number of elements are used.",
        8,
        at_least(),
    )
    order: int = key(
        "How many neighbours at a time change the contribution of an atom: 0 (none: every atom of "
        "an element is the same sphere), 1 (a sum over neighbours: crystals), 2 and 3 (products of "
        "two and three such sums, too: disorder).",
        2,
        Check(lambda value: 0 <= value <= 3, "must be 0, 1, 2 or 3"),
    )
    rcut_product: float = key(
        "How far neighbours take part in products, in angstrom.", 4.5, at_least()
    )
    n_radial_product: int = key(
        "The number of radial functions of contributions by products, the smoothest ones; at most "
        "n_radial are used.",
        8,
        at_least(),
    )
    n_radial_env_product: int = key(
        "The number of radial functions of neighbours that take part in products, for each "
        "element.",
        6,
        at_least(),
    )
    lmax_product: int = key(
        "The largest l of the moments that are multiplied.",
        4,
        Check(lambda value: 0 <= value <= LMAX, f"must lie between 0 and {LMAX}"),
    )
    n_product: int = key(
        "The number of channels that are multiplied, for each l, as for n_channel.",
        3,
        at_least(),
    )
    n_component: int = key(
        "The number of principal components of the products of two that are used, for each l.",
        8,
        at_least(),
    )
    lmax_triple: int = key(
        "The largest l of products of two, and of moments, that are multiplied to products of "
        "three.",
        3,
        Check(lambda value: 0 <= value <= LMAX, f"must lie between 0 and {LMAX}"),
    )
    n_triple: int = key(
        "The number of components of the products of two, for each l, that are multiplied to "
        "products of three.",
        6,
        at_least(),
    )
    n_component_triple: int = key(
        "The number of principal components of the products of three that are used, for each l.",
        16,
        at_least(),
    )
    electrons: str = key(
        '"free", or "exact": the density of every structure holds as many electrons as its atoms '
        "have valence electrons, whatever its atoms are like. Electrons then pass between "
        "neighbours only. Not for spin quantities.",
        "free",
        one_of("free", "exact"),
    )
    n_transfer: int = key(
        'The number of radial functions of what passes between neighbours with "exact" electrons.',
        3,
        at_least(),
    )
    ridge: float | None = key(
        "The strength of the ridge of the least-squares fit; by default it is chosen by "
        "cross-validation.",
        None,
        at_least(zero=True),
    )
    held_out: str = key(
        'What is held out in turn to choose the ridge: "structures", or "systems", all structures '
        "of a DP system at once: then the ridge is the one that serves what is unlike all that is "
        "learnt, such as another phase.",
        "structures",
        one_of("structures", "systems"),
    )
    relative: float = key(
        "Points count 1 / (1 + relative times the density) in the fit, in A^3/e: with 0 all alike, "
        "and the densest count for most; 2 where the density is sharp at nuclei.",
        0.0,
        at_least(zero=True),
    )
    refit: bool = key(
        "Whether a training that goes on from another model fits to its own data anew, and does "
        "not keep the fit of that model.",
        False,
    )
    eps: float = key(
        "The length in angstrom that keeps directions smooth on a nucleus.", 0.5, at_least()
    )
    precision: str = precision_key()

    @property
    def rcut_atoms(self) -> float:
        """float: How far atoms see other atoms, A."""
        return max(self.rcut_env, self.rcut_product)

    @property
    def atoms_are_centres(self) -> bool:
        """bool: They are, though those of order 0 depend on no other."""
        return True

    @property
    def sight(self) -> float:
        """float: How far the contribution of an atom depends on its neighbours, A."""
        both = max(self.rcut_env, self.rcut_product)
        seen = [0.0, self.rcut_env, both, both][self.order]
        # with exact electrons it depends on what its neighbours see
        return seen + (self.rcut_env if self.exact else 0.0)

    @property
    def reach(self) -> float:
        """float: How far the density at a grid point depends on atoms, A."""
        return self.rcut + self.sight

    @property
    def exact(self) -> bool:
        """bool: Whether the electrons of every structure are those of its valences."""
        return self.electrons == "exact"

    def check_together(self) -> None:
        """Refuse too few radial functions for exact electrons."""
        if self.exact and self.n_transfer > self.n_radial_env:
            raise ChargeError(
                f"{self.where}/n_transfer {self.n_transfer} is more than n_radial_env "
                f"{self.n_radial_env}; lower it"
            )
        if self.exact and self.n_radial < 2:
            raise ChargeError(
                f'{self.where}/n_radial must be 2 at least with electrons "exact"; raise it'
            )

    def basis(self, xp: Namespace, r: Array) -> list[Array]:
        """Return the radial functions of the contributions at r, each of the shape of r."""
        return RADIAL_BASES[self.radial](xp, r, self.rcut, self.n_radial, self.core)

    def basis_env(self, xp: Namespace, r: Array) -> list[Array]:
        """Return the radial functions of the neighbours at r, each of the shape of r."""
        functions = RADIAL_BASES[self.radial_env]
        return functions(xp, r, self.rcut_env, self.n_radial_env, self.core)

    def basis_product(self, xp: Namespace, r: Array) -> list[Array]:
        """Return the radial functions of neighbours that take part in products."""
        functions = RADIAL_BASES[self.radial_env]
        return functions(xp, r, self.rcut_product, self.n_radial_env_product, self.core)

    def integrals(self) -> Floats:
        r"""The electrons of the radial functions, :math:`4 \pi \int R_n r^2 dr`, (n_radial,)."""
        return 4.0 * np.pi * radial_integrals(lambda r: self.basis(np, r), self.rcut, 2)

    def dipoles(self) -> Floats:
        r"""Their dipoles with l = 1, :math:`\frac{4 \pi}{3} \int R_n u \, r^3 dr`, (n_radial,)."""

        def functions(r: Floats) -> list[Floats]:
            u = r * inverse_distance(np, r, self.eps)
            return [u * f for f in self.basis(np, r)]

        return 4.0 / 3.0 * np.pi * radial_integrals(functions, self.rcut, 3)

    def carrier(self) -> Floats:
        """The combination of radial functions, (n_radial,), that carries an atom's electrons.

        Its integral is one; combinations at right angles to it hold none.
        """
        integrals = self.integrals()
        return integrals / (integrals @ integrals)

    def channels(self, n_elements: int) -> int:
        """The number of channels of each l."""
        return min(self.n_channel, n_elements * self.n_radial_env) if self.order else 0

    def multiplied(self, n_elements: int) -> int:
        """The number of channels of each l that are multiplied."""
        return min(self.n_product, n_elements * self.n_radial_env_product)

    @property
    def tops(self) -> tuple[int, int]:
        """The largest l that is multiplied to products of two, and to products of three."""
        pairs = min(self.lmax, self.lmax_product)
        return pairs, min(pairs, self.lmax_triple)

    def pairs(self, l: int) -> list[tuple[int, int]]:
        """The (l1, l2), l1 <= l2, of the products of two moments that turn as l does."""
        return [(l1, l2) for l1, l2 in _paths(l, self.tops[0]) if l1 <= l2]

    def triples(self, l: int) -> list[tuple[int, int]]:
        """The (l1, l2) of the products of a product of two and a moment that turn as l does."""
        return _paths(l, self.tops[1])

    def n_pairs(self, n_elements: int) -> list[int]:
        """The number of products of two, for each l."""
        n = self.multiplied(n_elements)
        return [
            sum(n * (n + 1) // 2 if l1 == l2 else n * n for l1, l2 in self.pairs(l))
            for l in range(self.lmax + 1)
        ]

    def n_triples(self, n_elements: int) -> list[int]:
        """The number of products of three, for each l."""
        n, pairs = self.multiplied(n_elements), self.n_pairs(n_elements)
        first = [min(self.n_triple, self.n_component, many) for many in pairs]
        return [sum(first[l1] * n for l1, _ in self.triples(l)) for l in range(self.lmax + 1)]

    def n_features(self, n_elements: int) -> list[list[int]]:
        """The number of features of an atom's surroundings, by l and order."""
        pairs, triples = self.n_pairs(n_elements), self.n_triples(n_elements)
        return [
            [
                int(l == 0),
                self.channels(n_elements),
                min(self.n_component, pairs[l]) if self.order > 1 else 0,
                min(self.n_component_triple, triples[l]) if self.order > 2 else 0,
            ]
            for l in range(self.lmax + 1)
        ]


def _paths(l: int, top: int) -> list[tuple[int, int]]:
    """The (l1, l2) up to a largest one that couple to l: of even sum, none above the others'."""
    return [
        (l1, l2)
        for l1 in range(top + 1)
        for l2 in range(top + 1)
        if abs(l1 - l2) <= l <= l1 + l2 and (l1 + l2 + l) % 2 == 0
    ]
