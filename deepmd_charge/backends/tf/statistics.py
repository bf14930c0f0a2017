# SPDX-License-Identifier: LGPL-3.0-or-later
"""What a model takes from its training data before training starts.

Of ``se_charge`` that is the scale of its features and the pair-additive fit, from a sample;
of ``se_cluster`` all that is linear, from all points.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
from ase import Atoms
from deepmd.tf.env import GLOBAL_TF_FLOAT_PRECISION, tf
from deepmd.tf.model.model_stat import make_stat_input

from ...atoms.species import GRID_TYPE
from ...data.stored import frames
from ...errors import ChargeError
from ...model.descriptors.se_cluster import SeClusterSpec
from ...model.fit.cluster import ClusterFit, fit_cluster
from ...model.fit.points import Sample
from ...model.fit.ridge import Ridge
from ...model.spec import ModelSpec
from ...typing import Floats
from .fitting import ChargeFitting
from .se_charge import SeCharge
from .se_cluster import SeCluster

if TYPE_CHECKING:
    from deepmd.tf.utils.data_system import DeepmdDataSystem

__all__ = ["scale_and_fit", "solve"]

# dp shows what its own loggers say
log = logging.getLogger("deepmd.charge")

# Seconds between two lines on the progress of a fit.
_QUIET = 5.0
# Grid points that the statistics of se_charge look at.
_STAT_POINTS = 20000


def scale_and_fit(
    data: DeepmdDataSystem, nbatch: int, descriptor: SeCharge, fitting: ChargeFitting, saed: bool
) -> None:
    """Whiten, standardise and fit the pair-additive term of ``se_charge`` on a sample.

    Parameters
    ----------
    data : deepmd.tf.utils.data_system.DeepmdDataSystem
    nbatch : int
        Batches of each system, at least.
    descriptor : SeCharge
    fitting : ChargeFitting
    saed : bool
        Whether the density is learnt without the superposed atomic densities.

    Raises
    ------
    ChargeError
        If the data hold no grid point, or no atom is within the cutoff of one.
    """
    points = np.count_nonzero(data.get_batch()["type"] == descriptor.grid_type)
    per_batch = max(1, points)
    nbatch = max(nbatch, -(-_STAT_POINTS // (per_batch * data.get_nsystems())))
    sample = make_stat_input(data, nbatch, merge_sys=False)

    def moments(*inputs: tf.Tensor) -> list[tf.Tensor]:
        return [descriptor.build_sample(descriptor.build_moments(*inputs))]

    def features(*inputs: tf.Tensor) -> list[tf.Tensor]:
        coord, atype, natoms, box, mesh = inputs
        built = descriptor.build(coord, atype, natoms, box, mesh, {})
        return [built, descriptor.build_neighbor_count()]

    found, density = _on_sample(sample, moments, descriptor, saed)
    if len(density) == 0:
        raise ChargeError(f"the training data hold no grid point: no atom is of type {GRID_TYPE}")
    descriptor.set_statistics(found, len(density))
    found, count, density = _on_sample(sample, features, descriptor, saed)
    if not count.any():
        raise ChargeError(
            f"no grid point of the training data has an atom within rcut "
            f"{descriptor.rcut} A; raise model/descriptor/rcut"
        )
    descriptor.set_neighbor_range(count.min(axis=0), count.max(axis=0))
    residual = fitting.set_statistics(found, density)
    log.info(
        "density statistics on %d points: mean |rho| %.4f e/A^3, "
        "mean |residual| of the pair-additive fit %.4f e/A^3",
        len(density),
        np.abs(density).mean(),
        np.abs(residual).mean(),
    )


def _on_sample(
    sample: Mapping[str, Any],
    build: Callable[..., list[tf.Tensor]],
    descriptor: SeCharge,
    saed: bool,
) -> list[Floats]:
    """Evaluate the tensors of ``build``, and what is to be learnt, on the sample's batches."""
    with tf.Graph().as_default():
        coord, box = (tf.placeholder(GLOBAL_TF_FLOAT_PRECISION, [None]) for _ in "12")
        atype, mesh = (tf.placeholder(tf.int32, [None]) for _ in "12")
        natoms = tf.placeholder(tf.int32, [2 + descriptor.get_ntypes()])
        tensors = [*build(coord, atype, natoms, box, mesh), descriptor.center_index]
        found = []
        with tf.Session() as session:
            session.run(tf.global_variables_initializer())
            for system in range(len(sample["coord"])):
                for batch in range(len(sample["coord"][system])):
                    b = {k: sample[k][system][batch] for k in sample}
                    *values, index = session.run(
                        tensors,
                        {
                            coord: np.reshape(b["coord"], -1),
                            box: np.reshape(b["box"], -1),
                            atype: np.reshape(b["type"], -1),
                            mesh: b["default_mesh"],
                            natoms: b["natoms_vec"],
                        },
                    )
                    label = b["density"] - b["saed"] if saed else b["density"]
                    label = np.reshape(label, [len(b["coord"]), -1])
                    found.append([*values, label[index[:, 0], index[:, 1]]])
    return [np.concatenate(parts) for parts in zip(*found, strict=True)]


def solve(
    data: DeepmdDataSystem,
    spec: ModelSpec,
    descriptor: SeCluster,
    fitting: ChargeFitting,
    saed: bool,
    electrons: Floats | None = None,
) -> None:
    """Fit the contributions of ``se_cluster`` to all points of the training data.

    Parameters
    ----------
    data : deepmd.tf.utils.data_system.DeepmdDataSystem
    spec : ModelSpec
    descriptor : SeCluster
    fitting : ChargeFitting
    saed : bool
        Whether the density is learnt without the superposed atomic densities.
    electrons : np.ndarray, optional
        (elements,) that an atom holds of what is learnt, where they are exact.

    Raises
    ------
    ChargeError
        See :func:`deepmd_charge.model.fit.cluster.fit_cluster`.
    """

    def samples() -> Iterator[Sample]:
        return _samples(data, spec, saed)

    def told(ridge: Ridge, error: float) -> None:
        log.debug(
            "ridge %.0e, of products %.0e times that: %.2e", ridge.strength, ridge.weight, error
        )

    last = time.monotonic()

    def progress(done: int, total: int) -> None:
        nonlocal last
        if time.monotonic() - last > _QUIET:
            last = time.monotonic()
            log.info("least squares: %d of %d points", done, total)

    fit = fit_cluster(spec, samples, electrons, told, progress)
    for name, array in fit.arrays.items():
        for parameters in (*descriptor.parts, fitting.parameters):
            if name in parameters:
                parameters.set(name, array)
    log.info("%s%s", _summary(fit), "; of weighted points" if descriptor.spec.relative else "")
    for doubt in fit.doubts:
        log.warning("%s", doubt)
    if not fit.solution.converged:
        log.warning(
            "the conjugate gradients have not converged: the fit could be better; lower "
            "model/descriptor/order, n_radial or n_channel, or give a larger ridge"
        )


def _samples(data: DeepmdDataSystem, spec: ModelSpec, saed: bool) -> Iterator[Sample]:
    """Yield the grid points of every frame of the training data."""
    relative = spec.family(SeClusterSpec).relative
    labels = ("density", "saed") if saed else ("density",)
    found = (
        (path, frame)
        for path in data.system_dirs
        for frame in frames([path], spec.type_map, labels)
    )
    for path, frame in found:
        is_grid = frame["type"] == spec.grid_type
        density = frame["density"][is_grid]
        values = density - frame["saed"][is_grid] if saed else density
        weights = 1.0 / (1.0 + relative * np.abs(density))
        atoms = Atoms(positions=frame["coord"][~is_grid], cell=frame["box"], pbc=frame["periodic"])
        types, points = frame["type"][~is_grid], frame["coord"][is_grid]
        yield Sample(atoms, types, points, values, weights, path)


def _summary(fit: ClusterFit) -> str:
    """One line on a fit."""
    found = fit.solution
    parts = "structures" if fit.by_structure else "groups of atoms"
    if fit.by_system:
        parts = "systems"
    held_out = f"{found.held_out:.2e} of {parts} held out in turn ({fit.n_folds} parts)"
    if np.isnan(found.held_out):
        held_out = "nothing is held out"
    elif fit.iterative:
        held_out = f"{found.held_out:.2e} of one of five {parts}, held out"
    how = "conjugate gradients" if fit.iterative else "least squares"
    return (
        f"{how}: {found.coefficients.size} coefficients from {fit.n_points} points of "
        f"{fit.n_structures} structures; RMSE {found.rmse:.2e} e/A^3, {held_out}; ridge "
        f"{found.ridge.strength:.0e}, condition number {found.condition:.0e}"
    )
