# SPDX-License-Identifier: LGPL-3.0-or-later
"""Grid points and the atoms around them, as arrays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from array_api_compat import array_namespace, device

from ..atoms.images import Images
from ..atoms.species import species_of
from ..typing import Floats, Integers
from .kernels.arrays import Array
from .kernels.radial import cutoff
from .spec import ModelSpec

if TYPE_CHECKING:
    from ase import Atoms

__all__ = [
    "Neighbors",
    "around_atoms",
    "around_some",
    "distances",
    "elements",
    "list_of_images",
    "neighbor_counts",
    "neighbor_list",
    "neighbors",
    "of_neighbors",
]

# Atoms whose surroundings are worked out together.
_ATOMS = 256


def neighbor_list(
    spec: ModelSpec, atoms: Atoms, points: Floats, reach: float
) -> tuple[Floats, Integers, Integers]:
    """List the atoms, periodic images included, around each point.

    Parameters
    ----------
    spec : ModelSpec
    atoms : ase.Atoms
        The structure, periodic along the axes of its ``pbc``.
    points : np.ndarray
        (n, 3) positions in A, anywhere.
    reach : float
        How far a point sees, A: the cutoff radius, or the extent of atomic
        densities where that is larger.

    Returns
    -------
    coord : np.ndarray
        (1, n + m, 3) positions in A: of the points, then of atoms and images.
    atype : np.ndarray
        (1, n + m) their types.
    nlist : np.ndarray
        (1, centres, most) places among them of the neighbours of each centre, then -1. The
        centres are the points, and where :attr:`.DescriptorSpec.atoms_are_centres` the atoms
        within the cutoff of one.
    """
    types = [spec.type_map.index(name) for name in species_of(atoms)]
    images = Images(atoms, types, max(reach, spec.descriptor.reach))
    return list_of_images(spec, images, images.wrap(np.reshape(points, (-1, 3))), reach)


def list_of_images(
    spec: ModelSpec, images: Images, points: Floats, reach: float
) -> tuple[Floats, Integers, Integers]:
    """List the atoms around wrapped points (n, 3), A, among Images; see :func:`neighbor_list`."""
    n = len(points)
    centres, positions, types = points, images.positions, images.types
    places = np.arange(len(positions))
    seen = reach
    d = spec.descriptor
    if d.atoms_are_centres:
        # the atoms that points see come first, for they are centres, too
        first = np.zeros(len(positions), dtype=bool)
        first[images.pairs(points, d.rcut)[1]] = True
        if d.exact:  # and those that these see
            first[images.pairs(positions[first], d.rcut_atoms)[1]] = True
        order = np.argsort(~first, kind="stable")
        places = np.argsort(order)
        positions, types = positions[order], types[order]
        centres = np.concatenate([points, positions[: first.sum()]])
        seen = max(reach, d.rcut_atoms)
    centre, atom, _ = images.pairs(centres, seen)
    place = n + places[atom]
    centre, place = centre[place != centre], place[place != centre]
    count = np.bincount(centre, minlength=len(centres))
    nlist = np.full((len(centres), count.max(initial=0)), -1)
    # pairs are in the order of the centres
    slot = np.arange(len(centre)) - np.repeat(np.cumsum(count) - count, count)
    nlist[centre, slot] = place
    coord = np.concatenate([points, positions])
    atype = np.concatenate([np.full(n, spec.grid_type), types]).astype(np.int64)
    return coord[None], atype[None], nlist[None]


class Neighbors(NamedTuple):
    """The surroundings of each centre.

    Attributes
    ----------
    vector : array
        (frames, centres, neighbours, 3) from the centre to the atom, A; zero
        where there is none.
    element : array
        (frames, centres, neighbours) its place in :attr:`.ModelSpec.elements`;
        -1 where there is none.
    """

    vector: Array
    element: Array

    def first(self, n: int | None) -> Neighbors:
        """Those of the first so many centres; all where it is None."""
        return Neighbors(self.vector[:, :n, ...], self.element[:, :n, ...])


def neighbors(spec: ModelSpec, coord: Array, atype: Array, nlist: Array) -> Neighbors:
    """Look up the atoms of a neighbour list.

    Parameters
    ----------
    spec : ModelSpec
    coord, atype, nlist : array
        As for :func:`deepmd_charge.model.reference.evaluate`.

    Returns
    -------
    Neighbors
    """
    xp = array_namespace(coord, atype, nlist)
    frames, atoms, _ = coord.shape
    there = nlist >= 0
    # places in all frames, laid end to end
    start = atoms * xp.arange(frames, dtype=nlist.dtype, device=device(nlist))
    place = xp.where(there, nlist, xp.zeros_like(nlist)) + start[:, None, None]
    place = xp.reshape(place, (-1,))
    element = elements(spec, xp.take(xp.reshape(atype, (-1,)), place, axis=0))
    element = xp.reshape(element, nlist.shape)
    element = xp.where(there, element, xp.full_like(element, -1))
    vector = xp.reshape(xp.take(xp.reshape(coord, (-1, 3)), place, axis=0), (*nlist.shape, 3))
    vector = vector - coord[:, : nlist.shape[1], None, :]
    vector = xp.where((element >= 0)[..., None], vector, xp.zeros_like(vector))
    return Neighbors(vector, element)


def around_atoms(spec: ModelSpec, images: Images) -> Iterator[tuple[Neighbors, Integers]]:
    """Yield the other atoms around each atom, in blocks of atoms.

    Parameters
    ----------
    spec : ModelSpec
    images : Images
        With images as far as an atom sees, at least.

    Yields
    ------
    around : Neighbors
        Of one frame, (1, atoms, neighbours).
    element : np.ndarray
        (1, atoms) the place of each atom among the elements.
    """
    for start in range(0, len(images.originals), _ATOMS):
        stop = min(start + _ATOMS, len(images.originals))
        around, element, _ = around_some(spec, images, np.arange(start, stop))
        yield around, element


def around_some(
    spec: ModelSpec, images: Images, atoms: Integers
) -> tuple[Neighbors, Integers, Integers]:
    """Find the other atoms around some atoms (n,), where atoms are centres.

    Parameters
    ----------
    spec, images
        As for :func:`around_atoms`.
    atoms : np.ndarray
        (n,) which atoms of the structure.

    Returns
    -------
    around, element
        As :func:`around_atoms` yields them, of these atoms.
    parents : np.ndarray
        (1, n, neighbours) which atom of the structure each neighbour is, or is an image of; -1
        where there is none.
    """
    own = images.originals[atoms]
    atom, other, _ = images.pairs(images.positions[own], spec.descriptor.rcut_atoms)
    apart = other != own[atom]
    atom, other = atom[apart], other[apart]
    count = np.bincount(atom, minlength=len(own))
    slot = np.arange(len(atom)) - np.repeat(np.cumsum(count) - count, count)
    shape = len(own), max(count.max(initial=0), 1)
    vector, element, parents = np.zeros((*shape, 3)), np.full(shape, -1), np.full(shape, -1)
    vector[atom, slot] = images.positions[other] - images.positions[own[atom]]
    element[atom, slot] = spec.places[images.types[other]]
    parents[atom, slot] = images.parents[other]
    around = Neighbors(vector[None], element[None])
    return around, spec.places[images.types[own]][None], parents[None]


def neighbor_counts(spec: ModelSpec, images: Images, points: Floats) -> Floats:
    """The neighbour counts of wrapped points (n, 3), A, (n, elements).

    See :func:`deepmd_charge.model.reference.neighbor_count`.
    """
    rcut = spec.descriptor.rcut
    counts = np.zeros((len(points), len(spec.elements)))
    points_of, atoms, r = images.pairs(points, rcut)
    np.add.at(counts, (points_of, spec.places[images.types[atoms]]), cutoff(np, r, rcut))
    return counts


def elements(spec: ModelSpec, atype: Array) -> Array:
    """The place of each type of an array in :attr:`.ModelSpec.elements`; -1 of what is none."""
    xp = array_namespace(atype)
    places = {t: z for z, t in enumerate(spec.elements)}
    order = [places.get(t, -1) for t in range(-1, len(spec.type_map))]
    order = xp.asarray(order, dtype=atype.dtype, device=device(atype))
    found = xp.take(order, xp.reshape(atype, (-1,)) + 1, axis=0)
    return xp.reshape(found, atype.shape)


def of_neighbors(values: Array, nlist: Array, there: Array) -> Array:
    """What each centre has, looked up for the neighbours of each.

    Parameters
    ----------
    values : array
        (frames, centres, n)
    nlist : array
        (frames, centres, neighbours) places among the centres.
    there : array
        (frames, centres, neighbours) bool; the others get zero.

    Returns
    -------
    array
        (frames, centres, neighbours, n)
    """
    xp = array_namespace(values, nlist)
    frames, centres, n = values.shape
    start = centres * xp.arange(frames, dtype=nlist.dtype, device=device(nlist))
    place = xp.where(there, nlist, xp.zeros_like(nlist)) + start[:, None, None]
    found = xp.take(xp.reshape(values, (-1, n)), xp.reshape(place, (-1,)), axis=0)
    found = xp.reshape(found, (*nlist.shape, n))
    return xp.where(there[..., None], found, xp.zeros_like(found))


def distances(dtype: Any, around: Neighbors) -> tuple[Array, Array]:
    """Vectors and distances of :class:`Neighbors` in some precision.

    Returns
    -------
    vector : array
        (frames, centres, neighbours, 3) A
    r : array
        (frames, centres, neighbours) A
    """
    xp = array_namespace(around.vector)
    vector = xp.astype(around.vector, dtype)
    squared = xp.sum(vector * vector, axis=-1)
    # the root has no derivative on a nucleus; what is even in r has: zero
    apart = squared > 0
    root = xp.sqrt(xp.where(apart, squared, xp.ones_like(squared)))
    return vector, xp.where(apart, root, xp.zeros_like(root))
