# SPDX-License-Identifier: LGPL-3.0-or-later
"""What the head of a pseudopotential says: element, valence, functional, and whether it is PAW."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import ChargeError
from ..saed.upf import element_and_valence

__all__ = ["Potential", "read_potential"]


@dataclass(frozen=True)
class Potential:
    """A pseudopotential.

    Attributes
    ----------
    path : str
    element : str
    valence : float
        Its electrons.
    functional : str
        As the file has it; empty where it does not say.
    is_paw : bool
    """

    path: str
    element: str
    valence: float
    functional: str
    is_paw: bool


def read_potential(path: str) -> Potential | None:
    """Read the head of a UPF file.

    Returns
    -------
    Potential or None
        None of a file of another format, which pw.x alone reads, or that is not there.
    """
    try:
        text = Path(path).read_text(errors="replace")
    except OSError:
        return None
    try:
        element, valence, header = element_and_valence(text, Path(path))
    except ChargeError:
        return None
    attribute = re.search(r"\bfunctional\s*=\s*[\"']([^\"']*)", header)
    line = re.search(r"^(.*?)\s+Exchange-Correlation", header, re.M)
    paw = re.search(r"\bis_paw\s*=\s*[\"']\s*\.?[tT]", header)
    # in version 1 the words of the parts come before the short name, which is the last word
    functional = attribute[1] if attribute else " ".join(line[1].split()[:4]) if line else ""
    return Potential(os.fspath(path), element, valence, functional, bool(paw))
