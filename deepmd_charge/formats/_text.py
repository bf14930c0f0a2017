# SPDX-License-Identifier: LGPL-3.0-or-later
"""Large blocks of numbers in text files, plain or compressed.

Both directions work on about a megabyte at a time, with numpy on whole
columns of characters: gigabytes go through without a second copy in memory.
"""

import gzip
import lzma
import os
import re
import warnings
import zlib
from contextlib import contextmanager

import numpy as np

from ..errors import ChargeError
from ..output import replacing

COMPRESSIONS = (".gz", ".xz")
CHUNK_BYTES = 1 << 20
LINE_BYTES = 1 << 14  # no header or heading line is longer

# One field as VASP prints it, Fortran 1X,E17.11: " 0.12345678901E+00" or
# " -.12345678901E+00". Characters 3-13 are the mantissa, 15-17 the exponent.
FIELD = 18
DIGITS = 11
_POWERS = np.array([float(f"1e{k}") for k in range(111)])
_PLACES = _POWERS[DIGITS - 1 :: -1]
# Fortran drops the E of a three-digit exponent and may write D for it.
_FORTRAN = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+))(?:[DdEe]([-+]?\d+)|([-+]\d{3}))")


class TextReader:
    """Lines and blocks of numbers of one file, with line numbers for complaints.

    Parameters
    ----------
    path : str or os.PathLike
        File; a name that ends in .gz or .xz is decompressed.

    Attributes
    ----------
    number : int
        Number of the last line that was handed out, from 1.
    """

    def __init__(self, path):
        self.path = os.fspath(path)
        self.number = 0
        self._buffer = b""
        self._position = 0
        opener = {".gz": gzip.open, ".xz": lzma.open}.get(_suffix(self.path), open)
        try:
            self._file = opener(self.path, "rb")
        except OSError as error:
            raise ChargeError(f"{self.path}: cannot be read: {error.strerror}") from None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self._file.close()

    def error(self, message, line=None):
        """Make a ChargeError that names the file and a line (the last one)."""
        return ChargeError(f"{self.path}:{line or self.number}: {message}")

    def line(self):
        """Next line without its end, or None at the end of the file."""
        while (end := self._buffer.find(b"\n", self._position)) < 0:
            if len(self._buffer) - self._position > LINE_BYTES:
                raise self.error("a line without end: is this a text file?", self.number + 1)
            if not self._fill():
                end = len(self._buffer)
                break
        text = self._buffer[self._position : end]
        if not text and end == len(self._buffer):
            return None
        self._position = min(end + 1, len(self._buffer))
        self.number += 1
        return text.decode("utf-8", "backslashreplace").rstrip("\r")

    def values(self, count):
        """Read ``count`` numbers that fill whole lines.

        Parameters
        ----------
        count : int
            How many.

        Returns
        -------
        numpy.ndarray, shape (count,), float64

        Raises
        ------
        ChargeError
            If the file ends early, or a number is missing, unreadable,
            ``****``, NaN or infinite, or the last line holds further ones.
        """
        try:
            values = np.empty(count)
        except (MemoryError, ValueError):
            raise self.error(f"a grid of {count} points does not fit into memory") from None
        done = 0
        while done < count:
            block, n_lines = self._lines(count - done)
            if not block:
                raise ChargeError(
                    f"{self.path}: ends after {done} of {count} grid values (line {self.number}):"
                    " truncated? copy or compute it again"
                )
            numbers = _parse(block)
            if numbers is None or len(numbers) > count - done:
                numbers, n_lines = self._parse_carefully(block, done, count)
            values[done : done + len(numbers)] = numbers
            done += len(numbers)
            self.number += n_lines
        return values

    def _fill(self):
        """Read on; False at the end of the file."""
        try:
            more = self._file.read(CHUNK_BYTES)
        except (EOFError, OSError, lzma.LZMAError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or error
            raise ChargeError(
                f"{self.path}: cannot be read or decompressed: {reason}: copy it again"
            ) from None
        self._buffer = self._buffer[self._position :] + more
        self._position = 0
        return bool(more)

    def _lines(self, count):
        """Take about a chunk of whole lines, at most those for ``count`` numbers."""
        if len(self._buffer) - self._position < CHUNK_BYTES:
            self._fill()
        while (first := self._buffer.find(b"\n", self._position)) < 0 and self._fill():
            pass
        rest = np.frombuffer(self._buffer, dtype=np.uint8)[self._position :]
        ends = np.flatnonzero(rest == ord("\n")) + 1
        if first < 0:  # the last line has no end
            ends = np.array([len(rest)])
        columns = len(self._buffer[self._position : max(first, 0) or None].split())
        ends = ends[: -(-count // max(columns, 1))]
        block = self._buffer[self._position : self._position + int(ends[-1])]
        self._position += len(block)
        return block, len(ends)

    def _parse_carefully(self, block, done, count):
        """Parse line by line: for uneven lines, odd exponents and complaints."""
        numbers = []
        lines = block.splitlines(keepends=True)
        for i, line in enumerate(lines):
            if done + len(numbers) == count:
                self._position -= sum(map(len, lines[i:]))  # not ours: hand it out again
                return numbers, i
            for word in line.decode("ascii", "backslashreplace").split():
                numbers.append(self._number(word, self.number + i + 1, done + len(numbers), count))
            surplus = done + len(numbers) - count
            if surplus > 0:
                # scripts that add CHGCARs fill the last line up with zeros
                if any(numbers[-surplus:]) or surplus >= len(line.split()):
                    raise self.error(
                        f"more than the {count} values that the grid line announces",
                        self.number + i + 1,
                    )
                del numbers[-surplus:]
        return numbers, len(lines)

    def _number(self, word, line, done, count):
        """Convert one word, or say what is wrong with it."""
        try:
            value = float(word)
        except ValueError:
            match = _FORTRAN.fullmatch(word)
            if match:
                return float(f"{match[1]}e{match[2] or match[3]}")
            if "*" in word:
                raise self.error(
                    f"{word[:40]!r} is a number that did not fit its field: write the file again",
                    line,
                ) from None
            raise self.error(
                f"expected value {done + 1} of the {count} that the grid line announces,"
                f" found {word[:40]!r}: truncated, or a wrong grid line?",
                line,
            ) from None
        if not np.isfinite(value):
            raise self.error(f"{word[:40]!r} is not a density: compute the file again", line)
        return value


def _parse(block):
    """Numbers of a block of text, or None where it needs a careful look."""
    columns, rest = _parse_columns(block)
    try:
        with warnings.catch_warnings():
            # numpy < 2.3 only warns about what it cannot read
            warnings.simplefilter("error", DeprecationWarning)
            others = np.fromstring(rest, sep=" ") if rest.strip() else np.empty(0)
    except (ValueError, DeprecationWarning):
        return None
    numbers = np.concatenate([columns, others]) if len(columns) else others
    return numbers if np.isfinite(numbers).all() else None


def _parse_columns(block):
    """Numbers of the lines in VASP's fixed columns, and the text after them.

    Ten times as fast as a general parser. The mantissa is an integer of 11
    digits and the power of ten a table entry, both exact up to 1e22, so that
    their quotient is the correctly rounded value (1 ulp off beyond that).
    """
    nothing = np.empty(0), block
    width = block.find(b"\n") + 1
    n_columns, line_end = divmod(width, FIELD)
    n_rows = len(block) // max(width, 1)
    if not n_rows or not n_columns or line_end not in (1, 2):
        return nothing
    size = n_rows * width
    lines = np.frombuffer(block, dtype=np.uint8, count=size).reshape(n_rows, width)
    fields = lines[:, : n_columns * FIELD].reshape(-1, FIELD)
    digits = np.concatenate([fields[:, 3:14], fields[:, 16:18]], axis=1) - ord("0")
    negative = fields[:, 1] == ord("-")
    small = fields[:, 15] == ord("-")
    if not (
        (digits <= 9).all()
        and (lines[:, -1] == ord("\n")).all()
        and (line_end == 1 or (lines[:, -2] == ord("\r")).all())
        and (fields[:, 0] == ord(" ")).all()
        and (negative | (fields[:, 1] == ord("0"))).all()
        and (fields[:, 2] == ord(".")).all()
        and (fields[:, 14] == ord("E")).all()
        and (small | (fields[:, 15] == ord("+"))).all()
    ):
        return nothing
    exponent = digits[:, 11].astype(int) * 10 + digits[:, 12]
    values = _scale(digits[:, :11] @ _PLACES, np.where(small, -exponent, exponent) - DIGITS)
    np.negative(values, out=values, where=negative)
    return values, block[size:]


def _scale(mantissa, exponent):
    """``mantissa * 10**exponent`` with at most one rounding for |exponent| <= 22."""
    power = _POWERS[np.abs(exponent)]
    return np.where(exponent < 0, mantissa / power, mantissa * power)


def format_values(values, columns=5):
    """Print numbers in VASP's fixed columns.

    Parameters
    ----------
    values : numpy.ndarray, shape (n,)
        Finite numbers.
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
    scaled = _scale(np.where(normal, size, 0.0), DIGITS - exponent)
    mantissa = np.rint(scaled)
    over = mantissa >= _POWERS[DIGITS]
    mantissa[over] = np.rint(scaled[over] / 10)
    exponent[over] += 1

    n_lines = -(-len(values) // columns)
    page = np.full((n_lines, columns * FIELD + 1), ord(" "), dtype=np.uint8)
    page[:, -1] = ord("\n")
    fields = np.empty((n_lines * columns, FIELD), dtype=np.uint8)
    fields[:] = np.frombuffer(b" 0.00000000000E+00", dtype=np.uint8)
    text = fields[: len(values)]
    text[:, 1] = np.where(np.signbit(values) & (mantissa > 0), ord("-"), ord("0"))
    text[:, 15] = np.where(exponent < 0, ord("-"), ord("+"))
    _put_digits(text[:, 3:14], mantissa.astype(np.int64))
    _put_digits(text[:, 16:18], np.abs(exponent))
    for i in np.flatnonzero(~normal & (size > 0)):
        text[i] = np.frombuffer(f"{values[i]:{FIELD}.9E}".encode(), dtype=np.uint8)
    page[:, :-1] = fields.reshape(n_lines, columns * FIELD)
    if len(values) % columns == 0:
        return page.tobytes()
    # VASP ends an incomplete line with two spaces
    return page.tobytes()[: len(values) * FIELD + n_lines - 1] + b"  \n"


def _put_digits(columns, numbers):
    """Write the decimal digits of integers into columns of characters."""
    for place in range(columns.shape[1] - 1, -1, -1):
        numbers, digit = np.divmod(numbers, 10)
        columns[:, place] = digit + ord("0")


@contextmanager
def text_writer(path):
    """Open a file that appears under its name when it is complete.

    Parameters
    ----------
    path : str or os.PathLike
        Final name; .gz and .xz compress.

    Yields
    ------
    binary file object

    Raises
    ------
    ChargeError
        If the file cannot be written. What stood there before is left as it is.
    """
    with replacing(path) as temporary, open(temporary, "wb") as raw:
        if _suffix(path) == ".gz":
            # neither a name nor a time inside: equal data, equal files
            with gzip.GzipFile("", "wb", 6, raw, mtime=0) as file:
                yield file
        elif _suffix(path) == ".xz":
            with lzma.LZMAFile(raw, "wb") as file:
                yield file
        else:
            yield raw


def _suffix(path):
    return os.path.splitext(os.fspath(path))[1].lower()
