# SPDX-License-Identifier: LGPL-3.0-or-later
"""A LAMMPS script in two parts: what comes before its first run, and the rest.

Commands are told apart as LAMMPS does: a line whose last character, blanks
aside, is ``&`` goes on in the next one, and so does one within triple quotes;
``#`` outside of quotes begins a comment.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

from ..errors import ChargeError
from ..typing import PathLike

__all__ = ["Lammps", "run_to_first_run"]

Lammps: TypeAlias = Any  # lammps.lammps

# Commands after which atoms may move in time, or others than the next come first.
_STARTS = {"run", "rerun", "hyper", "prd", "tad", "mdi", "label", "jump"}
_STARTS |= {"temper", "temper/npt", "temper/grem"}
_WORD = re.compile(r'"""(.*?)"""|"([^"]*)"|\'([^\']*)\'|#.*|([^\s#]+)', re.DOTALL)


class Command(NamedTuple):
    """A command of a script.

    Attributes
    ----------
    line : int
        Number of its first line, from 1.
    raw : str
        Its lines as they stand in the file.
    text : str
        One line, or several within triple quotes, with the comment.
    """

    line: int
    raw: str
    text: str

    @property
    def words(self) -> list[str]:
        """Its words, of which one is what was quoted."""
        return _words(self.text)


def run_to_first_run(lmp: Lammps, script: PathLike, folder: Path) -> Path:
    """Carry out a script up to its first run, or a loop or jump that may be around one.

    Parameters
    ----------
    lmp : lammps.lammps
    script : str or Path
        The script; in files that it includes all is as if it stood there.
    folder : Path
        Where to write the rest.

    Returns
    -------
    Path
        A script with the rest.

    Raises
    ------
    ChargeError
        If there is no run, the box is not there when it begins, or something in
        the rest would end this program or remove the fix that samples.
    """
    rest = _to_first_run(lmp, Path(script), folder)
    if rest is None:
        raise ChargeError(f"{script}: no run command in this file, or in one that it includes")
    return rest


def _to_first_run(lmp: Lammps, path: Path, folder: Path) -> Path | None:
    """Write the rest of a file, whose name is returned; None where it has no run."""
    commands = list(_commands(path))
    for number, command in enumerate(commands):
        words, later = command.words, commands[number + 1 :]
        if words[:1] == ["quit"]:
            raise ChargeError(
                f"{path}:{command.line}: quits before the first run; remove this line"
            )
        if words[:1] == ["include"] and len(words) == 2:
            inner = _to_first_run(lmp, Path(_expanded(lmp, words[1])), folder)
            if inner is None:
                continue
            first = f'include "{inner}"\n'
        elif _starts(lmp, words):
            first = command.raw
            _check_rest(path, command)
        else:
            lmp.command(command.text)
            continue
        if not lmp.extract_setting("box_exist"):
            raise ChargeError(
                f"{path}:{command.line}: `{words[0]}` comes before the box (create_box, read_data,"
                " read_restart); make the box before the first run, loop or jump"
            )
        for other in later:
            _check_rest(path, other)
        rest = folder / f"{len(list(folder.iterdir()))}.{path.name}"
        rest.write_text(first + "".join(other.raw for other in later), newline="")
        return rest
    return None


def _commands(path: PathLike) -> Iterator[Command]:
    """Yield the commands of a file."""
    try:
        with open(path, encoding="utf-8", newline="\n") as file:
            lines = file.readlines()
    except OSError as error:
        raise ChargeError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ChargeError(f"{path}: not a text in UTF-8; is this a LAMMPS script?") from None
    start, text = 0, ""
    for number, line in enumerate(lines, start=1):
        text += line
        if text.rstrip().endswith("&"):
            text = text.rstrip()[:-1]
        elif text.count('"""') % 2 == 0:
            yield Command(start + 1, "".join(lines[start:number]), text)
            start, text = number, ""
    if text:
        yield Command(start + 1, "".join(lines[start:]), text)


def _included(path: PathLike) -> Iterable[Command]:
    """The commands of a file, if it is there: LAMMPS complains when it needs it."""
    return _commands(path) if Path(path).is_file() else ()


def _words(text: str) -> list[str]:
    words = []
    for match in _WORD.finditer(text):
        if match[0].startswith("#"):
            break
        words.append(next(group for group in match.groups() if group is not None))
    return words


def _expanded(lmp: Lammps, word: str) -> str:
    """A word with the values of its variables."""
    return (lmp.expand(word) or "") if "$" in word else word


def _conditional(words: Sequence[str]) -> Iterator[list[str]]:
    """Yield the words of the commands that an ``if`` may carry out."""
    is_condition = True
    for word in words[1:]:
        if not is_condition and word not in ("then", "else", "elif"):
            yield _words(word)
        is_condition = word == "elif"


def _starts(lmp: Lammps, words: Sequence[str]) -> bool:
    """Whether the rest begins with a command."""
    if not words:
        return False
    verb = (_expanded(lmp, words[0]).split() or [""])[0]
    if verb == "if":
        return any(_starts(lmp, inner) for inner in _conditional(words))
    if verb == "partition":
        return _starts(lmp, words[3:])
    if verb == "include" and len(words) == 2:
        return any(_starts(lmp, command.words) for command in _included(_expanded(lmp, words[1])))
    return verb in _STARTS


def _check_rest(path: PathLike, command: Command) -> None:
    """Raise ChargeError for a command with which samples would be lost."""
    words = command.words
    for each in [words, *(_conditional(words) if words[:1] == ["if"] else ())]:
        if each[:1] == ["quit"]:
            raise ChargeError(
                f"{path}:{command.line}: quit would end this program, too, and its results be lost;"
                " remove it, or jump to a label at the end of the script"
            )
        if each[:1] == ["clear"]:
            raise ChargeError(
                f"{path}:{command.line}: clear would remove the fix that samples the density; "
                "average over a script for each simulation"
            )
        if each[:1] == ["include"] and len(each) == 2:
            for inner in _included(each[1]):
                _check_rest(each[1], inner)
