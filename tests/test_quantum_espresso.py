# SPDX-License-Identifier: LGPL-3.0-or-later
"""Densities of Quantum ESPRESSO: against pp.x, against pw.x that starts from them, and damaged.

pw.x of Debian has no HDF5, so that charge-density.hdf5 is tried against its layout alone.
"""

import gzip
import json
import lzma
import shutil
import warnings

import h5py
import numpy as np
import pytest
from ase import Atoms
from conftest import shared
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from quantum_espresso import (
    DATA,
    MORE_RUNS,
    POTENTIALS,
    PP,
    PW,
    RUNS,
    density_of,
    first_accuracy,
    parse_plot,
    run,
)
from standin import StandInModel
from test_waves import random_coefficients, slow_sphere, slow_sum

from deepmd_charge import ChargeError, Density, iterate_densities, read_density, write_density
from deepmd_charge.cli.main import main
from deepmd_charge.grid.regrid import regrid
from deepmd_charge.io import _qe_waves, count_densities, format_of
from deepmd_charge.io._qe_waves import Waves, read_waves, write_waves
from deepmd_charge.units import BOHR, PER_BOHR3

DAT, HDF5, XML = "charge-density.dat", "charge-density.hdf5", "data-file-schema.xml"
N_WAVES = {"si": 206, "al": 245, "fe": 429}


@pytest.fixture
def save(tmp_path):
    """Copy the files of a run of pw.x, unpacked, and return their folder."""

    def copied(name="si"):
        folder = tmp_path / f"{name}.save"
        folder.mkdir()
        for file in (DAT, XML):
            content = gzip.decompress((DATA / folder.name / f"{file}.gz").read_bytes())
            (folder / file).write_bytes(content)
        return folder

    return copied


@pytest.fixture
def any_save(save):
    """The folder of one run."""
    return save()


def as_text(path):
    return gzip.decompress(path.read_bytes()).decode()


def quietly(path, *args):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return read_density(path, *args)


def assert_same_waves(one, other, atol=1e-15):
    assert one.gamma_only == other.gamma_only
    assert (one.miller == other.miller).all()
    np.testing.assert_allclose(one.reciprocal, other.reciprocal, rtol=0, atol=1e-14)
    assert len(one.components) == len(other.components)
    for a, b in zip(one.components, other.components, strict=True):
        np.testing.assert_allclose(a, b, rtol=0, atol=atol)


def refused(message, function, *args):
    """Check what a call is refused with: one line that says so."""
    with pytest.raises(ChargeError, match=message) as caught:
        function(*args)
    assert "\n" not in str(caught.value)
    return str(caught.value)


# reading


@pytest.mark.parametrize("name", RUNS)
def test_read_as_by_pp(name, save):
    """Values to the ten digits of pp.x; the folder and its file, plain and compressed."""
    truth = parse_plot(as_text(DATA / f"{name}.plot.gz")) * PER_BOHR3
    folder = save(name)
    for path in (folder, f"{folder}/", folder / DAT, DATA / folder.name):
        density = quietly(path)
        np.testing.assert_allclose(density.values, truth, rtol=0, atol=1e-9 * truth.max())
        assert density.kind == "qe/save" and density.atoms.pbc.all()
    cell, _, _, positions, *_ = RUNS[name]
    np.testing.assert_allclose(density.atoms.cell, cell, atol=1e-8)
    np.testing.assert_allclose(
        density.atoms.get_scaled_positions(), np.mod(positions, 1), atol=1e-8
    )
    cutoff = density.extra["cutoff"]
    assert (cutoff.gamma_only, cutoff.n_waves) == (name == "si", N_WAVES[name])
    assert density.extra["notes"] == density.extra["doubts"] == []
    assert density.extra["functional"] == "PZ"


def test_a_run_that_does_not_tell_its_functional(any_save):
    text = (any_save / XML).read_text()
    (any_save / XML).write_text(text.replace("functional>", "other>"))
    assert "functional" not in quietly(any_save).extra


@pytest.mark.parametrize("name, electrons", [("si", 8), ("al", 6), ("fe", 8)])
def test_electrons(name, electrons):
    """The coefficient of G = 0 times the volume, and the sum over the grid."""
    folder = DATA / f"{name}.save"
    density, waves = read_density(folder), read_waves(str(folder / f"{DAT}.gz"))
    assert not waves.miller[0].any()
    volume = density.volume / BOHR**3
    assert waves.components[0][0].real * volume == pytest.approx(electrons, abs=1e-9)
    assert density.n_electrons == pytest.approx(electrons, abs=1e-9)


def test_spin():
    """Spin up minus spin down, as in a CHGCAR."""
    density = read_density(DATA / "fe.save")
    (spin,) = density.extra["spin"]
    text = as_text(DATA / "fe.save" / f"{XML}.gz")
    moment, size = (float(text.split(f"<{tag}>")[1].split("<")[0]) for tag in ("total", "absolute"))
    assert spin.mean() * density.volume == pytest.approx(moment, abs=1e-6)
    assert np.abs(spin).mean() * density.volume == pytest.approx(size, abs=1e-6)


def test_types_by_labels(any_save):
    """Labels that tell atoms of one element apart name their types; --species overrules."""
    path = any_save / XML
    path.write_text(path.read_text().replace('"Si" index="2"', '"Si2" index="2"'))
    density = read_density(any_save)
    assert density.atoms.arrays["species"].tolist() == ["Si", "Si2"]
    assert density.extra["notes"] == [
        "atom types Si Si2, by the labels of the atoms (--species says otherwise)"
    ]
    density = read_density(any_save, species=["Si_a", "Si_b"])
    assert density.atoms.arrays["species"].tolist() == ["Si_a", "Si_b"]
    path.write_text(path.read_text().replace('"Si2" index="2"', '"Qq" index="2"'))
    assert str(path) in refused("no element 'Qq'", read_density, any_save)


def test_names_of_the_format(any_save):
    for name in (any_save, any_save / DAT, any_save / f"{DAT}.gz", any_save / HDF5):
        assert format_of(name) == "qe/save"
    assert format_of("other.hdf5") == "vasp/h5"
    shutil.copy(any_save / DAT, any_save / "rho")
    density = read_density(any_save / "rho", "qe/save")
    assert (density.values == read_density(any_save).values).all()
    assert [name for name, _ in iterate_densities(any_save)] == [str(any_save)]
    assert count_densities(any_save) == 1
    refused("no frame 1", lambda: list(iterate_densities(f"{any_save}@1")))


def test_commands(save, tmp_path, capsys):
    folder = save("fe")
    assert main(["info", str(folder)]) == 0
    text = capsys.readouterr().out
    for words in ("qe/save, a charge density", "12 x 12 x 12", "waves     429 up to 50 Ry\n",
                  "electrons 8.000000", "spin      collinear"):  # fmt: skip
        assert words in text
    assert main(["info", str(DATA / "si.save"), "--json"]) == 0
    (facts,) = json.loads(capsys.readouterr().out)
    assert facts["waves"] == {
        "ecutrho": pytest.approx(20), "gamma_only": True, "alat": pytest.approx(7.255773194),
        "n_waves": 206,
    }  # fmt: skip
    for quantity, whole in (("total", "8.000"), ("magnetization", None)):
        out = str(tmp_path / quantity)
        flags = ["--points", "500", "--quantity", quantity]
        assert main(["convert", str(folder), "-o", out, *flags]) == 0
        assert whole is None or f"{whole} electrons, Fe" in capsys.readouterr().out
    back = str(tmp_path / "CHGCAR")
    assert main(["regrid", str(folder), "-o", back, "--like", str(folder)]) == 0
    assert len(read_density(back).extra["spin"]) == 1


def test_dpdata():
    import dpdata

    import deepmd_charge.data.dpdata_plugin  # noqa: F401  (where it is not installed)

    system = dpdata.System(str(DATA / "si.save"), fmt="qe/save", n_points=100, seed=1)
    assert system["atom_names"] == ["Si", "X"]


# writing


@pytest.mark.parametrize("name", RUNS)
@pytest.mark.parametrize("left", [(DAT, XML), (DAT,), (XML,), ()])
def test_written_as_by_pw(name, left, save):
    """With what pw.x left there, and with the cutoff that was read alone."""
    folder = save(name)
    truth, density = read_waves(str(folder / DAT)), read_density(folder)
    for file in {DAT, XML} - set(left):
        (folder / file).unlink()
    if not left:
        folder.rmdir()
    else:
        density.extra.pop("cutoff")
    write_density(folder, density)
    assert_same_waves(read_waves(str(folder / DAT)), truth)
    assert len((folder / DAT).read_bytes()) == len(
        gzip.decompress((DATA / folder.name / f"{DAT}.gz").read_bytes())
    )
    assert sorted(path.name for path in folder.iterdir()) == sorted({DAT, *left})


@pytest.mark.parametrize("name", RUNS)
def test_hdf5(name, save):
    """To and from charge-density.dat without a change, in the layout of pw.x."""
    folder = save(name)
    truth, density = read_waves(str(folder / DAT)), read_density(folder)
    path = folder / HDF5
    write_density(path, density)
    with h5py.File(path) as file:
        assert file.attrs["gamma_only"] == (b".TRUE." if name == "si" else b".FALSE.")
        assert (file.attrs["ngm_g"], file.attrs["nspin"]) == (
            N_WAVES[name],
            2 if name == "fe" else 1,
        )
        assert sorted(file) == sorted(
            {"MillerIndices", "rhotot_g"} | ({"rhodiff_g"} if name == "fe" else set())
        )
        assert file["MillerIndices"].dtype == np.int32 and file["rhotot_g"].dtype == np.float64
        assert file["rhotot_g"].shape == (2 * N_WAVES[name],)
        assert file["MillerIndices"].attrs["bg2"].shape == (3,)
    assert_same_waves(read_waves(str(path)), truth)
    assert "charge-density.dat and charge-density.hdf5" in refused(
        "give the one", read_density, folder
    )
    (folder / DAT).unlink()
    np.testing.assert_allclose(read_density(folder).values, density.values, atol=1e-14)
    write_density(folder, density)  # a pw.x that writes HDF5 reads it
    assert not (folder / DAT).exists()
    assert_same_waves(read_waves(str(path)), truth)


def test_non_collinear(save):
    """Three components, by all ways."""
    folder = save("fe")
    density = read_density(folder)
    density.extra["spin"] = [x * density.extra["spin"][0] for x in (0.3, -0.5, 0.8)]
    for file in (DAT, XML):
        (folder / file).unlink()
    for file in (DAT, HDF5):
        write_density(folder / file, density)
        waves = read_waves(str(folder / file))
        assert len(waves.components) == 4
        (folder / file).rename(folder / f"kept_{file}")
    assert_same_waves(*(read_waves(str(folder / f"kept_{file}")) for file in (DAT, HDF5)), atol=0)
    text = as_text(DATA / "fe.save" / f"{XML}.gz")
    (folder / XML).write_text(text)
    (folder / f"kept_{DAT}").rename(folder / DAT)
    again = read_density(folder)
    for one, other in zip(again.extra["spin"], density.extra["spin"], strict=True):
        np.testing.assert_allclose(one, other, rtol=0, atol=1e-14)


@pytest.mark.parametrize("suffix", [".gz", ".xz"])
@pytest.mark.parametrize("file", [DAT, HDF5])
def test_compressed(file, suffix, any_save):
    density = read_density(any_save)
    (any_save / DAT).unlink()
    path = any_save / f"{file}{suffix}"
    write_density(path, density)
    assert path.read_bytes()[:2] == (b"\x1f\x8b" if suffix == ".gz" else b"\xfd7")
    np.testing.assert_allclose(read_density(any_save).values, density.values, atol=1e-14)
    packed = (any_save / XML).read_bytes()
    (any_save / XML).unlink()
    (any_save / f"{XML}.xz").write_bytes(lzma.compress(packed))
    np.testing.assert_allclose(read_density(path).values, density.values, atol=1e-14)


def test_a_finer_grid_tells_the_same(any_save):
    truth, density = read_waves(str(any_save / DAT)), read_density(any_save)
    write_density(any_save, regrid(density, (13, 16, 15)))
    assert_same_waves(read_waves(str(any_save / DAT)), truth)


def test_what_is_left_out_is_told(any_save):
    """Waves beyond the cutoff, by their root mean square."""
    density = read_density(any_save)
    fine = regrid(density, (20, 20, 20))
    wave = 3e-3 * np.cos(2 * np.pi * 9 * np.arange(20) / 20)[:, None, None]
    noisy = Density(density.atoms, fine.values + wave)
    truth = read_waves(str(any_save / DAT))
    with pytest.warns(UserWarning, match=r"2\.1e-03 e/A\^3 \(root mean square\).*left out"):
        write_density(any_save, noisy)
    assert_same_waves(read_waves(str(any_save / DAT)), truth)
    noisy = Density(density.atoms, fine.values + 1e-3 * wave)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_density(any_save, noisy)


def test_records_beyond_their_length(any_save, monkeypatch):
    """A record of more than 2 GB is cut; here of more than 100 bytes."""
    truth = read_waves(str(any_save / DAT))
    monkeypatch.setattr(_qe_waves, "_MOST_BYTES", 100)
    path = any_save / "cut.dat"
    write_waves(str(path), truth)
    content = path.read_bytes()
    marks = np.frombuffer(content, "<i4", 1, 100), np.frombuffer(content, "<i4", 1, 204)
    assert marks == (-100, 100)  # the third record goes on, and begins where it began
    assert_same_waves(read_waves(str(path)), truth, atol=0)


XML_TEXT = """<?xml version="1.0" encoding="UTF-8"?>
<qes:espresso xmlns:qes="http://www.quantum-espresso.org/ns/qes/qes-1.0">
 <input><atomic_structure nat="0" alat="1"/></input>
 <output>
  <atomic_structure nat="1" alat="{alat}"><atomic_positions><atom name="Si" index="1">0 0 0</atom>
   </atomic_positions><cell>{cell}</cell></atomic_structure>
  <basis_set><gamma_only>{gamma}</gamma_only><ecutrho>{ecutrho}</ecutrho>
   <fft_grid nr1="{shape[0]}" nr2="{shape[1]}" nr3="{shape[2]}"/><ngm>{n_waves}</ngm>
   <reciprocal_lattice>{reciprocal}</reciprocal_lattice></basis_set>
  <band_structure><lsda>false</lsda><noncolin>false</noncolin>
   <nelec>{electrons}</nelec><ks_energies>1 2 3</ks_energies></band_structure>
 </output>
</qes:espresso>
"""


def schema(cell, gamma, ecutrho, shape, n_waves, electrons=4):
    """An XML file with what is read of it; the cell in bohr, the cutoff in Ry."""
    alat = float(np.linalg.norm(cell[0]))
    reciprocal = alat * np.linalg.inv(cell).T

    def rows(name, vectors):
        lines = (" ".join(map(repr, map(float, v))) for v in vectors)
        return "".join(f"<{name}{k}>{line}</{name}{k}>" for k, line in enumerate(lines, 1))

    return XML_TEXT.format(
        alat=alat, cell=rows("a", cell), gamma=str(gamma).lower(), ecutrho=ecutrho / 2,
        shape=shape, n_waves=n_waves, reciprocal=rows("b", reciprocal), electrons=electrons,
    )  # fmt: skip


@settings(
    deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    seed=st.integers(0, 2**32 - 1),
    ecutrho=st.floats(1.0, 12.0),
    gamma=st.booleans(),
    more=st.tuples(*[st.integers(0, 4)] * 3),
    file=st.sampled_from([DAT, HDF5]),
    order=st.sampled_from("CF"),
)
def test_any_cell(tmp_path, seed, ecutrho, gamma, more, file, order):
    """The file has the waves of plain loops in their order, and is read again exactly."""
    rng = np.random.default_rng(seed)
    cell = np.diag(rng.uniform(4.0, 8.0, 3)) + rng.uniform(-1.0, 1.0, (3, 3))
    alat = np.linalg.norm(cell[0])
    unit = 2 * np.pi / alat
    miller = np.array(slow_sphere(alat * np.linalg.inv(cell).T, ecutrho / unit**2, gamma))
    coefficients = random_coefficients(miller, rng)
    coefficients[0] = 4 / abs(np.linalg.det(cell))
    shape = tuple(2 * np.abs(miller).max(axis=0) + 1 + more)
    values = slow_sum(miller, coefficients, shape, gamma).real * PER_BOHR3
    atoms = Atoms("Si", cell=cell * BOHR, pbc=True)
    density = Density(atoms, np.array(values, order=order))
    (tmp_path / XML).write_text(schema(cell, gamma, ecutrho, shape, len(miller)))
    for name in (DAT, HDF5):
        (tmp_path / name).unlink(missing_ok=True)
    write_density(tmp_path / file, density)
    waves = read_waves(str(tmp_path / file))
    assert_same_waves(
        waves, Waves(gamma, 2 * np.pi * np.linalg.inv(cell).T, miller, [coefficients]), 1e-12
    )
    again = read_density(tmp_path, "qe/save", check=False)
    np.testing.assert_allclose(again.values, values, rtol=0, atol=1e-12 * np.abs(values).max())
    np.testing.assert_allclose(again.atoms.cell, atoms.cell, rtol=0, atol=1e-12)


@pytest.mark.parametrize("path", shared("fault_cases/20-*/*.hdf5"))
def test_fault_case(path, tmp_path):
    """With the XML that the file lacks: seven waves of a cube of 2 pi / 0.8 bohr."""
    shutil.copy(path, tmp_path)
    a = 2 * np.pi / 0.8
    (tmp_path / XML).write_text(schema(a * np.eye(3), False, 0.8**2, (4, 4, 4), 7, 0.01 * a**3))
    density = read_density(tmp_path / HDF5, check=False)
    x = np.cos(2 * np.pi * np.arange(4) / 4)
    truth = 0.01 + 0.002 * (x[:, None, None] + x[:, None] + x)
    np.testing.assert_allclose(density.values / PER_BOHR3, truth, rtol=0, atol=1e-15)


# what does not belong together


def test_lacking_files(any_save, tmp_path):
    (any_save / DAT).rename(tmp_path / DAT)
    refused("no charge-density.dat or .hdf5 in this folder", read_density, any_save)
    message = "without the data-file-schema.xml that tells its atoms: copy that.*pp.x"
    refused(message, read_density, tmp_path / DAT)
    refused("no-such.save", read_density, tmp_path / "no-such.save")
    refused("no such file|cannot be read", read_density, any_save / DAT)


def test_files_of_different_runs(any_save):
    """Another cell, a grid that is too coarse, other electrons."""
    path = any_save / XML
    text = path.read_text()
    other = as_text(DATA / "al.save" / f"{XML}.gz")
    path.write_text(other)
    refused("its cell and that of .* differ by up to", read_density, any_save)
    path.write_text(text.replace('nr3="12"', 'nr3="8"'))
    refused(r"do not fit the grid \(12, 12, 8\)", read_density, any_save)
    path.write_text(text.replace('nr3="12"', 'nr3="99999999999"'))
    refused("does not fit into memory", read_density, any_save)
    path.write_text(text.replace("<nelec>8.0", "<nelec>7.0"))
    with pytest.warns(UserWarning, match="integrates to 8 electrons, where .* counts 7"):
        density = read_density(any_save)
    assert len(density.extra["doubts"]) == 1
    refused("counts 7", read_density, any_save, None, None, "learn")


def test_nothing_is_written_where_it_does_not_belong(any_save, tmp_path):
    density = read_density(any_save)
    bare = Density(density.atoms, density.values)
    new = tmp_path / "new.save"
    refused("nothing tells the waves", write_density, new, bare)
    refused("nothing tells the waves", write_density, tmp_path / DAT, bare)
    coarse = Density(density.atoms, density.values[::2, ::2, ::2])
    refused(
        "a grid of 6 x 6 x 6 points cannot hold .* at least 12 12 12",
        write_density,
        any_save,
        coarse,
    )
    moved = Density(density.atoms, density.values, (0.5, 0, 0))
    refused("origin at zero", write_density, any_save, moved)
    open_axis = Density(density.atoms.copy(), density.values)
    open_axis.atoms.pbc = (1, 1, 0)
    refused("periodic along all axes", write_density, any_save, open_axis)
    wide = Density(density.atoms.copy(), density.values)
    wide.atoms.set_cell(1.001 * density.atoms.cell)
    refused("differ by up to", write_density, any_save, wide)
    for kind in ("qe/save:difference", "qe/save:magnetization", "vasp/locpot"):
        other = Density(density.atoms, density.values, kind=kind)
        refused("NAME.cube or NAME.xsf", write_density, any_save, other)
    broken = Density(density.atoms, density.values.copy(), extra=density.extra)
    broken.values[1, 2, 3] = np.nan
    refused("not finite", write_density, any_save, broken)
    refused("not finite", write_density, new, broken)
    refused("no folder|cannot be made", write_density, tmp_path / "a" / "new.save", density)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["si.save"]
    assert (read_density(any_save).values == density.values).all()


def test_what_is_there_is_kept(any_save):
    """A file that is no density, or of another cell, is not written over."""
    density = read_density(any_save)
    for content in (b"notes", b"", (any_save / DAT).read_bytes()[:-5]):
        (any_save / DAT).write_bytes(content)
        refused("does not begin like one|truncated", write_density, any_save, density)
        assert (any_save / DAT).read_bytes() == content
    other = gzip.decompress((DATA / "al.save" / f"{DAT}.gz").read_bytes())
    (any_save / DAT).write_bytes(other)
    refused("differ by up to", write_density, any_save, density)
    assert (any_save / DAT).read_bytes() == other


def test_spin_of_the_run_that_is_there(save):
    """Without a magnetisation pw.x would end nonmagnetic, and with one too many it crashes."""
    magnetic, plain = save("fe"), save("si")
    iron = read_density(magnetic)
    bare = Density(iron.atoms, iron.values)
    refused("of a run with spin, which needs a magnetisation", write_density, magnetic, bare)
    (magnetic / XML).unlink()
    refused("of a run with spin, which needs a magnetisation", write_density, magnetic, bare)
    silicon = read_density(plain)
    silicon.extra["spin"] = [silicon.values / 3]
    with pytest.warns(UserWarning, match="of a run without spin, the magnetisation is left out"):
        write_density(plain, silicon)
    assert len(read_waves(str(plain / DAT)).components) == 1


def test_atoms_and_electrons_of_the_run_that_is_there(any_save):
    density = read_density(any_save)
    other = Density(density.atoms.copy(), density.values)
    other.atoms.positions[0] += 0.3
    with pytest.warns(UserWarning, match="the atoms are not those of"):
        write_density(any_save, other)
    with pytest.warns(UserWarning, match="integrates to 8.016 electrons, the run has 8: pw.x"):
        write_density(any_save, 1.002 * density)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        write_density(any_save, 1.0005 * density)


def test_waves_that_the_rule_does_not_tell(any_save):
    """Of a run with another number of them: as where the grid was set by hand."""
    density = read_density(any_save)
    path = any_save / XML
    path.write_text(path.read_text().replace("<ngm>206", "<ngm>204"))
    refused("counts 204 waves, where there are 206 up to 20 Ry", write_density, any_save, density)
    assert len(read_waves(str(any_save / DAT)).miller) == 206


def test_a_run_of_another_kind_is_there(any_save):
    """The XML is of a later run with k points: its waves are written."""
    density = read_density(any_save)
    path = any_save / XML
    text = path.read_text().replace("<gamma_only>true", "<gamma_only>false")
    path.write_text(text.replace("<ngm>206", "<ngm>411"))
    write_density(any_save, density)
    waves = read_waves(str(any_save / DAT))
    assert not waves.gamma_only and len(waves.miller) == 411
    np.testing.assert_allclose(read_density(any_save).values, density.values, atol=1e-14)


# predictions


@pytest.fixture
def model(monkeypatch, tmp_path):
    """Name of a model that costs nothing, in the folder of the test."""
    monkeypatch.chdir(tmp_path)
    for module in ("deepmd_charge.predict", "deepmd_charge.predict.evaluation"):
        monkeypatch.setattr(f"{module}.ChargeModel", StandInModel)
    (tmp_path / "charge.pb").write_text("1")
    return "charge.pb"


def test_predict(model, any_save, capsys):
    predict = ["predict", "-m", model, "-s", "si.save", "-o"]
    assert main([*predict, "si.save", "--like", "si.save"]) == 0
    assert "12 x 12 x 12" in capsys.readouterr().out
    density = read_density(any_save)
    points = density.points()
    truth = StandInModel(model).predict_points(density.atoms, points).reshape(density.shape)
    np.testing.assert_allclose(density.values, truth, rtol=0, atol=1e-13)
    assert main(["test", "-m", model, "-s", "si.save", "--unchecked"]) == 0
    assert main([*predict, f"si.save/{DAT}", "--grid", "15", "16", "18"]) == 0
    np.testing.assert_allclose(read_density(any_save).values, truth, rtol=0, atol=1e-13)


def test_predict_is_refused_before_it_begins(model, any_save, save, capsys, tmp_path):
    before = (any_save / DAT).read_bytes()
    predict = ["predict", "-m", model, "-s", "si.save", "-o"]
    for output, message in (
        ("si.save", "a grid of 12 x 10 x 12 points cannot hold"),
        ("new.save", "nothing tells the waves"),
        (DAT, "nothing tells the waves"),
    ):
        assert main([*predict, output, "--grid", "12", "10", "12"]) != 0
        error = capsys.readouterr().err
        assert message in error and error.count("\n") == 1
    assert sorted(path.name for path in tmp_path.iterdir()) == ["charge.pb", "si.save"]
    assert (any_save / DAT).read_bytes() == before


def test_frames(model, any_save, tmp_path, capsys):
    """Each frame needs a folder of its own, which tells its waves."""
    from ase.io import write

    write(tmp_path / "t.xyz", [read_density(any_save).atoms] * 2, format="extxyz")
    shutil.copytree(any_save, tmp_path / "si_0000.save")
    predict = ["predict", "-m", model, "-s", "t.xyz", "-o", "si.save/", "--like", "si.save"]
    assert main(predict) != 0
    assert "si_0001.save: nothing tells the waves" in capsys.readouterr().err
    shutil.copytree(any_save, tmp_path / "si_0001.save")
    (tmp_path / "si.save.partial").unlink(missing_ok=True)
    (tmp_path / "si.save" / ".partial").unlink(missing_ok=True)
    assert main(predict) == 0
    first, second = (read_density(tmp_path / f"si_000{k}.save").values for k in range(2))
    assert (first == second).all()


def test_superposition(save, tmp_path, capsys):
    """A density of Quantum ESPRESSO's as the superposition to subtract."""
    folder = save("al")
    shutil.copytree(folder, tmp_path / "atoms.save")
    flags = ["-o", str(tmp_path / "train"), "--points", "200", "--saed", "atoms.save"]
    assert main(["convert", str(folder), *flags]) == 0
    (file,) = (tmp_path / "train").rglob("saed.npy")
    (label,) = (tmp_path / "train").rglob("density.npy")
    assert np.load(file).max() > 0.01
    np.testing.assert_allclose(np.load(file), np.load(label), atol=1e-7)


def test_several_models(model, any_save, tmp_path, capsys):
    """Their deviation is no density that pw.x could begin with."""
    (tmp_path / "b.pb").write_text("1.5")
    models = ["-m", model, "b.pb"]
    assert main(["predict", *models, "-s", "si.save", "--like", "si.save", "-o", "si.save"]) == 0
    assert "integrates to 10 electrons, the run has 8: pw.x" in capsys.readouterr().err
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mean = read_density(any_save)
    assert mean.n_electrons == pytest.approx(10)
    assert (tmp_path / "si_std.cube").exists()


# damage

RECORDS = {"mark": 0, "head": 4, "cell": 24, "waves": 110, "values": 104 + 12 * 206 + 20}


def test_cut_off_anywhere(any_save):
    content = (any_save / DAT).read_bytes()
    for length in [*range(130), *range(130, len(content), 97), len(content) - 1]:
        (any_save / DAT).write_bytes(content[:length])
        assert str(any_save / DAT) in refused(
            "truncated|does not begin like one", read_density, any_save
        )
    (any_save / DAT).write_bytes(content + b"\0")
    refused("goes on after its 4 records", read_density, any_save)


@pytest.mark.parametrize("record", RECORDS)
def test_changed_bytes(any_save, record):
    """Bits that flip make another density, or one line."""
    content = (any_save / DAT).read_bytes()
    for bits in (1, 0x80, 0xFF):
        for place in range(RECORDS[record], RECORDS[record] + 12):
            changed = bytearray(content)
            changed[place] ^= bits
            (any_save / DAT).write_bytes(changed)
            message = ""
            try:
                with warnings.catch_warnings():
                    warnings.simplefilter("ignore")
                    read_density(any_save, check=False)
            except ChargeError as error:
                message = str(error)
            assert not message or (str(any_save) in message and "\n" not in message)
            assert message or record not in ("mark", "head")


def swapped(content):
    """The same file of a machine with the other order of bytes."""
    n = len(content) // 4
    return np.frombuffer(content, "<i4", n).astype(">i4").tobytes()


@pytest.mark.parametrize(
    "content, message",
    [
        (swapped, "big-endian"),
        (lambda c: b"<?xml version='1.0'?>\n<Root>\n" + c, "before 6.2"),
        (lambda c: b"\x2c\0\0\0" + b"<?iotk version=1.2.0?>" + c, "before 6.2"),
        (lambda c: c[24:], "does not begin like one"),
        (lambda c: b"\x0c\0\0\0\0\0\0\0" + c[4:], "first record|damaged"),  # marks of 8 bytes
        (lambda c: c[:4] + b"\x07" + c[5:], "first record is not gamma_only"),
        (lambda c: c[:12] + b"\x03" + c[13:], "first record is not gamma_only"),
        (lambda c: c[:8] + b"\xff\xff\xff\x7f" + c[12:], "too few for 2147483647 waves"),
        (lambda c: c[:24] + bytes(72) + c[96:], "reciprocal cell has no volume"),
        (lambda c: c[:-12] + np.array([np.nan]).tobytes() + c[-4:], "not finite"),
        (lambda c: c[:116] + c[104:116] + c[128:], "more than once"),
    ],
)  # fmt: skip
def test_damaged(any_save, content, message):
    path = any_save / DAT
    path.write_bytes(content(path.read_bytes()))
    assert str(path) in refused(message, read_density, any_save)


def test_ifort_writes_minus_one_for_true(any_save):
    path, truth = any_save / DAT, read_density(any_save)
    content = path.read_bytes()
    path.write_bytes(content[:4] + b"\xff\xff\xff\xff" + content[8:])
    assert (read_density(any_save).values == truth.values).all()


def test_a_sum_that_is_not_real(save):
    folder = save("al")
    waves = read_waves(str(folder / DAT))
    waves.components[0][5] *= 1.01
    write_waves(str(folder / DAT), waves)
    refused("not real", read_density, folder)


@pytest.mark.parametrize("suffix", [".gz", ".xz"])
@pytest.mark.parametrize("file", [DAT, HDF5, XML])
def test_damaged_compressed_files(any_save, file, suffix):
    if file == HDF5:
        write_density(any_save / HDF5, read_density(any_save))
        (any_save / DAT).unlink()
    content = (any_save / file).read_bytes()
    packed = gzip.compress(content) if suffix == ".gz" else lzma.compress(content)
    (any_save / file).unlink()
    path = any_save / f"{file}{suffix}"
    for part in (
        packed[: len(packed) // 2],
        packed[:5],
        b"",
        packed[:100] + b"!" * 99 + packed[199:],
    ):
        path.write_bytes(part)
        assert str(path) in refused(".", read_density, any_save)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda f: f.attrs.__delitem__("gamma_only"), "damaged"),
        (lambda f: f.attrs.__setitem__("gamma_only", "maybe"), "gamma_only = MAYBE"),
        (lambda f: f.attrs.__setitem__("nspin", 3), "nspin = 3"),
        (lambda f: f.attrs.__setitem__("nspin", 2), "rhodiff_g"),
        (lambda f: f.attrs.__setitem__("ngm_g", 205), r"MillerIndices is \(206, 3\)"),
        (lambda f: f.attrs.__setitem__("ngm_g", 0), "ngm_g = 0"),
        (lambda f: f["MillerIndices"].attrs.__delitem__("bg2"), "damaged"),
        (lambda f: f.__delitem__("MillerIndices"), "damaged"),
        (lambda f: f.__delitem__("rhotot_g"), "an HDF5 file that holds MillerIndices"),
        (lambda f: f["rhotot_g"].__setitem__(7, np.inf), "not finite"),
    ],
)  # fmt: skip
def test_damaged_hdf5(any_save, change, message):
    path = any_save / HDF5
    write_density(path, read_density(any_save))
    (any_save / DAT).unlink()
    with h5py.File(path, "a") as file:
        change(file)
    assert str(path) in refused(message, read_density, any_save)


def test_hdf5_cut_off_anywhere(any_save):
    path = any_save / HDF5
    density = read_density(any_save)
    write_density(path, density)
    (any_save / DAT).unlink()
    content = path.read_bytes()
    for length in range(0, len(content), 331):
        path.write_bytes(content[:length])
        assert str(path) in refused(".", read_density, any_save)


def test_xml_cut_off_anywhere(any_save):
    path = any_save / XML
    content = path.read_bytes()
    needed = content.index(b"</nelec>")
    for length in [*range(0, needed, 499), needed]:
        path.write_bytes(content[:length])
        assert str(path) in refused("damaged", read_density, any_save)


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("<output>", "<outcome>", "damaged"),
        ("output>", "outcome>", "no atomic_structure in the output of this run"),
        ("basis_set>", "basis>", "no basis_set in the output"),
        ("<ngm>206", "<ngm>many", "damaged"),
        ("ngm>", "n>", "there is no ngm"),
        ("<fft_grid", "<grid", "damaged"),
        ("<a2>", "<a2>1 ", "expected 3 numbers"),
        ("<a2>5.1", "<a2>NaN 5.1", "expected 3 numbers"),
        ("<b2>7", "<b2>8", "the reciprocal cell is not that of the cell"),
        ('alat="7.25', 'alat="9.25', "the reciprocal cell is not that of the cell"),
        ("<ecutrho>1", "<ecutrho>-1", "must not be zero"),
        ("<nelec>8", "<nelec>x8", "damaged: could not convert"),
        ('encoding="UTF-8"', 'encoding="EBCDIC-X"', "damaged"),
    ],
)
def test_damaged_xml(any_save, old, new, message):
    path = any_save / XML
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    assert str(path) in refused(message, read_density, any_save)


# with pw.x and pp.x

needs_pw = [
    pytest.mark.slow,
    pytest.mark.skipif(
        None in (PW, PP) or not POTENTIALS.is_dir(),
        reason="no pw.x: apt-get install quantum-espresso quantum-espresso-data",
    ),
]
EVERY_RUN = [pytest.param(name, marks=needs_pw) for name in {**RUNS, **MORE_RUNS}]
CONTINUED = "startingpot = 'file', conv_thr = 1d-6, diago_thr_init = 1d-9"


@pytest.mark.parametrize("name", EVERY_RUN)
def test_both_ways_with_pw(name, tmp_path):
    """Read as by pp.x, written as by pw.x, and as good a start as its own file."""
    run(tmp_path, name, "conv_thr = 1d-9")
    folder, again = tmp_path / f"{name}.save", tmp_path / "again"
    density = read_density(folder)
    truth = density_of(tmp_path, name) * PER_BOHR3
    np.testing.assert_allclose(density.values, truth, rtol=0, atol=1e-9 * truth.max())
    cube = read_density(tmp_path / "plot.cube")
    np.testing.assert_allclose(cube.values, truth, rtol=6e-5, atol=4e-5)
    own = read_waves(str(folder / DAT))
    assert len(own.components) == {"fe": 2, "non-collinear": 4}.get(name, 1)
    if name == "fe":
        spin = density_of(tmp_path, name, 6) * PER_BOHR3
        np.testing.assert_allclose(density.extra["spin"][0], spin, rtol=0, atol=1e-8)

    again.mkdir()
    write_density(again / f"{name}.save", density)  # with the cutoff alone
    assert_same_waves(read_waves(str(again / f"{name}.save" / DAT)), own)
    accuracies = []
    for where in (tmp_path, again):
        assert where != again or not (again / f"{name}.save" / XML).exists()
        accuracies.append(first_accuracy(run(where, name, CONTINUED)))
    print(
        f"{name}: first accuracy {accuracies[0]:g} Ry from pw.x's file, {accuracies[1]:g} from ours"
    )
    assert max(accuracies) < 1e-7
    assert accuracies[1] < 1.5 * accuracies[0] + 1e-11


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=needs_pw) for name in ("si-k", "si-gamma")]
)
def test_bands_from_a_file(name, tmp_path):
    """At a density of ours they are those at pw.x's own file, and those of the run."""
    outputs = [run(tmp_path, name, "conv_thr = 1d-10")]
    density = read_density(tmp_path / f"{name}.save")
    for _ in range(2):
        outputs.append(run(tmp_path, name, "diago_thr_init = 1d-10", "calculation = 'nscf'"))
        write_density(tmp_path / f"{name}.save", density)
    scf, own, ours = (
        [part.split("\n\n")[1].split() for part in output.split("bands (ev):")[1:]]
        for output in outputs
    )
    assert own == ours
    np.testing.assert_allclose(np.array(ours, float), np.array(scf, float), atol=3e-4)


@pytest.mark.parametrize(
    "name, other",
    [
        pytest.param("si-k", "si-gamma", marks=needs_pw),
        pytest.param("si-gamma", "si-k", marks=needs_pw),
    ],
)
def test_half_and_whole_spheres(name, other, tmp_path):
    """A density of a run at the Gamma point for one with k points, and the reverse.

    pw.x converts its own file, which makes the same start.
    """
    run(tmp_path, name, "conv_thr = 1d-9")
    density = read_density(tmp_path / f"{name}.save")
    save = tmp_path / f"{other}.save"
    run(tmp_path, other, "electron_maxstep = 0, scf_must_converge = .false.")
    write_density(save, density)
    assert read_waves(str(save / DAT)).gamma_only == (other == "si-gamma")
    ours = first_accuracy(run(tmp_path, other, CONTINUED))
    shutil.copy(tmp_path / f"{name}.save" / DAT, save)
    assert ours == pytest.approx(first_accuracy(run(tmp_path, other, CONTINUED)), rel=1e-3)


@pytest.mark.parametrize("name", [pytest.param("si-k", marks=needs_pw)])
def test_another_order_is_none_that_pw_takes(name, tmp_path):
    """Why the order matters: pw.x does not look at the waves that a file names."""
    run(tmp_path, name, "conv_thr = 1d-9")
    path = str(tmp_path / f"{name}.save" / DAT)
    waves = read_waves(path)
    order = np.r_[0, np.random.default_rng(1).permutation(len(waves.miller) - 1) + 1]
    mixed = Waves(
        waves.gamma_only, waves.reciprocal, waves.miller[order], [waves.components[0][order]]
    )
    write_waves(path, mixed)
    read_density(tmp_path / f"{name}.save")
    assert first_accuracy(run(tmp_path, name, CONTINUED)) > 0.01
