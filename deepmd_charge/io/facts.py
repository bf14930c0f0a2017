# SPDX-License-Identifier: LGPL-3.0-or-later
"""What there is to know of a density that has been read."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from ..grid.density import Density
from ..typing import Floats, PathLike
from .paw import augmentation_counts
from .verdict.declared import Declared
from .verdict.judge import find_doubts, is_valence_density

__all__ = ["describe"]


def describe(
    path: PathLike,
    density: Density,
    *,
    pbc: Sequence[bool] | None = None,
    unit: str | Sequence[str] | None = None,
    holds: str | None = None,
) -> dict[str, Any]:
    """Gather facts on a density.

    Parameters
    ----------
    path : str
        Its file.
    density : Density
        As it was read with the following options.
    pbc, unit, holds : optional
        See :func:`deepmd_charge.read_density`.

    Returns
    -------
    dict
        Of what JSON takes. Lengths in A, values in e/A^3 (or the file's own
        unit, for LOCPOT and ELFCAR), moments in mu_B.
    """
    declared = Declared.of(path, pbc=pbc, unit=unit, holds=holds)
    atoms, values, quantity = density.atoms, density.values, density.quantity
    grids = density.extra.get("spin", [])
    spin = grids if quantity.integral == "electrons" else []  # those of a LOCPOT are no moments
    cutoff = density.extra.get("cutoff")
    counts = [augmentation_counts(text) for text in density.extra.get("augmentation", [])]
    return {
        "file": str(path),
        "format": density.format,
        "quantity": quantity.name,
        "holds": quantity.description,
        "unit": density.unit,
        "formula": atoms.get_chemical_formula(),
        "n_atoms": len(atoms),
        "cell": atoms.cell.array.tolist(),
        "lengths": atoms.cell.lengths().tolist(),
        "angles": atoms.cell.angles().tolist(),
        "volume": density.volume,
        "periodic": atoms.pbc.tolist(),
        "origin": density.origin.tolist(),
        "grid": list(density.shape),
        "spacing": (atoms.cell.lengths() / density.shape).tolist(),
        "waves": asdict(cutoff) if cutoff else None,
        "electrons": density.n_electrons if quantity.integral == "electrons" else None,
        "integral": density.n_electrons if quantity.integral else None,
        "can_be_valence_density": quantity.is_total and is_valence_density(density),
        "mean": float(values.mean()),
        "min": float(values.min()),
        "max": float(values.max()),
        "negative_points": int(np.count_nonzero(values < 0)),
        "spin": {0: "none", 1: "collinear", 3: "non-collinear"}[len(spin)],
        "moment": [float(component.mean() * density.volume) for component in spin],
        "absolute_moment": _absolute_moment(spin, density.volume),
        "augmentation": [{"atoms": len(each), "values": sum(each)} for each in counts if each],
        "further_datasets": len(density.extra.get("datasets", [])) + len(grids) - len(spin),
        "notes": density.extra.get("notes", []),
        "doubts": find_doubts(density, declared),
    }


def _absolute_moment(spin: list[Floats], volume: float) -> float:
    """Integral of the size of a magnetisation, mu_B."""
    if not spin:
        return 0.0
    return float(np.sqrt(sum(component**2 for component in spin)).mean() * volume)
