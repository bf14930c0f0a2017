# SPDX-License-Identifier: LGPL-3.0-or-later
"""The run that a density of Quantum ESPRESSO belongs to, from its data-file-schema.xml.

The file has lengths in bohr and energies in hartree; its reciprocal vectors are in units of
2 pi / alat.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from dataclasses import dataclass
from io import BufferedIOBase
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import numpy as np

from ..atoms.species import element_of_label, types_of_labels
from ..errors import ChargeError
from ..typing import Floats, Shape
from ..units import BOHR
from .text.reader import COMPRESSIONS, opened

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["SCHEMA", "Run", "find_schema", "read_run"]

SCHEMA = "data-file-schema.xml"
_RY = 2.0  # in a hartree


@dataclass(frozen=True)
class Run:
    """What a run says of its density.

    Attributes
    ----------
    atoms : ase.Atoms
        In A, periodic along all axes.
    labels : list of str
        What the run calls the atoms.
    types : list of str or None
        Names of their types, where the run tells atoms of one element apart.
    alat : float
        Unit of lengths of the run, bohr.
    reciprocal : np.ndarray, shape (3, 3)
        Vectors of the reciprocal cell in rows, 2 pi / alat.
    ecutrho : float
        The largest squared length of a wave, Ry.
    gamma_only : bool
        Whether opposite waves are left out.
    n_waves : int
    shape : Shape
        The grid for fast Fourier transforms.
    n_spin : int
        1; 2 with a collinear and 4 with a non-collinear magnetisation.
    n_electrons : float
    functional : str
        Of exchange and correlation, as pw.x calls it; empty where the file does not say.
    """

    atoms: Atoms
    labels: list[str]
    types: list[str] | None
    alat: float
    reciprocal: Floats
    ecutrho: float
    gamma_only: bool
    n_waves: int
    shape: Shape
    n_spin: int
    n_electrons: float
    functional: str


def find_schema(folder: str) -> str | None:
    """Path of the XML file in a folder, plain or compressed; None if there is none."""
    names = [os.path.join(folder, SCHEMA + suffix) for suffix in ("", *COMPRESSIONS)]
    return next((name for name in names if os.path.isfile(name)), None)


def read_run(path: str) -> Run:
    """Read a data-file-schema.xml.

    Parameters
    ----------
    path : str
        File, plain or compressed.

    Returns
    -------
    Run

    Raises
    ------
    ChargeError
        If it is damaged, or of a run that did not get to its end.
    """
    try:
        with opened(path) as file:
            parts = dict(_parts_of_output(file))
    except (ElementTree.ParseError, ValueError, LookupError) as error:
        raise ChargeError(f"{path}: damaged: {error}: copy it again, or run pw.x again") from None
    try:
        return _run_of(parts)
    except KeyError as error:
        raise ChargeError(
            f"{path}: there is no {error.args[0]} in the output of this run: run pw.x to its end"
        ) from None
    except (ValueError, AttributeError, np.linalg.LinAlgError) as error:
        reason = " ".join(str(error).split())[:100]
        raise ChargeError(f"{path}: damaged: {reason}") from None


def _parts_of_output(file: BufferedIOBase) -> Iterator[tuple[str, ElementTree.Element]]:
    """Parts of the output by their names, up to the number of electrons; bands follow."""
    names: list[str] = []
    for event, element in ElementTree.iterparse(file, ("start", "end")):
        if event == "start":
            names.append(element.tag)
            continue
        names.pop()
        if names[1:] == ["output"]:
            yield element.tag, element
        elif names[1:] == ["output", "band_structure"]:
            yield f"band_structure/{element.tag}", element
            if element.tag == "nelec":
                return
        elif names[1:2] != ["output"]:
            element.clear()


def _run_of(parts: dict[str, ElementTree.Element]) -> Run:
    from ase import Atoms

    structure, basis = parts["atomic_structure"], parts["basis_set"]
    labels = [_word(atom.get("name"), "name") for atom in structure.iter("atom")]
    symbols = [element_of_label(label) for label in labels]
    if None in symbols or not symbols:
        raise ValueError(
            f"no element {labels[symbols.index(None)][:20]!r}" if labels else "no atoms"
        )
    atoms = Atoms(
        symbols,
        positions=BOHR * np.array([_numbers(atom.text, 3) for atom in structure.iter("atom")]),
        cell=BOHR * np.array([_numbers(structure.findtext(f"cell/a{k}"), 3) for k in (1, 2, 3)]),
        pbc=True,
    )
    alat = _number(structure.get("alat"))
    vectors = (basis.findtext(f"reciprocal_lattice/b{k}") for k in (1, 2, 3))
    reciprocal = np.array([_numbers(vector, 3) for vector in vectors])
    ecutrho = _RY * _number(basis.findtext("ecutrho"))
    if not atoms.get_volume() > 0 or not min(alat, ecutrho) > 0:
        raise ValueError("the cell, alat and ecutrho must not be zero")
    expected = alat * BOHR * np.linalg.inv(atoms.cell.array).T
    if not np.allclose(reciprocal, expected, rtol=0, atol=1e-6):
        raise ValueError("the reciprocal cell is not that of the cell")
    grid = basis.find("fft_grid")
    nx, ny, nz = (int(_word(None if grid is None else grid.get(f"nr{k}"), "nr")) for k in (1, 2, 3))
    return Run(
        atoms,
        labels,
        types_of_labels(labels),
        alat,
        reciprocal,
        ecutrho,
        _word(basis.findtext("gamma_only"), "gamma_only") == "true",
        int(_word(basis.findtext("ngm"), "ngm")),
        (nx, ny, nz),
        _n_spin(parts),
        _number(parts["band_structure/nelec"].text),
        _functional(parts),
    )


def _functional(parts: dict[str, ElementTree.Element]) -> str:
    dft = parts.get("dft")
    return "" if dft is None else " ".join((dft.findtext("functional") or "").split())


def _n_spin(parts: dict[str, ElementTree.Element]) -> int:
    if _word(parts["band_structure/noncolin"].text, "noncolin") == "true":
        # a run with spin-orbit coupling may have no magnetisation
        found = parts["magnetization"].findtext("do_magnetization") or ""
        return 4 if found.strip() == "true" else 1
    return 2 if _word(parts["band_structure/lsda"].text, "lsda") == "true" else 1


def _word(text: str | None, name: str) -> str:
    if text is None:
        raise ValueError(f"there is no {name}")
    return text.strip()


def _numbers(text: str | None, count: int) -> list[float]:
    numbers = [float(word) for word in (text or "").split()]
    if len(numbers) != count or not all(map(math.isfinite, numbers)):
        raise ValueError(f"expected {count} numbers, found {(text or '').strip()[:40]!r}")
    return numbers


def _number(text: str | None) -> float:
    return _numbers(text, 1)[0]
