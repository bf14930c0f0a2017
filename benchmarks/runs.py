# SPDX-License-Identifier: LGPL-3.0-or-later
"""Runs of ``dp`` in folders of their own."""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

CONFIGS = Path(__file__).resolve().parent.parent / "deepmd_charge" / "plugin_configs"


def merge(base, change):
    """Nested dictionaries merged, those of ``change`` winning."""
    for key, value in change.items():
        both = isinstance(value, dict) and isinstance(base.get(key), dict)
        base[key] = merge(base[key], value) if both else value
    return base


def prepare(folder, config, type_map, *systems, **training):
    """Write ``input.json`` in a folder, for systems (by default "train") that lie there."""
    config = merge(config, {"model": {"type_map": type_map}, "training": training})
    config["training"]["training_data"]["systems"] = list(systems or ("train",))
    config["training"].pop("validation_data", None)
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "input.json").write_text(json.dumps(config, indent=2))


def run_dp(folder, *arguments):
    """Run ``dp`` in a folder, its messages in a log there; returns the wall time in s."""
    start = time.perf_counter()
    with open(folder / f"{arguments[0]}.log", "w") as log:
        code = subprocess.run(
            [Path(sys.executable).with_name("dp"), *arguments], cwd=folder, stdout=log, stderr=log
        ).returncode
    if code:
        sys.exit(f"dp {arguments[0]} failed: see {log.name}")
    return time.perf_counter() - start


def step_time(folder):
    """Seconds a step, as the log of ``dp train`` states: without the first ``disp_freq`` steps."""
    log = (folder / "train.log").read_text()
    return float(re.search(r"average training time: ([\d.]+) s/batch", log)[1])


class Mean:
    """Several models as one."""

    def __init__(self, models):
        self.models = models

    def predict_points(self, atoms, points):
        return np.mean([model.predict_points(atoms, points) for model in self.models], axis=0)
