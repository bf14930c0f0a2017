# SPDX-License-Identifier: LGPL-3.0-or-later
"""Which DP systems ``dp train`` can take together."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

from ..errors import ChargeError
from .sound import check_system
from .stored import StoredSystem

__all__ = ["check_kinds", "check_together"]

# Of auto_prob: the first system, that behind the last, and how often to draw one of them.
_BLOCK = re.compile(r"(\d+):(\d+):([\d.]+(?:[eE][-+]?\d+)?)")


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
        If there is no system where one is named, or one has other types, or is not sound
        (:func:`.dataset.check_systems`); if plain and mixed systems (DeePMD-kit's
        ``mixed_type``) are to be trained on together, or batches over several systems
        (``batch_size`` "mixed:N") would have open and periodic structures; if a batch would have
        no frame, or weights are not those of these systems.
    """
    for name in ("training_data", "validation_data"):
        data = training.get(name)
        if not isinstance(data, Mapping):
            continue
        key = f"training/{name}"
        named, patterns = data.get("systems"), data.get("rglob_patterns")
        paths = _expanded(named, patterns, f"{key}/systems")
        systems = {path: StoredSystem(path, type_map) for path in paths}
        check_kinds(systems, f"{key}: ")
        for path, system in systems.items():
            others = [name for name in system.names if name not in type_map] if type_map else []
            if others:
                raise ChargeError(
                    f"{path}: its type_map.raw has {', '.join(others)}, which model/type_map "
                    "lacks; make them agree"
                )
            check_system(system)
        batch_size = data.get("batch_size", "auto")
        _check_batch_size(batch_size, len(paths), key)
        if not str(batch_size).startswith("filter"):  # which leaves systems out
            _check_weights(data, len(paths), key)
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


def _expanded(named: Any, patterns: list[str] | None, key: str) -> list[str]:
    """Find the systems that DeePMD-kit finds in folders: as often as they are named."""
    from deepmd.common import expand_sys_str, rglob_sys_str
    from deepmd.dpmodel.utils.lmdb_data import is_lmdb

    found: list[str] = []
    for folder in [named] if isinstance(named, str) else named or []:
        if not isinstance(folder, str) or is_lmdb(folder):
            continue  # DeePMD-kit's to tell of
        is_missing = not any(map(os.path.exists, (folder, folder.partition("#")[0])))
        try:
            paths = [] if is_missing else expand_sys_str(folder)
        except OSError as error:
            raise ChargeError(
                f"{folder}: no folder, and no HDF5 file ({error}); correct {key}"
            ) from None
        if patterns and not is_missing:
            paths = rglob_sys_str(folder, patterns)
        if not paths:
            what = "no such folder or file" if is_missing else "holds no DP system (type.raw)"
            if is_missing and not os.path.isabs(folder):
                what += f" in {os.getcwd()}, where dp train runs and its paths count from"
            raise ChargeError(f"{folder}: {what}; correct {key}, or convert densities into it")
        found += paths
    return found


def _check_batch_size(given: Any, n_systems: int, key: str) -> None:
    """Refuse numbers of frames that are none, which DeePMD-kit would divide by."""
    rule, _, text = given.partition(":") if isinstance(given, str) else ("", "", "")
    if rule in ("mixed", "max", "filter") or (rule == "auto" and text):
        is_good = text.isdecimal() and int(text) > 0
        wanted = f'"{rule}:N" with a whole number N of at least 1'
    elif isinstance(given, list) and len(given) != n_systems:
        is_good, wanted = False, f"one number for all systems, or {n_systems} of them"
    else:
        numbers = given if isinstance(given, list) else [given]
        is_good = all(not isinstance(n, int) or n > 0 for n in numbers)  # others are DeePMD-kit's
        wanted = "whole numbers of frames of at least 1"
    if not is_good:
        raise ChargeError(f"{key}/batch_size {given}: give {wanted}")


def _check_weights(data: Mapping[str, Any], n_systems: int, key: str) -> None:
    """Refuse weights that are not those of these systems, which DeePMD-kit finds out too late."""
    given = data.get("sys_probs")
    if isinstance(given, list):
        if len(given) != n_systems:
            raise ChargeError(
                f"{key}/sys_probs: {len(given)} numbers for {n_systems} systems; give one for each"
            )
        return
    rule = data.get("auto_prob", "prob_sys_size")
    name, *blocks = rule.split(";") if isinstance(rule, str) else ("",)
    if name != "prob_sys_size" or not blocks:
        return
    drawn: list[int] = []
    for block in blocks:
        if not (found := _BLOCK.fullmatch(block)):
            raise ChargeError(
                f"{key}/auto_prob {rule}: {block} is not first:end:weight; correct it"
            )
        first, end = int(found[1]), int(found[2])
        if not first < end <= n_systems:
            raise ChargeError(
                f"{key}/auto_prob {rule}: {block} is no part of the {n_systems} systems, which are"
                " counted from 0; correct it"
            )
        drawn += range(first, end)
    if len(set(drawn)) < len(drawn):
        raise ChargeError(f"{key}/auto_prob {rule}: a system is in two blocks; correct it")


def _one_of_each(kinds: dict[str, bool], complaint: str) -> None:
    """Raise ChargeError with the first paths for which something is false, and true."""
    if len(set(kinds.values())) > 1:
        first = {kind: path for path, kind in reversed(kinds.items())}
        raise ChargeError(complaint.format(first[False], first[True]))
