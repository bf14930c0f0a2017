# SPDX-License-Identifier: LGPL-3.0-or-later
"""What each setting of the model is worth: one row for each change of one of them.

    python benchmarks/ablation.py qe-si-1 --data DATA -o RUN [--config FILE] [--steps 2000]

Trains the descriptor and the loss as they are by default, otherwise as in ``c-si.json``
(or another file as it stands), with each change for the same number of steps on the
same points of a set of ``accuracy.py``, and prints the errors on 20000 points of each
structure that it has not seen. Meant for the sets that choose.
"""

import argparse
import copy
import json
from pathlib import Path

from accuracy import compare, subset
from data import SETS, add_sampling, load, load_training, write_system
from runs import CONFIGS, merge, prepare, run_dp

from deepmd_charge import ChargeModel
from deepmd_charge.grid.metrics import Comparison

TRIPLES = [[1, 1, 2], [2, 2, 2], [1, 2, 3]]
CHANGES = {
    "as it is": {},
    "another seed": {"model": {"descriptor": {"seed": 2}, "fitting_net": {"seed": 2}}},
    "lmax 1": {"model": {"descriptor": {"lmax": 1}}},
    "lmax 2": {"model": {"descriptor": {"lmax": 2}}},
    "lmax 3": {"model": {"descriptor": {"lmax": 3}}},
    "lmax 5": {"model": {"descriptor": {"lmax": 5}}},
    "lmax 6": {"model": {"descriptor": {"lmax": 6}}},
    "radial chebyshev": {"model": {"descriptor": {"radial": "chebyshev"}}},
    "n_radial 16": {"model": {"descriptor": {"n_radial": 16}}},
    "n_channel 8": {"model": {"descriptor": {"n_channel": 8}}},
    "n_channel 24": {"model": {"descriptor": {"n_channel": 24}}},
    "axis_neuron 8": {"model": {"descriptor": {"axis_neuron": 8}}},
    "eps 0.1": {"model": {"descriptor": {"eps": 0.1}}},
    "eps 1.0": {"model": {"descriptor": {"eps": 1.0}}},
    "rcut 5": {"model": {"descriptor": {"rcut": 5.0}}},
    "rcut 8, n_radial 28": {"model": {"descriptor": {"rcut": 8.0, "n_radial": 28}}},
    "triples": {"model": {"descriptor": {"triples": TRIPLES}}},
    "neuron [32, 32]": {"model": {"fitting_net": {"neuron": [32, 32]}}},
    "neuron [128, 128, 128]": {"model": {"fitting_net": {"neuron": [128] * 3}}},
    "tanh": {"model": {"fitting_net": {"activation_function": "tanh"}}},
    "loss mse": {"loss": {"loss_func": "mse"}},
    "loss mae": {"loss": {"loss_func": "mae"}},
    "weight_decay 1e-4": {"loss": {"weight_decay": 1e-4}},
    "weight_decay 1e-3": {"loss": {"weight_decay": 1e-3}},
    "start_lr 5e-3": {"learning_rate": {"start_lr": 5e-3}},
    "start_lr 2e-2": {"learning_rate": {"start_lr": 2e-2}},
    "exponential": {"learning_rate": {"type": "exp", "decay_steps": 20}},
    "half the steps": {"training": {"numb_steps": 0.5}},
    "twice the steps": {"training": {"numb_steps": 2}},
}


def main():
    """Train and evaluate one change after another."""
    args = arguments()
    train, test = SETS[args.set]
    structures = load_training(args, train, seed=1)
    whole = [load(args.data, name) for name in train] if args.by_gradient else structures
    seen = subset(dict(enumerate(whole)))
    tests = subset({name: load(args.data, name) for name in test})
    args.output.mkdir(parents=True)
    type_map = write_system(
        args.output / "train", structures, args.points_per_frame, args.points, seed=1
    )
    base = defaults() if args.config is None else json.loads(args.config.read_text())
    merge(base, json.loads(args.override))
    print(f"{args.set}, {args.config or 'defaults'}, {args.steps} steps; e/A^3")
    print(f"{'change':>24} {'train s':>8} {'train MAE':>10} {'MAE':>10} {'RMSE':>10} {'max':>10}")
    for name in args.only or CHANGES:
        folder = args.output / name.replace(" ", "-")
        config = merge(copy.deepcopy(base), copy.deepcopy(CHANGES[name]))
        steps = config["training"]["numb_steps"] if "training" in CHANGES[name] else 1
        steps = round(steps * args.steps)
        prepare(folder, config, type_map, "../train", numb_steps=steps, disp_freq=steps)
        seconds = run_dp(folder, "train", "input.json")
        run_dp(folder, "freeze", "-o", "charge.pb")
        model = ChargeModel(folder / "charge.pb")
        errors, learnt = (
            sum((compare(model, s) for s in part.values()), Comparison()).summary()
            for part in (tests, seen)
        )
        print(
            f"{name:>24} {seconds:8.0f} {learnt['mae']:10.2e} {errors['mae']:10.2e} "
            f"{errors['rmse']:10.2e} {errors['max']:10.2e}",
            flush=True,
        )


def defaults():
    """The production configuration without what it chooses of descriptor and loss."""
    config = json.loads((CONFIGS / "c-si.json").read_text())
    descriptor = config["model"]["descriptor"]
    config["model"]["descriptor"] = {key: descriptor[key] for key in ("type", "rcut", "seed")}
    config["loss"] = {"type": "charge", "loss_func": "huber"}
    return config


def arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set", choices=SETS)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--config", type=Path, help="instead of the defaults")
    parser.add_argument("--override", default="{}", metavar="JSON", help="merged into it first")
    parser.add_argument("--steps", type=int, default=2000)
    add_sampling(parser)
    parser.add_argument("--only", nargs="+", choices=CHANGES, metavar="CHANGE", help="these alone")
    parser.add_argument("-o", "--output", type=Path, required=True, help="new folder of the runs")
    return parser.parse_args()


if __name__ == "__main__":
    main()
