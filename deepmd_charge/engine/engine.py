# SPDX-License-Identifier: LGPL-3.0-or-later
"""A frozen charge model as compiled code: see :class:`Engine`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..atoms.images import Images
from ..model.descriptors.base import DescriptorSpec
from ..model.descriptors.se_charge import SeChargeSpec
from ..model.descriptors.se_cluster import SeClusterSpec
from ..model.neighbors import neighbor_counts
from ..model.spec import ModelSpec
from ..model.weights import COEFFICIENTS, STEP, Weights
from ..typing import Floats
from .family import Family, Unsupported
from .se_charge import SeCharge
from .se_cluster import SeCluster
from .verification import Trial

if TYPE_CHECKING:
    from .superposition import Superposition

__all__ = ["Engine", "Unsupported"]

_FAMILIES: dict[type[DescriptorSpec], type[Family]] = {
    SeChargeSpec: SeCharge,
    SeClusterSpec: SeCluster,
}

# What compiles, in the versions that are tested; pyproject.toml has them, too.
_COMPILER = "llvmlite>=0.45,<0.51"

# |d| <= _TOLERANCE * max(1 e/A^3, |rho|): how far the engine may be from the equations.
_TOLERANCE = {"float32": 1e-5, "float64": 1e-9}
# The same of the model's own rounding. Where it is more the graph is the model.
_ROUNDING = 1e-4


class Engine:
    r"""The density of one model at points, compiled for this processor.

    What it computes is set by the model's specification and weights, with
    the functions of :mod:`deepmd_charge.model.kernels`.

    Parameters
    ----------
    spec : ModelSpec
    weights : Weights
    n_threads : int
        That may evaluate at the same time.

    Attributes
    ----------
    precision : {"float32", "float64"}
        Of the model. What float32 is too coarse for is computed in float64.
    superposition : Superposition or None
        Of the atomic densities that the model carries, if it does.

    Raises
    ------
    Unsupported
        If no table resolves its radial functions, if there is no working llvmlite, or if the
        compiled program is not what the equations say (:mod:`.verification`).
    """

    # points in one evaluation: little memory, and long enough to keep a core busy
    block = 16384

    def __init__(self, spec: ModelSpec, weights: Weights, n_threads: int = 1) -> None:
        self.threads = n_threads
        self._spec = spec
        self._family = _FAMILIES[type(spec.descriptor)](spec, weights)
        wide = "float64" in self._family.dtypes
        self.precision = "float64" if wide else "float32"
        trial = Trial(spec, weights)
        if not trial.rounding <= _ROUNDING:
            raise Unsupported(
                f"rounding alone changes it by {trial.rounding:.0e} e/A^3, train it in float64"
            )
        # in float32 if that is enough
        for real in ["float64"] if wide else ["float32", "float64"]:
            self._compile(real)
            error = trial.error(self.difference, self.superposition)
            if error <= _TOLERANCE[self.precision]:
                return
        raise Unsupported(f"compiled it is off by {error:.0e} e/A^3")

    def density(self, images: Images, points: Floats) -> Floats:
        """Density at points, in e/A^3.

        Parameters
        ----------
        images : Images
            The atoms, with periodic images up to the model's reach from the cell.
        points : np.ndarray
            (n, 3) wrapped positions in A.

        Returns
        -------
        np.ndarray
            (n,)
        """
        values = self.difference(images, points)
        return values if self.superposition is None else values + self.superposition(images, points)

    def difference(self, images: Images, points: Floats) -> Floats:
        """Density less that of ``superposition``; parameters as for :meth:`density`."""
        return self._difference(images, points)

    def novelty(self, images: Images, points: Floats) -> Floats:
        """How far each point's neighbour count is outside the training range.

        As ``FrozenGraph.novelty``; parameters as for :meth:`density`.
        """
        low, high = (self._family.value(f"neighbor_range.{end}") for end in ("low", "high"))
        counts = neighbor_counts(self._spec, images, points)
        outside = np.maximum(np.maximum(low - counts, counts - high), 0.0)
        return outside.sum(axis=1) / high.sum()

    def _compile(self, real: str) -> None:
        """Make the programs of the two parts of the density, in this precision."""
        family = self._family
        try:
            from .superposition import Superposition

            self._difference = family.compile(real)
            self.superposition: Superposition | None = None
            if family.weights.superposed:
                atomic = family.value(COEFFICIENTS)[self._spec.places]
                self.superposition = Superposition(float(family.value(STEP)), atomic)
        except Unsupported:
            raise
        except Exception as error:  # llvmlite is absent, too old, or broken in some way
            reason = " ".join(str(error).split())[:200]
            raise Unsupported(
                f"it cannot be compiled here ({type(error).__name__}: {reason}); "
                f"pip install --force-reinstall '{_COMPILER}'"
            ) from error
