# SPDX-License-Identifier: LGPL-3.0-or-later
"""PAW augmentation occupancies: VASP's layout, copied or averaged over atoms."""

import numpy as np
import pytest
from ase import Atoms
from conftest import shared

from deepmd_charge import ChargeError, Density, read_density, write_density
from deepmd_charge.io.occupancies import occupancies
from deepmd_charge.io.paw import (
    entries,
    format_occupancies,
    parse_occupancies,
    spherical_entries,
)

pytestmark = pytest.mark.filterwarnings("ignore:.*not a whole number")

SSPP = (0, 0, 1, 1)  # most potentials of s and p elements


def test_counts_of_known_potentials():
    """As VASP writes them: 33 for s s p p, 15 for s s p."""
    assert len(entries(SSPP, 2)) == 33
    assert len(entries((0, 0, 1), 2)) == 15
    assert np.flatnonzero(entries(SSPP, 2) == 0).tolist() == [0, 1, 8, 15, 21, 27]
    # d metals: three pairs d-d lose L = 4, four pairs p-d lose L = 3
    assert len(entries((2, 2, 0, 0, 1, 1), 4)) == 138
    assert len(entries((2, 2, 0, 0, 1, 1), 2)) == 138 - 3 * 9 - 4 * 7


def test_fortran_numbers():
    text = format_occupancies(
        [np.array([0.0, 1.650342, -1.272479, 0.09999999996, 1e-120, -12345.678])]
    )
    assert text.splitlines() == [
        "augmentation occupancies   1   6",
        "  0.0000000E+00  0.1650342E+01 -0.1272479E+01  0.1000000E+00  0.0000000E+00",
        " -0.1234568E+05",
    ]


@pytest.mark.parametrize(
    "path", [*shared("real_density_files/*/*CHGCAR*.gz"), *shared("real_density_files/*/*.CHGCAR")]
)
def test_real_files_are_written_to_the_last_byte(path):
    if "cube" in path.name or "Fe3O4" in path.name or "tiny" in path.name:
        pytest.skip("no CHGCAR of a density")
    density = read_density(path)
    text = density.extra["augmentation"][0]
    values = parse_occupancies(text)
    if not values:
        pytest.skip("without occupancies")
    assert text.startswith(format_occupancies(values))  # moments may follow
    layout = {33: [0, 1, 8, 15, 21, 27], 15: [0, 1, 5, 9]}
    for element in set(density.atoms.symbols):
        samples = [v for v, s in zip(values, density.atoms.symbols, strict=True) if s == element]
        assert (
            np.flatnonzero(spherical_entries(np.array(samples))).tolist() == layout[len(samples[0])]
        )


def made_up(channels, n_atoms, seed, lmaxmix=2):
    """Occupancies with L = 0 values all alike, and others that average out."""
    which = entries(channels, lmaxmix)
    rng = np.random.default_rng(seed)
    common = np.random.default_rng(9).uniform(0.5, 2.0, len(which))
    return np.where(which == 0, common, 0.0) + 0.1 * rng.normal(size=(n_atoms, len(which)))


@pytest.mark.parametrize(
    "channels", [SSPP, (1, 1, 0, 0), (2, 2, 0, 0, 1, 1), (0, 0, 1, 1, 2, 2, 3, 3)]
)
@pytest.mark.parametrize("lmaxmix", [2, 4])
def test_the_order_of_projectors_is_found(channels, lmaxmix):
    found = spherical_entries(made_up(channels, 20, 1, lmaxmix))
    assert np.array_equal(found, entries(channels, lmaxmix) == 0)


def test_an_unknown_layout_is_refused():
    with pytest.raises(ChargeError, match="34 occupancies"):
        spherical_entries(np.ones((3, 34)))
    with pytest.raises(ChargeError, match="not plain which"):
        spherical_entries(np.where(entries(SSPP, 2) == 0, 0.0, 1.0)[None])
    with pytest.raises(ChargeError, match="two orders"):
        spherical_entries(np.eye(33)[:1])


@pytest.fixture
def files(tmp_path):
    """CHGCARs of SiC structures with occupancies; the atoms of the first, and all values."""
    values, atoms = {}, None
    for k in range(2):
        rng = np.random.default_rng(k)
        made = Atoms("Si2C2", rng.uniform(0, 4, (4, 3)), cell=[4, 4, 4], pbc=True)
        values[k] = [*made_up(SSPP, 2, k), *made_up((0, 0, 1), 2, k + 7)]
        density = Density(made, np.full((4, 4, 4), 0.25), extra={})
        density.extra["augmentation"] = [format_occupancies(values[k])]
        write_density(tmp_path / f"CHGCAR_{k}", density)
        atoms = atoms or made
    return tmp_path, atoms, values


def test_copied_in_the_order_of_the_atoms(files):
    folder, atoms, values = files
    order = [3, 0, 2, 1]
    moved = atoms[order]
    moved.positions += [4.0, -8.0, 0.001]  # images, and less than files print
    text, how = occupancies(moved, [folder / "CHGCAR_0"])
    found = parse_occupancies(text)
    for got, k in zip(found, order, strict=True):
        assert got == pytest.approx(values[0][k], rel=1e-6)
    assert how.endswith("CHGCAR_0")


@pytest.mark.parametrize("strain", [1e-5, 0.5])
def test_a_strained_cell_is_another_structure(files, strain):
    """Fractions are the same, and what depends on directions is not."""
    folder, atoms, _ = files
    strained = atoms.copy()
    strained.set_cell(np.diag([4 * (1 + strain), 4, 4 / (1 + strain)]), scale_atoms=True)
    text, how = occupancies(strained, [folder / "CHGCAR_0"])
    assert how.endswith("mean spherical part")
    for values, layout in zip(parse_occupancies(text)[::3], (SSPP, (0, 0, 1)), strict=True):
        assert not values[entries(layout, 2) != 0].any()


def test_mean_of_the_spherical_part(files):
    folder, atoms, values = files
    moved = atoms.copy()
    moved.positions[0] += 0.3
    text, how = occupancies(moved, [folder / "CHGCAR_0", folder / "CHGCAR_1"])
    found = parse_occupancies(text)
    everything = np.array([v for k in range(2) for v in values[k][:2]])
    expected = np.where(entries(SSPP, 2) == 0, everything.mean(axis=0), 0.0)
    assert found[0] == pytest.approx(expected, abs=1e-6)
    assert np.array_equal(found[0], found[1])
    assert [len(v) for v in found] == [33, 33, 15, 15]
    assert "mean" in how


def test_missing_parts_are_named(files):
    folder, atoms, _ = files
    with pytest.raises(ChargeError, match="no Ge, whose"):
        occupancies(Atoms("Ge", cell=[4, 4, 4], pbc=True), [folder / "CHGCAR_0"])
    bare = read_density(folder / "CHGCAR_1")
    bare.extra["augmentation"] = [""]
    write_density(folder / "CHGCAR_bare", bare)
    with pytest.raises(ChargeError, match="CHGCAR_bare: augmentation occupancies of 0 atoms, of 4"):
        occupancies(atoms, [folder / "CHGCAR_bare"])
    with pytest.raises(ChargeError, match="3 values of 5"):
        parse_occupancies("augmentation occupancies   1   5\n  1.0 2.0 3.0\n")
    other = read_density(folder / "CHGCAR_1")
    text = format_occupancies([np.ones(15)] * 4)
    other.extra["augmentation"] = [text]
    write_density(folder / "CHGCAR_other", other)
    with pytest.raises(ChargeError, match="one potential and one LMAXMIX"):
        occupancies(other.atoms[[0]], [folder / "CHGCAR_0", folder / "CHGCAR_other"])


def test_predicted_file_is_a_whole_chgcar(files):
    """From what is written pymatgen reads the occupancies of every atom."""
    outputs = pytest.importorskip("pymatgen.io.vasp.outputs")
    folder, atoms, values = files
    text, _ = occupancies(atoms, [folder / "CHGCAR_0"])
    density = Density(atoms, np.full((3, 3, 3), 0.25), extra={"augmentation": [text]})
    write_density(folder / "CHGCAR_new", density)
    chgcar = outputs.Chgcar.from_file(folder / "CHGCAR_new")
    found = chgcar.data_aug["total"]
    assert sorted(found) == [1, 2, 3, 4]
    assert found[4] == pytest.approx(values[0][3], rel=1e-6)
