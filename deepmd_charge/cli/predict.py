# SPDX-License-Identifier: LGPL-3.0-or-later
"""``deepmd-charge predict``: the density of a structure on a whole grid."""

import math

from ..errors import ChargeError

MOST_POINTS = 10**12  # of a grid; 8 terabytes


def add_parser(subparsers):
    """Add the subcommand to the command line."""
    from ._inputs import add_species

    parser = subparsers.add_parser(
        "predict",
        help="predict the density of a structure and write it",
        description="Predict the electron density (e/A^3) of a structure on a whole grid. "
        "With no grid flag the grid has the spacing of the model's training data.",
    )
    parser.add_argument("-m", "--model", required=True, help="frozen model (charge.pb)")
    parser.add_argument(
        "-s",
        "--structure",
        required=True,
        metavar="FILE",
        help="structure: any file that ase reads, or a density file",
    )
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="FILE",
        help="density to write; its name tells the format (CHGCAR_..., NAME.cube, NAME.xsf; .gz, .xz)",
    )
    add_species(parser)
    grid = parser.add_mutually_exclusive_group()
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
    parser.add_argument(
        "--saed",
        metavar="FILE",
        help="superposition of atomic densities of this structure to add, for a model that was "
        "trained with such files; without a grid flag its grid is taken",
    )
    parser.add_argument(
        "--electrons",
        metavar="N",
        help="scale the density to N electrons, or with `auto` to the valences of the potentials; "
        "by default the deviation is only told",
    )
    parser.add_argument(
        "--augmentation",
        nargs="+",
        metavar="FROM",
        help="write PAW augmentation occupancies for VASP: those of a CHGCAR of the same atoms, "
        "or the mean spherical part over other CHGCARs (of the training)",
    )
    parser.set_defaults(run=run)


def run(args):
    """Carry out ``deepmd-charge predict``."""
    from .. import electrons, formats
    from ..inference import ChargeModel
    from ..saed.adding import check_given
    from ._inputs import check_densities, read_quietly, read_structure

    formats.check_writable(args.output)
    has_occupancies = formats.format_of(args.output) == "vasp/chgcar"
    check_densities(
        [path for path in (args.like, args.saed, *(args.augmentation or [])) if path is not None]
    )
    if args.grid is not None:
        check_grid(args.grid)
    if args.augmentation and not has_occupancies:
        raise ChargeError(f"{args.output}: only a CHGCAR holds augmentation occupancies")
    model = ChargeModel(args.model)
    check_given(args.model, model.info, args.saed)
    atoms = read_structure(args.structure, model, args.species)
    saed = read_quietly(args.saed) if args.saed else None
    grid = choose_grid(args, model, atoms, saed)
    number = args.electrons and electrons.parse_electrons(
        args.electrons, args.model, model.info, atoms
    )
    extra = augmentation(args, atoms) if has_occupancies else {}
    density = model.predict(atoms, grid=grid, progress=True, saed=saed)
    shape = " x ".join(map(str, grid))
    found = density.n_electrons
    if number:
        electrons.rescale(density, number)
    density.extra.update(extra)
    formats.write_density(args.output, density)
    expected = number or electrons.expected_electrons(model.info, atoms)
    print(f"{args.output}: {shape} points, {told(found, expected, number)}")
    if has_occupancies:
        print(f"{args.output}: {extra['comment'].partition(': ')[2]}")


def told(found, expected, scaled):
    """Say how many electrons were predicted, and by how many that misses."""
    text = f"{found:.4f} electrons"
    if expected is None:
        return text
    text += f" ({found - expected:+.4f} of {expected:.10g})"
    return f"{text}, scaled to {expected:.10g}" if scaled else text


def augmentation(args, atoms):
    """Comment, and augmentation occupancies if asked for, of a CHGCAR."""
    from ..augmentation import MISSING, occupancies

    name = f"{atoms.get_chemical_formula()} predicted by deepmd-charge"
    if not args.augmentation:
        return {"comment": f"{name}: {MISSING}"}
    text, how = occupancies(atoms, args.augmentation)
    return {"comment": f"{name}: {how}", "augmentation": [text]}


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


def choose_grid(args, model, atoms, saed=None):
    """Find the grid shape that the flags, or else the model, ask for.

    Returns
    -------
    tuple of int
    """
    if args.grid is not None:
        return tuple(args.grid)
    if args.like is not None:
        from ._inputs import read_quietly

        return tuple(read_quietly(args.like).shape)
    spacing = args.spacing
    if spacing is None and saed is not None:
        return tuple(saed.shape)
    if spacing is None:
        spacing = model.info.get("grid_spacing")
        if spacing is None:
            raise ChargeError(
                f"{args.model}: the model does not know the grid spacing of its training data; "
                "give --grid, --like or --spacing"
            )
    elif not (spacing > 0.0 and math.isfinite(spacing)):
        raise ChargeError(f"--spacing {spacing:g}: a spacing must be a positive length in A")
    counts = atoms.cell.lengths() / spacing
    check_size(float(counts.prod()), f"--spacing {spacing:g}")
    return tuple(map(fft_size, counts))


def fft_size(points):
    """Round up to the next product of 2, 3, 5 and 7, which FFTs like best.

    Parameters
    ----------
    points : float
        Smallest size; a millionth of it is allowed for rounding errors.

    Returns
    -------
    int
    """
    size = max(1, math.ceil(points * (1.0 - 1e-6)))
    while not _is_smooth(size):
        size += 1
    return size


def _is_smooth(number):
    for prime in (2, 3, 5, 7):
        while number % prime == 0:
            number //= prime
    return number == 1
