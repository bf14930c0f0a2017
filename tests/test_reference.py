# SPDX-License-Identifier: LGPL-3.0-or-later
"""The reference evaluation against the frozen graph, symmetries, and in other namespaces."""

import gc
import gzip
import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms
from conftest import DATA
from freezing import freeze
from scipy.spatial.transform import Rotation
from training import CELL, RCUT, gaussian_table, structure

from deepmd_charge import ChargeError, ChargeModel
from deepmd_charge.atoms.images import Images
from deepmd_charge.backends.tf.frozen import read_model
from deepmd_charge.backends.tf.graph import FrozenGraph
from deepmd_charge.backends.tf.names import graph_names, weights_of
from deepmd_charge.model import reference
from deepmd_charge.model.equations.layers import hidden
from deepmd_charge.model.kernels.radial import RADIAL_BASES
from deepmd_charge.model.neighbors import neighbor_list, neighbors
from deepmd_charge.model.spec import ModelSpec
from deepmd_charge.model.weights import Weights, shapes

# exp of an activation that is zero or one in the end
pytestmark = pytest.mark.filterwarnings("ignore:overflow encountered:RuntimeWarning")

WIDE = {"precision": "float64"}
SETTINGS = {
    **{
        radial: (
            {
                "radial": radial,
                "n_radial": 6,
                "n_channel": 8,
                "lmax": 3,
                "triples": [[1, 1, 2], [2, 3, 3]],
                **WIDE,
            },
            {"neuron": [9, 18, 7], **WIDE},
        )
        for radial in RADIAL_BASES
    },
    "lmax 6": (
        {
            "radial": "chebyshev",
            "n_radial": 5,
            "core": 0.3,
            "lmax": 6,
            "n_channel": 4,
            "axis_neuron": 2,
            "triples": [[1, 5, 6]],
            "n_triple": 3,
            "eps": 0.1,
            **WIDE,
        },
        {"activation_function": "gelu", **WIDE},
    ),
    "embedding": (
        {
            "radial": "embedding",
            "neuron": [5, 10, 10],
            "lmax": 2,
            "rcut_smth": 1.0,
            "eps": 0.2,
            "activation_function": "silu",
            **WIDE,
        },
        {"resnet": False, "activation_function": "tanh", **WIDE},
    ),
    "float32": ({"n_radial": 8, "n_channel": 5, "triples": [[1, 2, 3]], "n_triple": 5}, {}),
    "embedding, float32": ({"radial": "embedding", "lmax": 1, "axis_neuron": 16}, {}),
    "response": (
        {"n_radial": 6, "n_channel": 7, "lmax": 2, "rcut_env": 3.0, **WIDE},
        {"neuron": [9, 18], **WIDE},
    ),
    "response, lmax 0": (
        {"n_radial": 5, "n_channel": 4, "lmax": 0, "rcut_env": 4.0, "lmax_env": 3}
        | {"neuron_env": [6, 12, 5], "n_channel_env": 3, "n_species": 1, **WIDE},
        {"neuron": [9], **WIDE},
    ),
    "response, float32": ({"rcut_env": 2.5, "n_radial": 8}, {}),
    "shared by elements": (
        {"n_radial": 6, "n_channel": 5, "lmax": 3, "n_species": 1, **WIDE},
        {"neuron": [9, 18], **WIDE},
    ),
    "mixed precision": ({"n_radial": 6, "lmax": 2, "n_channel": 8, **WIDE}, {"neuron": [30, 30]}),
}


def wide(weights):
    return weights.map(lambda w: np.asarray(w, np.float64))


def load(file, **values):
    """A frozen model with its specification, weights, and what a test adds."""
    frozen = read_model(str(file))
    spec = ModelSpec.from_dict(frozen.arguments)
    weights = weights_of(spec, frozen.constants)
    return SimpleNamespace(frozen=frozen, spec=spec, weights=weights, **values)


@pytest.fixture(scope="module", params=["mixed", "embedding"])
def before(request, tmp_path_factory):
    """Models that version 0.1.0 trained and froze, with values at points that it gave.

    "mixed" has triples and a table of atomic densities, "embedding" a type map
    with X in the middle. The cell is compressed, so that some neighbour counts
    are new to the models.
    """
    path = tmp_path_factory.mktemp("before") / "charge.pb"
    path.write_bytes(gzip.decompress((DATA / "frozen" / f"{request.param}.pb.gz").read_bytes()))
    values = np.load(DATA / "frozen" / f"{request.param}.npz")
    atoms = Atoms(values["symbols"], values["positions"], cell=values["cell"], pbc=True)
    return load(path, path=path, atoms=atoms, values=values)


@pytest.fixture
def inputs(before):
    """Neighbours of the model's points, nuclei among them."""
    return neighbor_list(before.spec, before.atoms, before.values["points"], before.frozen.reach)


def density(model, atoms, points, weights=None):
    """The reference at points, (n,), in float64 unless other weights are given."""
    arrays = neighbor_list(model.spec, atoms, points, model.frozen.reach)
    weights = weights or wide(model.weights)
    return reference.evaluate(model.spec, weights, *arrays, len(points))[0]


# against graph and engine


@pytest.mark.slow
@pytest.mark.parametrize("name", SETTINGS)
def test_reference_is_the_graph(tmp_path, name):
    descriptor, fitting = SETTINGS[name]
    table = tmp_path / "saed.npz"
    gaussian_table(Si=0.5, C=0.4).save(table)
    path = freeze(tmp_path / "charge.pb", descriptor, fitting, saed=str(table))
    model = load(path)
    assert {*graph_names(model.spec, True).values()} == {
        name
        for name in model.frozen.constants
        if name.startswith(("se_charge", "charge_fitting/", "saed/"))
        and "/" in name
        and name in variables(path)
    }
    atoms = structure(8)
    points = np.random.default_rng(5).uniform(-1.5, 2.5, size=(60, 3)) @ CELL
    points = np.concatenate([points, atoms.positions])
    types = [model.spec.type_map.index(s) for s in atoms.get_chemical_symbols()]
    images = Images(atoms, types, model.frozen.reach)
    graph = FrozenGraph(model.frozen)
    expected = graph.density(images, images.wrap(points))
    assert expected.std() > 0.02
    same = {"float64": 1e-10, "float32": 1e-5}
    precise = {descriptor.get("precision"), fitting.get("precision")} == {"float64"}
    found = density(model, atoms, points, model.weights)
    assert found.dtype == np.float64
    scale = np.maximum(1.0, np.abs(expected))
    assert np.max(np.abs(found - expected) / scale) < same["float64" if precise else "float32"]
    arrays = neighbor_list(model.spec, atoms, points, model.frozen.reach)
    around = neighbors(model.spec, *arrays[:3]).first(len(points))
    found = reference.novelty(model.spec, model.weights, around)[0]
    assert found == pytest.approx(graph.novelty(images, images.wrap(points)), abs=1e-5)


def variables(path):
    """Names of the constants of a frozen graph that are read, as variables are."""
    import tensorflow.compat.v1 as tf

    definition = tf.GraphDef()
    definition.ParseFromString(path.read_bytes())
    return {node.input[0] for node in definition.node if node.name.endswith("/read")}


@pytest.mark.slow
def test_models_made_before_give_the_same(before):
    """By the engine, by the graph, and by the reference, as the version that made them said."""
    values, points = before.values, before.values["points"]
    images = Images(
        before.atoms,
        [before.spec.type_map.index(s) for s in before.atoms.get_chemical_symbols()],
        before.frozen.reach,
    )
    assert np.abs(values["engine"] - values["graph"]).max() < 1e-6
    for found in (
        ChargeModel(before.path).predict_points(before.atoms, points),
        FrozenGraph(before.frozen).density(images, images.wrap(points)),
        density(before, before.atoms, points, before.weights),
        density(before, before.atoms, points),
    ):
        scale = np.maximum(1.0, np.abs(values["engine"]))
        assert np.max(np.abs(found - values["engine"]) / scale) < 1e-5


@pytest.mark.slow
def test_training_starts_from_models_made_before(before):
    """Every parameter of a new model takes its value from the frozen one."""
    from deepmd.tf.model.model import Model
    from deepmd.tf.utils.graph import load_graph_def

    arguments = {k: v for k, v in before.frozen.arguments.items() if k != "saed"}
    model = Model(**arguments)
    model.init_variables(*load_graph_def(str(before.path)))
    found = {}
    for part in (model.descrpt, model.fitting):
        found |= {name: part.parameters.value(name) for name in part.parameters._arrays}
    expected = {k: v for k, v in before.weights.items() if not k.startswith("superposition")}
    assert found.keys() == expected.keys()
    assert all(np.array_equal(found[name], expected[name]) for name in found)


def test_parts_of_models_made_before(before, inputs):
    around = neighbors(before.spec, *inputs)
    found = reference.novelty(before.spec, before.weights, around)[0]
    assert (found > 0.01).any() and (found == 0.0).any()
    assert found == pytest.approx(before.values["novelty"], abs=1e-6)
    if before.weights.superposed:
        found = reference.superposition(before.spec, before.weights, around)[0]
        assert found == pytest.approx(before.values["superposition"], abs=1e-12)
    else:
        assert not before.values["superposition"].any()


@pytest.mark.slow
def test_the_superposition_is_that_of_the_table(tmp_path):
    """Atoms beyond rcut, and the nuclei, against the table's own sum."""
    table = gaussian_table()
    table.save(tmp_path / "saed.npz")
    path = freeze(
        tmp_path / "charge.pb", {"lmax": 0}, {"neuron": [3]}, saed=str(tmp_path / "saed.npz")
    )
    model = load(path)
    assert model.frozen.reach > RCUT
    atoms = structure(5)
    points = np.concatenate(
        [np.random.default_rng(2).uniform(-1, 2, (40, 3)) @ CELL, atoms.positions]
    )
    around = neighbors(model.spec, *neighbor_list(model.spec, atoms, points, model.frozen.reach))
    found = reference.superposition(model.spec, model.weights, around)[0]
    assert found == pytest.approx(table.evaluate(atoms, points), abs=1e-12)


# symmetries and smoothness


@pytest.mark.parametrize("reflect", [1.0, -1.0], ids=["rotation", "reflection"])
def test_rotation_and_reflection(before, reflect):
    points = before.values["points"]
    turn = reflect * Rotation.random(rng=2).as_matrix()
    turned = before.atoms.copy()
    turned.set_cell(turned.cell.array @ turn.T)
    turned.positions = turned.positions @ turn.T
    expected = density(before, before.atoms, points)
    assert density(before, turned, points @ turn.T) == pytest.approx(expected, abs=1e-10)


def test_permutation_images_and_translation(before):
    points = before.values["points"]
    expected = density(before, before.atoms, points)
    other = before.atoms[[2, 3, 1, 0]]
    other.positions[1] += 3 * other.cell[0] - 2 * other.cell[2]
    assert density(before, other, points) == pytest.approx(expected, abs=1e-10)
    shift = np.array([17.3, -4.1, 0.77])
    other.positions += shift
    assert density(before, other, points + shift) == pytest.approx(expected, abs=1e-10)


def test_the_order_of_neighbours_and_what_stands_among_them_do_not_matter(before, inputs):
    """Padding, atoms beyond the reach, grid points, and places that hold no atom."""
    spec, weights = before.spec, wide(before.weights)
    coord, atype, nlist = inputs
    expected = reference.evaluate(spec, weights, *inputs)
    n_points, n_atoms = nlist.shape[1], coord.shape[1]
    far = np.array([[[1e3, 0.0, 0.0], [5.0, 5.0, 5.0]]])
    coord = np.concatenate([coord, far], axis=1)
    atype = np.concatenate([atype, [[spec.elements[0], -1]]], axis=1)
    extra = np.stack(
        [np.full(n_points, n_atoms), np.full(n_points, n_atoms + 1), np.arange(n_points)[::-1]]
    )
    longer = np.concatenate([nlist, np.full((1, n_points, 2), -1), extra.T[None]], axis=2)
    longer = np.random.default_rng(0).permuted(longer, axis=2)
    found = reference.evaluate(spec, weights, coord, atype, longer)
    assert found == pytest.approx(expected, abs=1e-12)


def test_frames_do_not_mix(before):
    """Two structures in one call, as each of them alone."""
    spec, weights = before.spec, wide(before.weights)
    points = before.values["points"]
    frames = [
        neighbor_list(spec, atoms, points, before.frozen.reach)
        for atoms in (before.atoms, structure(4), structure(5)[:1])
    ]
    alone = [reference.evaluate(spec, weights, *frame)[0] for frame in frames]
    sizes = [max(f[k].shape[d] for f in frames) for k, d in ((0, 1), (1, 1), (2, 2))]

    def padded(array, axis, size, value):
        width = [(0, 0)] * array.ndim
        width[axis] = (0, size - array.shape[axis])
        return np.pad(array, width, constant_values=value)

    together = [
        np.concatenate([padded(f[k], axis, size, value) for f in frames])
        for k, axis, size, value in zip(range(3), (1, 1, 2), sizes, (0.0, -1, -1), strict=True)
    ]
    assert reference.evaluate(spec, weights, *together) == pytest.approx(np.stack(alone), abs=1e-12)


def test_without_neighbours_the_density_is_one_number(before):
    spec, weights = before.spec, before.weights
    coord = np.random.default_rng(0).normal(size=(1, 6, 3))
    atype = np.array([[spec.grid_type] * 4 + [spec.elements[0]] * 2])  # the last is no padding
    values = [
        reference.evaluate(spec, weights, coord, atype, np.full((1, 5, most), -1))
        for most in (0, 3)
    ]
    assert np.array_equal(*values)
    assert np.isfinite(values[0]).all()
    assert np.all(values[0][0, :4] == values[0][0, 0]) and values[0][0, 0] != 0.0
    assert values[0][0, 4] == 0.0  # an atom is no grid point
    alone = density(before, Atoms("Si"), np.array([[99.0, 0.0, 0.0]]), weights)
    assert alone == pytest.approx(values[0][0, :1], abs=1e-6)


@pytest.mark.parametrize("distance", [0.0, RCUT], ids=["nucleus", "cutoff"])
def test_density_is_smooth(before, distance):
    """Second differences along a line fall with h^2 through a nucleus and through r = rcut."""
    atoms = before.atoms.copy()
    atoms.pbc = False
    direction = np.array([0.48, 0.6, 0.64])
    bends = []
    for h in (0.02, 0.01, 0.005):
        t = distance + h * (np.arange(-8, 9) + 0.3)
        values = density(before, atoms, atoms.positions[0] + t[:, None] * direction)
        bends.append(np.abs(np.diff(values, n=2)).max())
    # a kink would halve them, a jump keep them
    assert bends[1] < 0.3 * bends[0]
    assert bends[2] < 0.3 * bends[1]


# namespaces and precision


def test_float32_is_float64_within_rounding(before, inputs):
    coord, atype, nlist = inputs
    expected = reference.evaluate(before.spec, wide(before.weights), *inputs)
    narrow = before.weights.map(lambda w: np.asarray(w, np.float32))
    found = reference.evaluate(before.spec, narrow, coord.astype(np.float32), atype, nlist)
    assert found.dtype == np.float32
    assert found == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("precision", ["float32", "float64"])
@pytest.mark.parametrize("module", ["array_api_strict", "torch", "jax.numpy"])
def test_other_namespaces(before, inputs, module, precision):
    xp = pytest.importorskip(module)
    if module == "jax.numpy":
        import jax

        jax.config.update("jax_enable_x64", True)

    def arrays(coord, atype, nlist):
        return coord.astype(precision), atype, nlist

    weights = before.weights.map(lambda w: np.array(w, precision))
    expected = reference.evaluate(before.spec, weights, *arrays(*inputs))
    found = reference.evaluate(
        before.spec, weights.map(xp.asarray), *map(xp.asarray, arrays(*inputs))
    )
    assert type(found) is type(xp.asarray(inputs[0]))
    close = {"float32": 1e-5, "float64": 1e-12}[precision]
    assert np.asarray(found).dtype == precision
    assert np.asarray(found) == pytest.approx(expected, abs=close)


EAGER = """
import pickle, sys
import numpy as np
import tensorflow as tf
from deepmd._vendors import ndtensorflow as xp
from deepmd_charge.model import reference
from deepmd_charge.model.equations.layers import hidden

with open(sys.argv[1], "rb") as file:
    spec, weights, (coord, atype, nlist), expected = pickle.load(file)

def array(x):
    return xp.asarray(tf.convert_to_tensor(x))

x = tf.constant(coord)
with tf.GradientTape() as tape:
    tape.watch(x)
    found = reference.evaluate(spec, weights.map(array), xp.asarray(x), array(atype), array(nlist))
    total = tf.reduce_sum(found.unwrap())
assert np.abs(found.unwrap().numpy() - expected).max() < 1e-12
np.save(sys.argv[2], tape.gradient(total, x).numpy())
"""


@pytest.mark.slow
def test_the_namespace_of_deepmd_kit_and_its_derivative(before, inputs, tmp_path):
    """TensorFlow's eager arrays, with the gradient at points and on nuclei."""
    import pickle

    pytest.importorskip("deepmd._vendors.ndtensorflow")
    spec, weights = before.spec, wide(before.weights)
    coord, atype, nlist = inputs
    coord[0, :2] = coord[0, nlist[0, :2, 0]]  # on a neighbour, to the last bit
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
    n, h = nlist.shape[1], 1e-4
    for k in range(3):
        ends = []
        for sign in (1, -1):
            moved = coord.copy()
            moved[0, :n, k] += sign * h
            ends.append(reference.evaluate(spec, weights, moved, atype, nlist)[0])
        assert gradient[:n, k] == pytest.approx((ends[0] - ends[1]) / (2 * h), abs=1e-5)


def test_no_loop_over_points_frames_or_neighbours(before):
    """As many functions are called for one point as for many, in any number of frames."""

    def calls(n_points, n_frames):
        coord, atype, nlist = (
            np.repeat(array, n_frames, axis=0)
            for array in neighbor_list(
                before.spec, before.atoms, before.values["points"][:n_points], before.frozen.reach
            )
        )
        count = 0

        def count_calls(frame, event, argument):
            nonlocal count
            count += event in ("call", "c_call")

        gc.disable()  # a collection may call what is registered with it, at any time
        sys.setprofile(count_calls)
        try:
            reference.evaluate(before.spec, before.weights, coord, atype, nlist)
        finally:
            sys.setprofile(None)
            gc.enable()
        return count

    with np.errstate(over="ignore"):
        calls(1, 1)  # imports, and fills caches
        assert calls(1, 1) == calls(40, 1) == calls(40, 3) > 100


# weights


def test_weights_of_another_model_are_refused(before):
    spec, arrays = before.spec, dict(before.weights)
    with pytest.raises(ChargeError, match=r"fitting.output.bias missing or unknown"):
        Weights(spec, {k: v for k, v in arrays.items() if k != "fitting.output.bias"})
    with pytest.raises(ChargeError, match=r"fitting.more missing or unknown"):
        Weights(spec, {**arrays, "fitting.more": np.zeros(1)})
    for wrong in (np.zeros(3), np.zeros((2, 2)), np.zeros(())):
        with pytest.raises(ChargeError, match=r"neighbor_range.low has shape"):
            Weights(spec, {**arrays, "neighbor_range.low": wrong})
    constants = dict(before.frozen.constants)
    del constants["charge_fitting/residual"]
    with pytest.raises(ChargeError, match="has no charge_fitting/residual"):
        weights_of(spec, constants)


def test_a_table_of_any_length_fits(before):
    if not before.weights.superposed:
        pytest.skip("without a table")
    name = "superposition.coefficients"
    shorter = {**before.weights, name: before.weights[name][:, :7]}
    assert Weights(before.spec, shorter)[name].shape == (2, 7, 4)
    assert shapes(before.spec, True)[name] == (2, None, 4)
    with pytest.raises(ChargeError, match="coefficients has shape"):
        Weights(before.spec, {**before.weights, name: before.weights[name][:1]})


@pytest.mark.slow
def test_layers_of_every_activation_that_deepmd_kit_knows():
    """In training's graph as in plain arrays, also where DeePMD-kit's operation forgets shapes."""
    from deepmd.tf.common import VALID_ACTIVATION, get_activation_func
    from deepmd.tf.env import tf

    from deepmd_charge.backends.tf.parameters import Parameters, network, new_network

    x = np.random.default_rng(0).normal(size=(20, 3))
    for name in VALID_ACTIVATION:
        with tf.Graph().as_default(), tf.Session() as session:
            p = Parameters(tf.float64)
            new_network(p, "fitting", np.random.default_rng(1), [3, 6, 6, 5], [True] * 3)
            p.build()
            inputs = tf.placeholder(tf.float64, [None, 3])
            output = network(p, "fitting", inputs, 3, get_activation_func(name), True)
            session.run(tf.global_variables_initializer())
            found = session.run(output, {inputs: x})
        layers = [
            (p.value(f"fitting.matrix[{k}]"), p.value(f"fitting.bias[{k}]")) for k in range(3)
        ]
        expected = hidden(np, x, layers, name, True)
        assert found == pytest.approx(expected, abs=1e-12), name
