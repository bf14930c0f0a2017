# SPDX-License-Identifier: LGPL-3.0-or-later
"""Train one model on many small molecules and print its errors on others.

    python benchmarks/accuracy.py molecules --data DATA -o RUN [--cpu-seconds 180]

DATA holds ``molecules/`` (PySCF densities of molecules of H, C, N, O and F at grid points).
NMAE is the sum of the absolute errors over that of the absolute densities, over all points of
all molecules of a split. The training time is the processor time of ``dp train`` on one core,
start-up and statistics included.
"""

import argparse
import json
import os
import resource
from pathlib import Path

import numpy as np
from ase import Atoms
from runs import CONFIGS, Mean, merge, prepare, run_dp
from scipy.spatial import KDTree

from deepmd_charge import ChargeModel

# name: splits that are reported on.
SETS = {"molecules": ("test", "test-large"), "molecules-choose": ("held",)}
# Of the training molecules every fifth is held back from "molecules-choose".
FIFTH = 5
# Molecules of one frame stand so far apart, in A, whatever the cutoff.
APART = 12.0
# "Near" nuclei is closer than this, in A.
NEAR = 0.5
# Edges of the distances that errors are shared out by, in A.
SHELLS = (0.0, 0.3, 0.6, 1.0, 1.5, 2.0, 2.5, 3.0, 4.0, np.inf)
# Steps of two runs from which the length of one of given processor time is worked out.
PROBES = (50, 250)
ONE_CORE = {
    f"{prefix}_THREADS": "1"
    for prefix in ("OMP_NUM", "TF_NUM_INTRAOP", "TF_NUM_INTEROP", "OPENBLAS_NUM")
}


def main():
    """Train, freeze, evaluate and print the errors of each split and molecule."""
    args = arguments()
    os.environ.update(ONE_CORE)
    os.sched_setaffinity(0, {args.core})
    config = merge(json.loads(args.config.read_text()), json.loads(args.override))
    config["model"]["descriptor"]["seed"] = config["model"]["fitting_net"]["seed"] = args.seed
    config["training"]["seed"] = args.seed
    parts = splits(args.data, args.set)
    names = np.random.default_rng(args.seed).permutation(parts["train"])[: args.molecules]
    args.output.mkdir(parents=True)
    systems, type_map = write_systems(args.output, args, names)
    if args.cpu_seconds:
        config["training"]["numb_steps"] = steps_of(args, config, type_map, systems)
    prepare(args.output, config, type_map, *systems, disp_freq=100, save_freq=10**9)
    seconds = train(args.output)
    run_dp(args.output, "freeze", "-o", "charge.pb")
    steps = config["training"]["numb_steps"]
    print(
        f"{args.set}: {len(names)} molecules, {steps} steps of {args.points_per_frame} points, "
        f"{seconds:.0f} processor seconds of training",
        flush=True,
    )
    model = ChargeModel(args.output / "charge.pb")
    results = {split: report(model, args, split, parts[split]) for split in SETS[args.set]}
    if args.learnt:
        found = [name for name in names if (args.learnt / f"{name}.npz").exists()]
        results["learnt"] = report(model, args, "learnt", found)
    if args.mean_with:
        print(f"mean with {', '.join(map(str, args.mean_with))}")
        mean = Mean([model, *(ChargeModel(run / "charge.pb") for run in args.mean_with)])
        results["mean"] = {s: report(mean, args, s, parts[s]) for s in SETS[args.set]}
    results.update(steps=steps, seconds=seconds)
    (args.output / "errors.json").write_text(json.dumps(results, indent=2))


def arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set", choices=SETS)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--config", type=Path, default=CONFIGS / "molecules.json")
    parser.add_argument(
        "--override", default="{}", metavar="JSON", help="merged into the configuration"
    )
    parser.add_argument("--molecules", type=int, help="learn from so many, drawn by the seed")
    parser.add_argument("--points", type=int, default=20000, help="training points of a molecule")
    parser.add_argument("--points-per-frame", type=int, default=1000, help="of all molecules in it")
    parser.add_argument("--molecules-per-frame", type=int, default=12, help="far apart")
    parser.add_argument(
        "--by-gradient",
        type=float,
        default=0.6,
        metavar="SHARE",
        help="of the training points, drawn in proportion to the gradient",
    )
    parser.add_argument("--seed", type=int, default=1, help="of the points and the parameters")
    parser.add_argument(
        "--cpu-seconds", type=float, help="train for so long, in place of numb_steps"
    )
    parser.add_argument("--core", type=int, default=0, help="the core to run on (the first)")
    parser.add_argument("--test-points", type=int, help="test on so many points of a molecule")
    parser.add_argument("--grids", action="store_true", help="test on whole grids where there are")
    parser.add_argument(
        "--mean-with",
        type=Path,
        nargs="+",
        metavar="RUN",
        help="print the errors of the mean with the models of these runs, too",
    )
    parser.add_argument(
        "--learnt",
        type=Path,
        metavar="GRIDS",
        help="test on whole grids of training molecules, too, of molecule_grids.py",
    )
    parser.add_argument("--by-distance", action="store_true", help="rows by the distance of nuclei")
    parser.add_argument("--by-molecule", action="store_true", help="a row for each molecule")
    parser.add_argument("-o", "--output", type=Path, required=True, help="new folder of the run")
    return parser.parse_args()


def splits(data, name):
    """Names of the molecules of each split of a set."""
    molecules = json.loads((data / "molecules" / "molecules.json").read_text())
    parts = {}
    for molecule in molecules:
        parts.setdefault(molecule["split"], []).append(molecule["name"])
    if name == "molecules-choose":
        train = sorted(parts["train"])
        held = train[::FIFTH]
        parts = {"train": [name for name in train if name not in held], "held": held}
    return parts


def load(data, name, kind="", grids=None):
    """Atoms, points (n, 3) in A and densities (n,) in e/A^3 of one molecule.

    Parameters
    ----------
    data : Path
    name : str
    kind : str
        "" for the uniform points, "_g" for those drawn by the gradient, "grid" for all.
    grids : Path, optional
        Folder of whole grids, if not that of the data.
    """
    with np.load(data / "molecules" / "points" / f"{name}.npz") as f:
        atoms = Atoms(f["numbers"], f["positions"], cell=f["cell"])
        shape = f["shape"]
        if kind == "grid":
            with np.load((grids or data / "molecules" / "grids") / f"{name}.npz") as grid:
                density = grid["density"].reshape(-1)
            index = np.arange(len(density))
        else:
            index, density = f["index" + kind], f["density" + kind]
        points = np.stack(np.unravel_index(index, shape), axis=1) * (f["cell"] / shape)
    return atoms, points, density.astype(float)


def write_systems(folder, args, names):
    """Write the training molecules as DP systems in a folder; returns their names and the type map.

    Each frame of a system holds a group of molecules, far apart, and points of all of them. A
    step with one frame then sees many molecules, also by code that knows no batches over
    compositions.
    """
    rng = np.random.default_rng(args.seed)
    loaded = [(load(args.data, name), load(args.data, name, "_g")) for name in names]
    spacing = max(atoms.cell.lengths().max() for (atoms, *_), _ in loaded) + APART
    elements = np.unique(np.concatenate([atoms.numbers for (atoms, *_), _ in loaded]))
    type_map = [*Atoms(elements).get_chemical_symbols(), "X"]
    n_groups = -(-len(names) // args.molecules_per_frame)
    systems = [f"train/{k}" for k in range(n_groups)]
    for k, system in enumerate(systems):
        write_group(folder / system, args, loaded[k::n_groups], spacing, type_map, rng)
    return systems, type_map


def write_group(folder, args, group, spacing, type_map, rng):
    """Write a system whose frames hold all molecules of a group."""
    steep = round(args.by_gradient * args.points)
    numbers, positions, points, density = [], [], [], []
    side = int(np.ceil(len(group) ** (1 / 3)))
    for k, (uniform, by_gradient) in enumerate(group):
        origin = np.array(np.unravel_index(k, [side] * 3)) * spacing
        numbers.append(uniform[0].numbers)
        positions.append(uniform[0].positions + origin)
        for (_, where, values), n in ((uniform, args.points - steep), (by_gradient, steep)):
            chosen = np.resize(rng.permutation(len(values)), n)
            points.append(where[chosen] + origin)
            density.append(values[chosen])
    atoms = Atoms(np.concatenate(numbers), np.concatenate(positions))
    atoms = atoms[np.argsort(atoms.numbers, kind="stable")]
    points, density = np.concatenate(points), np.concatenate(density)
    per_frame = args.points_per_frame
    frames = len(density) // per_frame
    order = rng.permutation(len(density))[: frames * per_frame].reshape(frames, per_frame)
    symbols = atoms.get_chemical_symbols() + ["X"] * per_frame
    coord = np.empty([frames, len(symbols), 3])
    coord[:, : len(atoms)] = atoms.positions
    coord[:, len(atoms) :] = points[order]
    label = np.zeros([frames, len(symbols)])
    label[:, len(atoms) :] = density[order]
    part = folder / "set.000"
    part.mkdir(parents=True)
    np.savetxt(folder / "type.raw", [type_map.index(s) for s in symbols], fmt="%d")
    (folder / "type_map.raw").write_text("\n".join(type_map) + "\n")
    (folder / "nopbc").touch()
    np.save(part / "coord.npy", coord.reshape(frames, -1))
    np.save(part / "density.npy", label)


def steps_of(args, config, type_map, systems):
    """How many steps fit the processor time, from two short runs."""
    seconds = []
    for k, steps in enumerate(PROBES):
        folder = args.output / f"probe-{k}"
        prepare(
            folder,
            json.loads(json.dumps(config)),
            type_map,
            *(f"../{system}" for system in systems),
            numb_steps=steps,
            disp_freq=steps,
            save_freq=10**9,
        )
        seconds.append(train(folder))
    step = (seconds[1] - seconds[0]) / (PROBES[1] - PROBES[0])
    return max(PROBES[0], round((args.cpu_seconds - seconds[0]) / step) + PROBES[0])


def train(folder):
    """Run ``dp train`` in a folder; returns its processor time in s."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run_dp(folder, "train", "--skip-neighbor-stat", "input.json")
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def report(model, args, split, names):
    """Print the errors of a model on the molecules of a split; returns them."""
    print(f"{split:>12} {'points':>8} {'NMAE':>8} {'near':>8} {'far':>8} {'max':>8}   %, e/A^3")
    rows, shells = {}, np.zeros((len(SHELLS) - 1, 3))
    grids = args.learnt if split == "learnt" else args.data / "molecules" / "grids"
    for name in names:
        whole = split == "learnt" or (args.grids and (grids / f"{name}.npz").exists())
        atoms, points, density = load(args.data, name, "grid" if whole else "", grids)
        if args.test_points:
            chosen = np.random.default_rng(0).permutation(len(points))[: args.test_points]
            points, density = points[chosen], density[chosen]
        error = np.abs(model.predict_points(atoms, points) - density)
        distance = KDTree(atoms.positions).query(points)[0]
        near = distance < NEAR
        rows[name] = np.array(
            [
                [len(error[part]), error[part].sum(), np.abs(density[part]).sum(), error.max()]
                for part in (near, ~near)
            ]
        )
        for weights, column in ((None, 0), (error, 1), (np.abs(density), 2)):
            shells[:, column] += np.histogram(distance, SHELLS, weights=weights)[0]
        if args.by_molecule:
            show(name, rows[name])
    if args.by_distance:
        show_shells(shells)
    total = np.array(list(rows.values()))
    every = np.concatenate([total[:, :, :3].sum(axis=0), total[:, :, 3:].max(axis=0)], axis=1)
    show("all", every)
    each = {name: 100 * row[:, 1].sum() / row[:, 2].sum() for name, row in rows.items()}
    worst = max(each, key=each.get)
    median = float(np.median(list(each.values())))
    print(f"median {median:.3f}, worst {each[worst]:.3f} ({worst})", flush=True)
    near, far = (100 * every[:, 1] / every[:, 2]).tolist()
    nmae = 100 * every[:, 1].sum() / every[:, 2].sum()
    return {
        "nmae": nmae,
        "near": near,
        "far": far,
        "median": median,
        "max": every[0, 3],
        "by_molecule": each,
    }


def show(name, row):
    """Print a row of sums near nuclei and far from them."""
    near, far = 100 * row[:, 1] / row[:, 2]
    nmae = 100 * row[:, 1].sum() / row[:, 2].sum()
    print(
        f"{name:>12} {int(row[:, 0].sum()):8} {nmae:8.3f} {near:8.3f} {far:8.3f} {row[0, 3]:8.3f}",
        flush=True,
    )


def show_shells(shells):
    """Print shares of points, electrons and errors by the distance of the nearest nucleus."""
    print(
        f"{'A':>12} {'points':>8} {'electrons':>9} {'error':>8} {'NMAE':>8} {'mean':>9}   %, e/A^3"
    )
    shares = 100.0 * shells / shells.sum(axis=0)
    for low, high, share, (n, error, density) in zip(
        SHELLS[:-1], SHELLS[1:], shares, shells, strict=True
    ):
        print(
            f"{low:6.1f}-{high:<5.1f} {share[0]:8.2f} {share[2]:9.2f} {share[1]:8.2f}"
            f" {100 * error / density:8.3g} {error / n:9.2e}"
        )


if __name__ == "__main__":
    main()
