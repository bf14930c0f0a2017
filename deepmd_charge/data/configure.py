# SPDX-License-Identifier: LGPL-3.0-or-later
"""From what training data look like to an ``input.json`` for them, each choice with its reason."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from dataclasses import dataclass

from ..atoms.species import GRID_TYPE, element_of
from .ready import Configuration, is_of_paper, read
from .survey import Survey

__all__ = [
    "Proposal", "choose_batch", "choose_rcut", "choose_ready", "choose_steps", "order_types",
    "propose",
]  # fmt: skip

# Elements whose valence electrons are sharp at the nucleus, whatever the potential; of others
# the data tell: values beyond this (e/A^3) stand at 0.9 in silicon and 7.6 in water.
_SHARP = ("H", "C", "N", "O", "F")
_SHARP_PEAK = 1.5
# Between the crystals (0.55 to 0.62) and the glasses (0.04 to 0.11) that we have.
_ORDERED = 0.3
# Points for each type of atoms that a fit of its 1474 coefficients needs.
_FIT_POINTS = 10_000
# A, wider than any layer of atoms lies from the next in a solid.
_VACUUM = 6.0

# A; the shortest cutoff that was as good as longer ones in larger cells (silicon). Shorter ones
# cost more than images do: of 32 Al, images 7.9 A apart, 4.0 A has errors 1.7 times those of 6.5.
_LEAST_RCUT = 4.7

# `c-si` takes 8000 steps for the 100 frames of one structure; on few points so many steps are
# spent on learning them by heart.
_PASSES = 80
_FEWEST_STEPS = 1000
_VALIDATION_BATCHES = 10

# Of more systems the folders are named that they are in.
_MOST_NAMED = 12

# A step sees so many structures where compositions differ, but no more points than these: on
# molecules more points a step cost more than they teach.
_STRUCTURES = 12
_POINTS = 1200


@dataclass(frozen=True)
class Proposal:
    """An ``input.json`` and why it is so.

    Attributes
    ----------
    configuration : dict
        What the file is to hold.
    reasons : tuple of str
        A line for each choice.
    doubts : tuple of str
        What is to be warned of.
    """

    configuration: Configuration
    reasons: tuple[str, ...]
    doubts: tuple[str, ...]


def propose(data: Survey, folder: str, like: str | None = None) -> Proposal:
    """Make an ``input.json`` for training data.

    Parameters
    ----------
    data : Survey
    folder : str
        Where the file is to lie, and ``dp train`` to run: its paths are relative to it.
    like : str, optional
        Name of the ready configuration to start from; by default the data tell.
    """
    name, why = (like, "as asked") if like else choose_ready(data)
    configuration = read(name)
    model, training = configuration["model"], configuration["training"]
    model["type_map"] = [*order_types(data.types), GRID_TYPE]
    # dp train finds systems in folders, too
    named = data.systems if len(data.systems) <= _MOST_NAMED else data.folders
    systems = [_from(folder, path) for path in named]
    n_together, batch_size = choose_batch(data)
    training["training_data"] = {"systems": systems, "batch_size": batch_size}
    most = data.points_per_frame[1]
    reasons = [
        f"systems: {_listed(systems)}{_found(data, named)}, {data.n_frames} frames of"
        f" {'' if data.points_per_frame[0] == most else 'up to '}{most} points",
        f"type_map: {' '.join(model['type_map'])}",
        f"like {name}: {why}",
    ]
    if data.compositions > 1:
        reasons.insert(1, f"batch_size {batch_size}: {_batches(data, n_together)}")
    if data.validation:
        others = [_from(folder, system) for system in data.validation]
        training["validation_data"] = {
            "systems": others, "batch_size": 1, "numb_btch": _VALIDATION_BATCHES,
        }  # fmt: skip
        reasons.insert(1, f"validation: {_listed(others)}")
    doubts = []
    descriptor = model["descriptor"]
    for key in ("rcut", "rcut_env", "rcut_product"):
        if key in descriptor:
            descriptor[key], why = choose_rcut(descriptor[key], data.image_distance)
            reasons.append(f"{key} {descriptor[key]:g} A: {why}")
    farthest = max(descriptor["rcut"], descriptor.get("rcut_env", 0.0))
    if 2.0 * farthest > data.image_distance:
        doubts.append(
            f"images of an atom are {data.image_distance:.4g} A apart, less than twice the cutoff:"
            " in larger cells the model will be worse; train on a larger one"
        )
    if training["numb_steps"]:
        n_batches = math.ceil(data.n_frames / n_together)
        training.update(choose_steps(training, n_batches, is_of_paper(name)))
        passes = training["numb_steps"] / n_batches
        reasons.append(f"numb_steps {training['numb_steps']}: {passes:.3g} passes over the frames")
        if _has_few_points(data) and not data.validation:
            doubts.append(
                "so few points will be learnt by heart, and the errors of lcurve.out say nothing of"
                " others: convert more --points, or give --valid"
            )
    else:
        reasons.append("numb_steps 0: the model is a least-squares fit, with nothing left to train")
    if data.table:
        table = _from(folder, data.table)
        configuration["model"] = _with_saed(model, table)
        reasons.append(f"saed {table}: the difference to these atomic densities is learnt")
    elif data.saed:
        doubts.append(
            "superposed atomic densities stand beside the densities, but no saed.npz: the total is"
            " learnt, unless you name one in model/saed"
        )
    return Proposal(configuration, tuple(reasons), tuple(doubts))


def _found(data: Survey, named: Sequence[str]) -> str:
    """How many systems are in folders that are named in their place."""
    return "" if named == data.systems else f" ({len(data.systems)} systems)"


def choose_ready(data: Survey) -> tuple[str, str]:
    """Choose a ready configuration by the material, and say why.

    Returns
    -------
    name, reason : str
    """
    sharp = [name for name in order_types(data.types) if element_of(name) in _SHARP]
    if sharp:
        name = "molecules" if data.gap > _VACUUM else "water"
        around = ", and there is vacuum" if data.gap > _VACUUM else ""
        return name, f"the density of {', '.join(sharp)} is sharp at nuclei{around}"
    if data.is_per_volume and data.peak > _SHARP_PEAK:
        return "water", f"the density is sharp, up to {data.peak:.2g} e/A^3"
    if data.gap > _VACUUM:
        return "al-surface", "there is vacuum"
    if data.order < _ORDERED:
        return "a-si", f"disordered, bonds have no common directions (Q6 {data.order:.2f})"
    name = "al-mg" if len(data.types) > 1 else "c-si"
    crystal = f"a crystal of {'several types' if len(data.types) > 1 else 'one type'}"
    crystal = f"{crystal} (Q6 {data.order:.2f})"
    if _has_few_points(data):
        return name, f"{crystal}, of too few points for a fit"
    return f"cluster/{name}", crystal


def _has_few_points(data: Survey) -> bool:
    """Whether there are fewer points than a fit has coefficients to find by them."""
    return data.n_frames * data.points_per_frame[0] < _FIT_POINTS * len(data.types)


def choose_rcut(rcut: float, image_distance: float) -> tuple[float, str]:
    """Choose a cutoff of at most half the distance of periodic images, and say why.

    A point that sees farther sees atoms and their own images, which move as one; a model
    learns that, and larger cells do not obey.

    Parameters
    ----------
    rcut : float
        Of the ready configuration, A; it is never exceeded.
    image_distance : float
        Shortest distance between images of an atom, A.

    Returns
    -------
    rcut : float
        A, in tenths where it is lowered.
    reason : str
    """
    if math.isinf(image_distance):
        return rcut, "there are no periodic images"
    apart = f"images of an atom are {image_distance:.4g} A apart"
    if 2.0 * rcut <= image_distance:
        return rcut, f"{apart} or more"
    lower = math.floor(5.0 * image_distance) / 10.0  # half, in tenths
    if lower >= _LEAST_RCUT:
        return lower, f"lowered from {rcut:g}, {apart}"
    least = min(rcut, _LEAST_RCUT)
    return least, f"the shortest that pays, though {apart}"


def choose_batch(data: Survey) -> tuple[int, int | str]:
    """Choose how many frames a step sees, of any composition where there are several.

    Returns
    -------
    n : int
        Of frames.
    batch_size : int or str
        The key: "mixed:n" where the frames are of several plain systems.
    """
    if data.compositions == 1 or not (data.is_mixed or data.is_uniform):
        return 1, 1
    n = min(_STRUCTURES, max(1, _POINTS // data.points_per_frame[1]))
    return n, n if data.is_mixed or n == 1 else f"mixed:{n}"


def _batches(data: Survey, n_together: int) -> str:
    """Why a step sees so many frames."""
    many = f"{data.compositions}{' or more' if data.is_mixed else ''} compositions"
    if not (data.is_mixed or data.is_uniform):
        return f"{many}, but periodic frames cannot meet open ones (convert --mixed-type)"
    if n_together == 1:
        return f"{many}; with fewer --points-per-frame a step would see several"
    return f"{many}, of which a step sees {n_together} frames"


def choose_steps(training: Configuration, n_batches: int, of_paper: bool = False) -> dict[str, int]:
    """Choose the number of steps, with the frequencies that depend on it.

    So many passes over the data as teach a model what they hold, but no more steps than
    those of the ready configuration, in which more data are seen fewer times. The
    paper's model keeps its number of steps.

    Parameters
    ----------
    training : dict
        That of the ready configuration.
    n_batches : int
        Each is a step of a pass.
    of_paper : bool

    Returns
    -------
    dict
        "numb_steps", a multiple of "disp_freq", and "save_freq", likewise.
    """
    most, show, save = (training[key] for key in ("numb_steps", "disp_freq", "save_freq"))
    steps = most if of_paper else min(most, max(_FEWEST_STEPS, _PASSES * n_batches))
    steps = show * math.ceil(steps / show)
    return {"numb_steps": steps, "disp_freq": show, "save_freq": min(save, steps)}


def order_types(types: Sequence[str]) -> list[str]:
    """Sort names of types by atomic number, then by name: Fe1 before Fe2, what is unknown last."""
    from ase.data import atomic_numbers, chemical_symbols

    def rank(name: str) -> tuple[int, str]:
        return atomic_numbers.get(element_of(name) or "", len(chemical_symbols)), name

    return sorted(types, key=rank)


def _from(folder: str, path: str) -> str:
    """A path, as it is to be written in a file in a folder."""
    relative = os.path.relpath(path, folder)
    if os.path.exists(os.path.join(folder, relative)):
        return relative
    # ".." leads elsewhere out of a folder that is a link
    return os.path.relpath(os.path.realpath(path), os.path.realpath(folder))


def _listed(names: Sequence[str]) -> str:
    """Some names, and how many more there are."""
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(names[:3]) + more


def _with_saed(model: Configuration, table: str) -> Configuration:
    """A model that learns the difference, the key where a reader looks for it."""
    first = {key: model[key] for key in ("type", "type_map")}
    return {**first, "saed": table, **model}
