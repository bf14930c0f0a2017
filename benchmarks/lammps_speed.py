# SPDX-License-Identifier: LGPL-3.0-or-later
"""Grid points per second in LAMMPS, on one and two ranks, beside ``predict``.

    python benchmarks/lammps_speed.py -m charge.pb [-s POSCAR] [--repeat 1 3 6 12] [--ranks 1 2]

The structure is repeated along all three vectors, by default 64 silicon atoms
to 110592. LAMMPS sweeps its probes over eight times as many points, predict
takes the first of the same points; neither time has the start in it. Points are
counted by second, and by second of processor time: on a machine with other work
the latter says more (but MPI ranks are busy while they wait for one another).
"""

import argparse
import re
import shutil
import subprocess
import sys
import tempfile
import time
import warnings
from pathlib import Path

import numpy as np
from ase.io import read

from deepmd_charge import ChargeModel
from deepmd_charge.lammps import write_run
from deepmd_charge.lammps.static import FEWEST_PROBES, SCRIPT, default_probes

SILICON = Path(__file__).parents[1] / "examples" / "silicon" / "data" / "2" / "POSCAR"


def main():
    """Print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-m", "--model", required=True, help="frozen model")
    parser.add_argument("-s", "--structure", default=SILICON, help="structure to repeat")
    parser.add_argument("--repeat", nargs="+", type=int, default=[1, 3, 6, 12])
    parser.add_argument("--ranks", nargs="+", type=int, default=[1, 2])
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    model = ChargeModel(args.model)
    print("   atoms  by          probes  points/s  points/cpu s  MB a rank")
    for repeat in args.repeat:
        atoms = read(args.structure).repeat(repeat)
        probes = default_probes(len(atoms))
        grid = (2 * round(probes ** (1 / 3)),) * 3
        speeds = predict_speeds(model, atoms, grid)
        print("{:8d}  predict   {:8s}{:10.0f}{:14.0f}".format(len(atoms), "", *speeds), flush=True)
        for ranks in args.ranks:
            with tempfile.TemporaryDirectory() as folder:
                count = lammps_run(folder, model, atoms, grid, ranks)
                row = len(atoms), f"LAMMPS {ranks}", count, *results(folder, count, ranks)
            print("{:8d}  {:10s}{:8d}{:10.0f}{:14.0f}{:11.0f}".format(*row), flush=True)


def predict_speeds(model, atoms, grid):
    """Points per second, and per second of processor time, of ChargeModel."""
    index = np.arange(2 * FEWEST_PROBES)
    fractions = np.stack(np.unravel_index(index, grid), axis=1) / grid
    points = fractions @ atoms.cell.array
    model.predict_points(atoms, points[:64])
    start = np.array([time.perf_counter(), time.process_time()])
    model.predict_points(atoms, points)
    return len(points) / (np.array([time.perf_counter(), time.process_time()]) - start)


def lammps_run(folder, model, atoms, grid, ranks):
    """Run LAMMPS and return the number of probes."""
    write_run(folder, model.path, model.type_map, model.rcut, atoms, grid)
    script = Path(folder) / SCRIPT
    text = script.read_text()
    script.write_text(text + "info out log memory\n")
    beside = Path(sys.executable).parent
    command = [shutil.which("lmp", path=beside), "-in", SCRIPT]
    if ranks > 1:
        command = [shutil.which("mpirun", path=beside), "-n", str(ranks), *command]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return int(re.search(r"Each of the (\d+) probes", text)[1])


def results(folder, probes, ranks):
    """Points per second and per second of processor time, memory (MB) of the first rank."""
    log = (Path(folder) / "log.lammps").read_text()
    seconds, steps = re.search(r"Loop time of (\S+) on \d+ procs for (\d+) steps", log).groups()
    speed = probes * int(steps) / float(seconds)
    busy = float(re.search(r"(\S+)% CPU use", log)[1]) / 100.0
    memory = float(re.search(r"Maximum resident set size: (\S+)", log)[1])
    return speed, speed / (busy * ranks), memory


if __name__ == "__main__":
    main()
