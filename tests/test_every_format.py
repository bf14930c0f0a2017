# SPDX-License-Identifier: LGPL-3.0-or-later
"""What holds of every format of densities that can be written; a new one is taken up by itself."""

import warnings
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deepmd_charge import ChargeError, Density, read_density, write_density
from deepmd_charge.cli.main import main
from deepmd_charge.grid.quantity import split_kind
from deepmd_charge.io import FORMATS

EVERY = [name for name, f in FORMATS.items() if f.is_written and split_kind(name)[1].is_per_volume]
# Of a run's files one alone tells neither atoms nor grid, and holds waves up to a cutoff:
# see test_quantum_espresso.py.
WRITTEN = [name for name in EVERY if not FORMATS[name].belongs_to_run]

whole_or_not = pytest.mark.parametrize("format", EVERY)
every = pytest.mark.parametrize("format", WRITTEN)
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


def read(path, format):
    """What is in a file, whatever its integral."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return read_density(path, format, check=False)


def complaint(function, *args):
    """What a call is refused with, or None."""
    try:
        function(*args)
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
    if said := complaint(write_density, path, one, format):
        assert str(path) in said and "\n" not in said
        assert not any(tmp_path.iterdir())
    else:
        found = read(path, format)
        np.testing.assert_allclose(found.origin, origin, atol=1e-6)
        if FORMATS[format].is_vasp_text:
            assert found.atoms.pbc.all()  # the format has no word for it; documented
        else:
            assert_same(found, one)


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
    path = str(tmp_path / "density")
    write_density(path, read_density(al32), format)
    assert main(["info", path, "--format", format]) == 0
    assert "Al32" in capsys.readouterr().out
    if FORMATS[format].patterns == FORMATS["vasp/chgcar"].patterns or "/" not in format:
        out = str(tmp_path / "train")
        assert main(["convert", path, "--format", format, "-o", out, "--points", "1000"]) == 0
        assert "96.000 electrons, Al" in capsys.readouterr().out


@whole_or_not
def test_it_is_in_the_manual(format):
    text = (Path(__file__).parents[1] / "docs" / "commands.md").read_text()
    table = text[text.index("# Density files\n") :].split("\n- ")[0]
    kind, _, last = format.partition("/")
    assert f"`{format}`" in table or (f"`{last[-1]}`" in table and f"`{kind}/" in table)
