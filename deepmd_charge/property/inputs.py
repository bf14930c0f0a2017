# SPDX-License-Identifier: LGPL-3.0-or-later
"""What properties are learned from: one vector for each sample, put together from blocks.

``invariants`` are the features of a density, ``difference`` those of its difference from superposed
atoms (:mod:`.features`), ``latent`` is what an autoencoder makes of it (:mod:`.encoder`),
``composition`` are statistics of elemental properties (:mod:`.composition`). A sample is a density,
or a structure with superposed atoms.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from ..typing import Floats, Integers

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["KINDS", "Block", "Facts", "Inputs", "facts_of"]

KINDS = ("invariants", "difference", "latent", "composition")

_ATOMIC_MASS = 1.66053906660  # g/cm^3 of one dalton in one A^3


@dataclass(frozen=True)
class Block:
    """Columns of one kind.

    Attributes
    ----------
    names : tuple of str
        Of the columns, (d).
    values : np.ndarray
        (n, d).
    definition : str
        A hash of what the columns are, by which those of another version are told.
    shape : tuple of int
        Of the latent arrays of a sample, (poses, c, m, m, m), whose numbers the columns are in C
        order; empty for other kinds.
    """

    names: tuple[str, ...]
    values: Floats
    definition: str
    shape: tuple[int, ...] = ()


@dataclass(frozen=True)
class Facts:
    """What is known of the structures of samples.

    Attributes
    ----------
    formulas : tuple of str
        (n), such as Fe4O6.
    mass_density : np.ndarray
        (n,) g/cm^3; NaN where the structure has no volume, or was not read.
    number_density : np.ndarray
        (n,) atoms per A^3, likewise.
    """

    formulas: tuple[str, ...]
    mass_density: Floats
    number_density: Floats

    @classmethod
    def of_structures(cls, structures: Iterable[Atoms]) -> Facts:
        """Facts of structures."""
        return cls.of(facts_of(atoms) for atoms in structures)

    @classmethod
    def of(cls, facts: Iterable[tuple[str, float, float]]) -> Facts:
        """Facts of samples, each a formula and its two densities."""
        formulas, mass, number = zip(*facts, strict=True)
        return cls(formulas, np.array(mass, float), np.array(number, float))

    def take(self, rows: Integers) -> Facts:
        """Facts of some of the samples."""
        formulas = tuple(self.formulas[row] for row in rows)
        return Facts(formulas, self.mass_density[rows], self.number_density[rows])


@dataclass(frozen=True)
class Inputs:
    """Samples: what their properties are learned from, and what is known of them.

    Attributes
    ----------
    files : tuple of str
        (n) names of densities or structures.
    facts : Facts
    blocks : dict
        By their kinds, in the order of `KINDS`.
    """

    files: tuple[str, ...]
    facts: Facts
    blocks: dict[str, Block] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.files)

    def take(self, rows: Integers) -> Inputs:
        """Some of the samples."""
        blocks = {kind: replace(b, values=b.values[rows]) for kind, b in self.blocks.items()}
        return Inputs(tuple(self.files[row] for row in rows), self.facts.take(rows), blocks)

    @property
    def definitions(self) -> dict[str, str]:
        """Hashes of what the blocks are, by their kinds."""
        return {kind: block.definition for kind, block in self.blocks.items()}


def facts_of(atoms: Atoms) -> tuple[str, float, float]:
    """Formula, mass density (g/cm^3) and number density (1/A^3) of a structure."""
    volume = abs(float(np.linalg.det(atoms.cell.array)))
    formula = atoms.get_chemical_formula()
    if not volume:
        return formula, np.nan, np.nan
    mass = float(atoms.get_masses().sum())
    return formula, _ATOMIC_MASS * mass / volume, len(atoms) / volume
