# SPDX-License-Identifier: LGPL-3.0-or-later
"""Predictions from models to files: block by block, on disk all the while, resumable.

models, atoms --blocks--> OUT.partial --interpolation, if coarse--> whole grid --> OUT
                                                ^-- atomic densities, if models carry any
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, TypeVar

from .. import io as formats
from ..errors import ChargeError
from ..grid.blocks import Blocks
from ..grid.density import Density
from ..grid.grid import Grid
from ..grid.mapped import by_planes, scratch
from ..grid.quantity import compose_kind, deviation_of, split_kind
from ..io.names import deviation_file, memory_order
from ..saed.adding import add, check_given
from ..saed.sources import matching
from ..typing import Floats, Shape
from . import fingerprints
from .charge_model import ChargeModel
from .coarse import AddedError, added_error, refine, superpose
from .evaluation import Job, ModelsOnGrid, Part, check_agree, mean_and_deviation
from .parallel.blocks import evaluate_blocks
from .parallel.mpi import Ranks
from .partial import Partial, read_description
from .report import Report, check_interpolation, mean_and_max

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["Run"]

Result = TypeVar("Result")


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
    ranks : Ranks, optional
        Who evaluates; by default this process alone, with the threads of the models.
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
        If the models do not go together, or a number makes no sense; if there is an
        unfinished run, but `resume` is False or it is another one.
    """

    def __init__(
        self,
        models: Sequence[ChargeModel],
        output: str,
        ranks: Ranks | None = None,
        resume: bool = False,
        coarsen: int = 1,
        model_error: float | None = None,
        options: dict[str, Any] | None = None,
        quantity: str | None = None,
    ) -> None:
        if coarsen < 1:
            raise ChargeError(f"--coarsen {coarsen}: give a number of at least 1")
        if model_error is not None and not model_error > 0.0:
            raise ChargeError(f"--model-error {model_error:g}: give a positive number")
        check_agree(models)
        self._models = models
        self._ranks = ranks
        self._coarsen = coarsen
        self._model_error = model_error
        self._quantity = quantity
        self._path = Path(f"{output}.partial")
        self._about: dict[str, Any] = {
            "models": [fingerprints.of_file(model.path) for model in models],
            "coarsen": coarsen,
            **(options or {}),
        }
        self._earlier = self._find_earlier(resume)
        self._reached = -1
        self._before = ""  # fingerprint of all structures that are dealt with

    def __enter__(self) -> Run:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if error is None:
            self._check_reached()
            self.close()
        if isinstance(error, (ChargeError, KeyboardInterrupt, MemoryError)):
            # numpy's own MemoryError is not made of a message
            remade = MemoryError if isinstance(error, MemoryError) else type(error)
            raise remade(self._with_rest(str(error))) from None
        if isinstance(error, OSError) and error.strerror:  # such as a full disk under stdout
            reason = self._with_rest(error.strerror)
            raise OSError(error.errno, reason, error.filename) from None

    def has_written(self, atoms: Atoms, grid: Grid, output: str, position: int) -> bool:
        """Whether the earlier run that this one resumes has written a structure.

        That it was this very structure is seen where the earlier run ended.

        Parameters
        ----------
        atoms : ase.Atoms
            The structure.
        grid : Grid
            Of its cell.
        output : str
            Its file.
        position : int
            Place of the structure in the order of the run.

        Returns
        -------
        bool
        """
        if (
            self._earlier is None
            or position >= self._earlier["position"]
            or not all(map(os.path.exists, self._outputs(output)))
        ):
            return False
        self._pass(atoms, grid, position)
        return True

    def predict(
        self,
        atoms: Atoms,
        grid: Grid,
        output: str,
        position: int = 0,
        saed: Density | None = None,
        postprocess: Callable[[Density], Density] | None = None,
        saed_name: str = "saed",
    ) -> Report:
        """Predict the density of a structure and write it.

        Parameters
        ----------
        atoms : ase.Atoms
            The structure.
        grid : Grid
            Of its cell.
        output : str
            File of the density.
        position : int
            Place of the structure in the order of the run.
        saed : Density, optional
            Superposition of atomic densities on this grid, to be added to what
            models without a table have learnt.
        postprocess : callable, optional
            Makes of the density on the full grid the one to write.
        saed_name : str, optional
            What complaints call the superposition, such as its file.

        Returns
        -------
        Report

        Raises
        ------
        ChargeError
            If a superposition is missing, needless or on another grid, something is
            in the way of the prediction or of its files, or interpolation adds
            more than `model_error`.

        Warns
        -----
        UserWarning
            If the structure looks unlike the training data, or interpolation
            adds a noticeable error.
        """
        for model in self._models:
            check_given(model.path, model.info, saed)
        if saed is not None:
            matching(atoms, grid, saed, saed_name)
        coarse = grid.coarser(self._coarsen)
        # atomic densities are too sharp for a coarse grid
        part: Part = "density" if coarse.shape == grid.shape else "difference"
        paths = [os.path.abspath(model.path) for model in self._models]
        job = Job(paths, atoms, coarse, part, self._quantity)
        function = ModelsOnGrid(self._models, job)
        is_far = [field.warn_if_far(grid, name=output) for field in function.fields]
        partial = Partial(
            self._path,
            self._description(atoms, grid, part, function.blocks, output, position),
            function.blocks,
            function.n_arrays,
            memory_order(output),
        )
        try:
            for number, values in evaluate_blocks(
                function, partial.missing, self._ranks, partial.n_done
            ):
                partial.put(number, values)
            values, added = partial.values, None
            if coarse.shape != grid.shape:
                values = self._refined(values, replace(job, grid=grid), output)
            density, *deviation = [Density(atoms.copy(), array, grid.origin) for array in values]
            for each in deviation:  # it is no density to learn, and says so
                predicted = split_kind(self._models[0].memory.predicted_kind)[1]
                each.declare(compose_kind("", deviation_of(predicted)))
            if saed is not None:
                add(density, saed)
            if coarse.shape != grid.shape:
                added = added_error(function.fields, density, saed)
            if postprocess is not None:
                density = self._or_close(postprocess, density)
            report = self._write([density, *deviation], coarse.shape, added, output)
            self._pass(atoms, grid, position)
            return replace(report, is_known=not any(is_far))
        except BaseException:
            if not partial.n_done and not position:
                self.close()  # nothing was done
            raise
        finally:
            partial.close()

    def close(self) -> None:
        """Remove the partial file, once all is written."""
        self._path.unlink(missing_ok=True)

    def _find_earlier(self, resume: bool) -> dict[str, Any] | None:
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

    def _check_same(self, earlier: dict[str, Any], mine: dict[str, Any]) -> None:
        others = [key for key in mine if earlier.get(key) != mine[key]]
        if others:
            raise ChargeError(
                f"{self._path}: holds an unfinished prediction with other {', '.join(others)}; "
                "give the arguments of then, or remove this file"
            )

    def _check_reached(self) -> None:
        """Refuse to keep what was written of a trajectory that has fewer frames by now."""
        if self._earlier is not None and self._reached < self._earlier["position"]:
            raise ChargeError(
                f"{self._path}: holds an unfinished prediction of more frames than there are now;"
                " give the trajectory of then, or remove this file"
            )

    def _pass(self, atoms: Atoms, grid: Grid, position: int) -> None:
        """Note a structure that is written, of the earlier run or of this one."""
        about = fingerprints.of_structure(atoms), json.dumps(_numbers(grid))
        self._before = fingerprints.of_texts(self._before, *about)
        self._reached = position

    def _description(
        self, atoms: Atoms, grid: Grid, part: Part, blocks: Blocks, output: str, position: int
    ) -> dict[str, Any]:
        description = {
            **self._about,
            "position": position,
            "earlier frames": self._before,
            "structure": fingerprints.of_structure(atoms),
            "grid": _numbers(grid),
            "part": part,
            "block": blocks.most,
            "order": memory_order(output),
        }
        if self._earlier is not None and self._earlier["position"] == position:
            self._check_same(self._earlier, description)
        return description

    def _refined(self, values: Floats, job: Job, output: str) -> Floats:
        """Bring what was learnt to the full grid, and complete it there.

        One array, or mean and deviation of several models.
        """
        folder = Path(output).parent
        full = scratch(folder, (len(values), *job.grid.shape), memory_order(output))
        for coarse, fine in zip(values, full, strict=True):
            refine(coarse, fine, folder)
        atomic = ModelsOnGrid(self._models, replace(job, part="superposition"))
        superpose(full, atomic, self._ranks)
        if len(full) > 1:
            for planes in by_planes(*full):
                planes[0][...], planes[1][...] = mean_and_deviation(planes)
        return full[:2]

    def _write(
        self,
        densities: Sequence[Density],
        predicted_shape: Shape,
        added: AddedError | None,
        output: str,
    ) -> Report:
        """Write the density, and the deviation of several models, and report."""
        density, *deviation = densities
        report = Report(output, density.shape, predicted_shape, density.n_electrons, added)
        if deviation:
            mean, largest = mean_and_max(deviation[0].values)
            report = replace(
                report,
                deviation_path=self._outputs(output)[1],
                mean_deviation=mean,
                max_deviation=largest,
            )
        self._or_close(check_interpolation, report, self._coarsen, self._model_error)
        for path, each in zip(self._outputs(output), densities, strict=True):
            formats.write_density(path, each)
        return report

    def _or_close(self, function: Callable[..., Result], *arguments: object) -> Result:
        """Call a function; values that it refuses are of no use to a run that goes on."""
        try:
            return function(*arguments)
        except ChargeError:
            self.close()
            raise

    def _outputs(self, output: str) -> list[str]:
        """Files of one structure: density, and the deviation of several models."""
        return [output, deviation_file(output)][: len(self._models)]

    def _with_rest(self, message: str) -> str:
        """Add to a complaint what is kept, unless it is about that."""
        if not self._path.exists() or str(self._path) in message:
            return message
        kept = f"{self._path} keeps what is done: go on with --resume"
        return f"{message}; {kept}" if message else kept


def _numbers(grid: Grid) -> list[float]:
    return list(map(float, (*grid.shape, *grid.origin)))
