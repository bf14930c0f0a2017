# SPDX-License-Identifier: LGPL-3.0-or-later
"""The superposed atomic densities of several densities, out of one SOURCE."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

from ..atoms.species import GRID_TYPE, element_of
from ..errors import ChargeError
from ..grid.density import Density
from ..io.identity import identity
from ..saed.fit import RadialFit
from ..saed.sources import FIT, AtomSource, Source, beside, is_density_file, open_source
from ..saed.table import Cost, RadialTable
from ..typing import PathLike

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["Superpositions"]

Reader: TypeAlias = Callable[[str], Iterator[tuple[str, Density]]]


class Superpositions:
    """Where the superposed atomic densities of each of several files come from.

    Parameters
    ----------
    source : str, os.PathLike or RadialTable
        See :mod:`deepmd_charge.saed.sources`.
    ecutrho : float or None
        Ry.
    files : list of str
        All files.
    read : callable
        Iterates over the names and densities of one of them.
    species : list of str or None
        Names of the types in superpositions that tell no elements.
    progress : bool
        Show a progress bar of the fit, if there is one.

    Attributes
    ----------
    electrons : list of tuple
        Name, electrons of the superposition and of the density, of each density so far.

    Raises
    ------
    ChargeError
        If the source is missing or damaged, or a file has no superposition of its own.
    """

    def __init__(
        self,
        source: PathLike | RadialTable,
        ecutrho: float | None,
        files: Iterable[str],
        read: Reader,
        species: Sequence[str] | None = None,
        progress: bool = False,
    ) -> None:
        if not source:
            raise ChargeError("--saed: the SOURCE is empty; name one, or leave --saed out")
        self.electrons: list[tuple[str, float, float]] = []
        self._ecutrho, self._species = ecutrho, species
        self._opened: Source | None = None
        self._per_file: PathLike | None = None  # where each density has its own
        if not isinstance(source, RadialTable) and is_density_file(source):
            self._per_file = source
            for path in files:
                beside(path, source)
        elif source == FIT and ecutrho is None:
            self._opened = open_source(_fit_table(files, read, progress))
        else:
            self._opened = open_source(source, ecutrho)

    @property
    def _current(self) -> Source:
        if self._opened is None:
            raise ChargeError(
                f"--saed {self._per_file}: no density to go with it; give density files"
            )
        return self._opened

    @property
    def table(self) -> RadialTable:
        """RadialTable: With the elements of the files so far; without any for density files."""
        return self._current.table

    @property
    def costs(self) -> dict[str, Cost]:
        """dict: What the table costs in accuracy, of each element, where that is known."""
        return self._current.costs

    def of(self, path: str) -> Source:
        """Return the open source for a density file."""
        if self._per_file is not None:
            found = beside(path, self._per_file)
            self._opened = open_source(found, self._ecutrho, self._species)
        return self._current

    def identity(self, path: str, types: Iterable[str]) -> Any:
        """What tells that the superposition of a density with atoms of these types is the same.

        Parameters
        ----------
        path : str
            The density.
        types : iterable of str
            Names of the types of its atoms, and of its grid points.

        Returns
        -------
        list, dict or None
            In JSON's types: the density file of its own, or digests of the potentials by their
            elements; None of a table, which is the same for all densities of a run.
        """
        if self._per_file is not None:
            return identity(beside(path, self._per_file))
        if isinstance(self._opened, AtomSource):
            return self._opened.digests(_elements(types))
        return None

    def count(self, name: str, atoms: Atoms, n_electrons: float) -> None:
        """Note the electrons of the superposition, and of its density."""
        self.electrons.append((name, self._current.electrons(atoms), n_electrons))

    def recall(
        self, name: str, types: Sequence[str], superposed: float, n_electrons: float
    ) -> None:
        """Note what an earlier run has counted of a density with atoms of these types."""
        if self._opened is None:
            self.of(name)
        if isinstance(self._opened, AtomSource):
            self._opened.tabulate(_elements(types))
        self.electrons.append((name, superposed, n_electrons))


def _elements(types: Iterable[str]) -> list[str]:
    """The elements of types, grid points left out."""
    found = (element_of(name) for name in types if name != GRID_TYPE)
    return [element for element in found if element]


def _fit_table(files: Iterable[str], read: Reader, progress: bool) -> RadialTable:
    """Fit radial functions to all densities."""
    from tqdm import tqdm

    fit = RadialFit(seed=0)
    with tqdm(files, desc="fit", unit="file", delay=1e-6, disable=not progress) as bar:
        for _, density in (found for path in bar for found in read(path)):
            fit.add(density)
    return fit.table()
