# SPDX-License-Identifier: LGPL-3.0-or-later
"""What a model must remember of the DP systems that it is trained on, and whether it can be."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from ..atoms import valences
from ..atoms.open_axes import gaps
from ..atoms.species import GRID_TYPE
from ..errors import ChargeError
from ..io.functionals import spelled
from ..typing import Booleans, Floats
from .sound import check_system
from .stored import StoredSet, StoredSystem

__all__ = ["check_open_axes", "check_systems", "dataset_info"]

# Coordinates that are looked at together: no copies of a set, which may have a gigabyte.
_BLOCK = 1 << 20


def dataset_info(
    system_dirs: Iterable[str],
    type_map: Sequence[str] | None = None,
    given: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """Gather elements, valences, grid spacing, file kind and functional of a training set.

    The valences are those that :func:`deepmd_charge.atoms.valences.fit` finds for the
    electrons of all frames; an element whose valence these leave open is left out.

    Parameters
    ----------
    system_dirs : list of str
        DP systems (``deepmd/npy``, mixed or not, or ``FILE.hdf5#/GROUP``). The
        facts come from ``n_electrons.npy``, ``grid_spacing.npy``,
        ``density_kind.npy`` and ``functional.npy`` of each set, as
        ``deepmd-charge convert`` and dpdata write them; a system without them
        says nothing about valences, spacing, kind or functional.
    type_map : list of str, optional
        Names of the types of systems that have no ``type_map.raw``.
    given : dict of str to float, optional
        Valences that are known from elsewhere, such as those of the potentials.

    Returns
    -------
    dict
        "elements": list of str, those of the atoms that occur, in order of
        appearance, without "X";
        "valence": dict of element to valence electrons, as far as known;
        "valence_error", where one is known: by how much each may be wrong;
        "grid_spacing": mean over frames and axes of ``|cell vector| / n`` in A, or
        None; "kind": str such as "vasp/chgcar", or None; "saed": str, where the
        superposed atomic densities come from that stand beside the densities,
        such as "upf", or None; "functional", where a file tells it: str, its
        usual name, such as "PBE".

    Raises
    ------
    ChargeError
        If a system cannot be read, or the systems were made with different
        valences or functionals, from different kinds of file, or with different
        sources of superposed atomic densities.
    """
    elements: list[str] = []
    facts: list[valences.Facts] = []
    spacings: list[float] = []
    kinds: dict[str, str] = {}
    sources: dict[str, str] = {}
    functionals: dict[str, str] = {}
    for system in _opened(system_dirs, type_map):
        folder = str(system.folder)
        for part in system.sets():
            counts = part.counts()
            occurs = zip(system.names, np.any(counts, axis=0), strict=True)
            seen = [name for name, is_there in occurs if is_there]
            elements += [name for name in seen if name != GRID_TYPE and name not in elements]
            if (electrons := part.find("n_electrons")) is not None:
                rows = np.column_stack([counts, electrons.ravel()])
                for *row, n in np.unique(rows, axis=0):  # frames of one file agree
                    facts.append((dict(zip(system.names, row, strict=True)), n, folder))
            spacings.extend(_grid_spacings(part))
            if (kind := part.find("density_kind")) is not None:
                kinds.update((str(name), folder) for name in np.unique(kind.astype(str)))
            if (functional := part.find("functional")) is not None:
                names = filter(None, np.unique(functional.astype(str)))
                functionals.update((spelled(str(name)), folder) for name in names)
            source = part.find("saed_source")
            names_of = [""] if source is None else np.unique(source.astype(str))
            sources.update((str(name), folder) for name in names_of)
    if len(sources) > 1:
        found = ", ".join(f"{name or 'none'} in {folder}" for name, folder in sources.items())
        raise ChargeError(
            f"superposed atomic densities of different sources in one training set: {found};"
            " convert all files with one --saed"
        )
    if len(kinds) > 1:
        found = ", ".join(f"{kind or 'unknown'} in {folder}" for kind, folder in kinds.items())
        raise ChargeError(f"densities of different kinds in one training set: {found}; keep one")
    if len(functionals) > 1:
        found = ", ".join(f"{name} in {folder}" for name, folder in functionals.items())
        raise ChargeError(
            f"densities of different functionals in one training set: {found}; keep one"
        )
    valence, error = valences.fit(elements, facts, dict(given or {}))
    return {
        "elements": elements,
        "valence": valence,
        **({"valence_error": error} if error else {}),
        "grid_spacing": float(np.mean(spacings)) if spacings else None,
        "kind": next(iter(kinds), None) or None,
        "saed": next(iter(sources), None) or None,
        **({"functional": next(iter(functionals))} if functionals else {}),
    }


def check_systems(system_dirs: Iterable[str], type_map: Sequence[str] | None = None) -> None:
    """Refuse DP systems that could not be read, or would turn the training into NaN.

    Parameters
    ----------
    system_dirs, type_map
        As for :func:`dataset_info`.

    Raises
    ------
    ChargeError
        If there are no frames, or arrays have other shapes than the format asks for; if a
        frame has no grid point, no atom, no cell where it is periodic, or a type without a
        name, or a position, cell or density is not a finite number; names the file and the
        frame.
    """
    for system in _opened(system_dirs, type_map):
        check_system(system)


def check_open_axes(system_dirs: Iterable[str], reach: float) -> None:
    """Refuse DP systems in which a model would see images across open axes.

    DeePMD-kit knows all axes as periodic, or none (``nopbc``). Along the open ones
    of others the cell of a frame is to be so long that no image is within reach.

    Parameters
    ----------
    system_dirs : list of str
        As for :func:`dataset_info`. Which axes are open comes from
        ``periodic.npy`` of each set; a system without it is what DeePMD-kit
        takes it for.
    reach : float
        How far a point sees, A.

    Raises
    ------
    ChargeError
        If an image is within reach, or a system that DeePMD-kit takes for open
        has periodic axes; names the set and the frame.
    """
    for system in _opened(system_dirs):
        is_open = system.is_open
        for part in system.sets():
            periodic = part.find("periodic")
            if periodic is None:
                continue
            periodic = periodic.reshape(-1, 3).astype(bool)
            if is_open and periodic.any():
                raise ChargeError(
                    f"{system.folder / 'nopbc'}: frame {np.argmax(periodic.any(axis=1))} of"
                    f" {part.path} is periodic, which this file denies; convert the data again"
                )
            if is_open or periodic.all():
                continue
            apart = _gaps(part, periodic, system.is_mixed)
            if not (apart >= reach).all():
                frame = np.argmin(apart >= reach)
                raise ChargeError(
                    f"{part.path}: in frame {frame} images across an open axis are"
                    f" {apart[frame]:.4g} A apart, and a model that sees {reach:g} A takes them for"
                    " neighbours; convert the data again, or lower model/descriptor/rcut"
                )


def _gaps(part: StoredSet, periodic: Booleans, is_mixed: bool) -> Floats:
    """How close images come across the open axes of the frames of a set, (n_frames,) A."""
    box, all_coord = part.read("box").reshape(-1, 3, 3), part.read("coord")
    found = np.empty(len(all_coord))
    size = max(1, _BLOCK // all_coord[0].size)
    for start in range(0, len(all_coord), size):
        block = slice(start, start + size)
        coord = all_coord[block].reshape(len(box[block]), -1, 3)
        if is_mixed:  # what fills up stands where an atom is
            there = part.types()[block] >= 0
            first = coord[np.arange(len(coord)), np.argmax(there, axis=1)]
            coord = np.where(there[:, :, None], coord, first[:, None])
        found[block] = gaps(coord, box[block], periodic[block])
    return found


def _opened(
    system_dirs: Iterable[str], type_map: Sequence[str] | None = None
) -> Iterator[StoredSystem]:
    """The systems, one at a time."""
    return (StoredSystem(path, type_map) for path in system_dirs)


def _grid_spacings(part: StoredSet) -> Floats:
    """Distances of grid points along the axes of each frame's file, A, as far as they are known."""
    spacing, shape, box = (part.find(name) for name in ("grid_spacing", "grid_shape", "box"))
    if spacing is None and shape is not None and box is not None:  # as it was written once
        spacing = np.linalg.norm(box.reshape(-1, 3, 3), axis=2) / shape.reshape(-1, 3)
    return np.empty(0) if spacing is None else spacing.ravel()
