# SPDX-License-Identifier: LGPL-3.0-or-later
"""An input of pw.x as a text: values of its namelists, lines of its cards."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import ChargeError
from .namelists import Namelist, Value, changed, line_of

__all__ = ["Card", "InputText", "find_cards"]

CARDS = (
    "ATOMIC_SPECIES", "ATOMIC_POSITIONS", "K_POINTS", "ADDITIONAL_K_POINTS", "CELL_PARAMETERS",
    "CONSTRAINTS", "OCCUPATIONS", "ATOMIC_VELOCITIES", "ATOMIC_FORCES", "SOLVENTS", "HUBBARD",
)  # fmt: skip
_UNITS = ("CRYSTAL_SG", "CRYSTAL", "BOHR", "ANGSTROM", "ALAT")  # in the order of pw.x's search


@dataclass(frozen=True)
class Card:
    """A card of an input.

    Attributes
    ----------
    header : str
        Its first line, in capitals.
    line : int
        Number of that line in the text.
    rows : list of tuple
        Numbers of the lines that follow, and their words.
    """

    header: str
    line: int
    rows: list[tuple[int, list[str]]]

    def unit(self) -> str:
        """The unit that its first line names, in small letters; "none" where it names none."""
        return next((unit.lower() for unit in _UNITS if unit in self.header), "none")


def find_cards(text: str, start: int) -> dict[str, Card]:
    """Find the cards of a text, by their names in capitals, behind its namelists."""
    cards: dict[str, Card] = {}
    rows: list[tuple[int, list[str]]] = []
    for number, line in enumerate(text[start:].split("\n")[1:], line_of(text, start) + 1):
        content = line.partition("!")[0].replace("\t", " ")
        if not content.strip() or line.startswith("#"):
            continue
        name = re.split(r"[\s({]", content.strip().upper(), maxsplit=1)[0]
        if name in CARDS:
            rows = []
            cards.setdefault(name, Card(line.upper(), number, rows))
        else:
            rows.append((number, content.split()))
    return cards


@dataclass(frozen=True)
class InputText:
    """An input of pw.x, for which keys and cards are asked by their names.

    Attributes
    ----------
    path : str
        Its file.
    text : str
    namelists : dict of str to Namelist
        By their names in small letters.
    cards : dict of str to Card
        By their names in capitals.
    """

    path: str
    text: str
    namelists: dict[str, Namelist]
    cards: dict[str, Card]

    def with_settings(self, settings: Mapping[str, Mapping[str, str | None]]) -> str:
        """The text with other settings, its comments and layout as they are.

        Parameters
        ----------
        settings : dict of dict
            Such as ``{"electrons": {"startingpot": "'file'"}}``; None takes a key away.

        Returns
        -------
        str

        Raises
        ------
        ChargeError
            If there is no such namelist.
        """
        return changed(self.text, self.path, settings)

    def get(self, namelist: str, key: str) -> Value | None:
        """The value of a key, None where the input does not say it."""
        found = self.namelists.get(namelist)
        entry = found.find(key) if found else None
        return entry.values[0] if entry and entry.values else None

    def word(self, namelist: str, key: str, default: str = "") -> str:
        """The text of a key, without blanks around it."""
        value = self.get(namelist, key)
        if value is None:
            return default
        if not isinstance(value, str):
            raise self._wrong(namelist, key, value, "a text in quotes")
        return value.strip()

    def number(self, namelist: str, key: str, default: float = 0.0) -> float:
        """The number of a key."""
        value = self.get(namelist, key)
        if value is None:
            return default
        if isinstance(value, (str, bool)):
            raise self._wrong(namelist, key, value, "a number")
        return float(value)

    def integer(self, namelist: str, key: str, default: int = 0) -> int:
        """The whole number of a key."""
        number = self.number(namelist, key, default)
        if number != int(number):
            raise self._wrong(namelist, key, number, "a whole number")
        return int(number)

    def flag(self, namelist: str, key: str) -> bool:
        """Whether a key is .true."""
        value = self.get(namelist, key)
        if value is not None and not isinstance(value, bool):
            raise self._wrong(namelist, key, value, ".true. or .false.")
        return bool(value)

    def _wrong(self, namelist: str, key: str, value: Value, due: str) -> ChargeError:
        return ChargeError(f"{self.path}: {key} = {value!r} in &{namelist.upper()}: give {due}")

    def card(self, name: str) -> Card:
        """A card by its name; ChargeError if there is none."""
        if name not in self.cards:
            raise ChargeError(f"{self.path}: there is no card {name}: add it")
        return self.cards[name]

    def rows(self, name: str, count: int, n_words: int) -> list[tuple[int, list[str]]]:
        """The first so many lines of a card."""
        rows = self.card(name).rows[:count]
        if count < 1 or len(rows) < count:
            raise ChargeError(
                f"{self.path}: {name} has {len(rows)} lines, where {count} are due: correct them,"
                " or nat and ntyp in &SYSTEM"
            )
        for line, words in rows:
            if len(words) < n_words:
                raise ChargeError(
                    f"{self.path}: line {line}: {name} needs {n_words} words here, not"
                    f" {' '.join(words)[:60]!r}"
                )
        return rows
