# SPDX-License-Identifier: LGPL-3.0-or-later
"""ChargeModel: the density of a structure from a trained model."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from ..atoms.images import Images
from ..atoms.sound import check_apart
from ..atoms.species import GRID_TYPE, species_of
from ..backends.tf.frozen import read_model
from ..backends.tf.graph import FrozenGraph
from ..engine.engine import Engine, Unsupported
from ..errors import ChargeError
from ..grid.blocks import Blocks, Parts
from ..grid.density import Density
from ..grid.grid import Grid
from ..model.info import ModelInfo
from ..saed.adding import add, check_given, check_known
from ..saed.sources import matching
from ..typing import ArrayLike, Floats, PathLike
from .contributions import charges_and_dipoles, valences_of
from .field import FARTHEST, Backend, Field, check_points, misplaced
from .parallel.blocks import BlockFunction, available_cores, evaluate_blocks

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["ChargeModel"]

log = logging.getLogger(__name__)

# Scattered points for which a thread is worth its start.
_LEAST = 2048
# Atoms so near, A, stand twice; the backends would not even agree on what they are to each other.
_APART = 1e-3


class ChargeModel:
    """A trained model of the electron density.

    Parameters
    ----------
    path : str
        Frozen model, as ``dp freeze`` writes it.
    n_threads : int, optional
        Cores to use, by default all that this process may use. The result
        is the same to the last bit for any number.
    quantity : str, optional
        What the model gives, where it does not remember it: "total", "up", "down",
        "magnetization", "magnitude", or the "difference" to superposed atomic
        densities, for which `saed` is to be added. Such models were made by former
        versions with ``dp train --skip-neighbor-stat`` or from other models.

    Attributes
    ----------
    path : str
        The file.
    type_map : list of str
        Elements, and X for grid points.
    elements : list of str
        The elements of the training data.
    rcut : float
        How far a point sees, A: the cutoff radius, or the extent of atomic
        densities.
    info : dict
        What the model remembers of its training data: "elements", "valence",
        "grid_spacing" (A), "kind"; "functional" where the files told it; "saed" where a
        difference was learnt.

    Raises
    ------
    ChargeError
        If the file is missing, or is not a charge model, `n_threads` is less than
        1, or the model remembers another quantity.

    Warns
    -----
    UserWarning
        If nothing tells the quantity: the model will not predict.
    """

    def __init__(
        self, path: PathLike, n_threads: int | None = None, quantity: str | None = None
    ) -> None:
        if n_threads is not None and n_threads < 1:
            raise ChargeError(f"n_threads {n_threads}: give a number of at least 1")
        self._n_threads = n_threads or available_cores()
        self._frozen = read_model(str(path))
        self.path = str(path)
        self.type_map: list[str] = self._frozen.type_map
        self.rcut: float = self._frozen.reach
        self.info: dict[str, Any] = self._frozen.info
        if quantity is not None:
            self.info = self.memory.declared(quantity, self.path).to_json()
        elif self.memory.content is None:
            warnings.warn(
                f"{self.path}: this model does not remember what it predicts, the total density or"
                " something else",
                stacklevel=2,
            )
        # an element of the type map without an atom in the data is not known
        self.elements: list[str] = self.info.get("elements") or [
            name for name in self.type_map if name != GRID_TYPE
        ]

    @property
    def memory(self) -> ModelInfo:
        """ModelInfo: What stands in `info`, and what follows from it."""
        return ModelInfo.from_json(self.info)

    @cached_property
    def _backend(self) -> Backend:
        """The engine, or for a model that it does not know the graph itself."""
        try:
            engine = Engine(self._frozen.spec, self._frozen.weights, self._n_threads)
            log.info("%s: compiled, in %s", self.path, engine.precision)
            return engine
        except (ChargeError, Unsupported) as reason:
            warnings.warn(
                f"{self.path}: its TensorFlow graph is used, which is about 8 times slower "
                f"than compiled code: {reason}",
                stacklevel=5,  # through field, to the caller of predict or predict_points
            )
            return FrozenGraph(self._frozen, self._n_threads)

    def check(self, atoms: Atoms, name: str = "the structure") -> None:
        """Refuse a structure that the model cannot evaluate.

        Parameters
        ----------
        atoms : ase.Atoms
            The structure.
        name : str
            What an error calls it, such as its file.

        Raises
        ------
        ChargeError
            If an element is unknown to the model, a position or cell vector
            is not a finite number, a position is absurdly far away, the cell
            has no volume, or two atoms are at one place.
        """
        unknown = sorted(set(species_of(atoms)) - set(self.elements))
        if unknown:
            raise ChargeError(
                f"{name}: the model has not seen {', '.join(unknown)}, only "
                f"{', '.join(self.elements)} ({self.path}); train on densities that have them"
            )
        bad = misplaced(atoms.positions)
        if len(bad):
            raise ChargeError(
                f"{name}: the position of atom {bad[0]}, {atoms.positions[bad[0]]}, is not "
                f"finite, or farther than {FARTHEST:.0e} A away; correct it"
            )
        if not np.isfinite(atoms.cell.array).all():
            raise ChargeError(f"{name}: a cell vector is not finite; correct it")
        missing = ~atoms.cell.array.any(axis=1)
        if (atoms.pbc & missing).any() or np.linalg.matrix_rank(atoms.cell.complete().array) < 3:
            raise ChargeError(
                f"{name}: its cell has no volume, or it is periodic along an axis that has no "
                "cell vector; correct the cell, or the pbc"
            )
        try:
            check_apart(atoms, _APART)
        except ChargeError as error:
            raise ChargeError(f"{name}: {error}") from None

    def predict(
        self,
        atoms: Atoms,
        grid: Iterable[int],
        progress: bool = False,
        saed: Density | None = None,
        out: Floats | None = None,
        origin: ArrayLike = (0.0, 0.0, 0.0),
    ) -> Density:
        """Predict the total density on a whole grid.

        Parameters
        ----------
        atoms : ase.Atoms
            The structure; periodic along the axes of its own ``pbc``.
        grid : tuple of int
            (nx, ny, nz); the value at [i, j, k] belongs to
            origin + (i/nx) a + (j/ny) b + (k/nz) c.
        progress : bool
            Show a progress bar.
        saed : Density, optional
            The superposition of atomic densities on this grid, for a model that
            has learnt the difference to such files, and only for it.
        out : np.ndarray, optional
            (nx, ny, nz) float64 array to fill, such as a ``numpy.memmap``: the
            values of the result. Made in memory by default.
        origin : array_like, optional
            (3,) position of the grid's first point, A: of a density its ``origin``.

        Returns
        -------
        Density
            In e/A^3, or what its ``quantity`` is measured in.

        Raises
        ------
        ChargeError
            If the grid is not three counts of at least 1 or `out` does not fit
            it, the origin is no point, the cell has no volume, the model cannot
            evaluate the structure (:meth:`check`), or a SAED is missing, needless
            or on another grid.

        Warns
        -----
        UserWarning
            If the structure looks unlike the training data.
        """
        check_given(self.path, self.info, saed)
        mesh = Grid.of(atoms, grid, origin)
        if out is None:
            out = np.empty(mesh.shape)
        elif out.shape != mesh.shape or out.dtype != np.float64:
            raise ChargeError(f"out is {out.dtype} {out.shape}; give a float64 array {mesh.shape}")
        if saed is not None:
            matching(atoms, mesh, saed, "saed")
        field = self.field(atoms)
        field.warn_if_far(mesh, stacklevel=3)
        _fill(out, Blocks(mesh, _share(mesh.size, field)), field, progress)
        density = Density(atoms.copy(), out, origin, self.memory.predicted_kind)
        if saed is not None:
            add(density, saed)
        return density

    def predict_points(
        self,
        atoms: Atoms,
        points: ArrayLike,
        progress: bool = False,
        saed: ArrayLike | None = None,
    ) -> Floats:
        """Predict the total density at given points.

        Parameters
        ----------
        atoms : ase.Atoms
            The structure, as for :meth:`predict`; a molecule needs no cell.
        points : array_like
            (n, 3) positions in A, anywhere.
        progress : bool
            Show a progress bar.
        saed : array_like, optional
            (n,) superposed atomic densities at the points, as for
            :meth:`predict`.

        Returns
        -------
        np.ndarray
            (n,) in e/A^3.

        Raises
        ------
        ChargeError
            If a point is not three finite numbers, the model cannot evaluate
            the structure (:meth:`check`), or a SAED is missing, needless or not a
            number for each point.

        Warns
        -----
        UserWarning
            If the structure looks unlike the training data.
        """
        check_given(self.path, self.info, saed)
        places = check_points(points)
        added = None if saed is None else _at_points(saed, len(places))
        field = self.field(atoms)
        field.warn_if_far(places, stacklevel=3)
        values = np.empty(len(places))
        _fill(values, Parts(places, _share(len(places), field)), field, progress)
        return values if added is None else values + added

    def atomic_charges(self, atoms: Atoms) -> Floats:
        """Electrons of each atom's contribution to the density, exactly (no grid).

        Parameters
        ----------
        atoms : ase.Atoms
            The structure, as for :meth:`predict_points`.

        Returns
        -------
        np.ndarray
            (natoms,) electrons, positive, or what the model's quantity counts; they sum to the
            integral of the density over all space, or over the cell.

        Raises
        ------
        ChargeError
            If the model is no sum over atoms (``se_cluster``), has learnt a difference to
            density files, or cannot evaluate the structure (:meth:`check`).
        """
        return self._contributions(atoms)[0]

    def dipole(self, atoms: Atoms) -> Floats:
        r"""The dipole of a molecule, from its contributions exactly (no grid).

        .. math:: \mathbf p = \sum_I (Z_I - q_I) (\mathbf R_I - \mathbf R_0) - \mathbf d_I

        with Z the valence electrons, the electrons q and dipoles d of the contributions about
        their nuclei, and :math:`\mathbf R_0 = \sum_I Z_I \mathbf R_I / \sum_I Z_I`, so that it
        does not depend on where the molecule is; that of an ion, and of the few electrons by which
        a model may be wrong unless they are exact (the key ``electrons`` of ``se_cluster``), is
        about this centre. A periodic structure has none; that of its atoms where they are given
        is returned.

        Parameters
        ----------
        atoms : ase.Atoms

        Returns
        -------
        np.ndarray
            (3,) e A, from the electrons towards the nuclei.

        Raises
        ------
        ChargeError
            As for :meth:`atomic_charges`, or if the model is not of the total density, or does
            not know the valence of an element.
        """
        charges, dipoles = self._contributions(atoms)
        valence = valences_of(self.memory, atoms, self.path)
        places = atoms.positions - valence @ atoms.positions / valence.sum()
        return (valence - charges) @ places - dipoles.sum(axis=0)

    def _contributions(self, atoms: Atoms) -> tuple[Floats, Floats]:
        check_known(self.path, self.info)
        self.check(atoms)
        if self.memory.needs_superposition:
            raise ChargeError(
                f"{self.path}: this model gives the difference to density files, whose atoms it "
                "does not know; train it with a table (convert --saed upf:..., potcar:... or fit)"
            )
        return charges_and_dipoles(self._frozen, atoms)

    def field(self, atoms: Atoms) -> Field:
        """Density around given atoms, ready to be evaluated piece by piece.

        A SAED that comes from files (``predict(saed=...)``) is not in it.

        Parameters
        ----------
        atoms : ase.Atoms
            The structure, as for :meth:`predict_points`.

        Returns
        -------
        Field

        Raises
        ------
        ChargeError
            If the model cannot evaluate the structure (:meth:`check`), or nothing
            tells what it gives.
        """
        check_known(self.path, self.info)
        self.check(atoms)
        known = self._frozen.known_types
        types = np.array([known.index(name) for name in species_of(atoms)], dtype=int)
        return Field(self._backend, atoms, Images(atoms, types, self.rcut))


def _share(size: int, field: Field) -> int:
    """Points of a block: work for all threads, also where there are few."""
    return min(field.block, max(-(-size // (4 * field.threads)), _LEAST))


def _fill(out: Floats, blocks: Blocks | Parts, field: Field, progress: bool) -> None:
    """Fill an array with a field, block by block, on all its threads."""
    function = BlockFunction(blocks, [field], field.threads)
    for number, values in evaluate_blocks(function, show=progress):
        out[blocks.slices(number)] = values[0]


def _at_points(saed: ArrayLike, n_points: int) -> Floats:
    """Superposed densities (n,) at as many points, checked."""
    try:
        values = np.asarray(saed, dtype=np.float64)
    except (TypeError, ValueError):
        raise ChargeError(
            f"saed: {type(saed).__name__} is no array of numbers; give the value at each point"
        ) from None
    if values.shape != (n_points,):
        raise ChargeError(
            f"saed: an array {values.shape} for {n_points} points; give one value for each"
        )
    return values
