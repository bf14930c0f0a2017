# SPDX-License-Identifier: LGPL-3.0-or-later
"""What ``se_charge`` takes from its data before training: in streams, whatever their shape."""

import logging
import shutil
import tracemalloc
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from training import TYPE_MAP, configuration, structure, write_system

from deepmd_charge.data.looking import looks
from deepmd_charge.errors import ChargeError

SYMBOLS = ["SiCSiC", "Si", "CCSi"]


def statistics(folders, descriptor=None, most=None, monkeypatch=None):
    """The parameters that the statistics set, by name."""
    from deepmd_charge.backends.tf import blocks
    from deepmd_charge.backends.tf.model import ChargeModelTF
    from deepmd_charge.backends.tf.statistics import scale_and_fit

    if most:
        monkeypatch.setattr(blocks, "_POINTS", most)
    settings = configuration(1, {"triples": [], "precision": "float64", **(descriptor or {})})
    parts = settings["model"]
    parts["fitting_net"]["precision"] = "float64"
    info = {"elements": ["Si", "C"]}
    model = ChargeModelTF(parts["descriptor"], parts["fitting_net"], TYPE_MAP, info)
    data = SimpleNamespace(system_dirs=[str(folder) for folder in folders])
    scale_and_fit(data, TYPE_MAP, model.spec, model.descrpt, model.fitting, False)
    both = model.descrpt.parameters._arrays | model.fitting.parameters._arrays
    learnt = ("mixing", "matrix", "bias")
    return {name: value for name, value in both.items() if not any(n in name for n in learnt)}


def features_of(found):
    """What does not depend on the signs of eigenvectors, or on those of like variance."""
    whiten = {n: v @ v.T for n, v in found.items() if n.startswith("descriptor.whiten")}
    linear = {}
    if "fitting.linear" in found:
        linear["c"] = found["descriptor.whiten[0]"] @ found["fitting.linear"]
        shift = found["descriptor.mean"] @ linear["c"]
        linear["offset"] = found["fitting.offset"] - shift
    kept = ("neighbor_range", "embedding", "descriptor.mean", "fitting.residual")
    return whiten | linear | {n: v for n, v in found.items() if n.startswith(kept)}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Three systems of other compositions, and numbers of points."""
    base = tmp_path_factory.mktemp("systems")
    for k, symbols in enumerate(SYMBOLS):
        frames = [structure(10 * k + i, symbols) for i in range(4)]
        write_system(base / str(k), frames, 100 + 30 * k, seed=k)
    return [base / str(k) for k in range(len(SYMBOLS))]


def split(folder, place):
    """The frames of a system as systems of their own."""
    for k in range(4):
        part = place / f"{folder.name}-{k}" / "set.000"
        part.mkdir(parents=True)
        for name in ("type.raw", "type_map.raw"):
            shutil.copy(folder / name, part.parent)
        for file in (folder / "set.000").glob("*.npy"):
            np.save(part / file.name, np.load(file)[k : k + 1])
        yield part.parent


@pytest.mark.parametrize("descriptor", [{}, {"radial": "embedding", "neuron": [4, 8]}], ids=str)
def test_they_depend_neither_on_blocks_nor_on_systems(folders, tmp_path, monkeypatch, descriptor):
    one = statistics(folders, descriptor)
    parts = [part for folder in folders[::-1] for part in split(folder, tmp_path)]
    two = statistics(parts[::2] + parts[1::2], descriptor, 37, monkeypatch)
    found = features_of(two)
    for name, value in features_of(one).items():
        assert found[name] == pytest.approx(value, rel=1e-6, abs=1e-7 * np.abs(value).max()), name
    assert one.keys() == two.keys()


def test_features_have_unit_spread_and_the_fit_is_near_the_density(folders):
    """Of the points themselves, through the graph with these parameters."""
    found = statistics(folders)
    assert found["fitting.scale"].min() > 0.0
    densities = []
    for folder in folders:
        density = np.load(folder / "set.000" / "density.npy")
        densities.append(density[density != 0.0])
    spread = np.concatenate(densities).std()
    assert found["fitting.residual"] < 0.5 * spread
    assert (found["neighbor_range.high"] > found["neighbor_range.low"]).all()


def test_structures_of_any_composition_share_a_block(folders):
    """Periodic ones of other sizes in one run of the graph are as each alone."""
    from deepmd_charge.backends.tf.blocks import Evaluation, _blocks
    from deepmd_charge.backends.tf.se_charge import SeCharge
    from deepmd_charge.model.fit.points import Sample

    rng = np.random.default_rng(0)
    samples = []
    for k, symbols in enumerate([*SYMBOLS, "C"]):
        atoms = structure(k, symbols)
        atoms.pbc = k < 3
        points = rng.uniform(size=(20 + k, 3)) @ atoms.cell.array
        types = np.array([TYPE_MAP.index(s) for s in atoms.symbols])
        samples.append(Sample(atoms, types, points, np.zeros(len(points))))
    descriptor = SeCharge(rcut=3.5, ntypes=3, precision="float64", seed=1, lmax=2)
    assert [len(block) for block in _blocks(samples, 1000)] == [3, 1]
    assert [len(block) for block in _blocks(samples, 41)] == [2, 1, 1]
    assert [len(block[0].points) for block in _blocks(samples, 21)] == [20, 21, 21, 1, 21, 2]

    def build(*inputs):
        return {"features": descriptor.build(*inputs, {})}

    with Evaluation(build, descriptor.parameters, 3, 2) as evaluation:
        together = np.concatenate([f for f, _ in evaluation.run("features", samples)])
        alone = [next(evaluation.run("features", [sample]))[0] for sample in samples]
    assert together == pytest.approx(np.concatenate(alone), rel=1e-9, abs=1e-9)


@pytest.mark.slow
def test_memory_does_not_grow_with_the_systems(tmp_path):
    """Of what Python keeps: all moments of 96 systems would be 96 x 200 x 25 x 48 numbers."""
    peaks = []
    for k in range(96):
        write_system(tmp_path / str(k), [structure(k, SYMBOLS[k % 3])], 200, seed=k)
    for n in (24, 96):
        tracemalloc.start()
        statistics([tmp_path / str(k) for k in range(n)])
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    whole = 96 * 200 * 25 * 48 * 8
    assert peaks[1] - peaks[0] < 0.05 * whole
    assert peaks[1] < 0.3 * whole


def test_an_element_with_few_points_is_told(tmp_path, caplog):
    write_system(tmp_path / "many", [structure(k, "Si") for k in range(6)], 200, seed=1)
    write_system(tmp_path / "few", [structure(9, "SiC")], 30, seed=2)
    with caplog.at_level(logging.WARNING, logger="deepmd.charge"):
        statistics([tmp_path / "many", tmp_path / "few"])
    assert "too few grid points near atoms to learn C (" in caplog.text
    assert "Si (" not in caplog.text


def test_an_element_that_no_chosen_point_sees_is_told(tmp_path, caplog, monkeypatch):
    from deepmd_charge.backends.tf import statistics as module

    monkeypatch.setattr(module, "_STAT_POINTS", 200)
    write_system(tmp_path / "many", [structure(k, "Si") for k in range(6)], 2000, seed=1)
    write_system(tmp_path / "far", [structure(9, "SiC")], 1, seed=2)
    part = tmp_path / "far" / "set.000"
    np.save(part / "box.npy", [np.eye(3).ravel() * 60])
    coord = np.load(part / "coord.npy").reshape(1, -1, 3)
    coord[0, 1:] += 30  # one point, nearer to Si than to C
    coord[0, 2] = coord[0, 0] + 1
    np.save(part / "coord.npy", coord.reshape(1, -1))
    with caplog.at_level(logging.WARNING, logger="deepmd.charge"):
        statistics([tmp_path / "many", tmp_path / "far"])
    assert "learn C (0 points within 1 A" in caplog.text


def test_no_grid_point_is_refused(tmp_path):
    write_system(tmp_path / "train", [structure(0)], 5, seed=1)
    (tmp_path / "train" / "type_map.raw").write_text("Si\nC\nC\n")
    with pytest.raises(ChargeError, match="hold no grid point"):
        statistics([tmp_path / "train"])


# looking at many systems


def test_each_element_has_its_share_of_what_is_looked_at(tmp_path):
    """One system of 13 holds C: all its frames are looked at."""
    for k in range(12):
        write_system(tmp_path / str(k), [structure(i, "Si") for i in range(20)], 10, seed=k)
    write_system(tmp_path / "12", [structure(i, "SiC") for i in range(20)], 10, seed=50)
    folders = [str(tmp_path / str(k)) for k in range(13)]
    found = list(looks(folders, TYPE_MAP, n_points=400, n_frames=1000))
    assert [look.path for look in found] == folders
    frames = [frames for look in found for frames in look.stands_for.values()]
    assert frames[12] == dict.fromkeys(range(20), 1.0)
    assert all(each == {0: 10.0, 19: 10.0} for each in frames[:12])
    assert [Path(p).name for p in found[0].stands_for] == ["set.000"]
    few = list(looks(folders, TYPE_MAP, n_points=10**9, n_frames=13))
    assert all(each == {0: 20.0} for look in few[:12] for each in look.stands_for.values())


def mixed_types(folder, formulas):
    """A system of mixed types, a frame of one structure for each formula."""
    for k, formula in enumerate(formulas):
        write_system(folder.parent / f"{folder.name}-{k}", [structure(k, formula)], 10, seed=k)
    parts = [folder.parent / f"{folder.name}-{k}" for k in range(len(formulas))]
    (folder / "set.000").mkdir(parents=True)
    shutil.copy(parts[0] / "type_map.raw", folder)
    np.savetxt(folder / "type.raw", np.zeros(14), fmt="%d")
    for name, width in (("coord", 42), ("density", 14), ("box", 9)):
        rows = [np.load(part / f"set.000/{name}.npy")[0] for part in parts]
        rows = [np.pad(row, (0, width - len(row))) for row in rows]
        np.save(folder / f"set.000/{name}.npy", rows)
    types = [np.loadtxt(part / "type.raw", dtype=int) for part in parts]
    types = [np.pad(row, (0, 14 - len(row)), constant_values=-1) for row in types]
    np.save(folder / "set.000/real_atom_types.npy", types)
    return folder


def test_each_element_has_its_share_of_the_frames_of_mixed_types(tmp_path):
    """Two of 60 frames hold C: both are looked at, however few are."""
    formulas = ["Si4", "Si3"] * 30
    formulas[17] = formulas[43] = "SiC"
    folder = mixed_types(tmp_path / "dp", formulas)
    (look,) = looks([str(folder)], TYPE_MAP, n_points=10**9, n_frames=8)
    (frames,) = look.stands_for.values()
    assert frames[17] == frames[43] == 1.0
    assert 2 <= len(frames) - 2 <= 8
    assert sum(frames.values()) == pytest.approx(60)
    (look,) = looks([str(folder)], TYPE_MAP, n_points=10**9, n_frames=1000)
    assert look.stands_for == {str(folder / "set.000"): dict.fromkeys(range(60), 1.0)}


def test_a_rare_element_of_mixed_types_is_fitted(tmp_path, monkeypatch, caplog):
    from deepmd_charge.backends.tf import statistics as module

    monkeypatch.setattr(module, "_FRAMES", 8)
    formulas = ["Si4", "Si3"] * 30
    formulas[17] = "SiC"
    with caplog.at_level(logging.WARNING, logger="deepmd.charge"):
        found = statistics([mixed_types(tmp_path / "dp", formulas)])
    linear = (found["descriptor.whiten[0]"] @ found["fitting.linear"]).reshape(2, -1)
    assert np.abs(linear).max(axis=1).min() > 1e-3
    assert found["neighbor_range.high"].min() > 0
    assert "learn C (" in caplog.text  # of so few points


def test_a_block_of_points_that_see_no_atom_counts():
    from deepmd_charge.model.fit.sums import MomentSums

    moments = np.random.default_rng(0).normal(size=(5, 4, 3))
    sums = MomentSums(1, 3)
    sums.add(moments, 5)
    sums.add(np.zeros((7, 4, 3)), 7)
    every = np.concatenate([moments, np.zeros((7, 4, 3))])
    assert sums.mean == pytest.approx(every[:, 0].mean(axis=0))
    vectors = every[:, 1:].reshape(-1, 3)
    assert sums.covariance(1) == pytest.approx(vectors.T @ vectors / len(vectors))
