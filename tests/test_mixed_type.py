# SPDX-License-Identifier: LGPL-3.0-or-later
"""Batches over compositions: DeePMD-kit's mixed_type systems, from conversion to training."""

import json
import shutil
import warnings
from pathlib import Path
from types import SimpleNamespace

import dpdata
import numpy as np
import pytest
from ase import Atoms
from training import RCUT, configuration, dp, lcurve

from deepmd_charge import ChargeError, Density, write_density
from deepmd_charge.cli.main import main
from deepmd_charge.data import systems
from deepmd_charge.data.dataset import check_open_axes, check_systems, dataset_info
from deepmd_charge.data.stored import StoredSystem, frames
from deepmd_charge.data.survey import survey
from deepmd_charge.data.together import check_together
from deepmd_charge.data.writing import hill_formula

VALENCE = {"C": 4, "O": 6, "H": 1, "Si": 4}
WIDTH = {"C": 0.6, "O": 0.5, "H": 0.5, "Si": 0.8}
MOLECULES = ["CO", "H2O", "CH4", "OC"]
CRYSTALS = ["SiC", "Si4"]
DRAW = {"n_points": 60, "points_per_frame": 20, "seed": 3}


def make(folder, formulas, pbc, first=0, electrons=0.0):
    """Write cubes of Gaussian atoms at random places, and return their names."""
    paths = []
    for k, formula in enumerate(formulas, first):
        rng = np.random.default_rng(k)
        atoms = Atoms(formula, cell=np.diag([4.6, 5.0, 5.2]), pbc=pbc)
        corners = np.array([*np.ndindex(2, 2, 2)])[rng.permutation(8)[: len(atoms)]]
        apart = 2.3 if pbc else 1.1
        atoms.positions = 1.6 + apart * corners + rng.normal(scale=0.05, size=(len(atoms), 3))
        shape = (12, 12, 14)
        empty = Density(atoms, np.zeros(shape))
        points = empty.points().reshape(-1, 3)
        values = sum(
            VALENCE[s] * np.exp(-((points - r) ** 2).sum(1) / (2 * WIDTH[s] ** 2))
            for s, r in zip(atoms.get_chemical_symbols(), atoms.positions, strict=True)
        )
        n = sum(VALENCE[s] for s in atoms.get_chemical_symbols()) + electrons
        values *= n / values.mean() / atoms.get_volume()
        path = folder / f"{formula}_{k}.cube"
        write_density(path, Density(atoms, values.reshape(shape)))
        paths.append(str(path))
    return paths


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """The same frames in plain systems and in one of mixed types, open and periodic."""
    folder = tmp_path_factory.mktemp("mixed")
    for name, paths in (
        ("open", make(folder, MOLECULES, False)),
        ("periodic", make(folder, CRYSTALS, True, first=10)),
    ):
        systems.convert(paths, folder / f"{name}_plain", **DRAW)
        systems.convert(paths, folder / f"{name}_mixed", mixed_type=True, **DRAW)
    return folder


def by_content(folders, type_map=("Si", "C", "O", "H", "X")):
    """The frames of systems, as sets of atoms with their densities, in a stable order."""
    found = []
    for frame in frames(map(str, folders), type_map, ["density"]):
        rows = np.column_stack([frame["type"], frame["coord"], frame["density"]])
        found.append((frame["box"], frame["periodic"], rows[np.lexsort(rows.T)]))
    return sorted(found, key=lambda each: each[2].ravel().tolist())


@pytest.mark.parametrize("name", ["open", "periodic"])
def test_one_system_holds_the_frames_of_all(data, name):
    plain = sorted(path.parent for path in (data / f"{name}_plain").rglob("type.raw"))
    mixed = data / f"{name}_mixed"
    assert len(plain) == (3 if name == "open" else 2)
    for one, other in zip(by_content(plain), by_content([mixed]), strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        assert one[1] == other[1] == (name == "periodic")
        np.testing.assert_array_equal(one[2], other[2])
    system = StoredSystem(str(mixed))
    assert system.is_mixed and not StoredSystem(str(plain[0])).is_mixed
    assert system.names[-1] == "X"
    (part,) = system.sets()
    types = part.types()
    assert set((types == len(system.names) - 1).sum(axis=1)) == {20}  # all share a count of points
    composition = (types == 0).sum(axis=1)
    assert (np.diff(composition) != 0).sum() > 3  # frames of a composition do not stand together
    check_systems([str(mixed)])
    check_open_axes([str(mixed)], 10.0)
    one, other = (dataset_info(list(map(str, each))) for each in (plain, [mixed]))
    assert sorted(one.pop("elements")) == sorted(other.pop("elements"))
    assert one.pop("valence") == pytest.approx(other.pop("valence"))
    assert one.pop("grid_spacing") == pytest.approx(other.pop("grid_spacing"))
    assert one.pop("valence_error", {}).keys() == other.pop("valence_error", {}).keys()
    assert one == other
    looks = [survey([str(data / f"{name}_{kind}")]) for kind in ("plain", "mixed")]
    assert looks[0].n_frames == looks[1].n_frames and looks[0].peak == looks[1].peak
    assert looks[0].points_per_frame == looks[1].points_per_frame == (20, 20)


def test_molecules_and_crystals_share_a_system_of_mixed_types(data, tmp_path, capsys):
    """Molecules get a cell whose images nobody sees; dpdata reads what is written."""
    paths = [*make(tmp_path, MOLECULES, False), *make(tmp_path, CRYSTALS, True, first=10)]
    options = "--points", "60", "--points-per-frame", "20", "--seed", "3"
    assert main(["convert", *paths, "-o", str(tmp_path / "dp"), "--mixed-type", *options]) == 0
    counts = "5 compositions, 18 frames, 360 points, 8.000 to 16.000 electrons, C O H Si"
    assert capsys.readouterr().out.splitlines()[-1] == f"{tmp_path}/dp: {counts}"
    assert not (tmp_path / "dp" / "nopbc").exists()
    check_open_axes([str(tmp_path / "dp")], 100.0)
    check = systems.convert(paths, tmp_path / "again", mixed_type=True, **DRAW)
    found = {system.formula: len(system) for system in check.systems}
    assert sum(found.values()) == 18 and len(found) == 5
    assert {check.folder(system) for system in check.systems} == {tmp_path / "again"}
    for file in (tmp_path / "dp").rglob("*.*"):
        if file.is_file():
            again = tmp_path / "again" / file.relative_to(tmp_path / "dp")
            assert again.read_bytes() == file.read_bytes()


def test_from_dpdata(data, tmp_path):
    """Its MultiSystems, frames filled up with -1 or one system for each number of atoms."""
    multi = dpdata.MultiSystems()
    paths = sorted(str(path) for path in data.glob("*.cube") if path.name.startswith(("C", "H")))
    assert len(paths) == 3
    for path in paths:
        multi.append(dpdata.System(path, fmt="density", n_points=40, points_per_frame=20, seed=1))
    multi.to("deepmd/npy/mixed", str(tmp_path / "padded"), atom_numb_pad=26, prec=float)
    (folder,) = (tmp_path / "padded").iterdir()
    assert (np.load(folder / "set.000" / "real_atom_types.npy") == -1).any()
    check_systems([str(folder)])
    info = dataset_info([str(folder)])
    assert info["valence"] == pytest.approx({"C": 4, "O": 6, "H": 1})
    singly = dpdata.MultiSystems()
    singly.load_systems_from_file(str(folder), fmt="deepmd/npy/mixed", labeled=False)
    assert {s["density"].shape for s in singly} == {s["density"].shape for s in multi}
    multi.to("deepmd/npy/mixed", str(tmp_path / "by_count"))
    counts = [StoredSystem(str(path)).is_mixed for path in (tmp_path / "by_count").iterdir()]
    assert counts == [True] * 3


# training


class Untrained:
    """The graph of a model whose parameters are random, and its loss."""

    def __init__(self, family):
        from deepmd.tf.env import tf
        from deepmd.tf.model.model import Model
        from deepmd.utils.argcheck import normalize

        config = configuration(1)
        small = {"n_radial": 4, "lmax": 1, "precision": "float64"}
        more = {"n_channel": 4} if family == "se_charge" else {"rcut_env": RCUT, "order": 1}
        config["model"].update(
            type_map=["Si", "C", "O", "H", "X"],
            descriptor={"type": family, "rcut": RCUT, **small, **more},
            fitting_net={"type": "charge", "neuron": [4] * (family == "se_charge")},
        )
        config["model"]["fitting_net"]["precision"] = "float64"
        config = normalize(config)
        with tf.Graph().as_default():
            self.model = model = Model(**config["model"])
            model._knows_data = True
            rng = np.random.default_rng(1)
            parts = getattr(model.descrpt, "parts", [model.descrpt.parameters])
            for part in (*parts, model.fitting.parameters):
                for name in list(part._arrays):
                    value = part.value(name)
                    part.set(name, value + rng.uniform(0.1, 0.3, value.shape))
            self.loss = model.get_loss(config["loss"], None)
            self.places = {
                name: tf.placeholder(tf.float64, [None]) for name in ("coord", "box", "density")
            }
            self.whole = {
                name: tf.placeholder(tf.int32, [None])
                for name in ("type", "default_mesh", "natoms_vec")
            }
            built = model.build(
                self.places["coord"],
                self.whole["type"],
                self.whole["natoms_vec"],
                self.places["box"],
                self.whole["default_mesh"],
                {},
            )
            value, shown = self.loss.build(
                None, self.whole["natoms_vec"], built, self.places, "test"
            )
            self.wanted = [value, tf.square(shown["rmse"]), shown["mae"], tf.size(built["density"])]
            self.atom_ener = built["atom_ener"]
            self.session = tf.Session()
            self.session.run(tf.global_variables_initializer())

    def errors(self, folders, batch_size):
        """Loss, squared and absolute error over all batches; grid points of each."""
        from deepmd.utils.data_system import DeepmdDataSystem

        types = self.model.type_map
        data = DeepmdDataSystem([*map(str, folders)], batch_size, 1, type_map=types)
        data.add_data_requirements(self.loss.label_requirement)
        found = []
        for system, n in enumerate(data.get_nbatches()):
            for _ in range(n):
                batch = data.get_batch(system)
                feed = {
                    place: batch[name].reshape(-1)
                    for name, place in (self.places | self.whole).items()
                }
                *row, atom_ener = self.session.run([*self.wanted, self.atom_ener], feed)
                is_grid = batch["type"] == len(types) - 1
                assert atom_ener.shape == is_grid.shape
                assert (atom_ener[~is_grid] == 0.0).all()
                found.append(row)
        found = np.array(found)
        return found[:, :-1].T @ found[:, -1] / found[:, -1].sum(), found[:, -1]


@pytest.mark.parametrize("family", ["se_charge", "se_cluster"])
def test_a_mixed_batch_has_the_loss_of_plain_ones(data, family):
    model = Untrained(family)
    for name in ("open", "periodic"):
        plain = sorted(path.parent for path in (data / f"{name}_plain").rglob("type.raw"))
        expected, _ = model.errors(plain, 3)
        found, counts = model.errors([data / f"{name}_mixed"], 6)
        assert expected.min() > 1e-3
        np.testing.assert_allclose(found, expected, rtol=1e-12)
        assert set(counts) == {120.0}
        # DeePMD-kit's own mixture of plain systems
        _, counts = model.errors(plain, "mixed:5")
        assert set(counts) == {100.0}


@pytest.mark.parametrize("batch_size", [1, 4, "mixed:4"])
def test_errors_without_a_step_are_of_each_frame_once(data, tmp_path, batch_size):
    """Also of those that fill no batch, of several sets, and where batches mix systems."""
    from deepmd.utils.data_system import DeepmdDataSystem

    from deepmd_charge.backends.tf.trainer import show_without_steps

    shutil.copytree(data / "open_plain", tmp_path / "dp")
    folders = sorted(path.parent for path in (tmp_path / "dp").rglob("type.raw"))
    shutil.copytree(folders[0] / "set.000", folders[0] / "set.001")
    np.save(folders[0] / "set.001/coord.npy", np.load(folders[0] / "set.001/coord.npy") + 9)
    sets = [part for folder in folders for part in sorted(folder.glob("set.*"))]
    types = ["Si", "C", "O", "H", "X"]
    systems_of = [
        DeepmdDataSystem([*map(str, folders)], batch_size, 1, type_map=types) for _ in range(2)
    ]
    systems_of[1].get_batch()  # training has begun
    shown = []
    trainer = SimpleNamespace(
        train=lambda *_: None,
        loss=SimpleNamespace(build=lambda *_, **__: None),
        valid_on_the_fly=lambda _file, *found, **_: shown.extend(found),
        run_opt=SimpleNamespace(is_chief=True),
        disp_file=str(tmp_path / "lcurve.out"),
        **dict.fromkeys(["learning_rate", "model_pred"]),
        place_holders={"natoms_vec": None},
    )
    show_without_steps(trainer)
    trainer.train(*systems_of)
    expected = sorted(np.sort(c).tobytes() for part in sets for c in np.load(part / "coord.npy"))
    for batches in shown:
        batches = [batches[k] for k in range(len(batches))]
        assert all(len(batch["coord"]) == 1 for batch in batches)
        assert sorted(np.sort(batch["coord"][0]).tobytes() for batch in batches) == expected
        for batch in batches:
            assert batch["natoms_vec"][0] == batch["type"].shape[1]
            assert len(batch["default_mesh"]) == 0


@pytest.fixture(scope="module")
def mixed_run(data):
    """Folder of a training on batches of mixed types, of both kinds of system."""
    config = configuration(4, {"n_radial": 6, "n_channel": 8, "lmax": 2, "triples": []})
    config["model"]["type_map"] = ["Si", "C", "O", "H", "X"]
    config["training"].update(disp_freq=2, save_freq=4)
    config["training"]["training_data"] = {
        "systems": ["open_mixed", "periodic_mixed"],
        "batch_size": 3,
        "auto_prob": "prob_sys_size;0:1:0.7;1:2:0.3",
    }
    config["training"]["validation_data"] = {"systems": "open_plain", "batch_size": 1}
    (data / "input.json").write_text(json.dumps(config))
    dp(data, "train", "input.json")
    return data


@pytest.mark.training
def test_training(mixed_run):
    curve = lcurve(mixed_run)
    assert curve["step"].tolist() == [0.0, 2.0, 4.0]
    assert np.isfinite(curve["rmse_trn"]).all() and (curve["rmse_val"] > 0).all()
    from deepmd_charge.backends.tf.frozen import read_checkpoint

    info = read_checkpoint(str(mixed_run / "model.ckpt")).info
    assert sorted(info["elements"]) == ["C", "H", "O", "Si"]
    assert info["valence"] == pytest.approx(VALENCE)


# what does not go together


def training(systems, batch_size=1):
    return {"training_data": {"systems": systems, "batch_size": batch_size}}


def test_what_cannot_be_trained_on_together(data, tmp_path):
    (tmp_path / "empty").mkdir()
    plain, mixed = str(data / "open_plain"), str(data / "open_mixed")
    crystals = str(data / "periodic_plain")
    for good in (plain, mixed, [plain, crystals]):
        check_together(training(good))
    check_together(training(plain, "mixed:4"))
    check_together(training([plain, crystals]), ["X", "O", "H", "C", "Si"])
    with pytest.raises(ChargeError, match=r"periodic_.*: its type_map.raw has Si, which model/"):
        check_together(training([mixed, str(data / "periodic_mixed")]), ["C", "O", "H", "X"])
    for bad, complaint in (
        (training([plain, mixed]), r"open_plain/.* is a plain DP system and .*open_mixed a mixed"),
        (training([plain, crystals], "mixed:4"), "cannot hold both .*periodic_plain"),
        (training([plain, str(tmp_path / "empty")]), "empty: holds no DP system"),
        (training(str(tmp_path / "empty")), "empty: holds no DP system"),
        (training([plain, "nowhere"]), "nowhere: no such folder"),
    ):
        with pytest.raises(ChargeError, match=complaint):
            check_together(bad)


def test_dp_train_says_so_before_it_opens_them(data, tmp_path, monkeypatch):
    from deepmd.tf.entrypoints import train

    options = {"init_model": None, "restart": None, "init_frz_model": "", "finetune": None}
    monkeypatch.setattr(
        train, "RunOptions", lambda **_: SimpleNamespace(**options, is_distrib=False, gpus=None)
    )
    config = configuration(1)
    config["training"]["training_data"]["systems"] = [
        str(data / f"open_{kind}") for kind in ("plain", "mixed")
    ]
    monkeypatch.chdir(tmp_path)
    Path("input.json").write_text(json.dumps(config))
    with pytest.raises(ChargeError, match=r"^training/training_data: .* cannot meet"):
        train.train(
            INPUT="input.json",
            output="out.json",
            mpi_log="master",
            log_level=0,
            log_path=None,
            **options,
        )


def test_types_without_a_name_are_refused(data, tmp_path):
    """DeePMD-kit would take the first of them for atoms that are not there."""
    systems.convert(
        sorted(map(str, data.glob("C*.cube"))), tmp_path / "dp", mixed_type=True, **DRAW
    )
    names = (tmp_path / "dp/type_map.raw").read_text().split()
    (tmp_path / "dp/type_map.raw").write_text("\n".join(["X", *names[:-2]]))
    with pytest.raises(ChargeError, match=r"holds the type 3, and type_map.raw .* names 0 to 2"):
        check_systems([str(tmp_path / "dp")])
    with pytest.raises(ChargeError, match="has the type C, which the model's type_map lacks"):
        next(frames([str(tmp_path / "dp")], ["O", "H", "X"], []))


# many files


def bytes_of(folder):
    return {
        file.relative_to(folder): file.read_bytes() for file in folder.rglob("*") if file.is_file()
    }


@pytest.mark.parametrize("flags", [[], ["--mixed-type", "--saed", "fit"]])
def test_an_interrupted_conversion_goes_on(data, tmp_path, flags, monkeypatch, capsys):
    paths = make(tmp_path, MOLECULES, False)
    whole, out = tmp_path / "whole", tmp_path / "dp"
    options = [*flags, "--points", "60", "--points-per-frame", "20", "--seed", "3"]
    assert main(["convert", *paths, "-o", str(whole), *options]) == 0
    told = capsys.readouterr().out.replace(str(whole), str(out))
    read = systems.iterate_densities

    def interrupted(path, **more):
        if path == paths[2] and not read_all:
            raise KeyboardInterrupt
        seen.append(path)
        return read(path, **more)

    monkeypatch.setattr(systems, "iterate_densities", interrupted)
    read_all, seen = "fit" in flags, []
    if "fit" in flags:  # the fit reads all files first
        superpositions, made = systems.Superpositions, []

        def fitted(*args):
            nonlocal read_all
            made.append(superpositions(*args))
            read_all = len(made) > 1
            return made[-1]

        monkeypatch.setattr(systems, "Superpositions", fitted)
    assert main(["convert", *paths, "-o", str(out), *options]) == 130
    partial = tmp_path / ".dp.partial"
    assert f"{partial} keeps what is done: go on with --resume" in capsys.readouterr().err
    assert not out.exists()
    assert main(["convert", *paths, "-o", str(out), *options]) == 1
    assert "holds an unfinished conversion; go on with --resume" in capsys.readouterr().err
    changed = [*options[:-1], "4"]
    assert main(["convert", *paths, "-o", str(out), "--resume", *changed]) == 1
    assert "unfinished conversion with other seed" in capsys.readouterr().err
    read_all, seen = True, []
    assert main(["convert", *paths, "-o", str(out), "--resume", *options]) == 0
    assert seen == paths[2:]
    assert capsys.readouterr().out == told
    assert bytes_of(out) == bytes_of(whole)
    assert not partial.exists()


def test_each_file_has_points_of_its_own(data, tmp_path):
    """They do not depend on other files, and those of the first are those of the file alone."""
    paths = make(tmp_path, ["CO", "CO", "CO"], False)
    systems.convert(paths, tmp_path / "all", **DRAW)
    systems.convert([paths[0], paths[2], paths[2]], tmp_path / "other", **DRAW)
    systems.convert(paths[:1], tmp_path / "one", **DRAW)
    everything, other, one = (
        np.load(tmp_path / name / "set.000/coord.npy") for name in ("all", "other", "one")
    )
    np.testing.assert_array_equal(everything[:3], one)
    np.testing.assert_array_equal(everything[6:], other[6:])
    assert (other[3:6] != other[6:]).any()
    alone = dpdata.System(paths[0], fmt="density", **DRAW)
    np.testing.assert_array_equal(one.reshape(3, -1, 3), alone["coords"])


def test_one_warning_for_all_files(tmp_path, capsys):
    paths = make(tmp_path, ["CO", "H2O", "CH4"], False, electrons=0.3)
    assert main(["convert", *paths, "-o", str(tmp_path / "dp"), "--points", "20", "-q"]) == 0
    (line,) = capsys.readouterr().err.splitlines()
    assert f"{paths[0]}: the density integrates to 10.3 electrons" in line
    assert line.endswith("(and 2 more like it)")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        systems.convert(paths[:1], tmp_path / "one", 20, 20)
    assert [str(w.message).count("like it") for w in caught] == [0]


def test_formulas_are_in_hills_order():
    assert hill_formula(["O", "H", "C", "H", "Br"]) == "C1H2Br1O1"
    assert hill_formula(["Zn", "O", "H"]) == "H1O1Zn1"
    assert hill_formula(["Fe2", "O", "Fe1"]) == "Fe1_1Fe2_1O1"
    assert hill_formula(["Fe1"] * 11) != hill_formula(["Fe11"])


def test_many_systems_share_a_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("deepmd_charge.cli.convert.MOST_LINES", 2)
    paths = make(tmp_path, ["CO", "H2O", "CH4"], False)
    options = "--points", "20", "--points-per-frame", "10"
    assert main(["convert", *paths, "-o", str(tmp_path / "dp"), *options]) == 0
    counts = "3 compositions, 6 frames, 60 points, 8.000 to 10.000 electrons, C O H"
    assert capsys.readouterr().out == f"{tmp_path}/dp: {counts}, in 3 systems\n"
    assert sorted(p.name for p in (tmp_path / "dp").iterdir()) == ["C1H4", "C1O1", "H2O1"]
