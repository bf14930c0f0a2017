# SPDX-License-Identifier: LGPL-3.0-or-later
r"""The rows of the linear system that the coefficients of ``se_cluster`` solve.

.. math::
    \rho(\mathbf r_p) = \sum_{z k n} X_{p,zkn} W^z_{k,n}, \qquad
    X_{p,zkn} = \sum_{I \in z} R_n(r_{pI}) \sum_m \Phi_{I,k,m} Y_{lm}(\mathbf u_{pI})

with l that of feature k: see :mod:`deepmd_charge.model.equations.se_cluster`. Where the
electrons are exact, the combinations of R that hold some leave the columns of l = 0, and
columns for what passes between neighbours come after them: see :class:`.columns.Columns`.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from ...atoms.images import Images
from ...typing import Floats, Integers
from ..descriptors.se_cluster import SeClusterSpec
from ..equations.moments import of_directions
from ..equations.se_cluster import features
from ..neighbors import around_atoms
from ..spec import ModelSpec
from ..weights import Weights
from .columns import Columns

__all__ = ["Block", "Pairs", "Surroundings"]


class Pairs(NamedTuple):
    """Some points of a structure, and the atoms within the cutoff of each.

    Attributes
    ----------
    n : int
        Points.
    point, atom, element : np.ndarray
        (pairs,) of each pair the point, the atom, and its place among the elements; by element,
        then by atom, then by point.
    vector : np.ndarray
        (pairs, 3) from the atom to the point, A.
    """

    n: int
    point: Integers
    atom: Integers
    element: Integers
    vector: Floats

    @property
    def nbytes(self) -> int:
        """int: What they take in memory."""
        return sum(array.nbytes for array in self[1:])

    def of_atoms(self) -> Iterator[tuple[int, slice]]:
        """Yield the atoms, and the places of the pairs of each."""
        begin = np.flatnonzero(np.diff(self.atom, prepend=-1))
        for start, stop in pairwise([*begin.tolist(), len(self.atom)]):
            yield int(self.atom[start]), slice(start, stop)


class Block(NamedTuple):
    """Pairs, and what the rows of their points are made of.

    Attributes
    ----------
    pairs : Pairs
    harmonics : np.ndarray
        ((lmax + 1)^2, pairs)
    radial : np.ndarray
        (pairs, n_radial) orthonormal combinations.
    spread : csr_array or None
        (n, atoms) the carriers of electrons at the points, where they are exact.
    """

    pairs: Pairs
    harmonics: Floats
    radial: Floats
    spread: Any


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
        self._kinds = spec.places[images.types[images.originals]]
        if d.exact:
            self._held = weights["contribution.electrons"][self._kinds]
            self._passing = self._transfers(spec, self._features[0][:, 0])

    def nearest(self, points: Floats) -> Integers:
        """The atom that is nearest to each of some wrapped points (n, 3), A."""
        return self._images.parents[self._images.nearest(points)]

    def pairs(self, points: Floats) -> Pairs:
        """Look up the atoms around wrapped points (n, 3), A."""
        images = self._images
        point, image, _ = images.pairs(points, self._d.rcut)
        atom, element = images.parents[image], self._element[image]
        order = np.lexsort((atom, element))
        point, image = point[order], image[order]
        vector = points[point] - images.positions[image]
        return Pairs(
            len(points),
            point.astype(np.int32),
            atom[order].astype(np.int32),
            element[order].astype(np.int32),
            vector,
        )

    def block(self, pairs: Pairs) -> Block:
        """Work out the functions of the vectors of pairs."""
        from scipy.sparse import csr_array

        d = self._d
        r = np.linalg.norm(pairs.vector, axis=1)
        basis = np.stack(d.basis(np, r), axis=-1)
        spread = None
        if d.exact:
            shape = pairs.n, len(self._held)
            spread = csr_array((basis @ d.carrier(), (pairs.point, pairs.atom)), shape=shape)
        harmonics = of_directions(pairs.vector, r, d.lmax, d.eps)
        return Block(pairs, harmonics, basis @ self._columns.functions, spread)

    def known(self, block: Block) -> Floats:
        """The part of the density (n,) that no column has: of the electrons atoms hold, e/A^3."""
        return block.spread @ self._held if self._d.exact else np.zeros(block.pairs.n)

    def rows(self, block: Block) -> Floats:
        """The rows X, (n, columns), see :class:`.Columns`."""
        n = block.pairs.n
        shape = self._n_elements, *self._columns.taken.shape
        out = np.zeros((n, *shape))
        for z in np.unique(block.pairs.element):
            out[:, z] = self._of_element(block, z)
        return self._columns.of(out, block.spread @ self._passing if self._d.exact else None)

    def rows_of(self, block: Block, z: int) -> Floats:
        """Those columns of the rows X, (n, ...), that tell of atoms of one element."""
        passing = None
        if self._d.exact:
            passing = block.spread @ np.split(self._passing, self._n_elements, axis=1)[z]
        return self._columns.of(self._of_element(block, z)[:, None], passing)

    def _of_element(self, block: Block, z: int) -> Floats:
        """The rows of what atoms of one element contribute, (n, features, n_radial)."""
        pairs = block.pairs
        start, stop = np.searchsorted(pairs.element, [z, z + 1])
        turned = self._turned(block, slice(start, stop))
        order = np.argsort(pairs.point[start:stop], kind="stable")
        point = pairs.point[start:stop][order]
        count = np.bincount(point, minlength=pairs.n)
        # pairs of a point in one row of a table, which ends with zeros
        slot = np.arange(len(point)) - np.repeat(np.cumsum(count) - count, count)
        n_features = turned.shape[1]
        table = np.zeros((pairs.n, count.max(initial=0), n_features + self._d.n_radial))
        table[point, slot, :n_features] = turned[order]
        table[point, slot, n_features:] = block.radial[start:stop][order]
        return np.matmul(table[..., :n_features].transpose(0, 2, 1), table[..., n_features:])

    def values(self, block: Block, found: Floats) -> Floats:
        """X times a solution (columns,), (n,) e/A^3, without making X."""
        table, passing = self._columns.expanded(found)
        of_pairs = np.empty(len(block.radial))
        for a, mine in block.pairs.of_atoms():
            c = self._coefficients(a, table[self._kinds[a]])
            along = block.harmonics[:, mine].T @ c
            np.einsum("pn,pn->p", along, block.radial[mine], out=of_pairs[mine])
        out = np.bincount(block.pairs.point, of_pairs, block.pairs.n).astype(float, copy=False)
        if self._d.exact:
            out += block.spread @ (self._passing @ passing)
        return out

    def adjoint(self, block: Block, values: Floats) -> Floats:
        """The transpose of X times values (n,): (columns,), without making X."""
        table = np.zeros((self._n_elements, *self._columns.taken.shape))
        weighted = block.radial * values[block.pairs.point, None]
        for a, mine in block.pairs.of_atoms():
            gradient = block.harmonics[:, mine] @ weighted[mine]  # (harmonics, n_radial)
            table[self._kinds[a]] += np.concatenate(
                [f[a].T @ gradient[l * l : (l + 1) ** 2] for l, f in enumerate(self._features)]
            )
        passing = np.zeros(0)
        if self._d.exact:
            passing = self._passing.T @ (block.spread.T @ values)
        return self._columns.contracted(table, passing)

    def _coefficients(self, atom: int, table: Floats) -> Floats:
        """The coefficients of an atom, ((lmax + 1)^2, n_radial), from its element's table."""
        parts, start = [], 0
        for f in self._features:
            stop = start + f.shape[-1]
            parts.append(f[atom] @ table[start:stop])
            start = stop
        return np.concatenate(parts)

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

    def _turned(self, block: Block, some: slice) -> Floats:
        """The features along the directions of some pairs, of whole atoms, (pairs, features)."""
        out = np.empty((some.stop - some.start, sum(f.shape[-1] for f in self._features)))
        for a, mine in block.pairs.of_atoms():
            if not some.start <= mine.start < some.stop:
                continue
            row = out[mine.start - some.start : mine.stop - some.start]
            at = 0
            for l, f in enumerate(self._features):
                harmonics = block.harmonics[l * l : (l + 1) ** 2, mine]
                row[:, at : at + f.shape[-1]] = harmonics.T @ f[a]
                at += f.shape[-1]
        return out
