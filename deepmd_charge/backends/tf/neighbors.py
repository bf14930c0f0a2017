# SPDX-License-Identifier: LGPL-3.0-or-later
"""Which real atoms lie within the cutoff of which grid point, in TensorFlow ops.

The three ways in which DeePMD-kit hands over coordinates (the size of its
``mesh`` input tells them apart) are brought to one form here: a flat list of
source atoms, periodic images included, and a flat list of centres. The search
then sorts the sources into bins, so that its cost is linear in both.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from deepmd.tf.env import tf

from ...model.kernels.harmonics import harmonics
from ...model.kernels.radial import inverse_distance

__all__ = [
    "Centers",
    "Environment",
    "Pairs",
    "RealAtoms",
    "Sources",
    "Surroundings",
    "atom_pairs",
    "closer_pairs",
    "neighbor_pairs",
    "padded",
    "pairs_where",
    "rows",
    "slots",
    "some",
    "sources_and_centers",
]


class RealAtoms(NamedTuple):
    """Atoms: position (na, 3), type (na,) and frame (na,)."""

    position: tf.Tensor
    type: tf.Tensor
    frame: tf.Tensor


class Sources(NamedTuple):
    """Atoms and images: position (ns, 3), type, frame and place among the atoms, all (ns,)."""

    position: tf.Tensor
    type: tf.Tensor
    frame: tf.Tensor
    atom: tf.Tensor


class Centers(NamedTuple):
    """Centres: position (nc, 3) and frame (nc,)."""

    position: tf.Tensor
    frame: tf.Tensor


class Pairs(NamedTuple):
    """Pairs of a centre and a source: vector from it (npairs, 3), the places of both (npairs,)."""

    vector: tf.Tensor
    center: tf.Tensor
    source: tf.Tensor


# Of one element r and 1 / sqrt(r^2 + eps^2), both (ncenters, pairs), and harmonics of that shape.
Surroundings: TypeAlias = tuple[tf.Tensor, tf.Tensor, list[tf.Tensor]]

# DeePMD-kit's mesh sizes: 0, and 1 of mixed_type systems = no periodicity; 6, and 7 of
# those = periodic without ghosts; 16 and more = ghosts are among the coordinates.
_MESH_PERIODIC = 6
_MESH_GHOSTS = 16
# Bins of half the cutoff: a point searches 5 x 5 columns of bins, 3.7 times
# the volume of the sphere.
_REACH = 2


def sources_and_centers(
    coord: tf.Tensor,
    box: tf.Tensor,
    atype: tf.Tensor,
    nloc: tf.Tensor,
    mesh: tf.Tensor,
    is_grid: tf.Tensor,
    rcut: float,
) -> tuple[Sources, Centers, tf.Tensor, RealAtoms]:
    """Lay out atoms and grid points as flat lists.

    Parameters
    ----------
    coord : tf.Tensor
        (nframes, nall, 3) positions in angstrom, float64.
    box : tf.Tensor
        (nframes, 3, 3) cell vectors in rows.
    atype : tf.Tensor
        (nframes, nall) types.
    nloc : tf.Tensor
        Scalar, the number of local atoms; only they can be centres.
    mesh : tf.Tensor
        DeePMD-kit's mesh, of which the size matters.
    is_grid : tf.Tensor
        (nframes, nall) bool, true at the grid points.
    rcut : float
        Cutoff radius in angstrom.

    Returns
    -------
    sources : Sources
        Every atom and image.
    centers : Centers
        Every grid point.
    center_index : tf.Tensor
        (nc, 2) their frames and places among the atoms that were given.
    atoms : RealAtoms
        The atoms that sources are images of, or those that were given with their ghosts.
    """
    center_index = tf.where(is_grid[:, :nloc])
    source_index = tf.where(tf.logical_and(atype >= 0, tf.logical_not(is_grid)))
    center = tf.gather_nd(coord, center_index)
    source = tf.gather_nd(coord, source_index)
    stype = tf.gather_nd(atype, source_index)
    frame = source_index[:, 0]
    size = tf.size(mesh)
    periodic = tf.logical_and(size >= _MESH_PERIODIC, size < _MESH_GHOSTS)

    def with_images() -> tuple[tf.Tensor, ...]:
        inverse = tf.linalg.inv(box)
        # 1/height of the cell along each axis: rcut / height in fractions
        margin = rcut * tf.norm(inverse, axis=1)  # (nframes, 3)
        reach = tf.cast(tf.math.ceil(tf.reduce_max(margin, axis=0)), tf.int32)
        steps = [tf.range(-reach[k], reach[k] + 1) for k in range(3)]
        shifts = tf.reshape(tf.stack(tf.meshgrid(*steps, indexing="ij"), -1), [-1, 3])
        shifts = tf.cast(shifts, coord.dtype)
        frac_c = tf.einsum("ci,cij->cj", center, tf.gather(inverse, center_index[:, 0]))
        frac_s = tf.einsum("si,sij->sj", source, tf.gather(inverse, frame))
        frac_c -= tf.floor(frac_c)
        frac_s -= tf.floor(frac_s)
        images = frac_s[:, None, :] + shifts[None, :, :]
        edge = tf.gather(margin, frame)[:, None, :]
        keep = tf.where(tf.reduce_all(tf.logical_and(images > -edge, images < 1.0 + edge), axis=2))
        parent = keep[:, 0]
        image_frame = tf.gather(frame, parent)
        cells = tf.gather(box, image_frame)
        return (
            tf.einsum("si,sij->sj", tf.gather_nd(images, keep), cells),
            parent,
            tf.einsum("ci,cij->cj", frac_c, tf.gather(box, center_index[:, 0])),
            tf.einsum("si,sij->sj", frac_s, tf.gather(box, frame)),
        )

    # as_given depends on the box too: a graph from which freezing can prune
    # t_box is refused by DeepPot and LAMMPS
    unused = tf.reduce_sum(box) * 0.0
    every = tf.range(tf.size(frame, out_type=tf.int64))
    position, parent, center, source = tf.cond(
        periodic, with_images, lambda: (source + unused, every, center, source)
    )
    sources = Sources(position, tf.gather(stype, parent), tf.gather(frame, parent), parent)
    centers = Centers(center, center_index[:, 0])
    return sources, centers, center_index, RealAtoms(source, stype, frame)


def neighbor_pairs(sources: Sources, centers: Centers, rcut: float) -> Pairs:
    """Find all (centre, source) pairs closer than the cutoff.

    Parameters
    ----------
    sources : Sources
    centers : Centers
    rcut : float
        Cutoff radius in angstrom.

    Returns
    -------
    Pairs
        By centres in ascending order; the vectors are float64.
    """
    position, frame = sources.position, sources.frame
    center = centers.position
    width = rcut / _REACH
    low = tf.reduce_min(center, axis=0)
    high = tf.reduce_max(center, axis=0)

    def bin_of(x: tf.Tensor) -> tf.Tensor:
        return tf.cast(tf.floor((x - low) / width), tf.int64) + _REACH

    last = bin_of(high[None, :])[0]
    extent = last + 1 + _REACH
    bins = bin_of(position)
    near = tf.where(tf.reduce_all(tf.logical_and(bins >= 0, bins < extent), axis=1))[:, 0]
    bins = tf.gather(bins, near)

    def bin_id(frame: tf.Tensor, bx: tf.Tensor, by: tf.Tensor, bz: tf.Tensor) -> tf.Tensor:
        return ((frame * extent[0] + bx) * extent[1] + by) * extent[2] + bz

    ids = bin_id(tf.gather(frame, near), bins[:, 0], bins[:, 1], bins[:, 2])
    order = tf.argsort(ids)
    ids = tf.gather(ids, order)
    near = tf.gather(near, order)

    # bins run fastest along z, so each column of 2 * _REACH + 1 bins around a
    # centre is one contiguous range of the sorted sources
    span = tf.range(-_REACH, _REACH + 1, dtype=tf.int64)
    dx, dy = (tf.reshape(t, [1, -1]) for t in tf.meshgrid(span, span, indexing="ij"))
    cbins = bin_of(center)
    column = bin_id(centers.frame[:, None], cbins[:, :1] + dx, cbins[:, 1:2] + dy, cbins[:, 2:])
    column = tf.reshape(column, [-1])
    first = tf.searchsorted(ids, column - _REACH, side="left", out_type=tf.int64)
    stop = tf.searchsorted(ids, column + _REACH, side="right", out_type=tf.int64)
    candidates = tf.ragged.range(first, stop).flat_values
    per_center = tf.reduce_sum(tf.reshape(stop - first, [-1, (2 * _REACH + 1) ** 2]), 1)
    which = tf.repeat(tf.range(tf.shape(center)[0]), per_center)

    candidates = tf.gather(near, candidates)
    vector = tf.gather(position, candidates) - tf.gather(center, which)
    return closer_pairs(Pairs(vector, which, candidates), rcut)


def closer_pairs(pairs: Pairs, rcut: float) -> Pairs:
    """Keep those of some pairs that are closer than a shorter cutoff (A)."""
    return pairs_where(pairs, tf.reduce_sum(pairs.vector**2, axis=1) < rcut * rcut)


def pairs_where(pairs: Pairs, kept: tf.Tensor) -> Pairs:
    """Keep those of some pairs for which a condition (npairs,) holds."""
    places = tf.where(kept)[:, 0]
    return Pairs(*(tf.gather(part, places) for part in pairs))


# Distance, A, below which a pair is an atom and itself.
_APART = 1e-6


def some(atoms: RealAtoms, places: tf.Tensor) -> RealAtoms:
    """Some of the atoms, by their places (n,)."""
    return RealAtoms(*(tf.gather(part, places) for part in atoms))


def atom_pairs(sources: Sources, atoms: RealAtoms, rcut: float) -> Pairs:
    """Find the other atoms around atoms, closer than the cutoff (A)."""
    pairs = neighbor_pairs(sources, Centers(atoms.position, atoms.frame), rcut)
    # no atom is its own neighbour
    return pairs_where(pairs, tf.reduce_sum(pairs.vector**2, axis=1) > _APART**2)


class Environment:
    """The neighbours of every centre, one padded table for each element.

    Parameters
    ----------
    pairs : Pairs
        By centres in ascending order.
    types : tf.Tensor
        (npairs,) the type of each source.
    n_centers : tf.Tensor
        Scalar, the number of centres.
    rcut : float
        Cutoff radius in angstrom; padding stands at this distance, where every
        radial function is zero.
    dtype : tf.DType
        The precision of the tables.
    """

    def __init__(
        self,
        pairs: Pairs,
        types: tf.Tensor,
        n_centers: tf.Tensor,
        rcut: float,
        dtype: tf.DType,
    ) -> None:
        self._vector, self._which, self._type = pairs.vector, pairs.center, types
        self._n_centers = n_centers
        self._rcut = rcut
        self._dtype = dtype

    def of_type(self, itype: int) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """Vectors to the neighbours of one type.

        Returns
        -------
        x, y, z : tf.Tensor
            (ncenters, nmax) components in angstrom, nmax the largest number of
            such neighbours: none is ever cut.
        """
        mine = tf.where(tf.equal(self._type, itype))[:, 0]
        return padded(
            tf.cast(tf.gather(self._vector, mine), self._dtype),
            tf.gather(self._which, mine),
            self._n_centers,
            self._rcut,
        )

    def surroundings(self, itype: int, eps: float, lmax: int) -> Surroundings:
        """Distances, 1 / sqrt(r^2 + eps^2) and harmonics of the neighbours of one type."""
        x, y, z = self.of_type(itype)
        r = tf.sqrt(x * x + y * y + z * z)
        inverse = inverse_distance(tf, r, eps)
        return r, inverse, harmonics(tf, x * inverse, y * inverse, z * inverse, lmax)


def padded(
    vector: tf.Tensor, which: tf.Tensor, n_centers: tf.Tensor, rcut: float
) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
    """Vectors (npairs, 3) of centres in ascending order as rows of a table.

    Returns
    -------
    x, y, z : tf.Tensor
        (n_centers, nmax) components; padding stands at rcut (A).
    """
    padding = tf.constant([[rcut, 0.0, 0.0]], dtype=vector.dtype)
    vector = tf.transpose(tf.concat([vector, padding], axis=0))
    index = rows(which, n_centers)
    x, y, z = (tf.gather(vector[k], index) for k in range(3))
    return x, y, z


def slots(which: tf.Tensor, n_centers: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """The place of each pair in a table with a row for each centre.

    Parameters
    ----------
    which : tf.Tensor
        (npairs,) their centres, in ascending order.
    n_centers : tf.Tensor
        Scalar.

    Returns
    -------
    places : tf.Tensor
        (npairs,) in the table, row after row.
    shape : tf.Tensor
        (2,) of the table, n_centers and the most pairs of one.
    """
    count = tf.math.bincount(which, minlength=n_centers, maxlength=n_centers)
    most = tf.reduce_max(tf.concat([count, [0]], 0))
    slot = tf.range(tf.size(which)) - tf.gather(tf.cumsum(count, exclusive=True), which)
    return tf.cast(which, tf.int32) * most + slot, tf.stack([tf.size(count), most])


def rows(which: tf.Tensor, n_centers: tf.Tensor) -> tf.Tensor:
    """Places of the pairs of each centre, (n_centers, nmax), padded with the number of pairs.

    Parameters
    ----------
    which : tf.Tensor
        (npairs,) their centres, in ascending order.
    n_centers : tf.Tensor
        Scalar.
    """
    count = tf.math.bincount(which, minlength=n_centers, maxlength=n_centers)
    slot = tf.range(tf.reduce_max(tf.concat([count, [0]], 0)))
    index = tf.cumsum(count, exclusive=True)[:, None] + slot[None, :]
    return tf.where(slot[None, :] < count[:, None], index, tf.size(which) + 0 * index)
