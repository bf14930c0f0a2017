# SPDX-License-Identifier: LGPL-3.0-or-later
"""The fit of ``se_cluster``: its channels, its coefficients and what is known of their error."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from ...errors import ChargeError
from ...threads import in_order, one_thread_of_blas
from ...typing import Floats, Integers
from ..descriptors.se_cluster import SeClusterSpec
from ..spec import ModelSpec
from ..weights import Weights, shapes
from .channels import set_channels
from .columns import Columns
from .doubts import doubts, doubts_of_ridge, too_few
from .gates import invariant_scales
from .iterative import solve_iteratively
from .points import Part, Points, Sample, surveyed
from .ridge import NormalEquations, Ridge, Solution, choose

__all__ = ["ClusterFit", "fit_cluster"]

# How much larger a held-out error may be than the least for a stronger ridge: atoms of the same
# structure are more like each other than those of another.
_BY_STRUCTURE, _BY_ATOM = 0.01, 0.05
# Most coefficients whose normal equations are kept, and the memory of them, bytes.
_MOST, _MEMORY = 10_000, 1.6e9
_FOLDS = 5
# Points whose rows are worked out together: numbers in them. Of larger arrays the C library takes
# the memory anew each time. Where rows are short, the pairs of so many points are what counts.
_BLOCK, _POINTS = 1 << 21, 4096
# Most threads that make such rows: all of them hold some.
_THREADS = 4


@dataclass(frozen=True)
class ClusterFit:
    """What a fit gives.

    Attributes
    ----------
    arrays : dict
        The arrays of the model, by their names in :func:`deepmd_charge.model.weights.shapes`;
        of nets the scale of what they are fed with.
    solution : Solution
        Ridge, errors and condition of the fit.
    n_points, n_structures : int
    n_folds : int
        Parts that are held out in turn, or, where it is iterative, of which one is; one where there
        is nothing to hold out.
    by_structure : bool
        Whether whole structures are held out in turn, and not the atoms of the only one.
    by_system : bool
        Whether all structures of a system are held out at once.
    iterative : bool
        Whether there are too many coefficients for a matrix.
    doubts : list of str
        What may be wrong with the structures or the cutoffs, a line each.
    """

    arrays: dict[str, Floats]
    solution: Solution
    n_points: int
    n_structures: int
    n_folds: int
    by_structure: bool
    by_system: bool
    iterative: bool
    doubts: list[str]


def fit_cluster(
    spec: ModelSpec,
    samples: Callable[[], Iterable[Sample]],
    electrons: Floats | None = None,
    told: Callable[[Ridge, float], None] = lambda ridge, error: None,
    progress: Callable[[str, int, int], None] = lambda doing, done, total: None,
) -> ClusterFit:
    """Fit the coefficients of ``se_cluster`` by linear least squares.

    The points are gone through twice, a block at a time: once for the neighbours of atoms,
    once for the sums of the fit. The ridge is that of the least error of structures that are
    held out in turn (``held_out``: or of whole systems), or, where there is one structure, of the
    points nearest to some atoms.

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
        Is told what is being done, how many points it has been done for, and how many there are.

    Returns
    -------
    ClusterFit

    Raises
    ------
    ChargeError
        If there are too few points, no atom is near one, or the system cannot be solved.
    """
    d, net, spec = spec.family(SeClusterSpec), spec.fitting_net.neuron, spec.linear
    arrays: dict[str, Floats] = {name: np.zeros(s) for name, s in _sizes(spec).items()}
    if electrons is not None:
        arrays["contribution.electrons"] = electrons
    points, columns = Points(spec, samples), Columns(spec)
    n_columns = len(columns.of_columns)
    if points.count < n_columns:
        raise ChargeError(
            f"{points.count} points for {n_columns} coefficients of {d.where}: convert more "
            "--points, or lower order, n_radial or n_channel"
        )
    low, high, near = surveyed(spec, samples())
    if not high.any():
        raise ChargeError(
            f"no grid point of the training data has an atom within {d.rcut} A; raise "
            f"{d.where}/rcut"
        )
    arrays["neighbor_range.low"], arrays["neighbor_range.high"] = low, high
    set_channels(spec, arrays, points.structures)
    iterative = n_columns > _MOST
    n_folds = _FOLDS if iterative else int(np.clip(_MEMORY / (8 * n_columns**2), 2, _FOLDS))
    n_folds = max(1, min(n_folds, points.most_folds))
    alone = points.folds(n_folds)[1]
    tolerance = _BY_STRUCTURE if points.by_structure else _BY_ATOM
    if iterative:
        solution = solve_iteratively(columns, points, arrays, n_folds, d.ridge, told, progress)
    else:
        with one_thread_of_blas() as n_threads, ThreadPoolExecutor(n_threads) as pool:
            # behind the folds what cannot be held out
            n = n_folds + bool(alone)
            equations = NormalEquations(n_columns, n, pool.map, n_held=n_folds)
            size = min(max(256, _BLOCK // n_columns), _POINTS)
            parts = points.parts(arrays, n_folds, size)
            for rows, values, fold in in_order(_weighted, parts, min(n_threads, _THREADS)):
                for f in np.unique(fold):
                    mine = fold == f
                    equations.add(int(f), rows[mine], values[mine])
                progress("least squares", int(equations.count.sum()), points.count)
            costs = columns.costs(equations.scale)
            many = columns.of_columns > 1
            solution = choose(equations, costs, many, d.ridge, tolerance, told)
        n_folds = max(1, len(equations.folds))
    # errors of weighted points, as if these counted one on average
    unit = points.weight**-0.5
    solution = replace(solution, rmse=solution.rmse * unit, held_out=solution.held_out * unit)
    arrays |= columns.arrays(solution.coefficients)
    if net:
        arrays |= invariant_scales(spec, Weights(spec, arrays), points.structures)
    arrays["fitting.residual"] = np.array(max(solution.rmse, 1e-12))
    return ClusterFit(
        arrays,
        solution,
        points.count,
        len(points.structures),
        n_folds,
        points.by_structure,
        points.by_system,
        iterative,
        [
            *doubts(spec, points.structures, points.image_distance),
            *too_few(spec, near, near / points.count, points.has_atoms),
            *doubts_of_ridge(spec, solution, alone if n_folds > 1 else []),
        ],
    )


def _weighted(part: Part) -> tuple[Floats, Floats, Integers]:
    """The rows of points and what they have to give, by the weights of points; their folds."""
    root = np.sqrt(part.weights)
    block = part.block()
    rows = part.surroundings.rows(block) * root[:, None]
    return rows, part.values(block) * root, part.fold


def _sizes(spec: ModelSpec) -> dict[str, tuple[int, ...]]:
    return {name: tuple(n or 0 for n in size) for name, size in shapes(spec).items()}
