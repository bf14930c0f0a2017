# SPDX-License-Identifier: LGPL-3.0-or-later
"""Runs of Quantum ESPRESSO's pw.x and what they give."""

import re
import subprocess
from dataclasses import dataclass
from xml.etree import ElementTree

import numpy as np
from ase.units import Bohr, Hartree

PREFIX = "x"
SAVE = f"{PREFIX}.save"
POTENTIAL = "Si.pbe-rrkj.UPF"
# More often than that a program that crashes is not run anew.
ATTEMPTS = 3

INPUT = """&control
 calculation='scf', prefix='{prefix}', outdir='.', pseudo_dir='{pseudo}', tprnfor=.true.,
 disk_io='low'
/
&system
 ibrav=0, nat={n}, ntyp=1, ecutwfc={ecutwfc}, nosym=.true., {occupations}
/
&electrons
 {electrons}
/
ATOMIC_SPECIES
Si 28.085 {potential}
CELL_PARAMETERS angstrom
{cell}
ATOMIC_POSITIONS angstrom
{positions}
{k}
"""
CONVERGE = "conv_thr=1d-8, mixing_beta=0.7"
# One diagonalisation at the density that is there, from the wave functions that are there.
ONCE = (
    "electron_maxstep=1, scf_must_converge=.false., startingpot='file', startingwfc='file',"
    " diago_thr_init=1d-10"
)


@dataclass(frozen=True)
class Result:
    """What a run gives.

    Attributes
    ----------
    energy : float
        Per atom, eV.
    bands : np.ndarray
        (k points, half the electrons) the lowest bands, eV.
    forces : np.ndarray
        (atoms, 3) eV/A
    seconds : float
        CPU time.
    """

    energy: float
    bands: np.ndarray
    forces: np.ndarray
    seconds: float


def run(folder, atoms, ecutwfc, mesh, metal, electrons, pseudo, name="pw"):
    """Run pw.x in a folder; input and output are kept as NAME.in and NAME.out.

    Parameters
    ----------
    folder : Path
    atoms : ase.Atoms
    ecutwfc : float
        Ry
    mesh : list of int
        Of k points, which are shifted by half of their distance unless there is one.
    metal : bool
        Whether occupations are smeared.
    electrons : str
        Settings of self-consistency.
    pseudo : Path
        Folder of the potential.
    name : str

    Returns
    -------
    Result
    """
    shifted = "K_POINTS automatic\n{} {} {} 1 1 1"
    text = INPUT.format(
        prefix=PREFIX,
        pseudo=pseudo.resolve(),
        n=len(atoms),
        ecutwfc=ecutwfc,
        occupations="occupations='smearing', smearing='m-v', degauss=0.02" if metal else "",
        electrons=electrons,
        potential=POTENTIAL,
        cell=rows(atoms.cell.array),
        positions=rows(atoms.positions, "Si "),
        # the Gamma point alone has a faster way
        k="K_POINTS gamma" if mesh == [1, 1, 1] else shifted.format(*mesh),
    )
    (folder / f"{name}.in").write_text(text)
    for _ in range(ATTEMPTS):
        with open(folder / f"{name}.out", "w") as out:
            done = subprocess.run(
                ["pw.x", "-in", f"{name}.in"], cwd=folder, stdout=out, stderr=subprocess.STDOUT
            )
        output = (folder / f"{name}.out").read_text()
        if done.returncode == 0 and "JOB DONE" in output:
            return result(folder, output)
    raise SystemExit(f"pw.x failed: see {folder / name}.out")


def result(folder, output):
    """Read what a run has left."""
    schema = ElementTree.parse(folder / SAVE / "data-file-schema.xml").getroot().find("output")
    n_atoms = int(schema.find("atomic_structure").get("nat"))
    occupied = round(float(schema.findtext("band_structure/nelec")) / 2)
    levels = [numbers(e.text)[:occupied] for e in schema.iter("eigenvalues")]
    return Result(
        energy=Hartree * float(schema.findtext("total_energy/etot")) / n_atoms,
        bands=Hartree * np.array(levels),
        forces=Hartree / Bohr * numbers(schema.findtext("forces")).reshape(-1, 3),
        seconds=cpu_seconds(output),
    )


def cpu_seconds(output):
    """What pw.x counts at its end, such as "PWSCF : 1m 4.20s CPU"."""
    time = re.search(r"PWSCF +: +(?:(\d+)h)? *(?:(\d+)m)? *([\d.]+)?s? +CPU", output)
    hours, minutes, seconds = (float(part or 0) for part in time.groups())
    return 3600 * hours + 60 * minutes + seconds


def numbers(text):
    return np.array(text.split(), float)


def rows(vectors, label=""):
    """Lines of three numbers."""
    return "\n".join(label + " ".join(f"{x:.12f}" for x in vector) for vector in vectors)
