# SPDX-License-Identifier: LGPL-3.0-or-later
"""What the grids of an xsf file are, by what their names, blocks and comments say.

Several grids of one kind may be the spin channels of one field: "RHO:spin_1" and
"RHO:spin_2" of SIESTA, "density_up" and "density_down", a density and its
magnetisation.
"""

from __future__ import annotations

import re
from typing import NamedTuple, TypeAlias

import numpy as np

from ..grid.quantity import QUANTITIES, Quantity
from ..typing import Floats
from ._xsf_parse import DataGrid
from .verdict.said import quantity_said, split_quantity

__all__ = ["Field", "choose_field"]

_WORD = r"(?<![a-z0-9])(?:{})(?![a-z0-9])"
_SPIN = r"i?spin[ :=-]*(?:ch(?:annel)?[ :=-]*)?"
_VECTOR = r"(?:m|mag|magneti[sz]ation|spin)[ :-]?"


def _patterns(ways: dict[str, str]) -> dict[str, re.Pattern[str]]:
    """Compile what finds each name as a word."""
    return {name: re.compile(_WORD.format(way)) for name, way in ways.items()}


# Names of channels, which words of a title ("beta tin", "built up") must not be taken for.
_CHANNELS = _patterns(
    {
        **{digit: _SPIN + digit for digit in "1234"},
        "up": rf"{_SPIN}(?:up|alpha)|^(?:up|alpha)$|up$|^up",
        "down": rf"{_SPIN}(?:down|dn|dw|beta)|^(?:down|dn|dw|beta)$|(?:down|dn|dw)$"
        r"|^(?:down|dn|dw)",
        **{letter: _VECTOR + letter for letter in "xyz"},
        "magnetization": r"^(?:mag|magn|spin)$",
    }
)
# Beyond the words of said.py: SIESTA's names of files, Octopus' units, sisl's parts of
# complex fields, and the names of quantities.
_FAMILIES = _patterns(
    {
        "potential": r"vh|vt|vna|function = (?:h|ev)(?! ?[*^])",
        "orbital": r"^(?:real|imag) .*|function = \S*-3/2\)?",
        "other": "ioch|toch|bader|rhoxc|rhoinit",
        **{
            name: f"^{name}$" for name in ("difference", "deviation", "partial", "elf", "magnitude")
        },
        "total": r"^(?:rho|total|charge|density)$",
    }
)
_WANNIER = re.compile(r"\bwannier(?:90| functions?)\b")
_PER_VOLUME = ("total", "partial", "difference", "deviation")


class Field(NamedTuple):
    """One scalar field and its spin channels.

    Attributes
    ----------
    quantity : Quantity
    grid : DataGrid
        With the values of the field, in the file's unit.
    spin : list of numpy.ndarray
        Its magnetisation, none, one or three components, like ``grid.values``.
    said : str or None
        What tells the quantity.
    notes : list of str
        What was decided.
    doubts : list of str
        Why it may not be what it is taken for.
    """

    quantity: Quantity
    grid: DataGrid
    spin: list[Floats]
    said: str | None
    notes: list[str]
    doubts: list[str]


class _Member(NamedTuple):
    """A grid as a channel of a field.

    Attributes
    ----------
    family : str
        Quantity of the field; empty where nothing tells it.
    channel : str
        "1" to "4", "up", "down", "x", "y", "z", "magnetization"; empty for the field itself.
    said : str
        What tells them.
    grid : DataGrid
    """

    family: str
    channel: str
    said: str
    grid: DataGrid


# Quantity, grid, magnetisation and notes of a field.
_Combined: TypeAlias = tuple[Quantity, DataGrid, list[Floats], list[str]]


def choose_field(
    grids: list[DataGrid], comments: list[str], declared: Quantity | None = None
) -> Field:
    """Find the field of a file's grids: the total density, if one is there.

    Parameters
    ----------
    grids : list of DataGrid
        One at least.
    comments : list of str
        Of the whole file.
    declared : Quantity, optional
        What the only grid, or the first, holds.

    Returns
    -------
    Field
        Where nothing tells which of several grids is the density, the first one.
    """
    members = [_recognise(grid, comments if len(grids) == 1 else []) for grid in grids]
    families: dict[str, list[_Member]] = {}
    for member in members:
        families.setdefault(member.family, []).append(member)
    # what has no name is the density where it is alone, and may be anything where it is not
    family = next((name for name in ("total", "") if name in families), members[0].family)
    parts = families[family]
    family = family or ("total" if len(grids) == 1 else "")
    if family not in _PER_VOLUME:
        parts = parts[:1]
    combined = _combine(family, parts) if family else None
    if combined is None:
        return _first(members, QUANTITIES[family or "total"], declared)
    quantity, grid, spin, notes = combined
    said = parts[0].said or None
    if declared and not spin:
        quantity, said = declared, None
    elif said and not quantity.is_total:
        notes.append(f"{quantity.description}, for it says {said[:40]!r} (--is says otherwise)")
    left = [member.grid for member in members if not any(member is part for part in parts)]
    if left:
        notes.append(f"only the grid {_title(grid)} is read, not {_titles(left)}")
    return Field(quantity, grid, spin, said, notes, [])


def _first(members: list[_Member], quantity: Quantity, declared: Quantity | None) -> Field:
    """The first of several grids of which nothing tells the part that each has."""
    titles = _titles([member.grid for member in members])
    doubt = (
        f"of its {len(members)} grids, {titles}, nothing says which is the total density or how"
        " they make it: the first is read; say by --is (holds=) what it is, or give a file with one"
    )
    note = f"only the first of {len(members)} grids is read: {titles}"
    first = members[0].grid
    return Field(declared or quantity, first, [], None, [note], [] if declared else [doubt])


def _title(grid: DataGrid) -> str:
    """Name of a grid, or of its block."""
    return repr((grid.name or grid.block or "without a name")[:30])


def _titles(grids: list[DataGrid]) -> str:
    return ", ".join(map(_title, grids[:4])) + (", ..." if grids[4:] else "")


def _recognise(grid: DataGrid, comments: list[str]) -> _Member:
    """The member that a grid is by its name, else its block; a lone grid by all comments, too."""
    if tag := split_quantity("\n".join(comments))[1]:
        return _Member(*_as_member(tag), "", grid)
    family, channel, said = "", "", ""
    block = grid.block.rpartition(".")[2] if grid.block.startswith("DATA_from:") else grid.block
    for text in (grid.name, block):
        its_family, its_channel = _read_name(text)
        if family in ("", "total") and its_family:  # what is no total density goes before that
            said = text if its_family != family else said
            family = its_family
        if not channel and its_channel:
            channel, said = its_channel, said or text
    if not channel and family in ("", "total"):
        told = quantity_said("\n".join(comments))
        wannier = [line for line in comments if _WANNIER.search(line.lower())]
        if told:
            said = next((line for line in comments if quantity_said(line) == told), said)
            family, channel = _as_member(told)
        elif wannier:
            family, said = "orbital", wannier[0]
    # ABINIT and others call whatever they write a density
    said = "" if said.lower() in ("density", "datagrids") else said
    return _Member(family or ("total" if channel else ""), channel, said, grid)


def _as_member(quantity: Quantity) -> tuple[str, str]:
    """Family and channel of a quantity."""
    if quantity.name in ("up", "down", "magnetization"):
        return "total", quantity.name
    return quantity.name, ""


def _read_name(text: str) -> tuple[str, str]:
    """Family and channel that the name of a grid or of its block tells; either may be empty."""
    said = quantity_said(text)
    text = text.lower().replace("_", " ").strip(" :.-")
    channels = [name for name, way in _CHANNELS.items() if way.search(text)]
    channel = next(iter(channels), "")
    if said:
        family, its_channel = _as_member(said)
        is_component = its_channel == "magnetization" and channel and channel in "xyz"
        return family, channel if is_component else its_channel or channel
    rest = _CHANNELS[channel].sub("", text).strip(" :.-") if channel else text
    return next((name for name, way in _FAMILIES.items() if rest and way.search(rest)), ""), channel


def _combine(family: str, members: list[_Member]) -> _Combined | None:
    """Quantity, grid, magnetisation and notes of a field; None where its channels make none."""
    by = {member.channel: member.grid for member in members}
    if len(by) < len(members) or not all(_is_like(grid, members[0].grid) for grid in by.values()):
        return None
    if len(by) == 1:
        return _lone(family, *by.popitem())
    digits = {"1": "up", "2": "down"}
    values = {digits.get(channel, channel): grid.values for channel, grid in by.items()}
    if len(values) < len(by):
        return None
    note = f"{_titles([*by.values()])} are the spin channels of one field"
    total = values.pop("", None)
    spin: list[Floats] = []
    if set(values) >= {"up", "down"}:
        total = values["up"] + values["down"] if total is None else total
        spin = [values.pop("up") - values.pop("down")]
    if set(values) == {"3", "4"} and spin:
        # SIESTA's density matrix of spin: real and imaginary part of its element 12
        spin = [2.0 * values.pop("3"), -2.0 * values.pop("4"), *spin]
    elif set(values) == {"magnetization"} and not spin:
        spin = [values.pop("magnetization")]
    elif set(values) == set("xyz") and not spin:
        spin = [values.pop(letter) for letter in "xyz"]
    if values or total is None or not spin:
        return None
    grid = members[0].grid._replace(values=total)
    return QUANTITIES[family], grid, spin, [note]


def _lone(family: str, channel: str, grid: DataGrid) -> _Combined:
    """A field of one grid; the only one that SIESTA writes has number 1 as well."""
    if not channel or channel == "1" or family != "total":
        return QUANTITIES[family], grid, [], []
    names = {"2": "down", "3": "other", "4": "other", "up": "up", "down": "down"}
    return QUANTITIES[names.get(channel, "magnetization")], grid, [], []


def _is_like(one: DataGrid, other: DataGrid) -> bool:
    """Whether two grids have the same points."""
    return one.values.shape == other.values.shape and all(
        np.allclose(its, others, rtol=0, atol=1e-6)
        for its, others in ((one.origin, other.origin), (one.spans, other.spans))
    )
