# SPDX-License-Identifier: LGPL-3.0-or-later
"""Reading and writing density files, whatever their format."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING

from ..errors import ChargeError
from ..grid.density import Density
from ..grid.grid import Grid
from ..typing import PathLike
from .formats import FORMATS, format_of, output_file, writable_format
from .frames import choose_frames, is_one_frame, no_such_frames, split_frames
from .output import check_output
from .verdict.declared import Declared
from .verdict.judge import check_total

if TYPE_CHECKING:
    from ase import Atoms

__all__ = [
    "check_holds",
    "check_writable",
    "count_densities",
    "iterate_densities",
    "read_density",
    "write_density",
]


def read_density(
    path: PathLike,
    format: str | None = None,
    species: Sequence[str] | None = None,
    check: bool | str = True,
    *,
    pbc: Sequence[bool] | None = None,
    unit: str | Sequence[str] | None = None,
    holds: str | None = None,
) -> Density:
    """Read a charge density.

    Parameters
    ----------
    path : str or os.PathLike
        File, plain or compressed (.gz, .xz). Of a file with several frames one is named:
        ``CHG@3``, ``CHG@-1``.
    format : str, optional
        Name of a format; found from the file's name by default. A LOCPOT or
        ELFCAR is read only where its format is given: it is no density.
    species : sequence of str, optional
        Names of atom types, one for each group of like atoms (as in the header
        of a CHGCAR), or one for each atom: "Fe1", "Fe2", "O" for the
        sublattices of an antiferromagnet. They also name the elements of a
        CHGCAR of VASP 4.
    check : bool or "learn", optional
        Refuse what is no total density: by what the file says of itself, or by its integral.
        With "learn" also what is doubtful, which a warning tells otherwise: the part of a
        structure, one of two spin channels, an unlikely unit, a grid that is no period.
    pbc : sequence of bool, optional
        Along which axes the structure is periodic, where the file does not say, or not rightly.
    unit : str or sequence of str, optional
        Of the values ("e/bohr^3", "e/A^3", or "e" for density times volume of the cell) and of
        lengths ("bohr", "A"), where the file's are not those of its format.
    holds : str, optional
        What a file with one grid holds, a name of :data:`deepmd_charge.grid.quantity.QUANTITIES`,
        whatever the file says: "total", "difference", "magnetization", "potential", ...

    Returns
    -------
    Density
        In e/A^3, or the unit of its ``quantity``. ``extra["notes"]`` is a list of lines on
        what was found out of the file that its format does not say, ``extra["doubts"]`` one of
        what speaks against learning it.

    Raises
    ------
    ChargeError
        If the file cannot be read, is not what its format asks for, or has several frames,
        or if `check` and the integral is not positive, or above the sum of the atomic
        numbers.

    Warns
    -----
    ElectronCountWarning
        If `check` and the integral is not a whole number of electrons.
    UserWarning
        If the file is doubtful otherwise.
    """
    file, frames = split_frames(path)
    format, declared = _opened(file, format, species, pbc, unit, holds)
    if frames is None:
        density = FORMATS[format].functions.read(file, format, declared)
    elif is_one_frame(frames):
        density = next(_densities(file, frames, format, declared))
    else:
        raise ChargeError(f"{path}: may be several densities: give one, or take iterate_densities")
    return _judged(density, os.fspath(path), declared, check)


def iterate_densities(
    path: PathLike,
    format: str | None = None,
    species: Sequence[str] | None = None,
    check: bool | str = True,
    *,
    pbc: Sequence[bool] | None = None,
    unit: str | Sequence[str] | None = None,
    holds: str | None = None,
) -> Iterator[tuple[str, Density]]:
    """Read the charge densities of a file one at a time.

    A CHG of molecular dynamics or of a relaxation has one for each of its frames; of most
    files there is one.

    Parameters
    ----------
    path : str or os.PathLike
        File. ``CHG@3``, ``CHG@-5:``, ``CHG@::10`` name some of its frames, as ase spells
        them; all by default.
    format, species, check, pbc, unit, holds
        See :func:`read_density`.

    Yields
    ------
    name : str
        What :func:`read_density` takes to read this one: "CHG@3", or the path of a file
        with one density.
    density : Density
        Where there are several, ``extra["frame"]`` is the number from 0.

    Raises
    ------
    ChargeError
        As of :func:`read_density`; where a frame is cut off, after those before it.
    """
    file, frames = split_frames(path)
    format, declared = _opened(file, format, species, pbc, unit, holds)
    for density in _densities(file, frames, format, declared):
        number = density.extra.get("frame")
        name = file if number is None else f"{file}@{number}"
        yield name, _judged(density, name, declared, check)
        del density  # before the next one needs memory


def count_densities(
    path: PathLike, format: str | None = None, species: Sequence[str] | None = None
) -> int:
    """Find how many densities :func:`iterate_densities` yields; of most formats unread."""
    file, frames = split_frames(path)
    entry = FORMATS[format_of(file, format)]
    n_frames = 1
    if entry.has_frames:
        n_frames = entry.functions.count_frames(file, Declared(species))
    chosen = choose_frames(file, frames, lambda: n_frames)
    return len(range(chosen.start, min(chosen.stop, n_frames), chosen.step))


def _opened(
    path: str,
    format: str | None,
    species: Sequence[str] | None,
    pbc: Sequence[bool] | None,
    unit: str | Sequence[str] | None,
    holds: str | None,
) -> tuple[str, Declared]:
    """Format of a file, and what is declared of it."""
    format = format_of(path, format)
    declared = Declared.of(path, species, pbc, unit, holds)
    entry = FORMATS[format]
    if declared.length and not entry.has_units:
        raise ChargeError(
            f"{path}: has its lengths in {entry.units[1]}: leave --unit {declared.length} out"
        )
    return format, declared


def _densities(path: str, frames: str | None, format: str, declared: Declared) -> Iterator[Density]:
    """Iterate over the frames of a file that are meant, or None for all."""
    entry = FORMATS[format]
    if entry.has_frames:
        return entry.functions.iterate(path, format, declared, frames)
    if 0 not in choose_frames(path, frames, lambda: 1):
        raise no_such_frames(path, frames, 1)
    return iter([entry.functions.read(path, format, declared)])


def _judged(density: Density, path: str, declared: Declared, check: bool | str) -> Density:
    """A density that has been read, as the user says that it is, or refused."""
    declared.overrule(density, path)
    check_total(density, path, declared, check)
    return density


def write_density(path: PathLike, density: Density, format: str | None = None) -> None:
    """Write a charge density; the file appears when it is complete.

    Parameters
    ----------
    path : str or os.PathLike
        File; .gz and .xz compress.
    density : Density
        In e/A^3.
    format : str, optional
        Name of a format; found from the file's name by default. What was read
        from a LOCPOT or ELFCAR is written as one, or with its values as they
        are to the formats without a name for what they hold.

    Raises
    ------
    ChargeError
        If the file cannot be written or the format cannot hold the density.

    Warns
    -----
    UserWarning
        If the density has spin grids and the format has no place for them.
    """
    format = writable_format(path, format, density.kind)
    if density.extra.get("spin") and not FORMATS[format].has_spin:
        warnings.warn(
            f"{os.fspath(path)}: holds the total density only, the magnetisation is left out",
            stacklevel=2,
        )
    FORMATS[format].functions.write(path, density, format)


def check_readable(paths: Iterable[PathLike], format: str | None = None) -> None:
    """Refuse, before any work is done, files that cannot be densities.

    Parameters
    ----------
    paths : iterable of str or os.PathLike
    format : str, optional
        As for :func:`read_density`.

    Raises
    ------
    ChargeError
        If a file is missing, or its name tells no format.
    """
    for path in paths:
        file, _ = split_frames(path)
        if not os.path.exists(file):
            raise ChargeError(f"{file}: no such file")
        format_of(file, format)


def check_writable(path: PathLike, format: str | None = None, kind: str = "") -> None:
    """Refuse, before any work is done, a density file that cannot be written.

    Parameters
    ----------
    path : str or os.PathLike
    format : str, optional
        As for :func:`write_density`.
    kind : str, optional
        That of the density, see :func:`deepmd_charge.grid.quantity.split_kind`.

    Raises
    ------
    ChargeError
        If the folder does not take it, or its name stands for no format that
        can be written.
    """
    file = output_file(path, format)
    if os.path.exists(os.path.dirname(file) or "."):  # else a folder that is made
        check_output(file)
    else:
        check_output(path)
    writable_format(path, format, kind)


def check_holds(
    path: PathLike, atoms: Atoms, grid: Grid, kind: str = "", format: str | None = None
) -> None:
    """Refuse, before any work is done, a density that a format cannot hold.

    Parameters
    ----------
    path : str or os.PathLike
    atoms : ase.Atoms
    grid : Grid
    kind : str, optional
        Of the values to come, see :func:`deepmd_charge.grid.quantity.split_kind`.
    format : str, optional
        As for :func:`write_density`.

    Raises
    ------
    ChargeError
        If the format has no place for the atoms, their periodicity, the origin or the values.
    """
    FORMATS[writable_format(path, format, kind)].functions.check(os.fspath(path), atoms, grid)
