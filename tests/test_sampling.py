# SPDX-License-Identifier: LGPL-3.0-or-later
"""Sampling of grid points."""

import itertools

import numpy as np
import pytest
from ase import Atoms
from conftest import DATA, SHARED

from deepmd_charge import ChargeError, Density, read_density
from deepmd_charge.data.sampling import _gradients, gradient_share, sample_frames


def grid(*shape):
    """A density of that many points, the same everywhere."""
    values = np.ones(shape if len(shape) == 3 else (*shape, 1, 1))
    return Density(Atoms(cell=[4.0, 5.0, 6.0], pbc=True), values)


def test_without_replacement():
    index = sample_frames(grid(5000), 2000, 100, seed=1)
    assert index.shape == (20, 100)
    assert len(np.unique(index)) == 2000
    assert index.min() >= 0
    assert index.max() < 5000


def test_short_frame_takes_unused_points():
    index = sample_frames(grid(5000), 2001, 100, seed=1)
    assert index.shape == (21, 100)
    assert len(np.unique(index)) == 2100


@pytest.mark.parametrize("n_points", [1050, 10**6])
def test_whole_grid(n_points):
    """Every point appears; only the rest of the last frame repeats."""
    index = sample_frames(grid(1050), n_points, 100, seed=1)
    assert index.shape == (11, 100)
    counts = np.bincount(index.reshape(-1), minlength=1050)
    assert (counts >= 1).all()
    assert counts.sum() == 1100
    assert all(len(np.unique(frame)) == 100 for frame in index)


def test_frame_larger_than_the_grid():
    index = sample_frames(grid(8), 100, 20, seed=1)
    assert index.shape == (1, 20)
    assert set(index[0]) == set(range(8))


def test_seed():
    same = [sample_frames(grid(10**6), 1000, 10, seed=3) for _ in range(2)]
    np.testing.assert_array_equal(*same)
    assert (sample_frames(grid(10**6), 1000, 10, seed=4) != same[0]).any()
    assert (sample_frames(grid(10**6), 1000, 10) != sample_frames(grid(10**6), 1000, 10)).any()
    generator = np.random.default_rng(3)
    draws = [sample_frames(grid(10**6), 1000, 10, generator) for _ in range(2)]
    np.testing.assert_array_equal(draws[0], same[0])
    assert (draws[0] != draws[1]).any()


@pytest.mark.parametrize("n_points", [900, 3000, 9000])
def test_uniform(n_points):
    """Points of all parts of the grid are equally likely, in every frame position."""
    index = np.concatenate([sample_frames(grid(10000), n_points, 300, seed=s) for s in range(40)])
    counts = np.bincount(index[:, 0] // 2500, minlength=4)
    expected = len(index) / 4
    assert (np.abs(counts - expected) < 4.5 * np.sqrt(expected)).all()


@pytest.mark.parametrize("numbers", [(0, 10), (10, 0), (-1, 10)])
def test_bad_numbers(numbers):
    with pytest.raises(ChargeError, match="positive"):
        sample_frames(grid(100), *numbers)


@pytest.mark.parametrize("order", ["C", "F"])
def test_by_gradient(order):
    """Points are as likely as their gradient says, in a skew cell and either memory order."""
    shape, cell = (24, 50, 96), np.array([[3.0, 0.0, 0.0], [4.0, 3.0, 0.0], [-5.0, 4.0, 6.0]])
    x, y, z = np.meshgrid(*(2 * np.pi * np.arange(n) / n for n in shape), indexing="ij")
    values = 2.0 + np.sin(x) * np.cos(y) + np.sin(3 * z + x)
    density = Density(Atoms(cell=cell, pbc=True), np.asarray(values, order=order))

    by_fraction = (
        2
        * np.pi
        * np.stack(
            [
                np.cos(x) * np.cos(y) + np.cos(3 * z + x),
                -np.sin(x) * np.sin(y),
                3.0 * np.cos(3 * z + x),
            ],
            axis=-1,
        )
    )
    gradient = np.linalg.norm(by_fraction @ density.atoms.cell.reciprocal().array, axis=-1)
    drawn = sample_frames(density, 4000, 100, seed=1, by_gradient=1.0)
    for sorted_by in (gradient, np.abs(by_fraction[..., 2]) / gradient):  # size, direction
        edges = np.quantile(sorted_by, np.linspace(0, 1, 11))
        counts, _ = np.histogram(sorted_by.ravel()[drawn], edges)
        weights = gradient * drawn.size / gradient.sum()
        expected, _ = np.histogram(sorted_by, edges, weights=weights)
        # 4000 points out of 115200 exhaust the steepest a little, by 3%
        assert (np.abs(counts - expected) < 4.5 * np.sqrt(expected) + 0.03 * expected).all()


@pytest.mark.parametrize("order", ["C", "F"])
@pytest.mark.parametrize("pbc", list(itertools.product([True, False], repeat=3)))
def test_the_gradient_does_not_cross_open_faces(pbc, order):
    """Of a ramp along the open axes and a wave along the others, up to the faces."""
    shape, cell = (6, 7, 9), np.array([[3.0, 0.0, 0.0], [4.0, 3.0, 0.0], [-5.0, 4.0, 6.0]])
    axes = np.meshgrid(*(np.arange(n) / n for n in shape), indexing="ij")
    values, slopes = 0.0, []
    for n, x, is_periodic in zip(shape, axes, pbc, strict=True):
        wave = np.sin(2 * np.pi * x)
        values = values + (wave if is_periodic else 5.0 * x)
        # of central differences
        slope = n * np.sin(2 * np.pi / n) * np.cos(2 * np.pi * x)
        slopes.append(slope if is_periodic else np.full(shape, 5.0))
    density = Density(Atoms(cell=cell, pbc=pbc), np.asarray(values, order=order))
    expected = np.linalg.norm(np.stack(slopes, -1) @ density.atoms.cell.reciprocal().array, axis=-1)
    for axis in range(3):
        found = np.stack(list(_gradients(density, axis)), axis)
        np.testing.assert_allclose(found, expected, atol=1e-12)


def test_the_gradient_of_few_planes():
    """One plane has no slope, two have one along an open axis and none along a periodic one."""
    for pbc, slope in ((True, 0.0), (False, 1.0)):
        for shape in ((1, 2, 1), (2, 1, 1), (1, 1, 2)):
            values = np.arange(2.0).reshape(shape)
            density = Density(Atoms(cell=np.eye(3) * 2.0, pbc=pbc), values)
            for axis in range(3):
                found = np.stack(list(_gradients(density, axis)), axis)
                np.testing.assert_allclose(found, np.full(shape, slope))


def test_by_gradient_in_part():
    """The other points are drawn from all parts of the grid, and none twice."""
    density = grid(10, 20, 50)
    density.values[3, 4, 5] = 2.0  # six points with a gradient
    index = sample_frames(density, 2000, 100, seed=1, by_gradient=0.5)
    assert index.shape == (20, 100)
    assert len(np.unique(index)) == 2000
    neighbours = [(2, 4, 5), (4, 4, 5), (3, 3, 5), (3, 5, 5), (3, 4, 4), (3, 4, 6)]
    assert np.isin(np.ravel_multi_index(np.transpose(neighbours), density.shape), index).all()
    counts = np.bincount(index.ravel() // 2500, minlength=4)
    assert (np.abs(counts - 500) < 4.5 * np.sqrt(500)).all()


def test_by_gradient_whole_grid():
    density = grid(5, 6, 7)
    density.values[1] = 2.0
    index = sample_frames(density, 210, 21, seed=1, by_gradient=0.3)
    np.testing.assert_array_equal(np.sort(index, axis=None), np.arange(210))


@pytest.mark.parametrize("share", [-0.1, 1.1, float("nan")])
def test_bad_share(share):
    with pytest.raises(ChargeError, match="share of the points"):
        sample_frames(grid(100), 10, 10, by_gradient=share)


@pytest.mark.parametrize("width, share", [(0.3, 0.7), (2.0, 0.0)])
def test_the_share_by_gradient_follows_the_density(width, share):
    """Sharp things in an empty box want most of the points, waves want none."""
    points = np.stack(np.meshgrid(*[np.arange(30) / 3.0] * 3, indexing="ij"), -1)
    values = np.exp(-np.sum((points - 5.0) ** 2, axis=-1) / (2.0 * width**2))
    if not share:
        values = np.cos(2.0 * np.pi * points / 10.0).sum(axis=-1)
    density = Density(Atoms(cell=np.eye(3) * 10.0, pbc=True), values)
    assert gradient_share(density) == pytest.approx(share, abs=0.05)
    # of another unit, and in the other memory order
    scaled = Density(density.atoms, np.asfortranarray(3.0 * values))
    assert gradient_share(scaled) == pytest.approx(gradient_share(density), abs=1e-12)


@pytest.mark.parametrize("name, share", [("water/1", 0.1), ("si/1", 0.0), ("almg/1", 0.0)])
def test_the_share_by_gradient_of_materials(name, share):
    """That with which water's error is no larger, and its largest ones smaller."""
    path = SHARED / "qe" / name / "CHGCAR.gz"
    if not path.exists():
        pytest.skip(f"no {path.parent.name} in {SHARED.name} beside the repository")
    assert gradient_share(read_density(path)) == pytest.approx(share, abs=0.02)


def test_the_share_by_gradient_is_chosen():
    density = grid(20, 20, 20)
    assert gradient_share(density) == 0.0  # constant
    density.values[3, 4, 5] = 2.0
    chosen = sample_frames(density, 1000, 100, seed=1)
    given = sample_frames(density, 1000, 100, seed=1, by_gradient=gradient_share(density))
    np.testing.assert_array_equal(chosen, given)
    assert np.isin(np.ravel_multi_index([2, 4, 5], density.shape), chosen)


def test_auto_is_the_share_of_the_density():
    density = read_density(DATA / "Al.cube.gz")
    drawn = [sample_frames(density, 40, 20, 1, share) for share in (None, "auto")]
    np.testing.assert_array_equal(*drawn)
    for word in ("atuo", "0.5"):
        with pytest.raises(
            ChargeError, match=f"by_gradient is '{word}': give a share of .* 'auto'"
        ):
            sample_frames(density, 40, 20, 1, word)
