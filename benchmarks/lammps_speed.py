# SPDX-License-Identifier: LGPL-3.0-or-later
"""Grid points per second in LAMMPS, on one and two ranks, beside ``predict``.

    python benchmarks/lammps_speed.py -m charge.pb [-s POSCAR] [--repeat 1 3 6 12] [--ranks 1 2]

The structure is repeated along all three vectors, by default 64 silicon atoms
to 110592. LAMMPS sweeps its probes over eight times as many points, predict
takes the first of the same points; neither time has the start in it. "busy" is
what LAMMPS got of its cores: on a machine with other work the times say less.
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
    print("   atoms  by          probes  points/s  MB a rank  busy")
    for repeat in args.repeat:
        atoms = read(args.structure).repeat(repeat)
        probes = default_probes(len(atoms))
        grid = (2 * round(probes ** (1 / 3)),) * 3
        speed = predict_speed(model, atoms, grid)
        print(f"{len(atoms):8d}  predict   {'':8s}{speed:10.0f}", flush=True)
        for ranks in args.ranks:
            with tempfile.TemporaryDirectory() as folder:
                count = lammps_run(folder, model, atoms, grid, ranks)
                speed, memory, busy = results(folder, count)
            name = f"LAMMPS {ranks}"
            print(
                f"{len(atoms):8d}  {name:10s}{count:8d}{speed:10.0f}{memory:11.0f}{busy:5.0f}%",
                flush=True,
            )


def predict_speed(model, atoms, grid):
    """Points per second of ChargeModel on as many points as LAMMPS takes at once."""
    index = np.arange(2 * FEWEST_PROBES)
    fractions = np.stack(np.unravel_index(index, grid), axis=1) / grid
    points = fractions @ atoms.cell.array
    model.predict_points(atoms, points[:64])
    start = time.perf_counter()
    model.predict_points(atoms, points)
    return len(points) / (time.perf_counter() - start)


def lammps_run(folder, model, atoms, grid, ranks):
    """Run LAMMPS and return the number of probes."""
    write_run(folder, model.path, model.type_map, model.rcut, atoms, grid)
    script = Path(folder) / SCRIPT
    text = script.read_text()
    script.write_text(text + "info memory\n")
    beside = Path(sys.executable).parent
    command = [shutil.which("lmp", path=beside), "-in", SCRIPT]
    if ranks > 1:
        command = [shutil.which("mpirun", path=beside), "-n", str(ranks), *command]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    return int(re.search(r"Each of the (\d+) probes", text)[1])


def results(folder, probes):
    """Points per second, resident memory (MB) of the first rank, use of the cores (%)."""
    log = (Path(folder) / "log.lammps").read_text()
    seconds, steps = re.search(r"Loop time of (\S+) on \d+ procs for (\d+) steps", log).groups()
    memory = re.search(r"Maximum resident set size\s*=\s*(\S+)", log)[1]
    busy = re.search(r"(\S+)% CPU use", log)[1]
    return probes * int(steps) / float(seconds), float(memory), float(busy)


if __name__ == "__main__":
    main()
