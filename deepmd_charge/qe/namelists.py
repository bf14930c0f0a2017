# SPDX-License-Identifier: LGPL-3.0-or-later
"""Namelists of Fortran, ``&name key = value, ... /``: what they say and where it stands.

What is changed is changed in the text itself, so that its comments and layout stay.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeAlias

from ..errors import ChargeError

__all__ = ["Namelist", "Value", "changed", "find_namelists", "line_of", "to_number"]

Value: TypeAlias = str | bool | int | float

_START = re.compile(r"^[ \t]*&(\w+)", re.M)
_TOKEN = re.compile(
    r"""(?P<string>'(?:[^']|'')*'|"(?:[^"]|"")*")
    | (?P<comment>![^\n]*)
    | (?P<end>/|&end\b)
    | (?P<key>[A-Za-z_]\w*\s*(?:%\s*\w+\s*)?(?:\([\s\d,:]*\)\s*)?=)
    | (?P<space>[\s,;]+)
    | (?P<word>[^\s,;=!/'"]+)
    """,
    re.X | re.I,
)
_EXPONENT = str.maketrans("dDqQ", "eeee")
_REPEATED = re.compile(r"(\d+)\*(.*)")


@dataclass(frozen=True)
class _Entry:
    """A key without blanks, its values, and where it and these stand in the text.

    Values are None between commas without any: they leave what was there before.
    """

    key: str
    values: tuple[Value | None, ...]
    place: int
    start: int
    end: int


@dataclass(frozen=True)
class Namelist:
    """A namelist of a text.

    Attributes
    ----------
    name : str
        In small letters.
    entries : tuple
        As they stand there; of two of one key the later one counts.
    end : int
        Where the mark of its end stands in the text.
    """

    name: str
    entries: tuple[_Entry, ...]
    end: int

    def find(self, key: str) -> _Entry | None:
        """The entry of a key that counts; None if there is none."""
        return next((entry for entry in reversed(self.entries) if entry.key == key), None)

    def array(self, key: str) -> dict[int, Value]:
        """Values of an array by their indices from 1, as ``key = 1, 2`` or ``key(2) = 2``."""
        found: dict[int, Value] = {}
        for entry in self.entries:
            name, _, rest = entry.key.partition("(")
            if name == key:
                first = int(rest.partition(")")[0].partition(":")[0] or 1) if rest else 1
                given = enumerate(entry.values, first)
                found.update({k: value for k, value in given if value is not None})
        return found


def find_namelists(text: str, path: str) -> dict[str, Namelist]:
    """Find the namelists of a text.

    Parameters
    ----------
    text : str
    path : str
        Its file, for complaints.

    Returns
    -------
    dict of str to Namelist
        By their names in small letters; of two of one name the first, as pw.x reads it.

    Raises
    ------
    ChargeError
        If one has no end, or is no list of keys and values.
    """
    found: dict[str, Namelist] = {}
    place = 0
    while start := _START.search(text, place):
        namelist = _parse(text, path, start[1].lower(), start.end())
        found.setdefault(namelist.name, namelist)
        place = namelist.end + 1  # the mark may be &end, which begins no namelist
    return found


def _parse(text: str, path: str, name: str, place: int) -> Namelist:
    entries: list[_Entry] = []
    key, key_place, start, end = "", 0, 0, 0
    values: list[Value | None] = []
    commas = 0  # since the last value, or the key

    def close() -> None:
        if key:
            entries.append(_Entry(key, tuple(values), key_place, start, end))

    while token := _TOKEN.match(text, place):
        kind, place = token.lastgroup, token.end()
        if kind == "end":
            close()
            return Namelist(name, tuple(entries), token.start())
        if kind == "key":
            close()
            key, values = re.sub(r"[\s=]", "", token[0]).lower(), []
            key_place, start, end, commas = token.start(), place, place, 0
        elif kind == "space":
            commas += token[0].count(",")
        elif kind in ("string", "word"):
            if not key:
                raise ChargeError(
                    f"{path}: line {line_of(text, token.start())}: {token[0][:40]!r} in &{name} is"
                    " no key = value"
                )
            # one comma parts two values
            values.extend([None] * max(commas - bool(values), 0))
            start = start if values else token.start()
            end, commas = place, 0
            try:
                values.extend(_values(token[0]))
            except ValueError:
                raise ChargeError(
                    f"{path}: line {line_of(text, token.start())}: {token[0][:40]!r} in &{name} is"
                    " no value: put texts in quotes, and a / at the end of the namelist"
                ) from None
    if place < len(text):
        raise ChargeError(
            f"{path}: line {line_of(text, place)}: {text[place : place + 20].split()[0]!r} in"
            f" &{name} is no key = value"
        )
    raise ChargeError(f"{path}: &{name} has no end: close it by a / on a line of its own")


def _values(word: str) -> list[Value | None]:
    if repeated := _REPEATED.fullmatch(word):
        return int(repeated[1]) * [_value(repeated[2]) if repeated[2] else None]
    return [_value(word)]


def _value(word: str) -> Value:
    if word[0] in "'\"":
        return word[1:-1].replace(2 * word[0], word[0])
    number = to_number(word)
    if number is not None:
        return number
    letters = word.lower().lstrip(".")
    if letters[:1] not in ("t", "f"):
        raise ValueError(word)
    return letters[0] == "t"


def to_number(word: str) -> int | float | None:
    """The number of a word of Fortran's, such as 1d-8; None where it is none."""
    try:
        return int(word)
    except ValueError:
        pass
    try:
        return float(word.translate(_EXPONENT)) if word[:1] in "+-.0123456789" else None
    except ValueError:
        return None


def line_of(text: str, place: int) -> int:
    """Number of the line of a place in a text, from 1."""
    return text.count("\n", 0, place) + 1


def changed(text: str, path: str, settings: Mapping[str, Mapping[str, str | None]]) -> str:
    """A text with other values of some keys, and otherwise as it is.

    Parameters
    ----------
    text : str
    path : str
        Its file, for complaints.
    settings : dict of dict
        Of each namelist keys and the values as Fortran writes them, ``'file'`` in its quotes;
        None for keys that are not to be there.

    Returns
    -------
    str
        Keys that are new stand before the end of their namelists.

    Raises
    ------
    ChargeError
        If there is no such namelist.
    """
    namelists = find_namelists(text, path)
    edits: list[tuple[int, int, str]] = []
    for name, keys in settings.items():
        namelist = namelists.get(name)
        if namelist is None:
            raise ChargeError(f"{path}: there is no &{name.upper()}: add it, with a / at its end")
        new = []
        for key, value in keys.items():
            entry = namelist.find(key)
            if value is None:
                edits.extend(_removal(text, each) for each in namelist.entries if each.key == key)
            elif entry is None:
                new.append(f"  {key} = {value}\n")
            elif text[entry.start : entry.end] != value:
                edits.append((entry.start, entry.end, value))
        if new:
            edits.append(_insertion(text, namelist.end, "".join(new)))
    for start, end, replacement in sorted(edits, reverse=True):
        text = text[:start] + replacement + text[end:]
    return text


def _removal(text: str, entry: _Entry) -> tuple[int, int, str]:
    """What takes an entry away, with the comma that follows it."""
    comma = re.compile(r"[ \t]*,?").match(text, entry.end)
    return entry.place, comma.end() if comma else entry.end, ""


def _insertion(text: str, end: int, lines: str) -> tuple[int, int, str]:
    """What puts lines before the mark of an end, which may stand behind other things."""
    line = text.rfind("\n", 0, end) + 1
    if text[line:end].strip():
        return end, end, f"\n{lines}"
    return line, line, lines
