# SPDX-License-Identifier: LGPL-3.0-or-later
"""Whether what a file holds can be the density of all valence electrons."""

from __future__ import annotations

import warnings
from typing import TypeAlias

from ...errors import ChargeError, ElectronCountWarning
from ...grid.density import Density
from ...grid.mapped import by_planes
from ...typing import PathLike
from .declared import UNDECLARED, Declared
from .evidence import faces_break
from .mistakes import Reading, likely_reading, units_of
from .said import program_said, quantity_named
from .stride import find_shorter

__all__ = ["LEARN", "check_total", "find_doubts", "is_valence_density"]

_Doubt: TypeAlias = tuple[str, type[Warning]]

LEARN = "learn"  # as `check`: what is doubtful is an error

# An integral this far (electrons) from a whole number earns a warning, one this
# far (as a fraction) above the sum of atomic numbers an error.
INTEGRAL_TOLERANCE = 0.01
NUCLEI_TOLERANCE = 1e-3
COARSE_TOLERANCE = 0.05  # electrons, of a cube of CP2K that lacks nothing but points
NOTHING_SHARE = 1e-6  # of the integral of |rho|, that the digits of a file leave of zero


def is_valence_density(density: Density) -> bool:
    """Whether the integral of a density can be a number of valence electrons."""
    return _is_valence(density.n_electrons, density)


def check_total(
    density: Density, path: PathLike, declared: Declared = UNDECLARED, check: bool | str = True
) -> None:
    """Refuse what cannot be the density of all valence electrons; wonder at odd counts.

    Parameters
    ----------
    density : Density
        As it was read. What its format holds by its name (LOCPOT) is not judged.
    path : str
        Its file, for complaints.
    declared : Declared
        What the user says of the file; it is not doubted.
    check : bool or "learn"
        False for nothing but warnings of what the file itself makes doubtful; "learn" where
        whatever is doubtful is refused.

    Raises
    ------
    ChargeError
        If the file says that it holds something else, or by its integral.

    Warns
    -----
    ElectronCountWarning
        If the integral is not a whole number of electrons.
    UserWarning
        If the file is doubtful for another reason.
    """
    quantity = density.quantity
    if check and not quantity.is_total and not declared.quantity and ":" in density.kind:
        said = density.extra.get("said")
        raise ChargeError(
            f"{path}: holds {quantity.description}{f' ({said!r})' if said else ''}, not the total"
            " density: give that, or say what is to be learnt by --is (holds=), --is total if it"
            " is that after all"
        )
    doubts: list[_Doubt] = [(text, UserWarning) for text in density.extra.get("doubts", [])]
    wonders: list[_Doubt] = []
    if check and quantity.is_total:
        electrons = density.n_electrons
        _check_integral(density, electrons, path, declared)
        text, is_doubt = _doubtful_count(density, electrons, declared)
        if text:
            (doubts if is_doubt else wonders).append((text, ElectronCountWarning))
        elif not _is_whole(electrons):
            wonders.append((_not_whole(electrons), ElectronCountWarning))
        if not declared.quantity and (text := _odd_name(density, path)):
            wonders.append((text, UserWarning))
    if doubts and check == LEARN:
        raise ChargeError(f"{path}: {doubts[0][0]}")
    for text, category in doubts + wonders:
        warnings.warn(f"{path}: {text}", category, stacklevel=4)


def find_doubts(density: Density, declared: Declared = UNDECLARED) -> list[str]:
    """Why a density should not be learnt as it is, as far as no flag says otherwise.

    Returns
    -------
    list of str
    """
    doubts = list(density.extra.get("doubts", []))
    if density.quantity.is_total:
        text, is_doubt = _doubtful_count(density, density.n_electrons, declared)
        if text and is_doubt:
            doubts.append(text)
    return doubts


def _check_integral(density: Density, electrons: float, path: PathLike, declared: Declared) -> None:
    """Refuse an integral that no number of valence electrons can be."""
    is_nothing = _is_nothing(density, electrons)
    if _is_valence(electrons, density) and not is_nothing:
        return
    atoms = density.atoms
    between = f"where {atoms.get_chemical_formula()} has between 0 and {atoms.numbers.sum()}"
    remedy = "give a CHGCAR (or take it unchecked)"
    if is_nothing:
        remedy = (
            "that is nothing, within the digits of the file, as of a difference, the magnetisation"
            " of an antiferromagnet or an orbital: say by --is (holds=) what it is"
        )
    elif likely := likely_reading(density, declared, electrons):
        remedy = _remedy(likely, units_of(density, declared))
    raise ChargeError(
        f"{path}: not a charge density: it integrates to {electrons:.6g} electrons, {between}:"
        f" {remedy}"
    )


def _doubtful_count(
    density: Density, electrons: float, declared: Declared
) -> tuple[str | None, bool]:
    """What a number of electrons that is not whole, or too many for the distances, comes from.

    Returns
    -------
    text : str or None
    is_doubt : bool
        Whether it is enough to refuse the density to those who would learn it.
    """
    if likely := likely_reading(density, declared, electrons):
        remedy = _remedy(likely, units_of(density, declared))
        return f"integrates to {electrons:.6g} electrons: {remedy}", True
    if "pbc" not in density.extra.get("untold", ()) or not density.atoms.pbc.any():
        return None, False
    text, is_doubt = _left_out(density, electrons)
    if text or _is_whole(electrons) or declared.pbc is not None:
        return text, is_doubt
    if breaks := [axis for axis in range(3) if faces_break(density, axis)]:
        return (
            f"{_not_whole(electrons)}: taken as periodic, but opposite faces of its grid do not"
            f" continue one another along {' and '.join('abc'[axis] for axis in breaks)}: say by"
            " --pbc F F F that it is a molecule, or give a grid of one period"
        ), True
    return None, False


def _left_out(density: Density, electrons: float) -> tuple[str | None, bool]:
    """That points were left out, so that the cell is too long.

    Returns
    -------
    text : str or None
    is_doubt : bool
        Whether the shorter cell is sure: coarse grids and grids of what is not dense enough tell
        of it only by a number of electrons that is nearly whole.
    """
    is_of_cp2k = program_said(density.extra.get("comment", "")) == "CP2K"
    is_whole = _is_whole(electrons)
    if is_whole and not is_of_cp2k:
        return None, False
    shorter = find_shorter(density)
    is_odd = is_of_cp2k and abs(electrons - round(electrons)) > COARSE_TOLERANCE
    if shorter is None or not (shorter.is_whole or is_odd):
        return None, False
    if is_whole and (not shorter.is_seen or round(shorter.electrons) == round(electrons)):
        return None, False
    likely = ""
    if shorter.is_whole:
        lengths = " ".join(f"{length:.4f}" for length in (shorter.cell**2).sum(axis=1) ** 0.5)
        likely = f", so that its cell would be {lengths} A with {shorter.electrons:.3f} electrons"
    integral = f"the density integrates to {electrons:.6g} electrons"
    return (
        f"{integral if is_whole else _not_whole(electrons)}, but CP2K's STRIDE (2 by default)"
        " leaves out points, and where it does not divide their number a part of a step is left"
        f" over{likely}: write the cube with STRIDE 1"
    ), shorter.miss <= INTEGRAL_TOLERANCE


def _remedy(likely: Reading, now: tuple[str, str]) -> str:
    """What is to be done about units."""
    better = [unit for unit in likely[:2] if unit not in now]
    worse = [unit for unit in now if unit not in likely[:2]]
    meant = {"e": "e (density times volume)"}
    return (
        f"likely it is in {' and '.join(meant.get(unit, unit) for unit in better)}, which makes"
        f" {likely.electrons:.3f} of them: read it by --unit {' '.join(better)} (unit=), or, if it"
        f" is right as it is, by --unit {' '.join(worse)}"
    )


def _odd_name(density: Density, path: PathLike) -> str | None:
    """What the name of a file says, where nothing else says what it is."""
    if density.extra.get("spin") or density.extra.get("said"):
        return None
    named = quantity_named(path)
    if named is None or named.is_total:
        return None
    return (
        f"by its name {named.description}, taken as the total density: if it is not, say so by"
        f" --is {named.name} (holds=)"
    )


def _not_whole(electrons: float) -> str:
    return f"the density integrates to {electrons:.6g} electrons, not a whole number"


def _is_whole(electrons: float) -> bool:
    return abs(electrons - round(electrons)) <= INTEGRAL_TOLERANCE


def _is_nothing(density: Density, electrons: float) -> bool:
    """Whether an integral is zero, as far as grid and digits of a file can tell."""
    size = abs(electrons)
    return size <= INTEGRAL_TOLERANCE or (size < 1 and size <= NOTHING_SHARE * _size(density))


def _size(density: Density) -> float:
    """Integral of |rho|."""
    total = sum(float(abs(plane).sum()) for plane in by_planes(density.values))
    return total / density.values.size * density.volume


def _is_valence(electrons: float, density: Density) -> bool:
    protons = int(density.atoms.numbers.sum())
    return bool(0 < electrons <= protons * (1 + NUCLEI_TOLERANCE))
