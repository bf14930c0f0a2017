# SPDX-License-Identifier: LGPL-3.0-or-later
"""The route without this package: se_e2_a + ener, densities as atomic energies.

Its settings are those of the Deep Charge paper. Grid points are made no
neighbours of anything by ``sel``, which is the fastest way that DeePMD-kit has.
"""

import numpy as np
from scipy.spatial import cKDTree

from deepmd_charge.atoms.images import Images

RCUT = 6.5
POINTS_PER_FRAME = 200
# Points that are evaluated at once.
_BLOCK = 1000


def configuration(type_map, structures, steps):
    """The ``input.json`` of a stock run of so many steps."""
    loss = {f"{when}_pref_{what}": 0 for when in ("start", "limit") for what in "efv"}
    return {
        "model": {
            "type_map": type_map,
            "descriptor": {
                "type": "se_e2_a",
                "rcut": RCUT,
                "rcut_smth": 0.5,
                "sel": selection(type_map, structures),
                "neuron": [20, 40, 80],
                "axis_neuron": 16,
                "precision": "float64",
                "seed": 1,
            },
            "fitting_net": {
                "type": "ener",
                "neuron": [200, 200, 200],
                "precision": "float64",
                "seed": 1,
            },
        },
        "learning_rate": {
            "type": "exp",
            "start_lr": 1e-3,
            "stop_lr": 1e-6,
            "decay_steps": max(1, steps // 100),
        },
        "loss": {"type": "ener", **loss, "start_pref_ae": 1, "limit_pref_ae": 1},
        "training": {
            "training_data": {"systems": ["train"], "batch_size": 1},
            "numb_steps": steps,
            "seed": 1,
            "disp_file": "lcurve.out",
            "disp_freq": 100,
            "save_freq": steps,
        },
    }


def selection(type_map, structures):
    """Room for neighbours by DeePMD-kit's own rule: 1.1 times the most, up to a multiple of 4."""
    most = np.zeros(len(type_map), dtype=int)
    for atoms, points, _ in structures:
        types = np.array([type_map.index(s) for s in atoms.get_chemical_symbols()])
        images = Images(atoms, types, RCUT)
        centers = images.wrap(np.concatenate([atoms.positions, points[:: len(points) // 5000 + 1]]))
        for t in np.unique(types):
            tree = cKDTree(images.positions[images.types == t])
            count = tree.query_ball_point(centers, RCUT, return_length=True)
            most[t] = max(most[t], count.max())
    return [int(np.ceil(1.1 * n / 4)) * 4 for n in most]


class StockModel:
    """Densities from a frozen model, through DeepPot, so many points at once."""

    def __init__(self, path, block=_BLOCK):
        from deepmd.infer import DeepPot

        self._model = DeepPot(str(path))
        self._block = block

    def predict_points(self, atoms, points):
        """Densities (n,) in e/A^3 at points (n, 3); NaN at a point on a nucleus."""
        type_map = self._model.get_type_map()
        real = [type_map.index(s) for s in atoms.get_chemical_symbols()]
        values = []
        for block in np.array_split(points, -(-len(points) // self._block)):
            types = real + [type_map.index("X")] * len(block)
            coord = np.concatenate([atoms.positions, block]).reshape(1, -1)
            found = self._model.eval(coord, atoms.cell.array.reshape(1, 9), types, atomic=True)
            values.append(found[3].reshape(-1)[len(real) :])
        return np.concatenate(values)
