# SPDX-License-Identifier: LGPL-3.0-or-later
"""Hashes by which an unfinished run knows again what its files depend on."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..atoms.species import species_of
from ..grid.density import Density
from ..grid.mapped import by_planes
from ..io.frames import split_frames
from ..typing import PathLike

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["of_density", "of_file", "of_structure", "of_texts"]

_PIECE = 1 << 24  # bytes of a file at a time


def of_texts(*texts: str) -> str:
    """Of texts in their order, such as other fingerprints."""
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()


def of_structure(atoms: Atoms) -> str:
    """Of what a model sees of a structure."""
    total = hashlib.sha256()
    for array in (atoms.numbers, atoms.positions, atoms.cell.array, atoms.pbc):
        total.update(np.ascontiguousarray(array))
    total.update(" ".join(species_of(atoms)).encode())
    return total.hexdigest()


def of_density(density: Density) -> str:
    """Of a density on its grid, and of its atoms."""
    total = hashlib.sha256(of_structure(density.atoms).encode())
    total.update(np.array([*density.shape, *density.origin], dtype=float))
    for plane in by_planes(density.values):
        total.update(np.ascontiguousarray(plane))
    return total.hexdigest()


def of_file(path: PathLike) -> str:
    """Of the bytes of a file, FILE or FILE@FRAMES; a folder has none."""
    total = hashlib.sha256()
    name = Path(split_frames(path)[0])
    if name.is_dir():
        return ""
    with name.open("rb") as file:
        while piece := file.read(_PIECE):
            total.update(piece)
    return total.hexdigest()
