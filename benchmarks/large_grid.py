# SPDX-License-Identifier: LGPL-3.0-or-later
"""Grid points a second on a whole grid of many atoms, beside that of their unit.

    python benchmarks/large_grid.py -m charge.pb [--repeat 12 12 11] [--grid 84] [--share 0.02]

The grid of the large cell is as fine as that of the small one. Its blocks are evaluated one
after the other, as ``predict`` does, until that share of them is done.
"""

import argparse
import resource
import time

import numpy as np
from ase.io import read
from inference import SILICON

from deepmd_charge import ChargeModel
from deepmd_charge.grid.blocks import Blocks
from deepmd_charge.grid.grid import Grid


def main():
    """Print a row for the small cell and one for the large one."""
    args = arguments()
    model, atoms = ChargeModel(args.model, n_threads=1), read(SILICON)
    evaluate(model, atoms, [args.grid] * 3, 0.1)  # warms up
    for large, share in ((atoms, 1.0), (atoms.repeat(args.repeat), args.share)):
        shape = args.grid * np.rint(large.cell.lengths() / atoms.cell.lengths()).astype(int)
        print(evaluate(model, large, shape, share), flush=True)


def arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-m", "--model", required=True)
    parser.add_argument("--repeat", type=int, nargs=3, default=(12, 12, 11))
    parser.add_argument("--grid", type=int, default=84, help="points along each vector of 64 atoms")
    parser.add_argument("--share", type=float, default=0.02, help="of the blocks of the large grid")
    return parser.parse_args()


def evaluate(model, atoms, shape, share):
    """Evaluate a share of the blocks twice, and say how fast that was."""
    start = time.process_time()
    field = model.field(atoms)
    laid_out = time.process_time() - start
    blocks = Blocks(Grid(atoms.cell.array, shape), field.block)
    numbers, speeds = range(int(share * len(blocks))), []
    for _ in range(2):
        start = time.process_time()
        done = sum(blocks.values(number, field).size for number in numbers)
        speeds.append(done / (time.process_time() - start))
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    return (
        f"{len(atoms)} atoms, {done} of {blocks.size} points: {speeds[0]:.0f} a core-second, "
        f"{speeds[1]:.0f} once what atoms contribute is known; images laid out in "
        f"{laid_out:.2f} s; {memory:.2f} GB"
    )


if __name__ == "__main__":
    main()
