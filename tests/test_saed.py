# SPDX-License-Identifier: LGPL-3.0-or-later
"""Superposed atomic densities: sources, sums in reciprocal space, the radial table."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from conftest import SHARED, without_elements
from potentials import gaussian, potcar_set, upf_of, write_upf
from scipy.integrate import quad
from scipy.special import kv
from training import gaussian_table, structure

from deepmd_charge import ChargeError, Density, read_density, write_density
from deepmd_charge.atoms.free_atoms import BOHR, AtomicDensity, superpose, wave_number
from deepmd_charge.cli.main import main
from deepmd_charge.grid.grid import Grid
from deepmd_charge.saed import RadialFit, RadialTable, open_source, superposition
from deepmd_charge.saed.potcar import read_potcar
from deepmd_charge.saed.table import TAPER, band_limited
from deepmd_charge.saed.upf import find_upf, integration_weights, read_upf

pytestmark = pytest.mark.filterwarnings("ignore:.*not a whole number")

WIDTH = {"Si": 0.55, "C": 0.4}  # A, of Gaussian atoms with 4 electrons


def gaussian_sum(atoms, points, widths=WIDTH):
    """The superposition by brute force over images along the periodic axes."""
    shifts = np.array(list(np.ndindex(9, 9, 9))) - 4
    shifts = shifts[(shifts[:, ~atoms.pbc] == 0).all(axis=1)]
    total = np.zeros(len(points))
    for symbol, position in zip(atoms.get_chemical_symbols(), atoms.positions, strict=True):
        images = position + shifts @ atoms.cell.array
        r = np.linalg.norm(points[:, None] - images, axis=2)
        total += gaussian(r, widths[symbol]).sum(axis=1)
    return total


@pytest.fixture
def pseudo(tmp_path):
    folder = tmp_path / "pseudo"
    folder.mkdir()
    write_upf(folder / "Si.gauss.UPF", "Si", WIDTH["Si"])
    write_upf(folder / "c.upf", "C", WIDTH["C"], version=1)
    return folder


# UPF


def test_both_versions_of_upf_give_the_form_factor(pseudo):
    for name, element in (("Si.gauss.UPF", "Si"), ("c.upf", "C")):
        atom = read_upf(pseudo / name)
        assert (atom.element, atom.valence) == (element, 4.0)
        q = np.array([0.0, 0.5, 2.0, 6.0])
        expected = 4.0 * np.exp(-0.5 * (q * WIDTH[element]) ** 2)
        assert atom.form_factor(q) == pytest.approx(expected, abs=1e-7)


def test_the_mesh_ends_as_in_quantum_espresso():
    """At the first point beyond 10 bohr, or the one before, so that the number is odd."""
    r = np.linspace(0.0, 20.0, 2001)  # 10.01 is point 1002
    w = integration_weights(r, np.full(2001, 0.01))
    assert len(w) == 1001
    assert w @ np.exp(-r[:1001]) == pytest.approx(1.0 - np.exp(-10.0), abs=1e-9)
    short = np.linspace(0.0, 8.0, 802)
    assert len(integration_weights(short, np.full(802, 0.01))) == 801


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("PP_RHOATOM", "PP_OTHER", "Si.gauss.UPF: no PP_RHOATOM"),
        ("</PP_RAB>", "1.0\n</PP_RAB>", "not equally many"),
        ("e-01", "e-0x", "is no number|holds what"),
        ('element="Si"', "", "no element in PP_HEADER"),
        ('z_valence="4.0D0"', "", "no valence"),
        ('z_valence="4.0D0"', 'z_valence="4.0D999"', "no valence"),
        ("e-04 1.0", "e-03 1.0", "does not increase"),
        ("e-02", "e+999", "not finite"),
    ],
)
def test_damaged_upf(pseudo, old, new, message):
    path = pseudo / "Si.gauss.UPF"
    path.write_text(path.read_text().replace(old, new))
    atoms = Atoms("Si", cell=[4, 4, 4], pbc=True)
    with pytest.raises(ChargeError, match=message):
        superposition(atoms, (4, 4, 4), f"upf:{pseudo}", ecutrho=20)


@pytest.mark.parametrize("electrons", [-4.0, 40.0, 1e300])
def test_no_atom_has_such_a_density(tmp_path, electrons):
    path = tmp_path / "Si.UPF"
    path.write_text(upf_of("Si", lambda r: gaussian(r, 1.0, electrons)))
    with pytest.raises(ChargeError, match=r"Si.UPF: PP_RHOATOM holds .* electrons, Si has 0 to 15"):
        read_upf(path)


def test_a_coarse_mesh_does_not_reach_the_table(tmp_path):
    r"""Short waves of a mesh like that of Al.pz-vbc.UPF: errors of the sum, not of the spline.

    The transform of :math:`e^{-a \sqrt{r^2 + b^2}}` is
    :math:`4 \pi a b^2 K_2(b \sqrt{q^2 + a^2}) / (q^2 + a^2)`: no such waves.
    """
    a, b, q_max = 2.2, 1.0, 17.0  # 1/A, A, 1/A
    n = 3.0 / (4 * np.pi * b**2 / a * kv(2, a * b))

    def density(r):
        return n * np.exp(-a * np.hypot(r, b))

    path = tmp_path / "Al.upf"
    path.write_text(upf_of("Al", lambda r: density(r * BOHR) * BOHR**3, spacing=0.0625))
    atom = read_upf(path)
    q = np.linspace(0.0, q_max, 69)
    k2 = q**2 + a**2
    expected = n * 4 * np.pi * a * b**2 * kv(2, b * np.sqrt(k2)) / k2
    # the mesh ends at 10 bohr, beyond which 4e-3 electrons are left
    assert atom.resolved(q) == pytest.approx(expected, abs=5e-3)
    assert atom.resolved(q[40:]) == pytest.approx(expected[40:], abs=3e-5)
    assert np.abs(atom.form_factor(q[40:]) - expected[40:]).max() > 1e-3
    c, cost = band_limited(atom, q_max)
    assert cost.total > 1e-4 > cost.truncation
    table = RadialTable({"Al": c}, "upf")
    assert table.electrons("Al") == pytest.approx(atom.form_factor(0.0)[0], abs=1e-3)
    r = np.arange(0.0, table.reach, 0.01)
    found = table.evaluate(Atoms("Al", positions=[[0, 0, 0]]), np.column_stack([r, 0 * r, 0 * r]))
    inner = r < table.reach - TAPER
    assert found[inner] == pytest.approx(density(r[inner]), abs=5e-5)
    assert np.abs(found[r > 5.0]).max() < 5e-5


def test_a_fine_mesh_is_resolved(pseudo):
    q = np.linspace(0.0, 20.0, 81)
    atom = read_upf(pseudo / "c.upf")
    assert atom.resolved(q) == pytest.approx(atom.form_factor(q), abs=1e-7)


# reciprocal space


@pytest.mark.parametrize("shape", [(12, 13, 15), (4, 5, 3)], ids=["fine", "coarse"])
def test_superposition_is_the_sum_over_waves(shape):
    """Skew, left-handed, atoms outside the cell; also where the grid cannot hold the waves."""
    atoms = structure(3)[[0, 1, 2]]
    atoms.set_cell(atoms.cell.array[[1, 0, 2]])
    atoms.positions += [9.0, -7.0, 3.0]
    densities = {
        e: AtomicDensity(e, 4.0, lambda q, w=w: 4.0 / (1.0 + (w * q) ** 4))
        for e, w in WIDTH.items()
    }
    q_max = 5.0
    found = superpose(atoms, Grid.of(atoms, shape), densities, q_max)
    m = np.array(list(np.ndindex(21, 21, 21))) - 10
    g = 2 * np.pi * m @ np.linalg.inv(atoms.cell.array).T
    g = g[np.linalg.norm(g, axis=1) <= q_max]
    q = np.linalg.norm(g, axis=1)
    points = Density(atoms, np.zeros(shape)).points()
    expected = np.zeros(len(points), dtype=complex)
    for symbol, position in zip(atoms.get_chemical_symbols(), atoms.positions, strict=True):
        wave = np.exp(1j * (points - position) @ g.T)
        expected += wave @ densities[symbol].form_factor(q) / atoms.cell.volume
    assert np.abs(expected.imag).max() < 1e-12
    assert found.reshape(-1) == pytest.approx(expected.real, abs=1e-7)


QE = {"si": 100, "al": 80, "almg": 80, "water": 280}


@pytest.mark.slow
@pytest.mark.parametrize("name", QE)
def test_quantum_espresso(name):
    """What Quantum ESPRESSO itself subtracts: 1e-3 e/A^3 at most, 1e-5 on average."""
    folder = SHARED / "qe"
    if not folder.is_dir():
        pytest.skip("no Quantum ESPRESSO densities beside the repository")
    reference = read_density(folder / name / "1" / "CHGCAR_saed.gz")
    source = f"upf:{folder / 'pseudo'}"
    found = superposition(reference.atoms, reference.shape, source, QE[name])
    error = np.abs((found - reference).values)
    assert error.max() < 1e-3
    assert error.mean() < 1e-5
    # the table cannot have the sharp edge of the waves and a reach, nor is it to have
    # the errors of the code's quadrature: in the potentials of Al and Mg alone
    index = np.random.default_rng(0).choice(reference.values.size, 2000, replace=False)
    table = open_source(source, QE[name])
    values = table.at(reference.atoms, reference.grid, index)
    error = np.abs(values - reference.values.reshape(-1)[index])
    cost = max(cost.total for cost in table.costs.values())
    assert error.mean() < 2e-5 + 1.2 * cost
    assert error.max() < 5e-4 + 6 * cost
    assert (cost > 1e-4) == ("al" in name)
    atoms = [
        read_upf(files[0]) for e, files in find_upf(folder / "pseudo").items() if e in table.costs
    ]
    atoms = {atom.element: replace(atom, form_factor=atom.resolved) for atom in atoms}
    q_max = wave_number(QE[name])
    resolved = superpose(reference.atoms, reference.grid, atoms, q_max)
    truncation = max(cost.truncation for cost in table.costs.values())
    assert truncation < 6e-5
    error = np.abs(values - resolved.reshape(-1)[index])
    assert error.mean() < 2e-5 + 1.2 * truncation
    assert error.max() < 5e-4 + 6 * truncation


@pytest.mark.slow
@pytest.mark.parametrize("name", ["al", "almg"])
def test_the_difference_has_no_ripples(name):
    """Waves near the edge of the sphere: in the difference to the table they stay small.

    The density of waves within half the sphere has next to none of them there.
    """
    folder = SHARED / "qe"
    if not folder.is_dir():
        pytest.skip("no Quantum ESPRESSO densities beside the repository")
    total = read_density(folder / name / "1" / "CHGCAR.gz")
    source = open_source(f"upf:{folder / 'pseudo'}", QE[name])
    saed = source.at(total.atoms, total.grid, np.arange(total.values.size)).reshape(total.shape)
    m = np.stack(
        np.meshgrid(*(np.fft.fftfreq(n, 1 / n) for n in total.shape), indexing="ij"), axis=-1
    )
    q = np.linalg.norm(m @ total.atoms.cell.reciprocal().array, axis=-1) * 2 * np.pi
    edge = (q > 0.8 * wave_number(QE[name])) & (q < wave_number(QE[name]))

    def ripples(values):
        return np.linalg.norm(np.fft.fftn(values, norm="forward")[edge])

    own = superposition(total.atoms, total.shape, f"upf:{folder / 'pseudo'}", QE[name]).values
    assert ripples(total.values) < 5e-6
    assert ripples(total.values - own) > 9e-4
    assert ripples(total.values - saed) < 2.5e-4


# POTCAR


def test_potcar(tmp_path):
    """Two elements; the superposition is that of the Gaussians it was made from."""
    path = tmp_path / "POTCAR"
    path.write_text(potcar_set("Si", WIDTH["Si"]) + potcar_set("C", WIDTH["C"], q_max=30.0))
    atoms = structure(2)
    found = superposition(atoms, (9, 8, 10), f"potcar:{path}")
    assert found.n_electrons == pytest.approx(16.0, abs=1e-3)
    index = np.arange(0, 720, 7)
    expected = gaussian_sum(atoms, found.points(index))
    assert found.values.reshape(-1)[index] == pytest.approx(expected, abs=2e-5)
    at = open_source(f"potcar:{path}").at(found.atoms, found.grid, index)
    assert at == pytest.approx(expected, abs=2e-5)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda t: t.replace("atomic pseudo", "other"), "data set 1: no table"),
        (lambda t: t.replace(" End of Dataset\n", ""), "whole POTCAR"),
        (lambda t: t.replace("VRHFIN", "VRHF"), "no VRHFIN"),
        (
            lambda t: t[: t.index("   12.28")].rsplit("\n", 2)[0] + "\n End of Dataset\n",
            "996 values of 1000",
        ),
        (
            lambda t: t.replace(
                "atomic pseudo charge-density\n", "atomic pseudo charge-density\n x "
            ),
            "could not",
        ),
        (lambda t: t + potcar_set("Si", 0.7), "two different data sets of Si"),
        (lambda t: potcar_set("Si", 0.5, first=3.9), "3.9000 electrons, ZVAL is 4"),
    ],
)
def test_damaged_potcar(tmp_path, change, message):
    path = tmp_path / "POTCAR"
    path.write_text(change(potcar_set("Si", 0.5)))
    with pytest.raises(ChargeError, match=message):
        read_potcar(path)


# the kernel and the table


@pytest.mark.parametrize("backend", ["numpy", pytest.param("tensorflow", marks=pytest.mark.slow)])
def test_piecewise_cubic(backend):
    from scipy.interpolate import PPoly

    from deepmd_charge.model.kernels.piecewise import piecewise_cubic

    rng = np.random.default_rng(1)
    c = rng.normal(size=(3, 5, 4))
    step = 0.3
    r = np.concatenate([rng.uniform(0, 1.499, 50), [0.0, 0.3, 1.5, 1.6, 99.0]])
    kind = rng.integers(3, size=len(r))
    expected = np.zeros(len(r))
    for k in range(3):
        poly = PPoly(
            c[k, :, ::-1].T * step ** -np.arange(3.0, -1, -1)[:, None], step * np.arange(6)
        )
        expected[kind == k] = poly(r[kind == k])
    expected[r >= 1.5] = 0.0
    if backend == "numpy":
        found = piecewise_cubic(np, r, kind, step, c)
    else:
        tf = pytest.importorskip("tensorflow")
        with tf.Graph().as_default(), tf.compat.v1.Session() as session:
            found = session.run(
                piecewise_cubic(tf, tf.constant(r), tf.constant(kind), step, tf.constant(c))
            )
    assert found == pytest.approx(expected, abs=1e-12)


def test_table_of_a_gaussian():
    table = gaussian_table(Si=0.4, C=0.3)
    atoms = structure(5)
    points = np.random.default_rng(2).uniform(-1, 2, (60, 3)) @ atoms.cell.array
    points[:2] = atoms.positions[:2]
    expected = gaussian_sum(atoms, points, {"Si": 0.4, "C": 0.3})
    assert table.evaluate(atoms, points) == pytest.approx(expected, abs=1e-7)
    assert table.electrons("Si") == pytest.approx(4.0, abs=1e-7)
    molecule = atoms.copy()
    molecule.pbc = False
    alone = sum(
        gaussian(np.linalg.norm(points - p, axis=1), 0.4 if s == "Si" else 0.3)
        for s, p in zip(atoms.get_chemical_symbols(), atoms.positions, strict=True)
    )
    assert table.evaluate(molecule, points) == pytest.approx(alone, abs=1e-7)


def test_sharp_edges_are_tabulated_as_they_are():
    """Against adaptive quadrature, f where F is cut off far from zero; it ends smoothly."""
    atom = AtomicDensity("Si", 4.0, lambda q: 4.0 * np.exp(-0.5 * (0.25 * q) ** 2))
    c, cost = band_limited(atom, 8.0)
    reach = 0.002 * len(c)
    assert cost.truncation > 1e-4

    def integrand(q, r):
        return atom.form_factor(q) * q * np.sin(q * r) / r

    for k in (0, 137, 1000, 1999):
        r = 0.002 * (k + 0.5)
        assert r < reach - TAPER
        exact = quad(integrand, 0, 8.0, (r,), limit=200)[0]
        assert np.polyval(c[k, ::-1], 0.5) == pytest.approx(exact / (2 * np.pi**2), abs=1e-8)
    table = RadialTable({"Si": c}, "upf")
    atom = Atoms("Si", positions=[[0, 0, 0]])
    h = 1e-3
    line = np.array([[reach + h * k, 0, 0] for k in range(-3, 3)])
    assert np.abs(np.diff(table.evaluate(atom, line))).max() < 1e-8


def test_table_makes_the_round_trip(tmp_path):
    table = gaussian_table(Si=0.4)
    table.save(tmp_path / "saed.npz")
    again = RadialTable.load(tmp_path / "saed.npz")
    for name in ("source", "ecutrho", "valence", "step", "reach"):
        assert getattr(again, name) == getattr(table, name)
    for element, c in table.functions.items():
        assert np.array_equal(again.functions[element], c)
    (tmp_path / "bad.npz").write_bytes(b"PK junk")
    with pytest.raises(ChargeError, match=r"bad.npz: not a table"):
        RadialTable.load(tmp_path / "bad.npz")
    with np.load(tmp_path / "saed.npz") as whole:
        np.savez(tmp_path / "bad.npz", **{**whole, "valence": whole["valence"][:-1]})
    with pytest.raises(ChargeError, match=r"bad.npz: not a table"):
        RadialTable.load(tmp_path / "bad.npz")
    with pytest.raises(ChargeError, match=r"none.npz: no such file"):
        RadialTable.load(tmp_path / "none.npz")


@pytest.mark.slow
def test_fit_finds_the_atoms():
    """Densities that are superpositions come back, whatever stands beside them."""
    fit = RadialFit(seed=1)
    for seed, symbols in ((1, "SiCSiC"), (2, "SiSiSiC"), (3, "SiSi")):
        atoms = structure(seed, symbols)
        density = Density(atoms, np.zeros((14, 13, 15)))
        density.values.flat = gaussian_sum(atoms, density.points())
        fit.add(density)
    table = fit.table()
    r = np.linspace(0.0, 3.0, 40)
    for element, width in WIDTH.items():
        lone = Atoms(element, positions=[[0, 0, 0]])
        found = table.evaluate(lone, np.column_stack([r, 0 * r, 0 * r]))
        # the grid has few points at the nucleus
        assert found[4:] == pytest.approx(gaussian(r[4:], width), abs=2e-3)
        assert table.electrons(element) == pytest.approx(4.0, abs=0.1)


@pytest.mark.slow
@pytest.mark.parametrize("periodic", [False, True])
def test_fit_does_not_trade_electrons(periodic):
    """One proportion of elements in a small cell, bonds that no sphere describes: tails decay."""
    if periodic:  # the primitive cell of a zincblende crystal
        cell = 2.18 * (1.0 - np.eye(3))
        atoms = Atoms("SiC", [[0, 0, 0], [1.09, 1.09, 1.09]], cell=cell, pbc=True)
        bonds = (
            np.array([[0.5, 0.5, 0.5], [0.5, -0.5, -0.5], [-0.5, 0.5, -0.5], [-0.5, -0.5, 0.5]])
            * 1.09
        )
        valence = {"Si": 3.6, "C": 4.4}
    else:
        positions = [[0, 0, 0], [0.94, 0, 0.38], [-0.47, 0.81, 0.38], [-0.47, -0.81, 0.38]]
        atoms = Atoms("NH3", positions, cell=[6, 6, 6])
        atoms.center()
        bonds = 0.6 * atoms.positions[1:] + 0.4 * atoms.positions[:1]
        valence = {"N": 5.0, "H": 1.0}
    symbols = [*atoms.get_chemical_symbols(), *["bond"] * len(bonds)]
    centres = np.concatenate([atoms.positions, bonds])
    electrons = {e: n - 0.2 * len(bonds) / symbols.count(e) for e, n in valence.items()} | {
        "bond": 0.4
    }
    density = Density(atoms, np.zeros((20, 20, 20)))
    shifts = np.array(list(np.ndindex(5, 5, 5))) - 2 if periodic else np.zeros((1, 3))
    for symbol, centre in zip(symbols, centres, strict=True):
        for shift in shifts @ atoms.cell.array:
            r = np.linalg.norm(density.points() - centre - shift, axis=1)
            density.values.flat += gaussian(r, 0.35, electrons[symbol])
    fit = RadialFit(seed=1)
    fit.add(density)
    table = fit.table()
    for element, n in valence.items():
        assert table.electrons(element) == pytest.approx(n, rel=0.4), element
    assert table.total(atoms) == pytest.approx(density.n_electrons, rel=1e-2)
    other = RadialFit(seed=1)
    other.add(density * -1)
    with pytest.warns(UserWarning, match="do not tell their elements apart"):
        other.table()
    rest = density.values.reshape(-1) - table.evaluate(atoms, density.points())
    assert np.sqrt(np.mean(rest**2)) < 0.15 * np.sqrt(np.mean(density.values**2))


# superposition(), convert, dpdata


@pytest.fixture
def crystal(tmp_path):
    """CHGCARs of two structures, with their superpositions beside them."""
    for k in (1, 2):
        folder = tmp_path / str(k)
        folder.mkdir()
        atoms = structure(k)[[0, 2, 1, 3]]
        density = Density(atoms, np.zeros((10, 9, 11)))
        density.values.flat = gaussian_sum(atoms, density.points())
        write_density(folder / "CHGCAR_saed", density)
        write_density(folder / "CHGCAR", density * 1.02)
    return tmp_path


def convert(folder, *flags):
    files = [str(folder / k / "CHGCAR") for k in "12"]
    return main(
        ["convert", *files, "-o", str(folder / "dp"), "--points", "100", "--points-per-frame", "50"]
        + [str(flag) for flag in flags]
    )


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["upf", "potcar", "file", "fit", "npz"])
def test_convert(crystal, pseudo, kind, capsys):
    """saed.npy is the superposition at the points; density.npy stays the total."""
    (crystal / "POTCAR").write_text("".join(potcar_set(e, w) for e, w in WIDTH.items()))
    gaussian_table(**WIDTH).save(crystal / "made.npz")
    flags = {
        "upf": ("--saed", f"upf:{pseudo}", "--saed-ecutrho", 150),
        "potcar": ("--saed", f"potcar:{crystal / 'POTCAR'}"),
        "file": ("--saed", "CHGCAR_saed"),
        "fit": ("--saed", "fit"),
        "npz": ("--saed", crystal / "made.npz"),
    }[kind]
    assert convert(crystal, *flags) == 0, capsys.readouterr().err
    part = crystal / "dp" / "set.000"
    saed, density = (np.load(part / f"{name}.npy") for name in ("saed", "density"))
    assert saed.shape == density.shape == (4, 54)
    assert saed.dtype == np.float64
    assert not saed[:, :4].any()
    expected = density[:, 4:] / (1.0 if kind == "fit" else 1.02)  # a fit takes what is there
    assert saed[:, 4:] == pytest.approx(expected, abs=3e-3 if kind == "fit" else 1e-4)
    table = RadialTable.load(crystal / "dp" / "saed.npz")
    assert table.source == {"npz": "upf"}.get(kind, kind)
    assert set(np.load(part / "saed_source.npy").ravel().astype(str)) == {table.source}
    assert bool(table.functions) == (kind != "file")
    out = capsys.readouterr().out
    assert "saed.npz" in out
    if kind == "upf":
        assert "Si 4.0000 electrons of 4 within" in out
    given = read_density(crystal / "1" / "CHGCAR").n_electrons
    held = given if kind == "fit" else given / 1.02
    assert (
        f"superposed atoms hold {held:.3f} of {given:.3f} electrons (the farthest of 2 files)"
        in out
    )


def test_dpdata_takes_the_same_sources(crystal, pseudo):
    import dpdata

    system = dpdata.System(
        str(crystal / "1" / "CHGCAR"),
        fmt="vasp/chgcar",
        n_points=60,
        points_per_frame=30,
        seed=1,
        saed=f"upf:{pseudo}",
        saed_ecutrho=150,
    )
    x = system["atom_types"] == system["atom_names"].index("X")
    assert system["saed"][:, x] == pytest.approx(system["density"][:, x] / 1.02, abs=1e-4)
    system.to("deepmd/npy", str(crystal / "dp"), set_size=len(system), prec=float)
    assert np.load(crystal / "dp" / "set.000" / "saed.npy") == pytest.approx(system["saed"])


def test_dpdata_looks_beside_the_file(crystal, monkeypatch):
    """As convert does, for every density its own; also where VASP 4 wrote both."""
    import dpdata

    def load(name, saed, **options):
        sizes = {"n_points": 60, "points_per_frame": 30}
        return dpdata.System(name, fmt="vasp/chgcar", saed=saed, **sizes, **options)

    monkeypatch.chdir(crystal)
    for folder in "12":
        data = load(f"{folder}/CHGCAR", "CHGCAR_saed")
        assert 1.02 * data["saed"] == pytest.approx(data["density"], abs=1e-8)
    one, saed = (without_elements(f"1/{name}") for name in ("CHGCAR", "CHGCAR_saed"))
    data = load(one, "CHGCAR_saed_4", species=["Si1", "C"])
    assert data["atom_names"][:2] == ["Si1", "C"]
    assert 1.02 * data["saed"] == pytest.approx(data["density"], abs=1e-8)
    assert load(one, Path(saed).resolve(), species=["Si", "C"])["saed"].any()
    found = superposition(read_density("1/CHGCAR").atoms, (10, 9, 11), saed, species=["Si", "C"])
    assert np.array_equal(found.values, read_density("1/CHGCAR_saed").values)
    argv = ["convert", one, "-o", "dp", "--saed", "CHGCAR_saed_4", "--species", "Si1", "C"]
    assert main([*argv, "--points", "60", "--points-per-frame", "30"]) == 0
    stored = [np.load(f"dp/set.000/{name}.npy") for name in ("saed", "density")]
    assert 1.02 * stored[0] == pytest.approx(stored[1], abs=1e-8)
    for source, message in {
        "CHGCAR": "the density itself",
        "CHGCAR_none": "CHGCAR_none: no such file, nor 1/CHGCAR_none",
        "fit": "convert --saed fit`, or fit with deepmd_charge.saed.RadialFit",
    }.items():
        with pytest.raises(ChargeError, match=message):
            load("1/CHGCAR", source)
    with pytest.raises(ChargeError, match="none/CHGCAR: "):
        load("none/CHGCAR", "1/CHGCAR_saed")


def test_dpdata_takes_what_was_fitted(crystal):
    """The route to training with a fit: its table is saved, and stands for all files."""
    import dpdata

    path, table = str(crystal / "1" / "CHGCAR"), crystal / "saed.npz"
    fit = RadialFit(seed=1)
    fit.add(read_density(path))
    fit.table().save(table)
    data = dpdata.System(path, fmt="vasp/chgcar", n_points=60, points_per_frame=30, saed=table)
    assert data["saed"] == pytest.approx(data["density"], abs=3e-3)
    assert set(data["saed_source"].astype(str)) == {"fit"}


@pytest.mark.slow
@pytest.mark.parametrize(
    "flags, message",
    [
        (("--saed", ""), "--saed: the SOURCE is empty"),
        (("--saed-ecutrho", 9), "there is no --saed"),
        (("--saed", "upf:PSEUDO"), "ecutrho"),
        (("--saed", "upf:PSEUDO", "--saed-ecutrho", -3), "positive number of Ry"),
        (("--saed", "upf:nowhere", "--saed-ecutrho", 9), "nowhere: no such file or folder"),
        (("--saed", "upf:"), "upf: names no potentials: give upf:PATH"),
        (("--saed", "potcar:", "--saed-ecutrho", 9), "potcar: names no potentials: give potcar:"),
        (("--saed", "potcar:nowhere"), "nowhere: no such file or folder"),
        (("--saed", "CHGCAR_none"), "CHGCAR_none: no such file, nor"),
        (("--saed", "CHGCAR"), "the density itself"),
        (("--saed", "none.npz"), "none.npz: no such file"),
        (("--saed", "fit", "--saed-ecutrho", 9), "only"),
        (("--saed", "CHGCAR_saed", "--saed-ecutrho", 9), "only"),
        (("--saed", "upf:PSEUDO/c.upf", "--saed-ecutrho", 9), "has C, not Si"),
        (("--saed", "../2/CHGCAR_saed"), "superposition of other atoms"),
        (("--saed", "../CHGCAR_coarse"), "different grids"),
    ],
)
def test_refusals(crystal, pseudo, flags, message, capsys):
    coarse = read_density(crystal / "1" / "CHGCAR_saed")
    coarse = Density(coarse.atoms, coarse.values[::2])
    write_density(crystal / "CHGCAR_coarse", coarse)
    there = sorted(crystal.rglob("*"))
    assert convert(crystal, *(str(f).replace("PSEUDO", str(pseudo)) for f in flags)) == 1
    *_, line = capsys.readouterr().err.splitlines()
    assert line.startswith("deepmd-charge: error: ")
    assert message in line or message == "only"
    assert sorted(crystal.rglob("*")) == there


@pytest.mark.slow
@pytest.mark.parametrize("pbc", [True, (True, False, True), (False, True, False), False], ids=str)
@pytest.mark.parametrize("kind", ["upf", "npz", "file"])
def test_superposition_on_a_grid_that_begins_elsewhere(pseudo, tmp_path, kind, pbc):
    atoms = structure(3)
    atoms.pbc = pbc
    density = Density(atoms, np.zeros((10, 9, 11)), (0.3, -1.1, 5.2))
    density.values.flat = gaussian_sum(atoms, density.points())
    write_density(tmp_path / "a.cube", density)
    source = {"upf": f"upf:{pseudo}", "npz": gaussian_table(**WIDTH), "file": tmp_path / "a.cube"}
    ecutrho = 150 if kind == "upf" else None
    found = superposition(atoms, density.shape, source[kind], ecutrho, origin=density.origin)
    assert (density - found).values == pytest.approx(0.0, abs=1e-4)
    assert (found.atoms.positions == atoms.positions).all()


def test_ambiguous_and_unusable_sources(pseudo, tmp_path):
    write_upf(pseudo / "Si.other.upf", "Si", 0.5)
    atoms = Atoms("Si", cell=[4, 4, 4], pbc=True)
    with pytest.raises(ChargeError, match="2 files for Si"):
        superposition(atoms, (4, 4, 4), f"upf:{pseudo}", 20)
    with pytest.raises(ChargeError, match="convert --saed fit"):
        superposition(atoms, (4, 4, 4), "fit")
    with pytest.raises(ChargeError, match="three counts"):
        superposition(atoms, (4, 4, 0), "fit")
    RadialTable({}, "file").save(tmp_path / "saed.npz")
    with pytest.raises(ChargeError, match="holds no table"):
        superposition(atoms, (4, 4, 4), tmp_path / "saed.npz")
    table = gaussian_table()
    assert superposition(atoms, (8, 8, 8), table).n_electrons == pytest.approx(4.0, abs=1e-3)
    with pytest.raises(ChargeError, match="not Ge"):
        superposition(Atoms("Ge", cell=[4, 4, 4], pbc=True), (4, 4, 4), table)
