# SPDX-License-Identifier: LGPL-3.0-or-later
"""Which DP systems ``dp train`` can take together."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

from ..atoms.species import GRID_TYPE
from ..errors import ChargeError
from .stored import StoredSystem

__all__ = ["check_kinds", "check_together"]


def check_together(training: Mapping[str, Any], type_map: Sequence[str] | None = None) -> None:
    """Refuse systems that DeePMD-kit would stumble over, or pass over without a word.

    Parameters
    ----------
    training : dict
        ``training`` of an ``input.json``, as the user wrote it.
    type_map : list of str, optional
        ``model/type_map`` there.

    Raises
    ------
    ChargeError
        If there is no system where one is named, or one has other types; if plain and mixed
        systems (DeePMD-kit's ``mixed_type``) are to be trained on together, or batches over
        several systems (``batch_size`` "mixed:N") would have open and periodic structures.
    """
    for name in ("training_data", "validation_data"):
        data = training.get(name)
        if not isinstance(data, Mapping):
            continue
        key = f"training/{name}"
        systems = _expanded(data.get("systems"), data.get("rglob_patterns"), f"{key}/systems")
        check_kinds(systems, f"{key}: ")
        for path, system in systems.items():
            others = [name for name in system.names if name not in type_map] if type_map else []
            if others and GRID_TYPE not in others:  # DeePMD-kit's to tell of
                raise ChargeError(
                    f"{path}: its type_map.raw has {', '.join(others)}, which model/type_map "
                    "lacks; make them agree"
                )
        batch_size = data.get("batch_size", "auto")
        if isinstance(batch_size, str) and batch_size.startswith("mixed"):
            _one_of_each(
                {path: system.is_open for path, system in systems.items()},
                f"{key}/batch_size {batch_size}: a batch cannot hold both {{}}, which is periodic, "
                "and {}, which is not (nopbc): convert all files together with --mixed-type, or "
                "give a number of frames, which are of one system",
            )


def check_kinds(systems: Mapping[str, StoredSystem], where: str = "") -> None:
    """Check that systems, by their paths, are all plain or all of mixed types.

    Parameters
    ----------
    systems : mapping of str to StoredSystem
    where : str
        How the message begins.

    Raises
    ------
    ChargeError
        If some are not like the others.
    """
    _one_of_each(
        {path: system.is_mixed for path, system in systems.items()},
        f"{where}{{}} is a plain DP system and {{}} a mixed one, which cannot meet in one training:"
        " convert all files together, with --mixed-type or without",
    )


def _expanded(named: Any, patterns: list[str] | None, key: str) -> dict[str, StoredSystem]:
    """Find the systems that DeePMD-kit finds in folders, by their paths."""
    from deepmd.common import expand_sys_str, rglob_sys_str
    from deepmd.dpmodel.utils.lmdb_data import is_lmdb

    found = {}
    for folder in [named] if isinstance(named, str) else named or []:
        if not isinstance(folder, str) or is_lmdb(folder):
            continue  # DeePMD-kit's to tell of
        is_missing = "#" not in folder and not os.path.exists(folder)
        paths = [] if is_missing else expand_sys_str(folder)
        if patterns and not is_missing:
            paths = rglob_sys_str(folder, patterns)
        if not paths:
            what = "no such folder" if is_missing else "holds no DP system (type.raw)"
            raise ChargeError(f"{folder}: {what}; correct {key}, or convert densities into it")
        found.update({path: StoredSystem(path) for path in paths})
    return found


def _one_of_each(kinds: dict[str, bool], complaint: str) -> None:
    """Raise ChargeError with the first paths for which something is false, and true."""
    if len(set(kinds.values())) > 1:
        first = {kind: path for path, kind in reversed(kinds.items())}
        raise ChargeError(complaint.format(first[False], first[True]))
