# SPDX-License-Identifier: LGPL-3.0-or-later
"""``deepmd-charge convert``."""

import gc
import time

import dpdata
import numpy as np
import pytest
from ase import Atoms
from quantum_espresso import DATA
from test_dpdata import assert_true_to, make

from deepmd_charge import ChargeError, Density, read_density, write_density
from deepmd_charge.cli.main import main
from deepmd_charge.data import systems
from deepmd_charge.data.dataset import dataset_info


def load(folder):
    return dpdata.System(str(folder), fmt="deepmd/npy")


def convert(*arguments):
    return main(["convert", *map(str, arguments)])


def test_one_composition(tmp_path, capsys):
    """Files of one composition, atoms in any order, make one system; X is last."""
    symbols = ["Zn", "O", "Zn"], ["O", "Zn", "Zn"]
    paths = [make(tmp_path / f"CHGCAR_{i}.gz", s, 30, seed=i) for i, s in enumerate(symbols)]
    out = tmp_path / "dp"
    assert convert(*paths, "-o", out, "--points", 50, "--points-per-frame", 20, "--seed", 5) == 0
    note, told = capsys.readouterr().out.splitlines()
    assert note.startswith(f"{paths[0]} and 1 more: 60 points instead of 50")
    assert told == f"{out}: 6 frames, 120 points, 30.000 electrons, Zn O"
    assert (out / "type_map.raw").read_text().split() == ["Zn", "O", "X"]
    for name in ("coord", "box", "density"):
        assert np.load(out / "set.000" / f"{name}.npy").dtype == np.float64
    system = load(out)
    assert_true_to(system, read_density(paths[0]), slice(0, 3))
    assert_true_to(system, read_density(paths[1]), slice(3, 6))
    same = tmp_path / "same"
    convert(*paths, "-o", same, "--points", 50, "--points-per-frame", 20, "--seed", 5)
    np.testing.assert_array_equal(load(same)["density"], system["density"])
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        "CHGCAR_0.gz",
        "CHGCAR_1.gz",
        "dp",
        "same",
    ]


def test_the_functional_goes_along(tmp_path):
    """Of Quantum ESPRESSO's own densities; others of their composition do not tell."""
    save = DATA / "si.save"
    write_density(tmp_path / "CHGCAR", read_density(save))
    options = "--points", 20, "--points-per-frame", 10, "-o"
    assert convert(save, *options, tmp_path / "qe") == 0
    stored = np.load(tmp_path / "qe/set.000/functional.npy").ravel()
    assert stored.tolist() == [b"PZ", b"PZ"]
    assert dataset_info([str(tmp_path / "qe")])["functional"] == "LDA"
    assert convert(tmp_path / "CHGCAR", *options, tmp_path / "vasp") == 0
    assert not (tmp_path / "vasp/set.000/functional.npy").exists()
    assert "functional" not in dataset_info([str(tmp_path / "vasp")])
    for one, other in ((save, tmp_path / "CHGCAR"), (tmp_path / "CHGCAR", save)):
        both = tmp_path / f"{one.name} first"
        assert convert(one, other, *options, both) == 0
        stored = np.load(both / "set.000/functional.npy").ravel().tolist()
        assert stored == ([b"PZ"] * 2 + [b""] * 2)[:: 1 if one == save else -1]


def test_files_get_different_points(tmp_path):
    path = make(tmp_path / "CHGCAR", ["Si"], 4)
    convert(
        path, path, "-o", tmp_path / "dp", "--points", 20, "--points-per-frame", 20, "--seed", 1
    )
    first, second = load(tmp_path / "dp")["density"]
    assert set(first) != set(second)


def test_several_compositions(tmp_path, capsys):
    paths = [
        make(tmp_path / f"CHGCAR_{i}", s, n)
        for i, (s, n) in enumerate([(["Si"] * 2, 8), (["C", "Si"], 8), (["Si", "C"], 8.5)])
    ]
    assert convert(*paths, "-o", tmp_path / "dp", "--points", 40, "--points-per-frame", 20) == 0
    out, err = capsys.readouterr()
    assert "CHGCAR_2: the density integrates to 8.5 electrons" in err
    assert out.splitlines() == [
        f"{tmp_path}/dp/Si2: 2 frames, 40 points, 8.000 electrons, Si",
        f"{tmp_path}/dp/C1Si1: 4 frames, 80 points, 8.000 to 8.500 electrons, C Si",
    ]
    assert_true_to(load(tmp_path / "dp" / "Si2"), read_density(paths[0]))
    assert_true_to(load(tmp_path / "dp" / "C1Si1"), read_density(paths[1]), slice(0, 2))


def test_defaults(tmp_path, al32, capsys):
    """All points where the grid has fewer than 100000."""
    assert convert(al32, "-o", tmp_path / "dp") == 0
    assert "92 frames, 92000 points, 96.000 electrons, Al" in capsys.readouterr().out
    assert len(np.unique(load(tmp_path / "dp")["coords"][:, 32:].reshape(-1, 3), axis=0)) == 45**3


def test_into_an_empty_folder(tmp_path):
    (tmp_path / "dp").mkdir()
    path = make(tmp_path / "CHGCAR", ["Si"], 4)
    assert convert(path, "-o", tmp_path / "dp", "--points", 20) == 0
    assert (tmp_path / "dp" / "type.raw").is_file()


def test_failure_while_writing(tmp_path, monkeypatch, capsys):
    def fail(folder, pieces):
        folder.mkdir()
        raise OSError(28, "No space left on device", folder)

    path = make(tmp_path / "CHGCAR", ["Si"], 4)
    monkeypatch.setattr(systems, "write_system", fail)
    assert convert(path, "-o", tmp_path / "dp") == 1
    assert f"{tmp_path / 'dp'}: cannot be written: No space left" in capsys.readouterr().err
    assert [p.name for p in tmp_path.iterdir()] == ["CHGCAR"]


def test_errors(tmp_path, capsys):
    """One line, status 1, nothing left behind."""
    good = make(tmp_path / "CHGCAR", ["Si"], 4)
    bad = tmp_path / "CHGCAR_cut"
    bad.write_text(good.read_text()[:-100])
    full = tmp_path / "full"
    full.mkdir()
    (full / "notes").write_text("mine")
    before = sorted(tmp_path.iterdir())
    for arguments, message in [
        ((bad, good, "-o", tmp_path / "dp"), "CHGCAR_cut"),
        ((good, tmp_path / "CHGCAR_no", "-o", tmp_path / "dp"), "CHGCAR_no: no such file"),
        ((good, "-o", full), "is not empty"),
        ((good, "-o", good), "CHGCAR: "),
        ((good, "-o", tmp_path / "a" / "b"), "there is no folder"),
        ((good, "-o", tmp_path / "dp", "--points", 0), "positive number of points"),
        ((good, "-o", tmp_path / "dp", "--seed", -1), "seed is -1"),
    ]:
        assert convert(*arguments) == 1
        (error,) = capsys.readouterr().err.splitlines()
        assert error.startswith("deepmd-charge: error: ")
        assert message in error
        assert sorted(tmp_path.iterdir()) == before
    assert (full / "notes").read_text() == "mine"


@pytest.mark.parametrize("flags", [(), ("--saed", "fit")])
def test_an_error_stands_below_the_bar(flags, tmp_path, monkeypatch, capsys):
    def slowly(*args, **options):
        time.sleep(0.15)  # a bar is not drawn more often than that
        return iterate_densities(*args, **options)

    iterate_densities = systems.iterate_densities
    monkeypatch.setattr(systems, "iterate_densities", slowly)
    good = make(tmp_path / "CHGCAR", ["Si"], 4)
    bad = tmp_path / "CHGCAR_cut"
    bad.write_text(good.read_text()[:-100])
    assert convert(good, bad, "-o", tmp_path / "dp", *flags) == 1
    gc.collect()  # what has not been closed would be drawn again
    bar, error, end = capsys.readouterr().err.split("\n")
    assert "1/2" in bar
    assert error.startswith(f"deepmd-charge: error: {bad}: ")
    assert end == ""


def test_python_writes_what_the_command_writes(tmp_path, capsys):
    compositions = [(["Si"] * 2, 8), (["C", "Si"], 8), (["Si", "C"], 8)]
    paths = [
        str(make(tmp_path / f"CHGCAR_{i}", s, n, seed=i)) for i, (s, n) in enumerate(compositions)
    ]
    assert (
        convert(*paths, "-o", tmp_path / "a", "--points", 40, "--points-per-frame", 20, "--seed", 3)
        == 0
    )
    capsys.readouterr()
    done = systems.convert(paths, tmp_path / "b", 40, 20, seed=3)
    assert capsys.readouterr() == ("", "")  # no bar, no word
    assert [done.folder(system) for system in done.systems] == [
        tmp_path / "b" / name for name in ("Si2", "C1Si1")
    ]
    assert [len(system) for system in done.systems] == [2, 4]
    assert done.notes == {} and done.superpositions is None
    files = sorted(
        p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file()
    )
    assert len(files) > 10
    for file in files:
        assert (tmp_path / "a" / file).read_bytes() == (tmp_path / "b" / file).read_bytes(), file


def test_python_refuses_what_the_command_refuses(tmp_path):
    path = str(make(tmp_path / "CHGCAR", ["Si"], 4))
    odd = str(make(tmp_path / "CHGCAR_much", ["Si"], 15))  # more than its atomic number
    for files, options, message in [
        ([path], {"saed_ecutrho": 100.0}, "there is no --saed"),
        ([path], {"saed": ""}, "the SOURCE is empty"),
        ([], {"saed": path}, "no density to go with it"),
        ([path, "CHGCAR_no"], {}, "CHGCAR_no: no such file"),
        ([path, odd], {}, "CHGCAR_much"),
    ]:
        with pytest.raises(ChargeError, match=message):
            systems.convert(files, tmp_path / "dp", **options)
        assert not (tmp_path / "dp").exists()
    systems.convert([path, odd], tmp_path / "dp", check=False, resume=True)
    assert (tmp_path / "dp" / "type.raw").is_file()
    with pytest.raises(ChargeError, match="is not empty"):
        systems.convert([path], tmp_path / "dp")


def test_electrons_are_told_of_total_densities_alone(tmp_path, capsys):
    """A magnetisation has others than the total density beside it."""
    path = make(tmp_path / "CHGCAR", ["Si"], 4)
    density = read_density(path)
    density.extra.update(spin=[density.values / 4], augmentation=["", ""])
    write_density(path, density)
    for quantity, told in (("total", "4.000 electrons"), ("magnetization", "a magnetisation")):
        flags = "--quantity", quantity, "--points", 40, "--points-per-frame", 20
        assert convert(path, "-o", tmp_path / quantity, *flags) == 0
        assert (
            capsys.readouterr().out == f"{tmp_path}/{quantity}: 2 frames, 40 points, {told}, Si\n"
        )
    done = systems.convert([str(path)], tmp_path / "python", 40, 20, 1, by_gradient="auto")
    assert done.written[0].n_points == 40


@pytest.mark.parametrize(
    "points, per_frame, note",
    [
        (40, 20, ""),
        (720, 20, ""),
        (999, 20, ""),
        (10, 40, "40 points instead of 10, which do not fill frames of 40"),
        (100, 1000, "frames of 1000 points hold more than the grid has"),
        (999, 1000, "frames of 1000 points hold more than the grid has"),
    ],
)
def test_frames_that_are_filled_up(tmp_path, capsys, points, per_frame, note):
    names = [f"CHGCAR_{k}" for k in range(2)]
    for name in names:
        write_density(
            tmp_path / name,
            Density(Atoms("Si", cell=[4, 5, 6], pbc=True), np.full((8, 9, 10), 4 / 120)),
        )
    files = [tmp_path / name for name in names]
    flags = "--points", points, "--points-per-frame", per_frame
    assert convert(*files, "-o", tmp_path / "dp", *flags) == 0
    *notes, _ = capsys.readouterr().out.splitlines()
    assert len(notes) == bool(note)
    assert all(line.startswith(f"{files[0]} and 1 more: {note}") for line in notes)
    coords = load(tmp_path / "dp")["coords"][:, 1:]
    distinct = len(np.unique(coords[: len(coords) // 2].reshape(-1, 3).round(6), axis=0))
    frames = -(-min(points, 720) // per_frame)
    assert len(coords) == 2 * frames
    assert distinct == min(720, frames * per_frame)
