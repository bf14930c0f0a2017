# SPDX-License-Identifier: LGPL-3.0-or-later
"""Valence densities of aluminium by Quantum ESPRESSO: 64 atoms to train on, 128 and 256 to test.

    apt-get install quantum-espresso quantum-espresso-data
    python examples/deep_density/aluminium.py -o DATA

makes DATA/aluminium/{train,test}/N-K.cube, N the number of atoms, and DATA/aluminium/dp, as
``chains.py`` does. What is there already stays.

All cells are sublattices' cells of one and the same cube of 256 atoms, four lattice constants
wide: face-centred (64 atoms), body-centred (128), and the cube itself. Their k points are those
that the cube's Gamma point is folded to, so that there are 256 atoms times k points in each. The
smallest has its images 11.5 A away in all directions; a simple cubic cell of 32 atoms would have
them at 8.1 A, nearer than a model sees.
"""

import argparse
from pathlib import Path

import numpy as np
from ase.build import bulk, make_supercell
from cells import compute_missing, demand, rows, run_program
from chains import make_system

LATTICE, DISPLACEMENT = 4.05, 0.1  # A
# vectors of the cells in cubic cells of 4 atoms, N_K in all being an edge of the cube
EDGE = 4
CELLS = {
    64: [[0, 2, 2], [2, 0, 2], [2, 2, 0]],
    128: [[-2, 2, 2], [2, -2, 2], [2, 2, -2]],
    256: [[4, 0, 0], [0, 4, 0], [0, 0, 4]],
}
COUNTS = {"train": {64: 3}, "test": {64: 1, 128: 1, 256: 1}}
PSEUDOPOTENTIALS = Path("/usr/share/espresso/pseudo")

SCF = """&control
 calculation='scf', prefix='x', outdir='./out', pseudo_dir='{pseudo}', disk_io='low'
/
&system
 ibrav=0, nat={n}, ntyp=1, ecutwfc=12, nosym=.true.
 occupations='smearing', smearing='cold', degauss=0.05
/
&electrons
 conv_thr=1e-7, mixing_beta=0.5
/
ATOMIC_SPECIES
Al 26.98 Al.pz-vbc.UPF
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
    """Compute what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--pseudopotentials", type=Path, default=PSEUDOPOTENTIALS)
    parser.add_argument("--sizes", type=int, nargs="+", choices=CELLS, default=list(CELLS))
    args = parser.parse_args()
    folder = args.output / "aluminium"

    def compute(run, n_atoms, number, use):
        """The self-consistent density of a structure, as a cube file."""
        text = scf_input(structure(n_atoms, number, use), args.pseudopotentials.resolve())
        run_program(run, "scf", text, "pw.x", "-in", "scf.in")
        demand(run / "scf.out", "convergence has been achieved")
        run_program(run, "pp", POST, "pp.x", "-in", "pp.in")
        return run / "rho.cube"

    compute_missing(folder, COUNTS, args.sizes, compute)
    if set(COUNTS["train"]) <= set(args.sizes):
        make_system(folder, "--points", "50000", unit=())


def structure(n_atoms, number, use):
    """Displaced atoms; the same ones for the same arguments."""
    atoms = make_supercell(bulk("Al", "fcc", LATTICE, cubic=True), CELLS[n_atoms])
    rng = np.random.default_rng([n_atoms, number, list(COUNTS).index(use)])
    atoms.positions += rng.normal(scale=DISPLACEMENT, size=atoms.positions.shape)
    return atoms


def k_points(n_atoms):
    """The wave vectors of the cube that a cell tells apart, in reciprocal vectors of the cell."""
    cell = np.array(CELLS[n_atoms])
    waves = np.indices((EDGE, EDGE, EDGE)).reshape(3, -1).T / EDGE
    # two waves are one if they differ by a reciprocal vector of the cell: by whole numbers
    return np.unique(np.round(waves @ cell.T % 1.0, 9) % 1.0, axis=0)


def scf_input(atoms, pseudopotentials):
    """The input of pw.x; the Gamma point alone has a faster way."""
    points = k_points(len(atoms))
    k = [f"{len(points)}", *("{:.9f} {:.9f} {:.9f} 1".format(*point) for point in points)]
    return SCF.format(
        pseudo=pseudopotentials,
        n=len(atoms),
        cell="\n".join("{:.10f} {:.10f} {:.10f}".format(*vector) for vector in atoms.cell.array),
        positions=rows(atoms.get_chemical_symbols(), atoms.positions),
        k="K_POINTS gamma" if len(points) == 1 else "\n".join(["K_POINTS crystal", *k]),
    )


if __name__ == "__main__":
    main()
