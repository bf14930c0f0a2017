# SPDX-License-Identifier: LGPL-3.0-or-later
"""Train with ``dp train`` on real densities and print the errors on unseen ones.

    python benchmarks/accuracy.py c-si --data DATA -o RUN [--config plugin_configs/c-si.json]

DATA holds ``deep_charge_vasp/`` (the Deep Charge authors' VASP densities at
random grid points) and ``qe/`` (whole-grid Quantum ESPRESSO densities). The
training time is the wall time of ``dp train``, statistics included. The sets of
``molecules.py`` have options of their own.
"""

import argparse
import json
import sys
import time
from pathlib import Path

import molecules
import numpy as np
import stock
from data import SETS, add_sampling, load, load_training, write_system
from runs import CONFIGS, Mean, merge, prepare, run_dp, step_time

from deepmd_charge import ChargeModel
from deepmd_charge.grid.metrics import Comparison

# Test points of a structure for the slow stock model, and for each checkpoint.
SUBSET = 20000
# Checkpoints in a run whose time to an accuracy is sought.
N_CHECKPOINTS = 20
# Steps from which the length of a stock run is worked out.
PROBE = 40


def main():
    """Train, freeze, evaluate and print one row for each structure."""
    args = arguments()
    train, test = SETS[args.set]
    args.output.mkdir(parents=True)
    structures = load_training(args, train, args.seed)
    tests = {name: load(args.data, name) for name in test}

    config = merge(json.loads(args.config.read_text()), json.loads(args.override))
    type_map = write_system(
        args.output / "train", structures, args.points_per_frame, args.points, args.seed
    )
    keep = {}
    if args.time_to:
        # dp saves only where it displays
        every = max(1, config["training"]["numb_steps"] // N_CHECKPOINTS)
        keep = {"save_freq": every, "disp_freq": every, "max_ckpt_keep": 2 * N_CHECKPOINTS}
    prepare(args.output, config, type_map, **keep)
    start = time.time()
    seconds = run_dp(args.output, "train", "input.json")
    run_dp(args.output, "freeze", "-o", "charge.pb")
    print(f"{args.set}: {len(train)} structure(s), {args.config}, {seconds:.0f} s of training")
    report(ChargeModel(args.output / "charge.pb"), tests)
    if args.time_to:
        time_to(args.time_to, args.output, start, subset(tests))
    if args.models > 1:
        folders = [args.output] + [another(args.output, k) for k in range(2, args.models + 1)]
        print(f"mean of {args.models} models")
        report(Mean([ChargeModel(folder / "charge.pb") for folder in folders]), tests)
    if args.stock is not None:
        model = train_stock(args, structures, args.stock or seconds)
        report(model, subset(tests))


def arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set", choices=SETS)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--config", type=Path, default=CONFIGS / "c-si.json")
    parser.add_argument(
        "--override", default="{}", metavar="JSON", help="merged into the configuration"
    )
    add_sampling(parser)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, required=True, help="new folder of the run")
    parser.add_argument(
        "--models",
        type=int,
        default=1,
        metavar="N",
        help="train N models that differ in their seeds and print the errors of their mean, too",
    )
    parser.add_argument(
        "--stock",
        type=float,
        nargs="?",
        const=0.0,
        metavar="SECONDS",
        help="train se_e2_a + ener on the same points too, so long or as long as ours",
    )
    parser.add_argument(
        "--time-to",
        type=float,
        metavar="MAE",
        help=f"look through {N_CHECKPOINTS} checkpoints for the first as good, in e/A^3",
    )
    return parser.parse_args()


def another(folder, number):
    """Train the model of a run once more, its seeds raised; returns the new folder."""
    config = json.loads((folder / "input.json").read_text())
    for part in (config["model"]["descriptor"], config["model"]["fitting_net"], config["training"]):
        part["seed"] = part.get("seed", 0) + 1000 * (number - 1)
    place = folder / f"model-{number}"
    prepare(place, config, config["model"]["type_map"], "../train")
    seconds = run_dp(place, "train", "input.json")
    run_dp(place, "freeze", "-o", "charge.pb")
    print(f"model {number}: {seconds:.0f} s of training", flush=True)
    return place


def report(model, tests):
    """Print the errors of a model on each structure and on all of them."""
    total = Comparison()
    print(f"{'structure':>16} {'points':>8} {'MAE':>10} {'RMSE':>10} {'max':>10}   e/A^3")
    for name, structure in tests.items():
        errors = compare(model, structure)
        total += errors
        show(name, errors)
    if len(tests) > 1:
        show("all", total)


def compare(model, structure):
    """Errors at the points of a structure; a prediction that is NaN is left out and told."""
    atoms, points, density = structure
    predicted = model.predict_points(atoms, points)
    good = ~np.isnan(predicted)
    if not good.all():
        print(f"left out: {np.sum(~good)} of {len(good)} points, where the prediction is NaN")
    return Comparison.of(density[good], predicted[good], atoms.cell.volume / len(density))


def show(name, errors):
    """Print a row."""
    m = errors.summary()
    row = f"{m['mae']:10.2e} {m['rmse']:10.2e} {m['max']:10.2e}"
    print(f"{name:>16} {m['n_points']:8} {row}", flush=True)


def subset(tests):
    """At most ``SUBSET`` points of each structure, drawn at random."""
    chosen = {}
    for name, (atoms, points, density) in tests.items():
        index = np.random.default_rng(0).permutation(len(points))[:SUBSET]
        chosen[name] = atoms, points[index], density[index]
    return chosen


def time_to(mae, folder, start, tests):
    """Print checkpoint after checkpoint until one reaches the MAE."""
    print(f"{'step':>8} {'s':>7} {'MAE':>10}   on {SUBSET} points of each structure")
    steps = sorted(int(p.stem.split("-")[1]) for p in folder.glob("model.ckpt-*.index"))
    for step in steps:
        checkpoint = f"model.ckpt-{step}"
        seconds = (folder / f"{checkpoint}.index").stat().st_mtime - start
        run_dp(folder, "freeze", "-c", checkpoint, "-o", "then.pb")
        model = ChargeModel(folder / "then.pb")
        errors = sum((compare(model, s) for s in tests.values()), Comparison()).summary()
        print(f"{step:8} {seconds:7.0f} {errors['mae']:10.2e}", flush=True)
        if errors["mae"] <= mae:
            print(f"MAE {mae:.2e} reached {seconds:.0f} s after the start of dp train")
            return
    print(f"MAE {mae:.2e} not reached")


def train_stock(args, structures, seconds):
    """Train the stock route for about so many seconds, on the points that ours had."""
    folder = args.output / "stock"
    type_map = write_system(
        folder / "train", structures, stock.POINTS_PER_FRAME, args.points, args.seed, stock=True
    )
    flags = ("train", "input.json", "--skip-neighbor-stat")
    prepare(
        folder, stock.configuration(type_map, structures, PROBE), type_map, disp_freq=PROBE // 2
    )
    wall = run_dp(folder, *flags)
    step = step_time(folder)
    steps = max(1, round((seconds - wall) / step / 100) + 1) * 100
    prepare(folder, stock.configuration(type_map, structures, steps), type_map)
    wall = run_dp(folder, *flags)
    run_dp(folder, "freeze", "-o", "stock.pb")
    print(f"stock: se_e2_a + ener, {steps} steps, {wall:.0f} s of training")
    return stock.StockModel(folder / "stock.pb")


if __name__ == "__main__":
    if molecules.SETS.keys() & set(sys.argv[1:]):
        molecules.main()
    else:
        main()
