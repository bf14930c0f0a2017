# SPDX-License-Identifier: LGPL-3.0-or-later
"""Predictions from models to files: block by block, on disk all the while, resumable.

    models, atoms --blocks--> OUT.partial --refine, if coarse--> whole grid --> OUT
"""

import hashlib
import os
import warnings
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np

from .. import formats
from ..density import Density
from ..errors import ChargeError
from ..grids import check_grid
from ..mapped import release, scratch
from .blocks import Blocks
from .coarse import AddedError, added_error, coarse_shape, planes, refine
from .model import ChargeModel
from .outputs import labelled, memory_order
from .partial import Partial, read_description
from .progress import progress_bar

__all__ = ["Report", "Run", "evaluator_of"]

# Share of the density that interpolation may add to the error without a word:
# good models have an NMAE of 0.2 to 0.5%.
_SMALL = 1e-3
# What models must agree on for a mean to have a meaning.
_SHARED = ("elements", "valence", "kind")


@dataclass(frozen=True)
class Report:
    """What a user wants to know about a file that was written.

    Attributes
    ----------
    path : str
        File of the density.
    shape, predicted_shape : tuple of int
        Its grid, and the grid on which models were evaluated.
    n_electrons : float
        Integral of the density.
    added : AddedError or None
        Of the interpolation, where these grids differ.
    deviation_path : str or None
        File of the standard deviation, where there are several models.
    mean_deviation, max_deviation : float or None
        Of its values, e/A^3.
    """

    path: str
    shape: tuple
    predicted_shape: tuple
    n_electrons: float
    added: AddedError | None = None
    deviation_path: str | None = None
    mean_deviation: float | None = None
    max_deviation: float | None = None


class Run:
    """Predictions of one structure, or of the frames of a trajectory, to files.

    The values live in ``OUTPUT.partial`` until all files are written. A run
    that ended early, in whatever way, is gone on with by another one with
    `resume`, and ends with the same bytes.

    Parameters
    ----------
    models : list of ChargeModel
        Several give the mean, and their standard deviation in a second file.
    output : str
        File to write; for a trajectory, what the names of its files begin with.
    team : Team
        Who evaluates.
    resume : bool
        Go on with an unfinished run, if there is one.
    coarsen : int
        Predict on a grid so many times coarser along each axis, and bring the
        values to the full grid by Fourier interpolation.
    model_error : float, optional
        The models' mean error, e/A^3, which that of the interpolation must not
        exceed.
    frames : str, optional
        Which frames of a trajectory this run is about.

    Raises
    ------
    ChargeError
        If the models do not go together; if there is an unfinished run, but
        `resume` is False or it is another one.
    """

    def __init__(
        self, models, output, team, resume=False, coarsen=1, model_error=None, frames=None
    ):
        _check_models_agree(models)
        self._models = models
        self._team = team
        self._coarsen = coarsen
        self._model_error = model_error
        self._path = Path(f"{output}.partial")
        self._about = {
            "models": [_hash(Path(model.path).read_bytes()) for model in models],
            "coarsen": coarsen,
            "frames": frames,
        }
        self._earlier = self._find_earlier(resume)

    def has_written(self, position, output):
        """Whether the earlier run that this one resumes has written a structure.

        Parameters
        ----------
        position : int
            Place of the structure in the order of the run.
        output : str
            Its file.

        Returns
        -------
        bool
        """
        return (
            self._earlier is not None
            and position < self._earlier["position"]
            and all(os.path.exists(path) for path in self._outputs(output))
        )

    def predict(self, atoms, grid, output, position=0, finish=None):
        """Predict the density of a structure and write it.

        Parameters
        ----------
        atoms : ase.Atoms
            The structure.
        grid : tuple of int
            (nx, ny, nz)
        output : str
            File of the density.
        position : int
            Place of the structure in the order of the run.
        finish : callable, optional
            Makes of the density on the full grid the one to write.

        Returns
        -------
        Report

        Raises
        ------
        ChargeError
            If something is in the way of the prediction or of its files, or
            interpolation adds more than `model_error`.
        KeyboardInterrupt
            With a word about what is kept.

        Warns
        -----
        UserWarning
            If the structure looks unlike the training data, or interpolation
            adds a noticeable error.
        """
        shape = check_grid(atoms, grid)
        paths = [os.path.abspath(model.path) for model in self._models]
        task = _Task(paths, atoms, shape, coarse_shape(atoms, shape, self._coarsen))
        evaluator = _Evaluator(self._models, task)
        blocks = evaluator.blocks
        for field in evaluator.fields:
            field.warn_if_far(shape)
        partial = Partial(
            self._path,
            self._description(atoms, blocks, shape, output, position),
            blocks,
            evaluator.n_arrays,
            memory_order(output),
        )
        try:
            self._evaluate(partial, blocks, task, evaluator)
            return self._write(partial, task, output, evaluator.fields, finish)
        except (ChargeError, KeyboardInterrupt, MemoryError) as error:
            raise type(error)(self._with_rest(str(error), partial, position)) from None
        finally:
            partial.close()

    def close(self):
        """Remove the partial file, once all is written."""
        self._path.unlink(missing_ok=True)

    def _find_earlier(self, resume):
        if not self._path.exists():
            return None
        if not resume:
            raise ChargeError(
                f"{self._path}: holds an unfinished prediction; "
                "go on with --resume, or remove this file"
            )
        earlier = read_description(self._path)
        self._check_same(earlier, self._about)
        return earlier

    def _check_same(self, earlier, mine):
        others = [key for key in mine if earlier.get(key) != mine[key]]
        if others:
            raise ChargeError(
                f"{self._path}: holds an unfinished prediction with other {', '.join(others)}; "
                "give the arguments of then, or remove this file"
            )

    def _description(self, atoms, blocks, shape, output, position):
        description = {
            **self._about,
            "position": position,
            "structure": _hash(
                *(np.ascontiguousarray(a) for a in (
                    atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc
                ))
            ),
            "grid": list(shape),
            "block": blocks.points_at_most,
            "order": memory_order(output),
        }
        if self._earlier is not None and self._earlier["position"] == position:
            self._check_same(self._earlier, description)
        return description

    def _evaluate(self, partial, blocks, task, evaluator):
        """Predict the blocks that are missing."""
        with progress_bar(blocks.size, partial.n_done) as bar:
            for number, values in self._team.evaluate(task, evaluator, partial.missing):
                partial.put(number, values)
                bar.update(values[0].size)

    def _write(self, partial, task, output, fields, finish):
        """From the values on disk to the files."""
        values, shape = partial.values, task.shape
        added = None
        if task.predicted_shape != shape:
            values = self._refined(values, shape, output)
            added = added_error(fields, values[0])
        density, *deviation = [Density(task.atoms.copy(), array) for array in values]
        if finish is not None:
            density = finish(density)
        report = Report(
            output, shape, task.predicted_shape,
            _mean_and_max(density.values)[0] * density.volume, added,
            *(x for d in deviation for x in (self._outputs(output)[1], *_mean_and_max(d.values))),
        )
        if added is not None:
            self._judge(report)
        for path, each in zip(self._outputs(output), [density, *deviation], strict=True):
            formats.write_density(path, each)
        return report

    def _refined(self, values, shape, output):
        """Bring the models' values to the full grid: one array, or mean and deviation."""
        folder = Path(output).parent
        full = scratch(folder, (len(values), *shape), memory_order(output))
        for coarse, fine in zip(values, full):
            refine(coarse, fine, folder)
        if len(full) > 1:
            for part in _planes(full):
                full[:2][part] = _mean_and_deviation(full[part])
                release(full)
        return full[:2]

    def _judge(self, report):
        """Refuse, or warn of, an interpolation that is worse than the model."""
        added, remedy = report.added, "take a smaller N"
        adds = f"--coarsen {self._coarsen} adds an error of {added.mean:.1e} e/A^3 on average"
        if self._model_error is not None:
            if added.mean > self._model_error:
                self.close()  # of no use
                raise ChargeError(
                    f"{report.path}: not written: {adds}, above --model-error "
                    f"{self._model_error:g}: {remedy}"
                )
        elif report.mean_deviation is not None:
            if added.mean > report.mean_deviation:
                warnings.warn(
                    f"{report.path}: {adds}, more than the models deviate from one another "
                    f"({report.mean_deviation:.1e}): {remedy}",
                    stacklevel=2,
                )
        elif added.share > _SMALL:
            warnings.warn(
                f"{report.path}: {adds}, {100 * added.share:.2g}% of the density, where good "
                f"models are wrong by some 0.3%: {remedy}, or tell the model's MAE by --model-error",
                stacklevel=2,
            )

    def _outputs(self, output):
        """Files of one structure: density, and the deviation of several models."""
        return [output, labelled(output, "std")][: len(self._models)]

    def _with_rest(self, message, partial, position):
        """Add to a complaint what is kept; nothing is, where nothing was done."""
        if not partial.n_done and not position:
            self.close()
        if not self._path.exists():
            return message
        kept = f"{self._path} keeps what is done: go on with --resume"
        return f"{message}; {kept}" if message else kept


@dataclass(frozen=True)
class _Task:
    """What any rank needs to evaluate blocks: see :class:`_Evaluator`."""

    model_paths: list
    atoms: object
    shape: tuple
    predicted_shape: tuple


class _Evaluator:
    """Values of a block, (n_arrays, ...): of each model, or their mean and deviation."""

    def __init__(self, models, task):
        self.fields = [model.field(task.atoms) for model in models]
        self.threads = max(field.threads for field in self.fields)
        self.blocks = Blocks(task.predicted_shape, min(field.block for field in self.fields))
        # the deviation of interpolated densities is not the interpolated deviation
        self._reduces = len(models) > 1 and task.predicted_shape == task.shape
        self.n_arrays = 2 if self._reduces else len(models)

    def __call__(self, number):
        values = np.stack([field.on_block(self.blocks, number) for field in self.fields])
        if not np.isfinite(values).all():
            raise ChargeError("the model gives values that are not finite; train it again")
        return _mean_and_deviation(values) if self._reduces else values


def evaluator_of(task):
    """Make the function that a rank of several evaluates blocks with, on one core.

    Parameters
    ----------
    task : object
        As :class:`Run` sends it.

    Returns
    -------
    callable
    """
    return _Evaluator([_load(path) for path in task.model_paths], task)


@lru_cache(maxsize=None)
def _load(path):
    return ChargeModel(path, n_threads=1)


def _check_models_agree(models):
    first = models[0]
    for other in models[1:]:
        for key in _SHARED:
            one, two = first.info.get(key), other.info.get(key)
            if key == "elements":
                one, two = sorted(first.elements), sorted(other.elements)
            if one != two:
                raise ChargeError(
                    f"{first.path} and {other.path}: models of different {key} ({one} and {two}) "
                    "have no mean; give models of the same kind of data"
                )


def _mean_and_deviation(values):
    """Mean over models (axis 0) and sqrt(mean |value - mean|^2), stacked."""
    return np.stack([values.mean(axis=0), values.std(axis=0)])


def _mean_and_max(values):
    total, largest = 0.0, -np.inf
    for part in _planes(values[None]):
        piece = values[None][part]
        total += float(piece.sum())
        largest = max(largest, float(piece.max()))
        release(values)
    return total / values.size, largest


def _planes(values):
    """Pieces of arrays (n, nx, ny, nz) that lie together in memory, as indices."""
    axis = int(np.argmax(values.strides[1:])) + 1
    for part in planes(values.shape[1:], axis - 1):
        yield (slice(None),) * axis + (part,)


def _hash(*contents):
    total = hashlib.sha256()
    for content in contents:
        total.update(content)
    return total.hexdigest()
