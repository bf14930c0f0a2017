# SPDX-License-Identifier: LGPL-3.0-or-later
r"""The radial table: superposed atomic densities in real space.

What is subtracted from the training data and what a model adds back is

.. math:: \rho_\mathrm{SAED}(\mathbf r) = \sum_j f_{z_j}(|\mathbf r - \mathbf R_j|)

with one function for each element: the density of the free atom, limited to the
waves of the run's density grid,

.. math:: f(r) = w(r) \frac1{2 \pi^2} \int_0^{q_c} F(q) \frac{\sin q r}{q r} q^2 \, dq .

A sharp edge at :math:`q_c` where F is not yet zero makes f oscillate like
:math:`F(q_c) \cos(q_c r) / r^2`, so that no reach is ever long enough; w, which
takes f to zero smoothly at the reach, cuts that off.

F is the resolved form factor, not the one that the code sums on the file's radial
mesh: at short waves that of a coarse mesh is the error of its quadrature. The
self-consistent density holds nothing like it, so that subtracting it would leave
ripples of wavelength :math:`2 \pi / q_c`, which no model can learn, in the rest.
"""

from __future__ import annotations

import hashlib
import os
import zipfile
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from ..atoms.free_atoms import AtomicDensity, FormFactor
from ..atoms.images import Images
from ..atoms.species import element_of
from ..errors import ChargeError
from ..io.output import replacing
from ..model.kernels.piecewise import piecewise_cubic
from ..typing import Floats, PathLike

if TYPE_CHECKING:
    from ase import Atoms

STEP = 0.002  # A
TAPER = 1.0  # A, the width of the smooth end of w
# Reaches to choose from (A), and how much worse than the longest the chosen one may be.
REACHES = np.arange(5.0, 8.1, 0.5)
_WORSE = 1.2
# What truncation may cost in any case, e/A^3, and the density of atoms (1/A^3) it is
# estimated for.
_COST = 1e-5
_CROWD = 0.06

# Densities of free atoms end about here, A.
_R_MAX = 6.0

# No table that is read reaches farther (A), nor is larger: all elements take 12 MB.
_MOST_REACH = 100.0
_MOST_BYTES = 1 << 26

# Points whose atoms are looked at together.
_BLOCK = 2048


class RadialTable:
    r"""Radial functions of elements as piecewise cubic polynomials.

    Parameters
    ----------
    functions : dict of str to np.ndarray
        (n, 4) coefficients in e/A^3 by element, in powers of t = r/STEP - k.
    source : str
        Where they come from: "upf", "potcar" or "fit".
    valence : dict of str to float
        Electrons of the neutral atom, as far as the source knows them.
    ecutrho : float or None
        Cutoff of \|G\|^2 in Ry.
    step : float
        Width of the intervals, A.
    """

    def __init__(
        self,
        functions: Mapping[str, Floats],
        source: str,
        valence: Mapping[str, float] | None = None,
        ecutrho: float | None = None,
        step: float = STEP,
    ) -> None:
        self.functions = dict(functions)
        self.source = source
        self.valence = dict(valence or {})
        self.ecutrho = ecutrho
        self.step = float(step)

    @property
    def reach(self) -> float:
        """float: Where the longest function ends, A."""
        return self.step * max((len(c) for c in self.functions.values()), default=0)

    def coefficients(self, types: Sequence[str]) -> Floats:
        """Stack the functions of the elements of types; those not in the table are zero.

        Parameters
        ----------
        types : sequence of str
            Elements, or names of types such as "Fe1" and "Fe2", which share a
            function: see :func:`deepmd_charge.atoms.species.element_of`.

        Returns
        -------
        np.ndarray
            (len(types), intervals, 4)
        """
        n = max((len(c) for c in self.functions.values()), default=1)
        stacked = np.zeros((len(types), n, 4))
        for row, element in zip(stacked, map(element_of, types), strict=True):
            if element in self.functions:
                row[: len(self.functions[element])] = self.functions[element]
        return stacked

    def electrons(self, element: str) -> float:
        """Integral of an element's function: 4 pi r^2 f, exactly for the polynomials."""
        c = self.functions[element]
        k = np.arange(len(c))
        x, weight = np.polynomial.legendre.leggauss(3)
        t = (x[:, None] + 1.0) / 2.0
        f = c[:, 0] + t * (c[:, 1] + t * (c[:, 2] + t * c[:, 3]))
        shells = 4.0 * np.pi * ((k + t) * self.step) ** 2 * f
        return float(weight @ shells.sum(axis=1)) * self.step / 2.0

    def total(self, atoms: Atoms) -> float:
        """Electrons of all atoms of a structure, each with its whole function."""
        counts = Counter(atoms.get_chemical_symbols())
        return sum(n * self.electrons(e) for e, n in counts.items())

    def evaluate(self, atoms: Atoms, points: Floats) -> Floats:
        """Superpose the functions at points.

        Parameters
        ----------
        atoms : ase.Atoms
            Structure, periodic along the axes of its ``pbc``.
        points : np.ndarray
            (n, 3) positions, A.

        Returns
        -------
        np.ndarray
            (n,) e/A^3.

        Raises
        ------
        ChargeError
            If the table lacks an element of the structure.
        """
        symbols = atoms.get_chemical_symbols()
        elements = list(dict.fromkeys(symbols))
        self.check(elements)
        coefficients = self.coefficients(elements)
        types = np.array([elements.index(s) for s in symbols])
        images = Images(atoms, types, self.reach)
        values = np.zeros(len(points))
        for start in range(0, len(points), _BLOCK):
            block = images.wrap(points[start : start + _BLOCK])
            values[start : start + _BLOCK] = superposed(images, block, self.step, coefficients)
        return values

    def check(
        self, types: Iterable[str], name: PathLike = "the table of superposed atomic densities"
    ) -> None:
        """Raise ChargeError unless the elements of all of these types are in the table."""
        elements = dict.fromkeys(element_of(kind) or kind for kind in types)
        if missing := [e for e in elements if e not in self.functions]:
            raise ChargeError(
                f"{name}: has {', '.join(self.functions)}, not {', '.join(missing)};"
                " make it with all elements of the data"
            )

    def digest(self) -> str:
        """What tells two tables apart: of their functions, whatever file they are in."""
        total = hashlib.sha256(np.float64(self.step).tobytes())
        for element, function in sorted(self.functions.items()):
            total.update(f"{element} {len(function)} ".encode())
            total.update(np.ascontiguousarray(function, dtype=np.float64).tobytes())
        return total.hexdigest()

    def save(self, path: PathLike) -> None:
        """Write the table to a ``saed.npz``."""
        elements = list(self.functions)
        with replacing(path) as temporary, open(temporary, "wb") as file:
            np.savez_compressed(
                file,
                source=self.source,
                step=self.step,
                elements=elements,
                coefficients=self.coefficients(elements),
                intervals=[len(c) for c in self.functions.values()],
                valence=[self.valence.get(e, np.nan) for e in elements],
                ecutrho=np.nan if self.ecutrho is None else self.ecutrho,
            )

    @classmethod
    def load(cls, path: PathLike) -> RadialTable:
        """Read a ``saed.npz``.

        Returns
        -------
        RadialTable
            Without functions where the source was a density file.

        Raises
        ------
        ChargeError
            If the file is missing or damaged.
        """
        path = os.fspath(path)
        again = "make it again with `deepmd-charge convert --saed`"
        try:
            table = cls._read(path)
        except FileNotFoundError:
            raise ChargeError(
                f"{path}: no such file; name the saed.npz that `deepmd-charge convert --saed` wrote"
            ) from None
        except Exception as error:  # zip, its compressions and numpy's headers have any of them
            what = " ".join(str(error).split())[:80]
            raise ChargeError(
                f"{path}: not a table of superposed atomic densities ({what}); {again}"
            ) from None
        functions = table.functions.values()
        good = all(c.shape[1:] == (4,) and len(c) and np.isfinite(c).all() for c in functions)
        if not (good and table.step > 0 and table.reach < _MOST_REACH):
            raise ChargeError(f"{path}: damaged; {again}")
        return table

    @classmethod
    def _read(cls, path: str) -> RadialTable:
        with zipfile.ZipFile(path) as packed:
            if sum(member.file_size for member in packed.infolist()) > _MOST_BYTES:
                raise ValueError("too large for one")
        with np.load(path, allow_pickle=False) as f:
            elements = [str(e) for e in f["elements"]]
            rows = zip(elements, f["coefficients"], f["intervals"], strict=True)
            functions = {e: np.array(c[:n], dtype=np.float64) for e, c, n in rows}
            if len(functions) < len(elements):
                raise ValueError("an element twice")
            known = zip(elements, f["valence"], strict=True)
            valence = {e: float(z) for e, z in known if np.isfinite(z)}
            ecutrho = float(f["ecutrho"])
            return cls(
                functions,
                str(f["source"]),
                valence,
                ecutrho if np.isfinite(ecutrho) else None,
                float(f["step"]),
            )


def superposed(images: Images, points: Floats, step: float, coefficients: Floats) -> Floats:
    """Superpose tabulated functions at points.

    Parameters
    ----------
    images : Images
        The atoms, with images as far as the table reaches; their types are rows of it.
    points : np.ndarray
        (n, 3) wrapped positions, A.
    step : float
        Width of the intervals, A.
    coefficients : np.ndarray
        (functions, intervals, 4), e/A^3.

    Returns
    -------
    np.ndarray
        (n,) e/A^3.
    """
    which, atom, r = images.pairs(points, step * coefficients.shape[1])
    f = piecewise_cubic(np, r, images.types[atom], step, coefficients)
    # weighted counts, which numpy's hints take for whole ones
    return np.bincount(which, f, minlength=len(points)).astype(np.float64, copy=False)


@dataclass(frozen=True)
class Cost:
    """Root mean squares of what a table leaves out, for 0.06 atoms in a cubic angstrom at random.

    Attributes
    ----------
    truncation : float
        Of what lies beyond the reach, e/A^3.
    total : float
        Of the distance to the plane-wave code's own superposition, e/A^3: its
        form factor, all its waves, no end.
    """

    truncation: float
    total: float


def band_limited(density: AtomicDensity, q_max: float) -> tuple[Floats, Cost]:
    """Tabulate the band-limited density of an atom.

    Parameters
    ----------
    density : AtomicDensity
    q_max : float
        The largest wave number, 1/A.

    Returns
    -------
    coefficients : np.ndarray
        (n, 4), which end at one of ``REACHES``.
    cost : Cost
        What that differs from.
    """
    r = np.arange(0.0, REACHES[-1] + 4.0 + STEP / 2, STEP)
    f, own = (_to_real_space(F, q_max, r) for F in (density.resolved, density.form_factor))
    shells = 4.0 * np.pi * r**2 * STEP * _CROWD

    def rms(part: Floats, whole: Floats) -> float:
        # beyond the last of r a tail that falls like 1/r^2 has twice what it has from 8 to 12 A
        rest = 2.0 * np.sum((shells * whole**2)[r > REACHES[-1]])
        return float(np.sqrt(np.sum(shells * (whole - part) ** 2) + rest))

    costs = np.array([rms(f * window(r, reach), f) for reach in REACHES])
    good = costs <= max(_COST, _WORSE * costs[-1])
    chosen = int(np.argmax(good))
    table = f * window(r, REACHES[chosen])
    return spline(f, REACHES[chosen]), Cost(float(costs[chosen]), rms(table, own))


def window(r: Floats, reach: float) -> Floats:
    """The factor w(r): 1, then the smooth step of fifth order over ``TAPER``, then 0."""
    u = np.clip((r - reach + TAPER) / TAPER, 0.0, 1.0)
    return 1.0 - u**3 * (10.0 - 15.0 * u + 6.0 * u**2)


def spline(f: Floats, reach: float) -> Floats:
    """Make coefficients (n, 4) of values f at 0, STEP, 2 STEP, ..., tapered at the reach."""
    from scipy.interpolate import CubicSpline

    n = round(reach / STEP)
    k = np.arange(n + 1)
    values = f[: n + 1] * window(k * STEP, reach)
    return CubicSpline(k, values, bc_type=((1, 0.0), (1, 0.0))).c[::-1].T.copy()


def _to_real_space(form_factor: FormFactor, q_max: float, r: Floats) -> Floats:
    """f(r) in e/A^3: the sine integral by Gauss-Legendre, exact to rounding."""
    # panels in which the integrand, with wiggles up to sin(2 q r), is smooth
    panels = max(8, int(q_max * (r[-1] + _R_MAX) / 8.0))
    x, weight = np.polynomial.legendre.leggauss(16)
    width = q_max / panels
    q = ((np.arange(panels)[:, None] + (x + 1.0) / 2.0) * width).reshape(-1)
    weight = np.tile(weight * width / 2.0, panels) * q**2 * form_factor(q) / (2.0 * np.pi**2)
    f = np.empty(len(r))
    for start in range(0, len(r), _BLOCK):
        part = slice(start, start + _BLOCK)
        f[part] = np.sinc(np.outer(r[part], q) / np.pi) @ weight
    return f
