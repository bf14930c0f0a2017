# SPDX-License-Identifier: LGPL-3.0-or-later
"""Flags that several subcommands share, and what they ask for."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any, TypeAlias

from .. import predict as prediction
from ..errors import ChargeError
from ..grid.channels import CHANNELS
from ..grid.density import Density
from ..grid.grid import Grid, check_shape
from ..grid.quantity import QUANTITIES
from ..io import FORMATS, LEARN
from ..io.verdict.declared import LENGTHS, VALUES
from ..typing import ArrayLike

if TYPE_CHECKING:
    from ase import Atoms

    from ..predict.charge_model import ChargeModel

Subparsers: TypeAlias = "argparse._SubParsersAction[argparse.ArgumentParser]"


def add_format(parser: argparse.ArgumentParser) -> None:
    """Declare ``--format``, for files whose names do not tell it."""
    parser.add_argument(
        "--format",
        metavar="NAME",
        help=f"format of the density files: one of {', '.join(FORMATS)}; vasp/locpot and"
        " vasp/elfcar are read only when asked for (default: by their names)",
    )


def add_species(parser: argparse.ArgumentParser) -> None:
    """Declare ``--species``."""
    parser.add_argument(
        "--species",
        nargs="+",
        metavar="NAME",
        help="names of atom types, one for each group of like atoms or for each atom, such as"
        " Fe1 Fe2 O for two sublattices; the elements of a CHGCAR of VASP 4, and of the types"
        " 1, 2, ... of a LAMMPS dump",
    )


def add_quantity(
    parser: argparse.ArgumentParser, default: str | None = "total", default_text: str = "total"
) -> None:
    """Declare ``--quantity``, with what its help calls the default."""
    parser.add_argument(
        "--quantity",
        choices=CHANNELS,
        default=default,
        help=f"what to take of a density with spin (default: {default_text}); of a non-collinear"
        " one total or magnitude",
    )


def add_declarations(parser: argparse.ArgumentParser) -> None:
    """Declare ``--pbc``, ``--unit`` and ``--is``, which overrule what files say of themselves."""
    parser.add_argument(
        "--pbc",
        nargs=3,
        choices="TF",
        metavar=("A", "B", "C"),
        help="T or F for each axis: whether the structures are periodic along it",
    )
    parser.add_argument(
        "--unit",
        nargs="+",
        choices=[*VALUES, *LENGTHS],
        metavar="UNIT",
        help=f"of the values ({', '.join(VALUES)}; e: times the volume of the cell), of lengths"
        f" ({', '.join(LENGTHS)}), or of both, where they are not those of the format",
    )
    parser.add_argument(
        "--is",
        dest="holds",
        choices=QUANTITIES,
        metavar="QUANTITY",
        help=f"what files with one grid hold: {', '.join(QUANTITIES)}",
    )


def declarations(args: argparse.Namespace) -> dict[str, Any]:
    """Options of :func:`deepmd_charge.read_density` from these flags."""
    pbc = args.pbc and [letter == "T" for letter in args.pbc]
    return {"pbc": pbc, "unit": args.unit, "holds": args.holds}


def strictness(args: argparse.Namespace) -> Any:
    """The option `check` of :func:`deepmd_charge.read_density` for files to be tested on."""
    return False if args.unchecked else LEARN


def summary(density: Density) -> str:
    """Words for what a density integrates to, or what else it is."""
    if density.quantity.integral:
        return f"{density.n_electrons:.6f} {density.quantity.integral}"
    return f"{density.quantity.description}, mean {density.values.mean():.6g}"


def add_unchecked(parser: argparse.ArgumentParser) -> None:
    """Declare ``--unchecked``."""
    parser.add_argument(
        "--unchecked",
        action="store_true",
        help="take files whose integral no number of valence electrons can be, or that are doubtful"
        " otherwise",
    )


def add_model_argument(parser: argparse.ArgumentParser, **options: Any) -> None:
    """Declare ``-m``; options as for ``add_argument``, where they differ from one model."""
    usual = {"required": True, "metavar": "MODEL", "help": "frozen model (charge.pb)"}
    parser.add_argument("-m", "--model", **{**usual, **options})


def add_predicted_quantity(parser: argparse.ArgumentParser) -> None:
    """Declare ``--is`` of a model."""
    parser.add_argument(
        "--is",
        dest="predicted_quantity",
        choices=QUANTITIES,
        metavar="QUANTITY",
        help="what a model predicts that does not remember it, as some do that former versions"
        " made from others",
    )


def open_model(path: str, args: argparse.Namespace, n_threads: int | None = None) -> ChargeModel:
    """Make the ChargeModel of a file, with the user's word for what it predicts."""
    return prediction.ChargeModel(path, n_threads, quantity=args.predicted_quantity)


def add_structure_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what names a structure."""
    parser.add_argument(
        "-s",
        "--structure",
        required=True,
        metavar="FILE",
        help="structure: any file that ase reads, or a density file",
    )
    add_species(parser)


def add_grid_flags(parser: argparse.ArgumentParser, required: bool = False) -> None:
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


def check_grid(args: argparse.Namespace) -> None:
    """Raise ChargeError for a ``--grid`` without points, or with absurdly many."""
    if args.grid is not None:
        check_shape(args.grid, f"--grid {' '.join(map(str, args.grid))}")


def choose_grid(
    args: argparse.Namespace,
    atoms: Atoms,
    like: Grid | None = None,
    origin: ArrayLike = (0.0, 0.0, 0.0),
    spacing: float | None = None,
) -> Grid:
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
    Grid

    Raises
    ------
    ChargeError
        If it cannot be made, or nothing tells the number of points.
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
    if spacing is None:
        raise ChargeError(
            "the number of grid points is not known; give --grid, --like or --spacing"
        )
    return Grid.spaced(atoms, spacing, origin)


def add_magnetization(parser: argparse.ArgumentParser) -> None:
    """Declare ``--magnetization``."""
    parser.add_argument(
        "--magnetization",
        nargs="+",
        default=[],
        metavar="MODEL",
        help="frozen model of the magnetisation, or several, for a run with nspin = 2",
    )


def add_program(parser: argparse.ArgumentParser) -> None:
    """Declare ``--pw``."""
    parser.add_argument(
        "--pw",
        metavar="COMMAND",
        help="pw.x, or a command that runs it (default: the pw.x that is found)",
    )
