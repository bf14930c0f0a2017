# SPDX-License-Identifier: LGPL-3.0-or-later
"""ChargeModel: the density of a structure from a trained model."""

import operator
import sys
import warnings
from functools import cached_property

import numpy as np

from ..dataset import GRID_TYPE
from ..density import Density
from ..errors import ChargeError
from .engine import Engine, Unsupported
from .frozen import read_model
from .graph import FrozenGraph
from .images import Images, place
from .parallel import available_cores, in_order

__all__ = ["ChargeModel"]

# Points for which a thread is worth its start.
_LEAST = 2048
# Points that are compared with the training data before a prediction.
_PROBES = 512
# Novelty (see FrozenGraph) beyond which a point counts as extrapolated.
_FAR = 0.1


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
    type_map : list of str
        Elements, and X for grid points.
    elements : list of str
        The elements of the training data.
    rcut : float
        Cutoff radius in A.
    info : dict
        What the model remembers of its training data: "elements", "valence",
        "grid_spacing" (A), "kind".

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
        self.rcut = self._frozen.rcut
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
        except Unsupported:
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
            is not a finite number, or the cell has no volume.
        """
        unknown = sorted(set(atoms.get_chemical_symbols()) - set(self.elements))
        if unknown:
            raise ChargeError(
                f"{name}: the model has not seen {', '.join(unknown)}, only "
                f"{', '.join(self.elements)} ({self.path}); train on densities that have them"
            )
        bad = np.flatnonzero(~np.isfinite(atoms.positions).all(axis=1))
        if len(bad):
            raise ChargeError(
                f"{name}: the position of atom {bad[0]}, {atoms.positions[bad[0]]}, is not "
                "finite; correct it"
            )
        if not np.isfinite(atoms.cell.array).all():
            raise ChargeError(f"{name}: a cell vector is not finite; correct it")
        missing = ~atoms.cell.array.any(axis=1)
        if (atoms.pbc & missing).any() or np.linalg.matrix_rank(atoms.cell.complete().array) < 3:
            raise ChargeError(
                f"{name}: its cell has no volume, or it is periodic along an axis that has no "
                "cell vector; correct the cell, or the pbc"
            )

    def predict(self, atoms, grid, progress=False):
        """Predict the total density on a whole grid.

        Parameters
        ----------
        atoms : ase.Atoms
            The structure; periodic along the axes of its own ``pbc``.
        grid : tuple of int
            (nx, ny, nz); the value at [i, j, k] belongs to
            (i/nx) a + (j/ny) b + (k/nz) c.
        progress : bool
            Show a progress bar.

        Returns
        -------
        Density
            In e/A^3.

        Raises
        ------
        ChargeError
            If the grid is not three counts of at least 1, the cell has no
            volume, or the model cannot evaluate the structure (:meth:`check`).

        Warns
        -----
        UserWarning
            If the structure looks unlike the training data.
        """
        shape = _shape(grid)
        self.check(atoms)
        if atoms.cell.rank < 3:
            raise ChargeError("the structure has no cell of three vectors; add one")
        cell = atoms.cell.array

        def points_of(index):
            ijk = np.stack(np.unravel_index(index, shape), axis=1)
            return place(ijk / shape, cell)

        images = self._images(atoms)
        size = int(np.prod(shape))
        self._warn_if_far(images, points_of, size)
        values = self._in_blocks(images, points_of, size, progress)
        return Density(atoms.copy(), values.reshape(shape))

    def predict_points(self, atoms, points, progress=False):
        """Predict the total density at given points.

        Parameters
        ----------
        atoms : ase.Atoms
            The structure, as for :meth:`predict`; a molecule needs no cell.
        points : array_like
            (n, 3) positions in A, anywhere.
        progress : bool
            Show a progress bar.

        Returns
        -------
        np.ndarray
            (n,) in e/A^3.

        Raises
        ------
        ChargeError
            If a point is not three finite numbers, or the model cannot
            evaluate the structure (:meth:`check`).
        """
        try:
            points = np.asarray(points, dtype=np.float64).reshape(-1, 3)
        except (TypeError, ValueError) as error:
            raise ChargeError("points: give three coordinates (A) for each") from error
        bad = np.flatnonzero(~np.isfinite(points).all(axis=1))
        if len(bad):
            raise ChargeError(
                f"points: number {bad[0]}, {points[bad[0]]}, is not finite; correct it"
            )
        self.check(atoms)
        images = self._images(atoms)
        self._warn_if_far(images, points.__getitem__, len(points))
        return self._in_blocks(images, points.__getitem__, len(points), progress)

    def _images(self, atoms):
        types = np.array(
            [self.type_map.index(s) for s in atoms.get_chemical_symbols()], dtype=int
        )
        return Images(atoms, types, self._frozen.reach)

    def _in_blocks(self, images, points_of, size, progress):
        from tqdm import tqdm

        evaluator = self._evaluator
        values = np.empty(size)
        # work for all threads, also where there are few points
        share = -(-size // (4 * evaluator.threads))
        block = min(evaluator.block, max(share, _LEAST))

        def evaluate(start):
            index = np.arange(start, min(start + block, size))
            return index, evaluator.density(images, images.wrap(points_of(index)))

        bar = tqdm(
            total=size,
            unit="pts",
            unit_scale=True,
            disable=not progress,
            # a log file of a queue gets a line now and then
            mininterval=0.5 if sys.stderr.isatty() else 20.0,
        )
        with bar:
            for index, found in in_order(evaluate, range(0, size, block), evaluator.threads):
                values[index] = found
                bar.update(len(index))
        return values

    def _warn_if_far(self, images, points_of, size):
        probes = np.random.default_rng(0).choice(size, min(size, _PROBES), replace=False)
        if not len(probes):
            return
        points = images.wrap(points_of(probes))
        far = np.mean(self._evaluator.novelty(images, points) > _FAR)
        if far > 0.01:
            warnings.warn(
                f"{100 * far:.0f}% of the points have surroundings unlike the training "
                "data; do not trust the density there, or train on such structures",
                stacklevel=3,
            )


def _shape(grid):
    """Three numbers of points, checked."""
    try:
        shape = tuple(operator.index(n) for n in grid)
        if len(shape) == 3 and min(shape) >= 1:
            return shape
    except TypeError:
        pass
    raise ChargeError(f"grid {grid!r}: give three counts of at least 1")
