# SPDX-License-Identifier: LGPL-3.0-or-later
"""Densities of molecules on whole grids, by PySCF, as those of ``molecules/`` were made.

    python benchmarks/molecule_grids.py --data DATA -o GRIDS [--first 30] [--smiles NAME=SMILES]

makes ``GRIDS/NAME.npz`` (``numbers``, ``positions`` and ``cell`` in A, ``density[i, j, k]`` in
e/A^3) of the first training molecules of DATA and of molecules that SMILES tell, and prints how
far the former are from the values that DATA has. Needs ``pip install pyscf ase``, and ``rdkit``
for SMILES. What is there already is left alone, so that the script goes on where it was stopped.
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np

SPACING = 0.2  # A
MARGIN = 3.5  # A, from every atom to the faces of the box
BOHR = 0.529177210903  # A
# Grid points whose orbitals are held at a time.
BLOCK = 20000
# Radial and angular points of the grids of the exchange and correlation energy.
ATOM_GRIDS = {"H": (24, 50), "default": (40, 110)}


def main():
    """Make one grid after another."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--first", type=int, default=30, help="so many training molecules")
    parser.add_argument(
        "--smiles", nargs="*", default=[], metavar="NAME=SMILES", help="other molecules, too"
    )
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the grids")
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    listed = json.loads((args.data / "molecules" / "molecules.json").read_text())
    names = [m["name"] for m in listed if m["split"] == "train"][: args.first]
    given = dict(words.split("=", 1) for words in args.smiles)
    print(f"{'molecule':>10} {'points':>8} {'electrons':>10} {'s':>6} {'NMAE, %':>8} {'max':>8}")
    for name in [*names, *given]:
        path = args.output / f"{name}.npz"
        if path.exists():
            continue
        start = time.process_time()
        known = None
        if name in given:
            numbers, positions, shape = embed(given[name])
        else:
            known = np.load(args.data / "molecules" / "points" / f"{name}.npz")
            numbers, positions, shape = (known[k] for k in ("numbers", "positions", "shape"))
        density = solve(numbers, positions, shape)
        row = f"{name:>10} {density.size:8} {density.sum() * SPACING**3:10.4f}"
        row += f" {time.process_time() - start:6.0f}"
        if known is not None:
            error = np.abs(density.reshape(-1)[known["index"]] - known["density"])
            row += f" {100 * error.sum() / known['density'].sum():8.4f} {error.max():8.5f}"
        print(row, flush=True)
        part = path.with_suffix(".part")
        with open(part, "wb") as file:
            np.savez(
                file,
                numbers=numbers,
                positions=positions,
                density=density,
                cell=np.array(shape) * SPACING,
            )
        os.replace(part, path)


def embed(smiles):
    """Atomic numbers, positions (A) along the principal axes in a box, and its grid."""
    from rdkit import Chem
    from rdkit.Chem import AllChem

    molecule = Chem.AddHs(Chem.MolFromSmiles(smiles))
    AllChem.EmbedMolecule(molecule, randomSeed=11)
    AllChem.MMFFOptimizeMolecule(molecule, maxIters=2000)
    numbers = np.array([atom.GetAtomicNum() for atom in molecule.GetAtoms()])
    positions = molecule.GetConformer().GetPositions()
    positions = positions - positions.mean(axis=0)
    _, _, axes = np.linalg.svd(positions, full_matrices=False)
    positions = positions @ axes.T
    extent = np.ptp(positions, axis=0)
    shape = [smooth((length + 2 * MARGIN) / SPACING) for length in extent]
    middle = 0.5 * (positions.max(axis=0) + positions.min(axis=0))
    return numbers, positions - middle + 0.5 * SPACING * np.array(shape), shape


def smooth(length):
    """The next whole number without a prime factor above 7."""
    number = int(np.ceil(length))
    while True:
        rest = number
        for prime in (2, 3, 5, 7):
            while rest % prime == 0:
                rest //= prime
        if rest == 1:
            return number
        number += 1


def solve(numbers, positions, shape):
    """Valence density (nx, ny, nz), e/A^3, at multiples of the spacing."""
    from ase.data import chemical_symbols
    from pyscf import dft, gto

    atoms = [(chemical_symbols[z], x) for z, x in zip(numbers, positions, strict=True)]
    molecule = gto.M(atom=atoms, basis="gth-dzvp", pseudo="gth-pbe", verbose=0)
    field = dft.RKS(molecule, xc="pbe").density_fit(auxbasis="weigend")
    field.grids.atom_grid = ATOM_GRIDS
    field.conv_tol, field.conv_tol_grad = 1e-5, 1e-3
    field.kernel()
    if not field.converged:
        raise SystemExit(f"no self-consistency for {molecule.natm} atoms")
    occupied = field.mo_occ > 0
    orbitals = field.mo_coeff[:, occupied] * np.sqrt(field.mo_occ[occupied])
    points = np.stack(np.unravel_index(np.arange(np.prod(shape)), shape), axis=1) * SPACING / BOHR
    density = [
        np.sum((dft.numint.eval_ao(molecule, block) @ orbitals) ** 2, axis=1)
        for block in np.array_split(points, len(points) // BLOCK + 1)
    ]
    return np.concatenate(density).reshape(shape).astype(np.float32) / np.float32(BOHR**3)


if __name__ == "__main__":
    main()
