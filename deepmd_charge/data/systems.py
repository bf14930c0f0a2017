# SPDX-License-Identifier: LGPL-3.0-or-later
"""From density files to DP systems in a folder."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from ..errors import ChargeError
from ..io import LEARN, check_readable, iterate_densities
from ..io.output import check_new_folder, replacing_folder
from ..saed.table import RadialTable
from ..typing import PathLike
from .sampling import N_POINTS, POINTS_PER_FRAME, random_generator
from .superpositions import Superpositions

if TYPE_CHECKING:
    from dpdata import System

__all__ = ["TABLE", "Conversion", "convert"]

TABLE = "saed.npz"  # beside the systems; input.json names it (model.saed)


@dataclass
class Conversion:
    """What :func:`convert` has written.

    Attributes
    ----------
    output : Path
        The folder.
    systems : list of dpdata.System
        One for each composition, in order of appearance.
    notes : dict of str to list of str
        Names of densities by what was found out of them that their format does not say.
    superpositions : Superpositions or None
        What was noted beside the densities.
    """

    output: Path
    systems: list[System] = field(default_factory=list)
    notes: dict[str, list[str]] = field(default_factory=dict)
    superpositions: Superpositions | None = None

    def folder(self, system: System) -> Path:
        """Path of a system: the output itself where it is the only one, or named by its formula."""
        return _folder(system, len(self.systems), self.output)


def convert(
    files: Sequence[str],
    output: PathLike,
    n_points: int = N_POINTS,
    points_per_frame: int = POINTS_PER_FRAME,
    seed: int | np.random.Generator | None = None,
    saed: PathLike | RadialTable | None = None,
    saed_ecutrho: float | None = None,
    quantity: str = "total",
    by_gradient: float | None = None,
    progress: bool = False,
    *,
    format: str | None = None,
    species: Sequence[str] | None = None,
    check: bool = True,
    pbc: Sequence[bool] | None = None,
    unit: str | Sequence[str] | None = None,
    holds: str | None = None,
) -> Conversion:
    r"""Draw grid points from densities and write them as DP systems for ``dp train``.

    Densities of one composition go in one system (``deepmd/npy``, one set, float64).

    Parameters
    ----------
    files : list of str
        Density files; each may hold several: "CHG", "CHG@::10".
    output : str or os.PathLike
        Folder to make, or an empty one. It is filled when all systems are complete.
    n_points, points_per_frame, seed, by_gradient
        For each density; see :func:`deepmd_charge.data.sampling.sample_frames`.
    saed : str, os.PathLike or RadialTable, optional
        Superposed atomic densities to note beside the densities; see
        :mod:`deepmd_charge.saed.sources`. Their table goes to ``saed.npz`` in the folder.
    saed_ecutrho : float, optional
        Cutoff of \|G\|^2 of the run in Ry; needed for UPF files.
    quantity : str, optional
        What to learn of a density with spin; see :mod:`deepmd_charge.grid.quantity`.
    progress : bool, optional
        Show a progress bar.
    format, species, check, pbc, unit, holds
        See :func:`deepmd_charge.read_density`; what is doubtful is refused, unless
        `check` is false.

    Returns
    -------
    Conversion

    Raises
    ------
    ChargeError
        If a file cannot be read or is not to be learnt from, the folder is not empty or
        cannot be written, or `saed` is missing or does not fit. Nothing is written then.
    """
    from tqdm import tqdm

    from .dpdata_plugin import system_data

    check_new_folder(output)
    check_readable(files, format)
    generator = random_generator(seed)
    read = partial(
        iterate_densities,
        format=format,
        species=species,
        check=check and LEARN,
        pbc=pbc,
        unit=unit,
        holds=holds,
    )
    superpositions = None
    if saed is not None:
        superpositions = Superpositions(saed, saed_ecutrho, files, read, species, progress)
    elif saed_ecutrho is not None:
        raise ChargeError("--saed-ecutrho: there is no --saed; add it (upf:... or potcar:...)")
    systems: dict[str, System] = {}
    notes: dict[str, list[str]] = {}
    # a delay, however short: no bar before the first file is done
    with tqdm(files, desc="convert", unit="file", delay=1e-6, disable=not progress) as bar:
        for name, density in (found for file in bar for found in read(file)):
            source = superpositions.of(name) if superpositions else None
            data = system_data(
                density, n_points, points_per_frame, generator, quantity, name, source, by_gradient
            )
            _add(systems, data)
            notes.setdefault("; ".join(density.extra.get("notes", [])), []).append(name)
            if superpositions:
                superpositions.count(name, density.atoms, data["n_electrons"][0])
    notes.pop("", None)
    done = Conversion(Path(output), list(systems.values()), notes, superpositions)
    _write(done)
    return done


def _add(systems: dict[str, System], data: dict[str, Any]) -> None:
    """Add the points of a density to the system of its composition.

    Parameters
    ----------
    systems : dict of str to dpdata.System
        Systems by composition; changed in place.
    data : dict
        Of :func:`deepmd_charge.data.dpdata_plugin.system_data`.
    """
    from dpdata import System

    system = System(data=data)
    system.rot_lower_triangular()
    first = systems.setdefault(system.uniq_formula, system)
    if first is not system:
        for one, other in ((first, system), (system, first)):
            if "functional" in other.data:  # dpdata joins what both have
                one.data.setdefault("functional", np.full(len(one), b""))
        names = first["atom_names"]
        first.append(system)
        first.apply_type_map(names)  # dpdata may have sorted them


def _folder(system: System, n_systems: int, output: Path) -> Path:
    if n_systems == 1:
        return output
    counts = zip(system["atom_names"][:-1], system["atom_numbs"][:-1], strict=True)
    return output / "".join(f"{name}{n}" for name, n in counts)


def _write(done: Conversion) -> None:
    """Write DP systems, and the table of a SAED beside them."""
    with replacing_folder(done.output) as temporary:
        for system in done.systems:
            # one set: dp reads a set at a time
            folder = _folder(system, len(done.systems), temporary)
            system.to("deepmd/npy", str(folder), set_size=len(system), prec=float)
        if done.superpositions:
            done.superpositions.table.save(temporary / TABLE)
