# SPDX-License-Identifier: LGPL-3.0-or-later
"""Run a LAMMPS script and evaluate the density every so many steps.

The script has its own ``pair_style`` and knows nothing of the model: LAMMPS
hands over the positions through a ``fix external`` that adds no force, so that
the trajectory is that of a run without it, to the last bit.
"""

from __future__ import annotations

import ctypes
import re
import tempfile
import warnings
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from ..atoms.species import named_atoms
from ..errors import ChargeError
from ..grid.density import Density
from ..predict.charge_model import ChargeModel
from ..stderr import loading
from ..typing import Floats, Integers, Shape
from .average import Average
from .script import Lammps, run_to_first_run

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["run_script"]

_FIX = "deepmd_charge"
_NEVER = 2**31 - 1  # steps between the times at which the fix adds its zeros
_ANGSTROM = ("metal", "real")  # unit styles with lengths in A

Local: TypeAlias = tuple[Integers, Integers, Floats]  # numbers, types and positions of atoms


def run_script(
    script: str,
    model: ChargeModel,
    species: Sequence[str],
    every: int,
    grid: Shape,
    start: int = 0,
    plane: tuple[int, float] | None = None,
    variables: Sequence[Sequence[str]] = (),
    each: Callable[[int, Density], object] | None = None,
) -> Average | None:
    """Run a LAMMPS script and average the density over it.

    Parameters
    ----------
    script : str
        LAMMPS input script, run in the working directory.
    model : ChargeModel
    species : list of str
        Elements of LAMMPS' atom types 1, 2, ...
    every : int
        Steps from one evaluation to the next.
    grid : tuple of int
        Points along the three vectors of the box.
    start : int
        First step to evaluate.
    plane : tuple, optional
        (axis, fraction): only the plane at this fraction of vector 0, 1 or 2;
        the number of points along it does not matter. The atoms of the result
        are shifted so that the plane is at its origin.
    variables : list of list of str
        Name and values of index variables, as of ``lmp -var``.
    each : callable, optional
        Called with the step and the Density of every evaluation, on rank 0.

    Returns
    -------
    Average or None
        None on all MPI ranks but the first.

    Raises
    ------
    ChargeError
        When LAMMPS is missing or stops, or nothing was evaluated.
    """
    lmp = _open(variables)
    try:
        sampler = _Sampler(lmp, script, model, species, grid, start, plane, each)
        try:
            with tempfile.TemporaryDirectory() as folder:
                rest = run_to_first_run(lmp, script, Path(folder))
                lmp.command(f"fix {_FIX} all external pf/callback {every} {_NEVER}")
                sampler.check()
                lmp.set_fix_external_callback(_FIX, sampler)
                lmp.file(str(rest))
        except ChargeError:
            raise
        except Exception as error:  # what LAMMPS raises
            message = re.sub(r"^ERROR[^:]*: ", "", str(error).strip().splitlines()[0])
            raise ChargeError(f"{script}: LAMMPS stopped: {message}") from None
        if sampler.error is not None:
            raise sampler.error
        if not lmp.has_id("fix", _FIX):
            raise ChargeError(
                f"{script}: the script removes the fix that samples the density, {_FIX}, before its"
                " end (by clear or unfix); leave it there"
            )
    finally:
        lmp.close()
    if sampler.rank == 0 and sampler.average.count == 0:
        raise ChargeError(
            f"{script}: no step of its runs was a multiple of {every} from {start} on; "
            "give a smaller --every or --start"
        )
    return sampler.average if sampler.rank == 0 else None


class _Sampler:
    """What happens at a step: gather the atoms, share the points, average."""

    def __init__(
        self,
        lmp: Lammps,
        script: str,
        model: ChargeModel,
        species: Sequence[str],
        grid: Shape,
        start: int,
        plane: tuple[int, float] | None,
        each: Callable[[int, Density], object] | None,
    ) -> None:
        self._lmp, self._script, self._model = lmp, script, model
        self._species = np.array(species)
        self._start, self._each = start, each
        self._last: int | None = None
        self._shape = tuple(n if plane is None or a != plane[0] else 1 for a, n in enumerate(grid))
        self._shift = np.zeros(3)
        if plane is not None:
            self._shift[plane[0]] = plane[1]
        self._comm = _communicator(lmp)
        self.rank: int = lmp.extract_setting("world_rank")
        self.average = Average()
        self.error: Exception | None = None

    def check(self) -> None:
        """Raise ChargeError when the script and the species do not fit."""
        units = self._lmp.extract_global("units")
        if units not in _ANGSTROM:
            raise ChargeError(f"{self._script}: units {units} are not in A; use metal or real")
        types = self._lmp.extract_setting("ntypes")
        if types != len(self._species):
            raise ChargeError(
                f"{self._script}: there are {types} atom types; "
                f"name one element for each, not {' '.join(self._species)}"
            )

    def __call__(
        self,
        caller: object,
        step: int,
        n_local: int,
        tags: Integers,
        positions: Floats,
        forces: Floats,
    ) -> None:
        """Take a sample: LAMMPS calls this, and drops what is raised here."""
        if n_local:
            forces[:] = 0.0
        if self.error is not None or step < self._start or step == self._last:
            return
        self._last = step  # the first step of a run is the last of the run before
        try:
            self._sample(step, self._local(n_local, tags, positions))
        except Exception as error:
            self.error = error
            if isinstance(error, ChargeError):
                self.error = ChargeError(f"{self._script}, step {step}: {error}")
        if self._comm is not None:  # the first rank hears of the others' errors
            self.error = self._comm.bcast(self.error)
        if self.error is not None:
            self._lmp.force_timeout()

    def _local(self, n_local: int, tags: Integers, positions: Floats) -> Local:
        """Numbers, types and positions of this rank's atoms."""
        if n_local == 0:  # LAMMPS may then have no arrays to show
            return np.zeros(0, int), np.zeros(0, int), np.zeros((0, 3))
        types = self._lmp.numpy.extract_atom("type")
        return tags.reshape(-1).copy(), types[:n_local].copy(), positions.copy()

    def _sample(self, step: int, local: Local) -> None:
        atoms = self._atoms(local)
        parts = [self._share(atoms)]
        if self._comm is not None:
            parts = self._comm.gather(parts[0])
        if self.rank > 0:
            return
        values = []
        for part in parts:
            if isinstance(part, Exception):
                raise part
            values.append(part)
        atoms.positions -= self._shift @ atoms.cell.array
        kind = self._model.memory.predicted_kind
        density = Density(atoms, np.concatenate(values).reshape(self._shape), kind=kind)
        self.average.add(density)
        if self._each is not None:
            self._each(step, density)

    def _share(self, atoms: Atoms) -> Floats | Exception:
        """Values at the points of this rank, or what went wrong: all ranks must go on."""
        size = int(np.prod(self._shape))
        index = np.array_split(np.arange(size), self._lmp.extract_setting("world_size"))[self.rank]
        fractions = np.stack(np.unravel_index(index, self._shape), axis=1) / self._shape
        points = (fractions + self._shift) @ atoms.cell.array
        with warnings.catch_warnings():
            if self.average.count or self.rank:  # said once
                warnings.simplefilter("ignore")
            try:
                return self._model.predict_points(atoms, points)
            except Exception as error:
                return error

    def _atoms(self, local: Local) -> Atoms:
        """All atoms of all ranks, in the order of their numbers."""
        ranks = [local] if self._comm is None else self._comm.allgather(local)
        tags, types, positions = (np.concatenate(part) for part in zip(*ranks, strict=True))
        order = np.argsort(tags)
        low, high, xy, yz, xz, periodic, _ = self._lmp.extract_box()
        lx, ly, lz = np.subtract(high, low)
        return named_atoms(
            self._species[types[order] - 1],
            positions[order] - low,
            cell=[[lx, 0, 0], [xy, ly, 0], [xz, yz, lz]],
            pbc=periodic,
        )


def _open(variables: Sequence[Sequence[str]]) -> Lammps:
    """Start LAMMPS in this process."""
    arguments = [word for variable in variables for word in ("-var", *variable)]
    try:
        _load_mpi()
        with loading():
            from lammps import lammps

            return lammps(cmdargs=arguments)
    except (ImportError, OSError) as error:
        raise ChargeError(
            f"no LAMMPS in this Python ({error}): pip install 'deepmd-charge[lmp]'"
        ) from None


def _load_mpi() -> None:
    """Load the MPI library of the wheels, which the dynamic linker does not find."""
    from importlib import metadata

    with suppress(metadata.PackageNotFoundError, OSError):
        for file in metadata.files("mpich") or ():
            if file.name == "libmpi.so.12":
                ctypes.CDLL(str(file.locate()), mode=ctypes.RTLD_GLOBAL)


def _communicator(lmp: Lammps) -> Any:
    """Ranks that run LAMMPS together, an mpi4py.MPI.Comm; None where there is one."""
    if lmp.extract_setting("world_size") == 1:
        return None
    try:
        from mpi4py import MPI
    except ImportError:
        raise ChargeError(
            "more than one MPI rank needs mpi4py: pip install mpi4py, or run without mpirun"
        ) from None
    return MPI.COMM_WORLD
