# SPDX-License-Identifier: LGPL-3.0-or-later
"""The benchmark of silicon phases: its structures, its table, and a tiny run of all of it."""

import importlib
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from ase.neighborlist import neighbor_list
from training import dp

BENCHMARKS = Path(__file__).parent.parent / "benchmarks"
NAMES = [
    "diamond", "hexagonal diamond", "beta-tin", "BC8", "R8",
    "4H", "ST12", "clathrate I", "clathrate II", "simple hexagonal",
]  # fmt: skip
# atoms of the primitive cell; volume of an atom of silicon at the lattice constants, A^3
CELLS = {
    "diamond": (2, 20.0), "hexagonal diamond": (4, 20.1), "beta-tin": (2, 14.2), "BC8": (8, 18.3),
    "R8": (8, 17.8), "4H": (8, 20.1), "ST12": (12, 18.3), "clathrate I": (46, 23.1),
    "clathrate II": (34, 23.4), "simple hexagonal": (1, 13.5),
}  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _search_path():
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(BENCHMARKS))
        yield


@pytest.fixture(scope="module")
def phases(_search_path):
    return importlib.import_module("phases")


@pytest.fixture(scope="module")
def allotropes(_search_path):
    return importlib.import_module("allotropes")


def test_the_split(phases):
    assert list(phases.PHASES) == NAMES
    assert [name for name, phase in phases.PHASES.items() if phase.learn] == NAMES[:5]


@pytest.mark.parametrize("name", NAMES)
def test_crystals(phases, name):
    phase = phases.PHASES[name]
    primitive = phase.primitive
    assert len(primitive) == CELLS[name][0]
    assert primitive.get_volume() / len(primitive) == pytest.approx(CELLS[name][1], abs=0.06)
    i, distance = neighbor_list("id", primitive, 2.65)
    assert set(np.bincount(i)) == {phase.neighbours}
    assert distance.min() > 2.28
    spglib = pytest.importorskip("spglib")
    cell = (primitive.cell.array, primitive.get_scaled_positions(), primitive.numbers)
    assert spglib.get_symmetry_dataset(cell, symprec=1e-3).number == phase.spacegroup


@pytest.mark.parametrize("name", NAMES)
def test_supercells(phases, name):
    primitive, repeats = phases.PHASES[name].primitive, phases.PHASES[name].repeats
    atoms = phases.roundest(primitive, repeats)
    assert len(atoms) == repeats * len(primitive)
    assert atoms.get_volume() == pytest.approx(repeats * primitive.get_volume())
    assert set(np.bincount(neighbor_list("i", atoms, 2.65))) == {phases.PHASES[name].neighbours}
    rattled = [phases.structure(name, number) for number in (1, 2, 3, 4)]
    volumes = [other.get_volume() / atoms.get_volume() for other in rattled]
    np.testing.assert_allclose(volumes, [1.0, 0.98, 1.02, 1.0])
    moved = [other.positions - atoms.positions for other in (rattled[0], rattled[3])]
    for displacement in moved:
        assert np.std(displacement) == pytest.approx(phases.RATTLE, rel=0.25)
    assert np.abs(moved[0] - moved[1]).max() > 0.05
    again = phases.structure(name, 1)
    np.testing.assert_array_equal(again.positions, rattled[0].positions)


def test_no_atom_sees_its_image(phases, allotropes):
    """In the cells that are learnt from, as far as contributions depend on neighbours."""
    path, change = allotropes.FAMILIES["se_cluster"]
    config = allotropes.merge(json.loads(path.read_text()), change)
    for name, phase in phases.PHASES.items():
        if phase.learn:
            apart = phases.image_distance(phases.structure(name, 2).cell.array)
            assert apart > config["model"]["descriptor"]["rcut_env"], name


@pytest.mark.parametrize("repeats, count", [(1, 1), (2, 7), (3, 13), (4, 35)])
def test_every_supercell_once(phases, repeats, count):
    found = {matrix.tobytes() for matrix in phases.supercells(repeats)}
    assert len(found) == count


def test_the_roundest(phases):
    cube = np.eye(3) * 2.0
    assert phases.image_distance([[2.0, 0, 0], [2.0, 2.0, 0], [4.0, 2.0, 2.0]]) == pytest.approx(2)
    best = max(phases.image_distance(matrix @ cube) for matrix in phases.supercells(4))
    assert best == pytest.approx(12**0.5)  # body-centred


@pytest.mark.parametrize(
    "text, seconds",
    [("35.35s CPU     43.32s WALL", 35.35), ("1m 4.20s CPU   1m 5.4s WALL", 64.2),
     ("1h 2m CPU   1h 3m WALL", 3720.0)],
)  # fmt: skip
def test_seconds(text, seconds):
    pw = importlib.import_module("pw")
    assert pw.cpu_seconds(f"\n     PWSCF        : {text}\n") == pytest.approx(seconds)


def test_table(allotropes, tmp_path):
    def record(number, mae, **more):
        return {"number": number, "mae": mae, "nmae": 1.0, **more}

    run = {"energy": 4.0, "bands": 2.0, "forces": 3.0}
    records = {
        ("none", allotropes.SUPERPOSED, "4H"): [record(1, 0.02, **run)],
        ("all", "se_charge-total", "4H"): [record(1, 0.001, **run), record(2, 0.003)],
        ("all", "se_charge-difference", "4H"): [record(1, 0.002, **run), record(2, 0.002)],
        ("all", "se_charge-total", "ST12"): [],
    }
    lines = allotropes.table_of(records).splitlines()
    assert len(lines) == 5
    assert lines[2].startswith("| 4H | superposed atoms | 20.00 | 1.00 | 4 | 2 | 3 |")
    assert lines[4].endswith("| 1 of 2 |")
    allotropes.draw(allotropes.PLAN, records, tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 10000


@pytest.mark.training
@pytest.mark.slow
@pytest.mark.skipif(shutil.which("pw.x") is None, reason="no pw.x")
@pytest.mark.filterwarnings("ignore::UserWarning")
def test_all_stages(allotropes, tmp_path, monkeypatch, capsys):
    potentials = tmp_path / "data" / "qe" / "pseudo"
    potentials.mkdir(parents=True)
    source = Path("/usr/share/espresso/pseudo") / "Si.pbe-rrkj.UPF"
    if not source.exists():
        pytest.skip("no potential")
    shutil.copy(source, potentials)
    words = ["allotropes.py", "--quick", "--data", tmp_path / "data", "-o", tmp_path / "run"]
    monkeypatch.setattr(sys, "argv", [*map(str, words)])

    def run_dp(folder, *words):
        dp(folder, *words)
        return 1.0

    monkeypatch.setattr(allotropes, "run_dp", run_dp)
    allotropes.main()
    printed = capsys.readouterr().out
    table = printed[printed.index("| phase") :].splitlines()
    exact = next(line for line in table if "| diamond | self-consistent" in line).split(" | ")
    assert float(exact[2]) == 0.0
    assert float(exact[4]) < 1e-3
    assert float(exact[6]) < 1.0
    assert sum("se_cluster-" in line for line in table) == 2
    # nothing is done twice
    allotropes.main()
    assert capsys.readouterr().out == "\n".join(table) + "\n"
