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

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from ...atoms.images import Images
from ...typing import Floats, Integers
from ..descriptors.se_cluster import SeClusterSpec
from ..equations.moments import of_directions
from ..equations.se_cluster import features
from ..neighbors import around_atoms
from ..spec import ModelSpec
from ..weights import Weights

__all__ = ["Columns", "Surroundings"]

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

    @property
    def n_passing(self) -> int:
        """int: Columns, the last ones, of what passes between neighbours."""
        d = self._d
        return self.n_elements * self.n_scalars * d.n_transfer if d.exact else 0

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

    def arrays(self, found: Floats) -> dict[str, Floats]:
        """The arrays of the model by their names, of a solution (columns,)."""
        d, n = self._d, self.n_scalars
        found, passing = np.split(found, [len(found) - self.n_passing])
        table = np.zeros((self.n_elements, *self.taken.shape))
        table[:, self.taken] = found.reshape(self.n_elements, -1)
        if d.exact:
            table[:, :n] = table[:, :n, :-1] @ self.neutral.T
        arrays = {"contribution.coefficients": table @ self.functions.T}
        if d.exact:
            shape = self.n_elements, n, d.n_transfer
            arrays["contribution.transfer"] = passing.reshape(shape)
        return arrays


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
        found = (features(spec, weights, *around) for around in around_atoms(spec, images))
        parts = zip(*found, strict=True)
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
        basis = np.stack(d.basis(np, r), axis=-1)
        radial = basis @ self._columns.functions
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
            (basis @ d.carrier(), (point, images.parents[image])), shape=(n, len(self._held))
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
        for a, mine in zip(found, np.split(order, first)[1:], strict=True):
            along = y[:, mine].T
            parts = [along[:, l * l : (l + 1) ** 2] @ f[a] for l, f in enumerate(self._features)]
            out[mine] = np.concatenate(parts, axis=1)
        return out
