# SPDX-License-Identifier: LGPL-3.0-or-later
"""CHG of molecular dynamics: several structures, each with its density, against ase."""

import gzip
import json
import lzma
import tracemalloc
from pathlib import Path

import dpdata
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from ase.calculators.vasp import VaspChargeDensity
from ase.io import write
from conftest import shared
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepmd_charge import ChargeError, Density, iterate_densities, read_density, write_density
from deepmd_charge.cli.main import main
from deepmd_charge.io.structures import iterate_structures
from deepmd_charge.io.text.reader import TextReader

pytestmark = pytest.mark.filterwarnings(
    "ignore:.*not a whole number", "ignore:.*likely it is in e/A"
)
SHAPE = (4, 5, 3)
ELECTRONS = 14


def trajectory(n_frames, n_spin=0, symbols=("Si", "Si", "O"), shape=SHAPE):
    """Structures that move in cells that change, with their densities and magnetisations."""
    generator = np.random.default_rng(n_frames)
    for k in range(n_frames):
        cell = np.array([[4.0, 0.0, 0.0], [0.5, 4.2, 0.0], [0.2, 0.3, 4.4]]) * (1 + 0.01 * k)
        places = generator.random((len(symbols), 3))
        atoms = Atoms(symbols, scaled_positions=places, cell=cell, pbc=True)
        values = generator.random(shape)
        values *= ELECTRONS / (values.mean() * atoms.get_volume())
        spin = [values * (generator.random(shape) - 0.5) for _ in range(n_spin)]
        yield Density(atoms, values, extra={"spin": spin})


def write_chg(path, densities):
    """Write a CHG of several frames, as ase does."""
    chg = VaspChargeDensity(None)
    for density in densities:
        chg.atoms.append(density.atoms)
        chg.chg.append(density.values)
        chg.chgdiff += density.extra["spin"]
    chg.write(str(path), format="chg")
    return path


def concatenate(path, densities, between=""):
    """What ``cat`` makes of several CHGCARs."""
    parts = []
    for density in densities:
        write_density(path, density)
        parts.append(path.read_text())
    path.write_text(between.join(parts))
    return parts


def complaint(capsys, *arguments):
    assert main([str(a) for a in arguments]) == 1
    return capsys.readouterr().err


@pytest.fixture
def chg(tmp_path, monkeypatch):
    """A CHG of five frames in the working folder."""
    monkeypatch.chdir(tmp_path)
    return write_chg(Path("CHG"), trajectory(5))


@pytest.mark.parametrize("n_spin", [0, 1])
@pytest.mark.parametrize("n_frames", [1, 2, 7])
def test_as_ase_reads_them(tmp_path, n_frames, n_spin):
    path = write_chg(tmp_path / "CHG", trajectory(n_frames, n_spin))
    truth = VaspChargeDensity(str(path))
    assert len(truth.chg) == n_frames
    found = list(iterate_densities(path))
    names = [f"{path}@{k}" for k in range(n_frames)] if n_frames > 1 else [str(path)]
    assert [name for name, _ in found] == names
    for k, (name, density) in enumerate(found):
        for one in density, read_density(name):
            np.testing.assert_allclose(one.values, truth.chg[k], rtol=1e-14)
            np.testing.assert_allclose(one.atoms.cell, truth.atoms[k].cell, rtol=1e-14)
            np.testing.assert_allclose(one.atoms.positions, truth.atoms[k].positions, atol=1e-12)
            assert list(one.atoms.symbols) == ["Si", "Si", "O"]
            assert len(one.extra["spin"]) == n_spin
            if n_spin:
                np.testing.assert_allclose(one.extra["spin"][0], truth.chgdiff[k], rtol=1e-14)
            assert one.extra.get("frame") == (k if n_frames > 1 else None)


@pytest.mark.parametrize("suffix, module", [(".gz", gzip), (".xz", lzma)])
def test_compressed(chg, suffix, module):
    packed = Path("CHG" + suffix)
    packed.write_bytes(module.compress(chg.read_bytes()))
    for name in "CHG@3", "CHG@-1":
        again = read_density(name.replace("CHG", f"CHG{suffix}"))
        np.testing.assert_array_equal(again.values, read_density(name).values)
    assert len(list(iterate_densities(packed))) == 5


parts = st.none() | st.integers(-7, 7)


@pytest.mark.slow
@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(start=parts, stop=parts, step=st.none() | st.integers(1, 4))
def test_slices_are_pythons(chg, start, stop, step):
    spelled = ":".join("" if part is None else str(part) for part in (start, stop, step))
    numbers = list(range(5))[start:stop:step]
    if not numbers:
        with pytest.raises(
            ChargeError, match=f"CHG: there are no frames {spelled} in this file, which has 5"
        ):
            list(iterate_densities(f"CHG@{spelled}"))
        return
    assert [d.extra["frame"] for _, d in iterate_densities(f"CHG@{spelled}")] == numbers


def test_one_is_never_taken_for_another(chg):
    """No first frame unasked, and no frame that is not there."""
    with pytest.raises(
        ChargeError, match="CHG: holds the densities of 5 frames: choose one, such as CHG@0"
    ):
        read_density(chg)
    for index in range(-5, 5):
        assert read_density(f"CHG@{index}").extra["frame"] == index % 5
    for index in 5, -6, 99:
        with pytest.raises(
            ChargeError, match=f"CHG: there is no frame {index} in this file, which has 5"
        ):
            read_density(f"CHG@{index}")
    with pytest.raises(ChargeError, match="CHG@1:3: may be several"):
        read_density("CHG@1:3")
    with pytest.raises(ChargeError, match="CHG: 'x' are no frames"):
        read_density("CHG@x")
    with pytest.raises(ChargeError, match=r"CHG_missing: .*No such file"):
        read_density("CHG_missing@1")


@pytest.mark.parametrize("name", ["CHGCAR", "a.cube", "a.xsf"])
def test_files_of_one_frame(tmp_path, name):
    (density,) = trajectory(1)
    write_density(tmp_path / name, density)
    for index in "0", "-1", ":", "::3":
        ((_, again),) = iterate_densities(tmp_path / f"{name}@{index}")
        np.testing.assert_allclose(again.values, density.values, rtol=1e-9)
    np.testing.assert_allclose(
        read_density(tmp_path / f"{name}@0").values, density.values, rtol=1e-9
    )
    with pytest.raises(ChargeError, match=f"{name}: there is no frame 1 in this file, which has 1"):
        read_density(tmp_path / f"{name}@1")
    # a file of that very name is itself
    (tmp_path / name).rename(tmp_path / f"x@1_{name}")
    read_density(tmp_path / f"x@1_{name}")


def test_frames_after_those_that_are_asked_for_are_not_read(chg, monkeypatch):
    reads = []
    values = TextReader.values
    monkeypatch.setattr(TextReader, "values", lambda *a: reads.append(a) or values(*a))
    read_density("CHG@0")
    assert len(reads) == 1
    assert [d.extra["frame"] for _, d in iterate_densities("CHG@:4:2")] == [0, 2]
    assert len(reads) == 1 + 3
    text = chg.read_text().split("O  Si" if "O  Si" in chg.read_text() else "Si  O")
    chg.write_text("Si  O".join(text[:3]) + "Qq" + "Si  O".join(text[3:]))
    assert read_density("CHG@1").n_electrons == pytest.approx(ELECTRONS, abs=1e-3)
    assert len(list(iterate_densities("CHG@:2"))) == 2


@pytest.mark.slow
def test_memory(tmp_path):
    """No frame is held that the caller does not hold."""
    path = tmp_path / "CHGCAR"
    shape = (128, 96, 96)
    concatenate(path, trajectory(6, shape=shape))
    for _ in iterate_densities(path):  # imports
        break
    tracemalloc.start()
    for found in iterate_densities(path):
        del found
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1.5 * 8 * np.prod(shape)


# one file out of several


HEADS = "augmentation occupancies   {}   3\n  0.1000000E+01 -0.2000000E-01  0.3000000E+00\n"
AUGMENTATION = "".join(HEADS.format(i) for i in (1, 2, 3))
MOMENTS = "  0.100000000000E+01  0.200000000000E+01  0.000000000000E+00\n"


@pytest.mark.slow
@pytest.mark.parametrize("n_spin", [0, 1, 3])
@pytest.mark.parametrize("augmentation", ["", AUGMENTATION])
@pytest.mark.parametrize("between", ["", "\n", " \n\n"])
@pytest.mark.parametrize(
    "comment", ["unknown system", "", "1.0", "4 5 3", "0.1 0.2 0.3", "1 1", "Si O", "0.5 a", "-"]
)
def test_concatenated(tmp_path, n_spin, augmentation, between, comment):
    """Each frame is what its own file is, whatever its comment looks like."""
    path = tmp_path / "CHGCAR"
    densities = list(trajectory(3, n_spin))
    texts = [augmentation + (MOMENTS if n_spin else "")] + n_spin * [augmentation]
    for density in densities:
        density.extra.update(comment="MARK", augmentation=texts)
    files = concatenate(path, densities, between)
    path.write_text(path.read_text().replace("MARK", comment))
    for k, (_, density) in enumerate(iterate_densities(path)):
        single = tmp_path / "CHGCAR_single"
        single.write_text(files[k])
        alone = read_density(single)
        np.testing.assert_array_equal(density.values, alone.values)
        np.testing.assert_array_equal(density.extra["spin"], alone.extra["spin"])
        np.testing.assert_array_equal(density.atoms.cell, alone.atoms.cell)
        np.testing.assert_array_equal(density.atoms.positions, alone.atoms.positions)
        assert density.extra["comment"] == comment
        found = density.extra["augmentation"]
        assert [*found[:-1], found[-1].rstrip(" \n")] == [*texts[:-1], texts[-1].rstrip()]
    assert k == 2


@pytest.mark.slow
@pytest.mark.parametrize("size", range(40, 75))
def test_pieces_end_anywhere(tmp_path, monkeypatch, size):
    """Of the file, as it is read: also between the lines that tell a structure."""
    path = tmp_path / "CHGCAR"
    densities = list(trajectory(3, 1))
    for density in densities:
        density.extra.update(comment="1.0", augmentation=[AUGMENTATION + MOMENTS, AUGMENTATION])
    concatenate(path, densities)
    monkeypatch.setattr("deepmd_charge.io.text.reader.CHUNK_BYTES", size)
    for (_, density), truth in zip(iterate_densities(path), densities, strict=True):
        np.testing.assert_allclose(density.values, truth.values, rtol=1e-10)
        np.testing.assert_allclose(density.atoms.positions, truth.atoms.positions, rtol=1e-12)
        assert density.extra["augmentation"] == truth.extra["augmentation"]


@settings(deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    n_atoms=st.integers(1, 13),
    each=st.sampled_from([1, 3]),
    columns=st.integers(1, 6),
    whole=st.booleans(),
    blank=st.booleans(),
)
def test_moments_are_no_structure(tmp_path, n_atoms, each, columns, whole, blank):
    (density,) = trajectory(1, 1, ["Fe"] * n_atoms)
    numbers = [f" {k % 5}" if whole else f"  0.{k:012d}E+01" for k in range(each * n_atoms)]
    rows = ["".join(numbers[i : i + columns]) + "\n" for i in range(0, len(numbers), columns)]
    text = "\n" * blank + "".join(rows)
    density.extra["augmentation"] = [text, text]
    write_density(tmp_path / "CHGCAR", density)
    again = read_density(tmp_path / "CHGCAR", check=False)
    assert len(again.extra["spin"]) == 1 and again.extra["augmentation"] == [text, text]


def test_vasp_4(tmp_path):
    """Without elements in any of the frames."""
    path = write_chg(tmp_path / "CHG", trajectory(3))
    lines = path.read_text().splitlines(keepends=True)
    labels = [
        i for i, line in enumerate(lines) if line.split() == ["Si", "O"] and "." in lines[i - 1]
    ]
    assert len(labels) == 3
    path.write_text(
        "".join(line for i, line in enumerate(lines) if i not in labels).replace("Si2 O", "comment")
    )
    found = [d for _, d in iterate_densities(path, species=["Si1", "O"])]
    assert [list(d.atoms.arrays["species"]) for d in found] == 3 * [["Si1", "Si1", "O"]]


def test_what_does_not_belong_together(tmp_path):
    path = tmp_path / "CHGCAR"
    cases = [
        (
            [*trajectory(2), *trajectory(1, symbols=["Si", "O", "O"])],
            "atoms SiO2, where the first frame has Si2O",
        ),
        (
            [*trajectory(2), *trajectory(1, symbols=["O", "Si", "Si"])],
            "atoms OSi2, where the first frame has Si2O",
        ),
        ([*trajectory(2, 1), *trajectory(1)], "1 grids, where the first frame has 2"),
        ([*trajectory(2), *trajectory(1, 1)], "2 grids, where the first frame has 1"),
    ]
    for densities, message in cases:
        concatenate(path, densities)
        with pytest.raises(
            ChargeError, match=rf"CHGCAR:\d+: {message}.*\(in frame 2; .*: CHGCAR@:2\)"
        ):
            list(iterate_densities(path))
        assert len(list(iterate_densities(f"{path}@:2"))) == 2


# of a header: line, what it becomes
DAMAGE = {
    "scale": (1, "one", "expected a scale factor"),
    "no scale": (1, "", "expected a scale factor"),
    "cell": (2, "4.0 0.0", "expected cell vector 1"),
    "label": (5, "Si Qq", "'Qq' is not an element"),
    "counts": (6, "2 1 1", "3 counts for 2 elements"),
    "mode": (7, "Twisted", "expected 'Direct'"),
    "heading": (-4, "augmentation occupancies two 3", "expected an atom and a number"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_a_damaged_header_does_not_become_a_magnetisation(tmp_path, name):
    """Though its grid line is that of the frame before."""
    place, line, message = DAMAGE[name]
    path = tmp_path / "CHGCAR"
    densities = list(trajectory(3))
    for density in densities:
        density.extra.update(comment="unknown system", augmentation=[AUGMENTATION])
    files = concatenate(path, densities)
    lines = files[1].split("\n")
    lines[place if place > 0 else place - 1] = line
    path.write_text(files[0] + "\n".join(lines) + files[2])
    for name in path, f"{path}@2":
        with pytest.raises(ChargeError, match=rf"CHGCAR:\d+: {message}.*in frame 1; .* CHGCAR@:1"):
            read_density(name)
    assert read_density(f"{path}@0").extra["spin"] == []


@pytest.mark.slow
@pytest.mark.parametrize("n_spin", [0, 1])
@pytest.mark.parametrize("augmentation", ["", AUGMENTATION])
def test_cut_off(tmp_path, n_spin, augmentation):
    """As a running job leaves it, wherever: the error tells which frames are complete."""
    path = tmp_path / "CHGCAR"
    densities = list(trajectory(3, n_spin, shape=(2, 3, 2)))
    for density in densities:
        density.extra.update(comment="unknown system", augmentation=[augmentation] * (n_spin + 1))
    files = concatenate(path, densities)
    text = "".join(files)
    start = len(files[0] + files[1])
    last_text = len(augmentation) + 3  # the end of the line of values is white space
    for cut in range(start + 1, len(text) - last_text, 5):
        path.write_text(text[:cut])
        with pytest.raises(ChargeError) as caught:
            list(iterate_densities(path))
        assert str(caught.value).endswith("(in frame 2; those before it are complete: CHGCAR@:2)")
        assert "\n" not in str(caught.value)
        assert len(list(iterate_densities(f"{path}@:2"))) == 2
        for name in path, f"{path}@-1":
            with pytest.raises(ChargeError, match="in frame 2;"):
                read_density(name)


# commands


def test_info(chg, capsys):
    assert main(["info", "CHG", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [fact["file"] for fact in facts] == [f"CHG@{k}" for k in range(5)]
    assert [fact["volume"] for fact in facts] == [pytest.approx(d.volume) for d in trajectory(5)]
    assert main(["info", "CHG@-2:"]) == 0
    assert [line for line in capsys.readouterr().out.splitlines() if line[0] != " "] == [
        "CHG@3:",
        "CHG@4:",
    ]


def test_convert(chg, capsys):
    """As if every frame were a file of its own."""
    for k, density in enumerate(trajectory(5)):
        write_chg(f"CHG_{k}", [density])
    options = ["--points", "20", "--points-per-frame", "10", "--seed", "3"]
    assert main(["convert", "CHG", "-o", "all", *options]) == 0
    assert main(["convert", *(f"CHG_{k}" for k in range(5)), "-o", "each", *options]) == 0
    assert main(["convert", "CHG@1::2", "-o", "some", *options]) == 0
    assert main(["convert", "CHG_1", "CHG_3", "-o", "same", *options]) == 0
    assert "all: 10 frames, 100 points, 14.000 electrons, Si O" in capsys.readouterr().out
    for one, other in ("all", "each"), ("some", "same"):
        for name in "coord", "box", "density", "n_electrons", "grid_shape":
            np.testing.assert_array_equal(
                *(np.load(f"{x}/set.000/{name}.npy") for x in (one, other))
            )


def test_convert_of_a_running_job(chg, capsys):
    text = chg.read_text()
    chg.write_text(text[:-200])
    line = complaint(capsys, "convert", "CHG", "-o", "dp")
    assert "(in frame 4; those before it are complete: CHG@:4)" in line
    assert not Path("dp").exists()
    assert (
        main(["convert", "CHG@:4", "-o", "dp", "--points", "10", "--points-per-frame", "10"]) == 0
    )
    assert "dp: 4 frames" in capsys.readouterr().out


def test_convert_with_superpositions(chg, capsys):
    """Of a fit to all frames; or of a file, for one frame."""
    options = ["--points", "20", "--points-per-frame", "10", "--seed", "3"]
    assert main(["convert", "CHG", "-o", "fitted", "--saed", "fit", *options]) == 0
    assert np.load("fitted/set.000/saed.npy").any()
    write_chg("CHG_saed", trajectory(5))
    assert main(["convert", "CHG@3", "-o", "one", "--saed", "CHG_saed@3", *options]) == 0
    np.testing.assert_array_equal(*(np.load(f"one/set.000/{x}.npy") for x in ("saed", "density")))
    assert "holds the densities of 5 frames" in complaint(
        capsys, "convert", "CHG@3", "-o", "dp", "--saed", "CHG_saed", *options
    )
    assert "the density itself" in complaint(
        capsys, "convert", "CHG@3", "-o", "dp", "--saed", "CHG@3"
    )
    # of all frames one superposition is that of one
    assert "different cells" in complaint(
        capsys, "convert", "CHG", "-o", "dp", "--saed", "CHG_saed@0", *options
    )


def test_test(chg, capsys):
    names = [f"CHG_{k}" for k in range(5)]
    for name, density in zip(names, trajectory(5), strict=True):
        write_chg(name, [Density(density.atoms, density.values * 1.01, extra={"spin": []})])
    for system, prediction in (["CHG"], names), (names, ["CHG"]), (["CHG@:2", "CHG@2:"], names):
        argv = ["test", "-s", *system, "-p", *prediction, "--json", "errors.json", "--unchecked"]
        assert main(argv) == 0
        rows = json.loads(Path("errors.json").read_text())["files"]
        assert [row["nmae"] for row in rows] == [pytest.approx(1.0, abs=0.02)] * 5
        files = names if system == names else [f"CHG@{k}" for k in range(5)]
        assert [row["file"] for row in rows] == files
    capsys.readouterr()
    line = complaint(capsys, "test", "-s", "CHG", "-p", *names[:4])
    assert "-p has 4 files and -s 1, with 4 and 5 densities; give one for each" in line
    assert "with 5 and 6 densities" in complaint(
        capsys, "test", "-s", "CHG@1:", "CHG@:4:2", "-p", "CHG"
    )
    assert "with 5 and 4 densities" in complaint(capsys, "test", "-s", "CHG@:-1", "-p", *names)
    assert "with 2 and 1 densities" in complaint(
        capsys, "test", "-s", "CHG_0", "-p", "CHG_0", "CHG_1"
    )
    assert "CHG@1: -p has none for it" in complaint(capsys, "test", "-s", "CHG", "-p", "CHG_0")
    assert "CHG@1: -s has none for it" in complaint(capsys, "test", "-s", "CHG_0", "-p", "CHG")


@pytest.mark.slow
def test_commands_that_take_one(chg, capsys):
    commands = [
        (["plot", "CHG@1", "-o", "a.png"], ["plot", "CHG", "-o", "b.png"]),
        (["plot", "CHG@1", "CHG@1", "-o", "c.png"], ["plot", "CHG@1", "CHG", "-o", "d.png"]),
        (["diff", "CHG@1", "CHG@1", "-o", "e.cube"], ["diff", "CHG@1", "CHG", "-o", "f.cube"]),
        (
            ["regrid", "CHG@-1", "-o", "g.cube", "--like", "CHG@0"],
            ["regrid", "CHG@1", "-o", "h.cube", "--like", "CHG"],
        ),
        (
            ["regrid", "CHG@2", "-o", "CHGCAR_2", "--grid", "8", "8", "8"],
            ["regrid", "CHG", "-o", "CHGCAR_3", "--grid", "8", "8", "8"],
        ),
    ]
    for good, bad in commands:
        assert main(good) == 0
        assert "CHG: holds the densities of 5 frames: choose one, such as CHG@0" in complaint(
            capsys, *bad
        )
        assert not Path(bad[-1] if bad[0] != "regrid" else bad[3]).exists()
    last = list(trajectory(5))[-1]
    np.testing.assert_allclose(read_density("g.cube").atoms.cell, last.atoms.cell, rtol=1e-9)
    assert read_density("CHGCAR_2").volume == pytest.approx(list(trajectory(5))[2].volume)
    for command in (
        ["info", "CHG@9"],
        ["plot", "CHG@9", "-o", "i.png"],
        ["convert", "CHG@9", "-o", "dp"],
    ):
        assert "CHG: there is no frame 9 in this file, which has 5" in complaint(capsys, *command)


def test_dpdata(chg):
    options = {"n_points": 20, "points_per_frame": 10, "seed": 3}
    system = dpdata.System("CHG", fmt="vasp/chgcar", **options)
    assert len(system) == 10 and system["n_electrons"] == pytest.approx([ELECTRONS] * 10, abs=1e-3)
    assert (
        main(
            [
                "convert",
                "CHG",
                "-o",
                "dp",
                "--points",
                "20",
                "--points-per-frame",
                "10",
                "--seed",
                "3",
            ]
        )
        == 0
    )
    system.to("deepmd/npy", "same", set_size=10, prec=float)
    for name in "coord", "box", "density", "n_electrons", "grid_shape", "density_kind":
        np.testing.assert_array_equal(*(np.load(f"{x}/set.000/{name}.npy") for x in ("dp", "same")))
    assert len(dpdata.System("CHG@2", fmt="density", **options)) == 2
    with pytest.raises(ChargeError, match="no frame 5"):
        dpdata.System("CHG@5", fmt="density", **options)


@pytest.mark.parametrize("path", shared("fault_cases/18-*/CHG"))
def test_fault_case(path):
    truth = VaspChargeDensity(str(path))
    found = list(iterate_densities(path))
    assert [round(density.n_electrons, 6) for _, density in found] == [14, 14, 14]
    for (_, density), values in zip(found, truth.chg, strict=True):
        np.testing.assert_allclose(density.values, values, rtol=1e-14)


# structures


@pytest.mark.parametrize("name, n", [("t.extxyz", 3), ("t.traj", 3), ("t.cif", 3), ("POSCAR", 1)])
def test_no_structure_that_is_not_there(tmp_path, name, n):
    """The frames of a list, by numbers from either end; ase takes the first of a few for -13."""
    path = str(tmp_path / name)
    structures = [bulk("Si", a=5.0 + 0.1 * k) for k in range(n)]
    write(path, structures)
    for number in range(-n, n):
        [(_, atoms, _)] = iterate_structures(path, str(number))
        expected = structures[number].cell.volume
        assert atoms.cell.volume == pytest.approx(expected, rel=1e-4)
    for number in (-n - 10, -n - 1, n, n + 10):
        message = f"{name}: there is no frame {number} in this file, which has {n}: count from 0"
        with pytest.raises(ChargeError, match=message):
            list(iterate_structures(path, str(number)))
