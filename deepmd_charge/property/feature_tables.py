# SPDX-License-Identifier: LGPL-3.0-or-later
"""Inputs of samples from a table of features that was made before."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from ..errors import ChargeError
from ..io.structures import read_structure
from ..stderr import progress_is_shown
from ..typing import Floats, PathLike
from .composition import composition_features
from .extraction import BLOCKS
from .feature_rows import FORMULA, KNOWN, FeatureRows, definition_of
from .folds import parse_formula, reduced_formula
from .gathering import block_of, parts_of
from .inputs import Block, Fact, Facts, Inputs, facts_of
from .tables import Table

__all__ = ["formulas_in", "gather_from_table"]

_ELECTRONS = "electrons"  # per atom, a column of tables of features


def gather_from_table(
    path: PathLike,
    files: Sequence[str],
    kinds: Sequence[str],
    formulas: Sequence[str] | None = None,
    needs_densities: bool = False,
    targets: Sequence[str] = (),
    each_is_one: bool = True,
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
    targets : sequence of str
        Properties that are to be learned, which must not be among the columns.
    each_is_one : bool
        Whether a path stands for one sample; otherwise for all frames of it that the table has.

    Returns
    -------
    Inputs

    Raises
    ------
    ChargeError
        If the table lacks a file, has no numbers, two rows for a file that do not agree or other
        formulas, has what is to be learned, or is of another version of this package.
    """
    path = os.fspath(path)
    if "latent" in kinds:
        raise ChargeError(
            f"{path}: a table of features has no latent arrays; leave out --features, or latent of"
            " --inputs"
        )
    table = FeatureRows.read(path, files, each_is_one)
    files = table.expanded(files, each_is_one)
    names, values, theirs = table.names, table.values(files), table.formulas(files)
    told = [name for name in targets if name in names and name not in KNOWN]
    if told:
        raise ChargeError(
            f"{path}: has a column {told[0]}, which is to be learned; features must not tell it:"
            " take it out"
        )
    _check_formulas(path, files, formulas, theirs)
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
        blocks[kind] = Block(found, values[:, chosen], definition_of(found))
    if "composition" in kinds:
        rows: dict[str, Floats] = {}
        for file, formula in zip(files, facts.formulas, strict=True):
            if formula not in rows:
                rows[formula] = _composition(file, formula)
        of_all = np.array([rows[formula] for formula in facts.formulas])
        blocks["composition"] = block_of("composition", of_all)
    return Inputs(tuple(files), facts, blocks)


def formulas_in(table: Table) -> list[str] | None:
    """Formulas of the samples of a table; None where it has no such column.

    Raises
    ------
    ChargeError
        If a cell is none, with the line.
    """
    if FORMULA not in table.names:
        return None
    formulas = table.column(FORMULA)
    for formula, line in zip(formulas, table.lines, strict=True):
        _parse(f"{table.path}:{line}", formula)
    return formulas


def _check_formulas(
    path: str,
    files: Sequence[str],
    formulas: Sequence[str] | None,
    theirs: Sequence[str] | None,
) -> None:
    """Refuse a table that has other compounds by the names of the files."""
    if formulas is None or theirs is None:
        return
    pairs = dict(zip(zip(formulas, theirs, strict=True), files, strict=True))
    for (ours, other), file in pairs.items():
        _parse(path, other)
        if reduced_formula(ours) != reduced_formula(other):
            raise ChargeError(
                f"{path}: {file} is {other} here, and {ours} in the table of labels; make the table"
                " again, or mend the formula"
            )


def _facts_of_files(
    files: Sequence[str], formulas: Sequence[str] | None, needs_densities: bool
) -> Facts:
    from tqdm import tqdm

    if formulas is not None and not needs_densities:
        for file, formula in zip(files, formulas, strict=True):
            _parse(file, formula)
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


def _composition(file: str, formula: str) -> Floats:
    from ase import Atoms

    try:
        return composition_features(Atoms(formula))
    except ChargeError as error:
        raise ChargeError(f"{file}: {error}") from None


def _parse(where: str, formula: str) -> None:
    """Check a formula, with where it stands."""
    try:
        parse_formula(formula)
    except ChargeError as error:
        raise ChargeError(f"{where}: {error}") from None
