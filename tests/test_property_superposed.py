# SPDX-License-Identifier: LGPL-3.0-or-later
"""Superposed atoms against direct sums, and features of compositions against hand and others."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from conftest import SHARED
from scipy.interpolate import CubicSpline
from scipy.spatial import cKDTree

from deepmd_charge import ChargeError, read_density
from deepmd_charge.property import superposed as module
from deepmd_charge.property.composition import COMPOSITION, composition_features
from deepmd_charge.property.field import SIGMA, Field
from deepmd_charge.property.superposed import free_atom, superposed, superposed_on
from deepmd_charge.saed import superposition

TABLE = dict(np.load(Path(module.__file__).parent / "tables" / "atomic_densities.npz"))
ELEMENTS = sorted(int(name.split("_")[1]) for name in TABLE if name.startswith("rho_"))


def radial(number, r):
    """A radial function of the table by straight lines between its logarithms."""
    rho = np.maximum(TABLE[f"rho_{number}"], 1e-30)
    return np.where(r < 12.0, np.exp(np.interp(r, TABLE["r"], np.log(rho))), 0.0)


def convolved(number, r):
    """The same at the resolution of invariants, by the convolution with a Gaussian in space."""
    x = np.linspace(0.0, 13.0, 6501)
    nodes = np.arange(0.002, 13.0, 0.02)
    apart, sum_ = nodes[:, None] - x, nodes[:, None] + x
    gauss = np.exp(-(apart**2) / (2 * SIGMA**2)) - np.exp(-(sum_**2) / (2 * SIGMA**2))
    values = gauss @ (x * radial(number, x)) * (x[1] - x[0]) / (nodes * SIGMA * np.sqrt(2 * np.pi))
    spline = CubicSpline(nodes, np.log(np.maximum(values, 1e-30)))
    return np.where(r < 12.5, np.exp(spline(np.clip(r, nodes[0], 12.5))), 0.0)


@pytest.mark.parametrize(
    "atoms",
    [
        bulk("NaCl", "rocksalt", a=5.64),
        bulk("Fe", "bcc", a=2.87),
        Atoms(
            "TiOCs",
            scaled_positions=[(0.1, 0.2, 0.3), (0.6, 0.5, 0.4), (0.3, 0.8, 0.9)],
            cell=[[5.1, 0.4, 0.0], [-0.8, 5.6, 0.3], [0.2, 1.1, 6.3]],
            pbc=True,
        ),
    ],
    ids=str,
)
def test_equals_a_direct_sum(atoms):
    """Of the table's radial functions, near nuclei and far from them."""
    field = Field(superposed(atoms, 0.15))
    # the grid begins elsewhere, so that the atoms are moved
    points = field.grid.points()[::311] + atoms.positions[0] - field.atoms.positions[0]
    reach = np.ceil(12.5 * np.linalg.norm(np.linalg.inv(atoms.cell.array), axis=0)).astype(int)
    shifts = itertools.product(*(range(-n - 2, n + 3) for n in reach))
    shifts = np.array(list(shifts)) @ atoms.cell.array
    total = np.zeros(len(points))
    for number, place in zip(atoms.numbers, atoms.positions, strict=True):
        found = cKDTree(points).sparse_distance_matrix(cKDTree(shifts + place), 12.5)
        pairs = found.tocoo()
        total += np.bincount(pairs.row, convolved(number, pairs.data), len(points))
    np.testing.assert_allclose(field.values.ravel()[::311], total, rtol=2e-4)


def test_form_factors_count_the_electrons_of_the_table():
    """Integrals of the table's own values, which miss the valence by 1.2e-4 at most."""
    for number in ELEMENTS:
        atom = free_atom(Atoms(numbers=[number]).get_chemical_symbols()[0])
        electrons = float(atom.form_factor(0.0))
        weight = 4 * np.pi * TABLE["r"] ** 2 * TABLE[f"rho_{number}"]
        assert electrons == pytest.approx(np.trapezoid(weight, TABLE["r"]), rel=1e-4), number
        assert electrons == pytest.approx(atom.valence, rel=1.2e-4), number
        # nothing is cut off at the end of the table
        assert weight[-1] * TABLE["r"][-1] < 1e-4 * electrons, number


def test_form_factors_by_another_quadrature():
    q = np.array([0.0, 0.7, 2.3, 6.1, 14.7, 33.3])
    r = np.linspace(0.0, 12.0, 40_001)
    for symbol in ("H", "O", "Fe", "Cs"):
        atom = free_atom(symbol)
        rho = radial(Atoms(symbol).numbers[0], r)
        exact = [np.trapezoid(4 * np.pi * r**2 * rho * np.sinc(k * r / np.pi), r) for k in q]
        np.testing.assert_allclose(atom.form_factor(q), exact, atol=2e-4 * atom.valence)


def test_electrons_of_a_crystal():
    atoms = bulk("TiC", "rocksalt", a=4.33)
    electrons = sum(float(free_atom(s).form_factor(0.0)) for s in ("Ti", "C"))
    assert superposed(atoms, 0.2).n_electrons == pytest.approx(electrons, rel=1e-10)


def test_on_the_grid_of_another():
    density = superposed(bulk("NaCl", "rocksalt", a=5.64), 0.2)
    moved = superposed_on(density)
    np.testing.assert_allclose(moved.values, density.values, atol=1e-12)
    step = density.atoms.cell.array[0] / density.shape[0]
    density.origin = step
    np.testing.assert_array_equal(superposed_on(density).origin, step)
    np.testing.assert_allclose(
        superposed_on(density).values, np.roll(density.values, -1, axis=0), atol=1e-10
    )


@pytest.mark.parametrize("symbol", ["Lr", "X"])
def test_elements_that_are_not_in_the_table(symbol):
    with pytest.raises(ChargeError, match=f"^{symbol}: the table of atomic densities has no such"):
        superposed(Atoms(symbol, cell=[4, 4, 4], pbc=True), 0.2)


@pytest.mark.parametrize("name", ["si/1", "al/1"])
def test_beside_the_potentials_of_a_run(name):
    """Atoms of other potentials are other near nuclei, and much the same between them."""
    folder = SHARED / "qe" / name
    files = [*folder.glob("*CHGCAR*"), *folder.glob("*.cube*")]
    if not files:
        pytest.skip(f"no {name} in {SHARED.name} beside the repository")
    density = read_density(files[0])
    own = superposition(density.atoms, density.shape, f"upf:{SHARED / 'qe' / 'pseudo'}", 60.0)
    mine = superposed_on(density)
    between = own.values < np.median(own.values)
    error = np.abs(mine.values - own.values)[between].mean() / own.values[between].mean()
    assert error < 0.15


def by_name(formula):
    values = composition_features(Atoms(formula))
    return dict(zip([feature.name for feature in COMPOSITION], values, strict=True))


def test_composition_by_hand():
    """Fe2O3: two fifths iron; NaCl: as much of both, and the mode is the smaller value."""
    found = by_name("Fe2O3")
    for name, iron, oxygen in (
        ("Number", 26.0, 8.0),
        ("AtomicWeight", 55.845, 15.9994),
        ("MeltingT", 1811.0, 54.8),
        ("CovalentRadius", 132.0, 66.0),
        ("Electronegativity", 1.83, 3.44),
    ):
        mean = 0.4 * iron + 0.6 * oxygen
        expected = {
            "minimum": min(iron, oxygen),
            "maximum": max(iron, oxygen),
            "range": abs(iron - oxygen),
            "mean": mean,
            "deviation": 0.4 * abs(iron - mean) + 0.6 * abs(oxygen - mean),
            "mode": oxygen,
        }
        for statistic, value in expected.items():
            assert found[f"{name}_{statistic}"] == pytest.approx(value), (name, statistic)
    found = by_name("NaCl")
    assert found["Number_mode"] == 11.0
    assert found["Electronegativity_mode"] == 0.93
    assert found["Number_mean"] == 14.0
    assert found["Number_deviation"] == 3.0
    assert found["MeltingT_range"] == pytest.approx(370.87 - 171.6)
    np.testing.assert_array_equal(list(by_name("Cl8Na8").values()), list(found.values()))


def test_what_the_table_does_not_know_is_nan():
    found = by_name("HeNa")
    assert np.isnan(found["MeltingT_mean"])
    assert np.isnan(found["Electronegativity_minimum"])
    assert found["Number_mean"] == 6.5


@pytest.mark.parametrize("formula, line", [("X", "X: MAGPIE's table"), ("", "there are no atoms")])
def test_compositions_that_have_no_features(formula, line):
    with pytest.raises(ChargeError, match=line):
        composition_features(Atoms(formula))


@pytest.mark.parametrize(
    "name, attribute, factor",
    [("Number", "Z", 1), ("AtomicWeight", "atomic_mass", 1), ("Electronegativity", "X", 1)],
)
def test_elements_of_pymatgen(name, attribute, factor):
    """Where it is installed: properties of elements that it has, too."""
    periodic_table = pytest.importorskip("pymatgen.core.periodic_table")
    for symbol in ("Li", "O", "Na", "Cl", "Fe", "Ga", "W"):
        value = float(getattr(periodic_table.Element(symbol), attribute)) * factor
        assert by_name(symbol)[f"{name}_mean"] == pytest.approx(value, rel=2e-3), symbol
