# SPDX-License-Identifier: LGPL-3.0-or-later
"""What ``water.py`` and ``aluminium.py`` share: runs that go on where they were stopped."""

import os
import subprocess
import sys


def structures(counts):
    """(use, size, number) of all structures, ``counts`` being their numbers by use and size."""
    for use, sizes in counts.items():
        for size, n_structures in sizes.items():
            for number in range(1, n_structures + 1):
                yield use, size, number


def compute_missing(folder, counts, sizes, compute):
    """Make folder/USE/SIZE-NUMBER.cube where it is not there, in folder/runs/USE-SIZE-NUMBER.

    ``compute(run, size, number, use)`` computes in the folder ``run`` and returns the path of a
    cube file, which is then moved. Of other sizes than the given ones nothing is made.
    """
    for use, size, number in structures(counts):
        path = folder / use / f"{size}-{number}.cube"
        if size in sizes and not path.exists():
            run = folder / "runs" / f"{use}-{size}-{number}"
            run.mkdir(parents=True, exist_ok=True)
            path.parent.mkdir(exist_ok=True)
            compute(run, size, number, use).replace(path)
            print(path, flush=True)


def run_program(folder, name, text, *command):
    """Run a program in a folder, its input in NAME.in, what it prints in NAME.out."""
    (folder / f"{name}.in").write_text(text)
    # Open MPI, which Debian's codes are linked with, does not run for root otherwise
    environment = {**os.environ, "OMPI_ALLOW_RUN_AS_ROOT": "1"}
    environment["OMPI_ALLOW_RUN_AS_ROOT_CONFIRM"] = "1"
    with open(folder / f"{name}.out", "w") as out:
        done = subprocess.run(
            command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=out
        )
    if done.returncode:
        sys.exit(f"{command[0]} failed: see {out.name}")


def demand(path, words):
    """Stop unless a program has written these words."""
    if words not in path.read_text():
        sys.exit(f"{path}: '{words}' is not there, so the run has failed")


def rows(symbols, vectors):
    """Lines of a label and three coordinates."""
    return "\n".join(
        f"{symbol} {x:.10f} {y:.10f} {z:.10f}"
        for symbol, (x, y, z) in zip(symbols, vectors, strict=True)
    )
