# SPDX-License-Identifier: LGPL-3.0-or-later
"""Predictions from models to files: block by block, on disk all the while, resumable.

    models, atoms --blocks--> OUT.partial --interpolation, if coarse--> whole grid --> OUT
                                                    ^-- atomic densities, if models carry any
"""

import hashlib
import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from .. import formats
from ..density import Density
from ..electrons import known_valences
from ..errors import ChargeError
from ..grids import check_grid
from ..mapped import by_planes, scratch
from ..model_info import SAME_VALENCE, ModelInfo
from ..saed.adding import add
from ..species import species_of
from ..structures import seen_from
from .coarse import added_error, coarse_shape, refine, superpose
from .evaluation import Evaluator, Task, mean_and_deviation
from .outputs import labelled, memory_order
from .partial import Partial, read_description
from .progress import progress_bar
from .report import Report, judge, mean_and_max

__all__ = ["Run"]


class Run:
    """Predictions of one structure, or of the frames of a trajectory, to files.

    The values live in ``OUTPUT.partial`` until all files are written. A run
    that ended early, in whatever way, is gone on with by another one with
    `resume`, and ends with the same bytes. In a ``with`` statement the partial
    file goes at the end, and an error tells what it keeps.

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
    options : dict, optional
        What else the files depend on, in JSON's types: an unfinished run with
        others is another one.
    quantity : str, optional
        What models predict that do not remember it.

    Raises
    ------
    ChargeError
        If the models do not go together; if there is an unfinished run, but
        `resume` is False or it is another one.
    """

    def __init__(
        self,
        models,
        output,
        team,
        resume=False,
        coarsen=1,
        model_error=None,
        options=None,
        quantity=None,
    ):
        _check_models_agree(models)
        self._models = models
        self._team = team
        self._coarsen = coarsen
        self._model_error = model_error
        self._quantity = quantity
        self._path = Path(f"{output}.partial")
        self._about = {
            "models": [_hash(Path(model.path).read_bytes()) for model in models],
            "coarsen": coarsen,
            **(options or {}),
        }
        self._earlier = self._find_earlier(resume)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, _):
        if error is None:
            self.close()
        if isinstance(error, (ChargeError, KeyboardInterrupt, MemoryError)):
            # numpy's own MemoryError is not made of a message
            kind = MemoryError if isinstance(error, MemoryError) else kind
            raise kind(self._with_rest(str(error))) from None

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

    def predict(
        self, atoms, grid, output, position=0, saed=None, finish=None, origin=(0.0, 0.0, 0.0)
    ):
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
        saed : Density, optional
            Superposition of atomic densities on this grid, to be added to what
            models without a table have learnt.
        finish : callable, optional
            Makes of the density on the full grid the one to write.
        origin : array_like, optional
            (3,) position of the grid's first point, A.

        Returns
        -------
        Report

        Raises
        ------
        ChargeError
            If something is in the way of the prediction or of its files, or
            interpolation adds more than `model_error`.

        Warns
        -----
        UserWarning
            If the structure looks unlike the training data, or interpolation
            adds a noticeable error.
        """
        shape = check_grid(atoms, grid)
        coarse = coarse_shape(atoms, shape, self._coarsen)
        # atomic densities are too sharp for a coarse grid
        part = "density" if coarse == shape else "difference"
        paths = [os.path.abspath(model.path) for model in self._models]
        task = Task(paths, seen_from(atoms, origin), coarse, part, self._quantity)
        evaluator = Evaluator(self._models, task)
        fields = evaluator.fields
        for field in fields:
            field.warn_if_far(shape, name=output)
        partial = Partial(
            self._path,
            self._description(atoms, part, evaluator.blocks, (*shape, *origin), output, position),
            evaluator.blocks,
            evaluator.n_arrays,
            memory_order(output),
        )
        try:
            self._evaluate(partial, task, evaluator)
            values, added = partial.values, None
            if coarse != shape:
                values = self._refined(values, task, shape, output)
            density, *deviation = [Density(atoms.copy(), array, origin) for array in values]
            if saed is not None:
                add(density, saed)
            if coarse != shape:
                added = added_error(fields, density.values, saed)
            if finish is not None:
                density = finish(density)
            return self._write([density, *deviation], coarse, added, output)
        except BaseException:
            if not partial.n_done and not position:
                self.close()  # nothing was done
            raise
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

    def _description(self, atoms, part, blocks, grid, output, position):
        description = {
            **self._about,
            "position": position,
            "structure": _hash(
                *(np.ascontiguousarray(a) for a in (
                    atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc
                )),
                " ".join(species_of(atoms)).encode(),
            ),
            "grid": list(map(float, grid)),
            "part": part,
            "block": blocks.points_at_most,
            "order": memory_order(output),
        }
        if self._earlier is not None and self._earlier["position"] == position:
            self._check_same(self._earlier, description)
        return description

    def _evaluate(self, partial, task, evaluator):
        """Predict the blocks that are missing."""
        with progress_bar(evaluator.blocks.size, partial.n_done) as bar:
            for number, values in self._team.evaluate(task, evaluator, partial.missing):
                partial.put(number, values)
                bar.update(values[0].size)

    def _refined(self, values, task, shape, output):
        """Bring what was learnt to the full grid, and complete it there.

        One array, or mean and deviation of several models.
        """
        folder = Path(output).parent
        full = scratch(folder, (len(values), *shape), memory_order(output))
        for coarse, fine in zip(values, full):
            refine(coarse, fine, folder)
        task = replace(task, shape=shape, part="superposition")
        superpose(full, self._team, task, Evaluator(self._models, task))
        if len(full) > 1:
            for planes in by_planes(*full):
                planes[0][...], planes[1][...] = mean_and_deviation(planes)
        return full[:2]

    def _write(self, densities, predicted_shape, added, output):
        """Write the density, and the deviation of several models, and report."""
        density, *deviation = densities
        report = Report(
            output, density.shape, predicted_shape,
            density.n_electrons, added,
            *(x for d in deviation for x in (self._outputs(output)[1], *mean_and_max(d.values))),
        )
        try:
            judge(report, self._coarsen, self._model_error)
        except ChargeError:
            self.close()  # of no use
            raise
        for path, each in zip(self._outputs(output), densities, strict=True):
            formats.write_density(path, each)
        return report

    def _outputs(self, output):
        """Files of one structure: density, and the deviation of several models."""
        return [output, labelled(output, "std")][: len(self._models)]

    def _with_rest(self, message):
        """Add to a complaint what is kept, unless it is about that."""
        if not self._path.exists() or str(self._path) in message:
            return message
        kept = f"{self._path} keeps what is done: go on with --resume"
        return f"{message}; {kept}" if message else kept


def _check_models_agree(models):
    """Refuse models of different things; fitted valences may differ by what data sets scatter."""
    first = models[0]
    for other in models[1:]:
        one, two = known_valences(first.info), known_valences(other.info)
        valences_agree = all(abs(one[e] - two[e]) < SAME_VALENCE for e in one.keys() & two.keys())
        elements = sorted(first.elements), sorted(other.elements)
        memories = ModelInfo.from_json(first.info), ModelInfo.from_json(other.info)
        kinds = tuple(each.kind or each.stated for each in memories)
        for name, values, agree in (
            ("elements", elements, elements[0] == elements[1]),
            ("valence", (one, two), valences_agree),
            ("kind", kinds, _kinds_agree(*memories)),
        ):
            if not agree:
                raise ChargeError(
                    f"{first.path} and {other.path}: models of different {name} ({values[0]} and"
                    f" {values[1]}) have no mean; give models of the same kind of data"
                )


def _kinds_agree(one, two):
    """Where the user says what a model gives, the format of its data is unknown."""
    if one.stated or two.stated:
        return one.quantity == two.quantity
    return one.kind == two.kind


def _hash(*contents):
    total = hashlib.sha256()
    for content in contents:
        total.update(content)
    return total.hexdigest()
