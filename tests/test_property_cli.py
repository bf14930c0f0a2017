# SPDX-License-Identifier: LGPL-3.0-or-later
"""``deepmd-charge property train | predict | test``, from structures to numbers."""

import csv
import json
import re
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.io import read, write

from deepmd_charge import Density, write_density
from deepmd_charge.cli.main import main
from deepmd_charge.property import moduli
from deepmd_charge.property.gathering import gather
from deepmd_charge.property.inputs import Facts
from deepmd_charge.property.superposed import superposed
from deepmd_charge.property.tables import write_table

SALTS = [(c, a) for c in ("Li", "Na", "K", "Mg", "Ca") for a in ("F", "Cl", "O", "S")]
QUICK = ("--trees", "60", "--learning-rate", "0.1", "--members", "2", "--folds", "3", "-j", "1")
# those of the same files, made once
FEATURES = ("--features", "features.csv")
TARGETS = ("--targets", "K", "G", "E", "debye", "e_form")


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Folder of 40 rocksalts and zincblendes, a table of labels by formulas, and a model."""
    folder = tmp_path_factory.mktemp("property")
    (folder / "structures").mkdir()
    rows = []
    for k, (structure, edge) in enumerate([("rocksalt", 5.2), ("zincblende", 5.8)]):
        for n, (cation, anion) in enumerate(SALTS):
            atoms = bulk(cation + anion, structure, a=edge + 0.07 * ((7 * n + k) % 11))
            name = f"structures/{cation}{anion}-{structure}.vasp"
            write(folder / name, atoms, format="vasp")
            facts = Facts.of_structures([atoms])
            modulus = 40.0 * (facts.number_density / 0.05) ** 1.3
            shear = 0.6 * modulus
            debye = moduli.debye_temperature(
                modulus, shear, facts.mass_density, facts.number_density
            )
            row = [modulus, shear, moduli.young_modulus(modulus, shear), debye]
            row = [f"{float(value[0]):.4f}" for value in row]
            known = "" if n == 3 else f"{-100.0 * atoms.numbers[1] / 8.0:.1f}"
            rows.append([name, f"{cation}{anion}", *row, known, "a" if n % 2 else "b"])
    with open(folder / "labels.csv", "w", newline="") as file:
        head = ["file", "formula", "K (GPa)", "G [GPa]", "E", "debye (K)", "e_form (meV/atom)"]
        csv.writer(file).writerows([[*head, "half"], *rows])
    paths = [str(folder / row[0]) for row in rows]
    block = gather(paths, ["invariants"]).blocks["invariants"]
    table = [[row[0], *values] for row, values in zip(rows, block.values.tolist(), strict=True)]
    write_table(folder / "features.csv", ["file", *block.names], table)
    argv = ["property", "train", folder / "labels.csv", *TARGETS, *QUICK]
    outputs = ["--json", "cv.json", "--plot", "cv", "--predictions", "cv.csv", "-o", "model"]
    argv += [x if x.startswith("-") else folder / x for x in outputs]
    assert main(list(map(str, argv))) == 0
    return folder


@pytest.fixture
def folder(made, tmp_path, monkeypatch):
    """A copy of it, in which the test runs."""
    for file in made.iterdir():
        (shutil.copytree if file.is_dir() else shutil.copy)(file, tmp_path / file.name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def command(*argv):
    return main(["property", *map(str, argv)])


def error(capsys, *argv):
    """The one line that a command ends with."""
    capsys.readouterr()
    assert command(*argv) == 1
    lines = capsys.readouterr().err.splitlines()
    (line,) = (x for x in lines if x.startswith("deepmd-charge: error: "))
    return line.removeprefix("deepmd-charge: error: ")


def rows_of(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


# train


def test_scores(folder):
    found = json.loads(Path("cv.json").read_text())
    assert set(found) == {"K", "G", "E", "debye", "e_form"}
    assert found["K"]["unit"] == "GPa" and found["K"]["n"] == 40
    assert found["e_form"]["unit"] == "eV/atom" and found["e_form"]["n"] == 38
    assert found["K"]["r2"] > 0.7 and found["e_form"]["r2"] > 0.5
    assert 0.0 < found["K"]["mae"] <= found["K"]["rmse"] < 10.0
    low, high = found["K"]["r2_interval"]
    assert low < found["K"]["r2"] < high
    assert 0.5 < found["K"]["coverage"] <= 1.0
    formula = found["E"]["by_formula"]
    assert formula["r2"] - found["E"]["r2"] == pytest.approx(formula["r2_minus_learned"]["value"])


def test_held_out_predictions_are_what_is_scored(folder):
    rows = rows_of("cv.csv")
    assert [row["file"] for row in rows] == [row["file"] for row in rows_of("labels.csv")]
    assert {row["fold"] for row in rows} == {"0", "1", "2"}
    label, predicted, low, high = (
        np.array([float(row[name]) for row in rows])
        for name in ("K (GPa)", "K_predicted", "K_lower", "K_upper")
    )
    found = json.loads(Path("cv.json").read_text())["K"]
    assert np.mean(np.abs(label - predicted)) == pytest.approx(found["mae"], rel=1e-5)
    assert ((low <= label) & (label <= high)).mean() >= 0.9
    assert any(row["e_form (eV/atom)"] == "" for row in rows)


def test_pictures(folder):
    from matplotlib.image import imread

    for name in ("cv-parity.png", "cv-importances.png"):
        picture = imread(name)
        assert min(picture.shape[:2]) > 300
        assert picture[..., :3].std() > 0.05


def test_what_is_printed(folder, capsys):
    assert command("train", "labels.csv", *TARGETS, *QUICK, *FEATURES) == 0
    text = capsys.readouterr().out
    assert "labels.csv: e_form converted from meV/atom to eV/atom" in text
    assert re.search(r"^K \(GPa\) +40 +0\.\d{4}", text, re.M)
    assert re.search(r"^e_form \(eV/atom\) +38 ", text, re.M)
    assert "by formula from the predicted K and G" in text
    assert re.search(r"^E \(GPa\) .*\[.*\] +(formula|learned|neither)$", text, re.M)
    assert command("train", "labels.csv", "--targets", "K", "-q", *QUICK, *FEATURES) == 0
    quiet = capsys.readouterr()
    assert "by formula" not in quiet.out
    assert quiet.err == ""


def test_the_same_again(folder):
    argv = ("train", "labels.csv", *TARGETS, *QUICK, "--json", "again.json", "-o", "again")
    assert command(*argv) == 0
    assert Path("again.json").read_text() == Path("cv.json").read_text()
    assert Path("again").read_bytes() == Path("model").read_bytes()
    assert command(*argv[:-2], *FEATURES, "--seed", "1", "-o", "again") == 0
    assert Path("again").read_bytes() != Path("model").read_bytes()


@pytest.mark.parametrize("group", ["formula", "system", "half", "file"])
def test_groups(folder, group, capsys):
    argv = ("train", "labels.csv", "--targets", "K", *QUICK, *FEATURES, "--group", group)
    if group == "half":
        argv = (*argv, "--folds", "2")
    assert command(*argv, "--predictions", "p.csv") == 0
    key = {"system": "formula"}.get(group, group)
    folds = {}
    for row, labels in zip(rows_of("p.csv"), rows_of("labels.csv"), strict=True):
        folds.setdefault(labels[key], set()).add(row["fold"])
    assert all(len(numbers) == 1 for numbers in folds.values())


def test_other_columns_may_hold_anything(folder, capsys):
    """An E in eV is no Young's modulus, and a debye of words no temperature."""
    text = Path("labels.csv").read_text().replace(",E,", ",E (eV),")
    lines = text.splitlines()
    for k in range(1, len(lines)):
        cells = lines[k].split(",")
        lines[k] = ",".join([*cells[:5], "unknown", *cells[6:]])
    Path("l.csv").write_text("\n".join(lines) + "\n")
    argv = ("train", "l.csv", *QUICK, *FEATURES, "--json", "s.json", "--targets")
    assert command(*argv, "K") == 0
    assert "left out" not in capsys.readouterr().out
    assert command(*argv, "K", "G") == 0
    told = capsys.readouterr().out
    assert "l.csv: E is left out: E in eV: give it in GPa, " in told
    assert "l.csv: debye is left out: l.csv:2: debye is 'unknown'" in told
    assert list(json.loads(Path("s.json").read_text())) == ["K", "G"]
    line = error(capsys, *argv, "E")
    assert line.endswith("eV/A^3; what is no Young's modulus needs another name")


def test_files_that_stand_twice(folder, capsys):
    text = Path("labels.csv").read_text()
    Path("twice.csv").write_text(text + text.splitlines()[-1] + "\n")
    argv = ("train", "twice.csv", "--targets", "K", *QUICK, *FEATURES)
    assert command(*argv) == 0
    told = capsys.readouterr().err
    assert "twice.csv: 1 files stand in several rows, the first of them structures/CaS-z" in told
    assert command(*argv, "--group", "file") == 0
    assert "stand in several" not in capsys.readouterr().err
    # twice in one group, and in two of them
    rows = text.splitlines()
    for half in ("a", "b"):
        Path("twice.csv").write_text("\n".join([*rows, rows[-1][:-1] + half]) + "\n")
        assert command(*argv, "--group", "half", "--folds", "2") == 0
        told = capsys.readouterr().err
        assert ("1 files stand in several groups" in told) == (half != rows[-1][-1])


@pytest.mark.parametrize("inputs", [["invariants"], ["composition"]])
def test_inputs(folder, inputs):
    argv = ("train", "labels.csv", "--targets", "K", *QUICK, "--inputs", *inputs, "-o", "m")
    assert command(*argv) == 0
    with zipfile.ZipFile("m") as file:
        assert list(json.loads(file.read("header.json"))["inputs"]) == inputs
    assert command("predict", "-m", "m", "structures/KF-rocksalt.vasp", "-o", "p.csv") == 0


def test_a_table_of_features(folder):
    """What was made before is taken, whatever the order and the other columns."""
    rows = [
        [row["file"], "text", row["K (GPa)"], str(k)] for k, row in enumerate(rows_of("labels.csv"))
    ]
    with open("other.csv", "w", newline="") as file:
        csv.writer(file).writerows([["file", "name", "stiffness (GPa)", "number"], *rows[::-1]])
    argv = ("train", "labels.csv", "--targets", "K", "G", "debye", *QUICK)
    argv += ("--features", "other.csv", "--json", "f.json", "-o", "m")
    assert command(*argv, "--inputs", "invariants") == 0
    found = json.loads(Path("f.json").read_text())
    assert found["K"]["r2"] > 0.7
    assert found["debye"]["by_formula"]["r2"] > 0.7
    argv = ("-m", "m", "--features", "other.csv")
    assert command("test", "labels.csv", *argv, "--json", "t.json") == 0
    assert json.loads(Path("t.json").read_text())["K"]["r2"] > 0.9
    one = "structures/NaCl-rocksalt.vasp"
    assert command("predict", one, *argv, "--formulas", "-o", "p.csv") == 0
    (row,) = rows_of("p.csv")
    assert row["file"] == one and float(row["E (GPa)"]) > 0.0


def test_tables_of_the_command(folder, capsys):
    """Frames of one file, in another order; formulas come from the table."""
    from ase.io import read

    labels = rows_of("labels.csv")[:12]
    write("some.extxyz", [read(row["file"]) for row in labels])
    rows = [[f"some.extxyz@{k}", row["K (GPa)"], row["E"]] for k, row in enumerate(labels)]
    write_table("frames.csv", ["file", "K", "E"], rows[::-1])
    of = ("--of", "invariants", "composition")
    assert command("features", "some.extxyz", "-o", "made.csv", *of, "-j", "1") == 0
    argv = ("train", "frames.csv", "--targets", "K", *QUICK, "--group", "formula")
    made = (*argv, "--features", "made.csv", "--json", "made.json", "-o", "made")
    assert command(*made) == 0
    assert command(*argv, "--json", "read.json") == 0
    found, again = (json.loads(Path(name).read_text())["K"] for name in ("made.json", "read.json"))
    assert found["r2"] == pytest.approx(again["r2"], abs=0.02)
    # the model takes what is computed afresh
    assert command("predict", "-m", "made", "some.extxyz@3", "frames.csv", "-o", "p.csv") == 0
    rows = rows_of("p.csv")
    assert [row["file"] for row in rows] == [
        "some.extxyz@3",
        *(f"some.extxyz@{k}" for k in range(11, -1, -1)),
    ]
    assert rows[0] == rows[9]
    Path("made.csv").write_text(
        re.sub(",v[0-9a-f]{12},", ",v0123456789ab,", Path("made.csv").read_text())
    )
    line = error(capsys, *made)
    assert line.startswith("made.csv:2: these features have other formulas, of another version")
    line = error(capsys, *argv, "--inputs", "difference", "--features", "features.csv")
    assert line.startswith("features.csv: has no row for some.extxyz@11")
    Path("more.csv").write_text("file,K\nsome.extxyz@12,1\n")
    line = error(capsys, "test", "-m", "made", "more.csv")
    assert line == "some.extxyz: there is no frame 12 in this file, which has 12: count from 0"


@pytest.mark.slow
def added(rows, head, cells):
    """Rows with one more column."""
    return [[*row, cell] for row, cell in zip(rows, [head, *cells], strict=True)]


@pytest.mark.parametrize(
    "change, complaint",
    [
        (lambda rows: added(rows, "K (GPa)", range(40)),
         "t.csv: has a column K, which is to be learned; features must not tell it: take it out"),
        (lambda rows: added(rows, "x", ["", *range(39)]),
         "t.csv:3: x is 0, and '' in the first row: give numbers in all rows, or take the column"),
        (lambda rows: added(rows, "x", [1, 2, 3, 4, "n/a", *range(35)]),
         "t.csv:6: x is 'n/a', which is no finite number"),
        (lambda rows: added(rows, "x", [1, 2, "1_5", *range(37)]),
         "t.csv:4: x is '1_5', which is no finite number"),
        (lambda rows: [[*r, r[3]] for r in rows], "t.csv:1: has two columns {3}; rename one"),
        (lambda rows: [*rows, [rows[4][0], *rows[5][1:]]],
         "t.csv:42: {4} has another row with other cells; take one of them out"),
        (lambda rows: added(rows, "formula", 40 * ["LiF"]), "is LiF here, and LiCl in the table"),
        (lambda rows: rows[:-1], "t.csv: has no row for "),
    ],
)  # fmt: skip
def test_tables_of_features_that_mislead(folder, capsys, change, complaint):
    with open("features.csv", newline="") as file:
        rows = list(csv.reader(file))
    with open("t.csv", "w", newline="") as file:
        csv.writer(file).writerows(change(rows))
    argv = ("train", "labels.csv", "--targets", "K", "G", *QUICK, "--features", "t.csv")
    line = error(capsys, *argv)
    complaint = complaint.replace("{3}", rows[0][3]).replace("{4}", rows[4][0])
    assert complaint in line, line


def test_tables_of_features_that_do_not_mislead(folder):
    """Twice the same row, a compound that reads as a number, and a column of remarks."""
    with open("features.csv", newline="") as file:
        head, *rows = csv.reader(file)
    with open("t.csv", "w", newline="") as file:
        others = [["InF" if n % 2 else "NaN", "" if n % 3 else "odd"] for n in range(len(rows))]
        rows = [row + other for row, other in zip(rows, others, strict=True)]
        csv.writer(file).writerows([[*head, "compound", "remark"], *rows, rows[7]])
    scores = []
    for table in ("features.csv", "t.csv"):
        argv = ("train", "labels.csv", "--targets", "K", *QUICK, "--features", table)
        assert command(*argv, "--json", "s.json") == 0
        scores.append(Path("s.json").read_text())
    assert scores[0] == scores[1]


def test_frames_of_a_table_of_features(folder, capsys):
    """`predict --features` takes what `features` made of the same files."""
    names = [row["file"] for row in rows_of("labels.csv")[:3]]
    write("all.extxyz", [read(name) for name in names])
    assert command("features", "all.extxyz", names[0], "-o", "all.csv", "-j", "1") == 0
    by_name = [f"all.extxyz@{k}" for k in range(3)]
    for k, files in enumerate([["all.extxyz", f"{names[0]}@0"], [*by_name, names[0]]]):
        argv = ("predict", "-m", "model", *files, "--features", "all.csv", "-j", "1")
        assert command(*argv, "-o", f"{k}.csv") == 0
    there, here = rows_of("0.csv"), rows_of("1.csv")
    assert [row.pop("file") for row in there] == [*by_name, f"{names[0]}@0"]
    assert [row.pop("file") for row in here] == [*by_name, names[0]]
    assert there == here
    argv = ("predict", "-m", "model", "all.extxyz", "--features", "all.csv")
    # one of the frames is not in the table
    lines = Path("all.csv").read_text().splitlines()
    Path("all.csv").write_text("\n".join(lines[:2] + lines[3:]) + "\n")
    line = error(capsys, *argv, "-o", "2.csv")
    assert line.startswith("all.csv: has no row for all.extxyz@1")
    Path("l.csv").write_text("file,K\nall.extxyz,1\n")
    line = error(capsys, "test", "-m", "model", "l.csv", "--features", "all.csv")
    assert line.startswith("all.csv: has no row for all.extxyz")


def test_differences_and_processes(folder):
    """Of densities that are superposed atoms, the differences are nothing but noise."""
    from deepmd_charge.property.inputs import KINDS

    files = [f"structures/{c}{a}-rocksalt.vasp" for c, a in SALTS]
    kinds = [kind for kind in KINDS if kind != "latent"]
    found = gather(files, kinds)
    again = gather(files, kinds, n_processes=2)
    assert list(found.blocks) == kinds
    for kind in kinds:
        np.testing.assert_array_equal(found.blocks[kind].values, again.blocks[kind].values)
    assert found.facts.formulas == again.facts.formulas
    names = found.blocks["difference"].names
    column = found.blocks["difference"].values[:, names.index("difference_density_mean")]
    assert np.abs(column).max() < 1e-6


@pytest.mark.slow
def test_latent_arrays(folder, capsys):
    from deepmd_charge.property.autoencoder import Autoencoder, AutoencoderSettings

    Autoencoder(AutoencoderSettings(box=8, channels=(2, 2, 2), latent_channels=3)).save("a.npz")
    argv = ["train", "labels.csv", "--targets", "K", "e_form", *QUICK, "--model", "both"]
    argv += ["--inputs", "latent", "composition", "--poses", "2", "--epochs", "2"]
    argv += ["--folds", "2", "--members", "1", "--autoencoder"]
    line = error(capsys, *argv, "labels.csv")
    assert line.startswith("labels.csv: is no autoencoder")
    assert command(*argv, "a.npz", "-o", "m") == 0
    Path("a.npz").unlink()  # it is in the model
    with zipfile.ZipFile("m") as file:
        assert {"autoencoder.npz", "attention.npz"} <= set(file.namelist())
        header = json.loads(file.read("header.json"))
    assert list(header["inputs"]) == ["latent", "composition"]
    assert {"latent PC 1", "latent_mean_2", "latent_std_1"} <= set(header["columns"][0])
    files = ["structures/KF-rocksalt.vasp", "structures/NaF-rocksalt.vasp"]
    assert command("predict", "-m", "m", *files, "-o", "p.csv") == 0
    assert [row["file"] for row in rows_of("p.csv")] == files


# predict and test


def test_predictions(folder, capsys):
    files = ["structures/NaCl-rocksalt.vasp", "structures/MgO-zincblende.vasp"]
    assert command("predict", "-m", "model", *files, "-o", "p.csv", "--formulas") == 0
    assert "p.csv: K (GPa), G (GPa), E (GPa), debye (K), e_form (eV/atom) of 2 samples" in (
        capsys.readouterr().out
    )
    rows = rows_of("p.csv")
    assert [row["file"] for row in rows] == files
    labels = {row["file"]: row for row in rows_of("labels.csv")}
    for row in rows:
        value, low, high = (float(row[name]) for name in ("K (GPa)", "K_lower", "K_upper"))
        assert low < value < high
        assert value == pytest.approx(float(labels[row["file"]]["K (GPa)"]), rel=0.25)
        expected = moduli.poisson_ratio(value, float(row["G (GPa)"]))
        assert float(row["poisson"]) == pytest.approx(expected, rel=1e-4)


def test_a_density_is_like_its_structure(folder):
    """Superposed atoms in a file are predicted as those of the structure are."""
    from ase.io import read

    atoms = read("structures/NaCl-rocksalt.vasp")
    density = superposed(atoms, 0.2)
    write_density("NaCl.cube", density)
    write_density("CHGCAR", density)
    files = ["structures/NaCl-rocksalt.vasp", "NaCl.cube", "CHGCAR"]
    assert command("predict", "-m", "model", *files, "-o", "p.csv") == 0
    values = [float(row["K (GPa)"]) for row in rows_of("p.csv")]
    np.testing.assert_allclose(values[1:], values[0], rtol=0.05)


def test_several_frames(folder):
    from ase.io import read

    files = ["NaCl-rocksalt", "MgO-rocksalt", "KF-zincblende"]
    write("some.xyz", [read(f"structures/{name}.vasp") for name in files], format="extxyz")
    assert command("predict", "-m", "model", "some.xyz", "-o", "p.csv") == 0
    assert command(
        "predict", "-m", "model", *(f"structures/{name}.vasp" for name in files), "-o", "q.csv"
    ) == 0  # fmt: skip
    frames, alone = rows_of("p.csv"), rows_of("q.csv")
    for row, other in zip(frames, alone, strict=True):  # but for digits of the files
        assert row["file"].startswith("some.xyz@")
        assert float(row["K (GPa)"]) == pytest.approx(float(other["K (GPa)"]), rel=0.02)
    text = "file,K\nsome.xyz@1,50\nsome.xyz@2,40\n"
    Path("frames.csv").write_text(text)
    assert command("test", "-m", "model", "frames.csv", "--json", "t.json") == 0
    assert json.loads(Path("t.json").read_text())["K"]["n"] == 2


def test_unknown_elements_get_a_warning(folder, capsys):
    write("AgBr.vasp", bulk("AgBr", "rocksalt", a=5.8), format="vasp")
    argv = ("predict", "-m", "model", "AgBr.vasp", "structures/NaCl-rocksalt.vasp", "-o", "p.csv")
    assert command(*argv) == 0
    told = capsys.readouterr().err
    for element in "Ag", "Br":
        assert f"AgBr.vasp: {element} was in no sample that model was trained on" in told
    unknown, known = (
        np.log(float(row["K_upper"]) / float(row["K_lower"])) for row in rows_of("p.csv")
    )
    assert unknown > known


def test_of_a_table(folder, capsys):
    argv = ("-m", "model", "--json", "t.json")
    assert command("test", "labels.csv", *argv, *FEATURES, "--plot", "t") == 0
    found = json.loads(Path("t.json").read_text())
    assert set(found) == {"K", "G", "E", "debye", "e_form"}
    assert found["K"]["r2"] > 0.9 and found["e_form"]["n"] == 38
    assert Path("t-parity.png").exists()
    assert re.search(r"^e_form \(eV/atom\) +38 ", capsys.readouterr().out, re.M)
    Path("some.csv").write_text("file,K (kbar),colour\nstructures/KCl-rocksalt.vasp,300,red\n")
    assert command("test", "some.csv", *argv) == 0
    found = json.loads(Path("t.json").read_text())
    assert set(found) == {"K"} and found["K"]["r2"] is None


def test_properties_without_labels(folder, capsys):
    rows = [f"{row['file']},,{row['G [GPa]']}" for row in rows_of("labels.csv")[:5]]
    Path("l.csv").write_text("\n".join(["file,K,G", *rows]) + "\n")
    outputs = ("--json", "t.json", "--plot", "t", "-j", "1")
    assert command("test", "-m", "model", "l.csv", *outputs) == 0
    assert "l.csv: K has no label in any row, and is left out" in capsys.readouterr().out
    assert list(json.loads(Path("t.json").read_text())) == ["G"]
    Path("l.csv").write_text("\n".join(["file,K", *(row.partition(",")[0] + "," for row in rows)]))
    line = error(capsys, "test", "-m", "model", "l.csv", *outputs)
    assert line == "l.csv: has no label of K in any row"


# what goes wrong


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("file,K\nnowhere.cube,1\n", r"labels.csv:2: there is no nowhere.cube"),
        ("file,K\nbad.cube,1\nbad.cube,2\n", r"bad.cube:2: "),
        ("file,K (eV)\nbad.cube,1\n", r"K in eV: give it in GPa"),
        ("file,K\nbad.cube,soft\n", r"labels.csv:2: K is 'soft'"),
        ("file,G\nbad.cube,1\n", r"labels.csv: has no column K"),
        ("file,K\nbad.cube,\n", r"labels.csv: K has no label in any row"),
    ],
)
def test_bad_tables(folder, capsys, text, complaint):
    Path("bad.cube").write_text("this is\nno density\n")
    rows = text.splitlines()
    if "bad.cube" in complaint or "nowhere" in text:  # enough of them
        rows += [f"bad.cube,{k}" for k in range(6)]
    Path("labels.csv").write_text("\n".join(rows) + "\n")
    line = error(capsys, "train", "labels.csv", "--targets", "K", *QUICK)
    assert re.search(complaint, line), line


@pytest.mark.parametrize(
    "flags, complaint",
    [
        (["--folds", "1"], "--folds 1: give at least 2"),
        (["--folds", "30"], "K has 40 labels, too few for 30 folds; give at least 60"),
        (["--folds", "3", "--group", "half"], "labels.csv: 2 groups of samples are too few for 3"),
        (["--group", "colour"], "labels.csv: has no column colour; there are file, formula"),
        (["--coverage", "90"], "--coverage 90: give a fraction between 0 and 1"),
        (["--log", "gap"], "--log gap: is none of --targets"),
        (["--trees", "0"], "--trees 0"),
        (["--members", "0"], "--members 0"),
        (["--learning-rate", "-1"], "--learning-rate -1"),
        (["--latent-components", "0"], "--latent-components 0"),
        (["--poses", "0"], "--poses 0"),
        (["--epochs", "0"], "--epochs 0"),
        (["--model", "both"], "--model both: learns from latent arrays; add latent to --inputs"),
        (["--seed", "-1"], "--seed -1"),
        (["--seed", "4294967296"], "--seed 4294967296: give a number from 0 to 4294967295"),
        (["--predictions", "p.csv.gz"], "p.csv.gz: tables are written as plain CSV"),
        (["--json", "x", "-o", "./x"], "x: is asked for twice; give one of them another name"),
        (["-o", "structures/LiF-rocksalt.vasp"], "structures/LiF-rocksalt.vasp: is read, too"),
        (["-j", "0"], "-j 0"),
        (["--autoencoder", "model"], "--autoencoder: is for --inputs latent"),
        (["--json", "nowhere/x"], "nowhere/x: there is no folder nowhere"),
        (["-o", "labels.csv"], "labels.csv: is read, too; give the output another name"),
        (["--plot", "nowhere/x"], "nowhere/x-parity.png: there is no folder"),
        (["--features", "labels.csv", "--inputs", "latent", "--autoencoder", "model"], "model"),
        (
            ["--features", "some.csv"],
            "some.csv: has no row for structures/LiF-rocksalt.vasp and 39",
        ),
    ],
)
def test_bad_flags(folder, capsys, flags, complaint):
    Path("some.csv").write_text("file,x\nother.cube,1\n")
    line = error(capsys, "train", "labels.csv", "--targets", "K", *QUICK, *flags)
    assert complaint in line, line


def test_formulas_that_are_none(folder, capsys):
    text = Path("labels.csv").read_text().replace(",NaCl,", ",rock salt,")
    Path("names.csv").write_text(text)
    line = error(capsys, "train", "names.csv", "--targets", "K", *QUICK, *FEATURES)
    row = next(row for row, text in enumerate(text.splitlines(), 1) if "rock salt" in text)
    assert line == f"names.csv:{row}: 'rock salt' is no chemical formula; write it like Fe2O3"


def test_constant_labels_and_duplicates_of_targets(folder, capsys):
    rows = [f"{row['file']},7" for row in rows_of("labels.csv")]
    Path("constant.csv").write_text("\n".join(["file,K", *rows]) + "\n")
    line = error(capsys, "train", "constant.csv", "--targets", "K", *QUICK)
    assert "every label of K is 7; there is nothing to learn" in line
    line = error(capsys, "train", "labels.csv", "--targets", "K", "K", *QUICK)
    assert "K is asked for twice" in line


@pytest.mark.parametrize("name", ["labels.csv", "cv.csv", "cv-parity.png", "structures", "none"])
def test_a_model_that_is_none(folder, capsys, name):
    line = error(capsys, "predict", "-m", name, "structures/NaCl-rocksalt.vasp", "-o", "p.csv")
    assert line.startswith(f"{name}: ")
    assert not Path("p.csv").exists()


def test_outputs_that_would_be_lost(folder, capsys):
    file, table = "structures/NaCl-rocksalt.vasp", "structures/t.csv"
    Path(table).write_text("file\nNaCl-rocksalt.vasp\n")
    for argv in (("predict", "-m", "model"), ("features",)):
        assert error(capsys, *argv, table, "-o", file).startswith(f"{file}: is read, too")
        line = error(capsys, *argv, file, "-o", "t.csv.xz")
        assert line == "t.csv.xz: tables are written as plain CSV; give it a name like that"
    line = error(capsys, "test", "-m", "model", "labels.csv", "--json", file)
    assert line.startswith(f"{file}: is read, too")


def test_a_model_of_other_features(folder, capsys):
    with zipfile.ZipFile("model") as old, zipfile.ZipFile("other", "w") as new:
        for part in old.namelist():
            content = old.read(part)
            if part == "header.json":
                header = json.loads(content)
                header["definitions"]["invariants"] = "0" * 16
                content = json.dumps(header)
            new.writestr(part, content)
    line = error(capsys, "predict", "-m", "other", "structures/NaCl-rocksalt.vasp", "-o", "p.csv")
    assert line.startswith("other: was trained with invariants of another definition")
    Path("f.csv").write_text("file,x\nstructures/NaCl-rocksalt.vasp,1\n")
    argv = ("predict", "-m", "model", "--features", "f.csv", "structures/NaCl-rocksalt.vasp")
    line = error(capsys, *argv, "-o", "p.csv")
    assert line.startswith("model: was trained with other invariants")


def test_elements_without_an_atomic_density(folder, capsys):
    write("Cf.vasp", bulk("Cf", "fcc", a=5.0), format="vasp")
    line = error(capsys, "predict", "-m", "model", "Cf.vasp", "-o", "p.csv")
    assert "Cf" in line and "the table of atomic densities has no such element" in line


def test_densities_that_are_none(folder, capsys):
    atoms = bulk("NaCl", "rocksalt", a=5.6)
    density = Density(atoms, np.full((8, 8, 8), 0.1))
    write_density("flat.cube", density)
    text = Path("flat.cube").read_text()
    Path("cut.cube").write_text(text[: len(text) // 2])
    line = error(capsys, "predict", "-m", "model", "cut.cube", "-o", "p.csv")
    assert line.startswith("cut.cube: ")
    Path("nan.cube").write_text(re.sub(r"\S+\s*$", "NaN\n", text))
    line = error(capsys, "predict", "-m", "model", "nan.cube", "-o", "p.csv")
    assert line.startswith("nan.cube:")


def test_properties_that_the_model_does_not_predict(folder, capsys):
    Path("other.csv").write_text("file,gap\nstructures/NaCl-rocksalt.vasp,1\n")
    line = error(capsys, "test", "-m", "model", "other.csv")
    assert line.startswith("other.csv: has no column of K, G, E, debye, e_form")
    argv = ("train", "labels.csv", "--targets", "K", *QUICK, *FEATURES, "-o", "only_K")
    assert command(*argv) == 0
    line = error(
        capsys, "predict", "-m", "only_K", "structures/NaCl-rocksalt.vasp", "-o", "p.csv",
        "--formulas",
    )  # fmt: skip
    assert line.startswith("--formulas: only_K does not predict both K and G")
