# SPDX-License-Identifier: LGPL-3.0-or-later
"""Atoms that respond to their surroundings, and elements that share radial channels."""

import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest
from ase import Atoms
from ase.io import write
from freezing import Reference, compiled, freeze
from test_mpi import on_ranks, run
from training import configuration, dp, lcurve, new_run, structure

from deepmd_charge import ChargeError, ChargeModel
from deepmd_charge.atoms.images import Images
from deepmd_charge.backends.tf.frozen import read_model
from deepmd_charge.backends.tf.graph import FrozenGraph
from deepmd_charge.model.descriptors.se_charge import SeChargeSpec

WIDE = {"precision": "float64"}
NET = {"neuron": [9, 18], **WIDE}
RESPONSE = {"n_radial": 6, "n_channel": 6, "lmax": 2, "rcut": 3.0, "rcut_env": 2.5, **WIDE}


@pytest.fixture(scope="module")
def frozen(tmp_path_factory):
    """A model whose net is at random."""
    path = tmp_path_factory.mktemp("response") / "charge.pb"
    return read_model(str(freeze(path, RESPONSE, NET)))


def values(frozen, atoms, points):
    """By engine, graph and equations, which agree."""
    types = np.array([frozen.spec.type_map.index(s) for s in atoms.symbols], dtype=int)
    images = Images(atoms, types, frozen.reach)
    points = images.wrap(np.reshape(points, (-1, 3)))
    found = compiled(frozen).density(images, points)
    assert FrozenGraph(frozen).density(images, points) == pytest.approx(found, abs=1e-9)
    assert Reference(frozen)(images, points) == pytest.approx(found, abs=1e-9)
    return found


def test_a_point_sees_the_neighbours_of_its_atoms_and_no_farther(frozen):
    near, point = [2.0, 0.3, 0.1], [[0.0, 0.0, 0.0]]

    def density(distance):
        return values(frozen, Atoms("SiC", [near, [distance, 0.0, 0.2]]), point)[0]

    assert frozen.reach == 5.5
    assert abs(density(3.9) - density(4.2)) > 1e-7  # beyond rcut
    assert density(4.6) == pytest.approx(density(5.4), abs=1e-12)  # nor seen by the atom


def test_it_goes_to_nothing_smoothly_at_the_second_cutoff(frozen):
    def density(distance):
        atoms = Atoms("SiC", [[2.0, 0.0, 0.0], [2.0 + distance, 0.0, 0.0]])
        return values(frozen, atoms, [[0.0, 0.0, 0.0]])[0]

    far = density(2.6)
    steps = [abs(density(2.5 - h) - far) for h in (0.2, 0.1, 0.05)]
    assert steps[0] > 1e-8
    # f_c goes with the third power
    assert steps[1] < 0.16 * steps[0] and steps[2] < 0.16 * steps[1]


def test_one_atom_alone_and_none(frozen):
    for atoms in (Atoms("Si", [[0.5, 0.0, 0.0]]), Atoms()):
        assert np.isfinite(values(frozen, atoms, [[0.0, 0.0, 0.0], [0.5, 0.0, 0.0]])).all()


def test_a_set_for_each_element_is_the_model_as_it_was(tmp_path):
    """n_species of as many as elements, or more, changes nothing but last digits.

    Those of statistics differ between equal models beside other work, with one thread, too, and
    whitening enlarges them.
    """
    plain = {k: v for k, v in RESPONSE.items() if k != "rcut_env"}
    paths = [freeze(tmp_path / f"{n}.pb", {**plain, "n_species": n}, NET) for n in (0, 2, 5)]
    first, *others = [read_model(str(path)).weights for path in paths]
    for other in others:
        assert {*other} == {*first}
        for name in first:
            size = np.abs(first[name]).max(initial=0.0)
            np.testing.assert_allclose(other[name], first[name], rtol=0, atol=1e-9 * size)


def test_many_elements_share():
    spec = SeChargeSpec.from_dict({"rcut": 5.0})
    assert [spec.sets(n) for n in (1, 8, 9, 60)] == [1, 8, 8, 8]
    assert [spec.shares(n) for n in (1, 8, 9, 60)] == [False, False, True, True]


def test_training_changes_the_response_and_goes_on(responding, tmp_path):
    weights = read_model(responding / "charge.pb").weights
    for name in ("response.output.matrix", "response.mixing[1]", "descriptor.species"):
        assert np.ptp(weights[name]) > 1e-4
    curve = lcurve(responding)
    assert curve["rmse_val"][-1] < curve["rmse_val"][0]
    folder = shutil.copytree(responding, tmp_path / "run")
    config = json.loads((folder / "input.json").read_text())
    config["training"]["numb_steps"] = 32
    (folder / "input.json").write_text(json.dumps(config))
    dp(folder, "train", "input.json", "--restart", "model.ckpt")
    dp(folder, "freeze", "-o", "again.pb")
    again = read_model(folder / "again.pb").weights
    moved = np.abs(again["response.output.matrix"] - weights["response.output.matrix"]).max()
    assert 0.0 < moved < 0.1
    assert ChargeModel(folder / "again.pb").rcut == ChargeModel(responding / "charge.pb").rcut


def test_atoms_alone_in_their_surroundings_are_refused(tmp_path):
    """Not whitened by what is zero everywhere."""
    config = configuration(1, {"rcut_env": 0.5})
    new_run(tmp_path, config)
    done = dp(tmp_path, "train", "input.json", check=False)
    assert done.returncode != 0
    assert "no atom of the training data has another within rcut_env 0.5 A" in done.stderr


def test_the_embedding_does_not_respond():
    with pytest.raises(ChargeError, match="rcut_env does not go with radial embedding"):
        SeChargeSpec.from_dict({"rcut": 5.0, "radial": "embedding", "rcut_env": 3.0})


@pytest.mark.mpi
def test_ranks_give_the_same_bytes(responding, tmp_path, monkeypatch):
    """The ghosts of a block are those of both cutoffs, on each rank."""
    monkeypatch.chdir(tmp_path)
    write("POSCAR", structure(8))
    argv = ["-m", "deepmd_charge.cli.main", "predict", "-m", responding / "charge.pb"]
    argv += ["-s", "POSCAR", "--grid", 40, 38, 42, "-o"]
    assert run([sys.executable, *argv, "CHGCAR_s", "-j", "1"]).returncode == 0
    done = run(on_ranks(2, *argv, "CHGCAR_p"))
    assert done.returncode == 0, done.stderr
    assert Path("CHGCAR_p").read_bytes() == Path("CHGCAR_s").read_bytes()
