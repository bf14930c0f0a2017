# SPDX-License-Identifier: LGPL-3.0-or-later
"""Reading text files with large blocks of numbers, plain or compressed.

Less than a megabyte at a time: gigabytes go through without a second copy in
memory. Values in lines of equal length, as programs write them, are read by
all cores: the place of each in the file tells its place in the array.
"""

from __future__ import annotations

import gzip
import lzma
import os
import re
import zlib
from collections.abc import Container, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from io import BufferedIOBase

import numpy as np

from ...errors import ChargeError
from ...typing import Floats, PathLike
from .numbers import NotANumber, as_float, scan

COMPRESSIONS = (".gz", ".xz")
_MAGIC = {b"\x1f\x8b": ".gz", b"\xfd7zXZ\0": ".xz", b"BZh91AY": ".bz2"}  # first bytes
_PACKED = {".gz": "gzipped", ".xz": "packed by xz", ".bz2": "packed by bzip2"}
CHUNK_BYTES = 1 << 18  # stays in a core's cache
CHUNKS = 8  # a core takes this many at a time
LAST_WORDS = 10  # of a block of values, that tell whether the last one was cut
LINE_BYTES = 1 << 14  # no header or heading line is longer
# What a compressed byte becomes at most: 1032 in gzip; in xz 6900 for "0 0 0 ...".
MOST_EXPANSION = {".gz": 1032, ".xz": 8000}
THREADS = min(4, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else 4)

_EXPONENTIAL = re.compile(rb"[-+]?\d*\.(\d+)[Ee]?[-+](\d+)")


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

    def __init__(self, path: PathLike) -> None:
        self.path = os.fspath(path)
        self.number = 0
        self._buffer = b""
        self._position = 0
        self._last = b""  # the last line
        self._line_ends = True  # at the end of the file
        try:
            self._file = open_binary(self.path)
            self._most_bytes = os.path.getsize(self.path) * MOST_EXPANSION.get(
                suffix_of(self.path), 1
            )
        except OSError as error:
            raise ChargeError(f"{self.path}: cannot be read: {error.strerror}") from None

    def __enter__(self) -> TextReader:
        return self

    def __exit__(self, *exception: object) -> None:
        self._file.close()

    def error(self, message: str, line: int | None = None) -> ChargeError:
        """Make a ChargeError that names the file and a line (the last one)."""
        return ChargeError(f"{self.path}:{line or self.number}: {message}")

    def line(self) -> str | None:
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
        self._last = text
        self._position = min(end + 1, len(self._buffer))
        self.number += 1
        return text.decode("utf-8", "backslashreplace").rstrip("\r")

    def unread(self) -> None:
        """Give the last line back, which nothing has been read after."""
        rest = memoryview(self._buffer)[self._position :]
        self._buffer = b"".join((self._last, b"\n", rest))
        self._position = 0
        self.number -= 1

    def peek(self, count: int) -> list[str]:
        """Up to so many of the next lines, which stay to be read."""
        lines: list[bytes] = []
        place = 0
        while len(lines) < count:
            end = self._buffer.find(b"\n", self._position + place)
            rest = len(self._buffer) - self._position - place
            if end < 0 and rest <= LINE_BYTES and self._fill():
                continue
            if end < 0 and not rest:
                break
            lines.append(self._buffer[self._position + place : end if end >= 0 else None])
            if end < 0:
                break
            place = end + 1 - self._position
        return [line.decode("utf-8", "backslashreplace").rstrip("\r") for line in lines]

    def words(self, expected: str) -> list[str]:
        """Words of the next line, which must be there."""
        line = self.line()
        if line is None:
            raise self.error(f"the file ends here, expected {expected}")
        return line.split()

    def floats(self, counts: Container[int], expected: str) -> list[float]:
        """Numbers of the next line: as many as one of ``counts`` says."""
        return self.as_floats(self.words(expected), counts, expected)

    def as_floats(self, words: Sequence[str], counts: Container[int], expected: str) -> list[float]:
        """Convert words of the last line, as many as one of ``counts`` says."""
        try:
            numbers = [as_float(word) for word in words]
        except ValueError:
            numbers = []
        if len(numbers) not in counts:
            raise self.error(f"expected {expected}, found {' '.join(words)[:40]!r}")
        return numbers

    def values(self, count: int, divisor: float = 1.0) -> Floats:
        """Read ``count`` numbers, up to the end of the line that holds the last.

        Parameters
        ----------
        count : int
            How many.
        divisor : float, optional
            Divides all of them.

        Returns
        -------
        numpy.ndarray, shape (count,), float64

        Raises
        ------
        ChargeError
            If the file ends early, or a number is missing, unreadable, cut,
            ``****``, NaN or infinite, or the last line holds further ones.
        """
        if 2 * count > self._most_bytes + 1:
            raise self.error(f"this file is too small for {count} grid values: truncated?")
        try:
            values = np.empty(count)
        except (MemoryError, ValueError):
            raise self.error(f"a grid of {count} points does not fit into memory") from None
        done, last = self._equal_lines(values, divisor), b""
        while done < count:
            if not (block := self._block()):
                raise ChargeError(
                    f"{self.path}: ends after {done} of {count} grid values (line"
                    f" {self.number}): truncated? copy or compute it again"
                )
            try:
                n_values, end, n_lines = scan(block, values[done:], divisor)
            except NotANumber as problem:
                raise self._complaint(problem, done, count) from None
            self._position -= len(block) - end
            self.number += n_lines
            done += n_values
            last = last[-1000:] + block[max(end - 1000, 0) : end]
        self._finish_line(last.split()[-LAST_WORDS:], count)
        return values

    def _equal_lines(self, values: Floats, divisor: float) -> int:
        """Read lines that are as long as the next one, each core its part of them.

        Returns how many values these were. The last lines, and the first one that
        is different with all that follows, are left to who reads in order.
        """
        if suffix_of(self.path) in COMPRESSIONS or not hasattr(os, "pread"):
            return 0
        block = self._block()
        self._position -= len(block)
        width = block.find(b"\n") + 1
        columns = len(block[:width].split())
        if not columns:
            return 0
        start = self._file.tell() - (len(self._buffer) - self._position)
        step = max(CHUNK_BYTES // width, 1)
        share = CHUNKS * step
        n_lines = max(len(values) - LAST_WORDS, 0) // columns

        def read(first: int) -> int:
            """Read a share of the lines; returns which one to go on with."""
            for line in range(first, min(first + share, n_lines), step):
                n = min(step, n_lines - line)
                try:
                    text = os.pread(self._file.fileno(), n * width, start + line * width)
                except OSError:  # met again, and named, by who reads in order
                    return line
                if not _fill_lines(values[line * columns : (line + n) * columns], divisor, text, n):
                    return line
            return min(first + share, n_lines)

        end = 0
        shares = range(0, n_lines, share)
        with ThreadPoolExecutor(THREADS) as pool:
            for first, end in zip(shares, pool.map(read, shares), strict=True):
                if end < min(first + share, n_lines):
                    break
        self._file.seek(start + end * width)
        self._buffer, self._position = b"", 0
        self.number += end
        return end * columns

    def _fill(self) -> bool:
        """Read on; False at the end of the file."""
        try:
            more = self._file.read(CHUNK_BYTES)
        except (EOFError, OSError, lzma.LZMAError, zlib.error) as error:
            reason = getattr(error, "strerror", None) or error
            raise ChargeError(
                f"{self.path}: cannot be read or decompressed: {reason}: copy it again"
            ) from None
        self._buffer = b"".join((memoryview(self._buffer)[self._position :], more))
        self._position = 0
        return bool(more)

    def _block(self) -> bytes:
        """Take about a chunk of text that ends in white space; empty at the end."""
        if len(self._buffer) - self._position < CHUNK_BYTES:
            self._fill()
        while not (end := self._last_break() + 1):
            if len(self._buffer) - self._position > CHUNK_BYTES:
                raise self.error("a word without end: is this a text file?", self.number + 1)
            if not self._fill():
                if self._position == len(self._buffer):
                    return b""
                self._line_ends = False
                self._buffer += b"\n"
        block = self._buffer[self._position : end]
        self._position = end
        return block

    def _last_break(self) -> int:
        """Place of the last line end, or else of the last blank, in the buffer; or -1."""
        end = self._buffer.rfind(b"\n", self._position)
        return max(self._buffer.rfind(c, self._position) for c in b" \t\r") if end < 0 else end

    def _finish_line(self, last_words: list[bytes], count: int) -> None:
        """Read what follows the values in their last line; wonder at a cut number."""
        matches = map(_EXPONENTIAL.fullmatch, last_words)
        forms = [[*map(len, match.groups())] if match else None for match in matches]
        rest = (self.line() or "").split()
        are_alike = len(forms) > 2 and forms[0] and all(form == forms[0] for form in forms[:-1])
        # an exponent of three digits is longer than others, and takes the place of the E
        is_shorter = not forms or not forms[-1] or any(np.less(forms[-1], forms[0] or 0))
        if not self._line_ends and are_alike and is_shorter:
            raise self.error(
                f"the file ends in the middle of the last number,"
                f" {last_words[-1].decode('ascii', 'replace')[:40]!r}:"
                " truncated? copy or compute it again"
            )
        # scripts that add CHGCARs fill the last line up with zeros
        if any(word.strip("0.+-Ee") for word in rest):
            raise self.error(f"more than the {count} values that the grid line announces")

    def _complaint(self, problem: NotANumber, done: int, count: int) -> ChargeError:
        """Make the error of a word that is no number."""
        line = self.number + problem.line + 1
        if "*" in problem.word:
            return self.error(
                f"{problem.word[:40]!r} is a number that did not fit its field:"
                " write the file again",
                line,
            )
        if problem.word.strip("+-").lower() in ("nan", "inf", "infinity"):
            return self.error(
                f"{problem.word[:40]!r} is not a density: compute the file again", line
            )
        return self.error(
            f"expected value {done + problem.index + 1} of the {count} that the grid line"
            f" announces, found {problem.word[:40]!r}: truncated, or a wrong grid line?",
            line,
        )


def _fill_lines(values: Floats, divisor: float, text: bytes, n_lines: int) -> bool:
    """Fill places from so many lines; whether the text has just these lines and words."""
    if text[-1:] != b"\n":
        return False
    try:
        count, end, lines = scan(text, values, divisor)
    except NotANumber:
        return False
    rest = text[end:]
    return count == len(values) and rest.isspace() and lines + rest.count(b"\n") == n_lines


def open_binary(path: str) -> BufferedIOBase:
    """Open a file to read what it holds, decompressed.

    Raises
    ------
    ChargeError
        If its name tells another compression than its first bytes.
    """
    suffix = suffix_of(path)
    start = b""
    if os.path.isfile(path):
        with open(path, "rb") as file:
            start = file.read(16)
    found = next((end for magic, end in _MAGIC.items() if start.startswith(magic)), "")
    named = suffix if suffix in COMPRESSIONS else ""
    if start and found != named:
        remedy = f"name it {found}"
        if not found:
            remedy = f"leave {named} out of its name, or copy it again"
        elif found not in COMPRESSIONS:
            remedy = "unpack it, or pack it by gzip or xz"
        what = f"is {_PACKED[found]}" if found else f"is not {_PACKED[named]}"
        raise ChargeError(f"{path}: {what}: {remedy}")
    if named == ".gz":
        return gzip.open(path, "rb")
    return lzma.open(path, "rb") if named else open(path, "rb")


@contextmanager
def opened(path: str) -> Iterator[BufferedIOBase]:
    """Open a file to read what it holds, decompressed; of what fails then make ChargeErrors."""
    try:
        with open_binary(path) as file:
            yield file
    except (EOFError, OSError, lzma.LZMAError, zlib.error) as error:
        reason = getattr(error, "strerror", None) or error
        raise ChargeError(f"{path}: cannot be read: {reason}") from None


def suffix_of(path: PathLike) -> str:
    """Ending of a name that tells the compression."""
    return os.path.splitext(os.fspath(path))[1].lower()
