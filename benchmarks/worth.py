# SPDX-License-Identifier: LGPL-3.0-or-later
"""What a model is worth in Quantum ESPRESSO, on the structures that a set holds back.

    python benchmarks/accuracy.py qe-si --data DATA --config CONFIG -o RUN
    python benchmarks/worth.py qe-si -m RUN/charge.pb --data DATA -o RUNS [--repeat 3]

DATA holds ``qe/`` as for ``accuracy.py``; other flags are those of ``deepmd-charge qe compare``,
which prints the tables. All runs have ``diago_david_ndim = 4``, which is the faster one of 2 and
4 from a density, and as fast from atoms.
"""

import argparse
import sys
from pathlib import Path

from data import SETS

from deepmd_charge.cli.main import main as deepmd_charge
from deepmd_charge.qe.input import read_input


def main():
    """Write the inputs of the structures, and compare."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("set", choices=[name for name in SETS if name.startswith("qe-")])
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of the runs")
    args, others = parser.parse_known_args()
    inputs = []
    for name in SETS[args.set][1]:
        pw = read_input(args.data / name / "scf.in")
        potentials = (args.data / name / pw.pseudo_dir).resolve()
        file = args.output / "inputs" / f"{name.replace('/', '-')}.in"
        file.parent.mkdir(parents=True, exist_ok=True)
        settings = {
            "control": {"pseudo_dir": f"'{potentials}'"},
            "electrons": {"diago_david_ndim": "4"},
        }
        file.write_text(pw.with_settings(settings))
        inputs.append(str(file))
    return deepmd_charge(["qe", "compare", "-i", *inputs, "-o", str(args.output), *others])


if __name__ == "__main__":
    sys.exit(main())
