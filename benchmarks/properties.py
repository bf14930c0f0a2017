# SPDX-License-Identifier: LGPL-3.0-or-later
"""What densities tell of properties: moduli, Debye temperature and formation energy of binaries.

    python benchmarks/properties.py [STAGE ...] --data DATA -o RUNS [--latent LATENT.npz] [-j N]

DATA holds ``elastic/`` (structures and labels). Stages, all in turn or those that are named; what
is done is not done again:

data      structures and labels of the 3,953 binaries, and their folds: those of
          benchmarks/property_folds.csv.gz, which this stage writes where it is missing
features  invariants of superposed densities (`deepmd-charge property features`)
learn     predictions of held-out compounds by each kind of input and model, for folds at random,
          by formula and by chemical system
table     R2 with intervals, paired differences, and pictures

LATENT is what `property_latent.py encode` wrote; without it what needs it is left out.
No label is removed: those outside of the range of the labels that the authors of
arXiv 2605.07227 publish are left out in a side column alone.
"""

import argparse
import csv
import gzip
import json
import re
import subprocess
import time
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.io import read, write

from deepmd_charge.property.attention import AttentionSettings
from deepmd_charge.property.composition import COMPOSITION, composition_features
from deepmd_charge.property.features import FEATURES
from deepmd_charge.property.folds import chemical_system, make_folds, reduced_formula
from deepmd_charge.property.inputs import Block, Facts, Inputs
from deepmd_charge.property.moduli import derived
from deepmd_charge.property.regressors import Settings
from deepmd_charge.property.scores import bootstrap_difference, bootstrap_interval, score
from deepmd_charge.property.targets import Target
from deepmd_charge.property.trees import TreeSettings
from deepmd_charge.property.validation import cross_validate

HERE = Path(__file__).parent
FOLDS = HERE / "property_folds.csv.gz"
DOUBTFUL = HERE / "property_doubtful.csv"
DEALT = {"random": None, "formula": reduced_formula, "system": chemical_system}
UNITS = {"K": "GPa", "G": "GPa", "E": "GPa", "debye": "K", "e_form": "eV/atom"}
# Ranges of the labels that the paper published.
PUBLISHED = {"K": (0.098, 424.2), "G": (0.124, 292.5), "E": (0.357, 762.7), "debye": (25.7, 1680.0)}
# What elastically stable compounds rarely leave; labels outside are listed as doubtful.
POISSON = (-0.2, 0.49)
VOLUME = ("volume", "mass_density", "atoms")
# Of the invariants those that follow from the places of the atoms alone.
GEOMETRY = (
    "bonds_per_volume",
    *(
        f"{name}_{how}"
        for name in ("nearest", "distance", "neighbours", "bond_angles")
        for how in ("mean", "min", "max")
    ),
)

# name: (model, kinds of input); plain: 500 trees of LightGBM as it comes, as the first baseline
RUNS = {
    "baseline: composition": ("plain", ("composition",)),
    "baseline: composition, volume": ("plain", ("composition", "volume")),
    "baseline: composition, volume, invariants": (
        "plain",
        ("composition", "volume", "invariants"),
    ),
    "composition": ("trees", ("composition",)),
    "composition, volume": ("trees", ("composition", "volume")),
    "composition, volume, geometry": ("trees", ("composition", "volume", "geometry")),
    "invariants": ("trees", ("invariants",)),
    "latent": ("trees", ("latent",)),
    "invariants, composition": ("trees", ("invariants", "composition")),
    "invariants, composition, volume": ("trees", ("invariants", "composition", "volume")),
    "invariants, composition, latent": ("trees", ("invariants", "composition", "latent")),
    "attention network": ("attention", ("invariants", "composition", "latent")),
}
ALL = "all together"
PARTS = ("invariants, composition", "attention network")
GROUPED = ("composition, volume", *PARTS)
CLAIMS = (
    ("composition", "composition, volume"),
    ("composition", "invariants"),
    ("composition, volume", "invariants"),
    ("composition, volume", "invariants, composition"),
    ("composition, volume, geometry", "invariants, composition"),
    ("invariants, composition", "invariants, composition, volume"),
    ("invariants, composition", "invariants, composition, latent"),
    ("invariants, composition", "attention network"),
    ("invariants, composition", ALL),
    ("composition, volume", ALL),
)


def main():
    """Run the stages."""
    stages = {"data": prepare, "features": extract, "learn": learn, "table": tabulate}
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=f"of {', '.join(stages)}")
    parser.add_argument("--data", type=Path, default=HERE.parents[1] / "shared" / "data")
    parser.add_argument("-o", "--output", type=Path, default=HERE / "runs" / "property")
    parser.add_argument("--latent", type=Path, help="of property_latent.py encode")
    parser.add_argument("--runs", nargs="+", choices=RUNS, default=list(RUNS), help="to learn")
    parser.add_argument("--folds", nargs="+", choices=DEALT, default=list(DEALT))
    parser.add_argument("--members", type=int, default=2, help="members of an ensemble")
    parser.add_argument("-j", "--jobs", type=int, default=1, help="threads")
    args = parser.parse_args()
    if unknown := set(args.stages) - set(stages):
        parser.error(f"unknown stage {min(unknown)}; there are {', '.join(stages)}")
    args.output.mkdir(parents=True, exist_ok=True)
    for name in args.stages or stages:
        stages[name](args)


def prepare(args):
    """Structures, labels and folds."""
    source = args.data / "elastic" / "elastic_structures.json.gz"
    if not source.exists():
        raise SystemExit(f"{source}: is missing; say where the data is by --data")
    with gzip.open(source) as file:
        entries = [e for e in json.load(file)["entries"] if e["source"] == "matcalc"]
    structures = [
        Atoms(e["numbers"], cell=e["cell"], scaled_positions=e["frac"], pbc=True) for e in entries
    ]
    write(args.output / "binaries.extxyz", structures, columns=["symbols", "positions"])
    labels = {"id": [e["id"] for e in entries]}
    labels |= {k: [np.nan if e[k] is None else e[k] for e in entries] for k in UNITS}
    np.savez(args.output / "labels.npz", **labels)
    if not FOLDS.exists():
        formulas = [atoms.get_chemical_formula() for atoms in structures]
        dealt = []
        for group in DEALT.values():
            groups = None if group is None else [group(formula) for formula in formulas]
            dealt.append(make_folds(len(formulas), 5, 0, groups))
        with gzip.GzipFile(FOLDS, "wb", mtime=0) as file:
            lines = ["id," + ",".join(DEALT)]
            lines += [",".join(map(str, row)) for row in zip(labels["id"], *dealt, strict=True)]
            file.write(("\n".join(lines) + "\n").encode())


def extract(args):
    """Invariants of superposed densities."""
    table = args.output / "features.csv"
    if table.exists():
        return
    start = time.perf_counter()
    command = ["deepmd-charge", "property", "features", args.output / "binaries.extxyz"]
    subprocess.run([*command, "-o", table, "-j", str(args.jobs), "--resume"], check=True)
    print(f"features: {time.perf_counter() - start:.0f} s with {args.jobs} processes")


def load(args):
    """Inputs by kind, labels, folds and groups of the binaries."""
    structures = read(args.output / "binaries.extxyz", ":")
    with np.load(args.output / "labels.npz") as file:
        ids, labels = file["id"].tolist(), {name: file[name] for name in UNITS}
    with (args.output / "features.csv").open(newline="") as file:
        head, *rows = csv.reader(file)
    assert head[3:] == [f.name for f in FEATURES], "features.csv is of another version; remove it"
    assert len(rows) == len(structures)
    invariants = np.array([row[3:] for row in rows], dtype=float)
    facts = Facts.of_structures(structures)
    volume = np.stack(
        [1.0 / facts.number_density, facts.mass_density, [len(a) for a in structures]], axis=1
    )
    blocks = {
        "invariants": Block(tuple(f.name for f in FEATURES), invariants, ""),
        "composition": Block(
            tuple(f.name for f in COMPOSITION),
            np.array([composition_features(atoms) for atoms in structures]),
            "",
        ),
        "volume": Block(VOLUME, volume, ""),
        "geometry": Block(
            GEOMETRY, invariants[:, [k for k, f in enumerate(FEATURES) if f.name in GEOMETRY]], ""
        ),
    }
    if args.latent:
        with np.load(args.latent) as file:
            assert file["id"].tolist() == ids
            latent = file["latents"].astype(np.float32)
        shape = latent.shape[1:]
        names = tuple(f"latent {k}" for k in range(int(np.prod(shape))))
        blocks["latent"] = Block(names, latent.reshape(len(latent), -1), "", shape)
    with gzip.open(FOLDS, "rt", newline="") as file:
        dealt = {row["id"]: row for row in csv.DictReader(file)}
    folds = {name: np.array([int(dealt[i][name]) for i in ids]) for name in DEALT}
    return ids, Inputs(tuple(ids), facts, blocks), labels, folds


def selected(inputs, kinds):
    """Inputs of some kinds; volumes and geometry stand with the composition."""
    beside = [kind for kind in kinds if kind in ("volume", "geometry")]
    blocks = {kind: inputs.blocks[kind] for kind in kinds if kind not in beside}
    if beside:
        parts = [inputs.blocks[kind] for kind in ("composition", *beside)]
        names = tuple(name for part in parts for name in part.names)
        values = np.concatenate([part.values for part in parts], axis=1)
        blocks["composition"] = Block(names, values, "")
    return Inputs(inputs.files, inputs.facts, blocks)


def learn(args):
    """Predictions of held-out compounds."""
    _, inputs, labels, folds = load(args)
    names = list(UNITS)
    values = np.stack([labels[name] for name in names], axis=1)
    targets = [Target.usual(name, UNITS[name], labels[name]) for name in names]
    for dealt in args.folds:
        for run in args.runs:
            model, kinds = RUNS[run]
            file = predictions(args, dealt, run)
            if file.exists() or (dealt != "random" and run not in GROUPED):
                continue
            if "latent" in kinds and "latent" not in inputs.blocks:
                print(f"{dealt}, {run}: left out without --latent")
                continue
            start = time.process_time()
            if model == "plain":
                made = plain(selected(inputs, kinds), labels, folds[dealt], args.jobs)
            else:
                trees = TreeSettings(n_members=args.members)
                attention = AttentionSettings(members=args.members)
                settings = Settings(model, trees, attention, n_threads=args.jobs)
                found = cross_validate(
                    selected(inputs, kinds), values, targets, folds[dealt], settings
                )
                made = {name: found.values(name) for name in names}
            np.savez(file, seconds=time.process_time() - start, **made)
            told = (f"{name} {score(labels[name], made[name]).r2:.4f}" for name in names)
            print(f"{dealt}, {run}: R2 {', '.join(told)}", flush=True)


def plain(inputs, labels, folds, n_threads):
    """Predictions by LightGBM with its own settings but for 500 trees, in real units."""
    import lightgbm

    matrix = np.concatenate([block.values for block in inputs.blocks.values()], axis=1)
    found = {name: np.empty(len(matrix)) for name in labels}
    for fold in np.unique(folds):
        for name, values in labels.items():
            rest = (folds != fold) & np.isfinite(values)
            settings = {"verbosity": -1, "num_threads": n_threads}
            data = lightgbm.Dataset(matrix[rest], values[rest])
            trees = lightgbm.train(settings, data, 500)
            found[name][folds == fold] = trees.predict(matrix[folds == fold])
    return found


def predictions(args, dealt, run):
    """Where the predictions of a run are."""
    return args.output / f"{dealt}-{re.sub('[^a-z]+', '-', run)}.npz"


def tabulate(args):
    """R2 with intervals, and paired differences."""
    ids, inputs, labels, _ = load(args)
    formulas = inputs.facts.formulas
    for dealt in DEALT:
        found = {}
        for run in RUNS:
            if predictions(args, dealt, run).exists():
                with np.load(predictions(args, dealt, run)) as file:
                    found[run] = {name: file[name] for name in UNITS}
        if all(part in found for part in PARTS):
            found[ALL] = {
                name: np.mean([found[part][name] for part in PARTS], axis=0) for name in UNITS
            }
        if not found:
            continue
        group = DEALT[dealt]
        groups = None if group is None else [group(formula) for formula in formulas]
        print(f"\nFolds: {dealt}. R2 of the pooled predictions of compounds that were held out\n")
        print("| from | " + " | ".join(UNITS) + " |\n|---|" + "---|" * len(UNITS))
        for run, made in found.items():
            r2 = [score(labels[name], made[name]).r2 for name in UNITS]
            print(f"| {run} | " + " | ".join(f"{value:.3f}" for value in r2) + " |")
        best = found.get(ALL) or found[next(reversed(found))]
        intervals = [bootstrap_interval(labels[n], best[n], "r2", groups) for n in UNITS]
        print(
            "| 95% interval of the last | "
            + " | ".join(f"{i.lower:.3f} to {i.upper:.3f}" for i in intervals)
            + " |"
        )
        print(f"| MAE of the last | {errors(labels, best)} |")
        if dealt == "random":
            inside = within(labels)
            r2 = [score(np.where(inside, labels[n], np.nan), best[n]).r2 for n in UNITS]
            print(
                f"| side column: the {inside.sum()} within the published ranges | "
                + " | ".join(f"{value:.3f}" for value in r2)
                + " |"
            )
        print("\nDifferences of R2, paired, with 95% intervals\n")
        print("| beats | " + " | ".join(UNITS) + " |\n|---|" + "---|" * len(UNITS))
        for worse, better in CLAIMS:
            if worse in found and better in found:
                cells = [
                    bootstrap_difference(labels[n], found[worse][n], found[better][n], "r2", groups)
                    for n in UNITS
                ]
                print(f"| {better} over {worse} | " + " | ".join(map(shown, cells)) + " |")
        by_formula(labels, best, inputs.facts, groups)
        if dealt == "random":
            list_doubtful(ids, formulas, labels, best)
            draw(args, labels, found, best)


def errors(labels, made):
    """Mean absolute errors as cells."""
    return " | ".join(f"{score(labels[n], made[n]).mae:.3g} {unit}" for n, unit in UNITS.items())


def shown(difference):
    """A difference as a cell; clear ones are bold."""
    text = f"{difference.value:+.4f} [{difference.lower:+.4f}, {difference.upper:+.4f}]"
    return f"**{text}**" if difference.is_clear else text


def within(labels):
    """Compounds whose labels are in the ranges of the published ones."""
    inside = np.ones(len(labels["K"]), dtype=bool)
    for name, (low, high) in PUBLISHED.items():
        inside &= (labels[name] >= low) & (labels[name] <= high)
    return inside


def by_formula(labels, made, facts, groups):
    """E and the Debye temperature from predicted K and G, against learning them."""
    print("\nBy formula from predicted K and G, minus learned: R2\n")
    for name in ("E", "debye"):
        values = derived(name, made["K"], made["G"], facts.mass_density, facts.number_density)
        found = bootstrap_difference(labels[name], made[name], values, "r2", groups)
        print(f"- {name}: {score(labels[name], values).r2:.4f} by formula, {shown(found)}")


def list_doubtful(ids, formulas, labels, made):
    """Labels that contradict elasticity or all that was learned; they stay in all bars."""
    bulk, shear = labels["K"], labels["G"]
    poisson = (3 * bulk - 2 * shear) / (2 * (3 * bulk + shear))
    off = {name: np.abs(np.log(made[name] / labels[name])) for name in ("K", "G")}
    why = [
        "; ".join(
            [f"Poisson's ratio {p:.2f}"] * (not POISSON[0] <= p <= POISSON[1])
            + [f"{n} predicted {made[n][k]:.0f}" for n in off if off[n][k] > np.log(3.0)]
        )
        for k, p in enumerate(poisson)
    ]
    with DOUBTFUL.open("w", newline="") as file:
        table = csv.writer(file, lineterminator="\n")
        table.writerow(["id", "formula", "K (GPa)", "G (GPa)", "why"])
        rows = zip(ids, formulas, bulk, shear, why, strict=True)
        table.writerows(row for row in rows if row[-1])
    print(f"\n{DOUBTFUL.name}: {sum(map(bool, why))} doubtful labels, none removed")


def draw(args, labels, found, best):
    """Parity of the best, and R2 by what was learned from."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot as plt

    figure, axes = plt.subplots(1, len(UNITS), figsize=(16, 3.4), layout="constrained")
    for axis, (name, unit) in zip(axes, UNITS.items(), strict=True):
        known = np.isfinite(labels[name])
        true, made = labels[name][known], best[name][known]
        axis.hexbin(true, made, gridsize=60, bins="log", mincnt=1, cmap="viridis")
        ends = [min(true.min(), made.min()), max(true.max(), made.max())]
        axis.plot(ends, ends, color="0.4", lw=0.8)
        axis.set(xlabel=f"{name} ({unit})", title=f"R² {score(true, made).r2:.3f}")
    axes[0].set_ylabel("predicted, held out")
    figure.savefig(HERE / "properties.png", dpi=110)


if __name__ == "__main__":
    main()
