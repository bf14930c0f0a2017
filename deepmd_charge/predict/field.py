# SPDX-License-Identifier: LGPL-3.0-or-later
"""The density around given atoms, as a function of position."""

import warnings

import numpy as np

from ..grid.grid import Grid
from ..atoms.places import check_points

__all__ = ["Field"]

# Points that are compared with the training data before a prediction.
_PROBES = 512
# Novelty (see FrozenGraph) beyond which a point counts as extrapolated.
_FAR = 0.1


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

    def __init__(self, evaluator, atoms, images):
        self.atoms = atoms
        self.block = evaluator.block
        self.threads = evaluator.threads
        self._evaluator = evaluator
        self._images = images

    def __call__(self, points):
        """Density at points (n, 3), A, anywhere: (n,), e/A^3. For n of some thousands.

        Raises
        ------
        ChargeError
            If a point is not three finite numbers.
        """
        return self._evaluate(self._evaluator.density, points)

    @property
    def is_superposed(self):
        """bool: Whether the model carries atomic densities, and adds them to what it has learnt."""
        return self._evaluator.superposition is not None

    def difference(self, points):
        """What the model has learnt: the density less :meth:`superposition`; as for a call."""
        return self._evaluate(self._evaluator.difference, points)

    def superposition(self, points):
        """The atomic densities that the model carries, zero if it has none; as for a call."""
        if not self.is_superposed:
            return np.zeros(len(check_points(points)))
        return self._evaluate(self._evaluator.superposition, points)

    def _evaluate(self, function, points):
        points = check_points(points)
        return function(self._images, self._images.wrap(points)) if len(points) else np.zeros(0)

    def warn_if_far(self, where, stacklevel=2, name=""):
        """Warn if a sample of the points has surroundings unlike the training data.

        Parameters
        ----------
        where : Grid or np.ndarray
            A grid, or points (n, 3), A.
        stacklevel : int
            Of the warning.
        name : str
            What the warning is about, if it has to say so.

        Warns
        -----
        UserWarning
            If more than 1% of them have.
        """
        on_grid = isinstance(where, Grid)
        size = where.size if on_grid else len(where)
        index = np.random.default_rng(0).choice(size, min(size, _PROBES), replace=False)
        if not len(index):
            return
        points = where.points(index) if on_grid else where[index]
        far = np.mean(self._evaluate(self._evaluator.novelty, points) > _FAR)
        if far > 0.01:
            about = f"{name}: " if name else ""
            warnings.warn(
                f"{about}{100 * far:.0f}% of the points have surroundings unlike the training "
                "data; do not trust the density there, or train on such structures",
                stacklevel=stacklevel,
            )
