# SPDX-License-Identifier: LGPL-3.0-or-later
"""Numbers to and from text, many at a time.

This is done by a few lines of C (``_scan.c``, ``_print.c``) where these could be
compiled when the package was installed, and else, or where they cannot tell, by
Python: the results are the same, many times later.
"""

from __future__ import annotations

import ctypes
import re
from collections.abc import Callable
from functools import cache, partial
from importlib.util import find_spec
from typing import Any

import numpy as np

from ...typing import Floats, Integers

FIELD = 18  # characters of a printed number: " 0.12345678901E+00"

_WORD = re.compile(rb"\S+")
# Fortran drops the E of a three-digit exponent and may write D for it.
_FORTRAN = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+))(?:[DdEe]([-+]?\d+)|([-+]\d{3}))", re.ASCII)


class NotANumber(ValueError):
    """Attributes: ``word``, its ``index`` among the words and ``line``, the line ends before it."""

    def __init__(self, word: str, index: int, line: int) -> None:
        super().__init__(f"{word!r} is not a finite number")
        self.word = word
        self.index = index
        self.line = line


def scan(text: bytes, values: Floats, divisor: float = 1.0) -> tuple[int, int, int]:
    """Convert the words of a text, as many as there are places for.

    Parameters
    ----------
    text : bytes
        Ends in white space.
    values : numpy.ndarray, shape (n,), float64
        Is filled from its start with ``float(word) / divisor``, to the last bit.
    divisor : float, optional

    Returns
    -------
    count : int
        How many places were filled.
    end : int
        Where the last word ends in the text; the end of the text if it had fewer
        words than there are places.
    n_lines : int
        How many line ends stand before that.

    Raises
    ------
    NotANumber
        If a word is none, or not finite.
    """
    if not (compiled := _compiled("deepmd_charge_scan_into", "psidpipp")):
        return _scan(text, values, divisor)
    count, place, n_lines = 0, ctypes.c_int64(0), ctypes.c_int64(0)
    while True:
        rest = values[count:]
        count += compiled(
            text,
            len(text),
            divisor,
            rest.ctypes,
            len(rest),
            ctypes.byref(place),
            ctypes.byref(n_lines),
        )
        if count == len(values) or place.value == len(text):
            return count, place.value, n_lines.value
        word = next(_WORD.finditer(text, place.value))
        values[count] = _number(word[0], count, n_lines.value) / divisor
        count += 1
        place.value = word.end()


def _scan(text: bytes, values: Floats, divisor: float) -> tuple[int, int, int]:
    """The same without compiled code."""
    words = text.split(None, len(values))
    end = len(text)
    if len(words) > len(values):
        end -= len(words.pop())
    if len(words) == len(values):
        end = len(text[:end].rstrip())
    numbers: Floats | None
    try:
        numbers = np.array(words, dtype=np.float64)
    except ValueError:
        numbers = None
    if numbers is None or not np.isfinite(numbers).all() or b"_" in text:  # 1_0 is Python's own
        places = (word.start() for word in _WORD.finditer(text))
        numbers = np.array(
            [_number(word, i, text.count(b"\n", 0, next(places))) for i, word in enumerate(words)]
        )
    np.divide(numbers, divisor, out=values[: len(numbers)])
    return len(numbers), end, text.count(b"\n", 0, end)


def as_float(word: str) -> float:
    """Convert a word, in Fortran's ways of writing a number, too: 1.5D-01, 1.5-100.

    Raises
    ------
    ValueError
        If it is no number, or not finite.
    """
    match = _FORTRAN.fullmatch(word)
    value = float(f"{match[1]}e{match[2] or match[3]}" if match else word)
    if not np.isfinite(value) or "_" in word:  # 1_0 is Python's own
        raise ValueError(f"{word!r} is not a finite number")
    return value


def _number(word: bytes, index: int, line: int) -> float:
    text = word.decode("ascii", "backslashreplace")
    try:
        return as_float(text)
    except ValueError:
        raise NotANumber(text, index, line) from None


def format_values(values: Floats, columns: int = 5) -> bytes:
    """Print numbers in VASP's fixed columns.

    Parameters
    ----------
    values : numpy.ndarray, shape (n,) or (rows, n)
        Finite numbers. Each row begins a new line.
    columns : int
        Numbers in a line.

    Returns
    -------
    bytes
        Lines of fields such as `` 0.12345678901E+00`` or `` -.12345678901E+00``:
        the decimal number of 11 digits that is nearest, of two the even one.
        Beyond 1e-98 and 1e98 a field has ten digits instead, to make room for
        an exponent of three digits that every reader takes. An incomplete line
        ends in two blanks, as in VASP.
    """
    values = np.ascontiguousarray(np.atleast_2d(values), dtype=np.float64)
    if not (compiled := _compiled("deepmd_charge_print", "ppiiipp")):
        return _lines(_fields(values.ravel()).reshape(len(values), -1), columns * FIELD)
    n_rows, n = values.shape
    width = n * FIELD + n // columns + (3 if n % columns else 0)
    text = np.empty(n_rows * width, dtype=np.uint8)
    left = np.empty(values.size, dtype=np.int64)
    n_left = compiled(values.ctypes, n_rows, n, columns, text.ctypes, left.ctypes)
    for i in left[:n_left].tolist():
        row, column = divmod(i, n)
        place = row * width + column * FIELD + column // columns
        text[place : place + FIELD] = _fields(values[row, column : column + 1])[0]
    return text.tobytes()


def _fields(values: Floats) -> Integers:
    """The fields of numbers, (n, FIELD) characters, by Python's own printing."""
    size = np.abs(values)
    wide = (size > 0) & ~((size > 1e-98) & (size < 1e98))
    others = np.where(wide, 0.0, values) + 0.0  # no negative zero
    printed = (f"%{FIELD}.10E" * len(values) % tuple(others.tolist())).encode()
    text = np.frombuffer(printed, dtype=np.uint8).reshape(-1, FIELD).copy()
    # "  1.2345678901E+00" to " 0.12345678901E+01"
    text[:, 1] = np.where(others < 0, ord("-"), ord("0"))
    text[:, 2:4] = text[:, [3, 2]]
    tens, ones = text[:, 16:].T - ord("0")
    exponent = np.where(text[:, 15] == ord("-"), -1, 1) * (10 * tens + ones) + (others != 0)
    text[:, 15] = np.where(exponent < 0, ord("-"), ord("+"))
    text[:, 16:] = np.transpose(np.divmod(np.abs(exponent), 10)) + ord("0")
    for i in np.flatnonzero(wide):
        text[i] = np.frombuffer(f"{values[i]:{FIELD}.9E}".encode(), dtype=np.uint8)
    return text


def _lines(rows: Integers, width: int) -> bytes:
    """Break rows of characters into lines; an incomplete one ends in two blanks, as in VASP."""
    n_rows, size = rows.shape
    n_lines = size // width
    whole = np.full((n_rows, n_lines, width + 1), ord("\n"), dtype=np.uint8)
    whole[:, :, :-1] = rows[:, : n_lines * width].reshape(n_rows, n_lines, width)
    end = np.frombuffer(b"  \n" if size % width else b"", dtype=np.uint8)
    end = np.broadcast_to(end, (n_rows, len(end)))
    parts = [whole.reshape(n_rows, -1), rows[:, n_lines * width :], end]
    return np.concatenate(parts, axis=1).tobytes()


_TYPES: dict[str, type[ctypes._SimpleCData[Any]]] = {
    "i": ctypes.c_int64,
    "d": ctypes.c_double,
    "s": ctypes.c_char_p,
    "p": ctypes.c_void_p,
}


@cache
def _compiled(name: str, arguments: str) -> Callable[..., int] | None:
    """A compiled function with its table of powers, or None."""
    library = find_spec(f"{__package__}._decimal")  # no Python module: a shared library
    if library is None or library.origin is None:
        return None
    try:
        function = ctypes.CDLL(library.origin)[name]
    except (OSError, AttributeError):
        return None
    function.argtypes = [_TYPES[letter] for letter in arguments]
    function.restype = ctypes.c_int64
    return partial(function, _leading_bits().ctypes)


@cache
def _leading_bits() -> Integers:
    """Leading 128 bits of the powers of ten from 1e-342 to 1e335, in two words each."""
    bits = []
    for k in range(-342, 336):
        power = 5 ** abs(k)  # the twos are in the exponent
        n = power.bit_length()
        bits.append((power << 128) >> n if k >= 0 else (1 << (n + 127)) // power)
    return np.array([divmod(word, 1 << 64) for word in bits], dtype=np.uint64)
