# SPDX-License-Identifier: LGPL-3.0-or-later
"""Compute silicon cells of 32 to 512 atoms, for the size transfer.

    python benchmarks/supercells.py qe --data DATA -o DATA/supercells
    python benchmarks/supercells.py cp2k -o DATA/supercells-cp2k

The smallest is the body-centred cell of 32 atoms, whose lattice vectors of 9.5 A
are the longest for this number of atoms; the others are repeats of it. All atoms
are displaced at random like those of ``qe/si``. k points are such that all cells
sample the Brillouin zone as 256 or 512 atoms with Gamma do: what is compared is one
and the same DFT on cells of different size, cheap enough for a laptop. Quantum
ESPRESSO has plane waves of a low cutoff, and needs the pseudopotential in
``DATA/qe/pseudo``; CP2K a minimal basis, with which 512 atoms take minutes.
"""

import argparse
import itertools
import subprocess
from pathlib import Path

import numpy as np
from ase.build import bulk, make_supercell
from ase.io.cube import read_cube
from ase.units import Bohr

from deepmd_charge import Density, write_density

LATTICE, DISPLACEMENT = 5.468, 0.076  # A, as qe/si
BODY_CENTRED = [[-1, 1, 1], [1, -1, 1], [1, 1, -1]]  # in cubic cells of 8 atoms
REPEATS = {32: (1, 1, 1), 64: (1, 1, 2), 128: (1, 2, 2), 256: (2, 2, 2), 512: (2, 2, 4)}
# structures of each size
COUNTS = {
    "qe": {32: 10, 64: 2, 128: 1},
    "cp2k": {32: 8, 64: 4, 128: 2, 256: 1, 512: 1},
}
# which cell's Gamma point sets the k points of all
FINEST = {"qe": 256, "cp2k": 512}

QE_SCF = """&control
 calculation='scf', prefix='x', outdir='./out', pseudo_dir='{pseudo}', disk_io='low'
/
&system
 ibrav=0, nat={n}, ntyp=1, ecutwfc=8, nosym=.true.
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

QE_POST = """&inputpp
 prefix='x', outdir='./out', plot_num=0, filplot='rho'
/
&plot
 nfile=1, filepp(1)='rho', iflag=3, output_format=6, fileout='rho.cube'
/
"""

CP2K = """&GLOBAL
 PROJECT x
 RUN_TYPE ENERGY
&END
&FORCE_EVAL
 METHOD QS
 &DFT
  BASIS_SET_FILE_NAME BASIS_MOLOPT
  POTENTIAL_FILE_NAME GTH_POTENTIALS
  &MGRID
   CUTOFF 120
   REL_CUTOFF 40
  &END
  &QS
   EPS_DEFAULT 1e-10
  &END
  &SCF
   EPS_SCF 1e-6
   MAX_SCF 60
   &DIAGONALIZATION
   &END
   &MIXING
    METHOD BROYDEN_MIXING
    ALPHA 0.5
   &END
   &PRINT
    &RESTART OFF
    &END
   &END
  &END
  &XC
   &XC_FUNCTIONAL PBE
   &END
  &END
{k}
  &PRINT
   &E_DENSITY_CUBE
    STRIDE 1
   &END
  &END
 &END
 &SUBSYS
  &CELL
{cell}
  &END
  &COORD
{positions}
  &END
  &KIND Si
   BASIS_SET SZV-MOLOPT-SR-GTH
   POTENTIAL GTH-PBE-q4
  &END
 &END
&END
"""


def main():
    """Run what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("code", choices=COUNTS)
    parser.add_argument("--data", type=Path, help="folder with qe/pseudo")
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--atoms", type=int, nargs="+", choices=REPEATS, help="which sizes")
    parser.add_argument("--ranks", type=int, default=1, help="MPI ranks")
    args = parser.parse_args()
    if args.code == "qe" and args.data is None:
        parser.error("qe needs --data")
    counts = COUNTS[args.code]
    for n_atoms in args.atoms or counts:
        for k in range(1, counts.get(n_atoms, 0) + 1):
            folder = args.output / f"{n_atoms}-{k}"
            if not (folder / "CHGCAR.gz").exists():
                compute(folder, n_atoms, k, args)
                print(folder, flush=True)


def compute(folder, n_atoms, number, args):
    """One structure: self-consistent density, as a CHGCAR."""
    repeats = REPEATS[n_atoms]
    atoms = make_supercell(bulk("Si", "diamond", LATTICE, cubic=True), BODY_CENTRED)
    atoms = atoms.repeat(repeats)
    rng = np.random.default_rng(100 * n_atoms + number)
    atoms.positions += rng.normal(scale=DISPLACEMENT, size=atoms.positions.shape)
    mesh = [most // r for most, r in zip(REPEATS[FINEST[args.code]], repeats, strict=True)]
    folder.mkdir(parents=True, exist_ok=True)
    mpirun = ["mpirun", "-n", str(args.ranks), "--allow-run-as-root", "--oversubscribe"]
    cube = {"qe": quantum_espresso, "cp2k": cp2k}[args.code](folder, atoms, mesh, mpirun, args)
    with open(cube) as file:
        values = read_cube(file)["data"] / Bohr**3
    write_density(folder / "CHGCAR.gz", Density(atoms, values))
    cube.unlink()


def quantum_espresso(folder, atoms, mesh, mpirun, args):
    """Run pw.x and pp.x; the Gamma point alone has a faster way."""
    gamma = mesh == [1, 1, 1]
    text = QE_SCF.format(
        pseudo=(args.data / "qe" / "pseudo").resolve(),
        n=len(atoms),
        cell=rows(atoms.cell.array),
        positions=rows(atoms.positions, ["Si"] * len(atoms)),
        k="K_POINTS gamma" if gamma else "K_POINTS automatic\n{} {} {} 0 0 0".format(*mesh),
    )
    run(folder, text, "scf", [*mpirun, "pw.x"])
    run(folder, QE_POST, "pp", ["pp.x"])
    return folder / "rho.cube"


def cp2k(folder, atoms, mesh, mpirun, args):
    """Run CP2K, with a list of k points unless Gamma is the only one."""
    points = [
        [i / m for i, m in zip(k, mesh, strict=True)] for k in itertools.product(*map(range, mesh))
    ]
    k = [
        "&KPOINTS",
        "SCHEME GENERAL",
        *("KPOINT {:g} {:g} {:g} 1".format(*p) for p in points),
        "&END",
    ]
    text = CP2K.format(
        cell=rows(atoms.cell.array, "ABC"),
        positions=rows(atoms.positions, ["Si"] * len(atoms)),
        k="\n".join(k) if len(points) > 1 else "",
    )
    run(folder, text, "scf", [*mpirun, "cp2k.psmp", "-i", "scf.in"])
    return folder / "x-ELECTRON_DENSITY-1_0.cube"


def rows(vectors, labels=None):
    """Lines of three coordinates, A, each after its label."""
    lines = [" ".join(f"{x:.10f}" for x in vector) for vector in vectors]
    return "\n".join(lines if labels is None else map(" ".join, zip(labels, lines, strict=True)))


def run(folder, text, name, command):
    """One program, its input and output kept."""
    (folder / f"{name}.in").write_text(text)
    with open(folder / f"{name}.in") as stdin, open(folder / f"{name}.out", "w") as out:
        subprocess.run(command, cwd=folder, stdin=stdin, stdout=out, check=True)


if __name__ == "__main__":
    main()
