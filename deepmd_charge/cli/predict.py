# SPDX-License-Identifier: LGPL-3.0-or-later
"""``deepmd-charge predict``: the density of a structure on a whole grid."""

from __future__ import annotations

import argparse
import logging
from typing import TYPE_CHECKING

from .. import io as formats
from ..errors import ChargeError
from ..grid.grid import Grid
from ..io.frames import split_frames
from ..io.names import labelled
from ..io.output import check_apart
from ..io.related import read_related
from ..io.structures import iterate_structures
from ..predict import fingerprints
from ..predict.evaluation import ModelsOnGrid, check_box, check_structure
from ..predict.parallel.blocks import available_cores
from ..predict.parallel.mpi import Ranks, on_ranks
from ..predict.postprocessing import Postprocessing
from ..predict.report import Report
from ..predict.run import Run
from ..typing import Floats
from ._flags import (
    Subparsers,
    add_grid_flags,
    add_model_argument,
    add_predicted_quantity,
    add_structure_arguments,
    check_grid,
    choose_grid,
    open_model,
)
from ._verbosity import add_verbosity, note

if TYPE_CHECKING:
    from ase import Atoms

    from ..predict.charge_model import ChargeModel

log = logging.getLogger(__name__)


def add_parser(subparsers: Subparsers) -> None:
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
    add_predicted_quantity(parser)
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
        help="density to write; its name tells the format (CHGCAR_..., NAME.cube, NAME.xsf; .gz,"
        " .xz)",
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
        help="write PAW augmentation occupancies for VASP: those of a CHGCAR (or vaspwave.h5) "
        "of the same atoms, or the mean spherical part over other CHGCARs (of the training)",
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
    add_verbosity(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> None:
    """Carry out ``deepmd-charge predict``, on any rank."""
    on_ranks(lambda ranks: predict(args, ranks), ModelsOnGrid.load)


def predict(args: argparse.Namespace, ranks: Ranks) -> None:
    """Predict all frames, on rank 0."""
    formats.check_writable(args.output)
    check_numbers(args, ranks)
    formats.check_readable([path for path in (args.like, args.saed, *args.augmentation) if path])
    path, frames = split_frames(args.structure, args.frames)
    inputs = [path, args.like, args.saed, *args.augmentation, *args.model]
    check_apart(args.output, inputs)
    n_threads = args.jobs or (1 if ranks.size > 1 else available_cores())
    models = [open_model(name, args, n_threads) for name in args.model]
    saed = read_related(args.saed, args.species) if args.saed else None
    like = read_related(args.like, args.species) if args.like else saed
    given = None if like is None else like.grid
    options = {
        "frames": frames,
        "saed": [args.saed, fingerprints.of_density(saed)] if saed is not None else None,
        "electrons": args.electrons,
        "augmentation": [[name, fingerprints.of_file(name)] for name in args.augmentation],
        **({"is": args.predicted_quantity} if args.predicted_quantity else {}),
    }
    settings = args.resume, args.coarsen, args.model_error, options, args.predicted_quantity
    # What is said of a frame waits for the next one, or for the end of the run: a note that
    # cannot be printed leaves no partial file beside the last frame.
    untold: list[tuple[Report, Postprocessing]] = []
    try:
        with Run(models, args.output, ranks, *settings) as run:
            position = -1
            structures = iterate_structures(path, frames, args.species)
            for position, (frame, atoms, corner) in enumerate(structures):
                show(untold)
                output = args.output if frame is None else labelled(args.output, f"{frame:04d}")
                check_apart(output, inputs)
                name = path if frame is None else f"{path}@{frame}"
                check_structure(name, atoms, models)
                grid = grid_of(args, models[0], atoms, corner, given)
                if run.has_written(atoms, grid, output, position):
                    continue
                check_box(name, atoms, grid.origin, args.electrons is not None)
                shape, start = (" ".join(map(str, row)) for row in (grid.shape, grid.origin))
                log.info("%s: %d atoms, grid %s from %s A", output, len(atoms), shape, start)
                postprocess = Postprocessing(
                    models, atoms, grid, output, args.electrons, args.augmentation, args.species
                )
                report = run.predict(atoms, grid, output, position, saed, postprocess, args.saed)
                untold.append((report, postprocess))
            if position < 0:
                raise ChargeError(f"{path}: there are no frames {frames} in this file")
    finally:
        show(untold)


def show(untold: list[tuple[Report, Postprocessing]]) -> None:
    """Print what was written, and forget it."""
    while untold:
        show_one(*untold.pop(0))


def show_one(report: Report, postprocess: Postprocessing) -> None:
    """Print what was written of a frame."""
    postprocess.warn_if_far(report.path, report.predicted_shape, report.is_known)
    shape = " x ".join(map(str, report.shape))
    note(f"{report.path}: {shape} points, {postprocess.summary()}")
    if postprocess.occupancies:
        note(f"{report.path}: {postprocess.occupancies}")
    if report.added is not None:
        shape = " x ".join(map(str, report.predicted_shape))
        note(
            f"{report.path}: interpolated from {shape} points, which adds an error of "
            f"{report.added.mean:.1e} e/A^3 on average and {report.added.max:.1e} at most, "
            f"at {report.added.n_points} random points"
        )
    if report.deviation_path is not None:
        note(
            f"{report.deviation_path}: standard deviation of the models, "
            f"{report.mean_deviation:.1e} e/A^3 on average and {report.max_deviation:.1e} at most"
        )


def check_numbers(args: argparse.Namespace, ranks: Ranks) -> None:
    """Raise ChargeError for flags whose numbers make no sense."""
    check_grid(args)
    if args.jobs is not None:
        if args.jobs < 1:
            raise ChargeError(f"-j {args.jobs}: give a number of at least 1")
        if args.jobs > 1 and ranks.size > 1:
            raise ChargeError(f"-j {args.jobs}: an MPI rank takes one core; start more ranks")


def grid_of(
    args: argparse.Namespace, model: ChargeModel, atoms: Atoms, corner: Floats, given: Grid | None
) -> Grid:
    """Find the grid that the flags, or else the model, ask for.

    Parameters
    ----------
    args : argparse.Namespace
    model : ChargeModel
    atoms : ase.Atoms
        The structure.
    corner : np.ndarray
        (3,) where its grid is to begin, A, unless a file says otherwise.
    given : Grid or None
        That of ``--like``, or else of ``--saed``.

    Returns
    -------
    Grid
    """
    spacing = model.info.get("grid_spacing")
    if all(known is None for known in (args.grid, args.spacing, given, spacing)):
        raise ChargeError(
            f"{model.path}: the model does not know the grid spacing of its training data; "
            "give --grid, --like or --spacing"
        )
    return choose_grid(args, atoms, given, given.origin if given else corner, spacing)
