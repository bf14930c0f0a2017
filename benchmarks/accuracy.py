# SPDX-License-Identifier: LGPL-3.0-or-later
"""Train with ``dp train`` on real densities and print the errors on unseen ones.

    python benchmarks/accuracy.py c-si --data DATA [--config plugin_configs/c-si.json]

DATA holds ``deep_charge_vasp/`` (the Deep Charge authors' VASP densities at
random grid points) and ``qe/`` (whole-grid Quantum ESPRESSO densities). The
training time is the wall time of ``dp train``, statistics included.
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
from ase import Atoms

from deepmd_charge import ChargeModel, read_density
from deepmd_charge.metrics import Comparison

CONFIGS = Path(__file__).resolve().parent.parent / "plugin_configs"

# name: (training structures, structures to report on); a name with "qe" is a
# whole grid, the others are points. qe-*: one structure left out.
SETS = {
    "c-si": (["csi_train"], ["csi_test"]),
    "a-si": (
        [f"asi_train_{k}" for k in (1, 11, 12, 13, 14, 15, 16)],
        [f"asi_test_{k}" for k in (103, 104, 105, 106)],
    ),
    "a-si-choose": (
        [f"asi_train_{k}" for k in (1, 11, 12, 13, 14, 15, 16)],
        [f"asi_train_{k}" for k in (17, 18, 19)],
    ),
    "qe-si-1": (["qe/si/1"], ["qe/si/2"]),
    "qe-si": (["qe/si/1", "qe/si/2"], ["qe/si/3"]),
    "qe-al": (["qe/al/1", "qe/al/2"], ["qe/al/3"]),
    "qe-almg": ([f"qe/almg/{k}" for k in (1, 2, 3, 4)], ["qe/almg/5"]),
    "qe-water": ([f"qe/water/{k}" for k in (1, 2, 3, 4)], ["qe/water/5"]),
}


def load(data, name):
    """Atoms, points (n, 3) in A and densities (n,) in e/A^3 of one structure."""
    if name.startswith("qe/"):
        density = read_density(data / name / "CHGCAR.gz")
        return density.atoms, density.points(), density.values.reshape(-1)
    with np.load(data / "deep_charge_vasp" / f"{name}.npz") as f:
        atoms = Atoms(f["numbers"], f["positions"], cell=f["cell"], pbc=True)
        return atoms, (f["grid_index"] / f["grid_shape"]) @ f["cell"], f["density"]


def write_system(folder, structures, per_frame, n_points, rng):
    """Write structures of one composition as a DP system of ``per_frame`` points a frame."""
    part = folder / "set.000"
    part.mkdir(parents=True)
    coord, box, label = [], [], []
    for atoms, points, density in structures:
        order = np.argsort(atoms.numbers, kind="stable")
        n_frames = min(n_points, len(points)) // per_frame
        chosen = rng.permutation(len(points))[: n_frames * per_frame]
        for index in chosen.reshape(n_frames, per_frame):
            coord.append(np.concatenate([atoms.positions[order], points[index]]))
            label.append(np.concatenate([np.zeros(len(atoms)), density[index]]))
            box.append(atoms.cell.array)
    symbols = [atoms.get_chemical_symbols()[k] for k in order] + ["X"] * per_frame
    type_map = list(dict.fromkeys(symbols))
    np.savetxt(folder / "type.raw", [type_map.index(s) for s in symbols], fmt="%d")
    (folder / "type_map.raw").write_text("\n".join(type_map) + "\n")
    np.save(part / "coord.npy", np.reshape(coord, [len(coord), -1]))
    np.save(part / "box.npy", np.reshape(box, [len(box), 9]))
    np.save(part / "density.npy", np.array(label))
    return type_map


def main():
    """Train, freeze, evaluate and print one row for each structure."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set", choices=SETS)
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--config", type=Path, default=CONFIGS / "c-si.json")
    parser.add_argument("--override", default="{}", metavar="JSON", help="merged into the configuration")
    parser.add_argument("--points", type=int, default=100000, help="training points a structure")
    parser.add_argument("--points-per-frame", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("-o", "--output", type=Path, required=True, help="new folder of the run")
    args = parser.parse_args()

    rng = np.random.default_rng(args.seed)
    train, test = SETS[args.set]
    args.output.mkdir(parents=True)
    structures = [load(args.data, name) for name in train]
    type_map = write_system(
        args.output / "train", structures, args.points_per_frame, args.points, rng
    )
    config = merge(json.loads(args.config.read_text()), json.loads(args.override))
    config["model"]["type_map"] = type_map
    config["training"]["training_data"]["systems"] = ["train"]
    config["training"].pop("validation_data", None)
    (args.output / "input.json").write_text(json.dumps(config, indent=2))
    start = time.perf_counter()
    run_dp(args.output, "train", "input.json")
    seconds = time.perf_counter() - start
    run_dp(args.output, "freeze", "-o", "charge.pb")

    model = ChargeModel(args.output / "charge.pb")
    total = Comparison()
    print(f"{args.set}: trained on {len(train)} structure(s) in {seconds:.0f} s")
    print(f"{'structure':>16} {'MAE':>10} {'RMSE':>10} {'max':>10}   e/A^3")
    for name in test:
        atoms, points, density = load(args.data, name)
        predicted = model.predict_points(atoms, points)
        errors = Comparison.of(density, predicted, atoms.cell.volume / len(density))
        total += errors
        show(name, errors)
    if len(test) > 1:
        show("all", total)


def show(name, errors):
    m = errors.summary()
    print(f"{name:>16} {m['mae']:10.2e} {m['rmse']:10.2e} {m['max']:10.2e}", flush=True)


def merge(base, change):
    """Nested dictionaries merged, those of ``change`` winning."""
    for key, value in change.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        base[key] = merge(base[key], value) if both else value
    return base


def run_dp(folder, *arguments):
    """Run ``dp`` in a folder, its messages in a log there."""
    with open(folder / f"{arguments[0]}.log", "w") as log:
        code = subprocess.run(
            [Path(sys.executable).with_name("dp"), *arguments], cwd=folder, stdout=log, stderr=log
        ).returncode
    if code:
        sys.exit(f"dp {arguments[0]} failed: see {log.name}")


if __name__ == "__main__":
    main()
