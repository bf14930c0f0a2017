# SPDX-License-Identifier: LGPL-3.0-or-later
"""The flags that choose a grid."""

from ..errors import ChargeError
from ..grid.grid import Grid, check_shape


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


def check_grid(args):
    """Raise ChargeError for a ``--grid`` without points, or with absurdly many."""
    if args.grid is not None:
        check_shape(args.grid, f"--grid {' '.join(map(str, args.grid))}")


def choose_grid(args, atoms, like=None, origin=(0.0, 0.0, 0.0), spacing=None):
    """Make the grid that the flags ask for.

    Parameters
    ----------
    args : argparse.Namespace
        With the flags of :func:`add_grid_flags`.
    atoms : ase.Atoms
        The structure.
    like : Grid, optional
        That of ``--like``, or what stands for it.
    origin : array_like, optional
        (3,) where the grid begins, A.
    spacing : float, optional
        Largest distance of points, A, where no flag was given.

    Returns
    -------
    Grid or None
        None where nothing tells the number of points.

    Raises
    ------
    ChargeError
        If it cannot be made.
    """
    if args.grid is not None:
        return Grid.of(atoms, args.grid, origin)
    if args.spacing is None and like is not None:
        return Grid.of(atoms, like.shape, origin)
    if args.spacing is not None:
        try:
            return Grid.spaced(atoms, args.spacing, origin)
        except ChargeError as error:
            raise ChargeError(f"--{error}") from None
    return None if spacing is None else Grid.spaced(atoms, spacing, origin)
