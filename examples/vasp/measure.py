#!/usr/bin/env python
# SPDX-License-Identifier: LGPL-3.0-or-later
"""Measure what a predicted density is worth in VASP: energy, bands, forces, iterations.

measure.py -m charge.pb --vasp "mpirun -n 16 vasp_std" RUN -o OUT

RUN holds INCAR, KPOINTS, POSCAR and POTCAR of one structure. OUT gets five runs of it:
  scf       from superposed atoms (ICHARG = 2), to self-consistency: the truth of the others
  true      one diagonalisation at its own CHGCAR (ICHARG = 11): the errors that are none
  fixed     one at the prediction (ICHARG = 11)
  atoms     one at superposed atoms (ICHARG = 12)
  start     from the prediction (ICHARG = 1), to self-consistency
and table.txt. A folder that has a complete vasprun.xml is not run again.
"""

from __future__ import annotations

import argparse
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import numpy as np

INPUTS = ("INCAR", "KPOINTS", "POSCAR", "POTCAR")
# Tags of each run. Without a WAVECAR all of them begin with the same wave functions.
COMMON = {"ISTART": "0", "LWAVE": ".FALSE.", "NSW": "0", "IBRION": "-1"}
RUNS = {
    "scf": {"ICHARG": "2", "LCHARG": ".TRUE."},
    "true": {"ICHARG": "11", "LCHARG": ".FALSE."},
    "fixed": {"ICHARG": "11", "LCHARG": ".FALSE."},
    "atoms": {"ICHARG": "12", "LCHARG": ".FALSE."},
    "start": {"ICHARG": "1", "LCHARG": ".FALSE."},
}


class Failed(Exception):
    """A line that says what is wrong."""


def with_tags(incar, tags):
    """The text of an INCAR with other tags, each of which stands in it once."""
    for name in tags:
        incar = re.sub(rf"(?im)(^|;)[ \t]*{name}[ \t]*=[^;#!\n]*", r"\1", incar)
    lines = "".join(f"{name} = {value}\n" for name, value in tags.items())
    return f"{incar.rstrip()}\n{lines}"


def read_vasprun(path):
    """Energy (eV, for sigma to 0), forces (eV/A), bands (eV) and iterations of a vasprun.xml.

    Returns
    -------
    dict
        "energy"; "forces" (natoms, 3) or None; "bands" and "occupations" (nspin, nk, nbands);
        "iterations".
    """
    try:
        last = ElementTree.parse(path).getroot().findall("calculation")[-1]
        spins = last.findall("eigenvalues/array/set/set")
        bands = [
            [[r.text.split() for r in k.findall("r")] for k in spin.findall("set")]
            for spin in spins
        ]
        levels = np.array(bands, float)
        forces = last.find("varray[@name='forces']")
        free = _energies(last)["e_fr_energy"]
        # of the run's own block VASP's versions make different things; ase reads it so, too
        step = _energies(last.findall("scstep")[-1])
        return {
            "energy": free + step["e_0_energy"] - step["e_fr_energy"],
            "forces": None if forces is None else _rows(forces),
            "bands": levels[..., 0],
            "occupations": levels[..., 1],
            "iterations": len(last.findall("scstep")),
        }
    except (OSError, ElementTree.ParseError, KeyError, IndexError, ValueError) as error:
        raise Failed(f"{path}: not that of a finished run ({error!r})") from None


def _energies(element):
    return {i.get("name"): float(i.text) for i in element.findall("energy/i")}


def _rows(varray):
    return np.array([v.text.split() for v in varray.findall("v")], float)


def gap(run):
    """Smallest unoccupied level less the largest occupied one, eV; 0 of a metal."""
    occupied = run["occupations"] > 0.5 * run["occupations"].max()
    return max(0.0, float(run["bands"][~occupied].min() - run["bands"][occupied].max()))


def row(name, run, truth, n_atoms):
    """Errors of a run, as a row of the table."""
    occupied = truth["occupations"] > 0.5 * truth["occupations"].max()
    off = 1e3 * np.abs(run["bands"] - truth["bands"])[occupied]
    cells = [
        f"{1e3 * (run['energy'] - truth['energy']) / n_atoms:.3f}",
        f"{off.mean():.2f} / {off.max():.2f}",
        f"{1e3 * (gap(run) - gap(truth)):.1f}",
    ]
    if run["forces"] is None or truth["forces"] is None:
        cells.append("-")
    else:
        miss = 1e3 * np.linalg.norm(run["forces"] - truth["forces"], axis=1)
        cells.append(f"{miss.mean():.2f} / {miss.max():.2f}")
    return [name, *cells, str(run["iterations"])]


HEAD = ["run", "E, meV/atom", "bands MAE / max, meV", "gap, meV", "forces mean / max, meV/A",
        "iterations"]  # fmt: skip


def table(runs, n_atoms):
    """All runs against the self-consistent one."""
    rows = [HEAD, *(row(name, run, runs["scf"], n_atoms) for name, run in runs.items())]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ("  ".join(map(str.rjust, cells, widths)) for cells in rows)
    return "\n".join(lines) + "\n"


def run_vasp(folder, source, tags, command, charge=None):
    """Run VASP in a folder of its own, unless it has done so; what its vasprun.xml says."""
    result = folder / "vasprun.xml"
    if not result.exists():
        folder.mkdir(parents=True, exist_ok=True)
        for name in INPUTS[1:]:
            shutil.copy(source / name, folder)
        incar = (source / "INCAR").read_text()
        (folder / "INCAR").write_text(with_tags(incar, {**COMMON, **tags}))
        if charge:
            shutil.copy(charge, folder / "CHGCAR")
        with open(folder / "vasp.out", "w") as output:
            done = subprocess.run(
                shlex.split(command), cwd=folder, stdout=output, stderr=subprocess.STDOUT
            )
        if done.returncode:
            raise Failed(f"{folder}/vasp.out: {command} ended with status {done.returncode}")
    return read_vasprun(result)


def predict(models, augmentation, like, output):
    """Predict on the grid of a CHGCAR, scaled to its electrons."""
    from deepmd_charge import read_density
    from deepmd_charge.cli.main import main as deepmd_charge

    n_electrons = f"{read_density(like).n_electrons:.6f}"
    flags = ["-m", *models, "-s", like, "--like", like, "--electrons", n_electrons]
    flags += ["--augmentation", *augmentation] if augmentation else []
    if deepmd_charge(["predict", *map(str, flags), "-o", str(output)]):
        raise Failed(f"{output}: was not predicted")


def measure(args):
    """All runs, and the table."""
    missing = [name for name in INPUTS if not (args.run / name).exists()]
    if missing:
        raise Failed(f"{args.run}: there is no {missing[0]}")
    from ase.io import read

    n_atoms = len(read(args.run / "POSCAR", format="vasp"))
    truth = args.output / "scf" / "CHGCAR"
    predicted = args.output / "CHGCAR_pred"
    charges = {"true": truth, "fixed": predicted, "start": predicted}
    runs = {}
    for name, tags in RUNS.items():
        print(f"{args.output / name}: {args.vasp}", flush=True)
        folder = args.output / name
        runs[name] = run_vasp(folder, args.run, tags, args.vasp, charges.get(name))
        if name == "scf" and not predicted.exists():
            predict(args.model, args.augmentation, truth, predicted)
    text = table(runs, n_atoms)
    (args.output / "table.txt").write_text(text)
    print(text, end="")


def main(argv=None):
    """Run the command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="folder with INCAR, ..., POTCAR")
    parser.add_argument("-m", "--model", nargs="+", required=True, help="frozen model, or several")
    parser.add_argument("--vasp", required=True, metavar="COMMAND", help="what runs VASP")
    parser.add_argument("-o", "--output", type=Path, default=Path("measured"), metavar="OUT")
    parser.add_argument(
        "--augmentation",
        nargs="+",
        default=[],
        metavar="CHGCAR",
        help="CHGCARs, best those of the training, whose spherical PAW occupancies are averaged",
    )
    try:
        measure(parser.parse_args(argv))
    except Failed as error:
        sys.exit(f"measure.py: {error}")


if __name__ == "__main__":
    main()
