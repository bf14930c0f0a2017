# SPDX-License-Identifier: LGPL-3.0-or-later
"""The specification of a model: its keys, what goes together, and what follows from them."""

import itertools
import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.transform import Rotation
from test_configs import CONFIGS, ident
from training import structure

from deepmd_charge import ChargeError
from deepmd_charge.model import reference
from deepmd_charge.model.descriptors.se_charge import SeChargeSpec
from deepmd_charge.model.equations import channels
from deepmd_charge.model.kernels.coupling import TRIPLES
from deepmd_charge.model.kernels.radial import RADIAL_BASES
from deepmd_charge.model.keys import keys_of
from deepmd_charge.model.neighbors import neighbor_list, neighbors
from deepmd_charge.model.spec import FittingSpec, LossSpec, ModelSpec, places
from deepmd_charge.model.weights import Weights, shapes

PLAIN = {
    "type_map": ["Si", "C", "X"],
    "descriptor": {"type": "se_charge", "rcut": 3.5},
    "fitting_net": {"type": "charge"},
}


@pytest.mark.parametrize("path", CONFIGS, ids=ident)
def test_ready_configurations_are_specifications(path):
    config = json.loads(path.read_text())
    spec = ModelSpec.from_dict(config["model"])
    assert spec.descriptor.rcut == config["model"]["descriptor"]["rcut"]
    assert list(spec.type_map) == config["model"]["type_map"]
    LossSpec.from_dict(config["loss"])


def test_what_is_not_given_has_its_default():
    spec = ModelSpec.from_dict(PLAIN)
    assert spec.descriptor == SeChargeSpec(rcut=3.5)
    assert spec.fitting_net == FittingSpec(neuron=[64, 64, 64], trainable=True)
    assert (spec.saed, spec.info) == (None, {})
    assert spec.descriptor.dtype == "float32"
    for cls in (SeChargeSpec, FittingSpec, LossSpec, ModelSpec):
        assert all(k.doc.endswith(".") or k.doc.endswith("...") for k in keys_of(cls))


def test_values_are_of_the_types_of_their_keys():
    d = SeChargeSpec.from_dict(
        {"type": "se_charge", "rcut": 4, "triples": [[1, 1, 2]], "neuron": [3, 6], "seed": None}
    )
    assert isinstance(d.rcut, float) and d.rcut == 4.0
    assert (d.triples, d.neuron, d.seed) == (((1, 1, 2),), (3, 6), None)
    assert hash(d) == hash(SeChargeSpec(4.0, triples=((1, 1, 2),), neuron=(3, 6)))
    fitting = FittingSpec.from_dict({"n_neuron": [5], "trainable": [True, False]})
    assert (fitting.neuron, fitting.trained) == ((5,), (True, False))
    assert FittingSpec(neuron=(2, 2), trainable=False).trained == (False,) * 3


@pytest.mark.parametrize(
    "cls, values, complaint",
    [
        (
            SeChargeSpec,
            {"rcut": 3.5, "rcutt": 1, "sel": 3},
            "descriptor: unknown rcutt, sel; the keys are rcut",
        ),
        (SeChargeSpec, {}, "model/descriptor/rcut is missing"),
        (SeChargeSpec, {"rcut": 0}, "model/descriptor/rcut 0 must be positive"),
        (SeChargeSpec, {"rcut": float("nan")}, "rcut nan must be positive"),
        (SeChargeSpec, {"rcut": "6"}, "rcut '6' must be of type float"),
        (SeChargeSpec, {"rcut": True}, "rcut True must be of type float"),
        (SeChargeSpec, {"rcut": None}, "rcut None must be of type float"),
        (
            SeChargeSpec,
            {"rcut": 3, "radial": "no_such_basis"},
            f"must be one of {', '.join([*RADIAL_BASES, 'embedding'])}$",
        ),
        (SeChargeSpec, {"rcut": 3, "lmax": 7}, "lmax 7 must lie between 0 and 6"),
        (SeChargeSpec, {"rcut": 3, "lmax": 2.0}, "lmax 2.0 must be of type int"),
        (SeChargeSpec, {"rcut": 3, "triples": [[1, 1, 1]]}, "must hold triples of even sum"),
        (SeChargeSpec, {"rcut": 3, "triples": [1, 1, 2]}, r"must be of type list\[list\[int\]\]"),
        (
            SeChargeSpec,
            {"rcut": 3, "neuron": []},
            r"neuron \[\] must be a list of positive numbers",
        ),
        (
            SeChargeSpec,
            {"rcut": 3, "precision": "half"},
            'must be "default", "float32" or "float64"',
        ),
        (SeChargeSpec, {"rcut": 3, "seed": 1.5}, "seed 1.5 must be of type int or null"),
        (SeChargeSpec, {"rcut": 3, "rcut_smth": -1}, "rcut_smth -1 must not be negative"),
        (
            SeChargeSpec,
            {"rcut": 3, "lmax": 1, "triples": [[1, 1, 2]]},
            r"\[\[1, 1, 2\]\]: an l above lmax 1",
        ),
        (SeChargeSpec, {"rcut": 3, "n_channel": 3}, "axis_neuron 4 is more than the 3 channels"),
        (
            SeChargeSpec,
            {"rcut": 3, "n_channel": 4, "triples": [[1, 1, 2]]},
            "n_triple 8 is more than the 4 channels",
        ),
        (
            SeChargeSpec,
            {"rcut": 3, "radial": "embedding", "neuron": [9, 3]},
            "axis_neuron 4 is more than the 3 channels",
        ),
        (
            SeChargeSpec,
            {"rcut": 3, "radial": "embedding", "rcut_smth": 3},
            "3.0 must lie below rcut 3.0",
        ),
        (
            FittingSpec,
            {"trainable": [True]},
            "trainable has 1 values; give one for each of the 3 hidden",
        ),
        (FittingSpec, {"trainable": 1}, r"trainable 1 must be of type list\[bool\] or bool"),
        (FittingSpec, {"neuron": [3, 0]}, "must be a list of positive numbers"),
        (
            LossSpec,
            {"type": "charge", "loss_func": "l2"},
            "loss/loss_func 'l2' must be one of mse, mae, huber",
        ),
        (LossSpec, {"start_pref_e": 1.0}, "loss: unknown start_pref_e"),
        (
            ModelSpec,
            {**PLAIN, "type_map": ["Si", "X", "X"]},
            'each element once, and the grid type "X" once',
        ),
        (ModelSpec, {**PLAIN, "type_map": ["Si", "Si", "X"]}, "each element once"),
        (ModelSpec, {**PLAIN, "type_map": ["Si"]}, "each element once"),
        (ModelSpec, {**PLAIN, "type_map": ["Si", "", "X"]}, "a name is empty or has blanks"),
        (ModelSpec, {**PLAIN, "type_map": ["Si 1", "X"]}, "a name is empty or has blanks"),
        (ModelSpec, {**PLAIN, "type_map": ["Si", "X "]}, "a name is empty or has blanks"),
        (ModelSpec, {**PLAIN, "a_future": 1}, "model: unknown a_future"),
        (
            ModelSpec,
            {**PLAIN, "fitting_net": {"type": "ener"}},
            'fitting_net/type "ener" does not go with',
        ),
        (
            ModelSpec,
            {**PLAIN, "descriptor": {"type": "se_a"}},
            'descriptor/type "se_a" .* use "se_charge"',
        ),
        (
            ModelSpec,
            {"descriptor": PLAIN["descriptor"], "type_map": ["X"]},
            "model/fitting_net is missing",
        ),
    ],
)
def test_what_is_wrong_is_said_in_one_line(cls, values, complaint):
    with pytest.raises(ChargeError, match=complaint) as error:
        cls.from_dict(values)
    assert "\n" not in str(error.value)


def test_what_the_embedding_does_not_use_is_not_held_against_it():
    spec = SeChargeSpec(3.0, radial="embedding", lmax=1, triples=[[1, 1, 2]], n_channel=2)
    assert (spec.products, spec.channels, spec.dim_linear(2)) == ((), 80, 0)
    SeChargeSpec(3.0, rcut_smth=9.0)


def specifications():
    """Any settings, small enough to be evaluated at once."""
    n = st.integers(1, 5)
    descriptor = st.fixed_dictionaries(
        {
            "type": st.just("se_charge"),
            "rcut": st.floats(2.0, 4.0),
            "radial": st.sampled_from([*RADIAL_BASES, "embedding"]),
            "n_radial": n,
            "core": st.floats(0.1, 1.0),
            "lmax": st.integers(0, 6),
            "n_channel": n,
            "axis_neuron": n,
            "triples": st.lists(st.sampled_from(TRIPLES).map(list), max_size=3),
            "n_triple": n,
            "n_species": st.integers(0, 3),
            "rcut_env": st.sampled_from([0.0, 2.5]),
            "n_radial_env": n,
            "lmax_env": st.integers(0, 6),
            "n_channel_env": n,
            "neuron_env": st.lists(n, min_size=1, max_size=3),
            "eps": st.floats(0.05, 1.0),
            "neuron": st.lists(n, min_size=1, max_size=3),
        }
    )
    fitting = st.fixed_dictionaries(
        {
            "type": st.just("charge"),
            "neuron": st.lists(n, min_size=1, max_size=3),
            "resnet": st.booleans(),
        }
    )
    types = st.permutations(["Si", "C", "X"])
    return st.fixed_dictionaries(
        {"type_map": types, "descriptor": descriptor, "fitting_net": fitting}
    )


@settings(max_examples=60, deadline=None)
@given(specifications(), st.integers(0, 99))
def test_sizes_are_those_of_the_equations_and_any_model_is_invariant(arguments, seed):
    """Whatever the settings: the shapes fit, and turning the structure changes nothing."""
    try:
        spec = ModelSpec.from_dict(arguments)
    except ChargeError as error:
        complaint = str(error)
    else:
        complaint = None
    if complaint is not None:
        known = "channels; lower it", "above lmax", "does not go with radial embedding"
        assert any(words in complaint for words in known)
        return
    rng = np.random.default_rng(seed)
    arrays = {
        name: np.asarray(rng.uniform(0.1, 1.0, [7 if n is None else n for n in shape]))
        for name, shape in shapes(spec, superposed=True).items()
    }
    weights = Weights(spec, arrays)
    atoms, points = structure(seed), rng.uniform(-1, 5, (4, 3))
    turn = Rotation.random(rng=rng).as_matrix() * rng.choice([-1.0, 1.0])
    values = []
    for matrix in (np.eye(3), turn):
        turned = atoms.copy()
        turned.set_cell(atoms.cell.array @ matrix.T)
        turned.positions = atoms.positions @ matrix.T
        arrays = neighbor_list(spec, turned, points @ matrix.T, 7.0)
        d, around = spec.descriptor, neighbors(spec, *arrays).first(4)
        moments = channels.charge_moments(d, weights, around, 2)
        if d.embedded:
            features = channels.gram(moments, d.axis_neuron)
        else:
            found = channels.channels(d, weights, moments, 2, "descriptor")
            features = channels.invariants(d, found)
        assert features.shape == (1, 4, d.dim_invariant)
        density = reference.evaluate(spec, weights, *arrays, 4)
        values.append(np.concatenate([features[0], density.T], axis=1))
    assert values[1] == pytest.approx(values[0], rel=1e-7, abs=1e-9)


def test_no_framework_is_loaded():
    code = (
        "import sys, deepmd_charge.model.reference, deepmd_charge.backends.tf.names;"
        "sys.exit(bool({'tensorflow', 'deepmd', 'torch'} & sys.modules.keys()))"
    )
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


@pytest.mark.parametrize("type_map", list(itertools.permutations(["Si", "C", "X"])))
def test_elements_keep_their_places_wherever_the_grid_type_stands(type_map):
    elements = [name for name in type_map if name != "X"]
    found = places(type_map)
    assert [found[type_map.index(name)] for name in elements] == [0, 1]
    assert found[type_map.index("X")] in (0, 1)
    assert places(["X", "Si"]).tolist() == places(["Si", "X"]).tolist() == [0, 0]
