# SPDX-License-Identifier: LGPL-3.0-or-later
"""Electron counts of structures of any size, from the counts of training files."""

from functools import cache
from types import SimpleNamespace

import numpy as np
import pytest
from ase.build import bulk
from hypothesis import given, settings
from hypothesis import strategies as st
from standin import StandInModel

from deepmd_charge import ChargeError
from deepmd_charge.atoms import valences
from deepmd_charge.atoms.species import ARRAY
from deepmd_charge.cli.main import main
from deepmd_charge.model.info import ModelInfo
from deepmd_charge.predict.electrons import electrons_in_doubt, expected_electrons, parse_electrons

SIZES = (1, 2, 8, 64, 216, 512, 10_000, 100_000)
NAMES = ["Si", "C", "O"]


@cache
def atoms(names, counts):
    """What of ase's atoms tells their types."""
    return SimpleNamespace(arrays={ARRAY: np.repeat(names, counts)})


def structure(**counts):
    """Atoms of so many of each type; a dot of their names is written as an underscore."""
    return atoms(tuple(name.replace("_", ".") for name in counts), tuple(counts.values()))


def memory(*files, given=None):
    """What a model remembers of files: pairs of counts of atoms and electrons."""
    elements = list(dict.fromkeys(name for counts, _ in files for name in counts))
    facts = [(counts, electrons, f"file {k}") for k, (counts, electrons) in enumerate(files)]
    valence, error = valences.fit(elements, facts, given or {})
    return {"elements": elements, "valence": valence, "valence_error": error}


def auto(info, **counts):
    """--electrons auto: a number, or None where it is refused."""
    try:
        return parse_electrons("auto", "charge.pb", ModelInfo.from_json(info), structure(**counts))
    except ChargeError as error:
        complaint = str(error)
    assert "\n" not in complaint and complaint.endswith("give --electrons N")
    return None


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(st.data())
def test_exact_counts_hold_for_any_size(data):
    """Integrals as files print them, of one to three elements in cells of 1 to 10^5 atoms."""
    names = NAMES[: data.draw(st.integers(1, 3))]
    true = [data.draw(st.integers(1, 14)) for _ in names]
    size = data.draw(st.sampled_from(SIZES))
    files = [dict.fromkeys(names, size) | {name: 2 * size} for name in names]
    noise = data.draw(st.floats(-1e-8, 1e-8))
    counts = [np.dot(list(each.values()), true) * (1.0 + noise) for each in files]
    info = memory(*zip(files, counts, strict=True))
    for n in SIZES:
        assert auto(info, **dict.fromkeys(names, n)) == n * sum(true)


@pytest.mark.slow
@settings(max_examples=20, deadline=None)
@given(st.data())
def test_integrals_that_are_off_by_a_thousandth_an_atom(data):
    """Of superpositions and coarse grids: no electron is lost, whatever the cells are."""
    size = data.draw(st.sampled_from(SIZES))
    off = [data.draw(st.floats(-1e-3, 1e-3)) for _ in range(data.draw(st.integers(1, 5)))]
    info = memory(*(({"Si": size}, size * (4 + d)) for d in off))
    for n in SIZES:
        assert auto(info, Si=n) in (4 * n, None)
        # small cells tell an error from a charge
        assert size > 216 or auto(info, Si=n) == 4 * n
        assert auto(info, Si=n) is not None or n > 216


@pytest.mark.slow
@pytest.mark.parametrize("size", [8, 64, 216])
@pytest.mark.parametrize("charge", [1, -1, 2, -3])
@pytest.mark.parametrize("n_neutral", [0, 1, 5])
def test_charged_cells(size, charge, n_neutral):
    """Neutral counts, or a refusal: never the charge of the cells times their number."""
    files = [({"Si": size}, 4.0 * size)] * n_neutral + [({"Si": size}, 4.0 * size - charge)]
    try:
        info = memory(*files)
    except ChargeError as error:  # as those of another potential
        info, complaint = None, str(error)
    if info is None:
        assert n_neutral
        assert "file 0 (" in complaint and f"file {n_neutral} (" in complaint
        return
    found = {n: auto(info, Si=n) for n in SIZES}
    assert all(found[n] in (4 * n, None) for n in SIZES)
    assert found[10_000] is found[100_000] is None
    if not n_neutral:
        assert all(found[n] is None for n in SIZES if n >= size)


def test_a_refusal_tells_the_reason():
    info = memory(({"Si": 64}, 255.0))
    assert info["valence"] == {"Si": 255 / 64}
    assert auto(info, Si=8) == 32
    reason = r"charge.pb: .* 8 electrons of this structure in doubt \(Si 4 \+- 0.016\), as those of"
    with pytest.raises(ChargeError, match=reason):
        parse_electrons("auto", "charge.pb", ModelInfo.from_json(info), structure(Si=512))


def test_a_part_of_an_electron():
    """The charge of a slab at some potential is no error of an integral."""
    info = memory(({"Si": 64}, 255.7))
    assert auto(info, Si=64) == 256
    assert electrons_in_doubt(ModelInfo.from_json(info), structure(Si=64)) == pytest.approx(0.3)
    assert auto(info, Si=512) is None


def test_charges_of_which_some_elements_seem_whole():
    """Na32Cl32 and Na31Cl32 with the same electrons leave nothing for Na."""
    info = memory(({"Na": 32, "Cl": 32}, 255.0), ({"Na": 31, "Cl": 32}, 255.0))
    assert info["valence"]["Na"] == pytest.approx(0.0, abs=1e-9)
    assert auto(info, Na=1, Cl=1) is auto(info, Cl=1) is None


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_charges_of_mixtures(data):
    """Wrong is only what the files would say were they neutral ones of other potentials."""
    names = NAMES[: data.draw(st.integers(1, 3))]
    true = [data.draw(st.integers(1, 12)) for _ in names]
    row = st.tuples(*(st.integers(0, 80) for _ in names)).filter(any)
    rows = data.draw(st.lists(row, min_size=1, max_size=6))
    charges = [data.draw(st.integers(-2, 2)) for _ in rows]
    electrons = np.array(rows) @ true - charges
    try:
        info = memory(
            *(
                (dict(zip(names, row, strict=True)), float(n))
                for row, n in zip(rows, electrons, strict=False)
            )
        )
    except ChargeError:
        return
    solution = np.linalg.lstsq(np.array(rows), electrons, rcond=None)[0]
    others = np.array(list(info["valence"].values()))
    seem_neutral = np.allclose(np.array(rows) @ solution, electrons, atol=1e-6) and np.allclose(
        others, np.maximum(1.0, others.round()), atol=1e-6
    )
    for n in (1, 64, 1000):
        for counts in (dict.fromkeys(names, n), *({name: n} for name in names)):
            expected = sum(n * true[names.index(name)] for name in counts)
            assert seem_neutral or auto(info, **counts) in (expected, None)


def test_fractional_hydrogens():
    """VASP's, whose names tell them; a fraction without such a name may be a charge."""
    files = [
        ({"Ga": 4, "As": 4}, 32.0),
        ({"Ga": 4, "As": 5}, 37.0),
        ({"Ga": 8, "As": 8, "H1.25": 4}, 69.0),
        ({"Ga": 8, "As": 8, "H1.25": 4, "H.75": 8}, 75.0),
    ]
    info = memory(*files)
    for n in (2, 64, 100_000):
        assert auto(info, Ga=n, As=n, H1_25=n, H_75=n) == 10 * n
        assert auto(info, H1_25=n) == 1.25 * n
    nameless = memory(({"Si": 64}, 256.0), ({"Si": 64, "H": 8}, 266.0))
    assert nameless["valence"]["H"] == pytest.approx(1.25)
    assert auto(nameless, H=1) is None
    stated = memory(({"Si": 64}, 256.0), ({"Si": 64, "H": 8}, 266.0), given={"H": 1.25})
    assert auto(stated, Si=512, H=9) == 2048 + 11.25
    # the charge of a proton, and that of two of them
    assert auto(memory(({"Si": 64}, 256.0), ({"Si": 64, "H": 1}, 256.0)), H=1) is None
    assert auto(memory(({"Si": 64}, 256.0), ({"Si": 64, "H": 2}, 257.0)), H=1) is None


def test_valences_that_are_given():
    """They hold whatever the files say, and tell charges from errors."""
    water = {"H": 128, "O": 64}
    assert memory((water, 512.0))["valence"] == {}
    assert memory((water, 512.0), given={"O": 6})["valence"] == pytest.approx({"O": 6, "H": 1})
    potentials = {"H": 1.0, "O": 6.0}
    assert auto(memory((water, 512.1), given=potentials), H=20_000, O=10_000) == 80_000
    charged = memory((water, 511.0), given=potentials)
    assert auto(charged, H=2, O=1) == 8
    assert electrons_in_doubt(ModelInfo.from_json(charged), structure(**water)) == pytest.approx(
        1.0
    )
    assert auto(charged, **water) is None
    mixture = {"Al": 8}
    assert auto(memory((mixture, 28.0)), Al=1) is None
    assert auto(memory((mixture, 28.0), given={"Al": 3.5}), Al=100_000) == 350_000
    assert auto(memory((mixture, 27.0), given={"Al": 3.5}), Al=8) is None


@pytest.mark.parametrize(
    "valence, n, expected",
    [
        (3.9996, 1000, 4000),
        (3.9996, 2000, None),
        (4.0 + 1e-9, 100_000, 400_000),
        (255 / 64, 8, 32),
        (255 / 64, 512, None),
        (3.5, 2, None),
        (31 / 8, 1, None),
        (-0.001, 1, None),
    ],
)
def test_models_of_former_versions(valence, n, expected):
    """They know the solution alone."""
    assert auto({"elements": ["Si"], "valence": {"Si": valence}}, Si=n) == expected


def test_models_of_former_versions_with_potentials():
    info = {"valence": {"Si": 255 / 64}, "saed": {"source": "upf", "valence": {"Si": 4.0}}}
    assert expected_electrons(ModelInfo.from_json(info), structure(Si=512)) == 2048
    assert electrons_in_doubt(ModelInfo.from_json(info), structure(Si=512)) == pytest.approx(8)
    assert auto(info, Si=512) is None and auto(info, Si=8) == 32
    info["saed"]["valence"] = {"Si": 3.5}  # of a mixture
    info["valence"] = {}
    assert auto(info, Si=512) == 1792


def test_predict_tells_the_doubt(monkeypatch, tmp_path, capsys):
    """Two atoms of silicon, 8 electrons; a tenth of an electron an atom, and then a third."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("deepmd_charge.predict.ChargeModel", StandInModel)
    bulk("Si", "diamond", 5.43).write("POSCAR", format="vasp")
    facts = {}
    for name, error in (("a.pb", 0.1), ("b.pb", 0.3)):
        (tmp_path / name).write_text("1.0")
        facts[name] = {"valence": {"Si": 4.0}, "valence_error": {"Si": error}}
    monkeypatch.setattr(StandInModel, "facts", facts)
    argv = ["-s", "POSCAR", "--grid", "4", "4", "4", "-o"]
    for number, told in (
        ((), "(+0.0000 of 8 +- 0.2)\n"),
        (("--electrons", "auto"), "scaled to 8, by"),
    ):
        assert main(["predict", "-m", "a.pb", *argv, "CHGCAR_a", *number]) == 0
        assert told in capsys.readouterr().out
    assert main(["predict", "-m", "b.pb", *argv, "CHGCAR_b"]) == 0
    assert "(+0.0000 of 8 +- 0.6)\n" in capsys.readouterr().out
    assert main(["predict", "-m", "b.pb", *argv, "CHGCAR_c", "--electrons", "auto"]) == 1
    assert "0.6 electrons of this structure in doubt (Si 4 +- 0.3)" in capsys.readouterr().err
