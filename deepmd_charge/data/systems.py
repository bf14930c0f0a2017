# SPDX-License-Identifier: LGPL-3.0-or-later
"""From density files to DP systems in a folder."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ..atoms.species import GRID_TYPE, species_of
from ..errors import ChargeError
from ..grid.density import Density
from ..io import LEARN, check_readable, iterate_densities
from ..io.identity import identity
from ..io.output import check_new_folder, replacing_folder
from ..saed.sources import FIT
from ..saed.table import RadialTable
from ..typing import PathLike
from .gathered import GatheredWarnings
from .pieces import Piece, Pieces
from .sampling import N_POINTS, POINTS_PER_FRAME, entropy_of, filled_up, generator_at, given_share
from .superpositions import Reader, Superpositions
from .writing import Written, hill_formula, write_mixed_system, write_system

if TYPE_CHECKING:
    from dpdata import System

__all__ = ["TABLE", "Conversion", "convert"]

TABLE = "saed.npz"  # beside the systems; input.json names it (model.saed)


@dataclass
class Conversion:
    """What :func:`convert` has written.

    Attributes
    ----------
    output : Path
        The folder.
    written : list of Written
        The systems, one for each composition in order of appearance, or one of mixed types.
    notes : dict of str to list of str
        Names of densities by what was found out of them that their format does not say, or
        what their frames are filled up with.
    superpositions : Superpositions or None
        What was noted beside the densities.
    """

    output: Path
    written: list[Written] = field(default_factory=list)
    notes: dict[str, list[str]] = field(default_factory=dict)
    superpositions: Superpositions | None = None

    @cached_property
    def systems(self) -> list[System]:
        """A dpdata.System for each composition in the folder, read when they are asked for."""
        from dpdata import MultiSystems, System

        if len(self.written) == 1 and self.written[0].n_compositions > 1:
            mixed = MultiSystems()
            mixed.load_systems_from_file(str(self.output), fmt="deepmd/npy/mixed", labeled=False)
            return [*mixed]
        return [System(str(one.folder), fmt="deepmd/npy") for one in self.written]

    def folder(self, system: System) -> Path:
        """Path of a system: the output itself where it is the only one, or named by its formula."""
        if len(self.written) == 1:
            return self.output
        names = np.array(system["atom_names"])[system["atom_types"]]
        return self.output / hill_formula([name for name in names if name != GRID_TYPE])


def convert(
    files: Sequence[str],
    output: PathLike,
    n_points: int = N_POINTS,
    points_per_frame: int = POINTS_PER_FRAME,
    seed: int | np.random.Generator | None = None,
    saed: PathLike | RadialTable | None = None,
    saed_ecutrho: float | None = None,
    quantity: str = "total",
    by_gradient: float | str | None = None,
    progress: bool = False,
    *,
    format: str | None = None,
    species: Sequence[str] | None = None,
    check: bool = True,
    pbc: Sequence[bool] | None = None,
    unit: str | Sequence[str] | None = None,
    holds: str | None = None,
    mixed_type: bool = False,
    resume: bool = False,
) -> Conversion:
    r"""Draw grid points from densities and write them as DP systems for ``dp train``.

    Densities of one composition go in one system (``deepmd/npy``, one set, float64). Those of
    a file that is done are kept on disk until all are (``.OUTPUT.partial``), so that a run
    that ended early can be gone on with.

    Parameters
    ----------
    files : list of str
        Density files; each may hold several: "CHG", "CHG@::10".
    output : str or os.PathLike
        Folder to make, or an empty one. It is filled when all systems are complete.
    n_points, points_per_frame, by_gradient
        For each density; see :func:`deepmd_charge.data.sampling.sample_frames`.
    seed : int or numpy.random.Generator, optional
        A number gives the same points every time; by default they differ. Each density has
        random numbers of its own, by its place among all.
    saed : str, os.PathLike or RadialTable, optional
        Superposed atomic densities to note beside the densities; see
        :mod:`deepmd_charge.saed.sources`. Their table goes to ``saed.npz`` in the folder.
    saed_ecutrho : float, optional
        Cutoff of \|G\|^2 of the run in Ry; needed for UPF files.
    quantity : str, optional
        What to learn of a density with spin; see :mod:`deepmd_charge.grid.quantity`.
    progress : bool, optional
        Show a progress bar.
    format, species, check, pbc, unit, holds
        See :func:`deepmd_charge.read_density`; what is doubtful is refused, unless
        `check` is false.
    mixed_type : bool, optional
        Write one system with all compositions (``deepmd/npy/mixed``), frames in random order.
    resume : bool, optional
        Go on with a run with the same arguments that ended early, if there is one. Files that
        were read otherwise (`format` to `holds`) or have changed are read again.

    Returns
    -------
    Conversion

    Raises
    ------
    ChargeError
        If a file cannot be read or is not to be learnt from, the folder is not empty or
        cannot be written, or `saed` is missing or does not fit; if there is an unfinished
        run, but `resume` is false or it is another one. Nothing is written then.

    Warns
    -----
    UserWarning
        Of what was odd in files: of each kind once, with the number of files.
    """
    from tqdm import tqdm

    check_new_folder(output)
    check_readable(files, format)
    if saed is None and saed_ecutrho is not None:
        raise ChargeError("--saed-ecutrho: there is no --saed; add it (upf:... or potcar:...)")
    reading: dict[str, Any] = {
        "format": format,
        "species": species,
        "check": check and LEARN,
        "pbc": pbc,
        "unit": unit,
        "holds": holds,
    }
    read: Reader = partial(iterate_densities, **reading)
    draw = {
        "n_points": n_points,
        "points_per_frame": points_per_frame,
        "quantity": quantity,
        "by_gradient": given_share(by_gradient),
    }
    how = {name: _listed(value) for name, value in reading.items()}
    settings = {
        **draw,
        "seed": seed if isinstance(seed, int) else None,
        "saed": str(saed.source if isinstance(saed, RadialTable) else saed),
        "saed_ecutrho": saed_ecutrho,
        **({"table of saed": table.digest()} if (table := _table(saed)) else {}),
        # what all files are fitted to, read so
        **({**how, "files": [identity(file, format) for file in files]} if saed == FIT else {}),
    }
    gathered = GatheredWarnings()
    with gathered, Pieces(output, list(files), settings, how, entropy_of(seed), resume) as pieces:
        superpositions = None
        if saed is not None:
            fitted = pieces.folder / TABLE
            known = RadialTable.load(fitted) if saed == FIT and fitted.exists() else saed
            ecutrho = saed_ecutrho
            superpositions = Superpositions(known, ecutrho, files, read, species, progress)
            if saed == FIT and known is saed:
                superpositions.table.save(fitted)
        # a delay, however short: no bar before the first file is done
        bar = tqdm(desc="convert", unit="file", delay=1e-6, disable=not progress, total=len(files))
        n_densities = 0
        with bar:
            for place, file in enumerate(files):
                found = pieces.get(place, n_densities)
                if found is not None and superpositions:
                    found = found if _are_noted(found.pieces, superpositions) else None
                if found is not None:
                    gathered.recall(found.warnings)
                    for piece in found.pieces:
                        if superpositions and piece.superposed:
                            superpositions.recall(piece.name, piece.types, *piece.superposed)
                else:
                    with gathered.of_file(file) as warned:
                        numbered = enumerate(read(file), n_densities)
                        frames = _frames(numbered, pieces.entropy, superpositions, draw)
                        found = pieces.put(place, n_densities, frames, warned)
                n_densities += len(found.pieces)
                bar.update()
        done = Conversion(Path(output), superpositions=superpositions)
        for piece in pieces.all():
            for text in filter(None, (piece.notes, piece.filled)):
                done.notes.setdefault(text, []).append(piece.name)
        order = generator_at(pieces.entropy, n_densities)
        _write(done, pieces.all(), order if mixed_type else None)
    return done


def _table(saed: PathLike | RadialTable | None) -> RadialTable | None:
    """The table that a SOURCE is."""
    if saed is None or isinstance(saed, RadialTable):
        return saed
    return RadialTable.load(saed) if os.fspath(saed).endswith(".npz") else None


def _are_noted(pieces: Iterable[Piece], superpositions: Superpositions) -> bool:
    """Whether what is noted beside densities are these superpositions, and no earlier ones."""
    return all(
        piece.superposition == superpositions.identity(piece.name, piece.types) for piece in pieces
    )


def _listed(value: Any) -> Any:
    """A value in JSON's types."""
    return (
        value if isinstance(value, (str, bool, int, float, type(None))) else [*map(_listed, value)]
    )


def _frames(
    densities: Iterable[tuple[int, tuple[str, Density]]],
    entropy: int,
    superpositions: Superpositions | None,
    draw: dict[str, Any],
) -> Iterator[tuple[Piece, dict[str, NDArray[Any]]]]:
    """Draw the frames of numbered densities, and tell what is known of them."""
    from dpdata import System

    from .dpdata_plugin import DATA_TYPES, system_data

    columns = {"coords": "coord", "cells": "box", **{t.name: t.name for t in DATA_TYPES}}
    for number, (name, density) in densities:
        superposition = None
        if superpositions:  # before it is read, lest it change in between
            superposition = superpositions.identity(name, species_of(density.atoms))
        source = superpositions.of(name) if superpositions else None
        generator = generator_at(entropy, number)
        data = system_data(density, path=name, saed=source, seed=generator, **draw)
        system = System(data=data)
        system.rot_lower_triangular()
        names, n_frames = system["atom_names"], len(system)
        piece = Piece(
            name=name,
            path="",
            types=[names[t] for t in system["atom_types"]],
            names=list(names),
            n_frames=n_frames,
            is_open=not density.atoms.pbc.any(),
            notes="; ".join(density.extra.get("notes", [])),
            filled=filled_up(draw["n_points"], draw["points_per_frame"], density.values.size),
            superposition=superposition,
        )
        if superpositions:
            superpositions.count(name, density.atoms, data["n_electrons"][0])
            piece.superposed = superpositions.electrons[-1][1:]
        arrays = {
            columns[key]: np.reshape(system.data[key], (n_frames, -1))
            for key in columns
            if key in system.data
        }
        yield piece, arrays


def _write(done: Conversion, pieces: list[Piece], order: np.random.Generator | None) -> None:
    """Write DP systems, of mixed types where there is an order, and the table of a SAED."""
    with replacing_folder(done.output) as temporary:
        if order is not None:
            found = [write_mixed_system(temporary, pieces, order)]
        else:
            found = [write_system(*of_system) for of_system in _by_composition(temporary, pieces)]
        if done.superpositions:
            temporary.mkdir(exist_ok=True)
            done.superpositions.table.save(temporary / TABLE)
    for one in found:
        one.folder = done.output / one.folder.relative_to(temporary)
    done.written = found


def _by_composition(folder: Path, pieces: list[Piece]) -> list[tuple[Path, list[Piece]]]:
    """Densities of each composition, and where they go."""
    groups: dict[tuple[tuple[str, int], ...], list[Piece]] = {}
    for piece in pieces:
        groups.setdefault(piece.composition, []).append(piece)
    if len(groups) == 1:
        return [(folder, pieces)]
    return [
        (folder / hill_formula([name for name in group[0].types if name != GRID_TYPE]), group)
        for group in groups.values()
    ]
