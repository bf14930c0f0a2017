# SPDX-License-Identifier: LGPL-3.0-or-later
"""ChargeModel: the density of a structure from a trained model."""

import sys
import warnings

import numpy as np

from ..density import Density
from ..errors import ChargeError
from ..saed.adding import add, check_given
from ..sampling import GRID_TYPE
from ..species import species_of
from .graph import FrozenGraph
from .images import Images

__all__ = ["ChargeModel"]

# Points in one evaluation: enough to keep the cores busy, little memory.
_BLOCK = 4096
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
        "grid_spacing" (A), "kind", and "saed" ("source", "ecutrho" in Ry,
        "valence") where the difference to superposed atomic densities was learnt.

    Raises
    ------
    ChargeError
        If the file is missing, or is not a charge model.
    """

    def __init__(self, path):
        self._graph = FrozenGraph(str(path))
        self.path = str(path)
        self.type_map = self._graph.type_map
        self.rcut = self._graph.rcut
        self.info = self._graph.info
        # an element of the type map without an atom in the data is not known
        self.elements = self.info.get("elements") or [
            name for name in self.type_map if name != GRID_TYPE
        ]

    def predict(self, atoms, grid, progress=False, saed=None):
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
        saed : Density, optional
            The superposition of atomic densities on this grid, for a model that
            has learnt the difference to such files, and only for it.

        Returns
        -------
        Density
            In e/A^3.

        Raises
        ------
        ChargeError
            If the grid is empty, the cell has no volume, an element is unknown
            to the model, or a SAED is missing, needless or on another grid.

        Warns
        -----
        UserWarning
            If the structure looks unlike the training data.
        """
        check_given(self.path, self.info, saed)
        shape = tuple(int(n) for n in grid)
        if len(shape) != 3 or min(shape) < 1:
            raise ChargeError(f"grid {shape}: give three counts of at least 1")
        if atoms.cell.rank < 3:
            raise ChargeError("the structure has no cell of three vectors; add one")
        cell = atoms.cell.array

        def points_of(index):
            ijk = np.stack(np.unravel_index(index, shape), axis=1)
            return (ijk / shape) @ cell

        images = self._images(atoms)
        size = int(np.prod(shape))
        self._warn_if_far(images, points_of, size)
        values = self._in_blocks(images, points_of, size, progress)
        density = Density(atoms.copy(), values.reshape(shape))
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
            If an element is unknown to the model, or a SAED missing or needless.
        """
        check_given(self.path, self.info, saed)
        points = np.asarray(points, dtype=np.float64).reshape(-1, 3)
        images = self._images(atoms)
        self._warn_if_far(images, points.__getitem__, len(points))
        values = self._in_blocks(images, points.__getitem__, len(points), progress)
        return values if saed is None else values + np.asarray(saed, dtype=np.float64)

    def _images(self, atoms):
        species = species_of(atoms)
        unknown = sorted(set(species) - set(self.elements))
        if unknown:
            raise ChargeError(
                f"{self.path}: the model has not seen {', '.join(unknown)}, only "
                f"{', '.join(self.elements)}; train on densities that have them"
            )
        types = np.array([self.type_map.index(name) for name in species], dtype=int)
        return Images(atoms, types, self.rcut)

    def _in_blocks(self, images, points_of, size, progress):
        from tqdm import tqdm

        values = np.empty(size)
        bar = tqdm(
            total=size,
            unit="pts",
            unit_scale=True,
            disable=not progress,
            # a log file of a queue gets a line now and then
            mininterval=0.5 if sys.stderr.isatty() else 20.0,
        )
        with bar:
            for start in range(0, size, _BLOCK):
                index = np.arange(start, min(start + _BLOCK, size))
                points = images.wrap(points_of(index))
                values[index] = self._graph.density(*images.around(points), points)
                bar.update(len(index))
        return values

    def _warn_if_far(self, images, points_of, size):
        probes = np.random.default_rng(0).choice(size, min(size, _PROBES), replace=False)
        if not len(probes):
            return
        points = images.wrap(points_of(probes))
        far = np.mean(self._graph.novelty(*images.around(points), points) > _FAR)
        if far > 0.01:
            warnings.warn(
                f"{100 * far:.0f}% of the points have surroundings unlike the training "
                "data; do not trust the density there, or train on such structures",
                stacklevel=3,
            )
