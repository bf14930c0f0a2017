# SPDX-License-Identifier: LGPL-3.0-or-later
"""The flags that choose a grid."""

import math

from ..errors import ChargeError
from ..grids import fft_size

MOST_POINTS = 10**12  # of a grid; 8 terabytes


def add_grid_flags(parser, required=False):
    """Declare ``--grid``, ``--like`` and ``--spacing``, of which one may be given."""
    grid = parser.add_mutually_exclusive_group(required=required)
    grid.add_argument(
        "--grid", nargs=3, type=int, metavar=("NX", "NY", "NZ"), help="number of grid points"
    )
    grid.add_argument("--like", metavar="FILE", help="take the grid of this density file")
    grid.add_argument(
        "--spacing",
        type=float,
        metavar="H",
        help="largest distance (A) of grid points along a cell vector; "
        "the numbers are rounded up to products of 2, 3, 5 and 7",
    )


def check_grid(grid):
    """Raise ChargeError for a grid without points, or with absurdly many."""
    flag = f"--grid {' '.join(map(str, grid))}"
    if min(grid) < 1:
        raise ChargeError(f"{flag}: this grid has no points; give three counts of at least 1")
    check_size(math.prod(grid), flag)


def check_size(n_points, flag):
    """Raise ChargeError for more grid points than any computer holds."""
    if n_points > MOST_POINTS:
        raise ChargeError(f"{flag}: a grid of {n_points:.1e} points does not fit into memory")


def grid_of_spacing(spacing, atoms):
    """Grid shape with points no farther apart than a spacing (A).

    Raises
    ------
    ChargeError
        If the spacing is not a positive length, or the grid absurdly large.
    """
    if not (spacing > 0.0 and math.isfinite(spacing)):
        raise ChargeError(f"--spacing {spacing:g}: a spacing must be a positive length in A")
    counts = atoms.cell.lengths() / spacing
    check_size(float(counts.prod()), f"--spacing {spacing:g}")
    return tuple(map(fft_size, counts))
