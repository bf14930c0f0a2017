# SPDX-License-Identifier: LGPL-3.0-or-later
"""What self-consistent and predicted densities tell of properties that superposed ones do not.

    python benchmarks/property_densities.py STAGE --data DATA [-o RUN]

DATA holds structures with labels, and potentials for Quantum ESPRESSO (``elastic/``). The stages,
each of which goes on where it stopped, and takes what the one before has left:

- dft: self-consistent densities of the first ``-n`` of the binaries, in a seeded random order
- train: a model of this package, on the compounds among the first ``--train`` of that order
- predict: its densities of all compounds
- features: invariants of superposed, self-consistent and predicted densities
- compare: what models of properties make of them
"""

import argparse
import json
import os
import sys
from pathlib import Path

from property_dft import binaries, potentials, run_all, runs


def main():
    """Run one stage."""
    args = arguments()
    if not (args.data / "elastic_structures.json.gz").exists():
        sys.exit(f"{args.data}: no elastic_structures.json.gz; give its folder by --data")
    os.environ.update({f"{p}_THREADS": "1" for p in ("OMP_NUM", "OPENBLAS_NUM", "TF_NUM_INTRAOP")})
    pseudo, dft, fit, predicted = (
        args.output / part for part in ("upf", "dft", "model", "predicted")
    )
    if args.stage == "dft":
        entries = binaries(args.data, potentials(args.data, pseudo))
        say(f"{len(entries)} binaries can be run")
        return run_all(entries[: args.n], dft, pseudo, args.part, say)
    done = {row["id"]: int(row["number"]) for row in runs(dft) if row["status"] == "ok"}
    trained = [name for name, number in done.items() if number < args.train]
    done = [*done]
    if args.stage == "train":
        from property_model import train

        seconds = train(trained, dft, fit, pseudo, args.steps, args.override)
        say(f"{len(trained)} compounds, {seconds:.0f} CPU s of training")
    elif args.stage == "predict":
        from property_model import predict

        names = sorted(done, key=lambda name: name in trained)
        predict(names, {*trained}, dft, predicted, pseudo, fit / "charge.pb", say)
    elif args.stage == "features":
        from property_compare import write_features

        write_features(done, dft, predicted, args.output / "features", pseudo, say)
    elif args.stage == "compare":
        from property_compare import compare

        markdown, numbers = compare(
            done, {*trained}, args.data, args.output / "features", args.repeats, say
        )
        say(markdown)
        (args.output / "compare.json").write_text(json.dumps(numbers, indent=1))
    return None


def say(line):
    """Print a line at once."""
    print(line, flush=True)


def arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stage", choices=["dft", "train", "predict", "features", "compare"])
    parser.add_argument("--data", type=Path, default=Path("shared/data/elastic"))
    parser.add_argument("-n", type=int, default=644, help="compounds to run")
    parser.add_argument(
        "--part",
        type=int,
        nargs=2,
        default=(0, 1),
        metavar=("K", "M"),
        help="of M processes that share the runs this is number K (from 0)",
    )
    parser.add_argument("--train", type=int, default=320, help="compounds to train on: the first")
    parser.add_argument("--steps", type=int, help="of the training")
    parser.add_argument("--repeats", type=int, default=5, help="of the folds that are compared")
    parser.add_argument("--override", default="{}", metavar="JSON", help="merged into its settings")
    parser.add_argument("-o", "--output", type=Path, default=Path("benchmarks/runs/densities"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
