# SPDX-License-Identifier: LGPL-3.0-or-later
"""Inputs of samples from a table of features that was made before."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from ..errors import ChargeError
from ..io.structures import read_structure
from ..stderr import progress_is_shown
from ..typing import Floats, PathLike
from .composition import composition_features
from .extraction import BLOCKS
from .features import Feature, definition
from .folds import parse_formula
from .gathering import block_of, parts_of
from .inputs import Block, Fact, Facts, Inputs, facts_of
from .property_units import split_unit
from .tables import FILE, iterate_rows

__all__ = ["gather_from_table"]

# What the columns of features are, by their names.
_KNOWN = {feature.name: feature for block in BLOCKS.values() for feature in block}
_WORD = "definition"  # column of tables of features
_ELECTRONS = "electrons"  # per atom, another one


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
        CSV with a column ``file``, of `property features` or of anything else: columns that are
        neither a difference nor a composition, nor text, are taken as invariants.
    files : sequence of str
        Paths of the samples.
    kinds : sequence of str
        "invariants", "difference" and "composition"; a composition is that of the formulas.
    formulas : sequence of str, optional
        Of the samples; by default those of the table, or of the structures, which are read then.
    needs_densities : bool
        Whether to read the structures for their mass densities.

    Returns
    -------
    Inputs

    Raises
    ------
    ChargeError
        If the table lacks a file, has no numbers, or is of another version of this package.
    """
    path = os.fspath(path)
    if "latent" in kinds:
        raise ChargeError(
            f"{path}: a table of features has no latent arrays; leave out --features, or latent of"
            " --inputs"
        )
    names, values, theirs = _numbers_of(path, files)
    facts = _facts_of_files(files, theirs if formulas is None else formulas, needs_densities)
    # a column of that name in a table from elsewhere may be anything
    if {feature.name for feature in BLOCKS["invariants"]} <= set(names):
        facts = replace(facts, electrons=values[:, names.index(_ELECTRONS)])
    blocks = {}
    others = {f.name for kind in ("difference", "composition") for f in BLOCKS[kind]}
    for kind in ("invariants", "difference"):
        if kind not in kinds:
            continue
        wanted = {feature.name for feature in BLOCKS[kind]}
        if kind == "invariants":
            wanted = set(names) - others
        chosen = [k for k, name in enumerate(names) if name in wanted]
        if not chosen:
            raise ChargeError(f"{path}: has no columns of numbers for --inputs {kind}")
        found = tuple(names[k] for k in chosen)
        blocks[kind] = Block(found, values[:, chosen], _definition(found))
    if "composition" in kinds:
        rows = {formula: _composition(formula) for formula in set(facts.formulas)}
        of_all = np.array([rows[formula] for formula in facts.formulas])
        blocks["composition"] = block_of("composition", of_all)
    return Inputs(tuple(files), facts, blocks)


def _definition(names: Sequence[str]) -> str:
    """A word for columns, by what ours are and by the names of others."""
    return definition([_KNOWN.get(name, Feature(name, "", "")) for name in names])


def _numbers_of(
    path: str, files: Sequence[str]
) -> tuple[tuple[str, ...], Floats, list[str] | None]:
    """Columns of numbers of a table in the order of files, their names, and formulas."""
    folder = Path(path).parent
    wanted = {os.path.abspath(file): file for file in files}
    found: dict[str, Floats] = {}
    formulas: dict[str, str] = {}
    rows = iterate_rows(path)
    names = [split_unit(head)[0] for head in next(rows)[1]]
    if FILE not in names:
        raise ChargeError(f"{path}:1: has no column {FILE}; give a table of `property features`")
    place = names.index(FILE)
    apart = {FILE, _WORD, *(feature.name for feature in BLOCKS["composition"])}
    columns: list[int] | None = None
    word = definition([_KNOWN[n] for n in names if n in _KNOWN]) if _WORD in names else None
    for line, cells in rows:
        if columns is None:
            columns = [
                k for k, cell in enumerate(cells) if names[k] not in apart and _is_number(cell)
            ]
        if word is not None and cells[names.index(_WORD)] != word:
            raise ChargeError(
                f"{path}:{line}: these features have other formulas, of another version of this"
                " package; make the table again"
            )
        # as the command wrote it, from where it ran, or beside the table
        for base in ("", folder):
            file = wanted.get(os.path.abspath(os.path.join(base, cells[place])))
            if file is not None:
                found[file] = _floats(cells, columns, names, f"{path}:{line}")
                if "formula" in names:
                    formulas[file] = cells[names.index("formula")]
                break
    missing = [file for file in files if file not in found]
    if missing:
        others = f" and {len(missing) - 1} more" if len(missing) > 1 else ""
        raise ChargeError(f"{path}: has no row for {missing[0]}{others}; make the table again")
    kept = tuple(names[k] for k in columns or ())
    values = np.array([found[file] for file in files]).reshape(len(files), len(kept))
    return kept, values, [formulas[file] for file in files] if formulas else None


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


def _facts_of_files(
    files: Sequence[str], formulas: Sequence[str] | None, needs_densities: bool
) -> Facts:
    from tqdm import tqdm

    if formulas is not None and not needs_densities:
        for formula in set(formulas):
            parse_formula(formula)
        unknown = np.full(len(files), np.nan)
        return Facts(tuple(formulas), unknown, unknown, unknown)
    facts: list[Fact | None] = [None] * len(files)
    bar = tqdm(total=len(files), desc="structures", unit="file", disable=not progress_is_shown())
    with bar:
        for numbers, (name, atoms) in parts_of(files):
            if atoms is None:
                atoms = read_structure(name)[0]
            for number in numbers:
                facts[number] = facts_of(atoms)
            bar.update(len(numbers))
    return Facts.of(each for each in facts if each is not None)


def _composition(formula: str) -> Floats:
    from ase import Atoms

    parse_formula(formula)
    return composition_features(Atoms(formula))
