# SPDX-License-Identifier: LGPL-3.0-or-later
"""Engine and graph are one model, whatever its settings; else the graph is used, audibly."""

import json
import re
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from freezing import Reference, compiled, freeze
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from training import CELL, structure

from deepmd_charge import ChargeModel
from deepmd_charge.atoms.images import Images
from deepmd_charge.backends.tf.frozen import read_model
from deepmd_charge.backends.tf.graph import FrozenGraph
from deepmd_charge.cli.main import main
from deepmd_charge.engine.engine import Engine, Unsupported
from deepmd_charge.model.kernels.coupling import TRIPLES
from deepmd_charge.model.kernels.radial import RADIAL_BASES

pytestmark = pytest.mark.slow

TOLERANCE = {"float32": 1e-5, "float64": 1e-9}
WIDE = {"precision": "float64"}
KINKED = ("relu", "relu6", "silut", "silut:0.5", "silut:10")
SMOOTH = ("tanh", "silu", "gelu", "gelu_tf", "sigmoid", "softplus", "linear", "none")


def scene(frozen, seed):
    """Atoms of that model, and points between, on and near them."""
    atoms = structure(seed)
    rng = np.random.default_rng(seed)
    types = [frozen.type_map.index(s) for s in atoms.get_chemical_symbols()]
    images = Images(atoms, types, frozen.reach)
    away = rng.normal(size=(len(atoms), 3)) * 10.0 ** rng.uniform(-4, 0, (len(atoms), 1))
    spread = rng.uniform(-1.5, 2.5, size=(40, 3)) @ CELL
    return images, images.wrap(np.concatenate([spread, atoms.positions, atoms.positions + away]))


def distance(found, expected):
    return np.max(np.abs(found - expected) / np.maximum(1.0, np.abs(expected)))


def assert_one_model(frozen, seed=8):
    """Engine, graph and equations agree; returns the engine."""
    images, points = scene(frozen, seed)
    engine, graph = compiled(frozen), FrozenGraph(frozen)
    exact = Reference(frozen)(images, points)
    own = {frozen.arguments[part]["precision"] for part in ("descriptor", "fitting_net")}
    found, expected = engine.density(images, points), graph.density(images, points)
    assert distance(found, exact) <= TOLERANCE["float64" if "float64" in own else "float32"]
    if own == {"float64"}:
        assert distance(found, expected) <= TOLERANCE["float64"]
    else:  # what the graph's own rounding comes to
        rounding = distance(Reference(frozen, rounded=True)(images, points), exact)
        assert rounding <= 1e-4
        assert distance(expected, exact) <= max(TOLERANCE["float32"], 5.0 * rounding)
    assert engine.novelty(images, points) == pytest.approx(graph.novelty(images, points), abs=1e-5)
    return engine


@st.composite
def models(draw):
    """Descriptor, fitting net and type map, each key at its extremes too."""

    def one_of(*values):
        return draw(st.sampled_from(values))

    # of the large ones few at a time: they take LLVM seconds
    lmax, n_channel = one_of((0, 33), (1, 17), (2, 8), (3, 16), (4, 1), (4, 5), (6, 2), (6, 6))
    rcut = one_of(1.2, 2.0, 3.5, 5.0, 6.5)
    radial = one_of(*RADIAL_BASES, "embedding")
    descriptor = {
        "rcut": rcut,
        "radial": radial,
        "n_radial": one_of(1, 2, 3, 7, 24, 48, 100),
        "core": one_of(1e-3, 1e-2, 0.1, 0.15, 0.5, 2.0, 10.0, 1e4),
        "lmax": lmax,
        "n_channel": n_channel,
        "n_triple": draw(st.integers(1, n_channel)),
        "eps": one_of(1e-3, 1e-2, 0.1, 0.5, 2.0, 10.0),
        "rcut_smth": rcut * one_of(0.0, 0.01, 0.1, 0.5, 0.9, 0.999),
        "neuron": one_of([1], [5], [5, 10], [4, 8, 8], [3, 3, 6], [20, 40, 80], [7, 3]),
        "activation_function": one_of(*SMOOTH, *KINKED),
        "precision": one_of("default", "float32", "float64"),
        "n_species": one_of(0, 1, 2),
        "rcut_env": one_of(0.0, 0.0, 1.2, 3.5, 6.0) if radial != "embedding" else 0.0,
        "n_radial_env": one_of(1, 5, 24),
        "lmax_env": one_of(0, 1, 6),
        "n_channel_env": one_of(1, 4, 9),
        "neuron_env": one_of([1], [8], [5, 10, 10]),
        "seed": draw(st.integers(0, 99)),
    }
    n = descriptor["neuron"][-1] if descriptor["radial"] == "embedding" else n_channel
    descriptor["axis_neuron"] = draw(st.integers(1, min(n, 6)))
    possible = [list(t) for t in TRIPLES if max(t) <= min(lmax, 4)]
    chosen = st.sampled_from(possible).flatmap(st.permutations) if possible else st.nothing()
    descriptor["triples"] = draw(st.lists(chosen, max_size=3 if possible else 0))
    fitting = {
        "neuron": one_of([1], [9, 18, 7], [64, 64, 64], [10, 20, 40], [72, 144]),
        "activation_function": one_of(*SMOOTH, *KINKED),
        "resnet": one_of(True, False),
        "precision": one_of("default", "float64"),
        "seed": 1,
    }
    orders = ["Si", "C", "X"], ["X", "Si", "C"], ["C", "X", "Si"], ["O", "Si", "X", "C", "H"]
    return descriptor, fitting, one_of(*orders)


@settings(
    max_examples=30,
    deadline=None,
    phases=[Phase.generate],
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(model=models(), seed=st.integers(0, 99))
def test_whatever_the_settings(tmp_path, model, seed):
    descriptor, fitting, type_map = model
    frozen = read_model(str(freeze(tmp_path / "charge.pb", descriptor, fitting, type_map)))
    try:
        assert_one_model(frozen, seed)
        return
    except Unsupported as error:
        reason = str(error)
    if "resolve" in reason:
        assert descriptor["radial"] == "embedding"
        assert descriptor["activation_function"] in KINKED
    else:  # a float32 that no graph can be trusted in
        assert "rounding" in reason
        assert descriptor["n_radial"] >= 48


SHARP = {
    "core 0.15": {"radial": "chebyshev", "core": 0.15},
    "core 0.1": {"radial": "chebyshev", "core": 0.1},
    "core 0.01, float64": {"radial": "chebyshev", "core": 0.01, **WIDE},
    "48 functions": {"radial": "chebyshev", "n_radial": 48},
    "100 functions, float64": {"radial": "chebyshev", "n_radial": 100, "lmax": 1, **WIDE},
    "1/r": {"radial": "embedding", "eps": 1e-3},
    "cut at once": {"radial": "embedding", "rcut_smth": 3.49, **WIDE},
    "silut": {"radial": "embedding", "activation_function": "silut:0.5"},
}


@pytest.mark.parametrize("name", SHARP)
def test_sharp_radial_functions(tmp_path, name):
    """They are resolved, not left to the graph.

    One scale for all of r would take too many intervals.
    """
    descriptor = {"lmax": 2, "n_channel": 6, **SHARP[name]}
    fitting = WIDE if descriptor.get("precision") else {}
    assert_one_model(read_model(str(freeze(tmp_path / "charge.pb", descriptor, fitting))))


SMALL = {"lmax": 1, "n_radial": 4, "n_channel": 4, "neuron": [4]}


@pytest.fixture(scope="module")
def small(tmp_path_factory):
    return freeze(tmp_path_factory.mktemp("small") / "charge.pb", SMALL, {"neuron": [8]})


def replaced(path, small, old, new):
    """A copy of the model in which some bytes are as many others."""
    data = small.read_bytes()
    assert old in data and len(old) == len(new)
    path.write_bytes(data.replace(old, new))
    return path


def cause(name, path, small, monkeypatch):
    """A model for which there is no engine."""
    if name == "an unknown argument":
        return replaced(path, small, b'"n_triple"', b'"a_future"')
    if name == "an unknown type":
        return replaced(path, small, b'"type": "se_charge"', b'"type": "se_future"')
    if name == "an unknown activation":
        return replaced(path, small, b'"silu"', b'"shlu"')
    if name == "no training script":
        return replaced(path, small, b"train_attr/training_script", b"train_attr/training_sheets")
    if name == "kinks":
        kinked = {**SMALL, "radial": "embedding", "activation_function": "relu", **WIDE}
        return freeze(path, kinked, {"neuron": [8]})
    if name == "broken llvmlite":

        def fail(*_):
            raise RuntimeError("LLVM ERROR\nin two lines")

        monkeypatch.setattr("deepmd_charge.engine.compiler.Machine.compile", fail)
    if name == "wrong code":
        from deepmd_charge.engine.kernel import Kernel

        call = Kernel.__call__
        monkeypatch.setattr(Kernel, "__call__", lambda *arguments: call(*arguments) + 1e-4)
    return small


CAUSES = {
    "an unknown argument": "of the arguments of its descriptor a_future unknown",
    "an unknown type": "its descriptor is of type se_future",
    "an unknown activation": "its activation_function shlu",
    "no training script": "it does not hold the input.json of its training",
    "kinks": "intervals do not resolve the radial functions to 2e-11",
    "broken llvmlite": r"it cannot be compiled here \(RuntimeError: LLVM ERROR in two lines\); "
    "pip install --force-reinstall 'llvmlite>=.*'",
    "wrong code": "compiled it is off by 1e-04 e/A\\^3",
}


@pytest.mark.parametrize("name", CAUSES)
def test_without_an_engine_the_graph_is_used_audibly(tmp_path, small, monkeypatch, name):
    path = cause(name, tmp_path / "charge.pb", small, monkeypatch)
    frozen = read_model(str(path))
    images, points = scene(frozen, 8)
    expected = FrozenGraph(frozen).density(images, points)
    model = ChargeModel(path)
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        found = model.predict_points(structure(8), points)
        model.predict_points(structure(8), points)
    [one] = [str(w.message) for w in caught if "8 times slower" in str(w.message)]
    assert one.startswith(f"{path}: its TensorFlow graph is used, which is about 8 times slower")
    assert "\n" not in one
    assert re.search(CAUSES[name] + "$", one)
    assert caught[0].filename == __file__
    assert np.array_equal(found, expected)


def test_the_command_line_says_so_once(tmp_path, small, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    replaced(Path("charge.pb"), small, b'"n_triple"', b'"a_future"')
    structure(8).write("POSCAR", format="vasp")
    assert (
        main(
            ["predict", "-m", "charge.pb", "-s", "POSCAR", "--grid", "5", "6", "7", "-o", "CHGCAR"]
        )
        == 0
    )
    said = [line for line in capsys.readouterr().err.splitlines() if "a_future" in line]
    assert len(said) == 1 and said[0].startswith(
        "deepmd-charge: warning: charge.pb: its TensorFlow graph"
    )


def test_ordinary_models_are_compiled_and_silent(trained, differed, precise_model):
    for path in (trained / "charge.pb", differed / "charge.pb", precise_model.path):
        model = ChargeModel(path)
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            engine = model._backend
        assert isinstance(engine, Engine)
        frozen = read_model(str(path))
        images, points = scene(frozen, 8)
        error = distance(engine.difference(images, points), Reference(frozen)(images, points))
        # a model in float32 is computed in float32, which is faster
        assert (error > 1e-9) == (engine.precision == "float32")


# what is done to llvmlite before the package is imported, and what the user is told
NO_COMPILER = {
    "absent": ('sys.modules["llvmlite"] = None', "ModuleNotFoundError: .*llvmlite"),
    "broken": ('sys.path.insert(0, "broken")', "OSError: Could not find/load shared object file"),
    "without a symbol": (
        "import llvmlite.binding; del llvmlite.binding.create_lljit_compiler",
        "AttributeError: module 'llvmlite.binding' has no attribute 'create_lljit_compiler'",
    ),
    "too old": (
        "import llvmlite.ir; llvmlite.ir.PointerType = lambda pointee: None",
        "TypeError: .* missing 1 required positional argument: 'pointee'",
    ),
}


@pytest.mark.parametrize("fault", NO_COMPILER)
def test_without_llvmlite(differed, tmp_path, fault):
    """Nothing else is missing: the model is predicted by its graph, with its atomic densities."""
    setup, reason = NO_COMPILER[fault]
    (tmp_path / "broken").mkdir()
    (tmp_path / "broken" / "llvmlite.py").write_text(
        'raise OSError("Could not find/load shared object file")'
    )
    path = differed / "charge.pb"
    points = structure(8).positions + np.array([0.1, 0.2, 0.3])
    script = f"""
import sys, json, warnings
{setup}
sys.path.insert(0, {str(Path(__file__).parent)!r})
import numpy as np
from training import structure
from deepmd_charge import ChargeModel
points = np.array({points.tolist()})
with warnings.catch_warnings(record=True) as caught:
    warnings.simplefilter("always")
    model = ChargeModel({str(path)!r})
    field = model.field(structure(8))
    found = [part(points).tolist() for part in (field, field.difference, field.superposition)]
    found.append(model.predict_points(structure(8), points).tolist())
print(json.dumps([[str(w.message) for w in caught], found]))
"""
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr and "Exception ignored" not in done.stderr
    said, found = json.loads(done.stdout.splitlines()[-1])
    [line] = said
    assert re.fullmatch(
        f"{path}: its TensorFlow graph is used, which is about 8 times slower than compiled code: "
        rf"it cannot be compiled here \({reason}.*\); pip install --force-reinstall "
        "'llvmlite>=0.45,<0.51'",
        line,
    )
    field = ChargeModel(path).field(structure(8))
    parts = (field, field.difference, field.superposition, field)
    for values, part in zip(found, parts, strict=True):
        assert distance(np.array(values), part(points)) <= 1e-5
    assert distance(np.array(found[2]), field.superposition(points)) <= 1e-12


def test_the_versions_of_llvmlite_are_those_that_are_installed():
    """What a user is told to install is what the package asks for."""
    from deepmd_charge.engine.engine import _COMPILER

    declared = (Path(__file__).parents[1] / "pyproject.toml").read_text()
    assert f'"{_COMPILER}",' in declared


def test_gelu_is_deepmds_own(tmp_path):
    """Its operator has to be loaded before the graph, and says nothing of shapes."""
    path = freeze(tmp_path / "charge.pb", SMALL, {"neuron": [4, 8], "activation_function": "gelu"})
    frozen = read_model(str(path))
    assert_one_model(frozen)
    script = f"""
from deepmd_charge.backends.tf.frozen import read_model
from deepmd_charge.backends.tf.graph import FrozenGraph
FrozenGraph(read_model({str(path)!r}))
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def test_what_float32_is_too_coarse_for(tmp_path):
    """One radial function, the sum of which over hundreds of atoms hardly varies."""
    descriptor = {
        "rcut": 6.5,
        "n_radial": 1,
        "lmax": 1,
        "n_channel": 33,
        "axis_neuron": 8,
        "eps": 10.0,
        "seed": 158,
    }
    fitting = {"neuron": [1], "activation_function": "relu6", "resnet": False, "seed": 158}
    frozen = read_model(str(freeze(tmp_path / "charge.pb", descriptor, fitting, ["X", "Si", "C"])))
    engine, scenery = assert_one_model(frozen), scene(frozen, 8)
    assert engine.precision == "float32"
    assert distance(engine.density(*scenery), Reference(frozen)(*scenery)) <= TOLERANCE["float64"]
