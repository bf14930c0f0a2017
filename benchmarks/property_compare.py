# SPDX-License-Identifier: LGPL-3.0-or-later
"""What models of properties make of three densities (see property_densities.py)."""

import csv
import gzip
import json

import numpy as np
from ase import Atoms
from property_dft import load
from property_model import superposed

SOURCES = ("superposed", "self-consistent", "predicted")
FREE, TRUE, PREDICTED = SOURCES
# The superposition of the package's own atoms, with other valence electrons: what its invariants
# bring beside those of the other superposition is no self-consistency.
OTHER = "other atoms"
# Largest distance of grid points of that, A.
SPACING = 0.2
# Columns of a model of properties: "change" is what self-consistency changes in the invariants.
ALL = {
    "composition": ("composition",),
    "superposed": (FREE,),
    "self-consistent": (TRUE,),
    "composition + superposed": ("composition", FREE),
    "composition + self-consistent": ("composition", TRUE),
    "composition + superposed + change": ("composition", FREE, "change"),
    "composition + superposed + other atoms": ("composition", FREE, OTHER),
}
HELD = {
    "composition": ("composition",),
    "composition + superposed": ("composition", FREE),
    "composition + self-consistent": ("composition", TRUE),
    "composition + predicted": ("composition", PREDICTED),
    "composition + superposed + change": ("composition", FREE, "change"),
    "composition + superposed + predicted change": ("composition", FREE, "predicted change"),
}
# From which densities properties are learned, and from which they are then told.
TRANSFER = {
    "superposed → superposed": ((FREE,), (FREE,)),
    "self-consistent → self-consistent": ((TRUE,), (TRUE,)),
    "self-consistent → predicted": ((TRUE,), (PREDICTED,)),
    "change → change": ((FREE, "change"), (FREE, "change")),
    "change → predicted change": ((FREE, "change"), (FREE, "predicted change")),
}
PAIRS = (
    ("composition", "composition + superposed"),
    ("superposed", "self-consistent"),
    ("composition + superposed", "composition + self-consistent"),
    ("composition + superposed", "composition + predicted"),
    ("composition + self-consistent", "composition + predicted"),
    ("composition + superposed", "composition + superposed + change"),
    ("composition + superposed", "composition + superposed + other atoms"),
    ("composition + superposed", "composition + superposed + predicted change"),
    ("composition + superposed + change", "composition + superposed + predicted change"),
    ("superposed → superposed", "self-consistent → self-consistent"),
    ("superposed → superposed", "self-consistent → predicted"),
    ("self-consistent → self-consistent", "self-consistent → predicted"),
    ("superposed → superposed", "change → change"),
    ("superposed → superposed", "change → predicted change"),
    ("change → change", "change → predicted change"),
)
TARGETS = {"K": "K", "G": "G", "E": "E", "debye": "Debye", "e_form": "e_form"}
FOLDS, RESAMPLES = 5, 2000
TREES = {
    "n_estimators": 200,
    "learning_rate": 0.07,
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
    from deepmd_charge.property.superposed import superposed as of_own_atoms

    folder.mkdir(parents=True, exist_ok=True)
    sources = {
        "superposed": lambda name: superposed(load(dft / f"{name}.npz"), pseudo),
        "self-consistent": lambda name: load(dft / f"{name}.npz"),
        "predicted": lambda name: load(predicted / f"{name}.npz"),
        OTHER: lambda name: of_own_atoms(load(dft / f"{name}.npz").atoms, SPACING),
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


def compare(names, trained, data, folder, repeats, log):
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
    repeats : int
        Seeds of the folds and of the trees.
    log : callable

    Returns
    -------
    str
    dict
    """
    from deepmd_charge.property.composition import composition_features

    with gzip.open(data / "elastic_structures.json.gz") as file:
        entries = {e["id"]: e for e in json.load(file)["entries"]}
    tables = {source: read_features(folder / f"{source}.csv") for source in SOURCES}
    tables[OTHER] = read_features(folder / f"{OTHER}.csv")
    names = [n for n in names if n in tables[FREE] and n in tables[TRUE]]
    held = [n for n in names if n not in trained and n in tables[PREDICTED]]
    learnt = [n for n in names if n in trained]
    tables["change"] = {n: tables[TRUE][n] - tables[FREE][n] for n in names}
    tables["predicted change"] = {n: tables[PREDICTED][n] - tables[FREE][n] for n in held}
    tables["composition"] = {n: composition_features(Atoms(entries[n]["numbers"])) for n in names}

    def matrix(rows, *sources):
        return np.array([np.concatenate([tables[source][n] for source in sources]) for n in rows])

    def cross(design, rows, sets, target):
        rows, y = labelled(rows, target)
        made = {}
        for label, sources in sets.items():
            path = folder / f"{design}-{target}-{label}-{repeats}.npy".replace(" ", "_")
            if not path.exists():
                np.save(path, cross_predictions(matrix(rows, *sources), y, repeats))
                log(path.stem)
            made[label] = np.load(path)
        return y, made

    def labelled(rows, target):
        rows = [n for n in rows if entries[n][target] is not None]
        return rows, np.array([entries[n][target] for n in rows])

    def transfer(target):
        rows, y = labelled(learnt, target)
        models = {
            s: [fit(matrix(rows, "composition", *s), y, seed) for seed in range(repeats)]
            for s in {learned: None for learned, _ in TRANSFER.values()}
        }
        rows, y = labelled(held, target)
        return y, {
            label: np.array([m.predict(matrix(rows, "composition", *b)) for m in models[a]])
            for label, (a, b) in TRANSFER.items()
        }

    found = {}
    design = f"folds over all {len(names)}"
    for target in TARGETS:
        found[design, target] = cross(design, names, ALL, target)
    if held:
        design = f"folds over the held-out {len(held)}"
        for target in TARGETS:
            found[design, target] = cross(design, held, HELD, target)
        design = f"learned from {len(learnt)}, tested on the held-out {len(held)}"
        for target in TARGETS:
            found[design, target] = transfer(target)
    return report(found, recovered(tables, held) if held else None)


def fit(x, y, seed):
    """Fit trees."""
    from lightgbm import LGBMRegressor

    return LGBMRegressor(**TREES, random_state=seed).fit(x, y)


def cross_predictions(x, y, repeats):
    """Predictions for held-out folds, (repeats, n)."""
    from sklearn.model_selection import KFold

    found = np.empty((repeats, len(y)))
    for seed in range(repeats):
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
        sets = found[design, "K"][1]
        lines += ["", f"R², {design}:", "", "| | " + " | ".join(TARGETS.values()) + " |"]
        lines += ["|---" * (len(TARGETS) + 1) + "|"]
        for name in sets:
            row = [r2(found[design, t][0], found[design, t][1][name]) for t in TARGETS]
            numbers[f"{design}: {name}"] = {
                t: [r.mean(), r.std()] for t, r in zip(TARGETS, row, strict=True)
            }
            lines.append(f"| {name} | " + " | ".join(f"{r.mean():.3f}" for r in row) + " |")
        pairs = [(a, b) for a, b in PAIRS if a in sets and b in sets]
        lines += ["", "| gain in 10⁻³ | " + " | ".join(TARGETS.values()) + " |"]
        lines += ["|---" * (len(TARGETS) + 1) + "|"]
        for a, b in pairs:
            gains = {
                t: gain(found[design, t][0], *(found[design, t][1][s] for s in (a, b)))
                for t in TARGETS
            }
            numbers[f"{design}: {b} against {a}"] = gains
            cells = [
                f"{1e3 * d:+.0f} [{1e3 * lo:+.0f}, {1e3 * hi:+.0f}]" for d, lo, hi in gains.values()
            ]
            lines.append(f"| {b} against {a} | " + " | ".join(cells) + " |")
    if share is not None:
        lines += [
            "",
            "Of what self-consistency changes in an invariant, the prediction of a held-out"
            f" compound has {share[1]:.0%} (median over invariants; quartiles {share[0]:.0%},"
            f" {share[2]:.0%}).",
        ]
        numbers["recovered"] = [*share]
    return "\n".join(lines), numbers
