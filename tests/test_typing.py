# SPDX-License-Identifier: LGPL-3.0-or-later
"""The public names, which are imported on first use, are to type checkers what they are."""

import re
from pathlib import Path

import pytest

import deepmd_charge

ROOT = Path(__file__).parents[1]
# What mypy says of names: the type, or its beginning where the rest is no matter.
REVEALED = {
    "ChargeError('')": "deepmd_charge.errors.ChargeError",
    "ChargeModel('')": "deepmd_charge.predict.charge_model.ChargeModel",
    "ChargeModel('').predict(Atoms(), (1, 2, 3))": "deepmd_charge.grid.density.Density",
    "ChargeModel('').memory": "deepmd_charge.model.info.ModelInfo",
    "Density(Atoms(), [[[1.0]]])": "deepmd_charge.grid.density.Density",
    "iterate_densities": "def (path: ",
    "read_density": "def (path: ",
    "write_density": "def (path: ",
    "saed": "types.ModuleType",
}
SNIPPET = [
    "from ase import Atoms",
    f"from deepmd_charge import {', '.join(deepmd_charge.__all__)}, saed, read_densty",
    *(f"reveal_type({expression})" for expression in REVEALED),
]


@pytest.mark.slow
def test_public_names(tmp_path, monkeypatch):
    """What they are, and that a slip of the pen is none of them."""
    api = pytest.importorskip("mypy.api")
    monkeypatch.chdir(ROOT)
    options = ["--config-file=", "--python-version=3.12", "--follow-imports=silent"]
    options += [f"--cache-dir={tmp_path}", "--no-error-summary", "--hide-error-context"]
    found, complaint, _ = api.run([*options, "-c", "\n".join(SNIPPET)])
    assert not complaint
    types = re.findall(r'note: Revealed type is "(.*)"', found)
    beginnings = [
        text[: len(wanted)] if wanted.endswith(" ") else text
        for text, wanted in zip(types, REVEALED.values(), strict=True)
    ]
    assert beginnings == list(REVEALED.values())
    [error] = [line for line in found.splitlines() if ": error: " in line]
    assert 'has no attribute "read_densty"' in error
