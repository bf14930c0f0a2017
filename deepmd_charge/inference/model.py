# SPDX-License-Identifier: LGPL-3.0-or-later
"""ChargeModel: the density of a structure from a trained model."""

import warnings

import numpy as np

from ..density import Density
from ..errors import ChargeError
from ..saed.adding import add, check_given
from ..sampling import GRID_TYPE
from ..species import species_of
from .blocks import Blocks, grid_points
from .graph import FrozenGraph
from .images import Images
from .parallel import in_order
from .progress import progress_bar

__all__ = ["ChargeModel", "Field"]

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
        Cores to use; all that the process may use by default.

    Attributes
    ----------
    path : str
        The file.
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

    def __init__(self, path, n_threads=None):
        self._graph = FrozenGraph(str(path), n_threads)
        self.path = str(path)
        self.type_map = self._graph.type_map
        self.rcut = self._graph.rcut
        self.info = self._graph.info
        # an element of the type map without an atom in the data is not known
        self.elements = self.info.get("elements") or [
            name for name in self.type_map if name != GRID_TYPE
        ]

    def predict(self, atoms, grid, progress=False, saed=None, out=None):
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
        out : np.ndarray, optional
            (nx, ny, nz) float64 array to fill, such as a ``numpy.memmap``: the
            values of the result. Made in memory by default.

        Returns
        -------
        Density
            In e/A^3.

        Raises
        ------
        ChargeError
            If the grid is empty or `out` does not fit it, the cell has no
            volume, or an element is unknown to the model.

        Warns
        -----
        UserWarning
            If the structure looks unlike the training data.
        """
        shape = check_grid(atoms, grid)
        if out is None:
            out = np.empty(shape)
        elif out.shape != shape or out.dtype != np.float64:
            raise ChargeError(f"out is {out.dtype} {out.shape}; give a float64 array {shape}")
        field = self.field(atoms)
        field.warn_if_far(shape, stacklevel=3)
        blocks = Blocks(shape, field.block)

        def fill(number):
            here = out[blocks.slices(number)]
            here[...] = field.on_block(blocks, number)
            return here.size

        with progress_bar(blocks.size, show=progress) as bar:
            for n_points in in_order(fill, range(len(blocks)), field.threads):
                bar.update(n_points)
        return Density(atoms.copy(), out)

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
            If an element is unknown to the model.

        Warns
        -----
        UserWarning
            If the structure looks unlike the training data.
        """
        check_given(self.path, self.info, saed)
        points = np.asarray(points, dtype=np.float64).reshape(-1, 3)
        field = self.field(atoms)
        field.warn_if_far(points, stacklevel=3)
        values = np.empty(len(points))

        def fill(start):
            part = slice(start, start + field.block)
            values[part] = field(points[part])
            return len(values[part])

        with progress_bar(len(points), show=progress) as bar:
            for n_points in in_order(fill, range(0, len(points), field.block), field.threads):
                bar.update(n_points)
        return values

    def field(self, atoms):
        """Density around given atoms, ready to be evaluated piece by piece.

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
            If an element is unknown to the model.
        """
        symbols = atoms.get_chemical_symbols()
        unknown = sorted(set(symbols) - set(self.elements))
        if unknown:
            raise ChargeError(
                f"{self.path}: the model has not seen {', '.join(unknown)}, only "
                f"{', '.join(self.elements)}; train on densities that have them"
            )
        types = np.array([self.type_map.index(s) for s in symbols], dtype=int)
        return Field(self._graph, atoms, Images(atoms, types, self.rcut))


class Field:
    """The density around given atoms, as a function of position.

    Made by :meth:`ChargeModel.field`.

    Attributes
    ----------
    atoms : ase.Atoms
        The structure.
    block : int
        Points that are best evaluated at a time.
    threads : int
        Threads that may evaluate at the same time.
    """

    block = 4096  # enough to keep the cores busy, little memory
    threads = 1  # TensorFlow has threads of its own

    def __init__(self, graph, atoms, images):
        self.atoms = atoms
        self._graph = graph
        self._images = images

    def __call__(self, points):
        """Density at points (n, 3), A, anywhere: (n,), e/A^3. For n of some thousands."""
        points = self._images.wrap(points)
        return self._graph.density(*self._images.around(points), points)

    def on_block(self, blocks, number):
        """Density on a block of a grid.

        Parameters
        ----------
        blocks : Blocks
            The grid of the cell.
        number : int
            The block.

        Returns
        -------
        np.ndarray
            In e/A^3, of the shape that ``blocks.slices(number)`` cuts out.
        """
        shape = [s.stop - s.start for s in blocks.slices(number)]
        return self(blocks.points(number, self.atoms.cell.array)).reshape(shape)

    def warn_if_far(self, where, stacklevel=2):
        """Warn if a sample of the points has surroundings unlike the training data.

        Parameters
        ----------
        where : tuple of int or np.ndarray
            A grid (nx, ny, nz) of the cell, or points (n, 3), A.
        stacklevel : int
            Of the warning.

        Warns
        -----
        UserWarning
            If more than 1% of them have.
        """
        on_grid = isinstance(where, tuple)
        size = int(np.prod(where)) if on_grid else len(where)
        index = np.random.default_rng(0).choice(size, min(size, _PROBES), replace=False)
        if not len(index):
            return
        points = grid_points(where, index, self.atoms.cell.array) if on_grid else where[index]
        points = self._images.wrap(points)
        far = np.mean(self._graph.novelty(*self._images.around(points), points) > _FAR)
        if far > 0.01:
            warnings.warn(
                f"{100 * far:.0f}% of the points have surroundings unlike the training "
                "data; do not trust the density there, or train on such structures",
                stacklevel=stacklevel,
            )


def check_grid(atoms, grid):
    """Return a grid as a tuple of int, or raise ChargeError where it cannot be."""
    shape = tuple(int(n) for n in grid)
    if len(shape) != 3 or min(shape) < 1:
        raise ChargeError(f"grid {shape}: give three counts of at least 1")
    if atoms.cell.rank < 3:
        raise ChargeError("the structure has no cell of three vectors; add one")
    return shape
