# SPDX-License-Identifier: LGPL-3.0-or-later
"""``deepmd-charge predict``: the density of a structure on a whole grid."""

import numpy as np

from ..errors import ChargeError
from ._grid import add_grid_flags, check_grid, grid_of_spacing
from ._inputs import add_model_argument, add_structure_arguments


def add_parser(subparsers):
    """Add the subcommand to the command line."""
    parser = subparsers.add_parser(
        "predict",
        help="predict the density of a structure and write it",
        description="Predict the electron density (e/A^3) of a structure on a whole grid, or of "
        "every frame of a trajectory. With no grid flag the grid has the spacing of the model's "
        "training data. Several models give the mean and, in a second file, the standard "
        "deviation. Runs on all cores, or under mpirun.",
    )
    add_model_argument(parser, nargs="+", help="frozen model (charge.pb), or several")
    add_structure_arguments(parser)
    parser.add_argument(
        "--frames",
        metavar="I",
        help="frames of a trajectory as ase spells them: 3, -1, ::10 (default: all)",
    )
    parser.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="FILE",
        help="density to write; its name tells the format (CHGCAR_..., NAME.cube, NAME.xsf; .gz, .xz)",
    )
    add_grid_flags(parser)
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
        default=[],
        metavar="FROM",
        help="write PAW augmentation occupancies for VASP: those of a CHGCAR of the same atoms, "
        "or the mean spherical part over other CHGCARs (of the training)",
    )
    parser.add_argument(
        "--coarsen",
        type=int,
        default=1,
        metavar="N",
        help="predict on a grid N times coarser along each axis, and interpolate (Fourier)",
    )
    parser.add_argument(
        "--model-error",
        type=float,
        metavar="MAE",
        help="mean error of the model (e/A^3), which that of --coarsen must not exceed",
    )
    parser.add_argument(
        "-j",
        "--jobs",
        type=int,
        metavar="N",
        help="cores to use (default: all that the process may use; under MPI one a rank)",
    )
    parser.add_argument(
        "--resume", action="store_true", help="go on with a run that was interrupted or killed"
    )
    parser.set_defaults(run=run)


def run(args):
    """Carry out ``deepmd-charge predict``, on any rank."""
    from ..inference.evaluation import evaluator_of
    from ..inference.mpi import Team, serve, world

    comm = world()
    if comm and comm.rank:
        serve(comm, evaluator_of)
    else:
        with Team(comm) as team:
            predict(args, team)


def predict(args, team):
    """Predict all frames, on rank 0."""
    from .. import formats
    from ..density import Density
    from ..inference.outputs import labelled
    from ..inference.parallel import available_cores
    from ..inference.run import Run
    from ._finish import Finish
    from ._frames import iterate_structures, split_frames
    from ._inputs import check_densities, check_structure, open_model, read_companion

    formats.check_writable(args.output)
    check_numbers(args, team)
    check_densities([path for path in (args.like, args.saed, *args.augmentation) if path])
    path, frames = split_frames(args.structure, args.frames)
    n_threads = args.jobs or (1 if team.size > 1 else available_cores())
    models = [open_model(name, args, n_threads) for name in args.model]
    saed = read_companion(args.saed, args.species) if args.saed else None
    given = read_companion(args.like, args.species) if args.like else saed
    given = None if given is None else (given.shape, given.origin)
    options = {
        "frames": frames,
        **{name: getattr(args, name) for name in ("saed", "electrons", "augmentation")},
        **({"is": args.content} if args.content else {}),
    }
    with Run(
        models,
        args.output,
        team,
        args.resume,
        args.coarsen,
        args.model_error,
        options,
        args.content,
    ) as run:
        position = -1
        structures = iterate_structures(path, frames, args.species)
        for position, (frame, atoms, corner) in enumerate(structures):
            output = args.output if frame is None else labelled(args.output, f"{frame:04d}")
            if run.has_written(position, output):
                continue
            check_structure(path if frame is None else f"{path}@{frame}", atoms, models)
            grid, origin = choose_grid(args, models[0], atoms, corner, given)
            empty = Density(atoms, np.broadcast_to(0.0, grid), origin)
            check_saed(args.saed, models, empty, saed)
            finish = Finish(models, empty, output, args.electrons, args.augmentation, args.species)
            show(run.predict(atoms, grid, output, position, saed, finish, origin), finish)
        if position < 0:
            raise ChargeError(f"{path}: there are no frames {frames} in this file")


def show(report, finish):
    """Print what was written."""
    shape = " x ".join(map(str, report.shape))
    print(f"{report.path}: {shape} points, {finish.told()}", flush=True)
    if finish.occupancies:
        print(f"{report.path}: {finish.occupancies}")
    if report.added is not None:
        shape = " x ".join(map(str, report.predicted_shape))
        print(
            f"{report.path}: interpolated from {shape} points, which adds an error of "
            f"{report.added.mean:.1e} e/A^3 on average and {report.added.max:.1e} at most, "
            f"at {report.added.n_points} random points"
        )
    if report.deviation_path is not None:
        print(
            f"{report.deviation_path}: standard deviation of the models, "
            f"{report.mean_deviation:.1e} e/A^3 on average and {report.max_deviation:.1e} at most"
        )


def check_numbers(args, team):
    """Raise ChargeError for flags whose numbers make no sense."""
    if args.grid is not None:
        check_grid(args.grid)
    if args.jobs is not None:
        if args.jobs < 1:
            raise ChargeError(f"-j {args.jobs}: give a number of at least 1")
        if args.jobs > 1 and team.size > 1:
            raise ChargeError(f"-j {args.jobs}: an MPI rank takes one core; start more ranks")
    if args.coarsen < 1:
        raise ChargeError(f"--coarsen {args.coarsen}: give a number of at least 1")
    if args.model_error is not None and not args.model_error > 0.0:
        raise ChargeError(f"--model-error {args.model_error:g}: give a positive number")


def check_saed(path, models, density, saed):
    """Raise ChargeError unless models want a superposition that is given, or none, on this grid."""
    from ..saed.adding import check_given
    from ..saed.sources import matching

    for model in models:
        check_given(model.path, model.info, saed)
    if saed is not None:
        matching(density, saed, path)


def choose_grid(args, model, atoms, corner, given):
    """Find the grid that the flags, or else the model, ask for.

    Parameters
    ----------
    args : argparse.Namespace
    model : ChargeModel
    atoms : ase.Atoms
        The structure.
    corner : np.ndarray
        (3,) where its cell begins, A: a molecule is in the box there.
    given : tuple or None
        Shape and origin of the grid of ``--like``, or else of ``--saed``.

    Returns
    -------
    shape : tuple of int
    origin : np.ndarray
        (3,), A
    """
    shape, origin = given or (None, np.zeros(3) if atoms.pbc.all() else corner)
    if args.grid is not None:
        return tuple(args.grid), origin
    spacing = args.spacing
    if spacing is None and shape is not None:
        return shape, origin
    if spacing is None:
        spacing = model.info.get("grid_spacing")
        if spacing is None:
            raise ChargeError(
                f"{model.path}: the model does not know the grid spacing of its training data; "
                "give --grid, --like or --spacing"
            )
    return grid_of_spacing(spacing, atoms), origin
