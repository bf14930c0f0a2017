# SPDX-License-Identifier: LGPL-3.0-or-later
r"""Quantum ESPRESSO's own densities: a prefix.save folder, or its charge-density file.

``charge-density.dat``, or ``charge-density.hdf5`` of a pw.x with HDF5, holds the coefficients
(e/bohr^3) of the waves up to ``ecutrho`` (Ry; lengths in bohr):

.. math:: \rho(r) = \sum_{|G|^2 \le E} \rho_G \, e^{i G r},
          \qquad N = \rho_{G=0} \, V .

Of a run at the Gamma point alone it leaves out one of two opposite waves. Atoms, cell and grid
stand beside it in ``data-file-schema.xml``.

pw.x takes coefficients by their positions in the file and looks at no (m1, m2, m3). So a file is
written with the waves of the one that is there already, or else by the rule of pw.x: by length,
waves of equal length in the order of (m1, m2, m3).
"""

from __future__ import annotations

import os
import warnings
from typing import TYPE_CHECKING

import numpy as np

from ..atoms.compare import same_atoms
from ..atoms.species import name_species
from ..errors import ChargeError
from ..grid.density import Density
from ..grid.grid import Grid, check_shape
from ..grid.quantity import compose_kind, split_kind
from ..grid.waves import from_grid, shape_for, to_grid
from ..typing import Complexes, Floats, PathLike
from ..units import PER_BOHR3
from ._qe_run import SCHEMA, Run, find_schema, read_run
from ._qe_target import (
    Cutoff,
    Target,
    check_cell,
    find_file,
    find_target,
    is_folder,
    output_file,
)  # fmt: skip
from ._qe_waves import Waves, check_kind, read_waves, write_waves
from .verdict.declared import UNDECLARED, Declared

if TYPE_CHECKING:
    from ase import Atoms

__all__ = [
    "SCHEMA", "Cutoff", "Run", "check", "files_of", "find_schema", "output_file", "read",
    "read_run", "write",
]  # fmt: skip

_PP = "write it on a grid by pp.x (plot_num = 0, output_format = 6 for a cube)"
_LOST = 1e-5  # e/A^3, root mean square of what a file leaves out
_ELECTRONS = 0.01  # that a density may miss those of its run
_MOST_OFF = 1e-3  # of the electrons, beyond which pw.x refuses a density in nscf


def read(path: PathLike, kind: str = "qe/save", declared: Declared = UNDECLARED) -> Density:
    """Read the charge density of a run.

    Parameters
    ----------
    path : str or os.PathLike
        The prefix.save folder, or the charge-density file in it, plain or compressed.
    kind : str
        Becomes the density's kind.
    declared : Declared
        What the user says of it.

    Returns
    -------
    Density
        In e/A^3, on the run's grid. ``extra`` holds "spin", as for a CHGCAR, "cutoff" (a
        :class:`Cutoff`), "functional" (str, where the run tells it), "notes" and "doubts".

    Raises
    ------
    ChargeError
        If files are missing, damaged, or do not belong together.
    """
    path = os.fspath(path)
    file = _file_to_read(path)
    check_kind(file)
    schema = find_schema(os.path.dirname(file))
    if schema is None:
        raise ChargeError(
            f"{path}: Quantum ESPRESSO's own charge density, without the {SCHEMA} that tells its"
            f" atoms: copy that beside it, or {_PP}"
        )
    waves, run = read_waves(file), read_run(schema)
    check_cell(file, waves.reciprocal, run.atoms, schema)
    check_shape(run.shape, f"{schema}: the grid {run.shape}")
    if (np.array(run.shape) < shape_for(waves.miller)).any():
        raise ChargeError(
            f"{file}: its waves do not fit the grid {run.shape} of {schema}: are they of one run?"
        )
    atoms, quantity = run.atoms, declared.quantity or split_kind(kind)[1]
    name_species(path, atoms, declared.species or run.types)
    divisor = declared.divisor(quantity, "e/bohr^3", atoms.get_volume())
    blocks = []
    for component in waves.components:
        try:
            block = to_grid(waves.miller, component, run.shape, waves.gamma_only)
        except ChargeError as error:
            raise ChargeError(f"{file}: damaged: {error}") from None
        block /= divisor
        blocks.append(block)
    cutoff = Cutoff(run.ecutrho, waves.gamma_only, run.alat, len(waves.miller))
    extra = {"spin": blocks[1:], "cutoff": cutoff, "notes": _notes(run, declared), "doubts": []}
    if run.functional:
        extra["functional"] = run.functional
    density = Density(atoms, blocks[0], kind=compose_kind(kind, quantity), extra=extra)
    if quantity.is_total and abs(density.n_electrons - run.n_electrons) > _ELECTRONS:
        density.extra["doubts"].append(
            f"integrates to {density.n_electrons:.6g} electrons, where {os.path.basename(schema)}"
            f" counts {run.n_electrons:.6g}: give the folder of one finished run"
        )
    return density


def files_of(path: PathLike) -> list[str]:
    """The files that :func:`read` reads: the charge density, and the XML where there is one."""
    file = _file_to_read(os.fspath(path))
    return [file, *filter(None, [find_schema(os.path.dirname(file))])]


def _notes(run: Run, declared: Declared) -> list[str]:
    if declared.species or not run.types:
        return []
    names = " ".join(dict.fromkeys(run.types))
    return [f"atom types {names}, by the labels of the atoms (--species says otherwise)"]


def write(path: PathLike, density: Density, kind: str = "qe/save") -> None:
    """Write a density for pw.x, with the waves that pw.x has and in its order.

    These are the waves of the charge-density file that is there already, of the run whose
    data-file-schema.xml is there, or else of the run that the density was read from
    (``density.extra["cutoff"]``). All other waves of the density are left out.

    Parameters
    ----------
    path : str or os.PathLike
        The prefix.save folder, which is made where it is missing, or the charge-density file;
        a name in .hdf5 makes HDF5.
    density : Density
        In e/A^3. Its spin grids are written unless the run that is there has none.
    kind : str
        Not used.

    Raises
    ------
    ChargeError
        If nothing tells the waves, the grid cannot hold them, cell or spin are not those of
        the run that is there, or the file cannot be written.

    Warns
    -----
    UserWarning
        If more than 1e-5 e/A^3 (root mean square) are left out, or the magnetisation is; if
        the run that is there has other atoms, or by more than 0.1% other electrons.
    """
    path, spin = os.fspath(path), list(density.extra.get("spin", []))
    if any(block.shape != density.shape for block in spin):
        raise ChargeError(f"{path}: the spin grids do not match the density")
    target = find_target(path, density.atoms, density.grid, density.extra.get("cutoff"), len(spin))
    if target.n_spin == 1 and spin:
        warnings.warn(f"{path}: of a run without spin, the magnetisation is left out", stacklevel=3)
        spin = []
    components: list[Complexes] = []
    lost = 0.0
    for block in (density.values, *spin):
        if not np.isfinite(block).all():
            raise ChargeError(f"{path}: not written: some values are not finite")
        coefficients = from_grid(block, target.miller)
        lost += _left_out(block, target, coefficients)
        components.append(coefficients / PER_BOHR3)
    _warn(path, density, target, np.sqrt(lost))
    waves = Waves(target.gamma_only, target.reciprocal, target.miller, components)
    folder = os.path.dirname(target.path)
    is_new = is_folder(path) and not os.path.isdir(folder)
    if is_new:
        try:
            os.mkdir(folder)
        except OSError as error:
            raise ChargeError(f"{path}: cannot be made: {error.strerror}") from None
    try:
        write_waves(target.path, waves)
    except BaseException:
        if is_new:
            os.rmdir(folder)
        raise


def check(path: PathLike, atoms: Atoms, grid: Grid) -> None:
    """Raise ChargeError unless a density without spin can be written for the run that is there."""
    find_target(os.fspath(path), atoms, grid, None, 0)


def _file_to_read(path: str) -> str:
    """The charge-density file of a folder, or the file that was named."""
    file = find_file(path) if os.path.isdir(path) else path
    if file is None:
        raise ChargeError(
            f"{path}: there is no charge-density.dat or .hdf5 in this folder: pw.x writes it at the"
            " end of a run, unless disk_io = 'none'"
        )
    return file


def _left_out(block: Floats, target: Target, coefficients: Complexes) -> float:
    """Mean square of what the waves of a file do not tell of a grid."""
    squares = np.abs(coefficients) ** 2
    if target.gamma_only:
        squares[target.miller.any(axis=1)] *= 2
    flat = block.ravel(order="K")
    return max(0.0, float(flat @ flat) / flat.size - float(squares.sum()))


def _warn(path: str, density: Density, target: Target, lost: float) -> None:
    if lost > _LOST:
        warnings.warn(
            f"{path}: {lost:.1e} e/A^3 (root mean square) of the density are waves beyond those of"
            " the run, and are left out",
            stacklevel=4,
        )
    if target.run is None:
        return
    if not same_atoms(target.run.atoms, density.atoms):
        warnings.warn(
            f"{path}: the atoms are not those of the {SCHEMA} that is there", stacklevel=4
        )
    expected = target.run.n_electrons
    if abs(density.n_electrons - expected) > _MOST_OFF * expected:
        warnings.warn(
            f"{path}: the density integrates to {density.n_electrons:.6g} electrons, the run has"
            f" {expected:.6g}: pw.x rescales it in scf, and refuses it in nscf and bands",
            stacklevel=4,
        )
