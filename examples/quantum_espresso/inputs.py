#!/usr/bin/env python
# SPDX-License-Identifier: LGPL-3.0-or-later
"""Write inputs of pw.x for displaced silicon: inputs.py FOLDER N_TRAIN ECUTWFC PSEUDO_DIR.

FOLDER/train_K/pw.in are runs to learn from, FOLDER/new/pw.in is a structure that none of them has.
"""

import sys
from pathlib import Path

import numpy as np

A = 10.26  # bohr
FCC = [(0, 0, 0), (0, 0.5, 0.5), (0.5, 0, 0.5), (0.5, 0.5, 0)]
DISPLACEMENT = 0.08  # bohr, in each direction

TEXT = """&control
  calculation = 'scf', prefix = 'si', outdir = '.', pseudo_dir = '{pseudo_dir}'
/
&system
  ibrav = 1, celldm(1) = {a}, nat = 8, ntyp = 1, ecutwfc = {ecutwfc}
/
&electrons
  conv_thr = 1.0d-8
/
ATOMIC_SPECIES
  Si 28.086 Si.pz-vbc.UPF
ATOMIC_POSITIONS bohr
{positions}
K_POINTS automatic
  2 2 2 1 1 1
"""


def write(folder, n_train, ecutwfc, pseudo_dir):
    """Write all inputs."""
    perfect = A * np.concatenate([FCC, np.array(FCC) + 0.25])
    rng = np.random.default_rng(1)
    names = [*(f"train_{k}" for k in range(1, n_train + 1)), "new"]
    for name in names:
        moved = perfect + rng.normal(scale=DISPLACEMENT, size=perfect.shape)
        rows = "\n".join("  Si {:.8f} {:.8f} {:.8f}".format(*row) for row in moved)
        target = folder / name
        target.mkdir(parents=True)
        text = TEXT.format(a=A, ecutwfc=ecutwfc, pseudo_dir=pseudo_dir, positions=rows)
        (target / "pw.in").write_text(text)


if __name__ == "__main__":
    path, count, cutoff, potentials = sys.argv[1:]
    write(Path(path), int(count), float(cutoff), potentials)
