# SPDX-License-Identifier: LGPL-3.0-or-later
"""Valence densities of alkanes by PySCF: small ones to train on, larger ones to test.

    pip install pyscf
    python examples/deep_density/molecules.py -o DATA

makes DATA/molecules/{train,test}/NAME-K.cube and DATA/molecules/dp, as ``chains.py`` does. What
is there already stays. PBE with the pseudopotentials of Goedecker, Teter and Hutter: without
core electrons a grid of 0.2 A is fine enough. Each snapshot is the molecule of ase's G2 set with
its atoms displaced at random.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
from ase.build import molecule
from chains import make_system

from deepmd_charge import Density, write_density

SPACING, MARGIN = 0.2, 3.5  # A, of the grid, and from atoms to the faces of its box
DISPLACEMENT = 0.05  # A
NAMES = {"ethane": "C2H6", "propane": "C3H8", "butane": "trans-butane", "isobutane": "isobutane"}
COUNTS = {
    "train": {"ethane": 10, "propane": 10},
    "test": {"ethane": 3, "propane": 3, "butane": 3, "isobutane": 3},
}
BLOCK = 5000  # grid points that are evaluated at once


def main():
    """Compute what is not there yet."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True)
    folder = parser.parse_args().output / "molecules"
    for use, counts in COUNTS.items():
        for name, n_snapshots in counts.items():
            for number in range(1, n_snapshots + 1):
                path = folder / use / f"{name}-{number}.cube"
                if not path.exists():
                    path.parent.mkdir(parents=True, exist_ok=True)
                    density = compute(snapshot(name, use, number), path)
                    write_density(path, density)
                    print(f"{path}: {density.n_electrons:.4f} electrons", flush=True)
    make_system(folder, "--points", "20000", "--by-gradient", "0.2")


def snapshot(name, use, number):
    """A distorted molecule in a box; the same one for the same arguments."""
    atoms = molecule(NAMES[name])
    seed = [list(NAMES).index(name), list(COUNTS).index(use), number]
    atoms.positions += np.random.default_rng(seed).normal(
        scale=DISPLACEMENT, size=atoms.positions.shape
    )
    atoms.positions += MARGIN - atoms.positions.min(axis=0)
    box = atoms.positions.max(axis=0) + MARGIN
    atoms.set_cell(np.ceil(box / SPACING) * SPACING)
    atoms.pbc = False
    return atoms


def compute(atoms, path):
    """The self-consistent valence density of a molecule on the grid of its box."""
    from pyscf import dft, gto, lib

    symbols, cell = atoms.get_chemical_symbols(), atoms.cell.lengths()
    mole = gto.M(
        atom=list(zip(symbols, atoms.positions, strict=True)),
        basis="gth-dzvp",
        pseudo="gth-pbe",
        verbose=0,
    )
    field = dft.RKS(mole, xc="pbe").density_fit(auxbasis="weigend")
    field.conv_tol = 1e-8
    field.kernel()
    if not field.converged:
        sys.exit(f"{path}: not converged")
    matrix = field.make_rdm1()
    shape = np.round(cell / SPACING).astype(int)
    density = Density(atoms, np.zeros(shape))
    points = density.points() / lib.param.BOHR
    values = [
        dft.numint.eval_rho(mole, dft.numint.eval_ao(mole, points[k : k + BLOCK]), matrix)
        for k in range(0, len(points), BLOCK)
    ]
    values = np.concatenate(values).reshape(shape) / lib.param.BOHR**3
    return Density(atoms, values)


if __name__ == "__main__":
    main()
