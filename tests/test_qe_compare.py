# SPDX-License-Identifier: LGPL-3.0-or-later
"""Results of pw.x against what it prints, and what densities are worth in it.

``tests/data/qe/*.result`` are runs of 6.7 with forces, stress and ``verbosity = 'high'``:
``python tests/quantum_espresso.py`` makes them anew.
"""

import gzip
import json
import re
import shutil

import numpy as np
import pytest
from quantum_espresso import DATA, PRINTED, input_text, run_pw
from test_qe_start import DensityModel, needs_pw

from deepmd_charge import ChargeError
from deepmd_charge.cli import qe_compare
from deepmd_charge.cli.main import main
from deepmd_charge.qe.compare import Compared
from deepmd_charge.qe.result import HARTREE, RYDBERG, Printed, Result, read_printed, read_result
from deepmd_charge.qe.worth import Spread, Worth
from deepmd_charge.units import BOHR

XML, OUT = "data-file-schema.xml.gz", "pw.out.gz"
NUMBER = r"-?\d+\.\d+"


def recorded(name):
    """A recorded run, and the text that it printed."""
    folder = DATA / f"{name}.result"
    text = gzip.decompress((folder / OUT).read_bytes()).decode()
    return read_result(folder, folder / OUT), text


def numbers(text):
    return [float(x) for x in re.findall(NUMBER, text)]


def blocks(text, title):
    """The numbers below each title, up to the second empty line."""
    return [numbers(part.split("\n\n")[1]) for part in text.split(title)[1:]]


# results


@pytest.mark.parametrize("name", PRINTED)
def test_results_are_what_pw_printed(name):
    result, text = recorded(name)
    n_spin, n_k, n_bands = result.eigenvalues.shape
    assert n_spin == (2 if name == "fe" else 1)
    energy = float(re.search(rf"^! +total energy += +({NUMBER}) Ry", text, re.M)[1])
    assert result.energy / RYDBERG == pytest.approx(energy, abs=1e-8)
    end = text.partition("End of self-consistent calculation")[2]
    bands = np.array(blocks(end, "bands (ev):")).reshape(n_spin, n_k, n_bands)
    np.testing.assert_allclose(result.eigenvalues, bands, rtol=0, atol=6e-5)
    filled = np.array([numbers(part.split("\n\n")[0]) for part in end.split("numbers")[1:]])
    np.testing.assert_allclose(result.occupations, filled.reshape(bands.shape), rtol=0, atol=6e-5)
    pattern = rf"atom +\d+ type +\d+ +force = +({NUMBER}) +({NUMBER}) +({NUMBER})"
    forces = np.array(re.findall(pattern, text), float)[: result.n_atoms]
    np.testing.assert_allclose(result.forces * BOHR / RYDBERG, forces, rtol=0, atol=1e-8)
    stress = np.array(numbers(text.partition("total   stress")[2])[1:19]).reshape(3, 6)
    ours = -result.stress * BOHR**3 / RYDBERG
    np.testing.assert_allclose(ours, stress[:, :3], rtol=0, atol=1e-8)
    np.testing.assert_allclose(-1602.176634 * result.stress, stress[:, 3:], rtol=0, atol=0.01)


@pytest.mark.parametrize("name", PRINTED)
def test_k_points_and_their_weights(name):
    result, text = recorded(name)
    rows = re.findall(rf"k\( +\d+\) = \( +({NUMBER}) +({NUMBER}) +({NUMBER})\), wk = +(\S+)", text)
    points = np.array(rows, float)[: len(result.weights)]  # cartesian before crystal
    alat = float(re.search(rf"lattice parameter \(alat\) += +({NUMBER})", text)[1]) * BOHR
    np.testing.assert_allclose(
        result.k_points, 2 * np.pi / alat * points[:, :3], rtol=1e-4, atol=1e-5
    )
    np.testing.assert_allclose(result.weights, points[:, 3] / points[:, 3].sum(), rtol=0, atol=1e-6)
    assert result.weights.sum() == pytest.approx(1.0, abs=1e-12)


@pytest.mark.parametrize("name", PRINTED)
def test_the_way_is_what_pw_printed(name):
    result, text = recorded(name)
    printed = result.printed
    assert printed.iterations == int(re.search(r"achieved in +(\d+) iter", text)[1])
    assert len(printed.energies) == len(printed.accuracies) == printed.iterations
    assert printed.energies[-1] == pytest.approx(result.energy, abs=2e-7)
    assert printed.accuracies[-1] < 1e-8 < printed.accuracies[0]
    assert printed.harris_foulkes is None  # 6.7 prints none
    wall = float(re.search(r"PWSCF +: .*CPU +(\S+)s WALL", text)[1])
    assert 0 < printed.cpu_seconds <= wall


def test_gap_and_metals():
    result, text = recorded("si")
    highest, lowest = numbers(re.search(r"highest occupied, lowest unocc.*", text)[0])
    assert not result.is_metal
    assert result.gap == pytest.approx(lowest - highest, abs=2e-4)
    assert result.occupied.sum(axis=-1).tolist() == [[4]]
    for name in ("al", "fe"):
        assert recorded(name)[0].is_metal
        assert recorded(name)[0].gap is None


@pytest.mark.parametrize(
    "text, seconds",
    [
        ("     PWSCF        :      0.03s CPU      0.04s WALL", 0.03),
        ("     PWSCF        :   3m15.19s CPU   3m18.12s WALL", 195.19),
        ("     PWSCF        :     1h 2m CPU        1h 3m WALL", 3720.0),
        ("     PWSCF        :  1d 3h15m CPU     1d 4h 1m WALL", 97 * 1e3 + 1100.0),
    ],
)
def test_cpu_seconds(tmp_path, text, seconds):
    (tmp_path / "pw.out").write_text(f"{text}\n   JOB DONE.\n")
    assert read_printed(tmp_path / "pw.out").cpu_seconds == pytest.approx(seconds)


def test_harris_foulkes_where_it_is_printed(tmp_path):
    lines = [
        "     total energy              =     -15.80 Ry",
        "     Harris-Foulkes estimate   =     -15.90 Ry",
        "     estimated scf accuracy    <       0.06 Ry",
        "!    total energy              =     -15.82 Ry",
        "     Harris-Foulkes estimate   =     -15.83 Ry",
        "     estimated scf accuracy    <          7.0E-10 Ry",
        "     PWSCF : 0.1s CPU 0.1s WALL\n JOB DONE.",
    ]
    (tmp_path / "pw.out").write_text("\n".join(lines))
    printed = read_printed(tmp_path / "pw.out")
    assert printed.harris_foulkes == pytest.approx(-15.83 * RYDBERG)
    assert printed.energies == pytest.approx([-15.80 * RYDBERG, -15.82 * RYDBERG])
    assert printed.accuracies == [0.06, 7e-10]


def test_damaged_results(tmp_path):
    for file in (XML, OUT):
        shutil.copy(DATA / "al.result" / file, tmp_path)
    (tmp_path / "nowhere").mkdir()
    with pytest.raises(ChargeError, match=r"nowhere: there is no data-file-schema.xml: let pw.x"):
        read_result(tmp_path / "nowhere", tmp_path / OUT)
    whole = gzip.decompress((tmp_path / XML).read_bytes())
    file = tmp_path / "data-file-schema.xml"
    (tmp_path / XML).unlink()
    for damaged, reason in (
        (whole[: len(whole) // 2], "no element found|unclosed"),
        (whole.replace(b"<etot>", b"<etot>x"), "could not convert"),
        (whole.replace(b"total_energy", b"total"), "there is no total_energy/etot"),
        (whole.replace(b"</eigenvalues>", b" 1.0</eigenvalues>", 1), "."),
    ):
        file.write_bytes(damaged)
        with pytest.raises(ChargeError, match=f"xml: damaged: .*({reason}).*: run pw.x again"):
            read_result(tmp_path, tmp_path / OUT)
    text = gzip.decompress((tmp_path / OUT).read_bytes())
    (tmp_path / "pw.out").write_bytes(text[:3000])
    with pytest.raises(ChargeError, match=r"pw.out: not the output of a run of pw.x that came to"):
        read_printed(tmp_path / "pw.out")


# deviations


def result(energies, occupations, weights, energy=-10.0, forces=0.0):
    """A made-up result of four atoms."""
    eigenvalues = np.array(energies, dtype=float)
    printed = Printed(2, [energy - 1.0, energy], [1e-3, 1e-4], None, 1.0)
    return Result(
        energy,
        4,
        np.zeros((len(weights), 3)),
        np.array(weights, dtype=float),
        eigenvalues,
        np.array(occupations, dtype=float),
        np.full((4, 3), forces),
        -0.1 * np.eye(3),
        printed,
    )


def test_deviations_by_hand():
    converged = result([[[0.0, 1.0], [0.5, 1.5]]], [[[1, 1], [1, 1]]], [0.25, 0.75])
    filled = [[[1, 1, 0, 0, 0], [1, 1, 0, 0, 0]]]
    exact = result([[[0.0, 1.0, 2, 3, 4], [0.5, 1.5, 3, 4, 5]]], filled, [0.25, 0.75])
    found = result(
        [[[0.1, 1.0, 2.2, 3, 9], [0.5, 1.7, 3, 4.4, 9]]], filled, [0.25, 0.75], -9.0, 0.003
    )
    worth = Worth.of(found, converged, exact, 2)
    assert worth.energy == pytest.approx(250.0)
    assert worth.harris_foulkes == pytest.approx(0.0, abs=1e-9)
    assert worth.occupied.mae == pytest.approx(1000 * (0.25 * 0.1 + 0.75 * 0.2) / 2)
    assert worth.occupied.max == pytest.approx(200.0)
    assert worth.empty.mae == pytest.approx(1000 * (0.25 * 0.2 + 0.75 * 0.4) / 2)
    assert worth.empty.max == pytest.approx(400.0)
    assert worth.gap == pytest.approx(1000 * ((2.2 - 1.7) - (2.0 - 1.5)), abs=1e-9)
    assert worth.forces == Spread(pytest.approx(3.0), pytest.approx(3.0))
    assert worth.stress == Spread(0.0, 0.0)
    assert worth.accuracy == 1e-3


def test_runs_of_other_k_points_do_not_compare():
    one = result([[[0.0], [1.0]]], [[[1], [1]]], [0.5, 0.5])
    other = result([[[0.0]]], [[[1]]], [1.0])
    with pytest.raises(ChargeError, match="other k points or bands"):
        Worth.of(other, one, one, 4)
    with pytest.raises(ChargeError, match="different k points"):
        Worth.of(other, one, other, 4)


# the command


def test_names_of_inputs(tmp_path):
    names = qe_compare.names_of
    assert names(["a/x.in", "a/y.in"]) == {"x": "a/x.in", "y": "a/y.in"}
    assert names(["a/1/scf.in", "a/2/scf.in"]) == {"1-scf": "a/1/scf.in", "2-scf": "a/2/scf.in"}
    with pytest.raises(ChargeError, match=r"x.in: is given twice: leave one out"):
        names(["x.in", "./x.in"])


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--mixing", "none"], "--mixing none: give plain, TF or local-TF"),
        (["--mixing", "plain:0"], "--mixing plain:0: give plain"),
        (["--mixing", "plain:x"], "--mixing plain:x: give plain"),
        (["--conv-thr", "0"], "--conv-thr 0: give a positive number"),
        (["--empty", "0"], "--empty 0: give a number of at least 1"),
        (["--repeat", "0"], "--repeat 0: give a number of at least 1"),
        (["-i", "missing.in"], "missing.in: No such file"),
        (["--pw", "no-such-pw.x"], "no-such-pw.x: there is no such program"),
    ],
)
def test_wrong_flags(tmp_path, monkeypatch, capsys, flags, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "pw.in").write_text(input_text("si"))
    assert main(["qe", "compare", "-m", "charge.pb", "-i", "pw.in", "-o", "out", *flags]) == 1
    assert message in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


@pytest.fixture
def work(monkeypatch, tmp_path):
    """A folder in which models are files that name a prefix.save folder and a factor."""
    monkeypatch.chdir(tmp_path)
    for module in ("deepmd_charge.predict", "deepmd_charge.predict.evaluation"):
        monkeypatch.setattr(f"{module}.ChargeModel", DensityModel)
    return tmp_path


def compare(*flags, repeat="1"):
    return main(
        ["qe", "compare", "-m", "charge.pb", "-i", "pw.in", "-o", "out", "--repeat", repeat, *flags]
    )


def test_a_run_that_took_no_time(monkeypatch):
    """pw.x prints hundredths of a second."""
    monkeypatch.setattr(
        Compared, "fewest", lambda _, start: ("plain", 10 if start == "atoms" else 4)
    )
    for seconds, share in ((0.0, None), (2.0, 0.5)):
        monkeypatch.setattr(
            Compared,
            "fastest",
            lambda _, start, s=seconds: ("plain", s if start == "atoms" else 1.0),
        )
        iterations, time = Compared.saved(object.__new__(Compared), "prediction")
        assert iterations == pytest.approx(0.6)
        assert np.isnan(time) if share is None else time == share


@needs_pw
@pytest.mark.slow
@pytest.mark.parametrize("name", ["si", "al", "si-k"])
def test_the_true_density_is_worth_all_of_it(work, name, capsys):
    (work / "converged").mkdir()
    run_pw(work / "converged", input_text(name, "conv_thr = 1d-12"))
    (work / "charge.pb").write_text(f"converged/{name}.save 1.0")
    (work / "pw.in").write_text(input_text(name, "mixing_beta = 0.7, conv_thr = 1d-3"))
    assert compare("--conv-thr", "1e-8", "--empty", "2") == 0
    (found,) = json.loads((work / "out" / "compare.json").read_text())
    assert found["is_metal"] == (name != "si")
    assert found["n_atoms"] == 2
    for density in ("true", "prediction"):
        worth = found["one_step"][density]
        assert abs(worth["energy"]) < 1e-3
        assert abs(worth["harris_foulkes"]) < 1e-3
        assert worth["accuracy"] < 1e-7
        for key, most in (("occupied", 0.4), ("empty", 0.1), ("forces", 1.0), ("stress", 0.01)):
            assert worth[key]["max"] < most, (density, key)
        assert worth["gap"] is None if found["is_metal"] else abs(worth["gap"]) < 0.1
    atoms = found["one_step"]["atoms"]
    assert atoms["energy"] > 1.0  # variational
    assert atoms["occupied"]["mae"] > 10.0
    assert found["densities"]["prediction"]["mae"] < 1e-5 < found["densities"]["atoms"]["mae"]
    for mixing in ("plain", "local-TF"):
        scf = {start: found["scf"][start][mixing] for start in ("atoms", "prediction", "true")}
        # pw.x lets so few bands pass that are not converged, and takes some iterations then
        assert scf["prediction"]["iterations"] < scf["atoms"]["iterations"]
        assert scf["true"]["iterations"] <= 6
        for each in scf.values():
            assert len(each["accuracies"]) == len(each["energies"]) == each["iterations"]
            assert each["energies"][-1] == 0.0
            assert each["accuracies"][-1] < 1e-8
    assert found["saved"]["true"]["iterations"] > 0.3
    for picture in ("bands.png", "iterations.png"):
        assert (work / "out" / "pw" / picture).read_bytes().startswith(b"\x89PNG")
    assert not list((work / "out").rglob("wfc*"))
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("prediction ") for line in lines)
    assert "pw: atoms-plain-1 ..." in lines


@needs_pw
@pytest.mark.slow
def test_harris_foulkes_is_the_energy_of_what_went_in(work, monkeypatch):
    """Both energies are off in the second order of the density's error, bands in the first."""
    monkeypatch.setattr(qe_compare, "_draw", lambda *arguments: None)
    (work / "converged").mkdir()
    run_pw(work / "converged", input_text("si", "conv_thr = 1d-12"))
    (work / "pw.in").write_text(input_text("si"))
    errors = {}
    for share in (0.02, 0.04):
        (work / "charge.pb").write_text(f"converged/si.save 1.0 {share}")
        monkeypatch.setattr(DensityModel, "__init__", blended(share))
        assert compare("-o", f"out-{share}", "--mixing", "plain", "--conv-thr", "1e-11") == 0
        (found,) = json.loads((work / f"out-{share}" / "compare.json").read_text())
        errors[share] = found["one_step"]["prediction"]
    for key in ("energy", "harris_foulkes"):
        ratio = errors[0.04][key] / errors[0.02][key]
        assert ratio == pytest.approx(4, rel=0.1), key
    ratio = errors[0.04]["occupied"]["mae"] / errors[0.02]["occupied"]["mae"]
    assert ratio == pytest.approx(2, rel=0.1)
    assert errors[0.02]["energy"] > 0


_ORIGINAL = DensityModel.__init__


def blended(share):
    """A model whose density has a share of a wave that is not there, without electrons."""

    def initialise(self, path, n_threads=None, quantity=None):
        with open(path) as file:
            folder, factor, _ = file.read().split()
        plain = f"{path}.plain"
        with open(plain, "w") as file:
            file.write(f"{folder} {factor}")
        _ORIGINAL(self, plain, n_threads, quantity)
        nx, _, nz = self.values.shape
        wave = np.cos(2 * np.pi * (np.arange(nx)[:, None, None] / nx + np.arange(nz) / nz))
        self.values = self.values + 0.05 * share * np.broadcast_to(wave, self.values.shape)

    return initialise


@needs_pw
@pytest.mark.slow
def test_what_is_there_is_not_run_again(work, capsys):
    (work / "converged").mkdir()
    run_pw(work / "converged", input_text("si"))
    (work / "charge.pb").write_text("converged/si.save 1.0")
    (work / "pw.in").write_text(input_text("si"))
    assert compare("--mixing", "plain") == 0
    first = capsys.readouterr().out
    before = {f: f.stat().st_mtime_ns for f in (work / "out").rglob("pw.out")}
    (work / "out" / "compare.json").unlink()
    assert compare("--mixing", "plain", "--pw", "true") == 0  # which makes no run
    again = capsys.readouterr().out
    assert " ..." not in again
    assert first.partition("pw: 2 atoms")[2] == again.partition("pw: 2 atoms")[2] != ""
    assert {f: f.stat().st_mtime_ns for f in (work / "out").rglob("pw.out")} == before

    # what was cut off is made again, and nothing else
    output = work / "out" / "pw" / "prediction-plain-1" / "pw.out"
    output.write_text(output.read_text()[:2000])
    assert compare("--mixing", "plain") == 0
    assert [x for x in capsys.readouterr().out.splitlines() if x.endswith("...")] == [
        "pw: prediction-plain-1 ..."
    ]
    assert compare("--mixing", "plain:0.5", "--one-step", "--no-plots") == 0
    made = [x for x in capsys.readouterr().out.splitlines() if x.endswith("...")]
    assert made == ["pw: atoms-plain-0.5-1 ..."]  # its density is as good a true one
    assert list(json.loads((work / "out" / "compare.json").read_text())[0]["scf"]) == ["atoms"]
    assert compare("--mixing", "plain", repeat="2") == 0
    assert [x for x in capsys.readouterr().out.splitlines() if x.endswith("...")] == [
        f"pw: {start}-plain-2 ..." for start in ("atoms", "prediction", "true")
    ]

    # of something else
    assert compare("--mixing", "plain", "--conv-thr", "1e-6") == 1
    message = capsys.readouterr().err
    assert "atoms-plain-1: of a run with other settings: give another folder (-o)" in message
    (work / "charge.pb").write_text("converged/si.save 1.001")
    assert compare("--mixing", "plain") == 1
    assert "prediction: of other models: give another folder (-o)" in capsys.readouterr().err


@needs_pw
def test_runs_that_fail(work, capsys):
    (work / "pw.in").write_text(input_text("si").replace("'scf'", "'nscf'"))
    (work / "charge.pb").write_text("nowhere.save 1.0")
    assert compare() == 1
    assert "pw.in: calculation = 'nscf': give an scf input" in capsys.readouterr().err
    (work / "pw.in").write_text(input_text("si").replace("Si.pz-vbc.UPF", "missing.UPF"))
    assert compare() == 1
    assert "pw.out: pw.x stopped: " in capsys.readouterr().err


def test_constants():
    from ase.units import create_units

    units = create_units("2018")
    assert pytest.approx(units["Hartree"], rel=1e-9) == HARTREE
