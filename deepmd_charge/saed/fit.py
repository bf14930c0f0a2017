# SPDX-License-Identifier: LGPL-3.0-or-later
r"""Radial functions fitted to the densities themselves.

.. math:: \min_f \int \Big( \rho - \sum_j f_{z_j}(|\mathbf r - \mathbf R_j|) \Big)^2 dV
          + \sum_j \int 4 \pi r^2 f_{z_j}(r)^2 \Big( \frac r {r_c} \Big)^6 dr
          + \frac{w}{V} \Big( N - \sum_j \int 4 \pi r^2 f_{z_j}(r) \, dr \Big)^2

for each density, by linear least squares with the Chebyshev functions of
:mod:`deepmd_charge.model.kernels.radial`.

The first integral is taken over sampled grid points. Alone it leaves much open:
where the elements stand in one proportion, in a small cell or a molecule, long
tails of one and of another cancel, with hundreds of electrons in each. The second
makes what the data leave open decay: at the reach :math:`r_c` a function costs as
much as an error of its size, far inside next to nothing. The third is the wave 0 of
the first, which the sample knows worst, with more weight: the atoms hold the
electrons of the density.
"""

from __future__ import annotations

import warnings
from functools import cache

import numpy as np

from ..atoms.images import Images
from ..errors import ChargeError
from ..grid.density import Density
from ..model.kernels.radial import chebyshev
from ..typing import Floats
from .table import STEP, RadialTable, spline, window

REACH = 6.0  # A
N_RADIAL = 20
CORE = 0.5  # A; with so many functions fine enough, and no wiggles where few points are

# Points of each density that the fit looks at, and of one block.
_POINTS = 20000
_BLOCK = 1000
# Ridge, as a share of the mean square of a function.
_RIDGE = 1e-8
# The power of r in what tails cost, and the weight w of the number of electrons.
_GROWTH = 6
_WEIGHT = 100.0


class RadialFit:
    """Normal equations of the fit, gathered density by density.

    Parameters
    ----------
    seed : int or numpy.random.Generator, optional
        Chooses the points.
    """

    def __init__(self, seed: int | np.random.Generator | None = None) -> None:
        self._generator = np.random.default_rng(seed)
        self._elements: list[str] = []
        self._gram: Floats = np.zeros((0, 0))
        self._prior: Floats = np.zeros((0, 0))
        self._projection: Floats = np.zeros(0)

    def add(self, density: Density) -> None:
        """Add a density: 20000 of its points, or all if it has fewer."""
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
        # sums over points stand for integrals
        points_per_volume = len(index) / density.volume
        counts = np.bincount(types, minlength=len(self._elements))
        _, electrons, tails = _radial()
        electrons = np.kron(counts, electrons)
        weight = _WEIGHT * points_per_volume / density.volume
        self._prior += points_per_volume * np.kron(np.diag(counts), tails)
        self._prior += weight * np.outer(electrons, electrons)
        self._projection += weight * density.n_electrons * electrons

    def table(self) -> RadialTable:
        """Solve the equations.

        Returns
        -------
        RadialTable

        Raises
        ------
        ChargeError
            If nothing was added.

        Warns
        -----
        UserWarning
            If a function does not hold a positive number of electrons.
        """
        if not self._elements:
            raise ChargeError("fit: no density to fit atomic densities to")
        ridge = _RIDGE * np.trace(self._gram) / len(self._gram) * np.eye(len(self._gram))
        c = np.linalg.solve(self._gram + self._prior + ridge, self._projection)
        basis, _, _ = _radial()
        functions = {
            e: spline(c[k * N_RADIAL : (k + 1) * N_RADIAL] @ basis, REACH)
            for k, e in enumerate(self._elements)
        }
        table = RadialTable(functions, "fit")
        for element in functions:
            if not (electrons := table.electrons(element)) > 0:
                warnings.warn(
                    f"fit: {element} holds {electrons:.2f} electrons: these densities do not tell"
                    " their elements apart: add other compositions, or take upf: or potcar:",
                    stacklevel=2,
                )
        return table

    def _grow(self, new: list[str]) -> None:
        self._elements += new
        more = (0, len(new) * N_RADIAL)
        self._gram, self._prior = np.pad(self._gram, more), np.pad(self._prior, more)
        self._projection = np.pad(self._projection, more)

    def _basis(self, images: Images, points: Floats) -> Floats:
        """Sums of the radial functions over the atoms of each element, (n, elements x radial)."""
        which, atom, r = images.pairs(points, REACH)
        basis = chebyshev(np, r, REACH, N_RADIAL, CORE)
        # a row for each point and element
        row = which * len(self._elements) + images.types[atom]
        size = len(points) * len(self._elements)
        columns = [np.bincount(row, f, minlength=size) for f in basis]
        sums = np.stack(columns, axis=1, dtype=np.float64)
        return sums.reshape(len(points), -1)


@cache
def _radial() -> tuple[Floats, Floats, Floats]:
    """The radial functions at 0, STEP, ..., their electrons, and what products of tails cost."""
    r = np.arange(0.0, REACH + STEP / 2, STEP)
    basis = np.stack(chebyshev(np, r, REACH, N_RADIAL, CORE))
    shells = 4.0 * np.pi * r**2 * STEP
    electrons = (basis * window(r, REACH)) @ shells  # of the table
    tails = (basis * shells * (r / REACH) ** _GROWTH) @ basis.T
    return basis, electrons, tails
