# SPDX-License-Identifier: LGPL-3.0-or-later
"""Superposed atomic densities at points: see :class:`Superposition`."""

from __future__ import annotations

import numpy as np

from ..atoms.images import Images
from ..typing import Floats
from .kernel import Writer

__all__ = ["Superposition"]


class Superposition:
    r"""The atomic densities that a model carries, superposed, compiled for this processor.

    .. math:: \rho(\mathbf r) = \sum_j f_{z_j}(|\mathbf r - \mathbf R_j|)

    with f from the model's table, in float64: see
    :func:`deepmd_charge.model.kernels.piecewise.piecewise_cubic`.

    Parameters
    ----------
    step : float
        Width of the table's intervals, A.
    coefficients : np.ndarray
        (types, intervals, 4), e/A^3.
    """

    def __init__(self, step: float, coefficients: Floats) -> None:
        writer = SuperpositionWriter(step, coefficients.shape)
        writer.write()
        # an interval beyond the last, where there is nothing
        table = np.pad(coefficients, ((0, 0), (0, 1), (0, 0)))
        self._kernel = writer.compile([table])

    def __call__(self, images: Images, points: Floats) -> Floats:
        """Superposition (n,), e/A^3, at wrapped points (n, 3), A, around the atoms of Images."""
        return self._kernel(points, images.bins)


class SuperpositionWriter(Writer):
    """Writes the instructions."""

    def __init__(self, step: float, shape: tuple[int, ...]) -> None:
        _, self.intervals, self.terms = shape
        super().__init__("superposition", ["table"], step * self.intervals, "float64")
        self.step = step
        p, s = self.p, self.scratch
        # of the candidates: where they stand in the table, and t
        self.row, self.t = s.array(p.int32, 0, 1), s.array(p.double, 0, 1)

    def write(self) -> None:
        """Write the whole program."""
        p = self.p
        table, values = p.array("table", p.double), p.array("values", p.double)
        with self.each_point() as (i, point, candidates):
            with p.loop(0, candidates, p.width) as j:
                _, r = self.distances(point, j)
                place = p.minimum(r * (1.0 / self.step), float(self.intervals))
                interval = place.to(p.int32)
                element = self.label.vector(j, p.width)
                self.row[j] = (element * (self.intervals + 1) + interval) * self.terms
                self.t[j] = place - interval.to(p.double)
            total = p.variable(0.0, p.double)
            with p.loop(0, candidates) as j:
                row = table.at(self.row[j].to(p.int64))
                value = p.polynomial(self.t[j], [row[k] for k in range(self.terms)])
                total.value = total.value + value
            values[i] = total.value
