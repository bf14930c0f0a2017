# SPDX-License-Identifier: LGPL-3.0-or-later
"""Spin, sublattices, and the commands that look at densities or change them."""

import json
import warnings

import dpdata
import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from conftest import shared, without_elements
from matplotlib.figure import Figure
from pymatgen.io.vasp.outputs import Chgcar

import deepmd_charge.data.dpdata_plugin  # noqa: F401  (where it is not installed)
from deepmd_charge import ChargeError, Density, read_density, write_density
from deepmd_charge.atoms.species import name_species, species_of
from deepmd_charge.cli.main import main
from deepmd_charge.data.dataset import dataset_info
from deepmd_charge.grid import plots
from deepmd_charge.grid.channels import select
from deepmd_charge.io.related import read_related

pytestmark = pytest.mark.filterwarnings("ignore:.*not a whole number")


@pytest.fixture
def spin_density():
    """An antiferromagnet of four atoms, total and one or three magnetisations."""

    def make(n_spin):
        generator = np.random.default_rng(4)
        atoms = bulk("FeO", "rocksalt", a=4.3, cubic=True)[[0, 2, 4, 1, 3]]
        values = generator.random((4, 5, 6)) + 0.2
        values *= 40 / (values.mean() * atoms.get_volume())
        spin = [generator.normal(size=values.shape) for _ in range(n_spin)]
        return Density(atoms, values, kind="vasp/chgcar", extra={"spin": spin})

    return make


@pytest.mark.parametrize(
    "path",
    shared("real_density_files/*/NO.polarized.CHGCAR.gz")
    + shared("real_density_files/*/CHGCAR.spin.gz"),
)
def test_shared_spin(path):
    """Up and down are pymatgen's; the moment is the integral of their difference."""
    density = read_density(path)
    theirs = Chgcar.from_file(str(path)).spin_data
    for quantity, data in zip(("up", "down"), theirs.values(), strict=True):
        mine = select(density, quantity)
        assert mine.kind == f"vasp/chgcar:{quantity}"
        np.testing.assert_allclose(mine.values * density.volume, data, rtol=1e-9, atol=1e-9)
    moment = select(density, "magnetization").n_electrons
    assert moment == pytest.approx({"NO": 1.0}.get(path.name[:2], -0.0203), abs=1e-4)


def test_noncollinear(spin_density):
    density = spin_density(3)
    size = np.linalg.norm(density.extra["spin"], axis=0)
    np.testing.assert_allclose(select(density, "magnitude").values, size, rtol=1e-14)
    assert select(density, "total") is density
    for quantity in ("up", "down", "magnetization"):
        with pytest.raises(ChargeError, match=r"non-collinear.*'total' or 'magnitude'"):
            select(density, quantity)
    with pytest.raises(ChargeError, match="holds no magnetisation"):
        select(spin_density(0), "up")
    with pytest.raises(ChargeError, match="unknown quantity 'x'"):
        select(density, "x")


@pytest.mark.parametrize("quantity", ["total", "up", "down", "magnetization", "magnitude"])
def test_what_is_learnt(spin_density, tmp_path, quantity):
    """The chosen field at every point, of dpdata and of convert, which say which."""
    density = spin_density(1)
    write_density(tmp_path / "CHGCAR", density)
    options = {"n_points": 120, "points_per_frame": 60, "seed": 3}
    system = dpdata.System(
        str(tmp_path / "CHGCAR"), fmt="vasp/chgcar", quantity=quantity, **options
    )
    expected = select(read_density(tmp_path / "CHGCAR"), quantity).values
    assert sorted(system["density"][:, 5:].ravel()) == pytest.approx(
        sorted(expected.ravel()), abs=1e-12
    )
    flags = ["--points", "120", "--points-per-frame", "60", "--seed", "3", "--quantity", quantity]
    assert main(["convert", str(tmp_path / "CHGCAR"), "-o", str(tmp_path / "dp"), *flags]) == 0
    np.testing.assert_array_equal(np.load(tmp_path / "dp/set.000/density.npy"), system["density"])
    info = dataset_info([str(tmp_path / "dp")])
    assert info["kind"] == ("vasp/chgcar" if quantity == "total" else f"vasp/chgcar:{quantity}")
    # whatever is learnt, the electrons are those of the file
    assert np.load(tmp_path / "dp/set.000/n_electrons.npy") == pytest.approx(40)


def test_mixed_quantities_are_refused(spin_density, tmp_path):
    write_density(tmp_path / "CHGCAR", spin_density(1))
    for quantity in ("up", "down"):
        main(
            [
                "convert",
                str(tmp_path / "CHGCAR"),
                "-o",
                str(tmp_path / quantity),
                "--quantity",
                quantity,
            ]
        )
    with pytest.raises(ChargeError, match="different kinds"):
        dataset_info([str(tmp_path / "up"), str(tmp_path / "down")])


HEADER = (
    "afm\n1.0\n 4 0 0\n 0 4 0\n 0 0 4\n Fe Fe O\n 1 1 1\nDirect\n 0 0 0\n .5 .5 .5\n .5 0 0\n\n"
)
BODY = " 2 2 2\n" + " 1.0 2.0 3.0 4.0\n" * 2


def test_sublattices(tmp_path):
    """Header groups of one element become types of their own, in training and in prediction."""
    path = tmp_path / "CHGCAR"
    path.write_text(HEADER + BODY)
    names = ["Fe1", "Fe2", "O"]
    density = read_density(path, species=names)
    assert species_of(density.atoms) == names
    assert density.atoms.get_chemical_symbols() == ["Fe", "Fe", "O"]
    assert species_of(density.atoms.repeat(2)[:4]) == [*names, "Fe1"]
    assert species_of(read_density(path).atoms) == ["Fe", "Fe", "O"]
    assert main(["convert", str(path), "-o", str(tmp_path / "dp"), "--species", *names]) == 0
    assert (tmp_path / "dp/type_map.raw").read_text().split() == [*names, "X"]
    assert np.loadtxt(tmp_path / "dp/type.raw")[:3].tolist() == [0, 1, 2]
    assert dataset_info([str(tmp_path / "dp")])["elements"] == names
    # a CHGCAR keeps the groups apart
    write_density(tmp_path / "CHGCAR_2", density)
    assert (tmp_path / "CHGCAR_2").read_text().splitlines()[5].split() == ["Fe", "Fe", "O"]
    assert species_of(read_density(tmp_path / "CHGCAR_2", species=names).atoms) == names
    # a name for each atom, where a file has no groups
    write_density(tmp_path / "a.cube", density)
    assert species_of(read_density(tmp_path / "a.cube", species=names).atoms) == names
    with pytest.raises(ChargeError, match="2 names of species for 3 groups"):
        read_density(path, species=["Fe1", "O"])
    for wrong in ("Co1", "X", "Fex", ""):
        with pytest.raises(ChargeError, match="no name for atoms of Fe"):
            read_density(path, species=[wrong, "Fe2", "O"])


def test_a_model_tells_sublattices_apart(charge_model):
    """The types of the model are looked up by the species of the atoms."""
    atoms = Atoms("Si2", [[0, 0, 0], [1.5, 1.5, 1.5]], cell=[5, 5, 5], pbc=True)
    plain = charge_model.predict(atoms, grid=(2, 2, 2)).values
    atoms.set_array("species", ["Si", "C"], dtype="U8")
    named = charge_model.predict(atoms, grid=(2, 2, 2)).values
    atoms.arrays.pop("species")
    atoms.numbers = [14, 6]
    np.testing.assert_allclose(named, charge_model.predict(atoms, grid=(2, 2, 2)).values)
    assert not np.allclose(named, plain)
    name_species("", atoms, ["Si1", "C"])
    with pytest.raises(ChargeError, match="has not seen Si1"):
        charge_model.predict(atoms, grid=(2, 2, 2))


def test_vasp_4(tmp_path):
    """Elements from the comment, or from the user."""
    path = tmp_path / "CHGCAR"
    text = (HEADER + BODY).replace(" Fe Fe O\n", "")
    path.write_text(text)
    with pytest.raises(
        ChargeError, match=r"CHGCAR:6: no line of element symbols \(VASP 4\).*--species"
    ):
        read_density(path)
    assert read_density(path, species=["Fe", "Fe", "O"]).atoms.get_chemical_symbols() == [
        "Fe",
        "Fe",
        "O",
    ]
    assert species_of(read_density(path, species=["Fe1", "Fe2", "O"]).atoms)[1] == "Fe2"
    path.write_text(text.replace("afm", "Co Ni S"))
    assert read_density(path).atoms.get_chemical_symbols() == ["Co", "Ni", "S"]
    with pytest.raises(ChargeError, match="VASP 4"):
        read_density(path, species=["Fe", "O"])


def test_vasp_4_beside_a_structure_with_names(tmp_path):
    """The names stand for elements that a file lacks, whatever groups other files have."""
    path = tmp_path / "CHGCAR"
    path.write_text((HEADER + BODY).replace(" Fe Fe O\n", "").replace("afm", "Co Ni S"))
    names = ["Fe1", "Fe2", "O"]
    assert species_of(read_related(path, names).atoms) == names
    assert species_of(read_related(path).atoms) == ["Co", "Ni", "S"]
    path.write_text(HEADER + BODY)
    assert species_of(read_related(path, ["Fe1", "O"]).atoms) == ["Fe", "Fe", "O"]
    write_density(tmp_path / "a.cube", read_density(path))
    assert species_of(read_related(tmp_path / "a.cube", ["Fe1", "O"]).atoms) == ["Fe", "Fe", "O"]


# commands


@pytest.fixture
def folder(tmp_path, monkeypatch, spin_density):
    monkeypatch.chdir(tmp_path)
    write_density("CHGCAR", spin_density(1))
    return tmp_path


def run(*argv):
    assert main(list(map(str, argv))) == 0


def complaint(capsys, *argv):
    assert main(list(map(str, argv))) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("deepmd-charge: error: ")
    return line


def test_info(folder, capsys):
    density = read_density("CHGCAR")
    run("info", "CHGCAR", "CHGCAR", "--json")
    facts, again = json.loads(capsys.readouterr().out)
    assert facts == again
    assert facts["grid"] == [4, 5, 6] and facts["n_atoms"] == 5
    assert facts["electrons"] == pytest.approx(40)
    assert facts["volume"] == pytest.approx(4.3**3)
    assert facts["min"] == density.values.min() and facts["max"] == density.values.max()
    spin = density.extra["spin"][0]
    assert facts["moment"] == pytest.approx([spin.mean() * 4.3**3])
    assert facts["absolute_moment"] == pytest.approx(np.abs(spin).mean() * 4.3**3)
    run("info", "CHGCAR")
    text = capsys.readouterr().out
    assert "40.000000" in text and "collinear" in text and "4 x 5 x 6" in text


@pytest.mark.parametrize("path", shared("real_density_files/*/Si_static.CHGCAR.gz"))
def test_info_augmentation(path, capsys):
    run("info", path, "--json")
    (facts,) = json.loads(capsys.readouterr().out)
    assert facts["augmentation"] == [{"atoms": 2, "values": 66}] * 2
    assert facts["negative_points"] == 810


def test_potentials(folder, capsys, spin_density):
    """Refused unless asked for, by name; then not divided by the volume, and written likewise."""
    text = (folder / "CHGCAR").read_text()
    (folder / "LOCPOT").write_text(text)
    for command in (["info", "LOCPOT"], ["convert", "LOCPOT", "-o", "dp"]):
        assert "a potential, not a charge density" in complaint(capsys, *command)
    run("info", "LOCPOT", "--format", "vasp/locpot")
    assert "a potential" in capsys.readouterr().out
    potential = read_density("LOCPOT", format="vasp/locpot")
    density = read_density("CHGCAR")
    np.testing.assert_allclose(potential.values, density.values * density.volume, rtol=1e-14)
    run("diff", "LOCPOT", "LOCPOT", "-o", "LOCPOT_zero", "--format", "vasp/locpot")
    run("regrid", "LOCPOT", "-o", "LOCPOT_8", "--grid", 8, 8, 8, "--format", "vasp/locpot")
    moved = read_density("LOCPOT_8", format="vasp/locpot")
    assert moved.values.mean() == pytest.approx(potential.values.mean())
    assert "by its name a potential" in complaint(
        capsys, "regrid", "CHGCAR", "-o", "LOCPOT_9", "--spacing", 1
    )
    capsys.readouterr()
    as_read = ["LOCPOT", "--grid", *potential.shape, "--format", "vasp/locpot"]
    for name in ("loc.cube", "loc.xsf"):  # which say that they hold a potential
        run("regrid", *as_read, "-o", name)
        run("diff", "LOCPOT", "LOCPOT_zero", "-o", f"same_{name}", "--format", "vasp/locpot")
        for path in (name, f"same_{name}"):
            again = read_density(path, check=False)
            assert again.quantity == potential.quantity
            np.testing.assert_allclose(again.values, potential.values, rtol=1e-9)
            assert "a potential" in "".join((folder / path).read_text().splitlines(True)[:2])
    assert "electrons" not in capsys.readouterr().out
    for name in ("CHGCAR_fine", "CHG", "ELFCAR_fine", "x.dat"):
        message = complaint(capsys, "regrid", *as_read, "-o", name)
        assert f"{name}: not a name for a potential: call it LOCPOT_..., " in message
        assert not (folder / name).exists()
        with pytest.raises(ChargeError, match="not a name for a potential"):
            write_density(name, potential)
    assert "unknown format 'x'" in complaint(capsys, "info", "CHGCAR", "--format", "x")


@pytest.mark.parametrize("name", ["LOCPOT", "ELFCAR"])
def test_grids_of_spin_up_and_down_are_no_moments(folder, capsys, name):
    """As a LOCPOT and an ELFCAR have them: their half sum or integral means nothing."""
    (folder / name).write_text((folder / "CHGCAR").read_text())
    flags = [name, "--format", f"vasp/{name.lower()}"]
    run("info", *flags, "--json")
    (facts,) = json.loads(capsys.readouterr().out)
    assert (facts["spin"], facts["moment"], facts["further_datasets"]) == ("none", [], 1)
    for quantity in "up", "down", "magnetization", "magnitude":
        line = complaint(capsys, "plot", *flags, "-o", "p.png", "--quantity", quantity)
        assert f"{name}: holds a" in line and f"which has no '{quantity}'" in line
    run("plot", *flags, "-o", "p.png")


@pytest.mark.slow
def test_commands_take_files_of_vasp_4(folder, capsys):
    path, names = without_elements("CHGCAR"), ["--species", "Fe1", "O"]
    for command, *rest in (
        ["diff", path, "-o", "CHGCAR_d"],
        ["regrid", "-o", "CHGCAR_r", "--like", path],
        ["plot", path, "-o", "p.png"],
        ["info"],
    ):
        assert "--species" in complaint(capsys, command, path, *rest)
        run(command, path, *rest, *names)
    atoms = read_density("CHGCAR").atoms
    assert f"5, {atoms.get_chemical_formula()}" in capsys.readouterr().out
    assert read_density("CHGCAR_r").atoms.get_chemical_symbols() == atoms.get_chemical_symbols()
    assert not read_density("CHGCAR_d", check=False).values.any()
    run("test", "-s", "CHGCAR", "-p", path, *names)


def test_unchecked(folder, capsys):
    text = (folder / "CHGCAR").read_text()
    (folder / "CHGCAR_much").write_text(text.replace("E+0", "E+1"))
    assert "no number of valence electrons" not in text
    run("info", "CHGCAR_much")
    assert "no number of valence electrons" in capsys.readouterr().out
    assert "not a charge density: it integrates" in complaint(
        capsys, "convert", "CHGCAR_much", "-o", "dp"
    )
    run("convert", "CHGCAR_much", "-o", "dp", "--unchecked")
    with pytest.raises(ChargeError, match="not a charge density"):
        dpdata.System("CHGCAR_much", fmt="density")
    dpdata.System("CHGCAR_much", fmt="density", check=False)


def test_diff(folder, capsys, spin_density):
    one = read_density("CHGCAR")
    write_density("b.cube", one * 0.75)
    run("diff", "CHGCAR", "b.cube", "-o", "CHGCAR_d")
    difference = read_density("CHGCAR_d", check=False)
    np.testing.assert_allclose(difference.values, one.values / 4, rtol=1e-9)
    assert "10.000000 electrons" in capsys.readouterr().out
    run("diff", "CHGCAR", "CHGCAR", "-o", "zero.xsf", "--quantity", "magnetization")
    assert not read_density("zero.xsf", check=False).values.any()
    run("plot", "CHGCAR_d", "-o", "d.png")
    run("regrid", "CHGCAR", "-o", "CHGCAR_8", "--grid", 8, 8, 8)
    capsys.readouterr()
    assert "different grids" in complaint(capsys, "diff", "CHGCAR", "CHGCAR_8", "-o", "CHGCAR_e")
    assert "no folder no" in complaint(capsys, "diff", "CHGCAR", "CHGCAR", "-o", "no/CHGCAR")
    atoms = one.atoms.copy()
    atoms.set_cell(atoms.cell * 1.01, scale_atoms=True)
    write_density("CHGCAR_other", Density(atoms, one.values))
    assert "different cells" in complaint(
        capsys, "diff", "CHGCAR", "CHGCAR_other", "-o", "CHGCAR_e"
    )
    assert not (folder / "CHGCAR_e").exists()


@pytest.mark.parametrize(
    "flags, shape",
    [
        (["--grid", 7, 9, 12], (7, 9, 12)),
        (["--spacing", 0.5], (9, 9, 9)),
        (["--like", "a.cube"], (3, 5, 8)),
    ],
)
def test_regrid(folder, capsys, flags, shape):
    write_density("a.cube", Density(read_density("CHGCAR").atoms, np.ones((3, 5, 8))))
    run("regrid", "CHGCAR", "-o", "CHGCAR_new", *flags)
    old, new = read_density("CHGCAR"), read_density("CHGCAR_new")
    assert new.shape == new.extra["spin"][0].shape == shape
    assert new.n_electrons == pytest.approx(old.n_electrons, rel=1e-10)
    assert new.extra["spin"][0].mean() == pytest.approx(old.extra["spin"][0].mean(), abs=1e-10)
    assert f"{shape[0]} x {shape[1]} x {shape[2]} points, 40.000000" in capsys.readouterr().out


def test_regrid_refusals(folder, capsys):
    for flags, message in [
        (["-o", "CHGCAR_2", "--grid", 0, 1, 1], "has no points"),
        (["-o", "CHGCAR_2", "--spacing", -1], "must be a positive length"),
        (["-o", "CHGCAR_2", "--spacing", 1e-9], "does not fit into memory"),
        (["-o", "CHGCAR_2", "--like", "no"], "no: no such file"),
        (["-o", "x.h5", "--grid", 1, 1, 1], "x.h5: vasp/h5 can only be read"),
        (["-o", "x.dat", "--grid", 1, 1, 1], "x.dat: the name does not tell the format"),
    ]:
        assert message in complaint(capsys, "regrid", "CHGCAR", *flags)


def test_augmentation_survives_a_new_grid(folder):
    text = "augmentation occupancies   1   2\n  0.1000000E+01 -0.2000000E-01\n"
    density = read_density("CHGCAR")
    density.extra["augmentation"] = [text * 5, ""]
    density.extra["augmentation"][0] = "".join(
        text.replace("   1 ", f"   {i} ") for i in range(1, 6)
    )
    write_density("CHGCAR_paw", density)
    run("regrid", "CHGCAR_paw", "-o", "CHGCAR_new", "--grid", 8, 8, 8)
    assert read_density("CHGCAR_new").extra["augmentation"] == density.extra["augmentation"]


def test_molecules_are_not_periodic_in_training(tmp_path):
    values = np.zeros((8, 8, 8))
    values[2:-2, 2:-2, 2:-2] = 1.0
    atoms = Atoms("OH2", [[2, 2, 2], [2.9, 2, 2], [2, 2.9, 2]], cell=[4, 4, 4])
    values *= 8 / (values.mean() * 64)
    write_density(tmp_path / "a.cube", Density(atoms, values))
    system = dpdata.System(str(tmp_path / "a.cube"), fmt="cube", n_points=50, points_per_frame=50)
    assert system.nopbc
    system.to("deepmd/npy", str(tmp_path / "dp"))
    assert (tmp_path / "dp" / "nopbc").exists()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert main(["convert", str(tmp_path / "a.cube"), "-o", str(tmp_path / "dp2")]) == 0
    assert (tmp_path / "dp2" / "nopbc").exists()


@pytest.mark.parametrize("quantity", ["total", "up", "down", "magnetization", "magnitude"])
def test_a_prediction_with_spin_is_compared_channel_by_channel(folder, monkeypatch, quantity):
    """The same density twice has no error; a prediction of one grid is that of what is asked."""
    density = read_density("CHGCAR")
    write_density("CHGCAR_pred", density)
    write_density("CHGCAR_one", select(density, quantity))
    drawn = []
    monkeypatch.setattr(plots, "plot_comparison", lambda *a: drawn.append(a[:2]) or Figure())
    for path in "CHGCAR_pred", "CHGCAR_one":
        flags = ["--quantity", quantity]
        run("test", "-s", "CHGCAR", "-p", path, *flags, "--json", "t.json")
        found = json.loads((folder / "t.json").read_text())["all"]
        assert found["max"] < 1e-9 and found["r2"] == pytest.approx(1)
        run("plot", "CHGCAR", path, *flags, "-o", "p.png")
    expected = select(density, quantity).values
    for true, predicted in drawn:
        assert true.values == pytest.approx(expected, abs=1e-9)
        assert predicted.values == pytest.approx(expected, abs=1e-9)


def test_a_prediction_with_spin_beside_a_file_of_one_channel(folder, capsys):
    """The true file says what it holds; what says that it is something else is refused."""
    density = read_density("CHGCAR")
    write_density("CHGCAR_up", select(density, "up"))
    write_density("CHGCAR_down", select(density, "down"))
    run("test", "-s", "CHGCAR_up", "-p", "CHGCAR", "--is", "up", "--json", "t.json")
    assert json.loads((folder / "t.json").read_text())["all"]["max"] < 1e-9
    for command in (
        ["test", "-s", "CHGCAR_up", "-p", "CHGCAR_down", "--unchecked", "--is", "up"],
        ["plot", "CHGCAR_up", "CHGCAR_down", "-o", "p.png"],
    ):
        line = complaint(capsys, *command)
        assert "CHGCAR_down: holds the density of the electrons with spin down, and" in line
        assert "CHGCAR_up the density of the electrons with spin up" in line
