# SPDX-License-Identifier: LGPL-3.0-or-later
"""Xsf files as other programs write them, against the densities that were put into them."""

import itertools
import re
import warnings

import ase.io.xsf
import numpy as np
import pytest
from ase import Atoms
from ase.build import make_supercell
from conftest import shared
from hypothesis import given, settings
from hypothesis import strategies as st

from deepmd_charge import ChargeError, Density, read_density, write_density
from deepmd_charge.atoms.compare import same_atoms
from deepmd_charge.atoms.species import types_of_labels
from deepmd_charge.cli.main import main
from deepmd_charge.grid.channels import select
from deepmd_charge.grid.quantity import QUANTITIES
from deepmd_charge.io._xsf_atoms import without_images

Bohr = 0.529177210903  # A, CODATA 2018
pytestmark = pytest.mark.filterwarnings("ignore:.*not a whole number")

SKEW = np.array([[4.0, 0.0, 0.0], [0.5, 4.2, 0.0], [0.2, 0.3, 4.4]])
FCC = 2.7 * (1.0 - np.eye(3))
SHAPE = (7, 8, 9)


class Field:
    """A density of Gaussian atoms that is known everywhere; e/A^3, lengths in A."""

    # electrons; with these weights no two axes or atoms are alike
    def __init__(
        self,
        cell=SKEW,
        places=((0.1, 0.2, 0.3), (0.6, 0.65, 0.7)),
        width=0.8,
        pbc=True,
        weights=(7.0, 9.0),
    ):
        self.cell, self.width, self.pbc, self.weights = np.array(cell), width, pbc, weights
        self.atoms = Atoms("Fe2", scaled_positions=places, cell=cell, pbc=pbc)

    def __call__(self, points):
        shifts = itertools.product(range(-3, 4), repeat=3) if self.pbc else [(0, 0, 0)]
        values = np.zeros(np.shape(points)[:-1])
        for shift in shifts:
            for position, weight in zip(self.atoms.positions, self.weights, strict=True):
                d2 = ((points - position - np.array(shift) @ self.cell) ** 2).sum(-1)
                values += weight * np.exp(-d2 / self.width**2)
        return values / (np.pi**1.5 * self.width**3)

    def grid(self, shape, spans, origin=(0, 0, 0)):
        """Values at the points of a general grid of xsf."""
        steps = [np.linspace(0, 1, n) if n > 1 else np.zeros(1) for n in shape]
        return self(np.stack(np.meshgrid(*steps, indexing="ij"), -1) @ spans + origin)


FIELD = Field()
WHOLE = FIELD.grid(SHAPE, SKEW)  # last planes repeat the first


def rows(numbers, form="{:18.12f}"):
    return "".join("".join(form.format(x) for x in row) + "\n" for row in np.atleast_2d(numbers))


def block(
    values, spans, origin=(0, 0, 0), name="BEGIN_DATAGRID_3D_density", title="data", unit=Bohr**3
):
    numbers = (np.asarray(values) * unit).ravel(order="F")
    lines = [numbers[i : i + 6] for i in range(0, numbers.size, 6)]
    text = "".join("".join(f" {x:.12E}" for x in line) + "\n" for line in lines)
    points = " ".join(map(str, np.shape(values)))
    head = f"BEGIN_BLOCK_DATAGRID_3D\n {title}\n {name}\n {points}\n{rows(origin)}{rows(spans)}"
    return head + text + "END_DATAGRID_3D\nEND_BLOCK_DATAGRID_3D\n"


def structure(atoms=FIELD.atoms, word="CRYSTAL\n", labels=None):
    sites = zip(labels or atoms.numbers, atoms.positions, strict=True)
    lines = [f" {label} {rows(position)}" for label, position in sites]
    cell = rows(atoms.cell.array)
    return f"{word}PRIMVEC\n{cell}PRIMCOORD\n {len(atoms)} 1\n{''.join(lines)}"


def molecule(atoms):
    lines = [f" {z} {rows(place)}" for z, place in zip(atoms.numbers, atoms.positions, strict=True)]
    return "ATOMS\n" + "".join(lines)


GOOD = structure() + block(WHOLE, SKEW)


@pytest.fixture
def file(tmp_path):
    """Writes a text, and returns its path."""

    def write(text, name="a.xsf"):
        (tmp_path / name).write_bytes(text.encode())
        return tmp_path / name

    return write


def assert_field(density, field=FIELD, sign=1.0):
    """The values are those of the field at the points, the atoms those of the crystal."""
    truth = field(density.points()).reshape(density.shape)
    np.testing.assert_allclose(density.values, sign * truth, rtol=1e-6, atol=1e-9)
    cells = np.rint(density.atoms.cell.array @ np.linalg.inv(field.cell)).astype(int)
    if np.linalg.det(cells) < 0:
        cells = cells[::-1]
    expected = make_supercell(field.atoms, cells)
    expected.set_cell(density.atoms.cell)
    np.testing.assert_allclose(density.atoms.cell, expected.cell, atol=1e-6)
    assert same_atoms(density.atoms, expected)


def complaint(capsys, *argv):
    with pytest.raises(SystemExit) as stop:
        raise SystemExit(main([str(word) for word in argv]))
    captured = capsys.readouterr().err.splitlines()
    assert stop.value.code == 1
    return captured[-1]


# files of public bug reports

ELECTRONS = {"01": 8, "09": 16, "14-abinit": 8, "14-ase": 16, "14-siesta": 16, "15": 32}


@pytest.mark.parametrize("path", shared("fault_cases/*-xsf-*/*.xsf"))
def test_shared_cases(path):
    number = path.parent.name[:2]
    expected = ELECTRONS.get(number) or ELECTRONS[f"{number}-{path.stem}"]
    density = read_density(path)
    assert density.n_electrons == pytest.approx(expected, abs=1e-3)
    assert density.atoms.pbc.all()
    if number == "01":
        np.testing.assert_allclose(
            density.atoms.cell.cellpar(), [3.81838] * 3 + [60] * 3, atol=1e-4
        )
    if number == "15":
        assert density.atoms.get_chemical_formula() == "Ni2O2"
        names = ["Ni1", "Ni2", "O", "O"] if path.stem == "nio" else ["Ni_u", "Ni_d", "O_a", "O_b"]
        assert list(density.atoms.arrays["species"]) == names
    if number == "09":
        up, down = (select(density, name).n_electrons for name in ("up", "down"))
        assert up == pytest.approx(8, abs=1e-3) and down == pytest.approx(8, abs=1e-3)


# keywords, comments and blank lines


@pytest.mark.parametrize(
    "word, n_periodic",
    [
        ("CRYSTAL\n", 3),
        (" crystal\n", 3),
        ("\tCrystal  # a comment\n", 3),
        ("", 3),  # a cell, and no word that there is none
        ("DIM-GROUP\n 3  1\n", 3),
        ("dim-group\n\n# three\n 3 225\n", 3),
        ("DIM-GROUP\n2 1\n", 2),
        ("SLAB\n", 2),
        ("DIM-GROUP\n 1 1\n", 1),
        ("polymer\n", 1),
    ],
)
def test_what_is_periodic(file, word, n_periodic):
    density = read_density(file(structure(word=word) + block(WHOLE, SKEW)))
    assert density.atoms.pbc.tolist() == [i < n_periodic for i in range(3)]
    assert_field(density)
    assert density.n_electrons == pytest.approx(16, abs=1e-3)
    assert bool(density.extra.get("notes")) == (word == "")


@pytest.mark.parametrize("word", ["MOLECULE\n", "DIM-GROUP\n 0 1\n"])
def test_a_word_that_nothing_is_periodic_counts(file, word):
    density = read_density(file(structure(word=word) + block(WHOLE, SKEW)), check=False)
    assert not density.atoms.pbc.any()
    assert density.shape == SHAPE
    np.testing.assert_allclose(density.values, FIELD(density.points()).reshape(SHAPE), rtol=1e-6)


COMMENT = st.sampled_from(["", "\n", "   \n", "# a comment\n", "  #\n", "\n# one\n\n# two\n"])


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(st.data())
def test_comments_and_blank_lines_anywhere(tmp_path_factory, data):
    """Comments between all lines but those of the values, blank lines also there."""
    path = tmp_path_factory.mktemp("xsf") / "a.xsf"
    text = GOOD.splitlines(keepends=True)
    first = next(i for i, line in enumerate(text) if "DATAGRID_3D_density" in line) + 6
    parts = []
    for i, line in enumerate(text):
        between = st.sampled_from(["", "\n"]) if first <= i < len(text) - 2 else COMMENT
        parts.append(data.draw(between) + data.draw(st.sampled_from(["", "  ", "\t"])) + line)
    ending = data.draw(st.sampled_from(["\n", "\r\n"]))
    is_lower = data.draw(st.booleans())
    text = "".join(parts).replace("\n", ending)
    path.write_bytes((text.lower() if is_lower else text).encode())
    assert_field(read_density(path))


@pytest.mark.parametrize(
    "word", ["BEGIN_BLOCK_DATAGRID_3D", "BEGIN_BLOCK_DATAGRID3D", "begin_block_datagrid_3d"]
)
@pytest.mark.parametrize(
    "name", ["DATAGRID_3D_UNKNOWN", "BEGIN_DATAGRID_3Dgrid#1", "BEGIN_DATAGRID3D", "datagrid_3d"]
)
def test_spellings(file, word, name):
    text = GOOD.replace("BEGIN_BLOCK_DATAGRID_3D", word).replace("BEGIN_DATAGRID_3D_density", name)
    assert_field(read_density(file(text)))
    assert_field(read_density(file(text.replace(" data\n", ""))))
    assert_field(read_density(file(text.replace(" data\n", " DATAGRID_3D_of_iron\n"))))


def test_sections_in_any_order(file):
    grid = block(WHOLE, SKEW)
    for text in (
        grid + structure(),
        structure().replace("PRIMCOORD", f"CONVVEC\n{rows(2 * SKEW)}PRIMCOORD") + grid,
        structure() + "CONVCOORD\n 1 4\n 8 0 0 0\n" + grid,
        structure() + molecule(FIELD.atoms) + grid,  # ABINIT gives the atoms once more
        structure() + molecule(FIELD.atoms) + "FRAMES\n" + grid,
        "BEGIN_INFO\n Fermi Energy: 1.0\nEND_INFO\n" + GOOD,
        "ANIMSTEPS 1\n" + GOOD.replace("PRIMVEC", "PRIMVEC 1").replace("PRIMCOORD", "PRIMCOORD 1"),
    ):
        assert_field(read_density(file(text)))


def test_a_conventional_cell_alone(file):
    text = structure().replace("PRIMVEC", "CONVVEC").replace("PRIMCOORD", "CONVCOORD")
    assert_field(read_density(file(text + block(WHOLE, SKEW))))


@pytest.mark.parametrize("letter", "EDd")
def test_exponents_of_fortran(file, letter):
    """In all numbers but those that count."""

    def written(match):
        return f"{float(match[0]):.12E}".replace("E", letter)

    text = re.sub(r"-?\d+\.\d+(E[-+]\d+)?", written, GOOD)
    assert f"{letter}+00" in text
    assert_field(read_density(file(text)))
    with pytest.raises(ChargeError, match=":9: more than the 1 atoms"):
        read_density(file(text.replace("PRIMCOORD\n 2", "PRIMCOORD\n 1")))


def test_forces_are_passed_over(file):
    lines = structure().splitlines(keepends=True)
    forced = "".join(
        line.replace("\n", " 0.1 0.2 0.3\n") if " 26 " in line else line for line in lines
    )
    assert_field(read_density(file(forced + block(WHOLE, SKEW))))
    text = molecule(FIELD.atoms).replace("\n 26", " 1 2 3\n 26")
    assert len(read_density(file(text + block(WHOLE, SKEW)), check=False).atoms) == 2


PLANE = """BEGIN_BLOCK_DATAGRID_2D
 cut
BEGIN_DATAGRID_2D_a
 2 2
 0 0 0
 1 0 0
 0 1 0
 1 2 3 4
END_DATAGRID_2D
END_BLOCK_DATAGRID_2D
"""
BANDS = """BEGIN_BLOCK_BANDGRID_3D
 x
BEGIN_BANDGRID_3D_a
 1
 2 1 1
 0 0 0
 1 0 0
 0 1 0
 0 0 1
BAND: 1
 1 2
END_BANDGRID_3D
END_BLOCK_BANDGRID_3D
"""


def test_other_grids_are_passed_over(file):
    for other in (PLANE, BANDS, PLANE.replace("BLOCK_DATAGRID_2D", "BLOCK_DATAGRID2D")):
        assert_field(read_density(file(structure() + other + block(WHOLE, SKEW))))
        with pytest.raises(
            ChargeError, match=r"no DATAGRID_3D in this file, but a (DATA|BAND)GRID"
        ):
            read_density(file(structure() + other))


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("CRYSTAL\n", "DIM-GROUP\n 4 1\n", ":2: expected the number of periodic directions"),
        ("CRYSTAL\n", "DIM-GROUP\n", ":2: expected the number of periodic directions"),
        ("PRIMCOORD\n 2", "PRIMCOORD\n 1", ":9: more than the 1 atoms that PRIMCOORD announces"),
        ("PRIMCOORD\n 2", "PRIMCOORD\n 3", ":10: expected atoms, 3 lines"),
        ("PRIMCOORD\n 2", "PRIMCOORD\n two", ":7: expected the number of atoms"),
        (" 26 ", " Carbon ", ":8: expected atoms, 2 lines"),
        (" 26 ", " 126 ", ":8: expected atoms, 2 lines"),
        (" 26 ", " X ", ":8: expected atoms, 2 lines"),
        ("PRIMCOORD", f"PRIMVEC\n{rows(2 * SKEW)}PRIMCOORD", ":9: another PRIMVEC"),
        ("BEGIN_BLOCK", "PRIMCOORD\n 1 1\n 8 0 0 0\nBEGIN_BLOCK", ":12: other atoms of PRIM"),
        (" 7 8 9\n", " 7 8\n", ":13: expected the numbers of points, three, found 2"),
        (" 7 8 9\n", " 7 8 9.0\n", ":13: expected the numbers of points, found"),
        (" 7 8 9\n", " 7 8 8\n", "more than the 448 values"),
        (
            "END_DATAGRID_3D\nEND_BLOCK_DATAGRID_3D\n",
            "",
            "expected END_DATAGRID_3D after the values",
        ),
    ],
)
def test_errors_name_the_line(file, old, new, message):
    assert old in GOOD
    path = file(GOOD.replace(old, new, 1))
    with pytest.raises(ChargeError) as caught:
        read_density(path)
    assert message in str(caught.value) and str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_damaged_atom_of_a_molecule_is_no_end(file):
    for line in (" 26 0.0 0.0\n", " Fe 0.0 0.0 ****\n", " 1.0 0 0 0\n", " 26\n"):
        text = molecule(FIELD.atoms) + line + molecule(FIELD.atoms)[6:]
        with pytest.raises(ChargeError, match=":4: expected an atom"):
            read_density(file(text + block(WHOLE, SKEW)))


# labels of atoms


@pytest.mark.parametrize(
    "labels, symbols, types",
    [
        ("26 26", "Fe Fe", None),
        ("Fe Fe", "Fe Fe", None),
        ("FE fe", "Fe Fe", None),
        ("Fe1 Fe1", "Fe Fe", None),  # another way to write it: a model of Fe knows it
        ("Fe1 Fe2", "Fe Fe", "Fe1 Fe2"),
        ("Fe Fe1", "Fe Fe", "Fe Fe1"),
        ("Fe-up Fe-dn", "Fe Fe", "Fe-up Fe-dn"),
        ("Feup Fedn", "Fe Fe", "Fe_up Fe_dn"),
        ("Ni_u O_a", "Ni O", None),
        ("Oa1 Oa2", "O O", "O_a1 O_a2"),
        ("ni1 NI2", "Ni Ni", "Ni1 Ni2"),
        ("C1 Ca1", "C Ca", None),
        ("H.5 H1.25", "H H", "H.5 H1.25"),
    ],
)
def test_labels(file, labels, symbols, types):
    path = file(structure(labels=labels.split()) + block(WHOLE, SKEW))
    density = read_density(path, check=False)
    assert list(density.atoms.symbols) == symbols.split()
    names = density.atoms.arrays.get("species")
    assert (None if names is None else " ".join(names)) == types
    assert any("types" in note for note in density.extra.get("notes", [])) == (types is not None)


def test_a_label_of_no_element_stands_for_itself():
    assert types_of_labels(["Fe1", "Bq", "Fe2"]) == ["Fe1", "Bq", "Fe2"]


def test_labels_that_number_the_atoms_are_no_types(file):
    atoms = Atoms("Fe4", scaled_positions=np.arange(12).reshape(4, 3) / 12, cell=SKEW, pbc=True)
    cases = ("Fe1 Fe2 Fe3 Fe4", True), ("Fe1 Fe1 Fe2 Fe2", False), ("Fe_a Fe_b Fe_c Fe_d", False)
    for labels, is_count in cases:
        density = read_density(file(structure(atoms, labels=labels.split()) + block(WHOLE, SKEW)))
        assert ("species" not in density.atoms.arrays) == is_count
        assert ("labels number the atoms" in density.extra["notes"][0]) == is_count
    values = Field(pbc=False, width=0.2).grid(SHAPE, SKEW)
    text = "ATOMS\n C1 1 1 1\n C2 2 2 2\n" + block(values, SKEW)
    assert "species" not in read_density(file(text), check=False).atoms.arrays


def test_species_overrule_labels(file):
    path = file(structure(labels=["Fe1", "Fe2"]) + block(WHOLE, SKEW))
    for names in (["Fe_x", "Fe_y"], ["Fe", "Fe"]):
        density = read_density(path, species=names)
        assert list(density.atoms.arrays["species"]) == names
        assert "notes" not in density.extra
    assert list(read_density(path, species=["Fe"]).atoms.arrays["species"]) == ["Fe", "Fe"]
    with pytest.raises(ChargeError, match="'Ni' is no name for atoms of Fe"):
        read_density(path, species=["Ni", "Fe"])


@pytest.mark.parametrize("label", ["Cup", "Cdn", "Iron", "Bq", "Vac", "Xx", "0", "119", "-1"])
def test_what_is_no_element(file, label):
    with pytest.raises(ChargeError, match=":8: expected atoms"):
        read_density(file(structure(labels=[label, "Fe"]) + block(WHOLE, SKEW)))


# spin channels, and other grids in one file

UP, DOWN = WHOLE * 0.75, WHOLE * 0.25


def many(*grids, title="data", **options):
    return structure() + "".join(block(g, SKEW, name=n, title=title, **options) for n, g in grids)


@pytest.mark.parametrize(
    "first, second, title",
    [
        ("BEGIN_DATAGRID_3D_RHO:spin_1", "BEGIN_DATAGRID_3D_RHO:spin_2", "DATA_from:fe.RHO"),
        ("BEGIN_DATAGRID_3D_spin_1", "BEGIN_DATAGRID_3D_spin_2", "data"),
        ("DATAGRID_3D_up", "DATAGRID_3D_dn", "data"),
        ("DATAGRID_3D_density_up", "DATAGRID_3D_density_down", "data"),
        ("DATAGRID_3D_spin_up", "DATAGRID_3D_spin_down", "data"),
        ("DATAGRID_3D_alpha", "DATAGRID_3D_beta", "data"),
        ("DATAGRID_3D_rho_up", "DATAGRID_3D_rho_dn", "charge density"),
    ],
)
@pytest.mark.parametrize("in_one_block", [True, False])
def test_two_channels(file, first, second, title, in_one_block):
    text = many((first, UP), (second, DOWN), title=title)
    if in_one_block:
        text = text.replace(f"END_BLOCK_DATAGRID_3D\nBEGIN_BLOCK_DATAGRID_3D\n {title}\n", "")
        assert text.count("END_BLOCK") == 1
    density = read_density(file(text))
    assert_field(density)
    assert density.kind == "xsf"
    assert "spin channels of one field" in density.extra["notes"][0]
    whole = WHOLE[:-1, :-1, :-1]
    for name, share in ("up", 0.75), ("down", 0.25), ("magnetization", 0.5), ("magnitude", 0.5):
        np.testing.assert_allclose(select(density, name).values, share * whole, rtol=1e-9)


def test_channels_named_by_their_blocks(file):
    text = structure() + block(DOWN, SKEW, name="DATAGRID_3D_UNKNOWN", title="density_down")
    text += block(UP, SKEW, name="DATAGRID_3D_UNKNOWN", title="density_up")
    np.testing.assert_allclose(
        read_density(file(text)).extra["spin"][0], 0.5 * WHOLE[:-1, :-1, :-1], rtol=1e-9
    )


@pytest.mark.parametrize(
    "names", [("total", "magnetization"), ("charge_density", "spin_density"), ("rho", "mag")]
)
def test_a_density_and_its_magnetisation(file, names):
    text = many(*((f"DATAGRID_3D_{n}", g) for n, g in zip(names, (WHOLE, -UP), strict=True)))
    density = read_density(file("# with its spin density\n" + text), check="learn")
    assert_field(density)
    np.testing.assert_allclose(density.extra["spin"][0], -0.75 * density.values, rtol=1e-9)


def test_total_up_and_down(file):
    names = [f"DATAGRID_3D_{name}" for name in ("density_up", "total", "density_down")]
    density = read_density(file(many(*zip(names, (UP, WHOLE, DOWN), strict=True))))
    assert_field(density)
    np.testing.assert_allclose(density.extra["spin"][0], 0.5 * density.values, rtol=1e-9)


def test_non_collinear(file):
    """SIESTA's elements of the density matrix of spin: 11, 22, and 12 in two parts."""
    matrix = [WHOLE * share for share in (0.7, 0.3, 0.2, 0.1)]
    names = [f"BEGIN_DATAGRID_3D_RHO:spin_{i}" for i in (1, 2, 3, 4)]
    density = read_density(file(many(*zip(names, matrix, strict=True))))
    assert_field(density)
    # m = tr(rho sigma), rho12 = 0.2 + 0.1i
    rho = np.array([[0.7, 0.2 + 0.1j], [0.2 - 0.1j, 0.3]])
    pauli = np.array([[[0, 1], [1, 0]], [[0, -1j], [1j, 0]], [[1, 0], [0, -1]]])
    moments = np.einsum("ij,kji->k", rho, pauli).real
    for component, moment in zip(density.extra["spin"], moments, strict=True):
        np.testing.assert_allclose(component, moment * density.values, rtol=1e-9)
    size = np.linalg.norm(moments)
    magnitude = select(density, "magnitude").values
    np.testing.assert_allclose(magnitude, size * density.values, rtol=1e-9)
    with pytest.raises(ChargeError, match="non-collinear"):
        select(density, "up")
    vector = [(f"DATAGRID_3D_m{x}", m * WHOLE) for x, m in zip("xyz", moments, strict=True)]
    density = read_density(file(many(("DATAGRID_3D_density", WHOLE), *vector)))
    magnitude = select(density, "magnitude").values
    np.testing.assert_allclose(magnitude, size * density.values, rtol=1e-9)


def test_one_channel_alone(file):
    """SIESTA gives its number also to what has no spin."""
    name = "BEGIN_DATAGRID_3D_RHO:spin_1"
    assert_field(read_density(file(many((name, WHOLE), title="DATA_from:fe.RHO"))))
    others = {"RHO:spin_2": "down", "up": "up", "density_dn": "down", "spin": "magnetization"}
    for name, quantity in others.items():
        path = file(many((f"BEGIN_DATAGRID_3D_{name}", DOWN)))
        assert read_density(path, check=False).quantity == QUANTITIES[quantity]
        with pytest.raises(ChargeError, match="not the total density"):
            read_density(path)


def test_other_fields_are_left_out(file):
    """rho2xsf adds one property after the other."""
    others = [
        ("BEGIN_DATAGRID_3D_VH:spin_1", -WHOLE),
        ("BEGIN_DATAGRID_3D_LDOS:spin_1", 0.1 * UP),
        ("BEGIN_DATAGRID_3D_LDOS:spin_2", 0.1 * DOWN),
        ("BEGIN_DATAGRID_3D_DRHO:spin_1", UP - DOWN),
    ]
    channels = [("BEGIN_DATAGRID_3D_RHO:spin_1", UP), ("BEGIN_DATAGRID_3D_RHO:spin_2", DOWN)]
    for order in (channels + others, others + channels):
        density = read_density(file(many(*order)))
        assert_field(density)
        assert "is read, not 'VH:spin_1', 'LDOS:spin_1', " in density.extra["notes"][-1]
    density = read_density(file(many(*others[:3])), check=False)
    assert density.quantity == QUANTITIES["potential"]
    assert "not 'LDOS:spin_1', 'LDOS:spin_2'" in density.extra["notes"][-1]
    density = read_density(file(many(*others[1:3])), check=False)
    assert density.quantity == QUANTITIES["partial"]
    np.testing.assert_allclose(density.values, 0.1 * WHOLE[:-1, :-1, :-1], rtol=1e-9)


@pytest.mark.parametrize(
    "names",
    [
        ("UNKNOWN", "UNKNOWN"),
        ("0", "1"),
        ("density", "density"),
        ("spin_1", "spin_3"),
        ("UNKNOWN", "potential"),
    ],
)
def test_which_is_the_density(file, capsys, tmp_path, names):
    """Where nothing tells, none is learnt unasked."""
    path = file(many(*((f"DATAGRID_3D_{n}", g) for n, g in zip(names, (UP, DOWN), strict=True))))
    with pytest.warns(UserWarning, match="nothing says which is the total density"):
        density = read_density(path)
    np.testing.assert_allclose(density.values, UP[:-1, :-1, :-1], rtol=1e-9)
    said = complaint(capsys, "convert", path, "-o", tmp_path / "t")
    assert repr(names[0]) in said and repr(names[1]) in said and "--is" in said
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # of NumPy 2.5, about what ASE 3.29 does
        warnings.filterwarnings("ignore", "Setting the shape", DeprecationWarning)
        density = read_density(path, holds="total", check="learn")
    np.testing.assert_allclose(density.values, UP[:-1, :-1, :-1], rtol=1e-9)
    assert "only the first" in density.extra["notes"][0]


def test_channels_on_different_grids(file):
    text = structure() + block(UP, SKEW, name="DATAGRID_3D_up")
    path = file(text + block(DOWN[::2, ::7, ::8], SKEW, name="DATAGRID_3D_down"))
    with pytest.raises(ChargeError, match="nothing says"):
        read_density(path, check="learn")


def test_channels_in_the_commands(file, tmp_path, capsys):
    path = file(many(("DATAGRID_3D_RHO:spin_1", UP), ("DATAGRID_3D_RHO:spin_2", DOWN)))
    assert main(["info", str(path)]) in (0, None)
    out = capsys.readouterr().out
    assert "15.99998" in out and "spin channels of one field" in out
    for quantity, share in ("total", 1.0), ("up", 0.75), ("magnetization", 0.5):
        folder = tmp_path / quantity
        main(["convert", str(path), "-o", str(folder), "--quantity", quantity, "--points", "500"])
        learnt = np.load(folder / "set.000" / "density.npy")[:, 2:]
        np.testing.assert_allclose(learnt.mean(), share * WHOLE[:-1, :-1, :-1].mean(), rtol=0.15)
    assert "--quantity" in complaint(capsys, "info", path, "--is", "total")


# what the values are


@pytest.mark.parametrize(
    "title, name, comment, quantity",
    [
        ("3D_PWSCF", "DATAGRID_3D_UNKNOWN", "", "total"),
        ("datagrids", "DATAGRID_3D_DENSITY", "", "total"),
        ("density_3D", "DATAGRID_3D_DENSITY", "", "total"),
        ("g98_3D_unknown", "DATAGRID_3D_g98Cube", "", "total"),
        ("beta_Sn", "DATAGRID_3D_UNKNOWN", "beta tin, scaled up", "total"),
        ("3D_field", "BEGIN_DATAGRID_3D_UNKNOWN", "", "total"),
        ("3D_field", "BEGIN_DATAGRID_3D_UNKNOWN", "Generated by the Wannier90 code", "orbital"),
        ("g98_3D_ORBITAL_#001", "DATAGRID_3D_g98Cube", "", "orbital"),
        ("sisl_grid_1", "BEGIN_DATAGRID_3D_real_0", "", "orbital"),
        ("units: coords = A, function = eV", "DATAGRID_3D_function", "", "potential"),
        ("units: coords = A, function = A^(-3/2)", "DATAGRID_3D_function", "", "orbital"),
        ("data", "DATAGRID_3D_ELF", "", "elf"),
        ("DATA_from:fe.VT", "BEGIN_DATAGRID_3D_VT:spin_1", "", "potential"),
        ("DATA_from:fe.LDOS", "BEGIN_DATAGRID_3D_LDOS:spin_1", "", "partial"),
        ("DATA_from:fe.DRHO", "BEGIN_DATAGRID_3D_DRHO:spin_1", "", "difference"),
        ("DATA_from:fe.TOCH", "BEGIN_DATAGRID_3D_TOCH:spin_1", "", "other"),
        ("DATA_from:spin_density.RHO", "BEGIN_DATAGRID_3D_RHO:spin_1", "", "total"),
        ("data", "DATAGRID_3D_UNKNOWN", "spin density of iron", "magnetization"),
        ("data", "DATAGRID_3D_DENSITY", "charge density difference", "difference"),
        ("spin_density", "DATAGRID_3D_DENSITY", "", "magnetization"),
        ("Hartree_potential", "DATAGRID_3D_UNKNOWN", "", "potential"),
    ],
)
def test_quantities(file, capsys, tmp_path, title, name, comment, quantity):
    text = f"# {comment}\n" + many((name, WHOLE), title=title)
    path = file(text)
    density = read_density(path, check=False)
    assert density.quantity == QUANTITIES[quantity]
    unit = 1.0 if QUANTITIES[quantity].is_per_volume else Bohr**3  # nothing else is scaled
    np.testing.assert_allclose(density.values, unit * WHOLE[:-1, :-1, :-1], rtol=1e-6)
    if quantity != "total":
        said = complaint(capsys, "convert", path, "-o", tmp_path / "t")
        assert QUANTITIES[quantity].description in said and "--is" in said
    for holds in "total", "potential":
        unit = 1.0 if holds == "total" else Bohr**3
        values = read_density(path, holds=holds).values
        np.testing.assert_allclose(values, unit * WHOLE[:-1, :-1, :-1], rtol=1e-6)


@pytest.mark.parametrize("quantity", QUANTITIES)
@pytest.mark.parametrize("pbc", [True, False, (True, True, False)])
def test_what_is_written_says_what_it_is(tmp_path, quantity, pbc):
    atoms = FIELD.atoms.copy()
    atoms.pbc = pbc
    density = Density(atoms, WHOLE[:-1, :-1, :-1], kind=f"cube:{quantity}")
    write_density(tmp_path / "a.xsf", density)
    again = read_density(tmp_path / "a.xsf", check=False)
    assert again.quantity == density.quantity and "notes" not in again.extra
    np.testing.assert_allclose(again.values, density.values, rtol=1e-9)
    np.testing.assert_allclose(again.atoms.cell, SKEW, atol=1e-12)
    assert (again.atoms.pbc == atoms.pbc).all()
    with open(tmp_path / "a.xsf") as lines:
        *_, (values, _, _) = ase.io.xsf.iread_xsf(lines, read_data=True)
    unit = Bohr**3 if density.quantity.is_per_volume else 1.0
    np.testing.assert_allclose(values.max(), unit * density.values.max(), rtol=1e-8)


# units


@pytest.mark.parametrize(
    "title, comment, length, value",
    [
        ("units: coords = b, function = b^-3", "", "bohr", "e/bohr^3"),
        ("units: coords = A, function = A^-3", "", "A", "e/A^3"),
        ("units: coords = b, function = A^(-3)", "", "bohr", "e/A^3"),
        ("data", "charge density, e/A^3", "A", "e/A^3"),
        ("data", "in electrons/Ang**3", "A", "e/A^3"),
        ("density (e/bohr^3)", "", "A", "e/bohr^3"),
    ],
)
def test_units_that_the_file_says(file, title, comment, length, value):
    scale = {"bohr": Bohr, "A": 1.0}[length]
    atoms = FIELD.atoms.copy()
    atoms.set_cell(SKEW / scale, scale_atoms=True)
    unit = {"e/bohr^3": Bohr**3, "e/A^3": 1.0}[value]
    text = structure(atoms) + block(WHOLE, SKEW / scale, title=title, unit=unit)
    density = read_density(file(f"# {comment}\n{text}"))
    assert_field(density)
    is_usual = (length, value) == ("A", "e/bohr^3")
    assert len(density.extra.get("notes", [])) == (not is_usual)
    assert density.extra["units"] == (value, length)


@pytest.mark.parametrize("length", ["bohr", "A"])
@pytest.mark.parametrize("value", ["e/bohr^3", "e/A^3", "e"])
@pytest.mark.parametrize("title", ["data", "units: coords = b, function = b^-3"])
def test_units_that_the_user_says(file, length, value, title):
    scale = {"bohr": Bohr, "A": 1.0}[length]
    unit = {"e/bohr^3": Bohr**3, "e/A^3": 1.0, "e": FIELD.atoms.get_volume()}[value]
    atoms = FIELD.atoms.copy()
    atoms.set_cell(SKEW / scale, scale_atoms=True)
    path = file(structure(atoms) + block(WHOLE, SKEW / scale, title=title, unit=unit))
    assert_field(read_density(path, unit=[length, value]))
    with pytest.raises(
        ChargeError, match=f"a potential, which is not measured in {re.escape(value)}"
    ):
        read_density(path, unit=[length, value], holds="potential")
    raw = read_density(path, unit=length, holds="potential").values
    np.testing.assert_allclose(raw, unit * WHOLE[:-1, :-1, :-1], rtol=1e-6)


@pytest.mark.parametrize("value", ["e/A^3", "e"])
def test_units_that_neither_says(file, capsys, tmp_path, value):
    """As of exports by SIESTA's tools, ase and VESTA: the right count tells."""
    unit = {"e/A^3": 1.0, "e": FIELD.atoms.get_volume()}[value]
    path = file(structure() + block(WHOLE, SKEW, unit=unit))
    said = complaint(capsys, "convert", path, "-o", tmp_path / "t")
    assert f"--unit {value}" in said and "16.000" in said
    assert_field(read_density(path, unit=value, check="learn"))


# grids that are no general grids of the primitive cell


@pytest.mark.parametrize("order", [*itertools.permutations(range(3))])
@pytest.mark.parametrize("origin", [(0, 0, 0), (0.3, -0.2, 0.7)])
def test_axes_in_another_order(file, order, origin):
    """FHI-aims and cube2xsf turn cubes into xsf without moving the values."""
    spans = SKEW[list(order)]
    values = FIELD.grid(SHAPE, spans, origin)
    density = read_density(file(structure() + block(values, spans, origin)))
    assert_field(density)
    np.testing.assert_allclose(density.atoms.cell, SKEW, atol=1e-9)
    np.testing.assert_allclose(density.origin, origin, atol=1e-9)
    assert density.n_electrons == pytest.approx(16, abs=1e-2)


@pytest.mark.parametrize("ends", [*itertools.product([True, False], repeat=3)])
def test_vectors_that_end_at_the_last_point(file, ends):
    """A general grid as well, but of points that are not repeated; axis by axis."""
    n = np.array(SHAPE)
    spans = SKEW * np.where(ends, (n - 1) / n, 1.0)[:, None]
    density = read_density(file(structure() + block(FIELD.grid(SHAPE, spans), spans)))
    assert_field(density)
    assert density.shape == tuple(n - np.where(ends, 0, 1))
    np.testing.assert_allclose(density.atoms.cell, SKEW, atol=1e-9)


@pytest.mark.parametrize("factor", [lambda n: n / n, lambda n: (n + 1) / n])
@pytest.mark.parametrize("shape", [(7, 8, 9), (12, 10, 14), (7, 1, 9)])
def test_all_points_are_one_period(file, factor, shape):
    """Vectors of the cell, or those that ase writes, and no plane repeated."""
    n = np.array(shape)
    points = FIELD.grid(shape, SKEW * ((n - 1) / n)[:, None])
    density = read_density(
        file(structure() + block(points, SKEW * factor(n)[:, None])), check=False
    )
    assert_field(density)
    assert density.shape == shape
    assert any("no plane" in note for note in density.extra["notes"])


@pytest.mark.parametrize("is_told", [True, False])
def test_ase(tmp_path, is_told):
    """Values of ase's own reader, at points that its writer was or was not told."""
    n = np.array(SHAPE) - 1
    values = WHOLE if is_told else FIELD.grid(n, SKEW * ((n - 1) / n)[:, None])
    with open(tmp_path / "a.xsf", "w") as lines:
        ase.io.xsf.write_xsf(
            lines, [FIELD.atoms], data=values * Bohr**3, span_vectors=SKEW if is_told else None
        )
    density = read_density(tmp_path / "a.xsf")
    with open(tmp_path / "a.xsf") as lines:
        theirs, _, _, atoms = ase.io.xsf.read_xsf(lines, read_data=True)
    assert density.shape == tuple(n)
    keep = (slice(-1 if is_told else None),) * 3
    np.testing.assert_allclose(density.values, theirs[keep] / Bohr**3, rtol=1e-12)
    truth = FIELD(density.points()).reshape(density.shape)
    np.testing.assert_allclose(density.values, truth, atol=1e-5)
    assert same_atoms(density.atoms, atoms)
    assert density.n_electrons == pytest.approx(16, abs=1e-3)


@pytest.mark.slow
@pytest.mark.parametrize(
    "cells",
    [
        [[2, 0, 0], [0, 1, 0], [0, 0, 3]],
        [[-1, 1, 1], [1, -1, 1], [1, 1, -1]],  # the cube of fcc
        [[1, 1, -1], [1, -1, 1], [-1, 1, 1]],  # left-handed in the primitive cell
        [[1, 1, 0], [0, 1, 0], [0, 0, 1]],
        [[0, 0, 2], [0, 1, 0], [1, 0, 0]],
    ],
)
@pytest.mark.parametrize("is_open", [True, False])
@pytest.mark.parametrize("cell", [FCC, SKEW])
def test_larger_cells(file, cells, is_open, cell):
    field = Field(cell)
    shape = np.array([9, 10, 11])
    spans = np.array(cells) @ cell
    if is_open:
        spans = spans * ((shape - 1) / shape)[:, None]
    values = field.grid(shape, spans, (0.1, 0, 0))
    density = read_density(file(structure(field.atoms) + block(values, spans, (0.1, 0, 0))))
    assert_field(density, field)
    n = abs(round(np.linalg.det(cells)))
    assert len(density.atoms) == 2 * n
    assert density.n_electrons == pytest.approx(16 * n, rel=0.02)
    assert np.sign(np.linalg.det(density.atoms.cell)) == np.sign(np.linalg.det(cell))
    assert bool(density.extra.get("notes")) == (n > 1)


def test_types_go_with_the_atoms_of_a_larger_cell(file):
    spans = SKEW * [[2], [1], [1]]
    text = structure(labels=["Fe1", "Fe2"]) + block(FIELD.grid((9, 8, 9), spans), spans)
    atoms = read_density(file(text)).atoms
    for name, place in zip(("Fe1", "Fe2"), FIELD.atoms.positions, strict=True):
        its = atoms.positions[atoms.arrays["species"] == name]
        fractions = (its - place) @ np.linalg.inv(SKEW)
        np.testing.assert_allclose(fractions, np.round(fractions), atol=1e-9)
        assert len(its) == 2


@pytest.mark.parametrize(
    "spans", [SKEW * 0.5, SKEW * 1.01, SKEW * [[1], [1], [1.5]], SKEW + np.diag([0, 0, 0.1])]
)
def test_what_is_no_period(file, spans):
    values = FIELD.grid(SHAPE, spans)
    with pytest.raises(ChargeError, match=r"a.xsf:12: the grid does not span the primitive cell"):
        read_density(file(structure() + block(values, spans)))


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_planes_that_contradict_one_another(file, axis):
    """One plane is damaged, the other two are repeated; or the grid is a part of another one."""
    for change in (0.9, 1.001):
        values = WHOLE.copy()
        np.moveaxis(values, axis, 0)[-1, 2:5, 2:5] *= change
        with pytest.raises(ChargeError, match=f"does not repeat the first along {'abc'[axis]}"):
            read_density(file(structure() + block(values, SKEW)))
    # half the crystal, said to be all of it
    with pytest.raises(ChargeError, match="does not repeat the first"):
        read_density(file(structure() + block(FIELD.grid((12, 12, 12), SKEW * 0.45), SKEW)))


def test_a_slab_whose_grid_ends_with_the_vacuum(file):
    """As of Octopus: general along what is periodic, and no plane repeated along c."""
    field = Field([[4, 0, 0], [0.5, 4.2, 0], [0, 0, 16]], ((0.1, 0.2, 0.3), (0.6, 0.65, 0.45)))
    for height in 9.0, 12.0:  # there is some density at 9 A, and none at 12 A
        spans = np.array([*field.cell[:2], [0, 0, height]])
        values = field.grid((8, 9, 21), spans)
        density = read_density(file(structure(field.atoms, "SLAB\n") + block(values, spans)))
        truth = field(density.points()).reshape(density.shape)
        np.testing.assert_allclose(density.values, truth, rtol=1e-6, atol=1e-9)
        n = density.shape[2]
        assert n == 21 if height == 9.0 else n in (20, 21)
        assert density.atoms.cell[2, 2] == pytest.approx(height * n / 20)
        assert density.n_electrons == pytest.approx(16, abs=0.1)


# grids of atoms without a cell


def test_a_crystal_without_a_cell(file):
    """SIESTA's rho2xsf writes ATOMS, whatever the box, and the atoms on all its faces."""
    field = Field(places=((0.0, 0.0, 0.0), (0.5, 0.55, 0.6)))
    corners = np.array([*itertools.product((0, 1), repeat=3)]) @ SKEW
    atoms = Atoms("Fe9", [*corners, field.atoms.positions[1]])
    values = field.grid(SHAPE, SKEW)
    text = molecule(atoms) + block(values, SKEW, name="BEGIN_DATAGRID_3D_RHO:spin_1")
    density = read_density(file(text))
    assert_field(density, field)
    assert density.atoms.pbc.all() and len(density.atoms) == 2
    assert any("7 atoms are left out" in note for note in density.extra["notes"])
    as_molecule = read_density(file(text), check=False, pbc=[False] * 3)
    assert as_molecule.shape == SHAPE and len(as_molecule.atoms) == 9


def test_a_symmetric_crystal_without_a_cell(file):
    field = Field(np.eye(3) * 4, ((0, 0, 0), (0.5, 0.5, 0.5)))
    text = molecule(field.atoms) + block(field.grid(SHAPE, field.cell), field.cell)
    assert_field(read_density(file(text)), field)


@pytest.mark.parametrize("shift", [0.0, 0.3])
@pytest.mark.parametrize("weights", [(8.0, 8.0), (7.0, 9.0)])
def test_molecules_are_molecules(file, shift, weights):
    """Symmetric in their box or not, with density at its ends or without."""
    for margin, edge in itertools.product((2.2, 3.0, 4.0), (False, True)):
        side = 2 * margin + 0.8
        cell = np.eye(3) * side
        middle = margin + 0.4 + shift
        places = np.array([[middle - 0.4, middle, middle], [middle + 0.4, middle, middle]]) / side
        field = Field(cell, places, pbc=False, weights=weights)
        values = field.grid((20, 21, 22), cell)
        for axis in range(3 if edge else 0):  # as real-space codes end
            for k in (0, -1):
                np.moveaxis(values, axis, 0)[k] = 0.0
        density = read_density(file(molecule(field.atoms) + block(values, cell)), check=False)
        assert not density.atoms.pbc.any() and density.shape == (20, 21, 22)
        assert not {"notes", "doubts"} & set(density.extra)
        np.testing.assert_allclose(density.points()[-1], [side] * 3, atol=1e-9)
        np.testing.assert_allclose(density.values, values, rtol=1e-9)


def test_the_axes_of_gaussian(file, tmp_path):
    """cube2xsf leaves z the fastest: a left-handed grid, of which dpdata makes no system."""
    field = Field(np.diag([6.0, 7.0, 8.0]), ((0.45, 0.5, 0.5), (0.55, 0.5, 0.5)), pbc=False)
    spans = field.cell[::-1]
    values = field.grid((20, 18, 16), spans)
    path = file(molecule(field.atoms) + block(values, spans, title="g98_3D_unknown"))
    density = read_density(path)
    np.testing.assert_allclose(
        density.values.ravel(), field(density.points()), rtol=1e-6, atol=1e-9
    )
    assert density.n_electrons == pytest.approx(16, abs=1e-2)
    assert np.linalg.det(density.atoms.cell) > 0
    main(["convert", str(path), "-o", str(tmp_path / "t"), "--points", "100"])
    assert (tmp_path / "t" / "nopbc").exists()


def test_a_part_of_something_is_not_the_whole(file):
    """A box through a crystal holds no molecule."""
    spans = np.diag([3.0, 3.1, 2.9])
    path = file(molecule(FIELD.atoms) + block(FIELD.grid(SHAPE, spans), spans))
    with pytest.warns(UserWarning, match="a part of something larger"):
        assert not read_density(path).atoms.pbc.any()
    with pytest.raises(ChargeError, match=r"a part of something larger.*--pbc"):
        read_density(path, check="learn")
    for pbc in ([False] * 3, [True] * 3):
        density = read_density(path, check=False, pbc=pbc)
        assert "doubts" not in density.extra and (density.atoms.pbc == pbc).all()
        assert density.shape == SHAPE
    assert "doubts" not in read_density(path, holds="total", check=False).extra


def test_a_left_handed_box_of_a_crystal(file, tmp_path):
    """Of a left-handed cell dpdata makes no system."""
    spans = SKEW[::-1]
    path = file(molecule(FIELD.atoms) + block(FIELD.grid(SHAPE, spans), spans))
    for pbc in None, [True] * 3, [False] * 3:
        density = read_density(path, check=False, pbc=pbc)
        truth = FIELD(density.points()).reshape(density.shape)
        np.testing.assert_allclose(density.values, truth, rtol=1e-6)
        assert np.linalg.det(density.atoms.cell) > 0
    assert_field(read_density(path))


def test_atoms_that_the_cell_repeats(file):
    """An atom is there once, at the ends of the cell as in its middle."""
    atoms = FIELD.atoms + FIELD.atoms
    atoms.positions[2:] += SKEW[[0, 2]] - SKEW[1]
    density = read_density(file(structure(atoms) + block(WHOLE, SKEW)))
    assert_field(density)
    assert density.extra["notes"] == ["2 atoms are left out, which are others once more"]
    for z, n in ((0.02, 4), (0.001, 2)):
        atoms.positions[2:] = FIELD.atoms.positions + np.array([0, 0, z])
        assert len(read_density(file(structure(atoms) + block(WHOLE, SKEW))).atoms) == n
    # a slab does not repeat along c
    atoms = Atoms("Fe2", [[1, 1, 0], [1, 1, 0] + SKEW[2]], cell=SKEW)
    assert len(read_density(file(structure(atoms, "SLAB\n") + block(WHOLE, SKEW))).atoms) == 2


@settings(max_examples=100, deadline=None)
@given(st.integers(0, 2**32), st.tuples(*[st.booleans()] * 3), st.sampled_from([3, 10, 40]))
def test_no_image_is_missed(seed, pbc, size):
    """Whatever the cell, and on which side of its faces the atoms stand."""
    generator = np.random.default_rng(seed)
    cell = size * (np.eye(3) + generator.uniform(-0.4, 0.4, (3, 3)))
    places = generator.choice([0.0, 0.5, 0.9, *generator.random(5)], (6, 3)) @ cell
    first = Atoms("FeFeFeFeOO", places, cell=cell, pbc=pbc)
    distinct = len(without_images(first))
    images = first.copy()
    images.positions += np.where(pbc, generator.integers(-2, 3, (6, 3)), 0) @ cell
    images.positions += generator.uniform(-5e-3, 5e-3, (6, 3))
    both = without_images(first + images)
    assert len(both) == distinct <= 6
    images.numbers = 26 + 8 - images.numbers  # another element is another atom
    assert len(without_images(first + images)) >= distinct + 1


def test_numbers_out_of_range(file):
    for n in ("9" * 5000, "9999999999999"):
        with pytest.raises(ChargeError):
            read_density(file(GOOD.replace(" 7 8 9\n", f" 7 8 {n}\n")))
    lines = GOOD.splitlines(keepends=True)
    value = lines[18].split()[1]
    with pytest.raises(ChargeError, match=":12: some values are too large"):
        read_density(file(GOOD.replace(value, "1.7E308")), check=False)
    tiny = GOOD.replace("4.000000000000", "0.000010000000")
    with pytest.raises(ChargeError, match="not a charge density"):
        read_density(file(tiny), check="learn")


def test_pbc_of_atoms_without_a_cell(file):
    """The cell ends with the grid, and where planes repeat with the first of them."""
    for values, spans in (WHOLE, SKEW), (FIELD.grid(SHAPE, SKEW * 6 / 7), SKEW * 6 / 7):
        text = molecule(FIELD.atoms) + block(values, spans)
        density = read_density(file(text), check=False, pbc=[True, True, False])
        assert density.atoms.pbc.tolist() == [True, True, False]
        truth = FIELD(density.points()).reshape(density.shape)
        np.testing.assert_allclose(density.values, truth, rtol=1e-6)


def test_a_wannier_function(file):
    """On a supercell, beside the origin, and no density; it can be looked at."""
    n, cells = np.array([12, 12, 6]), np.diag([2, 2, 1])
    spans = cells @ SKEW * ((n - 1) / n)[:, None]
    origin = -SKEW.sum(0)
    values = FIELD.grid(n, spans, origin) - 0.1
    text = "      #\n      # Generated by the Wannier90 code http://www.wannier.org\n" + structure()
    path = file(text + block(values, spans, origin, "BEGIN_DATAGRID_3D_UNKNOWN", "3D_field", 1.0))
    density = read_density(path, check=False)
    assert density.quantity == QUANTITIES["orbital"] and len(density.atoms) == 8
    np.testing.assert_allclose(density.values, values, rtol=1e-9)
    with pytest.raises(ChargeError, match="holds an orbital"):
        read_density(path)


def test_nothing_is_warned_of_without_reason(file):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        # of NumPy 2.5, about what ASE 3.29 does
        warnings.filterwarnings("ignore", "Setting the shape", DeprecationWarning)
        for text in (GOOD, many(("DATAGRID_3D_up", UP), ("DATAGRID_3D_down", DOWN))):
            read_density(file(text))
