# SPDX-License-Identifier: LGPL-3.0-or-later
r"""Ridge least squares of so many coefficients that no matrix of them is made.

The equations of :mod:`.ridge` by conjugate gradients,

.. math:: \Big( \tfrac1N X^T X + \lambda S \Big) w = \tfrac1N X^T y

with products of X and its transpose with vectors alone. The preconditioner is the sum of the
inverses of the blocks of single elements, and of that of the smooth columns of all elements that
tell of no more than one neighbour at a time, in which contributions of neighbours are most alike.
The strength is that of the least error of one part of the points that is held out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TypeVar

import numpy as np

from ...errors import ChargeError
from ...threads import in_order, one_thread_of_blas
from ...typing import Floats
from .columns import Columns
from .design import Block
from .points import Part, Points
from .ridge import STRONGER, Ridge, Solution

__all__ = ["solve_iteratively"]

# Points of a part; those, about, that the preconditioner is made of, in all or for each column.
# Fewer leave so much noise in its blocks that the steps do not end.
_SIZE, _SAMPLE, _A_COLUMN = 2000, 30_000, 30
# Rows of an element that wait to be multiplied together.
_ROWS = 500
# Most columns that are solved for together, of all elements, in the preconditioner.
_COARSE = 6000
# Bytes of pairs that are kept from one pass through the points to the next.
_ROOM = 1e9
# The gradient that is left, as a share of the first one, and most steps.
_LEFT, _STEPS = 1e-4, 100
# Strengths that are tried; what is taken where no part can be held out.
_STRENGTHS, _UNTRIED = [10.0**-k for k in range(2, 9)], 1e-6

Result = TypeVar("Result")


class _Problem:
    """The equations of the points outside of one fold, or of all.

    All points stay in memory, and as many of the pairs of these with atoms as there is room for.
    """

    def __init__(
        self,
        columns: Columns,
        points: Points,
        arrays: dict[str, Floats],
        n_folds: int,
        progress: Callable[[str, int, int], None],
        n_threads: int,
    ) -> None:
        self.columns, self.progress, self.n_threads = columns, progress, n_threads
        self.doing = "preconditioner"
        self.total = points.count
        self.parts = list(points.parts(arrays, n_folds, _SIZE))
        self.kept: set[int] = set()
        self.room = _ROOM
        self.places = [np.flatnonzero(columns.elements == z) for z in range(columns.n_elements)]
        self.coarse = np.flatnonzero(columns.coarse(_COARSE))
        self.blocks, self.matrix, self.count = self._sampled()
        scale = np.zeros(len(columns.elements))
        for place, block in zip(self.places, self.blocks, strict=True):
            scale[place] = np.diag(block) / self.count
        self.scale = scale
        self.costs = columns.costs(scale)

    def _tell(self, done: int) -> None:
        self.progress(f"conjugate gradients, {self.doing}", done, self.total)

    def _each(self, function: Callable[[Part, Block], Result]) -> Iterator[Result]:
        """Yield function(part, block) of all parts, in their order."""
        done = 0

        def of_part(part: Part) -> Result:
            return function(part, part.block())

        found = in_order(of_part, self.parts, self.n_threads)
        for part, result in zip(self.parts, found, strict=True):
            if id(part) not in self.kept:
                self.room -= part.pairs.nbytes
                if self.room > 0:
                    self.kept.add(id(part))
                else:
                    del part.__dict__["pairs"]
            yield result
            done += len(part.points)
            self._tell(done)

    def _sampled(self) -> tuple[list[Floats], Floats, int]:
        """The blocks of X^T X of single elements, that of coarse columns, of a part of the points.

        Their lower triangles; the third is the number of these points.
        """
        sample = max(_SAMPLE, _A_COLUMN * len(self.columns.elements))
        every = max(1, self.total // sample)
        place_of = np.full(len(self.columns.elements), -1)
        place_of[self.coarse] = np.arange(len(self.coarse))
        # of the columns of each element those that are coarse, and their places among all of these
        ours = [np.flatnonzero(place_of[place] >= 0) for place in self.places]
        there = [place_of[place[mine]] for place, mine in zip(self.places, ours, strict=True)]

        def of_part(part: Part) -> tuple[dict[int, Floats], int]:
            part = part.thinned(every)
            block, root = part.block(), np.sqrt(part.weights)[:, None]
            found = np.unique(block.pairs.element)
            return {z: part.surroundings.rows_of(block, z) * root for z in found}, len(root)

        blocks: list[Floats] = [np.zeros((len(place),) * 2, order="F") for place in self.places]
        coarse = np.zeros((len(self.coarse),) * 2, order="F")
        waiting: list[list[Floats]] = [[] for _ in blocks]
        count = 0
        for rows, n in in_order(of_part, self.parts, self.n_threads):
            for z, of_z in rows.items():
                waiting[z].append(of_z)
                if sum(map(len, waiting[z])) > _ROWS:
                    _add(blocks[z], waiting[z])
            if rows:
                where = np.concatenate([there[z] for z in rows])
                order = np.argsort(where)
                some = np.concatenate([of_z[:, ours[z]] for z, of_z in rows.items()], axis=1)
                coarse[np.ix_(where[order], where[order])] += _squared(some[:, order])
            count += n
            self._tell(min(count * every, self.total))
        for block, rest in zip(blocks, waiting, strict=True):
            _add(block, rest)
        return blocks, coarse, count

    def moment(self, without: int | None) -> tuple[Floats, int]:
        """X^T y / N and N."""
        self.doing = "moment"

        def of_part(part: Part, block: Block) -> tuple[Floats, int]:
            used = part.fold != without
            values = np.where(used, part.weights * part.values(block), 0.0)
            return part.surroundings.adjoint(block, values), int(used.sum())

        total, count = np.zeros(len(self.scale)), 0
        for part, used in self._each(of_part):
            total += part
            count += used
        return total / count, count

    def product(self, w: Floats, without: int | None, count: int) -> Floats:
        """X^T X w / N."""

        def of_part(part: Part, block: Block) -> Floats:
            values = part.surroundings.values(block, w)
            values *= np.where(part.fold == without, 0.0, part.weights)
            return part.surroundings.adjoint(block, values)

        total = np.zeros_like(w)
        for part in self._each(of_part):
            total += part
        return total / count

    def error(self, w: Floats, fold: int | None) -> float:
        """Root mean square error of the points of a fold, or of all."""
        self.doing = "errors"

        def of_part(part: Part, block: Block) -> tuple[float, int]:
            mine = np.ones(len(part.points), bool) if fold is None else part.fold == fold
            wrong = part.surroundings.values(block, w) - part.values(block)
            return float(part.weights[mine] @ wrong[mine] ** 2), int(mine.sum())

        squares, counts = zip(*self._each(of_part), strict=True)
        return float(np.sqrt(sum(squares) / sum(counts)))

    def solve(
        self, w: Floats, strength: float, moment: Floats, count: int, without: int | None
    ) -> tuple[Floats, float, bool]:
        """Go on from w: the solution, the condition of the preconditioned system, convergence."""
        from scipy.linalg import cho_factor, cho_solve

        penalty = Ridge(strength).penalty(self.costs, self.columns.of_columns > 1)
        factors = []
        parts = [*zip(self.places, self.blocks, strict=True), (self.coarse, self.matrix)]
        for place, block in parts:
            damped = block / self.count
            empty = np.diag(damped) == 0.0
            damped[np.diag_indices_from(damped)] += np.where(empty, 1.0, penalty[place])
            try:
                factors.append((place, cho_factor(damped, lower=True, overwrite_a=True)))
            except np.linalg.LinAlgError:
                raise ChargeError(
                    f"the least-squares fit cannot be solved with a ridge of {strength:.0e}: give "
                    "more points, or leave model/descriptor/ridge out"
                ) from None

        def conditioned(r: Floats) -> Floats:
            out = np.zeros_like(r)
            for place, factor in factors:
                out[place] += cho_solve(factor, r[place])
            return out

        self.doing = f"ridge {strength:.0e}"
        r = moment - self.product(w, without, count) - penalty * w if w.any() else moment.copy()
        first = moment @ conditioned(moment)
        z = conditioned(r)
        p, rz = z.copy(), r @ z
        alphas: list[float] = []
        betas: list[float] = []
        for step in range(1, _STEPS + 1):
            if not rz > _LEFT**2 * first:
                break
            self.doing = f"ridge {strength:.0e}, step {step} of at most {_STEPS}"
            ap = self.product(p, without, count) + penalty * p
            alpha = rz / (p @ ap)
            w, r = w + alpha * p, r - alpha * ap
            z = conditioned(r)
            before, rz = rz, r @ z
            alphas.append(float(alpha))
            betas.append(float(rz / before))
            p = z + betas[-1] * p
        converged = bool(rz <= _LEFT**2 * first)
        return w, _condition(np.array(alphas), np.array(betas)), converged


def _add(block: Floats, waiting: list[Floats]) -> None:
    """Add to a block of X^T X the rows that wait, of which none is left."""
    if waiting:
        block += _squared(np.concatenate(waiting))
        waiting.clear()


def _squared(rows: Floats) -> Floats:
    """The lower triangle of X^T X, zero above it."""
    from scipy.linalg.blas import dsyrk

    squared: Floats = dsyrk(1.0, rows.T, lower=True)
    return squared


def _condition(alphas: Floats, betas: Floats) -> float:
    """About the condition number, from the steps of conjugate gradients (Lanczos)."""
    from scipy.linalg import eigvalsh_tridiagonal

    if len(alphas) < 2:
        return 1.0
    diagonal = 1.0 / alphas
    diagonal[1:] += betas[:-1] / alphas[:-1]
    values = eigvalsh_tridiagonal(diagonal, np.sqrt(betas[:-1]) / alphas[:-1])
    return float(values[-1] / max(values[0], np.finfo(float).tiny))


def solve_iteratively(
    columns: Columns,
    points: Points,
    arrays: dict[str, Floats],
    n_folds: int,
    strength: float | None,
    told: Callable[[Ridge, float], None],
    progress: Callable[[str, int, int], None],
) -> Solution:
    """Fit by conjugate gradients, with the ridge whose held-out error is least.

    Parameters
    ----------
    columns : Columns
    points : Points
    arrays : dict
        Those of the model, of which the components are known.
    n_folds : int
        In how many parts the points are, of which one is held out.
    strength : float, optional
        Of the ridge, where it is not to be chosen.
    told, progress : callable
        As for :func:`.cluster.fit_cluster`; of every pass through the points.

    Returns
    -------
    Solution
        Its condition number is that of the preconditioned system.

    Raises
    ------
    ChargeError
        If the ridge that is given is too weak for the points.
    """
    with one_thread_of_blas() as n_threads:
        problem = _Problem(columns, points, arrays, n_folds, progress, n_threads)
        return _chosen(problem, strength, told)


def _chosen(
    problem: _Problem,
    strength: float | None,
    told: Callable[[Ridge, float], None],
) -> Solution:
    """The solution with the strength that is given, or of the least held-out error."""
    w: Floats = np.zeros(len(problem.scale))
    held_out = np.nan
    folds = np.unique(np.concatenate([part.fold for part in problem.parts]))
    if strength is None and len(folds) > 1:
        fold = int(folds[0])  # what is never held out comes last
        moment, count = problem.moment(fold)
        errors: dict[float, float] = {}
        for strengths in (_STRENGTHS, STRONGER[1:]):
            for tried in strengths:
                found, _, _ = problem.solve(w, tried, moment, count, fold)
                errors[tried] = problem.error(found, fold)
                told(Ridge(tried), errors[tried])
                if errors[tried] > min(errors.values()):
                    break
                w = found
            best = min(errors, key=errors.__getitem__)
            if best != _STRENGTHS[0]:
                break
        strength, held_out = best, errors[best]
    strength = _UNTRIED if strength is None else strength
    moment, count = problem.moment(None)
    w, condition, converged = problem.solve(w, strength, moment, count, None)
    rmse = problem.error(w, None)
    return Solution(w, Ridge(strength), rmse, held_out, condition, converged)
