# SPDX-License-Identifier: LGPL-3.0-or-later
"""Where a superposition comes from: ``--saed SOURCE``.

=====================  ====================================================
``upf:FOLDER``         UPF pseudopotentials, in a folder or one file
``potcar:FILE``        a POTCAR with the elements
``fit``                radial functions fitted to the densities themselves
``FILE.npz``           a table that an earlier ``convert`` wrote
a density file         the superposition on the grid of the density, of the
                       same atoms
=====================  ====================================================
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ..atoms.compare import same_atoms
from ..atoms.free_atoms import AtomicDensity, superpose, wave_number
from ..errors import ChargeError
from ..grid.density import Density
from ..grid.grid import Grid
from ..io.frames import split_frames
from ..io.related import read_related
from ..model.info import FILE
from ..typing import Floats, Integers, PathLike
from .potcar import read_potcar
from .table import Cost, RadialTable, band_limited
from .upf import find_upf, read_upf

if TYPE_CHECKING:
    from ase import Atoms

# Of each element the files that tell its atomic density, and the function that reads it.
Readers: TypeAlias = Mapping[str, tuple[Sequence[PathLike], Callable[[], AtomicDensity]]]

FIT = "fit"


class AtomSource:
    r"""Tabulated atoms of pseudopotentials; elements are read when they are met.

    Parameters
    ----------
    kind : str
        "upf" or "potcar".
    path : str
        Folder or file.
    ecutrho : float or None
        Cutoff of \|G\|^2 in Ry; a POTCAR's whole table by default.
    """

    def __init__(self, kind: str, path: str, ecutrho: float | None) -> None:
        if ecutrho is not None and not (np.isfinite(ecutrho) and ecutrho > 0):
            raise ChargeError(f"ecutrho is {ecutrho:g}: give a positive number of Ry")
        if kind == "upf" and ecutrho is None:
            raise ChargeError(
                f"upf:{path}: the sphere of waves is needed too: give ecutrho of the run in Ry"
                " (--saed-ecutrho; Quantum ESPRESSO's is four times ecutwfc unless set)"
            )
        self._kind, self._path, self._ecutrho = kind, path, ecutrho
        self._densities: dict[str, AtomicDensity] = {}
        self._digests: dict[str, str] = {}
        self._available = _read_all(kind, path)
        self.table = RadialTable({}, kind, ecutrho=ecutrho)
        self.costs: dict[str, Cost] = {}

    def at(self, atoms: Atoms, grid: Grid, index: Integers) -> Floats:
        """Superposition at points of a grid, (n,) e/A^3, from the table."""
        self.tabulate(atoms.get_chemical_symbols())
        return self.table.evaluate(atoms, grid.points(index))

    def tabulate(self, elements: Iterable[str]) -> None:
        """Add elements to the table, those that it lacks."""
        for element in dict.fromkeys(elements):
            if element not in self.table.functions:
                atom = self._density(element)
                function, self.costs[element] = band_limited(atom, self._q_max(atom))
                self.table.functions[element] = function
                self.table.valence[element] = atom.valence

    def digests(self, elements: Iterable[str]) -> dict[str, str]:
        """Digests of the potentials of elements, those that there are."""
        for element in {*elements}.intersection(self._available) - {*self._digests}:
            total = hashlib.sha256()
            for file in self._available[element][0]:
                total.update(Path(file).read_bytes())
            self._digests[element] = total.hexdigest()
        return {e: self._digests[e] for e in sorted({*elements}) if e in self._digests}

    def electrons(self, atoms: Atoms) -> float:
        """Electrons of the superposition that :meth:`at` gives."""
        return self.table.total(atoms)

    def on_grid(self, atoms: Atoms, grid: Grid) -> Floats:
        """Superposition on a grid, summed in reciprocal space.

        Plane waves know no open axis: where there is one it comes from the table.
        """
        if not all(grid.pbc):
            return self.at(atoms, grid, np.arange(grid.size)).reshape(grid.shape)
        densities = {e: self._density(e) for e in dict.fromkeys(atoms.get_chemical_symbols())}
        q_max = min(map(self._q_max, densities.values()))
        return superpose(atoms, grid, densities, q_max)

    def _q_max(self, atom: AtomicDensity) -> float:
        return min(atom.q_max, np.inf if self._ecutrho is None else wave_number(self._ecutrho))

    def _density(self, element: str) -> AtomicDensity:
        if element not in self._densities:
            if element not in self._available:
                raise ChargeError(
                    f"{self._path}: has {', '.join(self._available)}, not {element};"
                    " give the potentials of the run"
                )
            self._densities[element] = self._available[element][1]()
        return self._densities[element]


class TableSource:
    """A table that is there already."""

    def __init__(self, table: RadialTable) -> None:
        self.table = table
        self.costs: dict[str, Cost] = {}

    def at(self, atoms: Atoms, grid: Grid, index: Integers) -> Floats:
        """Superposition at points of a grid, (n,) e/A^3."""
        return self.table.evaluate(atoms, grid.points(index))

    def electrons(self, atoms: Atoms) -> float:
        """Electrons of the superposition."""
        return self.table.total(atoms)

    def on_grid(self, atoms: Atoms, grid: Grid) -> Floats:
        """Superposition on a grid, in real space."""
        return self.table.evaluate(atoms, grid.points()).reshape(grid.shape)


class FileSource:
    """A density file that holds the superposition itself.

    Parameters
    ----------
    path : str
    species : sequence of str, optional
        See :func:`.open_source`.
    """

    def __init__(self, path: str, species: Sequence[str] | None = None) -> None:
        self._path = path
        self._density = read_related(path, species)
        self.table = RadialTable({}, FILE)
        self.costs: dict[str, Cost] = {}

    def at(self, atoms: Atoms, grid: Grid, index: Integers) -> Floats:
        """Superposition at points of a grid, (n,) e/A^3.

        Raises
        ------
        ChargeError
            If grids, cells or atoms differ.
        """
        values = matching(atoms, grid, self._density, self._path)
        return values[np.unravel_index(index, values.shape)]

    def electrons(self, atoms: Atoms) -> float:
        """Electrons of the file."""
        return self._density.n_electrons

    def on_grid(self, atoms: Atoms, grid: Grid) -> Floats:
        """The values of the file, whose own grid and atoms these must be."""
        return matching(atoms, grid, self._density, self._path)


Source: TypeAlias = AtomSource | TableSource | FileSource


def matching(atoms: Atoms, grid: Grid, saed: object, name: PathLike) -> Floats:
    """Values of a superposition that belongs to a structure, on a grid.

    Parameters
    ----------
    atoms : ase.Atoms
    grid : Grid
    saed : Density
    name : str
        Of the superposition, for complaints.

    Returns
    -------
    np.ndarray

    Raises
    ------
    ChargeError
        If it is no density, or grids, cells or atoms differ.
    """
    if not isinstance(saed, Density):
        raise ChargeError(f"{name}: give a Density on the grid, not {type(saed).__name__}")
    try:
        grid.check_same(saed.grid)
    except ChargeError as error:
        raise ChargeError(
            f"{name}: {error}; give the superposition on the grid of the density"
            " (predict takes its grid where no other is asked for)"
        ) from None
    if not same_atoms(atoms, saed.atoms):
        raise ChargeError(f"{name}: the superposition of other atoms; give that of these")
    return saed.values


def is_density_file(source: PathLike | RadialTable) -> bool:
    """Whether a SOURCE is a density file, of which each density has its own."""
    if isinstance(source, RadialTable):
        return False
    source = os.fspath(source)
    kind, colon, _ = source.partition(":")
    return source != FIT and not source.endswith(".npz") and not (kind in _READERS and colon)


def beside(path: PathLike, source: PathLike) -> Path:
    """Find the superposition of atomic densities that belongs to a density.

    Parameters
    ----------
    path : str or os.PathLike
        The density.
    source : str or os.PathLike
        A file; looked for beside the density first.

    Returns
    -------
    Path

    Raises
    ------
    ChargeError
        If one of them is missing, or they are the same file.
    """
    if not _file_of(path).exists():
        raise ChargeError(f"{path}: no such file")
    near = Path(path).parent / source
    found = near if _file_of(near).exists() else Path(source)
    if not _file_of(found).exists():
        raise ChargeError(f"{found}: no such file, nor {near}; give the SAED of {path}")
    if _file_of(found).samefile(_file_of(path)):
        raise ChargeError(f"{found}: the density itself; give that of the superposed atoms")
    return found


def _file_of(path: PathLike) -> Path:
    """A file, without the frame that is meant."""
    return Path(split_frames(path)[0])


def open_source(
    source: PathLike | RadialTable,
    ecutrho: float | None = None,
    species: Sequence[str] | None = None,
) -> Source:
    r"""Open a SOURCE of superposed atomic densities.

    Parameters
    ----------
    source : str, os.PathLike, RadialTable
        See the module.
    ecutrho : float, optional
        Cutoff of \|G\|^2 in Ry; needed for UPF files.
    species : sequence of str, optional
        Names of the types in a density file that tells no elements (VASP 4).

    Returns
    -------
    AtomSource, TableSource or FileSource

    Raises
    ------
    ChargeError
        If there is no such source, or it is "fit".
    """
    if isinstance(source, RadialTable):
        return TableSource(source)
    source = os.fspath(source)
    kind, colon, path = source.partition(":")
    if kind in _READERS and colon:
        if not path:
            raise ChargeError(f"{source} names no potentials: give {source}PATH of the run's")
        return AtomSource(kind, path, ecutrho)
    if ecutrho is not None:
        raise ChargeError(f"{source}: ecutrho is for upf: and potcar: only; leave it out")
    if source == FIT:
        raise ChargeError(
            "fit: needs all the densities to fit to: run `deepmd-charge convert --saed fit`, or fit"
            " with deepmd_charge.saed.RadialFit and save its table(), and give that saed.npz"
        )
    if source.endswith(".npz"):
        table = RadialTable.load(source)
        if not table.functions:
            raise ChargeError(f"{source}: made from density files, it holds no table; give those")
        return TableSource(table)
    return FileSource(source, species)


def _read_all(kind: str, path: str) -> Readers:
    """Functions that read the atomic density of each element."""
    if not os.path.exists(path):
        raise ChargeError(
            f"{path}: no such file or folder; give {kind}:PATH of the run's potentials"
        )
    return _READERS[kind](path)


def _upf(path: str) -> Readers:
    def reader(element: str, files: list[Path]) -> Callable[[], AtomicDensity]:
        def read() -> AtomicDensity:
            if len(files) > 1:
                raise ChargeError(
                    f"{path}: {len(files)} files for {element} ({files[0].name}, {files[1].name});"
                    " give a folder with those of the run only"
                )
            return read_upf(files[0])

        return read

    return {e: (files, reader(e, files)) for e, files in find_upf(path).items()}


def _potcar(path: str) -> Readers:
    densities = read_potcar(path)
    return {e: ([path], partial(densities.__getitem__, e)) for e in densities}


_READERS = {"upf": _upf, "potcar": _potcar}
