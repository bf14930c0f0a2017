# SPDX-License-Identifier: LGPL-3.0-or-later
"""Predictions to files: resumed, over several models and frames, coarsened."""

import errno
import gc
import io
import json
import os
import re
import resource
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import h5py
import numpy as np
import pytest
from ase.build import bulk, molecule
from ase.io import read, write
from hypothesis import given, settings
from hypothesis import strategies as st
from standin import StandInField, StandInModel, wait_for_blocks, wave

from deepmd_charge import ChargeError, Density, read_density, write_density
from deepmd_charge.cli.main import main
from deepmd_charge.grid.blocks import Blocks
from deepmd_charge.grid.fourier import fourier_interpolate
from deepmd_charge.grid.grid import Grid
from deepmd_charge.io import format_of
from deepmd_charge.io.names import deviation_file, labelled, memory_order
from deepmd_charge.io.paw import format_occupancies, parse_occupancies
from deepmd_charge.io.structures import read_structure
from deepmd_charge.predict import coarse
from deepmd_charge.predict.partial import Partial
from deepmd_charge.predict.run import Run

pytestmark = pytest.mark.filterwarnings("ignore:.*not a whole number")

STANDIN = Path(__file__).with_name("standin.py")
GRID = ("--grid", "36", "40", "32")
N_BLOCKS = len(Blocks(Grid(np.eye(3), (36, 40, 32)), StandInField.block))
PREDICT = ("predict", "-m", "charge.pb", "-s", "POSCAR", "-o", "CHGCAR_p")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder with models, a structure and a trajectory."""
    monkeypatch.chdir(tmp_path)
    for module in ("deepmd_charge.predict", "deepmd_charge.predict.evaluation"):
        monkeypatch.setattr(f"{module}.ChargeModel", StandInModel)
    monkeypatch.setattr(StandInField, "n_calls", 0)
    for name, content in {
        "charge.pb": "1",
        "b.pb": "1.5",
        "c.pb": "0.8 0.1",
        "rough.pb": "1 0.1",
        "other.pb": "9.5",
    }.items():
        Path(name).write_text(content)
    atoms = bulk("Si", "diamond", 5.43)
    write("POSCAR", atoms)
    frames = [atoms.copy() for _ in range(4)]
    for shift, frame in enumerate(frames):
        frame.positions += 0.1 * shift
    write("t.xyz", frames, format="extxyz")
    return tmp_path


@pytest.fixture
def finished(folder):
    """Bytes of the prediction that nothing has disturbed."""
    assert main([*PREDICT[:-1], "CHGCAR_whole", *GRID]) == 0
    StandInField.n_calls = 0
    return Path("CHGCAR_whole").read_bytes()


def complaint(capsys, *argv):
    """Run a command that must fail; its line of error."""
    capsys.readouterr()
    assert main(list(map(str, argv))) in (1, 130)
    return capsys.readouterr().err.splitlines()[-1]


def files(pattern="*CHGCAR_p*"):
    """Names in the folder, hidden ones too."""
    return sorted(path.name for path in Path().glob(pattern))


def interrupted_at(monkeypatch, call, error=KeyboardInterrupt):
    """Let the model fail when it is called so often."""
    whole = StandInField.difference

    def fail(self, points):
        if StandInField.n_calls == call:
            raise error
        return whole(self, points)

    monkeypatch.setattr(StandInField, "difference", fail)
    return lambda: monkeypatch.setattr(StandInField, "difference", whole)


@given(st.tuples(*[st.integers(1, 90)] * 3), st.integers(1, 5000))
@settings(max_examples=30, deadline=None)
def test_blocks_hold_each_point_once(shape, most):
    blocks = Blocks(Grid(np.eye(3), shape), most)
    seen = np.zeros(shape, dtype=int)
    sizes = []
    for number in range(min(len(blocks), 2000)):
        seen[blocks.slices(number)] += 1
        sizes.append(seen[blocks.slices(number)].size)
    assert max(sizes) <= most
    assert seen.max() == 1
    if len(sizes) == len(blocks):
        assert seen.min() == 1
        assert np.mean(sizes) >= 0.2 * min(most, blocks.size)


def test_points_of_blocks(density):
    blocks = Blocks(density.grid, 20)
    points = density.points().reshape(*density.shape, 3)
    for number in range(len(blocks)):
        mine = blocks.points(number)
        assert mine == pytest.approx(points[blocks.slices(number)].reshape(-1, 3), abs=1e-14)


@pytest.mark.parametrize(
    "name, labelled_name, order",
    [
        ("CHGCAR", "CHGCAR_std", "F"),
        ("a.b/CHGCAR_pred.gz", "a.b/CHGCAR_pred_std.gz", "F"),
        ("Si.CHGCAR.xz", "Si_std.CHGCAR.xz", "F"),
        ("h_0.2.cube", "h_0.2_std.cube", "C"),
        ("CHG", "CHG_std", "F"),
        ("a.b/si_CHG.gz", "a.b/std_si_CHG.gz", "F"),
    ],
)
def test_names_of_files_that_belong_together(name, labelled_name, order):
    assert labelled(name, "std") == labelled_name
    assert format_of(labelled_name) == format_of(name)
    assert memory_order(name) == order


@pytest.mark.slow
def test_a_killed_run_is_resumed(finished):
    environment = {**os.environ, "STANDIN_PAUSE": "0.1"}
    run = subprocess.Popen([sys.executable, STANDIN, *PREDICT, *GRID], env=environment)
    wait_for_blocks("CHGCAR_p.partial", 3)
    assert main([*PREDICT, *GRID, "--resume"]) == 1  # the other one is at work
    assert StandInField.n_calls == 0
    run.send_signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    assert files() == ["CHGCAR_p.partial"]
    assert main([*PREDICT, *GRID, "--resume"]) == 0
    assert 0 < StandInField.n_calls < N_BLOCKS - 2
    assert Path("CHGCAR_p").read_bytes() == finished
    assert files() == ["CHGCAR_p"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_leave_what_is_done(number, finished, monkeypatch, capsys):
    whole = StandInField.__call__

    def ask_to_stop(self, points):
        if StandInField.n_calls == 10:
            os.kill(os.getpid(), number)
        return whole(self, points)

    monkeypatch.setattr(StandInField, "__call__", ask_to_stop)
    # a shell starts what runs in its background with Ctrl-C ignored
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        line = complaint(capsys, *PREDICT, *GRID)
    finally:
        signal.signal(signal.SIGINT, before)
    assert line == (
        "deepmd-charge: interrupted: CHGCAR_p.partial keeps what is done: go on with --resume"
    )
    assert files() == ["CHGCAR_p.partial"]
    monkeypatch.setattr(StandInField, "__call__", whole)
    StandInField.n_calls = 0
    assert main([*PREDICT, *GRID, "--resume"]) == 0
    assert StandInField.n_calls == N_BLOCKS - 10
    assert Path("CHGCAR_p").read_bytes() == finished


def test_nothing_done_nothing_kept(monkeypatch, capsys):
    interrupted_at(monkeypatch, 0)
    assert complaint(capsys, *PREDICT, *GRID) == "deepmd-charge: interrupted"
    assert files() == []


def test_damaged_blocks_are_done_again(finished, monkeypatch, capsys):
    again = interrupted_at(monkeypatch, 15)
    complaint(capsys, *PREDICT, *GRID)
    again()
    with open("CHGCAR_p.partial", "r+b") as file:
        file.seek(-8 * 36 * 40 * 32, os.SEEK_END)  # the first value
        file.write(b"\1")
    StandInField.n_calls = 0
    assert main([*PREDICT, *GRID, "--resume"]) == 0
    assert StandInField.n_calls == N_BLOCKS - 15 + 1
    assert Path("CHGCAR_p").read_bytes() == finished


def test_other_runs_are_not_resumed(monkeypatch, capsys):
    again = interrupted_at(monkeypatch, 5)
    complaint(capsys, *PREDICT, *GRID)
    again()
    before = Path("CHGCAR_p.partial").read_bytes()
    assert "CHGCAR_p.partial: holds an unfinished prediction; go on with --resume" in complaint(
        capsys, *PREDICT, *GRID
    )
    write("moved.xyz", bulk("Si", "diamond", 5.44))
    for key, change in {
        "models": ["-m", "b.pb"],
        "structure": ["-s", "moved.xyz"],
        "grid": ["--grid", "36", "40", "33"],
        "coarsen": ["--coarsen", "2"],
    }.items():
        line = complaint(capsys, *PREDICT, *GRID, *change, "--resume")
        assert f"CHGCAR_p.partial: holds an unfinished prediction with other {key};" in line
    assert Path("CHGCAR_p.partial").read_bytes() == before
    for other in ("something else", "[]"):
        Path("CHGCAR_p.partial").write_text(other)
        line = complaint(capsys, *PREDICT, *GRID, "--resume")
        assert "CHGCAR_p.partial: not an unfinished" in line


def test_a_cube_has_the_same_values(finished):
    assert main([*PREDICT[:-1], "p.cube", *GRID]) == 0
    assert read_density("p.cube").values == pytest.approx(
        read_density("CHGCAR_whole").values, abs=1e-9
    )


def test_resume_without_a_partial_file(finished):
    assert main([*PREDICT, *GRID, "--resume"]) == 0
    assert Path("CHGCAR_p").read_bytes() == finished


def test_several_models(capsys):
    assert main(["predict", "-m", "charge.pb", "b.pb", "c.pb", *PREDICT[3:], *GRID]) == 0
    each = []
    for model in ("charge.pb", "b.pb", "c.pb"):
        assert main(["predict", "-m", model, "-s", "POSCAR", "-o", "CHGCAR_1", *GRID]) == 0
        each.append(read_density("CHGCAR_1").values)
    assert read_density("CHGCAR_p").values == pytest.approx(np.mean(each, axis=0), abs=1e-9)
    found = read_density("CHGCAR_p_std", check=False)
    assert (found.quantity.name, found.unit) == ("deviation", "e/A^3")
    deviation = found.values
    assert deviation == pytest.approx(np.std(each, axis=0), abs=1e-9)
    words = next(line for line in capsys.readouterr().out.splitlines() if "CHGCAR_p_std: " in line)
    assert f"{deviation.mean():.1e} e/A^3 on average and {deviation.max():.1e} at most" in words


def test_models_that_do_not_go_together(capsys):
    line = complaint(capsys, "predict", "-m", "charge.pb", "other.pb", *PREDICT[3:], *GRID)
    assert "charge.pb and other.pb: models of different kind (vasp/chgcar and cube)" in line
    assert files() == []


def test_valences_of_several_models(monkeypatch, capsys):
    """Those of other structures scatter, those of other potentials differ."""
    valences = {"charge.pb": 3.9999, "b.pb": 4.0042, "c.pb": 4.96}
    facts = {path: {"valence": {"Si": z}} for path, z in valences.items()}
    monkeypatch.setattr(StandInModel, "facts", facts)
    assert main(["predict", "-m", "charge.pb", "b.pb", *PREDICT[3:], *GRID]) == 0
    capsys.readouterr()
    line = complaint(
        capsys, "predict", "-m", "charge.pb", "c.pb", "-s", "POSCAR", "-o", "CHGCAR_q", *GRID
    )
    assert "models of different valence ({'Si': 4.0} and {'Si': 4.96})" in line


@pytest.mark.parametrize("quantity, unit", [("up", "electrons"), ("magnetization", "mu_B")])
def test_valences_say_nothing_of_a_part(quantity, unit, monkeypatch, capsys):
    """A model of one spin is not measured by, or scaled to, the electrons of both."""
    facts = {"kind": f"vasp/chgcar:{quantity}", "valence": {"Si": 4.0}}
    monkeypatch.setattr(StandInModel, "facts", {"charge.pb": facts})
    assert main([*PREDICT, *GRID]) == 0
    assert capsys.readouterr().out.splitlines()[0].endswith(f"points, 8.0000 {unit}")
    line = complaint(capsys, *PREDICT[:-1], "CHGCAR_q", *GRID, "--electrons", "auto")
    assert f"charge.pb: predicts {quantity}, whose integral does not follow" in line
    assert main([*PREDICT[:-1], "CHGCAR_s", *GRID, "--electrons", "4"]) == 0
    assert "scaled to 4, by 0.500000" in capsys.readouterr().out


@pytest.mark.parametrize("output", ["CHGCAR_p", "p.cube", "p.xsf"])
@pytest.mark.parametrize("kind", ["vasp/chgcar", "cube:magnetization", "cube:elf"])
def test_a_deviation_is_no_density(output, kind, monkeypatch, capsys):
    """Its file says so: no total density, nor a magnetisation, to learn."""
    if (output, kind) == ("CHGCAR_p", "cube:elf"):
        pytest.skip("no CHGCAR holds it")
    facts = {"charge.pb": {"kind": kind}, "b.pb": {"kind": kind}}
    monkeypatch.setattr(StandInModel, "facts", facts)
    flags = ["-m", "charge.pb", "b.pb", "-s", "POSCAR", "-o", output, "--grid", "8", "8", "8"]
    assert main(["predict", *flags]) == 0
    path = deviation_file(output)
    found = read_density(path, check=False)
    assert found.quantity.name == ("other" if kind == "cube:elf" else "deviation")
    field = 0.25 * wave(found.atoms, found.points())
    assert found.values.ravel() == pytest.approx(np.abs(field), rel=1e-6)
    capsys.readouterr()
    line = complaint(capsys, "convert", path, "-o", "dp")
    assert f"{path}: holds {found.quantity.description}" in line and "--is" in line
    assert main(["info", path]) == 0
    text = capsys.readouterr().out
    assert found.quantity.description in text and "electrons" not in text


def test_test_takes_what_the_model_predicts(monkeypatch, capsys):
    """The quantity is the model's; another one is refused."""
    monkeypatch.setattr(StandInModel, "facts", {"charge.pb": {"kind": "vasp/chgcar:up"}})
    atoms = bulk("Si", "diamond", 5.43)
    empty = Density(atoms, np.zeros((8, 8, 8)))
    up = wave(atoms, empty.points()).reshape(empty.shape)
    write_density("CHGCAR_true", Density(atoms, up * 1.5, extra={"spin": [up * 0.5]}))
    argv = ("test", "-m", "charge.pb", "-s", "CHGCAR_true", "--json", "errors.json")
    assert main(argv) == 0
    assert json.loads(Path("errors.json").read_text())["all"]["mae"] < 1e-9
    assert "charge.pb: predicts up, not total" in complaint(capsys, *argv, "--quantity", "total")


@pytest.mark.parametrize(
    "flags, numbers",
    [
        ([], [0, 1, 2, 3]),
        (["--frames", "::2"], [0, 2]),
        (["--frames=-2:"], [2, 3]),
        (["-s", "t.xyz@1:3"], [1, 2]),
        (["--frames", "2"], [2]),
        (["-s", "t.xyz@-1"], [3]),
    ],
)
def test_frames(flags, numbers, monkeypatch):
    loaded = []
    monkeypatch.setattr(StandInModel, "__init__", _noted(StandInModel.__init__, loaded))
    argv = [
        "predict",
        "-m",
        "rough.pb",
        "-s",
        "t.xyz",
        "-o",
        "CHGCAR_p.gz",
        "--grid",
        "5",
        "6",
        "4",
    ]
    assert main([*argv, *flags]) == 0
    names = [f"CHGCAR_p_{number:04d}.gz" for number in numbers]
    single = ":" not in "".join(flags) and flags
    assert files() == (["CHGCAR_p.gz"] if single else names)
    assert len(loaded) == 1
    for name, number in zip(files(), numbers, strict=True):
        density = read_density(name)
        assert density.atoms.positions[0] == pytest.approx([0.1 * number] * 3)
        expected = StandInField(density.atoms, 1.0, 0.1)(density.points())
        assert density.values.ravel() == pytest.approx(expected, abs=1e-9)


@pytest.mark.parametrize(
    "flags, numbers",
    [
        ([], [0, 1, 2, 3]),
        (["--frames", "::2"], [0, 2]),
        (["-s", "CHG@2"], [2]),
        (["-s", "CHG@-1"], [3]),
    ],
)
def test_frames_of_a_chg(flags, numbers):
    """The structures of its densities, as of a trajectory."""
    text = ""
    for atoms in read("t.xyz", ":"):
        write_density("CHG", Density(atoms, np.full((3, 3, 3), 8 / atoms.get_volume())))
        text += Path("CHG").read_text()
    Path("CHG").write_text(text)
    argv = ["predict", "-m", "rough.pb", "-s", "CHG", "-o", "CHGCAR_p", "--grid", "5", "6", "4"]
    assert main([*argv, *flags]) == 0
    several = len(numbers) > 1
    assert files() == (
        [f"CHGCAR_p_{number:04d}" for number in numbers] if several else ["CHGCAR_p"]
    )
    for name, number in zip(files(), numbers, strict=True):
        assert read_density(name).atoms.positions[0] == pytest.approx([0.1 * number] * 3)


def test_occupancies_of_a_vaspwave():
    atoms = read("POSCAR")
    rows = np.arange(1.0, 31.0).reshape(2, 15) * [[1] * 15, [1] * 8 + [0] * 7]
    with h5py.File("vaspwave.h5", "w") as file:
        file["charge/charge"] = np.full((1, 3, 3, 3), 8.0)
        file["charge/aug_occupancies_s01"] = rows
        file["charge/aug_occupancies_ions_s01"] = [15, 8]
        file["structure/positions/lattice_vectors"] = atoms.cell.array
        file["structure/positions/ion_types"] = [b"Si_GW/0a1b"]
        file["structure/positions/number_ion_types"] = [2]
        file["structure/positions/position_ions"] = atoms.get_scaled_positions()
    assert main([*PREDICT, *GRID, "--augmentation", "vaspwave.h5"]) == 0
    (text,) = read_density("CHGCAR_p").extra["augmentation"]
    assert [values.tolist() for values in parse_occupancies(text)] == [[*rows[0]], [*rows[1][:8]]]


def _noted(function, calls):
    def noting(*args, **kwargs):
        calls.append(args)
        return function(*args, **kwargs)

    return noting


def test_a_trajectory_is_resumed_at_its_frame(monkeypatch, capsys):
    argv = ["predict", "-m", "rough.pb", "-s", "t.xyz", "-o", "CHGCAR_p", *GRID]
    assert main([*argv[:-5], "CHGCAR_q", *argv[-4:]]) == 0
    StandInField.n_calls = 0
    again = interrupted_at(monkeypatch, 2 * N_BLOCKS + 5)
    complaint(capsys, *argv)
    again()
    assert files() == ["CHGCAR_p.partial", "CHGCAR_p_0000", "CHGCAR_p_0001"]
    os.utime("CHGCAR_p_0000", (0, 0))
    StandInField.n_calls = 0
    assert "with other frames" in complaint(capsys, *argv, "--frames", "1:", "--resume")
    assert main([*argv, "--resume"]) == 0
    assert StandInField.n_calls == 2 * N_BLOCKS - 5
    assert os.stat("CHGCAR_p_0000").st_mtime == 0
    for name in files():
        assert Path(name).read_bytes() == Path(name.replace("_p", "_q")).read_bytes()
    assert len(files()) == 4


def cut_off_in_frame(number, monkeypatch, capsys, *flags):
    """The arguments of a run over the trajectory that ended early."""
    argv = [*PREDICT, *GRID, "-s", "t.xyz", *flags]
    again = interrupted_at(monkeypatch, number * N_BLOCKS + 5)
    complaint(capsys, *argv)
    again()
    return [*argv, "--resume"]


@pytest.mark.parametrize("place", ["position", "cell", "order"])
def test_frames_that_changed_are_not_kept(place, monkeypatch, capsys):
    """Although the one that was interrupted is as it was."""
    argv = cut_off_in_frame(2, monkeypatch, capsys)
    frames = read("t.xyz", ":")
    if place == "position":
        frames[1].positions[0] += 0.001
    elif place == "cell":
        frames[1].cell[2, 2] += 0.001
    else:
        frames[0], frames[1] = frames[1], frames[0]
    write("t.xyz", frames, format="extxyz")
    before = Path("CHGCAR_p.partial").read_bytes()
    line = complaint(capsys, *argv)
    assert "unfinished prediction with other earlier frames; give the arguments of then" in line
    assert Path("CHGCAR_p.partial").read_bytes() == before


@pytest.mark.parametrize("kept", [1, 2])
def test_a_trajectory_that_lost_frames_is_not_kept(kept, monkeypatch, capsys):
    argv = cut_off_in_frame(2, monkeypatch, capsys)
    frames = read("t.xyz", ":")
    write("t.xyz", frames[2 : 2 + kept], format="extxyz")
    line = complaint(capsys, *argv)
    assert "CHGCAR_p.partial: holds an unfinished prediction of more frames than there are" in line
    assert "CHGCAR_p.partial" in files()


def test_a_trajectory_may_have_grown(monkeypatch, capsys):
    argv = cut_off_in_frame(2, monkeypatch, capsys)
    frames = read("t.xyz", ":")
    write("t.xyz", [*frames, frames[0]], format="extxyz")
    os.remove("CHGCAR_p_0000")  # is made again
    assert main(argv) == 0
    assert files() == [f"CHGCAR_p_{k:04d}" for k in range(5)]
    assert Path("CHGCAR_p_0000").read_bytes() == Path("CHGCAR_p_0004").read_bytes()


def test_earlier_frames_on_other_grids_are_not_kept(monkeypatch, capsys):
    """The number of points follows from the cell of each frame, and from the flag."""
    frames = read("t.xyz", ":")
    frames[0].set_cell(frames[0].cell.array * 0.98, scale_atoms=True)
    write("t.xyz", frames, format="extxyz")
    argv = ["predict", "-m", "charge.pb", "-s", "t.xyz", "-o", "CHGCAR_p", "--spacing"]
    again = interrupted_at(monkeypatch, 2)
    complaint(capsys, *argv, "0.31")
    again()
    assert "CHGCAR_p_0001" in files()
    assert "with other earlier frames;" in complaint(capsys, *argv, "0.315", "--resume")


@pytest.mark.parametrize("flag", ["saed", "augmentation"])
def test_sources_that_changed_are_not_gone_on_with(flag, monkeypatch, capsys):
    """Under their names of before."""
    atoms = read("POSCAR")
    source = Density(atoms, np.full((36, 40, 32), 0.1), extra={})
    source.extra["augmentation"] = [format_occupancies([np.ones(33), np.ones(33)])]
    write_density("CHGCAR_s", source)
    kind = {"kind": "cube", "saed": {"source": "file"}} if flag == "saed" else {}
    monkeypatch.setattr(StandInModel, "facts", {"charge.pb": kind})
    again = interrupted_at(monkeypatch, 5)
    argv = [*PREDICT, *GRID, f"--{flag}", "CHGCAR_s"]
    complaint(capsys, *argv)
    again()
    before = Path("CHGCAR_s").read_bytes()
    if flag == "saed":
        source.values[3, 4, 5] = 0.2
    else:
        source.extra["augmentation"] = [format_occupancies([np.ones(33), 2 * np.ones(33)])]
    write_density("CHGCAR_s", source)
    assert f"unfinished prediction with other {flag};" in complaint(capsys, *argv, "--resume")
    Path("CHGCAR_s").write_bytes(before)
    assert main([*argv, "--resume"]) == 0


def test_a_frame_that_cannot_be_read(capsys):
    lines = Path("t.xyz").read_text().splitlines()
    Path("t.xyz").write_text("\n".join([*lines[:10], "Si 0.0 zero 0.0", *lines[11:]]) + "\n")
    argv = ["predict", "-m", "charge.pb", "-s", "t.xyz", "-o", "CHGCAR_p", "--grid", 3, 3, 3]
    line = complaint(capsys, *argv)
    assert "t.xyz: ase cannot read a structure from this file (frame 2: " in line
    assert "CHGCAR_p.partial keeps what is done: go on with --resume" in line
    assert files() == ["CHGCAR_p.partial", "CHGCAR_p_0000", "CHGCAR_p_0001"]
    Path("t.xyz").write_text("\n".join(lines) + "\n")
    assert main([*map(str, argv), "--resume"]) == 0
    assert len(files()) == 4


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--frames", "x"], "t.xyz: 'x' are no frames"),
        (["-s", "t.xyz@2", "--frames", "1"], "t.xyz@2: frames are given here and by --frames"),
        (["--frames", "7"], "t.xyz: there is no frame 7 in this file"),
        (["--frames", "7:"], "t.xyz: there are no frames 7: in this file"),
        (["--frames", "-13"], "t.xyz: there is no frame -13 in this file"),
        (["--frames", "::-1"], "t.xyz: frames ::-1: give a step of at least 1"),
        (["--species", "Ge"], "t.xyz: 'Ge' is no name for atoms of Si"),
        (["-j", "0"], "-j 0: give a number of at least 1"),
        (["--coarsen", "0"], "--coarsen 0: give a number of at least 1"),
        (["--model-error", "nan"], "--model-error nan: give a positive number"),
    ],
)
def test_complaints(flags, message, capsys):
    assert message in complaint(capsys, *PREDICT[:3], "-s", "t.xyz", *PREDICT[5:], *GRID, *flags)
    assert files() == []


DUMP = """\
ITEM: TIMESTEP
{step}
ITEM: NUMBER OF ATOMS
2
ITEM: BOX BOUNDS pp pp pp
0 4
0 4
0 4
ITEM: ATOMS id type{column} x y z
2 2{word} 1 2 {step}
1 1{word} 0 0 0
"""


@pytest.mark.parametrize("named", [False, True])
def test_lammps_dumps(named, capsys):
    extra = {"column": " element", "word": " Si"} if named else {"column": "", "word": ""}
    Path("dump.lammpstrj").write_text("".join(DUMP.format(step=step, **extra) for step in (0, 1)))
    argv = [
        "predict",
        "-m",
        "charge.pb",
        "-s",
        "dump.lammpstrj",
        "-o",
        "CHGCAR_p",
        "--grid",
        2,
        2,
        2,
    ]
    if not named:
        assert "dump.lammpstrj: this LAMMPS dump has numbers for elements" in complaint(
            capsys, *argv
        )
        assert "more atom types than --species" in complaint(capsys, *argv, "--species", "Si")
        assert "--species: Xx is no element" in complaint(capsys, *argv, "--species", "Xx")
        assert "the model has not seen C" in complaint(capsys, *argv, "--species", "C", "Si")
        assert files() == []
        argv += ["--species", "Si", "Si"]
    assert main(list(map(str, argv))) == 0
    atoms = read_density("CHGCAR_p_0001").atoms
    assert str(atoms.symbols) == "Si2"
    assert atoms.positions == pytest.approx(np.array([[0, 0, 0], [1, 2, 1]]))


OPEN_DUMP = """\
ITEM: TIMESTEP
0
ITEM: NUMBER OF ATOMS
2
ITEM: BOX BOUNDS ff pp ff
-3 3
-3 3
-3 3
ITEM: ATOMS id type element x y z
1 1 Si -0.9 0 0
2 1 Si 0.9 0 0
"""
OPEN_XYZ = """\
2
Lattice="6 0 0 0 6 0 0 0 6" Properties=species:S:1:pos:R:3 pbc="F T F"
Si -0.9 0 0
Si 0.9 0 0.5
"""


def test_the_box_of_a_dump_is_kept_along_open_axes():
    """Where it begins at -3 the grid does; along the periodic axis it may begin anywhere."""
    Path("open.dump").write_text(OPEN_DUMP)
    argv = ["predict", "-m", "charge.pb", "-s", "open.dump", "-o", "p.cube", *GRID]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_structure("open.dump")[1] == pytest.approx([-3, 0, -3])
        assert main(list(map(str, argv))) == 0
    assert read_density("p.cube", check=False).origin == pytest.approx([-3, 0, -3])


def test_atoms_outside_the_box(capsys):
    """Their density is missing: it is said, and nothing is scaled to the electrons of all."""
    Path("open.xyz").write_text(OPEN_XYZ)
    argv = ["predict", "-m", "charge.pb", "-s", "open.xyz", "-o", "p.cube", *GRID]
    told = "open.xyz: 1 of 2 atoms lie outside the box of the grid"
    line = complaint(capsys, *argv, "--electrons", "8")
    assert told in line and "--electrons" in line
    assert not Path("p.cube").exists()
    assert main(list(map(str, argv))) == 0
    line = next(line for line in capsys.readouterr().err.splitlines() if told in line)
    assert "a part of the density is missing" in line
    fractions = OPEN_DUMP.replace("x y z", "xs ys zs").replace("-0.9 0 0", "0.3 0.5 0.5")
    Path("open.dump").write_text(fractions.replace("0.9 0 0", "0.7 0.5 0.5"))
    atoms, origin = read_structure("open.dump")  # ase counts fractions from zero
    assert atoms.positions[:, 0] == pytest.approx([1.8, 4.2])
    assert origin == pytest.approx([0, 0, 0])


def test_species_of_a_dump_with_elements():
    """They must be those of the column, which ase takes."""
    text = DUMP.format(step=0, column=" element", word=" Si").replace("1 1 Si", "1 1 C")
    for content in (text, text.replace(" type ", " kind ")):
        Path("d.dump").write_text(content)
        assert str(read_structure("d.dump", ["C", "Si"])[0].symbols) == "CSi"
        with pytest.raises(ChargeError, match=r"d.dump: --species Ge Sn is not what this LAMMPS"):
            read_structure("d.dump", ["Ge", "Sn"])
    Path("d.dump").write_text(text)
    with pytest.raises(ChargeError, match=r"an atom of type . is"):
        read_structure("d.dump", ["Si", "C"])


def test_structures_under_unknown_names():
    os.rename("POSCAR", "P2")
    with pytest.raises(ChargeError, match=r"P2: ase cannot .*: call a POSCAR POSCAR_... or"):
        read_structure("P2")
    os.mkdir("run")
    with pytest.raises(ChargeError, match="run: is a folder: give the file"):
        read_structure("run")
    for name in ("POSCAR_a", "a.vasp"):
        Path(name).write_bytes(Path("P2").read_bytes())
        assert str(read_structure(name)[0].symbols) == "Si2"


def test_out_of_space(finished, monkeypatch, capsys):
    _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    values = 8 * 36 * 40 * 32
    text = len(finished)
    for limit, message, left in (
        (values // 2, "CHGCAR_p.partial: cannot keep 0.0004", []),
        (
            (values + text) // 2,
            "CHGCAR_p: cannot be written: File too large; CHGCAR_p.partial keeps",
            ["CHGCAR_p.partial"],
        ),
    ):
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            line = complaint(capsys, *PREDICT, *GRID)
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
        assert message in line
        assert files() == left
    StandInField.n_calls = 0
    assert main([*PREDICT, *GRID, "--resume"]) == 0
    assert StandInField.n_calls == 0
    assert Path("CHGCAR_p").read_bytes() == finished


def test_values_that_are_not_finite(monkeypatch, capsys):
    monkeypatch.setattr(StandInField, "__call__", lambda self, points: points[:, 0] / 0.0)
    with np.errstate(all="ignore"):
        assert "error: the model gives values that are not" in complaint(capsys, *PREDICT, *GRID)
    assert files() == []


def test_coarse_predictions_of_smooth_densities_are_exact(finished, monkeypatch, capsys):
    monkeypatch.setattr(coarse, "_PLANE_BYTES", 8 * 40 * 32 * 3)  # some planes at a time
    assert main([*PREDICT, *GRID, "--coarsen", "2"]) == 0
    out, err = capsys.readouterr()
    assert "warning" not in err
    assert "CHGCAR_p: interpolated from 18 x 20 x 16 points" in out
    assert read_density("CHGCAR_p").values == pytest.approx(
        read_density("CHGCAR_whole").values, abs=1e-9
    )
    assert files() == ["CHGCAR_p"]


def test_what_interpolation_adds_is_told(capsys):
    """The ripple's five waves do not fit nine points; its error is known."""
    argv = ["predict", "-m", "rough.pb", *PREDICT[3:], *GRID, "--coarsen", "4"]
    assert main(argv) == 0
    out, err = capsys.readouterr()
    coarse_one = read_density("CHGCAR_p").values
    assert main([*argv[:-2], "-o", "CHGCAR_fine"]) == 0
    error = np.abs(coarse_one - read_density("CHGCAR_fine").values)
    assert error.mean() > 0.05
    assert "interpolated from 9 x 10 x 8 points" in out
    words = out.split("adds an error of ")[1].split()
    assert float(words[0]) == pytest.approx(error.mean(), rel=0.1)
    assert float(words[5]) == pytest.approx(error.max(), rel=0.1)
    assert "warning: CHGCAR_p: --coarsen 4 adds an error of" in err
    assert main([*argv, "--model-error", "0.5"]) == 0
    assert "warning" not in capsys.readouterr().err
    os.remove("CHGCAR_p")
    assert "above --model-error 0.01: take" in complaint(capsys, *argv, "--model-error", "0.01")
    assert files() == []


def test_deviation_of_coarse_predictions(capsys):
    """It is that of the interpolated densities, not itself interpolated."""
    argv = ["predict", "-m", "charge.pb", "b.pb", "c.pb", *PREDICT[3:], *GRID]
    assert main(argv) == 0
    assert main([*argv, "-o", "CHGCAR_c", "--coarsen", "3"]) == 0
    for name in ("", "_std"):
        one, other = (read_density(f"CHGCAR_{letter}{name}", check=False).values for letter in "pc")
        assert one == pytest.approx(other, abs=1e-9)


def test_coarse_predictions_are_resumed(monkeypatch, capsys):
    argv = [*PREDICT, "--grid", "60", "60", "60", "--coarsen", "2"]
    assert main([*argv, "-o", "CHGCAR_whole"]) == 0
    again = interrupted_at(monkeypatch, 5)
    StandInField.n_calls = 0
    complaint(capsys, *argv)
    again()
    assert main([*argv, "--resume"]) == 0
    assert Path("CHGCAR_p").read_bytes() == Path("CHGCAR_whole").read_bytes()


def test_only_what_was_learnt_is_interpolated(capsys):
    """Atoms far too sharp for the coarse grid cost nothing; as part of the total they would."""
    Path("sharp.pb").write_text("1 0 2")
    argv = ["predict", "-m", "sharp.pb", *PREDICT[3:], *GRID]
    assert main([*argv, "-o", "CHGCAR_fine"]) == 0
    capsys.readouterr()
    assert main([*argv, "--coarsen", "4"]) == 0
    out, err = capsys.readouterr()
    fine = read_density("CHGCAR_fine").values
    assert np.abs(fourier_interpolate(fine[::4, ::4, ::4], fine.shape) - fine).mean() > 0.01
    assert read_density("CHGCAR_p").values == pytest.approx(fine, abs=1e-9)
    assert float(out.split("adds an error of ")[1].split()[5]) < 1e-12
    assert "warning" not in err


def test_deviation_of_coarse_predictions_with_atoms_of_each_model():
    for name, numbers in {"charge": "1 0 2", "b": "1.5 0.1 0.7", "c": "0.8"}.items():
        Path(f"{name}.pb").write_text(numbers)
    test_deviation_of_coarse_predictions(None)


def test_a_run_that_ends_among_the_atoms_is_resumed(monkeypatch, capsys):
    Path("charge.pb").write_text("1 0.1 2")
    argv = [*PREDICT, *GRID, "--coarsen", "2"]
    assert main([*argv, "-o", "CHGCAR_whole"]) == 0
    whole = StandInField.superposition
    seen = []

    def fail(self, points):
        seen.append(len(points))
        if len(seen) == 5:
            raise KeyboardInterrupt
        return whole(self, points)

    monkeypatch.setattr(StandInField, "superposition", fail)
    assert "CHGCAR_p.partial keeps what is done" in complaint(capsys, *argv)
    assert files() == ["CHGCAR_p.partial"]
    monkeypatch.setattr(StandInField, "superposition", whole)
    StandInField.n_calls = 0
    assert main([*argv, "--resume"]) == 0
    assert StandInField.n_calls == 1  # the sample of points
    assert Path("CHGCAR_p").read_bytes() == Path("CHGCAR_whole").read_bytes()
    assert files() == ["CHGCAR_p"]


def test_molecules_are_not_interpolated(capsys):
    atoms = bulk("Si")
    atoms.pbc = (True, True, False)
    write("slab.xyz", atoms, format="extxyz")
    argv = [*PREDICT[:3], "-s", "slab.xyz", *PREDICT[5:], *GRID, "--coarsen", "2"]
    assert "the structure is not periodic in all directions" in complaint(capsys, *argv)
    assert files() == []


ORIGIN = (0.3, -1.1, 0.2)


@pytest.fixture
def displaced(folder):
    """Density files whose grids begin elsewhere, and a model whose density goes with the atoms."""
    Path("sharp.pb").write_text("0 0.5 3")
    atoms = bulk("Si", "diamond", 5.43)
    for name, origin in {"like.cube": ORIGIN, "other.cube": (0.3, -1.1, 0.3)}.items():
        write_density(name, Density(atoms, np.full((24, 12, 20), 0.2), origin))
    atoms.pbc = False
    write_density("molecule.xsf", Density(atoms, np.full((4, 4, 4), 0.2), ORIGIN))
    return ("predict", "-m", "sharp.pb", "-s", "POSCAR", "--like", "like.cube", "-o")


@pytest.mark.parametrize("flags", [(), ("--coarsen", "2"), ("-m", "sharp.pb", "sharp.pb")])
@pytest.mark.parametrize("name", ["p.cube", "p.xsf"])
@pytest.mark.filterwarnings("ignore:.*--coarsen")
def test_a_prediction_begins_where_like_does(displaced, flags, name):
    assert main([*displaced, name, *flags]) == 0
    for path in (name, labelled(name, "std"))[: 2 if "-m" in flags else 1]:
        density = read_density(path, check=False)
        assert density.origin == pytest.approx(ORIGIN, abs=1e-9)
        assert density.atoms.positions == pytest.approx(bulk("Si", "diamond", 5.43).positions)
    field = StandInField(density.atoms, 0.0, 0.5, 3.0)
    true = 0.0 if "-m" in flags else field(density.points()).reshape(density.shape)
    assert density.values == pytest.approx(true, abs=1e-8)


def test_a_molecule_is_predicted_in_its_box(displaced):
    argv = [*displaced[:3], "-s", "molecule.xsf", "-o", "p.xsf"]
    for flags in (), ("--grid", "5", "6", "7"), ("--spacing", "0.5"):
        assert main([*argv, *flags]) == 0
        assert read_density("p.xsf", check=False).origin == pytest.approx(ORIGIN)


def test_a_molecule_without_a_box_is_told_of_one(capsys):
    atoms = molecule("Si2H6")[[0, 1]]
    write("m.xyz", atoms, format="extxyz")
    argv = ["predict", "-m", "charge.pb", "-s", "m.xyz", "-o", "p.cube"]
    line = complaint(capsys, *argv)
    assert "m.xyz: the structure has no cell of three vectors; add one, to a molecule by" in line
    atoms.center(vacuum=float(re.search(r"atoms.center\(vacuum=(.*?)\)", line)[1]))
    write("m.xyz", atoms, format="extxyz")
    assert main([*argv, "--spacing", "0.9"]) == 0
    positions = read_density("p.cube", check=False).atoms.positions
    assert positions.min() == pytest.approx(StandInModel.rcut)


def test_what_a_file_cannot_hold_is_said_before(displaced, capsys):
    line = complaint(capsys, *displaced, "CHGCAR_p")
    assert "CHGCAR_p: a CHGCAR has its origin at zero, this density at (0.3, -1.1, 0.2) A" in line
    write("bc.xyz", bulk("Si"), format="extxyz")
    Path("bc.xyz").write_text(Path("bc.xyz").read_text().replace("T T T", "F T T"))
    argv = [*displaced[:3], "-s", "bc.xyz", "--grid", "4", "4", "4", "-o", "p.xsf"]
    assert "p.xsf: an xsf is periodic along a, or" in complaint(capsys, *argv)
    assert StandInField.n_calls == 0
    assert files("*p*.partial") == []


def test_a_grid_that_begins_elsewhere_is_not_resumed(displaced, monkeypatch, capsys):
    again = interrupted_at(monkeypatch, 2)
    complaint(capsys, *displaced, "p.cube")
    again()
    argv = [*displaced, "p.cube", "--resume"]
    line = complaint(capsys, *argv, "--like", "other.cube")
    assert "unfinished prediction with other grid;" in line
    assert main(argv) == 0
    assert main([*displaced, "whole.cube"]) == 0
    assert Path("p.cube").read_bytes() == Path("whole.cube").read_bytes()


@pytest.mark.parametrize("pbc", [True, False, (True, False, True)])
def test_the_real_model_begins_anywhere(charge_model, pbc):
    from training import structure

    atoms = structure(8)
    atoms.pbc = pbc
    empty = Density(atoms, np.zeros((9, 7, 8)), (-1.3, 0.4, 7.7))
    density = charge_model.predict(atoms, empty.shape, origin=empty.origin)
    expected = charge_model.predict_points(atoms, empty.points()).reshape(empty.shape)
    assert (density - empty).values == pytest.approx(expected, abs=1e-5)
    with pytest.raises(ValueError, match="three finite numbers"):
        charge_model.predict(atoms, (2, 2, 2), origin=(0.0, np.nan, 0.0))


def test_predict_fills_an_array(charge_model, tmp_path):
    """The real model, on a grid of several blocks: as on points, wherever the values go."""
    from training import structure

    atoms = structure(8)
    shape = (19, 17, 20)
    out = np.memmap(tmp_path / "values", np.float64, "w+", shape=shape, order="F")
    density = charge_model.predict(atoms, shape, out=out)
    assert np.shares_memory(density.values, out)
    points = charge_model.predict_points(atoms, Density(atoms, np.zeros(shape)).points())
    assert out.ravel() == pytest.approx(points, abs=1e-5)
    for bad in (np.empty((1, 2, 3)), np.empty(shape, np.float32)):
        with pytest.raises(ValueError, match="give a float64 array"):
            charge_model.predict(atoms, shape, out=bad)


def test_options_of_an_unfinished_run(finished, monkeypatch, capsys):
    """What would make other files is not gone on with."""
    interrupted_at(monkeypatch, 5)
    complaint(capsys, *PREDICT, *GRID)
    for flags, name in [
        (["--electrons", "4"], "electrons"),
        (["--augmentation", "CHGCAR_whole"], "augmentation"),
    ]:
        line = complaint(capsys, *PREDICT, *GRID, "--resume", *flags)
        assert line.endswith(
            f"an unfinished prediction with other {name}; give the arguments of then,"
            " or remove this file"
        )


def test_out_of_memory(monkeypatch, capsys):
    """Numpy's own error takes a shape and a type, not a message."""

    def full(self, points):
        raise np._core._exceptions._ArrayMemoryError((8, 8), np.dtype(float))

    monkeypatch.setattr(StandInField, "difference", full)
    line = complaint(capsys, *PREDICT, *GRID)
    assert "out of memory: Unable to allocate" in line
    assert files() == []


def test_a_truncated_frame_names_its_file(capsys):
    lines = Path("t.xyz").read_text().splitlines()
    Path("t.xyz").write_text("\n".join(lines[:-1]) + "\n")
    argv = ["predict", "-m", "charge.pb", "-s", "t.xyz", "-o", "CHGCAR_p", "--grid", 3, 3, 3]
    assert "t.xyz: ase cannot read a structure from this file (frame 3: " in complaint(
        capsys, *argv
    )


def test_each_frame_is_warned_of(monkeypatch):
    """In the words that `Field` chooses, with the name of the file."""
    named = []
    monkeypatch.setattr(
        StandInField, "warn_if_far", lambda self, where, stacklevel=2, name="": named.append(name)
    )
    assert (
        main(
            ["predict", "-m", "charge.pb", "-s", "t.xyz", "-o", "CHGCAR_p", "--grid", "3", "3", "3"]
        )
        == 0
    )
    assert named == [f"CHGCAR_p_{k:04d}" for k in range(4)]


def test_two_runs_of_one_file(monkeypatch):
    """One that finds the other at work takes nothing away from it."""
    options = {"frames": None, "saed": None, "electrons": None, "augmentation": []}
    second = Run([StandInModel("charge.pb")], "CHGCAR_p", None, options=options)
    seen = []

    def with_the_second(self, points):
        if not seen:
            seen.append("partial")
            atoms = read("POSCAR")
            grid = Grid.of(atoms, (36, 40, 32))
            with pytest.raises(ChargeError, match=r"at work on this prediction$"), second as run:
                run.predict(atoms, grid, "CHGCAR_p")
            seen.extend(files())
        return difference(self, points)

    difference = StandInField.difference
    monkeypatch.setattr(StandInField, "difference", with_the_second)
    assert main([*PREDICT, *GRID]) == 0
    assert seen == ["partial", "CHGCAR_p.partial"]


class Full(io.StringIO):
    """Standard output on a full disk, from the note on a word on."""

    def __init__(self, word):
        super().__init__()
        self.word = word

    def write(self, text):
        if self.word in text:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(text)


@pytest.mark.parametrize(
    "flags, outputs",
    [
        ((), ["CHGCAR_p"]),
        (("-m", "charge.pb", "b.pb"), ["CHGCAR_p", "CHGCAR_p_std"]),
        (("-s", "t.xyz"), [f"CHGCAR_p_{k:04d}" for k in range(4)]),
    ],
)
def test_a_finished_run_that_cannot_print_keeps_nothing_else(flags, outputs, monkeypatch, capsys):
    with monkeypatch.context() as full:
        full.setattr(sys, "stdout", Full(f"{outputs[-1]}: "))
        line = complaint(capsys, *PREDICT, *GRID, *flags)
    assert line == "deepmd-charge: error: No space left on device"
    assert files() == outputs
    assert main([*PREDICT, *GRID, *flags]) == 0


def test_a_trajectory_that_cannot_print_is_resumed(monkeypatch, capsys):
    """As one that ends early for any other reason."""
    argv = [*PREDICT, *GRID, "-s", "t.xyz"]
    with monkeypatch.context() as full:
        full.setattr(sys, "stdout", Full("CHGCAR_p_0001: "))
        line = complaint(capsys, *argv)
    assert line == (
        "deepmd-charge: error: No space left on device; "
        "CHGCAR_p.partial keeps what is done: go on with --resume"
    )
    assert files() == ["CHGCAR_p.partial", "CHGCAR_p_0000", "CHGCAR_p_0001"]
    StandInField.n_calls = 0
    assert main([*argv, "--resume"]) == 0
    assert StandInField.n_calls == 2 * N_BLOCKS
    assert files() == [f"CHGCAR_p_{k:04d}" for k in range(4)]


def test_a_frame_is_told_although_the_next_cannot_be_read(capsys):
    lines = Path("t.xyz").read_text().splitlines()
    Path("t.xyz").write_text("\n".join(lines[:-1]) + "\n")
    assert main([*PREDICT, *GRID, "-s", "t.xyz"]) == 1
    told = [line.partition(":")[0] for line in capsys.readouterr().out.splitlines()]
    assert list(dict.fromkeys(told)) == [f"CHGCAR_p_{k:04d}" for k in range(3)]


@pytest.mark.parametrize("place", ["model", "file"])
def test_an_error_stands_below_the_bar(place, monkeypatch, capsys):
    """Whoever fails, the model or the one who keeps its values."""

    def fail(*_):
        raise ChargeError("failed")

    monkeypatch.setattr(
        *((StandInField, "__call__") if place == "model" else (Partial, "put")), fail
    )
    assert main([*PREDICT, *GRID]) == 1
    gc.collect()  # what has not been closed would be drawn again
    *bars, error = capsys.readouterr().err.split("\n")[:-1]
    assert error.startswith("deepmd-charge: error: failed")
    assert len(bars) == 1 and "pts/s" in bars[0]


FAR = "the structure is far from the training data; train on such structures"
OTHER = (
    "the structure is far from the training data; check the order of its elements, its cell and"
    " units"
)
COARSE = (
    "the models' grid, of spacing 1.28 A, is much coarser than that of the training data, 0.4 A;"
    " take a finer one"
)
COARSE_GRID = ("--grid", "3", "3", "3")
CHARGED = "the valences make 8, as predicted; correct --electrons, unless the cell is charged"


@pytest.mark.parametrize(
    "model, grid, flags, message",
    [
        ("0.98", GRID, (), f"7.8400 electrons predicted, -2% off 8: {FAR}"),
        ("1.02", GRID, (), f"8.1600 electrons predicted, +2% off 8: {FAR}"),
        (
            "0.98",
            COARSE_GRID,
            (),
            f"7.8400 electrons predicted, -2% off 8: {COARSE}",
        ),
        (
            "0.98",
            ("--grid", "12", "12", "12"),
            ("--coarsen", "4"),
            f"7.8400 electrons predicted, -2% off 8: {COARSE}",
        ),
        ("0.98", GRID, ("--electrons", "auto"), f"7.8400 electrons predicted, -2% off 8: {FAR}"),
        ("1", GRID, ("--electrons", "7"), f"+14.3% off 7: {CHARGED}"),
        ("1", COARSE_GRID, ("--electrons", "7.8"), f"+2.56% off 7.8: {CHARGED}"),
        ("1.1", GRID, ("--electrons", "8.5"), f"+3.53% off 8.5: --electrons is wrong, or {FAR}"),
        (
            "1.1",
            COARSE_GRID,
            ("--electrons", "8.5"),
            f"+3.53% off 8.5: --electrons is wrong, or {COARSE}",
        ),
        ("0.95", COARSE_GRID, ("--electrons", "8"), f"-5% off 8: {COARSE}"),
        ("0.5", COARSE_GRID, (), f"-50% off 8: {COARSE}, or {OTHER}"),
        ("0.5", COARSE_GRID, ("--electrons", "8"), f"-50% off 8: {COARSE}, or {OTHER}"),
        ("0.5", GRID, (), f"-50% off 8: {OTHER}"),
        ("0.995", GRID, (), ""),
        ("1.005", COARSE_GRID, ("--electrons", "8"), ""),
    ],
)
def test_electrons_that_are_far_off(model, grid, flags, message, monkeypatch, capsys):
    Path("charge.pb").write_text(model)
    monkeypatch.setattr(StandInModel, "facts", {"charge.pb": {"valence": {"Si": 4.0001}}})
    assert main(["-q", *PREDICT, *grid, *flags]) == 0
    told = [line for line in capsys.readouterr().err.splitlines() if "predicted" in line]
    assert len(told) == bool(message)
    for line in told:
        assert line.startswith("deepmd-charge: warning: CHGCAR_p: ")
        assert line.endswith(message)


@pytest.mark.parametrize("structure", ["POSCAR", "t.xyz"])
def test_what_cannot_be_scaled_is_no_reason_to_resume(structure, monkeypatch, capsys):
    Path("charge.pb").write_text("-3")
    monkeypatch.setattr(StandInModel, "facts", {"charge.pb": {"valence": {"Si": 4.0}}})
    argv = [*PREDICT, *GRID, "-s", structure, "--electrons", "auto"]
    output = "CHGCAR_p" if structure == "POSCAR" else "CHGCAR_p_0000"
    for _ in range(2):
        assert complaint(capsys, *argv) == (
            f"deepmd-charge: error: {output}: -24.0000 electrons predicted, which cannot be scaled"
            " to 8: the structure is far from the training data; check its cell and units"
        )
        assert files() == []


@pytest.mark.parametrize(
    "facts, flags, is_far, causes",
    [
        ({"valence": {"Si": 4.0}}, (), True, f"{COARSE}, or {FAR}"),
        ({}, ("--electrons", "8"), False, f"--electrons is wrong, or {COARSE}"),
        ({}, ("--electrons", "8"), True, f"--electrons is wrong, or {COARSE}, or {FAR}"),
    ],
)
def test_a_coarse_grid_is_not_all_that_may_be(facts, flags, is_far, causes, monkeypatch, capsys):
    """Where surroundings are unlike the training data, or nothing tells that N is right."""
    Path("charge.pb").write_text("0.98")
    monkeypatch.setattr(StandInField, "warn_if_far", lambda *_, **__: is_far)
    monkeypatch.setattr(StandInModel, "facts", {"charge.pb": facts})
    assert main(["-q", *PREDICT, *COARSE_GRID, *flags]) == 0
    assert capsys.readouterr().err.rstrip().endswith(f"-2% off 8: {causes}")


@pytest.mark.parametrize(
    "facts",
    [
        {},
        {"valence": {"Si": 4.3}},
        {"valence": {"Si": 4.0}, "valence_error": {"Si": 0.1}},
        {"valence": {"Si": 4.0}, "kind": "vasp/chgcar:up"},
    ],
)
def test_electrons_that_nobody_knows(facts, monkeypatch, capsys):
    Path("charge.pb").write_text("0.5")
    monkeypatch.setattr(StandInModel, "facts", {"charge.pb": facts})
    assert main(["-q", *PREDICT, *GRID]) == 0
    assert "predicted" not in capsys.readouterr().err
