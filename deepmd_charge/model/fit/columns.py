# SPDX-License-Identifier: LGPL-3.0-or-later
"""The columns of the linear system that the coefficients of ``se_cluster`` solve."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...typing import Booleans, Floats, Integers
from ..descriptors.se_cluster import SeClusterSpec
from ..spec import ModelSpec

__all__ = ["Columns"]

# Cost of a coefficient by how many neighbours at a time it tells of, beside the ridge's weight of
# products.
_COSTS = [1e-2, 1.0, 1.0, 3.0]
# Least cost of what passes between neighbours, as a share of that of spheres: in a perfect
# crystal nothing does, and what is seen of it is rounding.
_PASSING = 1e-8

# Places at which radial functions are made orthonormal, as if nuclei were so wide (A): what is
# near to them counts for more than its volume.
_NODES, _NUCLEUS = 2000, 0.3


@dataclass(frozen=True)
class Columns:
    """What the columns of the linear system stand for.

    Parameters
    ----------
    spec : ModelSpec
    """

    spec: ModelSpec

    @property
    def _d(self) -> SeClusterSpec:
        return self.spec.family(SeClusterSpec)

    @property
    def n_elements(self) -> int:
        """int: Elements of the model."""
        return len(self.spec.elements)

    @property
    def n_scalars(self) -> int:
        """int: Features of l = 0."""
        return sum(self._d.n_features(self.n_elements)[0])

    @cached_property
    def functions(self) -> Floats:
        """Combinations of the radial functions that are orthonormal, (n_radial, n_radial)."""
        d = self._d
        r = np.linspace(0.0, d.rcut, _NODES)
        weight = np.sqrt((r**2 + _NUCLEUS**2) * d.rcut / _NODES)
        triangle = np.linalg.qr(np.stack(d.basis(np, r), axis=1) * weight[:, None])[1]
        return np.linalg.inv(triangle)

    @cached_property
    def neutral(self) -> Floats:
        """Combinations of these that hold no electrons, smooth ones first, (n_radial, ... - 1)."""
        held = self._d.integrals() @ self.functions
        differences = held[0] * np.eye(len(held))[:, 1:]
        differences[0] = -held[1:]
        return np.linalg.qr(differences)[0]

    @cached_property
    def orders(self) -> Integers:
        """How many neighbours at a time each feature tells of, (features,): 0 to 3."""
        counts = self._d.n_features(self.n_elements)
        return np.concatenate([np.repeat([0, 1, 2, 3], of_l) for of_l in counts])

    @cached_property
    def taken(self) -> Integers:
        """Which (feature, combination of radial functions) have a column, bool."""
        d = self._d
        taken = np.ones((len(self.orders), d.n_radial), dtype=bool)
        taken[self.orders > 1, d.n_radial_product :] = False
        if d.exact:  # one combination less, in the place of the first
            taken[: self.n_scalars, -1] = False
        return taken

    @cached_property
    def of_columns(self) -> Integers:
        """How many neighbours at a time each column tells of, (columns,)."""
        passing = np.repeat(self.orders[: self.n_scalars], self._d.n_transfer)
        of_element = np.broadcast_to(self.orders[:, None], self.taken.shape)[self.taken]
        parts = [np.tile(of_element, self.n_elements)]
        return np.concatenate([*parts, np.tile(passing, self.n_elements if self._d.exact else 0)])

    @cached_property
    def elements(self) -> Integers:
        """The element of the atom that each column tells of, (columns,)."""
        z = np.arange(self.n_elements)
        passing = self.n_passing // self.n_elements
        return np.concatenate([np.repeat(z, self.taken.sum()), np.repeat(z, passing)])

    @property
    def n_passing(self) -> int:
        """int: Columns, the last ones, of what passes between neighbours."""
        d = self._d
        return self.n_elements * self.n_scalars * d.n_transfer if d.exact else 0

    def coarse(self, most: int) -> Booleans:
        """The columns (columns,) of the smoothest radial functions without products.

        As many functions are taken, the same for all elements, as make no more columns than `most`.
        """
        functions = np.broadcast_to(np.arange(self._d.n_radial), self.taken.shape)[self.taken]
        some = np.tile(functions, self.n_elements)
        some = np.concatenate([some, np.zeros(self.n_passing, dtype=int)])
        plain = self.of_columns < 2
        counts = np.cumsum(np.bincount(some[plain], minlength=self._d.n_radial))
        return plain & (some < np.searchsorted(counts, most, side="right"))

    def of(self, rows: Floats, passing: Floats | None) -> Floats:
        """Columns (n, columns) of rows (n, elements, features, n_radial).

        `passing` (n, elements * scalars * n_transfer) is what neighbours exchange.
        """
        if passing is not None:
            scalars = rows[:, :, : self.n_scalars]
            scalars[..., :-1] = scalars @ self.neutral
        taken = rows[:, :, self.taken]
        parts = [taken.reshape(len(rows), taken.shape[1] * taken.shape[2])]
        return np.concatenate(parts if passing is None else [*parts, passing], axis=1)

    def expanded(self, found: Floats) -> tuple[Floats, Floats]:
        """A solution (columns,) for each element, feature and combination, and what passes.

        Returns
        -------
        table : np.ndarray
            (elements, features, n_radial) of the orthonormal combinations.
        passing : np.ndarray
            (elements * scalars * n_transfer,)
        """
        found, passing = np.split(found, [len(found) - self.n_passing])
        table = np.zeros((self.n_elements, *self.taken.shape))
        table[:, self.taken] = found.reshape(self.n_elements, -1)
        if self._d.exact:
            scalars = table[:, : self.n_scalars]
            scalars[...] = scalars[..., :-1] @ self.neutral.T
        return table, passing

    def contracted(self, table: Floats, passing: Floats) -> Floats:
        """The adjoint of :meth:`expanded`: the columns (columns,) of a gradient."""
        return self.of(table[None], passing[None] if self._d.exact else None)[0]

    def arrays(self, found: Floats) -> dict[str, Floats]:
        """The arrays of the model by their names, of a solution (columns,)."""
        table, passing = self.expanded(found)
        arrays: dict[str, Floats] = {"contribution.coefficients": table @ self.functions.T}
        if self._d.exact:
            shape = self.n_elements, self.n_scalars, self._d.n_transfer
            arrays["contribution.transfer"] = passing.reshape(shape)
        return arrays

    def costs(self, scale: Floats) -> Floats:
        """What a unit of each coefficient costs the ridge, (columns,).

        It is the same for all that change spheres of electrons, little for the spheres
        themselves. What passes between neighbours has another unit, and its own variance.

        Parameters
        ----------
        scale : np.ndarray
            (columns,) the mean square of each column.
        """
        spheres = scale[(self.of_columns == 0) & (scale > 0.0)].mean()
        costs = np.full(len(scale), spheres)
        if self.n_passing:
            passing = scale[-self.n_passing :]
            costs[-self.n_passing :] = np.maximum(passing, _PASSING * spheres)
        return np.array(_COSTS)[self.of_columns] * costs
