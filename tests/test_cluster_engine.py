# SPDX-License-Identifier: LGPL-3.0-or-later
"""The compiled engine of se_cluster against its equations, and against itself."""

import gc
import gzip
import warnings
import weakref
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from hypothesis import given, settings
from hypothesis import strategies as st

from deepmd_charge import ChargeModel
from deepmd_charge.atoms.images import Images
from deepmd_charge.engine import se_cluster
from deepmd_charge.engine.compiler import Machine, Program
from deepmd_charge.engine.engine import Engine
from deepmd_charge.engine.lanes import grouped
from deepmd_charge.grid.blocks import Blocks, Parts
from deepmd_charge.grid.grid import Grid
from deepmd_charge.model import reference
from deepmd_charge.model.neighbors import list_of_images, neighbors
from deepmd_charge.model.spec import ModelSpec
from deepmd_charge.model.weights import COEFFICIENTS, STEP, Weights, shapes
from deepmd_charge.predict.field import Field
from deepmd_charge.predict.parallel.blocks import BlockFunction, evaluate_blocks

# |d| <= TOLERANCE * max(1 e/A^3, |rho|)
TOLERANCE = {"float32": 1e-5, "float64": 1e-9}
SMALL = {"rcut": 3.0, "rcut_env": 3.5, "n_radial": 5, "n_radial_env": 3, "lmax": 2, "n_channel": 4}
CELL = np.array([[5.2, 0.0, 0.0], [0.7, 4.8, 0.0], [-0.9, 1.1, 5.5]])


def model(descriptor=None, type_map=("Si", "C", "X"), seed=0, superposed=False):
    """A model with weights at random, whose densities are of order 1 e/A^3."""
    descriptor = dict(descriptor or {})
    net = {"type": "charge", "neuron": descriptor.pop("neuron", [])}
    spec = ModelSpec.from_dict(
        {
            "type_map": list(type_map),
            "descriptor": {"type": "se_cluster", **SMALL, **descriptor},
            "fitting_net": net,
        }
    )
    rng = np.random.default_rng(seed)
    arrays = {}
    for name, shape in shapes(spec).items():
        arrays[name] = rng.normal(size=shape)
        if ".components" in name or "output" in name:
            arrays[name] *= 0.3
        if name == "gate.scale":
            arrays[name] = 1.0 + np.abs(arrays[name])
    # as many atoms as fill space at 20 A^3 each
    number = 0.05 / len(spec.elements) * 4.0 * np.pi * spec.descriptor.rcut**3 * 16.0 / 315.0
    for end, factor in (("low", 0.8), ("high", 1.2)):
        arrays[f"neighbor_range.{end}"] = np.full(len(spec.elements), factor * number)
    arrays = {name: array.astype(spec.descriptor.dtype) for name, array in arrays.items()}
    if superposed:
        arrays[STEP] = np.array(0.1)
        arrays[COEFFICIENTS] = rng.normal(size=(len(spec.elements), 20, 4))
    # unit variance among some atoms
    unit = np.std(exact(spec, Weights(spec, arrays), *scene(spec, crystal(spec), 30), total=False))
    arrays["contribution.coefficients"] /= arrays["contribution.coefficients"].dtype.type(unit)
    return spec, Weights(spec, arrays)


def crystal(spec, seed=8):
    """Eight atoms in a skew cell that is smaller than the cutoffs."""
    rng = np.random.default_rng(seed)
    symbols = [spec.type_map[t] for t in rng.choice(spec.elements, 8)]
    sites = np.moveaxis(np.indices([2, 2, 2]), 0, -1).reshape(-1, 3) / 2
    places = (sites + rng.uniform(-0.1, 0.1, (8, 3))) @ CELL
    return Atoms(symbols, places, cell=CELL, pbc=True)


def images_of(spec, atoms):
    types = np.array([spec.type_map.index(s) for s in atoms.get_chemical_symbols()], dtype=int)
    reach = spec.descriptor.reach
    return Images(atoms, types, reach)


def scene(spec, atoms, n=40, seed=5):
    """Images, and wrapped points between, near and on the atoms."""
    rng = np.random.default_rng(seed)
    images = images_of(spec, atoms)
    spread = rng.uniform(-1.5, 2.5, size=(n, 3)) @ atoms.cell.complete().array
    away = rng.normal(size=(len(atoms), 3)) * 10.0 ** rng.uniform(-4, 0, (len(atoms), 1))
    points = np.concatenate([spread, atoms.positions, atoms.positions + away])
    return images, images.wrap(points)


def exact(spec, weights, images, points, total=True):
    """The equations, (n,), in float64."""
    if not total:
        learnt = {n: w for n, w in weights.items() if n not in (STEP, COEFFICIENTS)}
        weights = Weights(spec, learnt)
    weights = weights.map(lambda array: np.asarray(array, np.float64))
    near = list_of_images(spec, images, points, spec.descriptor.rcut)
    with np.errstate(over="ignore"):  # of activation functions
        return reference.evaluate(spec, weights, *near, len(points))[0]


def assert_equal(found, expected, precision):
    error = np.abs(found - expected) / np.maximum(1.0, np.abs(expected))
    assert error.max() <= TOLERANCE[precision]


# against the equations

SETTINGS = {
    **{
        f"{radial}, lmax {lmax}": {"radial": radial, "lmax": lmax, "n_radial": 12, "core": 0.4}
        for lmax in range(7)
        for radial in (["bessel", "chebyshev"][lmax % 2 :] if lmax < 6 else ["chebyshev"])
    },
    "defaults": {
        "rcut": 5.0,
        "rcut_env": 6.5,
        "radial": "bessel",
        "n_radial": 15,
        "n_radial_env": 8,
        "lmax": 6,
        "n_channel": 12,
    },
    "order 0": {"order": 0, "radial": "chebyshev"},
    "order 2": {"order": 2, "lmax": 3, "n_product": 3, "lmax_product": 2},
    "order 3": {
        "order": 3,
        "lmax": 3,
        "n_product": 3,
        "n_radial_env_product": 3,
        "lmax_product": 2,
        "lmax_triple": 2,
        "n_component": 5,
        "n_triple": 3,
        "n_component_triple": 4,
        "n_radial_product": 4,
        "rcut_product": 4.5,
    },
    "order 3 of few l": {"order": 3, "lmax": 6, "lmax_product": 2, "lmax_triple": 1},
    "order 3, exact electrons": {"order": 3, "electrons": "exact"},
    "exact electrons": {"electrons": "exact", "n_transfer": 2},
    "net": {"order": 2, "neuron": [8, 16]},
    "net, exact electrons": {"order": 3, "electrons": "exact", "neuron": [8]},
    "one function": {"n_radial": 1, "n_radial_env": 1, "n_channel": 1, "lmax": 4},
    "45 functions": {"n_radial": 45, "lmax": 1},
    "eps": {"eps": 1e-2, "lmax": 3},
    "a wide reach": {"rcut": 2.0, "rcut_env": 6.5},
    "a narrow reach": {"rcut": 6.5, "rcut_env": 1.0},
}


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("setting", SETTINGS)
def test_engine_is_the_equations(setting, precision):
    spec, weights = model({**SETTINGS[setting], "precision": precision})
    engine = Engine(spec, weights)
    assert engine.precision == precision
    images, points = scene(spec, crystal(spec))
    expected = exact(spec, weights, images, points)
    assert expected.std() > 0.3
    found = engine.density(images, points)
    assert_equal(found, expected, precision)
    assert (np.abs(found - expected).max() > 1e-9) == (precision == "float32")


ELEMENTS = {
    1: ["Si", "X"],
    2: ["X", "O", "Si"],
    3: ["Si", "X", "C", "O"],
    4: ["H", "C", "N", "O", "X"],
    20: [*"HBCNOFXPSK", "He", "Li", "Be", "Ne", "Na", "Mg", "Al", "Si", "Cl", "Ar", "Ca"],
}


@pytest.mark.parametrize("n", ELEMENTS)
def test_elements(n):
    spec, weights = model({"order": 2}, ELEMENTS[n], seed=n)
    images, points = scene(spec, crystal(spec))
    engine = Engine(spec, weights)
    assert_equal(engine.density(images, points), exact(spec, weights, images, points), "float32")


@pytest.fixture(scope="module", params=["float32", "float64", "float64, net"])
def compiled(request):
    precision, *net = request.param.split(", ")
    spec, weights = model({"order": 2, "precision": precision, "neuron": [8] if net else []})
    return Engine(spec, weights), spec, weights


def dilute(symbols, cell, seed, **more):
    """Atoms at random in a cell, some far outside it."""
    places = np.random.default_rng(seed).uniform(-3.0, 4.0, (len(symbols), 3))
    return Atoms(symbols, places @ np.reshape(cell, (3, 3)), cell=cell, **more)


STRUCTURES = {
    "skew": dilute(["Si"] * 4 + ["C"] * 3, [[5, 0, 0], [4, 4, 0], [-3, 2, 5]], 1, pbc=True),
    "smaller than the cutoffs": dilute(
        ["Si", "C"], [[2.4, 0, 0], [0.3, 2.2, 0], [1, 0, 2]], 2, pbc=1
    ),
    "left-handed": dilute(["Si"] * 3, [[0, 4, 0], [5, 0, 0], [0, 0, 4]], 3, pbc=True),
    "slab": dilute(["Si", "C"] * 3, [[4, 0, 0], [1, 4, 0], [0, 0, 9]], 4, pbc=(1, 1, 0)),
    "wire": dilute(["Si", "C", "C"], [[9, 0, 0], [0, 3, 0], [0, 2, 9]], 5, pbc=(0, 1, 0)),
    "open": dilute(["Si"] * 2 + ["C"] * 4, [[6, 0, 0], [0, 6, 0], [0, 0, 6]], 6, pbc=False),
    "molecule": Atoms("SiC2", [[0, 0, 0], [1.8, 0, 0], [0.3, -40.0, 0.2]]),
    "one atom": Atoms("C", [[0.2, 0.1, 0.3]]),
    "one atom in a cell": Atoms("C", [[9.0, -8.0, 0.3]], cell=[3, 3.5, 20], pbc=True),
    "no atoms": Atoms(cell=[4, 4, 4], pbc=True),
    "two atoms in a place": Atoms("CSi", [[1, 1, 1], [1, 1, 1]], cell=[4, 4, 4], pbc=True),
}


@pytest.mark.parametrize("name", STRUCTURES)
def test_structures(compiled, name):
    engine, spec, weights = compiled
    images, points = scene(spec, STRUCTURES[name])
    expected = exact(spec, weights, images, points)
    found = engine.density(images, points)
    assert_equal(found, expected, engine.precision)
    around = neighbors(spec, *list_of_images(spec, images, points, spec.descriptor.rcut))
    novelty = reference.novelty(spec, weights, around.first(len(points)))[0]
    assert engine.novelty(images, points) == pytest.approx(novelty, abs=1e-5)


def test_far_from_everything_there_is_nothing(compiled):
    engine, spec, weights = compiled
    images = images_of(spec, STRUCTURES["molecule"])
    far = np.array([[50.0, 0, 0], [1e9, 1e9, -1e9], [1e300, 0, 0], [0.1, 0.2, 0.3]])
    values = engine.density(images, far)
    assert (values[:3] == 0.0).all()
    assert_equal(values[3:], exact(spec, weights, images, far[3:]), engine.precision)
    for point, value in zip(far, values, strict=True):
        assert engine.density(images, point[None])[0] == value


@pytest.mark.parametrize("radial", ["bessel", "chebyshev"])
@pytest.mark.parametrize("rcut", [2.3, 3.3, 3.7, 4.6])
def test_beyond_the_cutoff_there_is_nothing(radial, rcut):
    """To the last bit, or the points beside one would tell."""
    spec, weights = model({"radial": radial, "rcut": rcut})
    engine, images = Engine(spec, weights), images_of(spec, STRUCTURES["one atom"])
    away = rcut + np.linspace(-0.05, 0.2, 251)
    points = images.positions[0] + away[:, None] * [0.6, 0.0, 0.8]
    values = engine.density(images, points)
    assert np.array_equal(values != 0.0, away < rcut - 1e-6)


def test_atoms_may_be_given_by_any_of_their_images(compiled):
    engine, spec, _ = compiled
    atoms = crystal(spec)
    images, points = scene(spec, atoms)
    expected = engine.density(images, points)
    atoms.positions += np.random.default_rng(0).integers(-5, 5, (len(atoms), 3)) @ CELL
    found = engine.density(images_of(spec, atoms), points)
    close = {"float32": 1e-5, "float64": 1e-11}[engine.precision]
    assert found == pytest.approx(expected, abs=close)


def test_a_shift_of_everything_changes_nothing(compiled):
    """What is at a border of the cell, of a bin, or of a tile does not matter."""
    engine, spec, _ = compiled
    atoms = crystal(spec)
    points = np.random.default_rng(2).uniform(size=(50, 3)) @ CELL
    expected = engine.density(images_of(spec, atoms), points)
    for shift in ([0.5, 0.0, 0.0], [-1.7, 2.3, 0.9], -atoms.positions[0]):
        moved = atoms.copy()
        moved.positions += shift
        images = images_of(spec, moved)
        found = engine.density(images, images.wrap(points + shift))
        close = {"float32": 2e-5, "float64": 1e-10}[engine.precision]
        assert found == pytest.approx(expected, abs=close)


def test_atomic_densities_are_added():
    spec, weights = model(superposed=True)
    images, points = scene(spec, crystal(spec))
    engine = Engine(spec, weights)
    assert_equal(engine.density(images, points), exact(spec, weights, images, points), "float32")
    learnt = exact(spec, weights, images, points, total=False)
    assert_equal(engine.difference(images, points), learnt, "float32")


# against itself


def test_every_bit_is_the_same_however_the_points_are_grouped(compiled):
    """Alone, in any order, in a line or a grid: the density of a point is one number."""
    engine, spec, _ = compiled
    atoms = crystal(spec)
    images = images_of(spec, atoms)
    points = images.wrap(np.random.default_rng(1).uniform(-1, 2, (700, 3)) @ CELL)
    points[5] = images.wrap(atoms.positions)[0]
    points[6:9] = points[5]
    values = engine.density(images, points)
    order = np.random.default_rng(2).permutation(len(points))
    assert np.array_equal(engine.density(images, points[order]), values[order])
    assert np.array_equal([engine.density(images, p[None])[0] for p in points[:40]], values[:40])
    for size in (7, 48, 49, 333):
        parts = np.split(points, range(size, len(points), size))
        assert np.array_equal(np.concatenate([engine.density(images, p) for p in parts]), values)


@pytest.mark.parametrize("pbc", [True, False])
def test_every_bit_is_the_same_for_any_blocks_and_threads(pbc):
    """Coefficients are made by whoever needs them first."""
    spec, weights = model()
    atoms = bulk("Si", cubic=True).repeat((4, 4, 4))
    atoms.rattle(0.1, seed=3)
    atoms.pbc = pbc
    grid = Grid.of(atoms, (27, 23, 24))
    scattered = np.random.default_rng(0).uniform(-5, 30, (3000, 3))
    found = []
    for threads, most in ((1, 16384), (1, 333), (3, 1000), (4, 64)):
        engine = Engine(spec, weights, threads)
        field = Field(engine, atoms, images_of(spec, atoms))
        for blocks in (Parts(scattered, most), Blocks(grid, most)):
            values = np.empty(blocks.shape)
            function = BlockFunction(blocks, [field], threads)
            for number, block in evaluate_blocks(function, show=False):
                values[blocks.slices(number)] = block[0]
            found.append(values)
    assert found[1].std() > 0.1
    for values in found[2:]:
        assert any(np.array_equal(values, first) for first in found[:2])


def test_the_coefficients_of_an_atom_are_made_once(monkeypatch):
    """For all its images, blocks and threads; and only where points see it."""
    made = []

    def counted(spec, weights, around, element, nlist):
        made.append(element.size)
        return coefficients(spec, weights, around, element, nlist)

    coefficients = se_cluster.coefficients
    monkeypatch.setattr(se_cluster, "coefficients", counted)
    spec, weights = model({"rcut_env": 2.5})
    engine = Engine(spec, weights)
    atoms = bulk("Si", cubic=True).repeat((8, 8, 4))
    images = images_of(spec, atoms)
    made.clear()
    engine.density(images, np.full((1, 3), 8.0))
    assert 0 < sum(made) < len(atoms) / 2
    points = images.wrap(np.random.default_rng(0).uniform(0, 45, (4000, 3)))
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda part: engine.density(images, part), np.split(points, 40)))
    assert sum(made) == len(atoms)
    engine.difference(images, points)
    assert sum(made) == len(atoms)
    engine.difference(images_of(spec, atoms), points)
    assert sum(made) == 2 * len(atoms)


def test_structures_are_forgotten(compiled):
    engine, spec, _ = compiled
    images, points = scene(spec, crystal(spec))
    engine.density(images, points)
    seen = weakref.ref(images)
    del images
    gc.collect()
    assert seen() is None


def test_only_atoms_nearby_are_looked_at(compiled):
    """Time does not grow with the number of atoms: those elsewhere could be anything."""
    engine, spec, _ = compiled
    atoms = bulk("Si", cubic=True).repeat((20, 2, 2))
    images, near = images_of(spec, atoms), images_of(spec, atoms)
    points = images.wrap(np.random.default_rng(0).uniform(30, 35, (50, 3)))
    far = np.abs(near.positions[:, 0] - 32.5) > 2.5 + 10.0 + 2 * spec.descriptor.reach
    assert far.sum() > 0.4 * len(far)
    near.positions[far] += [0.0, 1e3, 0.0]
    assert np.array_equal(engine.density(near, points), engine.density(images, points))


@pytest.mark.parametrize("vector_bytes, registers", [(64, 32), (32, 16), (16, 32), (16, 16)])
def test_programs_for_other_processors(compiled, monkeypatch, vector_bytes, registers):
    """AVX-512, AVX, NEON and SSE; LLVM makes do with the vectors that there are."""
    engine, spec, weights = compiled

    class Other(Machine):
        def __init__(self):
            super().__init__()
            self.vector_bytes, self.registers = vector_bytes, registers

    monkeypatch.setattr("deepmd_charge.engine.kernel.Machine", Other)
    images, points = scene(spec, crystal(spec))
    found = Engine(spec, weights).density(images, points)
    assert_equal(found, engine.density(images, points), engine.precision)


@pytest.mark.slow
def test_more_neighbours_than_expected(compiled):
    """Over 3000 of them: the lists grow."""
    engine, spec, weights = compiled
    atoms = dilute(["Si", "C"], [[0.7, 0, 0], [0.1, 0.6, 0], [0, 0.1, 0.5]], 8, pbc=True)
    images = images_of(spec, atoms)
    points = images.wrap(np.random.default_rng(0).uniform(size=(3, 3)))
    found, expected = engine.density(images, points), exact(spec, weights, images, points)
    assert found == pytest.approx(expected, rel=1e-3 if engine.precision == "float32" else 1e-9)


# its parts


@settings(deadline=None, max_examples=60)
@given(st.integers(0, 10**6), st.sampled_from([1, 2, 4, 8, 16]), st.integers(1, 700))
def test_every_point_is_in_a_group(seed, width, n):
    rng = np.random.default_rng(seed)
    points = rng.normal(size=(n, 3)) * 10.0 ** rng.uniform(-3, 6, 3)
    points = np.where(rng.uniform(size=(n, 1)) < 0.1, points[0], points)
    index = grouped(points, width)
    assert len(index) % width == 0
    assert np.array_equal(np.unique(index), np.arange(n))


@pytest.mark.parametrize("shape", [(25, 24, 26), (2, 90, 91), (1, 128, 120), (1, 1, 1000)])
@pytest.mark.parametrize("order", ["C", "any"])
def test_groups_of_a_grid_are_compact(order, shape):
    points = np.moveaxis(np.indices(shape), 0, -1).reshape(-1, 3) * [0.13, 0.14, 0.15]
    points += [3.1, -2.0, 0.7]
    if order == "any":
        points = np.random.default_rng(0).permutation(points)
    index = grouped(points, 16)
    assert len(index) < 1.03 * len(points)
    groups = points[index].reshape(-1, 16, 3)
    # 2 x 2 x 4 points reach 0.13 + 0.14 + 3 * 0.15 A, 16 points of a line 15 * 0.15 A
    reach = 0.75 if shape[0] == 25 else 1.0 if shape[1] > 1 else 2.3
    assert np.median(np.ptp(groups, axis=1).sum(axis=1)) < reach


def test_points_that_are_far_apart_are_not_grouped():
    points = np.random.default_rng(0).uniform(0, 100, (300, 3))
    groups = points[grouped(points, 8)].reshape(-1, 8, 3)
    assert np.ptp(groups, axis=1).max() < 12.0


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("name", ["sin", "log1p"])
def test_functions_are_exact_to_the_last_digits(name, precision):
    x = {"sin": np.linspace(-7, 7, 4096), "log1p": np.append(0, 10.0 ** np.linspace(-30, 12, 4095))}
    x = x[name].astype(precision)
    p = Program("function", ["x", "n"], Machine(), precision)
    array = p.array("x", p.real)
    with p.loop(0, p.integer("n"), p.width) as i:
        array[i] = getattr(p, name)(array.vector(i, p.width))
    found = x.copy()
    p.compile()(found, len(found))
    expected = getattr(np, name)(x.astype(np.longdouble))
    scale = np.abs(expected) if name == "log1p" else 1.0
    assert np.all(np.abs(found - expected) <= 2 * np.finfo(precision).eps * scale)


# models made before


def test_a_model_of_a_former_version_is_compiled(tmp_path):
    """Without keys that have come since: the densities and charges that version gave."""
    data = Path(__file__).parent / "data" / "frozen"
    path = tmp_path / "charge.pb"
    path.write_bytes(gzip.decompress((data / "cluster.pb.gz").read_bytes()))
    before = np.load(data / "cluster.npz")
    atoms = Atoms(before["symbols"], before["positions"], cell=before["cell"], pbc=True)
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message=".*graph is used")
        model = ChargeModel(path)
        found = model.predict_points(atoms, before["points"])
    assert_equal(found, before["density"], "float32")
    assert model.atomic_charges(atoms) == pytest.approx(before["charges"], abs=1e-6)
