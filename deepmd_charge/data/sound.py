# SPDX-License-Identifier: LGPL-3.0-or-later
"""Whether DP systems hold what the format asks for, and can be learnt from."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..atoms.species import GRID_TYPE
from ..errors import ChargeError
from .stored import TYPES, StoredSet, StoredSystem

__all__ = ["check_system"]

# Numbers of an atom, and of a frame, in the arrays of a set.
_BY_ATOM = {"coord": 3, "density": 1, "saed": 1, TYPES: 1}
_STRINGS = ("density_kind", "functional", "saed_source")
_BY_FRAME = {
    "box": 9,
    "periodic": 3,
    "n_electrons": 1,
    "grid_shape": 3,
    "grid_spacing": 3,
    **dict.fromkeys(_STRINGS, 1),
}


def check_system(system: StoredSystem) -> None:
    """Refuse a system that cannot be read as it is meant, or holds what is no frame to learn of.

    Raises
    ------
    ChargeError
        See :func:`.dataset.check_systems`.
    """
    sets = system.sets()
    if not sets:
        raise ChargeError(
            f"{system.folder}: holds no frames (set.000); make the system again, or leave it out"
        )
    n_atoms = _check_types(system)
    for part in sets:
        _check_frames(system, part, _checked(part, n_atoms, system.is_mixed))


def _check_types(system: StoredSystem) -> int:
    """Refuse types of a system that DeePMD-kit would take for others; returns their number."""
    types = system.types
    file = system.folder / "type.raw"
    if not system.names and (names := system.folder / "type_map.raw").is_file():
        raise ChargeError(f"{names}: names no type; make the system again")
    if system.is_mixed and not (names := system.folder / "type_map.raw").is_file():
        # DeePMD-kit counts the types of frames by this file alone
        raise ChargeError(
            f"{names}: is not there, and a system of mixed types needs it; write the names of its"
            " types into it, one a line, or make the system again"
        )
    if not system.is_mixed and (types < 0).any():
        raise ChargeError(
            f"{file}: holds the type {types.min()}, which only frames of mixed types may; make the"
            " system again"
        )
    if system.is_mixed and (np.diff(types) < 0).any():
        # positions and densities would be sorted by these, and the types of the frames not
        raise ChargeError(
            f"{file}: is not all zeros, as it is to be in a system of mixed types, whose atoms"
            " DeePMD-kit would take in another order than their types; make it all zeros"
        )
    return len(types)


def _checked(part: StoredSet, n_atoms: int, is_mixed: bool) -> dict[str, NDArray[Any]]:
    """The arrays of a set, refused where they have not a row, or its numbers, for each frame."""
    coord = part.read("coord")
    n_frames = len(coord) if coord.ndim > 1 else 1
    if not n_frames:
        raise ChargeError(f"{part.path / 'coord.npy'}: holds no frame; remove this set")
    found = {}
    by_atom = {name: n * n_atoms for name, n in _BY_ATOM.items() if is_mixed or name != TYPES}
    for name, width in {**by_atom, **_BY_FRAME}.items():
        values = part.read(name) if name in ("density", TYPES) else part.find(name)
        if values is None:
            continue
        if values.shape[:1] != (n_frames,) or values.size != n_frames * width:
            raise ChargeError(
                f"{part.path / name}.npy: of shape {values.shape}, not ({n_frames}, {width}), as"
                " type.raw and coord.npy of this system ask for; make the system again"
            )
        if name not in _STRINGS and values.dtype.kind not in "biuf":
            raise ChargeError(
                f"{part.path / name}.npy: holds no real numbers ({values.dtype}); make the system"
                " again"
            )
        found[name] = values
    return found


def _check_frames(
    system: StoredSystem, part: StoredSet, arrays: Mapping[str, NDArray[Any]]
) -> None:
    """Refuse frames of a set that nothing can be learnt of."""
    types = part.types()
    unnamed = types[(types < -1) | (types >= len(system.names))]
    if system.names and len(unnamed):  # DeePMD-kit would take some of them for no atoms
        raise ChargeError(
            f"{part.path}: holds the type {unnamed[0]}, and type_map.raw of its system "
            f"names 0 to {len(system.names) - 1}; give the type map that these types were "
            "counted by"
        )
    if system.names:
        counts = part.counts()
        is_grid = np.array([name == GRID_TYPE for name in system.names])
        if not counts[:, is_grid].any(axis=1).all():
            raise ChargeError(
                f"{part.path}: a frame has no grid point, that is, no atom of type {GRID_TYPE};"
                " make the system with deepmd-charge convert or dpdata's vasp/chgcar"
            )
        has_atoms = counts[:, ~is_grid].any(axis=1)
        if not has_atoms.all():
            raise ChargeError(
                f"{part.path}: frame {np.argmin(has_atoms)} has grid points and no atom; leave it"
                " out"
            )
    for name in ("coord", "box", "density"):
        values = arrays.get(name)
        if values is None or np.isfinite(values).all():
            continue
        frames = np.isfinite(values.reshape(len(values), -1)).all(axis=1)
        raise ChargeError(
            f"{part.path / name}.npy: frame {np.argmin(frames)} holds a value that is not"
            " a finite number; make the system again"
        )
    if not system.is_open:
        box = arrays["box"] if "box" in arrays else part.read("box")
        is_flat = np.linalg.det(box.reshape(-1, 3, 3)) == 0.0
        if "periodic" in arrays:  # of open axes see check_open_axes
            is_flat &= arrays["periodic"].reshape(-1, 3).astype(bool).all(axis=1)
        if is_flat.any():
            raise ChargeError(
                f"{part.path / 'box.npy'}: the cell of frame {np.argmax(is_flat)} has no volume;"
                " structures that are periodic along no axis need an empty file nopbc beside"
                " type.raw"
            )
