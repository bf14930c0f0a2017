# SPDX-License-Identifier: LGPL-3.0-or-later
"""The compiled engine against the TensorFlow graph, and against itself."""

import gc
import os
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from freezing import compiled, freeze
from training import CELL, structure

from deepmd_charge import ChargeError, ChargeModel
from deepmd_charge.atoms.images import Images
from deepmd_charge.backends.tf.frozen import read_model
from deepmd_charge.backends.tf.graph import FrozenGraph
from deepmd_charge.engine.compiler import Machine, Program
from deepmd_charge.engine.verification import probes
from deepmd_charge.model.kernels.radial import RADIAL_BASES
from deepmd_charge.model.neighbors import neighbor_counts
from deepmd_charge.threads import in_order

# |d| <= TOLERANCE * max(1 e/A^3, |rho|)
TOLERANCE = {"float32": 1e-5, "float64": 1e-9}
WIDE = {"precision": "float64"}
SMALL = {"n_radial": 6, "n_channel": 8}
ALL_TRIPLES = [
    [1, 1, 2],
    [2, 2, 2],
    [1, 2, 3],
    [2, 2, 4],
    [2, 4, 4],
    [3, 3, 4],
    [4, 4, 4],
    [1, 5, 6],
]

# descriptor and fitting: all kinds of settings in few models
SETTINGS = {
    **{
        radial: (
            {
                "radial": radial,
                "n_radial": 12,
                "core": 0.4,
                "lmax": 3,
                "n_channel": 5,
                "axis_neuron": 3,
                **WIDE,
            },
            {"neuron": [9, 18, 7], **WIDE},
        )
        for radial in RADIAL_BASES
    },
    "embedding": (
        {"radial": "embedding", "lmax": 1, "axis_neuron": 16},
        {"activation_function": "tanh"},
    ),
    "embedding, float64": (
        {
            "radial": "embedding",
            "neuron": [5, 10, 10],
            "lmax": 2,
            "rcut_smth": 1.0,
            "eps": 0.2,
            "activation_function": "silu",
            **WIDE,
        },
        {"resnet": False, **WIDE},
    ),
    "lmax 0": ({"lmax": 0, **SMALL}, {"neuron": [10, 20, 20]}),
    # 8 + 2 * 8 * 4 features: the first layer adds its input
    "as wide as the features": ({"lmax": 1, "axis_neuron": 4, **SMALL}, {"neuron": [72, 144]}),
    "twice as wide": (
        {"lmax": 1, "axis_neuron": 1, "n_channel": 5, **WIDE},
        {"neuron": [30, 30], **WIDE},
    ),
    "all triples": (
        {"lmax": 6, "triples": ALL_TRIPLES, "n_channel": 12, "n_triple": 8, "eps": 0.1, **WIDE},
        WIDE,
    ),
    "17 channels": ({"lmax": 2, "n_channel": 17, "axis_neuron": 17}, {"neuron": [24]}),
    "one channel, mixed precision": (
        {"n_channel": 1, "triples": [[1, 1, 2]], **SMALL, **WIDE},
        {"neuron": [1]},
    ),
}


def images_of(frozen, atoms):
    types = [frozen.type_map.index(s) for s in atoms.get_chemical_symbols()]
    return Images(atoms, types, frozen.reach)


@pytest.fixture(scope="module")
def points():
    """Points in and outside the cell, and on a nucleus."""
    spread = np.random.default_rng(5).uniform(-1.5, 2.5, size=(60, 3)) @ CELL
    return np.concatenate([spread, structure(8).positions[:2]])


def assert_equal(found, expected, precision):
    error = np.abs(found - expected) / np.maximum(1.0, np.abs(expected))
    assert error.max() <= TOLERANCE[precision]


@pytest.mark.slow
@pytest.mark.parametrize("setting", SETTINGS)
def test_engine_is_the_graph(tmp_path, points, setting):
    descriptor, fitting = SETTINGS[setting]
    frozen = read_model(str(freeze(tmp_path / "charge.pb", descriptor, fitting)))
    images = images_of(frozen, structure(8))
    points = images.wrap(points)
    engine, graph = compiled(frozen), FrozenGraph(frozen)
    expected = graph.density(images, points)
    assert expected.std() > 0.02
    both = {arguments.get("precision") for arguments in (descriptor, fitting)}
    precision = "float64" if both == {"float64"} else "float32"
    assert_equal(engine.density(images, points), expected, precision)
    assert engine.novelty(images, points) == pytest.approx(graph.novelty(images, points), abs=1e-5)


@pytest.fixture(scope="module", params=["float32", "float64"])
def pair(request):
    """The engine and the graph of one model, and the model."""
    model = request.getfixturevalue(
        {"float32": "charge_model", "float64": "precise_model"}[request.param]
    )
    frozen = read_model(model.path)
    return compiled(frozen), FrozenGraph(frozen), frozen


def dilute(symbols, cell, seed, **more):
    """Atoms at random in a cell, some far outside it."""
    rng = np.random.default_rng(seed)
    places = rng.uniform(-3.0, 4.0, (len(symbols), 3))
    return Atoms(symbols, scaled_positions=places, cell=cell, **{"pbc": True, **more})


def cell_of(lengths, angles):
    return Atoms(cell=[*lengths, *angles]).cell.array


STRUCTURES = {
    "skew to 30 degrees": dilute(["Si", "C"], cell_of((4, 5, 6), (40, 35, 30)), 1),
    "far smaller than the cutoff": dilute(["C"], cell_of((1.9, 1.7, 2.1), (80, 95, 110)), 2),
    "left-handed": dilute(["Si"] * 3, [[0, 5, 0], [6, 0, 1], [0, 1, 7]], 3),
    "slab": dilute(["Si", "C", "C"], np.diag([4.0, 5.0, 6.0]), 4, pbc=(True, False, True)),
    "wire": dilute(["Si", "C"], np.diag([4.0, 5.0, 6.0]), 5, pbc=(False, False, True)),
    "molecule": Atoms("SiC2", [[0, 0, 0], [1.5, 0.2, 0], [-1, 1.3, 0.4]]),
    "atoms far apart": Atoms("SiC", [[0, 0, 0], [3e4, -2e4, 1e4]]),
    "one atom": Atoms("C", [[0.1, 0.2, 0.3]]),
}


@pytest.mark.training
@pytest.mark.parametrize("name", STRUCTURES)
def test_any_structure(pair, name):
    engine, graph, frozen = pair
    atoms = STRUCTURES[name]
    rng = np.random.default_rng(6)
    points = np.concatenate(
        [
            rng.uniform(-2, 3, (25, 3)) @ atoms.cell.complete().array,
            atoms.positions + rng.normal(scale=1.5, size=atoms.positions.shape),
            atoms.positions,  # on the nuclei
            [[1e6, 0.0, 0.0], [0.0, -1e12, 3.0]],
        ]
    )
    images = images_of(frozen, atoms)
    points = images.wrap(points)
    assert_equal(engine.density(images, points), graph.density(images, points), engine.precision)
    close = {"float32": 1e-5, "float64": 1e-12}[engine.precision]
    expected = graph.novelty(images, points)
    assert engine.novelty(images, points) == pytest.approx(expected, abs=close)


def test_far_from_everything_a_point_has_the_density_of_no_neighbours(pair):
    engine, graph, frozen = pair
    images = images_of(frozen, STRUCTURES["molecule"])
    far = np.array([[50.0, 0, 0], [1e9, 1e9, -1e9], [1e300, 0, 0]])
    values = engine.density(images, far)
    assert (values == values[0]).all()
    assert_equal(values[:1], graph.density(images, far[:1]), engine.precision)


def test_every_bit_is_the_same_however_the_points_are_grouped(pair):
    """Alone, in any order, in a line or a grid: the density of a point is one number."""
    engine, _, frozen = pair
    atoms = structure(3)
    images = images_of(frozen, atoms)
    points = images.wrap(np.random.default_rng(1).uniform(-1, 2, (700, 3)) @ CELL)
    points[5] = atoms.positions[0]
    values = engine.density(images, points)
    order = np.random.default_rng(2).permutation(len(points))
    assert np.array_equal(engine.density(images, points[order]), values[order])
    assert np.array_equal([engine.density(images, p[None])[0] for p in points[:40]], values[:40])
    for size in (7, 48, 49, 333):
        parts = np.split(points, range(size, len(points), size))
        assert np.array_equal(np.concatenate([engine.density(images, p) for p in parts]), values)


def test_every_bit_is_the_same_for_any_number_of_threads(charge_model, monkeypatch):
    atoms = structure(3)
    one, three = (ChargeModel(charge_model.path, n_threads=n) for n in (1, 3))
    expected = one.predict(atoms, grid=(21, 23, 19)).values
    assert np.array_equal(three.predict(atoms, grid=(21, 23, 19)).values, expected)
    monkeypatch.setattr("deepmd_charge.predict.charge_model._LEAST", 100)
    assert np.array_equal(three.predict(atoms, grid=(21, 23, 19)).values, expected)
    points = np.random.default_rng(0).uniform(-9, 9, (5000, 3))
    expected = one.predict_points(atoms, points)
    assert np.array_equal(three.predict_points(atoms, points), expected)


@pytest.mark.slow
@pytest.mark.parametrize("vector_bytes, registers", [(64, 32), (16, 32), (16, 16)])
def test_programs_for_other_processors(pair, points, monkeypatch, vector_bytes, registers):
    """AVX-512, NEON and SSE; LLVM makes do with the vectors that there are."""
    engine, _, frozen = pair

    class Other(Machine):
        def __init__(self):
            super().__init__()
            self.vector_bytes, self.registers = vector_bytes, registers

    monkeypatch.setattr("deepmd_charge.engine.kernel.Machine", Other)
    images = images_of(frozen, structure(8))
    points = images.wrap(points)
    assert_equal(
        compiled(frozen).density(images, points), engine.density(images, points), engine.precision
    )


def test_more_neighbours_than_expected(pair):
    """Over 3000 of them: the lists grow."""
    engine, graph, frozen = pair
    images = images_of(frozen, dilute(["Si", "C"], cell_of((1.0, 0.6, 0.7), (90, 80, 70)), 8))
    points = images.wrap(np.random.default_rng(0).uniform(size=(3, 3)))
    found, expected = engine.density(images, points), graph.density(images, points)
    # nonsense, but the same nonsense, of sums that are hundreds of times too large
    assert found == pytest.approx(expected, rel=1e-3 if engine.precision == "float32" else 1e-9)


@pytest.mark.parametrize("end", [2.0, 5.3], ids=["short", "beyond the cutoff"])
def test_atomic_densities_are_added(precise_model, end):
    """f_z(r) = Z (1 - r^2 / end^2)^2, a polynomial of degree 4, by pieces of degree 3."""
    plain = read_model(precise_model.path)
    step, strength = 0.01, np.array([3.0, -0.7])
    intervals = round(end / step)

    def f(r):
        return np.where(r < end, (1 - (r / end) ** 2) ** 2, 0.0)

    nodes = np.linspace(0, 1, 4)
    solve = np.linalg.inv(np.vander(nodes, increasing=True))
    pieces = f((np.arange(intervals)[:, None] + nodes) * step) @ solve.T
    table = strength[:, None, None] * pieces
    saed = type(plain)(
        plain.path,
        {**plain.constants, "saed/step": np.float64(step), "saed/coefficients": table},
    )
    assert saed.reach == max(plain.rcut, intervals * step)
    atoms = structure(4)
    images, wide = images_of(plain, atoms), images_of(saed, atoms)
    points = images.wrap(np.random.default_rng(3).uniform(size=(50, 3)) @ CELL)
    points[0] = images.wrap(atoms.positions)[2]
    added = compiled(saed).density(wide, points) - compiled(plain).density(images, points)
    vectors = wide.positions - points[:, None]
    every = strength[wide.types] * f(np.sqrt((vectors**2).sum(axis=2)))
    assert added == pytest.approx(every.sum(axis=1), abs=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("precision", ["float32", "float64"])
def test_activations_are_those_of_deepmd(precision):
    from deepmd.tf.common import VALID_ACTIVATION, get_activation_func
    from deepmd.tf.env import tf

    from deepmd_charge.model.kernels.network import activation

    x = np.linspace(-30, 30, 4096).astype(precision)
    names = [*VALID_ACTIVATION, "silut:0.5", "SiLU"]
    assert len(names) > 8
    with tf.Session() as session:
        expected = session.run([get_activation_func(name)(tf.constant(x)) for name in names])
    machine = Machine()
    for name, values in zip(names, expected, strict=True):
        scale = np.maximum(1.0, np.abs(x))
        epsilon = np.finfo(precision).eps
        with np.errstate(over="ignore"):
            assert np.all(np.abs(activation(name)(np, x) - values) <= 8 * epsilon * scale)
        p = Program("function", ["x", "n"], machine, precision)
        array = p.array("x", p.real)
        with p.loop(0, p.integer("n"), p.width) as i:
            array[i] = activation(name)(p, array.vector(i, p.width))
        found = x.copy()
        p.compile()(found, len(found))
        assert np.all(np.abs(found - values) <= 8 * epsilon * scale), name


def test_only_atoms_nearby_are_looked_at(pair):
    """Time does not grow with the number of atoms: those elsewhere could be anything."""
    engine, _, frozen = pair
    atoms = bulk("Si", cubic=True).repeat((30, 2, 2))
    images = images_of(frozen, atoms)
    near = images_of(frozen, atoms)
    points = images.wrap(np.random.default_rng(0).uniform(0, 5, (50, 3)))
    far = near.bins.positions[:, 0] > 5.0 + 2 * frozen.reach + 1.0
    assert far.sum() > 0.8 * len(far)
    near.bins.positions[far] = np.nan
    assert np.array_equal(engine.density(near, points), engine.density(images, points))


def test_old_models_are_refused(trained, tmp_path):
    data = (trained / "charge.pb").read_bytes()
    (tmp_path / "old.pb").write_bytes(
        data.replace(b"se_charge/crowding_low", b"se_charge/crowding_abc")
    )
    with pytest.raises(ChargeError, match="older version"):
        ChargeModel(tmp_path / "old.pb")


def test_work_comes_back_in_order_and_stops_when_it_must():
    begun = []

    def slow_first(n):
        begun.append(n)
        time.sleep(0.05 if n == 0 else 0.0)
        if n == 30:
            raise ZeroDivisionError
        return n

    for n_threads in (1, 4):
        begun.clear()
        found = []
        with pytest.raises(ZeroDivisionError):
            found.extend(in_order(slow_first, range(1000), n_threads))
        assert found == list(range(30))
        assert len(begun) < 60


def test_all_cores_that_the_process_may_use(charge_model):
    assert charge_model._n_threads == len(os.sched_getaffinity(0))


def steps():
    """A program that is slow to run but quick to compile, and where its code is."""
    p = Program("steps", ["x", "n"])
    x = p.array("x", p.int64)
    with p.loop(0, p.integer("n")):
        x[0] = x[0] * 3 + 1
        x[0] = x[0] & 1023  # no closed form for LLVM
    addresses = []

    class Telling(Machine):
        def compile(self, module, name):
            address, owner = super().compile(module, name)
            addresses.append(address)
            return address, owner

    p.machine = Telling()
    return p.compile(), *addresses


def executable(address):
    """Whether there is code at an address."""
    for line in Path("/proc/self/maps").read_text().splitlines():
        span, permissions = line.split()[:2]
        low, high = (int(end, 16) for end in span.split("-"))
        if low <= address < high:
            return "x" in permissions
    return False


@pytest.mark.skipif(not os.path.exists("/proc/self/maps"), reason="needs Linux")
def test_code_is_in_memory_for_as_long_as_it_is_called():
    """Dropped while threads are in it, it stays; when they are out, it goes."""
    n, calls = 300_000_000, [steps() for _ in range(2)]
    places = [address for _, address in calls]
    found = np.zeros((2, 1), np.int64)
    threads = [
        threading.Thread(target=call, args=(array, n))
        for (call, _), array in zip(calls, found, strict=True)
    ]
    for thread in threads:
        thread.start()
    del calls
    there = [executable(place) for place in places]
    alive = [thread.is_alive() for thread in threads]
    for thread in threads:
        thread.join()
    del thread, threads
    gc.collect()
    assert there == alive == [True, True]
    assert not any(executable(place) for place in places)
    assert found[0] == found[1]


def test_a_forked_process_goes_on_with_its_engine():
    """What was compiled before the fork works after it, and new programs compile."""
    script = f"""
import os, sys
sys.path.insert(0, {os.path.dirname(__file__)!r})
import numpy as np
from test_engine import steps
call = steps()[0]
array = np.zeros(1, np.int64)
call(array, 1000)
child = os.fork()
again = np.zeros(1, np.int64)
call(again, 1000)
assert again == array
fresh = np.zeros(1, np.int64)
steps()[0](fresh, 1000)
assert fresh == array
if child:
    assert os.waitpid(child, 0)[1] == 0
"""
    subprocess.run([sys.executable, "-c", script], check=True)


@pytest.mark.parametrize("low, high, total", [(0.0, 8.0, 4.0), (2.0, 3.0, 8.0), (4.0, 4.0, 16.0)])
def test_a_model_is_tried_among_as_many_atoms_as_it_has_learnt(tmp_path, low, high, total):
    """Of many elements no point has the most of each: such a crowd is nothing to judge it by."""
    path = freeze(tmp_path / "charge.pb", {"rcut": 4.0}, {}, ["O", "Si", "X", "C", "H"])
    model = read_model(str(path))
    weights = {f"neighbor_range.{end}": [n] * 4 for end, n in (("low", low), ("high", high))}
    images, points = probes(model.spec, weights, 4.0)
    counts = neighbor_counts(model.spec, images, points[:32]).sum(axis=1)
    assert counts.mean() == pytest.approx(total, rel=0.25)
