# SPDX-License-Identifier: LGPL-3.0-or-later
"""``deepmd-charge qe start``: against pw.x that begins with what it wrote, and refused.

A model that gives the density of a run that has converged stands for a trained one, so that
pw.x must find the run converged.
"""

import gzip
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from quantum_espresso import (
    DATA,
    MORE_RUNS,
    POTENTIALS,
    PW,
    RUNS,
    first_accuracy,
    input_text,
    run_pw,
)
from standin import StandInField, StandInModel
from test_qe_input import script

from deepmd_charge import ChargeModel, read_density
from deepmd_charge.cli.main import main
from deepmd_charge.io._qe_waves import read_waves
from deepmd_charge.qe.dry_run import waves_without_pw
from deepmd_charge.qe.input import parse_input, read_input
from deepmd_charge.qe.start import SETTINGS

DAT, XML = "charge-density.dat", "data-file-schema.xml"
needs_pw = pytest.mark.skipif(
    PW is None or not (POTENTIALS / "Si.pz-vbc.UPF").exists(),
    reason="no pw.x with the potentials of quantum-espresso-data",
)
PAW = (
    4.5 * np.eye(3), "N", "N.pbe-kjpaw.UPF", [(0.4, 0.5, 0.5), (0.65, 0.5, 0.5)],
    "ecutwfc = 15, ecutrho = 60", "K_POINTS gamma",
)  # fmt: skip
SIC = (
    3.1 * (np.ones((3, 3)) - np.eye(3)), "Si", "Si.pz-vbc.UPF",
    [(0.0, 0.0, 0.0), (0.26, 0.24, 0.25)], "ecutwfc = 8", "K_POINTS gamma",
)  # fmt: skip


class DensityField(StandInField):
    """The values of a density at the points of its grid, or of one that it holds."""

    def __init__(self, density, values):
        super().__init__(density.atoms, 1.0)
        self.density, self.whole = density, values

    def __call__(self, points):
        shape = np.array(self.density.shape)
        place = self.atoms.cell.scaled_positions(points) * shape
        index = np.rint(place).astype(int)
        assert np.abs(place - index).max() < 1e-6  # the grid of the run
        return self.whole[tuple((index % shape).T)]


class DensityModel(StandInModel):
    """Its file names a prefix.save folder, a factor, and perhaps a spin grid."""

    def __init__(self, path, n_threads=None, quantity=None):
        with open(path) as file:
            folder, factor, *spin = file.read().split()
        self.path, self.n_threads, self.quantity = str(path), n_threads, quantity
        density = read_density(folder, check=False)
        self.density, values = density, density.extra["spin"][0] if spin else density.values
        self.values = float(factor) * values
        self.elements = self.type_map = sorted(set(density.atoms.get_chemical_symbols()))
        name = "magnetization" if spin else "total"
        self.info = {"kind": "cube" + (f":{name}" if spin else ""), **self.facts.get(path, {})}

    def field(self, atoms):
        np.testing.assert_allclose(atoms.positions, self.density.atoms.positions, atol=1e-8)
        return DensityField(self.density, self.values)


@pytest.fixture
def work(monkeypatch, tmp_path):
    """A folder in which models are files that name a folder and a factor."""
    monkeypatch.chdir(tmp_path)
    for module in ("deepmd_charge.predict", "deepmd_charge.predict.evaluation"):
        monkeypatch.setattr(f"{module}.ChargeModel", DensityModel)
    return tmp_path


def converged(folder, name, text=None):
    """Run pw.x to its end in a folder of its own, and make the model of its density."""
    there = folder / "converged"
    there.mkdir()
    text = text or input_text(name)
    printed = run_pw(there, text)
    (folder / "charge.pb").write_text(f"{there / name}.save 1.0")
    (folder / "pw.in").write_text(text)
    return printed


def start(*flags, model=("charge.pb",)):
    return main(["qe", "start", "-m", *model, "-i", "pw.in", *map(str, flags)])


def begun(folder, text=None):
    """Run pw.x with the density that is there."""
    return run_pw(folder, (text or folder / "new.in").read_text())


def eigenvalues(printed):
    """Those that are printed, and the Fermi energy, but not that of an earlier run."""
    text = printed.partition("End of band structure calculation")[2].partition("Writing")[0]
    text = text.partition("(compare with")[0]
    return [float(x) for x in re.findall(r"-?\d+\.\d{4}", text)]


def accuracies(printed):
    return [float(x) for x in re.findall(r"estimated scf accuracy +< +(\S+) Ry", printed)]


# with pw.x


@needs_pw
@pytest.mark.slow
@pytest.mark.parametrize("name", ["si", "al", "carbon", "si-k"])
def test_start_of_a_converged_density(work, name, capsys):
    """Norm-conserving and ultrasoft, at Gamma and with k points, insulator and metal."""
    printed = converged(work, name)
    (work / "charge.pb").write_text(f"converged/{name}.save 1.01")
    assert start("-o", "new.in") == 0
    said = capsys.readouterr()
    n = read_density(work / "converged" / f"{name}.save").n_electrons
    assert (
        f"multiplied by 0.99010: {1.01 * n:.4f} electrons predicted, {n:g} in the run" in said.out
    )
    truth, there = (
        read_waves(str(work / folder / f"{name}.save" / DAT)) for folder in ("converged", ".")
    )
    assert (truth.miller == there.miller).all()
    np.testing.assert_allclose(there.components, truth.components, rtol=0, atol=1e-13)
    again, of_truth = begun(work), begun(work / "converged", work / "new.in")
    assert accuracies(again)[0] == pytest.approx(accuracies(of_truth)[0], rel=0.05, abs=1e-9)
    assert accuracies(again)[0] < 1e-6 < 1e-3 < accuracies(printed)[0]
    assert sorted(os.listdir(work)) == sorted(
        ["charge.pb", "converged", "new.in", "pw.in", *(f.name for f in work.glob(f"{name}.*"))]
    )


@needs_pw
@pytest.mark.slow
def test_without_a_density_it_is_no_start(work):
    """The measure of the test above: another order of waves is not taken for converged."""
    converged(work, "si")
    assert start("-o", "new.in") == 0
    waves = read_waves("si.save/" + DAT)
    content = bytearray((work / "si.save" / DAT).read_bytes())
    values = waves.components[0][::-1].tobytes()
    content[-4 - len(values) : -4] = values
    (work / "si.save" / DAT).write_bytes(content)
    assert first_accuracy(begun(work)) > 1e-3


@needs_pw
@pytest.mark.slow
@pytest.mark.parametrize("calculation", ["nscf", "bands"])
def test_runs_that_are_prepared_completely(work, calculation, capsys):
    """Bands as of the run itself, to the four digits that are printed."""
    converged(work, "al")
    control = f"calculation = '{calculation}'"
    text = input_text("al", control=control).replace(
        "2 2 2 1 0 1", "3 3 2 0 0 0"
    ).replace("occupations", "nbnd = 8, occupations")  # fmt: skip
    (work / "pw.in").write_text(text)
    assert start() == 0
    said = capsys.readouterr().out
    assert "put into &ELECTRONS:\n  startingpot = 'file'\n" in said and "mixing" not in said
    assert sorted(os.listdir("al.save")) == [DAT, XML]
    mine, its = run_pw(work, text), run_pw(work / "converged", text)
    assert len(eigenvalues(its)) > 40
    np.testing.assert_allclose(eigenvalues(mine), eigenvalues(its), rtol=0, atol=1.01e-4)


@needs_pw
@pytest.mark.slow
def test_spin(work, capsys):
    """Density and magnetisation of two models; without the second pw.x would lose the moment."""
    printed = converged(work, "fe")
    assert start() == 1
    error = capsys.readouterr().err
    assert "nspin = 2 needs the magnetisation" in error and "end nonmagnetic" in error
    (work / "mag.pb").write_text("converged/fe.save 1.0 spin")
    assert start("--magnetization", "mag.pb", "-o", "new.in") == 0
    moment = float(re.findall(r"total magnetization += +(\S+) Bohr", printed)[-1])
    said = capsys.readouterr().out
    assert float(re.search(r"total magnetisation (\S+) mu_B", said)[1]) == pytest.approx(
        moment, abs=0.01
    )
    again, of_truth = begun(work), begun(work / "converged", work / "new.in")
    assert accuracies(again)[0] == pytest.approx(accuracies(of_truth)[0], rel=0.05, abs=1e-9)
    assert re.findall(r"total magnetization += +(\S+) Bohr", again)[-1] == f"{moment:.2f}"


@needs_pw
@pytest.mark.slow
@pytest.mark.skipif(not (POTENTIALS / PAW[2]).exists(), reason=f"no {PAW[2]}")
def test_paw(work, monkeypatch, capsys):
    """The occupancies of free atoms are there, and said to be."""
    monkeypatch.setitem(RUNS, "n2", PAW)
    printed = converged(work, "n2")
    assert start("-o", "new.in") == 0
    assert "occupancies (becsum) are those of free atoms" in capsys.readouterr().out
    assert sorted(os.listdir("n2.save")) == [DAT, XML, "paw.txt"]
    again = begun(work)
    assert 1e-6 < accuracies(again)[0] < 0.01 * accuracies(printed)[0]


@needs_pw
@pytest.mark.slow
def test_charged_cells_and_k_points_of_all_kinds(work, capsys):
    """tot_charge counts, and neither tetrahedra nor many k points cost the dry run anything."""
    metal = "occupations = 'smearing', degauss = 0.05"
    text = input_text("al").replace(metal, "occupations = 'tetrahedra', tot_charge = -0.5")
    (work / "pw.in").write_text(text.replace("2 2 2 1 0 1", "9 9 9 0 0 0"))
    (work / "charge.pb").write_text(f"{DATA}/al.save 1.0")
    assert start() == 0
    said = capsys.readouterr()
    assert "6.0000 electrons predicted, 6.5 in the run" in said.out
    assert "6.0000 electrons predicted, where the run has 6.5: tot_charge = -0.5 is" in said.err
    assert "far from" not in said.err
    (work / "pw.in").write_text(text.replace("K_POINTS automatic\n2 2 2 1 0 1",
        "K_POINTS crystal_b\n3\n0 0 0 9 ! G\n0.5 0 0 9\n.5 .5 0 1\n").replace("'scf'", "'bands'")
    )  # fmt: skip
    assert start("--force", "-j", "1") == 0


@needs_pw
@pytest.mark.slow
@pytest.mark.training
def test_trained_model(work, clustered, monkeypatch, capsys):
    """What is written is what ChargeModel predicts, scaled; several models give their mean."""
    for module in ("deepmd_charge.predict", "deepmd_charge.predict.evaluation"):
        monkeypatch.setattr(f"{module}.ChargeModel", ChargeModel)
    monkeypatch.setitem(RUNS, "sic", SIC)
    (work / "pw.in").write_text(input_text("sic"))
    model = str(clustered / "charge.pb")
    assert start(model=(model, model)) == 0
    said = capsys.readouterr()
    density = read_density("sic.save")
    truth = ChargeModel(model).predict(density.atoms, density.shape)
    factor = 8 / truth.n_electrons
    assert f"multiplied by {factor:.5f}" in said.out
    assert "standard deviation of the models 0.0e+00 e/A^3" in said.out
    assert density.n_electrons == pytest.approx(8, abs=1e-9)
    # but for the waves beyond the cutoff of the run
    assert np.abs(density.values - factor * truth.values).max() < 0.05 * truth.values.max()


# with a program that stands for pw.x


@pytest.fixture
def ready(work):
    """An input of silicon, its model, and a pw.x that unpacks what the true one once wrote."""
    source = DATA / "si.save"
    text = f"""outdir=$(sed -n "s/.*outdir *= *'\\([^']*\\)'.*/\\1/p" "$2")
mkdir -p "$outdir/si.save"
for file in {DAT} {XML}; do gzip -dc {source}/$file.gz > "$outdir/si.save/$file"; done
grep -q "electron_maxstep = 0" "$2" && echo JOB DONE.
exit 2"""
    (work / "bin").mkdir()
    script(work / "bin", text)
    (work / "pw.in").write_text(input_text("si"))
    (work / "charge.pb").write_text(f"{source} 1.0")
    return work


def files(folder):
    """All files of a folder with their contents, and folders."""
    return {path: path.is_file() and path.read_bytes() for path in folder.rglob("*")}


def test_settings(ready, capsys):
    """What the input says of mixing stays; what is printed is what -o writes."""
    assert start("--pw", "bin/pw.x") == 0
    said = capsys.readouterr().out
    assert said.endswith(
        "put into &ELECTRONS:\n  startingpot = 'file'\n  diago_thr_init = 1.0d-6\n"
        "  diago_david_ndim = 4\n  mixing_mode = 'plain'\n"
        "  mixing_beta = 0.7\n"
    )
    assert start("--pw", "bin/pw.x", "--force", "-q") == 0
    assert capsys.readouterr().out.startswith("  startingpot = 'file'\n")
    text = (ready / "pw.in").read_text().replace("conv_thr", "mixing_beta = 0.2, conv_thr")
    text = text.replace("'scf'", "'relax', restart_mode='restart'")
    (ready / "pw.in").write_text(text.replace("ecutwfc", "occupations='smearing', ecutwfc"))
    assert start("--pw", "bin/pw.x", "--force", "-o", "new.in") == 0
    assert "first step of the relaxation" in capsys.readouterr().out
    new = parse_input((ready / "new.in").read_text(), "new.in")
    values = [new.get("electrons", key) for key in ("startingpot", "mixing_beta", "mixing_mode")]
    assert values == ["file", 0.2, "TF"]
    assert new.get("control", "restart_mode") == "from_scratch"
    assert SETTINGS["metal"]["mixing_mode"] == "'TF'"


def test_place(ready, monkeypatch, capsys):
    """Folders that are missing are made; what is there is kept without --force, and whole."""
    text = (ready / "pw.in").read_text().replace("outdir = '.'", "outdir = 'a/b/'")
    (ready / "pw.in").write_text(text)
    assert start("--pw", "bin/pw.x") == 0
    assert sorted(path.name for path in (ready / "a").rglob("*")) == ["b", DAT, XML, "si.save"]
    (ready / "a/b/si.save/notes").write_text("mine")
    (ready / "a/b/si.xml").write_text("of another run")
    before = files(ready)
    assert start("--pw", "bin/pw.x") == 1
    assert "a/b/si.save: is there already: replace it by --force" in capsys.readouterr().err
    assert files(ready) == before
    assert start("--pw", "bin/pw.x", "--force") == 0
    assert sorted(os.listdir("a/b")) == ["si.save", "si.xml"]
    assert not (ready / "a/b/si.save/notes").exists()
    shutil.rmtree("a/b/si.save")
    (ready / "a/b/si.save").write_text("")
    assert start("--pw", "bin/pw.x", "--force") == 1
    assert "is a file, where a folder is due" in capsys.readouterr().err
    monkeypatch.setenv("ESPRESSO_TMPDIR", str(ready / "tmp"))
    (ready / "pw.in").write_text(text.replace("outdir = 'a/b/', ", ""))
    assert start("--pw", "bin/pw.x") == 0
    assert (ready / "tmp/si.save" / DAT).exists()


@pytest.mark.parametrize(
    "end, message",
    [
        ("kill -9 $$", r"si\.start\.out: pw\.x was killed \(SIGKILL\)"),
        ("kill -SEGV $$", r"si\.start\.out: pw\.x crashed twice \(SIGSEGV\)"),
        ("echo ' Error in routine readpp (1):'; echo ' none'; echo ' %%%'", r"stopped: none \(re"),
        ("exit 1", "ended with status 1"),
    ],
)
@pytest.mark.parametrize("is_there", [False, True])
def test_pw_that_fails(ready, end, message, is_there, capsys):
    """A prefix.save folder is as it was, also if pw.x has made half of the new one."""
    if is_there:
        assert start("--pw", "bin/pw.x", "-o", "new.in") == 0
        (ready / "si.save/notes").write_text("mine")
    path = ready / "bin/pw.x"
    path.write_text(path.read_text().replace("for file in", f"{end}\nexit 1\nfor file in"))
    before = files(ready)
    capsys.readouterr()
    assert start("--pw", "bin/pw.x", "--force", "-o", "new.in") == 1
    error = capsys.readouterr().err
    assert re.search(message, error) and error.count("\n") == 1
    left = files(ready)
    logs = {path.name for path in left.keys() - before.keys()}
    assert logs == {"si.start.out", "si.start.out.in"}
    assert {path: left[path] for path in before} == before


def test_folder_that_cannot_be_replaced(ready, monkeypatch, capsys):
    """The one that was there comes back."""
    assert start("--pw", "bin/pw.x") == 0
    before, rename = files(ready), os.rename

    def fail(source, target):
        if os.path.basename(source) == os.path.basename(target):
            raise OSError(28, "No space left on device", str(target))
        rename(source, target)

    monkeypatch.setattr(os, "rename", fail)
    assert start("--pw", "bin/pw.x", "--force") == 1
    assert "si.save: No space left" in capsys.readouterr().err
    assert files(ready) == before


def test_interrupted(ready, monkeypatch, capsys):
    """As by Ctrl-C in the prediction: nothing is left, not the folders that were made either."""
    text = (ready / "pw.in").read_text().replace("outdir = '.'", "outdir = './a/b'")
    (ready / "pw.in").write_text(text)
    before = files(ready)

    def stop(self, points):
        raise KeyboardInterrupt

    monkeypatch.setattr(DensityField, "__call__", stop)
    assert start("--pw", "bin/pw.x", "-o", "new.in") == 130
    assert files(ready) == before and not (ready / "a").exists()


@pytest.mark.parametrize("prefix", ["a/si", " si", "", "si.run"])
def test_odd_prefixes(ready, prefix):
    """As pw.x names its folder by them: with a folder before them, blanks, or nothing."""
    path = ready / "bin/pw.x"
    read = """prefix=$(sed -n "s/.*prefix *= *'\\([^']*\\)'.*/\\1/p" "$2")"""
    text = path.read_text().replace("outdir=", f"{read}\noutdir=", 1)
    path.write_text(text.replace("$outdir/si.save", "$outdir/$prefix.save"))
    text = (ready / "pw.in").read_text()
    assert "prefix = 'si'," in text
    (ready / "pw.in").write_text(text.replace("prefix = 'si',", f"prefix = '{prefix}',"))
    assert start("--pw", "bin/pw.x", "-o", "new.in") == 0
    assert sorted(os.listdir(f"{prefix}.save")) == [DAT, XML]


def test_program_that_writes_nothing(ready, capsys):
    """It ends well, and is no pw.x: the complaint names no folder that is gone."""
    script(ready / "bin", "echo JOB DONE.")
    before = files(ready)
    assert start("--pw", "bin/pw.x") == 1
    assert f"pw.in: bin/pw.x ended well and wrote no {XML}: " in capsys.readouterr().err
    assert files(ready) == before


def test_another_structure_by_pw(ready, capsys):
    """What pw.x read must be what was read here."""
    (ready / "pw.in").write_text((ready / "pw.in").read_text().replace("0.01000", "0.01001"))
    assert start("--pw", "bin/pw.x") == 1
    assert "pw.x reads another structure here, its atoms are up to" in capsys.readouterr().err
    assert not (ready / "si.save").exists()


@pytest.mark.parametrize(
    "old, new, message",
    [
        ("'scf'", "'md'", "calculation = 'md' is not one of scf, nscf, bands, relax, vc-relax"),
        ("ecutwfc", "noncolin = .true., ecutwfc", "non-collinear or spin-orbit"),
        ("ecutwfc", "lspinorb = .true., ecutwfc", "non-collinear or spin-orbit"),
        ("ecutwfc", "nspin = 4, ecutwfc", "non-collinear or spin-orbit"),
        ("ecutwfc", "lda_plus_u = .true., ecutwfc", r"DFT\+U begins with occupation matrices"),
        ("K_POINTS", "HUBBARD ortho-atomic\nU Si-3p 2\nK_POINTS", r"DFT\+U"),
        ("ecutwfc", "input_dft = 'pbe0', ecutwfc", "hybrid functional pbe0"),
        ("ecutwfc", "input_dft='SCAN', ecutwfc", "meta-GGA SCAN needs the kinetic energy density"),
        ("ecutwfc", "nspin = 2, ecutwfc", "would end nonmagnetic"),
        ("ibrav = 0", "ibrav = 99", "ibrav = 99: there is no such lattice"),
        ("Si 1.0", "C 1.0", "C in ATOMIC_SPECIES has Si.pz-vbc.UPF, a potential of Si"),
        ("&electrons", "&electron", "there is no &ELECTRONS"),
    ],
)  # fmt: skip
def test_runs_that_are_refused(ready, old, new, message, capsys):
    """Each with its reason, in one line, and without a trace."""
    text = (ready / "pw.in").read_text()
    assert old in text
    (ready / "pw.in").write_text(text.replace(old, new))
    before = files(ready)
    assert start("--pw", "bin/pw.x", "-o", "new.in") == 1
    error = capsys.readouterr().err
    assert re.search(message, error) and error.count("\n") == 1 and "pw.in" in error
    assert files(ready) == before


def upf(element="Si", valence=4, functional="SLA PZ NOGX NOGC", paw="F"):
    return (
        f'<UPF version="2.0.1"><PP_HEADER element="{element}" z_valence="{valence}" is_paw="{paw}"'
        f' functional="{functional}"/></UPF>'
    )


@pytest.fixture
def potential(ready):
    """A folder for a potential of one's own."""
    text = (ready / "pw.in").read_text().replace(str(POTENTIALS), "potentials")
    (ready / "pw.in").write_text(text)
    (ready / "potentials").mkdir()
    return ready / "potentials/Si.pz-vbc.UPF"


@pytest.mark.parametrize(
    "options, facts, message",
    [
        (
            {"valence": 12},
            {"valence": {"Si": 4.0}},
            "12 valence electrons of Si, where .* learnt 4",
        ),
        ({"element": "C"}, {}, "Si in ATOMIC_SPECIES has Si.pz-vbc.UPF, a potential of C"),
        ({"functional": "PBE"}, {"functional": "SLA PZ NOGX NOGC"}, "is PBE, that of .* is LDA"),
        ({"functional": "SLA PW TPSS TPSS"}, {}, "meta-GGA SLA PW TPSS TPSS"),
        ({}, {"functional": "pbe"}, "is LDA, that of charge.pb is PBE"),
        ({"valence": None}, {"valence": {"Si": 3.0}}, r"pw\.in: 8 valence el.* learnt are 6"),
        ({}, {"elements": ["C"]}, "has not seen Si, only C"),
    ],
)
def test_potentials_of_others(potential, options, facts, message, monkeypatch, capsys):
    potential.write_text(upf(**options))
    known = {"valence_error": dict.fromkeys(facts.get("valence", {}), 0.0), **facts}
    monkeypatch.setattr(DensityModel, "facts", {"charge.pb": known})
    if "elements" in facts:
        monkeypatch.setattr(DensityModel, "elements", property(lambda s: ["C"], lambda s, v: None))
    assert start("--pw", "bin/pw.x") == 1
    error = capsys.readouterr().err
    assert re.search(message, error) and error.count("\n") == 1
    assert not os.path.exists("si.save")


@pytest.mark.parametrize("functional", ["PBE", "SLA PW PBX PBC", "", "unheard of"])
def test_potentials_that_fit(potential, functional, monkeypatch, capsys):
    potential.write_text(upf(functional=functional))
    monkeypatch.setattr(DensityModel, "facts", {
        "charge.pb": {"valence": {"Si": 4.0}, "functional": "PBE" if functional else "LDA"}
    })  # fmt: skip
    change_xml(f"s/<functional>.*</<functional>{'PBE' if functional else 'PZ'}</")
    assert start("--pw", "bin/pw.x") == 0
    doubt = "whether the functional unheard of is that of charge.pb, PBE, is not known here"
    assert (doubt in capsys.readouterr().err) == (functional == "unheard of")


def test_functional_of_the_input(potential, monkeypatch, capsys):
    """It goes before that of the potentials, as in pw.x."""
    text = Path("pw.in").read_text().replace("ecutwfc", "input_dft = 'PZ', ecutwfc")
    Path("pw.in").write_text(text)
    potential.write_text(upf(functional="SLA PW TPSS TPSS"))
    monkeypatch.setattr(DensityModel, "facts", {"charge.pb": {"functional": "lda"}})
    assert start("--pw", "bin/pw.x") == 0
    monkeypatch.setattr(DensityModel, "facts", {"charge.pb": {"functional": "PBE"}})
    assert start("--pw", "bin/pw.x", "--force") == 1
    assert "pw.in: the functional is LDA, that of charge.pb is PBE" in capsys.readouterr().err


def change_xml(change):
    """Let what stands for pw.x write another XML file."""
    path = Path("bin/pw.x")
    sed = f'sed -i "{change}" "$outdir/si.save/{XML}"'
    path.write_text(path.read_text().replace("grep -q", f"{sed}\ngrep -q"))


@pytest.mark.parametrize(
    "change, message",
    [
        ("s/<functional>.*</<functional>TPSS</", "meta-GGA TPSS"),
        ("s/<functional>/<hybrid><\\/hybrid><functional>/", "hybrid functional"),
        ("s/<functional>/<dftU><\\/dftU><functional>/", r"DFT\+U"),
    ],
)
def test_what_pw_found_out(ready, change, message, capsys):
    """A potential that cannot be read here may bring a functional that is not supported."""
    change_xml(change)
    assert start("--pw", "bin/pw.x") == 1
    error = capsys.readouterr().err
    assert re.search(message, error) and "error: pw.in: " in error
    assert not (ready / "si.save").exists()


def test_models_of_something_else(ready, monkeypatch, capsys):
    (ready / "mag.pb").write_text(f"{DATA}/fe.save 1.0 spin")
    assert start("--pw", "bin/pw.x", model=["mag.pb"]) == 1
    assert "mag.pb: predicts magnetization by itself" in capsys.readouterr().err
    assert start("--pw", "bin/pw.x", "--magnetization", "mag.pb") == 1
    assert "nspin = 1 has no magnetisation" in capsys.readouterr().err
    text = (ready / "pw.in").read_text().replace("ecutwfc", "nspin = 2, ecutwfc")
    (ready / "pw.in").write_text(text)
    assert start("--pw", "bin/pw.x", "--magnetization", "charge.pb") == 1
    assert (
        "charge.pb: predicts total by itself, where a model of the mag" in capsys.readouterr().err
    )


def test_flags(ready, capsys):
    for flags, message in (
        (("--pw", "no-such"), "no-such: there is no such program"),
        (("--pw", "'"), "no command"),
        (("-j", 0), "-j 0"),
        (("-o", "pw.in"), "pw.in: is read, too"),
        (("-o", "no/new.in"), "there is no folder no"),
    ):
        assert start(*flags) == 1
        assert message in capsys.readouterr().err
    assert not (ready / "si.save").exists() and "file" not in (ready / "pw.in").read_text()


# without pw.x


def test_without_pw(potential, monkeypatch, capsys):
    """The waves that pw.x has, in its order; what is missing is said."""
    monkeypatch.setenv("PATH", "/no-such")
    potential.write_text(upf())
    assert start() == 0
    said = capsys.readouterr().out
    assert "12 x 12 x 12 points, multiplied by 1.00000" in said and "without pw.x: the ord" in said
    waves = read_waves("si.save/" + DAT)
    truth = gzip.decompress((DATA / "si.save" / f"{DAT}.gz").read_bytes())
    Path("truth.dat").write_bytes(truth)
    truth = read_waves("truth.dat")
    assert (waves.miller == truth.miller).all() and waves.gamma_only
    np.testing.assert_allclose(waves.components, truth.components, rtol=0, atol=1e-13)
    assert os.listdir("si.save") == [DAT]
    Path("pw.in").write_text(Path("pw.in").read_text().replace("'scf'", "'bands'"))
    assert start("--force") == 0
    assert "bands needs data-file-schema.xml, too, which pw.x alone" in capsys.readouterr().out


@pytest.mark.parametrize(
    "nr, shape",
    [
        ("nr1 = 20, nr2 = 20, nr3 = 15", (20, 20, 15)),
        ("nr1 = 2", (12, 12, 12)),
        ("nr1=2,nr2=2,nr3=2", None),
    ],
)
def test_grid_without_pw(potential, nr, shape, monkeypatch, capsys):
    """As pw.x does: all three numbers count, or none; and they must hold the waves."""
    monkeypatch.setenv("PATH", "/no-such")
    potential.write_text(upf())
    Path("pw.in").write_text(Path("pw.in").read_text().replace("ecutwfc", f"{nr}, ecutwfc"))
    if shape:
        pw = read_input("pw.in")
        assert waves_without_pw(pw)[1] == shape
        return
    assert start() == 1
    error = capsys.readouterr().err
    assert "pw.in: nr1, nr2, nr3 = 2, 2, 2 cannot hold" in error and error.count("\n") == 1
    assert not os.path.exists("si.save")


def test_without_pw_nothing_is_guessed(potential, monkeypatch, capsys):
    monkeypatch.setenv("PATH", "/no-such")
    assert start() == 1
    assert "potentials/Si.pz-vbc.UPF: cannot be read here" in capsys.readouterr().err
    potential.write_text(upf(paw="T"))
    assert start() == 1
    assert "PAW needs paw.txt, too, which pw.x alone writes" in capsys.readouterr().err
    assert not os.path.exists("si.save")


@pytest.mark.parametrize("name", [*RUNS, *MORE_RUNS])
def test_inputs_of_the_tests_are_understood(name):
    pw = parse_input(input_text(name), "pw.in")
    cell, _, potential, positions, *_ = {**RUNS, **MORE_RUNS}[name]
    np.testing.assert_allclose(pw.atoms.cell.array, cell, atol=1e-9)
    np.testing.assert_allclose(pw.atoms.get_scaled_positions(wrap=False), positions, atol=1e-9)
    assert list(pw.potentials.values()) == [potential]


# documentation and example


def test_the_python_of_the_page_runs(ready, monkeypatch, capsys):
    monkeypatch.setenv("PATH", f"{ready}/bin:{os.environ['PATH']}")
    monkeypatch.setattr("deepmd_charge.ChargeModel", DensityModel, raising=False)
    page = Path(__file__).parents[1] / "docs" / "quantum-espresso.md"
    (block,) = re.findall(r"```python\n(.*?)```", page.read_text(), re.S)
    exec(compile(block, str(page), "exec"), {})
    assert capsys.readouterr().out.startswith("1.0")
    assert (ready / "si.save" / DAT).exists()


@needs_pw
@pytest.mark.slow
@pytest.mark.training
def test_example(tmp_path):
    """Its short form: fewer iterations to the same energy."""
    script = Path(__file__).parents[1] / "examples" / "quantum_espresso" / "run.sh"
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [str(script), "--quick", "demo"], cwd=tmp_path, capture_output=True, text=True,
        env={**os.environ, "PATH": path, "ESPRESSO_PSEUDO": str(POTENTIALS)},
    )  # fmt: skip
    assert not done.returncode, done.stdout + done.stderr
    found = re.findall(r"^from .*: +(\d+), energy (\S+) Ry", done.stdout, re.M)
    (from_atoms, energy), (from_prediction, same) = ((int(n), float(e)) for n, e in found)
    assert from_prediction < from_atoms and same == pytest.approx(energy, abs=1e-6)
