# SPDX-License-Identifier: LGPL-3.0-or-later
"""The documentation names every key and flag, its Python runs, its links lead somewhere."""

import argparse
import json
import os
import re
import shlex
import subprocess
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk
from ase.io import write
from training import structure, true_density

from deepmd_charge import Density, read_density, write_density
from deepmd_charge.cli.main import main

ROOT = Path(__file__).parents[1]
SALTS = ["NaCl", "KCl", "NaF", "KF", "LiF", "LiCl", "NaBr", "KBr", "LiBr", "MgO", "CaO", "SrO"]


def flags(parser):
    """All options of a parser and its subcommands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from flags(child)
        else:
            yield from action.option_strings


def test_every_flag_is_documented():
    from deepmd_charge.cli.command_line import build_parser

    text = (ROOT / "docs" / "commands.md").read_text()
    missing = {f for f in flags(build_parser()) if not re.search(rf"(?<![\w-]){f}(?![\w-])", text)}
    assert missing <= {"-h", "--help", "--version"}


def commands(parser, name=""):
    """Names of all subcommands, each with the actions of its own."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, child in action.choices.items():
                yield from commands(child, f"{name} {word}".strip())
            return
    yield name, [action for action in parser._actions if action.option_strings]


def test_every_command_has_its_flags_and_defaults_in_its_section():
    from deepmd_charge.cli.command_line import build_parser

    text = (ROOT / "docs" / "commands.md").read_text()
    titles = (part.split("\n", 1) for part in text.split("\n## ")[1:])
    sections = {name.strip(): body for title, body in titles for name in title.split(",")}
    for command, actions in commands(build_parser()):
        for action in actions:
            if action.dest in ("help", "verbosity"):
                continue
            names = "|".join(map(re.escape, action.option_strings))
            flag = re.compile(rf"(?<![\w-])(?:{names})(?![\w-])")
            assert flag.search(sections[command]), f"docs/commands.md: {command} {names}"
            if type(action.default) not in (int, float):
                continue
            rows = [r for r in sections[command].splitlines() if r[:1] == "|" and flag.search(r)]
            numbers = re.findall(r"\d+(?:\.\d+)?(?:e-?\d+)?", " ".join(rows) or sections[command])
            told = f"docs/commands.md: {command} {names} is {action.default} by default"
            assert action.default in map(float, numbers), told


def test_every_key_is_documented():
    from deepmd_charge.backends import arguments as argcheck

    text = (ROOT / "docs" / "input.md").read_text()
    sections = dict(part.split("\n", 1) for part in text.split("\n## ")[1:])
    for section, arguments in {
        "`model`": argcheck.charge_model_args().sub_fields.values(),
        "`model.descriptor`, type `se_charge`": argcheck.se_charge_args(),
        "`model.descriptor`, type `se_cluster`": argcheck.se_cluster_args(),
        "`model.fitting_net`, type `charge`": argcheck.charge_fitting_args(),
        "`loss`, type `charge`": argcheck.charge_loss_args(),
    }.items():
        for argument in arguments:
            row = re.search(rf"^\| `{argument.name}`.* \| .*", sections[section], re.M)
            assert row, f"docs/input.md: {section} has no row `{argument.name}`"
            default = argument.default
            if isinstance(default, (str, int, float)) and argument.optional:
                assert f" {json.dumps(default)} " in row[0].replace("`", ""), row[0]


def test_every_radial_basis_is_documented():
    from deepmd_charge.backends import arguments as argcheck
    from deepmd_charge.model.kernels.radial import RADIAL_BASES

    rows = re.findall(r"^\| `radial` \|.*", (ROOT / "docs" / "input.md").read_text(), re.M)
    families = argcheck.se_charge_args(), argcheck.se_cluster_args()
    for row, arguments in zip(rows, families, strict=True):
        (key,) = (a for a in arguments if a.name == "radial")
        for name in RADIAL_BASES:
            assert f'"{name}"' in key.doc, f"the key radial does not say what {name} is"
            assert f'"{name}"' in row, f"docs/input.md does not say in row `radial` what {name} is"


@pytest.fixture
def folder(trained, tmp_path, monkeypatch):
    """A folder with a model, and with a structure in both formats."""
    monkeypatch.chdir(tmp_path)
    atoms = structure(8)
    atoms.write("POSCAR", format="vasp")
    density = Density(atoms, np.zeros((12, 11, 13)))
    density.values.flat = true_density(atoms, density.points())
    for name in ("CHGCAR", "CHGCAR_other", "CHG"):
        write_density(name, density)
    (tmp_path / "charge.pb").symlink_to(trained / "charge.pb")
    return tmp_path


def run_python(document):
    """Execute the Python of a document, one block after the other."""
    names = {}
    for block in re.findall(r"```python\n(.*?)```", (ROOT / document).read_text(), re.S):
        block = block.replace("(72, 72, 72)", "(6, 6, 6)")  # soon done
        exec(compile(block, document, "exec"), names)


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_python_of_the_readme_runs(folder):
    run_python("README.md")
    assert read_density("CHGCAR_pred").shape == (6, 6, 6)
    assert (folder / "train" / "set.000" / "density.npy").exists()


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_commands_of_the_readme_run(folder):
    structures = [bulk(name, "rocksalt", a=5.0 + 0.1 * k) for k, name in enumerate(SALTS)]
    write("salts.extxyz", structures)
    rows = [f"salts.extxyz@{k},{50 - k},{30 - k}" for k in range(len(SALTS))]
    Path("labels.csv").write_text("\n".join(["file,K,G", *rows]) + "\n")
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    for line in re.findall(r"^deepmd-charge (.*)", "".join(blocks), re.M):
        assert main(shlex.split(line, comments=True)) == 0, line
    assert read_density("CHGCAR_pred").atoms.symbols.get_chemical_formula() == "C2Si2"
    assert {"train", "CHGCAR_other_pred", "density.png"} <= set(os.listdir())
    assert {"cv.json", "moduli-parity.png", "moduli.csv"} <= set(os.listdir())


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_python_of_the_manual_runs(folder, capsys):
    run_python("docs/python.md")
    half, whole = read_density("CHGCAR_half.gz"), read_density("CHGCAR")
    assert half.n_electrons == pytest.approx(0.5 * whole.n_electrons)
    assert (folder / "density.png").exists()
    assert (folder / "train" / "set.000" / "density.npy").exists()
    text = (ROOT / "docs" / "python.md").read_text()
    assert capsys.readouterr().out.splitlines()[-1] == re.search(r"# (grid .*)", text)[1]


@pytest.mark.parametrize(
    "document", ["README.md", *(f"docs/{p.name}" for p in ROOT.glob("docs/*.md"))]
)
def test_links_lead_to_files(document):
    path = ROOT / document
    for target in re.findall(r"\]\(([^)#]+)[^)]*\)", path.read_text()):
        assert "://" in target or (path.parent / target).exists(), target


@pytest.mark.parametrize("source", ["upf:pseudo", "potcar:pseudo/POTCAR", "pseudo/saed.npz", "fit"])
def test_the_example_of_saed_takes_relative_paths(tmp_path, source):
    """As its README has them, from the folder in which it is called: programs that only say so."""
    (tmp_path / "bin").mkdir()
    for name in ("dp", "deepmd-charge"):
        (tmp_path / "bin" / name).write_text('#!/bin/sh\necho "called: $*"\n')
        (tmp_path / "bin" / name).chmod(0o755)
    path = f"{tmp_path / 'bin'}:{os.environ['PATH']}"
    done = subprocess.run(
        [ROOT / "examples" / "delta_saed" / "run.sh", "delta", source],
        cwd=tmp_path,
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    kind, _, file = source.rpartition(":")
    given = source if source == "fit" else f"{kind}{':' if kind else ''}{tmp_path / file}"
    (line,) = (line for line in done.stdout.splitlines() if line.startswith("called: convert"))
    assert f"--saed {given}" in line
    assert ("--saed-ecutrho 100" in line) == (kind == "upf")
