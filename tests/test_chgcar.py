# SPDX-License-Identifier: LGPL-3.0-or-later
"""CHGCAR files, against pymatgen and ase."""

import bz2
import gzip
import lzma
import os
import tracemalloc
import warnings

import numpy as np
import pytest
from ase.calculators.vasp import VaspChargeDensity
from conftest import shared
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pymatgen.io.vasp.outputs import Chgcar

from deepmd_charge import ChargeError, Density, read_density, write_density
from deepmd_charge.io import format_of
from deepmd_charge.io.formats import writable_format
from deepmd_charge.io.text import numbers as _numbers

HEADER = """\
two atoms
   1.0
     3.000000    0.000000    0.000000
     0.300000    3.500000    0.000000
     0.000000    0.000000    4.000000
   Si   C
     1     1
Direct
  0.000000  0.000000  0.000000
  0.500000  0.250000  0.500000

    2    3    4
"""
VOLUME = 3.0 * 3.5 * 4.0
VALUES = np.arange(1.0, 25.0) / 2  # mean 6.25 electrons
BODY = "".join(
    "".join(f" 0.{round(v * 1e9):011d}E+02" for v in VALUES[i : i + 5]) + "\n"
    for i in range(0, 24, 5)
)
AUGMENTATION = """\
augmentation occupancies   1   7
  0.1000000E+01 -0.2000000E-01  0.0000000E+00  0.0000000E+00  0.5000000E+00
 -0.1234567E-18  0.1000000E+01
augmentation occupancies   2   2
  0.1000000E+01 -0.2000000E-01
"""
MOMENTS = "  0.100000000000E+01  0.200000000000E+01\n"
GRID = "    2    3    4\n"


@pytest.fixture
def save(tmp_path):
    """Write text (or bytes) to a file named CHGCAR, or otherwise."""

    def save(text, name="CHGCAR"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return save


@pytest.fixture(autouse=True)
def _whole_electrons():
    """The small files here integrate to 6.25 electrons; that warning has its own test."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*not a whole number")
        yield


def expected_values():
    """Of the file's numbers, of which x runs fastest."""
    values = np.empty((2, 3, 4))
    for n, value in enumerate(VALUES):
        values[n % 2, n // 2 % 3, n // 6] = value / VOLUME
    return values


def assert_same_file(text, reference):
    """Equal but for what VASP's versions do differently in a header."""
    # some were edited since: spaces at the end of lines are gone
    lines = [[line.rstrip() for line in file.splitlines()] for file in (text, reference)]
    header = 8 + sum(map(int, lines[1][6].split()))
    assert lines[0][header:] == lines[1][header:]


# reading


def test_read(save):
    density = read_density(save(HEADER + BODY + AUGMENTATION))
    np.testing.assert_allclose(density.values, expected_values(), rtol=1e-15)
    assert density.n_electrons == pytest.approx(6.25)
    assert density.kind == "vasp/chgcar"
    assert density.atoms.get_chemical_symbols() == ["Si", "C"]
    assert density.atoms.pbc.all()
    np.testing.assert_allclose(density.atoms.positions[1], [1.5 + 0.075, 0.875, 2.0], atol=1e-15)
    assert density.extra == {"comment": "two atoms", "spin": [], "augmentation": [AUGMENTATION]}


@pytest.mark.parametrize("columns", [1, 3, 5, 10, 24])
@pytest.mark.parametrize("style", ["{:.10f}", " {:12.4E}", "{:.17g}"])
def test_columns_and_styles(save, columns, style):
    words = [style.format(v) for v in VALUES]
    body = "".join(" ".join(words[i : i + columns]) + "\n" for i in range(0, 24, columns))
    density = read_density(save(HEADER + body + AUGMENTATION))
    np.testing.assert_allclose(density.values, expected_values(), rtol=1e-4)
    assert density.extra["augmentation"] == [AUGMENTATION]


def test_uneven_lines(save):
    words = BODY.split()
    body = "".join(" ".join(words[a:b]) + "\n\n" for a, b in [(0, 2), (2, 11), (11, 12), (12, 24)])
    density = read_density(save(HEADER + body + AUGMENTATION))
    np.testing.assert_allclose(density.values, expected_values(), rtol=1e-15)
    assert density.extra["augmentation"][0].lstrip("\n") == AUGMENTATION


def test_fortran_numbers(save):
    """No leading zero, a D, and the three-digit exponent that pushes out the E."""
    words = BODY.split()
    words[:4] = ["-.23867E-02", "0.25D+01", "0.12345678901-101", "-.5-100"]
    density = read_density(save(HEADER + " ".join(words) + "\n"))
    first = density.values.reshape(-1, order="F")[:4] * VOLUME
    np.testing.assert_allclose(first, [-0.0023867, 2.5, 0.12345678901e-101, -0.5e-100], rtol=1e-14)


def test_dos_lines(save):
    text = (HEADER + BODY + AUGMENTATION).replace("\n", "\r\n")
    density = read_density(save(text))
    np.testing.assert_allclose(density.values, expected_values(), rtol=1e-15)
    assert density.extra["augmentation"] == [AUGMENTATION]


def test_no_newline_at_the_end(save):
    density = read_density(save((HEADER + BODY).rstrip("\n")))
    np.testing.assert_allclose(density.values, expected_values(), rtol=1e-15)


@pytest.mark.parametrize("suffix, module", [(".gz", gzip), (".xz", lzma)])
def test_compressed(save, suffix, module):
    path = save(module.compress((HEADER + BODY).encode()), "CHGCAR" + suffix)
    np.testing.assert_allclose(read_density(path).values, expected_values(), rtol=1e-15)
    copies = [path.with_name("CHGCAR_copy"), path.with_name("CHGCAR_copy" + suffix)]
    for copy in copies:
        write_density(copy, read_density(path))
    with module.open(copies[1]) as file:
        assert file.read() == copies[0].read_bytes()


@pytest.mark.parametrize(
    "scale, cell",
    [
        ("2.0", np.diag([2.0, 2.0, 2.0])),
        ("-336.0", np.diag([2.0, 2.0, 2.0])),
        ("1.0 2.0 0.5", np.diag([1.0, 2.0, 0.5])),
    ],
)
@pytest.mark.parametrize("mode", ["Direct", "Cartesian", "Selective"])
def test_scale_and_modes(save, scale, cell, mode):
    cell = np.array([[3.0, 0, 0], [0.3, 3.5, 0], [0, 0, 4]]) @ cell
    text = HEADER.replace("   1.0\n", f"   {scale}\n")
    if mode == "Selective":
        text = text.replace("Direct", "Selective dynamics\nDirect")
        text = text.replace("0.250000  0.500000\n", "0.250000  0.500000 T F T\n")
    text = text.replace("Direct", "Cartesian" if mode == "Cartesian" else "Direct")
    density = read_density(save(text + BODY))
    np.testing.assert_allclose(density.atoms.cell.array, cell, rtol=1e-12)
    position = np.array([0.5, 0.25, 0.5])
    if mode == "Cartesian":
        expected = position * (np.diag(cell) / [3.0, 3.5, 4.0])
    else:
        expected = position @ cell
    np.testing.assert_allclose(density.atoms.positions[1], expected, rtol=1e-12)
    assert density.n_electrons == pytest.approx(6.25)


def test_vasp6_labels(save):
    text = HEADER.replace("   Si   C\n     1     1\n", "   Si_sv_GW/8f3a01 C/ H.5\n 1 1 1\n")
    text = text.replace("\n\n", "\n 0.1 0.1 0.1\n\n")
    assert read_density(save(text + BODY)).atoms.get_chemical_symbols() == ["Si", "C", "H"]


def test_spin_blocks_and_moments(save):
    block = GRID + BODY + AUGMENTATION
    for n_blocks in (2, 4):
        text = HEADER + BODY + AUGMENTATION + MOMENTS + (n_blocks - 1) * block
        density = read_density(save(text))
        assert len(density.extra["spin"]) == n_blocks - 1
        for spin in density.extra["spin"]:
            np.testing.assert_allclose(spin, expected_values(), rtol=1e-15)
        assert density.extra["augmentation"][0] == AUGMENTATION + MOMENTS
        copy = save("", "CHGCAR_copy")
        write_density(copy, density)
        again = read_density(copy)
        assert again.extra["augmentation"] == density.extra["augmentation"]
        np.testing.assert_allclose(again.extra["spin"], density.extra["spin"], rtol=1e-15)


def test_odd_count_warns(save):
    with pytest.warns(UserWarning, match=r"CHGCAR: .* 6\.25 electrons"):
        read_density(save(HEADER + BODY))


def test_padded_last_line(save):
    """Scripts that add CHGCARs fill the last line with zeros."""
    padded = BODY.rstrip("\n") + " 0.00000000000E+00\n"
    assert read_density(save(HEADER + padded)).n_electrons == pytest.approx(6.25)


# the parser of fixed columns against Python's float


numbers = st.floats(-1e308, 1e308)
# 11 digits and a five, most of them no double: just above or below the middle of two
middles = st.builds(
    "{}{}5e{}".format,
    st.integers(10**10, 10**11 - 1),
    st.sampled_from(["", "", "000", "99"]),
    st.integers(-320, 293),  # finite, whatever stands before
).map(float)
ties = st.builds(
    lambda n, k: (2 * n + 1) * 2.0**k, st.integers(10**10, 10**11), st.integers(-12, 7)
)
nines = st.builds(
    lambda n, k: float(f"0.{'9' * n}6e{k}"), st.integers(1, 16), st.integers(-300, 300)
)


def printed(value):
    """A field by Python's own rounding."""
    if value and not 1e-98 < abs(value) < 1e98:
        return f"{value:18.9E}"
    digits, exponent = f"{abs(value):.10E}".split("E")
    power = int(exponent) + (value != 0)
    return f" {'-' if value < 0 else '0'}.{digits[0]}{digits[2:]}E{power:+03d}"


def assert_printed(monkeypatch, rows, columns):
    """Compiled code and Python print the same, to the last byte."""
    expected = ""
    for row in rows.tolist():
        words = [printed(value) for value in row]
        lines = ["".join(words[i : i + columns]) for i in range(0, len(row), columns)]
        expected += "".join(line + "\n" for line in lines)
        if len(row) % columns:
            expected = expected[:-1] + "  \n"
    assert _numbers.format_values(rows, columns).decode() == expected
    with monkeypatch.context() as patch:
        patch.setattr(_numbers, "_compiled", lambda *arguments: None)
        assert _numbers.format_values(rows, columns).decode() == expected


@settings(deadline=None)
@given(
    st.lists(numbers | st.floats(-1e3, 1e3) | middles | ties | nines, max_size=30),
    st.integers(1, 3),
)
@example([0.0, -0.0, 1.0, 1e10, 0.999999999996, 9.999999999999, 1e-98, -1e98, 5e-324, 1.7e308], 1)
@example([float(f"{m}e{k}") for m in (1, 9.99999999996, 9.9999999995) for k in range(-323, 308)], 1)
@example(
    [12345678900.5, -12345678901.5, 123456789005.0, 123456789015.0, 3 * 2.0**-16, 5 * 2.0**-16], 1
)
def test_format_is_pythons(values, n_rows):
    with pytest.MonkeyPatch.context() as monkeypatch:
        rows = np.array(values * n_rows).reshape(n_rows, -1)
        for columns in 5, 6:
            assert_printed(monkeypatch, rows, columns)
        text = _numbers.format_values(rows)
        words = text.split()
        assert len(words) == rows.size
        if values:
            assert_scanned(text, [float(word) for word in words])


def test_many_numbers_are_printed_alike(monkeypatch):
    """Of all magnitudes, and of those of a density."""
    generator = np.random.default_rng(0)
    bits = generator.integers(0, 2**64, (50, 301), dtype=np.uint64).view(np.float64)
    assert_printed(monkeypatch, np.where(np.isfinite(bits), bits, 1.0), 6)
    assert_printed(monkeypatch, generator.normal(size=(1, 15003)), 5)


def test_printed_like_vasp():
    values = [0.44062142953, -0.0023867, 1.0, -99999999999.6, 0.0, 1e-5, 9.99999999999]
    expected = (
        " 0.44062142953E+00 -.23867000000E-02 0.10000000000E+01 -.10000000000E+12"
        " 0.00000000000E+00\n"
        " 0.10000000000E-04 0.10000000000E+02  \n"
    )
    assert _numbers.format_values(np.array(values)).decode() == expected


# writing


@pytest.mark.parametrize("order", ["C", "F"])
def test_write_reads_back(tmp_path, density, order):
    path = tmp_path / "CHGCAR"
    write_density(path, Density(density.atoms, np.array(density.values, order=order)))
    again = read_density(path)
    np.testing.assert_allclose(again.values, density.values, rtol=6e-11, atol=0)
    np.testing.assert_allclose(again.atoms.positions, density.atoms.positions, atol=1e-14)
    np.testing.assert_allclose(again.atoms.cell, density.atoms.cell, atol=1e-15)
    assert list(again.atoms.symbols) == ["Si", "C", "Si"]
    lines = path.read_text().splitlines()
    assert lines[5].split() == ["Si", "C", "Si"]
    assert lines[6].split() == ["1", "1", "1"]


def test_pymatgen_and_ase_read_it(tmp_path, density):
    path = tmp_path / "CHGCAR"
    write_density(path, density)
    assert_others_agree(path, density)


def test_second_writing_is_identical(tmp_path, density):
    first, second = tmp_path / "CHGCAR_1", tmp_path / "CHGCAR_2"
    write_density(first, density)
    write_density(second, read_density(first))
    header = 12  # the comment holds nothing but the formula
    assert first.read_text().splitlines()[header:] == second.read_text().splitlines()[header:]


def assert_others_agree(path, density):
    """Pymatgen and ase hold the same values, cell and atoms."""
    chgcar = Chgcar.from_file(str(path))
    volume = density.volume
    scale = np.abs(density.values).max() * volume
    total = chgcar.data["total"]
    np.testing.assert_allclose(total, density.values * volume, rtol=6e-11, atol=1e-15 * scale)
    np.testing.assert_allclose(chgcar.structure.lattice.matrix, density.atoms.cell, atol=1e-10)
    assert [site.specie.symbol for site in chgcar.structure] == list(density.atoms.symbols)
    ours = density.atoms.get_scaled_positions(wrap=False)
    apart = chgcar.structure.frac_coords - ours
    np.testing.assert_allclose(apart - np.round(apart), 0, atol=1e-10)
    spin = density.extra.get("spin", [])
    if len(spin) == 1:
        np.testing.assert_allclose(
            chgcar.data["diff"], spin[0] * volume, rtol=6e-11, atol=1e-15 * scale
        )
    ase = VaspChargeDensity(str(path))
    np.testing.assert_allclose(ase.chg[0], density.values, rtol=6e-11, atol=1e-15 * scale)
    assert list(ase.atoms[0].symbols) == list(density.atoms.symbols)


def test_real_density(al32, tmp_path):
    density = read_density(al32)
    assert density.n_electrons == pytest.approx(96, abs=1e-4)
    assert density.shape == (45, 45, 45)
    plain = tmp_path / "CHGCAR"
    write_density(plain, density)
    assert_others_agree(plain, density)


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore:.*")
@pytest.mark.parametrize(
    "path",
    shared("real_density_files/*/*CHGCAR.gz")
    + shared("real_density_files/*/*CHGCAR")
    + shared("real_density_files/*/CHGCAR.*spin.gz")
    + shared("qe/*/1/CHGCAR*.gz"),
)
def test_shared_files(path, tmp_path):
    if path.name == "tiny.CHGCAR":
        pytest.skip("made up: more electrons than protons")
    density = read_density(path)
    raw = (gzip.open if path.suffix == ".gz" else open)(path, "rt", newline="").read()
    plain = tmp_path / "CHGCAR"
    plain.write_text(raw.replace("\r\n", "\n"))
    assert_others_agree(plain, density)
    copy = tmp_path / "CHGCAR_copy"
    write_density(copy, density)
    assert_others_agree(copy, density)
    if "qe" not in path.parts:
        assert_same_file(copy.read_text(), plain.read_text())


@pytest.mark.filterwarnings("ignore:.*")
@pytest.mark.parametrize("path", shared("real_density_files/*/*.CHG.gz"))
def test_shared_chg(path):
    """Ten columns of five digits."""
    chg = read_density(path)
    chgcar = read_density(path.with_name(path.name.replace("CHG", "CHGCAR")))
    np.testing.assert_allclose(chg.values, chgcar.values, rtol=1e-4, atol=1e-9)
    assert len(chg.extra["spin"]) == 1


@pytest.mark.filterwarnings("ignore:.*")
@pytest.mark.parametrize("path", shared("real_density_files/*/*NiO_SOC.gz"))
def test_shared_noncollinear(path, tmp_path):
    density = read_density(path)
    assert density.n_electrons == pytest.approx(44, abs=1e-3)
    plain = tmp_path / "CHGCAR"
    write_density(plain, density)
    chgcar = Chgcar.from_file(str(plain))
    for name, spin in zip(["diff_x", "diff_y", "diff_z"], density.extra["spin"], strict=True):
        np.testing.assert_allclose(chgcar.data[name], spin * density.volume, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("path", shared("real_density_files/*/*Fe3O4_ref.gz"))
def test_shared_too_many_electrons(path):
    with pytest.raises(ChargeError, match=r"395\.336 electrons, where Fe6O8 .* 220"):
        read_density(path)


@pytest.mark.slow
def test_memory(tmp_path):
    """Reading needs less than three, writing less than one more of the array."""
    from ase import Atoms

    n = 128
    atoms = Atoms("U2", cell=[5, 5, 5], positions=[[0, 0, 0], [1, 1, 1]], pbc=True)
    density = Density(atoms, np.full((n, n, n), 8 / 125))
    tracemalloc.start()
    write_density(tmp_path / "CHGCAR", density)
    assert tracemalloc.get_traced_memory()[1] < density.values.nbytes
    tracemalloc.reset_peak()
    read_density(tmp_path / "CHGCAR")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 3 * density.values.nbytes


# bad input


def drop_last_values(text):
    return text[: text.index(BODY) + len(BODY) - 20]


BAD = {
    "truncated": (lambda t: drop_last_values(t), r":\d+|ends after 2\d of 24"),
    "truncated in a line": (lambda t: t[: t.index(BODY) + 150], "CHGCAR.*truncated"),
    "truncated in the header": (lambda t: t[:100], "CHGCAR:5: expected cell vector 3"),
    "truncated after the header": (lambda t: HEADER, "ends after 0 of 24"),
    "values missing": (
        lambda t: t.replace(BODY, BODY[:72] + "\n"),
        r"CHGCAR:14: expected value 5 of the 24.*'augmentation'",
    ),
    "stars": (
        lambda t: t.replace("0.01500000000E+02", "*****************", 1),
        r"CHGCAR:13: '\*{17}' is a number that did not fit",
    ),
    "nan": (lambda t: t.replace("0.03500000000E+02", "NaN", 1), "CHGCAR:14: 'NaN'"),
    "infinity": (lambda t: t.replace("0.03500000000E+02", "-Infinity", 1), "CHGCAR:14: '-Inf"),
    "words": (
        lambda t: t.replace("0.03500000000E+02", "0.035x0000000E+02", 1),
        "CHGCAR:14: .*x000",
    ),
    "too many values": (
        lambda t: t.replace("    2    3    4", "    2    3    3", 1).replace(AUGMENTATION, ""),
        "CHGCAR:16: more than the 18 values",
    ),
    "a line too many": (
        lambda t: t.replace(GRID, "    1    4    5\n").replace(AUGMENTATION, ""),
        r"CHGCAR:17: 4 values after the grid's 1 x 4 x 5",
    ),
    "far too many values": (
        lambda t: t.replace(GRID, "    5    1    1\n"),
        "CHGCAR:15: more values",
    ),
    "counts above positions": (
        lambda t: t.replace("     1     1\n", "     1     2\n"),
        "CHGCAR:11: expected position 3 of the 3 that the header counts, found ''",
    ),
    "counts below positions": (
        lambda t: t.replace("   Si   C\n     1     1\n", "   Si\n     1\n"),
        "CHGCAR:10: expected the grid line .*counts",
    ),
    "counts and elements": (
        lambda t: t.replace("     1     1\n", "     2\n"),
        "CHGCAR:7: 1 counts for 2 elements",
    ),
    "vasp 4": (lambda t: t.replace("   Si   C\n", ""), "CHGCAR:6: .*VASP 4"),
    "element": (lambda t: t.replace("   Si   C\n", "  Qq C\n"), "CHGCAR:6: 'Qq' is not an element"),
    "scale": (lambda t: t.replace("   1.0\n", "abc\n"), "CHGCAR:2: expected a scale factor"),
    "no volume": (
        lambda t: t.replace("4.000000\n", "0.000000\n"),
        "CHGCAR:5: the cell has no volume",
    ),
    "mode": (lambda t: t.replace("Direct", "Reciprocal"), "CHGCAR:8: expected 'Direct'"),
    "no grid": (lambda t: t.replace(GRID, ""), "CHGCAR:12: expected the grid line"),
    "zero grid": (
        lambda t: t.replace(GRID, "    0    3    4\n"),
        "CHGCAR:12: a grid of zero points",
    ),
    "huge grid": (lambda t: t.replace(GRID, " 99999 99999 99999\n"), "CHGCAR:12: .* too small"),
    "augmentation": (lambda t: t[:-20], "occupancies of atom 2 lack 1 values"),
    "augmentation counts": (
        lambda t: t[: t.index("augmentation occupancies   2")],
        "up to atom 1, but the header counts 2 atoms",
    ),
    "three grids": (lambda t: t + 2 * (GRID + BODY), "3 grids"),
    "no electrons": (lambda t: t.replace(" 0.", " -."), r"integrates to -6\.25 electrons"),
    "too many electrons": (lambda t: t.replace("E+02", "E+03"), r"62\.5 electrons.* 0 and 20"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_file(save, name):
    damage, message = BAD[name]
    good = HEADER + BODY + AUGMENTATION
    path = save(damage(good))
    assert path.read_text() != good
    with pytest.raises(ChargeError, match=message) as caught:
        read_density(path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["LOCPOT", "ELFCAR", "Si.LOCPOT.gz"])
@pytest.mark.parametrize("format", [None, "vasp/chgcar"])
def test_other_quantities(save, name, format):
    with pytest.raises(ChargeError, match="not a charge density"):
        read_density(save(HEADER + BODY, name), format=format)


def test_no_file(tmp_path, save):
    for path, message in {
        tmp_path / "CHGCAR_missing": "No such file",
        tmp_path / "CHGCAR": "directory",
        save("", "CHGCAR_empty"): "is empty",
        save(os.urandom(100_000), "CHGCAR_junk"): "CHGCAR_junk:2|CHGCAR_junk:1",
        save(b"\0" * 100_000, "CHGCAR_zeros"): "without end",
        save(HEADER + BODY, "CHGCAR.gz"): "is not gzipped: leave .gz out of its name",
        save(gzip.compress((HEADER + BODY).encode())[:-30], "CHGCAR_cut.gz"): "decompressed",
        save(HEADER + BODY, "CHGCAR.xz"): "is not packed by xz: leave .xz out of its name",
        save(gzip.compress(b"Si"), "CHGCAR_gz"): "is gzipped: name it .gz",
        save(lzma.compress(b"Si"), "CHGCAR_xz.gz"): "is packed by xz: name it .xz",
        save(bz2.compress(b"Si"), "CHGCAR_bz2"): "is packed by bzip2: unpack it",
        save(lzma.compress((HEADER + BODY).encode())[:-40], "CHGCAR_cut.xz"): "decompressed",
    }.items():
        if path.name == "CHGCAR":
            path.mkdir()
        with pytest.raises(ChargeError, match=message) as caught:
            read_density(path)
        assert str(path) in str(caught.value)
        assert "\n" not in str(caught.value)


def test_formats_by_name(tmp_path):
    for name in ["CHGCAR", "a/CHGCAR.gz", "Si.CHGCAR.xz", "CHGCAR_pred", "chg", "CHG.gz", "si.chg"]:
        assert format_of(name) == "vasp/chgcar"
    with pytest.raises(ChargeError, match=r"does not tell.*give its format"):
        format_of("density.dat")
    with pytest.raises(ChargeError, match=r"call it CHGCAR_..., NAME.cube or NAME.xsf$"):
        writable_format("density.dat")
    with pytest.raises(ChargeError, match=r"is a folder: give the CHGCAR or prefix.save in it"):
        format_of(tmp_path)
    with pytest.raises(ChargeError, match=r"CHGCAR.bz2: only .gz and .xz"):
        format_of("CHGCAR.bz2")
    with pytest.raises(ChargeError, match="unknown format 'cube2'"):
        format_of("CHGCAR", "cube2")


def test_what_cannot_be_written(tmp_path, density):
    path = tmp_path / "CHGCAR"
    path.write_text("before")

    def refuse(density, message, path=path):
        with pytest.raises(ChargeError, match=message):
            write_density(path, density)
        assert [p.name for p in tmp_path.iterdir()] == ["CHGCAR"]
        assert (tmp_path / "CHGCAR").read_text() == "before"

    values = density.values.copy()
    values[-1, -1, -1] = np.nan
    refuse(Density(density.atoms, values), "not finite")
    refuse(Density(density.atoms, density.values, origin=(0, 0, 1)), "origin")
    refuse(Density(density.atoms[:0], density.values), "needs atoms")
    refuse(Density(density.atoms, density.values, extra={"spin": [values[:2]]}), "do not match")
    refuse(density, "LOCPOT", tmp_path / "LOCPOT")
    refuse(density, "no folder", tmp_path / "nowhere" / "CHGCAR")


def assert_scanned(text, expected, divisor=1.0):
    """Both parsers give these numbers to the last bit, and stop after the last wanted one."""
    expected = np.asarray(expected) / divisor
    for scan in (_numbers.scan, _numbers._scan):
        values = np.empty(len(expected) + 1)
        found = scan(text, values, divisor)
        assert found == (len(expected), len(text), text.count(b"\n"))
        np.testing.assert_array_equal(values[:-1].view(np.int64), expected.view(np.int64))
        values = np.empty(len(expected) // 2)
        count, end, n_lines = scan(text, values, divisor)
        assert count == len(values)
        np.testing.assert_array_equal(values, expected[: len(values)])
        if count:
            assert (
                text[:end].split() == text.split()[:count]
                and text[end:].split() == text.split()[count:]
            )
            assert n_lines == text[:end].count(b"\n") and not text[end - 1 : end].isspace()


@settings(deadline=None)
@given(
    st.lists(
        st.floats(-1e300, 1e300)
        | st.floats(-1e-25, 1e-25)
        | st.floats(-10, 10)
        | st.integers(-(10**6), 10**6),
        min_size=1,
    ),
    st.sampled_from(
        [
            "{:.5E}",
            "{:13.5e}",
            "{:.3e}",
            "{:.16e}",
            "{:.18e}",
            "{!r}",
            "{:+.8E}",
            "{:g}",
            "{:.0f}.",
            "{:.30f}",
        ]
    ),
    st.sampled_from([" ", "\n", "\r\n", "\t", "  \n "]),
    st.sampled_from([1.0, 42.0, 0.3]),
)
def test_scan_is_float(values, style, blank, divisor):
    text = "".join(style.format(value) + blank for value in values).encode()
    assert_scanned(text, [float(word) for word in text.split()], divisor)


fields = st.tuples(
    st.sampled_from(["0.", "-."]), st.integers(0, 10**11 - 1), st.integers(-99, 99)
).map(lambda parts: f" {parts[0]}{parts[1]:011d}E{parts[2]:+03d}")


@settings(deadline=None)
@given(st.lists(fields, min_size=1), st.sampled_from(["\n", "\r\n", " \n", "\t"]))
@example([" -.00000000000E+00", " 0.00000000000E+00", " 0.00000000001E-98"], "\n")
def test_fields_are_floats(fields, blank):
    text = "".join(word + blank * (i % 5 == 4) for i, word in enumerate(fields)) + "\n"
    assert_scanned(text.encode(), [float(word) for word in fields])


@settings(deadline=None)
@given(fields, st.integers(1, 17), st.sampled_from(list("0 .+-,*/:EeDdx_\0\n\x7f\x80\xff")))
def test_a_bad_character_in_a_field(field, place, character):
    """What is no number is refused by both, with its place."""
    field = (field[:place] + character + field[place + 1 :]).encode("latin-1")
    text = b" 0.12345678901E+00\n" + field + b" 0.50000000000E+00\n"
    found = []
    for scan in (_numbers.scan, _numbers._scan):
        values = np.full(9, 7.0)
        try:
            found.append((scan(text, values, 1.0), values.tolist()))
        except _numbers.NotANumber as problem:
            found.append((problem.word, problem.index, problem.line))
    assert found[0] == found[1]
    if len(found[0]) == 3:
        word, index, line = found[0]
        assert word == text.split()[index].decode("ascii", "backslashreplace")
        assert 1 <= line <= 1 + field.count(b"\n")


def test_hard_roundings():
    """Ties, near ties, and what has less than 53 bits or more than a double's range."""
    words = ["9007199254740993", "9007199254740992.5e0", "9007199254740995e0", "1e23", "8.5e22"]
    words += ["2.2250738585072014e-308", "4.9e-324", "1.7976931348623157e308", "0e999", "-0e-999"]
    words += [
        "6.631236846766476e-316",
        "3e-400",
        "18446744073709551615",
        "99999999999999999999e-30",
    ]
    words += [
        "179769313486231580793e-10",
        "0." + 400 * "0" + "1",
        "+.5",
        "7.",
        "123456789012345678e-40",
    ]
    assert_scanned((" ".join(words) + "\n").encode(), [float(word) for word in words])


@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("layout", range(12))
def test_lines_of_all_lengths(tmp_path, monkeypatch, layout, threads):
    """Equal lines are read by several threads; any that differs must not shift a value."""
    monkeypatch.setattr("deepmd_charge.io.text.reader.CHUNK_BYTES", 400)
    monkeypatch.setattr("deepmd_charge.io.text.reader.CHUNKS", 2)
    monkeypatch.setattr("deepmd_charge.io.text.reader.THREADS", threads)
    n = (12, 10, 9)
    values = np.random.default_rng(layout).normal(size=n[0] * n[1] * n[2])
    words = [f" {value:17.10E}" for value in values]
    ends = ["\r\n" if layout == 1 else " \n" if layout == 2 else "\n"] * len(words)
    columns = {3: 10, 4: 1, 5: 7}.get(layout, 5)
    if layout == 6:  # a longer word, and so a longer line
        words[612] = " 1.23456789012345E+00"
    if layout == 7:  # lines of other lengths that are as long together
        words[600], words[605] = " 1.5E+00", words[605] + 10 * " "
    if layout == 8:  # two words in the place of one, and none in another
        words[600], words[603] = " 0.5E+00  0.25E+00", 18 * " "
        words[606], words[640] = " 0.5E+00  0.25E+00", 18 * " "
    if layout == 9:
        words[700] = " 0.12345678901-101"
    if layout == 10:  # an empty line
        words[503] += "\n"
    if layout == 11:
        words[1] += "\n"
    body = "".join(word + ends[i] * (i % columns == columns - 1) for i, word in enumerate(words))
    if len(words) % columns:
        body += "\n"
    expected = [float(w.replace("1-101", "1e-101")) for w in body.split()]
    if layout == 6:
        expected[612] = 1.23456789012345
    block = f"{n[0]} {n[1]} {n[2]}\n{body}"
    path = tmp_path / "CHGCAR"
    path.write_bytes((HEADER.replace(GRID, "") + block + AUGMENTATION + MOMENTS + block).encode())
    read = read_density(path, check=False)
    for grid in (read.values, *read.extra["spin"]):
        np.testing.assert_array_equal(grid.reshape(-1, order="F"), np.divide(expected, read.volume))
    assert read.extra["augmentation"] == [AUGMENTATION + MOMENTS, ""]
    # a bad word is found where it stands
    text = path.read_bytes()
    place = text.rindex(words[901].encode())
    path.write_bytes(text[:place] + b" x" + text[place + 2 :])
    line = text[:place].count(b"\n") + 1
    with pytest.raises(ChargeError, match=f"CHGCAR:{line}: expected value 902 of the 1080.*'x"):
        read_density(path, check=False)
    path.write_bytes(text[:place])
    with pytest.raises(ChargeError, match="ends after 901 of 1080"):
        read_density(path, check=False)


@pytest.mark.parametrize("word", ["-0.00000000001E-100", "-0.00000000001-100"])
def test_a_last_number_of_three_digits(save, word):
    """It is longer than the others, not cut; without a line end, too."""
    text = (HEADER + BODY).rstrip()
    whole = text[: text.rindex(" ") + 1] + word
    assert read_density(save(whole), check=False).values[-1, -1, -1] == pytest.approx(0, abs=1e-99)
    with pytest.raises(ChargeError, match="last number"):
        read_density(save(whole[: -len("1-100")]))


@pytest.mark.parametrize("cut", range(1, 17))
def test_cut_in_the_last_number(save, cut):
    """No heading follows that would be missed, only digits."""
    text = (HEADER + BODY).rstrip("\n")
    assert len(text.split()[-1]) == 17
    with pytest.raises(ChargeError, match=r"last number|expected value 24|ends after 23"):
        read_density(save(text[:-cut]))


def test_numbers_of_any_length_may_end_a_file(save):
    words = ["0.5", "1.25", "0.125", "3", "1e-3", "2.5"] * 4
    read_density(save(HEADER + " ".join(words)))


@pytest.mark.parametrize("name", ["AECCAR0", "AECCAR2.gz", "PARCHG.0001", "Si_static.AECCAR1"])
def test_relatives(tmp_path, density, name):
    write_density(tmp_path / name, density)
    again = read_density(tmp_path / name)
    assert again.kind == format_of(name) != "vasp/chgcar"
    np.testing.assert_allclose(again.values, density.values, rtol=6e-11)


@pytest.mark.filterwarnings("ignore:.*")
@pytest.mark.parametrize("path", shared("real_density_files/*/*.AECCAR?.gz"))
def test_shared_aeccar(path):
    expected = {"0": 23.254, "1": 8.0175, "2": 8.0131}[path.name[-4]]
    assert read_density(path).n_electrons == pytest.approx(expected, abs=1e-3)
