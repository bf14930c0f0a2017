# SPDX-License-Identifier: LGPL-3.0-or-later
"""What elements cost: those of the type map, and those of the data.

    python benchmarks/many_elements.py --data DATA -o RUN [--steps N] [--repeat N]

DATA holds ``elastic/`` (structures of many elements, and the valence densities of atoms, which
are superposed: the labels are exact). Three trainings take turns: 5 elements, the same with a
type map of 60, and 60 elements in the data, of structures whose grid points see as many atoms.
Prints processor time, memory, what the model's parameters and its engine take, and the error.
"""

import argparse
import gzip
import json
import os
import resource
import time
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.data import chemical_symbols
from runs import prepare, run_dp, step_time

from deepmd_charge import ChargeModel
from deepmd_charge.atoms.images import Images

ELEMENTS, FEW = 60, 5
STRUCTURES, FRAMES, POINTS = 60, 4, 500
RCUT = 5.0
# Atoms around a grid point of the structures that are taken.
NEIGHBOURS = 20, 45
CONFIG = {
    "model": {
        "type": "charge",
        "descriptor": {
            "type": "se_charge",
            "rcut": RCUT,
            "radial": "chebyshev",
            "core": 0.3,
            "n_radial": 20,
            "seed": 1,
        },
        "fitting_net": {"type": "charge", "seed": 1},
    },
    "learning_rate": {"type": "cosine", "start_lr": 0.005, "stop_lr": 1e-5},
    "loss": {"type": "charge", "loss_func": "huber"},
    "training": {"training_data": {"batch_size": 1}, "seed": 1, "save_freq": 10**9},
}


def main():
    """Write the data, train in turns and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("-o", "--output", type=Path, required=True, help="new folder of the runs")
    parser.add_argument("--steps", type=int, default=200, help="of each training")
    parser.add_argument("--repeat", type=int, default=2, help="trainings of each")
    args = parser.parse_args()
    os.environ.update(
        {f"{p}_THREADS": "1" for p in ("OMP_NUM", "TF_NUM_INTRAOP", "TF_NUM_INTEROP")}
    )
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    structures, atomic = load(args.data / "elastic")
    many = common(structures, ELEMENTS)
    few = related(structures, many)
    sets = {"few": few, "many": many}
    tests, counts = {}, {}
    for name, elements in sets.items():
        *chosen, tests[name] = choose(structures, elements, STRUCTURES + 1)
        counts[name] = len(chosen)
        for k, atoms in enumerate(chosen):
            write(args.output / name / f"{k}", atoms, elements, atomic, k)
    runs = {
        f"{FEW} elements": ("few", few),
        f"{FEW} of a type map of {ELEMENTS}": ("few", many),
        f"{ELEMENTS} elements": ("many", many),
    }
    found = {name: [] for name in runs}
    for turn in range(args.repeat):
        for name, (data, type_map) in runs.items():
            folder = args.output / f"run-{turn}-{name.replace(' ', '-')}"
            systems = [f"../{data}/{k}" for k in range(counts[data])]
            steps = {"numb_steps": args.steps, "disp_freq": args.steps // 4}
            config = json.loads(json.dumps(CONFIG))
            prepare(folder, config, [*type_map, "X"], *systems, **steps)
            before = resource.getrusage(resource.RUSAGE_CHILDREN)
            run_dp(folder, "train", "--skip-neighbor-stat", "input.json")
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            seconds = after.ru_utime - before.ru_utime + after.ru_stime - before.ru_stime
            run_dp(folder, "freeze", "-o", "charge.pb")
            found[name].append((seconds, 1000.0 * step_time(folder)))
    print(f"{'':>24} {'CPU s':>7} {'ms/step':>8} {'.pb MB':>7} {'engine s':>9} {'points/s':>9} MAE")
    for name, (data, _) in runs.items():
        folder = args.output / f"run-0-{name.replace(' ', '-')}"
        seconds, step = np.min(found[name], axis=0)
        size = (folder / "charge.pb").stat().st_size / 1e6
        compiled, speed, error = predict(folder / "charge.pb", tests[data], atomic)
        print(
            f"{name:>24} {seconds:7.0f} {step:8.1f} {size:7.1f} {compiled:9.1f} {speed:9.0f} "
            f"{error:.1e}",
            flush=True,
        )


def load(folder):
    """Structures, and the radial valence densities of elements (r in A, e/A^3)."""
    with gzip.open(folder / "elastic_structures.json.gz") as file:
        entries = json.load(file)["entries"]
    structures = [
        Atoms(e["numbers"], scaled_positions=e["frac"], cell=e["cell"], pbc=True) for e in entries
    ]
    with np.load(folder / "atomic_valence_pbe_ld1.npz") as table:
        atomic = {
            symbol: (table["r"], table[f"rho_{z}"])
            for z, symbol in enumerate(chemical_symbols)
            if f"rho_{z}" in table
        }
    return structures, atomic


def common(structures, n):
    """The elements that most structures have."""
    counts = {}
    for atoms in structures:
        for symbol in set(atoms.get_chemical_symbols()):
            counts[symbol] = counts.get(symbol, 0) + 1
    most = sorted(counts, key=counts.get, reverse=True)[:n]
    return sorted(most, key=chemical_symbols.index)


def related(structures, many):
    """Some elements of which there are many compounds: one after the other is added."""
    sets = [set(atoms.get_chemical_symbols()) for atoms in structures]
    few = ["Ni"]
    while len(few) < FEW:
        count = {s: sum(e <= {*few, s} for e in sets) for s in many if s not in few}
        few.append(max(count, key=count.get))
    return sorted(few, key=chemical_symbols.index)


def choose(structures, elements, n):
    """Structures of these elements, first until each is there."""
    rng = np.random.default_rng(0)
    good = []
    for k in rng.permutation(len(structures)):
        atoms = structures[k]
        around = len(atoms) / atoms.cell.volume * 4.0 / 3.0 * np.pi * RCUT**3
        alike = NEIGHBOURS[0] < around < NEIGHBOURS[1]
        if alike and {*atoms.get_chemical_symbols()} <= {*elements}:
            good.append(atoms)
    chosen, there = [], set()
    for atoms in good:
        if not {*atoms.get_chemical_symbols()} <= there:
            chosen.append(atoms)
            there |= {*atoms.get_chemical_symbols()}
    rest = [atoms for atoms in good if not any(atoms is other for other in chosen)]
    return (chosen + rest)[:n]


def density(atoms, points, atomic):
    """Superposed atomic densities at points (n, 3), A."""
    symbols = atoms.get_chemical_symbols()
    images = Images(atoms, np.arange(len(atoms)), 6.0)
    point, atom, r = images.pairs(images.wrap(points), 6.0)
    values = np.zeros(len(r))
    kinds = np.array(symbols)[images.types[atom]]
    for symbol in set(symbols):
        mine = kinds == symbol
        values[mine] = np.interp(r[mine], *atomic[symbol], right=0.0)
    return np.bincount(point, values, len(points))


def write(folder, atoms, elements, atomic, seed):
    """Write a DP system of a structure, its points at random."""
    rng = np.random.default_rng(seed)
    atoms = atoms[np.argsort([elements.index(s) for s in atoms.symbols], kind="stable")]
    points = rng.uniform(size=(FRAMES * POINTS, 3)) @ atoms.cell.array
    label = density(atoms, points, atomic).reshape(FRAMES, POINTS)
    coord = np.concatenate(
        [np.tile(atoms.positions, (FRAMES, 1, 1)), points.reshape(FRAMES, POINTS, 3)], axis=1
    )
    type_map = [*elements, "X"]
    types = [type_map.index(s) for s in [*atoms.symbols, *["X"] * POINTS]]
    part = folder / "set.000"
    part.mkdir(parents=True)
    (folder / "type_map.raw").write_text("\n".join(type_map) + "\n")
    np.savetxt(folder / "type.raw", types, fmt="%d")
    np.save(part / "coord.npy", coord.reshape(FRAMES, -1))
    np.save(part / "box.npy", np.tile(atoms.cell.array.reshape(-1), (FRAMES, 1)))
    np.save(part / "density.npy", np.pad(label, ((0, 0), (len(atoms), 0))))


def predict(path, atoms, atomic):
    """Seconds until the engine stands, points a second, and the MAE on another structure."""
    points = np.random.default_rng(1).uniform(size=(20000, 3)) @ atoms.cell.array
    model = ChargeModel(path, n_threads=1)
    start = time.perf_counter()
    model.predict_points(atoms, points[:10])
    compiled = time.perf_counter() - start
    start = time.perf_counter()
    values = model.predict_points(atoms, points)
    speed = len(points) / (time.perf_counter() - start)
    return compiled, speed, np.abs(values - density(atoms, points, atomic)).mean()


if __name__ == "__main__":
    main()
