# SPDX-License-Identifier: LGPL-3.0-or-later
"""Elements of the type map that the training data lack: they cost nothing and are refused."""

import json
import re

import numpy as np
import pytest
from running import lmp
from training import CELL, cluster_configuration, configuration, dp, lcurve, new_run, structure

from deepmd_charge import ChargeError, ChargeModel
from deepmd_charge.backends.tf.frozen import read_model
from deepmd_charge.backends.tf.graph import FrozenGraph
from deepmd_charge.lammps import read_run, write_run

# those of the data in their order, others before, between and behind them
WIDE = ["Ag", "Si", "O", "C", "X", "Zr"]
STEPS = 10


def run(folder, config, *more):
    """Train and freeze in a folder with data."""
    new_run(folder, config)
    dp(folder, "train", "input.json", *more)
    dp(folder, "freeze", "-o", "charge.pb")
    return folder


def configured(make=configuration, type_map=None, **keys):
    config = make(STEPS if make is configuration else 0, **keys)
    config["training"]["disp_freq"] = 1
    config["model"]["type_map"] = type_map or config["model"]["type_map"]
    return config


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return run(tmp_path_factory.mktemp("plain"), configured())


@pytest.fixture(scope="module")
def wide(tmp_path_factory):
    return run(tmp_path_factory.mktemp("wide"), configured(type_map=WIDE))


def weights(folder):
    """The arrays of a frozen model."""
    return read_model(folder / "charge.pb").weights


def test_other_elements_change_nothing(plain, wide):
    errors, expected = lcurve(wide), lcurve(plain)
    for name, column in expected.items():
        np.testing.assert_array_equal(errors[name], column)
    mine, its = weights(wide), weights(plain)
    assert {*mine} == {*its}
    for name in its:
        np.testing.assert_array_equal(mine[name], its[name])


def test_the_type_map_stays(wide):
    model = ChargeModel(wide / "charge.pb")
    assert model.type_map == WIDE
    assert model.elements == ["Si", "C"]


def test_engine_and_graph_agree(plain, wide):
    points = np.random.default_rng(0).uniform(size=(50, 3)) @ CELL
    model = ChargeModel(wide / "charge.pb")
    compiled = model.predict_points(structure(20), points)
    model._backend = FrozenGraph(read_model(wide / "charge.pb"))
    np.testing.assert_allclose(model.predict_points(structure(20), points), compiled, atol=1e-5)
    same = ChargeModel(plain / "charge.pb").predict_points(structure(20), points)
    np.testing.assert_array_equal(compiled, same)


def test_deep_potential_counts_types_as_the_type_map_does(plain, wide):
    from deepmd.infer import DeepPot

    atoms = structure(20)
    points = np.random.default_rng(0).uniform(size=(50, 3)) @ CELL
    coord = np.concatenate([atoms.positions, points]).reshape(1, -1)
    symbols = [*atoms.get_chemical_symbols(), *["X"] * len(points)]
    found = []
    for folder in (plain, wide):
        potential = DeepPot(str(folder / "charge.pb"))
        types = [potential.get_type_map().index(s) for s in symbols]
        found.append(potential.eval(coord, CELL.reshape(1, -1), types, atomic=True)[3])
    np.testing.assert_array_equal(*found)
    types[0] = WIDE.index("O")
    with pytest.raises(Exception, match="seen no other elements than Si C"):
        potential.eval(coord, CELL.reshape(1, -1), types, atomic=True)


def test_lammps_runs_what_the_data_had(wide, programs, tmp_path):
    model, atoms = ChargeModel(wide / "charge.pb"), structure(20)
    write_run(tmp_path, model.path, model.type_map, model.rcut, atoms, (3, 4, 5))
    lmp(programs, tmp_path, "in.lammps")
    expected = model.predict(atoms, (3, 4, 5)).values
    np.testing.assert_allclose(read_run(tmp_path).values, expected, atol=1e-5)
    script = tmp_path / "in.lammps"
    script.write_text(re.sub(r"(pair_coeff .*)\bC\b", r"\1O", script.read_text()))
    with pytest.raises(AssertionError, match="seen no other elements than Si C"):
        lmp(programs, tmp_path, "in.lammps")


def test_structures_with_them_are_refused(wide):
    with pytest.raises(ChargeError, match="has not seen O, only Si, C"):
        ChargeModel(wide / "charge.pb").predict_points(structure(20, "SiOSiC"), [[0.0, 0.0, 0.0]])


@pytest.mark.parametrize("flags", ["--restart model.ckpt", "--init-frz-model charge.pb"])
def test_training_goes_on_with_the_same_elements(wide, flags, tmp_path):
    import shutil

    folder = shutil.copytree(wide, tmp_path / "run")
    config = json.loads((folder / "input.json").read_text())
    config["training"]["numb_steps"] = STEPS + 5
    (folder / "input.json").write_text(json.dumps(config))
    dp(folder, "train", "input.json", *flags.split())
    dp(folder, "freeze", "-o", "again.pb")
    again = read_model(folder / "again.pb")
    assert again.known_types == ["Si", "C", "X"]
    before = weights(wide)
    for name in ("neighbor_range.high", "descriptor.whiten[0]", "fitting.linear"):
        np.testing.assert_array_equal(again.weights[name], before[name])
    assert not np.array_equal(again.weights["fitting.matrix[0]"], before["fitting.matrix[0]"])


def test_a_sum_over_atoms_leaves_them_out(tmp_path):
    folders = [
        run(tmp_path / name, configured(cluster_configuration, type_map))
        for name, type_map in (("plain", None), ("wide", WIDE))
        if not (tmp_path / name).mkdir()
    ]
    plain, wide = (weights(folder) for folder in folders)
    for name in plain:
        np.testing.assert_array_equal(wide[name], plain[name])
