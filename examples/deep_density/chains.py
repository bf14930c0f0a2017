# SPDX-License-Identifier: LGPL-3.0-or-later
"""Densities of one-dimensional chains, to train and to test on, and DP systems of them.

    python examples/deep_density/chains.py -o DATA

makes DATA/SYSTEM/{train,test}/N-K.cube, N the number of atoms and K that of the structure, and
DATA/SYSTEM/dp, for ``dp train``. What is there already stays: a run that was stopped goes on.

The atoms are displaced at random from a lattice. Their unit of length, the bohr, is written as
1 A. They stand on the z axis of a cell that is open along x and y and 1 A wide there, so that
the density per length is that per volume. Atoms of the two widths are helium and beryllium:
both have two valence electrons.
"""

import argparse
import subprocess
import sys
from pathlib import Path

import numpy as np
from ase import Atoms
from kohn_sham_1d import Chain, solve

from deepmd_charge import Density, write_density

# widths of the pseudo-charges along the chain, bohr; the pattern repeats
SYSTEMS = {"insulator": [2.0], "metal": [6.0], "mixed": 4 * [2.0] + 4 * [6.0]}
ELEMENTS = {2.0: "He", 6.0: "Be"}
CHARGE = 2.0  # electrons an atom
LATTICE, DISPLACEMENT = 10.0, 0.5  # bohr
POINTS = 20  # a lattice constant
# a cell of n atoms has N_K / n k points, so that all are cells of N_K atoms with one
N_K = 128
UNIT = ["e/bohr^3", "bohr"]  # of cube files: a metal's density is too flat to tell
# structures of each number of atoms; --train N changes those to train on
COUNTS = {"train": {8: 20, 16: 20}, "test": {8: 5, 16: 5, 32: 3, 64: 2, 128: 2}}


def main():
    """Compute what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    parser.add_argument("--most", type=int, default=128, help="atoms of the largest test chains")
    parser.add_argument("--train", type=int, default=20, help="training chains of each size")
    args = parser.parse_args()
    wanted = {**COUNTS, "train": dict.fromkeys(COUNTS["train"], args.train)}
    for system in args.systems:
        for use, counts in wanted.items():
            for n_atoms, n_structures in counts.items():
                if n_atoms <= args.most:
                    for number in range(1, n_structures + 1):
                        path = args.output / system / use / f"{n_atoms}-{number}.cube"
                        if not path.exists():
                            compute(path, system, random_chain(system, use, n_atoms, number))
        # all points, as many a frame as the smallest chain has
        n_points = POINTS * min(COUNTS["train"])
        make_system(args.output / system, "--points-per-frame", str(n_points))


def random_chain(system, use, n_atoms, number):
    """A chain; the same one for the same arguments."""
    seed = [list(SYSTEMS).index(system), list(COUNTS).index(use), n_atoms, number]
    displacement = np.random.default_rng(seed).normal(scale=DISPLACEMENT, size=n_atoms)
    return Chain(
        LATTICE * n_atoms,
        LATTICE * (np.arange(n_atoms) + 0.5) + displacement,
        np.resize(SYSTEMS[system], n_atoms),
        np.full(n_atoms, CHARGE),
    )


def compute(path, system, chain):
    """Solve for the density of a chain and write it."""
    n_atoms = len(chain.positions)
    solution = solve(chain, POINTS * n_atoms, n_k=N_K // n_atoms)
    if not solution.converged:
        sys.exit(f"{path}: not converged, residual {solution.residuals[-1]:.1e}")
    atoms = Atoms(
        [ELEMENTS[sigma] for sigma in chain.sigma],
        np.outer(chain.positions, [0.0, 0.0, 1.0]),
        cell=[1.0, 1.0, chain.length],
        pbc=[False, False, True],
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    write_density(path, Density(atoms, solution.density[None, None]))
    print(
        f"{path}: gap {solution.gap:.4f} Ha, density {solution.density.min():.4f} to "
        f"{solution.density.max():.4f}, {len(solution.residuals)} iterations",
        flush=True,
    )


def make_system(folder, *options, unit=UNIT):
    """The training densities of a folder as DP systems, one for each composition."""
    if (folder / "dp").exists():
        return
    files = sorted((folder / "train").glob("*.cube"))
    command = ["convert", *map(str, files), "-o", str(folder / "dp"), "--seed", "1", "--quiet"]
    command += [*(["--unit", *unit] if unit else []), *options]
    subprocess.run([Path(sys.executable).with_name("deepmd-charge"), *command], check=True)


if __name__ == "__main__":
    main()
