# SPDX-License-Identifier: LGPL-3.0-or-later
"""Small runs of Quantum ESPRESSO, for tests that have pw.x and pp.x, and for those that have not.

python tests/quantum_espresso.py     makes tests/data/qe anew (by Debian's 6.7, potentials of its
                                     package quantum-espresso-data)
"""

import gzip
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np

POTENTIALS = Path("/usr/share/espresso/pseudo")
DATA = Path(__file__).parent / "data" / "qe"
PW, PP = shutil.which("pw.x"), shutil.which("pp.x")

FCC = 2.715 * (np.ones((3, 3)) - np.eye(3))
HEXAGONAL = np.array([[2.86, 0, 0], [-1.43, 1.43 * 3**0.5, 0], [0, 0, 4.7]])
TRICLINIC = np.array([[2.9, 0.2, -0.1], [-1.1, 3.1, 0.3], [0.4, 0.5, 3.4]])
BCC = 1.4 * np.array([[1, 1, 1], [-1, 1, 1], [-1, -1, 1]])

SI, AL, CARBON, FE = "Si.pz-vbc.UPF", "Al.pz-vbc.UPF", "C.pz-rrkjus.UPF", "Fe.pz-nd-rrkjus.UPF"
METAL = "occupations = 'smearing', degauss = 0.05"
PLACES = [(1 / 3, 2 / 3, 0.26), (0.7, 0.3, 0.75)]
PAIR = [(0.01, 0.02, -0.01), (0.26, 0.24, 0.25)]
K, GAMMA = "K_POINTS automatic\n2 2 2 1 0 1", "K_POINTS gamma"

# Cell (A), label of the atoms and potential, positions, settings, k points.
RUNS = {
    "si": (FCC, "Si", SI, PAIR, "ecutwfc = 5", GAMMA),
    "al": (HEXAGONAL, "Al", AL, PLACES, f"ecutwfc = 4, {METAL}", K),
    "fe": (BCC, "Fe1", FE, [(0, 0, 0)], f"ecutwfc = 10, ecutrho = 50, nspin = 2, {METAL}, "
           "starting_magnetization(1) = 0.5", K),
}  # fmt: skip
MORE_RUNS = {
    "si-k": (TRICLINIC, "Si", SI, PAIR, f"ecutwfc = 8, {METAL}", K),
    "si-gamma": (TRICLINIC, "Si", SI, PAIR, f"ecutwfc = 8, {METAL}", GAMMA),
    "carbon": (0.66 * FCC, "C", CARBON, PAIR, "ecutwfc = 12, ecutrho = 80", GAMMA),
    "non-collinear": (BCC, "Fe1", FE, [(0, 0, 0)], f"ecutwfc = 10, ecutrho = 50, {METAL}, "
                      "noncolin = .true., starting_magnetization(1) = 0.5, angle1(1) = 40", K),
}  # fmt: skip

# Runs of which what they find and print is kept, too, and what they have besides.
PRINTED = {"si": ("ecutwfc = 5", "ecutwfc = 5, nbnd = 7"), "al": ("", ""), "fe": ("", "")}
EVERYTHING = "calculation = 'scf', tprnfor = .true., tstress = .true., verbosity = 'high'"


def run(folder, name, electrons="conv_thr = 1d-8", control="calculation = 'scf'"):
    """Run pw.x in a folder, and return what it prints; its files are in FOLDER/NAME.save."""
    return run_pw(folder, input_text(name, electrons, control))


def run_pw(folder, text):
    """Run pw.x in a folder with a text as its input, and return what it prints."""
    return _run(PW, folder, text)


def input_text(name, electrons="conv_thr = 1d-8", control="calculation = 'scf'"):
    """The input of one of the runs."""
    cell, label, potential, positions, system, k_points = {**RUNS, **MORE_RUNS}[name]
    rows = [f"{label} {x:.15f} {y:.15f} {z:.15f}" for x, y, z in positions]
    return f"""&control
 {control}, prefix = '{name}', outdir = '.', pseudo_dir = '{POTENTIALS}'
/
&system
 ibrav = 0, nat = {len(rows)}, ntyp = 1, {system}
/
&electrons
 {electrons}
/
ATOMIC_SPECIES
{label} 1.0 {potential}
CELL_PARAMETERS angstrom
{"".join(" ".join(f"{x:.15f}" for x in row) + chr(10) for row in cell)}ATOMIC_POSITIONS crystal
{chr(10).join(rows)}
{k_points}
"""


def density_of(folder, name, plot_num=0):
    """What pp.x makes of the density of a run, in e/bohr^3, to ten digits."""
    text = f"""&inputpp
 prefix = '{name}', outdir = '.', filplot = 'plot', plot_num = {plot_num}
/
&plot
 iflag = 3, output_format = 6, fileout = 'plot.cube'
/
"""
    _run(PP, folder, text)
    return parse_plot((folder / "plot").read_text())


def parse_plot(text):
    """Values (nx, ny, nz) of the file that pp.x calls filplot."""
    lines = text.splitlines()
    _, _, _, *shape, n_atoms, n_types = map(int, lines[1].split())
    start = 4 + n_types + n_atoms + (3 if lines[2].split()[0] == "0" else 0)
    values = np.array(" ".join(lines[start:]).split(), float)
    return values.reshape(shape, order="F")


def first_accuracy(output):
    """The first accuracy (Ry) that pw.x estimates."""
    return float(re.search(r"estimated scf accuracy +< +(\S+) Ry", output)[1])


def _run(program, folder, text):
    done = subprocess.run([program], input=text, cwd=folder, capture_output=True, text=True)
    assert "JOB DONE" in done.stdout, done.stdout[-2000:] + done.stderr
    return done.stdout


def main():
    """Make the data of tests without pw.x."""
    for name in RUNS:
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            run(folder, name)
            density_of(folder, name)
            target = DATA / f"{name}.save"
            target.mkdir(parents=True, exist_ok=True)
            for file in ("charge-density.dat", "data-file-schema.xml"):
                pack(folder / f"{name}.save" / file, target / f"{file}.gz")
            pack(folder / "plot", DATA / f"{name}.plot.gz")
    for name, change in PRINTED.items():
        with tempfile.TemporaryDirectory() as folder:
            folder = Path(folder)
            text = input_text(name, control=EVERYTHING).replace(*change)
            (folder / "pw.out").write_text(run_pw(folder, text))
            target = DATA / f"{name}.result"
            target.mkdir(parents=True, exist_ok=True)
            for file in (folder / "pw.out", folder / f"{name}.save" / "data-file-schema.xml"):
                pack(file, target / f"{file.name}.gz")


def pack(source, target):
    target.write_bytes(gzip.compress(source.read_bytes(), 9, mtime=0))


if __name__ == "__main__":
    sys.exit(main())
