# SPDX-License-Identifier: LGPL-3.0-or-later
"""What models have to say about a block of a grid, on whatever rank."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from ..errors import ChargeError
from .blocks import Blocks
from .model import ChargeModel

__all__ = ["Evaluator", "Task", "evaluator_of", "mean_and_deviation"]


@dataclass(frozen=True)
class Task:
    """What any rank needs to evaluate blocks: see :class:`Evaluator`.

    Attributes
    ----------
    model_paths : list of str
    atoms : ase.Atoms
        The structure.
    shape : tuple of int
        The grid that is evaluated.
    part : {"density", "difference", "superposition"}
        The whole, or what was learnt, or the atomic densities that a model carries.
    quantity : str, optional
        What models predict that do not remember it.
    """

    model_paths: list
    atoms: object
    shape: tuple
    part: str = "density"
    quantity: str | None = None


class Evaluator:
    """Values of a block, (n_arrays, ...): of each model, or mean and deviation of densities."""

    def __init__(self, models, task):
        self.fields = [model.field(task.atoms) for model in models]
        self.threads = max(field.threads for field in self.fields)
        self.blocks = Blocks(task.shape, min(field.block for field in self.fields))
        self._cell = task.atoms.cell.array
        whole = task.part == "density"
        self._functions = [f if whole else getattr(f, task.part) for f in self.fields]
        # parts are put together before anything is said about their spread
        self._reduces = len(models) > 1 and whole
        self.n_arrays = 2 if self._reduces else len(models)

    def __call__(self, number):
        values = np.stack([self.blocks.values(number, self._cell, f) for f in self._functions])
        if not np.isfinite(values).all():
            raise ChargeError("the model gives values that are not finite; train it again")
        return np.stack(mean_and_deviation(values)) if self._reduces else values


def mean_and_deviation(values):
    """Mean over models (axis 0), and sqrt(mean |value - mean|^2)."""
    return np.mean(values, axis=0), np.std(values, axis=0)


def evaluator_of(task):
    """Make the function that a rank of several evaluates blocks with, on one core.

    Parameters
    ----------
    task : Task

    Returns
    -------
    Evaluator
    """
    return Evaluator([_load(path, task.quantity) for path in task.model_paths], task)


@lru_cache(maxsize=None)
def _load(path, quantity):
    told = {"quantity": quantity} if quantity else {}
    return ChargeModel(path, n_threads=1, **told)
