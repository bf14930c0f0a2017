# SPDX-License-Identifier: LGPL-3.0-or-later
"""Predictions on several MPI ranks against one, side by side, one core each.

    python benchmarks/predict_mpi.py -m charge.pb [--ranks N] [--grid N] [--repeat N]
        [--mpirun "mpirun ..."]

Prints grid points a second of a whole prediction of 64 Si atoms, from the
structure to the finished file, without the start of the programs. One rank and
several take turns, so that a machine whose speed changes is fair to both.
"""

import argparse
import shlex
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np


def main():
    """Time the runs and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-m", "--model", required=True, type=Path, help="frozen model of silicon")
    parser.add_argument("--ranks", type=int, default=2, help="MPI ranks to compare with one")
    parser.add_argument("--grid", type=int, default=84, help="points along each cell vector")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each")
    parser.add_argument("--mpirun", default="mpirun", help="launcher and its options")
    parser.add_argument("--inside", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.inside:
        rank(args)
    else:
        print(table({n: [] for n in (1, args.ranks)}, args))


def table(speeds, args):
    """Fill in points a second of every run, and lay them out."""
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(args.repeat):
            for n, runs in speeds.items():
                command = [
                    *shlex.split(args.mpirun),
                    "-n",
                    str(n),
                    sys.executable,
                    __file__,
                    "--inside",
                    "-m",
                    str(args.model.resolve()),
                    "--grid",
                    str(args.grid),
                ]
                done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
                if done.returncode:
                    sys.exit(done.stderr)
                runs.append(float(done.stdout.split()[-1]))
    lines = [f"{'ranks':>5} {'points/s':>9} {'x one':>6}   runs ({args.grid}^3 points)"]
    for n, runs in speeds.items():
        ratio = np.median(runs) / np.median(speeds[1])
        each = " ".join(f"{speed:.0f}" for speed in runs)
        lines.append(f"{n:5} {np.median(runs):9.0f} {ratio:6.2f}   {each}")
    return "\n".join(lines)


def rank(args):
    """One of the ranks: predict a small grid to get started, then the one that is timed."""
    from ase.build import bulk

    from deepmd_charge import ChargeModel
    from deepmd_charge.grid.grid import Grid
    from deepmd_charge.predict.evaluation import ModelsOnGrid
    from deepmd_charge.predict.parallel.mpi import on_ranks
    from deepmd_charge.predict.run import Run

    def lead(ranks):
        atoms = bulk("Si", "diamond", 5.43, cubic=True) * (2, 2, 2)
        model = ChargeModel(args.model, n_threads=1)
        for n in (40, args.grid):
            run = Run([model], "CHGCAR", ranks)
            start = time.perf_counter()
            run.predict(atoms, Grid.of(atoms, (n, n, n)), "CHGCAR")
            seconds = time.perf_counter() - start
            run.close()
        print(args.grid**3 / seconds)

    on_ranks(lead, ModelsOnGrid.load)


if __name__ == "__main__":
    main()
