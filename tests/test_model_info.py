# SPDX-License-Identifier: LGPL-3.0-or-later
"""What a model remembers: it is never lost, and never wrong without a word."""

import json
import shutil
import warnings
from types import SimpleNamespace

import numpy as np
import pytest
from standin import StandInModel
from training import TYPE_MAP, configuration, dp, gaussian_table, new_run, structure, write_system

from deepmd_charge import ChargeError, ChargeModel, Density, read_density, write_density
from deepmd_charge.backends.tf.frozen import read_checkpoint, read_model
from deepmd_charge.cli.main import main
from deepmd_charge.grid.grid import Grid
from deepmd_charge.grid.quantity import QUANTITIES
from deepmd_charge.model.info import ModelInfo
from deepmd_charge.predict.evaluation import Job, ModelsOnGrid
from deepmd_charge.qe.support import check_functional
from deepmd_charge.saed import RadialTable

SAED = {"source": "upf", "ecutrho": 100.0, "valence": {"Si": 4.0}}
WHOLE = {
    "elements": ["Si", "C"],
    "valence": {"Si": 4.0, "C": 4.0},
    "valence_error": {"Si": 0.0, "C": 0.0},
    "grid_spacing": 0.2,
    "kind": "vasp/chgcar",
    "functional": "PBE",
}


def info(**changes):
    return ModelInfo.from_json({**WHOLE, **changes})


# the memory itself


@pytest.mark.parametrize(
    "facts", [WHOLE, {**WHOLE, "saed": SAED}, {**WHOLE, "quantity": "up", "kind": None}]
)
def test_json_and_back(facts):
    assert ModelInfo.from_json(json.loads(json.dumps(facts))).to_json() == facts


@pytest.mark.parametrize(
    "facts, quantity, content",
    [
        ({}, None, None),
        ({"functional": "PBE"}, None, None),
        ({"elements": ["Si"]}, "total", "total"),  # data that say nothing are total densities
        ({"elements": ["Si"], "kind": None, "saed": None}, "total", "total"),
        ({"kind": "cube"}, "total", "total"),
        ({"kind": "vasp/chgcar:up"}, "up", "up"),
        ({"quantity": "magnetization"}, "magnetization", "magnetization"),
        ({"elements": ["Si"], "quantity": "up"}, "up", "up"),
        ({"kind": "cube", "saed": {"source": "file"}}, "total", "difference"),
        ({"kind": "cube", "saed": SAED}, "total", "total"),
    ],
)
def test_what_a_model_gives(facts, quantity, content):
    memory = ModelInfo.from_json(facts)
    assert (memory.quantity, memory.content) == (quantity, content)
    assert memory.needs_superposition == (content == "difference")
    for word in QUANTITIES:
        if content in (None, word):
            assert memory.declared(word, "charge.pb").content == word
        else:
            with pytest.raises(ChargeError, match=f"charge.pb: predicts {content}, not {word}"):
                memory.declared(word, "charge.pb")
    with pytest.raises(ChargeError, match="unknown quantity 'x': give one of total, up"):
        memory.declared("x", "charge.pb")


def test_going_on():
    earlier = info(elements=["Si", "C", "O"], valence={"Si": 4.0, "O": 6.0}, note="first")
    now = info(elements=["C"], valence={"C": 4.0}, grid_spacing=0.3, functional="SCAN", kind=None)
    assert now.after(earlier, "model.ckpt").to_json() == {
        "elements": ["Si", "C", "O"],
        "valence": {"Si": 4.0, "O": 6.0, "C": 4.0},
        "valence_error": {"Si": 0.0, "O": 0.0, "C": 0.0},
        "grid_spacing": 0.2,  # the finer one
        "kind": "vasp/chgcar",
        "functional": "SCAN",
        "note": "first",
    }
    assert info().after(ModelInfo(), "model.ckpt") == info()  # whose memory was lost


def test_going_on_leaves_the_larger_doubt():
    charged = info(valence={"Si": 255 / 64}, valence_error={"Si": 1 / 64})
    for one, two in ((charged, info()), (info(), charged)):
        merged = one.after(two, "")
        assert merged.valence["Si"] == 4.0
        assert merged.valences["Si"] == (4.0, 1 / 64)
    former = ModelInfo.from_json({**WHOLE, "valence_error": None, "valence": {"Si": 255 / 64}})
    assert info().after(former, "").valences["Si"] == (4.0, 1 / 64)


def test_going_on_with_atomic_densities():
    other = {"source": "upf", "ecutrho": 100.0, "valence": {"C": 4.0}}
    assert info(saed=SAED).after(info(saed=other), "").saed["valence"] == {"Si": 4.0, "C": 4.0}
    lost = ModelInfo(saed={"source": None})
    assert info(saed=SAED).after(lost, "").saed == SAED


@pytest.mark.parametrize(
    "now, complaint",
    [
        ({"elements": ["Si", "Ge"]}, "has not seen Ge of the training data, only Si, C; go on"),
        ({"kind": "cube:up"}, "of vasp/chgcar, but the training data are of cube:up;"),
        ({"kind": "cube"}, "of vasp/chgcar, but the training data are of cube;"),
        ({"kind": None, "quantity": "up"}, "of total, but the training data are of up;"),
        ({"valence": {"Si": 14.0}}, "learnt 4 valence electrons of Si, but the .* data have 14;"),
        ({"saed": SAED}, r"of densities as they are \(no .*\), but .* to .* 'upf' up to 100 Ry"),
    ],
)
def test_contradictions(now, complaint):
    with pytest.raises(ChargeError, match=f"^model.ckpt: {complaint}") as error:
        info(**now).after(info(), "model.ckpt")
    assert str(error.value).endswith("train anew")


@pytest.mark.parametrize(
    "its, mine",
    [
        (None, SAED),
        (SAED, None),
        (SAED, {**SAED, "source": "potcar"}),
        (SAED, {**SAED, "ecutrho": 200.0}),
        (SAED, {"source": "file", "ecutrho": None, "valence": {}}),
        ({"source": "file"}, SAED),
        ({"source": "file"}, None),
    ],
)
def test_contradictions_of_atomic_densities(its, mine):
    with pytest.raises(ChargeError, match=r"model.ckpt: of d.*, but the training data are of d.*"):
        info(saed=mine).after(info(saed=its), "model.ckpt")


def test_a_total_is_not_gone_on_with_as_a_part():
    """Data that do not say what they hold are total densities."""
    for one, two in ((None, "cube:up"), ("cube:up", None)):
        with pytest.raises(ChargeError, match=r"of (total|up), but the training data are of"):
            info(kind=one).after(info(kind=two), "model.ckpt")


def test_what_the_user_notes():
    silent = info(kind=None, grid_spacing=None, functional=None)
    said = ModelInfo.from_json({"quantity": "up", "grid_spacing": 0.5, "functional": "PBE"})
    noted = silent.noting(said)
    assert (noted.quantity, noted.grid_spacing, noted.notes) == ("up", 0.5, {"functional": "PBE"})
    said = ModelInfo.from_json({"grid_spacing": 0.5})
    assert info().noting(said).grid_spacing == 0.2
    assert silent.noting(ModelInfo.from_json({"kind": "cube:up"})).quantity == "up"
    for contradiction in ({"kind": "cube"}, {"quantity": "up"}, {"saed": SAED}):
        with pytest.raises(ChargeError, match=r"^model/info: of .*; correct it, or leave it out$"):
            info().noting(ModelInfo.from_json(contradiction))
    with pytest.raises(ChargeError, match="model/info: unknown quantity 'x'"):
        info().noting(ModelInfo.from_json({"quantity": "x"}))


def test_the_functional_of_the_data():
    """The user may spell it otherwise, but not contradict it."""
    for note in ({}, {"functional": "SLA PW PBX PBC"}, {"functional": None}):
        memory = info().noting(ModelInfo.from_json({**note, "note": "first"}))
        assert memory.notes == {"functional": "PBE", "note": "first"}
    with pytest.raises(ChargeError, match=r"^model/info: functional lda, but the .* are of PBE; c"):
        info().noting(ModelInfo.from_json({"functional": "lda"}))
    silent = ModelInfo.from_json({k: v for k, v in WHOLE.items() if k != "functional"})
    assert silent.noting(ModelInfo()).after(info(), "model.ckpt").notes["functional"] == "PBE"


# training that goes on: what DeePMD-kit's trainer does, with the model in it


class Trainer:
    """Has what a model may ask of a DPTrainer."""

    def __init__(self, **start):
        options = dict.fromkeys(("restart", "init_model", "init_frz_model", "finetune"))
        self.run_opt = SimpleNamespace(**options | start, init_mode="restart")
        self.stop_batch = 1

    def build(self, data, model):
        from deepmd.tf.env import tf

        with tf.Graph().as_default():
            tf.constant("{}", name="train_attr/training_script")
            inputs = [tf.placeholder(tf.float64, [None])]
            inputs += [tf.placeholder(tf.int32, [n]) for n in (None, 2 + len(model.type_map))]
            inputs += [tf.placeholder(tf.float64, [None]), tf.placeholder(tf.int32, [None])]
            model.build(*inputs, {})
        return model.info


def go_on(folder, change=None, **start):
    """The memory of a model that goes on with the data in a folder."""
    from deepmd.tf.model.model import Model
    from deepmd.utils.argcheck import normalize

    config = configuration(1)
    config["model"].update(change or {})
    model = Model(**normalize(config)["model"])
    data = SimpleNamespace(system_dirs=[str(folder / "train")])
    return Trainer(**start).build(data, model)


@pytest.fixture
def data(tmp_path):
    """A folder with the training data, to be changed."""
    write_system(tmp_path / "train", [structure(k) for k in range(8)], 10, seed=1)
    return tmp_path


def note(folder, name, value):
    np.save(folder / "train" / "set.000" / f"{name}.npy", [value] * 8)


def with_memory(graph, facts):
    """Put other facts into a graph, in place."""
    (node,) = (node for node in graph.node if node.name == "model_attr/charge_info")
    node.attr["value"].tensor.string_val[0] = json.dumps(facts).encode()


def checkpoint_with(folder, prefix, facts):
    """A copy of a checkpoint that remembers these facts; former versions made some without."""
    from deepmd.tf.env import tf

    for path in prefix.parent.glob("model.ckpt.*"):
        shutil.copy(path, folder / path.name.replace("model", "lost"))
    meta = tf.MetaGraphDef()
    meta.ParseFromString((folder / "lost.ckpt.meta").read_bytes())
    with_memory(meta.graph_def, facts)
    (folder / "lost.ckpt.meta").write_bytes(meta.SerializeToString())
    return folder / "lost.ckpt"


def frozen_graph(path):
    from deepmd.tf.env import tf

    graph = tf.GraphDef()
    graph.ParseFromString(path.read_bytes())
    return graph


@pytest.mark.parametrize("option", ["restart", "init_model", "init_frz_model", "finetune"])
def test_memory_is_taken_over(trained, data, option):
    start = trained / ("charge.pb" if option in ("init_frz_model", "finetune") else "model.ckpt")
    note(data, "density_kind", b"cube")
    write_system(data / "lone", [structure(1, "Si")], 10, seed=1)
    memory = go_on(data, {"info": {"functional": "PBE"}}, **{option: str(start)})
    before = read_model(trained / "charge.pb").info
    assert memory == {**before, "kind": "cube", "functional": "PBE"}
    # also what these data do not hold
    shutil.rmtree(data / "train")
    (data / "lone").rename(data / "train")
    memory = go_on(data, **{option: str(start)})
    assert memory == {**before, "valence": pytest.approx({"Si": 4.0}), "valence_error": {"Si": 0.0}}
    # and what the run wrote of itself is not taken for the user's word
    written = {"info": {**before, "valence": {"Si": 3.0}}}
    assert go_on(data, written, **{option: str(start)}) == memory


@pytest.mark.slow
def test_a_new_model_remembers_its_data(data):
    """With whatever flags, and what the user says where the data are silent."""
    from deepmd.tf.model.model import Model
    from deepmd.utils.argcheck import normalize

    config = configuration(1)
    config["model"]["info"] = {"valence": {"Si": 4}, "quantity": "up", "functional": "PBE"}
    section = normalize(config)["model"]
    assert Model.update_sel(None, TYPE_MAP, section) == (section, None)  # it does not count
    model = Model(**section)
    model._learn_of([str(data / "train")])
    assert model.info["valence"] == pytest.approx({"Si": 4, "C": 4})
    assert ModelInfo.from_json(model.info).quantity == "up"
    assert model.info["functional"] == "PBE"
    note(data, "density_kind", b"cube")
    with pytest.raises(ChargeError, match="model/info: of up, but the training data are of total"):
        Model(**section)._learn_of([str(data / "train")])


def test_a_model_remembers_the_functional_of_its_data(data):
    """So that a run of another one is refused without a word of the user's."""
    from deepmd.tf.model.model import Model
    from deepmd.utils.argcheck import normalize

    note(data, "functional", b"PZ")
    model = Model(**normalize(configuration(1))["model"])
    model._learn_of([str(data / "train")])
    assert model.info["functional"] == "LDA"
    learnt = SimpleNamespace(info=model.info, path="charge.pb")
    check_functional("pw.in", "SLA PZ NOGX NOGC", [learnt])
    with pytest.raises(ChargeError, match=r"pw.in: the functional is PBE, that of .* is LDA"):
        check_functional("pw.in", "PBE", [learnt])
    told = configuration(1)
    told["model"]["info"] = {"functional": "PBE"}
    with pytest.raises(ChargeError, match=r"model/info: functional PBE, but the .* are of LDA"):
        Model(**normalize(told)["model"])._learn_of([str(data / "train")])


@pytest.mark.slow
def test_charged_cells_are_told_in_training(data, caplog):
    from deepmd.tf.model.model import Model
    from deepmd.utils.argcheck import normalize

    note(data, "n_electrons", 15.0)
    config = configuration(1)
    config["model"]["info"] = {"valence": {"Si": 4, "C": 4}}
    model = Model(**normalize(config)["model"])
    model._learn_of([str(data / "train")])
    assert "are not those of neutral cells (Si 4 +- 0.25, C 4 +- 0.25)" in caplog.text


@pytest.mark.parametrize(
    "change, name, value, complaint",
    [
        ({}, "density_kind", b"cube:up", "ckpt: of total, but the training data are of up"),
        ({"type_map": ["C", "Si", "X"]}, None, None, "give model/type_map the same order"),
        ({"type_map": ["Si", "C", "Ge", "X"]}, None, None, "give model/type_map the same order"),
        ({"saed": "saed.npz"}, "saed_source", b"file", "of densities as they are .*, but"),
        ({"saed": "saed.npz"}, None, None, "of source None"),
    ],
)
@pytest.mark.parametrize("option", ["restart", "init_model"])
def test_data_that_contradict_the_memory(
    trained, data, monkeypatch, option, change, name, value, complaint
):
    monkeypatch.chdir(data)
    RadialTable({}, "file").save("saed.npz")
    if name:
        note(data, name, value)
    with pytest.raises(ChargeError, match=complaint) as error:
        go_on(data, change, **{option: str(trained / "model.ckpt")})
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "symbols, name, value, complaint",
    [
        ("SiCSiC", None, None, None),
        ("Si", "density_kind", b"vasp/chgcar", None),  # another format of the same quantity
        ("SiC", None, None, "C is not in the training data, which have Si; validate with"),
        ("Si", "density_kind", b"cube:up", "the quantity is up, that of the training data total"),
        ("Si", "functional", b"PZ", "the functional is LDA, that of the training data PBE"),
        ("Si", "n_electrons", 8.0, "the valence of Si is 8, that of the training data 4;"),
        ("Si", "saed_source", b"upf", None),  # where no difference is learnt
        ("Si", "periodic", [True, True, False], "valid/set.000: in frame 0 images across an open"),
    ],
)
def test_validation_data_are_of_what_is_trained_on(tmp_path, symbols, name, value, complaint):
    from deepmd.tf.model.model import Model
    from deepmd.utils.argcheck import normalize

    trained = "SiCSiC" if len(symbols) > 3 else "Si"
    write_system(tmp_path / "train", [structure(k, trained) for k in range(8)], 10, seed=1)
    write_system(tmp_path / "valid", [structure(9, symbols)], 10, seed=1)
    note(tmp_path, "density_kind", b"cube")
    note(tmp_path, "functional", b"PBE")
    if name:
        np.save(tmp_path / f"valid/set.000/{name}.npy", [value])
    valid_data = SimpleNamespace(system_dirs=[str(tmp_path / "valid")])
    model = Model(**normalize(configuration(1))["model"])
    if complaint is None:
        model._learn_of([str(tmp_path / "train")])
        return
    with pytest.raises(ChargeError, match=complaint):
        model._learn_of([str(tmp_path / "train")])
    assert valid_data  # found among the callers, as in dp train


def test_structures_on_both_sides_are_told(tmp_path, caplog):
    """By other points, and in another order of frames; and systems that are named twice."""
    from deepmd_charge.backends.tf.facts import warn_of_twins

    paths = []
    for seeds in ((0, 1, 2), (9, 2), (7,)):
        paths.append(str(tmp_path / str(len(paths))))
        write_system(paths[-1], [structure(k) for k in seeds], 10, seed=len(paths))
    warn_of_twins([paths[0]], [paths[2]], TYPE_MAP)
    warn_of_twins([paths[0]], [], TYPE_MAP)
    assert not caplog.messages
    warn_of_twins([paths[0], f"{tmp_path}/2/../0"], paths[1:], TYPE_MAP)
    assert len(caplog.messages) == 2
    assert f"names {paths[0]} more than once" in caplog.messages[0]
    assert "1 of the 3 structures of training/validation_data are trained on" in caplog.messages[1]
    for k, (name, change) in enumerate(
        (("coord", reordered), ("coord", single), ("box", single), ("box", unmoved))
    ):
        other = tmp_path / f"other{k}"
        write_system(other, [structure(0), structure(5)], 10, seed=9)
        change(other, name)
        caplog.clear()
        warn_of_twins([paths[0]], [str(other)], TYPE_MAP)
        if change is unmoved:  # another cell
            assert not caplog.messages
            continue
        assert "1 of the 2 structures of training/validation_data are" in caplog.messages[0]


def single(folder, name):
    """Store an array in single precision."""
    path = folder / f"set.000/{name}.npy"
    np.save(path, np.load(path).astype(np.float32))


def unmoved(folder, name):
    """Make the cell larger by a thousandth, and leave the atoms where they are."""
    path = folder / f"set.000/{name}.npy"
    np.save(path, np.load(path) * 1.001)


def reordered(folder, name):
    """Store the atoms of a system in the reverse order."""
    path = folder / f"set.000/{name}.npy"
    values = np.load(path)
    np.save(path, values.reshape(len(values), -1, 3)[:, ::-1].reshape(len(values), -1))
    np.savetxt(folder / "type.raw", np.loadtxt(folder / "type.raw", dtype=int)[::-1], fmt="%d")


@pytest.mark.training
def test_dp_train_refuses_validation_data_of_other_elements(tmp_path):
    config = configuration(1)
    config["training"].update(disp_freq=1, save_freq=1)
    write_system(tmp_path / "train", [structure(k, "Si") for k in range(3)], 50, seed=1)
    write_system(tmp_path / "valid", [structure(9)], 50, seed=2)
    (tmp_path / "input.json").write_text(json.dumps(config))
    done = dp(tmp_path, "train", "input.json", check=False)
    assert done.returncode != 0
    assert "training/validation_data: C is not in the training data" in done.stderr


def test_elements_that_were_not_seen(trained, data, tmp_path):
    facts = {**read_model(trained / "charge.pb").info, "elements": ["Si"]}
    start = checkpoint_with(tmp_path, trained / "model.ckpt", facts)
    with pytest.raises(ChargeError, match=r"lost.ckpt: has not seen C of the .* data, only Si;"):
        go_on(data, restart=str(start))


@pytest.mark.parametrize("option", ["restart", "init_model", "init_frz_model"])
def test_the_table_must_be_that_of_before(differed, tmp_path, monkeypatch, option):
    """That of the checkpoint would be put over it, or none at all."""
    monkeypatch.chdir(tmp_path)
    frozen = option == "init_frz_model"
    start = {option: str(differed / ("charge.pb" if frozen else "model.ckpt"))}
    write_system(tmp_path / "train", [structure(0)], 10, seed=1, saed=gaussian_table())
    gaussian_table().save("saed.npz")
    before = read_model(differed / "charge.pb").info
    assert go_on(tmp_path, {"saed": "saed.npz"}, **start)["saed"] == before["saed"]
    with pytest.raises(ChargeError, match=r"carries a table .*; name it in model/saed"):
        go_on(tmp_path, **start)
    gaussian_table(C=0.51).save("saed.npz")
    with pytest.raises(ChargeError, match="another table"):
        go_on(tmp_path, {"saed": "saed.npz"}, **start)


def test_a_table_that_was_not_before(trained, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_system(tmp_path / "train", [structure(0)], 10, seed=1, saed=gaussian_table())
    gaussian_table().save("saed.npz")
    with pytest.raises(ChargeError, match="no table"):
        go_on(tmp_path, {"saed": "saed.npz"}, restart=str(trained / "model.ckpt"))


def test_a_memory_that_was_lost(trained, differed, data, tmp_path, caplog, monkeypatch):
    """The data say what they are; that atomic densities were there, the input in the graph."""
    start = checkpoint_with(tmp_path, trained / "model.ckpt", {})
    assert ModelInfo.from_json(read_checkpoint(start).info).content is None
    memory = go_on(data, restart=str(start))
    assert memory == read_model(trained / "charge.pb").info
    assert "lost.ckpt does not remember its training data" in caplog.text
    monkeypatch.chdir(tmp_path)
    start = checkpoint_with(tmp_path, differed / "model.ckpt", {})
    shutil.rmtree(data / "train")
    write_system(data / "train", [structure(0)], 10, seed=1, saed=gaussian_table())
    with pytest.raises(ChargeError, match="carries a table"):
        go_on(data, restart=str(start))
    gaussian_table().save("saed.npz")
    memory = go_on(data, {"saed": "saed.npz"}, restart=str(start))
    assert memory["saed"]["source"] == "upf"


@pytest.mark.slow
def test_what_is_no_charge_model_is_refused(data, tmp_path):
    with pytest.raises(ChargeError, match=r"none.meta: cannot be read: No such file"):
        read_checkpoint(tmp_path / "none")
    for content in (b"", b"no graph", b"\x12\x00"):
        (tmp_path / "bad.meta").write_bytes(content)
        with pytest.raises(
            ChargeError, match=r"bad.meta: not the graph of a TensorFlow checkpoint"
        ):
            read_checkpoint(tmp_path / "bad")
    with pytest.raises(ChargeError, match="DeePMD-kit does not tell what training starts from"):
        go_on(data)


# a model that has lost what it is


@pytest.fixture
def lost(trained, tmp_path, monkeypatch):
    """In a folder of its own: a model without memory, a structure and a density."""
    monkeypatch.chdir(tmp_path)
    graph = frozen_graph(trained / "charge.pb")
    with_memory(graph, {})
    (tmp_path / "lost.pb").write_bytes(graph.SerializeToString())
    structure(8).write("POSCAR", format="vasp")
    write_density("CHGCAR", Density(structure(8), np.full((4, 4, 4), 0.2)))
    return "lost.pb"


@pytest.mark.filterwarnings("ignore:.*unlike")
def test_a_lost_model_predicts_when_it_is_told_what(lost, charge_model):
    atoms, points = structure(8), [[0.0, 0.0, 0.0]]
    with pytest.warns(UserWarning, match="lost.pb: this model does not remember what it predicts"):
        model = ChargeModel(lost)
    assert model.elements == ["Si", "C"]
    for call in (
        lambda: model.predict(atoms, (2, 2, 2)),
        lambda: model.predict_points(atoms, points),
        lambda: model.field(atoms),
    ):
        with pytest.raises(ChargeError, match=r"lost.pb: .* say so: --is total, .*quantity="):
            call()
    expected = charge_model.predict_points(atoms, points)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        told = ChargeModel(lost, quantity="magnetization")
        difference = ChargeModel(lost, quantity="difference")
    assert told.info["quantity"] == "magnetization"
    assert told.predict_points(atoms, points) == expected
    with pytest.raises(ChargeError, match="has learnt the difference"):
        difference.predict_points(atoms, points)
    assert difference.predict_points(atoms, points, saed=[1.0]) == expected + 1.0
    with pytest.raises(ChargeError, match=r"charge.pb: predicts total, not up"):
        ChargeModel(charge_model.path, quantity="up")
    assert ChargeModel(charge_model.path, quantity="total").info == charge_model.info


def run(*argv):
    return main(list(map(str, argv)))


@pytest.mark.filterwarnings("always:.*remember", "ignore:.*unlike")
@pytest.mark.parametrize(
    "argv",
    [
        ("predict", "-m", "lost.pb", "-s", "POSCAR", "-o", "CHGCAR_p", "--grid", 4, 4, 4),
        ("test", "-m", "lost.pb", "-s", "CHGCAR"),
        ("lammps", "write", "-m", "lost.pb", "-s", "POSCAR", "--grid", 4, 4, 4, "-o", "run"),
    ],
)
def test_commands_ask_what_a_lost_model_predicts(lost, capsys, argv):
    assert run(*argv) == 1
    warning, error = capsys.readouterr().err.splitlines()
    assert warning.startswith("deepmd-charge: warning: lost.pb: this model does not remember")
    assert error.startswith("deepmd-charge: error: lost.pb: ") and "--is total" in error
    assert run(*argv, "--is", "difference") == 1
    assert "has learnt the difference" in capsys.readouterr().err
    assert run(*argv, "--is", "total") == 0
    assert "remember" not in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_lammps_run_asks(lost, charge_model, capsys):
    argv = ("lammps", "run", "-i", "POSCAR", "--species", "Si", "--every", 1, "--grid", 4, 4, 4)
    argv += ("-o", "md")
    assert run(*argv, "-m", lost) == 1
    assert "--is total" in capsys.readouterr().err
    assert run(*argv, "-m", charge_model.path, "--is", "up") == 1
    assert "charge.pb: predicts total, not up" in capsys.readouterr().err


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_what_is_told_goes_into_the_files(lost, capsys):
    predict = ("predict", "-m", lost, "-s", "POSCAR", "--grid", 4, 4, 4)
    assert run(*predict, "-o", "CHGCAR_m", "--is", "magnetization") == 0
    assert capsys.readouterr().out.splitlines()[0].endswith(" mu_B")
    zero = read_density("CHGCAR", check=False)
    write_density("CHGCAR_saed", zero)
    assert run(*predict, "-o", "CHGCAR_d", "--is", "difference", "--saed", "CHGCAR_saed") == 0
    found, part = (read_density(name, check=False) for name in ("CHGCAR_d", "CHGCAR_m"))
    added = found.values - part.values
    np.testing.assert_allclose(added, 0.2, atol=1e-9)
    assert run("test", "-p", "CHGCAR", "-s", "CHGCAR", "--is", "total") == 0  # of the files


def test_a_lost_model_of_atomic_densities(differed, tmp_path):
    """The table in the graph, or the input of the training, tells that they belong to it."""
    graph = frozen_graph(differed / "charge.pb")
    with_memory(graph, {})
    (tmp_path / "lost.pb").write_bytes(graph.SerializeToString())
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        assert ModelInfo.from_json(ChargeModel(tmp_path / "lost.pb").info).content == "total"
        for node in graph.node:
            node.name = node.name.replace("saed/step", "x").replace("saed/coefficients", "y")
        (tmp_path / "lost.pb").write_bytes(graph.SerializeToString())
        assert ModelInfo.from_json(ChargeModel(tmp_path / "lost.pb").info).content == "difference"


@pytest.mark.filterwarnings("ignore:.*remember")
def test_other_ranks_are_told_too(lost, charge_model):
    atoms = structure(8)
    grid = Grid.of(atoms, (2, 3, 4))
    values = ModelsOnGrid.load(Job([lost], atoms, grid, quantity="up"))(0)[0]
    expected = charge_model.predict(atoms, (2, 3, 4)).values
    assert values.ravel() == pytest.approx(expected.ravel()[: values.size])
    with pytest.raises(ChargeError, match="--is total"):
        ModelsOnGrid.load(Job([lost], atoms, grid))


def test_models_of_which_one_is_told(monkeypatch, tmp_path, capsys):
    """Several models give a mean if they are of one quantity."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("deepmd_charge.predict.ChargeModel", StandInModel)
    facts = {
        "a.pb": {"kind": "vasp/chgcar:up"},
        "b.pb": {"kind": None, "quantity": "up"},
        "c.pb": {"kind": None, "quantity": "total"},
    }
    monkeypatch.setattr(StandInModel, "facts", facts)
    for name in facts:
        (tmp_path / name).write_text("1.0")
    structure(8, "SiSi").write("POSCAR", format="vasp")
    argv = ("-s", "POSCAR", "--grid", 4, 4, 4, "-o", "CHGCAR_p")
    assert run("predict", "-m", "a.pb", "b.pb", *argv) == 0
    assert run("predict", "-m", "a.pb", "c.pb", *argv) == 1
    assert "models of different kind (vasp/chgcar:up and total)" in capsys.readouterr().err


# with dp itself


@pytest.mark.training
def test_a_difference_to_files_stays_one(tmp_path):
    """The memory of a short training survives a restart that skips all that looks at data."""
    config = configuration(1, training={"disp_freq": 1})
    config["model"]["saed"] = "saed.npz"
    table = gaussian_table()
    table.source = "file"
    new_run(tmp_path, config, table)
    RadialTable({}, "file").save(tmp_path / "saed.npz")
    dp(tmp_path, "train", "input.json")
    config["training"].update(numb_steps=2, save_ckpt="next.ckpt")
    (tmp_path / "next.json").write_text(json.dumps(config))
    dp(tmp_path, "train", "next.json", "--restart", "model.ckpt", "--skip-neighbor-stat")
    dp(tmp_path, "freeze", "-c", "next.ckpt", "-o", "charge.pb")
    model = ChargeModel(tmp_path / "charge.pb")
    assert model.info == read_checkpoint(tmp_path / "model.ckpt").info
    with pytest.raises(ChargeError, match="has learnt the difference"):
        model.predict_points(structure(8), [[0.0, 0.0, 0.0]])
