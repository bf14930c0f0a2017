# SPDX-License-Identifier: LGPL-3.0-or-later
"""Damaged files: a ChargeError of one line, soon and in little memory, or a density."""

import gzip
import lzma
import sys
import tracemalloc
import warnings

import h5py
import numpy as np
import pytest
from ase import Atoms
from conftest import DATA
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from potentials import gaussian, potcar_set, upf_of

from deepmd_charge import ChargeError, Density, read_density, write_density
from deepmd_charge.saed import RadialTable, superposition

WORDS = [
    *(
        b"0",
        b"-1",
        b"1",
        b"3",
        b"7",
        b"1000000",
        b"99999999999999999999",
        b"1e400",
        b"1e308",
        b"-1e308",
    ),
    *(
        b"nan",
        b"inf",
        b"****",
        b"0.1E",
        b"1E+",
        b"1_0",
        b".",
        b"-",
        b"+.E+00",
        b"0.12345678901-101",
    ),
    *(
        b"\n",
        b"\r",
        b"\0",
        b" ",
        b"\n\n",
        b"\xff",
        "\u0663".encode(),
        "\u00b2".encode(),
        b"#",
        b"x" * 300,
    ),
    *(b"Direct", b"Selective", b"augmentation occupancies 1 5", b"Si", b"X", b"PRIMVEC", b"ATOMS"),
    *(
        b"CRYSTAL",
        b"MOLECULE",
        b"DATAGRID_3D",
        b"END_DATAGRID_3D",
        b"2 2 2",
        b"1000000 1000000 1000000",
    ),
]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Small good files of all formats."""
    folder = tmp_path_factory.mktemp("good")
    atoms = Atoms("SiC", [[0, 0, 0], [1, 1, 1]], cell=[3, 3, 3], pbc=True)
    values = np.random.default_rng(0).random((3, 2, 4))
    values *= 8 / (values.mean() * 27)
    spin = {
        "spin": [values / 3],
        "augmentation": [
            "augmentation occupancies   1   2\n 0.1 0.2\n"
            "augmentation occupancies   2   1\n 0.1\n 1.0 1.0\n",
            "",
        ],
    }
    write_density(folder / "CHGCAR", Density(atoms, values, extra=spin))
    write_density(folder / "a.cube", Density(atoms, values))
    write_density(folder / "a.xsf", Density(atoms, values))
    atoms.pbc = False
    write_density(folder / "b.xsf", Density(atoms, values))
    with h5py.File(folder / "a.h5", "w") as file:
        file["charge/charge"] = (values * 27).T[None]
        file["structure/positions/lattice_vectors"] = atoms.cell.array
        file["structure/positions/ion_types"] = np.array([b"Si", b"C "])
        file["structure/positions/number_ion_types"] = [1, 1]
        file["structure/positions/position_ions"] = atoms.get_scaled_positions()
    RadialTable({"Si": np.random.default_rng(1).random((20, 4))}, "fit").save(folder / "a.npz")
    (folder / "a.UPF").write_text(upf_of("Si", lambda r: gaussian(r, 1.0), spacing=0.1))
    (folder / "b.UPF").write_text(upf_of("Si", lambda r: gaussian(r, 1.0), version=1, spacing=0.1))
    (folder / "POTCAR").write_text(potcar_set("Si", 0.5))
    for path in folder.iterdir():  # and imports, which take memory
        assert np.isfinite(values_of(path)).all()
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


NAMES = ["CHGCAR", "a.cube", "a.xsf", "b.xsf"]
OTHERS = ["a.h5", "a.npz", "a.UPF", "b.UPF", "POTCAR"]


def values_of(path):
    """The numbers that a file stands for: a density, or that of an atom."""
    if path.suffix == ".npz":
        return RadialTable.load(path).coefficients(["Si"])
    kind = {".UPF": "upf:"}.get(path.suffix, "potcar:" if "POTCAR" in path.name else None)
    if kind is None:
        return read_density(path).values
    return superposition(
        Atoms("Si", cell=[3, 3, 3], pbc=True), (3, 2, 4), f"{kind}{path}", 2.0
    ).values


def read(path, size):
    """The numbers of a file, or None after a proper complaint."""
    tracemalloc.start()
    complaint = None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            values = values_of(path)
    except ChargeError as error:
        values, complaint = None, str(error)
    if complaint is not None:
        assert str(path) in complaint
        assert "\n" not in complaint
        assert len(complaint) < len(str(path)) + 300
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000 + 20 * size  # chunks of a megabyte, the dictionary of xz
    return values


edits = st.lists(
    st.tuples(
        st.floats(0, 1),  # where
        st.integers(0, 40),  # how many bytes go
        st.sampled_from(WORDS) | st.binary(max_size=6),  # what comes
    ),
    min_size=1,
    max_size=4,
)


def damage(good, edits, end, in_place=False):
    for place, n_gone, new in edits:
        i = int(place * len(good))
        good = good[:i] + new + good[i + (len(new) if in_place else n_gone) :]
    return good[: int(end * len(good))]


@settings(
    max_examples=250,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(name=st.sampled_from(NAMES), edits=edits, end=st.floats(0, 2))
@example(name="CHGCAR", edits=[(0.0, 0, b"\0")], end=2.0)
@example(name="CHGCAR", edits=[(0.0, 0, "\u0663".encode())], end=0.5)
def test_damaged(files, tmp_path, name, edits, end):
    text = damage(files[name], edits, end)
    path = tmp_path / name
    path.write_bytes(text)
    values = read(path, len(text))
    if values is not None:
        assert np.isfinite(values).all()


@pytest.mark.slow
@settings(
    max_examples=150,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(name=st.sampled_from(OTHERS), edits=edits, end=st.floats(0.8, 2), in_place=st.booleans())
def test_damaged_otherwise(files, tmp_path, name, edits, end, in_place):
    """HDF5, and where atomic densities come from; offsets in binary files stay true in place."""
    content = damage(files[name], edits, end, in_place)
    path = tmp_path / name
    path.write_bytes(content)
    values = read(path, len(content))
    if values is not None:
        assert np.isfinite(values).all()


@pytest.mark.parametrize("packed", sorted((DATA / "damaged").iterdir()), ids=lambda p: p.stem)
def test_damaged_once(tmp_path, packed):
    """Files that ended in a traceback, or asked for 279 GiB."""
    path = tmp_path / packed.stem
    path.write_bytes(gzip.decompress(packed.read_bytes()))
    assert read(path, path.stat().st_size) is None


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
    tracemalloc.start()
    with pytest.raises(ChargeError, match="too small for"):
        read_density(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 20_000_000  # of 2e11 bytes and more


@pytest.mark.slow
@pytest.mark.parametrize("blank", [b"\0", b" ", b"\n", b"1", b"1 "])
@pytest.mark.parametrize("name", ["CHGCAR.gz", "a.cube.xz", "POTCAR.gz", "a.h5.gz"])
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


@pytest.mark.slow
def test_a_bomb_after_the_values(files, tmp_path):
    """Text without end where augmentation occupancies are due."""
    path = tmp_path / "CHGCAR"
    text = files["CHGCAR"] + b"\n" * 200_000
    path.write_bytes(text)
    read(path, len(text))


def test_work_grows_as_the_file_does(files, tmp_path):
    """Counted in calls of functions, of text where augmentation occupancies are due."""
    path, counts = tmp_path / "CHGCAR", []

    def count(frame, event, argument):
        counts[-1] += event in ("call", "c_call")

    for n in (5_000, 10_000):
        path.write_bytes(files["CHGCAR"] + b"\n" * n)
        counts.append(0)
        sys.setprofile(count)
        try:
            read_density(path)
        finally:
            sys.setprofile(None)
    assert 5_000 < counts[0] < counts[1] < 2.1 * counts[0]
