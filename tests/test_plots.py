# SPDX-License-Identifier: LGPL-3.0-or-later
"""What is drawn, and where: slices in skew cells, averages, limits."""

import os
import subprocess
import sys

import numpy as np
import pytest
from ase import Atoms
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.collections import QuadMesh

from deepmd_charge import ChargeError, Density, write_density
from deepmd_charge.cli.main import main
from deepmd_charge.grid.plane import choose_slice
from deepmd_charge.grid.plots import (
    Plane,
    busiest_slice,
    picture_format,
    plot_comparison,
    plot_density,
)
from deepmd_charge.grid.quantity import QUANTITIES

CELL = [[4.0, 0.0, 0.0], [1.5, 3.0, 0.0], [0.5, -1.0, 5.0]]


@pytest.fixture
def density():
    atoms = Atoms("NaCl", scaled_positions=[(0, 0.5, 0.25), (0.5, 0.5, 0.7)], cell=CELL, pbc=True)
    values = np.random.default_rng(3).normal(size=(6, 7, 8))
    return Density(atoms, values)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slice_lies_in_its_plane(density, axis):
    plane = Plane(density, axis, 2)
    others = [i for i in range(3) if i != axis]
    n1, n2 = (density.shape[i] for i in others)
    assert plane.x.shape == plane.y.shape == (n1 + 1, n2 + 1)  # closed
    # distances within the plane are those of the grid points in space
    points = density.points().reshape(*density.shape, 3)
    points = np.moveaxis(points, axis, 0)[2].reshape(-1, 3)
    flat = np.stack([plane.x, plane.y], -1)[:-1, :-1].reshape(-1, 2)
    assert distances(flat) == pytest.approx(distances(points), abs=1e-12)
    values = plane.take(density.values)
    assert np.array_equal(values[:-1, :-1], np.moveaxis(density.values, axis, 0)[2])
    assert np.array_equal(values[-1], values[0])
    assert np.array_equal(values[:, -1], values[:, 0])


def distances(points):
    return np.linalg.norm(points[:, None] - points[None], axis=-1)


def test_atoms_near_the_slice_are_marked(density):
    plane = Plane(density, 2, 2)  # at 0.25 c: the sodium atom, and its image at the border
    assert list(plane.atom_numbers) == [11, 11]
    a, b = plane.edges
    assert sorted(map(tuple, plane.atom_positions.round(9))) == sorted(
        map(tuple, np.round([0.5 * b, a + 0.5 * b], 9))
    )
    assert list(Plane(density, 2, 0).atom_numbers) == []


def test_open_borders_are_not_closed(density):
    density.atoms.pbc = (False, True, True)
    plane = Plane(density, 2, 2)
    assert plane.x.shape == (6, 8)
    assert list(plane.atom_numbers) == [11]


def test_busiest_slice_passes_atoms(density):
    assert busiest_slice(density, 2) == 2
    assert busiest_slice(density, 1) in (3, 4)


def test_origin_moves_the_slices(density):
    moved = Density(density.atoms, density.values, origin=(0.0, 0.0, 5.0 / 8))
    assert busiest_slice(moved, 2) == 1


def drawn_lines(figure):
    return {
        line.get_label(): line.get_xydata() for axes in figure.axes for line in axes.get_lines()
    }


def test_averages(density):
    prediction = density * 1.1
    lines = drawn_lines(plot_comparison(density, prediction, axis=1))
    truth = density.values.mean(axis=(0, 2))
    normal = np.cross(CELL[2], CELL[0])
    height = density.volume / np.linalg.norm(normal)
    for name, values in (("reference", truth), ("prediction", 1.1 * truth), ("error", 0.1 * truth)):
        x, y = lines[name].T
        assert x == pytest.approx(np.arange(8) * height / 7)
        assert y == pytest.approx(np.append(values, values[0]))


def test_one_density(density, tmp_path):
    figure = plot_density(density, axis=0, index=1, title="a title")
    figure.savefig(tmp_path / "picture.png")
    assert "a title" in figure.get_suptitle()
    _, y = drawn_lines(figure)["density"].T
    assert y[:-1] == pytest.approx(density.values.mean(axis=(1, 2)))


def test_constant_and_equal_densities_can_be_drawn(density, tmp_path):
    flat = density * 0.0
    plot_comparison(flat, flat).savefig(tmp_path / "picture.png")


def test_reference_and_prediction_share_their_colours(density):
    figure = plot_comparison(density, density * 3.0)
    meshes = {axes.get_title(): axes.collections[0] for axes in figure.axes if axes.collections}
    assert meshes["reference"].norm is meshes["prediction"].norm
    error = meshes["prediction \N{MINUS SIGN} reference"].norm
    assert error.vmin == -error.vmax


def test_picture_format():
    assert picture_format("a/b.PNG") == "png"
    with pytest.raises(ChargeError, match=r"picture.txt: not a picture's name"):
        picture_format("picture.txt")


@pytest.mark.parametrize(
    "kind, label",
    [
        ("vasp/chgcar", "density (e/Å$^3$)"),
        ("vasp/chgcar:up", "density of the electrons with spin up (e/Å$^3$)"),
        ("vasp/chgcar:magnetization", "magnetisation (µ$_B$/Å$^3$)"),
        ("cube:difference", "difference of densities (e/Å$^3$)"),
        ("vasp/locpot", "potential (eV)"),
        ("cube:potential", "potential"),
        ("vasp/elfcar", "electron localisation function"),
    ],
)
def test_labels_say_what_is_drawn(density, kind, label):
    density.declare(kind)
    one, two = plot_density(density), plot_comparison(density, density)
    for figure in (one, two):
        axes = [a for part in (figure, *figure.subfigs) for a in part.axes]
        axes += [a for part in figure.subfigs for sub in part.subfigs for a in sub.axes]
        labels = {text for a in axes for text in (a.get_xlabel(), a.get_ylabel())}
        assert label in labels
        unit = label.partition(" (")[2]
        others = {text.partition(" (")[2] for text in labels if "in the plane" not in text}
        assert {text for text in others if "Å$^3$" in text or "eV" in text} <= {unit}


@pytest.mark.slow
@pytest.mark.parametrize("quantity", QUANTITIES)
def test_zero_is_white_where_both_signs_mean_as_much(density, quantity):
    density.declare(f"cube:{quantity}")
    for figure in (plot_density(density), plot_comparison(density, density * 0.5)):
        axes = [a for part in (figure, *figure.subfigs) for a in part.axes]
        image = next(c for c in axes[0].collections if isinstance(c, QuadMesh))
        white = min(image.to_rgba(np.zeros(1))[0, :3]) > 0.95
        assert white == (quantity in ("difference", "magnetization", "orbital"))


@pytest.mark.parametrize("axis", [0, 1, 2])
@pytest.mark.parametrize("shift", [-0.04, 0.0, 0.04])
def test_atoms_near_a_border_are_on_both(density, axis, shift):
    atoms = density.atoms
    normals = atoms.cell.reciprocal()
    normals /= np.linalg.norm(normals, axis=1)[:, None]
    others = [i for i in range(3) if i != axis]
    for other, rest in (others, others[::-1]):
        scaled = np.array([[0.5, 0.5, 0.5], [0.5, 0.5, 0.5]])
        scaled[0, axis], scaled[1, axis] = 0.0, 0.5
        scaled[0, other], scaled[0, rest] = 0.0, 0.4
        atoms.set_scaled_positions(scaled)
        atoms.positions[0] += shift * normals[other]  # so far from the face, in A
        plane = Plane(density, axis, 0)
        assert list(plane.atom_numbers) == [11, 11]
        apart = np.ptp(plane.atom_positions, axis=0)
        assert apart == pytest.approx(np.abs(plane.edges[others.index(other)]))


def test_atoms_in_a_corner_are_in_all(density):
    density.atoms.set_scaled_positions([(0.001, 0.999, 0.25), (0.5, 0.5, 0.7)])
    assert list(Plane(density, 2, 2).atom_numbers) == [11] * 4


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_axes_end_where_the_cell_does(density, axis):
    density.atoms.set_scaled_positions([(0, 0, 0), (0.5, 0.5, 0.7)])
    axes = plot_density(density, axis, 0).axes[0]
    plane = Plane(density, axis, 0)
    assert len(plane.atom_numbers) >= 4
    corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1)]) @ plane.edges
    assert axes.get_xlim() == pytest.approx((corners[:, 0].min(), corners[:, 0].max()))
    assert axes.get_ylim() == pytest.approx((corners[:, 1].min(), corners[:, 1].max()))


def drawn(figure):
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    return canvas.get_renderer()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_colour_bars_are_as_high_as_slices(density, axis):
    density.atoms.set_cell(np.array(CELL) * [[5.0], [1.0], [1.0]], scale_atoms=True)
    figure = plot_density(density, axis)
    drawn(figure)
    (bar,) = figure.axes[0].child_axes
    outer, inner = figure.axes[0].get_window_extent(), bar.get_window_extent()
    # the tips at the ends are drawn within that height too, and not counted here
    assert outer.y0 - 0.01 <= inner.y0 and inner.y1 <= outer.y1 + 0.01
    assert inner.height > 0.85 * outer.height
    assert outer.x1 < inner.x0


@pytest.mark.slow
@pytest.mark.parametrize("title", ["many words " * 30, "A" * 300, "one line\nanother " * 3])
def test_long_titles_are_wrapped(density, title):
    for figure in (
        plot_density(density, title=title),
        plot_comparison(density, density, 2, 0, title),
    ):
        renderer = drawn(figure)
        box = figure._suptitle.get_window_extent(renderer)
        assert box.x0 >= 0 and box.x1 <= figure.bbox.width
        assert figure.get_suptitle().replace("\n", " ").startswith(title[:20].replace("\n", " "))
        for part in (figure.axes or figure.subfigs[0].axes)[:1]:
            assert part.title.get_window_extent(renderer).y1 < box.y0


def test_numbers_of_the_parity_are_legible(density):
    figure = plot_comparison(density, density * -1.0)
    (text,) = figure.subfigs[1].subfigs[0].axes[0].texts
    assert text.get_bbox_patch().get_facecolor()[:3] == (1.0, 1.0, 1.0)


def test_no_label_stands_beside_its_like(density):
    left, right = (axes for axes in plot_density(density).axes)
    assert left.child_axes[0].get_ylabel() == ""
    assert left.get_title() == right.get_ylabel() == "density (e/Å$^3$)"


def test_positions_are_within_the_cell(density):
    assert [choose_slice(density, 2, None, f) for f in (0.0, 0.3, 0.95)] == [0, 2, 0]
    density.atoms.pbc = False
    assert choose_slice(density, 2, None, 0.95) == 7
    for position in (1.0, 1.2, -0.1, float("nan"), float("inf")):
        with pytest.raises(ChargeError, match=r"--position \S+: .* from 0 to below 1"):
            choose_slice(density, 2, None, position)


@pytest.fixture
def file(density, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_density("CHGCAR", density)


def test_the_command_says_which_plane(file, capsys):
    assert main(["plot", "CHGCAR", "-o", "x.png", "--position", "0.3"]) == 0
    assert capsys.readouterr().out == "x.png: ab plane 2 at 1.25 A\n"
    assert main(["-q", "plot", "CHGCAR", "-o", "x.png"]) == 0
    assert capsys.readouterr().out == ""


@pytest.mark.slow
def test_headings_begin_with_the_files(file, density):
    os.mkdir("new$")
    write_density("new$/CHGCAR", density)
    write_density("CHGCAR_b", density)

    def heading(*argv):
        assert main(["plot", *argv, "-o", "x.svg"]) == 0
        with open("x.svg", encoding="utf8") as file:
            return next(line for line in file if "(slice: " in line).split("(slice")[0].strip()

    assert heading("CHGCAR") == "<!-- CHGCAR"
    assert heading("new$/CHGCAR", "CHGCAR_b") == "<!-- CHGCAR and CHGCAR_b"
    assert heading("CHGCAR", "new$/CHGCAR") == "<!-- CHGCAR and new$/CHGCAR"
    assert heading("CHGCAR", "--title", "mine") == "<!-- mine"


@pytest.mark.slow
@pytest.mark.parametrize(
    "variables", [{"MPLBACKEND": "module://no.such_backend"}, {"HOME": "home"}]
)
def test_the_command_minds_neither_backends_nor_homes(file, variables):
    with open("home", "w"):
        pass  # a file is no folder
    environment = {
        name: value for name, value in os.environ.items() if not name.startswith(("MPL", "XDG_"))
    }
    command = [sys.executable, "-m", "deepmd_charge.cli.main", "plot", "CHGCAR", "-o", "x.png"]
    done = subprocess.run(
        command, env={**environment, **variables}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("x.png: ")
    assert os.path.getsize("x.png") > 10000


def test_the_environment_is_left_as_it_was(file, monkeypatch):
    for value in ("svg", None):
        if value:
            monkeypatch.setenv("MPLBACKEND", value)
        else:
            monkeypatch.delenv("MPLBACKEND")
        assert main(["plot", "CHGCAR", "-o", "x.png"]) == 0
        assert os.environ.get("MPLBACKEND") == value
