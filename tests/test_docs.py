# SPDX-License-Identifier: LGPL-3.0-or-later
"""The documentation names every key and flag, and its Python runs."""

import argparse
import re
from pathlib import Path

import pytest
from training import structure

ROOT = Path(__file__).parents[1]


def flags(parser):
    """All options of a parser and its subcommands."""
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for child in action.choices.values():
                yield from flags(child)
        else:
            yield from action.option_strings


def test_every_flag_is_documented():
    from deepmd_charge.cli.main import build_parser

    text = (ROOT / "docs" / "commands.md").read_text()
    missing = {f for f in flags(build_parser()) if not re.search(rf"(?<![\w-]){f}(?![\w-])", text)}
    assert missing <= {"-h", "--help", "--version"}


def test_every_key_is_documented():
    from deepmd_charge import argcheck

    text = (ROOT / "docs" / "input.md").read_text()
    arguments = [
        *argcheck.se_charge_args(),
        *argcheck.charge_fitting_args(),
        *argcheck.charge_loss_args(),
        *argcheck.charge_model_args().sub_fields.values(),
    ]
    for argument in arguments:
        assert f"`{argument.name}`" in text, argument.name
    for argument in arguments:
        if isinstance(argument.default, (str, int, float)) and not isinstance(argument.default, bool):
            rows = re.findall(rf"\| `{argument.name}`.*", text)
            assert any(str(argument.default) in row for row in rows), rows


@pytest.mark.filterwarnings("ignore::UserWarning")
def test_the_python_of_the_readme_runs(trained, tmp_path, monkeypatch, capsys):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.S)
    monkeypatch.chdir(tmp_path)
    structure(8).write("POSCAR", format="vasp")
    (tmp_path / "charge.pb").symlink_to(trained / "charge.pb")
    code = blocks[0].replace("(72, 72, 72)", "(6, 6, 6)")
    exec(compile(code, "README.md", "exec"), {})
    assert (tmp_path / "CHGCAR_pred").exists()
    (tmp_path / "CHGCAR_pred").rename("CHGCAR")
    code = blocks[1].replace("n_points=100000, points_per_frame=1000", "n_points=20, points_per_frame=10")
    exec(compile(code, "README.md", "exec"), {})
    assert (tmp_path / "train" / "set.000" / "density.npy").exists()
