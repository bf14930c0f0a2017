# SPDX-License-Identifier: LGPL-3.0-or-later
"""The ready configurations: complete ``input.json`` files that come with the package."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any, TypeAlias

from ..errors import ChargeError

__all__ = ["READY", "Configuration", "is_of_paper", "name_of", "read"]

Configuration: TypeAlias = dict[str, Any]

_FOLDER = "plugin_configs"
_PAPER = "paper/"

# Names, and what each is for.
READY = {
    "c-si": "crystals of one element, one structure or a few; made for silicon",
    "a-si": "disordered materials, several structures; made for amorphous silicon; slower",
    "al-mg": "crystals of several elements, alloys; made for Al-Mg",
    "al-surface": "surfaces and metals; made for aluminium",
    "water": "H, C, N, O, F and other densities that are sharp at nuclei; made for water",
    "molecules": "molecules of H, C, N, O, F, many different ones; made for small organic ones",
    "two-minutes": "a first try on anything smooth, two minutes on two cores",
    "cluster/c-si": "crystals of one element, a sum over atoms that is fitted at once; fast",
    "cluster/al-mg": "the same for crystals of several elements",
    "cluster/a-si": "the same for disordered materials: better than a-si there, slower to fit",
    "cluster/water": "the same for H, C, N, O, F; water is better",
    "paper/c-si": "the model of the Deep Charge paper, for crystalline silicon; slow",
    "paper/a-si": "the same for amorphous silicon",
    "paper/al-mg": "the same for Al-Mg",
    "paper/al-surface": "the same for aluminium surfaces",
    "paper/water": "the same for water",
}


def name_of(words: str) -> str:
    """Find the name of a ready configuration that a user means.

    Parameters
    ----------
    words : str
        The name, with or without ``.json``.

    Raises
    ------
    ChargeError
        If there is none of that name.
    """
    name = words.removesuffix(".json")
    if name not in READY:
        raise ChargeError(f"--like {words}: no ready configuration; take one of {', '.join(READY)}")
    return name


def is_of_paper(name: str) -> bool:
    """Whether a ready configuration is the model of the Deep Charge paper."""
    return name.startswith(_PAPER)


def read(name: str) -> Configuration:
    """Read a ready configuration, such as "c-si" or "paper/c-si"."""
    file = resources.files(__package__.partition(".")[0]).joinpath(
        _FOLDER, *f"{name}.json".split("/")
    )
    configuration: Configuration = json.loads(file.read_text(encoding="utf-8"))
    return configuration
