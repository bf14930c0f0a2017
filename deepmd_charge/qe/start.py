# SPDX-License-Identifier: LGPL-3.0-or-later
"""Runs of pw.x that start from a predicted density."""

from __future__ import annotations

import os
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from ..atoms.species import ARRAY, species_of, types_of_labels
from ..grid.density import Density
from ..grid.grid import Grid
from ..io import write_density
from ..io.quantum_espresso import SCHEMA
from ..predict.electrons import rescale
from ..predict.evaluation import Job, ModelsOnGrid, check_agree, check_structure
from ..predict.parallel.blocks import evaluate_blocks
from ..typing import Floats, Shape
from .dry_run import check_method, dry_run, electrons_of, waves_without_pw
from .input import PwInput
from .place import check_place, preparing
from .program import Program
from .support import (
    COMPLETE,
    check_electrons,
    check_functional,
    check_quantities,
    check_supported,
    check_valences,
    read_potentials,
)

if TYPE_CHECKING:
    from ase import Atoms

    from ..predict.charge_model import ChargeModel

__all__ = ["SETTINGS", "Settings", "Started", "predicted", "settings_for", "start"]

# Of each namelist keys and values.
Settings: TypeAlias = dict[str, dict[str, str | None]]

# What serves a run that begins with a predicted density, for &ELECTRONS: tables of iterations in
# benchmarks/README.md.
SETTINGS = {
    "any": {"diago_thr_init": "1.0d-6", "diago_david_ndim": "4"},
    "metal": {"mixing_mode": "'TF'", "mixing_beta": "1.0"},
    "insulator": {"mixing_mode": "'plain'", "mixing_beta": "0.7"},
}
_FAR = 0.01  # share of the electrons by which no good prediction misses


@dataclass(frozen=True)
class Started:
    """What was prepared for a run.

    Attributes
    ----------
    save : str
        Its prefix.save folder.
    shape : tuple of int
        Grid of the prediction.
    predicted, electrons : float
        Electrons that were predicted, and those of the run.
    settings : dict of dict of str
        What the input needs, by namelists.
    moment : float or None
        Integral of the magnetisation, where it was predicted.
    deviation : float or None
        Mean standard deviation of several models, e/A^3.
    notes : list of str
        What else there is to say.
    """

    save: str
    shape: Shape
    predicted: float
    electrons: float
    settings: Settings
    moment: float | None = None
    deviation: float | None = None
    notes: list[str] = field(default_factory=list)

    @property
    def factor(self) -> float:
        """float: By which the prediction was multiplied."""
        return self.electrons / self.predicted


def settings_for(pw: PwInput) -> Settings:
    """Settings of an input that is to start from the density that is there.

    Parameters
    ----------
    pw : PwInput

    Returns
    -------
    dict of dict of str
        By namelists. What the input says of mixing itself stays as it is.
    """
    electrons: dict[str, str | None] = {"startingpot": "'file'"}
    if pw.calculation not in COMPLETE:
        is_metal = pw.word("system", "occupations", "fixed") not in ("fixed", "from_input")
        serving = SETTINGS["any"] | SETTINGS["metal" if is_metal else "insulator"]
        electrons.update({k: v for k, v in serving.items() if pw.get("electrons", k) is None})
    settings: Settings = {"electrons": electrons}
    if pw.word("control", "restart_mode", "from_scratch") != "from_scratch":
        settings["control"] = {"restart_mode": "'from_scratch'"}
    return settings


def start(
    pw: PwInput,
    models: Sequence[ChargeModel],
    magnetization: Sequence[ChargeModel] = (),
    program: Program | None = None,
    force: bool = False,
) -> Started:
    """Predict the density of a run of pw.x and put it where the run will look for it.

    Parameters
    ----------
    pw : PwInput
    models : list of ChargeModel
        Of the total density; several give their mean.
    magnetization : list of ChargeModel
        Of the magnetisation, for a run with ``nspin = 2``.
    program : Program, optional
        By default without pw.x: of a run of nscf or bands the XML is missing then.
    force : bool
        Replace a prefix.save folder that is there.

    Returns
    -------
    Started

    Raises
    ------
    ChargeError
        If the run, its potentials or the models do not go together, the folder is there
        already, or pw.x fails. Nothing is changed then.

    Warns
    -----
    UserWarning
        If the structure looks unlike the training data, or the electrons miss by more than 1%.
    """
    check_supported(pw, bool(magnetization))
    check_place(pw.save, force)
    check_quantities(models, "total")
    check_quantities(magnetization, "magnetization")
    everyone = [*models, *magnetization]
    potentials = read_potentials(pw)
    if functional := pw.word("system", "input_dft"):
        check_functional(pw.path, functional, everyone)
    else:
        for potential in potentials.values():
            check_functional(potential.path, potential.functional, everyone)
    if program is None:
        electrons = electrons_of(pw, potentials)
    output = os.path.join(pw.outdir, f"{pw.prefix}.start.out")
    with preparing(pw.save) as outdir:
        folder = outdir / os.path.basename(pw.save)
        extra = {}
        if program is None:
            atoms, labels = pw.atoms, pw.labels
            extra["cutoff"], shape = waves_without_pw(pw)
        else:
            run = dry_run(pw, program, outdir, output)
            check_method(folder / SCHEMA, pw.path)
            check_functional(pw.path, run.functional, everyone)
            atoms, labels, shape, electrons = run.atoms, run.labels, run.shape, run.n_electrons
        atoms = _named(atoms, labels, everyone)
        check_structure(pw.path, atoms, everyone)
        check_valences(species_of(atoms), labels, potentials, everyone)
        check_electrons(pw.path, electrons + pw.tot_charge, atoms, models)
        values, deviation = predicted(models, atoms, shape, pw.path)
        density = Density(atoms, values, kind="qe/save", extra=extra)
        found = density.n_electrons
        rescale(density, electrons, pw.path)
        moment = None
        if magnetization:
            spin, _ = predicted(magnetization, atoms, shape, pw.path)
            density.extra["spin"] = [spin]
            moment = float(spin.mean()) * density.volume
        _write(folder, density)
        notes = _notes(pw, folder, program)
        for file in folder.glob("wfc*"):
            file.unlink()
    started = Started(pw.save, shape, found, electrons, settings_for(pw), moment, deviation, notes)
    if abs(started.factor - 1.0) > _FAR:
        reason = "the structure is far from the training data; train on such structures"
        if abs((electrons + pw.tot_charge) / found - 1.0) <= _FAR:
            reason = (
                f"tot_charge = {pw.tot_charge:g} is spread as the density is, for models predict"
                " that of neutral cells; compare with a run from atoms"
            )
        warnings.warn(
            f"{pw.path}: {found:.4f} electrons predicted, where the run has {electrons:.10g}:"
            f" {reason}",
            stacklevel=2,
        )
    return started


def predicted(
    models: Sequence[ChargeModel], atoms: Atoms, shape: Shape, name: str
) -> tuple[Floats, float | None]:
    """Predict on the grid of a run.

    Parameters
    ----------
    models : list of ChargeModel
    atoms : ase.Atoms
    shape : tuple of int
    name : str
        What warnings call the structure.

    Returns
    -------
    values : np.ndarray
        (nx, ny, nz), e/A^3, the mean of several models.
    deviation : float or None
        Mean standard deviation of several models, e/A^3.
    """
    check_agree(models)
    grid = Grid.of(atoms, shape)
    function = ModelsOnGrid(models, Job([model.path for model in models], atoms, grid))
    for each in function.fields:
        each.warn_if_far(grid, name=name)
    values = np.empty((function.n_arrays, *grid.shape))
    for number, block in evaluate_blocks(function):
        values[(slice(None), *function.blocks.slices(number))] = block
    return values[0], float(values[1].mean()) if len(values) > 1 else None


def _named(atoms: Atoms, labels: Sequence[str], models: Sequence[ChargeModel]) -> Atoms:
    """The atoms with the types that their labels name, where the models know these."""
    atoms = atoms.copy()
    atoms.arrays.pop(ARRAY, None)
    types = types_of_labels(labels)
    if types and all(set(types) <= set(model.elements) for model in models):
        atoms.set_array(ARRAY, types, dtype="U32")
    return atoms


def _write(folder: Path, density: Density) -> None:
    """Write a density with the waves of the file that is there, and without the others."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*are waves beyond those of the run")
        write_density(folder, density)


def _notes(pw: PwInput, folder: Path, program: Program | None) -> list[str]:
    notes = []
    if (folder / "paw.txt").exists():
        notes.append("PAW: the occupancies (becsum) are those of free atoms, in paw.txt")
    if pw.calculation in COMPLETE and program is not None:
        notes.append(
            f"the Fermi energy in {SCHEMA} is none yet: nscf computes it, bands leaves it zero"
        )
    if pw.calculation.endswith("relax"):
        notes.append("the density is that of the first step of the relaxation")
    if program is None:
        notes.append(_without_pw(pw))
    return notes


def _without_pw(pw: PwInput) -> str:
    if pw.calculation in COMPLETE:
        return (
            f"without pw.x: {pw.calculation} needs {SCHEMA}, too, which pw.x alone writes: run this"
            " command where pw.x is (--pw PATH, --force)"
        )
    return (
        "without pw.x: the order of the waves is by pw.x's rule, and not compared with a file of"
        " its own"
    )
