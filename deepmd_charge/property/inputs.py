# SPDX-License-Identifier: LGPL-3.0-or-later
"""What properties are learned from: one vector for each sample, put together from blocks.

``invariants`` are the features of a density (:mod:`.features`), ``latent`` is what an
autoencoder makes of it (:mod:`.autoencoder`), ``composition`` are statistics of elemental
properties (:mod:`.composition`). A sample is a density, or a structure with superposed atoms.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from ..errors import ChargeError
from ..grid.density import Density
from ..io.structures import read_structure
from ..stderr import progress_is_shown
from ..threads import in_order
from ..typing import Floats, Integers, PathLike
from .composition import COMPOSITION, composition_features
from .features import FEATURES, features
from .folds import parse_formula
from .sources import iterate_sources
from .tables import FILE, iterate_rows, split_unit

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["KINDS", "Block", "Encoder", "Facts", "Inputs", "gather", "gather_from_table"]

KINDS = ("invariants", "latent", "composition")

# Name, facts (see `Facts`) and a row of each block.
_Sample: TypeAlias = "tuple[str, tuple[str, float, float], list[Floats]]"

_ATOMIC_MASS = 1.66053906660  # g/cm^3 of one dalton in one A^3


class Encoder(Protocol):
    """What makes a latent array of a density."""

    definition: str
    shape: tuple[int, ...]

    def encode(self, density: Density) -> Floats:
        """Latent array of a density."""


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
        Of a latent array, whose numbers the columns are in C order; empty for other kinds.
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
        return cls.of(_facts(atoms) for atoms in structures)

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


def gather(
    paths: Sequence[str],
    kinds: Sequence[str],
    encoder: Encoder | None = None,
    each_is_one: bool = True,
    n_threads: int = 1,
) -> Inputs:
    """Read densities or structures and make their inputs, one after the other.

    Parameters
    ----------
    paths : sequence of str
        ``file@frame`` names one of several in a file.
    kinds : sequence of str
        Of `KINDS`.
    encoder : Encoder, optional
        For latent inputs.
    each_is_one : bool
        Whether a path that holds several frames is an error.
    n_threads : int

    Returns
    -------
    Inputs

    Raises
    ------
    ChargeError
        If a file cannot be read, or an element has no atomic density.
    """
    from tqdm import tqdm

    chosen = [kind for kind in KINDS if kind in kinds]

    def samples_of(path: str) -> list[_Sample]:
        found = [
            (name, _facts(density.atoms), [_row(k, density, name, encoder) for k in chosen])
            for name, density in iterate_sources([path])
        ]
        if each_is_one and len(found) != 1:
            raise ChargeError(f"{path}: holds {len(found)} frames; name one of them, {path}@0")
        return found

    samples: list[_Sample] = []
    with tqdm(total=len(paths), desc="inputs", unit="file", disable=not progress_is_shown()) as bar:
        for found in in_order(samples_of, paths, n_threads):
            samples += found
            bar.update()
    if not samples:
        raise ChargeError("there are no densities; give some")
    names, facts, rows = zip(*samples, strict=True)
    blocks = {
        kind: _block(kind, np.array([row[k] for row in rows]), encoder)
        for k, kind in enumerate(chosen)
    }
    return Inputs(names, Facts.of(facts), blocks)


def gather_from_table(
    path: PathLike,
    files: Sequence[str],
    kinds: Sequence[str],
    formulas: Sequence[str] | None = None,
    needs_densities: bool = False,
) -> Inputs:
    """Take inputs from a table of features that was made before.

    Parameters
    ----------
    path : str or Path
        CSV with a column ``file``; columns of :mod:`.composition` make up that block, all others
        but text the invariants.
    files : sequence of str
        Paths of the samples.
    kinds : sequence of str
        "invariants", "composition" or both; a composition that is not in the table is that of the
        formulas.
    formulas : sequence of str, optional
        Of the samples; by default of their structures, which are read then.
    needs_densities : bool
        Whether to read the structures for their mass densities.

    Returns
    -------
    Inputs

    Raises
    ------
    ChargeError
        If the table lacks a file, or has no numbers.
    """
    if "latent" in kinds:
        raise ChargeError(
            f"{os.fspath(path)}: a table of features has no latent arrays; leave out --features,"
            " or latent of --inputs"
        )
    facts = _facts_of_files(files, formulas, needs_densities)
    blocks = {}
    if "invariants" in kinds:
        names, values = _numbers_of(path, files)
        if not names:
            raise ChargeError(f"{os.fspath(path)}: has no columns of numbers to learn from")
        blocks["invariants"] = Block(names, values, _definition(names))
    if "composition" in kinds:
        blocks["composition"] = _block("composition", _compositions(facts.formulas), None)
    return Inputs(tuple(files), facts, blocks)


def _row(kind: str, density: Density, name: str, encoder: Encoder | None) -> Floats:
    if kind == "latent":
        assert encoder is not None
        return np.asarray(encoder.encode(density), dtype=np.float32).ravel()
    if kind == "composition":
        return composition_features(density.atoms)
    row = features(density)
    finite = np.isfinite(row)
    if not finite.all():
        wrong = FEATURES[int(np.argmin(finite))].name
        raise ChargeError(f"{name}: its invariant {wrong} is no finite number; leave it out")
    return row


def _block(kind: str, values: Floats, encoder: Encoder | None) -> Block:
    if kind == "latent":
        assert encoder is not None
        names = tuple(f"latent {k}" for k in range(int(np.prod(encoder.shape))))
        return Block(names, values, encoder.definition, encoder.shape)
    names = tuple(f.name for f in (FEATURES if kind == "invariants" else COMPOSITION))
    return Block(names, values, _definition(names))


def _definition(names: Sequence[str]) -> str:
    """A hash of the names of columns, and of the units and formulas of those that are ours."""
    ours = {f.name: [f.name, f.unit, f.formula] for f in (*FEATURES, *COMPOSITION)}
    content = json.dumps([ours.get(name, [name]) for name in names])
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _facts(atoms: Atoms) -> tuple[str, float, float]:
    volume = abs(float(np.linalg.det(atoms.cell.array)))
    formula = atoms.get_chemical_formula()
    if not volume:
        return formula, np.nan, np.nan
    mass = float(atoms.get_masses().sum())
    return formula, _ATOMIC_MASS * mass / volume, len(atoms) / volume


def _facts_of_files(
    files: Sequence[str], formulas: Sequence[str] | None, needs_densities: bool
) -> Facts:
    from tqdm import tqdm

    if formulas is not None and not needs_densities:
        for formula in set(formulas):
            parse_formula(formula)
        unknown = np.full(len(files), np.nan)
        return Facts(tuple(formulas), unknown, unknown)
    bar = tqdm(files, "structures", unit="file", disable=not progress_is_shown())
    return Facts.of_structures(read_structure(file)[0] for file in bar)


def _compositions(formulas: Sequence[str]) -> Floats:
    from ase import Atoms

    return np.array([composition_features(Atoms(formula)) for formula in formulas])


def _numbers_of(path: PathLike, files: Sequence[str]) -> tuple[tuple[str, ...], Floats]:
    """Columns of numbers of a table, in the order of files, and their names."""
    path = os.fspath(path)
    folder = Path(path).parent
    wanted = {os.path.abspath(file): file for file in files}
    found: dict[str, Floats] = {}
    rows = iterate_rows(path)
    names = [split_unit(head)[0] for head in next(rows)[1]]
    if FILE not in names:
        raise ChargeError(f"{path}:1: has no column {FILE}; give a table of `property features`")
    place = names.index(FILE)
    apart = {FILE, *(feature.name for feature in COMPOSITION)}
    columns: list[int] | None = None
    for line, cells in rows:
        if columns is None:
            columns = [
                k for k, cell in enumerate(cells) if names[k] not in apart and _is_number(cell)
            ]
        # as the command wrote it, from where it ran, or beside the table
        for base in ("", folder):
            file = wanted.get(os.path.abspath(os.path.join(base, cells[place])))
            if file is not None:
                found[file] = _floats(cells, columns, names, f"{path}:{line}")
                break
    missing = [file for file in files if file not in found]
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ChargeError(f"{path}: has no row for {missing[0]}{others}; make the table again")
    kept = tuple(names[k] for k in columns or ())
    return kept, np.array([found[file] for file in files]).reshape(len(files), len(kept))


def _floats(cells: Sequence[str], columns: Sequence[int], names: Sequence[str], at: str) -> Floats:
    try:
        values = np.array([float(cells[k]) for k in columns])
    except ValueError:
        values = np.array([float(cells[k]) if _is_number(cells[k]) else np.nan for k in columns])
    if not np.isfinite(values).all():
        wrong = columns[int(np.argmin(np.isfinite(values)))]
        raise ChargeError(f"{at}: {names[wrong]} is {cells[wrong]!r}, which is no finite number")
    return values


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True
