# SPDX-License-Identifier: LGPL-3.0-or-later
r"""The program of what a model of the family ``se_cluster`` has learnt: see :func:`build`.

Its points are the lanes of vectors, so that of each atom one coefficient after the other
serves as many points as a vector holds:

.. math:: \rho = \sum_I \sum_{lm} Y_{lm}(\mathbf u_I) \sum_n c_{I,nlm} R_n(r_I)

Atoms are added in one order for all points. One that is out of a point's reach, but not out
of that of its neighbours in the vector, adds zero: so the points beside it change nothing.
"""

from __future__ import annotations

from ..model.descriptors.se_cluster import SeClusterSpec
from ..model.kernels.harmonics import harmonics
from ..model.kernels.radial import inverse_distance
from .lanes import LaneKernel, LaneWriter
from .symbols import Value

__all__ = ["SeClusterWriter", "build"]


def build(d: SeClusterSpec, real: str) -> LaneKernel:
    """Write and compile the program of one model, without its superposition.

    Parameters
    ----------
    d : SeClusterSpec
    real : {"float32", "float64"}
        The precision of all that follows the vectors from atoms to points.

    Returns
    -------
    LaneKernel
        Of a structure it takes the coefficients of contributions (atoms, (lmax + 1)^2,
        n_radial); the labels of atoms and images are the rows of these.
    """
    writer = SeClusterWriter(d, real)
    writer.write()
    return writer.compile_lanes([])


class SeClusterWriter(LaneWriter):
    """Writes the instructions."""

    def __init__(self, d: SeClusterSpec, real: str) -> None:
        super().__init__("se_cluster", ["coefficients"], d.rcut, real)
        self._d = d
        self._n_harmonics = (d.lmax + 1) ** 2
        # harmonics whose sums over radial functions are under way, and these functions
        self._sums = max(k for k in range(1, 10) if self._n_harmonics % k == 0)
        room = self.p.machine.registers - 4 - self._sums
        parts = -(-d.n_radial // room)
        self._functions = -(-d.n_radial // parts)
        self._y = self.scratch.array(self.p.real, self._n_harmonics * self.p.width)

    def write(self) -> None:
        """Write the whole program."""
        p = self.p
        values = p.array("values", p.double)
        coefficients = p.array("coefficients", p.real)
        size = self._n_harmonics * self._d.n_radial
        with self.each_vector() as (i, points, candidates):
            total = p.variable(0.0, p.vector_type)
            with p.loop(0, candidates) as j:
                radial = self._geometry(points, j)
                begin = self.label[j].to(p.int64) * size
                for first in range(0, len(radial), self._functions):
                    some = radial[first : first + self._functions]
                    with p.loop(0, self._n_harmonics, self._sums) as h:
                        row = coefficients.at(begin + (h * len(radial) + first))
                        sums = [p.constant(0.0, p.vector_type)] * self._sums
                        for n, f in enumerate(some):
                            c = [row[k * len(radial) + n] for k in range(self._sums)]
                            sums = [p.multiply_add(f, *x) for x in zip(c, sums, strict=True)]
                        for k, value in enumerate(sums):
                            y = self._y.vector((h + k) * p.width, p.width)
                            total.value = p.multiply_add(value, y, total.value)
            values[i] = total.value.to(p.double)

    def _geometry(self, points: list[Value], j: Value) -> list[Value]:
        """Radial functions of vectors from an atom to points; their harmonics go to memory."""
        p, d = self.p, self._d
        places = (self.x, self.y, self.z)
        vector = [(x - a[j]).to(p.real) for x, a in zip(points, places, strict=True)]
        square = vector[0] * vector[0] + vector[1] * vector[1] + vector[2] * vector[2]
        # one place where all radial functions are zero stands for what is beyond the cutoff
        inside = square < d.rcut**2
        r = p.where(inside, p.sqrt(square), 2.0 * d.rcut)
        inverse = inverse_distance(p, r, d.eps)
        ux, uy, uz = (p.where(inside, x, 0.0) * inverse for x in vector)
        for k, y in enumerate(harmonics(p, ux, uy, uz, d.lmax)):
            self._y[k * p.width] = y
        return d.basis(p, r)
