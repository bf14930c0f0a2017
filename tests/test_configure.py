# SPDX-License-Identifier: LGPL-3.0-or-later
"""``deepmd-charge configure``: an input.json for the data at hand."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.geometry import minkowski_reduce
from conftest import DATA, shared
from hypothesis import given, settings
from hypothesis import strategies as st
from training import dp, gaussian_table, structure, write_system

from deepmd_charge import Density, write_density
from deepmd_charge.atoms.order import bond_order, image_distance, widest_gap
from deepmd_charge.cli.main import main
from deepmd_charge.data.configure import (
    choose_batch,
    choose_rcut,
    choose_ready,
    choose_steps,
    propose,
)
from deepmd_charge.data.ready import READY, read
from deepmd_charge.data.survey import Survey, survey

SILICON = Path(__file__).parents[1] / "examples" / "silicon" / "data" / "1" / "CHGCAR.gz"
LEAST = 4.7  # A


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def normalized(configuration):
    """What DeePMD-kit makes of it: an unknown key or a wrong value raises."""
    import deepmd.dpmodel  # noqa: F401  (loads the plugin)
    from deepmd.utils.argcheck import normalize

    return normalize(json.loads(json.dumps(configuration)))


def complaint(capsys, *argv):
    """Run a command that must fail, and return its one line of error."""
    there = sorted(Path.cwd().rglob("*"))
    capsys.readouterr()
    assert main(list(map(str, argv))) == 1
    assert sorted(Path.cwd().rglob("*")) == there
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("deepmd-charge: error: ")
    return line


# the rules


@given(
    rcut=st.sampled_from([3.0, 6.0, 6.5]),
    distance=st.one_of(st.floats(1.0, 40.0), st.just(float("inf"))),
)
def test_cutoff_and_images(rcut, distance):
    chosen, why = choose_rcut(rcut, distance)
    assert chosen <= rcut
    assert why
    if chosen < rcut:
        assert chosen >= LEAST
        assert chosen == LEAST or distance / 2 - 0.1 < chosen <= distance / 2
    if chosen > distance / 2:
        assert chosen == min(rcut, LEAST)


TRAINED = [name for name in READY if read(name)["training"]["numb_steps"]]


@given(n_frames=st.integers(1, 10**5), name=st.sampled_from(TRAINED))
def test_steps(n_frames, name):
    training = read(name)["training"]
    chosen = choose_steps(training, n_frames, name.startswith("paper/"))
    steps, show, save = (chosen[key] for key in ("numb_steps", "disp_freq", "save_freq"))
    assert steps % show == 0 and save % show == 0 and save <= steps
    assert steps <= training["numb_steps"]
    if name.startswith("paper/"):
        assert steps == training["numb_steps"]
    elif steps < training["numb_steps"]:
        assert steps >= 1000
        assert steps == 1000 or steps < 80 * n_frames + show
    assert choose_steps(training, n_frames + 1, name.startswith("paper/"))["numb_steps"] >= steps


names = st.lists(
    st.sampled_from(["H", "O", "Si", "Fe1", "Fe2", "Zr", "Y", "Zn"]), min_size=1, unique=True
)


@settings(max_examples=60, deadline=None)
@given(
    types=names,
    like=st.sampled_from([None, *READY]),
    n_frames=st.integers(1, 5000),
    points=st.integers(1, 2000),
    together=st.tuples(st.integers(1, 300), st.booleans(), st.booleans()),
    peak=st.floats(0.0, 50.0),
    distance=st.one_of(st.floats(1.0, 40.0), st.just(float("inf"))),
    order=st.one_of(st.floats(0.0, 1.0), st.just(float("nan"))),
    gap=st.floats(0.0, 30.0),
    has_validation=st.booleans(),
    saed=st.sampled_from([(None, None), ("upf", None), ("upf", "saed.npz")]),
)
def test_every_proposal_follows_the_rules(
    types, like, n_frames, points, together, peak, distance, order, gap, has_validation, saed
):
    data = Survey(
        systems=("data/a", "data/b"),
        validation=("data/c",) if has_validation else (),
        types=tuple(types),
        n_frames=n_frames,
        compositions=together[0],
        is_mixed=together[1],
        is_uniform=together[2],
        points_per_frame=(points, points),
        peak=peak,
        is_per_volume=True,
        image_distance=distance,
        order=order,
        gap=gap,
        saed=saed[0],
        table=saed[1] and f"data/{saed[1]}",
        folders=("data",),
    )
    proposal = propose(data, "run", like)
    config = proposal.configuration
    model, training = config["model"], config["training"]
    assert model["type_map"][-1] == "X"
    assert sorted(model["type_map"][:-1]) == sorted(types)
    assert model["type_map"] == propose(data, "run", like).configuration["model"]["type_map"]
    reordered = propose(replace(data, types=tuple(types[::-1])), "run", like)
    assert reordered.configuration == proposal.configuration
    cutoffs = [key for key in ("rcut", "rcut_env", "rcut_product") if key in model["descriptor"]]
    ready = read(like or choose_ready(data)[0])["model"]["descriptor"]
    for key in cutoffs:
        cut = model["descriptor"][key]
        assert 2 * cut <= distance or cut == min(LEAST, ready[key])
    farthest = max(model["descriptor"][key] for key in cutoffs)
    is_few = n_frames * points < 10_000 * len(types)
    by_heart = bool(training["numb_steps"]) and is_few and not has_validation
    assert sum("learnt by heart" in line for line in proposal.doubts) == by_heart
    others = (2 * farthest > distance) + (saed == ("upf", None))
    assert len(proposal.doubts) == others + by_heart
    assert training["training_data"]["systems"] == ["../data/a", "../data/b"]
    n, batch_size = choose_batch(data)
    assert training["training_data"]["batch_size"] == batch_size
    assert 1 <= n <= 12 and (n == 1 or n * points <= 1200)
    assert n == 1 or together[0] > 1
    assert batch_size == (f"mixed:{n}" if n > 1 and not together[1] else n)
    assert ("validation_data" in training) == has_validation
    assert training["numb_steps"] % training.get("disp_freq", 100) == 0
    assert model.get("saed") == (saed[1] and "../data/saed.npz")
    assert all("\n" not in line for line in (*proposal.reasons, *proposal.doubts))
    # beyond what stands in the ready configuration, which DeePMD-kit takes (test_configs.py)
    ready = read(like or choose_ready(data)[0])
    for changed in ("type_map", "saed"):
        model.pop(changed, None)
    for key in cutoffs:
        model["descriptor"][key] = ready["model"]["descriptor"][key]
    del ready["model"]["type_map"], config["training"], ready["training"]
    assert config == ready


@pytest.mark.slow
@pytest.mark.parametrize("like", READY)
def test_deepmd_takes_it(like):
    """It is slow to say so."""
    is_slab = like.endswith("surface")
    data = Survey(
        systems=("data/a", "data/b"),
        validation=() if is_slab else ("data/c",),
        types=("Si",) if is_slab else ("Fe2", "Fe1", "O"),
        n_frames=17,
        compositions=2,
        is_mixed=False,
        is_uniform=True,
        points_per_frame=(3, 5),
        peak=1.0,
        is_per_volume=True,
        image_distance=10.3,
        order=0.5,
        gap=2.0,
        saed="upf",
        table=None if is_slab else "data/saed.npz",
        folders=("data",),
    )
    config = normalized(propose(data, ".", like).configuration)
    ready = read(like)["model"]["descriptor"]
    assert config["model"]["descriptor"]["rcut"] == min(5.1, ready["rcut"])
    if "rcut_env" in ready:
        assert config["model"]["descriptor"]["rcut_env"] == min(5.1, ready["rcut_env"])
    assert config["model"].get("saed") == data.table


@pytest.mark.parametrize(
    "changes, name",
    [
        ({}, "cluster/c-si"),
        ({"n_frames": 9}, "c-si"),
        ({"types": ("Si", "O")}, "water"),
        ({"types": ("H1.25",)}, "water"),
        ({"types": ("Hf", "Ni"), "n_frames": 20}, "cluster/al-mg"),  # neither H nor N
        ({"types": ("C", "H"), "gap": 9.0}, "molecules"),
        ({"peak": 8.0}, "water"),
        ({"peak": 8.0, "is_per_volume": False}, "cluster/c-si"),
        ({"order": 0.1}, "a-si"),
        ({"order": float("nan")}, "cluster/c-si"),
        ({"types": ("Al", "Mg")}, "al-mg"),
        ({"types": ("Al", "Mg"), "order": 0.2}, "a-si"),
        ({"gap": 9.0, "order": 0.1}, "al-surface"),
    ],
)
def test_the_choice(changes, name):
    crystal = Survey(
        ("a",), (), ("Si",), 10, 1, False, True, (1000, 1200), 0.9, True, 20.0, 0.6, 2.0, None,
        None, ("a",),
    )  # fmt: skip
    assert choose_ready(replace(crystal, **changes))[0] == name


# what the data look like


@settings(max_examples=50, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    periodic=st.lists(st.booleans(), min_size=3, max_size=3),
)
def test_distance_of_images(seed, periodic):
    """As trying all vectors of many cells has it."""
    rng = np.random.default_rng(seed)
    cell = rng.normal(size=(3, 3)) * 5.0
    n = np.stack(np.meshgrid(*[np.arange(-4, 5) * on for on in periodic], indexing="ij"), -1)
    n = np.unique(n.reshape(-1, 3), axis=0)
    # of a basis that is not too skew, to find all of them
    reduced = minkowski_reduce(cell, periodic)[0]
    lengths = np.linalg.norm(n @ reduced, axis=1)
    expected = min(lengths[lengths > 0], default=np.inf)
    assert image_distance(cell, periodic) == pytest.approx(expected)


@pytest.mark.parametrize(
    "name, lattice, a",
    [
        ("Si", "diamond", 5.43),
        ("Al", "fcc", 4.05),
        ("Fe", "bcc", 2.87),
        ("Mg", "hcp", 3.21),
        ("Po", "sc", 3.35),
    ],
)
def test_crystals_have_order(name, lattice, a):
    atoms = bulk(name, lattice, a) * (3, 3, 3)
    atoms.rattle(0.1, seed=1)
    assert bond_order(atoms) > 0.3


def test_order_of_nothing_and_of_disorder():
    assert np.isnan(bond_order(Atoms("H")))
    rng = np.random.default_rng(0)
    gas = Atoms("H200", rng.uniform(size=(200, 3)) * 12.0, cell=[12.0] * 3, pbc=True)
    assert bond_order(gas) < 0.2


@pytest.mark.parametrize("file", shared("deep_charge_vasp/*.npz"))
def test_order_of_the_silicon_that_we_have(file):
    z = np.load(file)
    atoms = Atoms(z["numbers"], z["positions"], cell=z["cell"], pbc=True)
    assert (bond_order(atoms) > 0.3) == file.name.startswith("csi")


def test_gaps():
    atoms = bulk("Al", cubic=True)
    assert widest_gap(atoms) == pytest.approx(4.05 / 2)
    atoms.center(vacuum=5.0, axis=2)
    assert widest_gap(atoms) == pytest.approx(10.0)
    atoms.pbc = True, True, False
    assert widest_gap(atoms) == np.inf


@settings(max_examples=12, deadline=None)
@given(
    symbols=st.sampled_from(["Si4", "SiC", "SiCSiC"]),
    n_frames=st.integers(1, 12),
    n_points=st.integers(1, 30),
    stretch=st.floats(1.0, 4.0),
    periodic=st.lists(st.booleans(), min_size=3, max_size=3),
)
def test_survey(tmp_path_factory, symbols, n_frames, n_points, stretch, periodic):
    folder = tmp_path_factory.mktemp("data") / "train"
    structures = [structure(k, symbols) for k in range(n_frames)]
    write_system(folder, structures, n_points, seed=1)
    part = folder / "set.000"
    box = np.load(part / "box.npy")
    np.save(part / "box.npy", box * stretch)
    np.save(part / "periodic.npy", [periodic] * n_frames)
    if not any(periodic):
        (folder / "nopbc").touch()
    found = survey([str(folder)])
    assert found.systems == (str(folder),)
    assert sorted(found.types) == sorted(set(structures[0].get_chemical_symbols()))
    assert found.n_frames == n_frames
    assert found.points_per_frame == (n_points, n_points)
    assert found.peak == np.load(part / "density.npy").max()
    expected = image_distance(stretch * structures[0].cell.array, periodic)
    assert found.image_distance == pytest.approx(expected, abs=1e-4)
    assert (found.gap == np.inf) == (not all(periodic))
    model = propose(found, str(folder.parent)).configuration["model"]
    rcut = model["descriptor"]["rcut"]
    ready = read(choose_ready(found)[0])["model"]["descriptor"]["rcut"]
    assert rcut == min(LEAST, ready) or 2 * rcut <= expected + 1e-4


# the command


def one_system(name="train", symbols="SiCSiC", seed=1, saed=None, frames=3):
    write_system(name, [structure(k, symbols) for k in range(frames)], 20, seed=seed, saed=saed)


def test_the_file_and_what_is_said(capsys):
    one_system("data/SiC")
    one_system("data/Si", "Si4", 2)
    one_system("valid")
    Path("run").mkdir()
    assert main(["configure", "data", "--valid", "valid", "-o", "run/in.json"]) == 0
    config = json.loads(Path("run/in.json").read_text())
    assert config["model"]["type_map"] == ["C", "Si", "X"]
    assert config["training"]["training_data"] == {
        "systems": ["../data/Si", "../data/SiC"],
        "batch_size": "mixed:12",
    }
    assert config["training"]["validation_data"]["systems"] == ["../valid"]
    out, err = capsys.readouterr()
    lines = out.splitlines()
    assert lines[0] == "run/in.json: systems: ../data/Si, ../data/SiC, 6 frames of 20 points"
    line = "run/in.json: batch_size mixed:12: 2 compositions, of which a step sees 12 frames"
    assert lines[1] == "run/in.json: validation: ../valid" and lines[2] == line
    assert "run/in.json: like water: the density of C is sharp at nuclei" in lines
    assert [line.strip() for line in lines[-5:-3]] == ["cd run", "dp train in.json"]
    assert err.startswith("deepmd-charge: warning: run/in.json: images of an atom are ")
    assert err.count("\n") == 1


def mixed_system(name, *formulas):
    """A system of mixed types."""
    pieces = []
    for k, formula in enumerate(formulas):
        atoms = structure(k, formula)
        mean = 4.0 * len(atoms) / atoms.get_volume()
        write_density(f"{k}.cube", Density(atoms, np.full((8, 8, 8), mean)))
        pieces.append(f"{k}.cube")
    flags = ["--mixed-type", "--points", "60", "--points-per-frame", "20"]
    assert main(["convert", *pieces, "-o", name, *flags, "-q"]) == 0


@pytest.mark.filterwarnings("ignore:.*not a whole number")
def test_a_step_sees_several_compositions(capsys):
    mixed_system("mixed", "Si4", "SiC", "SiCSiC")
    assert main(["configure", "mixed"]) == 0
    assert json.loads(Path("input.json").read_text())["training"]["training_data"] == {
        "systems": ["mixed"],
        "batch_size": 12,
    }
    line = "batch_size 12: 3 or more compositions, of which a step sees 12 frames"
    assert f"input.json: {line}" in capsys.readouterr().out


@pytest.mark.filterwarnings("ignore:.*not a whole number")
def test_plain_and_mixed_systems_are_refused(capsys):
    one_system("plain")
    mixed_system("mixed", "Si4", "SiC")
    line = complaint(capsys, "configure", "plain", "mixed")
    assert "plain is a plain DP system and mixed a mixed one, which cannot meet" in line


def test_a_step_of_one_composition(capsys):
    one_system("data/1")
    one_system("data/2", seed=2)
    assert survey(["data"]).compositions == 1
    assert main(["configure", "data"]) == 0
    training = json.loads(Path("input.json").read_text())["training"]
    assert training["training_data"]["batch_size"] == 1
    assert "batch_size" not in capsys.readouterr().out


def test_many_systems_are_named_by_their_folder(capsys):
    for k in range(13):
        one_system(f"data/{k:02d}", "Si4", seed=k, frames=1)
    assert main(["configure", "data"]) == 0
    training = json.loads(Path("input.json").read_text())["training"]
    assert training["training_data"]["systems"] == ["data"]
    line = "input.json: systems: data (13 systems), 13 frames of 20 points"
    assert capsys.readouterr().out.splitlines()[0] == line


def test_folders_that_share_systems_are_not_named(capsys):
    """What is found twice counts twice in ``dp train``."""
    for k in range(13):
        one_system(f"data/{k:02d}", "Si4", seed=k, frames=1)
    assert main(["configure", "data", "data/03"]) == 0
    training = json.loads(Path("input.json").read_text())["training"]
    assert training["training_data"]["systems"] == [f"data/{k:02d}" for k in range(13)]
    assert " systems)" not in capsys.readouterr().out


def test_open_and_periodic_do_not_meet(capsys):
    one_system("data/1", "Si4")
    one_system("data/2", "SiC")
    np.save("data/2/set.000/periodic.npy", np.zeros((3, 3), dtype=bool))
    Path("data/2/nopbc").touch()
    assert main(["configure", "data"]) == 0
    training = json.loads(Path("input.json").read_text())["training"]
    assert training["training_data"]["batch_size"] == 1
    line = "2 compositions, but periodic frames cannot meet open ones (convert --mixed-type)"
    assert f"input.json: batch_size 1: {line}" in capsys.readouterr().out


def test_like_in_every_spelling():
    one_system()
    for words in ("c-si", "c-si.json", "paper/c-si", "paper/c-si.json"):
        assert main(["configure", "train", "--like", words, "--force", "-q"]) == 0
        radial = json.loads(Path("input.json").read_text())["model"]["descriptor"]["radial"]
        assert radial == ("embedding" if "paper" in words else "bessel")


def test_the_list(capsys):
    assert main(["configure", "--list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in lines] == list(READY)


def test_quiet(capsys):
    one_system()
    assert main(["configure", "train", "-q"]) == 0
    out, err = capsys.readouterr()
    assert out == ""
    assert all(line.startswith("deepmd-charge: warning: ") for line in err.splitlines())


def test_sublattices_are_kept():
    one_system()
    Path("train/type_map.raw").write_text("Fe2\nFe1\nX\n")
    assert main(["configure", "train", "-q"]) == 0
    assert json.loads(Path("input.json").read_text())["model"]["type_map"] == ["Fe1", "Fe2", "X"]


@pytest.mark.slow
def test_saed_tables(capsys):
    """In the only system, beside several, and of two conversions."""
    table = gaussian_table()
    one_system("one", saed=table)
    table.save("one/saed.npz")
    one_system("two/a", saed=table)
    one_system("two/b", "Si4", saed=table)
    table.save("two/saed.npz")
    for folders, expected in (
        (["one"], "one/saed.npz"),
        (["two"], "two/saed.npz"),
        (["two/a"], "two/saed.npz"),
        (["one", "two"], "one/saed.npz"),
    ):
        assert main(["configure", *folders, "--force"]) == 0
        config = json.loads(Path("input.json").read_text())
        assert config["model"]["saed"] == expected
    gaussian_table(Si=0.7).save("two/saed.npz")
    assert "one/saed.npz and two/saed.npz: different superposed atomic densities" in complaint(
        capsys, "configure", "one", "two", "-o", "new.json"
    )
    os.unlink("two/saed.npz")
    assert main(["configure", "two", "--force"]) == 0
    assert "but no saed.npz: the total is learnt" in capsys.readouterr().err
    assert "saed" not in json.loads(Path("input.json").read_text())["model"]


def test_a_table_without_an_element(capsys):
    table = gaussian_table()
    one_system(saed=table)
    del table.functions["C"]
    table.save("train/saed.npz")
    line = complaint(capsys, "configure", "train")
    assert "train/saed.npz: has Si, not C" in line


@pytest.fixture(scope="module")
def cases(tmp_path_factory):
    """Data of many kinds."""
    before, folder = os.getcwd(), tmp_path_factory.mktemp("cases")
    os.chdir(folder)
    Path("empty").mkdir()
    for name in ("train", "energies", "unnamed", "up", "more", "other"):
        one_system(name)
    one_system("silicon", "Si4")
    one_system("differ", saed=gaussian_table())
    os.unlink("energies/set.000/density.npy")
    os.unlink("unnamed/type_map.raw")
    for name, kind in ("train", b"vasp/chgcar"), ("up", b"vasp/chgcar:up"):
        np.save(f"{name}/set.000/density_kind.npy", [[kind]] * 3)
    np.save("train/set.000/density_kind.npy", [[b"vasp/chgcar"]] * 3)
    electrons = np.load("more/set.000/n_electrons.npy")
    np.save("more/set.000/n_electrons.npy", electrons + 1.0)
    for name in ("more", "differ"):
        np.save(f"{name}/set.000/density_kind.npy", [[b"vasp/chgcar"]] * 3)
    Path("there.json").write_text("by hand")
    os.chdir(before)
    return folder


@pytest.mark.parametrize(
    "argv, message",
    [
        ([], "give the folder of a DP system, or --list"),
        (["nowhere"], "nowhere: no such folder"),
        (["empty"], "empty: holds no DP system (type.raw)"),
        (["energies"], "energies/set.000/density.npy: no such file, so this is no DP system"),
        (["unnamed"], "unnamed/type_map.raw: names no type X"),
        (["train", "up"], "densities of different kinds in one training set"),
        (["train", "more"], "training systems with different valences"),
        (["train", "differ"], "superposed atomic densities of different sources"),
        (["train", "--valid", "train"], "train: training data, so they cannot validate"),
        (["silicon", "--valid", "other"], "other: C is not in the training data"),
        (["train", "--like", "diamond"], "--like diamond: no ready configuration; take one of c-"),
        (["train", "-o", "there.json"], "there.json: is there; give another name, or --force"),
        (["train", "-o", "no/input.json"], "no/input.json: there is no folder no; make it first"),
    ],
)
def test_complaints(cases, folder, capsys, argv, message):
    shutil.copytree(cases, folder, dirs_exist_ok=True)
    assert message in complaint(capsys, "configure", *argv)
    assert Path("there.json").read_text() == "by hand"


def test_images_across_an_open_axis(capsys):
    one_system()
    np.save("train/set.000/periodic.npy", [[True, True, False]] * 3)
    line = complaint(capsys, "configure", "train")
    assert "train/set.000: in frame 0 images across an open axis are" in line


def test_force(capsys):
    one_system()
    Path("input.json").write_text("by hand")
    assert main(["configure", "train", "--force"]) == 0
    json.loads(Path("input.json").read_text())


# real data


def converted(folder, *files, points=20000):
    argv = ["convert", *map(str, files), "-o", folder, "--points", str(points), "--seed", "1", "-q"]
    assert main(argv) == 0


def test_silicon_and_aluminium():
    converted("both", SILICON, DATA / "CHGCAR_Al32.gz")
    for name, distance in ("Si64", 10.94), ("Al32", 8.1):
        found = survey([f"both/{name}"])
        assert choose_ready(found)[0] == "cluster/c-si"
        assert found.image_distance == pytest.approx(distance, abs=0.4)


@pytest.mark.parametrize("file", shared("qe/water/1/CHGCAR.gz") + shared("qe/almg/1/CHGCAR.gz"))
def test_water_and_alloys(file):
    converted("train", file)
    assert (
        choose_ready(survey(["train"]))[0]
        == {"water": "water", "almg": "cluster/al-mg"}[file.parts[-3]]
    )


def test_a_slab(capsys):
    """Open along c, where its images do not count."""
    atoms = bulk("Al", cubic=True) * (3, 3, 1)
    atoms.center(vacuum=4.0, axis=2)
    atoms.pbc = True, True, False
    values = np.exp(-(np.abs(np.linspace(-6, 6, 24)) ** 2))
    values = np.broadcast_to(values, (10, 10, 24)) + 1e-9
    density = Density(atoms, values * 108 / values.mean() / atoms.get_volume())
    write_density("slab.cube", density)
    converted("train", "slab.cube")
    found = survey(["train"])
    assert found.image_distance == pytest.approx(3 * 4.05, abs=1e-3)
    name, why = choose_ready(found)
    assert (name, why) == ("al-surface", "there is vacuum")


@pytest.mark.training
def test_from_a_density_to_a_model(folder, capsys):
    """All that README's first steps do, in few steps, with a superposition, from another folder."""
    shutil.copy(DATA / "CHGCAR_Al32.gz", "CHGCAR.gz")
    argv = ["convert", "CHGCAR.gz", "--points", "2000", "--points-per-frame", "500", "-q"]
    assert main([*argv, "-o", "data", "--seed", "1", "--saed", "fit"]) == 0
    assert main([*argv, "-o", "valid", "--seed", "2", "--saed", "data/saed.npz"]) == 0
    Path("run").mkdir()
    assert main(["configure", "data", "--valid", "valid", "-o", "run/input.json", "-q"]) == 0
    config = json.loads(Path("run/input.json").read_text())
    config["training"].update(numb_steps=2, disp_freq=2)
    Path("run/input.json").write_text(json.dumps(config))
    dp(folder / "run", "train", "input.json")
    dp(folder / "run", "freeze", "-o", "charge.pb")
    capsys.readouterr()
    argv = ["test", "-m", "run/charge.pb", "-s", "CHGCAR.gz", "--points", "500", "-q"]
    assert main([*argv, "--json", "t.json"]) == 0
    assert json.loads(Path("t.json").read_text())["all"]["mae"] < 0.05
    out, err = capsys.readouterr()
    assert len(out.splitlines()) == 3  # the table was asked for
    assert err == ""
