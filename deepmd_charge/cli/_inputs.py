# SPDX-License-Identifier: LGPL-3.0-or-later
"""What several subcommands do with their input files."""

import os
import warnings

from ..errors import ChargeError
from ..formats.quiet import read_companion, read_quietly  # noqa: F401  (for the subcommands)
from ..structures import same_atoms


def add_format(parser):
    """Declare ``--format``, for files whose names do not tell it."""
    parser.add_argument(
        "--format",
        metavar="NAME",
        help="format of the density files: cube, xsf, vasp/chgcar, vasp/h5, ..., and vasp/locpot"
        " or vasp/elfcar, which are read only when asked for (default: by their names)",
    )


def add_species(parser):
    """Declare ``--species``."""
    parser.add_argument(
        "--species",
        nargs="+",
        metavar="NAME",
        help="names of atom types, one for each group of like atoms or for each atom, such as"
        " Fe1 Fe2 O for two sublattices; the elements of a CHGCAR of VASP 4, and of the types"
        " 1, 2, ... of a LAMMPS dump",
    )


def add_quantity(parser, default="total", told="total"):
    """Declare ``--quantity``, with what its help says of the default."""
    from ..quantities import QUANTITIES

    parser.add_argument(
        "--quantity",
        choices=QUANTITIES,
        default=default,
        help=f"what to take of a density with spin (default: {told}); of a non-collinear one"
        " total or magnitude",
    )


def add_unchecked(parser):
    """Declare ``--unchecked``."""
    parser.add_argument(
        "--unchecked",
        action="store_true",
        help="take densities whose integral is not positive or above the sum of the atomic numbers",
    )


def check_densities(paths, format=None):
    """Refuse, before any work is done, files that cannot be densities.

    Raises
    ------
    ChargeError
        When a file is missing, or its name tells no format.
    """
    from ..formats import format_of

    for path in paths:
        if not os.path.exists(path):
            raise ChargeError(f"{path}: no such file")
        format_of(path, format)


def add_model_argument(parser, **options):
    """Declare ``-m`` and ``--is``.

    Options of the former are those of ``add_argument``, where they differ from one model.
    """
    from ..model_info import CONTENTS

    usual = {"required": True, "metavar": "MODEL", "help": "frozen model (charge.pb)"}
    parser.add_argument("-m", "--model", **{**usual, **options})
    parser.add_argument(
        "--is",
        dest="content",
        choices=CONTENTS,
        help="what a model predicts that does not remember it, as some do that former versions"
        " made from others",
    )


def open_model(path, args, *options):
    """Make the ChargeModel of a file, with the user's word for what it predicts."""
    from ..inference import ChargeModel

    told = {"quantity": args.content} if args.content else {}
    return ChargeModel(path, *options, **told)


def add_structure_arguments(parser):
    """Declare what names a structure."""
    parser.add_argument(
        "-s",
        "--structure",
        required=True,
        metavar="FILE",
        help="structure: any file that ase reads, or a density file",
    )
    add_species(parser)


def read_structure(path, model, species=None):
    """Read a periodic structure and check that a model knows its elements.

    Parameters
    ----------
    path : str
        Any file that ase reads (``file@3`` picks a frame, the last is the
        default) or a density file.
    model : ChargeModel
        Model that the structure is meant for.
    species : list of str, optional
        Elements of the types of a LAMMPS dump; of other files see
        :func:`deepmd_charge.species.name_species`.

    Returns
    -------
    ase.Atoms

    Raises
    ------
    ChargeError
        When the file cannot be read, has no cell, or the model cannot evaluate
        the structure.
    """
    from ._frames import iterate_structures, split_frames

    file, frames = split_frames(path, None)
    atoms = None
    for _, atoms, _ in iterate_structures(file, "-1" if frames is None else frames, species):
        pass
    if atoms is None:
        raise ChargeError(f"{path}: there are no such frames in this file")
    check_structure(path, atoms, [model])
    return atoms


def check_structure(name, atoms, models):
    """Raise ChargeError for a structure that models cannot predict on a grid."""
    if not len(atoms):
        raise ChargeError(f"{name}: there are no atoms in this file")
    if atoms.cell.rank < 3:
        raise ChargeError(f"{name}: the structure has no cell of three vectors; add one")
    for model in models:
        model.check(atoms, name)


def check_same_grid(path, reference, other_path, other):
    """Raise ChargeError when two densities are not on one grid of one cell.

    Warns
    -----
    UserWarning
        When the atoms are not the same.
    """
    try:
        reference.matching(other)
    except ChargeError as error:
        raise ChargeError(f"{path} and {other_path}: {error}") from None
    if not same_atoms(reference.atoms, other.atoms):
        warnings.warn(
            f"{path} and {other_path}: these are densities of different structures", stacklevel=2
        )
