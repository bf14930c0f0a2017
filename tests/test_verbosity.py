# SPDX-License-Identifier: LGPL-3.0-or-later
"""What the commands say on standard error: their own lines, and more or fewer if wished."""

import argparse
import logging
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import pytest
from freezing import freeze
from training import structure

from deepmd_charge import Density, write_density
from deepmd_charge.cli.command_line import build_parser
from deepmd_charge.cli.main import main
from deepmd_charge.stderr import filter_libraries, loading

NOISE = b"implib-gen: libcudart.so.12: failed to load library\n"
GRID = ("--grid", "5", "6", "7")


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with a structure, its density, and a model that needs TensorFlow and DeePMD-kit."""
    folder = tmp_path_factory.mktemp("data")
    # DeePMD-kit's own gelu, and an argument that makes the engine give up
    path = freeze(folder / "m.pb", {"triples": [[1, 1, 2]]}, {"activation_function": "gelu"})
    content = path.read_bytes()
    assert b'"n_triple"' in content
    (folder / "graph.pb").write_bytes(content.replace(b'"n_triple"', b'"a_future"'))
    atoms = structure(8)
    atoms.write(folder / "POSCAR", format="vasp")
    density = Density(atoms, [[[0.1] * 7] * 6] * 5)
    density *= 16 / density.n_electrons
    write_density(folder / "CHGCAR", density)
    return folder


@pytest.fixture
def folder(data, tmp_path, monkeypatch):
    for file in data.iterdir():
        (tmp_path / file.name).symlink_to(file)
    monkeypatch.chdir(tmp_path)
    for name in ("TF_CPP_MIN_LOG_LEVEL", "OMP_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


def run(*argv, launcher=()):
    """Run our command in a process of its own, to the end of it."""
    words = [*launcher, sys.executable, "-m", "deepmd_charge.cli.main", *map(str, argv)]
    done = subprocess.run(words, capture_output=True, text=True)
    lines = [line for line in re.split(r"[\r\n]+", done.stderr) if line]
    done.bars = [line for line in lines if "pts/s" in line]
    done.lines = [line for line in lines if line not in done.bars]
    return done


PREDICT = ("predict", "-m", "graph.pb", "-s", "POSCAR", "-o", "CHGCAR_p", *GRID)
GRAPH = "deepmd-charge: warning: graph.pb: its TensorFlow graph is used"


def assert_only_the_warning(done):
    assert done.returncode == 0, done.stderr
    (line,) = done.lines
    assert line.startswith(GRAPH)


@pytest.mark.slow
def test_tensorflow_says_nothing(folder):
    done = run(*PREDICT)
    assert_only_the_warning(done)
    assert done.bars
    assert len(done.stdout.splitlines()) == 2


@pytest.mark.slow
def test_quiet_leaves_warnings_and_what_is_asked_for(folder):
    done = run("-q", *PREDICT)
    assert_only_the_warning(done)
    assert not done.bars
    assert done.stdout == ""
    done = run("test", "-m", "graph.pb", "-s", "CHGCAR", "--quiet")
    assert_only_the_warning(done)
    assert not done.bars
    assert len(done.stdout.splitlines()) == 3


@pytest.mark.slow
def test_verbose(folder):
    done = run("-v", *PREDICT)
    assert done.returncode == 0
    assert any(line.startswith("implib-gen: libcudart") for line in done.lines)  # unfiltered
    ours = [line for line in done.lines if line.startswith("deepmd-charge: ")]
    assert ours[0] == "deepmd-charge: CHGCAR_p: 4 atoms, grid 5 6 7 from 0.0 0.0 0.0 A"
    assert ours[1].startswith(GRAPH)
    assert re.fullmatch(r"deepmd-charge: 210 points, \d+ to a block; threads: 1, ranks: 1", ours[2])
    assert re.fullmatch(r"deepmd-charge: done in [\d.]+ s", ours[3])
    assert len(ours) == 4


@pytest.mark.slow
def test_convert_says_nothing_on_standard_error(folder):
    done = run("convert", "CHGCAR", "-o", "dp", "-q")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.slow
@pytest.mark.mpi
def test_ranks(folder, programs):
    pytest.importorskip("mpi4py")
    done = run(*PREDICT, "-q", launcher=[programs["mpirun"], "-n", "2"])
    assert_only_the_warning(done)


SCRIPT = """\
units           metal
region          cell prism 0 4.6 0 4.2 0 5.1 1.1 -0.7 0.9
create_box      1 cell
create_atoms    1 single 0.5 0.6 0.4
mass            * 20.0
pair_style      {}
pair_coeff      * *
run             1
"""


@pytest.mark.parametrize("style", ["zero 2.0", "nonsense"])
def test_lammps(folder, programs, charge_model, style):
    Path("in.md").write_text(SCRIPT.format(style))
    argv = ["-m", charge_model.path, "-i", "in.md", "--species", "Si", "--every", "1", *GRID]
    done = run("lammps", "run", *argv, "-o", "out")
    if style == "nonsense":
        assert done.returncode == 1
        (line,) = done.lines
        assert line.startswith("deepmd-charge: error: in.md: LAMMPS stopped: ")
    else:
        assert (done.returncode, done.lines) == (0, [])


# what is filtered, and what is not


@pytest.fixture
def filtering():
    filter_libraries(True)
    yield
    filter_libraries(False)


def test_only_what_is_known_is_dropped(filtering, capfd):
    with loading():
        os.write(2, b"CUDA out of memory\n" + NOISE)
    os.write(2, b"later\n" + NOISE)
    expected = "CUDA out of memory\nlater\n" + NOISE.decode()
    assert capfd.readouterr().err == expected


def fail(error):
    with loading():
        os.write(2, NOISE)
        raise error


@pytest.mark.parametrize("error", [ImportError, KeyboardInterrupt, SystemExit])
def test_a_failure_shows_all(filtering, capfd, error):
    with pytest.raises(error):
        fail(error)
    os.write(2, b"later\n")
    assert capfd.readouterr().err == NOISE.decode() + "later\n"


def test_python_programs_see_all(capfd):
    with loading():
        os.write(2, NOISE)
    assert capfd.readouterr().err == NOISE.decode()


def test_without_standard_error():
    code = (
        "import os; from deepmd_charge.stderr import filter_libraries, loading\n"
        "os.close(2); filter_libraries(True)\n"
        "with loading(): print('done')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout == "done\n"


# flags


@pytest.mark.parametrize(
    "argv, expected",
    [
        (["info", "x"], "normal"),
        (["-q", "info", "x"], "quiet"),
        (["info", "x", "-q"], "quiet"),
        (["--quiet", "info", "x", "--verbose"], "verbose"),
        (["-v", "lammps", "read", "x", "-o", "y"], "verbose"),
        (["lammps", "-q", "read", "x", "-o", "y"], "quiet"),
        (["lammps", "read", "x", "-o", "y", "-v"], "verbose"),
    ],
)
def test_before_and_after_the_subcommand(argv, expected):
    assert build_parser().parse_args(argv).verbosity == expected


def test_v_of_lammps_run_is_its_own():
    needed = "-m m -i i --species Si --every 1 --grid 1 1 1 -o o -v steps 8"
    argv = ["lammps", "run", *shlex.split(needed)]
    args = build_parser().parse_args(argv)
    assert (args.var, args.verbosity) == ([["steps", "8"]], "normal")
    args = build_parser().parse_args([*argv, "--verbose"])
    assert (args.var, args.verbosity) == ([["steps", "8"]], "verbose")


def leaves(parser):
    """Parsers of all commands."""
    yield parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from leaves(child)


def test_every_command_takes_them():
    for parser in leaves(build_parser()):
        flags = {flag for action in parser._actions for flag in action.option_strings}
        assert {"-q", "--quiet", "-v", "--verbose"} <= flags


def test_a_traceback_only_if_wished(capsys):
    assert main(["info", "nowhere"]) == 1
    assert "Traceback" not in capsys.readouterr().err
    assert main(["info", "nowhere", "-v"]) == 1
    lines = capsys.readouterr().err.splitlines()
    assert lines[0].endswith("Traceback (most recent call last):")
    assert lines[-1].startswith("deepmd-charge: error: nowhere: ")


def test_the_logger_is_left_as_it_was():
    log = logging.getLogger("deepmd_charge")
    before = log.level, log.propagate, list(log.handlers)
    for flag in "-q", "-v":
        main([flag, "info", "nowhere"])
    assert (log.level, log.propagate, list(log.handlers)) == before
