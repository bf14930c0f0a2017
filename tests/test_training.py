# SPDX-License-Identifier: LGPL-3.0-or-later
"""``dp train`` and what follows it: learning, restarting, freezing, complaints."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from training import (
    CELL,
    TYPE_MAP,
    configuration,
    dp,
    lcurve,
    new_run,
    structure,
    true_density,
    write_system,
)

from deepmd_charge import ChargeModel
from deepmd_charge.backends.tf.frozen import read_checkpoint
from deepmd_charge.data.dataset import check_systems
from deepmd_charge.errors import ChargeError
from deepmd_charge.model.kernels.radial import RADIAL_BASES
from deepmd_charge.model.keys import keys_of
from deepmd_charge.model.spec import ModelSpec

pytestmark = pytest.mark.training


def test_the_program_does_what_a_forked_process_does(tmp_path):
    """For the other tests do not start the program itself: importing takes most of a short run."""

    def written():
        return [(tmp_path / name).read_text() for name in ("lcurve.out", "out.json")]

    new_run(tmp_path, configuration(steps=2))
    dp(tmp_path, "train", "input.json")
    forked = written()
    (tmp_path / "lcurve.out").unlink()
    program = [Path(sys.executable).with_name("dp"), "train", "input.json"]
    subprocess.run(program, cwd=tmp_path, capture_output=True, check=True)
    assert forked == written()


def test_training_lowers_the_errors_and_reports_them(trained):
    curve = lcurve(trained)
    assert list(curve) == ["step", "mae_val", "mae_trn", "rmse_val", "rmse_trn", "lr"]
    for name, share in (("mae_trn", 0.2), ("rmse_trn", 0.2), ("mae_val", 0.8)):
        assert curve[name][-1] < share * curve[name][0]
    assert np.all(curve["rmse_trn"] >= curve["mae_trn"])


def test_reported_errors_are_those_of_the_grid_points(trained, charge_model, tmp_path):
    """The last mae_val is the mean |error| of the frozen model on the validation frames."""
    part = trained / "valid" / "set.000"
    coord, label = np.load(part / "coord.npy"), np.load(part / "density.npy")
    errors = []
    for row, density, seed in zip(coord, label, (8, 9), strict=True):
        atoms = structure(seed)
        points = row.reshape(-1, 3)[len(atoms) :]
        errors.append(charge_model.predict_points(atoms, points) - density[len(atoms) :])
    assert lcurve(trained)["mae_val"][-1] == pytest.approx(np.abs(errors).mean(), rel=1e-2)
    rmse = np.mean([np.sqrt(np.mean(e**2)) for e in errors])
    assert lcurve(trained)["rmse_val"][-1] == pytest.approx(rmse, rel=1e-2)


def test_the_model_generalises(charge_model):
    """On a structure it has not seen, far better than the mean density."""
    atoms = structure(31)
    points = np.random.default_rng(1).uniform(size=(300, 3)) @ CELL
    truth = true_density(atoms, points)
    error = charge_model.predict_points(atoms, points) - truth
    assert np.abs(error).mean() < 0.25 * np.abs(truth - truth.mean()).mean()


def test_frozen_graph_equals_training_graph(trained, charge_model):
    from deepmd.tf.env import tf

    atoms = structure(9)
    points = np.random.default_rng(3).uniform(size=(50, 3)) @ CELL
    types = [TYPE_MAP.index(s) for s in atoms.get_chemical_symbols()] + [2] * len(points)
    natoms = [len(types)] * 2 + list(np.bincount(types))
    with tf.Graph().as_default():
        saver = tf.train.import_meta_graph(str(trained / "model.ckpt.meta"))
        with tf.Session() as session:
            saver.restore(session, str(trained / "model.ckpt"))
            found = session.run(
                "o_atom_energy:0",
                {
                    "t_coord:0": np.concatenate([atoms.positions, points]).reshape(-1),
                    "t_type:0": types,
                    "t_natoms:0": natoms,
                    "t_box:0": CELL.reshape(-1),
                    "t_mesh:0": np.zeros(6, dtype=np.int32),
                },
            )
    assert not found[0, :4].any()
    assert found[0, 4:] == pytest.approx(charge_model.predict_points(atoms, points), abs=1e-5)


@pytest.fixture
def copy(trained, tmp_path):
    """A fresh folder with the data and the results of the trained run."""
    for item in trained.iterdir():
        (tmp_path / item.name).symlink_to(item)
    for name in ("lcurve.out", "input.json"):
        text = (tmp_path / name).read_text()
        (tmp_path / name).unlink()
        (tmp_path / name).write_text(text)
    return tmp_path


def with_steps(folder, steps, **changes):
    config = json.loads((folder / "input.json").read_text())
    config["training"].update(numb_steps=steps, save_ckpt="next.ckpt", **changes)
    (folder / "next.json").write_text(json.dumps(config))


def test_restart_goes_on_where_it_stopped(copy):
    before = lcurve(copy)
    with_steps(copy, 275)
    dp(copy, "train", "next.json", "--restart", "model.ckpt", "--skip-neighbor-stat")
    after = lcurve(copy)
    assert after["step"][-1] == 275
    assert after["mae_val"][-1] < 1.3 * before["mae_val"][-1]
    assert after["mae_val"][-2] == before["mae_val"][-1]  # the old lines stay
    assert read_checkpoint(copy / "next.ckpt").info == read_checkpoint(copy / "model.ckpt").info


@pytest.mark.parametrize(
    "flags",
    [
        ("--init-model", "model.ckpt"),
        ("--init-frz-model", "charge.pb", "--skip-neighbor-stat"),
    ],
)
def test_new_training_starts_from_a_model(copy, flags):
    before = lcurve(copy)
    with_steps(copy, 1, disp_freq=1)
    dp(copy, "train", "next.json", *flags)
    assert read_checkpoint(copy / "next.ckpt").info == read_checkpoint(copy / "model.ckpt").info
    after = lcurve(copy)
    assert after["step"][0] == 0
    assert after["mae_val"][0] == pytest.approx(before["mae_val"][-1], rel=1e-2)


@pytest.mark.parametrize("radial", RADIAL_BASES)
def test_every_radial_basis_is_trained(tmp_path, radial):
    """It fits the training points; few steps on few frames say nothing of others."""
    # all frames in each batch: errors of single ones tell more of these than of training
    batch = {"training_data": {"systems": ["train"], "batch_size": 8}}
    new_run(tmp_path, configuration(100, {"radial": radial}, training=batch))
    dp(tmp_path, "train", "input.json")
    curve = lcurve(tmp_path)
    assert curve["mae_trn"][-1] < 0.7 * curve["mae_trn"][0]


def test_paper_settings_several_frames_and_systems(tmp_path):
    """The embedding, two systems of other compositions, three frames a step, Huber loss."""
    config = configuration(
        40,
        {"radial": "embedding", "lmax": 1, "neuron": [8, 16], "axis_neuron": 4},
        {"activation_function": "tanh"},
        {"training_data": {"systems": ["train", "more"], "batch_size": 3}},
    )
    config["loss"] = {"type": "charge", "loss_func": "huber", "weight_decay": 1e-4}
    new_run(tmp_path, config)
    write_system(tmp_path / "more", [structure(k, "Si") for k in range(4)], 80, seed=4)
    dp(tmp_path, "train", "input.json")
    curve = lcurve(tmp_path)
    assert curve["mae_val"][-1] < 0.8 * curve["mae_val"][0]
    dp(tmp_path, "freeze", "-o", "charge.pb")
    points = np.array([[0.0, 0, 0], *structure(1).positions])
    values = ChargeModel(tmp_path / "charge.pb").predict_points(structure(1), points)
    assert np.isfinite(values).all()


def test_mixed_valences_are_refused(tmp_path):
    new_run(tmp_path, configuration(1))
    np.save(tmp_path / "train" / "set.000" / "n_electrons.npy", [16.0] * 7 + [18.0])
    done = dp(tmp_path, "train", "input.json", check=False)
    assert done.returncode != 0
    assert "train" in done.stderr.splitlines()[-1] or "valence" in done.stderr


@pytest.mark.parametrize(
    "where, key, value, complaint",
    [
        ("descriptor", "rcutt", 1.0, "rcutt"),
        ("descriptor", "lmax", 9, "between 0 and 6"),
        ("descriptor", "radial", "no_such_basis", "must be one of"),
        ("descriptor", "rcut", -1.0, "must be positive"),
        ("fitting_net", "neuron", [0], "positive"),
    ],
)
def test_a_wrong_key_or_value_is_named(where, key, value, complaint):
    import deepmd.dpmodel  # noqa: F401  (loads the plugins)
    from deepmd.utils.argcheck import normalize

    config = configuration(1)
    config["model"][where][key] = value
    with pytest.raises(Exception, match=complaint):
        normalize(config)


@pytest.mark.parametrize(
    "change, complaint",
    [
        ({"loss": {"type": "ener"}}, 'loss/type "ener" does not go with'),
        ({"model": {"fitting_net": {"type": "ener"}}}, 'fitting_net/type "ener" does not go with'),
        (
            {"model": {"descriptor": {"type": "se_e2_r", "rcut": 3.0, "sel": [9, 9, 0]}}},
            'descriptor/type "se_e2_r" does not go with',
        ),
        ({"model": {"type_map": ["Si", "X", "X"]}}, "once"),
        ({"model": {"descriptor": {"n_channel": 3}}}, "axis_neuron 4 is more than the 3 channels"),
        ({"model": {"descriptor": {"n_channel": 4}}}, "n_triple 8 is more than the 4 channels"),
        (
            {"model": {"descriptor": {"radial": "embedding", "rcut_smth": 3.5, "triples": []}}},
            "rcut_smth 3.5 must lie below",
        ),
        ({"model": {"fitting_net": {"trainable": [True]}}}, "trainable has 1 values"),
        ({"model": {"fitting_net": {"neuron": []}}}, "a list of layers with se_charge"),
    ],
)
def test_settings_that_do_not_go_together_are_refused(change, complaint):
    from deepmd.tf.model.model import Model
    from deepmd.utils.argcheck import normalize

    config = configuration(1)
    for key, value in change.items():
        for name, setting in value.items():
            if (
                isinstance(setting, dict)
                and "sel" not in setting
                and "ener" not in setting.values()
            ):
                config[key][name].update(setting)
            else:
                config[key][name] = setting
    config = normalize(config)
    with pytest.raises(ChargeError, match=complaint):
        Model(**config["model"]).get_loss(config["loss"], None)


UNHEEDED = {
    "pair_exclude_types": [[0, 0]],
    "atom_exclude_types": [0],
    "preset_out_bias": {"energy": [1.0, None]},
    "use_srtab": "table",
    "type_embedding": {"neuron": [2, 4]},
    "modifier": {
        "type": "dipole_charge",
        "model_name": "dipole.pb",
        "model_charge_map": [1.0],
        "sys_charge_map": [1.0],
    },
    "spin": {"use_spin": [True, False], "virtual_len": [0.4], "spin_norm": [1.2]},
    "finetune_head": "water",
}


@pytest.mark.parametrize("key", UNHEEDED)
def test_a_key_of_deepmd_that_would_do_nothing_is_refused(key):
    """All that DeePMD-kit itself lets pass."""
    from deepmd.tf.model.model import Model
    from deepmd.utils.argcheck import normalize

    config = configuration(1)
    config["model"][key] = UNHEEDED[key]
    with pytest.raises(ChargeError, match=f"^model/{key} does not go with"):
        Model(**normalize(config)["model"])


def test_every_key_of_deepmd_is_ours_or_accounted_for():
    from deepmd.utils.argcheck import model_args

    names = {argument.name for argument in model_args().sub_fields.values()}
    ours = {key.name for key in keys_of(ModelSpec)}
    assert set(UNHEEDED) == {*ModelSpec.unheeded}
    assert names <= {*ours, *ModelSpec.foreign, *ModelSpec.unheeded}


def test_what_deepmd_offers_for_its_own_models_is_refused():
    from types import SimpleNamespace

    from deepmd.tf.model.model import Model
    from deepmd.utils.argcheck import normalize

    model = Model(**normalize(configuration(1))["model"])
    for method, given, complaint in (
        (model.enable_mixed_precision, [{}], "training/mixed_precision does not go with"),
        (model.enable_compression, [], "need no dp compress"),
        (model.change_energy_bias, [None] * 4, "no energy bias"),
    ):
        with pytest.raises(ChargeError, match=complaint):
            method(*given)
    model.check_training(SimpleNamespace(change_bias_after_training=False))
    with pytest.raises(ChargeError, match=r"^training/change_bias_after_training"):
        model.check_training(SimpleNamespace(change_bias_after_training=True))


@pytest.mark.parametrize("name, frame", [("density", 3), ("coord", 0)])
def test_a_value_that_is_no_number_is_found(tmp_path, name, frame):
    write_system(tmp_path / "train", [structure(k) for k in range(4)], 5, seed=1)
    path = tmp_path / "train" / "set.000" / f"{name}.npy"
    values = np.load(path)
    values[frame, -1] = np.nan
    np.save(path, values)
    with pytest.raises(ChargeError, match=f"{path}: frame {frame} holds"):
        check_systems([str(tmp_path / "train")])


def test_a_system_without_grid_points_is_found(tmp_path):
    write_system(tmp_path / "train", [structure(0)], 5, seed=1)
    (tmp_path / "train" / "type_map.raw").write_text("Si\nC\nGe\n")
    with pytest.raises(ChargeError, match=r"train/set.000: a frame has no grid point"):
        check_systems([str(tmp_path / "train")])


def test_points_without_neighbours_are_refused(tmp_path):
    new_run(tmp_path, configuration(1, {"rcut": 0.01}))
    done = dp(tmp_path, "train", "input.json", check=False)
    assert done.returncode != 0
    assert "no grid point of the training data has an atom within rcut" in done.stderr


@pytest.mark.parametrize(
    "change, complaint",
    [
        ({"type_map": ["C", "Si", "X"]}, "give model/type_map the same order"),
        ({"descriptor": {"n_radial": 5}}, "has shape"),
        ({"fitting_net": {"neuron": [32, 32, 32]}}, "use its own descriptor and fitting net"),
    ],
)
def test_a_frozen_model_of_other_settings_is_no_start(trained, change, complaint):
    from deepmd.tf.model.model import Model
    from deepmd.tf.utils.graph import load_graph_def
    from deepmd.utils.argcheck import normalize

    config = configuration(1)
    for key, value in change.items():
        if isinstance(value, dict):
            config["model"][key].update(value)
        else:
            config["model"][key] = value
    model = Model(**normalize(config)["model"])
    with pytest.raises(ChargeError, match=complaint):
        model.init_variables(*load_graph_def(str(trained / "charge.pb")))


def test_wrong_key_stops_dp_before_it_writes(tmp_path):
    config = configuration(1)
    config["loss"]["start_pref_e"] = 1.0
    (tmp_path / "input.json").write_text(json.dumps(config))
    done = dp(tmp_path, "train", "input.json", check=False)
    assert done.returncode != 0
    assert "start_pref_e" in done.stderr
    assert not (tmp_path / "lcurve.out").exists()


def test_type_map_without_the_grid_type_is_refused(tmp_path):
    config = configuration(1)
    config["model"]["type_map"] = ["Si", "C"]
    new_run(tmp_path, config)
    done = dp(tmp_path, "train", "input.json", check=False)
    assert done.returncode != 0
    assert "model/type_map ['Si', 'C']: list each element once, and the grid" in done.stderr


def test_documentation_shows_the_arguments():
    text = dp(".", "doc-train-input", "--out-type", "json").stdout
    for word in ("se_charge", "n_radial", "axis_neuron", "huber_delta", "rcut_smth"):
        assert word in text


def test_dp_stays_usable_and_fast_to_import(tmp_path):
    """Neither dpdata nor the argument checks pull in TensorFlow through this plugin."""
    for module in ("dpdata", "deepmd.dpmodel", "deepmd_charge", "deepmd_charge.data.dpdata_plugin"):
        code = f"import {module}, sys; sys.exit('tensorflow' in sys.modules)"
        assert subprocess.run([sys.executable, "-c", code]).returncode == 0, module


@pytest.mark.parametrize(
    "host, broken",
    [
        ("dpdata", "data.dpdata_plugin"),
        ("deepmd.dpmodel", "backends.arguments"),
        ("deepmd.tf", "backends.tf.model"),
    ],
)
def test_a_broken_plugin_breaks_nobody(host, broken):
    code = f"import sys; sys.modules['deepmd_charge.{broken}'] = None; import {host}"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert "deepmd-charge does not work here" in done.stderr
