# SPDX-License-Identifier: LGPL-3.0-or-later
"""The fit of ``se_cluster``: its channels, its coefficients and what is known of their error."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import chain, groupby
from typing import TYPE_CHECKING

import numpy as np

from ...atoms.images import Images
from ...errors import ChargeError
from ...typing import Floats, Integers
from ..descriptors.se_cluster import SeClusterSpec
from ..kernels.radial import cutoff
from ..spec import ModelSpec
from ..weights import Weights, shapes
from .channels import set_channels
from .design import Columns, Surroundings
from .ridge import NormalEquations, Ridge, Solution, choose

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["ClusterFit", "Sample", "fit_cluster"]

# Cost of a coefficient by how many neighbours at a time it tells of, beside the ridge's weight of
# products.
_COSTS = [1e-2, 1.0, 1.0, 3.0]
# Least cost of what passes between neighbours, as a share of that of spheres: in a perfect
# crystal nothing does, and what is seen of it is rounding.
_PASSING = 1e-8
# How much larger a held-out error may be than the least for a stronger ridge: atoms of the same
# structure are more like each other than those of another.
_BY_STRUCTURE, _BY_ATOM = 0.01, 0.05
# Most coefficients whose normal equations are kept, and the memory of them, bytes.
_MOST, _MEMORY = 10_000, 2.5e9
_FOLDS = 5
# Points of a sample whose neighbours are counted.
_COUNTED = 500
# Points whose rows are worked out together: numbers in them.
_BLOCK = 1 << 23


@dataclass(frozen=True)
class Sample:
    """Some points of a structure.

    Attributes
    ----------
    atoms : ase.Atoms
    types : np.ndarray
        (atoms,) places in the type map.
    points : np.ndarray
        (n, 3) A
    values : np.ndarray
        (n,) what is to be learnt, e/A^3.
    """

    atoms: Atoms
    types: Integers
    points: Floats
    values: Floats

    @property
    def structure(self) -> bytes:
        """bytes: The same for samples of the same structure."""
        parts = (self.atoms.positions, self.atoms.cell.array, self.types, self.atoms.pbc)
        return b"".join(np.ascontiguousarray(part).tobytes() for part in parts)


@dataclass(frozen=True)
class ClusterFit:
    """What a fit gives.

    Attributes
    ----------
    arrays : dict
        The arrays of the model, by their names in :func:`deepmd_charge.model.weights.shapes`.
    solution : Solution
        Ridge, errors and condition of the fit.
    n_points, n_structures : int
    n_folds : int
        Parts that are held out in turn; one where there is nothing to hold out.
    by_structure : bool
        Whether whole structures are held out in turn, and not the atoms of the only one.
    """

    arrays: dict[str, Floats]
    solution: Solution
    n_points: int
    n_structures: int
    n_folds: int
    by_structure: bool


def fit_cluster(
    spec: ModelSpec,
    samples: Callable[[], Iterable[Sample]],
    electrons: Floats | None = None,
    told: Callable[[Ridge, float], None] = lambda ridge, error: None,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> ClusterFit:
    """Fit the coefficients of ``se_cluster`` by linear least squares.

    The points are gone through twice, a block at a time: once for the neighbours of atoms,
    once for the sums of the fit. The ridge is that of the least error of structures that are
    held out in turn, or, where there is one structure, of the points nearest to some atoms.

    Parameters
    ----------
    spec : ModelSpec
    samples : callable
        Gives all samples, each time it is called.
    electrons : np.ndarray, optional
        (elements,) that an atom of each holds, where they are exact.
    told : callable
        As for :func:`.ridge.choose`.
    progress : callable
        Is told how many points of how many have been added to the fit.

    Returns
    -------
    ClusterFit

    Raises
    ------
    ChargeError
        If there are too few points or too many coefficients, or no atom is near a point.
    """
    d = spec.family(SeClusterSpec)
    arrays: dict[str, Floats] = {name: np.zeros(s) for name, s in _sizes(spec).items()}
    if electrons is not None:
        arrays["contribution.electrons"] = electrons
    structures, atoms = _structures(spec, samples())
    set_channels(spec, arrays, atoms)
    columns = Columns(spec)
    n_columns = len(columns.of_columns)
    n_points = sum(structures.values())
    if n_columns > _MOST:
        raise ChargeError(
            f"{d.where}: {n_columns} coefficients, at most {_MOST} are fitted; lower order, "
            "n_radial, n_channel or n_product"
        )
    if n_points < n_columns:
        raise ChargeError(
            f"{n_points} points for {n_columns} coefficients of {d.where}: convert more --points, "
            "or lower order, n_radial or n_channel"
        )
    by_structure = len(structures) > 1
    n_folds = int(np.clip(_MEMORY / (8 * n_columns**2), 2, _FOLDS))
    most = len(structures) if by_structure else len(next(iter(samples())).atoms)
    n_folds = max(1, min(n_folds, most))
    equations = NormalEquations(n_columns, n_folds)
    counts = _add_all(spec, arrays, samples, structures, equations, progress)
    if not counts.any():
        raise ChargeError(
            f"no grid point of the training data has an atom within {d.rcut} A; raise "
            f"{d.where}/rcut"
        )
    arrays["neighbor_range.low"], arrays["neighbor_range.high"] = counts
    solution = choose(
        equations,
        _costs(columns, equations),
        columns.of_columns > 1,
        d.ridge,
        _BY_STRUCTURE if by_structure else _BY_ATOM,
        told,
    )
    arrays |= columns.arrays(solution.coefficients)
    arrays["fitting.residual"] = np.array(max(solution.rmse, 1e-12))
    n_folds = len(equations.folds)
    return ClusterFit(arrays, solution, n_points, len(structures), n_folds, by_structure)


def _costs(columns: Columns, equations: NormalEquations) -> Floats:
    """What a unit of each coefficient costs, (columns,).

    It is the same for all that change spheres of electrons, little for the spheres
    themselves. What passes between neighbours has another unit, and its own variance.
    """
    scale = equations.scale
    spheres = scale[(columns.of_columns == 0) & (scale > 0.0)].mean()
    costs = np.full(len(scale), spheres)
    if columns.n_passing:
        passing = scale[-columns.n_passing :]
        costs[-columns.n_passing :] = np.maximum(passing, _PASSING * spheres)
    return np.array(_COSTS)[columns.of_columns] * costs


def _sizes(spec: ModelSpec) -> dict[str, tuple[int, ...]]:
    return {name: tuple(n or 0 for n in size) for name, size in shapes(spec).items()}


def _structures(
    spec: ModelSpec, samples: Iterable[Sample]
) -> tuple[dict[bytes, int], list[Images]]:
    """The number of points of each structure, and their atoms."""
    d = spec.family(SeClusterSpec)
    points: dict[bytes, int] = {}
    atoms = []
    for sample in samples:
        if sample.structure not in points:
            atoms.append(Images(sample.atoms, sample.types, max(d.rcut_env, d.rcut_product)))
        points[sample.structure] = points.get(sample.structure, 0) + len(sample.values)
    return points, atoms


def _add_all(
    spec: ModelSpec,
    arrays: dict[str, Floats],
    samples: Callable[[], Iterable[Sample]],
    structures: dict[bytes, int],
    equations: NormalEquations,
    progress: Callable[[int, int], None],
) -> Floats:
    """Add all points to the equations; returns the range of their neighbour counts."""
    d = spec.family(SeClusterSpec)
    n_folds = len(equations.count)
    block = max(256, _BLOCK // len(equations.moment[0]))
    low, high = np.full(len(spec.elements), np.inf), np.zeros(len(spec.elements))
    fold_of = {structure: k % n_folds for k, structure in enumerate(structures)}
    for structure, some in groupby(samples(), key=lambda sample: sample.structure):
        first = next(some)
        images = Images(first.atoms, first.types, d.reach)
        surroundings = Surroundings(spec, Weights(spec, arrays), images)
        for sample in chain([first], some):
            if not len(sample.points):
                continue
            points = images.wrap(sample.points)
            if len(structures) > 1:
                fold = np.full(len(points), fold_of[structure])
            else:
                # neighbours in different folds: atoms in the order that a stride mixes
                fold = surroundings.nearest(points) % n_folds
            for start in range(0, len(points), block):
                part = slice(start, start + block)
                rows, known = surroundings.rows(points[part])
                values = sample.values[part] - known
                for f in np.unique(fold[part]):
                    mine = fold[part] == f
                    equations.add(int(f), rows[mine], values[mine])
                progress(int(equations.count.sum()), sum(structures.values()))
            count = _neighbor_count(spec, images, points[:_COUNTED])
            low, high = np.minimum(low, count.min(axis=0)), np.maximum(high, count.max(axis=0))
    return np.array([low, high])


def _neighbor_count(spec: ModelSpec, images: Images, points: Floats) -> Floats:
    """The count of neighbours (n, elements), see :func:`.reference.neighbor_count`."""
    rcut = spec.descriptor.rcut
    counts = np.zeros((len(points), len(spec.elements)))
    centres, atoms, r = images.pairs(points, rcut)
    np.add.at(counts, (centres, spec.places[images.types[atoms]]), cutoff(np, r, rcut))
    return counts
