# SPDX-License-Identifier: LGPL-3.0-or-later
"""``deepmd-charge property features``: every format, streams, interruptions and bad input."""

import csv
import fcntl
import os
import shutil
import signal
from concurrent.futures import BrokenExecutor
from pathlib import Path

import numpy as np
import others
import pytest
from ase import Atoms
from ase.build import bulk
from ase.io import write
from conftest import DATA
from disordered import shared
from test_every_format import EVERY, name_of

from deepmd_charge import ChargeError, Density, read_density, write_density
from deepmd_charge.cli.main import main
from deepmd_charge.grid.quantity import split_kind
from deepmd_charge.io import FORMATS
from deepmd_charge.property import extraction
from deepmd_charge.property.composition import COMPOSITION
from deepmd_charge.property.features import DIFFERENCE, FEATURES, features
from deepmd_charge.property.sources import iterate_sources
from deepmd_charge.property.superposed import superposed

SALT = bulk("NaCl", "rocksalt", a=5.64)


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(*argv, output="table.csv", n_processes=1):
    return main(
        ["property", "features", *map(str, argv), "-o", output, "-j", str(n_processes), "-q"]
    )


def table(path="table.csv"):
    """Rows by file, with numbers where there are some."""
    with open(path, newline="") as file:
        rows = list(csv.DictReader(file))
    facts = ("file", "formula", "definition")
    return {row["file"]: {k: v if k in facts else float(v) for k, v in row.items()} for row in rows}


def complaint(capsys, *argv, **options):
    """The one line that a command ends with; no table is left."""
    capsys.readouterr()
    assert run(*argv, **options) == 1
    err = capsys.readouterr().err
    line = err.strip().split("\n")[-1]
    assert line.startswith("deepmd-charge: error: ")
    assert "Traceback" not in err
    assert not os.path.exists("table.csv")
    return line.removeprefix("deepmd-charge: error: ")


def values(row):
    return np.array([v for v in row.values() if isinstance(v, float)])


@pytest.fixture
def structures():
    """Files of five structures in the forms that ase reads, one of which has three frames."""
    write("POSCAR", SALT, format="vasp")
    write("si.cif", bulk("Si", cubic=True))
    write("run.extxyz", [bulk("Al", a=4.0 + 0.1 * k) for k in range(3)])
    return ["POSCAR", "si.cif", "run.extxyz"]


def test_structures(structures):
    assert run(*structures) == 0
    found = table()
    assert list(found) == ["POSCAR", "si.cif", "run.extxyz@0", "run.extxyz@1", "run.extxyz@2"]
    assert [row["formula"] for row in found.values()] == ["ClNa", "Si", "Al", "Al", "Al"]
    assert len({row["definition"] for row in found.values()}) == 1
    assert list(found["POSCAR"])[3:] == [feature.name for feature in FEATURES]
    np.testing.assert_allclose(
        values(found["POSCAR"]), features(superposed(SALT, 0.15)), rtol=1e-5, atol=1e-6
    )
    assert found["run.extxyz@2"]["volume"] == pytest.approx(4.2**3 / 4)


def test_chosen_frames(structures):
    assert run("run.extxyz@::2", "run.extxyz@-1") == 0
    assert list(table()) == ["run.extxyz@0", "run.extxyz@2", "run.extxyz@-1"]
    names = [name for name, _ in iterate_sources(["run.extxyz@1:", "POSCAR"])]
    assert names == ["run.extxyz@1", "run.extxyz@2", "POSCAR"]


def test_files_of_a_table(structures):
    Path("list.csv").write_text("K,file\n1,POSCAR\n2,run.extxyz@1\n")
    assert run("list.csv", "si.cif") == 0
    assert [name.split("/")[-1] for name in table()] == ["POSCAR", "run.extxyz@1", "si.cif"]


@pytest.mark.filterwarnings("ignore:grid points are")
@pytest.mark.parametrize("format", [f for f in EVERY if split_kind(f)[1].is_total])
def test_every_density_format(format):
    """They hold one density, which is no other in any of them."""
    if FORMATS[format].belongs_to_run:
        name = shutil.copytree(DATA / "qe" / "al.save", "al.save")
        density = read_density(name)
    else:
        density = superposed(SALT, 0.2)
        density.declare(format)
        name = name_of(FORMATS[format].patterns[0])
        write_density(name, density, format)
    assert run(name) == 0
    (row,) = table().values()
    np.testing.assert_allclose(values(row), features(density), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("name", ["Al.cube.gz", "Al.xsf.gz", "CHGCAR_Al32.gz"])
def test_densities_of_programs(name):
    shutil.copy(DATA / name, ".")
    assert run(name, "--of", "invariants", "difference", "composition") == 0
    (row,) = table().values()
    assert row["formula"] == "Al"
    assert row["electrons"] == pytest.approx(3.0, abs=0.01)
    # aluminium is nearly a gas of free electrons
    assert row["log_p50"] == pytest.approx(2.26, abs=0.1)
    assert abs(row["difference_density_mean"]) < 1e-3
    assert row["difference_log_p50"] < 2.0
    assert row["Number_mean"] == 13.0
    assert len(row) == 3 + len(FEATURES) + len(DIFFERENCE) + len(COMPOSITION)


def chgcar(name="CHGCAR", factor=1.0, negative=0.0):
    """A density of rock salt, also with the negative values that PAW has near nuclei."""
    density = superposed(SALT, 0.2)
    density.declare("vasp/chgcar")
    near = density.grid.points().reshape(*density.shape, 3) @ np.ones(3) < 0.4
    density.values[near] -= negative
    density.values *= factor
    write_density(name, density)
    return density


def test_negative_values_near_nuclei():
    density = chgcar(negative=300.0)
    assert density.values.min() < -5.0
    assert run("CHGCAR") == 0
    (row,) = table().values()
    assert np.isfinite(values(row)).all()
    assert row["log_minimum"] < 0.0


def test_of_a_spin_file_the_total_counts():
    density = chgcar("CHGCAR_plain")
    density.extra["spin"] = [0.3 * density.values]
    write_density("CHGCAR_spin", density)
    assert read_density("CHGCAR_spin").extra["spin"]
    assert run("CHGCAR_plain", "CHGCAR_spin") == 0
    plain, spin = table().values()
    np.testing.assert_array_equal(values(plain), values(spin))


def test_difference_from_free_atoms():
    density = chgcar()
    assert run("CHGCAR", "--of", "difference") == 0
    (row,) = table().values()
    # the file is a superposition itself, on a coarser sphere of waves
    assert row["difference_laplacian_spread"] < 1e-3
    # a file of differences is taken as it is
    gain = Density(
        density.atoms,
        0.1 * np.sin(2 * np.pi * np.arange(20) / 20)[:, None, None] * np.ones((20, 20, 20)),
        kind="cube:difference",
    )
    write_density("gain.cube", gain)
    assert run("gain.cube", "--of", "difference", "--is", "difference") == 0
    (row,) = table().values()
    np.testing.assert_allclose(values(row), features(gain), rtol=1e-4, atol=1e-5)


def test_difference_from_a_density_file():
    chgcar()
    write_density("fewer.cube", 0.9 * read_density("CHGCAR"), "cube")
    assert run("CHGCAR", "--of", "difference", "--saed", "fewer.cube") == 1
    write_density("atoms.cube", read_density("CHGCAR"), "cube")
    assert run("CHGCAR", "--of", "difference", "--saed", "atoms.cube") == 0
    (row,) = table().values()
    assert row["difference_laplacian_spread"] < 1e-3


def test_list(capsys):
    assert main(["property", "features", "--list", "--of", "invariants", "composition"]) == 0
    lines = capsys.readouterr().out.strip().split("\n")
    assert len(lines) == len(FEATURES) + len(COMPOSITION)
    assert lines[0] == "density_mean\te/A^3\t<rho>"
    assert all(len(line.split("\t")) == 3 for line in lines)


@pytest.mark.slow
def test_processes_make_the_same_table(structures):
    chgcar()
    assert run(*structures, "CHGCAR", output="one.csv") == 0
    assert run(*structures, "CHGCAR", output="two.csv", n_processes=2) == 0
    assert Path("one.csv").read_bytes() == Path("two.csv").read_bytes()


@pytest.mark.parametrize("whole_rows", [0, 1, 3])
def test_resumed_after_a_cut(structures, whole_rows):
    # a file that is given twice has two rows
    files = [*structures, "POSCAR"]
    assert run(*files) == 0
    finished = Path("table.csv").read_bytes()
    lines = finished.splitlines(keepends=True)
    os.remove("table.csv")
    Path("table.csv.part").write_bytes(
        b"".join(lines[: 1 + whole_rows]) + lines[1 + whole_rows][:50]
    )
    if whole_rows:
        assert run(*files) == 1
    assert run(*files, "--resume") == 0
    assert Path("table.csv").read_bytes() == finished
    assert not os.path.exists("table.csv.part")


def test_resumed_in_the_midst_of_frames():
    """Of a density file that holds several."""
    densities = []
    for k in range(3):
        density = superposed(bulk("Al", a=4.0 + 0.1 * k), 0.2)
        densities.append(Density(density.atoms, density.values, kind="vasp/chgcar"))
    shape = densities[0].shape
    for k, density in enumerate(densities):
        assert density.shape == shape
        write_density(f"CHG_{k}", density)
    with open("CHG", "w") as file:
        for k in range(3):
            with open(f"CHG_{k}") as part:
                file.write(part.read())
    assert run("CHG", "CHG_1", "CHG") == 0
    assert list(table()) == ["CHG@0", "CHG@1", "CHG@2", "CHG_1"]
    finished = Path("table.csv").read_bytes()
    os.remove("table.csv")
    Path("table.csv.part").write_bytes(b"".join(finished.splitlines(keepends=True)[:3]))
    assert run("CHG", "CHG_1", "CHG", "--resume") == 0
    assert Path("table.csv").read_bytes() == finished


def test_other_columns_are_refused(structures, capsys):
    assert run(*structures) == 0
    os.rename("table.csv", "table.csv.part")
    line = complaint(capsys, *structures, "--of", "composition", "--resume")
    assert line == "table.csv.part: is of a table with other columns; remove it"
    content = Path("table.csv.part").read_text()
    word = table("table.csv.part")["POSCAR"]["definition"]
    Path("table.csv.part").write_text(content.replace(word, "v0"))
    assert "other columns" in complaint(capsys, *structures, "--resume")


def test_other_flags_and_files_are_refused(structures, monkeypatch, capsys):
    """Rows made with one reference, unit, ... do not go on with those of another."""
    for k in range(2):
        density = superposed(SALT, 0.2)
        write_density(f"{k}.cube", Density(density.atoms, (1 + 0.1 * k) * density.values))
    shutil.copy("0.cube", "atoms.cube")
    argv = ("0.cube", "1.cube", "--of", "difference", "--saed", "atoms.cube")
    line = complaint(capsys, *argv)  # the second has other electrons
    assert line.endswith("table.csv.part keeps what is done: go on with --resume")
    write_density("1.cube", density)
    line = complaint(capsys, *argv[:-2], "--resume")
    assert line == (
        "table.csv.part: holds rows that were made with --saed atoms.cube, and this is without"
        " flags; give the same flags, or remove it"
    )
    line = complaint(capsys, *argv, "--unit", "e/A^3", "--pbc", "T", "T", "F", "--resume")
    assert "and this is with --saed atoms.cube --pbc T T F --unit e/A^3; give" in line
    line = complaint(capsys, *argv[1:], "--resume")
    assert line == (
        "table.csv.part: holds a row of 0.cube, which is not asked for now; give the same files as"
        " before, or remove it"
    )
    assert run(*argv, "--resume") == 0
    assert not list(Path().glob("table.csv.part*"))
    # without flags first
    assert run(*structures) == 0
    os.rename("table.csv", "table.csv.part")
    line = complaint(capsys, *structures, "--species", "Na", "Cl", "--resume")
    assert "rows that were made without flags, and this is with --species Na Cl" in line
    # flags that were left behind are not those of a new table
    os.remove("table.csv.part")
    Path("table.csv.part.flags").write_text("--pbc T T F")
    assert run(*structures) == 0
    assert not list(Path().glob("table.csv.part*"))


def test_unfinished_rows_are_not_overwritten(structures, capsys):
    assert run(*structures) == 0
    os.rename("table.csv", "table.csv.part")
    before = Path("table.csv.part").read_bytes()
    line = complaint(capsys, *structures)
    assert line.startswith("table.csv.part: holds the rows of a table that was not finished")
    assert Path("table.csv.part").read_bytes() == before


def test_two_runs_do_not_write_one_table(structures, capsys):
    with open("table.csv.part", "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        for flags in ([], ["--resume"]):
            line = complaint(capsys, *structures, *flags)
            assert line == "table.csv.part: another process is at work on this table"
    assert run(*structures) == 0
    assert len(table()) == 5


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_signals_leave_what_is_done(structures, number, monkeypatch, capsys):
    assert run(*structures, output="whole.csv") == 0
    row = extraction.Extraction.row

    def ask_to_stop(self, name, density):
        if name == "run.extxyz@1":
            os.kill(os.getpid(), number)
        return row(self, name, density)

    monkeypatch.setattr(extraction.Extraction, "row", ask_to_stop)
    # a shell starts what runs in its background with Ctrl-C ignored
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        assert run(*structures) == 130
    finally:
        signal.signal(signal.SIGINT, before)
    assert (
        capsys.readouterr()
        .err.strip()
        .endswith("interrupted: table.csv.part keeps what is done: go on with --resume")
    )
    assert not os.path.exists("table.csv")
    assert list(table("table.csv.part")) == ["POSCAR", "si.cif", "run.extxyz@0"]
    monkeypatch.setattr(extraction.Extraction, "row", row)
    assert run(*structures, "--resume") == 0
    assert Path("whole.csv").read_bytes() == Path("table.csv").read_bytes()


def test_keep_going(structures, capsys):
    Path("damaged.cube").write_text("a\nb\n")
    write("Lr.extxyz", Atoms("Lr", cell=[4, 4, 4], pbc=True))
    bad = ["damaged.cube", "Lr.extxyz", "missing.cif", "run.extxyz@9", "LOCPOT"]
    files = ["damaged.cube", "POSCAR", *bad[1:], "si.cif"]
    line = complaint(capsys, *files)
    assert line.startswith("damaged.cube")
    assert not os.path.exists("table.csv.part")
    assert run(*files, "--keep-going") == 0
    assert list(table()) == ["POSCAR", "si.cif"]
    told = [line for line in capsys.readouterr().err.split("\n") if "left out: " in line]
    assert len(told) == len(bad)
    for name, text in zip(bad, told, strict=True):
        assert f"left out: {name.split('@')[0]}:" in text
    os.remove("table.csv")
    line = complaint(capsys, *bad, "--keep-going")
    assert line == "table.csv: would have no rows: all densities were left out"
    assert not os.path.exists("table.csv.part")


def test_keep_going_with_a_table(structures, capsys):
    """Files of a table that are not there are left out like others."""
    Path("names.csv").write_text("file\nPOSCAR\nnowhere.cube\nnowhere.vasp\n")
    assert complaint(capsys, "names.csv").startswith("names.csv:3: there is no nowhere.cube")
    assert run("names.csv", "--keep-going") == 0
    assert list(table()) == ["POSCAR"]
    told = capsys.readouterr().err
    assert told.count("left out: nowhere") == 2


def test_an_error_keeps_the_rows_before_it(structures, capsys):
    line = complaint(capsys, *structures, "missing.cif")
    assert line == (
        "missing.cif: No such file or directory; table.csv.part keeps what is done:"
        " go on with --resume"
    )
    write("missing.cif", SALT)
    assert run(*structures, "missing.cif", "--resume") == 0
    assert len(table()) == 6


def test_a_process_that_is_killed(structures, monkeypatch, capsys):
    def broken(*_):
        raise BrokenExecutor

    monkeypatch.setattr(extraction, "in_processes", broken)
    assert complaint(capsys, *structures) == (
        "a process was killed, as for too much memory: take fewer processes (-j)"
    )


def damaged(name, _):
    density = superposed(SALT, 0.2)
    write_density("good.cube", density, "cube")
    with open("good.cube") as file:
        lines = file.read().split("\n")
    lines[-3] = lines[-3].replace(lines[-3].split()[0], "NaN", 1)
    with open(name, "w") as file:
        file.write("\n".join(lines))


def potential(name, _):
    density = superposed(SALT, 0.2)
    write_density(name, Density(density.atoms, density.values, kind="vasp/locpot"), "vasp/locpot")


def no_atoms(name, _):
    others.write_cube(Path(name), [], [], np.ones((8, 8, 8)), 3.0 * np.eye(3))


def structure(name, symbols):
    write(name, Atoms(symbols, cell=[4, 4, 4], pbc=True), format="extxyz")


def doubled(name, shift):
    atoms = bulk("Al", cubic=True, a=4.05)
    write(name, atoms + Atoms("Al", positions=[atoms.positions[1] + shift]), format="extxyz")


def no_numbers(name, _):
    write(name, Atoms("Al2", [[0, 0, 0], [np.nan, 1, 1]], cell=[4, 4, 4], pbc=True))


def thin(name, _):
    write(name, Atoms("Al", cell=[4, 4, 0.1], pbc=True), format="extxyz")


@pytest.mark.parametrize(
    "make, name, detail, argv, line",
    [
        (damaged, "a.cube", "", [], "a.cube:1607: 'NaN' is not a density"),
        (potential, "LOCPOT", "", [], "LOCPOT: by its name a potential, not a charge density"),
        (potential, "LOCPOT", "", ["--format", "vasp/locpot"], "LOCPOT: holds a potential"),
        (potential, "LOCPOT", "", ["--format", "x"], "LOCPOT: unknown format 'x': give one of"),
        (no_atoms, "a.cube", "", [], "a.cube:3: there are no atoms"),
        (structure, "a.xyz", "Lr", [], "a.xyz: Lr: the table of atomic densities has no such"),
        (structure, "a.xyz", "X", [], "a.xyz: X: the table of atomic densities has no such"),
        (structure, "a.cube.bz2", "H", [], "a.cube.bz2: only .gz and .xz are known"),
        (doubled, "a.xyz", 0.0, [], "a.xyz: has atoms less than 0.3 A apart, or from their own"),
        (doubled, "a.xyz", 4.05, [], "a.xyz: has atoms less than 0.3 A apart, or from their own"),
        (doubled, "a.xyz", 0.05, [], "a.xyz: has atoms less than 0.3 A apart, or from their own"),
        (thin, "a.xyz", "", [], "a.xyz: has atoms less than 0.3 A apart, or from their own"),
        (no_numbers, "a.xyz", "", [], "a.xyz: has positions that are no numbers; write it anew"),
        (shared, "a.cif", {"Fe": 0.5, "Co": 0.5}, [], "a.cif: has a site with 0.5 Fe, 0.5 Co: "),
        (shared, "a.cif", {"Fe": 0.9}, [], "a.cif: has a site with 0.9 Fe: give an ordered"),
        (structure, "a.xyz", "H", ["--saed", "b.cube"], "--saed b.cube: is for differences"),
        (chgcar, "CHGCAR", 1.0, ["--is", "magnetization"], "CHGCAR: holds a magnetisation"),
        (chgcar, "CHGCAR", 1.0, ["--is", "difference"], "CHGCAR: holds a difference"),
        (
            chgcar,
            "CHGCAR",
            1.5,
            ["--of", "difference"],
            "CHGCAR: has 24.00 electrons, its superposed atoms 16.00: give the atoms of its own",
        ),
    ],
)
def test_bad_input_gets_a_line(make, name, detail, argv, line, capsys):
    make(name, detail)
    found = complaint(capsys, name, *argv)
    assert found.startswith(line), found


def test_a_density_without_atoms():
    density = Density(Atoms(cell=[3, 3, 3], pbc=True), np.ones((8, 8, 8)))
    with pytest.raises(ChargeError, match=r"^a: has no atoms: features of bonds and spheres need"):
        extraction.Extraction().row("a", density)


def test_bad_calls(structures, capsys):
    assert complaint(capsys, "text.dat").startswith("text.dat: No such file")
    Path("text.dat").write_text("hello\n")
    assert complaint(capsys, "text.dat").startswith("text.dat: ase cannot read a structure")
    assert "give density or structure files" in complaint(capsys)
    assert complaint(capsys, "POSCAR", output="POSCAR").startswith("POSCAR")
    assert complaint(capsys, "POSCAR", n_processes=0).startswith("-j 0")
    assert "'x' are no frames" in complaint(capsys, "POSCAR@x")
    assert not list(Path().glob("table.csv*"))


def test_doubtful_input_gets_a_warning(capsys):
    write_density("coarse.cube", superposed(SALT, 0.45), "cube")
    write("slab.extxyz", Atoms("Al", cell=[3, 3, 9], pbc=[True, True, False]))
    assert run("coarse.cube", "slab.extxyz") == 0
    told = capsys.readouterr().err.strip().split("\n")
    assert told == [
        "deepmd-charge: warning: coarse.cube: grid points are 0.44 A apart: invariants of a grid"
        " coarser than 0.36 A depend on the grid; give a finer one",
        "deepmd-charge: warning: slab.extxyz: is not periodic along c: averages over its cell"
        " depend on how much vacuum there is",
    ]


def test_structures_have_no_difference(tmp_path, monkeypatch, capsys):
    """Superposed atoms less superposed atoms: features of nothing, which is said."""
    monkeypatch.chdir(tmp_path)
    bulk("NaCl", "rocksalt", a=5.6).write("salt.vasp")
    assert main(["property", "features", "salt.vasp", "-o", "t.csv", "--of", "difference"]) == 0
    assert "salt.vasp: is no other than its superposed atoms" in capsys.readouterr().err
