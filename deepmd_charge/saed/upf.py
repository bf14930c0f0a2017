# SPDX-License-Identifier: LGPL-3.0-or-later
"""UPF pseudopotentials (versions 1 and 2): the density of the free pseudo-atom.

``PP_RHOATOM`` holds 4 pi r^2 rho(r) in electrons per bohr on the radial mesh
``PP_R`` (bohr), of which ``PP_RAB`` is the derivative dr/di by the index.

A mesh may be too coarse for short waves: at 3 bohr that of Al.pz-vbc.UPF (171
points) has steps of 0.19 bohr, where the waves of 80 Ry are 0.70 bohr long.
Quantum ESPRESSO's sum over it then has a form factor of 1e-3 electrons where the
atom's own, which a spline through the mesh gives, is 5e-5.
"""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np

from ..atoms.free_atoms import AtomicDensity, FormFactor
from ..errors import ChargeError
from ..typing import Floats, PathLike
from ..units import BOHR

# Quantum ESPRESSO integrates the radial mesh up to here (bohr), whatever it holds.
R_MAX = 10.0
# Of Simpson's rule (bohr) where waves are to be resolved: those of 900 Ry have 40 points.
STEP = 0.005

_TABLES = ("PP_R", "PP_RAB", "PP_RHOATOM")


def find_upf(folder: PathLike) -> dict[str, list[Path]]:
    """Find the pseudopotentials of a folder.

    Parameters
    ----------
    folder : str or Path
        Folder of .UPF files, or one such file.

    Returns
    -------
    dict of str to list of Path
        Files by element.

    Raises
    ------
    ChargeError
        If there is none, or one cannot be read.
    """
    folder = Path(folder)
    if folder.is_file():
        files = [folder]
    else:
        files = sorted(f for f in folder.glob("*") if f.suffix.lower() == ".upf" and f.is_file())
    if not files:
        raise ChargeError(f"{folder}: no .UPF file; give the folder of the run's pseudopotentials")
    found: dict[str, list[Path]] = {}
    for file in files:
        found.setdefault(_element(_text(file), file), []).append(file)
    return found


def read_upf(path: PathLike) -> AtomicDensity:
    """Read the density of the free pseudo-atom.

    Parameters
    ----------
    path : str or Path
        UPF file of version 1 or 2.

    Returns
    -------
    AtomicDensity
        With the form factor that Quantum ESPRESSO computes: Simpson's rule on
        the file's own mesh, up to an odd number of points just beyond 10 bohr;
        and the resolved one, of a cubic spline through the same points.

    Raises
    ------
    ChargeError
        If the file is damaged, or holds no atomic density.
    """
    path = Path(path)
    text = _text(path)
    element = _element(text, path)
    r, rab, rho = (_table(text, name, path) for name in _TABLES)
    if not len(r) == len(rab) == len(rho) >= 3:
        raise ChargeError(
            f"{path}: PP_R, PP_RAB and PP_RHOATOM have {len(r)}, {len(rab)} and {len(rho)} values,"
            " not equally many: copy the file again"
        )
    if not rho.any():
        raise ChargeError(f"{path}: PP_RHOATOM is zero everywhere; take a potential that has it")
    n = _n_points(r)
    _check_mesh(r[:n], path)
    on_mesh = _form_factor(r[:n], integration_weights(r, rab) * rho[:n])
    resolved = _form_factor(*_resolve(r[:n], rho[:n]))
    atom = AtomicDensity(element, _valence(text, path), on_mesh, exact=resolved)
    _check_electrons(atom, path)
    return atom


def element_and_valence(text: str, path: Path) -> tuple[str, float, str]:
    """Element, valence electrons and head of the text of a UPF file.

    Raises
    ------
    ChargeError
        If it is none.
    """
    return _element(text, path), _valence(text, path), _header(text)


def _check_mesh(r: Floats, path: Path) -> None:
    """Refuse radii in which a number is damaged."""
    if not (r[0] >= 0.0 and (np.diff(r) > 0).all()):
        raise ChargeError(f"{path}: PP_R does not increase from 0: copy the file again")
    if len(r) < 3 or r[-1] > 2.0 * R_MAX:
        raise ChargeError(
            f"{path}: of PP_R {len(r)} points are used, up to {r[-1]:g} bohr, where many up to"
            f" about {R_MAX:g} bohr are due: copy the file again"
        )


def _check_electrons(atom: AtomicDensity, path: Path) -> None:
    """Refuse a density that no atom has, whichever of its numbers is damaged."""
    from ase.data import atomic_numbers

    most = atomic_numbers[atom.element] + 1
    for form_factor in (atom.form_factor, atom.resolved):
        electrons = form_factor(np.zeros(1))[0]
        if not 0.0 < electrons <= most:
            raise ChargeError(
                f"{path}: PP_RHOATOM holds {electrons:g} electrons, {atom.element} has 0 to {most}:"
                " copy the file again"
            )


def integration_weights(r: Floats, rab: Floats) -> Floats:
    """Simpson's weights times dr/di on the part of a mesh up to 10 bohr.

    Parameters
    ----------
    r, rab : np.ndarray
        (n,) radii in bohr, and their derivatives by the index.

    Returns
    -------
    np.ndarray
        An odd number of weights, at most n.
    """
    n = _n_points(r)
    return _simpson(n) * rab[:n]


def _form_factor(r: Floats, charges: Floats) -> FormFactor:
    """The form factor of thin shells: radii in bohr, electrons of each."""
    r = r * BOHR

    def form_factor(q: Floats) -> Floats:
        return np.array([charges @ np.sinc(w / np.pi * r) for w in np.atleast_1d(q)])

    return form_factor


def _resolve(r: Floats, rho: Floats) -> tuple[Floats, Floats]:
    """Radii (bohr) and electrons of thin shells, from a spline through a mesh."""
    from scipy.interpolate import CubicSpline

    n = 2 * math.ceil((r[-1] - r[0]) / (2.0 * STEP)) + 1
    fine, step = np.linspace(r[0], r[-1], n, retstep=True)
    return fine, _simpson(n) * step * CubicSpline(r, rho)(fine)


def _simpson(n: int) -> Floats:
    """Simpson's weights of an odd number of points at distance 1."""
    weights = np.full(n, 2.0)
    weights[1::2] = 4.0
    weights[[0, -1]] = 1.0
    return weights / 3.0


def _n_points(r: Floats) -> int:
    """Points up to the first one beyond R_MAX, made odd by leaving out at most one."""
    beyond = np.flatnonzero(r > R_MAX)
    n = int(beyond[0]) + 1 if len(beyond) else len(r)
    return (n + 1) // 2 * 2 - 1


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError as error:
        raise ChargeError(f"{path}: {error.strerror}") from None


def _element(text: str, path: Path) -> str:
    """The element: an attribute in version 2, a line in version 1."""
    from ase.data import atomic_numbers

    header = _header(text)
    match = re.search(r"\belement\s*=\s*[\"']\s*(\w+)", header) or re.search(
        r"^[ \t]*([A-Za-z]{1,2})[ \t]+Element", header, re.M
    )
    name = match[1].capitalize() if match else ""
    if atomic_numbers.get(name, 0) < 1:
        raise ChargeError(f"{path}: no element in PP_HEADER; is this a UPF file?")
    return name


def _valence(text: str, path: Path) -> float:
    header = _header(text)
    match = re.search(r"\bz_valence\s*=\s*[\"']\s*([-+.\dEeDd]+)", header) or re.search(
        r"^[ \t]*([-+.\dEeDd]+)[ \t]+Z valence", header, re.M
    )
    try:
        valence = float(match[1].translate(_EXPONENT)) if match else math.nan
    except ValueError:
        valence = math.nan
    if not math.isfinite(valence):
        raise ChargeError(f"{path}: no valence (z_valence) in PP_HEADER: copy it again")
    return valence


def _header(text: str) -> str:
    """What stands in PP_HEADER: attributes of the tag in version 2, lines in version 1."""
    rest = text.partition("<PP_HEADER")[2]
    return re.split("/>|</PP_HEADER>", rest, maxsplit=1)[0]


_EXPONENT = str.maketrans("Dd", "Ee")  # Fortran's


def _table(text: str, name: str, path: Path) -> Floats:
    start = re.search(rf"<{name}(?=[\s>])", text)
    rest = text[start.end() :].partition(">")[2] if start else ""
    body, end, _ = rest.partition(f"</{name}>")
    if not end:
        raise ChargeError(f"{path}: no {name}; give a UPF file with an atomic density (PP_RHOATOM)")
    words = re.finditer(r"\S+", body.translate(_EXPONENT))
    try:
        values = np.fromiter((float(word[0]) for word in words), dtype=float)
    except ValueError as error:
        raise ChargeError(f"{path}: {name} holds what is no number ({str(error)[:80]})") from None
    if not np.isfinite(values).all():
        raise ChargeError(f"{path}: {name} holds values that are not finite: copy it again")
    return values
