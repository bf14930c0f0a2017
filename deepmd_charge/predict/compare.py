# SPDX-License-Identifier: LGPL-3.0-or-later
"""Errors of a model, or of densities that were predicted before, on known ones."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from types import EllipsisType
from typing import Any

import numpy as np

from ..atoms.compare import check_same_grid
from ..data.sampling import random_generator
from ..errors import ChargeError
from ..grid.channels import channel, counterpart
from ..grid.density import Density
from ..grid.metrics import Comparison
from ..grid.quantity import find_quantity
from ..io import count_densities, iterate_densities
from ..io.related import iterate_related, names_needed, read_related
from ..saed.adding import check_given
from ..saed.sources import beside, matching
from ..typing import Floats, Integers
from . import electrons as counts
from .charge_model import ChargeModel

__all__ = [
    "check_points",
    "compare",
    "compare_densities",
    "compare_files",
    "compare_predictions",
    "learnt_quantity",
]


def compare(
    model: ChargeModel,
    density: Density,
    points: int | None = None,
    seed: int | np.random.Generator | None = None,
    *,
    quantity: str | None = None,
    saed: Density | None = None,
    electrons: str | float | None = None,
    progress: bool = False,
    name: str = "the density",
    saed_name: str = "saed",
) -> Comparison:
    """Compare what a model predicts with a known density, on its own grid.

    Parameters
    ----------
    model : ChargeModel
    density : Density
        The true one.
    points : int, optional
        Compare at so many random grid points; all by default, or if there are fewer.
    seed : int or numpy.random.Generator, optional
        A number gives the same points every time.
    quantity : str, optional
        See :func:`learnt_quantity`.
    saed : Density, optional
        Superposition of atomic densities on this grid, for a model that wants one.
    electrons : str or float, optional
        Scale the prediction to so many electrons, or with "auto" to the valences of the
        potentials, first; on whole grids only.
    progress : bool, optional
        Show a progress bar of a whole grid.
    name, saed_name : str, optional
        What errors call the density and the superposition, such as their files.

    Returns
    -------
    Comparison
        ``summary()`` gives mae, rmse, ...

    Raises
    ------
    ChargeError
        If the model predicts another quantity than the density holds, cannot evaluate the
        structure, or wants a superposition (or none).
    """
    check_points(points, electrons)
    check_given(model.path, model.info, saed)
    quantity = learnt_quantity(model, quantity)
    if quantity == "total" and not density.quantity.is_total:
        raise ChargeError(
            f"{name}: holds {density.quantity.description}, and {model.path} predicts the"
            " total density: test it on that"
        )
    chosen = _choose_points(density, points, random_generator(seed))
    true = channel(density, quantity, chosen, name)
    model.check(density.atoms, name)
    if saed is not None:
        matching(density.atoms, density.grid, saed, saed_name)
    if chosen is Ellipsis:
        predicted = _on_grid(model, density, saed, electrons, progress)
    else:
        where = density.points(np.ravel_multi_index(chosen, density.shape))
        added = None if saed is None else saed.values[chosen]
        predicted = model.predict_points(density.atoms, where, saed=added)
    return Comparison.of(true, predicted, density.volume / true.size)


def compare_densities(
    prediction: Density,
    density: Density,
    points: int | None = None,
    seed: int | np.random.Generator | None = None,
    *,
    quantity: str = "total",
    name: str = "the density",
    prediction_name: str = "the prediction",
) -> Comparison:
    """Compare a predicted density with a known one on the same grid.

    Parameters
    ----------
    prediction : Density
        Of the quantity that is compared, or with spin grids that it follows from.
    density : Density
        The true one.
    points, seed
        See :func:`compare`.
    quantity : str, optional
        What to take of the true one, see :mod:`deepmd_charge.grid.quantity`.
    name, prediction_name : str, optional
        What errors call them, such as their files.

    Returns
    -------
    Comparison

    Raises
    ------
    ChargeError
        If grids, cells or quantities differ.

    Warns
    -----
    UserWarning
        If the atoms do.
    """
    check_points(points)
    chosen = _choose_points(density, points, random_generator(seed))
    true = channel(density, quantity, chosen, name)
    check_same_grid(name, density, prediction_name, prediction)
    wanted = find_quantity(quantity) if quantity != "total" else density.quantity
    predicted = counterpart(prediction, wanted, prediction_name, chosen, name)
    return Comparison.of(true, predicted, density.volume / true.size)


def compare_files(
    model: ChargeModel,
    files: Sequence[str],
    points: int | None = None,
    seed: int | np.random.Generator | None = None,
    *,
    quantity: str | None = None,
    saed: Sequence[str] | None = None,
    electrons: str | float | None = None,
    progress: bool = False,
    species: Sequence[str] | None = None,
    **reading: Any,
) -> Iterator[tuple[str, Comparison]]:
    """Compare a model with all densities of files, one at a time.

    Parameters
    ----------
    model, points, seed, quantity, electrons, progress
        See :func:`compare`; the random points of the files follow from one seed.
    files : list of str
        True densities.
    saed : list of str, optional
        File of the superposition of each, or one name that is looked for beside each.
    species : list of str, optional
        Names of atom types, see :func:`deepmd_charge.read_density`.
    **reading
        Further options of :func:`deepmd_charge.iterate_densities` for the true densities.

    Yields
    ------
    name : str
        As of :func:`deepmd_charge.iterate_densities`.
    comparison : Comparison

    Raises
    ------
    ChargeError
        See :func:`compare`.
    """
    check_given(model.path, model.info, saed)
    quantity, generator = learnt_quantity(model, quantity), random_generator(seed)
    superpositions = _superpositions(files, saed) if saed else [None] * len(files)
    for file, superposition in zip(files, superpositions, strict=True):
        for name, density in iterate_densities(file, species=species, **reading):
            yield (
                name,
                compare(
                    model,
                    density,
                    points,
                    generator,
                    quantity=quantity,
                    saed=read_related(superposition, species) if superposition else None,
                    electrons=electrons,
                    progress=progress,
                    name=name,
                    saed_name=superposition or "saed",
                ),
            )


def compare_predictions(
    predictions: Sequence[str],
    files: Sequence[str],
    points: int | None = None,
    seed: int | np.random.Generator | None = None,
    *,
    quantity: str = "total",
    species: Sequence[str] | None = None,
    **reading: Any,
) -> Iterator[tuple[str, Comparison]]:
    """Compare files of predicted densities with files of known ones, one density at a time.

    Parameters
    ----------
    predictions : list of str
        A density for each of the true ones, in order.
    files, points, seed, species, **reading
        See :func:`compare_files`.
    quantity : str, optional
        See :func:`compare_densities`.

    Yields
    ------
    name, comparison
        See :func:`compare_files`.

    Raises
    ------
    ChargeError
        See :func:`compare_densities`; also if there are more of the ones than of the others.
    """
    generator = random_generator(seed)
    if len(predictions) != len(files):  # frames may make up for it
        _check_counts(predictions, files, species, reading.get("format"))
    predicted = iterate_related(predictions, species)
    for file in files:
        for name, density in iterate_densities(file, species=species, **reading):
            found = next(predicted, None)
            if found is None:
                raise ChargeError(f"{name}: -p has none for it: give one for each of -s, in order")
            other_name, prediction = found
            yield (
                name,
                compare_densities(
                    prediction,
                    density,
                    points,
                    generator,
                    quantity=quantity,
                    name=name,
                    prediction_name=other_name,
                ),
            )
    for name, _ in predicted:
        raise ChargeError(f"{name}: -s has none for it: give one for each of -p, in order")


def check_points(points: int | None, electrons: str | float | None = None) -> None:
    """Raise ChargeError for a number of points that is none, or does not go with `electrons`."""
    if electrons is not None and points is not None:
        raise ChargeError("--electrons needs whole grids: leave --points out")
    if points is not None and points < 1:
        raise ChargeError(f"--points {points}: give a number of at least 1")


def learnt_quantity(model: ChargeModel, quantity: str | None = None) -> str:
    """Name what a model predicts once a superposition is added that it may want.

    Parameters
    ----------
    model : ChargeModel
    quantity : str, optional
        Of a model that does not remember it; total by default.

    Returns
    -------
    str
        See :mod:`deepmd_charge.grid.quantity`.

    Raises
    ------
    ChargeError
        If the model remembers another.
    """
    memory = model.memory
    known = memory.quantity if memory.kind or memory.stated else None
    found = known or quantity or "total"
    if quantity not in (None, found):
        raise ChargeError(f"{model.path}: predicts {found}, not {quantity}: leave --quantity out")
    return found


def _on_grid(
    model: ChargeModel,
    density: Density,
    saed: Density | None,
    electrons: str | float | None,
    progress: bool,
) -> Floats:
    """Values on the grid of a density, scaled if so wanted."""
    predicted = model.predict(
        density.atoms, density.shape, progress=progress, saed=saed, origin=density.origin
    )
    if electrons is not None:
        wanted = counts.parse_electrons(electrons, model.path, model.memory, density.atoms)
        counts.rescale(predicted, wanted, model.path)
    return predicted.values


def _choose_points(
    density: Density, n_points: int | None, generator: np.random.Generator
) -> EllipsisType | tuple[Integers, ...]:
    """Return indices into the grid: of all points, or of a random subset."""
    size = density.values.size
    if n_points is None or n_points >= size:
        return Ellipsis
    return np.unravel_index(generator.choice(size, n_points, replace=False), density.shape)


def _superpositions(files: Sequence[str], saed: Sequence[str]) -> list[str | None]:
    """The file of superposed atomic densities for each true density."""
    names = list(saed) * len(files) if len(saed) == 1 else saed
    if len(names) != len(files):
        raise ChargeError(
            f"--saed has {len(names)} files and -s {len(files)}; give one for each, or a name"
        )
    return [str(beside(path, name)) for path, name in zip(files, names, strict=True)]


def _check_counts(
    predictions: Sequence[str],
    files: Sequence[str],
    species: Sequence[str] | None,
    format: str | None,
) -> None:
    """Raise ChargeError unless files hold as many densities as others."""
    n_predicted = sum(
        count_densities(path, None, names_needed(path, species)) for path in predictions
    )
    n_true = sum(count_densities(path, format, species) for path in files)
    if n_predicted != n_true:
        raise ChargeError(
            f"-p has {len(predictions)} files and -s {len(files)}, with {n_predicted} and"
            f" {n_true} densities; give one for each"
        )
