# SPDX-License-Identifier: LGPL-3.0-or-later
"""Training speed of this package and of the stock route, side by side.

    python benchmarks/throughput.py [--density CHGCAR] [--steps N] [--repeat N]

Prints the grid points that ``dp train`` learns from in a second, for the cell
of the density and for that cell 2 x 2 x 2 times over. The routes take turns, so
that a machine whose speed changes is fair to all. The time is the "average
training time" in the log of ``dp train``, which leaves the start out.
"""

import argparse
import json
import tempfile
from pathlib import Path

import numpy as np
import stock
from data import load_grid, repeat, write_system
from runs import CONFIGS, prepare, run_dp, step_time

SILICON = CONFIGS.parent / "examples" / "silicon" / "data" / "1" / "CHGCAR.gz"
# route: points a step
ROUTES = {"c-si.json": 1000, "paper/c-si.json": 200, "stock": stock.POINTS_PER_FRAME}
FRAMES = 20


def main():
    """Time every route on both cells and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--density", type=Path, default=SILICON, help="a density file")
    parser.add_argument("--steps", type=int, default=60, help="timed steps of each run")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each route")
    args = parser.parse_args()

    base = load_grid(args.density)
    cells = [base, repeat(base, 2, np.random.default_rng(0))]
    with tempfile.TemporaryDirectory() as folder:
        folders = {
            (route, len(cell[0])): setup(Path(folder), route, cell, args.steps // 2)
            for cell in cells
            for route in ROUTES
        }
        speeds = {key: [] for key in folders}
        for _ in range(args.repeat):
            for key, run in folders.items():
                run_dp(run, "train", "input.json", "--skip-neighbor-stat")
                speeds[key].append(ROUTES[key[0]] / step_time(run))
    show(speeds)


def setup(folder, route, cell, interval):
    """Write the system and the input of a route; returns their folder."""
    folder = folder / f"{len(cell[0])}-{route.replace('/', '-')}"
    n_points = ROUTES[route]
    is_stock = route == "stock"
    type_map = write_system(
        folder / "train", [cell], n_points, FRAMES * n_points, seed=1, stock=is_stock
    )
    if is_stock:
        config = stock.configuration(type_map, [cell], 3 * interval)
    else:
        config = json.loads((CONFIGS / route).read_text())
    # the log's average leaves the first interval out
    prepare(folder, config, type_map, numb_steps=3 * interval, disp_freq=interval)
    return folder


def show(speeds):
    """Print medians, ratios to the stock route and the scatter of the runs."""
    print(f"{'atoms':>6} {'route':>16} {'points/s':>9} {'x stock':>8}   runs")
    for (route, n_atoms), runs in speeds.items():
        ratio = np.median(runs) / np.median(speeds["stock", n_atoms])
        each = " ".join(f"{s:.0f}" for s in runs)
        print(f"{n_atoms:6} {route:>16} {np.median(runs):9.0f} {ratio:8.1f}   {each}")


if __name__ == "__main__":
    main()
