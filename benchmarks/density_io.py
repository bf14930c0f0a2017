# SPDX-License-Identifier: LGPL-3.0-or-later
"""Reading and writing of large density files: time and memory, beside pymatgen.

    python benchmarks/density_io.py [--points 300] [--repeat 3] [-o FOLDER]

Each row is a process of its own. "cold" is the first call, with what it imports, "best"
the best of all; "CPU" is what all threads took, which tells more where other programs run.
"arrays" is the memory beyond that at the start, in sizes of the grid.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

SETUP = """
import json, os, resource, sys, time
path, n, repeat = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
def rss():
    with open("/proc/self/status") as file:
        return next(int(line.split()[1]) / 1024 for line in file if line.startswith("VmHWM"))
"""
MAKE = """
import numpy as np
from ase import Atoms
from deepmd_charge import Density, write_density
generator = np.random.default_rng(0)
atoms = Atoms("Si64", cell=[10.9] * 3, scaled_positions=generator.random((64, 3)), pbc=True)
values = np.memmap(path + ".values", dtype=float, mode="w+", shape=(n, n, n))
for plane in values:
    plane[:] = 256 / 10.9**3 * 2 * generator.random((n, n))
values *= 256 / (values.mean() * 10.9**3)
values.flush()
before = rss()
start = time.perf_counter()
write_density(path, Density(atoms, values))
print(json.dumps({"seconds": [time.perf_counter() - start], "memory": rss() - before}))
"""
WRITE = """
import numpy as np
from ase import Atoms
from deepmd_charge import Density, write_density
generator = np.random.default_rng(0)
atoms = Atoms("Si64", cell=[10.9] * 3, scaled_positions=generator.random((64, 3)), pbc=True)
values = np.memmap(sys.argv[4], dtype=float, mode="r", shape=(n, n, n))
import tracemalloc
start, cpu_start = time.perf_counter(), time.process_time()
write_density(path, Density(atoms, values))
seconds, cpu = time.perf_counter() - start, time.process_time() - cpu_start
tracemalloc.start()
write_density(path, Density(atoms, values))
memory = tracemalloc.get_traced_memory()[1] / 2**20
print(json.dumps({"seconds": [seconds], "cpu": [cpu], "memory": memory}))
"""
READ = """
{imports}
before = rss()
seconds, cpu = [], []
for _ in range(repeat):
    result = None
    start, cpu_start = time.perf_counter(), time.process_time()
    result = {call}
    seconds.append(time.perf_counter() - start)
    cpu.append(time.process_time() - cpu_start)
    if len(seconds) == 1:
        memory = rss() - before
print(json.dumps({{"seconds": seconds, "cpu": cpu, "memory": memory}}))
"""
SAMPLE = """
import tracemalloc
from deepmd_charge import read_density
from deepmd_charge.data.dpdata_plugin import system_data
density = read_density(path)
tracemalloc.start()
start = time.perf_counter()
system_data(density, seed=1)
seconds = time.perf_counter() - start
memory = tracemalloc.get_traced_memory()[1] / 2**20
print(json.dumps({"seconds": [seconds], "cpu": [seconds], "memory": memory}))
"""
OURS = READ.format(imports="from deepmd_charge import read_density", call="read_density(path)")
PYMATGEN = READ.format(
    imports="from pymatgen.io.vasp.outputs import Chgcar", call="Chgcar.from_file(path)"
)


def run(script, path, args, *more):
    """Seconds and memory (MiB) of a script in its own process."""
    command = [sys.executable, "-W", "ignore", "-c", SETUP + script, str(path)]
    command += [str(args.points), str(args.repeat), *map(str, more)]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        sys.exit(done.stderr)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--points", type=int, default=300, metavar="N", help="along each axis")
    parser.add_argument("--repeat", type=int, default=3, metavar="R")
    parser.add_argument(
        "-o", "--output", metavar="FOLDER", help="for the files (default: temporary)"
    )
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.output) as folder:
        folder = Path(folder)
        chgcar = folder / "CHGCAR"
        run(MAKE, chgcar, args)
        array = args.points**3 * 8 / 2**20
        print(
            f"{args.points}^3 values: {chgcar.stat().st_size / 1e6:.0f} MB,"
            f" {array:.0f} MiB in memory,"
            f" {len(os.sched_getaffinity(0))} cores"
        )
        print(f"{'':32}{'cold s':>8}{'best s':>8}{'CPU s':>8}{'arrays':>8}")

        def show(name, result):
            cold, best = result["seconds"][0], min(result["seconds"])
            times = cold, best, min(result["cpu"]), result["memory"] / array
            print(f"{name:32}" + "".join(f"{x:8.2f}" for x in times), flush=True)

        show("CHGCAR read", run(OURS, chgcar, args))
        show("CHGCAR read by pymatgen", run(PYMATGEN, chgcar, args))
        show("sampling 100000 points", run(SAMPLE, chgcar, args))
        for name in ("CHGCAR_copy", "copy.cube", "copy.xsf"):
            show(f"{name} written from disk", run(WRITE, folder / name, args, f"{chgcar}.values"))
        for name in ("copy.cube", "copy.xsf"):
            show(f"{name} read", run(OURS, folder / name, args))


if __name__ == "__main__":
    main()
