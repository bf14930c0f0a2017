# SPDX-License-Identifier: LGPL-3.0-or-later
"""How long invariants of a density take, and how many stream through all cores.

    python benchmarks/property_features.py [--data DATA] [-n 300] [--stream 3000] [--json OUT.json]

Seconds for one superposed density and its invariants on one core, by the number of atoms; then
``property features`` over all structures again and again, on all cores, interrupted in the middle
and gone on with, with the memory of all its processes along the way. DATA holds ``elastic/``
(structures of 3,953 binaries); without it simple lattices of many elements are taken.
"""

import argparse
import gzip
import json
import os
import platform
import resource
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from ase.io import write

from deepmd_charge.predict.parallel.blocks import available_cores
from deepmd_charge.property.features import FEATURES, features
from deepmd_charge.property.sources import SPACING
from deepmd_charge.property.superposed import free_atom, superposed
from deepmd_charge.threads import one_thread_of_blas

BY_ATOMS = (1, 2, 4, 8, 16, 32)
MANY = 100_000


def main():
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data", type=Path, help="folder of the data sets")
    parser.add_argument("-n", type=int, default=300, help="structures for the time of one")
    parser.add_argument("--stream", type=int, default=3000, help="entries of the stream")
    parser.add_argument("-j", "--jobs", type=int, default=available_cores(), help="cores of it")
    parser.add_argument("--json", type=Path, help="file for the numbers")
    args = parser.parse_args()
    # in the background of a shell it is ignored, here and by the command
    signal.signal(signal.SIGINT, signal.default_int_handler)
    structures = binaries(args.data) if args.data else lattices()
    chosen = np.random.default_rng(0).permutation(len(structures))[: args.n]
    found = {
        "processor": platform.processor() or platform.machine(),
        "features": len(FEATURES),
        "one": one_by_one([structures[k] for k in chosen]),
        "stream": stream(structures, args.stream, args.jobs),
    }
    if args.json:
        args.json.write_text(json.dumps(found, indent=2) + "\n")


def binaries(folder):
    """Structures of the Materials Project binaries."""
    with gzip.open(folder / "elastic" / "elastic_structures.json.gz") as file:
        entries = json.load(file)["entries"]
    return [
        Atoms(numbers=e["numbers"], cell=e["cell"], scaled_positions=e["frac"], pbc=True)
        for e in entries
        if e["source"] == "matcalc"
    ]


def lattices():
    """Compounds and elements in cells of 1 to 16 atoms."""
    metals = ("Li", "Mg", "Al", "Ti", "Fe", "Cu", "Nb", "W", "Pb")
    found = [bulk(m, "fcc", a=4.0 + 0.1 * k) for k, m in enumerate(metals)]
    for k, metal in enumerate(metals):
        for anion in ("N", "O", "S"):
            salt = bulk(metal + anion, "rocksalt", a=4.6 + 0.1 * k)
            found += [salt, salt.repeat((2, 1, 1)), salt.repeat((2, 2, 2))]
    return found


def one_by_one(structures):
    """Seconds of a density and its invariants, on one core."""
    for symbol in {symbol for atoms in structures for symbol in atoms.symbols}:
        free_atom(symbol)  # tables of elements are made once
    features(superposed(structures[0], SPACING))
    seconds = []
    with one_thread_of_blas():
        for atoms in structures:
            start = time.process_time()
            density = superposed(atoms, SPACING)
            between = time.process_time()
            features(density)
            seconds.append((between - start, time.process_time() - between))
    seconds = np.array(seconds)
    sizes = np.array([len(atoms) for atoms in structures])
    rows = []
    print("atoms      structures  superposition, s  invariants, s  both: median, s  90%, s")
    for low, high in [*zip((0, *BY_ATOMS), (*BY_ATOMS, np.inf), strict=True), (0, np.inf)]:
        mine = seconds[(sizes > low) & (sizes <= high)]
        if not mine.size:
            continue
        total = mine.sum(axis=1)
        row = {
            "atoms": f"{high}" if high == low + 1 else f"{low + 1}-{high:g}",
            "structures": len(mine),
            "superposition": float(np.median(mine[:, 0])),
            "invariants": float(np.median(mine[:, 1])),
            "median": float(np.median(total)),
            "90%": float(np.percentile(total, 90)),
        }
        rows.append(row)
        print(
            f"{row['atoms']:10s} {row['structures']:10d}  {row['superposition']:16.3f}"
            f"  {row['invariants']:13.3f}  {row['median']:15.3f}  {row['90%']:6.3f}"
        )
    return rows


def stream(structures, n, jobs):
    """Entries in a second of the command over structures that repeat, and its memory."""
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        for k, atoms in enumerate(structures):
            write(folder / f"{k}.vasp", atoms, format="vasp")
        for k in range(len(structures), n):
            os.link(folder / f"{k % len(structures)}.vasp", folder / f"{k}.vasp")
        lines = "".join(f"{k}.vasp\n" for k in range(n))
        (folder / "files.csv").write_text(f"file\n{lines}")
        start = time.perf_counter()
        memory = run(folder, jobs, n, {"10%": 0.1, "50%": 0.5}, interrupted=True)
        again = time.perf_counter()
        memory |= run(folder, jobs, n, {"60%": 0.6, "95%": 0.95}, "--resume")
        end = time.perf_counter()
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        table = folder / "table.csv"
        size = table.stat().st_size
        rows = table.read_bytes().splitlines()
        if [row.partition(b",")[0] for row in rows[1:]] != lines.encode().split():
            sys.exit("the table lacks rows, or has some twice")
    seconds = end - start
    rate, cpu = n / seconds, (used.ru_utime + used.ru_stime) / n
    print(
        f"{n} entries on {jobs} cores: {seconds:.0f} s ({again - start:.0f} until it was"
        f" interrupted), {rate:.1f}/s, {cpu:.3f} CPU seconds and {size / n / 1000:.1f} kB each;"
        f" {MANY} take {MANY / rate / 3600:.1f} h"
    )
    for share, megabytes in memory.items():
        print(f"memory of all processes at {share}: {megabytes:.0f} MB")
    return {
        "entries": n,
        "cores": jobs,
        "seconds": seconds,
        "rate": rate,
        "cpu": cpu,
        "memory": memory,
    }


def run(folder, jobs, n, marks, *flags, interrupted=False):
    """Run the command; memory (MB) of its processes when shares of all rows are there.

    Interrupted, it gets Ctrl-C at the last of the shares.
    """
    command = "from deepmd_charge.cli.main import main; raise SystemExit(main())"
    arguments = ["property", "features", "files.csv", "-q", "-o", "table.csv", "-j", str(jobs)]
    process = subprocess.Popen([sys.executable, "-c", command, *arguments, *flags], cwd=folder)
    found, rows, position = {}, -1, 0
    while process.poll() is None:
        time.sleep(0.2)
        if not (table := folder / "table.csv.part").exists():
            continue
        with table.open("rb") as file:
            file.seek(position)
            new = file.read()
        position += len(new)
        rows += new.count(b"\n")
        for name, share in marks.items():
            if name not in found and rows >= share * n:
                found[name] = resident(process.pid)
        if interrupted and len(found) == len(marks):
            process.send_signal(signal.SIGINT)
            process.wait()
    if bool(process.returncode) != interrupted:
        sys.exit("property features failed")
    return found


def resident(pid):
    """Resident memory (MB) of a process and its children."""
    parents, memory = {}, {}
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            fields = (entry / "stat").read_text().rpartition(")")[2].split()
            pages = int((entry / "statm").read_text().split()[1])
        except OSError:
            continue  # it has ended
        parents[int(entry.name)] = int(fields[1])
        memory[int(entry.name)] = pages * os.sysconf("SC_PAGE_SIZE") / 1e6
    family = {pid}
    while more := {p for p, parent in parents.items() if parent in family} - family:
        family |= more
    return sum(memory[p] for p in family if p in memory)


if __name__ == "__main__":
    main()
