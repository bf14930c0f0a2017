# SPDX-License-Identifier: LGPL-3.0-or-later
"""Damaged files: a ChargeError of one line, soon and in little memory, or a density."""

import gzip
import lzma
import time
import tracemalloc
import warnings

import numpy as np
import pytest
from ase import Atoms
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from deepmd_charge import ChargeError, Density, read_density, write_density

WORDS = [
    *(b"0", b"-1", b"1", b"3", b"7", b"1000000", b"99999999999999999999", b"1e400", b"1e308", b"-1e308"),
    *(b"nan", b"inf", b"****", b"0.1E", b"1E+", b"1_0", b".", b"-", b"+.E+00", b"0.12345678901-101"),
    *(b"\n", b"\r", b"\0", b" ", b"\n\n", b"\xff", "\u0663".encode(), "\u00b2".encode(), b"#", b"x" * 300),
    *(b"Direct", b"Selective", b"augmentation occupancies 1 5", b"Si", b"X", b"PRIMVEC", b"ATOMS"),
    *(b"CRYSTAL", b"MOLECULE", b"DATAGRID_3D", b"END_DATAGRID_3D", b"2 2 2", b"1000000 1000000 1000000"),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Small good files of all formats."""
    folder = tmp_path_factory.mktemp("good")
    atoms = Atoms("SiC", [[0, 0, 0], [1, 1, 1]], cell=[3, 3, 3], pbc=True)
    values = np.random.default_rng(0).random((3, 2, 4))
    values *= 8 / (values.mean() * 27)
    spin = {"spin": [values / 3], "augmentation": ["augmentation occupancies   1   2\n 0.1 0.2\n"
            "augmentation occupancies   2   1\n 0.1\n 1.0 1.0\n", ""]}  # fmt: skip
    write_density(folder / "CHGCAR", Density(atoms, values, extra=spin))
    write_density(folder / "a.cube", Density(atoms, values))
    write_density(folder / "a.xsf", Density(atoms, values))
    atoms.pbc = False
    write_density(folder / "b.xsf", Density(atoms, values))
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


NAMES = ["CHGCAR", "a.cube", "a.xsf", "b.xsf"]


def read(path, size):
    """A density, or None after a proper complaint."""
    tracemalloc.start()
    start = time.process_time()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            density = read_density(path)
    except ChargeError as error:
        assert str(path) in str(error)
        assert "\n" not in str(error)
        density = None
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000 + 20 * size  # chunks of a megabyte, the dictionary of xz
    assert time.process_time() - start < 10
    return density


edits = st.lists(
    st.tuples(
        st.floats(0, 1),  # where
        st.integers(0, 40),  # how many bytes go
        st.sampled_from(WORDS) | st.binary(max_size=6),  # what comes
    ),
    min_size=1,
    max_size=4,
)


@settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(name=st.sampled_from(NAMES), edits=edits, end=st.floats(0, 2))
@example(name="CHGCAR", edits=[(0.0, 0, b"\0")], end=2.0)
@example(name="CHGCAR", edits=[(0.0, 0, "\u0663".encode())], end=0.5)
def test_damaged(files, tmp_path, name, edits, end):
    text = files[name]
    for place, n_gone, new in edits:
        i = int(place * len(text))
        text = text[:i] + new + text[i + n_gone :]
    text = text[: int(end * len(text))]
    path = tmp_path / name
    path.write_bytes(text)
    density = read(path, len(text))
    if density is not None:
        assert np.isfinite(density.values).all()


@settings(
    max_examples=30, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    name=st.sampled_from(NAMES),
    suffix=st.sampled_from([".gz", ".xz"]),
    place=st.floats(0, 1),
    new=st.binary(max_size=4),
    end=st.floats(0.3, 2),
)
def test_damaged_when_compressed(files, tmp_path, name, suffix, place, new, end):
    text = {".gz": gzip.compress, ".xz": lzma.compress}[suffix](files[name])
    i = int(place * len(text))
    text = (text[:i] + new + text[i + len(new) :])[: int(end * len(text))]
    path = tmp_path / (name + suffix)
    path.write_bytes(text)
    read(path, 20 * len(text))


@pytest.mark.parametrize("name", NAMES[:3])
@pytest.mark.parametrize("suffix", ["", ".gz", ".xz"])
@pytest.mark.parametrize("n", [10**6, 3000])
def test_more_points_than_the_file_can_hold(files, tmp_path, name, suffix, n):
    """Refused at once, before memory is asked for."""
    lines = files[name].splitlines()
    if name == "a.cube":
        lines[3:6] = (b"%d %s" % (n, line.split(None, 1)[1]) for line in lines[3:6])
    else:
        dims = [b"3", b"2", b"4"] if name == "CHGCAR" else [b"4", b"3", b"5"]
        lines[[line.split() for line in lines].index(dims)] = b"%d %d %d" % (n, n, n)
    text = b"\n".join(lines)
    path = tmp_path / (name + suffix)
    path.write_bytes({".gz": gzip.compress, ".xz": lzma.compress, "": bytes}[suffix](text))
    start = time.process_time()
    with pytest.raises(ChargeError, match="too small for"):
        read_density(path)
    assert time.process_time() - start < 1


@pytest.mark.parametrize("blank", [b"\0", b" ", b"\n", b"1", b"1 "])
@pytest.mark.parametrize("name", ["CHGCAR.gz", "a.cube.xz"])
def test_a_bomb(tmp_path, name, blank):
    """Much of nothing: memory stays small and time is that of unpacking it."""
    path = tmp_path / name
    pack = gzip.compress if name.endswith(".gz") else lzma.compress
    path.write_bytes(pack(blank * 20_000_000))
    assert read(path, 0) is None


def test_a_bomb_of_values(files, tmp_path):
    """A line of digits without end where the values are due."""
    path = tmp_path / "CHGCAR.gz"
    text = files["CHGCAR"]
    start = text.index(b"    3    2    4\n") + len(b"    3    2    4\n")
    path.write_bytes(gzip.compress(text[:start] + b"1" * 20_000_000))
    assert read(path, 0) is None


def test_a_bomb_after_the_values(files, tmp_path):
    """Text without end where augmentation occupancies are due."""
    path = tmp_path / "CHGCAR"
    text = files["CHGCAR"] + b"\n" * 200_000
    path.write_bytes(text)
    read(path, len(text))
