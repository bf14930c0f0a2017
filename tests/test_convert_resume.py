# SPDX-License-Identifier: LGPL-3.0-or-later
"""``convert --resume``: what has changed since is read again, and nothing is thrown away."""

import shutil

import numpy as np
import pytest
from ase import Atoms
from potentials import potcar_set, write_upf
from quantum_espresso import DATA
from training import gaussian_table

from deepmd_charge import Density, read_density, write_density
from deepmd_charge.cli.main import main
from deepmd_charge.data import systems

DRAW = ["--points", "40", "--points-per-frame", "20", "--seed", "3"]
ATOMS = Atoms("SiC", [[0.3, 0.4, 0.5], [2.0, 2.2, 1.8]], cell=[3.6, 3.8, 4.0], pbc=True)


def write(path, scale=1.0, electrons=8.0, atoms=ATOMS):
    """A density of so many electrons; scale changes its shape alone."""
    empty = Density(atoms, np.zeros((8, 9, 10)))
    values = np.exp(scale * np.cos(2 * np.pi * (empty.points() / atoms.cell.lengths())).sum(-1))
    values *= electrons / values.mean() / atoms.get_volume()
    path.parent.mkdir(exist_ok=True)
    write_density(path, Density(atoms, values.reshape(8, 9, 10)))
    return str(path)


class Runs:
    """Conversions that are interrupted before a file, and what they have read."""

    def __init__(self, folder, monkeypatch):
        self.out, self.seen, self.stop = folder / "dp", [], None
        read = systems.iterate_densities

        def reading(path, **more):
            if path == self.stop:
                raise KeyboardInterrupt
            self.seen.append(path)
            return read(path, **more)

        monkeypatch.setattr(systems, "iterate_densities", reading)

    def __call__(self, files, *flags, stop=None, out=None):
        self.seen, self.stop = [], stop
        command = ["convert", *files, "-o", out or self.out, *DRAW, "-q", *flags]
        return main([str(word) for word in command])


@pytest.fixture
def runs(tmp_path, monkeypatch):
    return Runs(tmp_path, monkeypatch)


@pytest.fixture
def files(tmp_path):
    return [write(tmp_path / name / "rho.cube", 1 + k / 5) for k, name in enumerate("abc")]


def bytes_of(folder):
    return {f.relative_to(folder): f.read_bytes() for f in folder.rglob("*") if f.is_file()}


def check_whole(runs, files, *flags):
    """What has been gone on with is what a run from nothing makes."""
    whole = runs.out.with_name("whole")
    assert runs(files, *flags, out=whole) == 0
    assert bytes_of(runs.out) == bytes_of(whole)
    assert not runs.out.with_name(".dp.partial").exists()


def test_another_superposition_of_a_density(runs, files, tmp_path):
    for name in "abc":
        write(tmp_path / name / "at.cube", 0.5)
    flags = "--saed", "at.cube"
    assert runs(files, *flags, stop=files[2]) == 130
    write(tmp_path / "a" / "at.cube", 0.25)
    assert runs(files, *flags, "--resume") == 0
    assert runs.seen == [files[0], files[2]]
    check_whole(runs, files, *flags)


def test_another_table_of_superpositions(runs, files, tmp_path, capsys):
    table, flags = tmp_path / "t.npz", ("--saed", tmp_path / "t.npz")
    gaussian_table(Si=0.55, C=0.4).save(table)
    assert runs(files, *flags, stop=files[2]) == 130
    gaussian_table(Si=0.5, C=0.4).save(table)
    capsys.readouterr()
    assert runs(files, *flags, "--resume") == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "holds an unfinished conversion with other table of saed; give the arguments" in line
    gaussian_table(Si=0.55, C=0.4).save(table)  # at another time, but the same
    assert runs(files, *flags, "--resume") == 0
    assert runs.seen == files[2:]
    check_whole(runs, files, *flags)


@pytest.mark.parametrize("kind", ["upf", "potcar"])
def test_another_potential(runs, tmp_path, kind):
    """Where one is added, those that do not need it stay."""
    pseudo, potcar = tmp_path / "pseudo", tmp_path / "POTCAR"
    files = [
        write(tmp_path / name / "rho.cube", atoms=Atoms(formula, ATOMS.positions, cell=ATOMS.cell))
        for name, formula in zip("abc", ("Si2", "SiC", "C2"), strict=True)
    ]
    pseudo.mkdir()

    def give(**widths):
        for element, width in widths.items():
            write_upf(pseudo / f"{element}.upf", element, width)
        potcar.write_text("".join(potcar_set(e, width) for e, width in widths.items()))

    flags = ["--saed", f"{kind}:{pseudo if kind == 'upf' else potcar}", "--saed-ecutrho", "100"]
    give(Si=0.55)
    assert runs(files, *flags) == 1  # it has no carbon
    give(Si=0.55, C=0.4)
    assert runs(files, *flags, "--resume", stop=files[2]) == 130
    assert runs.seen == (files[1:2] if kind == "upf" else files[:2])
    give(Si=0.55, C=0.45)
    assert runs(files, *flags, "--resume") == 0
    assert runs.seen == (files[1:] if kind == "upf" else files)
    check_whole(runs, files, *flags)


@pytest.mark.parametrize("changed", ["charge-density.dat", "data-file-schema.xml"])
@pytest.mark.parametrize("named", ["", "/charge-density.dat"])
def test_a_file_that_quantum_espresso_has_overwritten(runs, files, tmp_path, changed, named):
    save = tmp_path / "si.save"
    save.mkdir()
    schema = next((DATA / "si.save").glob("data-file-schema.xml*"))
    shutil.copy(schema, save)
    write_density(save, read_density(DATA / "si.save"))
    density = save / "charge-density.dat"
    assert density.exists()
    xml = save / schema.name
    flags = ["--points-per-frame", "10"]
    paths = [f"{save}{named}", files[0]]
    assert runs(paths, *flags, stop=files[0]) == 130
    before = save.stat().st_mtime_ns
    if changed == "charge-density.dat":
        content = bytearray(density.read_bytes())
        last = slice(-36, -4)  # two waves, before the length of their record
        content[last] = (1.5 * np.frombuffer(content[last])).tobytes()
        density.write_bytes(content)
    else:
        xml.write_bytes(xml.read_bytes())
    assert save.stat().st_mtime_ns == before
    assert runs(paths, *flags, "--resume") == 0
    assert runs.seen == paths
    check_whole(runs, paths, *flags)


def test_a_flag_that_a_file_asks_for(runs, files, tmp_path, capsys):
    """May be added: what has passed the check stays, and what is read otherwise is read again."""
    files.append(write(tmp_path / "d" / "rho.cube", electrons=33))  # more than all of them
    assert runs(files) == 1
    err = capsys.readouterr().err
    assert "go on with --resume" in err
    assert runs(files, "--resume", "--unchecked", stop=files[3]) == 130
    assert runs.seen == []
    assert runs(files, "--resume", "--unchecked", "--species", "Si1", "C1", stop=files[2]) == 130
    assert runs.seen == files[:2]
    assert runs(files, "--resume", "--unchecked") == 0
    assert runs.seen == [*files[:2], files[3]]
    check_whole(runs, files, "--unchecked")


def test_what_passed_no_check_is_checked(runs, files):
    assert runs(files, "--unchecked", stop=files[2]) == 130
    assert runs(files, "--resume") == 0
    assert runs.seen == files
    check_whole(runs, files)


@pytest.mark.parametrize("other", [["--points", "60"], ["--seed", "4"], ["--unchecked"], []])
def test_nothing_done_is_thrown_away(runs, files, capsys, other):
    assert runs(files, stop=files[2]) == 130
    capsys.readouterr()
    kept = bytes_of(runs.out.with_name(".dp.partial"))
    for now in (files, files[::-1]):
        assert runs(now, *other) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert "holds an unfinished conversion" in line
        assert "go on with --resume" in line
        assert line.endswith("or remove this folder")
    assert bytes_of(runs.out.with_name(".dp.partial")) == kept
    assert runs(files, "--resume") == 0
    assert runs.seen == files[2:]


def test_what_was_fitted_to_other_files(runs, files, tmp_path, capsys, monkeypatch):
    """The table that is there is not theirs."""
    draws, drawn = systems._frames, []

    def once(*args):
        drawn.append(args)
        if len(drawn) == 2:
            raise KeyboardInterrupt
        return draws(*args)

    monkeypatch.setattr(systems, "_frames", once)
    assert runs(files, "--saed", "fit") == 130
    write(tmp_path / "c" / "rho.cube", 0.3)
    capsys.readouterr()
    assert runs(files, "--saed", "fit", "--resume") == 1
    assert "unfinished conversion with other files; give" in capsys.readouterr().err


def test_arrays_that_were_not_finished(runs, files, monkeypatch):
    """Frames that a second run has begun to read otherwise are not those of the first."""
    assert runs(files, stop=files[1]) == 130
    with monkeypatch.context() as patch:
        # killed between the arrays and what tells of them
        patch.setattr("deepmd_charge.data.pieces.Pieces._write", lambda *_: 1 / 0)
        with pytest.raises(ZeroDivisionError):
            runs(files, "--resume", "--unit", "e/A^3", "--unchecked")
    assert runs(files, "--resume") == 0
    check_whole(runs, files)
