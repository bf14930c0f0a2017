# SPDX-License-Identifier: LGPL-3.0-or-later
"""What a look at DP systems tells of the material, before anything is trained on them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import starmap
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..atoms.order import bond_order, image_distance, widest_gap
from ..atoms.species import GRID_TYPE
from ..errors import ChargeError
from ..grid.quantity import split_kind
from ..saed import RadialTable
from ..typing import Booleans, Floats
from .dataset import check_systems, dataset_info
from .stored import StoredSet, StoredSystem
from .systems import TABLE
from .together import check_kinds

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["Survey", "find_systems", "find_table", "survey"]

# Structures of a set that are looked at: those of one run are much alike, those of mixed
# types are not.
_MOST_STRUCTURES = 8
_MOST_MIXED = 64


@dataclass(frozen=True)
class Survey:
    """What a look at training data tells.

    Attributes
    ----------
    systems, validation : tuple of str
        DP systems to train on, and to validate with.
    types : tuple of str
        Types of the real atoms that occur, in the order of the data.
    n_frames : int
        Of all systems to train on.
    compositions : int
        Of their frames: of those of mixed types, as far as they were looked at.
    is_mixed : bool
        Whether frames of a system have types of their own.
    is_uniform : bool
        Whether all are open (``nopbc``), or none is, so that frames of any can meet in a batch.
    points_per_frame : tuple of int
        Fewest and most grid points in a frame.
    peak : float
        Largest size of a value at a grid point, e/A^3.
    is_per_volume : bool
        Whether they are so much per A^3, not a potential or the like.
    image_distance : float
        Shortest distance between periodic images of an atom in any frame, A; infinite
        where no axis is periodic.
    order : float
        Smallest :func:`bond_order` of a structure; NaN where none has bonds.
    gap : float
        Largest :func:`widest_gap` of a structure, A.
    saed : str or None
        Where superposed atomic densities come from that stand beside the densities.
    table : str or None
        Their ``saed.npz``, where there is one.
    folders : tuple of str
        In which ``dp train`` finds each of the systems to train on once; the systems themselves
        where folders share some, which would count twice.
    """

    systems: tuple[str, ...]
    validation: tuple[str, ...]
    types: tuple[str, ...]
    n_frames: int
    compositions: int
    is_mixed: bool
    is_uniform: bool
    points_per_frame: tuple[int, int]
    peak: float
    is_per_volume: bool
    image_distance: float
    order: float
    gap: float
    saed: str | None
    table: str | None
    folders: tuple[str, ...]


def survey(folders: Sequence[str], validation: Sequence[str] = ()) -> Survey:
    """Look at the training data in folders, and at the validation data.

    Parameters
    ----------
    folders, validation : sequence of str
        DP systems, or folders of some.

    Raises
    ------
    ChargeError
        If there are no systems, one holds no density, or ``dp train`` would refuse them together.
    """
    systems = find_systems(folders)
    others = find_systems(validation)
    if both := sorted(set(map(os.path.realpath, systems)) & set(map(os.path.realpath, others))):
        raise ChargeError(f"{both[0]}: training data, so they cannot validate; give others")
    check_systems([*systems, *others])
    facts = dataset_info([*systems, *others])
    types = tuple(dataset_info(systems)["elements"])
    if unseen := [name for name in facts["elements"] if name not in types]:
        raise ChargeError(
            f"{', '.join(map(str, validation))}: {', '.join(unseen)} is not in the training data;"
            " validate with what is trained on"
        )
    stored = {path: StoredSystem(path) for path in systems}
    for each in (stored, {path: StoredSystem(path) for path in others}):
        check_kinds(each)
    looks = [look for system in stored.values() for look in _looks(system)]
    structures = [atoms for look in looks for atoms in look.structures]
    orders = [order for atoms in structures if not np.isnan(order := bond_order(atoms))]
    return Survey(
        systems=tuple(systems),
        validation=tuple(others),
        types=types,
        n_frames=sum(look.n_frames for look in looks),
        compositions=len(set().union(*(look.compositions for look in looks))),
        is_mixed=any(system.is_mixed for system in stored.values()),
        is_uniform=len({system.is_open for system in stored.values()}) == 1,
        points_per_frame=(min(look.fewest for look in looks), max(look.most for look in looks)),
        peak=max(look.peak for look in looks),
        is_per_volume=split_kind(facts["kind"] or "")[1].is_per_volume,
        # more digits a cell in float32 does not have
        image_distance=round(min(look.image_distance for look in looks), 4),
        order=min(orders, default=float("nan")),
        gap=max(map(widest_gap, structures)),
        saed=facts["saed"],
        table=find_table(systems, types) if facts["saed"] else None,
        folders=_each_once(folders, systems),
    )


def _each_once(folders: Sequence[str], systems: Sequence[str]) -> tuple[str, ...]:
    """Folders, if as many systems are found in them as there are; else the systems."""
    n = sum(1 for folder in folders for _ in Path(folder).rglob("type.raw"))
    return tuple(map(str, folders if n == len(systems) else systems))


def find_systems(folders: Iterable[str]) -> list[str]:
    """Find the DP systems in folders, as ``dp train`` does, each once and in a stable order.

    Raises
    ------
    ChargeError
        If a folder is missing, there are none in it, or one has no ``density.npy``.
    """
    found: dict[str, str] = {}
    for folder in map(str, folders):
        if not os.path.isdir(folder):
            raise ChargeError(f"{folder}: no such folder; make it with deepmd-charge convert")
        systems = sorted(str(file.parent) for file in Path(folder).rglob("type.raw"))
        if not systems:
            raise ChargeError(
                f"{folder}: holds no DP system (type.raw); make some with deepmd-charge convert"
            )
        found.update((os.path.realpath(system), system) for system in systems)
    for system in found.values():
        if GRID_TYPE not in StoredSystem(system).names:
            raise ChargeError(
                f"{Path(system, 'type_map.raw')}: names no type {GRID_TYPE} of grid points;"
                " make the system with deepmd-charge convert"
            )
        sets = sorted(Path(system).glob("set.*"))
        for part in sets or [Path(system) / "set.000"]:
            if not (part / "density.npy").is_file():
                raise ChargeError(
                    f"{part / 'density.npy'}: no such file, so this is no DP system of densities;"
                    " make it with deepmd-charge convert"
                )
    return list(found.values())


def find_table(systems: Iterable[str], types: Sequence[str]) -> str | None:
    """Find the table of superposed atomic densities of systems: in a system, or beside it.

    Returns
    -------
    str or None
        One that holds all elements; None where there is none at all.

    Raises
    ------
    ChargeError
        If tables differ, or none holds all elements.
    """
    places = [Path(place, TABLE) for system in systems for place in (system, Path(system).parent)]
    tables = {str(path): RadialTable.load(str(path)) for path in places if path.is_file()}
    if not tables:
        return None
    (first, table), *others = tables.items()
    for path, other in others:
        if not _agree(table, other):
            raise ChargeError(
                f"{first} and {path}: different superposed atomic densities; convert all files"
                f" with one --saed, such as --saed {first}"
            )
    for path, each in tables.items():
        try:
            if each.functions:
                each.check(types, path)
        except ChargeError as error:
            reason = error
        else:
            return path
    raise reason


def _agree(one: RadialTable, other: RadialTable) -> bool:
    """Whether two tables are the same, as far as they have the same elements."""
    if (one.source, one.ecutrho, one.step) != (other.source, other.ecutrho, other.step):
        return False
    common = one.functions.keys() & other.functions.keys()
    return all(np.array_equal(one.functions[e], other.functions[e]) for e in common)


@dataclass(frozen=True)
class _Look:
    """What one set holds."""

    n_frames: int
    fewest: int
    most: int
    peak: float
    image_distance: float
    structures: list[Atoms]
    compositions: set[tuple[tuple[str, int], ...]]  # elements and how many


def _looks(system: StoredSystem) -> Iterator[_Look]:
    """Look at each set of a system."""
    from ase import Atoms

    is_x = np.array([name == GRID_TYPE for name in system.names])
    names = np.array(system.names)[~is_x]
    for part in system.sets():
        types = part.types()
        is_grid = is_x[types] & (types >= 0)
        is_real = ~is_grid & (types >= 0)
        coord = part.read("coord")
        coord = coord.reshape(len(coord), -1, 3)
        cells, periodic = _cells(part, len(coord), system.is_open)
        structures: dict[bytes, Atoms] = {}  # frames of one density have the same
        most = _MOST_MIXED if system.is_mixed else _MOST_STRUCTURES
        for k in np.unique(np.linspace(0, len(coord) - 1, most).astype(int)):
            positions = coord[k, is_real[k % len(types)]]
            # which elements they are does not matter here
            symbols = f"H{len(positions)}"
            structures[positions.tobytes()] = Atoms(
                symbols, positions, cell=cells[k], pbc=periodic[k]
            )
        distinct = {
            (c.tobytes(), p.tobytes()): (c, p) for c, p in zip(cells, periodic, strict=True)
        }
        points = is_grid.sum(axis=1)
        counts = part.counts() if system.is_mixed else part.counts()[:1]
        yield _Look(
            n_frames=len(coord),
            fewest=int(points.min()),
            most=int(points.max()),
            peak=float(np.abs(part.read("density")).max()),
            image_distance=min(starmap(image_distance, distinct.values())),
            structures=[*structures.values()],
            compositions={
                tuple(sorted(zip(names[row > 0], row[row > 0].tolist(), strict=True)))
                for row in np.unique(counts[:, ~is_x], axis=0)
            },
        )


def _cells(part: StoredSet, n_frames: int, is_open: bool) -> tuple[Floats, Booleans]:
    """Cells of the frames of a set, (n_frames, 3, 3), and where periodic, (n_frames, 3)."""
    box, periodic = part.find("box"), part.find("periodic")
    if is_open or box is None:
        return np.zeros((n_frames, 3, 3)), np.zeros((n_frames, 3), dtype=bool)
    cells = box.reshape(-1, 3, 3)
    if periodic is None:
        return cells, np.ones((n_frames, 3), dtype=bool)
    return cells, periodic.reshape(-1, 3).astype(bool)
