# SPDX-License-Identifier: LGPL-3.0-or-later
"""What several subcommands do with their input files."""

import os
import warnings

from ..errors import ChargeError
from ..io.quiet import read_companion, read_quietly  # noqa: F401  (for the subcommands)
from ..atoms.compare import same_atoms


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
    from ..grid.channels import CHANNELS

    parser.add_argument(
        "--quantity",
        choices=CHANNELS,
        default=default,
        help=f"what to take of a density with spin (default: {told}); of a non-collinear one"
        " total or magnitude",
    )


def add_declarations(parser):
    """Declare ``--pbc``, ``--unit`` and ``--is``, which overrule what files say of themselves."""
    from ..io.verdict.declared import LENGTHS, VALUES
    from ..grid.quantity import QUANTITIES

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


def declared(args):
    """Options of :func:`deepmd_charge.read_density` from these flags."""
    pbc = args.pbc and [letter == "T" for letter in args.pbc]
    return {"pbc": pbc, "unit": args.unit, "holds": args.holds}


def checking(args):
    """How strictly files are judged that are learnt from, or tested on."""
    from ..io import LEARN

    return False if args.unchecked else LEARN


def content(density):
    """Say in a word what a density integrates to, or what else it is."""
    if density.quantity.integral:
        return f"{density.n_electrons:.6f} {density.quantity.integral}"
    return f"{density.quantity.description}, mean {density.values.mean():.6g}"


def add_unchecked(parser):
    """Declare ``--unchecked``."""
    parser.add_argument(
        "--unchecked",
        action="store_true",
        help="take files whose integral no number of valence electrons can be, or that are doubtful"
        " otherwise",
    )


def check_densities(paths, format=None):
    """Refuse, before any work is done, files that cannot be densities.

    Raises
    ------
    ChargeError
        When a file is missing, or its name tells no format.
    """
    from ..io import format_of
    from ..io.frames import split_frames

    for path in paths:
        file, _ = split_frames(path)
        if not os.path.exists(file):
            raise ChargeError(f"{file}: no such file")
        format_of(file, format)


def add_model_argument(parser, **options):
    """Declare ``-m``; options as for ``add_argument``, where they differ from one model."""
    usual = {"required": True, "metavar": "MODEL", "help": "frozen model (charge.pb)"}
    parser.add_argument("-m", "--model", **{**usual, **options})


def add_content(parser):
    """Declare ``--is`` of a model."""
    from ..grid.quantity import QUANTITIES

    parser.add_argument(
        "--is",
        dest="content",
        choices=QUANTITIES,
        metavar="QUANTITY",
        help="what a model predicts that does not remember it, as some do that former versions"
        " made from others",
    )


def open_model(path, args, *options):
    """Make the ChargeModel of a file, with the user's word for what it predicts."""
    from ..predict import ChargeModel

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
        :func:`deepmd_charge.atoms.species.name_species`.

    Returns
    -------
    atoms : ase.Atoms
    origin : np.ndarray
        (3,) where a grid of its cell is to begin, A.

    Raises
    ------
    ChargeError
        When the file cannot be read, has no cell, or the model cannot evaluate
        the structure.
    """
    from ..io.frames import split_frames
    from ..io.structures import iterate_structures

    file, frames = split_frames(path)
    atoms = None
    for _, atoms, origin in iterate_structures(file, "-1" if frames is None else frames, species):
        pass
    if atoms is None:
        raise ChargeError(f"{path}: there are no such frames in this file")
    check_structure(path, atoms, [model])
    return atoms, origin


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
