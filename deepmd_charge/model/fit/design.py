# SPDX-License-Identifier: LGPL-3.0-or-later
r"""The rows of the linear system that the coefficients of ``se_cluster`` solve.

.. math::
    \rho(\mathbf r_p) = \sum_{z k n} X_{p,zkn} W^z_{k,n}, \qquad
    X_{p,zkn} = \sum_{I \in z} R_n(r_{pI}) \sum_m \Phi_{I,k,m} Y_{lm}(\mathbf u_{pI})

with l that of feature k: see :mod:`deepmd_charge.model.equations.se_cluster`. Where the
electrons are exact, the combinations of R that hold some leave the columns of l = 0, and
columns for what passes between neighbours come after them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...atoms.images import Images
from ...typing import Floats, Integers
from ..descriptors.se_cluster import SeClusterSpec
from ..equations.moments import of_directions
from ..equations.se_cluster import environment, features
from ..neighbors import Neighbors
from ..spec import ModelSpec
from ..weights import Weights

__all__ = ["Columns", "Surroundings", "environment_of"]

# Atoms whose surroundings are worked out together.
_ATOMS = 256


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
        return self._d.n_features(self.n_elements)[0]

    @cached_property
    def neutral(self) -> Floats:
        """Combinations of the radial functions that hold no electrons, (n_radial, n_radial - 1)."""
        vectors = np.linalg.svd(self._d.carrier()[None])[2]
        return vectors[1:].T

    @cached_property
    def orders(self) -> Integers:
        """How many neighbours at a time each feature tells of, (features,): 0, 1 or 2."""
        d = self._d
        channels = d.channels(self.n_elements) if d.order else 0
        orders: list[int] = []
        for l, n in enumerate(d.n_features(self.n_elements)):
            first = [0] * (l == 0) + [1] * channels
            orders += first + [2] * (n - len(first))
        return np.array(orders)

    @cached_property
    def products(self) -> Integers:
        """Which columns are of products, (columns,) bool."""
        d, n = self._d, self.n_scalars
        many = self.orders == 2
        if not d.exact:
            return np.tile(np.repeat(many, d.n_radial), self.n_elements)
        of_element = [np.repeat(many[:n], d.n_radial - 1), np.repeat(many[n:], d.n_radial)]
        passing = np.repeat(many[:n], d.n_transfer)
        parts = [np.tile(np.concatenate(of_element), self.n_elements)]
        return np.concatenate([*parts, np.tile(passing, self.n_elements)])

    def of(self, rows: Floats, passing: Floats | None) -> Floats:
        """Columns (n, columns) of rows (n, elements, features, n_radial).

        `passing` (n, elements * scalars * n_transfer) is what neighbours exchange.
        """
        n = len(rows)
        if passing is None:
            return rows.reshape(n, -1)
        first = rows[:, :, : self.n_scalars] @ self.neutral
        rest = rows[:, :, self.n_scalars :]
        parts = [part.reshape(n, self.n_elements, -1) for part in (first, rest)]
        return np.concatenate([np.concatenate(parts, axis=2).reshape(n, -1), passing], axis=1)

    def arrays(self, found: Floats) -> dict[str, Floats]:
        """The arrays of the model by their names, of a solution (columns,)."""
        d, n = self._d, self.n_scalars
        shape = (self.n_elements, len(self.orders), d.n_radial)
        if not d.exact:
            return {"contribution.coefficients": found.reshape(shape)}
        transfer = (self.n_elements, n, d.n_transfer)
        found, passing = np.split(found, [len(found) - int(np.prod(transfer))])
        first, rest = np.split(found.reshape(self.n_elements, -1), [n * (d.n_radial - 1)], axis=1)
        first = first.reshape(self.n_elements, n, -1) @ self.neutral.T
        rest = rest.reshape(self.n_elements, -1, d.n_radial)
        return {
            "contribution.coefficients": np.concatenate([first, rest], axis=1),
            "contribution.transfer": passing.reshape(transfer),
        }


def environment_of(spec: ModelSpec, weights: Weights, images: Images) -> Floats:
    """The moments of the surroundings of all atoms, (atoms, (lmax + 1)^2, moments)."""
    return np.concatenate([environment(spec, weights, a)[0] for a in _around(spec, images)])


class Surroundings:
    """A structure, ready for the rows of points in it.

    Parameters
    ----------
    spec : ModelSpec
    weights : Weights
        Of these the coefficients of the contributions are not used.
    images : Images
        The atoms, with images as far as the model reaches.
    """

    def __init__(self, spec: ModelSpec, weights: Weights, images: Images) -> None:
        self._d = d = spec.family(SeClusterSpec)
        self._images = images
        self._columns = Columns(spec)
        self._n_elements = len(spec.elements)
        self._element = spec.places[images.types]
        parts = zip(*(features(spec, weights, a) for a in _around(spec, images)), strict=True)
        # of each l (atoms, 2 l + 1, features)
        self._features = [np.concatenate([f[0] for f in of_l]) for of_l in parts]
        if d.exact:
            own = images.types[images.originals]
            self._held = weights["contribution.electrons"][spec.places[own]]
            self._passing = self._transfers(spec, self._features[0][:, 0])

    def nearest(self, points: Floats) -> Integers:
        """The atom that is nearest to each of some wrapped points (n, 3), A."""
        return self._images.parents[self._images.nearest(points)]

    def rows(self, points: Floats) -> tuple[Floats, Floats]:
        """X at wrapped points (n, 3), A, and the part of the density that is known.

        Returns
        -------
        rows : np.ndarray
            (n, columns) see :class:`Columns`.
        known : np.ndarray
            (n,) e/A^3: of the electrons that atoms hold by themselves, where they are exact.
        """
        from scipy.sparse import csr_array

        d, images = self._d, self._images
        point, image, _ = images.pairs(points, d.rcut)
        # by element, then by point
        order = np.argsort(self._element[image], kind="stable")
        point, image = point[order], image[order]
        vector = points[point] - images.positions[image]
        r = np.linalg.norm(vector, axis=1)
        y = of_directions(vector, r, d.lmax, d.eps)  # (harmonics, pairs)
        radial = np.stack(d.basis(np, r), axis=-1)
        turned = self._turned(y, images.parents[image])
        element, n = self._element[image], len(points)
        n_features = turned.shape[1]
        out = np.zeros((n, self._n_elements, n_features, d.n_radial))
        for z in np.unique(element):
            mine = slice(*np.searchsorted(element, [z, z + 1]))
            count = np.bincount(point[mine], minlength=n)
            # pairs of a point in one row of a table, which ends with zeros
            slot = np.arange(len(point[mine])) - np.repeat(np.cumsum(count) - count, count)
            table = np.zeros((n, count.max(), n_features + d.n_radial))
            table[point[mine], slot, :n_features] = turned[mine]
            table[point[mine], slot, n_features:] = radial[mine]
            out[:, z] = np.matmul(
                table[..., :n_features].transpose(0, 2, 1), table[..., n_features:]
            )
        if not d.exact:
            return self._columns.of(out, None), np.zeros(n)
        # the carriers of all atoms at the points
        spread = csr_array(
            (radial @ d.carrier(), (point, images.parents[image])), shape=(n, len(self._held))
        )
        return self._columns.of(out, spread @ self._passing), spread @ self._held

    def _transfers(self, spec: ModelSpec, scalars: Floats) -> Floats:
        """What each atom gets of the scalars of its neighbours, less what it gives.

        Of scalars (atoms, features) it is (atoms, elements * features * n_transfer).
        """
        from scipy.sparse import csr_array

        d, images = self._d, self._images
        own = images.originals
        kinds = spec.places[images.types[own]]
        atom, other, r = images.pairs(images.positions[own], d.rcut_env)
        apart = other != own[atom]
        atom, other, r = atom[apart], images.parents[other[apart]], r[apart]
        n, n_scalars = scalars.shape
        # (atoms, elements * scalars): what an atom of an element has stands in its place
        scattered = np.zeros((n, self._n_elements, n_scalars))
        scattered[np.arange(n), kinds] = scalars
        placed = scattered.reshape(n, -1)
        out = np.zeros((n, placed.shape[1], d.n_transfer))
        for p, share in enumerate(d.basis_env(np, r)[: d.n_transfer]):
            between = csr_array((share, (atom, other)), shape=(n, n))
            out[..., p] = between @ placed - between.sum(axis=1)[:, None] * placed
        return out.reshape(n, -1)

    def _turned(self, y: Floats, atom: Integers) -> Floats:
        """The features along the directions of pairs, (pairs, features)."""
        out = np.empty((len(atom), sum(f.shape[-1] for f in self._features)))
        order = np.argsort(atom, kind="stable")
        found, first = np.unique(atom[order], return_index=True)
        for a, mine in zip(found, np.split(order, first[1:]), strict=True):
            along = y[:, mine].T
            parts = [along[:, l * l : (l + 1) ** 2] @ f[a] for l, f in enumerate(self._features)]
            out[mine] = np.concatenate(parts, axis=1)
        return out


def _around(spec: ModelSpec, images: Images) -> Iterator[Neighbors]:
    """Yield the other atoms around each atom, in blocks of atoms."""
    d = spec.family(SeClusterSpec)
    first = images.originals
    for start in range(0, len(first), _ATOMS):
        own = first[start : start + _ATOMS]
        atom, other, _ = images.pairs(images.positions[own], d.rcut_env)
        apart = other != own[atom]
        atom, other = atom[apart], other[apart]
        count = np.bincount(atom, minlength=len(own))
        slot = np.arange(len(atom)) - np.repeat(np.cumsum(count) - count, count)
        vector = np.zeros((len(own), max(count.max(initial=0), 1), 3))
        element = np.full(vector.shape[:2], -1)
        vector[atom, slot] = images.positions[other] - images.positions[own[atom]]
        element[atom, slot] = spec.places[images.types[other]]
        yield Neighbors(vector[None], element[None])
