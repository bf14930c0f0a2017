# SPDX-License-Identifier: LGPL-3.0-or-later
"""What models of properties make of three densities (see property_densities.py)."""

import csv
import gzip
import json
from itertools import pairwise

import numpy as np
from ase import Atoms
from property_dft import load
from property_model import superposed

SOURCES = ("superposed", "self-consistent", "predicted")
TARGETS = {"K": "K", "G": "G", "E": "E", "debye": "Debye", "e_form": "e_form"}
FOLDS, REPEATS, RESAMPLES = 5, 5, 2000
TREES = {
    "n_estimators": 300,
    "learning_rate": 0.05,
    "num_leaves": 10,
    "min_child_samples": 5,
    "colsample_bytree": 0.3,
    "subsample": 0.8,
    "subsample_freq": 1,
    "max_bin": 63,
    "force_row_wise": True,
    "deterministic": True,
    "n_jobs": 1,
    "verbose": -1,
}


def write_features(names, dft, predicted, folder, pseudo, log):
    """Write the invariants of each density to a table for each source; resumes."""
    from deepmd_charge.property.features import FEATURES, features

    folder.mkdir(parents=True, exist_ok=True)
    sources = {
        "superposed": lambda name: superposed(load(dft / f"{name}.npz"), pseudo),
        "self-consistent": lambda name: load(dft / f"{name}.npz"),
        "predicted": lambda name: load(predicted / f"{name}.npz"),
    }
    for source, density_of in sources.items():
        path = folder / f"{source}.csv"
        if not path.exists():
            path.write_text(",".join(["id", *(str(feature.name) for feature in FEATURES)]) + "\n")
        done = read_features(path)
        for k, name in enumerate(names):
            there = source != "predicted" or (predicted / f"{name}.npz").exists()
            if name not in done and there:
                values = features(density_of(name))
                with open(path, "a") as file:
                    file.write(",".join([name, *(f"{v:.6g}" for v in values)]) + "\n")
                log(f"{source}: {k + 1}/{len(names)} {name}")


def read_features(path):
    """Rows of a table of features by their ids."""
    with open(path) as file:
        rows = list(csv.reader(file))[1:]
    return {row[0]: np.array(row[1:], float) for row in rows}


def compare(names, trained, data, folder):
    """Learn properties from each source; returns Markdown and the numbers in it.

    Parameters
    ----------
    names : list of str
        Compounds with a self-consistent density.
    trained : set of str
        Of them those that the model of densities was trained on.
    data : Path
        Folder of the labels.
    folder : Path
        Of the tables of features.
    """
    from deepmd_charge.property.composition import composition_features

    with gzip.open(data / "elastic_structures.json.gz") as file:
        entries = {e["id"]: e for e in json.load(file)["entries"]}
    tables = {source: read_features(folder / f"{source}.csv") for source in SOURCES}
    composition = {n: composition_features(Atoms(entries[n]["numbers"])) for n in names}
    held = [n for n in names if n not in trained and n in tables["predicted"]]
    learnt = [n for n in names if n in trained and n in tables["predicted"]]

    def matrix(rows, *sources):
        parts = [composition, *(tables[source] for source in sources)]
        return np.array([np.concatenate([part[n] for part in parts]) for n in rows])

    def labels(rows, target):
        return np.array([entries[n][target] for n in rows], float)

    found = {}
    designs = {
        f"folds over all {len(names)}": (
            names,
            [(), SOURCES[:1], SOURCES[1:2], SOURCES[:2]],
        ),
        f"folds over the {len(held)} held out": (
            held,
            [(), SOURCES[:1], SOURCES[1:2], SOURCES[2:]],
        ),
    }
    for design, (rows, sets) in designs.items():
        for target in TARGETS:
            y = labels(rows, target)
            known = np.isfinite(y)
            found[design, target] = (
                y[known],
                {label(s): cross_predictions(matrix(rows, *s)[known], y[known]) for s in sets},
            )
    transfer = [(s, t) for s in SOURCES[:2] for t in SOURCES if t == s or t == "predicted"]
    transfer += [("predicted", "predicted")]
    design = f"learned from {len(learnt)}, tested on the {len(held)} held out"
    for target in TARGETS:
        y, z = labels(learnt, target), labels(held, target)
        known, asked = np.isfinite(y), np.isfinite(z)
        predictions = {}
        for source, test in transfer:
            models = [fit(matrix(learnt, source)[known], y[known], seed) for seed in range(REPEATS)]
            x = matrix(held, test)[asked]
            predictions[f"{source} → {test}"] = np.array([m.predict(x) for m in models])
        found[design, target] = z[asked], predictions
    return report(found, recovered(tables, held))


def label(sources):
    """Name of a set of columns."""
    return "composition" if not sources else "+ " + " + ".join(sources)


def fit(x, y, seed):
    """Fit trees."""
    from lightgbm import LGBMRegressor

    return LGBMRegressor(**TREES, random_state=seed).fit(x, y)


def cross_predictions(x, y):
    """Predictions for held-out folds, (repeats, n)."""
    from sklearn.model_selection import KFold

    found = np.empty((REPEATS, len(y)))
    for seed in range(REPEATS):
        for train, test in KFold(FOLDS, shuffle=True, random_state=seed).split(x):
            found[seed, test] = fit(x[train], y[train], seed).predict(x[test])
    return found


def r2(y, predictions):
    """R2 of each repeat, (repeats,)."""
    return 1.0 - np.sum((predictions - y) ** 2, axis=1) / np.sum((y - y.mean()) ** 2)


def gain(y, first, second):
    """How much R2 the second has more, and the bounds of the 95% bootstrap over compounds."""
    difference = np.mean((first - y) ** 2 - (second - y) ** 2, axis=0)
    drawn = np.random.default_rng(0).integers(len(y), size=(RESAMPLES, len(y)))
    spread = np.sum((y[drawn] - y[drawn].mean(axis=1, keepdims=True)) ** 2, axis=1)
    bounds = np.percentile(difference[drawn].sum(axis=1) / spread, (2.5, 97.5))
    return difference.sum() / np.sum((y - y.mean()) ** 2), *bounds


def recovered(tables, held):
    """Of each invariant, how much of what self-consistency changes is predicted (R2 of it)."""
    free, true, predicted = (np.array([tables[s][n] for n in held]) for s in SOURCES)
    with np.errstate(divide="ignore", invalid="ignore"):
        share = 1.0 - np.sum((predicted - true) ** 2, axis=0) / np.sum((free - true) ** 2, axis=0)
    return np.percentile(share[np.isfinite(share)], (25, 50, 75))


def report(found, share):
    """Markdown of all comparisons, and their numbers."""
    lines, numbers = [], {}
    for design in dict.fromkeys(design for design, _ in found):
        lines += ["", f"R², {design}:", "", "| | " + " | ".join(TARGETS.values()) + " |"]
        lines += ["|---" * (len(TARGETS) + 1) + "|"]
        sets = list(found[design, "K"][1])
        for name in sets:
            row = [r2(found[design, t][0], found[design, t][1][name]) for t in TARGETS]
            numbers[f"{design}: {name}"] = dict(
                zip(TARGETS, [[float(r.mean()), float(r.std())] for r in row], strict=True)
            )
            lines.append(f"| {name} | " + " | ".join(f"{r.mean():.3f}" for r in row) + " |")
        for a, b in pairs(sets):
            row = [
                gain(found[design, t][0], *(found[design, t][1][s] for s in (a, b)))
                for t in TARGETS
            ]
            numbers[f"{design}: {b} over {a}"] = dict(
                zip(TARGETS, [[float(v) for v in r] for r in row], strict=True)
            )
            cells = [f"{1e3 * d:+.0f} [{1e3 * lo:+.0f}, {1e3 * hi:+.0f}]" for d, lo, hi in row]
            lines.append(f"| gain, 10³: {b} against {a} | " + " | ".join(cells) + " |")
    lines += [
        "",
        "Of what self-consistency changes in an invariant, the prediction of a compound that was"
        f" held out has {share[1]:.0%} (median over invariants; quartiles {share[0]:.0%},"
        f" {share[2]:.0%}).",
    ]
    numbers["recovered"] = share.tolist()
    return "\n".join(lines), numbers


def pairs(sets):
    """Which rows are compared: each with the one above it, and the last with the second."""
    chosen = list(pairwise(sets))
    if len(sets) > 3:
        chosen.append((sets[1], sets[-1]))
    return chosen
