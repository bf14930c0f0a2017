# SPDX-License-Identifier: LGPL-3.0-or-later
"""What pw.x writes for a run before its first iteration, and what of that can be had without it.

pw.x with no iteration of self-consistency writes, in a second or so, ``data-file-schema.xml``,
the superposed density in its own order of waves, and of PAW the occupancies of free atoms
(``paw.txt``).
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

from ..errors import ChargeError
from ..grid.grid import fft_size
from ..grid.waves import shape_for, sphere
from ..io.quantum_espresso import SCHEMA, Cutoff, Run, read_run
from ..typing import PathLike, Shape
from ..units import BOHR
from .input import PwInput, parse_input
from .potentials import Potential
from .program import Program

__all__ = ["check_method", "check_same_structure", "dry_run", "electrons_of", "waves_without_pw"]

_SAME = 1e-6  # A, between what is read from an input and what pw.x made of it
_TAKEN_AWAY = dict.fromkeys(
    ("wfcdir", "max_seconds", "tprnfor", "tstress", "lelfield", "lberry", "nstep")
)


def dry_run(pw: PwInput, program: Program, outdir: Path, output: PathLike) -> Run:
    """Let pw.x make the files of a run without an iteration.

    Parameters
    ----------
    pw : PwInput
    program : Program
    outdir : Path
        Where its prefix.save is to be.
    output : str or os.PathLike
        File of what pw.x prints, which stays, with the input (.in), where that fails.

    Returns
    -------
    Run

    Raises
    ------
    ChargeError
        If pw.x fails, or understands the structure otherwise than this package does.
    """
    try:
        program.run(_input_of(pw, outdir), outdir, output)
    except ChargeError:
        raise
    except BaseException:
        _remove_log(Path(output))
        raise
    _remove_log(Path(output))
    schema = outdir / Path(pw.save).name / SCHEMA
    if not schema.is_file():
        raise ChargeError(
            f"{pw.path}: {program.command} ended well and wrote no {SCHEMA}: give pw.x (--pw PATH)"
        )
    run = read_run(str(schema))
    if pw.cards["ATOMIC_POSITIONS"].unit() != "crystal_sg":
        check_same_structure(pw, run)
    return run


def _remove_log(output: Path) -> None:
    for file in (output, output.with_name(f"{output.name}.in")):
        file.unlink(missing_ok=True)


def _input_of(pw: PwInput, outdir: Path) -> str:
    """The input with no iteration, in another outdir, and at one k point."""
    control = {
        **_TAKEN_AWAY,
        "calculation": "'scf'",
        "restart_mode": "'from_scratch'",
        "disk_io": "'low'",
        "outdir": _quoted(str(outdir)),
        "prefix": _quoted(os.path.basename(pw.prefix)),  # "a/si" is si in the folder a
        "pseudo_dir": _quoted(os.path.abspath(pw.pseudo_dir)),
    }
    electrons = {
        "electron_maxstep": "0",
        "scf_must_converge": ".false.",
        "startingpot": "'atomic'",
        "startingwfc": "'random'",
    }
    settings: dict[str, Mapping[str, str | None]] = {"control": control, "electrons": electrons}
    occupations = pw.word("system", "occupations")
    if occupations.startswith("tetrahedra"):
        settings["system"] = {"occupations": "'smearing'", "degauss": "0.01"}
    text = pw.with_settings(settings)
    if pw.gamma_only or occupations == "from_input":
        return text
    return _with_one_k_point(parse_input(text, pw.path))


def _with_one_k_point(pw: PwInput) -> str:
    """The waves of the density do not depend on the k points, nor does the superposition."""
    card, lines = pw.cards["K_POINTS"], pw.text.split("\n")
    taken = {card.line, *(number for number, _ in card.rows)}
    kept = [line for number, line in enumerate(lines, 1) if number not in taken]
    return "\n".join([*kept, "K_POINTS automatic", "1 1 1 0 0 0", ""])


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def check_same_structure(pw: PwInput, run: Run) -> None:
    """Refuse an input of which pw.x makes another structure.

    Raises
    ------
    ChargeError
        If a vector of the cell or a position differs by more than 1e-6 A, or an element does.
    """
    mine, its = pw.atoms, run.atoms
    if list(mine.numbers) != list(its.numbers):
        raise ChargeError(f"{pw.path}: pw.x reads other elements here: please report this input")
    for name, one, other in (
        ("cell", mine.cell.array, its.cell.array),
        ("atoms", mine.positions, its.positions),
    ):
        apart = float(np.abs(one - other).max())
        if apart > _SAME:
            raise ChargeError(
                f"{pw.path}: pw.x reads another structure here, its {name} are up to {apart:.2g} A"
                " elsewhere: please report this input, and give cell and positions in angstrom"
            )


def check_method(schema: PathLike, path: str) -> None:
    """Refuse a run of which a density does not tell all, by its data-file-schema.xml.

    Parameters
    ----------
    schema : str or os.PathLike
    path : str
        The input, for complaints.

    Raises
    ------
    ChargeError
        If the run needs more than a density: DFT+U, or exact exchange.
    """
    dft = ElementTree.parse(schema).getroot().find("output/dft")
    if dft is None:
        return
    for part, name in (("dftU", "DFT+U"), ("hybrid", "hybrid functional")):
        if dft.find(part) is not None:
            raise ChargeError(
                f"{path}: a run with {name}: the density is not all that decides such a run"
            )


def waves_without_pw(pw: PwInput) -> tuple[Cutoff, Shape]:
    """Waves of the density of a run, by pw.x's rule, and a grid that holds them.

    Parameters
    ----------
    pw : PwInput

    Returns
    -------
    cutoff : Cutoff
    shape : tuple of int
        As the input has it, where it gives all of nr1, nr2 and nr3.

    Raises
    ------
    ChargeError
        If the input tells no structure, or a grid that does not hold the waves.
    """
    cell = pw.atoms.cell.array / BOHR
    alat = pw.alat
    reciprocal = alat * np.linalg.inv(cell).T
    miller = sphere(reciprocal, pw.ecutrho / (2 * np.pi / alat) ** 2, pw.gamma_only)
    least = shape_for(miller)
    nx, ny, nz = pw.nr if all(pw.nr) else map(fft_size, least)
    if (np.array([nx, ny, nz]) < least).any():
        raise ChargeError(
            f"{pw.path}: nr1, nr2, nr3 = {nx}, {ny}, {nz} cannot hold the waves up to ecutrho:"
            " leave them out, or give at least " + ", ".join(map(str, least))
        )
    return Cutoff(pw.ecutrho, pw.gamma_only, alat, len(miller)), (nx, ny, nz)


def electrons_of(pw: PwInput, potentials: Mapping[str, Potential]) -> float:
    """Electrons of a run: the valences of its potentials less the charge of the cell.

    Raises
    ------
    ChargeError
        If a potential cannot be read, or needs what pw.x alone writes.
    """
    total = -pw.tot_charge
    for label in pw.labels:
        potential = potentials.get(label)
        if potential is None:
            raise ChargeError(
                f"{os.path.join(pw.pseudo_dir, pw.potentials[label])}: cannot be read here, so that"
                " the number of electrons is not known: say where pw.x is (--pw PATH), or correct"
                " pseudo_dir"
            )
        if potential.is_paw:
            raise ChargeError(
                f"{potential.path}: a run with PAW needs paw.txt, too, which pw.x alone writes: say"
                " where pw.x is (--pw PATH)"
            )
        total += potential.valence
    return total
