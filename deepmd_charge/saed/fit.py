# SPDX-License-Identifier: LGPL-3.0-or-later
r"""Radial functions fitted to the densities themselves.

.. math:: \min_c \sum_i \Big( \rho(\mathbf r_i)
          - \sum_j \sum_n c_{z_j n} R_n(|\mathbf r_i - \mathbf R_j|) \Big)^2

by linear least squares over sampled grid points, with the Chebyshev functions of
:mod:`deepmd_charge.kernels.radial`.
"""

import numpy as np

from ..errors import ChargeError
from ..kernels.radial import chebyshev
from .table import STEP, RadialTable, spline

REACH = 6.0  # A
N_RADIAL = 20
CORE = 0.5  # A; with so many functions fine enough, and no wiggles where few points are

# Points of each density that the fit looks at, and of one block.
_POINTS = 20000
_BLOCK = 1000
# Ridge, as a share of the mean square of a function.
_RIDGE = 1e-8


class RadialFit:
    """Normal equations of the fit, gathered density by density.

    Parameters
    ----------
    seed : int or numpy.random.Generator, optional
        Chooses the points.
    """

    def __init__(self, seed=None):
        self._generator = np.random.default_rng(seed)
        self._elements = []
        self._gram = np.zeros((0, 0))
        self._projection = np.zeros(0)

    def add(self, density):
        """Add a density: 20000 of its points, or all if it has fewer."""
        from ..inference.images import Images

        symbols = density.atoms.get_chemical_symbols()
        self._grow([e for e in dict.fromkeys(symbols) if e not in self._elements])
        types = np.array([self._elements.index(s) for s in symbols])
        images = Images(density.atoms, types, REACH)
        size = density.values.size
        index = self._generator.choice(size, min(size, _POINTS), replace=False)
        for block in np.array_split(index, -(-len(index) // _BLOCK)):
            basis = self._basis(images, images.wrap(density.points(block)))
            self._gram += basis.T @ basis
            values = density.values[np.unravel_index(block, density.shape)]
            self._projection += basis.T @ values

    def table(self):
        """Solve the equations.

        Returns
        -------
        RadialTable

        Raises
        ------
        ChargeError
            If nothing was added.
        """
        if not self._elements:
            raise ChargeError("fit: no density to fit atomic densities to")
        ridge = _RIDGE * np.trace(self._gram) / len(self._gram)
        c = np.linalg.solve(self._gram + ridge * np.eye(len(self._gram)), self._projection)
        r = np.arange(0.0, REACH + STEP / 2, STEP)
        basis = np.stack(chebyshev(np, r, REACH, N_RADIAL, CORE))
        functions = {
            e: spline(c[k * N_RADIAL : (k + 1) * N_RADIAL] @ basis, REACH)
            for k, e in enumerate(self._elements)
        }
        return RadialTable(functions, "fit")

    def _grow(self, new):
        self._elements += new
        self._gram = np.pad(self._gram, (0, len(new) * N_RADIAL))
        self._projection = np.pad(self._projection, (0, len(new) * N_RADIAL))

    def _basis(self, images, points):
        """Sums of the radial functions over the atoms of each element, (n, elements x radial)."""
        positions, types = images.around(points)
        out = np.zeros((len(points), len(self._elements), N_RADIAL))
        for k in np.unique(types):
            r = np.linalg.norm(points[:, None] - positions[types == k], axis=2)
            which, atom = np.nonzero(r < REACH)
            basis = np.stack(chebyshev(np, r[which, atom], REACH, N_RADIAL, CORE))
            for n in range(N_RADIAL):
                out[:, k, n] = np.bincount(which, basis[n], minlength=len(points))
        return out.reshape(len(points), -1)
