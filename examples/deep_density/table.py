# SPDX-License-Identifier: LGPL-3.0-or-later
"""Train models on small chains and print their errors on longer ones.

    python examples/deep_density/table.py DATA -o RUN

DATA is that of ``chains.py``. Each configuration is trained on each system, in RUN/SYSTEM/NAME;
a model that is there already is taken as it is. The errors are relative in L2,
sqrt(sum d^2 / sum rho^2), and, as a metal is nearly uniform, also in relation to the fluctuation
about the mean, sqrt(sum d^2 / sum (rho - mean)^2). RUN/chains.png is the longest chain.
"""

import argparse
import json
import subprocess
import sys
import time
from collections import defaultdict
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from chains import SYSTEMS, UNIT

from deepmd_charge import ChargeModel, read_density
from deepmd_charge.grid.metrics import Comparison

HERE = Path(__file__).parent
# one for each model family; type_map and training data are filled in
CONFIGURATIONS = [HERE / "se_charge.json"]
SHOWN = 200.0  # A of the chain in the picture


def main():
    """Train what is not there yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--config", type=Path, nargs="+", default=CONFIGURATIONS)
    parser.add_argument("--systems", nargs="+", choices=SYSTEMS, default=list(SYSTEMS))
    args = parser.parse_args()
    pictures = []
    print(
        f"{'system':>10} {'model':>12} {'atoms':>5} {'chains':>6}  error / density, / fluctuation"
    )
    for system in args.systems:
        for config in args.config:
            model = trained(args.data / system, args.output / system / config.stem, config)
            tests = sorted((args.data / system / "test").glob("*.cube"), key=order)
            errors, number = defaultdict(Comparison), defaultdict(int)
            for path in tests:
                true = read_density(path, unit=UNIT)
                predicted = model.predict(true.atoms, true.shape)
                n_atoms = len(true.atoms)
                volume = true.atoms.get_volume() / true.values.size
                errors[n_atoms] += Comparison.of(true.values, predicted.values, volume)
                number[n_atoms] += 1
            for n_atoms, error in errors.items():
                to_density = (error.sum_sq / error.true_sq) ** 0.5
                to_fluctuation = (error.sum_sq / error.true_spread) ** 0.5
                print(
                    f"{system:>10} {config.stem:>12} {n_atoms:5} {number[n_atoms]:6}  "
                    f"{to_density:.1e}          {to_fluctuation:.1e}",
                    flush=True,
                )
            pictures.append((f"{system}, {config.stem}", true, predicted))
    draw(pictures, args.output / "chains.png")


def order(path):
    """Atoms and number of the chain in a file."""
    return [int(part) for part in path.stem.split("-")]


def trained(data, folder, config):
    """The model of a configuration on a system, trained if it is not there."""
    if not (folder / "charge.pb").exists():
        systems = sorted((data / "dp").resolve().iterdir())
        text = json.loads(config.read_text())
        names = {name for s in systems for name in (s / "type_map.raw").read_text().split()}
        text["model"]["type_map"] = [*sorted(names - {"X"}), "X"]
        text["training"]["training_data"]["systems"] = [str(s) for s in systems]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "input.json").write_text(json.dumps(text, indent=2))
        start = time.perf_counter()
        run_dp(folder, "train", "input.json")
        run_dp(folder, "freeze", "-o", "charge.pb")
        print(f"{folder}: trained in {time.perf_counter() - start:.0f} s", file=sys.stderr)
    return ChargeModel(folder / "charge.pb")


def run_dp(folder, *arguments):
    """Run ``dp`` in a folder, its messages in a log there."""
    with open(folder / f"{arguments[0]}.log", "w") as log:
        command = [Path(sys.executable).with_name("dp"), *arguments]
        if subprocess.run(command, cwd=folder, stdout=log, stderr=log).returncode:
            sys.exit(f"dp {arguments[0]} failed: see {log.name}")


def draw(pictures, path):
    """Part of each chain: densities above, the difference below."""
    figure, axes = plt.subplots(
        2 * len(pictures),
        1,
        figsize=(9.0, 2.8 * len(pictures)),
        sharex=True,
        squeeze=False,
        height_ratios=len(pictures) * [3, 1],
        layout="constrained",
    )
    axes = axes[:, 0]
    for k, (title, true, predicted) in enumerate(pictures):
        length = true.atoms.cell.lengths()[2]
        z = np.arange(true.shape[2]) * length / true.shape[2]
        shown = np.abs(z - length / 2.0) <= SHOWN / 2.0
        rho, model = true.values[0, 0, shown], predicted.values[0, 0, shown]
        above, below = axes[2 * k : 2 * k + 2]
        above.plot(z[shown], rho, color="0.7", linewidth=3.0, label="Kohn-Sham")
        above.plot(z[shown], model, color="C0", linewidth=1.0, label="predicted")
        above.set_title(f"{title}: {len(true.atoms)} atoms, {SHOWN:g} A of {length:g} A")
        above.set_ylabel("e / A$^3$")
        below.plot(z[shown], model - rho, color="C3", linewidth=1.0)
        below.set_ylabel("difference")
        below.ticklabel_format(axis="y", scilimits=(0, 0))
    axes[0].legend(loc="upper right", ncols=2)
    axes[-1].set_xlabel("z / A")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
