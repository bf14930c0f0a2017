# SPDX-License-Identifier: LGPL-3.0-or-later
"""The density around given atoms, as a function of position."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, TypeAlias

import numpy as np

from ..atoms.images import Images
from ..errors import ChargeError
from ..grid.grid import Grid
from ..typing import ArrayLike, Floats, Integers

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["FARTHEST", "Backend", "Field", "check_points", "misplaced"]

# Of the atoms around a point, and points (n, 3), A, wrapped into their cell: (n,) values.
Function: TypeAlias = Callable[[Images, Floats], Floats]

# A; farther from the origin places are known to less than 1e-7 A.
FARTHEST = 1e9
# Points that are compared with the training data before a prediction.
_PROBES = 512
# Novelty (see FrozenGraph) beyond which a point counts as extrapolated.
_FAR = 0.1


class Backend(Protocol):
    """What evaluates a model: the engine, or its TensorFlow graph."""

    @property
    def block(self) -> int:
        """Points that are best evaluated at a time."""

    @property
    def threads(self) -> int:
        """Threads that may evaluate at the same time."""

    @property
    def superposition(self) -> Function | None:
        """Of the atomic densities that the model carries, if it does."""

    def density(self, images: Images, points: Floats) -> Floats:
        """Density at points (n, 3), A: (n,), e/A^3."""

    def difference(self, images: Images, points: Floats) -> Floats:
        """Density less that of :attr:`superposition`."""

    def novelty(self, images: Images, points: Floats) -> Floats:
        """How far each point's surroundings are outside the training range."""


class Field:
    """The density around given atoms, as a function of position.

    Made by :meth:`.ChargeModel.field`.

    Attributes
    ----------
    atoms : ase.Atoms
        The structure.
    block : int
        Points that are best evaluated at a time.
    threads : int
        Threads that may evaluate at the same time.
    """

    def __init__(self, backend: Backend, atoms: Atoms, images: Images) -> None:
        self.atoms = atoms
        self.block = backend.block
        self.threads = backend.threads
        self._backend = backend
        self._images = images

    def __call__(self, points: ArrayLike) -> Floats:
        """Density at points (n, 3), A, anywhere: (n,), e/A^3. For n of some thousands.

        Raises
        ------
        ChargeError
            If a point is not three finite numbers.
        """
        return self._evaluate(self._backend.density, points)

    @property
    def is_superposed(self) -> bool:
        """bool: Whether the model carries atomic densities, and adds them to what it has learnt."""
        return self._backend.superposition is not None

    def difference(self, points: ArrayLike) -> Floats:
        """What the model has learnt: the density less :meth:`superposition`; as for a call."""
        return self._evaluate(self._backend.difference, points)

    def superposition(self, points: ArrayLike) -> Floats:
        """The atomic densities that the model carries, zero if it has none; as for a call."""
        function = self._backend.superposition
        if function is None:
            return np.zeros(len(check_points(points)))
        return self._evaluate(function, points)

    def _evaluate(self, function: Function, points: ArrayLike) -> Floats:
        points = check_points(points)
        return function(self._images, self._images.wrap(points)) if len(points) else np.zeros(0)

    def warn_if_far(self, where: Grid | Floats, stacklevel: int = 2, name: str = "") -> bool:
        """Warn if a sample of the points has surroundings unlike the training data.

        Parameters
        ----------
        where : Grid or np.ndarray
            A grid, or points (n, 3), A.
        stacklevel : int
            Of the warning.
        name : str
            What the warning is about, if it has to say so.

        Returns
        -------
        bool
            Whether it warned.

        Warns
        -----
        UserWarning
            If more than 1% of them have.
        """
        size = where.size if isinstance(where, Grid) else len(where)
        index = np.random.default_rng(0).choice(size, min(size, _PROBES), replace=False)
        if not len(index):
            return False
        points = where.points(index) if isinstance(where, Grid) else where[index]
        far = np.mean(self._evaluate(self._backend.novelty, points) > _FAR)
        is_far = bool(far > 0.01)
        if is_far:
            about = f"{name}: " if name else ""
            warnings.warn(
                f"{about}{100 * far:.0f}% of the points have surroundings unlike the training "
                "data; do not trust the density there, or train on such structures",
                stacklevel=stacklevel,
            )
        return is_far


def misplaced(positions: Floats) -> Integers:
    """Which positions (n, 3) are no places that float64 resolves."""
    with np.errstate(invalid="ignore"):
        if np.abs(positions).max(initial=0.0) <= FARTHEST:  # in a fraction of the time
            return np.empty(0, dtype=int)
        return np.flatnonzero(~(np.abs(positions) <= FARTHEST).all(axis=1))


def check_points(points: ArrayLike) -> Floats:
    """Return points as an array (n, 3), A, or raise ChargeError where they cannot be."""
    try:
        points = np.asarray(points, dtype=np.float64)
    except (TypeError, ValueError) as error:
        raise ChargeError("points: give three coordinates (A) for each") from error
    if points.size and (points.ndim not in (1, 2) or points.shape[-1] != 3):
        raise ChargeError(
            f"points: give three coordinates (A) for each, (n, 3), not {points.shape}"
        )
    points = points.reshape(-1, 3)
    bad = misplaced(points)
    if len(bad):
        raise ChargeError(
            f"points: number {bad[0]}, {points[bad[0]]}, is not finite, or farther than"
            f" {FARTHEST:.0e} A away; correct it"
        )
    return points
