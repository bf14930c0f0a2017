# SPDX-License-Identifier: LGPL-3.0-or-later
"""The command line with a stand-in for the model: results and complaints."""

import argparse
import json
import os
import re
import subprocess
import sys
import warnings
from importlib import metadata
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write
from standin import StandInField, StandInModel, wave

from deepmd_charge import (
    ChargeError,
    Density,
    read_density,
    write_density,
)
from deepmd_charge.backends.tf.frozen import read_model
from deepmd_charge.cli.command_line import build_parser
from deepmd_charge.cli.main import main
from deepmd_charge.grid.grid import fft_size
from deepmd_charge.predict.compare import compare, compare_densities, compare_files

# Predictions rarely hold a whole number of electrons.
pytestmark = pytest.mark.filterwarnings("ignore:.*not a whole number")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder with a model, a structure and its density."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("deepmd_charge.predict.ChargeModel", StandInModel)
    (tmp_path / "charge.pb").write_text("1.01")
    atoms = bulk("Si", "diamond", 5.43)
    write("POSCAR", atoms)
    write("Ge.xyz", bulk("Ge"), format="extxyz")
    density = Density(atoms, np.zeros((8, 9, 10)))
    density = Density(atoms, wave(atoms, density.points()).reshape(density.shape))
    write_density("CHGCAR", density)
    return tmp_path


def complaint(capsys, *argv):
    """Run a command that must fail, and return its one line of error."""
    there = set(os.listdir())
    capsys.readouterr()
    assert main(list(map(str, argv))) == 1
    assert set(os.listdir()) == there  # nothing half-written
    *before, line = capsys.readouterr().err.splitlines()
    assert line.startswith("deepmd-charge: error: ")
    assert all(other.startswith("deepmd-charge: warning: ") for other in before)
    return line


PREDICT = ("predict", "-m", "charge.pb", "-s", "POSCAR", "-o", "CHGCAR_pred")


@pytest.mark.parametrize("name", ["CHGCAR_pred", "CHGCAR_pred.gz", "CHGCAR_pred.xz"])
def test_predict_like(name, capsys):
    assert main([*PREDICT[:-1], name, "--like", "CHGCAR"]) == 0
    predicted, true = read_density(name), read_density("CHGCAR")
    assert predicted.values == pytest.approx(1.01 * true.values, rel=1e-9)
    assert "8 x 9 x 10 points, 8.08" in capsys.readouterr().out


@pytest.mark.parametrize(
    "flags, shape",
    [
        (["--grid", "3", "5", "11"], (3, 5, 11)),
        (["--spacing", "0.3"], (14, 14, 14)),  # 3.84 A / 0.3 A = 12.8, 13 is prime
        ([], (10, 10, 10)),  # 3.84 A / 0.4 A = 9.6
    ],
)
def test_predict_grids(flags, shape):
    assert main([*PREDICT, *flags]) == 0
    assert read_density("CHGCAR_pred").shape == shape


def test_structure_from_a_density_file():
    assert main([*PREDICT[:3], "-s", "CHGCAR", *PREDICT[5:], "--grid", "2", "2", "2"]) == 0
    assert main([*PREDICT[:3], "-s", "POSCAR", "-o", "CHGCAR_2", "--grid", "2", "2", "2"]) == 0
    one, two = read_density("CHGCAR_pred"), read_density("CHGCAR_2")
    assert one.values == pytest.approx(two.values, abs=1e-9)


def test_predict_needs_a_spacing(capsys, monkeypatch):
    monkeypatch.setattr("standin.SPACING", None)
    assert "charge.pb: the model does not know the grid spacing" in complaint(capsys, *PREDICT)


@pytest.mark.parametrize(
    "argv, message",
    [
        ([*PREDICT, "--grid", 0, 4, 4], "--grid 0 4 4: this grid has no points"),
        ([*PREDICT, "--spacing", -1], "--spacing -1: "),
        ([*PREDICT, "--spacing", "nan"], "--spacing nan: "),
        ([*PREDICT[:-1], "missing/CHGCAR"], "missing/CHGCAR: there is no folder missing"),
        ([*PREDICT[:-1], "."], ".: is a folder"),
        ([*PREDICT[:-1], "density.txt"], "density.txt: the name does not tell the format"),
        (
            [*PREDICT[:3], "-s", "Ge.xyz", *PREDICT[5:]],
            "Ge.xyz: the model has not seen Ge, only Si",
        ),
        ([*PREDICT[:3], "-s", "no.cif", *PREDICT[5:]], "no.cif: No such file or directory"),
        ([*PREDICT[:3], "-s", "charge.pb", *PREDICT[5:]], "charge.pb: ase cannot read a structure"),
        (["predict", "-m", "no.pb", *PREDICT[3:]], "no.pb: No such file or directory"),
        ([*PREDICT, "--like", "CHGCAR_no"], "CHGCAR_no: "),
        (["test", "-s", "CHGCAR"], "either a model (-m) or predicted densities (-p)"),
        (["test", "-s", "CHGCAR", "-p", "CHGCAR", "CHGCAR"], "-p has 2 files and -s 1"),
        (["test", "-m", "charge.pb", "-s", "CHGCAR", "--points", 0], "--points 0: "),
        (
            ["test", "-m", "charge.pb", "-s", "CHGCAR", "--json", "no/t"],
            "no/t: there is no folder no",
        ),
        (["test", "-m", "charge.pb", "-s", "CHGCAR", "CHGCAR_no"], "CHGCAR_no: no such file"),
        (["test", "-m", "charge.pb", "-s", "CHGCAR", "--points", 5, "--seed", -1], "seed is -1: "),
        (["plot", "CHGCAR", "-o", "x.png", "--position", "nan"], "--position nan: "),
        (["plot", "CHGCAR", "CHGCAR_no", "-o", "x.png"], "CHGCAR_no: no such file"),
        (["convert", "CHGCAR", "CHGCAR_no", "-o", "dp"], "CHGCAR_no: no such file"),
        ([*PREDICT, "--like", "CHGCAR_no"], "CHGCAR_no: no such file"),
        (
            [*PREDICT, "--spacing", "1e-10"],
            "--spacing 1e-10: a grid of 5.7e+31 points does not fit",
        ),
        ([*PREDICT, "--grid", 10**8, 10**8, 10**8], "points does not fit into memory"),
        (["plot", "CHGCAR", "-o", "x.doc"], "x.doc: not a picture's name"),
        (["plot", "CHGCAR", "-o", "no/x.png"], "no/x.png: there is no folder no"),
        (["plot", "CHGCAR", "-o", "x.png", "--index", 10], "CHGCAR: there is no slice 10 along c"),
        (
            ["lammps", "write", "-m", "charge.pb", "-s", "POSCAR", "-o", "d", "--grid", 1, 0, 1],
            "--grid 1 0 1: this grid has no points",
        ),
        (
            [
                "lammps",
                "write",
                "-m",
                "charge.pb",
                "-s",
                "POSCAR",
                "-o",
                "d",
                "--like",
                "CHGCAR_no",
            ],
            "CHGCAR_no: no such file",
        ),
        (
            ["lammps", "write", "-m", "charge.pb", "-s", "Ge.xyz", "-o", "d", "--grid", 1, 1, 1],
            "Ge.xyz: the model has not seen Ge",
        ),
        (
            [
                "lammps",
                "write",
                "-m",
                "charge.pb",
                "-s",
                "POSCAR",
                "-o",
                "CHGCAR",
                "--grid",
                1,
                1,
                1,
            ],
            "CHGCAR: is a file; give the name of a new folder",
        ),
        ([*PREDICT[:-1], "LOCPOT", "--grid", 1, 1, 1], "LOCPOT: by its name a potential"),
        (["lammps", "read", "d", "-o", "CHGCAR_l"], "grid.json: no such file"),
        (["lammps", "read", "d", "-o", "no/CHGCAR"], "no/CHGCAR: there is no folder no"),
    ],
)
def test_complaints(capsys, argv, message):
    assert message in complaint(capsys, *argv)


def test_molecule_without_cell(capsys):
    with open("molecule.xyz", "w") as file:
        file.write("1\n\nSi 0 0 0\n")
    argv = [*PREDICT[:3], "-s", "molecule.xyz", *PREDICT[5:]]
    assert "molecule.xyz: the structure has no cell" in complaint(capsys, *argv)


def test_bad_density_files(capsys):
    text = Path("CHGCAR").read_text()
    for name, content in (
        ("CHGCAR_cut", text[: len(text) // 2]),
        ("CHGCAR_stars", text[:-100] + " *****************" + text[-82:]),
    ):
        with open(name, "w") as file:
            file.write(content)
        for argv in (["test", "-m", "charge.pb", "-s", name], ["plot", name, "-o", "x.png"]):
            assert name in complaint(capsys, *argv)


def test_test(capsys):
    write_density("CHGCAR_half", read_density("CHGCAR") * 0.5)
    assert main(["test", "-m", "charge.pb", "-s", "CHGCAR", "CHGCAR_half", "--json", "t.json"]) == 0
    table = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in table] == ["file", "CHGCAR", "CHGCAR_half", "all"]
    results = json.loads(Path("t.json").read_text())
    true = read_density("CHGCAR").values
    first, second = results["files"]
    assert first["file"] == "CHGCAR"
    assert first["mae"] == pytest.approx(0.01 * np.abs(true).mean())
    assert first["max"] == pytest.approx(0.01 * np.abs(true).max())
    assert first["nmae"] == pytest.approx(1.0)
    assert first["rrmse"] == pytest.approx(1.0)
    assert first["electrons_true"] == pytest.approx(8.0)
    assert first["electrons_predicted"] == pytest.approx(8.08)
    assert first["n_points"] == true.size
    assert second["nmae"] == pytest.approx(102.0)
    error = np.concatenate([0.01 * true.ravel(), 0.51 * true.ravel()])
    assert results["all"]["rmse"] == pytest.approx(np.sqrt(np.mean(error**2)))
    assert results["all"]["electrons_true"] == pytest.approx(12.0)


def test_test_on_a_grid_that_begins_elsewhere(capsys):
    atoms = read_density("CHGCAR").atoms
    density = Density(atoms, np.zeros((8, 9, 10)), (0.3, -0.1, 0.2))
    density.values.flat = wave(atoms, density.points())
    write_density("o.cube", density)
    for flags, electrons in ((), "8.080"), (("--electrons", "8"), "8.000"):
        assert main(["test", "-m", "charge.pb", "-s", "o.cube", *flags]) == 0
        numbers = capsys.readouterr().out.splitlines()[1].split()
        assert numbers[5] == ("0.000" if flags else "1.000")  # NMAE
        assert numbers[-2] == electrons


def test_test_on_some_points(capsys):
    argv = ["test", "-m", "charge.pb", "-s", "CHGCAR", "--points", "50", "--json", "t.json"]
    results = []
    for seed in ("1", "1", "2"):
        assert main([*argv, "--seed", seed]) == 0
        results.append(json.loads(Path("t.json").read_text())["all"])
    assert results[0]["n_points"] == 50
    assert results[0]["nmae"] == pytest.approx(1.0)
    assert results[0]["electrons_true"] == pytest.approx(8.0, rel=0.3)
    assert results[0] == results[1] != results[2]


def test_test_of_predicted_files():
    assert main([*PREDICT, "--like", "CHGCAR"]) == 0
    assert main(["test", "-p", "CHGCAR_pred", "-s", "CHGCAR", "--json", "p.json"]) == 0
    assert main(["test", "-m", "charge.pb", "-s", "CHGCAR", "--json", "m.json"]) == 0
    from_file, from_model = (
        json.loads(Path(name).read_text())["all"] for name in ("p.json", "m.json")
    )
    assert from_file == pytest.approx(from_model, rel=1e-6)


@pytest.mark.parametrize("points", [None, 50, 10**6])
def test_compare_in_python(points):
    """As numpy has it, at the same points from files and from arrays."""
    density = read_density("CHGCAR")
    model = StandInModel("charge.pb")
    found = compare(model, density, points, seed=3).summary()
    values = density.values.ravel()
    if points == 50:
        values = np.random.default_rng(3).choice(values, 50, replace=False)
    assert found["n_points"] == values.size
    assert found["mae"] == pytest.approx(0.01 * np.abs(values).mean())
    assert found["electrons_true"] == pytest.approx(values.mean() * density.volume)
    predicted = model.predict(density.atoms, density.shape)
    assert compare_densities(predicted, density, points, seed=3).summary() == pytest.approx(found)
    ((name, errors),) = compare_files(model, ["CHGCAR"], points, seed=3)
    assert name == "CHGCAR" and errors.summary() == found
    options = {"points": 5, "electrons": 8}, {"points": 0}, {"seed": -1}, {"quantity": "up"}
    for wrong in options:
        with pytest.raises(ChargeError):
            compare(model, density, **wrong)
    scaled = compare(model, density, electrons=12).summary()
    assert scaled["electrons_predicted"] == pytest.approx(12.0)
    assert scaled["nmae"] == pytest.approx(50.0)


def test_prediction_on_another_grid(capsys):
    assert main([*PREDICT, "--grid", "2", "2", "2"]) == 0
    message = "CHGCAR and CHGCAR_pred: densities on different grids"
    assert message in complaint(capsys, "test", "-p", "CHGCAR_pred", "-s", "CHGCAR")
    assert message in complaint(capsys, "plot", "CHGCAR", "CHGCAR_pred", "-o", "x.png")


def test_prediction_of_another_structure(capsys):
    density = read_density("CHGCAR")
    density.atoms.positions = density.atoms.positions[::-1] + density.atoms.cell[0]
    write_density("CHGCAR_same", density)  # another order, another image
    density.atoms.positions[0, 0] += 0.02
    write_density("CHGCAR_moved", density)
    assert main(["test", "-p", "CHGCAR_same", "-s", "CHGCAR"]) == 0
    assert "warning" not in capsys.readouterr().err
    assert main(["test", "-p", "CHGCAR_moved", "-s", "CHGCAR"]) == 0
    assert (
        "warning: CHGCAR and CHGCAR_moved: these are densities of different"
        in capsys.readouterr().err
    )


@pytest.mark.slow
@pytest.mark.parametrize("flags", [[], ["CHGCAR"], ["--axis", "a", "--position", "0.99"]])
def test_plot(flags):
    assert main(["plot", "CHGCAR", *flags, "-o", "x.png"]) == 0
    with open("x.png", "rb") as file:
        assert file.read(8) == b"\x89PNG\r\n\x1a\n"


def test_lammps_round_trip():
    grid = ("3", "4", "5")
    argv = ["lammps", "write", "-m", "charge.pb", "-s", "POSCAR", "-o", "run", "--grid", *grid]
    assert main(argv) == 0
    lines = ["ITEM: TIMESTEP", "0", "ITEM: NUMBER OF ATOMS", "60", "ITEM: BOX BOUNDS", "", "", ""]
    lines += ["ITEM: ATOMS c_density", *(f"{0.01 * i}" for i in range(60))]
    with open("run/density.dump", "w") as file:
        file.write("\n".join(lines) + "\n")
    assert main(["lammps", "read", "run", "-o", "CHGCAR_l"]) == 0
    assert read_density("CHGCAR_l").values.ravel() == pytest.approx(0.01 * np.arange(60))


def lammps_dump(folder, values):
    """Write what LAMMPS would where all points of a grid are probes."""
    lines = ["ITEM: TIMESTEP", "0", "ITEM: NUMBER OF ATOMS", f"{values.size}", "ITEM: BOX BOUNDS"]
    lines += ["", "", "", "ITEM: ATOMS c_density", *map(str, values.ravel())]
    with open(f"{folder}/density.dump", "w") as file:
        file.write("\n".join(lines) + "\n")


def test_lammps_keeps_the_origin(capsys):
    """As predict does: of a molecule in its box, and of a grid that is given."""
    atoms, origin = read_density("CHGCAR").atoms, (0.3, -1.1, 5.2)
    for name, pbc in ("slab", (True, True, False)), ("bulk", True):
        atoms.pbc = pbc
        write_density(f"{name}.cube", Density(atoms, np.full((3, 4, 5), 0.1), origin))
    for name, flags, expected in (
        ("slab", ["--grid", "2", "3", "2"], origin),
        ("slab", ["--like", "bulk.cube"], origin),
        ("bulk", ["--grid", "2", "3", "2"], (0, 0, 0)),
        ("bulk", ["--like", "slab.cube"], origin),
        ("slab", ["--like", "CHGCAR"], (0, 0, 0)),
    ):
        argv = ["-m", "charge.pb", "-s", f"{name}.cube", *flags]
        assert main(["lammps", "write", *argv, "-o", "run"]) == 0
        assert main(["predict", *argv, "-o", "p.cube"]) == 0
        predicted = read_density("p.cube", check=False)
        lammps_dump("run", predicted.values)
        assert main(["lammps", "read", "run", "-o", "l.cube"]) == 0
        found = read_density("l.cube", check=False)
        assert found.matching(predicted) == pytest.approx(found.values, abs=1e-9)
        assert found.origin == pytest.approx(expected, abs=1e-9)
        if any(expected):
            line = complaint(capsys, "lammps", "read", "run", "-o", "CHGCAR_l")
            assert "CHGCAR_l: a CHGCAR has its origin at zero, this density at (0.3, -1.1" in line


def test_odd_electron_counts_are_mentioned_where_they_matter(capsys, recwarn):
    """In training data and references, not in predictions or where only the grid counts."""
    warnings.simplefilter("always")
    write_density("CHGCAR_odd", read_density("CHGCAR") * 1.01)
    for argv in (
        ["test", "-p", "CHGCAR_odd", "-s", "CHGCAR"],
        ["plot", "CHGCAR", "CHGCAR_odd", "-o", "x.png"],
        [*PREDICT, "--like", "CHGCAR_odd"],
        [*PREDICT[:3], "-s", "CHGCAR_odd", *PREDICT[5:], "--grid", "2", "2", "2"],
    ):
        assert main(argv) == 0
        assert "warning" not in capsys.readouterr().err
    for argv in (
        ["test", "-p", "CHGCAR", "-s", "CHGCAR_odd"],
        ["convert", "CHGCAR_odd", "-o", "dp"],
    ):
        assert main(argv) == 0
        assert "warning: CHGCAR_odd: the density integrates to 8.08" in capsys.readouterr().err


def test_warnings_are_one_line(monkeypatch, capsys):
    def warn_if_far(self, where, stacklevel=2, name=""):
        warnings.warn("far away", stacklevel=2)

    monkeypatch.setattr(StandInField, "warn_if_far", warn_if_far)
    assert main([*PREDICT, "--grid", "2", "2", "2"]) == 0
    assert "\ndeepmd-charge: warning: far away\n" in "\n" + capsys.readouterr().err


@pytest.mark.parametrize("error", [KeyboardInterrupt(), MemoryError(), ChargeError("x: y")])
def test_no_traceback(error, monkeypatch, capsys):
    def fail(*args, **kwargs):
        raise error

    monkeypatch.setattr(StandInField, "__call__", fail)
    assert main([*PREDICT, "--grid", "2", "2", "2"]) != 0
    assert not [name for name in os.listdir() if "CHGCAR_pred" in name]
    assert "Traceback" not in capsys.readouterr().err


def test_fft_size():
    allowed = sorted(
        2**a * 3**b * 5**c * 7**d
        for a in range(9)
        for b in range(6)
        for c in range(4)
        for d in range(4)
    )
    for n in range(1, 400):
        assert fft_size(n) == min(m for m in allowed if m >= n)
    assert fft_size(72 * (1 + 1e-12)) == 72  # a rounding error is no reason for more
    assert fft_size(72.01) == 75
    assert fft_size(0.2) == 1


def test_version_and_help_are_quick(capsys):
    code = (
        "import sys; from deepmd_charge.cli.command_line import build_parser;"
        "print(build_parser().format_help());"
        "print(sorted({'tensorflow', 'deepmd', 'ase', 'dpdata', 'matplotlib'} & set(sys.modules)))"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.splitlines()[-1] == "[]"
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"deepmd-charge {metadata.version('deepmd-charge')}\n"


def subcommands(parser, before=()):
    """The words of every subcommand, those of LAMMPS included."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for name, child in action.choices.items():
                yield (*before, name)
                yield from subcommands(child, (*before, name))


@pytest.mark.parametrize("words", [(), *subcommands(build_parser())], ids=" ".join)
def test_help_and_wrong_flags_of_every_command(words, capsys):
    with pytest.raises(SystemExit) as stop:
        main([*words, "-h"])
    assert stop.value.code == 0
    assert capsys.readouterr().out.startswith(" ".join(["usage: deepmd-charge", *words]))
    for wrong in ([], ["--no-such-flag"]):
        if (*words, *wrong) in (("configure",), ("property", "features")):
            continue  # a line of its own
        with pytest.raises(SystemExit) as stop:
            main([*words, *wrong])
        assert stop.value.code == 2
        assert "Traceback" not in capsys.readouterr().err


def test_what_is_read_is_not_overwritten(al32, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    for name in ("CHGCAR", "CHGCAR_b"):
        write_density(name, read_density(al32))
    os.link("CHGCAR", "CHGCAR_link")
    before = Path("CHGCAR").read_bytes()
    for argv in (
        ["diff", "CHGCAR", "CHGCAR_b", "-o", "CHGCAR"],
        ["diff", "CHGCAR_b", "CHGCAR", "-o", "./CHGCAR"],
        ["regrid", "CHGCAR", "-o", "CHGCAR_link", "--grid", "9", "9", "9"],
        ["regrid", "CHGCAR_b", "-o", "CHGCAR", "--like", "CHGCAR"],
        ["diff", "CHGCAR@0", "CHGCAR_b", "-o", "CHGCAR"],
        ["test", "-s", "CHGCAR", "-p", "CHGCAR_b", "--json", "CHGCAR"],
        ["predict", "-m", "no.pb", "-s", "CHGCAR@0", "-o", "CHGCAR"],
        ["predict", "-m", "no.pb", "-s", "CHGCAR", "-o", "CHGCAR"],
        ["predict", "-m", "no.pb", "-s", "CHGCAR_b", "-o", "CHGCAR", "--like", "CHGCAR"],
    ):
        assert main(argv) == 1
        assert "is read, too; give the output another name" in capsys.readouterr().err
    assert Path("CHGCAR").read_bytes() == before


@pytest.mark.parametrize(
    "name, message",
    [
        ("POSCAR", "a structure without a density: give the density file of its run"),
        ("x.cif", "a structure without a density"),
        ("charge.pb", "a frozen model, no density: give it to -m"),
    ],
)
def test_other_files_are_named(name, message, tmp_path, capsys):
    (tmp_path / name).write_text("Si\n")
    assert main(["info", str(tmp_path / name)]) == 1
    assert f"{name}: {message}" in capsys.readouterr().err


def test_what_is_no_model_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("model.ckpt.index").touch()
    for name, message in (
        (".", "is a folder; give the file that dp freeze wrote"),
        ("model.ckpt", "a checkpoint of a training; dp freeze -o charge.pb in its folder"),
        ("none.pb", "no such model file; make one with dp freeze -o charge.pb"),
    ):
        with pytest.raises(ChargeError, match=re.escape(f"{name}: {message}")):
            read_model(name)


@pytest.mark.parametrize("module", ["deepmd_charge.cli.convert", "numpy"])
def test_interrupted_while_it_imports(module):
    """The first second of any command."""
    code = (
        "import os, signal, sys\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "class Finder:\n"
        "    def find_spec(self, name, path, target=None):\n"
        f"        if name == {module!r}: os.kill(os.getpid(), signal.SIGINT)\n"
        "sys.meta_path.insert(0, Finder())\n"
        "from deepmd_charge.cli.main import main\n"
        "sys.exit(main(['info', 'CHGCAR']))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (130, "\ndeepmd-charge: interrupted\n")
