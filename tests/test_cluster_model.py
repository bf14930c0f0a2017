# SPDX-License-Identifier: LGPL-3.0-or-later
"""The equations of ``se_cluster``: against plain loops, symmetries, smoothness, and the graph."""

import pickle
import subprocess
import sys

import numpy as np
import pytest
from ase import Atoms
from clusters import brute_force, density, random_weights, specification
from freezing import freeze_cluster
from scipy.spatial.transform import Rotation
from test_reference import EAGER
from training import CELL, RCUT, gaussian_table, structure

from deepmd_charge import ChargeError
from deepmd_charge.atoms.images import Images
from deepmd_charge.backends.tf.frozen import read_model
from deepmd_charge.backends.tf.graph import FrozenGraph
from deepmd_charge.engine.engine import Engine
from deepmd_charge.engine.se_cluster import contributions
from deepmd_charge.model import reference
from deepmd_charge.model.equations import se_cluster
from deepmd_charge.model.neighbors import around_atoms, neighbor_list, neighbors
from deepmd_charge.model.weights import Weights

ORDERS = {
    "order 0": {"order": 0},
    "order 1": {"order": 1},
    "order 2": {"order": 2},
    "order 3": {"order": 3},
    "exact": {"order": 1, "electrons": "exact"},
    "exact, order 3": {"order": 3, "electrons": "exact", "radial": "chebyshev"},
    "exact, order 0": {"order": 0, "electrons": "exact"},
    "order 3, lmax 6": {
        "order": 3,
        "lmax": 6,
        "lmax_product": 3,
        "lmax_triple": 3,
        "n_component": 4,
    },
    "products above lmax": {"order": 3, "lmax": 1, "lmax_product": 5, "lmax_triple": 4,
                            "n_product": 9, "n_component": 99, "n_component_triple": 99},
    "chebyshev": {"order": 2, "radial": "chebyshev", "radial_env": "chebyshev", "core": 0.3},
    "longer surroundings": {"order": 1, "rcut": 2.0, "rcut_env": 5.5, "eps": 0.1, "lmax": 0},
    "longer products": {"order": 2, "rcut": 2.0, "rcut_env": 3.5, "rcut_product": 5.0},
    "net": {"order": 2, "neuron": [6, 12, 12]},
    "net without resnet": {"order": 1, "neuron": [8, 8], "resnet": False, "activation": "tanh"},
    "net, exact": {"order": 3, "neuron": [5, 10], "electrons": "exact"},
    "net, l = 0": {"order": 1, "neuron": [4], "lmax": 0},
}  # fmt: skip
ELEMENTS = {"one": (["Si", "X"], "Si4"), "two": (["X", "C", "Si"], "SiCSiC"),
            "three": (["C", "Ge", "X", "Si"], "SiCGeC")}  # fmt: skip


def points_of(atoms, n=6, seed=5):
    """Points in and outside the cell, and on a nucleus."""
    spread = np.random.default_rng(seed).uniform(-1.5, 2.5, size=(n, 3)) @ CELL
    return np.concatenate([spread, atoms.positions[:1]])


@pytest.fixture(params=["order 0", "order 1", "order 2", "order 3", "exact", "net", "net, exact"])
def model(request):
    """A specification and random weights."""
    spec = specification(**ORDERS[request.param])
    return spec, random_weights(spec)


# against the equations


@pytest.mark.parametrize("elements", ELEMENTS)
@pytest.mark.parametrize("order", ORDERS)
def test_the_reference_is_its_equations(order, elements):
    type_map, symbols = ELEMENTS[elements]
    spec = specification(type_map, **ORDERS[order])
    weights = random_weights(spec)
    atoms = structure(3, symbols)
    atoms.positions[1] += 2 * CELL[0] - CELL[2]
    points = points_of(atoms)
    expected = brute_force(spec, weights, atoms, points)
    assert expected.std() > 0.1
    assert density(spec, weights, atoms, points) == pytest.approx(expected, rel=1e-10, abs=1e-11)


@pytest.mark.slow
@pytest.mark.parametrize("pbc", [(1, 1, 0), (0, 0, 1), (0, 0, 0)], ids=["slab", "wire", "open"])
def test_open_axes_are_their_equations(pbc):
    spec = specification(order=3, electrons="exact")
    weights = random_weights(spec)
    atoms = structure(6)
    atoms.pbc = pbc
    points = points_of(atoms)
    expected = brute_force(spec, weights, atoms, points)
    assert density(spec, weights, atoms, points) == pytest.approx(expected, rel=1e-10, abs=1e-11)


@pytest.mark.slow
def test_every_radius_counts(model):
    """Farther atoms change nothing, nearer ones do: both cutoffs are what they are said to be."""
    spec, weights = model
    d = spec.descriptor
    point = np.zeros((1, 3))
    for place, seen in [
        (d.rcut - 0.3, True),
        (d.rcut + 0.01, d.sight > 0.0),  # a neighbour of the atom that the point sees
        (2.0 + d.rcut_env - 0.3, d.sight > 0.0),
        (2.0 + d.rcut_env + 0.01, False),
    ]:
        one = Atoms("Si", [[2.0, 0, 0]])
        two = Atoms("SiC", [[2.0, 0, 0], [place, 0, 0]])
        changed = density(spec, weights, two, point) - density(spec, weights, one, point)
        assert (np.abs(changed) > 1e-9).all() if seen else not changed.any(), place


def test_an_atom_alone_has_the_coefficients_of_its_element():
    """Without neighbours a contribution depends on the distance alone, of orders above 0, too."""
    for order in (0, 1, 2, 3):
        spec = specification(order=order)
        weights = random_weights(spec)
        arrays = {k: np.zeros_like(a) if ".mean" in k else a for k, a in weights.items()}
        weights = Weights(spec, arrays)
        r = 1.3
        turned = r * Rotation.random(5, rng=1).apply([1.0, 0.0, 0.0])
        found = density(spec, weights, Atoms("C", [[0, 0, 0]]), turned)
        first = weights["contribution.coefficients"][1, 0]
        expected = sum(c * f for c, f in zip(first, spec.descriptor.basis(np, r), strict=True))
        assert found == pytest.approx(np.full(5, expected), abs=1e-12)


@pytest.mark.parametrize("order", [0, 1, 2, 3])
@pytest.mark.parametrize("elements", ELEMENTS)
def test_features_are_as_many_as_are_said(order, elements):
    type_map, symbols = ELEMENTS[elements]
    spec = specification(type_map, order=order, n_channel=50, n_component_triple=50)
    d, n_elements = spec.descriptor, len(type_map) - 1
    images = Images(
        structure(1, symbols), [type_map.index(s) for s in structure(1, symbols).symbols], d.reach
    )
    [(around, element)] = around_atoms(spec, images)
    found = se_cluster.features(spec, random_weights(spec), around, element)
    assert [f.shape[-1] for f in found] == [sum(n) for n in d.n_features(n_elements)]
    assert [f.shape[-2] for f in found] == [1, 3, 5, 7]
    assert d.channels(n_elements) == (3 * n_elements if order else 0)


@pytest.mark.slow
@pytest.mark.parametrize("neuron", [[], [6, 6]], ids=["linear", "net"])
def test_exact_electrons_are_those_of_the_atoms(neuron):
    """Whatever passes between neighbours: by integration of the contributions of all atoms."""
    spec = specification(order=2, electrons="exact", neuron=neuron)
    d = spec.descriptor
    arrays = dict(random_weights(spec))
    # what does not pass between neighbours holds no electrons
    table, held = arrays["contribution.coefficients"], d.integrals()
    n = sum(d.n_features(2)[0])
    table[:, :n] -= (table[:, :n] @ held)[..., None] * d.carrier()
    weights = Weights(spec, arrays)
    atoms = structure(2)
    assert d.carrier() @ held == pytest.approx(1.0)
    grid = np.stack(np.meshgrid(*[np.arange(30) / 30] * 3, indexing="ij"), -1).reshape(-1, 3)
    values = density(spec, weights, atoms, grid @ CELL)
    expected = sum(weights["contribution.electrons"][[0, 1, 0, 1]])
    assert values.mean() * atoms.get_volume() == pytest.approx(expected, abs=1e-3)
    types = [spec.type_map.index(s) for s in atoms.get_chemical_symbols()]
    images = Images(atoms, types, d.reach)
    c = contributions(spec, weights, images, "float64").all(images)
    assert (c[:, 0] @ held).sum() == pytest.approx(expected, abs=1e-10)
    free = Weights(spec, {**arrays, "contribution.transfer": 0 * arrays["contribution.transfer"]})
    assert np.abs(values - density(spec, free, atoms, grid @ CELL)).max() > 1e-2


def test_a_net_that_answers_zero_changes_no_bit(tmp_path):
    """In the equations, the graph and the engine."""
    spec = specification(order=2, electrons="exact", neuron=[5])
    arrays = dict(random_weights(spec))
    for name in arrays:
        if "output" in name:
            arrays[name] = np.zeros_like(arrays[name])
    plain = {name: array for name, array in arrays.items() if not name.startswith("gate")}
    atoms = structure(8)
    points = points_of(atoms, 20)
    types = [spec.type_map.index(s) for s in atoms.get_chemical_symbols()]
    images = Images(atoms, types, spec.descriptor.reach)
    found = []
    for s, weights in ((spec, Weights(spec, arrays)), (spec.linear, Weights(spec.linear, plain))):
        frozen = read_model(freeze_cluster(tmp_path / "charge.pb", s, weights))
        graph = FrozenGraph(frozen).density(images, images.wrap(points))
        engine = Engine(s, weights).density(images, images.wrap(points))
        found.append([density(s, weights, atoms, points), graph, engine])
    assert np.array_equal(*found) and np.ptp(found) > 0.1


# symmetries


@pytest.mark.parametrize("reflect", [1.0, -1.0], ids=["rotation", "reflection"])
def test_rotation_and_reflection(model, reflect):
    spec, weights = model
    atoms = structure(8)
    points = points_of(atoms)
    turn = reflect * Rotation.random(rng=2).as_matrix()
    turned = atoms.copy()
    turned.set_cell(turned.cell.array @ turn.T)
    turned.positions = turned.positions @ turn.T
    expected = density(spec, weights, atoms, points)
    assert expected.std() > 0.1
    found = density(spec, weights, turned, points @ turn.T)
    assert found == pytest.approx(expected, abs=1e-10)


def test_permutation_images_translation_and_supercell(model):
    spec, weights = model
    atoms = structure(8)
    points = points_of(atoms)
    expected = density(spec, weights, atoms, points)
    other = atoms[[2, 3, 1, 0]]
    other.positions[1] += 3 * other.cell[0] - 2 * other.cell[2]
    assert density(spec, weights, other, points) == pytest.approx(expected, abs=1e-10)
    larger = other.repeat((2, 1, 2))
    assert density(spec, weights, larger, points) == pytest.approx(expected, abs=1e-10)
    shift = np.array([17.3, -4.1, 0.77])
    other.positions += shift
    assert density(spec, weights, other, points + shift) == pytest.approx(expected, abs=1e-10)


def test_slab_and_molecule_are_large_cells(model):
    spec, weights = model
    atoms = structure(8)
    points = points_of(atoms)
    atoms.pbc = (True, True, False)
    wide = atoms.copy()
    wide.set_cell([CELL[0], CELL[1], 20 * CELL[2]])
    wide.pbc = True
    found = density(spec, weights, atoms, points)
    assert found == pytest.approx(density(spec, weights, wide, points), abs=1e-10)
    molecule = Atoms(atoms.symbols, atoms.positions)
    apart = Atoms(atoms.symbols, atoms.positions, cell=60 * np.eye(3), pbc=True)
    found = density(spec, weights, molecule, points)
    assert found == pytest.approx(density(spec, weights, apart, points), abs=1e-10)


def test_longer_lists_in_any_order_change_nothing(model):
    """Padding, atoms beyond both cutoffs, grid points, and places that hold no atom."""
    spec, weights = model
    atoms = structure(8)
    points = points_of(atoms)
    coord, atype, nlist = neighbor_list(spec, atoms, points, RCUT)
    expected = reference.evaluate(spec, weights, coord, atype, nlist)
    assert not expected[0, len(points) :].any()  # atoms are centres, but no grid points
    centres, n_atoms = nlist.shape[1], coord.shape[1]
    far = np.array([[[1e3, 0.0, 0.0], [5.0, 5.0, 5.0]]])
    coord = np.concatenate([coord, far], axis=1)
    atype = np.concatenate([atype, [[spec.elements[0], -1]]], axis=1)
    extra = np.full((centres, 2), n_atoms)
    extra[:, 1] += 1
    grid = np.where(np.arange(centres) % 2, 0, 1)[:, None]  # two of the points
    longer = np.concatenate([nlist[0], np.full((centres, 2), -1), extra, grid], axis=1)
    longer = np.random.default_rng(0).permuted(longer, axis=1)[None]
    found = reference.evaluate(spec, weights, coord, atype, longer)
    assert found == pytest.approx(expected, abs=1e-12)
    longest = neighbor_list(spec, atoms, points, RCUT + 4.0)
    found = reference.evaluate(spec, weights, *longest)[0, : len(points)]
    assert found == pytest.approx(expected[0, : len(points)], abs=1e-12)


def test_frames_do_not_mix(model):
    """Structures of other sizes in one call, each as alone."""
    spec, weights = model
    cases = [structure(8), structure(4, "Si"), structure(5, "CCSi")]
    points = points_of(cases[0])
    frames = [neighbor_list(spec, atoms, points, RCUT) for atoms in cases]
    alone = [reference.evaluate(spec, weights, *frame)[0, : len(points)] for frame in frames]
    centres = max(f[2].shape[1] for f in frames)
    together = []
    for coord, atype, nlist in frames:
        # centres that are none stand between those that are and the other atoms
        missing = centres - nlist.shape[1]
        there = nlist.shape[1]
        coord = np.insert(coord, [there] * missing, 0.0, axis=1)
        atype = np.insert(atype, [there] * missing, -1, axis=1)
        nlist = np.where(nlist >= there, nlist + missing, nlist)
        nlist = np.pad(nlist, [(0, 0), (0, missing), (0, 0)], constant_values=-1)
        together.append((coord, atype, nlist))
    sizes = [max(f[k].shape[a] for f in together) for k, a in ((0, 1), (2, 2))]

    def padded(array, axis, size, value):
        width = [(0, 0)] * array.ndim
        width[axis] = (0, size - array.shape[axis])
        return np.pad(array, width, constant_values=value)

    batch = (
        np.concatenate([padded(f[0], 1, sizes[0], 0.0) for f in together]),
        np.concatenate([padded(f[1], 1, sizes[0], -1) for f in together]),
        np.concatenate([padded(f[2], 2, sizes[1], -1) for f in together]),
    )
    found = reference.evaluate(spec, weights, *batch)[:, : len(points)]
    assert found == pytest.approx(np.stack(alone), abs=1e-12)


# smoothness


def bends(line, values_at):
    """Largest second differences along a line, for steps that are halved."""
    out = []
    for h in (0.02, 0.01, 0.005):
        t = line + h * (np.arange(-8, 9) + 0.3)
        out.append(np.abs(np.diff(values_at(t), n=2, axis=0)).max())
    return out


def smooth(found):
    """Whether they fall with h^2; a kink would halve them, a jump keep them."""
    return found[1] < 0.3 * found[0] and found[2] < 0.3 * found[1]


@pytest.mark.parametrize("distance", [0.0, RCUT], ids=["nucleus", "cutoff"])
def test_the_density_is_smooth_in_the_point(model, distance):
    spec, weights = model
    atoms = structure(8)
    atoms.pbc = False
    direction = np.array([0.48, 0.6, 0.64])
    assert smooth(
        bends(
            distance,
            lambda t: density(spec, weights, atoms, atoms.positions[0] + t[:, None] * direction),
        )
    )


@pytest.mark.slow
@pytest.mark.parametrize("which", ["rcut", "rcut_env", "rcut_product"])
def test_density_and_coefficients_are_smooth_where_an_atom_crosses_a_cutoff(model, which):
    spec, weights = model
    d = spec.descriptor
    direction = np.array([0.48, 0.6, 0.64])
    point, first = np.zeros((1, 3)), np.array([0.6, 0.5, 0.7])  # on the near side

    def atoms_at(distance):
        origin = point[0] if which == "rcut" else first
        return Atoms("SiC", [first, origin + distance * direction])

    def densities(t):
        return np.array([density(spec, weights, atoms_at(x), point)[0] for x in t])

    def coefficients(t):
        out = []
        for x in t:
            coord, atype, nlist = neighbor_list(spec, atoms_at(x), point, d.rcut)
            around = neighbors(spec, coord, atype, nlist)
            element = np.full(nlist.shape[:2], -1)
            element[0, 1:] = spec.places[atype[0, 1 : nlist.shape[1]]]  # Si first, which it sees
            found = se_cluster.coefficients(spec, weights, around, element, nlist)
            out.append(found[0, 1])
        return np.array(out)

    distance = getattr(d, which)
    if which != "rcut" and not d.sight:
        assert not np.ptp(densities(distance + np.linspace(-0.1, 0.1, 7))).any()
        return
    assert smooth(bends(distance, densities))
    if which != "rcut":
        assert smooth(bends(distance, coefficients))


@pytest.mark.slow
@pytest.mark.parametrize("name", ["order 0", "order 3", "net"])
def test_the_derivative_is_finite_and_that_of_the_values(name, tmp_path):
    """At points, on nuclei, and of the atoms, by TensorFlow's own differentiation."""
    pytest.importorskip("deepmd._vendors.ndtensorflow")
    spec = specification(**ORDERS[name])
    weights = random_weights(spec)
    atoms = structure(8, "SiC")
    points = np.concatenate([atoms.positions, points_of(atoms, 3)])
    coord, atype, nlist = neighbor_list(spec, atoms, points, RCUT)
    for k in range(2):  # on a nucleus, to the last bit
        near = nlist[0, k][nlist[0, k] >= 0]
        r = np.linalg.norm(coord[0, near] - coord[0, k], axis=1)
        assert r.min() < 1e-9
        coord[0, k] = coord[0, near[r.argmin()]]
    inputs = (coord, atype, nlist)
    expected = reference.evaluate(spec, weights, *inputs)
    (tmp_path / "case").write_bytes(pickle.dumps((spec, weights, inputs, expected)))
    done = subprocess.run(
        [sys.executable, "-c", EAGER, tmp_path / "case", tmp_path / "gradient.npy"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    gradient = np.load(tmp_path / "gradient.npy")[0]
    assert np.isfinite(gradient).all()
    h = 1e-4
    for n in (0, 1, 2, len(points), len(points) + 1):  # points, two on nuclei, and atoms
        for k in range(3):
            ends = []
            for sign in (1, -1):
                moved = coord.copy()
                moved[0, n, k] += sign * h
                ends.append(reference.evaluate(spec, weights, moved, atype, nlist).sum())
            assert gradient[n, k] == pytest.approx((ends[0] - ends[1]) / (2 * h), abs=1e-5)


@pytest.mark.parametrize("module", ["array_api_strict", "torch"])
def test_other_namespaces(model, module):
    xp = pytest.importorskip(module)
    spec, weights = model
    atoms = structure(8)
    inputs = neighbor_list(spec, atoms, points_of(atoms), RCUT)
    expected = reference.evaluate(spec, weights, *inputs)
    found = reference.evaluate(spec, weights.map(xp.asarray), *map(xp.asarray, inputs))
    assert type(found) is type(xp.asarray(inputs[0]))
    assert np.asarray(found) == pytest.approx(expected, abs=1e-12)


def test_float32_is_float64_within_the_bounds(model):
    spec, weights = model
    d = spec.descriptor
    net = {"neuron": spec.fitting_net.neuron}
    narrow = specification(order=d.order, electrons=d.electrons, precision="float32", **net)
    rounded = random_weights(narrow)
    for name in weights:
        if not name.startswith(("neighbor", "fitting")):
            assert rounded[name].dtype == np.float64 and (rounded[name] == weights[name]).all()
    atoms = structure(8)
    points = points_of(atoms, 60)
    expected = density(spec, weights, atoms, points)
    found = density(narrow, rounded, atoms, points)
    error = np.abs(found - expected)
    assert error.max() > 0.0 and (error < 1e-5 * np.maximum(1.0, np.abs(expected))).all()


def test_weights_of_another_model_are_refused():
    spec = specification(order=1)
    arrays = dict(random_weights(spec))
    with pytest.raises(ChargeError, match=r"environment.mean missing or unknown"):
        Weights(spec, {k: v for k, v in arrays.items() if k != "environment.mean"})
    with pytest.raises(ChargeError, match=r"contribution.coefficients has shape"):
        Weights(specification(order=1, n_radial=7), arrays)


# the frozen graph

GRAPHS = {
    "order 0": {"order": 0},
    "order 1": {"order": 1, "n_radial": 8, "n_channel": 6},
    "order 2": {"order": 2, "lmax": 4, "radial": "chebyshev", "radial_env": "chebyshev"},
    "order 3": {"order": 3},
    "exact": {"order": 3, "electrons": "exact"},
    "longer surroundings": {"order": 1, "rcut": 2.0, "rcut_env": 5.5},
    "longer products": {"order": 2, "rcut": 2.0, "rcut_env": 3.5, "rcut_product": 5.0},
    "net": ORDERS["net, exact"],
}
BOUNDS = {"float32": 1e-5, "float64": 1e-9}


class Frozen:
    """A frozen model at random, its graph in every form that DeePMD-kit gives it, its reference."""

    def __init__(self, folder, precision, descriptor, table=None):
        spec = specification(**{**descriptor, "precision": precision})
        path = freeze_cluster(folder / "charge.pb", spec, random_weights(spec), saed=table)
        self.frozen = read_model(path)
        self.spec, self.weights = self.frozen.spec, self.frozen.weights
        assert self.spec.descriptor == spec.descriptor
        assert self.spec.fitting_net.neuron == spec.fitting_net.neuron
        assert self.frozen.rcut == pytest.approx(max(spec.descriptor.reach, self.frozen.reach))
        self.bound = BOUNDS[precision]
        self.graph = FrozenGraph(self.frozen)

    def expected(self, atoms, points):
        """By the equations, in float64 throughout."""
        weights = self.weights.map(lambda array: array.astype(np.float64))
        return density(self.spec, weights, atoms, points, self.frozen.reach)

    def images(self, atoms):
        types = [self.spec.type_map.index(s) for s in atoms.get_chemical_symbols()]
        return Images(atoms, types, self.frozen.reach)

    def with_ghosts(self, atoms, points):
        """Images among the coordinates, all of them ghosts: as for LAMMPS."""
        images = self.images(atoms)
        return self.graph.density(images, images.wrap(points))

    def run(self, frames, mesh, types=None):
        """The graph on frames (atoms, points) of the same types, (frames, points)."""
        index = self.spec.type_map.index
        rows, kinds, boxes = [], [], []
        for atoms, points in frames:
            rows.append(np.concatenate([points, atoms.positions]))  # in no order of types
            kinds.append([index("X")] * len(points) + [index(s) for s in atoms.symbols])
            boxes.append(atoms.cell.complete().array)
        n = len(kinds[0])
        natoms = [n, n, *np.bincount(kinds[0], minlength=len(self.spec.type_map))]
        found = self.graph._session.run(
            "o_atom_energy:0",
            {
                "t_coord:0": np.reshape(rows, -1),
                "t_type:0": np.reshape(kinds, -1),
                "t_natoms:0": natoms,
                "t_box:0": np.reshape(boxes, -1),
                "t_mesh:0": np.zeros(mesh, dtype=np.int32),
            },
        )
        n_points = len(frames[0][1])
        assert found.shape == (len(frames), n) and not found[:, n_points:].any()
        return found[:, :n_points]

    def agrees(self, found, atoms, points):
        expected = self.expected(atoms, points)
        error = np.abs(found - expected)
        return np.all(error <= self.bound * np.maximum(1.0, np.abs(expected)))


@pytest.fixture(
    scope="module",
    params=[(name, precision) for name in GRAPHS for precision in BOUNDS],
    ids=lambda p: f"{p[0]}, {p[1]}",
)
def frozen(request, tmp_path_factory):
    name, precision = request.param
    return Frozen(tmp_path_factory.mktemp("frozen"), precision, GRAPHS[name])


@pytest.mark.slow
def test_the_graph_with_ghosts_is_the_reference(frozen):
    atoms = structure(8)
    points = points_of(atoms, 40)
    found = frozen.with_ghosts(atoms, points)
    assert found.std() > 0.1
    assert frozen.agrees(found, atoms, points)


@pytest.mark.slow
@pytest.mark.parametrize("mesh", [6, 7])
def test_the_periodic_graph_of_several_frames_is_the_reference(frozen, mesh):
    """Cells smaller than the cutoffs, atoms and points outside them, a point on a nucleus."""
    frames = []
    for seed in (8, 9, 10):
        atoms = structure(seed, "SiCSiC" if mesh == 6 or seed < 10 else "CCCSi")
        atoms.positions[1] += 3 * CELL[0] - 2 * CELL[2]
        atoms.set_cell(atoms.cell * (1.0 + 0.1 * (seed - 8)), scale_atoms=True)
        frames.append((atoms, points_of(atoms, 10, seed)))
    for values, (atoms, points) in zip(frozen.run(frames, mesh), frames, strict=True):
        assert frozen.agrees(values, atoms, points)


@pytest.mark.slow
def test_open_structures_and_slabs(frozen):
    atoms = structure(8)
    points = points_of(atoms, 20)
    atoms.pbc = False
    (found,) = frozen.run([(atoms, points)], 0)
    assert frozen.agrees(found, atoms, points)
    assert frozen.agrees(frozen.with_ghosts(atoms, points), atoms, points)
    atoms.pbc = (True, False, True)
    assert frozen.agrees(frozen.with_ghosts(atoms, points), atoms, points)


@pytest.mark.slow
def test_where_no_atom_is_near(frozen):
    """Points that see nothing, alone and beside others; a single atom; no point at all."""
    atoms = structure(8)
    atoms.pbc = False
    far = np.array([[500.0, 0.0, 0.0], [501.0, 0.0, 0.0]])
    (found,) = frozen.run([(atoms, far)], 0)
    assert not found.any()
    points = np.concatenate([far, points_of(atoms)])
    assert frozen.agrees(frozen.run([(atoms, points)], 0)[0], atoms, points)
    one = Atoms("C", [[1.0, 2.0, 3.0]], cell=60 * np.eye(3))
    near = np.array([[1.0, 2.0, 3.0], [1.5, 2.0, 3.5]])
    assert frozen.agrees(frozen.run([(one, near)], 0)[0], one, near)
    assert frozen.agrees(frozen.run([(one, near)], 6)[0], one, near)
    assert frozen.run([(structure(8), np.zeros((0, 3)))], 6).shape == (1, 0)


@pytest.mark.slow
def test_the_novelty_of_the_graph_is_that_of_the_reference(frozen):
    atoms = structure(8)
    points = points_of(atoms, 20)
    images = frozen.images(atoms)
    arrays = neighbor_list(frozen.spec, atoms, points, frozen.frozen.reach)
    around = neighbors(frozen.spec, *arrays)
    expected = reference.novelty(frozen.spec, frozen.weights, around)[0, : len(points)]
    assert (expected > 0.01).any()
    assert frozen.graph.novelty(images, images.wrap(points)) == pytest.approx(expected, abs=1e-5)


@pytest.mark.slow
@pytest.mark.parametrize(
    "rcut, rcut_env", [(2.0, 2.0), (2.0, 4.5), (5.5, 1.0)], ids=["beyond", "between", "within"]
)
def test_with_a_table_of_atomic_densities(tmp_path, rcut, rcut_env):
    """Which reaches beyond both cutoffs, beyond the first, or not."""
    table = gaussian_table()
    assert table.reach == 5.0
    table.save(tmp_path / "saed.npz")
    for precision in BOUNDS:
        descriptor = {"order": 1, "rcut": rcut, "rcut_env": rcut_env}
        frozen = Frozen(tmp_path, precision, descriptor, str(tmp_path / "saed.npz"))
        assert frozen.frozen.reach == pytest.approx(max(rcut + rcut_env, 5.0))
        atoms = structure(8)
        points = points_of(atoms, 20)
        assert frozen.agrees(frozen.with_ghosts(atoms, points), atoms, points)
        assert frozen.agrees(frozen.run([(atoms, points)], 6)[0], atoms, points)
        images = frozen.images(atoms)
        learnt = frozen.graph.difference(images, images.wrap(points))
        bare = Weights(
            frozen.spec,
            {k: v for k, v in frozen.weights.items() if not k.startswith("superposition")},
        )
        expected = density(frozen.spec, bare, atoms, points)
        assert learnt == pytest.approx(expected, abs=1e-5)
