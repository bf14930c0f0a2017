# SPDX-License-Identifier: LGPL-3.0-or-later
"""The input of pw.x: what it says of a run, and the same input with other settings."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from ..atoms.species import ARRAY, element_of_label, types_of_labels
from ..errors import ChargeError
from ..typing import Floats, PathLike
from ..units import BOHR
from .cards import InputText, find_cards
from .expressions import evaluate
from .lattices import celldm_of, lattice
from .namelists import find_namelists

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["PwInput", "parse_input", "read_input"]

_LENGTHS, _COSINES = ("a", "b", "c"), ("cosab", "cosac", "cosbc")


def read_input(path: PathLike) -> PwInput:
    """Read an input of pw.x.

    Parameters
    ----------
    path : str or os.PathLike

    Returns
    -------
    PwInput

    Raises
    ------
    ChargeError
        If it cannot be read, or is none.
    """
    try:
        text = Path(path).read_text(errors="replace")
    except OSError as error:
        raise ChargeError(f"{path}: {error.strerror or error}") from None
    return parse_input(text, os.fspath(path))


def parse_input(text: str, path: str) -> PwInput:
    """Make the input of its text; see ``read_input``."""
    text = text.replace("\r\n", "\n")
    namelists = find_namelists(text, path)
    missing = [f"&{name.upper()}" for name in ("control", "system") if name not in namelists]
    if missing:
        raise ChargeError(f"{path}: there is no {missing[0]}: give an input of pw.x")
    last = max(namelists.values(), key=lambda namelist: namelist.end)
    return PwInput(path, text, namelists, find_cards(text, last.end))


class PwInput(InputText):
    """An input of pw.x, and what it says of the run; see :class:`.InputText`."""

    # the run

    @property
    def calculation(self) -> str:
        """str: Such as "scf"."""
        return self.word("control", "calculation", "scf").lower()

    @property
    def prefix(self) -> str:
        """str: What the names of its files begin with."""
        return self.word("control", "prefix", "pwscf")

    @property
    def outdir(self) -> str:
        """str: Folder of its files; as all paths of the input relative to where pw.x is run."""
        default = os.environ.get("ESPRESSO_TMPDIR", "").strip() or "./"
        return self.word("control", "outdir", default) or "./"

    @property
    def save(self) -> str:
        """str: The folder prefix.save."""
        return os.path.normpath(os.path.join(self.outdir, f"{self.prefix}.save"))

    @property
    def pseudo_dir(self) -> str:
        """str: Folder of its potentials."""
        home = os.path.join(os.environ.get("HOME", ""), "espresso", "pseudo")
        return self.word("control", "pseudo_dir", os.environ.get("ESPRESSO_PSEUDO", "") or home)

    @property
    def ecutwfc(self) -> float:
        """float: Ry."""
        ecutwfc = self.number("system", "ecutwfc")
        if not ecutwfc > 0:
            raise ChargeError(f"{self.path}: there is no ecutwfc in &SYSTEM: add it, in Ry")
        return ecutwfc

    @property
    def ecutrho(self) -> float:
        """float: The largest squared length of a wave of the density, Ry."""
        ecutrho = self.number("system", "ecutrho")
        return ecutrho if ecutrho > 0 else 4.0 * self.ecutwfc

    @property
    def n_spin(self) -> int:
        """int: 1, 2 with a collinear magnetisation, 4 for a non-collinear run."""
        return 4 if self.flag("system", "noncolin") else self.integer("system", "nspin", 1)

    @property
    def nr(self) -> tuple[int, int, int]:
        """(int, int, int): The grid for fast Fourier transforms, zeros where pw.x chooses it."""
        nr1, nr2, nr3 = (self.integer("system", f"nr{k}") for k in (1, 2, 3))
        return nr1, nr2, nr3

    @property
    def tot_charge(self) -> float:
        """float: Electrons that the cell lacks."""
        return self.number("system", "tot_charge")

    @property
    def gamma_only(self) -> bool:
        """bool: Whether only the Gamma point is used, with the tricks for it."""
        card = self.cards.get("K_POINTS")
        return card is None or "GAMMA" in card.header

    @cached_property
    def potentials(self) -> dict[str, str]:
        """Files of the potentials by the labels of the atoms, a dict."""
        n_types = self.integer("system", "ntyp")
        rows = self.rows("ATOMIC_SPECIES", n_types, 3)
        return {words[0]: words[2] for _, words in rows}

    # the structure

    @property
    def labels(self) -> list[str]:
        """Labels of the atoms, as they stand in ATOMIC_POSITIONS."""
        return [words[0] for _, words in self.rows("ATOMIC_POSITIONS", self._n_atoms, 4)]

    @cached_property
    def cell(self) -> Floats:
        """np.ndarray: (3, 3) cell vectors in rows, A."""
        try:
            return self._cell_and_alat[0] * BOHR
        except ChargeError as error:
            message = str(error)
            raise ChargeError(
                message if message.startswith(self.path) else f"{self.path}: {message}"
            ) from None

    @property
    def alat(self) -> float:
        """float: Unit of lengths, bohr: celldm(1), A, or the length of the first cell vector."""
        return self._cell_and_alat[1]

    @cached_property
    def atoms(self) -> Atoms:
        """ase.Atoms: The structure, periodic; labels that tell atoms apart name their types.

        Raises
        ------
        ChargeError
            If the input does not tell it, or by a space group, which pw.x alone evaluates.
        """
        from ase import Atoms

        card = self.card("ATOMIC_POSITIONS")
        if card.unit() == "crystal_sg":
            raise ChargeError(
                f"{self.path}: positions of a space group (crystal_sg) are completed by pw.x alone:"
                " give the command of pw.x, or all positions (crystal)"
            )
        cell = self.cell
        rows = self.rows("ATOMIC_POSITIONS", self._n_atoms, 4)
        labels = [words[0] for _, words in rows]
        symbols = self._elements(labels)
        places = np.array([self._position(line, words) for line, words in rows]).reshape(-1, 3)
        unit = {"bohr": BOHR, "angstrom": 1.0}.get(card.unit(), self.alat * BOHR)
        positions = places @ cell if card.unit() == "crystal" else places * unit
        atoms = Atoms(symbols, positions=positions, cell=cell, pbc=True)
        types = types_of_labels(labels)
        if types:
            atoms.set_array(ARRAY, types, dtype="U32")
        return atoms

    def _elements(self, labels: list[str]) -> list[str]:
        symbols = [element_of_label(label) for label in labels]
        for label, symbol in zip(labels, symbols, strict=True):
            if symbol is None:
                raise ChargeError(
                    f"{self.path}: {label!r} in ATOMIC_POSITIONS names no element: call atoms Fe,"
                    " or Fe1, Fe2, ..."
                )
            if label not in self.potentials:
                raise ChargeError(f"{self.path}: {label!r} is not in ATOMIC_SPECIES: add it there")
        return [symbol for symbol in symbols if symbol]

    def _position(self, line: int, words: list[str]) -> list[float]:
        try:
            return [evaluate(word) for word in words[1:4]]
        except ValueError as error:
            raise ChargeError(f"{self.path}: line {line}: {error}") from None

    @property
    def _n_atoms(self) -> int:
        return self.integer("system", "nat")

    @cached_property
    def _cell_and_alat(self) -> tuple[Floats, float]:
        """Cell vectors in rows and the unit of lengths, bohr."""
        ibrav = self.get("system", "ibrav")
        if ibrav is None and not self.integer("system", "space_group"):
            raise ChargeError(f"{self.path}: there is no ibrav in &SYSTEM: add it")
        celldm = self._celldm(self.integer("system", "ibrav"))
        if self.integer("system", "ibrav"):
            return lattice(self.integer("system", "ibrav"), celldm), celldm[0]
        card = self.card("CELL_PARAMETERS")
        rows = self.rows("CELL_PARAMETERS", 3, 3)
        try:
            vectors = np.array([[evaluate(word) for word in words[:3]] for _, words in rows])
        except ValueError as error:
            raise ChargeError(f"{self.path}: CELL_PARAMETERS: {error}") from None
        unit = card.unit()
        if unit in ("bohr", "angstrom") and celldm[0]:
            raise ChargeError(
                f"{self.path}: CELL_PARAMETERS in {unit}, and celldm(1) or A: leave that out"
            )
        if unit in ("bohr", "angstrom"):
            scale = 1.0 if unit == "bohr" else 1.0 / BOHR
        elif unit == "alat" and not celldm[0]:
            raise ChargeError(
                f"{self.path}: CELL_PARAMETERS in alat, which celldm(1) or A must tell"
            )
        else:
            scale = celldm[0] or 1.0
        alat = celldm[0] or float(np.linalg.norm(vectors[0])) * scale
        return vectors * scale, alat

    def _celldm(self, ibrav: int) -> list[float]:
        """The six numbers of celldm, zeros where nothing is given."""
        system = self.namelists["system"]
        given = {k: v for k, v in system.array("celldm").items() if v}
        lengths = [self.number("system", key) for key in _LENGTHS]
        if given and lengths[0]:
            raise ChargeError(f"{self.path}: both celldm and A are given: give one of them")
        if lengths[0]:
            cosines = [self.number("system", key) for key in _COSINES]
            return celldm_of(ibrav, [length / BOHR for length in lengths], cosines)
        if any(isinstance(v, (str, bool)) or not 1 <= k <= 6 for k, v in given.items()):
            raise ChargeError(
                f"{self.path}: celldm in &SYSTEM: give numbers, celldm(1) to celldm(6)"
            )
        return [float(given.get(k, 0.0)) for k in range(1, 7)]
