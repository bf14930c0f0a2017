# SPDX-License-Identifier: LGPL-3.0-or-later
"""What the atoms of a structure contribute to its density, where the model is a sum over them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from ..atoms.images import Images
from ..atoms.species import GRID_TYPE, species_of
from ..backends.tf.frozen import Frozen
from ..engine.se_cluster import contributions
from ..errors import ChargeError
from ..model.descriptors.se_cluster import SeClusterSpec
from ..model.info import ModelInfo
from ..saed.table import RadialTable
from ..typing import Floats

if TYPE_CHECKING:
    from ase import Atoms

__all__ = ["charges_and_dipoles", "valences_of"]

# Of the harmonics of l = 1 those of x, y and z.
_XYZ = [3, 1, 2]


def charges_and_dipoles(frozen: Frozen, atoms: Atoms) -> tuple[Floats, Floats]:
    r"""Electrons of each atom's contribution, and its dipole about the nucleus.

    .. math::
        q_I = 4 \pi \sum_n c_{I,n00} \int R_n r^2 dr, \qquad
        \mathbf d_I = \frac{4 \pi}{3} \sum_n \mathbf c_{I,n1}
            \int R_n \frac{r^4}{\sqrt{r^2 + \epsilon^2}} \, dr

    plus the electrons of the atomic densities that the model carries.

    Parameters
    ----------
    frozen : Frozen
        A model of ``se_cluster``.
    atoms : ase.Atoms

    Returns
    -------
    charges : np.ndarray
        (natoms,) electrons, positive.
    dipoles : np.ndarray
        (natoms, 3) e A of these electrons.

    Raises
    ------
    ChargeError
        If the model is of another family.
    """
    d = frozen.spec.descriptor
    if not isinstance(d, SeClusterSpec):
        raise ChargeError(
            f"{frozen.path}: this model has no contributions of atoms; train one with the "
            "descriptor se_cluster"
        )
    names = species_of(atoms)
    types = np.array([frozen.known_types.index(name) for name in names], dtype=int)
    weights = frozen.weights.map(lambda array: np.asarray(array, np.float64))
    images = Images(atoms, types, d.reach)
    c = contributions(frozen.spec, weights, images, "float64").all(images)
    charges = c[:, 0] @ d.integrals()
    if frozen.saed is not None:
        step, coefficients = frozen.saed
        elements = [name for name in frozen.known_types if name != GRID_TYPE]
        table = RadialTable(dict(zip(elements, coefficients, strict=True)), "", step=step)
        charges += [table.electrons(name) for name in names]
    dipoles = c[:, _XYZ] @ d.dipoles() if d.lmax else np.zeros((len(c), 3))
    return charges, dipoles


def valences_of(memory: ModelInfo, atoms: Atoms, name: str) -> Floats:
    """Valence electrons (natoms,) of atoms, as a model of the total density knows them.

    Parameters
    ----------
    memory : ModelInfo
    atoms : ase.Atoms
    name : str
        Of the model, for complaints.

    Raises
    ------
    ChargeError
        If it is of another quantity, or does not know an element's.
    """
    if (memory.quantity or "total") != "total":
        raise ChargeError(
            f"{name}: a model of the {memory.quantity} tells no dipole; take one of the total "
            "density"
        )
    names = species_of(atoms)
    if unknown := sorted(set(names) - memory.valences.keys()):
        raise ChargeError(
            f"{name}: the valence electrons of {', '.join(unknown)} are not known; train with "
            "model/info/valence"
        )
    return np.array([memory.valences[name][0] for name in names])
