# SPDX-License-Identifier: LGPL-3.0-or-later
"""Names of exchange-correlation functionals, as Quantum ESPRESSO and its potentials spell them."""

from __future__ import annotations

import re

__all__ = ["functional_name", "is_hybrid", "is_meta", "spelled"]

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


def _words(text: str) -> list[str]:
    return [word for word in re.split(r"[\s+]+", text.upper()) if word not in ("", "NOGX", "NOGC")]


def functional_name(text: str) -> str | None:
    """The usual name of a functional; None for one that is not known here."""
    return _NAMES.get(" ".join(_words(text)))


def spelled(text: str) -> str:
    """The usual name of a functional, or the words themselves of one that is not known here."""
    return functional_name(text) or " ".join(_words(text))


def is_meta(text: str) -> bool:
    """Whether a functional needs the kinetic energy density."""
    return bool(_META & set(_words(text)))


def is_hybrid(text: str) -> bool:
    """Whether a functional has a part of exact exchange."""
    return bool(_HYBRID & set(_words(text)))
