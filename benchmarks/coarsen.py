# SPDX-License-Identifier: LGPL-3.0-or-later
"""What ``predict --coarsen`` costs and gains, for models of the total and of the difference.

    python benchmarks/coarsen.py RUN/qe-water-5 RUN/qe-si-3 --data DATA [--coarsen 2 3]

The folders are those that ``difference.py`` makes for the structures it leaves
out. Each is predicted by both models, on the full grid and from a coarser one,
from the structure to the file on one core. Beside that stands what interpolation
does to the reference density and to its difference: it would be left with a
perfect model. The errors are over all grid points. Seconds are those in which a
core worked for it, the best of some runs, without the compilation of the model.
"""

import argparse
import tempfile
import time
import warnings
from pathlib import Path

from difference import TARGETS

from deepmd_charge import ChargeModel, Density, read_density
from deepmd_charge.grid.fourier import fourier_interpolate
from deepmd_charge.grid.grid import Grid
from deepmd_charge.grid.metrics import Comparison
from deepmd_charge.predict.run import Run

WARM = (20, 20, 20)


def main():
    """Predict every structure and print a row for each model and factor."""
    args = arguments()
    warnings.simplefilter("ignore")
    titles = f"{'added':>9} {'max':>9} {'MAE':>9} {'max':>9}"
    print(f"{'structure':>12} {'density':>20} {'N':>2} {titles} {'s':>6}   e/A^3")
    for folder in args.runs:
        name = folder.name.replace("-", "/")
        true = read_density(args.data / name / "CHGCAR.gz")
        for target, density in references(args.data / name, true):
            for factor in args.coarsen:
                if not any(n % factor for n in true.shape):
                    coarse = density.values[::factor, ::factor, ::factor]
                    found = Density(true.atoms, fourier_interpolate(coarse, true.shape))
                    show(name, f"reference {target}", factor, difference(density, found))
        for target in TARGETS:
            model = ChargeModel(folder / target / "charge.pb", n_threads=1)
            full = None
            for factor in (1, *args.coarsen):
                seconds, found = predicted(model, true, factor, args.repeat)
                full = found if full is None else full
                added, error = difference(full, found), difference(true, found)
                show(name, target, factor, added, error, seconds)


def arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="such as runs/qe-water-5")
    parser.add_argument("--data", type=Path, required=True, help="folder of the data sets")
    parser.add_argument("--coarsen", type=int, nargs="+", default=[2], metavar="N")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each prediction")
    return parser.parse_args()


def references(folder, true):
    """Yield both targets, as they are in the reference."""
    yield "total", true
    yield "difference", true - read_density(folder / "CHGCAR_saed.gz")


def predicted(model, true, factor, repeat):
    """Core-seconds of a prediction on the grid of a density, and what it gives."""
    seconds = []
    with tempfile.TemporaryDirectory() as folder:
        path = f"{folder}/CHGCAR"
        for shape in (WARM, *[true.shape] * repeat):
            run = Run([model], path, coarsen=factor)
            start = time.process_time()
            run.predict(true.atoms, Grid.of(true.atoms, shape), path)
            seconds.append(time.process_time() - start)
            run.close()
        return min(seconds[1:]), read_density(path)


def difference(one, other):
    """Mean and maximum of |one - other| over the grid."""
    return Comparison.of(one.values, other.values, one.volume / one.values.size).summary()


def show(name, density, factor, added, error=None, seconds=None):
    """Print a row."""
    row = " ".join(f"{e['mae']:9.2e} {e['max']:9.2e}" for e in (added, error) if e)
    row += f" {seconds:6.2f}" if seconds else ""
    print(f"{name:>12} {density:>20} {factor:2} {row}", flush=True)


if __name__ == "__main__":
    main()
