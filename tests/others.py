# SPDX-License-Identifier: LGPL-3.0-or-later
"""Cubes in the forms of other programs, of densities that are known in closed form."""

import itertools

import numpy as np
from ase.units import Bohr

from deepmd_charge.units import PER_BOHR3

BOHR = Bohr


def points(cell, shape, origin=(0, 0, 0)):
    """Positions (..., 3) of a grid of one period."""
    fractional = np.stack(np.meshgrid(*(np.arange(n) / n for n in shape), indexing="ij"), -1)
    return fractional @ np.asarray(cell, float) + origin


def exponential(positions, electrons, where, decay=2.2, cell=None):
    """Density of exponential atoms, e/A^3; with a cell that of all their images.

    Exponential tails reach as far as those of molecules do, and are as rough at nuclei.
    """
    reach = range(-3, 4) if cell is not None else (0,)
    total = np.zeros(where.shape[:-1])
    for shift in itertools.product(reach, repeat=3):
        for position, n in zip(positions, electrons, strict=True):
            centre = position if cell is None else position + np.array(shift) @ cell
            r = np.linalg.norm(where - centre, axis=-1)
            total += n * decay**3 / (8 * np.pi) * np.exp(-decay * r)
    return total


def gaussians(positions, electrons, cell, shape, origin=(0, 0, 0), width=0.55):
    """Density of periodic Gaussian atoms, e/A^3, whose sum over a grid is whole to 1e-6."""
    where, total = points(cell, shape, origin), 0.0
    for shift in itertools.product(range(-2, 3), repeat=3):
        for position, n in zip(positions, electrons, strict=True):
            r2 = ((where - position - np.array(shift) @ cell) ** 2).sum(-1)
            total = total + n * np.exp(-r2 / (2 * width**2)) / (2 * np.pi * width**2) ** 1.5
    return total


def write_cube(path, numbers, positions, values, cell, origin=(0, 0, 0), comment="a\nb", **form):
    """Write a cube with six columns of 6E13.5, as most programs do.

    ``unit`` is what lengths are divided by (Bohr, or 1 for A), ``sign`` that of the numbers of
    points, ``scale`` what densities are divided by, ``labels`` and ``n_sets`` go with several
    datasets (on the last axis of the values), ``number`` prints those of the header.
    """
    unit, sign, scale = form.get("unit", BOHR), form.get("sign", 1), form.get("scale", PER_BOHR3)
    number = form.get("number", "{:12.6f}".format)
    labels, n_sets = form.get("labels"), form.get("n_sets")
    values = np.asarray(values)
    shape = values.shape[:3]

    def line(count, numbers):
        return f"{count:5d}" + " ".join(["", *(number(x) for x in numbers)])

    lines = comment.split("\n")
    lines.append(line(-len(numbers) if labels else len(numbers), np.divide(origin, unit)))
    lines[-1] += f"{n_sets:5d}" if n_sets else ""
    lines += [
        line(sign * n, row / n / unit)
        for n, row in zip(shape, np.asarray(cell, float), strict=True)
    ]
    lines += [line(z, [z, *np.divide(p, unit)]) for z, p in zip(numbers, positions, strict=True)]
    lines += ["".join(f"{word:5d}" for word in labels)] if labels else []
    for row in (values / scale).reshape(shape[0] * shape[1], -1):
        lines += ["".join(f"{x:13.5E}" for x in row[k : k + 6]) for k in range(0, len(row), 6)]
    path.write_text("\n".join(lines) + "\n")
    return path
