# SPDX-License-Identifier: LGPL-3.0-or-later
"""Inputs of pw.x: cells and positions against pw.x's own XML, settings that are changed."""

import os
import stat

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from quantum_espresso import POTENTIALS, PW

from deepmd_charge import ChargeError
from deepmd_charge.io.quantum_espresso import SCHEMA
from deepmd_charge.qe.dry_run import dry_run
from deepmd_charge.qe.expressions import evaluate
from deepmd_charge.qe.input import parse_input, read_input
from deepmd_charge.qe.lattices import LATTICES, lattice
from deepmd_charge.qe.program import Program

needs_pw = pytest.mark.skipif(
    PW is None or not (POTENTIALS / "Si.pz-vbc.UPF").exists(),
    reason="no pw.x with the potentials of quantum-espresso-data",
)
CELLDM = (
    "celldm(1)=7.1, celldm(2) = 1.1d0 celldm(3)=1.2, celldm(4)=1D-1\tcelldm(5)=-.15,celldm(6)=.2"
)
ABC = "A=3.9, b = 4.1 C=4.3, cosAB=0.11, cosac = -.12, cosbc=1.3d-1"
ROWS = "5.9 0.1 0.2\n0 6.1\t0.3 ! b\n# none\n-0.2 1d-1 6.4\n"


def text_of(system, unit="alat", position="0.1 0.2 0.3", cell=""):
    return f"""! &system of another code
&CONTROL
 prefix='x', ! outdir = 'no'
 pseudo_dir = '{POTENTIALS}' /
&system
 nat=1, ntyp=1, ecutwfc=3.d0, {system}
/
&electrons
/

ATOMIC_SPECIES
 Si 1.0 Si.pz-vbc.UPF
ATOMIC_POSITIONS {unit}
Si\t{position}
K_POINTS gamma
{cell}"""


def assert_as_by_pw(text, folder):
    """Cell, positions and waves are those of pw.x, which dry_run compares to 1e-6 A."""
    pw = parse_input(text, "pw.in")
    run = dry_run(pw, Program(), folder, folder / "out")
    np.testing.assert_allclose(pw.atoms.cell.array, run.atoms.cell.array, rtol=0, atol=1e-9)
    np.testing.assert_allclose(pw.atoms.positions, run.atoms.positions, rtol=0, atol=1e-9)
    assert (pw.gamma_only, pw.ecutrho) == (run.gamma_only, run.ecutrho)
    assert pw.alat == pytest.approx(run.alat, abs=1e-7)
    assert sorted(path.name for path in folder.iterdir()) == ["x.save", "x.wfc1"]


@needs_pw
@pytest.mark.slow
@pytest.mark.parametrize("ibrav", LATTICES)
def test_lattices(ibrav, tmp_path):
    """Lengths and angles by celldm, and where they matter by A, B and C."""
    assert_as_by_pw(text_of(f"ibrav = {ibrav}, {CELLDM}"), tmp_path)
    if ibrav in (8, -5, 12, -13, 14):
        folder = tmp_path / "abc"
        folder.mkdir()
        assert_as_by_pw(text_of(f"{ABC}, ibrav={ibrav}", "crystal"), folder)


@needs_pw
@pytest.mark.slow
@pytest.mark.parametrize(
    "system, unit, cell",
    [
        ("ibrav=0", "bohr", f"CELL_PARAMETERS angstrom\n{ROWS}"),
        ("ibrav=0", "alat", f"CELL_PARAMETERS {{ Angstrom }}\n{ROWS}"),
        ("ibrav=0", "(angstrom)", f"CELL_PARAMETERS bohr\n{ROWS}"),
        ("ibrav=0", "{crystal}", f"CELL_PARAMETERS\n{ROWS}"),
        ("ibrav=0, celldm(1)=1.6", "alat", f"CELL_PARAMETERS\n{ROWS}"),
        ("ibrav=0, celldm=1.6", "alat", f"CELL_PARAMETERS (alat= 7.5)\n{ROWS}"),
        ("ibrav=0, A=.8", "alat ! not crystal", f"CELL_PARAMETERS alat\n{ROWS}"),
        ("ibrav=8, celldm(1) = 7.1, 1.2 ! celldm(2)=9\n , 1.3 nbnd=4", "", ""),
        ("ibrav=8, celldm(1)=6, celldm(2:3)=2*1.2 celldm(1)=7.1;nosym=.T.", "alat", ""),
        ("ibrav=6, celldm=7.1,,1.6", "alat", ""),
        ("ibrav=6, celldm = 7.1 , ! a\n , 1.6, nosym=.T.", "alat", ""),
        ("ibrav=6, celldm(1)=7.1 celldm=,,1.6", "alat", ""),
        ("ibrav=14, celldm=7.1,2*1.2,2*,.1", "alat", ""),
        ("ibrav=6, celldm(3)=1.6 celldm(1)=7.1,1.2,", "alat", ""),
    ],
)
def test_units(system, unit, cell, tmp_path):
    assert_as_by_pw(text_of(system, unit, "0.1\t0.2 3d-1 0 1 0", cell), tmp_path)


@needs_pw
@pytest.mark.slow
@pytest.mark.parametrize(
    "position",
    [
        "1/3 1/2*3^(-1/2) 0.25d0",
        "-1/3 3^0.5/4 2^3/16",
        "1.5D-1 0.3d+0 .2e0 0 0 0 ! c",
        "2^-1 0.1-0.2-0.3 2*-0.1",
        "-0.5^2 2^3^2/1000 (0.1+0.2)*2",
    ],
)
def test_expressions(position, tmp_path):
    assert_as_by_pw(text_of("ibrav=1 celldm(1)=7.1", "crystal", position), tmp_path)


@given(st.floats(-100, 100), st.floats(-100, 100), st.floats(0.1, 9))
def test_expressions_as_python(a, b, c):
    assert evaluate(f"{a!r}+({b!r})/{c!r}") == a + b / c
    assert evaluate(f"({a!r}-{c!r}^2)*-1") == (a - c**2) * -1


@pytest.mark.parametrize(
    "text",
    ["1/0", "x", "sin(1)", "1e999", "(1", "2**", "1,2", "1 if 1 else 2", "9^9^9^9", "1" * 999],
)
def test_no_expressions(text):
    with pytest.raises(ValueError, match=r"is neither|is not finite|is too long"):
        evaluate(text)


def test_space_groups_are_left_to_pw():
    pw = parse_input(text_of("space_group=227, A=5.43", "crystal_sg", "0 0 0"), "pw.in")
    with pytest.raises(ChargeError, match=r"pw\.in: positions of a space group"):
        _ = pw.atoms


@needs_pw
@pytest.mark.slow
def test_space_group(tmp_path):
    """pw.x completes the cell and the positions."""
    pw = parse_input(text_of("space_group=227, A=5.43", "crystal_sg", "0 0 0"), "pw.in")
    run = dry_run(pw, Program(), tmp_path, tmp_path / "out")
    assert len(run.atoms) == 2 and run.labels == ["Si", "Si"]
    assert run.atoms.get_volume() == pytest.approx(5.43**3 / 4)


@pytest.mark.parametrize("ibrav", LATTICES)
def test_lattices_are_right_handed(ibrav):
    assert np.linalg.det(lattice(ibrav, [2.0, 1.1, 1.2, 0.1, -0.15, 0.2])) > 0


def test_what_an_input_says(monkeypatch):
    for name in ("ESPRESSO_TMPDIR", "ESPRESSO_PSEUDO"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/home/me")
    text = text_of("ibrav=1, celldm(1)=7, nspin=2, ecutrho=30, nr1=20 nr2=24,nr3=25 tot_charge=-1")
    pw = parse_input(text, "pw.in")
    assert (pw.prefix, pw.outdir, pw.save, pw.calculation) == ("x", "./", "x.save", "scf")
    assert (pw.ecutwfc, pw.ecutrho, pw.n_spin, pw.nr, pw.tot_charge) == (3, 30, 2, (20, 24, 25), -1)
    assert pw.pseudo_dir == str(POTENTIALS) and pw.potentials == {"Si": "Si.pz-vbc.UPF"}
    other = text.replace("prefix='x',", "").replace("pseudo_dir", "/ ! pseudo_dir")
    pw = parse_input(other, "pw.in")
    assert (pw.prefix, pw.save, pw.pseudo_dir) == (
        "pwscf",
        "pwscf.save",
        "/home/me/espresso/pseudo",
    )
    monkeypatch.setenv("ESPRESSO_TMPDIR", "/scratch")
    monkeypatch.setenv("ESPRESSO_PSEUDO", "/potentials")
    assert (pw.save, pw.pseudo_dir) == ("/scratch/pwscf.save", "/potentials")
    assert parse_input(text.replace("nspin=2", "noncolin=.TRUE."), "pw.in").n_spin == 4
    quoted = text.replace("prefix='x'", "prefix = \"it's\", outdir='/a ''b''/!c'")
    assert parse_input(quoted, "pw.in").save == "/a 'b'/!c/it's.save"


@pytest.mark.parametrize("end", ["&end", "&END", " &end", "/ ! end"])
@pytest.mark.parametrize("first", [b"", b"\xef\xbb\xbf"])
def test_marks_of_ends_and_of_bytes(tmp_path, end, first):
    """Both marks of an end, at the start of a line too, and what editors put before a text."""
    text = (
        text_of("ibrav=1, celldm(1)=7").replace("\n/\n", f"\n{end}\n").replace("' /", f"'\n{end}")
    )
    (tmp_path / "pw.in").write_bytes(first + text[text.index("&CONTROL") :].encode())
    pw = read_input(tmp_path / "pw.in")
    assert list(pw.namelists) == ["control", "system", "electrons"] and len(pw.atoms) == 1
    changed = parse_input(pw.with_settings({"electrons": {"a": "1"}}), "pw.in")
    assert changed.get("electrons", "a") == 1 and changed.cards.keys() == pw.cards.keys()


def test_labels_that_tell_atoms_apart():
    text = text_of("ibrav=1, celldm(1)=7").replace("nat=1, ntyp=1", "nat=2,ntyp=2")
    text = text.replace(" Si 1.0", " Si1 1.0 a.UPF\n Si2 1.0").replace("Si\t", "Si2 0 0 0\nSi1\t")
    pw = parse_input(text, "pw.in")
    assert pw.labels == ["Si2", "Si1"] == pw.atoms.arrays["species"].tolist()
    assert pw.atoms.get_chemical_symbols() == ["Si", "Si"]
    assert pw.potentials == {"Si1": "a.UPF", "Si2": "Si.pz-vbc.UPF"}


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("&system", "&sytem", "there is no &SYSTEM"),
        ("ibrav=1", "ibrv=1", "there is no ibrav"),
        ("ibrav=1", "ibrav=15", "pw.in: ibrav = 15: there is no such lattice, only 0, -13"),
        ("ibrav=1, celldm(1)=7", "ibrav=8, celldm(1)=7", r"celldm\(2\) must be given"),
        ("celldm(1)=7", "", r"celldm\(1\) must be given"),
        ("celldm(1)=7", "A=3, celldm(1)=7", "both celldm and A"),
        ("celldm(1)=7", "celldm(7)=7", "celldm in &SYSTEM"),
        ("celldm(1)=7", "celldm(1)='7'", "celldm in &SYSTEM"),
        ("ibrav=1", "ibrav=14, celldm(2)=1,celldm(3)=1,celldm(4)=.9,celldm(5)=-.9", "make no cell"),
        ("ibrav=1", "ibrav=0", "there is no card CELL_PARAMETERS"),
        ("ibrav=1", "ibrav=1.5", "ibrav = 1.5 in &SYSTEM: give a whole number"),
        ("nat=1", "nat=2", "ATOMIC_POSITIONS has 1 lines, where 2 are due"),
        ("nat=1", "nat='1'", "nat = '1' in &SYSTEM: give a number"),
        ("ntyp=1", "", "ATOMIC_SPECIES has 0 lines, where 0 are due"),
        ("ATOMIC_POSITIONS alat", "", "there is no card ATOMIC_POSITIONS"),
        ("Si\t0.1 0.2", "Si\t0.1 0.x", "line 14: '0.x' is neither a number nor an expression"),
        ("Si\t0.1 0.2", "Si\t0.1", "line 14: ATOMIC_POSITIONS needs 4 words"),
        ("Si\t0.1", "Qq\t0.1", "'Qq' in ATOMIC_POSITIONS names no element"),
        ("Si\t0.1", "C\t0.1", "'C' is not in ATOMIC_SPECIES"),
        ("ecutwfc=3.d0", "ecut wfc=3", "line 6: 'ecut' in &system is no value"),
        ("ecutwfc=3.d0", "ecutwfc='3", "line 6: .* in &system is no key = value"),
        ("/\n&electrons\n/", "", "line 9: 'ATOMIC_SPECIES' .* a / at the end"),
        ("&electrons\n/", "&electrons", "'ATOMIC_SPECIES' in &electrons is no key"),
    ],
)  # fmt: skip
def test_inputs_that_are_wrong(old, new, message):
    text = text_of("ibrav=1, celldm(1)=7")
    assert old in text
    with pytest.raises(ChargeError, match=message) as caught:
        _ = parse_input(text.replace(old, new), "pw.in").atoms
    assert str(caught.value).startswith("pw.in: ") and "\n" not in str(caught.value)


def test_other_cards_that_are_wrong():
    for card, message in (
        ("CELL_PARAMETERS alat\n1 0 0\n0 1 0\n0 0 1", r"which celldm\(1\) or A must tell"),
        ("CELL_PARAMETERS bohr\n1 0 0\n0 1 0", "has 2 lines, where 3 are due"),
        ("CELL_PARAMETERS bohr\n1 0 0\n0 1 0\n0 0 a", "'a' is neither"),
        ("CELL_PARAMETERS bohr\n0 5 5\n-5 0 5\n-5 5 10", "span no volume"),
    ):
        with pytest.raises(ChargeError, match=message):
            _ = parse_input(text_of("ibrav=0", cell=card), "pw.in").atoms
    twice = text_of("ibrav=0, A=3", cell=f"CELL_PARAMETERS bohr\n{ROWS}")
    with pytest.raises(ChargeError, match=r"in bohr, and celldm\(1\) or A: leave that out"):
        _ = parse_input(twice, "pw.in").cell
    with pytest.raises(ChargeError, match="ecutwfc"):
        _ = parse_input(text_of("ibrav=1").replace("ecutwfc=3.d0", ""), "pw.in").ecutrho
    with pytest.raises(ChargeError, match=r"no-such\.in"):
        read_input("no-such.in")


@settings(max_examples=400)
@given(st.integers(0, 10**6), st.text("/&!'\"=(),\t\n 1.dex-*\0", max_size=4), st.integers(0, 3))
def test_damaged_inputs(place, text, lost):
    """Whatever the letters: another input, or one line that says what is wrong."""
    whole = text_of("ibrav=0, starting_magnetization(1)=.5", cell=f"CELL_PARAMETERS bohr\n{ROWS}")
    place %= len(whole)
    message = "pw.in: "
    try:
        pw = parse_input(whole[:place] + text + whole[place + lost :], "pw.in")
        for name in ("save", "pseudo_dir", "potentials", "ecutrho", "nr", "n_spin", "gamma_only"):
            getattr(pw, name)
        assert len(pw.atoms) and pw.alat > 0
        pw.with_settings({"system": {"nat": "2", "nbnd": None}, "control": {"prefix": None}})
    except ChargeError as error:
        message = str(error)
    assert message.startswith("pw.in: ") and "\n" not in message


# settings


def test_settings_are_changed_in_place():
    text = text_of("ibrav=6, celldm =, 7, nr1 =,20, celldm(1)=6")
    pw = parse_input(text, "pw.in")
    assert pw.with_settings({"system": {"celldm": "1,,2"}}) == text.replace(", 7, nr1", "1,,2, nr1")
    text = text_of("ibrav=1, conv = 1 ! celldm(1) = 3\n, celldm(1)=7")
    pw = parse_input(text, "pw.in")
    assert pw.with_settings({}) == text
    assert pw.with_settings({"system": {"ecutwfc": "3.d0"}}) == text
    assert pw.with_settings({"system": {"ecutwfc": "4", "celldm(1)": "8"}}) == text.replace(
        "3.d0", "4"
    ).replace("celldm(1)=7", "celldm(1)=8")
    assert pw.with_settings({"electrons": {"a": "'file'", "b": ".true."}}) == text.replace(
        "&electrons\n/", "&electrons\n  a = 'file'\n  b = .true.\n/"
    )
    changed = pw.with_settings({"control": {"prefix": None, "outdir": "'o'"}})
    assert changed == text.replace("prefix='x',", "").replace(
        f"'{POTENTIALS}' /", f"'{POTENTIALS}' \n  outdir = 'o'\n/"
    )
    with pytest.raises(ChargeError, match="there is no &IONS: add it"):
        pw.with_settings({"ions": {"a": "1"}})


@given(
    st.dictionaries(
        st.sampled_from(["ecutwfc", "nat", "nbnd", "celldm(1)", "a", "starting_magnetization(2)"]),
        st.sampled_from(["1", "2.5d0", "'x!y'", "'it''s'", ".true.", "1, 2"]),
        max_size=5,
    )
)
def test_settings_are_found_again(settings):
    """And all others are what they were."""
    pw = parse_input(text_of("ibrav=1, celldm(1)=7"), "pw.in")
    again = parse_input(pw.with_settings({"system": settings}), "pw.in")
    before, after = pw.namelists["system"], again.namelists["system"]
    meant = {"1": 1, "2.5d0": 2.5, "'x!y'": "x!y", "'it''s'": "it's", ".true.": True, "1, 2": 1}
    for key, value in settings.items():
        assert after.find(key).values[0] == meant[value]
    for entry in before.entries:
        assert entry.key in settings or after.find(entry.key).values == entry.values
    assert (
        again.text[again.namelists["electrons"].end :] == pw.text[pw.namelists["electrons"].end :]
    )


# the program


def script(folder, text, name="pw.x"):
    """A program that stands for pw.x."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return Program(str(path))


def refused(program, folder, message, **options):
    with pytest.raises(ChargeError, match=message) as caught:
        program.run("text", folder, folder / "out", **options)
    assert "\n" not in str(caught.value)
    assert str(folder / "out") in str(caught.value)


ERROR = """cat << END
 %%%%%%%%%%%%%%%%%%%%%%%%%%%%%%
     Error in routine  readpp (2):
     file ./Si.UPF
     not found
 %%%%%%%%%%%%%%%%%%%%%%%%%%%%%%
     stopping ...
END
exit 1"""


def test_program(tmp_path):
    """It gets the input, the folder and one thread; what it prints stays."""
    work = tmp_path / "work"
    work.mkdir()
    text = 'pwd; echo $OMP_NUM_THREADS; echo "$1 $2"; cat "$2"; echo JOB DONE.'
    output = script(tmp_path, text).run("hello\n", work, tmp_path / "out")
    lines = output.read_text().splitlines()
    threads = os.environ.get("OMP_NUM_THREADS", "1")
    assert lines == [str(work), threads, f"-in {tmp_path}/out.in", "hello", "JOB DONE."]
    again = script(tmp_path, text).run(tmp_path / "out.in", work, tmp_path / "other")
    assert again.read_text() == output.read_text()
    with pytest.raises(ChargeError, match=r"no-such-pw -n 4: there is no such program: .*--pw"):
        Program("no-such-pw -n 4").find()
    assert Program(f"env {PW or 'pw.x'} -nk 1").find()[0].endswith("/env")


def test_program_that_fails(tmp_path):
    refused(script(tmp_path, ERROR), tmp_path, r"file \./Si\.UPF not found \(readpp \(2\)\)")
    refused(script(tmp_path, "kill -9 $$"), tmp_path, r"killed \(SIGKILL\)")
    refused(script(tmp_path, "echo hm; exit 3"), tmp_path, "status 3, before its end")
    refused(script(tmp_path, "exit 0"), tmp_path, "status 0, before its end")
    late = "echo '  convergence NOT achieved after 5 iterations: stopping'; echo JOB DONE.; exit 2"
    refused(script(tmp_path, late), tmp_path, "did not reach self-cons", must_converge=True)
    assert script(tmp_path, late).run("text", tmp_path, tmp_path / "out")


@pytest.mark.parametrize("end, name", [("kill -SEGV $$", "SIGSEGV"), ("exit 139", "SIGSEGV")])
def test_program_that_crashes(tmp_path, end, name):
    """A crash is tried once more, and no more often."""
    count = f"echo once >> {tmp_path}/count"
    refused(script(tmp_path, f"{count}; {end}"), tmp_path, rf"crashed twice \({name}\)")
    assert (tmp_path / "count").read_text() == "once\nonce\n"
    (tmp_path / "count").unlink()
    text = f"{count}; [ $(wc -l < {tmp_path}/count) = 2 ] && echo JOB DONE. && exit 0; {end}"
    assert script(tmp_path, text).run("text", tmp_path, tmp_path / "out").exists()


@needs_pw
@pytest.mark.slow
def test_pw_that_stops(tmp_path):
    """Its own words come in the complaint, and its output stays."""
    pw = parse_input(text_of("ibrav=1, celldm(1)=7").replace("Si.pz-vbc", "no-such"), "pw.in")
    with pytest.raises(ChargeError, match=r"out: pw\.x stopped: .*no-such\.UPF not found"):
        dry_run(pw, Program(), tmp_path, tmp_path / "out")
    assert "no-such" in (tmp_path / "out").read_text() and (tmp_path / "out.in").exists()
    assert not (tmp_path / "x.save" / SCHEMA).exists()
