# SPDX-License-Identifier: LGPL-3.0-or-later
"""Train models on small systems, and print their errors on larger ones.

    python examples/deep_density/table.py DATA -o RUN

DATA is that of ``chains.py``, ``molecules.py``, ``water.py`` and ``aluminium.py``. Each model
family is trained on each system, in RUN/SYSTEM/FAMILY; a model that is there already is taken as
it is, a run that was stopped goes on. The errors are relative in L2, sqrt(sum d^2 / sum rho^2),
and, as a metal is nearly uniform, also in relation to the fluctuation about the mean,
sqrt(sum d^2 / sum (rho - mean)^2). Structures without a density, in DATA/SYSTEM/large, are
predicted and timed. RUN/errors.png shows the errors by size, RUN/chains.png the longest chains.
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
from ase.io import read
from chains import SYSTEMS, UNIT
from matplotlib.ticker import LogLocator, StrMethodFormatter

from deepmd_charge import ChargeModel, read_density
from deepmd_charge.grid.metrics import Comparison

HERE = Path(__file__).parent
# FAMILY/chains.json for chains, FAMILY/SYSTEM.json for others; type_map and data are filled in
FAMILIES = ["se_charge", "se_cluster"]
SHOWN = 200.0  # A of a chain in the picture


def main():
    """Train what is not there yet, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("-o", "--output", type=Path, required=True)
    parser.add_argument("--families", nargs="+", choices=FAMILIES, default=FAMILIES)
    parser.add_argument("--systems", nargs="+", help="folders of DATA (default: all)")
    args = parser.parse_args()
    pictures, errors = [], {}
    print("system     model      test       densities  error / density  error / fluctuation")
    for system in args.systems or sorted(
        path.name for path in args.data.iterdir() if path.is_dir()
    ):
        for family in args.families:
            kind = "chains" if system in SYSTEMS else system
            folder, data = args.output / system / family, args.data / system
            model = trained(data, folder, HERE / family / f"{kind}.json")
            found, *longest = test(model, data / "test", f"{system:10} {family:10}")
            errors[system, family] = found
            if system in SYSTEMS:
                pictures.append((f"{system}, {family}", *longest))
            for path in sorted((data / "large").glob("*.xyz")):
                predict(model, path, f"{system:10} {family:10} {path.stem:10}")
    draw_errors(errors, args.output / "errors.png")
    if pictures:
        draw(pictures, args.output / "chains.png")


def test(model, folder, head):
    """Print a line for each kind of test density.

    Returns (atoms, error) of each, and the last density, true and predicted.
    """
    groups = defaultdict(list)
    for path in sorted(folder.glob("*.cube")):
        density = read_density(path, **({"unit": UNIT} if folder.parent.name in SYSTEMS else {}))
        groups[path.stem.rsplit("-", 1)[0]].append(density)
    found = []
    for name, densities in sorted(groups.items(), key=lambda item: len(item[1][0].atoms)):
        errors = Comparison()
        for true in densities:
            predicted = model.predict(true.atoms, true.shape)
            volume = true.grid.volume / true.values.size
            errors += Comparison.of(true.values, predicted.values, volume)
        to_density = (errors.sum_sq / errors.true_sq) ** 0.5
        to_fluctuation = (errors.sum_sq / errors.true_spread) ** 0.5
        found.append((len(true.atoms), to_density))
        print(
            f"{head} {name:10} {len(densities):9} {to_density:16.1e} {to_fluctuation:20.1e}",
            flush=True,
        )
    return found, true, predicted


def predict(model, path, head):
    """Predict a structure that has no density, and print how long it takes and what it holds."""
    atoms = read(path)
    shape = tuple(np.ceil(atoms.cell.lengths() / model.info["grid_spacing"]).astype(int))
    start = time.perf_counter()
    density = model.predict(atoms, shape)
    seconds = time.perf_counter() - start
    print(
        f"{head} predicted: {len(atoms)} atoms, {density.values.size} points in {seconds:.0f} s, "
        f"{density.n_electrons:.2f} electrons",
        flush=True,
    )


def trained(data, folder, config):
    """The model of a configuration on a system, trained if it is not there."""
    if not (folder / "charge.pb").exists():
        systems = sorted(path.parent for path in (data / "dp").resolve().rglob("type_map.raw"))
        text = json.loads(config.read_text())
        names = {name for s in systems for name in (s / "type_map.raw").read_text().split()}
        text["model"]["type_map"] = [*sorted(names - {"X"}), "X"]
        text["training"]["training_data"]["systems"] = [str(s) for s in systems]
        start = time.perf_counter()
        if (folder / "checkpoint").exists():
            run_dp(folder, "train", "input.json", "--restart", "model.ckpt")
        else:
            folder.mkdir(parents=True, exist_ok=True)
            (folder / "input.json").write_text(json.dumps(text, indent=2))
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


def draw_errors(errors, path):
    """The errors of each system by size, one line a family."""
    systems = list(dict.fromkeys(system for system, _ in errors))
    figure, axes = plt.subplots(
        1,
        len(systems),
        figsize=(2.2 * len(systems) + 0.6, 3.2),
        sharey=True,
        squeeze=False,
        layout="constrained",
    )
    for axis, system in zip(axes[0], systems, strict=True):
        for k, family in enumerate(FAMILIES):
            if (system, family) in errors:
                atoms, found = zip(*errors[system, family], strict=True)
                axis.plot(atoms, found, "os"[k] + "-", color=f"C{k}", label=family)
        axis.set(title=system, xscale="log", yscale="log", xlabel="atoms")
        sizes = sorted({n for of in errors for n, _ in errors[of] if of[0] == system})
        axis.set_xticks(sizes, [f"{n}" for n in sizes], rotation=90.0)
        axis.minorticks_off()
        axis.grid(color="0.9")
    axes[0, 0].set_ylabel("relative L2 error")
    decades = np.ptp(np.log10(axes[0, 0].get_ylim()))
    if decades < 3.0:  # one power of ten says little
        axes[0, 0].yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes[0, 0].yaxis.set_major_formatter(StrMethodFormatter("{x:.0e}"))
    axes[0, -1].legend()
    figure.savefig(path, dpi=120)
    plt.close(figure)


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
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside upper right", ncols=2)
    axes[-1].set_xlabel("z / A")
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
