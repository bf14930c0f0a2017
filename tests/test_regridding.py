# SPDX-License-Identifier: LGPL-3.0-or-later
"""Other grids of densities that are periodic along some axes, against the functions themselves."""

import itertools
import warnings

import numpy as np
import pytest
from ase import Atoms

from deepmd_charge import ChargeError, Density, read_density, write_density
from deepmd_charge.cli.main import main
from deepmd_charge.grid.fourier import fourier_interpolate
from deepmd_charge.grid.regrid import regrid, seam

CELL = np.array([[4.6, 0.2, 0.0], [1.1, 4.2, -0.3], [-1.7, 0.9, 5.1]])
AXES = list(itertools.product([True, False], repeat=3))


def density(pbc, shape, centre=(0.5, 0.5, 0.5), width=0.06):
    """A wave along periodic axes, times a Gaussian along the others, which may end at a face."""
    values = np.ones(shape)
    for axis, is_periodic in enumerate(pbc):
        x = np.arange(shape[axis]) / shape[axis]
        wave = 1.0 + 0.3 * np.cos(2.0 * np.pi * x + axis)
        bump = np.exp(-0.5 * ((x - centre[axis]) / width) ** 2)
        values = values * (wave if is_periodic else bump).reshape(np.roll([-1, 1, 1], axis))
    return Density(Atoms("Si", cell=CELL, pbc=pbc), values, (0.1, 0.2, -0.3), "cube")


@pytest.mark.slow
@pytest.mark.parametrize("pbc", AXES)
@pytest.mark.parametrize("shape", [(40, 50, 45), (60, 50, 40), (32, 72, 64)])
def test_what_vanishes_at_open_faces_is_moved_as_it_is(pbc, shape):
    old, new = density(pbc, (40, 40, 40)), density(pbc, shape)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        moved = regrid(old, shape)
    assert (moved - new).values == pytest.approx(0.0, abs=1e-6)
    assert moved.n_electrons == pytest.approx(old.n_electrons, rel=1e-12)
    assert moved.atoms.pbc.tolist() == list(pbc)


@pytest.mark.parametrize("pbc", AXES)
@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("centre", [0.0, 0.1, 0.95])
def test_what_does_not_vanish_at_an_open_face_is_refused(pbc, axis, centre):
    """Where the number of points along it is to change, and only there."""
    old = density(pbc, (24, 24, 24), np.where(np.arange(3) == axis, centre, 0.5))
    shapes = np.full((3, 3), 24) + np.diag([8, 8, 8])
    for other, shape in enumerate(shapes):
        if other == axis and not pbc[axis]:
            with pytest.raises(
                ChargeError, match=f"is open along {'abc'[axis]} and does not vanish"
            ):
                regrid(old, shape)
        else:
            moved = regrid(old, shape).values
            np.testing.assert_array_equal(moved, fourier_interpolate(old.values, shape))


def test_the_error_is_about_as_large_as_is_said():
    """Of Gaussians that both grids resolve, anywhere along an open axis."""
    rng = np.random.default_rng(5)
    shares = []
    for _ in range(4000):
        n, m = rng.integers(6, 41), rng.integers(3, 121)
        x0, width, height = rng.uniform([-0.2, 2, -1], [1.2, 6, 1], (rng.integers(1, 4), 3)).T
        values, true = (
            height
            @ np.exp(-0.5 * ((np.arange(k) / k - x0[:, None]) / width[:, None] * min(n, m)) ** 2)
            for k in (n, m)
        )
        values = values[:, None, None]
        error = np.abs(fourier_interpolate(values, (m, 1, 1)).ravel() - true).max()
        shares.append(max(error - 1e-6, 0.0) / seam(values, 0))
    assert np.max(shares) < 4.0
    assert np.quantile(shares, 0.999) < 1.0
    assert np.quantile(shares, 0.9) > 0.2  # no more than need be


def test_the_estimate_knows_no_sign_and_no_end():
    for line in ([0, 0, 0, 0, 0, 1.0], [3.0, 1, 1, 2, 2, 2], [1.0, 2], np.linspace(0, 1, 9)):
        values = np.array(line)[:, None, None]
        assert seam(values, 0) > 1.0
        for same in (-values, values[::-1], values + 5.0):
            assert seam(same, 0) == pytest.approx(seam(values, 0))
    assert seam(np.full((4, 3, 2), 7.0), 0) == 0.0


def test_spin_grids_count(tmp_path):
    old = density((True, True, False), (8, 8, 20))
    old.extra["spin"] = [density((True, True, False), (8, 8, 20), (0.5, 0.5, 0.9)).values]
    with pytest.raises(ChargeError, match="open along c"):
        regrid(old, (8, 8, 24))
    moved = regrid(old, (12, 8, 20))
    np.testing.assert_allclose(
        moved.extra["spin"][0], fourier_interpolate(old.extra["spin"][0], (12, 8, 20))
    )


def test_one_plane_tells_nothing_of_others():
    old = density((True, True, False), (8, 8, 1), (0.5, 0.5, 0.0))
    with pytest.raises(ChargeError, match="open along c"):
        regrid(old, (8, 8, 2))


def test_command(tmp_path, capsys):
    """A warning tells how large the error is, an error names the file."""
    path, out = str(tmp_path / "a.cube"), str(tmp_path / "b.cube")
    argv = ["regrid", path, "-o", out, "--grid", "12", "12", "30"]
    for width, warning, status in ((0.07, None, 0), (0.12, "may be off by", 0), (0.3, None, 1)):
        write_density(path, density((True, True, False), (8, 8, 20), width=width))
        assert main(argv) == status
        error = capsys.readouterr().err
        if status:
            assert error.startswith(f"deepmd-charge: error: {path}: the density is open along c")
        elif warning:
            assert error.startswith("deepmd-charge: warning: the density is open along c")
            said = float(error.split("off by")[1].split()[0])
            true = density((True, True, False), (12, 12, 30), width=width)
            found = read_density(out, check=False)
            assert 1e-5 < np.abs(found.values - true.values).max() < said < 0.01
        else:
            assert not error


@pytest.mark.parametrize("shape", [(2, 3), (2, 3, 0), (2, 3, 1.5), 3])
def test_bad_shape(shape):
    with pytest.raises(ChargeError, match="three counts"):
        regrid(density((True, True, True), (4, 4, 4)), shape)
