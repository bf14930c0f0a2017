# SPDX-License-Identifier: LGPL-3.0-or-later
"""dpdata formats of densities, such as ``vasp/chgcar``: DP systems with pseudo-atoms.

>>> import dpdata
>>> system = dpdata.System("CHGCAR", fmt="vasp/chgcar", n_points=100000, seed=1)
>>> system.to("deepmd/npy", "train")

Each frame holds all real atoms and then ``points_per_frame`` grid points as
atoms of type "X". dpdata may sort the names (X comes before Y, Zn and Zr):
find X by its name.

dpdata imports this module while it is being imported itself, so that nothing
heavy may be imported here.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, ClassVar

import dpdata
import numpy as np
from dpdata.data_type import Axis, DataType, register_data_type
from dpdata.format import Format

from ..atoms.open_axes import MARGIN, separated
from ..atoms.species import GRID_TYPE, species_of
from ..errors import ChargeError
from ..grid.channels import channel
from ..grid.density import Density
from ..grid.quantity import compose_kind, find_quantity
from ..io import LEARN, iterate_densities
from ..saed.sources import Source, beside, is_density_file, open_source
from ..saed.table import RadialTable
from ..typing import PathLike
from .sampling import N_POINTS, POINTS_PER_FRAME, entropy_of, generator_at, sample_frames

DATA_TYPES = (
    # e/A^3, zero on the real atoms
    DataType("density", np.ndarray, (Axis.NFRAMES, Axis.NATOMS), required=False),
    # of the file that the frame comes from: its integral, whole grid and format
    DataType("n_electrons", np.ndarray, (Axis.NFRAMES,), required=False),
    DataType("grid_shape", np.ndarray, (Axis.NFRAMES, 3), required=False),
    DataType("grid_spacing", np.ndarray, (Axis.NFRAMES, 3), required=False),  # A
    DataType("density_kind", np.ndarray, (Axis.NFRAMES,), required=False),
    DataType("functional", np.ndarray, (Axis.NFRAMES,), required=False),  # where the file tells it
    # whether its structure is periodic along the axes of the cell
    DataType("periodic", np.ndarray, (Axis.NFRAMES, 3), required=False),
    # superposed atomic densities at the points, e/A^3, and what they were made from
    DataType("saed", np.ndarray, (Axis.NFRAMES, Axis.NATOMS), required=False),
    DataType("saed_source", np.ndarray, (Axis.NFRAMES,), required=False),
)
for _data_type in DATA_TYPES:
    register_data_type(_data_type, labeled=False)  # labelled systems take these as well
if hasattr(dpdata, "System"):  # dpdata was complete before it heard of this module
    for _system in (dpdata.System, dpdata.LabeledSystem):
        _system.register_data_type(*DATA_TYPES)


def system_data(
    density: Density,
    n_points: int = N_POINTS,
    points_per_frame: int = POINTS_PER_FRAME,
    seed: int | np.random.Generator | None = None,
    quantity: str = "total",
    path: str = "",
    saed: Source | None = None,
    by_gradient: float | str | None = None,
) -> dict[str, Any]:
    """Sample a density into the data of a dpdata System.

    Parameters
    ----------
    density : Density
        Source.
    n_points, points_per_frame, seed, by_gradient
        See :func:`deepmd_charge.data.sampling.sample_frames`.
    quantity : str, optional
        What to learn of a density with spin; see :mod:`deepmd_charge.grid.quantity`.
    path : str, optional
        File of the density, for complaints.
    saed : optional
        Source of superposed atomic densities, from
        :func:`deepmd_charge.saed.open_source`.

    Returns
    -------
    dict
        Atom types in order of appearance, "X" last; ``coords`` (A), ``density``
        (e/A^3) and, with a source, ``saed`` (e/A^3), all float64, and the facts
        of the source in each frame. The electrons are those of the total
        density whatever is learnt, and left out where the source is no total density.
        ``cells`` (A) have the density's own vectors along periodic axes, and along open
        ones vectors that keep images out of the reach of any model: see
        :mod:`deepmd_charge.atoms.open_axes`.

    Raises
    ------
    ChargeError
        If the density has no such quantity, or it is not the total density
        that atomic densities are to be subtracted from.
    """
    learnt = density.quantity if quantity == "total" else find_quantity(quantity)
    if saed is not None and not learnt.is_total:
        raise ChargeError(
            f"{path}: atomic densities go with the total density, not with {learnt.name}"
        )
    index = sample_frames(density, n_points, points_per_frame, seed, by_gradient)
    n_frames = len(index)
    atoms = density.atoms
    symbols = species_of(atoms)
    names = [*dict.fromkeys(symbols), GRID_TYPE]
    types = np.array([names.index(s) for s in symbols] + [len(names) - 1] * points_per_frame)

    real = np.broadcast_to(atoms.positions, (n_frames, len(atoms), 3))
    points = density.points(index.reshape(-1)).reshape(n_frames, points_per_frame, 3)
    corners = np.array(list(np.ndindex(2, 2, 2))) @ atoms.cell.array + density.origin
    places = np.concatenate([atoms.positions, corners])
    cell = separated(atoms.cell.array, atoms.pbc, places, MARGIN)
    # dpdata turns right-handed cells only; this is the same lattice
    cell *= np.sign(np.linalg.det(cell))
    at_points = channel(density, quantity, np.unravel_index(index, density.shape), path)
    data = {
        "atom_names": names,
        "atom_numbs": [int(n) for n in np.bincount(types)],
        "atom_types": types,
        "orig": np.zeros(3),
        "cells": np.tile(cell, (n_frames, 1, 1)),
        "coords": np.concatenate([real, points], axis=1),
        "density": np.pad(at_points, ((0, 0), (len(atoms), 0))),
        "grid_shape": np.tile(density.shape, (n_frames, 1)),
        "grid_spacing": np.tile(density.grid.spacing, (n_frames, 1)),
        "periodic": np.tile(atoms.pbc, (n_frames, 1)),
        # HDF5 takes no str
        "density_kind": np.full(n_frames, compose_kind(density.format, learnt).encode()),
        **({} if atoms.pbc.any() else {"nopbc": True}),
    }
    if density.quantity.is_total:
        data["n_electrons"] = np.full(n_frames, density.n_electrons)
    if functional := density.extra.get("functional"):
        data["functional"] = np.full(n_frames, functional.encode("ascii", "replace"))
    if saed is not None:
        subtracted = saed.at(density.atoms, density.grid, index.reshape(-1)).reshape(index.shape)
        data["saed"] = np.pad(subtracted, ((0, 0), (len(atoms), 0)))
        data["saed_source"] = np.full(n_frames, saed.table.source.encode())
    return data


def _open_saed(
    file_name: PathLike,
    saed: PathLike | RadialTable,
    ecutrho: float | None,
    species: Sequence[str] | None,
) -> Source:
    """Open the source of superposed atomic densities of a file."""
    if not isinstance(saed, RadialTable) and is_density_file(saed):
        saed = beside(file_name, saed)
    return open_source(saed, ecutrho, species)


def _joined(parts: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The data of one system from those of all densities of a file, which have the same atoms."""
    data = parts[0]
    for name in ("cells", "coords", *(t.name for t in DATA_TYPES)):
        if name in data:
            data[name] = np.concatenate([part[name] for part in parts])
    return data


@Format.register("density")
class DensityFormat(Format):
    """A charge density; the file's name tells its format.

    There is no labelled form: a charge density has no energy.
    """

    format: ClassVar[str | None] = None  # key of deepmd_charge.io.FORMATS

    @Format.post("rot_lower_triangular")
    def from_system(
        self,
        file_name: PathLike,
        n_points: int = N_POINTS,
        points_per_frame: int = POINTS_PER_FRAME,
        seed: int | np.random.Generator | None = None,
        saed: PathLike | RadialTable | None = None,
        saed_ecutrho: float | None = None,
        quantity: str = "total",
        species: Sequence[str] | None = None,
        check: bool | str = True,
        by_gradient: float | str | None = None,
        pbc: Sequence[bool] | None = None,
        unit: str | Sequence[str] | None = None,
        holds: str | None = None,
        **kwargs: Any,
    ) -> dict[str, Any]:
        r"""Load grid points of a charge density.

        Parameters
        ----------
        file_name : str or os.PathLike
            Density file; plain, .gz or .xz. Of one with several frames each gives so many
            points, or those that are named: "CHG@3", "CHG@::10".
        n_points, points_per_frame, seed, by_gradient
            See :func:`deepmd_charge.data.sampling.sample_frames`.
        saed : str, os.PathLike or RadialTable, optional
            Superposed atomic densities to note beside the density: "upf:FOLDER",
            "potcar:FILE", a table or its "saed.npz", or a density file on the
            same grid, which is looked for beside this one first.
        saed_ecutrho : float, optional
            Cutoff of \|G\|^2 of the run in Ry; needed for UPF files.
        quantity : str, optional
            What to learn of a density with spin; see :mod:`deepmd_charge.grid.quantity`.
        species, check, pbc, unit, holds
            See :func:`deepmd_charge.read_density`; what is doubtful is refused, unless
            `check` is false.
        **kwargs : dict
            Arguments that dpdata passes to every format.

        Returns
        -------
        dict
            Unlabelled system data; see :func:`system_data`.

        Raises
        ------
        ChargeError
            If the file cannot be read, or ``saed`` is missing or does not fit.
        """
        densities = iterate_densities(
            file_name, self.format, species, check and LEARN, pbc=pbc, unit=unit, holds=holds
        )
        entropy = entropy_of(seed)
        source: Source | None = None
        parts: list[dict[str, Any]] = []
        for name, density in densities:
            if saed is not None and not parts:  # a density that cannot be read is told of first
                source = _open_saed(file_name, saed, saed_ecutrho, species)
            generator = generator_at(entropy, len(parts))
            options = n_points, points_per_frame, generator, quantity, name, source, by_gradient
            parts.append(system_data(density, *options))
        return _joined(parts)


@Format.register("vasp/chgcar")
class VASPChgcarFormat(DensityFormat):
    """VASP's CHGCAR and CHG."""

    format = "vasp/chgcar"


@Format.register("cube")
class CubeFormat(DensityFormat):
    """Gaussian cube."""

    format = "cube"


@Format.register("qe/save")
class QuantumESPRESSOFormat(DensityFormat):
    """Quantum ESPRESSO's own densities: a prefix.save folder, or its charge-density file."""

    format = "qe/save"


@Format.register("xsf")
class XSFFormat(DensityFormat):
    """XCrySDen's xsf."""

    format = "xsf"
