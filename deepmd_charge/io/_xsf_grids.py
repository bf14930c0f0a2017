# SPDX-License-Identifier: LGPL-3.0-or-later
"""Which points of an xsf grid are one period, and of which cell.

It should be a "general grid" over the primitive cell: its last point along an axis
lies at the end of the spanning vector, where in a crystal the first one comes
again. Programs also write other grids, of which vectors and values tell what
they are:

- over a supercell, or with the axes in another order;
- without the repeated planes, the vectors ending at the last points;
- without the repeated planes, the vectors ending at the cell's end all the same,
  or one step behind it (ase, where it is not told the vectors).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..errors import ChargeError
from ..grid.mapped import by_planes
from ..typing import Floats, Integers, Shape

__all__ = ["Period", "find_period", "is_periodic", "open_cell", "repeats"]

# Spanning vectors are printed with six decimals, values with six digits or decimals.
VECTOR_TOLERANCE = 1e-4  # A, and RELATIVE_TOLERANCE of the vector, for programs differ in the bohr
RELATIVE_TOLERANCE = 1e-5
REPEAT_TOLERANCE = 1e-4  # of the largest value on a plane, or of the mean size of all
VISIBLE = 1e-2  # of the mean size of all values; less on a plane tells nothing
MOST_CELLS = 1000
# A periodic grid goes on beyond its end as it goes on elsewhere: its step from the last plane
# to the first is no larger than this many of the largest step between neighbours.
LARGEST_STEP = 2.0


class Period(NamedTuple):
    """One period of a grid.

    Attributes
    ----------
    cell : numpy.ndarray, shape (3, 3)
        Of the points that are kept.
    cells : numpy.ndarray of int, shape (3, 3)
        Its vectors in those of the primitive cell.
    kept : tuple of slice
        Points of the file's grid that are one period.
    order : tuple of int
        Axes of the file's grid in the order of the cell's.
    notes : list of str
        What was found out.
    """

    cell: Floats
    cells: Integers
    kept: tuple[slice, ...]
    order: Shape
    notes: list[str]


class _Axis(NamedTuple):
    """How the end of an axis lies to its beginning.

    Attributes
    ----------
    repeats : bool
        Whether the last plane is the first once more, within the digits.
    tells : bool
        Whether a grid without that plane would look different.
    is_mirrored : bool
        Whether the planes beside these two are equal as well.
    """

    repeats: bool
    tells: bool
    is_mirrored: bool


def find_period(values: Floats, spans: Floats, cell: Floats, n_periodic: int = 3) -> Period:
    """Find the period of a grid in a periodic structure.

    Parameters
    ----------
    values : numpy.ndarray, shape (nx, ny, nz)
    spans : numpy.ndarray, shape (3, 3)
        Spanning vectors.
    cell : numpy.ndarray, shape (3, 3)
        Primitive cell.
    n_periodic : int, optional
        The structure is periodic along so many cell vectors, from the first.

    Returns
    -------
    Period

    Raises
    ------
    ChargeError
        If the grid covers no period, or not in one way only.
    """
    cell = np.array(cell)
    axes = _axes(values)
    for i in range(n_periodic, 3):  # no period: the cell ends where the grid does
        if not axes[i].repeats:
            cell[i] = open_cell(spans, values.shape)[i]
        elif not _are_equal(spans[i], cell[i]):
            cell[i] = spans[i]
    layout = _lay_out(spans, values.shape, cell)
    if layout is None or not _are_of_periods(layout[1], n_periodic):
        raise ChargeError("the grid does not span the primitive cell; write it for PRIMVEC")
    ends, cells = layout
    kept, notes = _keep(values, ends, axes)
    order = _order(cells)
    if order != (0, 1, 2):
        names = " ".join("abc"[i] for i in order)
        notes.append(f"axes a b c are {names} of the grid")
    if (n_cells := abs(round(np.linalg.det(cells)))) > 1:
        notes.append(f"the grid spans {n_cells} primitive cells: the atoms are repeated")
    cells = cells[list(order)]
    return Period(cells @ cell, cells, kept, order, notes)


def is_periodic(values: Floats) -> bool:
    """Whether a grid can only be that of a crystal, by its values.

    All last planes repeat the first, and this is no matter of a symmetric molecule in
    the middle of a box.
    """
    axes = _axes(values)
    return all(axis.repeats for axis in axes) and not all(
        axis.is_mirrored for axis in axes if axis.tells
    )


def repeats(values: Floats) -> bool:
    """Whether all last planes of a grid repeat the first."""
    return all(axis.repeats for axis in _axes(values))


def open_cell(spans: Floats, shape: Sequence[int]) -> Floats:
    """Spanning vectors, each with one step more: the cell of a grid that repeats no points."""
    counts = np.array(shape)[:, None]
    return spans * (counts / np.maximum(counts - 1, 1))


def _lay_out(
    spans: Floats, shape: Sequence[int], cell: Floats
) -> tuple[list[str], Integers] | None:
    """Where each axis ends, and its period in cell vectors; None where it is no period."""
    if not abs(np.linalg.det(cell)) > 1e-12:
        return None
    inverse = np.linalg.inv(cell)
    ends, rows = [], []
    for span, n in zip(spans, shape, strict=True):
        for end, factor in ("whole", 1.0), ("open", n / max(n - 1, 1)), ("beyond", n / (n + 1)):
            row = np.rint(span * factor @ inverse)
            is_period = row.any() and _are_equal(row @ cell, span * factor)
            if is_period and (end != "beyond" or np.abs(row).sum() == 1):
                ends.append(end)
                rows.append(row)
                break
    cells = np.array(rows)
    if len(cells) < 3 or not 0.5 < abs(np.linalg.det(cells)) < MOST_CELLS + 0.5:
        return None
    return ends, cells.astype(int)


def _are_equal(one: Floats, other: Floats) -> bool:
    limit = VECTOR_TOLERANCE + RELATIVE_TOLERANCE * np.linalg.norm(other)
    return bool(np.abs(one - other).max() <= limit)


def _order(cells: Integers) -> Shape:
    """Axes in the order of the cell vectors, or at least of their handedness."""
    if (np.sort(cells, axis=1) == [0, 0, 1]).all():
        a, b, c = np.argsort(cells.argmax(axis=1)).tolist()
        return a, b, c
    return (0, 1, 2) if np.linalg.det(cells) > 0 else (2, 1, 0)


def _are_of_periods(cells: Integers, n_periodic: int) -> bool:
    """Whether directions that are not periodic have a grid axis of their own."""
    fixed = np.arange(3) >= n_periodic
    return bool((cells == np.eye(3))[fixed[:, None] | fixed].all())


def _keep(
    values: Floats, ends: list[str], axes: list[_Axis]
) -> tuple[tuple[slice, ...], list[str]]:
    """Points that are one period along each axis, and notes."""
    ended = [i for i in range(3) if ends[i] != "open"]
    bad = [i for i in ended if not axes[i].repeats]
    is_padded = any(axes[i].tells for i in ended)
    dropped = [] if bad else [i for i in ended if ends[i] == "whole" or is_padded]
    if bad and not any(axes[i].repeats and axes[i].tells for i in ended):  # no plane is repeated
        bad = [i for i in bad if not _goes_on(values, i)]
    bad += [i for i in dropped if values.shape[i] < 2]
    if bad:
        raise ChargeError(
            "the last plane of the grid does not repeat the first"
            f" along {'abc'[bad[0]]}: not a general grid of this cell"
        )
    kept = tuple(slice(-1 if i in dropped else None) for i in range(3))
    if dropped or not ended:
        return kept, []
    return kept, ["no plane of the grid is repeated at its end: all its points are one period"]


def _axes(values: Floats) -> list[_Axis]:
    """The three axes of a grid."""
    with np.errstate(over="ignore"):
        mean = sum(float(np.abs(plane).sum()) for plane in by_planes(values)) / values.size
    return [_axis(np.moveaxis(values, i, 0), mean) for i in range(3)]


def _axis(planes: Floats, mean: float) -> _Axis:
    first, second, before, last = (planes[i % len(planes)] for i in (0, 1, -2, -1))
    top = max(np.abs(first).max(), np.abs(last).max())
    limit = REPEAT_TOLERANCE * max(top, mean)
    inner = max(np.abs(second - first).max(), np.abs(last - before).max())
    return _Axis(
        repeats=bool(np.abs(last - first).max() <= limit),
        tells=bool(top > VISIBLE * mean and (len(planes) == 2 or inner > limit)),
        is_mirrored=bool(np.abs(second - before).max() <= limit),
    )


def _goes_on(values: Floats, axis: int) -> bool:
    planes = np.moveaxis(values, axis, 0)
    steps = (np.abs(planes[i + 1] - planes[i]).max() for i in range(len(planes) - 1))
    return bool(np.abs(planes[0] - planes[-1]).max() <= LARGEST_STEP * max(steps, default=0.0))
