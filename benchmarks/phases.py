# SPDX-License-Identifier: LGPL-3.0-or-later
"""Phases of silicon, in supercells whose atoms are rattled independently of one another."""

from dataclasses import dataclass

import numpy as np
from ase.build import make_supercell
from ase.geometry import minkowski_reduce
from ase.spacegroup import crystal

RATTLE = 0.05  # A, standard deviation of each coordinate
# Largest distance of k points along a reciprocal vector, 1/A (2 pi included): of metals, of others.
K_SPACINGS = {True: 0.6, False: 0.75}
# Of the lengths of the cell in turn: of the volume 0, -2 and 2%.
STRAINS = [volume ** (1 / 3) for volume in (1.0, 0.98, 1.02)]


@dataclass(frozen=True)
class Phase:
    """A crystal structure of silicon and how it is computed.

    Attributes
    ----------
    spacegroup, setting : int
    cell : tuple
        Lengths (A) and angles (degrees) of the conventional cell.
    basis : list of tuple
        Fractional coordinates of the independent atoms.
    repeats : int
        Primitive cells in the supercell.
    metal : bool
        In the self-consistent calculation, by the pressure at which it is stable.
    neighbours : int
        Of each atom within 2.65 A.
    learn : bool
        Whether models learn from it; the others are not seen before the end.
    """

    spacegroup: int
    cell: tuple[float, float, float, float, float, float]
    basis: list[tuple[float, float, float]]
    repeats: int
    learn: bool
    metal: bool = False
    neighbours: int = 4
    setting: int = 1

    @property
    def primitive(self):
        """ase.Atoms: The primitive cell, atoms at their places."""
        return crystal(
            ["Si"] * len(self.basis),
            self.basis,
            spacegroup=self.spacegroup,
            setting=self.setting,
            cellpar=self.cell,
            primitive_cell=True,
        )


# The split was fixed before any model was trained.
PHASES = {
    "diamond": Phase(227, (5.43, 5.43, 5.43, 90, 90, 90), [(0, 0, 0)], 8, True),
    "hexagonal diamond": Phase(
        194, (3.84, 3.84, 6.28, 90, 90, 120), [(1 / 3, 2 / 3, 1 / 16)], 4, True
    ),
    "beta-tin": Phase(
        141, (4.69, 4.69, 2.58, 90, 90, 90), [(0, 0, 0)], 8, True, True, neighbours=6
    ),
    "BC8": Phase(206, (6.64, 6.64, 6.64, 90, 90, 90), [(0.1003, 0.1003, 0.1003)], 2, True),
    "R8": Phase(
        148,
        (5.74, 5.74, 5.74, 110, 110, 110),
        [(0.2922, 0.2922, 0.2922), (0.4597, -0.0353, 0.2641)],
        2,
        True,
        setting=2,
    ),
    "4H": Phase(
        194,
        (3.84, 3.84, 12.56, 90, 90, 120),
        [(0, 0, 3 / 32), (1 / 3, 2 / 3, 5 / 32)],
        3,
        False,
    ),
    "ST12": Phase(
        96,
        (5.69, 5.69, 6.79, 90, 90, 90),
        [(0.0912, 0.0912, 0), (0.1730, 0.3784, 0.2486)],
        1,
        False,
    ),
    "clathrate I": Phase(
        223,
        (10.2, 10.2, 10.2, 90, 90, 90),
        [(0.25, 0, 0.5), (0.1847, 0.1847, 0.1847), (0, 0.3077, 0.1173)],
        1,
        False,
    ),
    "clathrate II": Phase(
        227,
        (14.7, 14.7, 14.7, 90, 90, 90),
        [(1 / 8, 1 / 8, 1 / 8), (0.2172, 0.2172, 0.2172), (0.1825, 0.1825, 0.3708)],
        1,
        False,
        setting=2,
    ),
    "simple hexagonal": Phase(
        191, (2.55, 2.55, 2.39, 90, 90, 120), [(0, 0, 0)], 8, False, True, neighbours=8
    ),
}


def structure(name, number, most_atoms=1000):
    """Structure 1, 2, ... of a phase: its supercell, strained and rattled."""
    primitive = PHASES[name].primitive
    repeats = min(PHASES[name].repeats, most_atoms // len(primitive))
    atoms = roundest(primitive, repeats)
    strain = STRAINS[(number - 1) % len(STRAINS)]
    atoms.set_cell(strain * atoms.cell.array, scale_atoms=True)
    rng = np.random.default_rng([list(PHASES).index(name), number])
    atoms.positions += rng.normal(scale=RATTLE, size=atoms.positions.shape)
    return atoms


def roundest(primitive, repeats):
    """The supercell of some primitive cells in which atoms are farthest from their images."""
    cells = [matrix @ primitive.cell.array for matrix in supercells(repeats)]
    apart = [image_distance(cell) for cell in cells]
    # the first of those that differ by rounding alone
    best = next(k for k, distance in enumerate(apart) if distance > max(apart) - 1e-6)
    reduced, _ = minkowski_reduce(cells[best])
    if np.linalg.det(reduced) < 0:
        reduced = -reduced
    matrix = np.rint(reduced @ np.linalg.inv(primitive.cell.array)).astype(int)
    return make_supercell(primitive, matrix)


def supercells(repeats):
    """All sublattices of that index: integer matrices (3, 3) in Hermite's normal form."""
    divisors = [n for n in range(1, repeats + 1) if repeats % n == 0]
    for a in divisors:
        for b in divisors:
            if repeats % (a * b):
                continue
            c = repeats // (a * b)
            for x, y, z in np.ndindex(b, c, c):
                yield np.array([[a, x, y], [0, b, z], [0, 0, c]])


def image_distance(cell):
    """The shortest distance between an atom and its image, A."""
    return float(np.linalg.norm(minkowski_reduce(cell)[0], axis=1).min())


def k_mesh(cell, metal):
    """Numbers of k points along the reciprocal vectors."""
    lengths = 2 * np.pi * np.linalg.norm(np.linalg.inv(cell), axis=0)
    return [int(np.ceil(length / K_SPACINGS[metal] - 1e-6)) for length in lengths]
