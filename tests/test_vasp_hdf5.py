# SPDX-License-Identifier: LGPL-3.0-or-later
"""VASP's HDF5 files, against pymatgen, and what other programs keep in such files."""

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from conftest import shared
from pymatgen.io.vasp.outputs import Chgcar, Vaspwave

from deepmd_charge import ChargeError, read_density, write_density
from deepmd_charge.cli.main import main
from deepmd_charge.io import format_of
from deepmd_charge.io.occupancies import occupancies
from deepmd_charge.io.paw import augmentation_counts, parse_occupancies

SHAPE = (4, 5, 6)
CELL = np.array([[4.0, 0.0, 0.0], [0.5, 4.2, 0.0], [0.2, 0.3, 4.4]])
PLACES = np.array([[0.1, 0.2, 0.3], [0.6, 0.55, 0.7], [-0.2, 0.1, 0.9]])
LENGTHS = [8, 8, 15]
KEYS = {1: ["total"], 2: ["total", "diff"], 4: ["total", "diff_x", "diff_y", "diff_z"]}


def densities(n_blocks):
    generator = np.random.default_rng(n_blocks)
    blocks = generator.random((n_blocks, *SHAPE))
    blocks[1:] -= 0.5
    blocks[0] *= 14 / blocks[0].mean()
    return blocks


def vaspwave(path, n_blocks=1, aug=True, structure="structure/positions", **changes):
    """Write a file as VASP does; changes by the last part of a dataset's name, None removes it."""
    generator = np.random.default_rng(7)
    group = structure + "/"
    content = {
        "version/major": 6,
        "charge/grid": np.array(SHAPE, np.int32),
        "charge/charge": densities(n_blocks).transpose(0, 3, 2, 1),
        group + "scale": 1.0,
        group + "lattice_vectors": CELL,
        group + "direct_coordinates": np.int32(1),
        group + "ion_types": np.array([b"Si", b"O"]),
        group + "number_ion_types": np.array([2, 1], np.int32),
        group + "position_ions": PLACES,
    }
    for i in range(n_blocks if aug else 0):
        rows = generator.normal(size=(3, max(LENGTHS))) * (
            np.arange(max(LENGTHS)) < np.array(LENGTHS)[:, None]
        )
        content[f"charge/aug_occupancies_s{i + 1:02d}"] = rows
        content[f"charge/aug_occupancies_ions_s{i + 1:02d}"] = np.array(LENGTHS, np.int32)
    names = {name.rpartition("/")[2]: name for name in content}
    content.update({names.get(name, name): value for name, value in changes.items()})
    with h5py.File(path, "w") as file:
        for name, value in content.items():
            if value is not None:
                file[name] = value
    return path


# augmentation occupancies


@pytest.mark.parametrize("n_blocks", [1, 2, 4])
def test_occupancies_of_each_block(tmp_path, n_blocks):
    """What pymatgen finds in the file is what it finds in the CHGCAR that is written."""
    path = vaspwave(tmp_path / "vaspwave.h5", n_blocks)
    density = read_density(path)
    assert [augmentation_counts(text) for text in density.extra["augmentation"]] == [
        LENGTHS
    ] * n_blocks
    write_density(tmp_path / "CHGCAR", density)
    truth, written = Vaspwave(str(path)).get_chgcar(), Chgcar.from_file(str(tmp_path / "CHGCAR"))
    for key in KEYS[n_blocks]:
        np.testing.assert_allclose(written.data[key], truth.data[key], rtol=1e-10, atol=1e-12)
        assert sorted(written.data_aug[key]) == sorted(truth.data_aug[key]) == [1, 2, 3]
        for atom, length in enumerate(LENGTHS, start=1):
            assert len(truth.data_aug[key][atom]) == length
            np.testing.assert_allclose(
                written.data_aug[key][atom], truth.data_aug[key][atom], rtol=1e-6
            )
    again = read_density(tmp_path / "CHGCAR")
    assert again.extra["augmentation"] == density.extra["augmentation"]


def test_commands_keep_the_occupancies(tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    path = vaspwave(Path("vaspwave.h5"), 2)
    assert main(["info", str(path), "--json"]) == 0
    (facts,) = json.loads(capsys.readouterr().out)
    assert facts["augmentation"] == [{"atoms": 3, "values": sum(LENGTHS)}] * 2
    assert main(["regrid", str(path), "-o", "CHGCAR_fine", "--grid", "8", "9", "10"]) == 0
    texts = read_density(path).extra["augmentation"]
    assert read_density("CHGCAR_fine").extra["augmentation"] == texts
    # as a source for another density of these atoms
    text, how = occupancies(read_density(path).atoms, [str(path)])
    assert text == texts[0] and how.endswith("vaspwave.h5")


def test_without_occupancies(tmp_path):
    """Of no atom, or not of all, or not of all blocks."""
    path = tmp_path / "vaspwave.h5"
    assert read_density(vaspwave(path, aug=False)).extra["augmentation"] == [""]
    zeros = np.zeros((3, 0))
    none = {"aug_occupancies_s01": zeros, "aug_occupancies_ions_s01": np.zeros(3, int)}
    assert read_density(vaspwave(path, **none)).extra["augmentation"] == [""]
    with pytest.raises(ChargeError, match="augmentation occupancies of 0 atoms, of 3"):
        occupancies(read_density(path).atoms, [path])
    some = {
        "aug_occupancies_s01": np.ones((3, 2)) * [[0], [1], [1]],
        "aug_occupancies_ions_s01": [0, 2, 2],
    }
    density = read_density(vaspwave(path, **some))
    assert [len(v) for v in parse_occupancies(density.extra["augmentation"][0])] == [0, 2, 2]
    write_density(tmp_path / "CHGCAR", density)
    assert read_density(tmp_path / "CHGCAR").extra["augmentation"] == density.extra["augmentation"]
    second = {"aug_occupancies_s02": None, "aug_occupancies_ions_s02": None}
    first, other = read_density(vaspwave(path, 2, **second)).extra["augmentation"]
    assert augmentation_counts(first) == LENGTHS and other == ""


ROWS = np.arange(45.0).reshape(3, 15) * (np.arange(15) < np.array(LENGTHS)[:, None])


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"aug_occupancies_ions_s01": None}, "aug_occupancies_s01 and .*ions_s01: damaged"),
        ({"aug_occupancies_s01": None}, "damaged"),
        ({"aug_occupancies_ions_s01": [8, 8]}, r"rows \(3, 15\) and 2 lengths for 3 atoms"),
        ({"aug_occupancies_ions_s01": [8, 8, 15, 15]}, "4 lengths for 3 atoms"),
        ({"aug_occupancies_s01": ROWS[:2]}, r"rows \(2, 15\)"),
        ({"aug_occupancies_s01": ROWS.T}, r"rows \(15, 3\)"),
        ({"aug_occupancies_s01": ROWS.ravel()}, r"rows \(45,\)"),
        ({"aug_occupancies_ions_s01": [8, 8, 16]}, "not within the rows of 15"),
        ({"aug_occupancies_ions_s01": [8, -1, 15]}, "not within the rows"),
        ({"aug_occupancies_ions_s01": [8, 7, 15]}, "go on where their lengths say"),
        ({"aug_occupancies_ions_s01": [8, 8, 0]}, "go on where their lengths say"),
        ({"aug_occupancies_ions_s01": [8.0, 8.0, 15.0]}, "no whole numbers"),
        ({"aug_occupancies_s01": ROWS * np.nan}, "not finite"),
        ({"aug_occupancies_s01": np.array([b"x"] * 3)}, "damaged"),
    ],
)
def test_damaged_occupancies(tmp_path, changes, message):
    path = vaspwave(tmp_path / "vaspwave.h5", **{"aug_occupancies_s01": ROWS, **changes})
    with pytest.raises(ChargeError, match=message) as caught:
        read_density(path)
    assert str(path) in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize("order", ["one after the other", "each atom"])
def test_imaginary_parts(tmp_path, order):
    """Of a non-collinear run: the occupancies are the real parts, as pymatgen takes them."""
    generator = np.random.default_rng(1)
    heads = [[], []]
    for part, mark in enumerate(["", " (imaginary part)"]):
        for atom in 1, 2, 3:
            numbers = "".join(f"{x:15.7E}" for x in generator.normal(size=4))
            heads[part].append(f"augmentation occupancies{mark}{atom:4d}{4:4d}\n{numbers}\n")
    parts = heads if order != "each atom" else zip(*heads, strict=True)
    lines = [line for part in parts for line in part]
    density = read_density(vaspwave(tmp_path / "vaspwave.h5", 4))
    density.extra["augmentation"] = ["".join(lines)] * 4
    path = tmp_path / "CHGCAR"
    write_density(path, density)
    text = read_density(path).extra["augmentation"][0]
    assert text == "".join(lines) and augmentation_counts(text) == [4, 4, 4]
    truth = Chgcar.from_file(str(path)).data_aug["total"]
    for atom, values in enumerate(parse_occupancies(text), start=1):
        np.testing.assert_allclose(values, truth[atom].real, rtol=1e-12)
    copied, _ = occupancies(density.atoms, [path])
    assert augmentation_counts(copied) == [4, 4, 4] and "imaginary" not in copied
    cut = path.read_text()
    path.write_text(cut[: cut.rindex("augmentation occupancies (imaginary part)")])
    with pytest.raises(ChargeError, match="up to atom 2, but the header counts 3"):
        read_density(path)


# the structure

LABELS = {
    "Si": "Si",
    "Si ": "Si",
    "Si/": "Si",
    "Si_sv_GW/9f2c": "Si",
    "Si_pv/": "Si",
    "Si/4f2a0b": "Si",
    "Fe_pv": "Fe",
    "H1.25": "H",
    "H.5": "H",
    "H.25/7b": "H",
    "O_s": "O",
    "O/": "O",
    "Zr_sv_new": "Zr",
    "C_h_nr": "C",
    "He": "He",
}


@pytest.mark.parametrize("kind", ["bytes", "str", "one long"])
@pytest.mark.parametrize("label", LABELS)
def test_labels_are_those_of_a_chgcar(tmp_path, label, kind):
    labels = [label, "Kr"] if kind != "one long" else [label, "Kr_GW_new/0123456789abcdef"]
    types = np.array(labels, "S") if kind != "str" else np.array(labels, h5py.string_dtype())
    changes = {"aug_occupancies_s01": None, "aug_occupancies_ions_s01": None}
    density = read_density(
        vaspwave(tmp_path / "vaspwave.h5", ion_types=types, **changes), check=False
    )
    assert density.atoms.get_chemical_symbols() == [LABELS[label]] * 2 + ["Kr"]
    write_density(tmp_path / "CHGCAR", density)
    lines = (tmp_path / "CHGCAR").read_text().split("\n")
    lines[5] = "  ".join(labels)
    (tmp_path / "CHGCAR").write_text("\n".join(lines))
    again = read_density(tmp_path / "CHGCAR", check=False)
    assert again.atoms.get_chemical_symbols() == density.atoms.get_chemical_symbols()


@pytest.mark.parametrize("label", ["Qq", "", "si", "X", "1Si", "/Si", "Si-a"])
def test_what_is_no_label(tmp_path, label):
    path = vaspwave(tmp_path / "vaspwave.h5", ion_types=np.array([label.encode(), b"O"], "S4"))
    with pytest.raises(
        ChargeError, match=f"the structure cannot be read: an unknown element '{label}'"
    ):
        read_density(path)


@pytest.mark.parametrize("integer", [np.int32, np.int64, np.uint8, ">i4"])
@pytest.mark.parametrize("real", ["f4", "f8", ">f8"])
def test_types_of_numbers(tmp_path, integer, real):
    counts, blocks = np.array([2, 1], integer), densities(2).transpose(0, 3, 2, 1).astype(real)
    path = vaspwave(tmp_path / "vaspwave.h5", 2, number_ion_types=counts, charge=blocks)
    density = read_density(path)
    volume = np.linalg.det(CELL)
    np.testing.assert_allclose(density.values * volume, blocks[0].T, rtol=1e-14)
    np.testing.assert_allclose(density.extra["spin"][0] * volume, blocks[1].T, rtol=1e-14)
    assert density.values.dtype == np.float64 and list(density.atoms.symbols) == ["Si", "Si", "O"]


@pytest.mark.parametrize(
    "structure", ["structure/positions", "locpot/position", "results/positions", "input/poscar"]
)
@pytest.mark.parametrize("scale", [1.0, [2.0], -100.0, [1.0, 2.0, 0.5]])
@pytest.mark.parametrize("direct", [1, 0])
def test_geometry(tmp_path, structure, scale, direct):
    """As a POSCAR's, which ase reads."""
    places = PLACES if direct else PLACES * 4.0
    changes = {"scale": scale, "direct_coordinates": np.int32(direct), "position_ions": places}
    changes["selective_dynamics"] = 1
    path = vaspwave(tmp_path / "vaspwave.h5", structure=structure, **changes)
    density = read_density(path)
    factors = np.ravel(scale) if np.ravel(scale)[0] > 0 else np.cbrt(100.0 / np.linalg.det(CELL))
    np.testing.assert_allclose(density.atoms.cell, CELL * factors, rtol=1e-12)
    expected = PLACES @ density.atoms.cell.array if direct else places * factors
    np.testing.assert_allclose(density.atoms.positions, expected, rtol=1e-12, atol=1e-12)
    assert density.n_electrons == pytest.approx(14)
    assert density.extra["notes"] == []
    if (
        np.ndim(scale) == 0
        and scale > 0
        and structure in ("structure/positions", "locpot/position")
    ):
        theirs = Vaspwave(str(path)).structure
        np.testing.assert_allclose(theirs.lattice.matrix, density.atoms.cell, rtol=1e-12)
        np.testing.assert_allclose(
            theirs.frac_coords, density.atoms.cell.scaled_positions(expected), atol=1e-12
        )


def test_steps_of_a_run(tmp_path):
    """The end of a run goes before its steps, and these before its start; what is open is told."""
    path = tmp_path / "vaspout.h5"
    cells = np.array([CELL, CELL * 1.01])
    places = np.array([PLACES, PLACES + 0.01])
    steps = {
        f"intermediate/ion_dynamics/{n}": v
        for n, v in [("lattice_vectors", cells), ("position_ions", places)]
    }
    end = {"lattice_vectors": cells[1], "position_ions": places[1] + [1, 0, -1]}
    density = read_density(vaspwave(path, structure="results/positions", **end, **steps))
    np.testing.assert_allclose(density.atoms.cell, cells[1])
    assert density.extra["notes"] == []
    density = read_density(vaspwave(path, structure="results/positions", **steps))
    np.testing.assert_allclose(density.atoms.cell, CELL)
    assert density.extra["notes"] == [
        "the structure is that of results/positions;"
        " the last step in intermediate/ion_dynamics differs"
    ]
    density = read_density(vaspwave(path, structure="input/poscar", **steps))
    np.testing.assert_allclose(density.atoms.cell, cells[1])
    np.testing.assert_allclose(density.atoms.positions, places[1] @ cells[1], atol=1e-12)
    assert density.extra["notes"] == [
        "the structure is that of the last step in intermediate/ion_dynamics"
    ]
    density = read_density(vaspwave(path, **steps))  # the density's own
    np.testing.assert_allclose(density.atoms.positions, PLACES @ CELL, atol=1e-12)
    assert density.extra["notes"] == []


@pytest.mark.parametrize(
    "changes, message",
    [
        ({"grid": [6, 5, 4]}, r"charge/grid is not that of charge/charge, \[4, 5, 6\]"),
        ({"number_ion_types": [2.0, 1.0]}, "no whole numbers"),
        ({"number_ion_types": [3]}, "counts of atoms"),
        ({"number_ion_types": [2, 2]}, "counts of atoms"),
        ({"number_ion_types": [3, 0]}, "counts of atoms"),
        ({"scale": 0.0}, "cell without volume"),
        ({"scale": [1.0, -1.0, 1.0]}, "cell without volume"),
        ({"position_ions": PLACES * np.inf}, "not finite"),
        ({"charge": np.ones((3, 6, 5, 4))}, "no grid of 1, 2 or 4 densities"),
        ({"charge": np.ones((1, 6, 5, 4), int)}, "no grid of 1, 2 or 4 densities"),
    ],
)
def test_refusals(tmp_path, changes, message):
    path = vaspwave(tmp_path / "vaspwave.h5", **changes)
    with pytest.raises(ChargeError, match=message):
        read_density(path)


# files without a density on a grid

QE = {"MillerIndices": np.zeros((7, 3), int), "rhotot_g": np.zeros(14)}


@pytest.mark.parametrize(
    "content, message",
    [
        (QE, "Quantum ESPRESSO's own charge density.*pp.x .plot_num = 0, output_format = 6"),
        ({**QE, "rhodiff_g": np.zeros(14)}, "Quantum ESPRESSO's own charge density"),
        (
            {"MillerIndices": np.zeros((7, 3)), "evc": np.zeros((2, 14))},
            "wave functions of Quantum ESPRESSO.*pp.x",
        ),
        ({"results/positions/scale": 1.0, "input/incar/NSW": 1}, "a vaspout.h5 without.*LCHARGH5"),
        ({"intermediate/ion_dynamics/scale": 1.0}, "a vaspout.h5 without.*LCHARGH5"),
        (
            {"results/partial_charges/parchg": np.ones((1, 1, 1, 2, 2, 2))},
            "partial charge densities of VASP",
        ),
        (
            {"wave/rispin": 1.0, "version/major": 6},
            "no charge/charge in this file, which holds version, wave: .*LCHARGH5",
        ),
        (
            {"locpot/total": np.ones((1, 2, 2, 2))},
            "no charge/charge in this file, which holds locpot",
        ),
        ({"charge/charge/x": 1.0}, "no charge/charge in this file"),
        (
            {"kinetic_energy_density/values": np.ones((1, 2, 2, 2))},
            "no charge/charge .* kinetic_energy_density",
        ),
        ({"nucleus/charge": [1.0], "mo/coefficient": [1.0]}, "orbitals of TREXIO.*cube"),
        ({"type.raw": [0], "set.000/coord.npy": [[0.0]]}, "a data set of DeePMD-kit: .*input.json"),
        (
            {"rho": np.ones((2, 2, 2)), "cell": np.eye(3)},
            "an HDF5 file that holds cell, rho, not VASP's charge/charge",
        ),
        ({}, "an HDF5 file that holds nothing"),
        ({f"data_{i:03d}": 1 for i in range(300)}, "an HDF5 file that holds data_000, data_001"),
    ],
)
def test_other_hdf5_files(tmp_path, content, message):
    path = tmp_path / "charge-density.hdf5"
    with h5py.File(path, "w") as file:
        for name, value in content.items():
            file[name] = value
    with pytest.raises(ChargeError, match=message) as caught:
        read_density(path)
    line = str(caught.value)
    assert line.startswith(str(path)) and "\n" not in line and len(line) < len(str(path)) + 250


@pytest.mark.parametrize(
    "name", ["charge-density.dat", "x.save/charge-density.dat", "si.save", "si.save/"]
)
def test_quantum_espressos_folder(name):
    assert format_of(name) == "qe/save"


@pytest.mark.parametrize("name", ["x.save/wfc1.dat", "data-file-schema.xml"])
def test_other_files_of_quantum_espresso(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("x.save").mkdir()
    Path(name).touch()
    with pytest.raises(ChargeError, match=r"Quantum ESPRESSO.*give its prefix.save folder"):
        format_of(name)


# shared files


@pytest.mark.parametrize("path", shared("fault_cases/12-*/vaspwave.h5"))
def test_fault_case_of_occupancies(path, tmp_path):
    density = read_density(path)
    write_density(tmp_path / "CHGCAR", density)
    found = Chgcar.from_file(str(tmp_path / "CHGCAR")).data_aug["total"]
    assert {atom: len(values) for atom, values in found.items()} == {1: 8, 2: 15}
    for atom, values in Vaspwave(str(path)).get_chgcar().data_aug["total"].items():
        np.testing.assert_allclose(found[atom], values, rtol=1e-6)


@pytest.mark.parametrize("path", shared("fault_cases/16-*/*.h5"))
def test_fault_case_of_names(path):
    density = read_density(path)
    assert density.atoms.get_chemical_formula() == "OSi"
    assert density.n_electrons == pytest.approx(10)


@pytest.mark.parametrize("path", shared("fault_cases/20-*/*.hdf5"))
def test_fault_case_of_quantum_espresso(path):
    with pytest.raises(ChargeError, match=r"Quantum ESPRESSO's own charge density.*pp.x"):
        read_density(path)
