# SPDX-License-Identifier: LGPL-3.0-or-later
"""ABACUS' cubes: "2 (nspin)" in a comment, and the rest in the names that it gives to files."""

from __future__ import annotations

import os
import re

from ..grid.quantity import QUANTITIES, Quantity

__all__ = ["told_by_name"]

_NSPIN = re.compile(r"^\s*([124]) \(nspin\)", re.MULTILINE)
_NAMES = {
    "potential": r"pot",
    "elf": r"elf",
    "other": r"tau",
    "orbital": r"_env|wf|psi",
    "partial": r"^band|pchg|ldos",
}
_CHANNEL = re.compile(r"(?:spin|s|chgs)_?([1-4])")


def told_by_name(path: str, comment: str) -> tuple[Quantity | None, str | None, str | None]:
    """What a cube of ABACUS holds.

    Parameters
    ----------
    path : str
    comment : str

    Returns
    -------
    quantity : Quantity or None
        None where it may be the total density, and of other programs' files.
    said : str or None
        What tells it.
    doubt : str or None
        What the user must do, where it is one channel of several.
    """
    match = _NSPIN.search(comment)
    if not match:
        return None, None, None
    name = os.path.basename(path).lower().partition(".cub")[0]
    for quantity, pattern in _NAMES.items():
        if re.search(pattern, name):
            return QUANTITIES[quantity], name, None
    channel = _CHANNEL.search(name)
    if match[1] == "2":
        doubt = (
            "ABACUS wrote one spin channel to this file: add the other, or say by --is up or down"
            " (holds=) that it is this that is to be learnt"
        )
        return None, None, doubt
    if match[1] == "1" or (channel and channel[1] == "1"):
        return None, None, None
    if channel:
        return QUANTITIES["magnetization"], f"{match[1]} (nspin), {name}", None
    doubt = (
        "ABACUS wrote the density or a component of its magnetisation to this file, of a"
        " non-collinear run: say by --is (holds=) which"
    )
    return None, None, doubt
