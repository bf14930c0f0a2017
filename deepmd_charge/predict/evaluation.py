# SPDX-License-Identifier: LGPL-3.0-or-later
"""Models on the blocks of a grid, on whatever rank."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from ..errors import ChargeError
from ..grid.blocks import Blocks
from ..grid.grid import Grid
from ..io.verdict.evidence import atoms_outside
from ..model.info import SAME_VALENCE, ModelInfo
from ..typing import ArrayLike, Floats
from .charge_model import ChargeModel
from .parallel.blocks import BlockFunction

if TYPE_CHECKING:
    from ase import Atoms

__all__ = [
    "Job", "ModelsOnGrid", "Part", "check_agree", "check_box", "check_structure",
    "mean_and_deviation",
]  # fmt: skip

ON_FACE = -1e-2  # A, from the faces of a box: half of an atom there is beyond it

Part: TypeAlias = Literal["density", "difference", "superposition"]


@dataclass(frozen=True)
class Job:
    """What any rank needs to know to evaluate blocks: see :class:`ModelsOnGrid`.

    Attributes
    ----------
    model_paths : list of str
    atoms : ase.Atoms
        The structure.
    grid : Grid
        The grid that is evaluated.
    part : Part
        The whole, or what was learnt, or the atomic densities that a model carries.
    quantity : str, optional
        What models predict that do not remember it.
    """

    model_paths: list[str]
    atoms: Atoms
    grid: Grid
    part: Part = "density"
    quantity: str | None = None


class ModelsOnGrid(BlockFunction):
    """Values of a block, (n_arrays, ...): of each model, or mean and deviation of densities.

    Attributes
    ----------
    job : Job
    fields : list of Field
        The models with the structure.
    n_arrays : int
    """

    job: Job
    blocks: Blocks

    def __init__(self, models: Sequence[ChargeModel], job: Job) -> None:
        self.job = job
        self.fields = [model.field(job.atoms) for model in models]
        whole = job.part == "density"
        super().__init__(
            Blocks(job.grid, min(field.block for field in self.fields)),
            [field if whole else getattr(field, job.part) for field in self.fields],
            max(field.threads for field in self.fields),
        )
        # parts are put together before anything is said about their spread
        self._reduces = len(models) > 1 and whole
        self.n_arrays = 2 if self._reduces else len(models)

    @classmethod
    def load(cls, job: Job) -> ModelsOnGrid:
        """Read the models of a job, each once, for one core: that of a rank among several."""
        return cls([_load(path, job.quantity) for path in job.model_paths], job)

    def __call__(self, number: int) -> Floats:
        """Values of a block; ChargeError where one is not finite."""
        values = super().__call__(number)
        if not np.isfinite(values).all():
            raise ChargeError("the model gives values that are not finite; train it again")
        return np.stack(mean_and_deviation(values)) if self._reduces else values


def mean_and_deviation(values: Floats | Sequence[Floats]) -> tuple[Floats, Floats]:
    """Mean over models (axis 0), and sqrt(mean |value - mean|^2)."""
    return np.mean(values, axis=0), np.std(values, axis=0)


def check_structure(name: str, atoms: Atoms, models: Sequence[ChargeModel]) -> None:
    """Refuse a structure that models cannot predict on a grid.

    Parameters
    ----------
    name : str
        Its file, for complaints.
    atoms : ase.Atoms
    models : list of ChargeModel

    Raises
    ------
    ChargeError
        If it has no atoms, or no cell, or a model cannot evaluate it.
    """
    if not len(atoms):
        raise ChargeError(f"{name}: there are no atoms in this file")
    if atoms.cell.rank < 3:
        reach = max(model.rcut for model in models)
        raise ChargeError(
            f"{name}: the structure has no cell of three vectors; add one, to a molecule by ase's"
            f" atoms.center(vacuum={reach:.3g}): so many A from atoms the model still sees them"
        )
    for model in models:
        model.check(atoms, name)


def check_box(name: str, atoms: Atoms, origin: ArrayLike, is_scaled: bool = False) -> None:
    """Wonder at atoms outside the box of a grid where nothing is periodic: it lacks their density.

    Parameters
    ----------
    name : str
        File of the structure.
    atoms : ase.Atoms
        With a cell.
    origin : array_like
        (3,) where the grid begins, A.
    is_scaled : bool, optional
        Whether the density is to be scaled to a number of electrons, which is that of all atoms.

    Raises
    ------
    ChargeError
        If there are such atoms and the density is to be scaled.

    Warns
    -----
    UserWarning
        If there are such atoms.
    """
    outside = atoms_outside(atoms, origin, ON_FACE, ~atoms.pbc)
    if not outside:
        return
    text = (
        f"{name}: {len(outside)} of {len(atoms)} atoms lie outside the box of the grid, or on its"
        " faces, along axes that are not periodic: shift the structure into its cell, or give"
        " --like, a density file whose grid begins before all atoms"
    )
    if is_scaled:
        raise ChargeError(f"{text}; --electrons would make a part of the density the whole")
    warnings.warn(f"{text}; a part of the density is missing", stacklevel=2)


def check_agree(models: Sequence[ChargeModel]) -> None:
    """Refuse models of different things, which have no mean.

    Valences that were fitted may differ by what data sets scatter.
    """
    first = models[0]
    for other in models[1:]:
        memories = first.memory, other.memory
        one, two = ({name: z for name, (z, _) in m.valences.items()} for m in memories)
        valences_agree = all(abs(one[e] - two[e]) < SAME_VALENCE for e in one.keys() & two.keys())
        elements = sorted(first.elements), sorted(other.elements)
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


def _kinds_agree(one: ModelInfo, two: ModelInfo) -> bool:
    """Where the user says what a model gives, the format of its data is unknown."""
    if one.stated or two.stated:
        return one.quantity == two.quantity
    return one.kind == two.kind


@cache
def _load(path: str, quantity: str | None) -> ChargeModel:
    return ChargeModel(path, n_threads=1, quantity=quantity)
