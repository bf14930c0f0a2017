# SPDX-License-Identifier: LGPL-3.0-or-later
"""What a finished run of pw.x found: from its data-file-schema.xml and what it printed.

The XML file has energies in hartree and lengths in bohr, to all digits; iterations, accuracies
and times stand in the printed output alone.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np

from ..errors import ChargeError
from ..io.quantum_espresso import SCHEMA, find_schema
from ..io.text.reader import opened
from ..typing import Floats, PathLike
from ..units import BOHR

__all__ = ["HARTREE", "RYDBERG", "Printed", "Result", "read_printed", "read_result"]

HARTREE = 27.211386245988  # eV, CODATA 2018
RYDBERG = HARTREE / 2  # eV
_HALF = 0.5  # occupied is what holds more than that of an electron of one spin
_PARTIAL = 0.01  # a band is partly filled beyond that much from empty and from full
_SECONDS = {"d": 86400.0, "h": 3600.0, "m": 60.0, "s": 1.0}


@dataclass(frozen=True)
class Printed:
    """What pw.x prints on its way.

    Attributes
    ----------
    iterations : int
        Of self-consistency.
    energies : list of float
        After each iteration, eV.
    accuracies : list of float
        Estimated scf accuracy after each iteration, Ry: the Coulomb energy of the change of the
        density.
    harris_foulkes : float or None
        The last Harris-Foulkes estimate, eV, where this version of pw.x prints one.
    cpu_seconds : float
        Of the whole run, on all its cores.
    """

    iterations: int
    energies: list[float]
    accuracies: list[float]
    harris_foulkes: float | None
    cpu_seconds: float


@dataclass(frozen=True)
class Result:
    """What a run found.

    Attributes
    ----------
    energy : float
        Of the cell, eV; with smearing the free energy, as pw.x prints it.
    n_atoms : int
    k_points : np.ndarray, shape (n_k, 3)
        1/A, with the factor 2 pi.
    weights : np.ndarray, shape (n_k,)
        Of the k points, with the sum 1.
    eigenvalues : np.ndarray, shape (n_spin, n_k, n_bands)
        eV.
    occupations : np.ndarray, shape (n_spin, n_k, n_bands)
        From 0 to 1.
    forces : np.ndarray, shape (n_atoms, 3), or None
        eV/A; None unless the run computed them.
    stress : np.ndarray, shape (3, 3), or None
        eV/A^3, with ase's sign: negative under pressure.
    printed : Printed
    """

    energy: float
    n_atoms: int
    k_points: Floats
    weights: Floats
    eigenvalues: Floats
    occupations: Floats
    forces: Floats | None
    stress: Floats | None
    printed: Printed

    @property
    def is_metal(self) -> bool:
        """Whether a band is partly filled."""
        return bool((np.minimum(self.occupations, 1 - self.occupations) > _PARTIAL).any())

    @property
    def occupied(self) -> np.ndarray[tuple[int, ...], np.dtype[np.bool_]]:
        """Which bands are more than half filled, in the shape of `eigenvalues`."""
        return self.occupations > _HALF

    @property
    def gap(self) -> float | None:
        """From the highest occupied to the lowest empty level, eV.

        None for a metal, and where the run had no empty band.
        """
        if self.is_metal or self.occupied.all():
            return None
        empty, occupied = self.eigenvalues[~self.occupied], self.eigenvalues[self.occupied]
        return float(empty.min() - occupied.max())


def read_result(folder: PathLike, output: PathLike) -> Result:
    """Read what a run left.

    Parameters
    ----------
    folder : str or os.PathLike
        Its prefix.save folder, or the data-file-schema.xml in it, plain or compressed.
    output : str or os.PathLike
        What it printed, plain or compressed.

    Returns
    -------
    Result

    Raises
    ------
    ChargeError
        If files are missing or damaged, or the run has not come to its end.
    """
    folder = os.fspath(folder)
    path = find_schema(folder) if os.path.isdir(folder) else folder
    if path is None:
        raise ChargeError(f"{folder}: there is no {SCHEMA}: let pw.x run to its end")
    printed = read_printed(output)
    try:
        with opened(path) as file:
            root = ElementTree.parse(file).getroot()
        return _result_of(_child(root, "output"), printed)
    except (ElementTree.ParseError, ValueError) as error:
        reason = " ".join(str(error).split())[:100]
        raise ChargeError(f"{path}: damaged: {reason}: run pw.x again") from None


def read_printed(path: PathLike) -> Printed:
    """Read what pw.x printed.

    Parameters
    ----------
    path : str or os.PathLike
        File, plain or compressed.

    Returns
    -------
    Printed

    Raises
    ------
    ChargeError
        If it is not the output of a run of pw.x that came to its end.
    """
    path = os.fspath(path)
    with opened(path) as file:
        text = file.read().decode(errors="replace")
    times = re.findall(r"^ *PWSCF +: +(.*?) *CPU", text, re.M)
    if "JOB DONE" not in text or not times:
        raise ChargeError(f"{path}: not the output of a run of pw.x that came to its end")
    harris = re.findall(r"Harris-Foulkes estimate += +(\S+) Ry", text)
    return Printed(
        len(re.findall(r"^ *iteration # *\d+", text, re.M)),
        [RYDBERG * float(e) for e in re.findall(r"^!? +total energy += +(\S+) Ry", text, re.M)],
        [float(a) for a in re.findall(r"estimated scf accuracy +< +(\S+) Ry", text)],
        RYDBERG * float(harris[-1]) if harris else None,
        _seconds(times[-1]),
    )


def _seconds(text: str) -> float:
    """Seconds of a time as pw.x prints it, such as 3m15.19s or 1h 2m."""
    return sum(float(n) * _SECONDS[unit] for n, unit in re.findall(r"([\d.]+) *([dhms])", text))


def _result_of(output: ElementTree.Element, printed: Printed) -> Result:
    structure, bands = _child(output, "atomic_structure"), _child(output, "band_structure")
    alat = float(structure.get("alat", "nan")) * BOHR
    n_atoms = int(structure.get("nat", "0"))
    points = list(_levels_of(bands))
    k_points, weights, eigenvalues, occupations = map(np.array, zip(*points, strict=True))
    forces, stress = output.find("forces"), output.find("stress")
    return Result(
        HARTREE * float(_child(output, "total_energy/etot").text or ""),
        n_atoms,
        2 * np.pi / alat * k_points,
        weights / weights.sum(),
        HARTREE * eigenvalues.swapaxes(0, 1),
        occupations.swapaxes(0, 1),
        None if forces is None else HARTREE / BOHR * _array(forces).reshape(n_atoms, 3),
        None if stress is None else -HARTREE / BOHR**3 * _array(stress).reshape(3, 3),
        printed,
    )


def _levels_of(bands: ElementTree.Element) -> Iterator[tuple[Floats, float, Floats, Floats]]:
    """K point, weight, eigenvalues and occupations (n_spin, n_bands) of each k point."""
    n_spin = 2 if (bands.findtext("lsda") or "").strip() == "true" else 1
    for levels in bands.iter("ks_energies"):
        point = _child(levels, "k_point")
        eigenvalues, occupations = (
            _array(_child(levels, name)).reshape(n_spin, -1)
            for name in ("eigenvalues", "occupations")
        )
        yield _array(point), float(point.get("weight", "nan")), eigenvalues, occupations


def _child(element: ElementTree.Element, name: str) -> ElementTree.Element:
    child = element.find(name)
    if child is None:
        raise ValueError(f"there is no {name}")
    return child


def _array(element: ElementTree.Element) -> Floats:
    return np.array((element.text or "").split(), dtype=float)
