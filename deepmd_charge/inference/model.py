# SPDX-License-Identifier: LGPL-3.0-or-later
"""ChargeModel: the density of a structure from a trained model."""

import warnings
from functools import cached_property

import numpy as np

from ..density import Density
from ..errors import ChargeError
from ..grids import check_grid
from ..saed.adding import add, check_given
from ..saed.sources import matching
from ..sampling import GRID_TYPE
from ..species import species_of
from ..structures import seen_from
from .blocks import Blocks
from .engine import Engine, Unsupported
from .field import Field
from .frozen import read_model
from .graph import FrozenGraph
from .images import Images
from .parallel import available_cores, in_order
from .progress import progress_bar

__all__ = ["ChargeModel"]

# Scattered points for which a thread is worth its start.
_LEAST = 2048
# A; farther from the origin places are known to less than 1e-7 A.
_FARTHEST = 1e9


class ChargeModel:
    """A trained model of the electron density.

    Parameters
    ----------
    path : str
        Frozen model, as ``dp freeze`` writes it.
    n_threads : int, optional
        Cores to use, by default all that this process may use. The result
        is the same to the last bit for any number.

    Attributes
    ----------
    path : str
        The file.
    type_map : list of str
        Elements, and X for grid points.
    elements : list of str
        The elements of the training data.
    rcut : float
        How far a point sees, A: the cutoff radius, or the extent of atomic
        densities.
    info : dict
        What the model remembers of its training data: "elements", "valence",
        "grid_spacing" (A), "kind"; "saed" where a difference was learnt.

    Raises
    ------
    ChargeError
        If the file is missing, or is not a charge model, or `n_threads` is
        less than 1.
    """

    def __init__(self, path, n_threads=None):
        if n_threads is not None and n_threads < 1:
            raise ChargeError(f"n_threads {n_threads}: give a number of at least 1")
        self._n_threads = n_threads or available_cores()
        self._frozen = read_model(str(path))
        self.path = str(path)
        self.type_map = self._frozen.type_map
        self.rcut = self._frozen.reach
        self.info = self._frozen.info
        # an element of the type map without an atom in the data is not known
        self.elements = self.info.get("elements") or [
            name for name in self.type_map if name != GRID_TYPE
        ]

    @cached_property
    def _evaluator(self):
        """The engine, or for a model that it does not know the graph itself."""
        try:
            return Engine(self._frozen, self._n_threads)
        except Unsupported as reason:
            warnings.warn(
                f"{self.path}: its TensorFlow graph is used, which is many times slower than "
                f"compiled code: {reason}",
                stacklevel=5,  # through field, to the caller of predict or predict_points
            )
            return FrozenGraph(self._frozen, self._n_threads)

    def check(self, atoms, name="the structure"):
        """Refuse a structure that the model cannot evaluate.

        Parameters
        ----------
        atoms : ase.Atoms
            The structure.
        name : str
            What an error calls it, such as its file.

        Raises
        ------
        ChargeError
            If an element is unknown to the model, a position or cell vector
            is not a finite number, a position is absurdly far away, or the cell
            has no volume.
        """
        unknown = sorted(set(species_of(atoms)) - set(self.elements))
        if unknown:
            raise ChargeError(
                f"{name}: the model has not seen {', '.join(unknown)}, only "
                f"{', '.join(self.elements)} ({self.path}); train on densities that have them"
            )
        bad = _misplaced(atoms.positions)
        if len(bad):
            raise ChargeError(
                f"{name}: the position of atom {bad[0]}, {atoms.positions[bad[0]]}, is not "
                f"finite, or farther than {_FARTHEST:.0e} A away; correct it"
            )
        if not np.isfinite(atoms.cell.array).all():
            raise ChargeError(f"{name}: a cell vector is not finite; correct it")
        missing = ~atoms.cell.array.any(axis=1)
        if (atoms.pbc & missing).any() or np.linalg.matrix_rank(atoms.cell.complete().array) < 3:
            raise ChargeError(
                f"{name}: its cell has no volume, or it is periodic along an axis that has no "
                "cell vector; correct the cell, or the pbc"
            )

    def predict(
        self, atoms, grid, progress=False, saed=None, out=None, origin=(0.0, 0.0, 0.0)
    ):
        """Predict the total density on a whole grid.

        Parameters
        ----------
        atoms : ase.Atoms
            The structure; periodic along the axes of its own ``pbc``.
        grid : tuple of int
            (nx, ny, nz); the value at [i, j, k] belongs to
            origin + (i/nx) a + (j/ny) b + (k/nz) c.
        progress : bool
            Show a progress bar.
        saed : Density, optional
            The superposition of atomic densities on this grid, for a model that
            has learnt the difference to such files, and only for it.
        out : np.ndarray, optional
            (nx, ny, nz) float64 array to fill, such as a ``numpy.memmap``: the
            values of the result. Made in memory by default.
        origin : array_like, optional
            (3,) position of the grid's first point, A: of a density its ``origin``.

        Returns
        -------
        Density
            In e/A^3.

        Raises
        ------
        ChargeError
            If the grid is not three counts of at least 1 or `out` does not fit
            it, the origin is no point, the cell has no volume, the model cannot
            evaluate the structure (:meth:`check`), or a SAED is missing, needless
            or on another grid.

        Warns
        -----
        UserWarning
            If the structure looks unlike the training data.
        """
        check_given(self.path, self.info, saed)
        shape = check_grid(atoms, grid)
        if out is None:
            out = np.empty(shape)
        elif out.shape != shape or out.dtype != np.float64:
            raise ChargeError(f"out is {out.dtype} {out.shape}; give a float64 array {shape}")
        field = self.field(seen_from(atoms, origin))
        density = Density(atoms.copy(), out, origin)
        if saed is not None:
            matching(density, saed, "saed")
        field.warn_if_far(shape, stacklevel=3)
        # work for all threads, also where the grid is small
        share = -(-out.size // (4 * field.threads))
        blocks = Blocks(shape, min(field.block, max(share, _LEAST)))

        def fill(number):
            here = out[blocks.slices(number)]
            here[...] = blocks.values(number, atoms.cell.array, field)
            return here.size

        with progress_bar(blocks.size, show=progress) as bar:
            for n_points in in_order(fill, range(len(blocks)), field.threads):
                bar.update(n_points)
        if saed is not None:
            add(density, saed)
        return density

    def predict_points(self, atoms, points, progress=False, saed=None):
        """Predict the total density at given points.

        Parameters
        ----------
        atoms : ase.Atoms
            The structure, as for :meth:`predict`; a molecule needs no cell.
        points : array_like
            (n, 3) positions in A, anywhere.
        progress : bool
            Show a progress bar.
        saed : array_like, optional
            (n,) superposed atomic densities at the points, as for
            :meth:`predict`.

        Returns
        -------
        np.ndarray
            (n,) in e/A^3.

        Raises
        ------
        ChargeError
            If a point is not three finite numbers, the model cannot evaluate
            the structure (:meth:`check`), or a SAED is missing, needless or not a
            number for each point.

        Warns
        -----
        UserWarning
            If the structure looks unlike the training data.
        """
        check_given(self.path, self.info, saed)
        points = _points(points)
        saed = None if saed is None else _at_points(saed, len(points))
        field = self.field(atoms)
        field.warn_if_far(points, stacklevel=3)
        values = np.empty(len(points))
        share = -(-len(points) // (4 * field.threads))
        block = min(field.block, max(share, _LEAST))

        def fill(start):
            part = slice(start, start + block)
            values[part] = field(points[part])
            return len(values[part])

        with progress_bar(len(points), show=progress) as bar:
            for n_points in in_order(fill, range(0, len(points), block), field.threads):
                bar.update(n_points)
        return values if saed is None else values + saed

    def field(self, atoms):
        """Density around given atoms, ready to be evaluated piece by piece.

        A SAED that comes from files (``predict(saed=...)``) is not in it.

        Parameters
        ----------
        atoms : ase.Atoms
            The structure, as for :meth:`predict_points`.

        Returns
        -------
        Field

        Raises
        ------
        ChargeError
            If the model cannot evaluate the structure (:meth:`check`).
        """
        self.check(atoms)
        types = np.array([self.type_map.index(name) for name in species_of(atoms)], dtype=int)
        return Field(self._evaluator, atoms, Images(atoms, types, self.rcut))


def _points(points):
    """Points (n, 3), checked."""
    try:
        points = np.asarray(points, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ChargeError("points: give three coordinates (A) for each") from error
    if points.size and (points.ndim not in (1, 2) or points.shape[-1] != 3):
        raise ChargeError(f"points: give three coordinates (A) for each, (n, 3), not {points.shape}")
    points = points.reshape(-1, 3)
    bad = _misplaced(points)
    if len(bad):
        raise ChargeError(
            f"points: number {bad[0]}, {points[bad[0]]}, is not finite, or farther than"
            f" {_FARTHEST:.0e} A away; correct it"
        )
    return points


def _misplaced(positions):
    """Which positions (n, 3) are no places that float64 resolves."""
    with np.errstate(invalid="ignore"):
        return np.flatnonzero(~(np.abs(positions) <= _FARTHEST).all(axis=1))


def _at_points(saed, n_points):
    """Superposed densities (n,) at as many points, checked."""
    try:
        values = np.asarray(saed, dtype=np.float64)
    except (TypeError, ValueError):
        raise ChargeError(
            f"saed: {type(saed).__name__} is no array of numbers; give the value at each point"
        ) from None
    if values.shape != (n_points,):
        raise ChargeError(
            f"saed: an array {values.shape} for {n_points} points; give one value for each"
        )
    return values
