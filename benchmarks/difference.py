# SPDX-License-Identifier: LGPL-3.0-or-later
"""Compare models of the total density with models of its difference to the SAED.

    python benchmarks/difference.py qe-si --data DATA -o RUN [--config plugin_configs/c-si.json]

Every structure of the set is left out once; on the others two models are trained
that differ in nothing but the key ``model.saed``, from the same points in the same
order. Both are tested on the same points of the structure that was left out.
DATA is that of ``accuracy.py``, with ``qe/pseudo/`` and ``CHGCAR_saed.gz``.
"""

import argparse
import json
from pathlib import Path

import numpy as np
from data import load_molecule
from runs import CONFIGS, merge, prepare, run_dp

from deepmd_charge import ChargeModel, read_density, write_density
from deepmd_charge.cli.main import main as command
from deepmd_charge.grid.metrics import Comparison

# set: (structures, ecutrho in Ry)
SETS = {
    "qe-si": ([f"qe/si/{k}" for k in (1, 2, 3)], 100),
    "qe-al": ([f"qe/al/{k}" for k in (1, 2, 3)], 80),
    "qe-almg": ([f"qe/almg/{k}" for k in (1, 2, 3, 4, 5)], 80),
    "qe-water": ([f"qe/water/{k}" for k in (1, 2, 3, 4, 5)], 280),
}
# Two molecules without a common heavy atom: each is tested on other points of itself.
MOLECULES = "molecules"
TARGETS = ("total", "difference")


def main():
    """Train and test every fold and print one row for each."""
    args = arguments()
    args.output.mkdir(parents=True)
    print(f"{'left out':>12} {'total':>22} {'difference':>22}   MAE and max, e/A^3")
    ratios = []
    for name, files, test, saed, flags in folds(args):
        folder = args.output / name.replace("/", "-")
        folder.mkdir()
        quietly = ["--points", str(args.points), "--points-per-frame", str(args.points_per_frame)]
        convert = ["convert", *files, "-o", str(folder / "train"), "--seed", "1", *quietly, *flags]
        if command(convert):
            raise SystemExit(1)
        index = np.random.default_rng(2).permutation(test.values.size)[: args.test_points]
        errors = {t: run(args, folder, t, test, index, saed) for t in TARGETS}
        row = " ".join(f"{e['mae']:11.3e} {e['max']:10.2e}" for e in errors.values())
        ratios.append(errors["difference"]["mae"] / errors["total"]["mae"])
        print(f"{name:>12} {row}   x {ratios[-1]:.3f}", flush=True)
    better = sum(r < 1.0 for r in ratios)
    print(f"{args.set}: {better} of {len(ratios)} improve; mean ratio {np.mean(ratios):.3f}")


def arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set", choices=[*SETS, MOLECULES])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--config", type=Path, default=CONFIGS / "c-si.json")
    parser.add_argument(
        "--override", default="{}", metavar="JSON", help="merged into the configuration"
    )
    parser.add_argument(
        "--left-out", nargs="+", metavar="NAME", help="these folds only: qe/water/5"
    )
    parser.add_argument("--points", type=int, default=20000, help="training points a structure")
    parser.add_argument("--points-per-frame", type=int, default=1000)
    parser.add_argument("--test-points", type=int, default=20000)
    parser.add_argument("-o", "--output", type=Path, required=True, help="new folder of the runs")
    return parser.parse_args()


def folds(args):
    """Yield name, training files, test density, its SAED if one is needed, flags of convert."""
    if args.set == MOLECULES:
        for name in ("1", "2"):
            paths = [args.output / f"CHGCAR_{name}", args.output / f"CHGCAR_{name}_saed"]
            for path, density in zip(paths, load_molecule(args.data, name), strict=True):
                write_density(path, density)
            yield (
                name,
                [str(paths[0])],
                read_density(paths[0]),
                read_density(paths[1]),
                ["--saed", paths[1].name],
            )
        return
    names, ecutrho = SETS[args.set]
    if unknown := set(args.left_out or ()).difference(names):
        raise SystemExit(f"{args.set} has no {', '.join(sorted(unknown))}")
    flags = ["--saed", f"upf:{args.data / 'qe' / 'pseudo'}", "--saed-ecutrho", str(ecutrho)]
    for name in args.left_out or names:
        files = [str(args.data / other / "CHGCAR.gz") for other in names if other != name]
        yield name, files, read_density(args.data / name / "CHGCAR.gz"), None, flags


def run(args, folder, target, test, index, saed):
    """Train a model and return its errors on the points of a density."""
    config = merge(json.loads(args.config.read_text()), json.loads(args.override))
    if target == "difference":
        config["model"]["saed"] = "../train/saed.npz"
    type_map = (folder / "train" / "type_map.raw").read_text().split()
    type_map = [name for name in type_map if name != "X"] + ["X"]
    place = folder / target
    prepare(place, config, type_map, "../train")
    run_dp(place, "train", "input.json")
    run_dp(place, "freeze", "-o", "charge.pb")
    model = ChargeModel(place / "charge.pb")
    needed = saed.values.reshape(-1)[index] if saed and target == "difference" else None
    predicted = model.predict_points(test.atoms, test.points(index), saed=needed)
    true = test.values.reshape(-1)[index]
    return Comparison.of(true, predicted, test.volume / len(index)).summary()


if __name__ == "__main__":
    main()
