# SPDX-License-Identifier: LGPL-3.0-or-later
"""Valence densities of liquid water by CP2K: 32 molecules to train on, 64 and 128 to test on.

    apt-get install cp2k
    python examples/deep_density/water.py -o DATA

makes DATA/water/{train,test}/N-K.cube, N the number of molecules, DATA/water/dp as ``chains.py``
does, and DATA/water/large/512-1.xyz, a structure without a density. What is there already stays.

Each snapshot is the end of a dynamics of its own by LAMMPS (flexible TIP3P molecules, 10 ps at
300 K, the density of water), which started from molecules turned at random on a lattice. DFT is
PBE with the pseudopotentials of Goedecker, Teter and Hutter and a minimal basis, the same for
all sizes, cheap enough for a laptop.
"""

import argparse
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk, molecule
from ase.io import read
from cells import compute_missing, demand, rows, run_program, structures
from chains import make_system
from scipy.spatial.transform import Rotation

DENSITY = 0.997  # g/cm^3
MASS = 18.01528 / 0.602214076  # of a molecule, g/cm^3 A^3
# the lattice that molecules start from: its name, and how often its cubic cell is repeated
LATTICES = {32: ("fcc", 2), 64: ("sc", 4), 128: ("bcc", 4), 512: ("sc", 8)}
COUNTS = {"train": {32: 6}, "test": {32: 2, 64: 3, 128: 3}}
LARGE = {"large": {512: 1}}
STEPS = 20000  # of 0.5 fs

# TIP3P with the stretching and bending of CHARMM's force field
LAMMPS = """units real
atom_style full
bond_style harmonic
angle_style harmonic
pair_style lj/cut/coul/long 8.0
kspace_style pppm 1e-4
special_bonds lj/coul 0 0 0
read_data md.data
bond_coeff 1 450.0 0.9572
angle_coeff 1 55.0 104.52
pair_coeff 1 1 0.1521 3.1507
pair_coeff 1 2 0.0836 1.7753
pair_coeff 2 2 0.0460 0.4000
minimize 0 1e-2 200 2000
velocity all create 300 {seed}
fix 1 all nvt temp 300 300 50
timestep 0.5
thermo 2000
run {steps}
write_dump all custom md.dump id xu yu zu modify sort id format float %.10g
"""
CHARGES = [-0.834, 0.417, 0.417]

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
   CUTOFF 280
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
    ALPHA 0.4
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
  &PRINT
   &E_DENSITY_CUBE
    STRIDE 1
   &END
  &END
 &END
 &SUBSYS
  &CELL
   ABC {edge:.10f} {edge:.10f} {edge:.10f}
  &END
  &COORD
{positions}
  &END
  &KIND O
   BASIS_SET SZV-MOLOPT-SR-GTH
   POTENTIAL GTH-PBE-q6
  &END
  &KIND H
   BASIS_SET SZV-MOLOPT-SR-GTH
   POTENTIAL GTH-PBE-q1
  &END
 &END
&END
"""


def main():
    """Compute what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--sizes", type=int, nargs="+", choices=LATTICES, default=list(LATTICES))
    args = parser.parse_args()
    folder = args.output / "water"
    compute_missing(folder, COUNTS, args.sizes, compute)
    if set(COUNTS["train"]) <= set(args.sizes):
        make_system(folder, "--points", "40000", unit=())
    for use, size, number in structures(LARGE):
        path = folder / use / f"{size}-{number}.xyz"
        if size in args.sizes and not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            snapshot(path.parent, size, number, use).write(path)


def start(n_molecules, seed):
    """Molecules (O, H, H), turned at random, on a lattice that has the density of water."""
    lattice, repeat = LATTICES[n_molecules]
    edge = (n_molecules * MASS / DENSITY) ** (1.0 / 3.0)
    sites = bulk("O", lattice, edge / repeat, cubic=True).repeat(repeat)
    water = molecule("H2O")
    vectors = water.positions - water.positions[0]
    turns = Rotation.random(n_molecules, random_state=np.random.RandomState(seed))
    positions = [
        site + turn.apply(vectors) for site, turn in zip(sites.positions, turns, strict=True)
    ]
    return Atoms(n_molecules * "OHH", np.concatenate(positions), cell=3 * [edge], pbc=True)


def seed_of(n_molecules, number, use):
    """The seed of a dynamics."""
    return 1000 * n_molecules + number + (500 if use == "train" else 0)


def snapshot(folder, n_molecules, number, use):
    """The end of a dynamics; the same one for the same arguments."""
    seed = seed_of(n_molecules, number, use)
    atoms = start(n_molecules, seed)
    (folder / "md.data").write_text(lammps_data(atoms))
    run_program(folder, "md", LAMMPS.format(seed=seed, steps=STEPS), "lmp", "-in", "md.in")
    positions = np.loadtxt(folder / "md.dump", skiprows=9)[:, 1:].reshape(-1, 3, 3)
    edge = atoms.cell[0, 0]
    # whole molecules, their oxygen in the cell
    positions -= edge * np.floor(positions[:, :1] / edge)
    atoms.positions = positions.reshape(-1, 3)
    return atoms


def lammps_data(atoms):
    """The data file of LAMMPS, of molecules O, H, H."""
    n = len(atoms) // 3
    first = 3 * np.arange(n) + 1
    kinds = np.where(atoms.numbers == 8, 1, 2)
    lines = [
        f"water\n\n{3 * n} atoms\n{2 * n} bonds\n{n} angles",
        "2 atom types\n1 bond types\n1 angle types",
        *(f"0 {atoms.cell[0, 0]:.10f} {x}lo {x}hi" for x in "xyz"),
        "\nMasses\n\n1 15.999\n2 1.008\n\nAtoms # full\n",
        *(
            f"{i + 1} {i // 3 + 1} {kinds[i]} {CHARGES[i % 3]} {x:.10f} {y:.10f} {z:.10f}"
            for i, (x, y, z) in enumerate(atoms.positions)
        ),
        "\nBonds\n",
        *(f"{2 * k + h} 1 {i} {i + h}" for k, i in enumerate(first) for h in (1, 2)),
        "\nAngles\n",
        *(f"{k + 1} 1 {i + 1} {i} {i + 2}" for k, i in enumerate(first)),
    ]
    return "\n".join(lines) + "\n"


def compute(folder, n_molecules, number, use):
    """The self-consistent density of a snapshot, as a cube file."""
    path = folder / "structure.xyz"
    if not path.exists():
        snapshot(folder, n_molecules, number, use).write(path)
    atoms = read(path)
    run_program(folder, "scf", cp2k_input(atoms), "cp2k.psmp", "-i", "scf.in")
    demand(folder / "scf.out", "SCF run converged")
    return folder / "x-ELECTRON_DENSITY-1_0.cube"


def cp2k_input(atoms):
    """The input of CP2K."""
    positions = rows(atoms.get_chemical_symbols(), atoms.positions)
    return CP2K.format(edge=atoms.cell[0, 0], positions=positions)


if __name__ == "__main__":
    main()
