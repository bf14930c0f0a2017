# SPDX-License-Identifier: LGPL-3.0-or-later
"""What is no structure is refused by whatever reads one, and not taken for another."""

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk
from disordered import shared

from deepmd_charge.atoms.sound import check_apart
from deepmd_charge.cli.main import main
from deepmd_charge.errors import ChargeError
from deepmd_charge.io.structures import read_structure


@pytest.mark.parametrize("shares", [{"Fe": 0.5, "Co": 0.5}, {"Fe": 0.9}, {"Fe": 0.25, "Co": 0.25}])
def test_a_site_that_is_shared(tmp_path, shares):
    path = tmp_path / "a.cif"
    shared(path, shares)
    with pytest.raises(ChargeError, match=r"a.cif: has a site with 0\.\d+ Fe"):
        read_structure(path)


@pytest.mark.parametrize("shares", [{"Fe": 1.0}, {"Fe": 0.9999}])
def test_whole_atoms(tmp_path, shares):
    path = tmp_path / "a.cif"
    shared(path, shares)
    atoms, _ = read_structure(path)
    assert atoms.get_chemical_formula() == "FeO"


def test_no_density_is_predicted_of_it(charge_model, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    shared("a.cif", {"Si": 0.5, "Ge": 0.5})
    assert main(["predict", "-m", str(charge_model.path), "-s", "a.cif", "-o", "CHGCAR"]) == 1
    assert "a.cif: has a site with 0.5 Si, 0.5 Ge: give" in capsys.readouterr().err


@pytest.mark.parametrize("nearest", [1e-3, 0.3, 2.5])
def test_atoms_apart(nearest):
    """By the shortest of all distances between atoms and images (numpy)."""
    rng = np.random.default_rng(0)
    seen = set()
    for pbc in (True, False, (True, False, True)):
        for _ in range(20):
            cell = rng.normal(scale=3.0, size=(3, 3)) + 3.0 * np.eye(3)
            n = rng.integers(1, 4)
            atoms = Atoms(f"Si{n}", rng.uniform(-5.0, 5.0, size=(n, 3)), cell=cell, pbc=pbc)
            shifts = np.stack(np.meshgrid(*[np.arange(-9, 10)] * 3), -1).reshape(-1, 3)
            shifts = shifts[~shifts[:, ~atoms.pbc].any(axis=1)] @ cell
            apart = atoms.positions[:, None, None] - atoms.positions[:, None] - shifts
            distances = np.linalg.norm(apart, axis=-1)
            close = np.sum(distances < nearest) > n
            seen.add(bool(close))
            if close:
                with pytest.raises(ChargeError, match=f"less than {nearest:g} A apart"):
                    check_apart(atoms, nearest)
            else:
                check_apart(atoms, nearest)
    assert seen == ({False} if nearest < 0.1 else {True, False})


def test_atoms_that_stand_twice():
    atoms = bulk("Si", cubic=True)
    check_apart(atoms, 1e-3)
    for shift in (0.0, 5.43):
        twice = atoms + Atoms("Si", [atoms.positions[3] + shift])
        with pytest.raises(ChargeError, match=r"\(3 and 8, counted"):
            check_apart(twice, 1e-3)
