# SPDX-License-Identifier: LGPL-3.0-or-later
"""Tables of features of any number of densities, on all cores, begun and gone on with."""

from __future__ import annotations

import csv
import io
import os
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO, TypeAlias

import numpy as np

from ..errors import ChargeError
from ..grid.density import Density
from ..io.frames import split_frames
from ..io.output import check_output
from ..stderr import progress_is_shown
from ..threads import in_processes
from ..typing import Floats
from .composition import COMPOSITION, composition_features
from .features import DIFFERENCE, FEATURES, Feature, definition, difference, features
from .sources import check_periodic, density_of, is_density, iterate_parts
from .superposed import superposed_on
from .unfinished import check_the_same, held, remove, rows_done

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["BLOCKS", "Extraction", "Row", "extract", "write_features"]

# What a table can have columns of.
BLOCKS: dict[str, tuple[Feature, ...]] = {
    "invariants": FEATURES,
    "difference": DIFFERENCE,
    "composition": COMPOSITION,
}
_FACTS = ("file", "formula", "definition")
_DIGITS = 8

# A density or structure: its name, and its atoms where it is superposed.
Part: TypeAlias = "tuple[str, Atoms | None]"


@dataclass(frozen=True)
class Row:
    """The features of one density.

    Attributes
    ----------
    file : str
        The file, and ``@frame`` where it has several.
    formula : str
    values : np.ndarray, shape (n,)
        Of the chosen blocks, one after the other.
    """

    file: str
    formula: str
    values: Floats


@dataclass(frozen=True)
class Extraction:
    """What is computed of each density; processes get it by pickle.

    Attributes
    ----------
    blocks : tuple of str
        Names of ``BLOCKS``.
    reference : callable, optional
        Makes the superposed atoms that a difference is taken from, of a density, on its grid; by
        default those of the table of free atoms. A density that is a difference already is
        taken as it is.
    reading : dict
        Options of :func:`deepmd_charge.property.sources.iterate_sources`.
    flags : str
        What the user calls `reference` and `reading`: rows made by others are no rows of the same
        table.
    """

    blocks: tuple[str, ...] = ("invariants",)
    reference: Callable[[Density], Density] = superposed_on
    reading: Mapping[str, Any] = field(default_factory=dict)
    flags: str = ""

    @property
    def columns(self) -> tuple[Feature, ...]:
        """Tuple of Feature: All columns."""
        return tuple(feature for block in self.blocks for feature in BLOCKS[block])

    def row(self, name: str, density: Density) -> Row:
        """Evaluate the features of a density.

        Raises
        ------
        ChargeError
            If it is not of the kind that the blocks are made of, by its name.
        """
        check_periodic(name, density)
        try:
            parts = [self._evaluate(block, density) for block in self.blocks]
        except ChargeError as error:
            raise ChargeError(f"{name}: {error}") from None
        formula = density.atoms.get_chemical_formula(empirical=True)
        return Row(name, formula, np.concatenate(parts))

    def _evaluate(self, block: str, density: Density) -> Floats:
        if block == "composition":
            return composition_features(density.atoms)
        if not len(density.atoms):
            raise ChargeError("has no atoms: features of bonds and spheres need them")
        kind = density.quantity
        if block == "invariants":
            if not kind.is_total:
                raise ChargeError(
                    f"holds {kind.description}: invariants are of total densities (--of difference"
                    " for differences)"
                )
            return features(density)
        if kind.name == "difference":
            return features(density)
        if not kind.is_total:
            raise ChargeError(f"holds {kind.description}: give a total density or a difference")
        return features(difference(density, self.reference(density)))

    def __call__(self, part: Part) -> tuple[list[Row], str, list[str]]:
        """Rows of a part, what went wrong, and warnings; for processes."""
        rows: list[Row] = []
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            error = ""
            try:
                rows = [self.row(*found) for found in density_of(*part, **self.reading)]
            except (ChargeError, OSError) as found:
                error = _reason(found, part[0])
        told = [str(w.message) for w in caught if issubclass(w.category, UserWarning)]
        file = split_frames(part[0])[0]
        return rows, error, [t if t.startswith(file) else f"{file}: {t}" for t in told]


def extract(
    extraction: Extraction,
    parts: Iterable[Part],
    n_processes: int = 1,
    failed: Callable[[str], None] | None = None,
) -> Iterator[Row]:
    """Evaluate the features of many densities, in their order.

    Parameters
    ----------
    extraction : Extraction
    parts : iterable
        Of :func:`deepmd_charge.property.sources.iterate_parts`.
    n_processes : int
        Where there are several, a program must do its work under
        ``if __name__ == "__main__"``.
    failed : callable, optional
        Told what is wrong with a part that is left out. By default the first that is wrong ends
        all.

    Yields
    ------
    Row

    Raises
    ------
    ChargeError
        If a density cannot be read or used, without `failed`.

    Warns
    -----
    UserWarning
        What is doubtful about densities.
    """
    try:
        for rows, error, told in in_processes(extraction, parts, n_processes):
            for text in told:
                warnings.warn(text, stacklevel=2)
            if error and failed is None:
                raise ChargeError(error)
            if error and failed is not None:
                failed(error)
            yield from rows
    except BrokenExecutor:
        raise ChargeError(
            "a process was killed, as for too much memory: take fewer processes (-j)"
        ) from None


def write_features(
    path: str,
    names: list[str],
    extraction: Extraction,
    n_processes: int = 1,
    resume: bool = False,
    failed: Callable[[str], None] | None = None,
) -> int:
    """Write a table of features, row by row; it gets its name when it is complete.

    Until then the rows are in ``PATH.part``, which stays when the work is interrupted, with the
    flags of the extraction, if there are any, in ``PATH.part.flags``.

    Parameters
    ----------
    path : str
        CSV file: columns ``file``, ``formula``, ``definition`` (a word that tells tables of other
        formulas apart) and the features.
    names : list of str
        Density files, or files of structures.
    extraction : Extraction
    n_processes : int
    resume : bool
        Go on with the rows that are there.
    failed : callable, optional
        See :func:`extract`.

    Returns
    -------
    int
        Number of rows.

    Raises
    ------
    ChargeError
        See :func:`extract`; also if there are unfinished rows without `resume`, or of another
        table, of other files or by other flags, or no rows at all.
    """
    check_output(path)
    unfinished = Path(f"{path}.part")
    with held(unfinished) as file:
        n = _write_rows(file, unfinished, names, extraction, n_processes, resume, failed)
        if not n:
            remove(unfinished)
            raise ChargeError(f"{path}: would have no rows: all densities were left out")
        os.replace(unfinished, path)
        remove(unfinished)
    return n


def _write_rows(
    file: TextIO,
    unfinished: Path,
    names: list[str],
    extraction: Extraction,
    n_processes: int,
    resume: bool,
    failed: Callable[[str], None] | None,
) -> int:
    """Add the rows that are not done; how many there are then."""
    from tqdm import tqdm

    header = [*_FACTS, *(feature.name for feature in extraction.columns)]
    word = definition(extraction.columns)
    done = rows_done(unfinished, header, word, resume)
    check_the_same(unfinished, extraction.flags, done, names)
    is_known = all(is_density(name, extraction.reading.get("format")) for name in names)
    bar = tqdm(
        desc="features",
        unit="density",
        total=len(names) if is_known else None,
        disable=not progress_is_shown(),
    )
    n = done.total()

    def remaining() -> Iterator[Part]:
        for name in names:
            try:
                for part, atoms in iterate_parts(name, **extraction.reading):
                    if done[part]:
                        done[part] -= 1
                        bar.update()
                    else:
                        yield part, atoms
            except (ChargeError, OSError) as error:
                if failed is None:
                    raise ChargeError(_reason(error, name)) from None
                failed(_reason(error, name))

    try:
        with bar:
            if not n:
                file.write(_line(header))
            for row in extract(extraction, remaining(), n_processes, failed):
                if done[row.file]:  # a frame of a file that was not done
                    done[row.file] -= 1
                    continue
                numbers = (f"{value:.{_DIGITS}g}" for value in row.values)
                file.write(_line([row.file, row.formula, word, *numbers]))
                file.flush()
                bar.update()
                n += 1
    except (ChargeError, KeyboardInterrupt) as error:
        if not n:
            remove(unfinished)
            raise
        kept = f"{unfinished} keeps what is done: go on with --resume"
        raise type(error)(f"{error}; {kept}" if str(error) else kept) from None
    file.flush()
    return n


def _reason(error: Exception, name: str) -> str:
    """What went wrong with a file."""
    if isinstance(error, OSError):
        return f"{error.filename or name}: {error.strerror or error}"
    return str(error)


def _line(cells: Iterable[str]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()
