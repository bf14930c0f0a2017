# SPDX-License-Identifier: LGPL-3.0-or-later
"""Compute silicon cells of 8 to 64 atoms with Quantum ESPRESSO, for the size transfer.

    python benchmarks/supercells.py --data DATA -o DATA/supercells

The cells are repeats of the cubic one, their atoms displaced at random like those
of ``qe/si``; k points are such that all sample the Brillouin zone as the
64 atoms with Gamma do. ``DATA/qe/pseudo`` holds the pseudopotential.
"""

import argparse
import subprocess
from pathlib import Path

import numpy as np
from ase.build import bulk
from ase.io.cube import read_cube
from ase.units import Bohr

from deepmd_charge import Density, write_density

LATTICE, DISPLACEMENT = 5.468, 0.076  # A, as qe/si
# atoms: (repeats of the cubic cell, structures)
CELLS = {8: ((1, 1, 1), 10), 16: ((1, 1, 2), 2), 32: ((1, 2, 2), 2)}

INPUT = """&control
 calculation='scf', prefix='x', outdir='./out', pseudo_dir='{pseudo}', disk_io='low'
/
&system
 ibrav=0, nat={n}, ntyp=1, ecutwfc=25, nosym=.true.
/
&electrons
 conv_thr=1e-9, mixing_beta=0.7
/
ATOMIC_SPECIES
Si 28.085 Si.pbe-rrkj.UPF
CELL_PARAMETERS angstrom
{cell}
ATOMIC_POSITIONS angstrom
{positions}
K_POINTS automatic
{k[0]} {k[1]} {k[2]} 0 0 0
"""

POST = """&inputpp
 prefix='x', outdir='./out', plot_num=0, filplot='rho'
/
&plot
 nfile=1, filepp(1)='rho', iflag=3, output_format=6, fileout='rho.cube'
/
"""


def main():
    """Run what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder with qe/pseudo")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--ranks", type=int, default=1, help="MPI ranks of pw.x")
    args = parser.parse_args()
    for n_atoms, (repeats, count) in CELLS.items():
        for k in range(1, count + 1):
            folder = args.output / f"{n_atoms}-{k}"
            if not (folder / "CHGCAR.gz").exists():
                compute(folder, repeats, 100 * n_atoms + k, args)
                print(folder, flush=True)


def compute(folder, repeats, seed, args):
    """One structure: self-consistent density, as a CHGCAR."""
    atoms = bulk("Si", "diamond", LATTICE, cubic=True).repeat(repeats)
    rng = np.random.default_rng(seed)
    atoms.positions += rng.normal(scale=DISPLACEMENT, size=atoms.positions.shape)
    folder.mkdir(parents=True, exist_ok=True)
    text = INPUT.format(
        pseudo=(args.data / "qe" / "pseudo").resolve(),
        n=len(atoms),
        cell="\n".join("%.10f %.10f %.10f" % tuple(row) for row in atoms.cell.array),
        positions="\n".join("Si %.10f %.10f %.10f" % tuple(r) for r in atoms.positions),
        k=[2 // r for r in repeats],
    )
    run(folder, text, "scf", ["mpirun", "-n", str(args.ranks), "--allow-run-as-root", "--oversubscribe", "pw.x"])
    run(folder, POST, "pp", ["pp.x"])
    with open(folder / "rho.cube") as file:
        values = read_cube(file)["data"] / Bohr**3
    write_density(folder / "CHGCAR.gz", Density(atoms, values))
    (folder / "rho.cube").unlink()


def run(folder, text, name, command):
    """One program of Quantum ESPRESSO, its input and output kept."""
    (folder / f"{name}.in").write_text(text)
    with open(folder / f"{name}.in") as stdin, open(folder / f"{name}.out", "w") as out:
        subprocess.run(command, cwd=folder, stdin=stdin, stdout=out, check=True)


if __name__ == "__main__":
    main()
