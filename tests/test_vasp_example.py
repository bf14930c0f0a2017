# SPDX-License-Identifier: LGPL-3.0-or-later
"""examples/vasp/measure.py: its table from vasprun.xml files, and a program that stands for VASP.

There is no VASP here: the XML follows the layout that ase reads, which is the oracle.
"""

import runpy
import sys
from pathlib import Path

import numpy as np
import pytest
from standin import StandInModel

from deepmd_charge import read_density

SCRIPT = Path(__file__).parents[1] / "examples" / "vasp" / "measure.py"
measure = runpy.run_path(str(SCRIPT))
FORCES = np.array([[0.1, -0.2, 0.3], [-0.1, 0.2, -0.3]])
BANDS = np.array([[[-5.0, -1.0, 2.0], [-4.5, -1.5, 2.5]]])  # one spin, two k points
FILLED = np.array([[[1.0, 1.0, 0.0], [1.0, 1.0, 0.0]]])
POSCAR = """Si2
1.0
0.0 2.7 2.7
2.7 0.0 2.7
2.7 2.7 0.0
Si
2
Direct
0.0 0.0 0.0
0.26 0.25 0.25
"""


def vasprun(energy=-10.8, forces=FORCES, bands=BANDS, steps=7):
    """The XML of a run of one geometry."""
    rows = "".join("<v>{:.8f} {:.8f} {:.8f}</v>".format(*f) for f in forces)
    sets = ""
    for s, levels in enumerate(bands, 1):
        sets += f'<set comment="spin {s}">'
        for k, (values, filled) in enumerate(zip(levels, FILLED[0], strict=True), 1):
            pairs = zip(values, filled, strict=True)
            sets += f'<set comment="kpoint {k}">'
            sets += "".join(f"<r> {e:.4f} {f:.4f} </r>" for e, f in pairs) + "</set>"
        sets += "</set>"
    step = (
        f'<scstep><energy><i name="e_fr_energy">{energy - 0.1:.8f}</i>'
        f'<i name="e_0_energy">{energy:.8f}</i></energy></scstep>'
    )
    structure = """<structure name="{}"><crystal><varray name="basis">
<v>0.0 2.7 2.7</v><v>2.7 0.0 2.7</v><v>2.7 2.7 0.0</v></varray></crystal>
<varray name="positions"><v>0.0 0.0 0.0</v><v>0.26 0.25 0.25</v></varray></structure>"""
    kpoints = """<kpoints><varray name="kpointlist"><v>0 0 0</v><v>0.5 0 0</v></varray>
<varray name="weights"><v>0.5</v><v>0.5</v></varray></kpoints>"""
    return f"""<?xml version="1.0" encoding="ISO-8859-1"?>
<modeling>{kpoints}
<parameters><separator name="electronic"><i type="int" name="ISPIN">1</i></separator></parameters>
<atominfo><atoms>2</atoms><types>1</types><array name="atoms"><set>
<rc><c>Si</c><c>1</c></rc><rc><c>Si</c><c>1</c></rc></set></array></atominfo>
{structure.format("initialpos")}
<calculation>{step * steps}{structure.format("")}
<varray name="forces">{rows}</varray>
<energy><i name="e_fr_energy">{energy - 0.1:.8f}</i><i name="e_wo_entrp">{energy:.8f}</i>
<i name="e_0_energy">0.1</i></energy>
<eigenvalues><array><dimension dim="1">band</dimension><field>eigene</field><field>occ</field>
<set>{sets}</set></array></eigenvalues>
<separator name="dos"><i name="efermi">0.5</i></separator>
<dos><i name="efermi">0.5</i></dos></calculation>
{structure.format("finalpos")}</modeling>"""


def test_vasprun_as_ase_reads_it(tmp_path):
    from ase.io import read

    path = tmp_path / "vasprun.xml"
    path.write_text(vasprun())
    run, atoms = measure["read_vasprun"](path), read(path)
    assert run["energy"] == pytest.approx(atoms.get_potential_energy())
    np.testing.assert_allclose(run["forces"], atoms.get_forces())
    for k in range(2):
        levels = atoms.calc.get_eigenvalues(kpt=k, spin=0)
        np.testing.assert_allclose(run["bands"][0, k], levels)
    assert run["iterations"] == 7 and measure["gap"](run) == 3.0


@pytest.mark.parametrize("text", ["", "<modeling>", "<modeling/>", vasprun()[:2000],
                                  vasprun().replace("e_0_energy", "other")])  # fmt: skip
def test_runs_that_did_not_end(tmp_path, text):
    path = tmp_path / "vasprun.xml"
    path.write_text(text)
    with pytest.raises(measure["Failed"], match="not that of a finished run"):
        measure["read_vasprun"](path)


def test_table(tmp_path):
    """Energies an atom, occupied bands alone, the change of the gap, lengths of force errors."""
    (tmp_path / "a").write_text(vasprun())
    shifted = BANDS + np.array([0.010, 0.030, 0.5])
    (tmp_path / "b").write_text(vasprun(-10.794, FORCES + np.array([0.003, 0, 0.004]), shifted, 1))
    runs = {"scf": measure["read_vasprun"](tmp_path / "a")}
    runs["fixed"] = measure["read_vasprun"](tmp_path / "b")
    lines = measure["table"](runs, 2).splitlines()
    assert " ".join(lines[1].split()) == "scf 0.000 0.00 / 0.00 0.0 0.00 / 0.00 7"
    assert " ".join(lines[2].split()) == "fixed 3.000 20.00 / 30.00 470.0 5.00 / 5.00 1"
    runs["fixed"]["forces"] = None
    assert measure["table"](runs, 2).splitlines()[2].split()[-2:] == ["-", "1"]


def test_tags_of_an_incar():
    """Each stands there once, whatever its letters, and comments stay."""
    incar = "ENCUT = 300 ; icharg=2 # ICHARG = 1\n ISTART=1\nLWAVE =.TRUE.;LREAL = A\n"
    text = measure["with_tags"](incar, {"ICHARG": "11", "LWAVE": ".FALSE.", "ISTART": "0"})
    assert text == (
        "ENCUT = 300 ;# ICHARG = 1\n\n;LREAL = A\nICHARG = 11\nLWAVE = .FALSE.\nISTART = 0\n"
    )


VASP = """import shutil, sys
from pathlib import Path
incar = Path("INCAR").read_text()
steps = 9 if "ICHARG = 2" in incar else 5 if "ICHARG = 1\\n" in incar else 1
if steps == 9:
    shutil.copy({true!r}, "CHGCAR")
assert Path("CHGCAR").exists() or "ICHARG = 12" in incar
assert "LWAVE = .FALSE." in incar and "ENCUT = 200" in incar and Path("POTCAR").exists()
energy = -10.8 + 0.001 * (steps == 1)
text = Path({xml!r}).read_text().replace("-10.8000", f"{{energy:.4f}}")
Path("vasprun.xml").write_text(text.replace("-10.9000", f"{{energy - 0.1:.4f}}"))
"""


@pytest.fixture
def prepared(tmp_path, monkeypatch, density):
    """A folder RUN, a program that stands for VASP, and a model."""
    from deepmd_charge import write_density

    monkeypatch.chdir(tmp_path)
    for module in ("deepmd_charge.predict", "deepmd_charge.predict.evaluation"):
        monkeypatch.setattr(f"{module}.ChargeModel", StandInModel)
    (tmp_path / "charge.pb").write_text("1.05")
    (tmp_path / "RUN").mkdir()
    for name, text in {
        "INCAR": "ENCUT = 200",
        "KPOINTS": "k",
        "POTCAR": "p",
        "POSCAR": POSCAR,
    }.items():
        (tmp_path / "RUN" / name).write_text(text)
    from ase.io import read

    atoms = read("RUN/POSCAR", format="vasp")
    true = StandInModel("charge.pb").predict(atoms, (12, 10, 8))
    write_density("CHGCAR_true", true / 1.05)
    (tmp_path / "some.xml").write_text(vasprun())
    (tmp_path / "vasp.py").write_text(
        VASP.format(true=str(tmp_path / "CHGCAR_true"), xml=str(tmp_path / "some.xml"))
    )
    return f"{sys.executable} {tmp_path}/vasp.py"


def test_measure(prepared, capsys):
    """Five runs; those that are there are not made again; the prediction has VASP's grid."""
    argv = ["RUN", "-m", "charge.pb", "-o", "out", "--vasp", prepared]
    measure["main"](argv)
    text = capsys.readouterr().out
    rows = [line.split() for line in text.splitlines()[-5:]]
    assert [r[0] for r in rows] == ["scf", "true", "fixed", "atoms", "start"]
    assert [int(r[-1]) for r in rows] == [7] * 5 and rows[2][1] == "0.500"
    assert Path("out/table.txt").read_text() in text
    density = read_density("out/start/CHGCAR", check=False)
    assert density.shape == (12, 10, 8) and density.n_electrons == pytest.approx(8, abs=1e-5)
    Path("vasp.py").write_text("raise SystemExit(1)")
    measure["main"](argv)
    assert capsys.readouterr().out.splitlines()[-5:] == text.splitlines()[-5:]


def test_measure_that_fails(prepared):
    Path("vasp.py").write_text("print('no licence'); raise SystemExit(3)")
    argv = ["RUN", "-m", "charge.pb", "-o", "out", "--vasp", prepared]
    with pytest.raises(SystemExit, match=r"out/scf/vasp\.out: .* ended with status 3"):
        measure["main"](argv)
    assert "no licence" in Path("out/scf/vasp.out").read_text()
    Path("RUN/POTCAR").unlink()
    with pytest.raises(SystemExit, match="RUN: there is no POTCAR"):
        measure["main"](argv)
