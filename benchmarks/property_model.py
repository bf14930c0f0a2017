# SPDX-License-Identifier: LGPL-3.0-or-later
"""A model of many elements, trained on a part of the densities (see property_densities.py)."""

import csv
import json
import os
import resource
import subprocess
import sys
import time
import warnings
from pathlib import Path

import numpy as np
from property_dft import DUAL, ECUTWFC, load, write
from runs import merge, prepare, run_dp

from deepmd_charge import ChargeError, ChargeModel, write_density
from deepmd_charge.saed import superposition

# Points of a compound that are learnt, in frames of so few that a step sees many compounds.
POINTS, PER_FRAME, FRAMES = 2000, 125, 8
CONFIG = {
    "model": {
        "type": "charge",
        "saed": "train/saed.npz",
        "descriptor": {
            "type": "se_charge",
            "rcut": 4.5,
            "radial": "chebyshev",
            "n_radial": 16,
            "core": 0.3,
            "lmax": 3,
            "n_channel": 16,
            "axis_neuron": 4,
            "rcut_env": 4.5,
            "n_species": 8,
            "seed": 1,
        },
        "fitting_net": {"type": "charge", "neuron": [64, 64, 64], "seed": 1},
    },
    "learning_rate": {"type": "cosine", "start_lr": 0.005, "stop_lr": 1e-5},
    "loss": {"type": "charge", "loss_func": "huber", "weight_decay": 1e-4},
    "training": {"training_data": {"batch_size": FRAMES}, "numb_steps": 4500, "seed": 1},
}


def train(names, dft, folder, pseudo, steps, override):
    """Train a model on the densities of these names; returns its CPU seconds."""
    cubes = folder / "cubes"
    cubes.mkdir(parents=True, exist_ok=True)
    if not (folder / "train" / "type_map.raw").exists():
        for name in names:
            write_density(cubes / f"{name}.cube", load(dft / f"{name}.npz"))
        convert(folder, sorted(cubes.glob("*.cube")), pseudo)
    type_map = (folder / "train" / "type_map.raw").read_text().split()
    config = merge(json.loads(json.dumps(CONFIG)), json.loads(override))
    if steps:
        config["training"]["numb_steps"] = steps
    restart = ["--restart", "model.ckpt"] if (folder / "checkpoint").exists() else []
    prepare(folder, config, type_map, disp_freq=100, save_freq=1000)
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    run_dp(folder, "train", "--skip-neighbor-stat", "input.json", *restart)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    run_dp(folder, "freeze", "-o", "charge.pb")
    for cube in cubes.glob("*.cube"):
        cube.unlink()
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def convert(folder, files, pseudo):
    """Draw the points to learn, with the superposition of the same potentials."""
    flags = {
        "-o": folder / "train",
        "--points": POINTS,
        "--points-per-frame": PER_FRAME,
        "--seed": 1,
        "--saed": f"upf:{pseudo.resolve()}",
        "--saed-ecutrho": DUAL * ECUTWFC,
    }
    flags = [str(word) for flag in flags.items() for word in flag]
    command = [Path(sys.executable).with_name("deepmd-charge"), "convert", "--mixed-type"]
    with open(folder / "convert.log", "w") as log:
        done = subprocess.run([*command, "--resume", *flags, *files], stdout=log, stderr=log)
    if done.returncode:
        sys.exit(f"convert failed: see {log.name}")


def predict(names, trained, dft, folder, pseudo, model, log):
    """Predict the densities of these names, and measure them; resumes.

    Predictions hold the valence electrons of the atoms, as the self-consistent densities do.
    """
    folder.mkdir(parents=True, exist_ok=True)
    table = folder / "errors.csv"
    if not table.exists():
        table.write_text("id,trained_on,points,seconds,nmae_superposed,nmae_predicted,electrons\n")
    with open(table) as file:
        done = {row["id"] for row in csv.DictReader(file)}
    model = ChargeModel(model, n_threads=int(os.environ.get("OMP_NUM_THREADS", 1)))
    for name in names:
        if name in done:
            continue
        density = load(dft / f"{name}.npz")
        start = time.perf_counter()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                predicted = model.predict(density.atoms, density.shape)
        except ChargeError as error:
            log(f"{name}: {error}")
            continue
        seconds = time.perf_counter() - start
        electrons = predicted.n_electrons / density.n_electrons
        predicted = predicted * (1.0 / electrons)
        write(folder / f"{name}.npz", predicted)
        free = superposed(density, pseudo)
        errors = [
            100.0 * np.abs(other.values - density.values).sum() / np.abs(density.values).sum()
            for other in (free, predicted)
        ]
        row = (name, int(name in trained), density.values.size, f"{seconds:.2f}")
        row += (*(f"{e:.4f}" for e in errors), f"{electrons:.5f}")
        with open(table, "a") as file:
            csv.writer(file, lineterminator="\n").writerow(row)
        log(" ".join(map(str, row)))


def superposed(density, pseudo):
    """The superposition of the potentials' atomic densities on the grid of a density."""
    return superposition(density.atoms, density.shape, f"upf:{pseudo}", DUAL * ECUTWFC)
