# SPDX-License-Identifier: LGPL-3.0-or-later
"""Self-consistent densities of binary compounds by Quantum ESPRESSO (see property_densities.py)."""

import csv
import gzip
import json
import resource
import subprocess
import tarfile
from pathlib import Path

import numpy as np
import spglib
from ase import Atoms
from ase.data import atomic_masses, chemical_symbols
from pw import ATTEMPTS, PREFIX, SAVE, rows

from deepmd_charge import Density, read_density
from deepmd_charge.saed.upf import element_and_valence

# Most atoms of a primitive cell that is run.
MOST_ATOMS = 4
ECUTWFC = 40.0
# Of the cutoffs of the density and of the wave functions, both in Ry.
DUAL = 4.0
# Largest distance of k points, 1/A, with the 2 pi: meshes have points at Gamma.
K_SPACING = 0.4
# Runs that take longer than that (CPU s) are given up.
LIMIT = 60
# What a run costs is foreseen: about 22 CPU s for 1e5 of irreducible k points times electrons times
# volume (A^3). Those of more are left out: more than half of all, with nine tenths of the time.
MOST_WORK = 2.6e4
SEED = 0
# Of the symmetry, A.
SYMPREC = 1e-3
COLUMNS = ("number", "id", "formula", "n_atoms", "k_points", "cpu_seconds", "status")

INPUT = """&control
 calculation='scf', prefix='{prefix}', outdir='.', pseudo_dir='{pseudo}', disk_io='low'
/
&system
 ibrav=0, nat={n}, ntyp={types}, ecutwfc={ecutwfc}, ecutrho={ecutrho},
 occupations='smearing', smearing='m-v', degauss=0.02
/
&electrons
 conv_thr=1d-6, mixing_beta=0.5, electron_maxstep=60
/
ATOMIC_SPECIES
{species}
CELL_PARAMETERS angstrom
{cell}
ATOMIC_POSITIONS angstrom
{positions}
K_POINTS automatic
{mesh} 0 0 0
"""


def potentials(data, folder):
    """Unpack the potentials into a folder, if they are not there; returns valences by elements."""
    if not folder.exists():
        folder.mkdir(parents=True)
        with tarfile.open(data / "sg15_pbe_upf.tar.gz") as archive:
            for member in archive.getmembers():
                if member.name.endswith(".UPF"):
                    (folder / Path(member.name).name).write_bytes(
                        archive.extractfile(member).read()
                    )
    return dict(element_and_valence(f.read_text(), f)[:2] for f in sorted(folder.glob("*.UPF")))


def binaries(data, valences):
    """Entries of the binaries that can be run, each with its primitive cell as "atoms".

    Their order is a seeded one: the first so many are a fair sample.
    """
    with gzip.open(data / "elastic_structures.json.gz") as file:
        entries = [e for e in json.load(file)["entries"] if e["source"] == "matcalc"]
    chosen = []
    for k in np.random.default_rng(SEED).permutation(len(entries)):
        entry = entries[k]
        if {chemical_symbols[z] for z in entry["numbers"]} <= {*valences}:
            entry["atoms"] = primitive(entry)
            if len(entry["atoms"]) <= MOST_ATOMS and work(entry["atoms"], valences) <= MOST_WORK:
                chosen.append(entry)
    return chosen


def work(atoms, valences):
    """Irreducible k points times electrons times volume (A^3)."""
    cell = (atoms.cell.array, atoms.get_scaled_positions(), atoms.numbers)
    irreducible = len(np.unique(spglib.get_ir_reciprocal_mesh(mesh_of(atoms), cell)[0]))
    return irreducible * sum(valences[s] for s in atoms.symbols) * atoms.cell.volume


def mesh_of(atoms):
    """Numbers of k points along the reciprocal vectors."""
    spacing = K_SPACING / (2.0 * np.pi)
    return [max(1, int(np.ceil(b / spacing))) for b in atoms.cell.reciprocal().lengths()]


def primitive(entry):
    """The standard primitive cell.

    The data's rounded numbers hide symmetry from pw.x, so what is equal to within SYMPREC is made
    equal.
    """
    cell = (entry["cell"], entry["frac"], entry["numbers"])
    found = spglib.standardize_cell(cell, to_primitive=True, symprec=SYMPREC)
    lattice, fractions, numbers = cell if found is None else found
    atoms = Atoms(numbers, scaled_positions=fractions, cell=lattice, pbc=True)
    return atoms[np.argsort(atoms.numbers, kind="stable")]


def run_all(entries, folder, pseudo, part, log):
    """Run what has not been run of entries, of several processes one's part; a line for each.

    Parameters
    ----------
    entries : list of dict
    folder : Path
        Of the densities and of ``runs.csv``, a row for each run.
    pseudo : Path
        Folder of the potentials.
    part : tuple of int
        k and m: the entries k, k + m, ...
    log : callable
    """
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / "runs.csv"
    if not table.exists():
        table.write_text(",".join(COLUMNS) + "\n")
    done = {row["id"] for row in runs(folder)}
    first, step = part
    for k in range(first, len(entries), step):
        entry = entries[k]
        if entry["id"] not in done:
            row = run(
                entry["atoms"], folder / f"{entry['id']}.npz", folder / f"now-{first}", pseudo
            )
            row = (str(k), entry["id"], entry["formula"], str(len(entry["atoms"])), *row)
            with open(table, "a") as file:
                file.write(",".join(row) + "\n")
            log(f"{k + 1}/{len(entries)} {' '.join(row[1:])}")


def runs(folder):
    """Rows of the runs so far, in the seeded order of the compounds."""
    with open(folder / "runs.csv") as file:
        return sorted(csv.DictReader(file), key=lambda row: int(row["number"]))


def run(atoms, target, folder, pseudo):
    """Run one compound and keep its density; returns the mesh, CPU seconds and how it went."""
    folder.mkdir(exist_ok=True)
    mesh = mesh_of(atoms)
    elements = sorted(set(atoms.symbols))
    (folder / "pw.in").write_text(
        INPUT.format(
            prefix=PREFIX,
            pseudo=pseudo.resolve(),
            n=len(atoms),
            types=len(elements),
            ecutwfc=ECUTWFC,
            ecutrho=DUAL * ECUTWFC,
            species="\n".join(
                f"{s} {atomic_masses[chemical_symbols.index(s)]:.3f} {s}.UPF" for s in elements
            ),
            cell=rows(atoms.cell.array),
            positions="\n".join(
                rows([r], f"{s} ") for s, r in zip(atoms.symbols, atoms.positions, strict=True)
            ),
            mesh=" ".join(map(str, mesh)),
        )
    )
    status, seconds = "", 0.0
    for _ in range(ATTEMPTS):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        with open(folder / "pw.out", "w") as out:
            done = subprocess.run(
                ["pw.x", "-in", "pw.in"],
                cwd=folder,
                stdout=out,
                stderr=subprocess.STDOUT,
                preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_CPU, (LIMIT, LIMIT)),
            )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        seconds += after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        output = (folder / "pw.out").read_text()
        if "convergence has been achieved" in output and "JOB DONE" in output:
            write(target, read_density(folder / SAVE))
            status = "ok"
        elif "convergence NOT achieved" in output:
            status = "not converged"
        elif seconds > LIMIT - 1:
            status = f"over {LIMIT} CPU s"
        else:
            status = f"pw.x ended with {done.returncode}"
            continue
        break
    return "x".join(map(str, mesh)), f"{seconds:.1f}", status


def write(path, density):
    """Write a density in few bytes."""
    atoms = density.atoms
    part = path.with_suffix(".part")
    with open(part, "wb") as file:
        np.savez_compressed(
            file,
            numbers=atoms.numbers,
            positions=atoms.positions,
            cell=atoms.cell.array,
            density=density.values.astype(np.float32),
        )
    part.rename(path)


def load(path):
    """Read a density that ``write`` has written."""
    with np.load(path) as f:
        atoms = Atoms(f["numbers"], f["positions"], cell=f["cell"], pbc=True)
        return Density(atoms, f["density"].astype(float))
