# SPDX-License-Identifier: LGPL-3.0-or-later
"""What self-consistent and predicted densities tell of properties that superposed ones do not.

    python benchmarks/property_densities.py dft --data DATA [-n 600] [-o RUN]

DATA holds ``elastic/`` (structures with labels, and potentials for Quantum ESPRESSO). Every
stage goes on where it stopped.
"""

import argparse
import sys
from pathlib import Path

from property_dft import binaries, potentials, run_all


def main():
    """Run one stage."""
    args = arguments()
    if not (args.data / "elastic_structures.json.gz").exists():
        sys.exit(f"{args.data}: no elastic_structures.json.gz; give its folder by --data")
    pseudo = args.output / "upf"
    entries = binaries(args.data, potentials(args.data, pseudo))
    print(f"{len(entries)} binaries can be run", flush=True)
    if args.stage == "dft":
        run_all(entries, args.n, args.output / "dft", pseudo, lambda line: print(line, flush=True))


def arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stage", choices=["dft"])
    parser.add_argument("--data", type=Path, default=Path("shared/data/elastic"))
    parser.add_argument("-n", type=int, default=600, help="compounds")
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmarks/runs/densities"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
