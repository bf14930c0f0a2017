# SPDX-License-Identifier: LGPL-3.0-or-later
"""Densities along molecular dynamics: averages, driven scripts, probes in the box."""

import json
import re
import subprocess
import sys
from pathlib import Path

import forked
import numpy as np
import pytest
from ase import Atoms
from running import bare_lmp, lmp

from deepmd_charge import ChargeError, Density, read_density
from deepmd_charge.atoms.species import species_of
from deepmd_charge.cli.main import main
from deepmd_charge.lammps import Average, average_dump

CELL = np.array([[4.0, 0, 0], [0.7, 4.2, 0], [-0.6, 0.5, 4.4]])
GRID = (3, 2, 4)


def frames(n=5):
    """Densities of two atoms that cross the faces of the cell."""
    rng = np.random.default_rng(3)
    for step in range(n):
        atoms = Atoms(
            "SiC", [[0.1 - 0.05 * step, 0.2, 0.3], [2, 2, 2 + 0.1 * step]], cell=CELL, pbc=True
        )
        atoms.wrap()
        yield Density(atoms, 100.0 + rng.normal(size=GRID))


def test_mean_and_deviation():
    average = Average()
    for density in frames():
        average.add(density)
    values = np.array([density.values for density in frames()])
    assert average.mean().values == pytest.approx(values.mean(axis=0), abs=1e-12)
    assert average.deviation().values == pytest.approx(values.std(axis=0), abs=1e-12)
    expected = np.array([[0.0, 0.2, 0.3], [2, 2, 2.2]])
    off = (average.mean().atoms.positions - expected) @ np.linalg.inv(CELL)
    assert off == pytest.approx(np.round(off), abs=1e-12)


def test_a_changing_box_is_refused():
    average, (density, other) = Average(), frames(2)
    average.add(density)
    other.atoms.set_cell(CELL * 1.01)
    with pytest.raises(ChargeError, match="the box changes"):
        average.add(other)


def dump(densities, species=("C", "X", "Si"), corner=(1.0, -2.0, 3.0)):
    """What LAMMPS would write, in no order and with all positions shifted."""
    rng, text = np.random.default_rng(0), ""
    for step, density in enumerate(densities):
        names = [*density.atoms.get_chemical_symbols(), *["X"] * density.values.size]
        places = np.concatenate([density.atoms.positions, density.points()]) + corner
        values = np.concatenate([np.zeros(len(density.atoms)), density.values.ravel()])
        (lx, _, _), (xy, ly, _), (xz, yz, lz) = CELL
        low, high = np.array(corner), np.add(corner, (lx, ly, lz))
        low += (min(0, xy, xz, xy + xz), min(0, yz), 0)
        high += (max(0, xy, xz, xy + xz), max(0, yz), 0)
        bounds = [f"{a} {b} {t}" for a, b, t in zip(low, high, (xy, xz, yz), strict=True)]
        text += f"ITEM: TIMESTEP\n{10 * step}\nITEM: NUMBER OF ATOMS\n{len(names)}\n"
        text += "ITEM: BOX BOUNDS xy xz yz pp pp pp\n" + "\n".join(bounds)
        text += "\nITEM: ATOMS id x y z c_density type\n"
        for i in rng.permutation(len(names)):
            place = " ".join(f"{x:.15g}" for x in places[i])
            text += f"{i + 1} {place} {values[i]:.17g} {species.index(names[i]) + 1}\n"
    return text


def test_a_dump_is_averaged(tmp_path):
    (tmp_path / "d.dump").write_text(dump(frames()))
    found = average_dump(tmp_path / "d.dump", ["C", "X", "Si"], GRID)
    expected = Average()
    for density in frames():
        expected.add(density)
    assert found.count == 5
    assert found.mean().values == pytest.approx(expected.mean().values, abs=1e-12)
    assert found.deviation().values == pytest.approx(expected.deviation().values, abs=1e-12)
    assert found.mean().atoms.symbols.get_chemical_formula() == "CSi"
    named = average_dump(tmp_path / "d.dump", ["C", "X", "Si_b"], GRID).mean()
    assert named.values == pytest.approx(found.mean().values)
    assert species_of(named.atoms) == ["Si_b", "C"]
    assert found.mean().atoms.get_distance(0, 1, mic=True) == pytest.approx(
        expected.mean().atoms.get_distance(0, 1, mic=True), abs=1e-9
    )


def test_a_dump_of_a_magnetisation(tmp_path, capsys):
    """The dump does not say what it holds, the user does, and the files say it."""
    (tmp_path / "d.dump").write_text(dump(frames()))
    flags = ["average", tmp_path / "d.dump", "--species", "C", "X", "Si", "--grid", *GRID]
    for name, more, unit in ("m", ["--is", "magnetization"], "mu_B"), ("n", [], "electrons"):
        words = ["lammps", *flags, "-o", tmp_path / name, *more]
        assert main(list(map(str, words))) == 0
        assert capsys.readouterr().out.endswith(f" {unit}\n")
    mean = read_density(tmp_path / "m/CHGCAR_mean", check=False)
    assert mean.quantity.name == "magnetization"
    for name in "m", "n":  # a fluctuation is no density to learn
        with pytest.raises(ChargeError, match="holds a standard deviation of densities"):
            read_density(tmp_path / name / "CHGCAR_std")
    words = ["lammps", *flags, "-o", tmp_path / "p", "--is", "potential"]
    assert main(list(map(str, words))) == 1
    assert "predicts a potential, which CHGCAR_mean cannot hold" in capsys.readouterr().err
    assert not (tmp_path / "p").exists()


def test_results_do_not_mix_with_others(charge_model, script, tmp_path, capsys):
    Path("d.dump").write_text(dump(frames()))
    Path("out").mkdir()
    flags = ["average", "d.dump", "--species", "C", "X", "Si", "--grid", *map(str, GRID)]
    assert main(["lammps", *flags, "-o", "out"]) == 0  # it was empty
    kept = Path("out/CHGCAR_mean").read_bytes()
    run = [*script, "-m", charge_model.path, "--grid", "2", "2", "2"]
    write = ["lammps", "write", "-m", charge_model.path, "-s", "out/CHGCAR_mean", "-o", "out"]
    for words in ["lammps", *flags, "-o", "out"], run, [*write, "--grid", "2", "2", "2"]:
        assert main(words) == 1
        assert "out: is not empty; give the name of a new folder" in capsys.readouterr().err
    assert Path("out/CHGCAR_mean").read_bytes() == kept
    assert len(list(Path("out").iterdir())) == 2
    Path("d.dump").write_text(dump(frames(1))[:-4])
    assert main(["lammps", *flags, "-o", "new"]) == 1
    assert not Path("new").exists()


@pytest.mark.parametrize(
    "change, species, grid, message",
    [
        (lambda t: t[:-4], "C X Si", GRID, "last frame is not complete; let LAMMPS finish"),
        (lambda t: t[: t.rindex("ITEM: BOX")], "C X Si", GRID, "not complete"),
        (lambda t: t.replace("c_density", "c_rho"), "C X Si", GRID, "not a dump with the columns"),
        (lambda t: t, "C X Si", (3, 2, 5), "step 0: its 24 atoms of type X are not the points"),
        (lambda t: t, "C X Si", (3, 4, 2), "not the points"),
        (lambda t: t, "C X", GRID, "type 3; name an element for each type"),
        (lambda t: t, "C Si Si", GRID, "name X for the type"),
        (lambda t: t, "C X Zz", GRID, "Zz names no element"),
        (lambda t: "", "C X Si", GRID, "no frame"),
    ],
)
def test_bad_dumps_are_refused(tmp_path, change, species, grid, message):
    (tmp_path / "d.dump").write_text(change(dump(frames(2))))
    with pytest.raises(ChargeError, match=message):
        average_dump(tmp_path / "d.dump", species.split(), grid)


@pytest.mark.parametrize(
    "flags, pbc",
    [("pp pp ff", (1, 1, 0)), ("pp fs pp", (1, 0, 1)), ("sm pp mm", (0, 1, 0)), ("", (1, 1, 1))],
)
def test_nothing_crosses_an_open_face(tmp_path, flags, pbc):
    """Neither atoms, whose mean is taken, nor grid points; old dumps tell no boundaries."""
    places = np.array([[0.02] * 3, [0.98] * 3])
    densities = [
        Density(Atoms("Si", [place @ CELL], cell=CELL, pbc=True), np.ones(GRID)) for place in places
    ]
    text = dump(densities).replace("pp pp pp", flags)
    (tmp_path / "d.dump").write_text(text)
    mean = average_dump(tmp_path / "d.dump", ["C", "X", "Si"], GRID).mean()
    assert mean.atoms.pbc.tolist() == list(map(bool, pbc))
    expected = np.where(pbc, 0.0, 0.5)
    assert mean.atoms.get_scaled_positions(wrap=False)[0] == pytest.approx(expected, abs=1e-9)

    class Moved(Density):
        def points(self, index=None):
            points = super().points(index)
            points[:4] += CELL[0]  # the first plane of the first axis, one cell on
            return points

    moved = [Moved(density.atoms, density.values) for density in densities]
    (tmp_path / "d.dump").write_text(dump(moved).replace("pp pp pp", flags))
    if pbc[0]:
        assert average_dump(tmp_path / "d.dump", ["C", "X", "Si"], GRID).count == 2
    else:
        with pytest.raises(ChargeError, match="step 0: its 24 atoms of type X are not the points"):
            average_dump(tmp_path / "d.dump", ["C", "X", "Si"], GRID)


def test_a_dump_of_a_general_box_is_refused(tmp_path):
    text = dump(frames(1)).replace("BOUNDS xy xz yz", "BOUNDS abc origin")
    (tmp_path / "d.dump").write_text(text)
    with pytest.raises(ChargeError, match=r"d.dump: a dump of general triclinic boxes; write it"):
        average_dump(tmp_path / "d.dump", ["C", "X", "Si"], GRID)


SCRIPT = """\
units           metal
region          cell prism 0 4.6 0 4.2 0 5.1 1.1 -0.7 0.9
create_box      2 cell
create_atoms    1 single 0.5 0.6 0.4
create_atoms    2 single 2.6 2.9 &
                2.6
mass            * 20.0
pair_style      lj/cut 2.0
pair_coeff      * * 0.05 1.9
velocity        all create 900 87287 loop geom
fix             1 all nve
dump            1 all custom 1 run.dump id x y z vx vy vz
dump_modify     1 sort id format float %.17g
variable        n loop 2
label           again
run             ${steps}
next            n
jump            SELF again
"""


@pytest.fixture
def script(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("in.md").write_text(SCRIPT)
    return ["lammps", "run", "-i", "in.md", "--species", "Si", "C", "--every", "4", "-o", "out"]


def command(arguments, programs, ranks=1):
    """Run in a process of its own: LAMMPS stays in the process that loads it."""
    words = ["-m", "deepmd_charge.cli.main", *map(str, arguments)]
    if ranks == 1:
        return forked.python(*words)
    words = [programs["mpirun"], "-n", str(ranks), sys.executable, *words]
    return subprocess.run(words, capture_output=True, text=True)


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("ranks", [1, 2])
def test_a_driven_script_moves_as_without_the_model(precise_model, programs, script, ranks):
    if ranks > 1:
        pytest.importorskip("mpi4py")
    bare_lmp(programs, ".", "in.md", ranks, "-var", "steps", "8")
    alone = Path("run.dump").read_bytes()
    Path("run.dump").unlink()
    flags = ["-m", precise_model.path, "--grid", 3, 4, 5, "--start", 4, "--each", "-v", "steps", 8]
    done = command([*script, *flags], programs, ranks)
    assert done.returncode == 0, done.stderr[-3000:]
    assert "mean and deviation of 4 densities" in done.stdout
    assert Path("run.dump").read_bytes() == alone

    table = np.array([line.split() for line in alone.decode().splitlines() if line.count(" ") == 6])
    positions = table.astype(float)[:, 1:4].reshape(17, 2, 3)
    cell = [[4.6, 0, 0], [1.1, 4.2, 0], [-0.7, 0.9, 5.1]]
    expected = []
    for step in (4, 8, 12, 16):
        atoms = Atoms("SiC", positions[step], cell=cell, pbc=True)
        expected.append(precise_model.predict(atoms, (3, 4, 5)).values)
        assert read_density(f"out/CHGCAR_{step}").values == pytest.approx(expected[-1], abs=1e-9)
    mean = read_density("out/CHGCAR_mean")
    assert mean.values == pytest.approx(np.mean(expected, axis=0), abs=1e-9)
    deviation = read_density("out/CHGCAR_std", check=False)
    assert deviation.quantity.name == "deviation"
    assert deviation.values == pytest.approx(np.std(expected, axis=0), abs=1e-9)
    assert np.ptp(expected, axis=0).max() > 1e-3  # the atoms have moved


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_plane(precise_model, programs, script):
    Path("elsewhere").mkdir()  # results go where they were meant to
    Path("in.md").write_text("shell cd elsewhere\n" + SCRIPT)
    done = command(
        [
            *script,
            "-m",
            precise_model.path,
            "--grid",
            3,
            4,
            9,
            "--plane",
            "c",
            0.3,
            "-v",
            "steps",
            0,
        ],
        programs,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    found = read_density("out/CHGCAR_mean")
    assert found.shape == (3, 4, 1)
    mean = f"mean {found.values.mean():.6g} e/A^3 in the plane"
    assert done.stdout.splitlines()[-1] == f"out: 1 density, {mean}"
    assert "out: one density has no standard deviation: no CHGCAR_std" in done.stderr
    assert [path.name for path in Path("out").iterdir()] == ["CHGCAR_mean"]
    shift = 0.3 * found.atoms.cell.array[2]
    atoms = found.atoms.copy()
    atoms.positions += shift
    assert atoms.positions[0] == pytest.approx([0.5, 0.6, 0.4], abs=1e-6)
    expected = precise_model.predict_points(atoms, found.points() + shift)
    assert found.values.ravel() == pytest.approx(expected, abs=1e-6)


MAGNETISATION = """\
import sys
from deepmd_charge import ChargeModel
from deepmd_charge.lammps import run_script
model = ChargeModel(sys.argv[1])
model.info = {**model.info, "kind": "vasp/chgcar:magnetization"}
each = lambda step, density: print(density.kind)
variables = [["steps", "4"]]
average = run_script("in.md", model, ["Si", "C"], 4, (2, 2, 2), variables=variables, each=each)
print(average.mean().kind)
"""


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_magnetisation_stays_one(charge_model, programs, script):
    done = forked.python("-c", MAGNETISATION, charge_model.path)
    assert done.returncode == 0, done.stderr[-3000:]
    found = [line for line in done.stdout.splitlines() if line.startswith(":")]
    assert found == [":magnetization"] * 4


RUN = SCRIPT[: SCRIPT.index("variable        n loop 2")]
WAYS = {  # to write `run 8`
    "plain": "run 8\n",
    "continued": "ru& \t\nn & \n 8\n",
    "carriage returns": "run &\r\n 8\r\n",
    "comments": "# a comment &\nrun 1 \nprint 'a # b' # run 2\nrun 8# more\n",
    "triple quotes": 'print """\nrun 3\nlabel x\n"""\nrun 8\n',
    "quoted": 'print "run 3 &"\nvariable label string "run 4"\nrun 8\n',
    "a variable": 'variable a string "run 8"\n${a}\n',
    "in part a variable": "variable a index un\nr${a} 8\n",
    "included": "include in.run\n",
    "included by a variable": "variable where index in.run\ninclude ${where}\nprint done\n",
    "included in if": 'if "1 == 1" then "include in.run"\n',
    "included twice": "include in.outer\n",
    "if": 'if "${steps} == 8" then &\n   "run 8" &\n else "run 3"\n',
    "if not": 'if "1 == 2" then "include in.none"\nrun 8\n',
    "jump over": "jump SELF on\nrun 3\nlabel on\nrun 8\n",
    "loop": "variable n loop 2\nlabel again\nrun 4\nnext n\njump SELF again\n",
    "loop included": "include in.loop\nprint done\n",
    "partition": "partition yes 1 run 8\n",
    "last line": "run 8",
}


def in_one_process(calls, status):
    """Run command lines in one other process: it takes seconds to start."""
    code = (
        f"from deepmd_charge.cli.main import main\nfor c in {calls}: assert main(c) == {status}, c"
    )
    done = forked.python("-c", code)
    assert done.returncode == 0, done.stderr[-3000:]
    return done


EVALUATE = """\
import json, sys
from deepmd_charge import ChargeModel
from deepmd_charge.lammps import run_script
model, found = ChargeModel(sys.argv[1]), []
for script in sys.argv[2:]:
    steps = {}
    each = lambda step, density: steps.update({step: density.values.tolist()})
    run_script(script, model, ["Si", "C"], 4, (2, 2, 2), variables=[["steps", "8"]], each=each)
    found.append(steps)
json.dump(found, open("found.json", "w"))
"""


def evaluated(model, scripts):
    """The densities of the steps that are evaluated while scripts run: {step: values} of each."""
    done = forked.python("-c", EVALUATE, model.path, *scripts)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(Path("found.json").read_text())


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_ways_to_write_a_run(charge_model, programs, script):
    """All give the densities of the plain one."""
    Path("in.run").write_text("print first\nrun 8\nprint last\n")
    Path("in.outer").write_text("print outer\ninclude in.run\n")
    Path("in.loop").write_text(WAYS["loop"])
    for number, text in enumerate(WAYS.values()):
        Path(f"in.{number}").write_bytes((RUN + text).encode())
    found = evaluated(charge_model, [f"in.{number}" for number in range(len(WAYS))])
    plain = found[0]
    assert set(plain) == {"0", "4", "8"}
    for name, steps in zip(WAYS, found, strict=True):
        assert set(steps) == set(plain), name
        for step, values in plain.items():
            assert np.array(steps[step]) == pytest.approx(np.array(values), abs=1e-7), (name, step)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_minimise_first_and_run_again(charge_model, programs, script):
    """A minimisation before is not sampled; rerun is, at the steps of its dump."""
    head = RUN.replace("dump            ", "minimize 0 1e-3 6 60\nreset_timestep 0\ndump ")
    Path("in.first").write_text(head + "run 8\n")
    Path("in.again").write_text(RUN[: RUN.index("velocity")] + "rerun run.dump dump x y z\n")
    first, again = evaluated(charge_model, ["in.first", "in.again"])
    assert set(first) == set(again) == {"0", "4", "8"}
    for step, values in first.items():
        assert np.array(again[step]) == pytest.approx(np.array(values), abs=1e-5)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_a_fixed_boundary_is_open(charge_model, programs, script):
    """What crosses it in a periodic box is not there; an atom stands at the face."""
    text = RUN.replace("1.1 -0.7 0.9", "1.1 0 0").replace("0.5 0.6 0.4", "0.5 0.6 0.01") + "run 0\n"
    cell = [[4.6, 0, 0], [1.1, 4.2, 0], [0, 0, 5.1]]
    flags = {"p p p": (1, 1, 1), "p p f": (1, 1, 0), "p p fm": (1, 1, 0)}
    for name, boundary in enumerate(flags):
        Path(f"in.{name}").write_text(f"boundary {boundary}\n" + text)
    found = evaluated(charge_model, [f"in.{name}" for name in range(len(flags))])
    values = []
    for steps, pbc in zip(found, flags.values(), strict=True):
        atoms = Atoms("SiC", [[0.5, 0.6, 0.01], [2.6, 2.9, 2.6]], cell=cell, pbc=pbc)
        values.append(charge_model.predict(atoms, (2, 2, 2)).values)
        assert np.array(steps["0"]) == pytest.approx(values[-1], abs=1e-6)
    assert np.abs(values[0] - values[1]).max() > 1e-3


LOSING_SCRIPTS = [
    ("next ", "if '1 == 1' then quit\nnext ", "in.0:17: quit would end this program, too"),
    ("next ", "include in.quit\nnext ", "in.quit:1: quit would end this program, too"),
    ("label", "quit\nlabel", "in.2:15: quits before the first run"),
    ("jump", "clear\njump", "in.3:18: clear would remove the fix that samples"),
    ("jump", "unfix deepmd_charge\njump", "in.4: (LAMMPS stopped: .*|the script removes the fix)"),
    ("region ", "label x\nregion ", "in.5:2: `label` comes before the box .*; make the box"),
    ("region ", "if '1 == 1' then 'jump SELF x'\nregion ", "in.6:2: `if` comes before the box"),
    ("mass ", "include in.none\nmass ", "in.none: cannot be read: No such file"),
    ("mass ", "${nope} x\nmass ", "in.8: LAMMPS stopped: Substitution for illegal variable nope"),
    ("region ", "boundary p p s\nregion ", "in.9, step .*: the box changes: .* shrink-wrapped"),
    ("run ", "clear\nrun ", "in.10:16: clear would remove"),
    ("next", "include in.clear\nnext", "in.clear:2: clear would remove"),
    ("next", "variable c index in.clear\ninclude ${c}\n#", "in.12: the script removes the fix"),
    ("mass", "\xff\nmass", "in.13: not a text in UTF-8"),
]


def test_scripts_that_would_lose_samples(charge_model, programs, script):
    Path("in.quit").write_text("quit\n")
    Path("in.clear").write_text("print x\nclear\n")
    calls = []
    for number, (old, new, _) in enumerate(LOSING_SCRIPTS):
        text = SCRIPT.replace(old, new, 1)
        if "variable c index" in new:
            text = text.replace("jump ", "#")
        Path(f"in.{number}").write_bytes(text.encode("latin-1"))
        words = ["-m", charge_model.path, "--grid", "2", "2", "2", "-v", "steps", "8"]
        calls.append([*script, *words, "-i", f"in.{number}"])
    done = in_one_process(calls, 1)
    lines = [line for line in done.stderr.splitlines() if line.startswith("deepmd-charge: error")]
    assert len(lines) == len(LOSING_SCRIPTS)
    for line, (*_, message) in zip(lines, LOSING_SCRIPTS, strict=True):
        assert re.search(f"error: {message}", line), line


BAD_SCRIPTS = [
    (["--species", "Si"], {}, "there are 2 atom types; name one element for each"),
    ([], {"units           metal": "units lj"}, "units lj are not in A"),
    ([], {"run ": "#", "label": "#", "jump": "#"}, "no run command"),
    (
        ["--every", "1"],
        {"dump   ": "fix 2 all deform 1 x scale 1.1\ndump "},
        "step 2: the box changes",
    ),
    ([], {"lj/cut": "lj/cot"}, "LAMMPS stopped: Unrecognized pair style 'lj/cot'"),
    (["--start", "99"], {}, "no step of its runs was a multiple of 4 from 99 on"),
]


def test_scripts_that_cannot_be_run(charge_model, programs, script):
    calls = []
    for number, (flags, change, _) in enumerate(BAD_SCRIPTS):
        text = SCRIPT
        for old, new in change.items():
            text = text.replace(old, new)
        Path(f"in.{number}").write_text(text)
        words = ["-m", charge_model.path, "--grid", "2", "2", "2", "-v", "steps", "1"]
        calls.append([*script, *words, "-i", f"in.{number}", *flags])
    done = in_one_process(calls, 1)
    lines = [line for line in done.stderr.splitlines() if line.startswith("deepmd-charge: error")]
    assert len(lines) == len(BAD_SCRIPTS)
    assert not Path("out").exists()  # nothing was evaluated
    for number, (line, (*_, message)) in enumerate(zip(lines, BAD_SCRIPTS, strict=True)):
        assert re.search(f"error: in.{number}(: |, ){message}", line), line


@pytest.mark.parametrize(
    "flags, message",
    [
        (["--species", "Si", "X"], "has not seen X .grid points are not atoms here., only Si, C"),
        (["--species", "Si", "Ge"], "has not seen Ge, only Si, C"),
        (["--every", "0"], "--every 0: give at least 1"),
        (["--plane", "d", "0"], "--plane d 0: give a, b or c"),
        (["--plane", "c", "25"], "--plane c 25: give a fractional coordinate from 0 to below 1"),
        (["--plane", "c", "-0.3"], "--plane c -0.3: give a fractional coordinate"),
        (["--plane", "a", "nan"], "--plane a nan: give a fractional coordinate"),
        (["--plane", "b", "1"], "--plane b 1: give a fractional coordinate"),
        (["-i", "in.none"], "in.none: no such file"),
        (["-o", "in.md"], "in.md: is a file; give the name of a new folder"),
    ],
)
def test_wrong_flags(charge_model, script, flags, message, capsys):
    words = [*script, "-m", charge_model.path, "--grid", "2", "2", "2", *flags]
    assert main(words) == 1
    assert re.search(message, capsys.readouterr().err)


OVERLAY = """\
pair_style      hybrid/overlay lj/cut 4.0 deepmd MODEL
pair_coeff      * * lj/cut 0.0 1.0
pair_coeff      1*2 1*2 lj/cut 0.05 1.9
pair_coeff      * * deepmd Si C X
neigh_modify    exclude type 3 3
"""


def test_probes_beside_a_potential_change_no_force(precise_model, programs, tmp_path):
    """One step of the same atoms with and without a grid in the box."""
    start = SCRIPT[: SCRIPT.index("pair_style")]
    start = start.replace("region", "atom_modify map array\nregion")
    end = """\
group           real type 1 2
compute         density all pe/atom
dump            1 all custom 1 NAME.dump id type x y z c_density
dump            2 real custom 1 NAME.forces fx fy fz
dump_modify     1 format float %.15g
dump_modify     2 sort id format float %.17g
thermo_style    custom step pe press
thermo_modify   format float %.15g
run             0
"""
    alone = "pair_style lj/cut 4.0\npair_coeff * * 0.05 1.9\n"
    (tmp_path / "in.alone").write_text(start + alone + end.replace("NAME", "alone"))
    grid = "create_atoms 3 single 0 0 0\ncreate_atoms 3 single 2.3 0 0\n"
    both = start.replace("create_box      2", "create_box      3") + grid
    both += OVERLAY.replace("MODEL", precise_model.path) + end.replace("NAME", "both")
    (tmp_path / "in.both").write_text(both)
    forces = {}
    for name, run in (("alone", bare_lmp), ("both", lmp)):
        run(programs, tmp_path, f"in.{name}")
        forces[name] = np.loadtxt(tmp_path / f"{name}.forces", skiprows=9)
    assert np.abs(forces["alone"]).max() > 1e-3
    assert forces["both"] == pytest.approx(forces["alone"], rel=1e-12, abs=1e-15)

    average = average_dump(tmp_path / "both.dump", ["Si", "C", "X"], (2, 1, 1))
    found = average.mean()
    expected = precise_model.predict(found.atoms, (2, 1, 1)).values
    assert found.values == pytest.approx(expected, abs=1e-9)
