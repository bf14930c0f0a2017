# SPDX-License-Identifier: LGPL-3.0-or-later
r"""The pair-additive density of ``se_charge``, by least squares before training starts.

.. math::
    \rho(\mathbf r) &\approx \rho_0 + \sum_j f_{z_j}(|\mathbf r - \mathbf r_j|), \qquad
        f_z(r) = \sum_n c_{zn} R_n(r) \\
    &\min_{\rho_0, c} \; \frac1N \sum_p w_p d_p^2 + \lambda \sum_z \int
        \Big( \frac{1}{h_z} \frac{d^2 f_z}{du^2} \Big)^2 du, \qquad u = \ln(1 + r^2/a^2)

d are the errors at the N points. w falls with the density, as the errors of a sum of pairs rise
with it, and is small for points that are there because they are near an atom: enough where there
are no others. h is the largest size of a value at the points that are nearest to an atom of an
element, over that of any. Nothing
trains what this gives, so it must be sound where the data have no points, too: near the nuclei
of a rare element. On the axis u, which opens up at the nucleus as the structure of a density
does, a function that nothing is known of goes on as a straight line. How much smoothness costs,
:math:`\lambda`, is chosen: structures are held out in turn, or, where there is one, the points
nearest to some atoms. The functions of elements of few atoms are made as smooth as their points
let them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from ...atoms.images import Images
from ...typing import Floats
from ..descriptors.se_charge import SeChargeSpec
from ..spec import ModelSpec
from .folds import folds_of
from .points import Sample
from .ridge import NormalEquations

__all__ = ["PairAdditive", "fit_pair_additive", "pair_columns", "roughness"]

# The length a, A, and the steps of u on which the roughness is summed.
_CORE, _STEPS = 0.5, 4000
# Lambdas that are tried, and that where nothing can be held out. Of those whose errors are larger
# than the least by no more than a share the strongest is taken. What it adds to the error is the
# root of twice the share, and the net has to learn it.
_TRIED = [10.0**-k for k in range(3, 15)]
_UNTRIED, _TOLERANCE = 1e-8, 1e-4
_FOLDS = 5
# Below this share of the mean density, points count alike, above it less by as much as there is
# more: what pairs cannot say of a bond or a core must not be paid for where there is little.
_SMALL = 0.1
# Of an element of one atom the functions are so smooth that the squared errors rise by this share,
# of n by the n-th part; of more than so many it does not matter.
_RISE, _MANY, _DECADES = 2e-3, 100, 10
# What points near atoms count that are there for that. More, and what is left of the others is
# larger by a multiple of what is gained near the atoms.
_NEAR = 0.03
# Numbers in the columns of points that are worked out together.
_BLOCK = 1 << 21


@dataclass(frozen=True)
class PairAdditive:
    r"""The fit.

    Attributes
    ----------
    coefficients : np.ndarray
        (elements, n_radial) c, e/A^3.
    offset : float
        :math:`\rho_0`, e/A^3.
    smoothness : float
        What was chosen, :math:`\lambda`; it is larger of elements of few atoms.
    held_out : float
        Root mean square error of what was held out, e/A^3; NaN where there is nothing to hold out.
    """

    coefficients: Floats
    offset: float
    smoothness: float
    held_out: float

    def residuals(self, spec: ModelSpec, sample: Sample) -> Floats:
        """What the fit leaves of the points of a sample, (n,) e/A^3."""
        images = Images(sample.atoms, sample.types, spec.descriptor.rcut)
        columns = pair_columns(spec, images, images.wrap(sample.points))
        return sample.values - self.offset - np.tensordot(columns, self.coefficients, 2)


def fit_pair_additive(spec: ModelSpec, samples: Sequence[Sample]) -> PairAdditive:
    """Fit the pair-additive density to points.

    Parameters
    ----------
    spec : ModelSpec
    samples : sequence of Sample
        Those of each structure, as :func:`.choose_points` weights them; all alike where they have
        no weights.
    """
    d = spec.family(SeChargeSpec)
    # what is absent costs nothing
    kinds = [spec.places[sample.types] for sample in samples]
    active, n_atoms = np.unique(np.concatenate(kinds), return_counts=True)
    smooth = _of_unit_roughness(d)
    n_columns = len(active) * d.n_radial + 1
    # of the only structure the atoms
    folds, _ = folds_of(kinds if len(kinds) > 1 else list(kinds[0][:, None]), _FOLDS)
    equations = NormalEquations(n_columns, _FOLDS + 1, n_held=_FOLDS)
    total = sum(len(sample.points) for sample in samples)
    magnitude = sum(np.abs(sample.values).sum() for sample in samples) / total
    small = max(_SMALL * magnitude, np.finfo(float).tiny)
    size = max(1, _BLOCK // n_columns)
    heights = np.zeros(len(spec.elements))
    for place, sample in enumerate(samples):
        images = Images(sample.atoms, sample.types, d.rcut)
        for start in range(0, len(sample.points), size):
            points = images.wrap(sample.points[start : start + size])
            values = sample.values[start : start + size]
            nearest = images.nearest(points)
            np.maximum.at(heights, spec.places[images.types[nearest]], np.abs(values))
            rows = pair_columns(spec, images, points)[:, active] @ smooth
            # the offset stands last
            rows = np.column_stack([rows.reshape(len(rows), -1), np.ones(len(rows))])
            if sample.weights is not None:
                counted = np.where(sample.weights[start : start + size] > 0.0, 1.0, _NEAR)
            else:
                counted = np.ones(len(rows))
            root = np.sqrt(counted / (1.0 + np.abs(values) / small))
            rows, values = rows * root[:, None], values * root
            which = np.full(len(rows), place) if len(samples) > 1 else images.parents[nearest]
            for fold in np.unique(folds[which]):
                mine = folds[which] == fold
                equations.add(int(fold), rows[mine], values[mine])
    # the offset costs nothing, and an element that has no density of its own is not held to that
    heights = np.maximum(heights[active] / max(heights.max(), np.finfo(float).tiny), 1e-3)
    costs = np.append(np.repeat(heights**-2.0, d.n_radial), 0.0)
    smoothness, held_out = _chosen(equations, costs)
    penalty = _stiffened(equations, smoothness * costs, n_atoms.tolist())
    found, _ = equations.solve(penalty)
    coefficients = np.zeros((len(spec.elements), d.n_radial))
    coefficients[active] = found[:-1].reshape(len(active), -1) @ smooth.T
    return PairAdditive(coefficients, float(found[-1]), smoothness, held_out)


def _chosen(equations: NormalEquations, costs: Floats) -> tuple[float, float]:
    """Lambda, and the root mean square error of what is held out; NaN where nothing can be.

    Lambda times the costs (columns,) is what squared coefficients cost.
    """
    folds = equations.folds
    if not folds:
        return _UNTRIED, np.nan
    errors: dict[float, float] = {}

    def attempt(smoothness: float) -> None:
        squares = 0.0
        for fold in folds:
            found, _ = equations.solve(smoothness * costs, without=fold)
            squares += equations.squares(found, fold)
        errors[smoothness] = float(np.sqrt(squares / equations.count[folds].sum()))

    for smoothness in _TRIED:
        attempt(smoothness)
    least = min(errors, key=lambda s: np.nan_to_num(errors[s], nan=np.inf))
    for factor in (10.0**-0.5, 10.0**0.5):
        attempt(least * factor)
    enough = (1.0 + _TOLERANCE) * np.nanmin(list(errors.values()))
    chosen = max(s for s, error in errors.items() if error <= enough)
    return chosen, errors[chosen]


def _stiffened(equations: NormalEquations, penalty: Floats, n_atoms: list[int]) -> Floats:
    r"""Raise what the functions of elements of few atoms cost, as far as their points let them.

    How smooth those are cannot be told from the error of other atoms, and of many common ones
    it is hardly a part.

    Parameters
    ----------
    equations : NormalEquations
    penalty : np.ndarray
        (columns,) of the common :math:`\lambda`.
    n_atoms : list of int
        Of each element.
    """
    gram, moment = equations.gram.sum(axis=0), equations.moment.sum(axis=0)

    def squares(coefficients: Floats) -> float:
        error = coefficients @ gram @ coefficients - 2.0 * coefficients @ moment
        return max(float(equations.square.sum() + error), 0.0)

    start, _ = equations.solve(penalty)
    inverse = equations.inverse(penalty)
    least = squares(start)
    found = penalty.copy()
    size = (len(penalty) - 1) // len(n_atoms)
    for place, n in enumerate(n_atoms):
        if n > _MANY or inverse is None:
            continue
        mine = slice(place * size, (place + 1) * size)
        columns = inverse(mine)
        for decade in range(1, _DECADES + 1):
            # more on a part of the diagonal (Woodbury): as cheap as there are few columns
            added = (10.0**decade - 1.0) * penalty[mine]
            response = np.linalg.solve(np.diag(1.0 / added) + columns[mine], start[mine])
            # the atoms tell, not the points: the errors near one are much alike
            if not squares(start - columns @ response) <= (1.0 + _RISE / n) * least:
                break
            found[mine] = 10.0**decade * penalty[mine]
    return found


def pair_columns(spec: ModelSpec, images: Images, points: Floats) -> Floats:
    """The sums of the radial functions over the atoms around wrapped points (n, 3), A.

    Returns
    -------
    np.ndarray
        (n, elements, n_radial)
    """
    d = spec.family(SeChargeSpec)
    point, atom, r = images.pairs(points, d.rcut)
    which = point * len(spec.elements) + spec.places[images.types[atom]]
    sums = np.zeros((len(points) * len(spec.elements), d.n_radial))
    order = np.argsort(which, kind="stable")
    which = which[order]
    starts = np.flatnonzero(np.diff(which, prepend=-1))
    if len(starts):
        basis = np.stack(d.basis(np, r[order]), axis=-1)
        sums[which[starts]] = np.add.reduceat(basis, starts, axis=0)
    return sums.reshape(len(points), len(spec.elements), d.n_radial)


def _of_unit_roughness(d: SeChargeSpec) -> Floats:
    """Combinations (n_radial, n_radial) of the radial functions whose roughness is a unit matrix.

    A column holds what one of them has of each function.
    """
    matrix = roughness(d)
    scale = 1.0 / np.sqrt(np.diag(matrix))
    value, vector = np.linalg.eigh(matrix * scale * scale[:, None])
    # rounding may leave the smoothest ones without any
    value = np.maximum(value, np.finfo(float).eps * value[-1])
    return scale[:, None] * vector / np.sqrt(value)


def roughness(d: SeChargeSpec) -> Floats:
    r"""The integrals (n_radial, n_radial) of :math:`R_n'' R_m''` over u, the derivatives by u."""
    u = np.linspace(0.0, np.log1p((d.rcut / _CORE) ** 2), _STEPS)
    functions = np.stack(d.basis(np, _CORE * np.sqrt(np.expm1(u))), axis=-1)
    step = u[1] - u[0]
    second = np.diff(functions, 2, axis=0) / step**2
    return second.T @ second * step
