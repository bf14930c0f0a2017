# SPDX-License-Identifier: LGPL-3.0-or-later
"""Which grid points are learnt from."""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np

from ..errors import ChargeError
from ..grid.density import Density
from ..grid.mapped import release, slow_axis
from ..typing import Floats, Integers

N_POINTS = 100_000
POINTS_PER_FRAME = 1000
# The share by the gradient that is chosen of a density whose gradient is all at few points, and
# the part of the grid from which on a gradient is spread too widely for any.
_SHARE = 0.7
_WIDE = 0.16
# Planes of a grid, at most, by which it is chosen.
_PLANES = 100


def sample_frames(
    density: Density,
    n_points: int = N_POINTS,
    points_per_frame: int = POINTS_PER_FRAME,
    seed: int | np.random.Generator | None = None,
    by_gradient: float | str | None = None,
) -> Integers:
    r"""Draw grid points without replacement, in frames of equal size.

    Points are equally likely, but for a share that is drawn first and in
    proportion to \|grad rho\|. A short last frame is filled up with unused
    points. Where the grid has none left, points of the first frames appear once
    more.

    Parameters
    ----------
    density : Density
        Source; its total density is the rho of the gradient.
    n_points : int, optional
        Points to draw; all of them if the grid has fewer.
    points_per_frame : int, optional
        Points of each frame.
    seed : int or numpy.random.Generator, optional
        A number gives the same points every time; by default they differ.
    by_gradient : float or "auto", optional
        Share of the points, 0 to 1, that is drawn in proportion to the gradient; by default,
        and of "auto", that of :func:`gradient_share`.

    Returns
    -------
    numpy.ndarray of int, shape (n_frames, points_per_frame)
        Flat C-order indices of the points, in random order.

    Raises
    ------
    ChargeError
        If a number of points is not positive, the seed is negative, or the
        share is none.
    """
    for name, number in (("n_points", n_points), ("points_per_frame", points_per_frame)):
        if number < 1:
            raise ChargeError(f"{name} is {number}: give a positive number of points")
    share = given_share(by_gradient)
    if share is None:
        share = gradient_share(density)
    generator = random_generator(seed)
    n_total = density.values.size
    n_frames = math.ceil(min(n_points, n_total) / points_per_frame)
    needed = n_frames * points_per_frame
    n_drawn = min(needed, n_total)
    steep = _by_gradient(density, round(share * n_drawn), generator)
    chosen = generator.choice(n_total - len(steep), n_drawn - len(steep), replace=False)
    if len(steep):
        # the i-th point that is not steep comes after all steep ones that lie before it
        chosen += np.searchsorted(steep - np.arange(len(steep)), chosen, side="right")
        chosen = generator.permutation(np.concatenate([steep, chosen]))
    return np.resize(chosen, (n_frames, points_per_frame))


def filled_up(n_points: int, points_per_frame: int, n_total: int) -> str:
    """What frames of :func:`sample_frames` are filled up with; empty where there is no need.

    Parameters
    ----------
    n_points, points_per_frame : int
    n_total : int
        Points of the grid.
    """
    n_frames = math.ceil(min(n_points, n_total) / points_per_frame)
    filled = n_frames * points_per_frame
    if n_total < filled:
        return (
            f"frames of {points_per_frame} points hold more than the grid has, so that some of its"
            " points are there again (--points-per-frame says otherwise)"
        )
    if n_points < filled:
        return (
            f"{filled} points instead of {n_points}, which do not fill frames of"
            f" {points_per_frame} (--points-per-frame says otherwise)"
        )
    return ""


def given_share(by_gradient: float | str | None) -> float | None:
    """The share of the points to draw by the gradient, None for that of the density itself.

    Raises
    ------
    ChargeError
        If it is no share.
    """
    if by_gradient is None or by_gradient == "auto":
        return None
    if isinstance(by_gradient, str) or not 0 <= by_gradient <= 1:
        raise ChargeError(
            f"by_gradient is {by_gradient!r}: give a share of the points, 0 to 1, or 'auto'"
        )
    return by_gradient


def gradient_share(density: Density) -> float:
    r"""Choose the share of points to draw in proportion to the gradient.

    It grows as the part e of the grid that carries the gradient shrinks,

    .. math::
        s = 0.7 \max(0, 1 - e / 0.16), \qquad
        e = \frac{(\sum |\nabla\rho|)^2}{N \sum |\nabla\rho|^2}

    over N grid points, those of a hundred planes: 0.01 to 0.03 for molecules in vacuum, 0.14
    for liquid water, 0.6 and more for metals and silicon, of which all points are drawn
    uniformly.

    Parameters
    ----------
    density : Density

    Returns
    -------
    float
        0 to 0.7.
    """
    axis = slow_axis(density.values)
    total = squares = 0.0
    n_points = 0
    for gradient in _gradients(density, axis, math.ceil(density.shape[axis] / _PLANES)):
        total += float(gradient.sum())
        squares += float(np.vdot(gradient, gradient))
        n_points += gradient.size
    if not squares:
        return 0.0
    part = total**2 / (n_points * squares)
    return _SHARE * max(0.0, 1.0 - part / _WIDE)


def entropy_of(seed: int | np.random.Generator | None) -> int:
    """What all random numbers of a seed come from: the seed itself, or a number that is drawn."""
    if isinstance(seed, np.random.Generator):
        return int(seed.integers(1 << 62))
    random_generator(seed)  # complains
    entropy = np.random.SeedSequence(seed).entropy
    assert isinstance(entropy, int)
    return entropy


def generator_at(entropy: int, place: int) -> np.random.Generator:
    """Make the numpy Generator of the density at a place: those of the first are the seed's own."""
    spawned = (place,) if place else ()
    return np.random.default_rng(np.random.SeedSequence(entropy, spawn_key=spawned))


def random_generator(seed: int | np.random.Generator | None) -> np.random.Generator:
    """Make a numpy Generator of a seed, or ChargeError of a negative one."""
    try:
        return np.random.default_rng(seed)
    except ValueError:
        raise ChargeError(f"seed is {seed}: give a whole number that is not negative") from None


def _by_gradient(density: Density, n_points: int, generator: np.random.Generator) -> Integers:
    r"""Draw points one after another with probabilities proportional to \|grad rho\|.

    The n points of least e / weight, e exponential random numbers, are such a
    sample (Efraimidis and Spirakis, Inf. Process. Lett. 97, 181 (2006)): one pass
    over the grid, whatever its size. Points without a gradient are left out.

    Returns
    -------
    numpy.ndarray of int
        Flat C-order indices, ascending.
    """
    best, index = np.empty(0), np.empty(0, int)
    if not n_points:
        return index
    axis = slow_axis(density.values)
    for k, weight in enumerate(_gradients(density, axis)):
        with np.errstate(divide="ignore"):
            key = generator.exponential(size=weight.shape) / weight
        most = best.max() if len(best) == n_points else np.inf
        where = np.nonzero(key < most)
        best = np.concatenate([best, key[where]])
        place = [*where[:axis], np.full(len(where[0]), k), *where[axis:]]
        index = np.concatenate([index, np.ravel_multi_index(place, density.shape)])
        if len(best) > n_points:
            keep = np.argpartition(best, n_points - 1)[:n_points]
            best, index = best[keep], index[keep]
    return np.sort(index)


def _gradients(density: Density, axis: int, stride: int = 1) -> Iterator[Floats]:
    r"""Yield \|grad rho\| (e/A^4) of the planes, or of every so many, along a grid axis.

    By central differences, at the faces of open axes by those to the plane beside.
    """
    planes = np.moveaxis(density.values, axis, 0)
    order = [axis, *(i for i in range(3) if i != axis)]
    # d rho / d x = sum_i (d rho / d s_i) (d s_i / d x), s = x . inverse of the cell
    to_cartesian = np.linalg.inv(density.atoms.cell.array)[:, order] * planes.shape / 2.0
    periodic = density.atoms.pbc[order]
    for k in range(0, len(planes), stride):
        steps = [_step(planes, k, periodic[0])]
        steps += [_steps(planes[k], i, periodic[i + 1]) for i in (0, 1)]
        yield np.sqrt(
            sum(sum(a * d for a, d in zip(row, steps, strict=True)) ** 2 for row in to_cartesian)
        )
        release(density.values)


def _step(planes: Floats, k: int, is_periodic: bool) -> Floats:
    """Difference of the planes after and before one, twice that of two neighbours at an end."""
    n = len(planes)
    if is_periodic:
        return planes[(k + 1) % n] - planes[k - 1]
    before, after = max(k - 1, 0), min(k + 1, n - 1)
    return (planes[after] - planes[before]) * (2.0 / max(after - before, 1))


def _steps(plane: Floats, axis: int, is_periodic: bool) -> Floats:
    """The same, at all points along an axis of a plane."""
    if is_periodic:
        return np.roll(plane, -1, axis) - np.roll(plane, 1, axis)
    return 2.0 * np.gradient(plane, axis=axis) if plane.shape[axis] > 1 else np.zeros(plane.shape)
