# SPDX-License-Identifier: LGPL-3.0-or-later
"""Numbers to and from text, many at a time.

Reading is done by a few lines of C (``_scan.c``) where these could be compiled
when the package was installed, and else, or where they do not understand a
word, by Python: the results are the same, many times later.
"""

import ctypes
import re
from functools import cache, partial
from importlib.util import find_spec

import numpy as np

FIELD = 18  # characters of a printed number: " 0.12345678901E+00"
DIGITS = 11

_WORD = re.compile(rb"\S+")
# Fortran drops the E of a three-digit exponent and may write D for it.
_FORTRAN = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+))(?:[DdEe]([-+]?\d+)|([-+]\d{3}))", re.ASCII)
_POWERS = np.array([float(f"1e{k}") for k in range(120)])
# of 10**e, at e + _ONE: dividing by an exact power of ten rounds only once
_ONE = len(_POWERS) - 1
_DIVISOR = np.concatenate([_POWERS[::-1], np.ones(_ONE)])
_FACTOR = np.concatenate([np.ones(_ONE), _POWERS])
_FOUR_DIGITS = np.array([list(f"{n:04d}".encode()) for n in range(10**4)], dtype=np.uint8)


class NotANumber(ValueError):
    """Attributes: ``word``, its ``index`` among the words and ``line``, the line ends before it."""

    def __init__(self, word, index, line):
        super().__init__(f"{word!r} is not a finite number")
        self.word = word
        self.index = index
        self.line = line


def scan(text, values, divisor=1.0):
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
    if not (compiled := _compiled()):
        return _scan(text, values, divisor)
    count, place, n_lines = 0, ctypes.c_int64(0), ctypes.c_int64(0)
    while True:
        rest = values[count:]
        count += compiled(
            text, len(text), divisor, rest.ctypes, len(rest), ctypes.byref(place), ctypes.byref(n_lines)
        )
        if count == len(values) or place.value == len(text):
            return count, place.value, n_lines.value
        word = _WORD.match(text, place.value)
        values[count] = _number(word[0], count, n_lines.value) / divisor
        count += 1
        place.value = word.end()


def _scan(text, values, divisor):
    """The same without compiled code."""
    words = text.split(None, len(values))
    end = len(text)
    if len(words) > len(values):
        end -= len(words.pop())
    if len(words) == len(values):
        end = len(text[:end].rstrip())
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


def _number(word, index, line):
    word = word.decode("ascii", "backslashreplace")
    match = _FORTRAN.fullmatch(word)
    try:
        value = float(f"{match[1]}e{match[2] or match[3]}" if match else word)
    except ValueError:
        raise NotANumber(word, index, line) from None
    if not np.isfinite(value) or "_" in word:
        raise NotANumber(word, index, line)
    return value


@cache
def _compiled():
    """The function of ``_scan.c`` with its table, or None."""
    library = find_spec(f"{__package__}._scan")  # no Python module: a shared library
    if library is None:
        return None
    try:
        scan = ctypes.CDLL(library.origin).deepmd_charge_scan_into
    except (OSError, AttributeError):
        return None
    number, pointer = ctypes.c_int64, ctypes.c_void_p
    scan.argtypes = pointer, ctypes.c_char_p, number, ctypes.c_double, pointer, number, pointer, pointer
    scan.restype = number
    return partial(scan, _leading_bits().ctypes)


def _leading_bits():
    """Leading 128 bits of the powers of ten from 1e-342 to 1e308, in two words each."""
    bits = []
    for k in range(-342, 309):
        power = 5 ** abs(k)  # the twos are in the exponent
        n = power.bit_length()
        bits.append((power << 128) >> n if k >= 0 else (1 << (n + 127)) // power)
    return np.array([divmod(word, 1 << 64) for word in bits], dtype=np.uint64)


def format_values(values, columns=5):
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
        Lines of fields such as `` 0.12345678901E+00`` or `` -.12345678901E+00``.
        Beyond 1e-98 and 1e98 a field has ten digits instead, to make room for
        an exponent of three digits that every reader takes.
    """
    size = np.abs(values)
    normal = (size > 1e-98) & (size < 1e98)
    exponent = np.floor(np.log10(size, where=normal, out=np.zeros_like(size))).astype(int) + 1
    exponent[~normal] = 0
    power = DIGITS - exponent + _ONE
    scaled = np.where(normal, size, 0.0) / _DIVISOR[power] * _FACTOR[power]
    mantissa = np.rint(scaled)
    over = mantissa >= _POWERS[DIGITS]
    mantissa[over] = np.rint(scaled[over] / 10)
    exponent[over] += 1

    text = np.empty((*values.shape, FIELD), dtype=np.uint8)
    text[:] = np.frombuffer(b" 0.00000000000E+00", dtype=np.uint8)
    text[..., 1] = np.where(np.signbit(values) & (mantissa > 0), ord("-"), ord("0"))
    text[..., 15] = np.where(exponent < 0, ord("-"), ord("+"))
    high, low = np.divmod(mantissa.astype(np.int64), 10**8)
    text[..., 3:6] = _FOUR_DIGITS[high][..., 1:]
    high, low = np.divmod(low, 10**4)
    text[..., 6:10] = _FOUR_DIGITS[high]
    text[..., 10:14] = _FOUR_DIGITS[low]
    text[..., 16:18] = _FOUR_DIGITS[np.abs(exponent)][..., 2:]
    for i in zip(*np.nonzero(~normal & (size > 0))):
        text[i] = np.frombuffer(f"{values[i]:{FIELD}.9E}".encode(), dtype=np.uint8)
    n_rows = 1 if values.ndim == 1 else len(values)
    return _lines(text.reshape(n_rows, values.shape[-1] * FIELD), columns * FIELD)


def _lines(rows, width):
    """Break rows of characters into lines; an incomplete one ends in two blanks, as in VASP."""
    n_rows, size = rows.shape
    n_lines = size // width
    whole = np.full((n_rows, n_lines, width + 1), ord("\n"), dtype=np.uint8)
    whole[:, :, :-1] = rows[:, : n_lines * width].reshape(n_rows, n_lines, width)
    end = np.frombuffer(b"  \n" if size % width else b"", dtype=np.uint8)
    end = np.broadcast_to(end, (n_rows, len(end)))
    parts = [whole.reshape(n_rows, -1), rows[:, n_lines * width :], end]
    return np.concatenate(parts, axis=1).tobytes()
