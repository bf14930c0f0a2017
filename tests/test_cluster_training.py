# SPDX-License-Identifier: LGPL-3.0-or-later
"""``dp train`` with ``se_cluster``, and what follows it: errors, restarts, predictions, LAMMPS."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from ase import Atoms
from clusters import density as by_reference
from running import lmp
from test_lammps import slab, slanted
from test_lammps_md import SCRIPT, command
from test_mpi import on_ranks, run
from training import (
    CELL,
    RCUT,
    cluster_configuration,
    dp,
    gaussian_table,
    lcurve,
    new_run,
    structure,
    true_density,
    write_system,
)

from deepmd_charge import ChargeError, ChargeModel, Density, read_density, write_density
from deepmd_charge.backends.tf.frozen import Frozen, read_checkpoint, read_model
from deepmd_charge.cli.main import main
from deepmd_charge.lammps import read_run, write_run
from deepmd_charge.model.fit.cluster import Sample, fit_cluster
from deepmd_charge.model.spec import ModelSpec
from deepmd_charge.model.weights import Weights
from deepmd_charge.predict.field import Field

pytestmark = pytest.mark.training

LINE = (
    r"least squares: (\d+) coefficients from (\d+) points of (\d+) structures; RMSE (\S+) e/A\^3, "
    r"(\S+) of (structures|groups of atoms) held out in turn \((\d) parts\); ridge (\S+), "
    r"condition number (\S+)"
)


@pytest.fixture(scope="module")
def model(clustered):
    return ChargeModel(clustered / "charge.pb")


def samples(spec, folder, seeds):
    """Atoms, points and densities of a system as they were written."""
    part = folder / "set.000"
    coord, label = np.load(part / "coord.npy"), np.load(part / "density.npy")
    for row, density, seed in zip(coord, label, seeds, strict=True):
        atoms = structure(seed)
        types = [spec.type_map.index(s) for s in atoms.get_chemical_symbols()]
        points = row.reshape(-1, 3)[len(atoms) :]
        yield Sample(atoms, np.array(types), points, density[len(atoms) :])


# Models in which atoms ask about other atoms: without a net, with one, and of se_charge.
FOLDERS = {"linear": "clustered", "net": "netted", "response": "responding"}


@pytest.fixture(params=FOLDERS)
def either(request):
    """A model of each kind."""
    return ChargeModel(request.getfixturevalue(FOLDERS[request.param]) / "charge.pb")


def last_line(done):
    return [line for line in done.stderr.splitlines() if "implib" not in line and line][-1]


def variable(checkpoint, name):
    """Of a checkpoint."""
    import tensorflow.compat.v1 as tf

    return tf.train.load_checkpoint(str(checkpoint)).get_tensor(name)


def coefficients(checkpoint):
    """Of the contributions of atoms, in a checkpoint."""
    return variable(checkpoint, "se_cluster/coefficients")


# a run


def test_the_fit_is_told_and_is_that_of_all_points(clustered):
    """One line, with the numbers of the fit of the same points by the same function."""
    frozen = read_model(clustered / "charge.pb")
    [found] = re.findall(LINE, (clustered / "train.log").read_text())
    fit = fit_cluster(frozen.spec, lambda: samples(frozen.spec, clustered / "train", range(8)))
    s = fit.solution
    numbers = [s.coefficients.size, 1200, 8, s.rmse, s.held_out, "structures", 5]
    numbers += [s.ridge.strength, s.condition]
    for a, b in zip(found, numbers, strict=True):
        assert a == b if isinstance(b, str) else float(a) == pytest.approx(b, rel=0.2)
    for name, array in fit.arrays.items():
        scale = np.abs(array).max(initial=1e-9)
        assert frozen.weights[name] == pytest.approx(array, abs=1e-6 * scale), name


def test_errors_without_a_step_are_those_of_the_frozen_model(clustered, model):
    """One row, of all training and validation frames; printed, too."""
    curve = lcurve(clustered)
    assert list(curve) == ["step", "mae_val", "mae_trn", "rmse_val", "rmse_trn", "lr"]
    assert curve["step"].tolist() == [0]
    log = (clustered / "train.log").read_text()
    for kind, folder, seeds in (("trn", "train", range(8)), ("val", "valid", (8, 9))):
        errors = np.array(
            [
                model.predict_points(s.atoms, s.points) - s.values
                for s in samples(read_model(model.path).spec, clustered / folder, seeds)
            ]
        )
        mae, rmse = np.abs(errors).mean(), np.sqrt(np.mean(errors**2, axis=1)).mean()
        assert curve[f"mae_{kind}"][0] == pytest.approx(mae, rel=6e-3)
        assert curve[f"rmse_{kind}"][0] == pytest.approx(rmse, rel=6e-3)
        assert f"{kind}: mae = {mae:.2e}" in log
    assert curve["mae_val"][0] < 0.02


def test_the_frozen_model_is_the_reference(either):
    """And remembers its data."""
    model = either
    frozen, atoms = read_model(model.path), structure(8)
    points = np.random.default_rng(5).uniform(-1.5, 2.5, size=(40, 3)) @ CELL
    points = np.concatenate([points, atoms.positions])
    expected = by_reference(frozen.spec, frozen.weights, atoms, points)
    error = np.abs(model.predict_points(atoms, points) - expected)
    assert np.all(error <= 1e-9 * np.maximum(1.0, np.abs(expected)))
    assert model.rcut == frozen.spec.descriptor.reach == 2 * RCUT
    assert model.elements == ["Si", "C"]
    assert model.memory.quantity in (None, "total")


@pytest.mark.parametrize(
    "either, ranks",
    [("linear", 1), ("linear", 2), ("net", 1), ("response", 1), ("response", 2)],
    indirect=["either"],
)
def test_deeppot_and_lammps_see_the_same(either, ranks, programs, tmp_path):
    """The real lmp on a cell smaller than the cutoffs, a slab, on one rank and on two."""
    from deepmd.infer import DeepPot

    model = either
    atoms = structure(8)
    points = np.random.default_rng(5).uniform(size=(30, 3)) @ CELL
    if ranks == 1:
        types = [model.type_map.index(s) for s in atoms.get_chemical_symbols()] + [2] * 30
        coord = np.concatenate([atoms.positions, points]).reshape(1, -1)
        found = DeepPot(model.path).eval(coord, CELL.reshape(1, -1), types, atomic=True)[3]
        expected = model.predict_points(atoms, points)
        assert found.reshape(-1)[4:] == pytest.approx(expected, abs=1e-9)
    for k, other in enumerate((slanted(), slab())):
        grid, folder = (3, 4, 5), tmp_path / str(k)
        write_run(folder, model.path, model.type_map, model.rcut, other, grid, 20)
        lmp(programs, folder, "in.lammps", ranks)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr("warnings.warn", lambda *a, **k: None)
            expected = model.predict(other, grid).values
        error = np.abs(read_run(folder).values - expected)
        assert np.all(error <= 1e-9 * np.maximum(1.0, np.abs(expected)))
        assert np.ptp(expected) > 0.1


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("ranks", [1, 2])
def test_densities_during_dynamics(model, programs, tmp_path, monkeypatch, ranks):
    if ranks > 1:
        pytest.importorskip("mpi4py")
    monkeypatch.chdir(tmp_path)
    Path("in.md").write_text(SCRIPT)
    flags = ["lammps", "run", "-i", "in.md", "--species", "Si", "C", "--every", 4, "-o", "out"]
    flags += ["-m", model.path, "--grid", 3, 4, 5, "--each", "-v", "steps", 4]
    done = command(flags, programs, ranks)
    assert done.returncode == 0, done.stderr[-3000:]
    lines = [line for line in Path("run.dump").read_text().splitlines() if line.count(" ") == 6]
    positions = np.array([line.split() for line in lines], dtype=float)[:, 1:4].reshape(-1, 2, 3)
    cell = [[4.6, 0, 0], [1.1, 4.2, 0], [-0.7, 0.9, 5.1]]
    for step in (0, 4, 8):
        atoms = Atoms("SiC", positions[step], cell=cell, pbc=True)
        expected = model.predict(atoms, (3, 4, 5)).values
        found = read_density(f"out/CHGCAR_{step}").values
        assert found == pytest.approx(expected, abs=1e-9)


# going on


@pytest.fixture
def copy(clustered, tmp_path):
    """A fresh folder with the results of the run, and other data."""
    for item in clustered.iterdir():
        if item.name not in ("train", "lcurve.out", "input.json", "out.json"):
            (tmp_path / item.name).symlink_to(item)
    write_system(tmp_path / "train", [structure(k) for k in range(20, 24)], 150, seed=5)
    return tmp_path


def go_on(folder, *flags, **descriptor):
    config = cluster_configuration(
        descriptor={"precision": "float64", **descriptor}, training={"save_ckpt": "next.ckpt"}
    )
    (folder / "next.json").write_text(json.dumps(config))
    return dp(folder, "train", "next.json", *flags)


STARTS = [
    ("--restart", "model.ckpt"),
    ("--init-model", "model.ckpt", "--skip-neighbor-stat"),
    ("--init-frz-model", "charge.pb"),
]


@pytest.mark.parametrize("flags", STARTS, ids=lambda flags: flags[0])
def test_the_fit_is_kept(copy, clustered, flags):
    done = go_on(copy, *flags)
    assert "the least-squares fit of the model that training starts from is kept" in done.stderr
    assert not re.search(LINE, done.stderr)
    before = coefficients(clustered / "model.ckpt")
    assert np.array_equal(coefficients(copy / "next.ckpt"), before)
    info = read_checkpoint(copy / "next.ckpt").info
    assert info == read_checkpoint(clustered / "model.ckpt").info
    curve, old = lcurve(copy), lcurve(clustered)
    assert curve["mae_val"][-1] == pytest.approx(old["mae_val"][-1], rel=1e-3)
    assert curve["mae_trn"][-1] > 1.5 * old["mae_trn"][-1]  # of the other data


@pytest.mark.parametrize("flags", [*STARTS, ()], ids=lambda flags: flags[0] if flags else "new")
def test_a_new_fit_on_other_data(copy, clustered, flags):
    """The same as without the other model."""
    done = go_on(copy, *flags, refit=True)
    assert re.search(LINE, done.stderr)[3] == "4"
    assert "is kept" not in done.stderr
    found = coefficients(copy / "next.ckpt")
    spec = read_model(clustered / "charge.pb").spec
    fit = fit_cluster(spec, lambda: samples(spec, copy / "train", range(20, 24)))
    expected = fit.arrays["contribution.coefficients"]
    assert found == pytest.approx(expected, abs=1e-6 * np.abs(expected).max())
    mae = lcurve(copy)["mae_trn"][-1]
    assert mae < 0.5 * lcurve(clustered)["mae_val"][0]


def test_one_structure_without_validation_data(tmp_path):
    """Parts of which are held out atom by atom, in two frames."""
    config = cluster_configuration(descriptor={"order": 0})
    del config["training"]["validation_data"]
    write_system(tmp_path / "train", [structure(3)] * 2, 150, seed=1)
    (tmp_path / "input.json").write_text(json.dumps(config))
    done = dp(tmp_path, "train", "input.json")
    found = re.search(LINE, done.stderr)
    assert found.group(1, 2, 3, 6, 7) == ("16", "300", "1", "groups of atoms", "4")
    curve = lcurve(tmp_path)
    assert list(curve) == ["step", "mae_trn", "rmse_trn", "lr"]
    assert len(curve["step"]) == 1
    assert curve["rmse_trn"][0] == pytest.approx(float(found[4]), rel=0.03)


# with a net


def test_a_net_learns_what_is_not_linear(netted):
    """From the fit on, which stays as it is."""
    log = (netted / "train.log").read_text()
    assert re.search(LINE, log)[1] == "208"
    spec = read_model(netted / "charge.pb").spec
    fit = fit_cluster(spec, lambda: samples(spec, netted / "train", range(20, 60)))
    names = {name for name in fit.arrays if not name.startswith("gate[")}
    assert names == fit.arrays.keys() > {"gate.mean", "gate.scale"}
    weights = read_model(netted / "charge.pb").weights
    for name, array in fit.arrays.items():
        scale = np.abs(array).max(initial=1e-9)
        assert weights[name] == pytest.approx(array, abs=1e-6 * scale), name
    linear = Weights(spec.linear, {n: weights[n] for n in fit.arrays if "gate" not in n})
    parts = []
    for s in samples(spec, netted / "valid", (8, 9)):
        found = by_reference(spec, weights, s.atoms, s.points) - s.values
        before = by_reference(spec.linear, linear, s.atoms, s.points) - s.values
        parts.append(np.abs([before, found]).mean(axis=1))
    before, after = np.mean(parts, axis=0)
    curve = lcurve(netted)
    assert curve["mae_val"][[0, -1]] == pytest.approx([before, after], rel=6e-3)
    assert after < 0.8 * before
    ends = curve["mae_trn"][:4].mean(), curve["mae_trn"][-4:].mean()
    assert ends[1] < 0.8 * ends[0]


@pytest.fixture
def with_net(netted, tmp_path):
    """A fresh folder with the results of that run and its data."""
    for item in netted.iterdir():
        if item.name not in ("lcurve.out", "input.json", "out.json"):
            (tmp_path / item.name).symlink_to(item)
    return tmp_path


NET = "se_cluster_gate_0/output_matrix"


@pytest.mark.parametrize("flags", [STARTS[0], STARTS[2]], ids=lambda flags: flags[0])
def test_the_net_goes_on(with_net, netted, flags):
    """As it was, beside the fit; then trained further."""
    restarts = flags[0] == "--restart"
    config = cluster_configuration(205 if restarts else 5, {"precision": "float64"}, neuron=[8])
    config["training"] |= {"save_ckpt": "next.ckpt", "disp_freq": 1, "save_freq": 5}
    (with_net / "next.json").write_text(json.dumps(config))
    done = dp(with_net, "train", "next.json", *flags)
    kept = "the least-squares fit of the model that training starts from is kept, and its net goes"
    assert kept in done.stderr and not re.search(LINE, done.stderr)
    curve, old = lcurve(with_net), lcurve(netted)
    assert curve["step"][0] == (200 if restarts else 0)
    assert curve["mae_val"][0] == pytest.approx(old["mae_val"][-1], rel=1e-2)
    ends = netted / "model.ckpt", with_net / "next.ckpt"
    assert np.array_equal(*map(coefficients, ends))
    before, after = (variable(end, NET) for end in ends)
    change = np.abs(after - before).max()
    assert 0.0 < change < 0.5 * np.abs(before).max()


def test_a_net_cannot_be_added_later(copy):
    """To a checkpoint without one: said in one line."""
    config = cluster_configuration(5, {"precision": "float64"}, neuron=[8])
    (copy / "next.json").write_text(json.dumps(config))
    done = dp(copy, "train", "next.json", "--init-model", "model.ckpt", check=False)
    assert done.returncode != 0
    assert "model.ckpt: has model/fitting_net/neuron [], not [8]; give the same" in last_line(done)


@pytest.mark.parametrize(
    "descriptor, complaint",
    [
        ({"rcut": 3.0}, "model.ckpt: has model/descriptor/rcut 3.5, not 3.0; give the same, or"),
        ({"refit": True}, "knows C, of which the training data have no atom to refit; add data"),
    ],
    ids=str,
)
def test_what_a_kept_fit_does_not_mean_is_refused(copy, descriptor, complaint):
    """Said in one line: other functions of the same coefficients, and elements without data."""
    if descriptor == {"refit": True}:
        shutil.rmtree(copy / "train")
        write_system(copy / "train", [structure(k, "Si") for k in range(3)], 150, seed=5)
        (copy / "train" / "set.000" / "n_electrons.npy").unlink()
    config = cluster_configuration(descriptor={"precision": "float64", **descriptor})
    (copy / "next.json").write_text(json.dumps(config))
    done = dp(copy, "train", "next.json", "--init-model", "model.ckpt", check=False)
    assert done.returncode != 0
    assert complaint in last_line(done)


def test_only_settings_that_change_a_model_are_compared():
    import deepmd.tf  # noqa: F401  (loads the plugins, whole, before a part of them is asked for)

    from deepmd_charge.backends.tf.starting import check_settings

    before = cluster_configuration(descriptor={"ridge": 1e-3})["model"]
    script = json.dumps({"model": before}).encode()
    start = Frozen("old.pb", {"train_attr/training_script": script})
    for part, key, value, is_refused in (
        ("descriptor", "ridge", 1e-5, False),
        ("descriptor", "refit", True, False),
        ("descriptor", "precision", "float64", False),
        ("descriptor", "n_channel", 4.0, False),
        ("descriptor", "eps", 0.3, False),  # which the other may not have known
        ("descriptor", "rcut", 3.0, True),
        ("descriptor", "lmax", 3, True),
        ("descriptor", "type", "se_charge", True),
        ("fitting_net", "seed", 5, False),
        ("fitting_net", "neuron", [8], True),
    ):
        parts = {name: dict(before[name]) for name in ("descriptor", "fitting_net")}
        parts[part][key] = value
        if not is_refused:
            check_settings(start, parts)
            continue
        with pytest.raises(ChargeError, match=f"^old.pb: has model/{part}/{key} "):
            check_settings(start, parts)


@pytest.mark.parametrize("neuron", [[8], []], ids=["net", "linear"])
@pytest.mark.parametrize("mode", ["restart", "init_from_model"])
def test_a_restart_that_begins_a_new_net_is_told(monkeypatch, caplog, mode, neuron):
    """As where the input of a refit is used again after an interruption."""
    from deepmd_charge.backends.tf import model as module

    section = cluster_configuration(descriptor={"refit": True}, neuron=neuron)["model"]
    model = module.ChargeModelTF(**{k: v for k, v in section.items() if k != "type"})
    done = []
    monkeypatch.setattr(model, "_solve", lambda *a: done.append("solved"))
    monkeypatch.setattr(module, "set_after_restoring", lambda *a: done.append("set"))
    model._keep_or_refit(SimpleNamespace(run_opt=SimpleNamespace(init_mode=mode)), None)
    assert done == ["solved", "set"]
    told = "leave refit out to go on after an interruption" in caplog.text
    assert told == (mode == "restart" and bool(neuron))


def test_a_new_fit_has_a_new_net(with_net):
    """That says nothing yet."""
    config = cluster_configuration(0, {"precision": "float64", "refit": True}, neuron=[8])
    config["training"]["save_ckpt"] = "next.ckpt"
    (with_net / "next.json").write_text(json.dumps(config))
    done = dp(with_net, "train", "next.json", "--init-model", "model.ckpt")
    assert re.search(LINE, done.stderr) and "is kept" not in done.stderr
    assert "the net of fitting_net/neuron is not trained" in done.stderr
    assert not variable(with_net / "next.ckpt", NET).any()


# other quantities


def test_with_superposed_atomic_densities(clustered_difference):
    """The model gives the total, of which it has learnt the rest."""
    model = ChargeModel(clustered_difference / "charge.pb")
    assert model.info["saed"]["source"] == "upf"
    spec = read_model(model.path).spec
    errors, parts = [], []
    for s in samples(spec, clustered_difference / "valid", (8, 9)):
        errors.append(model.predict_points(s.atoms, s.points) - s.values)
        parts.append(s.values - gaussian_table().evaluate(s.atoms, s.points))
        rest = model.field(s.atoms).difference(s.points)
        assert rest == pytest.approx(parts[-1] + errors[-1], abs=1e-5)
    mae = lcurve(clustered_difference)["mae_val"][0]
    assert mae == pytest.approx(np.abs(errors).mean(), rel=6e-3)
    assert mae < 0.3 * np.abs(parts).mean()


def test_a_magnetization(tmp_path):
    """It is learnt as it is, and predicted as one."""
    config = cluster_configuration()
    new_run(tmp_path, config)
    for name in ("train", "valid"):
        part = tmp_path / name / "set.000"
        label = np.load(part / "density.npy")
        np.save(part / "density.npy", 0.3 - label)
        kind = [[b"vasp/chgcar:magnetization"]] * len(label)
        np.save(part / "density_kind.npy", kind)
        (part / "n_electrons.npy").unlink()
    dp(tmp_path, "train", "input.json")
    dp(tmp_path, "freeze", "-o", "charge.pb")
    model = ChargeModel(tmp_path / "charge.pb")
    assert model.memory.quantity == "magnetization"
    density = model.predict(structure(8), (5, 6, 7))
    assert density.quantity.name == "magnetization"
    expected = 0.3 - true_density(structure(8), density.points())
    assert np.abs(density.values.ravel() - expected).mean() < 0.05
    # where no atom is, nothing is: a constant is no sum of contributions
    lone = Atoms("Si", [[0, 0, 0]])
    assert model.predict_points(lone, [[9.0, 0, 0]]) == 0.0


# predictions


@pytest.fixture
def folder(clustered, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    structure(8).write("POSCAR", format="vasp")
    Path("charge.pb").symlink_to(clustered / "charge.pb")
    return tmp_path


PREDICT = ["predict", "-s", "POSCAR", "-m", "charge.pb", "-o", "CHGCAR_p", "--grid", "20", "19"]
PREDICT += ["21"]


@pytest.mark.filterwarnings("ignore:.*integrates to")
def test_files_and_their_errors(folder, model, capsys):
    assert main(PREDICT) == 0
    found = read_density("CHGCAR_p", check=False)
    atoms = structure(8)
    expected = model.predict(atoms, (20, 19, 21)).values
    assert found.values == pytest.approx(expected, abs=1e-9)
    true = Density(atoms, expected)
    true.values.flat = true_density(atoms, true.points())
    write_density("CHGCAR", true)
    assert main(["test", "-m", "charge.pb", "-s", "CHGCAR", "--json", "errors.json"]) == 0
    told = json.loads(Path("errors.json").read_text())
    error = np.abs(expected - true.values)
    assert f'"mae": {error.mean():.5g}'[:11] in json.dumps(told)


def test_an_interrupted_prediction_goes_on(folder, monkeypatch, capsys):
    predict = [*PREDICT, "--grid", "40", "38", "42"]  # several blocks
    assert main([*predict, "-j", "1"]) == 0
    whole = Path("CHGCAR_p").read_bytes()
    Path("CHGCAR_p").unlink()
    calls, once = [], Field._evaluate

    def fail(self, function, points):
        calls.append(len(points))
        if len(calls) == 3:  # after a sample and a block
            raise KeyboardInterrupt
        return once(self, function, points)

    monkeypatch.setattr(Field, "_evaluate", fail)
    assert main([*predict, "-j", "1"]) != 0
    assert "CHGCAR_p.partial keeps what is done" in capsys.readouterr().err
    monkeypatch.setattr(Field, "_evaluate", once)
    assert main([*predict, "-j", "2", "--resume"]) == 0
    assert Path("CHGCAR_p").read_bytes() == whole


@pytest.mark.filterwarnings("ignore:.*integrates to")
def test_several_models(folder, clustered_difference):
    """Of both families of targets: their mean and deviation."""
    other = clustered_difference / "charge.pb"
    argv = [*PREDICT[:5], str(other), *PREDICT[5:]]
    assert main(argv) == 0
    models = [ChargeModel("charge.pb"), ChargeModel(other)]
    values = [m.predict(structure(8), (20, 19, 21)).values for m in models]
    assert read_density("CHGCAR_p").values == pytest.approx(np.mean(values, axis=0), abs=1e-6)


def test_a_compressed_structure_is_warned_of(model):
    atoms = structure(8)
    atoms.set_cell(0.6 * atoms.cell, scale_atoms=True)
    with pytest.warns(UserWarning, match="unlike the training data"):
        model.predict(atoms, grid=(6, 6, 6))


@pytest.mark.mpi
def test_ranks_give_the_same_bytes(folder):
    argv = ["-m", "deepmd_charge.cli.main", *PREDICT, "--grid", "40", "38", "42"]
    assert run([sys.executable, *argv, "-o", "CHGCAR_s", "-j", "1"]).returncode == 0
    done = run(on_ranks(2, *argv))
    assert done.returncode == 0, done.stderr
    assert Path("CHGCAR_p").read_bytes() == Path("CHGCAR_s").read_bytes()


# what is wrong


@pytest.mark.parametrize(
    "change, complaint",
    [
        ({"training": {"numb_steps": 5}}, "nothing is trained with se_cluster and neuron []: set"),
        (
            {"training": {"numb_steps": 5}, "fitting_net": {"neuron": [4], "trainable": False}},
            "nothing is trained with se_cluster and trainable false: set training/numb_steps",
        ),
        ({"descriptor": {"rcut": 0.01}}, "no grid point of the training data has an atom within"),
        ({"descriptor": {"n_radial": 400, "order": 0}}, "300 points for 800 coefficients of model"),
    ],
    ids=["steps", "fixed net", "no atom near", "few points"],
)
def test_dp_ends_with_one_line_that_says_it(tmp_path, change, complaint):
    config = cluster_configuration(descriptor=change.get("descriptor"))
    config["training"].update(change.get("training", {}))
    config["model"]["fitting_net"].update(change.get("fitting_net", {}))
    write_system(tmp_path / "train", [structure(0), structure(1)], 150, seed=1)
    del config["training"]["validation_data"]
    (tmp_path / "input.json").write_text(json.dumps(config))
    done = dp(tmp_path, "train", "input.json", check=False)
    assert done.returncode != 0
    assert complaint in last_line(done)
    assert not list(tmp_path.glob("model.ckpt*"))


@pytest.mark.parametrize(
    "part, change, complaint",
    [
        ("descriptor", {"type": "se_charge"}, "a list of layers with se_charge"),
        ("fitting_net", {"neuron": [0]}, "neuron .0. must be a list of positive numbers"),
        ("fitting_net", {"neuron": [8], "trainable": [True]}, "trainable has 1 values"),
        ("descriptor", {"triples": []}, "descriptor: unknown triples; the keys are rcut, rcut_env"),
        ("descriptor", {"sel": 9}, "unknown sel"),
        ("descriptor", {"rcut": 0}, "rcut 0 must be positive"),
        ("descriptor", {"rcut_env": -1.0}, "rcut_env -1.0 must be positive"),
        ("descriptor", {"rcut_env": float("nan")}, "rcut_env nan must be positive"),
        ("descriptor", {"rcut_product": 0}, "rcut_product 0 must be positive"),
        ("descriptor", {"rcut": "6"}, "rcut '6' must be of type float"),
        ("descriptor", {"order": 4}, "order 4 must be 0, 1, 2 or 3"),
        ("descriptor", {"order": 1.0}, "order 1.0 must be of type int"),
        ("descriptor", {"lmax": 7}, "lmax 7 must lie between 0 and 6"),
        ("descriptor", {"lmax_product": -1}, "lmax_product -1 must lie between 0 and 6"),
        ("descriptor", {"radial": "embedding"}, "radial 'embedding' must be one of bessel, cheb"),
        ("descriptor", {"radial_env": "x"}, "radial_env 'x' must be one of"),
        ("descriptor", {"ridge": -1e-3}, "ridge -0.001 must not be negative"),
        ("descriptor", {"n_channel": 0}, "n_channel 0 must be positive"),
        ("descriptor", {"electrons": "some"}, "electrons 'some' must be one of free, exact"),
        ("descriptor", {"electrons": "exact", "n_transfer": 9}, "n_transfer 9 is more than n_rad"),
        ("descriptor", {"electrons": "exact", "n_radial": 1}, "n_radial must be 2 at least"),
        ("descriptor", {"precision": "half"}, 'must be "default", "float32" or "float64"'),
        ("descriptor", {"refit": 1}, "refit 1 must be of type bool"),
    ],
)
def test_settings_that_are_wrong_are_said_in_one_line(part, change, complaint):
    config = cluster_configuration()
    if change == {"type": "se_charge"}:
        config["model"]["descriptor"] = {"type": "se_charge", "rcut": 3.0}
        config["model"]["fitting_net"] = {"type": "charge", "neuron": []}
    else:
        config["model"][part].update(change)
    with pytest.raises(ChargeError, match=complaint) as error:
        ModelSpec.from_dict(config["model"])
    assert "\n" not in str(error.value)


def test_a_net_without_neighbours_is_refused():
    config = cluster_configuration(descriptor={"order": 0}, neuron=[8])
    with pytest.raises(ChargeError, match=r"neuron must be \[\] with order 0 of se_cluster, which"):
        ModelSpec.from_dict(config["model"])


def test_an_element_without_atoms_is_told(tmp_path):
    """And refused in predictions."""
    config = cluster_configuration(descriptor={"order": 0})
    config["model"]["type_map"] = ["Si", "Ge", "C", "X"]
    new_run(tmp_path, config)
    done = dp(tmp_path, "train", "input.json")
    assert "the training data have no atom of Ge: the model will refuse" in done.stderr
    assert (
        "images of an atom are 4.342 A apart, less than 1.5 times model/descriptor/rc"
        in done.stderr
    )
    dp(tmp_path, "freeze", "-o", "charge.pb")
    with pytest.raises(ChargeError, match="has not seen Ge"):
        ChargeModel(tmp_path / "charge.pb").predict_points(structure(1, "SiGe"), [[0.0, 0, 0]])


def test_dp_shows_the_keys():
    text = subprocess.run(
        [str(Path(sys.executable).with_name("dp")), "doc-train-input", "--out-type", "json"],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    for word in ("se_cluster", "rcut_env", "n_component_triple", "refit", "electrons"):
        assert word in text
