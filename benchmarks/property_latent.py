# SPDX-License-Identifier: LGPL-3.0-or-later
"""The autoencoder of densities: trained, measured beside PCA, and its latent vectors.

    python benchmarks/property_latent.py STAGE... --data DATA [-o RUN]

DATA holds ``elastic/`` (structures of 3,953 binaries, whose free atoms are superposed; no label
is looked at). STAGE is any of boxes, train, pca, errors, large, encode, in this order; each goes on
where it was stopped. Held out are the compounds of fold 0 of five.
"""

import argparse
import gzip
import json
from pathlib import Path

import numpy as np
from ase import Atoms

from deepmd_charge.property.boxes import BoxSettings, write_boxes
from deepmd_charge.property.superposed import superposed

COPIES = 4
SEED = 0


class Superposed:
    """The superposed densities of structures, each made when it is asked for."""

    def __init__(self, structures, settings):
        self.structures, self.settings = structures, settings

    def __len__(self):
        return len(self.structures)

    def __getitem__(self, k):
        return superposed(self.structures[k], self.settings.spacing / 2.0)


def main():
    """Run the stages that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "stages", nargs="+", choices=STAGES, metavar="STAGE", help=", ".join(STAGES)
    )
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument(
        "-o", "--output", type=Path, default=Path(__file__).parent / "runs" / "property"
    )
    args = parser.parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    entries = load(args.data / "elastic")
    for stage in args.stages:
        STAGES[stage](args.output, entries)


def load(folder):
    """Identifiers and structures of the binaries."""
    with gzip.open(folder / "elastic_structures.json.gz") as file:
        entries = json.load(file)["entries"]
    return {
        e["id"]: Atoms(e["numbers"], scaled_positions=e["frac"], cell=e["cell"], pbc=True)
        for e in entries
        if e["source"] == "matcalc"
    }


def split(n):
    """Indices that are trained on, and those of fold 0 of five."""
    from sklearn.model_selection import KFold

    return next(KFold(5, shuffle=True, random_state=0).split(np.arange(n)))


def boxes(folder, structures):
    """Write boxes of random poses of all compounds."""
    settings = BoxSettings()
    densities = Superposed(list(structures.values()), settings)
    return write_boxes(folder / "boxes.npy", densities, settings, COPIES, SEED)


STAGES = {"boxes": boxes}

if __name__ == "__main__":
    main()
