# SPDX-License-Identifier: LGPL-3.0-or-later
"""Models of the difference to superposed atomic densities: they give the total."""

from pathlib import Path

import numpy as np
import pytest
from conftest import without_elements
from freezing import compiled
from running import lmp
from standin import StandInField, StandInModel
from training import (
    CELL,
    TYPE_MAP,
    configuration,
    gaussian_table,
    structure,
    true_density,
    write_system,
)

from deepmd_charge import ChargeError, ChargeModel, Density, read_density, write_density
from deepmd_charge.atoms.species import name_species
from deepmd_charge.cli.main import main
from deepmd_charge.io.paw import format_occupancies
from deepmd_charge.lammps import read_run, write_run
from deepmd_charge.model.info import ModelInfo
from deepmd_charge.predict.electrons import expected_electrons, rescale
from deepmd_charge.predict.field import Field
from deepmd_charge.saed import RadialTable, adding

pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@pytest.fixture(scope="module")
def model(differed):
    return ChargeModel(differed / "charge.pb")


@pytest.fixture(scope="module")
def nodes(differed):
    """The constants of the frozen graph, by name."""
    import tensorflow.compat.v1 as tf

    definition = tf.GraphDef()
    definition.ParseFromString((differed / "charge.pb").read_bytes())
    return {
        n.name: tf.make_ndarray(n.attr["value"].tensor) for n in definition.node if n.op == "Const"
    }


def test_the_frozen_graph_carries_the_table(nodes, model):
    table = gaussian_table()
    assert nodes["saed/step"].shape == ()
    assert nodes["saed/step"].dtype == nodes["saed/coefficients"].dtype == np.float64
    assert nodes["saed/step"] == table.step
    assert np.array_equal(nodes["saed/coefficients"], table.coefficients(TYPE_MAP[:2]))
    assert model.rcut == pytest.approx(
        table.reach
    )  # what LAMMPS must bring; above the descriptor's 3.5
    assert model.info["saed"]["source"] == "upf"
    assert model.info["saed"]["valence"] == {"Si": 4.0, "C": 4.0}


def test_a_model_without_table_has_no_such_nodes(trained, charge_model):
    assert b"saed/" not in (trained / "charge.pb").read_bytes()
    assert "saed" not in charge_model.info


def test_it_predicts_the_total(model):
    """The atoms' part is in it, in full precision: on a far better scale than the network's."""
    atoms = structure(31)
    points = np.random.default_rng(1).uniform(size=(300, 3)) @ CELL
    truth = true_density(atoms, points)
    part = gaussian_table().evaluate(atoms, points)
    error = np.abs(model.predict_points(atoms, points) - truth).mean()
    assert error < 0.5 * np.abs(truth - part).mean()
    lone = structure(31)[[0]]
    lone.pbc = False
    far = lone.positions + [[r, 0.0, 0.0] for r in (3.6, 4.0, 4.4, 4.9, 5.2)]
    found = model.predict_points(lone, far)
    expected = gaussian_table().evaluate(lone, far)
    # beyond the descriptor's cutoff only the table is left, to its last digit
    assert found - found[-1] == pytest.approx(expected, abs=1e-12)
    assert expected[0] > 1e-6


def test_the_parts_of_the_total(model, charge_model):
    """The table's part is that of the table; a model without one has learnt all."""
    atoms = structure(31)
    points = np.concatenate(
        [np.random.default_rng(1).uniform(-1, 2, (300, 3)) @ CELL, atoms.positions]
    )
    atoms.pbc = (True, False, True)
    field = model.field(atoms)
    part = field.superposition(points)
    assert part == pytest.approx(gaussian_table().evaluate(atoms, points), abs=1e-12)
    assert np.array_equal(field.difference(points) + part, field(points))
    assert np.array_equal(field.superposition(points[:7]), part[:7])  # to the last bit
    far = np.full((1, 3), 1e9) * (0, 1, 0)
    assert field.superposition(far) == [0.0]
    field = charge_model.field(atoms)
    assert np.array_equal(field.difference(points), field(points))
    assert not field.superposition(points).any()


def test_the_parts_by_the_graph(model):
    from deepmd_charge.atoms.images import Images
    from deepmd_charge.backends.tf.frozen import read_model
    from deepmd_charge.backends.tf.graph import FrozenGraph

    frozen, atoms = read_model(model.path), structure(31)
    images = Images(atoms, [TYPE_MAP.index(s) for s in atoms.get_chemical_symbols()], frozen.reach)
    points = images.wrap(np.random.default_rng(2).uniform(size=(100, 3)) @ CELL)
    engine, graph = compiled(frozen), FrozenGraph(frozen)
    assert graph.density(images, points) == pytest.approx(engine.density(images, points), abs=1e-5)
    expected = engine.difference(images, points)
    assert graph.difference(images, points) == pytest.approx(expected, abs=1e-5)
    assert np.abs(expected).max() > 1e-3


def test_coarse_predictions(differed, tmp_path, monkeypatch, capsys):
    """What was learnt from the coarse grid, by numpy, and the table on the full one."""
    monkeypatch.chdir(tmp_path)
    # the same net beside sharper atoms
    own, sharp = gaussian_table(), gaussian_table(Si=0.2, C=0.15)
    there, put = (t.coefficients(TYPE_MAP[:2]) for t in (own, sharp))
    put = np.pad(put, ((0, 0), (0, there.shape[1] - put.shape[1]), (0, 0)))
    data = (differed / "charge.pb").read_bytes()
    assert data.count(there.tobytes()) == 1
    Path("sharp.pb").write_bytes(data.replace(there.tobytes(), put.tobytes()))
    model = ChargeModel("sharp.pb")
    atoms = structure(8)
    atoms.write("POSCAR", format="vasp")
    fine, coarse = (28, 30, 30), (14, 15, 15)
    argv = ["predict", "-m", model.path, "-s", "POSCAR", "--grid", *map(str, fine)]

    def on(shape, function):
        points = Density(atoms, np.zeros(shape)).points()
        return function(points).reshape(shape)

    def table(points):
        return sharp.evaluate(atoms, points)

    whole = on(fine, lambda points: model.predict_points(atoms, points))
    small = on(coarse, lambda points: model.predict_points(atoms, points))
    expected = interpolated(small - on(coarse, table), fine) + on(fine, table)
    for name, flags in {"CHGCAR_1": ["-j", "1"], "CHGCAR_2": ["-j", "2"]}.items():
        capsys.readouterr()
        assert main([*argv, "-o", name, "--coarsen", "2", *flags]) == 0
    assert Path("CHGCAR_1").read_bytes() == Path("CHGCAR_2").read_bytes()
    found = read_density("CHGCAR_1").values
    assert found == pytest.approx(expected, abs=1e-6)
    error = np.abs(found - whole)
    words = capsys.readouterr().out.split("adds an error of ")[1].split()
    # it is told from 2048 points at random, in two digits
    doubt = 3.0 * error.std() / np.sqrt(2048) + 0.06 * error.mean()
    assert float(words[0]) == pytest.approx(error.mean(), abs=doubt)
    assert error.mean() < 0.05 * np.abs(interpolated(small, fine) - whole).mean()


def interpolated(values, shape):
    """The waves of odd and even grids, by numpy, in the middle of a larger array."""
    for axis, (n, m) in enumerate(zip(values.shape, shape, strict=True)):
        waves = np.fft.fft(values, axis=axis) / n
        k = np.fft.fftfreq(n, 1.0 / n)
        phase = np.exp(2j * np.pi * np.outer(np.arange(m) / m, k))
        if n % 2 == 0:
            phase[:, n // 2] = np.cos(np.pi * n * np.arange(m) / m)
        values = np.moveaxis(np.tensordot(phase, waves, (1, axis)), 0, axis).real
    return values


def test_lammps_gives_the_total(model, programs, tmp_path):
    atoms = structure(8)
    atoms.positions -= atoms.positions[1]
    grid = (4, 3, 5)
    write_run(tmp_path, model.path, model.type_map, model.rcut, atoms, grid)
    lmp(programs, tmp_path, "in.lammps")
    density = read_run(tmp_path)
    expected = model.predict_points(atoms, density.points())
    found = density.values.ravel()
    assert np.all(np.abs(found - expected) <= 1e-5 * np.maximum(1.0, np.abs(expected)))


def test_deepmd_gives_the_total(model):
    from deepmd.infer import DeepPot

    atoms = structure(8)
    points = np.random.default_rng(4).uniform(-1, 2, (30, 3)) @ CELL
    types = [TYPE_MAP.index(s) for s in atoms.get_chemical_symbols()] + [2] * len(points)
    everything = np.concatenate([atoms.positions, points]).reshape(1, -1)
    found = (
        DeepPot(model.path).eval(everything, CELL.reshape(1, -1), types, atomic=True)[3].reshape(-1)
    )
    expected = model.predict_points(atoms, points)
    assert found[len(atoms) :] == pytest.approx(expected, abs=1e-5)
    assert not found[: len(atoms)].any()


# training: the table must be that of the data, and of the model that it starts from


@pytest.fixture
def facts(tmp_path):
    """What training does first, with a dataset of a table."""
    from deepmd_charge.backends.tf.model import training_facts

    def check(table, data_table=None, change=None):
        data = tmp_path / "train"
        write_system(data, [structure(k) for k in range(2)], 20, seed=1, saed=data_table)
        if change:
            change(data)
        table.save(tmp_path / "saed.npz")
        return training_facts([str(data)], TYPE_MAP, str(tmp_path / "saed.npz"))

    return check


def without_carbon():
    table = gaussian_table()
    del table.functions["C"]
    return table


def from_potcar():
    table = gaussian_table()
    table.source = "potcar"
    return table


def in_float32(data):
    for name in ("coord", "box", "density", "saed"):
        path = data / "set.000" / f"{name}.npy"
        np.save(path, np.load(path).astype(np.float32))


@pytest.mark.slow
def test_the_right_table_is_taken(facts):
    assert facts(gaussian_table(), gaussian_table())["saed"]["source"] == "upf"


@pytest.mark.slow
def test_data_in_float32_are_taken(facts):
    assert facts(gaussian_table(), gaussian_table(), in_float32)["elements"] == ["Si", "C"]


@pytest.mark.slow
@pytest.mark.parametrize(
    "table, data_table, message",
    [
        (gaussian_table(Si=0.79), gaussian_table(), "does not give the superposition"),
        (without_carbon(), gaussian_table(), "has Si, not C"),
        (from_potcar(), gaussian_table(), "of source 'potcar', but"),
        (gaussian_table(), None, "of source None"),
    ],
    ids=["other widths", "other elements", "other source", "no SAED"],
)
def test_wrong_tables_are_refused(facts, table, data_table, message):
    with pytest.raises(ChargeError, match=message):
        facts(table, data_table)


@pytest.mark.slow
def test_sublattices_share_the_function_of_their_element(tmp_path):
    """In the data, in the graph that training checks them by, and in the engine."""
    from deepmd_charge.atoms.images import Images
    from deepmd_charge.backends.tf.frozen import Frozen
    from deepmd_charge.backends.tf.model import training_facts
    from deepmd_charge.engine.superposition import Superposition

    atoms, names = structure(3), ["Si1", "C", "Si2", "C_b"]
    density = Density(atoms, np.zeros((8, 9, 10)))
    density.values.flat = true_density(atoms, density.points())
    write_density(tmp_path / "CHGCAR", density)
    table, made = gaussian_table(), str(tmp_path / "made.npz")
    table.save(made)
    data, argv = str(tmp_path / "dp"), ["convert", str(tmp_path / "CHGCAR"), "--unchecked"]
    argv += ["--points", "100", "--points-per-frame", "50"]
    assert main([*argv, "-o", data, "--species", *names, "--saed", made]) == 0
    type_map = ["C_b", "Si2", "X", "Si1", "C"]
    facts = training_facts([data], type_map, f"{data}/saed.npz")
    assert facts["saed"]["valence"] == dict.fromkeys(names, 4.0)
    name_species("", atoms, names)
    assert expected_electrons(ModelInfo.from_json(facts), atoms) == 16.0
    with pytest.raises(ChargeError, match="saed: has Si, not C;"):
        without_carbon().check(names, "saed")

    stored = table.coefficients([name for name in type_map if name != "X"])
    nodes = {"saed/step": table.step, "saed/coefficients": stored}
    nodes |= {"se_charge/crowding_low": np.zeros(4), "model_attr/charge_info": b"{}"}
    frozen = Frozen("", {"model_attr/tmap": " ".join(type_map).encode(), **nodes})
    images = Images(atoms, [type_map.index(name) for name in names], table.reach)
    points = images.wrap(density.points()[:200])
    step, stored = frozen.saed
    assert Superposition(step, stored[frozen.kinds])(images, points) == pytest.approx(
        table.evaluate(atoms, points), abs=1e-12
    )


@pytest.mark.slow
def test_mixed_sources_are_refused(facts):
    def mix(data):
        np.save(data / "set.000" / "saed_source.npy", [b"upf", b"file"])

    with pytest.raises(ChargeError, match="different sources"):
        facts(gaussian_table(), gaussian_table(), mix)


def test_new_training_keeps_the_table_of_a_frozen_model(nodes):
    import tensorflow.compat.v1 as tf

    from deepmd_charge.backends.tf.saed import Superposition

    graph = tf.Graph()
    with graph.as_default():
        for name in ("saed/step", "saed/coefficients"):
            tf.constant(nodes[name], name=name)
    Superposition(gaussian_table(), TYPE_MAP).load(graph)
    with pytest.raises(ChargeError, match="another table"):
        Superposition(gaussian_table(C=0.51), TYPE_MAP).load(graph)
    with pytest.raises(ChargeError, match="no table"):
        Superposition(gaussian_table(), TYPE_MAP).load(tf.Graph())


def test_a_checkpoint_brings_its_table(differed, tmp_path):
    """Restart and --init-model restore variables; the table is among them."""
    import tensorflow.compat.v1 as tf

    reader = tf.train.load_checkpoint(str(differed / "model.ckpt"))
    expected = gaussian_table().coefficients(TYPE_MAP[:2])
    assert np.array_equal(reader.get_tensor("saed/coefficients"), expected)


def test_a_table_of_density_files_leaves_the_difference_to_the_loss(tmp_path):
    from deepmd_charge.backends.tf.model import ChargeModelTF

    RadialTable({}, "file").save(tmp_path / "saed.npz")
    section = {k: v for k, v in configuration(1)["model"].items() if k != "type"}
    made = ChargeModelTF(**section, saed=str(tmp_path / "saed.npz"))
    loss = made.get_loss({"type": "charge"}, None)
    assert loss.difference and made.superposition is None
    assert [item.key for item in loss.label_requirement] == ["density", "saed"]


@pytest.mark.parametrize("difference", [False, True])
def test_loss_of_total_and_difference(difference):
    from deepmd.tf.env import tf

    from deepmd_charge.backends.tf.loss import ChargeLoss
    from deepmd_charge.model.spec import LossSpec

    with tf.Graph().as_default(), tf.Session() as session:
        labels = {
            "density": tf.constant([[0.0, 3.0, 5.0]], tf.float64),
            "saed": tf.constant([[0.0, 1.0, 2.0]], tf.float64),
        }
        made = {
            "density": tf.constant([2.0, 2.0], tf.float64),
            "center_index": tf.constant([[0, 1], [0, 2]], tf.int64),
            "residual": tf.constant(1.0, tf.float32),
        }
        loss = ChargeLoss(LossSpec("mae"), saed=True, difference=difference)
        value, _ = loss.build(None, tf.constant([3, 3]), made, labels, "")
        assert session.run(value) == pytest.approx(0.5 if difference else 2.0)


# what the user has to add


class Flat(StandInField):
    def difference(self, points):
        return np.full(len(points), 1e-3)


class Difference(StandInModel):
    """A model that has learnt nothing: it predicts next to zero, and wants a SAED file."""

    type_map, elements, rcut, path = ("Si", "C", "X"), ("Si", "C"), 4.0, "charge.pb"

    def __init__(self, path=None, n_threads=None, quantity=None):
        valence = {"Si": 3.9996, "C": 4.0}
        self.info = {"saed": {"source": "file"}, "grid_spacing": 0.5, "valence": valence}

    def field(self, atoms):
        return Flat(atoms, 0.0)

    def predict(self, atoms, grid, progress=False, saed=None, origin=(0.0, 0.0, 0.0)):
        adding.check_given(self.path, self.info, saed)
        density = Density(atoms, np.full(grid, 1e-3), origin)
        if saed is not None:
            adding.add(density, saed)
        return density

    def predict_points(self, atoms, points, progress=False, saed=None):
        adding.check_given(self.path, self.info, saed)
        return 1e-3 + saed


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("deepmd_charge.predict.ChargeModel", Difference)
    atoms = structure(8)
    atoms.write("POSCAR", format="vasp")
    Path("charge.pb").write_text("no model")
    density = Density(atoms, np.zeros((8, 7, 9)))
    density.values.flat = gaussian_table().evaluate(atoms, density.points())
    write_density("CHGCAR_saed", density)
    write_density("CHGCAR", density + Density(atoms, np.full(density.shape, 1e-3)))
    return tmp_path


PREDICT = ("predict", "-m", "charge.pb", "-s", "POSCAR", "-o", "CHGCAR_pred")


def test_predict_adds_a_file(folder, capsys):
    assert main([*PREDICT, "--saed", "CHGCAR_saed"]) == 0  # on its grid
    found, saed = read_density("CHGCAR_pred"), read_density("CHGCAR_saed")
    assert found.values - saed.values == pytest.approx(1e-3, abs=1e-9)
    out = capsys.readouterr().out
    assert f"{found.n_electrons:.4f} electrons ({found.n_electrons - 16:+.4f} of 16)" in out
    assert "no PAW augmentation occupancies" in out
    assert "no PAW augmentation occupancies" in Path("CHGCAR_pred").read_text().splitlines()[0]


def test_predict_takes_files_of_vasp_4(folder, capsys):
    """The names of the structure serve for the other files, too."""
    saed = read_density("CHGCAR_saed")
    saed.extra["augmentation"] = [format_occupancies(np.arange(60.0).reshape(4, 15))]
    write_density("CHGCAR_saed", saed)
    name = without_elements("CHGCAR_saed")
    argv = ["predict", "-m", "charge.pb", "-s", name, "-o", "CHGCAR_pred"]
    argv += ["--saed", name, "--like", name, "--augmentation", name]
    assert main([*argv, "--species", "Si", "C", "Si", "C"]) == 0, capsys.readouterr().err
    found = read_density("CHGCAR_pred")
    assert found.values - saed.values == pytest.approx(1e-3, abs=1e-9)
    assert found.extra["augmentation"] == read_density("CHGCAR_saed").extra["augmentation"]
    argv = ["test", "-m", "charge.pb", "-s", without_elements("CHGCAR"), "--saed", "CHGCAR_saed_4"]
    assert main([*argv, "--species", "Si", "C", "Si", "C"]) == 0, capsys.readouterr().err


def test_predict_adds_a_file_that_begins_elsewhere(folder):
    from deepmd_charge import read_density

    atoms = structure(8)
    saed = Density(atoms, np.random.default_rng(0).uniform(0.1, 0.2, (8, 7, 9)), (0.4, -0.2, 0.1))
    write_density("saed.cube", saed)
    assert main([*PREDICT[:-1], "p.cube", "--saed", "saed.cube"]) == 0
    assert (read_density("p.cube") - saed).values == pytest.approx(1e-3, abs=1e-9)


def test_predict_adds_a_file_to_a_coarse_prediction(folder, capsys, monkeypatch):
    """The difference alone is interpolated; what that adds is a share of the total."""

    def rippled(self, points):
        return 1e-3 + 2e-4 * np.cos(6.0 * np.pi * self.atoms.cell.scaled_positions(points)[:, 0])

    argv = [*PREDICT, "--saed", "CHGCAR_saed", "--coarsen", "2"]
    assert main(argv) == 0
    found, saed = read_density("CHGCAR_pred"), read_density("CHGCAR_saed")
    assert found.values - saed.values == pytest.approx(1e-3, abs=1e-9)
    monkeypatch.setattr(Flat, "difference", rippled)  # three waves in four points
    capsys.readouterr()
    assert main(argv) == 0
    out, err = capsys.readouterr()
    aliased = 1e-3 + 2e-4 * np.cos(2.0 * np.pi * np.arange(8) / 8)[:, None, None]
    found = read_density("CHGCAR_pred").values
    assert found - saed.values - aliased == pytest.approx(0.0, abs=1e-9)
    true = 1e-3 + 2e-4 * np.cos(6.0 * np.pi * np.arange(8) / 8)[:, None, None]
    added = float(out.split("adds an error of ")[1].split()[0])
    assert added == pytest.approx(np.abs(aliased - true).mean(), rel=0.05)
    # 13% of the difference
    assert added < 1e-3 * found.mean()
    assert "warning" not in err


@pytest.mark.slow
@pytest.mark.parametrize("number, electrons", [("auto", 16.0), ("15.5", 15.5)])
def test_predict_scales_to_electrons(folder, capsys, number, electrons):
    assert main([*PREDICT, "--saed", "CHGCAR_saed", "--electrons", number]) == 0
    assert read_density("CHGCAR_pred").n_electrons == pytest.approx(electrons, abs=1e-6)
    assert f"scaled to {electrons:g}" in capsys.readouterr().out


@pytest.mark.slow
@pytest.mark.parametrize("points", [(), ("--points", "50")])
def test_test_adds_files(folder, capsys, points):
    assert main(["test", "-m", "charge.pb", "-s", "CHGCAR", "--saed", "CHGCAR_saed", *points]) == 0
    assert float(capsys.readouterr().out.splitlines()[1].split()[1]) < 1e-8


def test_test_scales_to_electrons(folder, capsys):
    flags = ("--saed", "CHGCAR_saed", "--electrons", "auto")
    assert main(["test", "-m", "charge.pb", "-s", "CHGCAR", *flags]) == 0
    assert capsys.readouterr().out.splitlines()[1].split()[-2] == "16.000"


@pytest.mark.slow
@pytest.mark.parametrize(
    "argv, message",
    [
        (PREDICT, "has learnt the difference"),
        (
            (*PREDICT, "--saed", "CHGCAR_saed", "--grid", "4", "4", "4"),
            "CHGCAR_saed: densities on different grids: (4, 4, 4) and (8, 7, 9); give the",
        ),
        ((*PREDICT, "--saed", "CHGCAR_other"), "no such file"),
        ((*PREDICT, "--saed", "CHGCAR_saed", "--electrons", "many"), "positive number, or auto"),
        ((*PREDICT, "--saed", "CHGCAR_saed", "--electrons", "-4"), "positive number, or auto"),
        ((*PREDICT, "--saed", "CHGCAR_saed", "--augmentation", "CHGCAR"), "of 0 atoms, of 4"),
        (("test", "-m", "charge.pb", "-s", "CHGCAR"), "has learnt the difference"),
        (("test", "-p", "CHGCAR", "-s", "CHGCAR", "--saed", "CHGCAR_saed"), "go with a model"),
        (
            (
                "lammps",
                "run",
                "-m",
                "charge.pb",
                "-i",
                "POSCAR",
                "--species",
                "Si",
                "--every",
                "1",
                "--grid",
                "4",
                "4",
                "4",
                "-o",
                "run",
            ),
            "has learnt the difference",
        ),
        (
            (
                "lammps",
                "write",
                "-m",
                "charge.pb",
                "-s",
                "POSCAR",
                "--grid",
                "4",
                "4",
                "4",
                "-o",
                "run",
            ),
            "has learnt the difference",
        ),
    ],
)
def test_complaints(folder, capsys, argv, message):
    there = sorted(folder.iterdir())
    assert main(list(argv)) == 1
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith("deepmd-charge: error: ")
    assert message in line
    assert sorted(folder.iterdir()) == there


def test_a_needless_file_is_refused(model):
    atoms = structure(8)
    with pytest.raises(ChargeError, match="total density by itself"):
        model.predict(atoms, (4, 4, 4), saed=Density(atoms, np.zeros((4, 4, 4))))
    with pytest.raises(ChargeError, match="total density by itself"):
        model.predict_points(atoms, [[0, 0, 0]], saed=[0.0])


def test_a_file_in_python(charge_model, monkeypatch):
    """What is added is checked before anything is predicted, and complaints have one line."""
    monkeypatch.setitem(charge_model.info, "saed", {"source": "file"})
    atoms, shape = structure(8), (3, 4, 5)
    saed = Density(atoms, np.random.default_rng(0).uniform(size=shape), (0.1, 0.2, 0.3))
    found = charge_model.predict(atoms, shape, saed=saed, origin=saed.origin)
    points = saed.points()
    at_points = charge_model.predict_points(atoms, points, saed=saed.values.ravel())
    assert found.values.ravel() == pytest.approx(at_points, abs=1e-5)
    monkeypatch.setattr(Field, "__call__", lambda *_: pytest.fail("predicts first"))
    for call, message in (
        (lambda: charge_model.predict(atoms, shape, saed=saed), "saed: .*different origins"),
        (lambda: charge_model.predict(atoms, shape, saed=saed.values), "saed: .*not ndarray"),
        (lambda: charge_model.predict_points(atoms, points, saed=[0.0]), r"\(1,\) for 60 points"),
        (lambda: charge_model.predict_points(atoms, points, saed=saed), "Density is no array"),
        (lambda: charge_model.predict_points(atoms, points, saed=saed.values), r"\(3, 4, 5\) for"),
    ):
        with pytest.raises(ChargeError, match=message) as error:
            call()
        assert "\n" not in str(error.value)


def test_electrons():
    atoms = structure(8)  # Si2 C2
    assert expected_electrons(ModelInfo(valence={"Si": 3.9996, "C": 4.0}), atoms) == 16.0
    assert expected_electrons(ModelInfo(valence={"Si": 4.0}), atoms) is None
    info = {"valence": {"Si": 3.97, "C": 4.0}, "saed": {"valence": {"Si": 4.0}}}
    assert expected_electrons(ModelInfo.from_json(info), atoms) == 16.0
    density = Density(atoms, np.random.default_rng(0).uniform(size=(4, 5, 6)))
    before = density.values.copy()
    factor = rescale(density, 3.0, "p.cube")
    assert density.n_electrons == pytest.approx(3.0, abs=1e-12)
    assert density.values == pytest.approx(before * factor)
    with pytest.raises(ChargeError, match=r"p.cube: .* cannot be scaled to 3: the"):
        rescale(density * -1.0, 3.0, "p.cube")
