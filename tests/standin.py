# SPDX-License-Identifier: LGPL-3.0-or-later
"""A model that costs nothing, and the command line with it.

python standin.py ARGUMENTS     as deepmd-charge ARGUMENTS
"""

import os
import sys
import time
from types import MappingProxyType

import numpy as np

from deepmd_charge.model.info import ModelInfo
from deepmd_charge.predict.parallel.mpi import launched

SPACING = 0.4


def wave(atoms, points):
    """A smooth periodic density: 8 electrons."""
    phases = 2.0 * np.pi * atoms.cell.scaled_positions(points)
    return (
        8.0 / atoms.cell.volume * (1.0 + 0.5 * np.cos(phases[:, 0]) * np.sin(phases[:, 1:]).sum(1))
    )


def wait_for_blocks(path, count):
    """Wait until a run has done so many blocks, as the checksums in its partial file say."""
    deadline = time.monotonic() + 600.0
    while time.monotonic() < deadline:
        if (
            os.path.exists(path)
            and np.count_nonzero(np.fromfile(path, np.uint64, 100, offset=1 << 16)) >= count
        ):
            return
        time.sleep(0.02)
    raise TimeoutError(path)


class StandInField:
    """`wave` times a factor plus a ripple that atoms shift, and sharp atoms if there are any."""

    n_calls = 0
    block = 4096
    threads = 1

    def __init__(self, atoms, factor, ripple=0.0, sharp=0.0):
        self.atoms, self.factor, self.ripple, self.sharp = atoms, factor, ripple, sharp
        self.is_superposed = bool(sharp)

    def __call__(self, points):
        return self.difference(points) + self.superposition(points)

    def superposition(self, points):
        place = self.atoms.cell.scaled_positions(points - self.atoms.positions[0])
        return self.sharp * np.exp(20.0 * (np.cos(2.0 * np.pi * place) - 1.0).sum(1))

    def difference(self, points):
        type(self).n_calls += 1
        time.sleep(float(os.environ.get("STANDIN_PAUSE", 0.0)))
        if os.environ.get("STANDIN_BROKEN_RANK") == str(launched()[0]):
            raise RuntimeError("broken\nrank")
        place = self.atoms.cell.scaled_positions(points - self.atoms.positions[0])
        return self.factor * wave(self.atoms, points) + self.ripple * np.cos(
            2.0 * np.pi * (5.0 * place[:, 0] + 4.0 * place[:, 2])
        )

    def warn_if_far(self, where, stacklevel=2, name=""):
        pass


class StandInModel:
    """Its file holds a factor and, if wanted, the heights of a ripple and of sharp atoms."""

    type_map = ("Si", "X")
    elements = ("Si",)
    rcut = 6.0
    facts = MappingProxyType({})  # of each file, beyond those that all have

    def __init__(self, path, n_threads=None, quantity=None):
        with open(path) as file:
            self.numbers = [float(word) for word in file.read().split()]
        self.path = path
        self.n_threads = n_threads
        kind = "vasp/chgcar" if self.numbers[0] < 9 else "cube"
        self.info = {"grid_spacing": SPACING, "kind": kind, **self.facts.get(path, {})}

    @property
    def memory(self):
        return ModelInfo.from_json(self.info)

    def field(self, atoms):
        return StandInField(atoms, *self.numbers)

    def check(self, atoms, name="the structure"):
        from deepmd_charge.predict.charge_model import ChargeModel

        ChargeModel.check(self, atoms, name)

    def predict(self, atoms, grid, progress=False, saed=None, origin=(0.0, 0.0, 0.0)):
        from deepmd_charge import Density

        density = Density(atoms, np.zeros(grid), origin)
        density.values.flat = self.predict_points(atoms, density.points())
        return density

    def predict_points(self, atoms, points, progress=False, saed=None):
        return self.field(atoms)(points)


if __name__ == "__main__":
    import deepmd_charge.predict
    import deepmd_charge.predict.evaluation
    from deepmd_charge.cli.main import main

    if "STANDIN_PIDS" in os.environ:
        with open(f"pid.{launched()[0]}", "w") as file:
            file.write(str(os.getpid()))
    deepmd_charge.predict.ChargeModel = deepmd_charge.predict.evaluation.ChargeModel = StandInModel
    sys.exit(main())
