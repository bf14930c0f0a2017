# SPDX-License-Identifier: LGPL-3.0-or-later
"""The rooms of the package: nothing imports a room above its own, old names still lead in."""

import re
import subprocess
import sys
import warnings
from importlib import import_module

import pytest
import rooms

from deepmd_charge._moved import MOVED

# From the ground up; what stands in __init__, hooks and _moved only hands names on.
FLOORS = [
    *("errors", "stderr", "threads", "typing", "units"),
    *("grid", "atoms", "io", "property", "model", "saed", "data"),
    *("backends", "engine", "predict", "lammps", "qe", "cli"),
]
DOORS = {"__init__", "hooks", "_moved"}


def test_nothing_imports_a_room_above_its_own():
    for name, target in rooms.imports(rooms.PACKAGE):
        room, other = rooms.room_of(name), rooms.room_of(target)
        if room not in DOORS and other not in DOORS:
            assert FLOORS.index(other) <= FLOORS.index(room), (
                f"{'.'.join(name)} -> {'.'.join(target)}"
            )


def test_no_circles():
    """Neither among rooms nor among the files of any of them."""
    assert rooms.circles(rooms.graph(rooms.PACKAGE)) == []
    files = {}
    for name, target in rooms.imports(rooms.PACKAGE):
        if name and target and name != target:
            files.setdefault(name, set()).add(target)
    assert rooms.circles(files) == []


def test_every_room_is_on_a_floor():
    found = {rooms.room_of(name) for name in rooms.modules(rooms.PACKAGE)}
    assert found == {*FLOORS, *DOORS}


@pytest.mark.slow
@pytest.mark.parametrize("old", MOVED)
def test_old_names_lead_to_the_new_with_one_warning(old):
    new = import_module(f"deepmd_charge.{MOVED[old]}")
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for loaded in [name for name in sys.modules if name == f"deepmd_charge.{old}"]:
            del sys.modules[loaded]
        module = import_module(f"deepmd_charge.{old}")
    told = [str(w.message) for w in caught if w.category is DeprecationWarning]
    mine = [text for text in told if text.startswith(f"deepmd_charge.{old} is now")]
    assert mine == [f"deepmd_charge.{old} is now deepmd_charge.{MOVED[old]}; import that"]
    for name in getattr(new, "__all__", []):
        assert getattr(module, name) is getattr(new, name)


def documented_imports():
    """Every line of the documentation, examples and benchmarks that imports from the package."""
    root = rooms.PACKAGE.parent
    files = [root / "README.md"]
    for folder in ("docs", "examples", "benchmarks"):
        files += [f for f in (root / folder).rglob("*") if f.suffix in (".md", ".py", ".sh")]
    pattern = re.compile(
        r"^\s*(from deepmd_charge[\w.]* import [\w, ]+|import deepmd_charge[\w.]*)", re.M
    )
    return sorted({found for file in files for found in pattern.findall(file.read_text())})


def test_every_import_of_the_documentation_works():
    lines = documented_imports()
    assert "from deepmd_charge import ChargeModel, read_density, write_density" in lines
    code = "\n".join(
        ["import warnings", "warnings.simplefilter('error', DeprecationWarning)", *lines]
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


# as the documentation had them before the rooms
@pytest.mark.slow
@pytest.mark.parametrize(
    "line",
    [
        "from deepmd_charge import ChargeError, ChargeModel, Density, read_density, write_density",
        "from deepmd_charge.fourier import fourier_interpolate",
        "from deepmd_charge.quantities import select",
        "from deepmd_charge.saed import RadialFit, superposition",
        "from deepmd_charge.metrics import Comparison",
        "from deepmd_charge.plots import plot_comparison, plot_density",
        "from deepmd_charge.errors import ElectronCountWarning",
        "from deepmd_charge.lammps import write_run, read_run, run_script, average_dump",
        "from deepmd_charge.formats import read_density, write_density",
        "from deepmd_charge.inference import ChargeModel",
        "from deepmd_charge.dpdata_plugin import system_data",
        "import deepmd_charge.inference.mpi, deepmd_charge.formats.chgcar",
    ],
)
def test_every_import_of_before_works(line):
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", line], capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
