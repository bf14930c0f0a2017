# SPDX-License-Identifier: LGPL-3.0-or-later
"""What a model must remember of its training data, and what these must agree in."""

from __future__ import annotations

import logging
import os
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from ...atoms.species import GRID_TYPE, element_of
from ...data.dataset import check_open_axes, check_systems, dataset_info
from ...data.stored import frames
from ...errors import ChargeError
from ...io.functionals import spelled
from ...model.info import SAME_VALENCE, ModelInfo
from ...saed.table import RadialTable
from ...typing import Floats, Integers
from .saed import check_dataset

__all__ = ["check_validation", "training_facts", "warn_of_twins"]

# dp shows what its own loggers say
log = logging.getLogger("deepmd.charge")

# A; positions of a structure in files of different precision differ by less.
_SAME_LENGTH = 1e-4


def training_facts(
    system_dirs: Sequence[str],
    type_map: Sequence[str],
    saed: str | None = None,
    given: Mapping[str, float] | None = None,
    rcut: float = 0.0,
) -> dict[str, Any]:
    """What a model must remember of its training data.

    Parameters
    ----------
    system_dirs : list of str
    type_map : list of str
    saed : str, optional
        Table of superposed atomic densities; it is checked against the data.
    given : dict of str to float, optional
        Valences that the user gives.
    rcut : float, optional
        How far the descriptor sees, A; the data are checked to be open that far.

    Returns
    -------
    dict
        As :func:`deepmd_charge.data.dataset.dataset_info`, but with "saed" a dict of
        the table's facts, where the model has one.

    Raises
    ------
    ChargeError
        If the data do not belong together, or the table not to them.
    """
    check_systems(system_dirs, type_map)
    table = RadialTable.load(saed) if saed else None
    check_open_axes(system_dirs, rcut if table is None else max(rcut, table.reach))
    potentials = _valences(table, type_map) if table else {}
    facts = dataset_info(system_dirs, type_map, {**(given or {}), **potentials})
    source = facts.pop("saed")
    if saed is None or table is None:
        if source:
            log.warning(
                "the data hold superposed atomic densities, but model/saed names no saed.npz: "
                "the total density is learnt"
            )
        return facts
    if source != table.source:
        raise ChargeError(
            f"{saed}: of source {table.source!r}, but the superposed atomic densities beside the "
            f"training data are of source {source!r}; convert the data again, or name their table"
        )
    if table.functions:
        table.check(facts["elements"], saed)
        check_dataset(system_dirs, table, type_map, saed)
    valence = _valences(table, facts["elements"])
    facts["saed"] = {"source": table.source, "ecutrho": table.ecutrho, "valence": valence}
    return facts


def check_validation(
    system_dirs: Sequence[str], type_map: Sequence[str], info: Mapping[str, Any], rcut: float
) -> None:
    """Refuse validation data whose errors would say nothing of the model.

    Parameters
    ----------
    system_dirs : list of str
    type_map : list of str
    info : dict
        What the model remembers of its training data.
    rcut : float
        How far it sees, A.

    Raises
    ------
    ChargeError
        If they have other elements or valences, or are of another quantity or functional.
    """
    check_open_axes(system_dirs, rcut)
    facts = dataset_info(system_dirs, type_map)
    source, learnt = facts.pop("saed"), ModelInfo.from_json(info)
    here = ModelInfo.from_json(facts)
    where, remedy = "training/validation_data", "validate with what is trained on"
    if unseen := [name for name in here.elements if name not in learnt.elements]:
        raise ChargeError(
            f"{where}: {', '.join(unseen)} is not in the training data, which have "
            f"{', '.join(learnt.elements)}; {remedy}"
        )
    functional, its = (spelled(str(m.notes.get("functional") or "")) for m in (here, learnt))
    found = [
        ("quantity", here.quantity if here.kind else None, learnt.quantity),
        ("functional", functional, its),
        ("source of superposed atomic densities", source, (learnt.saed or {}).get("source")),
    ]
    for name, (value, doubt) in here.valences.items():
        its_value, its_doubt = learnt.valences.get(name, (value, 0.0))
        if abs(value - its_value) > SAME_VALENCE + doubt + its_doubt:
            found.append((f"valence of {name}", f"{value:g}", f"{its_value:g}"))
    for what, mine, other in found:
        if mine and other and mine != other:
            raise ChargeError(
                f"{where}: the {what} is {mine}, that of the training data {other}; {remedy}"
            )


def warn_of_twins(
    training: Sequence[str], validation: Sequence[str], type_map: Sequence[str]
) -> None:
    """Warn of systems that are trained on twice, and of validation structures that are trained on.

    Parameters
    ----------
    training, validation : sequence of str
        Systems.
    type_map : sequence of str
    """
    paths = Counter(map(os.path.realpath, training))
    if twice := sorted(path for path, n in paths.items() if n > 1):
        log.warning(
            "training/training_data names %s more than once: its points count as often",
            ", ".join(twice),
        )
    if not validation:
        return
    others = _structures(validation, type_map)
    if shared := len(others & _structures(training, type_map)):
        log.warning(
            "%d of the %d structures of training/validation_data are trained on: their errors say "
            "nothing of others; validate with structures that are not",
            shared,
            len(others),
        )


def _structures(system_dirs: Sequence[str], type_map: Sequence[str]) -> set[bytes]:
    """What tells structures from each other, in whatever order and precision they are stored."""
    grid = list(type_map).index(GRID_TYPE)
    found = set()
    for frame in frames(system_dirs, type_map, ()):
        is_atom = frame["type"] != grid
        atoms = np.column_stack([frame["type"][is_atom], _rounded(frame["coord"][is_atom])])
        atoms = atoms[np.lexsort(atoms.T[::-1])]  # plain systems sort atoms by type, mixed do not
        box = _rounded(frame["box"]) if frame["periodic"] else np.zeros((3, 3), dtype=np.int64)
        found.add(np.concatenate([box, atoms], axis=None).tobytes())
    return found


def _rounded(lengths: Floats) -> Integers:
    """Lengths, A, in units of those that count as the same: of float32 and float64 the same."""
    return np.rint(lengths.astype(np.float32).astype(np.float64) / _SAME_LENGTH).astype(np.int64)


def _valences(table: RadialTable, types: Iterable[str]) -> dict[str, float]:
    """Valences of types, as far as a table of atomic densities knows them."""
    elements = {name: element_of(name) for name in types}
    return {name: table.valence[e] for name, e in elements.items() if e in table.valence}
