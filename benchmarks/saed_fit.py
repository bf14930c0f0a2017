# SPDX-License-Identifier: LGPL-3.0-or-later
"""What `--saed fit` takes away of densities, and the electrons of its atoms.

    python benchmarks/saed_fit.py FILE...

Fits radial functions to each density file by itself, and prints the root mean
squares (e/A^3) of the density and of what the superposition leaves, over 20000
random points of the grid, and the electrons of each atom and of all.
"""

import argparse
import warnings

import numpy as np

from deepmd_charge import read_density
from deepmd_charge.saed import RadialFit

POINTS = 20000


def main():
    """Fit and print file after file."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", metavar="FILE", help="density files")
    warnings.simplefilter("ignore")  # of all-electron densities, and of the fit's own
    print(f"{'atoms':>12} {'density':>8} {'rest':>8}   electrons of each, of all / density   file")
    for path in parser.parse_args().files:
        density = read_density(path, check=False)
        fit = RadialFit(seed=0)
        fit.add(density)
        table = fit.table()
        size = density.values.size
        index = np.random.default_rng(1).choice(size, min(size, POINTS), replace=False)
        values = density.values[np.unravel_index(index, density.shape)]
        rest = values - table.evaluate(density.atoms, density.points(index))
        each = ", ".join(f"{e} {table.electrons(e):.2f}" for e in table.functions)
        print(
            f"{density.atoms.get_chemical_formula():>12} {rms(values):8.4f} {rms(rest):8.4f}"
            f"   {each}, {table.total(density.atoms):.3f} / {density.n_electrons:.3f}   {path}",
            flush=True,
        )


def rms(values):
    """Root mean square."""
    return np.sqrt(np.mean(np.square(values)))


if __name__ == "__main__":
    main()
