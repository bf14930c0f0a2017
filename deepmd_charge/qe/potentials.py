# SPDX-License-Identifier: LGPL-3.0-or-later
"""What the head of a pseudopotential says: element, valence, functional, and whether it is PAW."""

from __future__ import annotations

import os
import re
from dataclasses import dataclass
from pathlib import Path

from ..errors import ChargeError
from ..saed.upf import element_and_valence

__all__ = ["Potential", "functional_name", "is_hybrid", "is_meta", "read_potential"]

# Functionals by the words that pw.x has for their parts, beside their short names.
_NAMES = {
    "SLA PZ": "LDA", "PZ": "LDA", "LDA": "LDA", "SLA PW": "LDA (PW)", "PW": "LDA (PW)",
    "SLA PW PBE PBE": "PBE", "SLA PW PBX PBC": "PBE", "PBE": "PBE",
    "SLA PW PSX PSC": "PBESOL", "PBESOL": "PBESOL",
    "SLA PW RPB PBC": "REVPBE", "SLA PW REVX PBC": "REVPBE", "REVPBE": "REVPBE",
    "SLA PW RPB PBE": "RPBE", "RPBE": "RPBE",
    "SLA LYP B88 BLYP": "BLYP", "BLYP": "BLYP", "SLA PW GGX GGC": "PW91", "PW91": "PW91",
    "SLA P86 B88 P86": "BP", "BP": "BP",
    "SLA PW TPSS TPSS": "TPSS", "TPSS": "TPSS", "SCAN": "SCAN",
}  # fmt: skip
_META = {"TPSS", "SCAN", "RSCAN", "R2SCAN", "M06L", "TB09", "META"}
_HYBRID = {
    "PBE0", "HSE", "GAUP", "GAUPBE", "B3LYP", "B3LYP-V1R", "X3LYP", "BHAHLYP", "HF", "EXX", "PB0X",
    "OEP", "OEPX", "SCAN0", "SCA0", "B86BPBEX", "VDW-DF-CX0", "VDW-DF-CX0P", "VDW-DF2-0",
    "VDW-DF2-BR0", "VDW-DF-C090", "B3LP", "PBEH",
}  # fmt: skip


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


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[\s+]+", text.upper()) if word not in ("", "NOGX", "NOGC")]


def functional_name(text: str) -> str | None:
    """The usual name of a functional; None for one that is not known here."""
    return _NAMES.get(" ".join(_words(text)))


def is_meta(text: str) -> bool:
    """Whether a functional needs the kinetic energy density."""
    return bool(_META & set(_words(text)))


def is_hybrid(text: str) -> bool:
    """Whether a functional has a part of exact exchange."""
    return bool(_HYBRID & set(_words(text)))
