# SPDX-License-Identifier: LGPL-3.0-or-later
"""Keys that several parts of a model have, and what every descriptor says of itself."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

from ..keys import Check, Spec, key

__all__ = ["DescriptorSpec", "Precise", "activation_key", "layers_key", "precision_key", "seed_key"]


def activation_key(default: str) -> Any:
    """The key of an activation function."""
    return key(
        'The activation function of the layers, a name that DeePMD-kit knows: "silu", "tanh", ...',
        default,
    )


def layers_key(
    doc: str, default: tuple[int, ...], alias: Sequence[str] = (), empty: bool = False
) -> Any:
    """The key of the widths of layers, of which there may be none where `empty`."""
    check = Check(
        lambda value: (empty or len(value) > 0) and min(value, default=1) > 0,
        "must be a list of positive numbers",
    )
    return key(doc, default, check, alias)


def precision_key() -> Any:
    """The key of the parameters' precision."""
    return key(
        "The precision of the parameters and of all that follows the distances: "
        '"float64", "float32"; "default" is "float32".',
        "default",
        Check(
            lambda value: value in ("default", "float32", "float64"),
            'must be "default", "float32" or "float64"',
        ),
    )


def seed_key() -> Any:
    """The key of a seed."""
    return key("Seed of the initial parameters.", None)


class Precise:
    """What has the key ``precision``."""

    precision: str

    @property
    def dtype(self) -> str:
        """str: "float32" or "float64"."""
        return "float32" if self.precision == "default" else self.precision


class DescriptorSpec(Precise, Spec):
    """What every descriptor says of itself.

    Attributes
    ----------
    rcut : float
        How far from a grid point atoms count, A.
    lmax : int
        The largest l of the spherical harmonics.
    eps : float
        The length, A, that keeps directions smooth on a nucleus.
    """

    where: ClassVar[str] = "model/descriptor"

    rcut: float
    lmax: int
    eps: float

    @property
    def rcut_atoms(self) -> float:
        """float: How far atoms see other atoms, A; 0 where they need not."""
        return 0.0

    @property
    def atoms_are_centres(self) -> bool:
        """bool: Whether what an atom adds depends on the atoms around it."""
        return self.rcut_atoms > 0.0

    @property
    def exact(self) -> bool:
        """bool: Whether atoms ask their neighbours what these see."""
        return False

    @property
    def reach(self) -> float:
        """float: How far the density at a grid point depends on atoms, A."""
        return self.rcut + self.rcut_atoms
