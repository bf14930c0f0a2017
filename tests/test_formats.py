# SPDX-License-Identifier: LGPL-3.0-or-later
"""Cube, xsf and vaspwave.h5 files, against ase, pymatgen and Quantum ESPRESSO."""

import gzip
import io
import lzma
import warnings

import ase.io
import ase.io.cube
import ase.io.xsf
import h5py
import numpy as np
import pytest
from ase import Atoms
from ase.units import Bohr
from conftest import DATA, shared
from pymatgen.io.common import VolumetricData

from deepmd_charge import ChargeError, Density, read_density, write_density
from deepmd_charge.io import format_of

pytestmark = pytest.mark.filterwarnings("ignore:.*not a whole number")


@pytest.fixture
def molecule():
    """Non-periodic, origin off zero, density zero on the faces."""
    atoms = Atoms("OH2", [[0.5, 0, 0], [1.4, 0.2, 0], [0.2, 0.9, 0]], cell=[3, 4, 5])
    values = np.zeros((6, 8, 9))
    values[1:-1, 1:-1, 1:-1] = np.random.default_rng(1).random((4, 6, 7))
    return Density(atoms, values * 8 / 60 / values.mean(), origin=[-1, -2, -2.5], kind="cube")


def assert_same(one, other, rtol=1e-10):
    np.testing.assert_allclose(one.values, other.values, rtol=rtol, atol=0)
    np.testing.assert_allclose(one.atoms.cell, other.atoms.cell, atol=1e-10)
    np.testing.assert_allclose(one.atoms.positions, other.atoms.positions, atol=1e-10)
    np.testing.assert_allclose(one.origin, other.origin, atol=1e-10)
    assert list(one.atoms.symbols) == list(other.atoms.symbols)
    assert (one.atoms.pbc == other.atoms.pbc).all()


# writing, and reading it back


@pytest.mark.parametrize("name", ["a.cube", "a.cub.gz", "a.xsf", "A.XSF.xz"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_round_trip(tmp_path, density, molecule, name, order):
    for one in (density, molecule):
        copy = Density(one.atoms, np.array(one.values, order=order), one.origin)
        write_density(tmp_path / name, copy)
        again = read_density(tmp_path / name)
        assert_same(again, one)
        assert again.kind == format_of(name)


@pytest.mark.parametrize("pbc", [(False,) * 3, (True, True, False), (False, True, False)])
def test_a_cube_says_what_is_periodic(tmp_path, density, molecule, pbc):
    """Whatever there is on the faces; the comment comes back as it was."""
    for one in (density, molecule):
        for comment in ("one\ntwo", 'pbc="T T T"\nOUTER LOOP: X, MIDDLE LOOP: Y, INNER LOOP: Z'):
            one.atoms.pbc, one.extra = pbc, {"comment": comment}
            for name in ("a.cube", "b.cube"):
                write_density(tmp_path / name, one)
                one = read_density(tmp_path / name)
                assert (one.atoms.pbc == pbc).all()
                assert one.extra["comment"] == comment
            with open(tmp_path / "b.cube") as file:
                assert ase.io.cube.read_cube(file)["data"].shape == one.shape


@pytest.mark.parametrize("name", ["a.cube", "a.xsf", "CHGCAR"])
def test_written_from_disk(tmp_path, density, name, monkeypatch):
    """A memory map is read in slabs; none is the whole grid."""
    monkeypatch.setattr("deepmd_charge.io.text.writer.SLAB_VALUES", 30)
    monkeypatch.setattr("deepmd_charge.io.text.writer.CHUNK_VALUES", 10)
    values = np.memmap(tmp_path / "values", dtype=float, mode="w+", shape=density.shape)
    values[:] = density.values
    write_density(tmp_path / name, Density(density.atoms, values))
    assert_same(read_density(tmp_path / name), density)


def test_a_private_map_keeps_its_changes(tmp_path, density):
    """Of a copy-on-write map nothing is given back: the file has the old values."""
    np.zeros(density.shape).tofile(tmp_path / "values")
    values = np.memmap(tmp_path / "values", dtype=float, mode="c", shape=density.shape)
    values[:] = density.values
    copy = Density(density.atoms, values)
    write_density(tmp_path / "a.cube", copy)
    assert copy.n_electrons == density.n_electrons
    np.testing.assert_array_equal(copy.values, density.values)


@pytest.mark.parametrize("name", ["a.cube", "a.xsf", "CHGCAR"])
def test_files_do_not_depend_on_the_parts(tmp_path, monkeypatch, name):
    """Slabs, parts and threads leave no trace, nor does the order of memory."""
    generator = np.random.default_rng(3)
    values = generator.normal(size=(7, 9, 23))
    atoms = Atoms("Si", cell=[2, 3, 4], pbc=True)
    write_density(tmp_path / name, Density(atoms, values))
    expected = (tmp_path / name).read_bytes()
    for n_slab, n_chunk, order in (1, 1, "C"), (150, 40, "F"), (1500, 400, "C"), (10**6, 63, "F"):
        monkeypatch.setattr("deepmd_charge.io.text.writer.SLAB_VALUES", n_slab)
        monkeypatch.setattr("deepmd_charge.io.text.writer.CHUNK_VALUES", n_chunk)
        write_density(tmp_path / name, Density(atoms, np.array(values, order=order)))
        assert (tmp_path / name).read_bytes() == expected


def test_others_read_a_cube(tmp_path, density, molecule):
    path = tmp_path / "a.cube"
    for one in (density, molecule):
        write_density(path, one)
        with open(path) as file:
            theirs = ase.io.cube.read_cube(file)
        np.testing.assert_allclose(theirs["data"] / Bohr**3, one.values, rtol=1e-8, atol=1e-40)
        np.testing.assert_allclose(theirs["atoms"].cell, one.atoms.cell, rtol=1e-8, atol=1e-8)
        np.testing.assert_allclose(theirs["atoms"].positions, one.atoms.positions, atol=1e-8)
        np.testing.assert_allclose(theirs["origin"], one.origin, atol=1e-8)
        pymatgen = VolumetricData.from_cube(path)
        np.testing.assert_allclose(
            pymatgen.data["total"] / Bohr**3, one.values, rtol=1e-8, atol=1e-40
        )


def test_others_read_an_xsf(tmp_path, density, molecule):
    path = tmp_path / "a.xsf"
    for one, last in (density, -1), (molecule, None):
        write_density(path, one)
        with open(path) as file:
            data, origin, spans = [*ase.io.xsf.iread_xsf(file, read_data=True)][-1]
        np.testing.assert_allclose(
            data[:last, :last, :last] / Bohr**3, one.values, rtol=1e-8, atol=1e-40
        )
        n = np.array(one.shape)
        steps = spans / (np.array(data.shape) - 1)[:, None]
        np.testing.assert_allclose(steps * n[:, None], one.atoms.cell, atol=1e-8)
        np.testing.assert_allclose(origin, one.origin, atol=1e-8)
        atoms = ase.io.read(path)
        np.testing.assert_allclose(atoms.positions, one.atoms.positions, atol=1e-8)
        if one is density:
            for axis in range(3):
                np.testing.assert_array_equal(data.take(0, axis), data.take(-1, axis))


def test_a_cube_has_gaussians_layout(tmp_path, density):
    """Two comments, steps in bohr, a new line for each row along z."""
    write_density(tmp_path / "a.cube", density)
    lines = (tmp_path / "a.cube").read_text().splitlines()
    assert lines[2].split()[0] == "3"
    assert [line.split()[0] for line in lines[3:6]] == ["4", "5", "7"]
    np.testing.assert_allclose(
        np.array(lines[5].split()[1:], float), density.atoms.cell[2] / 7 / Bohr, rtol=1e-7
    )
    assert [len(line.split()) for line in lines[9:13]] == [6, 1, 6, 1]


# reading what others write

CUBE = """\
comment one
comment two
{n:5d}   0.1 0.2 0.3
{sign}2  1.0 0.0 0.0
{sign}3  0.0 1.0 0.0
{sign}2  0.5 0.0 2.0
    8   8.0  0.1 0.2 0.3
{labels}"""


def cube_text(n=1, sign="    ", labels="", n_sets=1):
    values = np.arange(12 * n_sets) / 4 + 0.1
    lines = [" ".join(f"{x:.5E}" for x in row) for row in values.reshape(6, -1)]
    return CUBE.format(n=n, sign=sign, labels=labels) + "\n".join(lines) + "\n"


def test_cube_units(tmp_path):
    path = tmp_path / "a.cube"
    path.write_text(cube_text())
    bohr = read_density(path, check=False)
    path.write_text(cube_text(sign="   -"))
    angstrom = read_density(path, check=False)
    np.testing.assert_allclose(
        bohr.atoms.cell, [[2 * Bohr, 0, 0], [0, 3 * Bohr, 0], [Bohr, 0, 4 * Bohr]]
    )
    np.testing.assert_allclose(angstrom.atoms.cell, [[2, 0, 0], [0, 3, 0], [1, 0, 4]])
    np.testing.assert_allclose(angstrom.origin, [0.1, 0.2, 0.3])
    np.testing.assert_allclose(bohr.atoms.positions, [np.array([0.1, 0.2, 0.3]) * Bohr])
    for density in (bohr, angstrom):
        assert density.atoms.pbc.all()
        # z fastest, e/bohr^3 whatever the lengths
        np.testing.assert_allclose(density.values[1, 2, 1] * Bohr**3, 11 / 4 + 0.1, rtol=1e-8)
        np.testing.assert_allclose(density.values[0, 0, 1] * Bohr**3, 1 / 4 + 0.1, rtol=1e-8)
    # electrons: sum of the values times the volume of a voxel in bohr^3
    assert bohr.n_electrons == pytest.approx((np.arange(12) / 4 + 0.1).sum() * 2.0)


@pytest.mark.filterwarnings("ignore:.*as those of orbitals")
@pytest.mark.parametrize("labels", ["    2    5    6\n", "    2    5\n    6\n"])
def test_cube_of_several_datasets(tmp_path, labels):
    path = tmp_path / "a.cube"
    path.write_text(cube_text(n=-1, labels=labels, n_sets=2))
    density = read_density(path, check=False)
    other = density.extra["datasets"][0]
    np.testing.assert_allclose(density.values.ravel() * Bohr**3, np.arange(0, 24, 2) / 4 + 0.1)
    np.testing.assert_allclose(other.ravel() * Bohr**3, np.arange(1, 24, 2) / 4 + 0.1)


def test_cube_with_number_of_values(tmp_path):
    path = tmp_path / "a.cube"
    path.write_text(cube_text(n_sets=2).replace("0.1 0.2 0.3", "0.1 0.2 0.3 2", 1))
    assert len(read_density(path, check=False).extra["datasets"]) == 1


@pytest.mark.parametrize(
    "path", shared("real_density_files/*/*.cube.gz") + shared("real_density_files/*/*.cube")
)
@pytest.mark.filterwarnings("ignore:.*ABACUS")
def test_shared_cubes(path, tmp_path):
    density = read_density(path)
    raw = (gzip.open if path.suffix == ".gz" else open)(path, "rt").read()
    theirs = ase.io.cube.read_cube(io.StringIO(raw))
    np.testing.assert_allclose(theirs["data"] / Bohr**3, density.values, rtol=1e-8)
    np.testing.assert_allclose(theirs["atoms"].cell, density.atoms.cell, rtol=1e-8, atol=1e-8)
    np.testing.assert_allclose(theirs["atoms"].positions, density.atoms.positions, atol=1e-8)
    assert density.atoms.pbc.all() == ("nh3" not in path.name)
    expected = {"elec": 89.21, "nh3": 9.973, "baderkit": 25.00006}.get(path.name.split(".")[0], 4)
    assert density.n_electrons == pytest.approx(expected, abs=5e-3)
    write_density(tmp_path / "a.cube", density)
    assert_same(read_density(tmp_path / "a.cube"), density)
    if density.atoms.pbc.all():
        write_density(tmp_path / "a.xsf", density)
        assert_same(read_density(tmp_path / "a.xsf"), density)


def test_abacus_channels(tmp_path):
    path = tmp_path / "SPIN1_CHG.cube"
    path.write_text(cube_text().replace("comment two", "2 (nspin) 0.586 (fermi energy, in Ry)"))
    with pytest.warns(UserWarning, match="one spin channel"):
        read_density(path, check=False)


@pytest.mark.parametrize("name", ["Al.xsf.gz", "Al.cube.gz"])
def test_quantum_espresso(name):
    """Al, 3 electrons, by pp.x; the CHGCAR-like grid is its own."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # of NumPy 2.5, about what ASE 3.29 does
        warnings.filterwarnings("ignore", "Setting the shape", DeprecationWarning)
        density = read_density(DATA / name)
    assert density.n_electrons == pytest.approx(3, abs=1e-4)
    assert density.shape == (15, 15, 15)
    cube, xsf = (read_density(DATA / n) for n in ("Al.cube.gz", "Al.xsf.gz"))
    np.testing.assert_allclose(cube.values, xsf.values, rtol=6e-5)
    np.testing.assert_allclose(cube.atoms.cell, xsf.atoms.cell, atol=1e-5)
    one, other = (d.atoms.get_scaled_positions() for d in (cube, xsf))
    np.testing.assert_allclose(one, other, atol=1e-5)


# vaspwave.h5


def vaspwave(path, density, blocks, scale=1.0, **changes):
    with h5py.File(path, "w") as file:
        file["charge/charge"] = np.array([block.T * density.volume for block in blocks])
        file["charge/grid"] = density.shape
        group = file.create_group("structure/positions")
        group["lattice_vectors"] = density.atoms.cell.array / scale
        group["scale"] = scale
        group["ion_types"] = np.array([b"Si", b"C ", b"Si_pv"])
        group["number_ion_types"] = [1, 1, 1]
        group["position_ions"] = density.atoms.cell.scaled_positions(density.atoms.positions)
        for name, value in changes.items():
            del group[name]
            if value is not None:
                group[name] = value
    return path


@pytest.mark.parametrize("n_blocks", [1, 2, 4])
def test_vaspwave(tmp_path, density, n_blocks):
    blocks = [density.values, density.values / 2, -density.values, density.values**2][:n_blocks]
    path = vaspwave(tmp_path / "vaspwave.h5", density, blocks, scale=2.0)
    again = read_density(path)
    assert_same(again, density)
    assert again.kind == "vasp/h5"
    for mine, theirs in zip(blocks[1:], again.extra["spin"], strict=True):
        np.testing.assert_allclose(theirs, mine, rtol=1e-14)
    for suffix, module in (".gz", gzip), (".xz", lzma):
        packed = path.with_name("vaspwave.h5" + suffix)
        packed.write_bytes(module.compress(path.read_bytes()))
        assert_same(read_density(packed), density)


def test_vaspwave_refusals(tmp_path, density):
    path = tmp_path / "vaspwave.h5"
    for changes, message in [
        ({"ion_types": None}, "the structure cannot be read"),
        ({"ion_types": np.array([b"Qq", b"C", b"Si"])}, "unknown element"),
        ({"number_ion_types": [1, 1, 2]}, "counts of atoms"),
        ({"lattice_vectors": np.zeros((3, 3))}, "cell without volume"),
        ({"lattice_vectors": None}, "no structure"),
    ]:
        vaspwave(path, density, [density.values], **changes)
        with pytest.raises(ChargeError, match=message) as caught:
            read_density(path)
        assert str(path) in str(caught.value) and "\n" not in str(caught.value)
    with h5py.File(path, "a") as file:
        del file["charge/charge"]
    with pytest.raises(ChargeError, match="LCHARGH5"):
        read_density(path)
    with h5py.File(path, "a") as file:
        file.create_dataset("charge/charge", (1, 10**4, 10**4, 10**4), "f8", chunks=(1, 1, 1, 1000))
    with pytest.raises(ChargeError, match="too few"):
        read_density(path)
    path.write_bytes(b"\x89HDF\r\n" + bytes(1000))
    with pytest.raises(ChargeError, match="cannot be read"):
        read_density(path)
    with pytest.raises(ChargeError, match="can only be read"):
        write_density(path, density)


@pytest.mark.parametrize("path", shared("real_density_files/*/vaspwave*.h5"))
def test_shared_vaspwave(path):
    """Made up by its owners: value = 100 z + 10 y + x, and a magnetisation."""
    density = read_density(path, check=False)
    assert density.shape == (4, 6, 8)
    assert density.values[3, 2, 5] * density.volume == pytest.approx(523)
    assert density.extra["spin"][0].mean() * density.volume == pytest.approx(-3)


# what is wrong

XSF = """\
# comment
CRYSTAL
PRIMVEC
 2 0 0
 0 2 0
 0 0 2
PRIMCOORD
 1 1
 O 0 0 0
BEGIN_BLOCK_DATAGRID_3D
 data
 DATAGRID_3D_UNKNOWN
 2 2 2
 0 0 0
 2 0 0
 0 2 0
 0 0 2
 0.5 0.5 0.5 0.5
 0.5 0.5 0.5 0.5
 END_DATAGRID_3D
END_BLOCK_DATAGRID_3D
"""


@pytest.mark.parametrize(
    "name, old, new, message",
    [
        ("a.cube", "    1   0.1", "    0   0.1", "3: there are no atoms"),
        ("a.cube", "    1   0.1", "  1.5   0.1", "3: expected the number of atoms"),
        ("a.cube", "    2  1.0", "   -2  1.0", "6: the numbers of points must all be"),
        ("a.cube", "    3  0.0 1.0", "    3  0.0 0.0", "6: the cell has no volume"),
        ("a.cube", "    8   8.0", "    0   8.0", "7: 0 is not the atomic number"),
        ("a.cube", "    1   0.1", "    2   0.1", "8: expected atom 2 of the 2"),
        ("a.cube", "    3  0.0 1.0", "    2  0.0 1.0", "more values"),
        ("a.cube", "    3  0.0 1.0", "    9  0.0 1.0", "ends after 12 of 36|too small"),
        ("a.cube", "2.85000E+00\n", "2.85000E", "the last number|expected value 12"),
        ("a.cube", "2.85000E+00\n", "2.850", "middle of the last number"),
        ("a.xsf", "CRYSTAL", "ANIMSTEPS 2\nCRYSTAL", "2: an animation"),
        ("a.xsf", " O 0", " Xx 0", "9: expected atoms"),
        ("a.xsf", "PRIMVEC\n 2 0 0", "PRIMVEC\n 3 0 0", "does not span the primitive cell"),
        ("a.xsf", " END_DATAGRID_3D", " 0.5", "expected END_DATAGRID_3D"),
        ("a.xsf", " 2 2 2\n", " 2 2 0\n", "13: expected the numbers of points"),
        ("a.xsf", "0.5 0.5\n", "0.5 0.7\n", "does not repeat the first"),
        ("a.xsf", "DATAGRID_3D", "DATAGRID_2D", "there is no DATAGRID_3D"),
        ("a.xsf", "PRIMCOORD\n 1 1\n O 0 0 0\n", "", "there is no atoms"),
        ("a.xsf", "PRIMVEC\n 2 0 0\n 0 2 0\n 0 0 2\n", "", "there is no PRIMVEC"),
    ],
)
def test_bad_file(tmp_path, name, old, new, message):
    good = XSF if name == "a.xsf" else cube_text()
    path = tmp_path / name
    path.write_text(good)
    read_density(path, check=False)
    assert old in good
    path.write_text(good.replace(old, new))
    with pytest.raises(ChargeError, match=message) as caught:
        read_density(path, check=False)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


def test_what_cannot_be_written(tmp_path, density):
    for name in ("a.cube", "a.xsf"):
        path = tmp_path / name
        values = density.values.copy()
        values[1, 1, 1] = np.inf
        with pytest.raises(ChargeError, match="not finite"):
            write_density(path, Density(density.atoms, values))
        with pytest.raises(ChargeError, match="needs atoms"):
            write_density(path, Density(density.atoms[:0], density.values))
        with pytest.warns(UserWarning, match="magnetisation is left out"):
            write_density(path, Density(density.atoms, density.values, extra={"spin": [values]}))
    assert sorted(p.name for p in tmp_path.iterdir()) == ["a.cube", "a.xsf"]
