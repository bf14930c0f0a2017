# SPDX-License-Identifier: LGPL-3.0-or-later
"""Quantum ESPRESSO's charge-density.dat and charge-density.hdf5: coefficients of waves.

charge-density.dat consists of Fortran's records, each between two marks (int32) that tell its
length in bytes; one beyond 2 GB is cut into several, whose first mark is negative where another
one follows, and whose second where one comes before:

1. ``gamma_only``, ``ngm_g``, ``nspin`` (int32): whether opposite waves are left out, the
   number of waves, and 1, 2 or 4;
2. the vectors of the reciprocal cell (nine float64), 1/bohr, with the factor 2 pi;
3. the waves' (m1, m2, m3) (int32);
4. for each of ``nspin`` components the coefficients (complex128), e/bohr^3: the density, then
   the magnetisation (spin up minus spin down), or its three components.

charge-density.hdf5 holds the same: attributes of these names (``gamma_only`` as ".TRUE." or
".FALSE."), ``MillerIndices`` with attributes ``bg1`` to ``bg3``, and ``rhotot_g``, ``rhodiff_g``
or ``m_x``, ``m_y``, ``m_z`` as pairs of float64.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from io import BufferedIOBase
from typing import Any

import numpy as np

from ..errors import ChargeError
from ..typing import Complexes, Floats, Integers
from .foreign import Group, explain_hdf5
from .text.reader import COMPRESSIONS, MOST_EXPANSION, opened, suffix_of
from .text.writer import text_writer

__all__ = ["Waves", "check_kind", "read_waves", "write_waves"]

_HDF5 = b"\x89HDF\r\n\x1a\n"
_START = 1000  # bytes that tell what a file is
_HEAD = 12  # bytes of the first record
_MOST_BYTES = 2**31 - 9  # of a part of a record
_NAMES = {1: ("rhotot_g",), 2: ("rhotot_g", "rhodiff_g"), 4: ("rhotot_g", "m_x", "m_y", "m_z")}


@dataclass(frozen=True)
class Waves:
    """What such a file holds.

    Attributes
    ----------
    gamma_only : bool
        Whether one of two opposite waves is left out.
    reciprocal : np.ndarray, shape (3, 3)
        Vectors of the reciprocal cell in rows, 1/bohr, with the factor 2 pi.
    miller : np.ndarray of int32, shape (n, 3)
        The waves, in pw.x's order.
    components : list of np.ndarray of complex, shape (n,)
        e/bohr^3: the density, then no, one or three components of the magnetisation.
    """

    gamma_only: bool
    reciprocal: Floats
    miller: Integers
    components: list[Complexes]


def check_kind(path: str) -> bool:
    """Tell the two kinds of files apart.

    Returns
    -------
    bool
        Whether it is HDF5.

    Raises
    ------
    ChargeError
        If it is neither, or cannot be read.
    """
    with opened(path) as file:
        start = file.read(_START)
    if start.startswith(_HDF5):
        with opened(path) as file:
            _check_hdf5(path, file)
        return True
    mark = start[:4]
    if mark == _HEAD.to_bytes(4, "little"):
        return False
    if mark == _HEAD.to_bytes(4, "big"):
        raise ChargeError(
            f"{path}: written in the other order of bytes (big-endian): write it again by a pw.x"
            " that was compiled without that option"
        )
    if start.lstrip()[:1] == b"<" or b"iotk" in start:
        raise ChargeError(
            f"{path}: of a Quantum ESPRESSO before 6.2, which kept densities otherwise: write it"
            " on a grid by pp.x (plot_num = 0, output_format = 6 for a cube)"
        )
    raise ChargeError(
        f"{path}: neither a charge-density.dat nor a charge-density.hdf5 of Quantum ESPRESSO: it"
        " does not begin like one"
    )


def _check_hdf5(path: str, file: BufferedIOBase) -> None:
    """Raise ChargeError unless an HDF5 file holds coefficients of a density."""
    with _hdf5(path, file) as group:
        if "rhotot_g" not in group:
            raise ChargeError(f"{path}: {explain_hdf5(group)}")


def read_waves(path: str) -> Waves:
    """Read a charge-density.dat or charge-density.hdf5.

    Parameters
    ----------
    path : str
        File, plain or compressed.

    Returns
    -------
    Waves

    Raises
    ------
    ChargeError
        If it is foreign, damaged or cut off, or a value is not finite.
    """
    read = _read_hdf5 if check_kind(path) else _read_dat
    with opened(path) as file:
        waves = read(path, file)
    if not abs(np.linalg.det(waves.reciprocal)) > 0 or not np.isfinite(waves.reciprocal).all():
        raise ChargeError(f"{path}: damaged: the reciprocal cell has no volume")
    if not all(np.isfinite(component).all() for component in waves.components):
        raise ChargeError(f"{path}: some values are not finite: compute the file again")
    return waves


def _read_dat(path: str, file: BufferedIOBase) -> Waves:
    gamma_only, n_waves, n_spin = map(int, _record(path, file, 1, 3, np.int32))
    if gamma_only not in (0, 1, -1) or n_waves < 1 or n_spin not in _NAMES:
        raise ChargeError(
            f"{path}: damaged: its first record is not gamma_only, a number of waves and 1, 2 or 4"
        )
    size, needed = os.path.getsize(path), n_waves * (12 + 16 * n_spin)
    if needed > size * MOST_EXPANSION.get(suffix_of(path), 1):
        raise _cut(path, f"{size} bytes are too few for {n_waves} waves")
    reciprocal = _record(path, file, 2, 9, np.float64).reshape(3, 3)
    miller = _record(path, file, 3, 3 * n_waves, np.int32).reshape(-1, 3)
    components = [_record(path, file, 4 + i, n_waves, np.complex128) for i in range(n_spin)]
    if file.read(1):
        raise ChargeError(f"{path}: goes on after its {3 + n_spin} records: damaged?")
    return Waves(bool(gamma_only), reciprocal, miller, components)


def _record(path: str, file: BufferedIOBase, number: int, count: int, dtype: type) -> Any:
    """One record of so many values."""
    values: np.ndarray[Any, Any] = np.empty(count, dtype)
    place, rest = 0, memoryview(values.view(np.uint8))
    while True:
        mark = _mark(path, file, number)
        size = abs(mark)
        if place + size > len(rest):
            break
        part = file.read(size)
        if len(part) < size:
            raise _cut(path, f"it ends in record {number}")
        rest[place : place + size] = part
        place += size
        if abs(_mark(path, file, number)) != size:
            break
        if mark >= 0:
            if place < len(rest):
                break
            return values
    raise ChargeError(
        f"{path}: damaged: record {number} is not one of {count} values of {values.itemsize} bytes"
    )


def _mark(path: str, file: BufferedIOBase, number: int) -> int:
    mark = file.read(4)
    if len(mark) < 4:
        raise _cut(path, f"it ends in record {number}")
    return int.from_bytes(mark, "little", signed=True)


def _cut(path: str, what: str) -> ChargeError:
    return ChargeError(f"{path}: {what}: truncated? copy or compute it again")


def _read_hdf5(path: str, file: BufferedIOBase) -> Waves:
    with _hdf5(path, file) as group:
        return _waves_of(group)


@contextmanager
def _hdf5(path: str, file: BufferedIOBase) -> Iterator[Group]:
    """Open an HDF5 file; of errors in it ChargeErrors."""
    import h5py

    content = io.BytesIO(file.read()) if suffix_of(path) in COMPRESSIONS else file
    try:
        with h5py.File(content, "r") as group:
            yield group
    except ChargeError:
        raise
    except Exception as error:  # HDF5 and h5py have any of them for a damaged file
        reason = " ".join(str(next(iter(error.args), type(error).__name__)).split())[:150]
        raise ChargeError(f"{path}: damaged: {reason}") from None


def _waves_of(file: Group) -> Waves:
    word = file.attrs["gamma_only"]
    word = (word.decode() if isinstance(word, bytes) else str(word)).strip().upper()
    n_waves, n_spin = (int(np.ravel(file.attrs[name])[0]) for name in ("ngm_g", "nspin"))
    if n_waves < 1 or n_spin not in _NAMES or word not in (".TRUE.", ".FALSE."):
        raise ValueError(f"gamma_only = {word[:20]}, ngm_g = {n_waves}, nspin = {n_spin}")
    miller = _dataset(file, "MillerIndices", (n_waves, 3)).astype(np.int32)
    vectors = [file["MillerIndices"].attrs[f"bg{k}"] for k in (1, 2, 3)]
    reciprocal = np.array(vectors, dtype=float).reshape(3, 3)
    pairs = [_dataset(file, name, (2 * n_waves,)).astype(float) for name in _NAMES[n_spin]]
    return Waves(word == ".TRUE.", reciprocal, miller, [p.view(np.complex128) for p in pairs])


def _dataset(file: Group, name: str, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """A dataset of a shape, no larger than what the file has of it can be."""
    data = file[name]
    stored = data.id.get_storage_size()
    if data.shape != shape or data.nbytes > MOST_EXPANSION[".gz"] * stored:
        raise ValueError(f"{name} is {data.shape}, in {stored} bytes, where {shape} was expected")
    return np.asarray(data[()])


def write_waves(path: str, waves: Waves) -> None:
    """Write a charge-density.dat, or for a name in .hdf5 (.h5) a charge-density.hdf5.

    Parameters
    ----------
    path : str
        File; .gz and .xz compress.
    waves : Waves

    Raises
    ------
    ChargeError
        If the file cannot be written.
    """
    stem, suffix = os.path.splitext(path)
    name = stem if suffix.lower() in COMPRESSIONS else path
    with text_writer(path) as file:
        if name.lower().endswith((".hdf5", ".h5")):
            file.write(_hdf5_of(waves))
            return
        head = [waves.gamma_only, len(waves.miller), len(waves.components)]
        for array, dtype in (
            (head, "<i4"),
            (waves.reciprocal, "<f8"),
            (waves.miller, "<i4"),
            *((component, "<c16") for component in waves.components),
        ):
            _write_record(file, np.ascontiguousarray(array, dtype))


def _write_record(file: BufferedIOBase, values: np.ndarray[Any, Any]) -> None:
    content = memoryview(values.reshape(-1).view(np.uint8))
    for start in range(0, len(content), _MOST_BYTES):
        part = content[start : start + _MOST_BYTES]
        goes_on, is_later = start + len(part) < len(content), start > 0
        file.write(np.array(-len(part) if goes_on else len(part), "<i4").tobytes())
        file.write(part)
        file.write(np.array(-len(part) if is_later else len(part), "<i4").tobytes())


def _hdf5_of(waves: Waves) -> bytes:
    """Content of a charge-density.hdf5."""
    import h5py

    content = io.BytesIO()
    with h5py.File(content, "w") as file:
        file.attrs["gamma_only"] = np.bytes_(".TRUE." if waves.gamma_only else ".FALSE.")
        file.attrs["ngm_g"] = np.int32(len(waves.miller))
        file.attrs["nspin"] = np.int32(len(waves.components))
        table = file.create_dataset("MillerIndices", data=waves.miller.astype(np.int32))
        for k, vector in enumerate(waves.reciprocal, start=1):
            table.attrs[f"bg{k}"] = vector
        names = _NAMES[len(waves.components)]
        for name, component in zip(names, waves.components, strict=True):
            file[name] = np.ascontiguousarray(component, np.complex128).view(np.float64)
    return content.getvalue()
