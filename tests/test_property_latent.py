# SPDX-License-Identifier: LGPL-3.0-or-later
"""Boxes of densities, the autoencoder that compresses them, and the network on its latents."""

import subprocess
import sys

import numpy as np
import pytest
from ase import Atoms
from ase.build import bulk, make_supercell

from deepmd_charge import ChargeError, Density
from deepmd_charge.property import boxes as boxes_module
from deepmd_charge.property.attention import AttentionNetwork, AttentionSettings
from deepmd_charge.property.autoencoder import TRAINED, Autoencoder, AutoencoderSettings
from deepmd_charge.property.autoencoder_training import cube_rotations, train_autoencoder
from deepmd_charge.property.boxes import (
    BoxSettings,
    BoxSource,
    from_log_scale,
    to_log_scale,
    write_boxes,
)
from deepmd_charge.property.latents import latents, pooled, pooled_names
from deepmd_charge.property.superposed import superposed
from deepmd_charge.stderr import progress_is_shown, show_progress

SMALL = BoxSettings(n=16, spacing=0.3)
TINY = AutoencoderSettings(
    box=16, channels=(4, 4, 8), latent_channels=4, batch_size=4, epochs=4, learning_rate=3e-3
)


@pytest.fixture(autouse=True)
def _no_progress():
    before = progress_is_shown()
    show_progress(False)
    yield
    show_progress(before)


def rotation(seed):
    from scipy.spatial.transform import Rotation

    return Rotation.random(rng=np.random.default_rng(seed)).as_matrix()


def zinc_blende():
    return bulk("ZnS", "zincblende", 5.4)


# ---- boxes


def test_a_wave_is_smoothed_and_sampled_where_the_points_are():
    """The density is 1 + cos(G r) of a skewed cell, at a pose of its own."""
    cell = np.array([[3.0, 0.0, 0.0], [1.0, 3.5, 0.0], [0.5, 0.7, 4.0]])
    density = Density(
        Atoms("H", cell=cell, pbc=True), np.ones((20, 24, 27)), origin=(0.1, 0.2, 0.3)
    )
    wave = 2.0 * np.pi * np.linalg.inv(cell) @ [1, -1, 2]
    density.values = 1.0 + np.cos(density.points() @ wave).reshape(density.shape)
    shift, turn = np.array([0.3, -2.0, 11.0]), rotation(3)
    found = BoxSource(density, SMALL).density(shift, turn)
    index = np.stack(np.meshgrid(*[np.arange(16)] * 3, indexing="ij"), axis=-1)
    points = shift + 0.3 * index @ turn.T
    left = np.exp(-0.5 * (0.75 * 0.3) ** 2 * wave @ wave)
    np.testing.assert_allclose(found, 1.0 + left * np.cos(points @ wave), atol=2e-4)


def test_a_shift_by_a_lattice_vector_changes_nothing():
    source = BoxSource(superposed(zinc_blende(), 0.15), SMALL)
    a, b, c = zinc_blende().cell.array
    here = np.array([0.2, 0.1, 0.4])
    turn = rotation(0)
    np.testing.assert_allclose(
        source.box(here, turn), source.box(here + 2 * a - b + c, turn), atol=1e-6
    )


def test_a_turned_crystal_in_a_turned_box_is_the_same():
    atoms, turn = zinc_blende(), rotation(1)
    turned = atoms.copy()
    turned.set_cell(atoms.cell.array @ turn.T, scale_atoms=True)
    here = np.array([0.2, 0.1, 0.4])
    box = BoxSource(superposed(atoms, 0.15), SMALL).box(here)
    other = BoxSource(superposed(turned, 0.15), SMALL).box(turn @ here, turn)
    np.testing.assert_allclose(box, other, atol=1e-5)


def test_a_supercell_and_another_grid_and_origin_are_the_same():
    atoms = zinc_blende()
    big = make_supercell(atoms, [[1, 1, 0], [0, 1, 0], [0, 0, 2]])
    box = BoxSource(superposed(atoms, 0.15), SMALL).box()
    np.testing.assert_allclose(BoxSource(superposed(big, 0.15), SMALL).box(), box, atol=1e-3)
    fine = superposed(atoms, 0.1)
    np.testing.assert_allclose(BoxSource(fine, SMALL).box(), box, atol=2e-3)
    rolled = Density(atoms, np.roll(fine.values, (-3, 2, 1), (0, 1, 2)))
    rolled.origin = np.array([3, -2, -1]) / fine.shape @ atoms.cell.array
    np.testing.assert_allclose(BoxSource(rolled, SMALL).box(), box, atol=2e-3)


def test_the_mean_is_kept():
    """Of a cube whose edge is that of the box, the points are evenly spread."""
    atoms = bulk("Po", "sc", 16 * 0.3)
    density = superposed(atoms, 0.15)
    mean = density.n_electrons / density.volume
    assert BoxSource(density, SMALL).density((0.1, 0.2, 0.3)).mean() == pytest.approx(
        mean, rel=1e-4
    )


def test_logarithmic_scale():
    np.testing.assert_allclose(to_log_scale([1e-3, 0.1, 10.0]), [-1.0, 0.0, 1.0], atol=1e-7)
    np.testing.assert_allclose(to_log_scale([-1.0, 0.0]), -1.0, atol=1e-7)
    rho = np.array([0.002, 0.5, 30.0])
    np.testing.assert_allclose(from_log_scale(to_log_scale(rho)), rho, rtol=1e-6)


def test_only_charge_densities_have_boxes():
    density = superposed(zinc_blende(), 0.3)
    with pytest.raises(ChargeError, match="give a total charge density"):
        BoxSource(density - density, SMALL)
    density.values[1, 2, 3] = np.nan
    with pytest.raises(ChargeError, match="not finite"):
        BoxSource(density, SMALL)


def some_densities():
    return [superposed(bulk(e, a=a), 0.2) for e, a in (("Cu", 3.6), ("Al", 4.05), ("Fe", 2.87))]


def test_boxes_on_disk_depend_on_seed_and_index_only(tmp_path):
    densities = some_densities()
    boxes = write_boxes(tmp_path / "a.npy", densities, SMALL, copies=2, seed=5)
    assert isinstance(boxes, np.memmap)
    assert boxes.shape == (3, 2, 16, 16, 16)
    assert boxes.dtype == np.float16
    again = write_boxes(tmp_path / "b.npy", densities, SMALL, copies=2, seed=5)
    np.testing.assert_array_equal(again, boxes)
    assert (write_boxes(tmp_path / "c.npy", densities, SMALL, 2, seed=6) != boxes).any()
    assert not np.array_equal(boxes[:, 0], boxes[:, 1])
    with pytest.raises(ChargeError, match="remove it"):
        write_boxes(tmp_path / "a.npy", densities, SMALL, copies=3)


class Stopped(list):
    """Densities, of which the third that is asked for is interrupted."""

    def __init__(self, densities, asked):
        super().__init__(densities)
        self.asked = asked

    def __getitem__(self, k):
        self.asked.append(k)
        if len(self.asked) == 3:
            raise KeyboardInterrupt
        return super().__getitem__(k)


def test_boxes_go_on_where_they_were_stopped(tmp_path):
    densities = some_densities()
    whole = write_boxes(tmp_path / "whole.npy", densities, SMALL, copies=2)
    asked = []

    path = tmp_path / "boxes.npy"
    with pytest.raises(KeyboardInterrupt):
        write_boxes(path, Stopped(densities, asked), SMALL, copies=2)
    assert not path.exists()
    (partial,) = tmp_path.glob(".boxes.npy.*")
    with open(partial, "ab") as file:
        file.write(b"half of a box")
    np.testing.assert_array_equal(
        write_boxes(path, Stopped(densities, asked), SMALL, copies=2), whole
    )
    assert asked == [0, 1, 2, 0, 1, 2]  # those that there are boxes of are the same?
    assert not list(tmp_path.glob(".*"))


def test_named_densities_are_asked_for_once(tmp_path):
    densities, names, asked = some_densities(), ["Cu", "Al", "Fe"], []

    path = tmp_path / "boxes.npy"
    with pytest.raises(KeyboardInterrupt):
        write_boxes(path, Stopped(densities, asked), SMALL, 1, names=names)
    with pytest.raises(ChargeError, match=r"\.boxes\.npy\.partial: its boxes 1 are of another"):
        write_boxes(path, Stopped(densities, asked), SMALL, 1, names=["Cu", "Zr", "Fe"])
    for _ in range(2):
        write_boxes(path, Stopped(densities, asked), SMALL, 1, names=names)
    assert asked == [0, 1, 2, 2]
    with pytest.raises(ChargeError, match="2 names for 3 densities"):
        write_boxes(path, densities, SMALL, 1, names=names[:2])


@pytest.mark.parametrize("is_complete", [True, False])
def test_boxes_of_others_are_refused(tmp_path, is_complete):
    """They were taken for those asked for: other densities, seed and spacing."""
    densities = some_densities()

    path = tmp_path / "boxes.npy"
    if is_complete:
        write_boxes(path, densities, SMALL, 2)
    else:
        with pytest.raises(KeyboardInterrupt):
            write_boxes(path, Stopped(densities, []), SMALL, 2)
    before = {file.name: file.read_bytes() for file in tmp_path.iterdir()}
    moved = densities[1].atoms.copy()
    moved.set_cell(1.001 * moved.cell)
    finer = [*densities[:1], Density(moved, densities[1].values), densities[2]]
    for others, settings, seed, complaint in (
        (densities, SMALL, 5, "holds boxes of seed 0, not 5: remove it"),
        (densities, BoxSettings(16, 0.6), 0, "holds boxes of spacing 0.3, not 0.6: remove it"),
        (densities[::-1], SMALL, 0, "its boxes 0 are of another density"),
        (finer, SMALL, 0, "its boxes 1 are of another density"),
    ):
        with pytest.raises(ChargeError, match=complaint) as caught:
            write_boxes(path, others, settings, 2, seed)
        assert "\n" not in str(caught.value)
    if not is_complete:
        with pytest.raises(ChargeError, match="holds boxes of densities 3, not 4; copies 2, not 9"):
            write_boxes(path, [*densities, densities[0]], SMALL, 9)
    assert {file.name: file.read_bytes() for file in tmp_path.iterdir()} == before
    (tmp_path / "boxes.npy.jsonl").unlink()
    with pytest.raises(ChargeError, match=r"boxes\.npy\.jsonl, which tells what its boxes are of"):
        write_boxes(path, densities, SMALL, 2)


def test_a_file_that_is_none(tmp_path):
    (tmp_path / "x.npy").write_text("no array")
    with pytest.raises(ChargeError, match="is no file of boxes"):
        boxes_module.open_boxes(tmp_path / "x.npy")


# ---- the autoencoder


@pytest.fixture(scope="module")
def smooth_boxes():
    """Boxes (16, 1, 16, 16, 16) of waves of random directions."""
    rng = np.random.default_rng(0)
    index = np.stack(np.meshgrid(*[np.arange(16)] * 3, indexing="ij"), axis=-1)
    phases = index @ rng.normal(scale=0.2, size=(16, 1, 1, 3, 1)) + rng.uniform(
        0, 6, (16, 1, 1, 1, 1)
    )
    return (0.2 + 0.25 * np.sin(phases[..., 0]))[:, None].astype(np.float16)


@pytest.fixture(scope="module")
def trained(smooth_boxes):
    return train_autoencoder(smooth_boxes, TINY)


def test_the_cube_has_24_rotations():
    rotations = cube_rotations()
    assert len(set(rotations)) == 24
    box = np.arange(27).reshape(3, 3, 3)
    turned = {np.flip(box.transpose(axes), flips).tobytes() for axes, flips in rotations}
    assert len(turned) == 24


@pytest.mark.slow
def test_latents_of_any_box():
    model = Autoencoder(TINY)
    for n in (8, 16, 24):
        z = model.encode(np.zeros((2, n, n, n)))
        assert z.shape == (2, 4, n // 8, n // 8, n // 8)
        assert model.decode(z).shape == (2, n, n, n)


@pytest.mark.parametrize("width, stride", [(2, 2), (4, 2), (8, 8), (16, 8)])
def test_convolutions_with_strides_are_those_of_keras(width, stride):
    from deepmd_charge.property._eager import eagerly
    from deepmd_charge.property._strided import strided_layers

    @eagerly
    def compare():
        import keras

        rng = np.random.default_rng(width)
        plain = keras.layers.Conv3D, keras.layers.Conv3DTranspose
        for theirs, ours, n in zip(plain, strided_layers(), (8, 1), strict=True):
            x = rng.normal(size=(2, n, 3 * n, 2 * n, 3)).astype("f")
            expected, found = (
                layer(5, width, strides=stride, padding="same") for layer in (theirs, ours)
            )
            expected.build(x.shape)
            inputs = keras.Input((None, None, None, 3))
            whole = keras.Model(inputs, found(inputs))
            weights = [rng.normal(size=w.shape) for w in expected.get_weights()]
            expected.set_weights(weights)
            found.set_weights(weights)
            reference = np.asarray(expected(x))
            close = 1e-6 * np.abs(reference).max()
            np.testing.assert_allclose(np.asarray(whole(x)), reference, rtol=0, atol=close)

    compare()


@pytest.mark.slow
def test_training_lowers_the_error_and_seeds_repeat_it(smooth_boxes, trained, tmp_path):
    before = Autoencoder(TINY)
    model = trained
    again = train_autoencoder(smooth_boxes, TINY)
    for a, b in zip(model.weights, again.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    before.mean = model.mean
    old, new = before.error(smooth_boxes[:, 0]), model.error(smooth_boxes[:, 0])
    assert new.centred.mean() < 0.8 * old.centred.mean()
    assert model.mean == pytest.approx(smooth_boxes.astype(float).mean(), abs=0.02)
    model.save(tmp_path / "model.npz")
    loaded = Autoencoder.load(tmp_path / "model.npz")
    assert loaded.settings == TINY
    assert loaded.mean == model.mean
    np.testing.assert_array_equal(
        loaded.encode(smooth_boxes[:, 0]), model.encode(smooth_boxes[:, 0])
    )
    model.save(tmp_path / "half.npz", "float16")
    half = Autoencoder.load(tmp_path / "half.npz")
    np.testing.assert_allclose(
        half.encode(smooth_boxes[:, 0]), model.encode(smooth_boxes[:, 0]), atol=2e-2
    )


def test_latents_of_densities_and_what_is_pooled_of_them():
    density = superposed(zinc_blende(), 0.2)
    model = Autoencoder(TINY)
    box = BoxSource(density, SMALL).box()
    np.testing.assert_array_equal(latents(density, model), model.encode(box[None]))
    z = latents(density, model, poses=3, seed=2)
    assert z.shape == (3, 4, 2, 2, 2)
    np.testing.assert_array_equal(z, latents(density, model, poses=3, seed=2))
    found = dict(zip(pooled_names(4), pooled(z), strict=True))
    three = z[:, 3].ravel().astype(float)
    assert found["latent_mean_3"] == pytest.approx(three.mean())
    assert found["latent_std_3"] == pytest.approx(three.std())
    assert found["latent_p75_3"] == pytest.approx(np.percentile(three, 75))
    assert len(found) == 6 * 4


def test_the_autoencoder_of_the_package():
    """It is small, and good at a crystal that it was not trained on: of three elements."""
    assert TRAINED.stat().st_size < 1e6
    model = Autoencoder.load()
    assert model.settings.boxes == BoxSettings()
    assert model.mean == pytest.approx(0.2, abs=0.02)
    perovskite = Atoms(
        "SrTiO3",
        scaled_positions=[(0, 0, 0), (0.5, 0.5, 0.5), (0.5, 0.5, 0), (0.5, 0, 0.5), (0, 0.5, 0.5)],
        cell=[3.94] * 3,
        pbc=True,
    )
    box = BoxSource(superposed(perovskite, 0.15)).box((0.3, 0.5, 0.7), rotation(2))
    assert model.encode(box[None]).shape == (1, 16, 4, 4, 4)
    assert model.error(box[None]).plain[0] < 0.15


def test_errors_are_what_they_say(smooth_boxes):
    model = Autoencoder(TINY)
    model.mean = 0.2
    x = smooth_boxes[:3, 0].astype(float)
    y = model.decode(model.encode(x)).astype(float)
    found = model.error(x)
    for k in range(3):
        wrong = np.sqrt(((x[k] - y[k]) ** 2).sum())
        assert found.plain[k] == pytest.approx(wrong / np.sqrt((x[k] ** 2).sum()))
        assert found.centred[k] == pytest.approx(wrong / np.sqrt(((x[k] - 0.2) ** 2).sum()))
        rho, other = 10 ** (2 * x[k] - 1), 10 ** (2 * y[k] - 1)
        assert found.density[k] == pytest.approx(np.linalg.norm(other - rho) / np.linalg.norm(rho))


@pytest.mark.slow
def test_a_restart_ends_as_a_run_without_one(smooth_boxes, trained, tmp_path, monkeypatch):
    from deepmd_charge.property import autoencoder_training as training

    store, stored = training._Run.store, []

    def store_and_stop(self, path, told):
        store(self, path, told)
        stored.append(len(self.history))
        if len(stored) == 2:
            raise KeyboardInterrupt

    monkeypatch.setattr(training._Run, "store", store_and_stop)
    with pytest.raises(KeyboardInterrupt):
        train_autoencoder(smooth_boxes, TINY, checkpoint=tmp_path / "c.npz")
    restarted = train_autoencoder(smooth_boxes, TINY, checkpoint=tmp_path / "c.npz")
    assert stored == [1, 2, 3, 4]
    for a, b in zip(trained.weights, restarted.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    others = AutoencoderSettings(**{**vars(TINY), "seed": 1})
    with pytest.raises(ChargeError, match="checkpoint of another training"):
        train_autoencoder(smooth_boxes, others, checkpoint=tmp_path / "c.npz")
    with pytest.raises(ChargeError, match="checkpoint of another training"):
        train_autoencoder(smooth_boxes * 0.999, TINY, checkpoint=tmp_path / "c.npz")


@pytest.mark.slow
def test_training_stops_early(smooth_boxes, monkeypatch):
    from deepmd_charge.property import autoencoder_training as training

    losses = iter([3.0, 2.0, 2.5, 2.5, 1.0])
    monkeypatch.setattr(training, "_loss", lambda *_: next(losses))
    settings = AutoencoderSettings(**{**vars(TINY), "epochs": 10, "patience": 2})
    train_autoencoder(smooth_boxes[:4], settings)
    assert next(losses) == 1.0


def test_bad_input_gets_one_line(smooth_boxes, tmp_path):
    model = Autoencoder(TINY)
    model.save(tmp_path / "model.npz")
    with np.load(tmp_path / "model.npz") as file:
        arrays = dict(file)
    arrays["autoencoder"] = np.array(
        str(arrays["autoencoder"]).replace('"version": 1', '"version": 9')
    )
    np.savez(tmp_path / "later.npz", **arrays)
    np.savez(tmp_path / "other.npz", x=np.zeros(3))
    (tmp_path / "text.npz").write_text("none")
    cases = [
        (lambda: AutoencoderSettings(box=20), "a multiple of 8"),
        (lambda: AutoencoderSettings(channels=(8, 8)), "each of 3 halvings"),
        (lambda: model.encode(np.zeros((1, 20, 20, 20))), "a multiple of 8"),
        (lambda: model.encode(np.zeros((16, 16, 16))), r"boxes are \(n, k, k, k\)"),
        (lambda: model.decode(np.zeros((1, 7, 2, 2, 2))), "has 4 channels"),
        (
            lambda: Autoencoder.load(tmp_path / "later.npz"),
            "later.npz: an autoencoder of version 9",
        ),
        (lambda: Autoencoder.load(tmp_path / "other.npz"), "other.npz: is no autoencoder"),
        (lambda: Autoencoder.load(tmp_path / "text.npz"), "text.npz: is no autoencoder"),
        (lambda: Autoencoder.load(tmp_path / "none.npz"), "none.npz: there is no such file"),
        (lambda: train_autoencoder(smooth_boxes[:1], TINY), "give more"),
        (lambda: train_autoencoder(smooth_boxes[:, :, :8], TINY), "as the settings"),
    ]
    for call, message in cases:
        with pytest.raises(ChargeError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)


# ---- the network with attention


FAST = AttentionSettings(
    channels=4,
    blocks=1,
    units=16,
    batch_size=8,
    epochs=12,
    members=2,
    learning_rate=1e-2,
    dropout=0.1,
)


@pytest.fixture(scope="module")
def task():
    """Latents, further features and two targets, one with labels that are missing."""
    rng = np.random.default_rng(1)
    latents = rng.normal(size=(48, 2, 3, 2, 2, 2)) * 5.0
    latents += rng.normal(size=(48, 1, 3, 1, 1, 1)) * 9.0
    extra = rng.normal(size=(48, 2)) * 100.0
    targets = np.stack(
        [latents.mean(axis=(1, 3, 4, 5))[:, 0] * 3.0 + 100.0, 0.5 * extra[:, 1]], axis=1
    )
    targets[::5, 1] = np.nan
    return latents, extra, targets


@pytest.mark.slow
def test_attention_learns_several_properties(task):
    z, extra, targets = task
    network = AttentionNetwork(FAST).fit(z, extra, targets)
    wrong = network.predict(z, extra) - targets
    assert (np.nanvar(wrong, axis=0) < 0.5 * np.nanvar(targets, axis=0)).all()
    assert network.predict_members(z, extra).shape == (2, 48, 2)
    kept = AttentionNetwork.from_bytes(network.to_bytes())
    np.testing.assert_array_equal(kept.predict(z, extra), network.predict(z, extra))
    assert kept.history == network.history
    assert kept.settings == FAST


@pytest.mark.slow
def test_attention_without_further_features_repeats_by_its_seed(task):
    z, _, targets = task
    short = AttentionSettings(**{**vars(FAST), "epochs": 2, "members": 1})
    found = [
        AttentionNetwork(short).fit(z, None, targets[:, :1]).predict(z[:3, :1], None)
        for _ in range(2)
    ]
    assert found[0].shape == (3, 1)
    np.testing.assert_array_equal(*found)


@pytest.mark.slow
def test_compounds_without_labels_are_left_out_of_attention(task):
    """Else validation may have none but these, and the first epoch looks like the best."""
    z, extra, targets = task
    few = np.where(np.arange(48)[:, None] % 6 == 0, targets, np.nan)
    short = AttentionSettings(**{**vars(FAST), "epochs": 2, "members": 3})
    network = AttentionNetwork(short).fit(z, extra, few)
    assert np.min(network.history) > 0.0
    alone = AttentionNetwork(short).fit(z[::6], extra[::6], targets[::6])
    assert network.history == alone.history


@pytest.mark.slow
def test_bad_input_of_attention(task):
    z, extra, targets = task
    short = AttentionSettings(**{**vars(FAST), "epochs": 1, "members": 1})
    network = AttentionNetwork(short)
    missing = np.full((48, 1), np.nan)
    cases = [
        (lambda: AttentionSettings(dropout=1.0), "dropout"),
        (lambda: network.predict(z, extra), "not trained"),
        (lambda: network.to_bytes(), "not trained"),
        (lambda: network.fit(z[:, 0], extra, targets), "latents are"),
        (lambda: network.fit(z, extra[:5], targets), "of 48 compounds"),
        (lambda: network.fit(z, extra, targets[:5]), "of 48 compounds"),
        (lambda: network.fit(z[:1], extra[:1], targets[:1]), "give more"),
        (lambda: network.fit(z, extra, missing), "no label at all"),
        (lambda: network.fit(z, extra * np.nan, targets), "must be finite"),
        (lambda: AttentionNetwork.from_bytes(b"none"), "no attention network"),
        (
            lambda: network.fit(z, extra, targets).predict(z, None),
            "was trained on 3 and 2",
        ),
    ]
    for call, message in cases:
        with pytest.raises(ChargeError, match=message) as caught:
            call()
        assert "\n" not in str(caught.value)


def test_networks_work_beside_deepmd_kit(tmp_path):
    """DeePMD-kit turns eager execution off in its process, which Keras needs."""
    code = """
import numpy as np, deepmd.tf.env
from deepmd_charge.property.attention import AttentionNetwork, AttentionSettings
from deepmd_charge.property.autoencoder import Autoencoder
z = np.random.default_rng(0).normal(size=(20, 1, 16, 2, 2, 2))
network = AttentionNetwork(AttentionSettings(epochs=1, members=1)).fit(z, None, z[:, 0, 0, 0, 0])
again = AttentionNetwork.from_bytes(network.to_bytes())
assert np.array_equal(again.predict(z, None), network.predict(z, None))
latents = Autoencoder.load().encode(np.zeros((1, 16, 16, 16)))
print(latents.shape, Autoencoder.load().decode(latents).shape)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.splitlines()[-1:] == ["(1, 16, 2, 2, 2) (1, 16, 16, 16)"], done.stderr
