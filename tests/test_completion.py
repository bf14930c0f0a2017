# SPDX-License-Identifier: LGPL-3.0-or-later
"""Completion by the shell, as the shell sees it."""

import shutil
import subprocess
from pathlib import Path

import pytest

from deepmd_charge.cli.main import main

pytest.importorskip("shtab")
BASH = shutil.which("bash")


@pytest.fixture(scope="module")
def scripts():
    """What ``--print-completion`` prints, by shell."""
    from contextlib import redirect_stdout
    from io import StringIO

    found = {}
    for shell in ("bash", "zsh", "tcsh"):
        with redirect_stdout(StringIO()) as out, pytest.raises(SystemExit) as stop:
            main(["--print-completion", shell])
        assert stop.value.code == 0
        found[shell] = out.getvalue()
    return found


@pytest.fixture
def complete(scripts, tmp_path, monkeypatch):
    """Ask bash for the completions of the last word of a line."""
    if BASH is None:
        pytest.skip("no bash")
    monkeypatch.chdir(tmp_path)
    for name in ("CHGCAR_1", "charge.pb"):
        Path(name).touch()
    Path("train").mkdir()
    Path("script").write_text(scripts["bash"])

    def ask(*words):
        code = """
            source ./script
            function=$(complete -p deepmd-charge | sed 's/.*-F \\([^ ]*\\).*/\\1/')
            COMP_WORDS=("$@")
            COMP_CWORD=$(($# - 1))
            COMP_LINE="$*"
            COMP_POINT=${#COMP_LINE}
            $function deepmd-charge "${COMP_WORDS[COMP_CWORD]}" "${COMP_WORDS[COMP_CWORD-1]}"
            printf '%s\\n' "${COMPREPLY[@]}"
        """
        done = subprocess.run(
            [BASH, "--norc", "-c", code, "bash", "deepmd-charge", *words],
            capture_output=True,
            text=True,
            check=True,
        )
        return set(done.stdout.split())

    return ask


@pytest.mark.parametrize(
    "words, some, none",
    [
        (["co"], {"convert", "configure"}, {"predict"}),
        (["lammps", ""], {"write", "read", "run", "average"}, {"convert"}),
        (["predict", "--gr"], {"--grid"}, {"--like"}),
        (["lammps", "run", "--ev"], {"--every"}, set()),
        (["convert", "--quantity", "m"], {"magnetization", "magnitude"}, {"up"}),
        (["convert", "CH"], {"CHGCAR_1"}, {"train"}),
        (["predict", "-m", "ch"], {"charge.pb"}, {"CHGCAR_1"}),
        (["configure", ""], {"train"}, {"charge.pb"}),
        (["convert", "CHGCAR_1", "-o", ""], {"train"}, {"charge.pb"}),
        (["info", "--pbc", ""], {"T", "F"}, {"CHGCAR_1"}),
        (["--print-completion", ""], {"bash", "zsh", "tcsh"}, {"CHGCAR_1"}),
    ],
)
def test_bash_completes(complete, words, some, none):
    found = complete(*words)
    assert some <= found
    assert not none & found


def test_other_shells(scripts):
    assert scripts["zsh"].startswith("#compdef deepmd-charge")
    assert "complete deepmd-charge" in scripts["tcsh"]
    for script in scripts.values():
        assert "configure" in script
