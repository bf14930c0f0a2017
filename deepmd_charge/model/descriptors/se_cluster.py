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
from ..kernels.radial import RADIAL_BASES
from ..keys import Check, at_least, key, one_of
from .base import DescriptorSpec, precision_key

__all__ = ["SeClusterSpec"]


@dataclass(frozen=True)
class SeClusterSpec(DescriptorSpec):
    """The descriptor ``se_cluster``: contributions of atoms that depend on their surroundings."""

    rcut: float = key(
        "How far the contribution of an atom reaches from its nucleus, in angstrom.",
        5.0,
        at_least(),
    )
    rcut_env: float = key(
        "How far the contribution of an atom depends on its neighbours, in angstrom.",
        6.5,
        at_least(),
    )
    radial: str = key(
        'The radial functions of the contributions: "bessel" (spherical Bessel functions of order '
        'zero), or "chebyshev" (polynomials on an axis that resolves the surroundings of a nucleus '
        "more finely).",
        "bessel",
        one_of(*RADIAL_BASES),
    )
    n_radial: int = key(
        "The number of radial functions of the contributions.",
        15,
        at_least(),
    )
    radial_env: str = key(
        "The radial functions of the neighbours, as for radial.", "bessel", one_of(*RADIAL_BASES)
    )
    n_radial_env: int = key(
        "The number of radial functions of the neighbours, for each element.", 8, at_least()
    )
    core: float = key(
        'The length in angstrom below which "chebyshev" stops refining its axis.', 0.5, at_least()
    )
    lmax: int = key(
        "The largest l of the spherical harmonics, 0 to 6.",
        6,
        Check(lambda value: 0 <= value <= LMAX, f"must lie between 0 and {LMAX}"),
    )
    n_channel: int = key(
        "The number of channels, shared by all elements, that tell of an atom's neighbours, for "
        "each l; at most n_radial_env times the number of elements are used.",
        12,
        at_least(),
    )
    order: int = key(
        "How many neighbours at a time change the contribution of an atom: 0 (none: every atom of "
        "an element is the same sphere), 1 (a sum over neighbours), 2 (products of two such sums, "
        "too).",
        1,
        Check(lambda value: 0 <= value <= 2, "must be 0, 1 or 2"),
    )
    n_product: int = key("The number of channels that take part in products.", 4, at_least())
    lmax_product: int = key(
        "The largest l of the moments that are multiplied.",
        3,
        Check(lambda value: 0 <= value <= LMAX, f"must lie between 0 and {LMAX}"),
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
    def reach(self) -> float:
        """float: How far the density at a grid point depends on atoms, A."""
        return self.rcut + self.rcut_env * (2 if self.exact else 1)

    @property
    def exact(self) -> bool:
        """bool: Whether the electrons of every structure are those of its valences."""
        return self.electrons == "exact"

    def check_together(self) -> None:
        """Refuse more radial functions of transfers than there are of neighbours."""
        if self.exact and self.n_transfer > self.n_radial_env:
            raise ChargeError(
                f"{self.where}/n_transfer {self.n_transfer} is more than n_radial_env "
                f"{self.n_radial_env}; lower it"
            )

    def basis(self, xp: Namespace, r: Array) -> list[Array]:
        """Return the radial functions of the contributions at r, each of the shape of r."""
        return RADIAL_BASES[self.radial](xp, r, self.rcut, self.n_radial, self.core)

    def basis_env(self, xp: Namespace, r: Array) -> list[Array]:
        """Return the radial functions of the neighbours at r, each of the shape of r."""
        return RADIAL_BASES[self.radial_env](xp, r, self.rcut_env, self.n_radial_env, self.core)

    def integrals(self, power: int = 0) -> Floats:
        r"""The integrals :math:`4 \pi \int R_n r^{2+p} dr` of the radial functions, (n_radial,)."""
        return 4.0 * np.pi * radial_integrals(lambda r: self.basis(np, r), self.rcut, 2 + power)

    def carrier(self) -> Floats:
        """The combination of radial functions, (n_radial,), that carries an atom's electrons.

        Its integral is one; combinations at right angles to it hold none.
        """
        integrals = self.integrals()
        return integrals / (integrals @ integrals)

    def channels(self, n_elements: int) -> int:
        """The number of channels of each l."""
        return min(self.n_channel, n_elements * self.n_radial_env)

    def paths(self) -> list[tuple[int, int, int]]:
        """The (l1, l2, l) of the products: of even sum, none above the sum of the others."""
        if self.order < 2:
            return []
        top = min(self.lmax, self.lmax_product)
        return [
            (l1, l2, l)
            for l in range(self.lmax + 1)
            for l1 in range(top + 1)
            for l2 in range(l1, top + 1)
            if l2 - l1 <= l <= l1 + l2 and (l1 + l2 + l) % 2 == 0
        ]

    def n_features(self, n_elements: int) -> list[int]:
        """The number of features of an atom's surroundings for each l."""
        channels = self.channels(n_elements)
        pairs = min(self.n_product, channels)
        counts = [(l == 0) + (channels if self.order else 0) for l in range(self.lmax + 1)]
        for l1, l2, l in self.paths():
            counts[l] += pairs * (pairs + 1) // 2 if l1 == l2 else pairs * pairs
        return counts
