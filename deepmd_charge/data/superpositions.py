# SPDX-License-Identifier: LGPL-3.0-or-later
"""The superposed atomic densities of several densities, out of one SOURCE."""

from ..errors import ChargeError
from ..saed.sources import FIT, beside, is_density_file, open_source

__all__ = ["Superpositions"]


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

    def __init__(self, source, ecutrho, files, read, species=None, progress=False):
        if not source:
            raise ChargeError("--saed: the SOURCE is empty; name one, or leave --saed out")
        self.electrons = []
        self._per_file = is_density_file(source)
        self._source, self._ecutrho, self._species = source, ecutrho, species
        if self._per_file:
            self._opened = None
            for path in files:
                beside(path, self._source)
        elif source == FIT and ecutrho is None:
            self._opened = open_source(_fit_table(files, read, progress))
        else:
            self._opened = open_source(source, ecutrho)

    @property
    def table(self):
        """RadialTable: With the elements of the files so far; without any for density files."""
        return self._opened.table

    @property
    def costs(self):
        """dict: What the table costs in accuracy, of each element, where that is known."""
        return self._opened.costs

    def of(self, path):
        """Return the open source for a density file."""
        if self._per_file:
            found = beside(path, self._source)
            self._opened = open_source(found, self._ecutrho, self._species)
        return self._opened

    def count(self, name, atoms, n_electrons):
        """Note the electrons of the superposition, and of its density."""
        self.electrons.append((name, self._opened.electrons(atoms), n_electrons))


def _fit_table(files, read, progress):
    """Fit radial functions to all densities."""
    from tqdm import tqdm

    from ..saed import RadialFit

    fit = RadialFit(seed=0)
    for path in tqdm(files, desc="fit", unit="file", delay=1e-6, disable=not progress):
        for _, density in read(path):
            fit.add(density)
    return fit.table()
