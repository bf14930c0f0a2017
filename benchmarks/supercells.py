# SPDX-License-Identifier: LGPL-3.0-or-later
"""Compute silicon cells of 32 to 128 atoms with Quantum ESPRESSO, for the size transfer.

    python benchmarks/supercells.py --data DATA -o DATA/supercells

The smallest is the body-centred cell of 32 atoms, whose lattice vectors of 9.5 A
are the longest for this number of atoms; the others are repeats of it. All atoms
are displaced at random like those of ``qe/si``. k points are such that all
cells sample the Brillouin zone as 256 atoms with Gamma do, and the wave cutoff is
low enough for a laptop: what is compared is one and the same DFT on cells of
different size. ``DATA/qe/pseudo`` holds the pseudopotential.
"""

import argparse
import subprocess
from pathlib import Path

import numpy as np
from ase.build import bulk, make_supercell
from ase.io.cube import read_cube
from ase.units import Bohr

from deepmd_charge import Density, write_density

LATTICE, DISPLACEMENT = 5.468, 0.076  # A, as qe/si
WAVE_CUTOFF = 8  # Ry
BODY_CENTRED = [[-1, 1, 1], [1, -1, 1], [1, 1, -1]]  # in cubic cells of 8 atoms
# atoms: (repeats of the body-centred cell, structures)
CELLS = {32: ((1, 1, 1), 10), 64: ((1, 1, 2), 2), 128: ((1, 2, 2), 1)}

INPUT = """&control
 calculation='scf', prefix='x', outdir='./out', pseudo_dir='{pseudo}', disk_io='low'
/
&system
 ibrav=0, nat={n}, ntyp=1, ecutwfc={ecutwfc}, nosym=.true.
/
&electrons
 conv_thr=1e-8, mixing_beta=0.7
/
ATOMIC_SPECIES
Si 28.085 Si.pbe-rrkj.UPF
CELL_PARAMETERS angstrom
{cell}
ATOMIC_POSITIONS angstrom
{positions}
{k}
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
    parser.add_argument(
        "--atoms", type=int, nargs="+", choices=CELLS, default=list(CELLS), help="which sizes"
    )
    parser.add_argument("--ranks", type=int, default=1, help="MPI ranks of pw.x")
    args = parser.parse_args()
    for n_atoms in args.atoms:
        repeats, count = CELLS[n_atoms]
        for k in range(1, count + 1):
            folder = args.output / f"{n_atoms}-{k}"
            if not (folder / "CHGCAR.gz").exists():
                compute(folder, repeats, 100 * n_atoms + k, args)
                print(folder, flush=True)


def compute(folder, repeats, seed, args):
    """One structure: self-consistent density, as a CHGCAR."""
    atoms = make_supercell(bulk("Si", "diamond", LATTICE, cubic=True), BODY_CENTRED)
    atoms = atoms.repeat(repeats)
    rng = np.random.default_rng(seed)
    atoms.positions += rng.normal(scale=DISPLACEMENT, size=atoms.positions.shape)
    folder.mkdir(parents=True, exist_ok=True)
    text = INPUT.format(
        pseudo=(args.data / "qe" / "pseudo").resolve(),
        n=len(atoms),
        ecutwfc=WAVE_CUTOFF,
        cell="\n".join("%.10f %.10f %.10f" % tuple(row) for row in atoms.cell.array),
        positions="\n".join("Si %.10f %.10f %.10f" % tuple(r) for r in atoms.positions),
        k=k_points([2 // r for r in repeats]),
    )
    run(folder, text, "scf", ["mpirun", "-n", str(args.ranks), "--allow-run-as-root", "--oversubscribe", "pw.x"])
    run(folder, POST, "pp", ["pp.x"])
    with open(folder / "rho.cube") as file:
        values = read_cube(file)["data"] / Bohr**3
    write_density(folder / "CHGCAR.gz", Density(atoms, values))
    (folder / "rho.cube").unlink()


def k_points(mesh):
    """The card of a mesh that holds Gamma; of Gamma alone a faster one."""
    if mesh == [1, 1, 1]:
        return "K_POINTS gamma"
    return f"K_POINTS automatic\n{mesh[0]} {mesh[1]} {mesh[2]} 0 0 0"


def run(folder, text, name, command):
    """One program of Quantum ESPRESSO, its input and output kept."""
    (folder / f"{name}.in").write_text(text)
    with open(folder / f"{name}.in") as stdin, open(folder / f"{name}.out", "w") as out:
        subprocess.run(command, cwd=folder, stdin=stdin, stdout=out, check=True)


if __name__ == "__main__":
    main()
