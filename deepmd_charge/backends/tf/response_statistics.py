# SPDX-License-Identifier: LGPL-3.0-or-later
"""The scale of what the nets of atoms' surroundings are fed with, from a sample of atoms."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from deepmd.tf.env import tf

from ...data.stored import frames
from ...model.spec import ModelSpec
from ...typing import Floats
from .response import Response
from .se_charge import SeCharge

__all__ = ["scale_response"]

# Atoms that are looked at, and at least so many frames of a system.
_ATOMS = 4000


def scale_response(
    system_dirs: Sequence[str],
    type_map: Sequence[str],
    spec: ModelSpec,
    descriptor: SeCharge,
    response: Response,
) -> None:
    """Whiten the moments of atoms' surroundings and standardise their invariants.

    Parameters
    ----------
    system_dirs : sequence of str
        DP systems.
    type_map : sequence of str
        That of the data, of which the model may know a part.
    spec : ModelSpec
    descriptor : SeCharge
    response : Response
        Of the descriptor.
    """
    chosen = list(_chosen(system_dirs, type_map, spec))
    for invariants in (False, True):
        with tf.Graph().as_default():
            coord, box = (tf.placeholder(tf.float64, [None]) for _ in "12")
            atype, mesh, natoms = (tf.placeholder(tf.int32, [None]) for _ in "123")
            descriptor.parameters.build()
            sources, atoms = descriptor.build_atoms(coord, atype, natoms, box, mesh)
            tensor = response.build_moments(sources, atoms)
            if invariants:
                tensor = response.build_invariants(tensor)
            with tf.Session() as session:
                session.run(tf.global_variables_initializer())
                found = []
                for frame in chosen:
                    # a grid point on the first atom: the graph must have one
                    points = frame["coord"][:1]
                    positions = np.concatenate([frame["coord"], points])
                    types = np.append(frame["type"], spec.grid_type)
                    feed = {
                        coord: positions.reshape(-1),
                        box: frame["box"].reshape(-1),
                        atype: types,
                        mesh: np.zeros(6 if frame["periodic"] else 0),
                        natoms: [len(types), len(types)],
                    }
                    found.append(session.run(tensor, feed))
        sample: Floats = np.concatenate(found).astype(np.float64)
        if invariants:
            response.set_statistics(sample)
        else:
            response.mixed.set_statistics(sample, len(sample))


def _chosen(
    system_dirs: Sequence[str], type_map: Sequence[str], spec: ModelSpec
) -> Iterator[dict[str, Any]]:
    """Yield the atoms of some frames of systems far apart."""
    step = max(1, len(system_dirs) // 1000)
    n_atoms = 0
    for path in system_dirs[::step]:
        for frame in frames([path], type_map, (), 3, known=spec.type_map):
            real = (frame["type"] != spec.grid_type) & (frame["type"] >= 0)
            yield {**frame, "coord": frame["coord"][real], "type": frame["type"][real]}
            n_atoms += real.sum()
            if n_atoms > _ATOMS:
                return
