# SPDX-License-Identifier: LGPL-3.0-or-later
"""Which runs a predicted density can be the start of, and which models fit a run."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING

from ..atoms.species import element_of_label
from ..errors import ChargeError
from ..io.functionals import functional_name, is_hybrid, is_meta, spelled
from ..model.info import SAME_VALENCE
from ..predict.electrons import electrons_in_doubt, expected_electrons
from .input import PwInput
from .potentials import Potential, read_potential

if TYPE_CHECKING:
    from ase import Atoms

    from ..predict.charge_model import ChargeModel

__all__ = [
    "check_electrons",
    "check_functional",
    "check_quantities",
    "check_supported",
    "check_valences",
    "read_potentials",
]

COMPLETE = ("nscf", "bands")  # nothing but the density given decides what comes out
SUPPORTED = ("scf", *COMPLETE, "relax", "vc-relax")
_DENSITY = "the density is not all that decides such a run"


def check_supported(pw: PwInput, has_magnetization: bool) -> None:
    """Refuse a run that a predicted density cannot be the start of.

    Parameters
    ----------
    pw : PwInput
    has_magnetization : bool
        Whether the magnetisation is predicted, too.

    Raises
    ------
    ChargeError
        With the reason.
    """
    if pw.calculation not in SUPPORTED:
        raise ChargeError(
            f"{pw.path}: calculation = '{pw.calculation}' is not one of {', '.join(SUPPORTED)} (of"
            " relaxations the first step begins with the density given)"
        )
    if pw.n_spin == 4 or pw.flag("system", "lspinorb"):
        raise ChargeError(
            f"{pw.path}: a non-collinear or spin-orbit run needs three components of the"
            " magnetisation, which no model predicts: only nspin = 1 and 2 are supported"
        )
    if pw.flag("system", "lda_plus_u") or "HUBBARD" in pw.cards:
        raise ChargeError(
            f"{pw.path}: DFT+U begins with occupation matrices, too (occup.txt): {_DENSITY}"
        )
    if pw.n_spin == 2 and not has_magnetization:
        raise ChargeError(
            f"{pw.path}: nspin = 2 needs the magnetisation, too, of a second model"
            " (--magnetization MODEL): without it the run would end nonmagnetic"
        )
    if pw.n_spin == 1 and has_magnetization:
        raise ChargeError(
            f"{pw.path}: nspin = 1 has no magnetisation: leave --magnetization out, or set"
            " nspin = 2"
        )


def check_quantities(models: Sequence[ChargeModel], name: str) -> None:
    """Refuse models that give something else than a quantity, or lack their superposition."""
    for model in models:
        content = model.memory.content
        if content != name:
            raise ChargeError(
                f"{model.path}: predicts {content or 'what nothing tells'} by itself, where a model"
                f" of {'the magnetisation' if name == 'magnetization' else 'the density'} is needed"
            )


def check_functional(path: str, functional: str, models: Sequence[ChargeModel]) -> None:
    """Refuse a functional with which a density alone is no start, or other than the models'.

    Parameters
    ----------
    path : str
        For complaints.
    functional : str
        Empty where it is not known.
    models : list of ChargeModel
        One that notes no ``functional`` fits any; where a name is not known there is a warning.
    """
    if is_hybrid(functional):
        raise ChargeError(
            f"{path}: the hybrid functional {functional} needs orbitals for its exchange:"
            f" {_DENSITY}"
        )
    if is_meta(functional):
        raise ChargeError(
            f"{path}: the meta-GGA {functional} needs the kinetic energy density, too"
            " (ekin-density.dat), which no model predicts: without it a run is many eV wrong"
        )
    name = functional_name(functional)
    for model in models:
        noted = str(model.info.get("functional", ""))
        learnt = functional_name(noted)
        if name and learnt and name != learnt:
            raise ChargeError(
                f"{path}: the functional is {name}, that of {model.path} is {learnt}: train on"
                " densities of this functional, or take a model of it"
            )
        if functional and noted and spelled(functional) != spelled(noted):
            warnings.warn(
                f"{path}: whether the functional {functional} is that of {model.path}, {noted}, is"
                " not known here: take care that it is",
                stacklevel=2,
            )


def check_electrons(
    path: str, electrons: float, atoms: Atoms, models: Sequence[ChargeModel]
) -> None:
    """Refuse a run whose neutral cell has other electrons than the models' valences make.

    Potentials that cannot be read here are found out by this.

    Parameters
    ----------
    path : str
        The input, for complaints.
    electrons : float
        Of the neutral cell.
    atoms : ase.Atoms
    models : list of ChargeModel
        Of the total density.
    """
    for model in models:
        expected = expected_electrons(model.memory, atoms)
        if expected is None:
            continue
        allowed = electrons_in_doubt(model.memory, atoms) + SAME_VALENCE * len(atoms)
        if abs(expected - electrons) > allowed:
            raise ChargeError(
                f"{path}: {electrons:.10g} valence electrons, where those that {model.path} learnt"
                f" are {expected:.10g}: take the potentials of the training data"
            )


def read_potentials(pw: PwInput) -> dict[str, Potential]:
    """Read the potentials of an input, by the labels of the atoms.

    Returns
    -------
    dict of str to Potential
        Without those of formats that pw.x alone reads.

    Raises
    ------
    ChargeError
        If one is of another element than its label.
    """
    found = {}
    for label, file in pw.potentials.items():
        potential = read_potential(os.path.join(pw.pseudo_dir, file))
        if potential is None:
            continue
        if element_of_label(label) not in (None, potential.element):
            raise ChargeError(
                f"{pw.path}: {label} in ATOMIC_SPECIES has {file}, a potential of"
                f" {potential.element}: correct one of them"
            )
        found[label] = potential
    return found


def check_valences(
    types: Sequence[str],
    labels: Sequence[str],
    potentials: dict[str, Potential],
    models: Sequence[ChargeModel],
) -> None:
    """Refuse potentials with other valence electrons than those of the models' data.

    Parameters
    ----------
    types : sequence of str
        Of each atom, as the models call it.
    labels : sequence of str
        Of each atom, as the input calls it.
    potentials : dict of str to Potential
    models : list of ChargeModel
    """
    for model in models:
        known = model.memory.valences
        for type_, label in sorted(set(zip(types, labels, strict=True))):
            if label not in potentials or type_ not in known:
                continue
            potential, (valence, doubt) = potentials[label], known[type_]
            if abs(potential.valence - valence) > SAME_VALENCE + doubt:
                raise ChargeError(
                    f"{potential.path}: {potential.valence:g} valence electrons of {label}, where"
                    f" {model.path} learnt {valence:g}: take the potentials of the training data"
                )
