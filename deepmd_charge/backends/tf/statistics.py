# SPDX-License-Identifier: LGPL-3.0-or-later
"""What a model takes from its training data before training starts.

Of ``se_charge`` that is the scale of its features and the pair-additive fit, from a sample;
of ``se_cluster`` all that is linear, from all points.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from ase import Atoms

from ...atoms.images import Images
from ...atoms.species import GRID_TYPE
from ...data.looking import looks
from ...data.stored import frames
from ...errors import ChargeError
from ...model.descriptors.se_cluster import SeClusterSpec
from ...model.fit.chosen import Chosen, choose_points
from ...model.fit.cluster import ClusterFit, fit_cluster
from ...model.fit.doubts import too_few
from ...model.fit.pair_additive import fit_pair_additive
from ...model.fit.points import Sample
from ...model.fit.ridge import Ridge
from ...model.fit.sums import Spread
from ...model.neighbors import neighbor_counts
from ...model.spec import ModelSpec
from ...typing import Floats
from .blocks import Evaluation
from .fitting import ChargeFitting
from .mixed import Mixed
from .response import Response
from .se_charge import SeCharge
from .se_cluster import SeCluster

if TYPE_CHECKING:
    from deepmd.tf.utils.data_system import DeepmdDataSystem

__all__ = ["scale_and_fit", "solve"]

# dp shows what its own loggers say
log = logging.getLogger("deepmd.charge")

# Seconds between two lines on the progress of a fit.
_QUIET = 5.0
# Grid points that the statistics of se_charge are made of, and from about how many points and
# frames these are chosen: more than either are shared among the systems.
_STAT_POINTS, _LOOKED_AT, _FRAMES = 20_000, 2_000_000, 2000
# Numbers in the moments of a block.
_NUMBERS = 1 << 23

T = TypeVar("T")


def scale_and_fit(
    data: DeepmdDataSystem,
    type_map: Sequence[str],
    spec: ModelSpec,
    descriptor: SeCharge,
    fitting: ChargeFitting,
    saed: bool,
) -> None:
    """Whiten, standardise and fit the pair-additive term of ``se_charge`` on a sample.

    Parameters
    ----------
    data : deepmd.tf.utils.data_system.DeepmdDataSystem
    type_map : sequence of str
        That of the data, of which the model may know a part.
    spec : ModelSpec
    descriptor : SeCharge
    fitting : ChargeFitting
    saed : bool
        Whether the density is learnt without the superposed atomic densities.

    Raises
    ------
    ChargeError
        If the data hold no grid point, or no atom is within the cutoff of one.
    """
    looked_at = _shown(
        "looked at", _looked_at(data, type_map, spec, saed), lambda sample: len(sample.points)
    )
    chosen = choose_points(spec, looked_at, _STAT_POINTS)
    if not chosen.samples:
        raise ChargeError(f"the training data hold no grid point: no atom is of type {GRID_TYPE}")
    _set_neighbor_range(spec, descriptor, chosen)
    for doubt in too_few(spec, chosen.n_near, chosen.near, chosen.is_there):
        log.warning("%s", doubt)
    alike = chosen.alike
    density = np.concatenate([sample.values for sample in alike])
    features = _scaled(descriptor, chosen.samples)
    offset, residual = density.mean(), density - density.mean()
    if isinstance(descriptor.moments, Mixed):
        fit = fit_pair_additive(spec, chosen.samples)
        log.debug("smoothness %.0e, held out %.4f e/A^3", fit.smoothness, fit.held_out)
        residual = np.concatenate([fit.residuals(spec, sample) for sample in alike])
        linear, offset = fit.coefficients.ravel(), fit.offset
        if not descriptor.is_raw:
            linear, shift = descriptor.moments.whitened(linear)
            offset += shift
        fitting.parameters.set("fitting.linear", linear)
    fitting.set_statistics(features, residual.std(), offset)
    log.info(
        "density statistics on %d points: mean |rho| %.4f e/A^3, "
        "mean |residual| of the pair-additive fit %.4f e/A^3",
        len(density),
        np.abs(density).mean(),
        np.abs(residual).mean(),
    )


def _scaled(descriptor: SeCharge, samples: list[Sample]) -> Spread:
    """Whiten the moments of a descriptor by points; returns the spread of its features there."""
    moments = descriptor.moments

    columns = (descriptor.spec.lmax + 1) ** 2 * max(descriptor.dim_linear, 1)
    most = max(1, _NUMBERS // columns)
    shape = descriptor.get_ntypes(), descriptor.grid_type
    with Evaluation(descriptor.build_statistics, descriptor.parameters, *shape) as evaluation:
        sums: Any = moments.new_sums()
        for found, n in _shown("moments of", evaluation.run("moments", samples, most), _second):
            sums.add(found, n)
        moments.set_statistics(sums)
        evaluation.assign()
        if descriptor.response:
            _scale_response(evaluation, descriptor.response, samples)
        features = Spread()
        for found, _ in _shown("features of", evaluation.run("features", samples, most), _second):
            features.add(found)
    return features


def _set_neighbor_range(spec: ModelSpec, descriptor: SeCharge, chosen: Chosen) -> None:
    """Note the range of the neighbour counts of points, or ChargeError where there are none."""
    counts = np.concatenate([_counts(spec, sample) for sample in chosen.samples])
    if not counts.any():
        raise ChargeError(
            f"no grid point of the training data has an atom within rcut "
            f"{descriptor.rcut} A; raise model/descriptor/rcut"
        )
    descriptor.set_neighbor_range(counts.min(axis=0), counts.max(axis=0))


def _scale_response(evaluation: Evaluation, response: Response, samples: list[Sample]) -> None:
    """Whiten and standardise the surroundings of the atoms that points of samples see."""
    sums, invariants = response.mixed.new_sums(), Spread()
    for found, _ in evaluation.run("surroundings", samples):
        sums.add(found, len(found))
    if not sums.mean.any():
        raise ChargeError(
            f"no atom of the training data has another within rcut_env {response.spec.rcut_env} A; "
            "raise model/descriptor/rcut_env, or set it to 0"
        )
    response.mixed.set_statistics(sums)
    evaluation.assign()
    for found, _ in evaluation.run("invariants", samples):
        invariants.add(found)
    response.set_statistics(invariants)
    evaluation.assign()


def _second(item: tuple[Any, int]) -> int:
    return item[1]


def _shown(what: str, items: Iterator[T], size: Callable[[T], int]) -> Iterator[T]:
    """Yield items, and tell now and then of how many points they have been."""
    done, last = 0, time.monotonic()
    for item in items:
        yield item
        done += size(item)
        if time.monotonic() - last > _QUIET:
            last = time.monotonic()
            log.info("density statistics: %s %d points", what, done)


def _looked_at(
    data: DeepmdDataSystem, type_map: Sequence[str], spec: ModelSpec, saed: bool
) -> Iterator[Sample]:
    """Yield points of every system, weighted by how many of its frames a frame stands for."""
    known = spec.type_map
    for look in looks(data.system_dirs, type_map, _LOOKED_AT, _FRAMES):
        labels, chosen = _labels(saed), look.stands_for
        for frame in frames([look.path], type_map, labels, known=known, only=chosen):
            sample = _sample(frame, spec, saed, look.path)
            weights = np.full(len(sample.points), chosen[str(frame["set"])][frame["place"]])
            yield replace(sample, weights=weights)


def _counts(spec: ModelSpec, sample: Sample) -> Floats:
    """The neighbour counts of points, (n, elements)."""
    images = Images(sample.atoms, sample.types, spec.descriptor.rcut)
    return neighbor_counts(spec, images, images.wrap(sample.points))


def solve(
    data: DeepmdDataSystem,
    type_map: Sequence[str],
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
    type_map : sequence of str
        That of the data, of which the model may know a part.
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
        return _samples(data, type_map, spec, saed)

    ridges, passes = _Quiet(), _Quiet()

    def told(ridge: Ridge, error: float) -> None:
        log.log(
            logging.INFO if ridges.over() else logging.DEBUG,
            "ridge %.0e, of products %.0e times that: %.2e held out",
            ridge.strength,
            ridge.weight,
            error,
        )

    def progress(doing: str, done: int, total: int) -> None:
        if passes.over():
            log.info("%s: %d of %d points", doing, done, total)

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


class _Quiet:
    """The time in which no line is written after the last one."""

    def __init__(self) -> None:
        self._since = time.monotonic()

    def over(self) -> bool:
        """Whether it is, and from then on it begins again."""
        now = time.monotonic()
        over = now - self._since > _QUIET
        if over:
            self._since = now
        return over


def _samples(
    data: DeepmdDataSystem, type_map: Sequence[str], spec: ModelSpec, saed: bool
) -> Iterator[Sample]:
    """Yield the grid points of every frame of the training data."""
    relative = spec.family(SeClusterSpec).relative
    for path in data.system_dirs:
        for frame in frames([path], type_map, _labels(saed), known=spec.type_map):
            density = frame["density"][frame["type"] == spec.grid_type]
            weights = 1.0 / (1.0 + relative * np.abs(density))
            yield replace(_sample(frame, spec, saed, path), weights=weights)


def _labels(saed: bool) -> tuple[str, ...]:
    return ("density", "saed") if saed else ("density",)


def _sample(frame: Mapping[str, Any], spec: ModelSpec, saed: bool, path: str) -> Sample:
    """The grid points of a frame, with what is to be learnt."""
    is_grid = frame["type"] == spec.grid_type
    values = frame["density"][is_grid]
    if saed:
        values = values - frame["saed"][is_grid]
    atoms = Atoms(positions=frame["coord"][~is_grid], cell=frame["box"], pbc=frame["periodic"])
    types, points = frame["type"][~is_grid], frame["coord"][is_grid]
    return Sample(atoms, types, points, values, None, path)


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
        held_out = f"{found.held_out:.2e} of {parts} held out (one of {fit.n_folds} parts)"
    how = "conjugate gradients" if fit.iterative else "least squares"
    return (
        f"{how}: {found.coefficients.size} coefficients from {fit.n_points} points of "
        f"{fit.n_structures} structures; RMSE {found.rmse:.2e} e/A^3, {held_out}; ridge "
        f"{found.ridge.strength:.0e}, condition number {found.condition:.0e}"
    )
