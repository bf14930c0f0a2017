# SPDX-License-Identifier: LGPL-3.0-or-later
"""What holds of every format of densities that can be written; a new one is taken up by itself."""

import re
import warnings
from fnmatch import fnmatchcase
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepmd_charge import ChargeError, Density, read_density, write_density
from deepmd_charge.atoms.species import species_of
from deepmd_charge.cli.main import main
from deepmd_charge.grid.quantity import split_kind
from deepmd_charge.io import FORMATS, check_holds, format_of
from deepmd_charge.io.verdict.declared import LENGTHS, VALUES

EVERY = [name for name, f in FORMATS.items() if f.is_written and split_kind(name)[1].is_per_volume]
# Of a run's files one alone tells neither atoms nor grid, and holds waves up to a cutoff:
# see test_quantum_espresso.py.
WRITTEN = [name for name in EVERY if not FORMATS[name].belongs_to_run]

whole_or_not = pytest.mark.parametrize("format", EVERY)
every = pytest.mark.parametrize("format", WRITTEN)
listed = pytest.mark.parametrize("format", FORMATS)
pytestmark = pytest.mark.filterwarnings("ignore::UserWarning")


@st.composite
def densities(draw):
    """Any cell, grid, order in memory, sign and size of the values."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    shape = draw(st.tuples(*[st.integers(1, 7)] * 3))
    cell = np.diag(rng.uniform(3.0, 9.0, 3)) + rng.uniform(-1.0, 1.0, (3, 3))
    symbols = draw(st.lists(st.sampled_from(["H", "O", "Si", "U"]), min_size=1, max_size=5))
    fractions = rng.uniform(-0.3, 1.3, (len(symbols), 3))
    atoms = Atoms(symbols, scaled_positions=fractions, cell=cell, pbc=True)
    values = rng.normal(size=shape) * 10.0 ** rng.integers(-12, 3, shape)
    order = draw(st.sampled_from("CF"))
    return Density(atoms, np.array(values, order=order))


def read(path, format, **declared):
    """What is in a file, whatever its integral."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return read_density(path, format, check=False, **declared)


def name_of(pattern, anything="x"):
    """A file name that a pattern stands for."""
    return re.sub(r"\[(.).*?\]", r"\1", pattern.replace("*", anything))


def complaint(function, *args, **declared):
    """What a call is refused with, or None."""
    try:
        function(*args, **declared)
    except ChargeError as error:
        return str(error)
    return None


def assert_same(found, density):
    np.testing.assert_allclose(found.values, density.values, rtol=1e-9, atol=1e-25)
    np.testing.assert_allclose(found.atoms.cell, density.atoms.cell, atol=1e-6)
    np.testing.assert_allclose(found.origin, density.origin, atol=1e-6)
    assert (found.atoms.pbc == density.atoms.pbc).all()
    order = np.lexsort(density.atoms.positions.T), np.lexsort(found.atoms.positions.T)
    np.testing.assert_allclose(
        found.atoms.positions[order[1]], density.atoms.positions[order[0]], atol=1e-6
    )
    assert (found.atoms.numbers[order[1]] == density.atoms.numbers[order[0]]).all()


@listed
def test_its_module_has_what_the_registry_promises(format):
    entry = FORMATS[format]
    module = f"deepmd_charge.io.{entry.module}"
    assert find_spec(module), f"FORMATS[{format!r}]: there is no module {module}"
    promised = ["read"]
    promised += ["write", "check"] if entry.is_written else []
    promised += ["iterate", "count_frames"] if entry.has_frames else []
    promised += ["output_file"] if entry.belongs_to_run else []
    missing = [name for name in promised if not callable(getattr(entry.functions, name, None))]
    assert not missing, f"{module} lacks {', '.join(missing)}"
    assert entry.units[0] in VALUES and entry.units[1] in LENGTHS


@listed
@pytest.mark.parametrize("anything", ["", "x", "Si_2"])
def test_its_file_names_lead_to_it(format, anything):
    patterns = FORMATS[format].patterns
    assert patterns == tuple(pattern.upper() for pattern in patterns), "patterns are in capitals"
    for name in [name_of(pattern, anything) for pattern in patterns]:
        others = [
            key
            for key, entry in FORMATS.items()
            if any(fnmatchcase(name.upper(), pattern) for pattern in entry.patterns)
        ]
        assert others[0] == format, f"{name} is taken by {others[0]}: the first that fits decides"
        if split_kind(format)[1].is_total:
            assert format_of(name) == format_of(f"folder/{name.lower()}.gz") == format


@every
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(density=densities())
def test_what_was_written_is_read(tmp_path, format, density):
    write_density(tmp_path / "density", density, format)
    assert_same(read(tmp_path / "density", format), density)


@every
@pytest.mark.parametrize("suffix", [".gz", ".xz"])
def test_compressed(tmp_path, density, format, suffix):
    write_density(tmp_path / f"density{suffix}", density, format)
    assert_same(read(tmp_path / f"density{suffix}", format), density)
    start = (tmp_path / f"density{suffix}").read_bytes()[:6]
    assert start.startswith(b"\x1f\x8b" if suffix == ".gz" else b"\xfd7zXZ")


@every
@pytest.mark.parametrize("origin", [(0, 0, 0), (0.5, -1.0, 2.0)])
@pytest.mark.parametrize("pbc", [(1, 1, 1), (1, 1, 0), (0, 0, 0)])
def test_what_has_no_place_is_refused_or_said(tmp_path, density, format, origin, pbc):
    """An origin or an open axis: kept, or a complaint before there is a file, or a warning."""
    density.atoms.pbc = pbc
    one = Density(density.atoms, density.values, origin)
    path = tmp_path / "density"
    said = complaint(write_density, path, one, format)
    early = complaint(check_holds, path, one.atoms, one.grid, one.kind, format)
    assert early == said, "what `write` refuses, `check` does before any work"
    if said:
        assert str(path) in said and "\n" not in said
        assert not any(tmp_path.iterdir())
    else:
        found = read(path, format)
        np.testing.assert_allclose(found.origin, origin, atol=1e-6)
        if FORMATS[format].is_vasp_text:
            assert found.atoms.pbc.all()  # the format has no word for it; documented
        else:
            assert_same(found, one)


@whole_or_not
@pytest.mark.parametrize("quantity", ["difference", "up", "magnetization", "potential"])
def test_what_is_no_total_density_stays_so_or_is_refused(tmp_path, density, format, quantity):
    path = tmp_path / "density"
    one = Density(density.atoms, density.values, kind=f":{quantity}")
    if said := complaint(write_density, path, one, format):
        assert str(path) in said and "\n" not in said
        assert complaint(check_holds, path, one.atoms, one.grid, one.kind, format) == said
        assert not any(tmp_path.iterdir())
    else:
        found = read(path, format)
        assert found.quantity.name == quantity, "without a word for it: has_quantity=False"
        assert_same(found, one)


@every
@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_refused(tmp_path, density, format, value):
    path = tmp_path / "density"
    density.values[1, 2, 3] = value
    said = complaint(write_density, path, density, format)
    assert said, f"{value} was written"
    assert str(path) in said and "\n" not in said
    assert not any(tmp_path.iterdir())


@every
def test_species_are_those_that_are_declared(tmp_path, density, format):
    path = tmp_path / "density"
    write_density(path, density, format)
    names = [f"{symbol}{i}" for i, symbol in enumerate(read(path, format).atoms.symbols)]
    assert list(species_of(read(path, format, species=names).atoms)) == names
    for wrong in (names[:-1], ["Au", *names[1:]]):
        said = complaint(read, path, format, species=wrong)
        assert said, f"species={wrong} was taken"
        assert str(path) in said


@every
def test_units_are_those_that_are_declared(tmp_path, density, format):
    """Of values; what is not so much per volume is as it stands in the file."""
    path = tmp_path / "density"
    write_density(path, density, format)
    scales = {unit: scale or 1 / density.volume for unit, scale in VALUES.items()}
    raw = density.values / scales[FORMATS[format].units[0]]
    for unit, scale in scales.items():
        found = read(path, format, unit=unit)
        np.testing.assert_allclose(found.values, raw * scale, rtol=1e-9, err_msg=f"unit={unit}")
    found = read(path, format, holds="potential")
    np.testing.assert_allclose(found.values, raw, rtol=1e-9, err_msg="holds='potential'")


@every
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1, exclude_max=True))
def test_a_file_that_is_cut_off_is_refused(tmp_path, density, format, share):
    path = tmp_path / "density"
    write_density(path, density, format)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(share * len(whole))])
    if said := complaint(read, path, format):
        assert str(path) in said and "\n" not in said
    else:
        assert_same(
            read(path, format), density
        )  # nothing but blanks, or words after the values, was missing


@whole_or_not
def test_what_is_no_file_of_it(tmp_path, format):
    (tmp_path / "empty").write_bytes(b"")
    (tmp_path / "words").write_text("no density\n" * 50)
    (tmp_path / "bytes").write_bytes(np.random.default_rng(1).bytes(5000))
    for name in ("empty", "words", "bytes"):
        with pytest.raises(ChargeError, match=name) as error:
            read(tmp_path / name, format)
        assert "\n" not in str(error.value)


@every
def test_commands_take_it(tmp_path, al32, format, capsys):
    path, name = str(tmp_path / "density"), str(tmp_path / name_of(FORMATS[format].patterns[0]))
    one = read_density(al32)
    write_density(path, one, format)
    flags = ["--format", format]
    assert main(["info", path, *flags]) == 0
    assert "Al32" in capsys.readouterr().out
    assert main(["regrid", path, *flags, "--grid", "20", "24", "27", "-o", name]) == 0
    moved = read_density(name)
    assert moved.shape == (20, 24, 27)
    assert moved.n_electrons == pytest.approx(one.n_electrons, abs=1e-6)
    out = str(tmp_path / "train")
    assert main(["convert", path, *flags, "-o", out, "--points", "1000"]) == 0
    assert "96.000 electrons, Al" in capsys.readouterr().out


@listed
def test_it_is_in_the_manual(format):
    text = (Path(__file__).parents[1] / "docs" / "commands.md").read_text()
    table = text[text.index("# Density files\n") :].split("\n- ")[0]
    kind, _, last = format.partition("/")
    is_there = f"`{format}`" in table or (f"`{last[-1:]}`" in table and f"`{kind}/" in table)
    if not is_there:
        pytest.fail(f'docs/commands.md: no row `{format}` under "Density files"', pytrace=False)
