"""DP systems that do not hold what they seem to hold: one line, before DeePMD-kit opens them."""

import shutil
import tracemalloc

import numpy as np
import pytest
from training import TYPE_MAP, structure, write_system

from deepmd_charge import ChargeError
from deepmd_charge.atoms import valences
from deepmd_charge.cli.main import main
from deepmd_charge.data.dataset import check_open_axes, check_systems
from deepmd_charge.data.together import check_together

FRAMES, ATOMS, FILLED = 4, 34, 5


@pytest.fixture(params=["plain", "mixed"])
def kind(request):
    return request.param


def fill_up(folder):
    """Make a plain system one of mixed types, with places for atoms that are not there."""
    part = folder / "set.000"
    types = np.tile(np.loadtxt(folder / "type.raw", dtype=int), (FRAMES, 1))
    np.save(part / "real_atom_types.npy", np.pad(types, ((0, 0), (0, FILLED)), constant_values=-1))
    for name, width in (("coord", 3 * FILLED), ("density", FILLED)):
        edit(part, name, lambda a, width=width: np.pad(a, ((0, 0), (0, width))))
    np.savetxt(folder / "type.raw", np.zeros(ATOMS + FILLED), fmt="%d")


def edit(part, name, change):
    values = change(np.load(part / f"{name}.npy"))
    np.save(part / f"{name}.npy", values)


def put(value, *place):
    def change(values):
        values[place] = value
        return values

    return change


@pytest.fixture
def make(tmp_path):
    """Make a system and change an array of it."""

    def make(kind, name=None, change=None):
        folder = tmp_path / kind
        write_system(folder, [structure(k) for k in range(FRAMES)], 30, seed=1)
        if kind == "mixed":
            fill_up(folder)
        if name:
            edit(folder / "set.000", name, change)
        return folder

    return make


def check(folder, batch_size=1):
    """What ``dp train`` asks at first."""
    data = {"systems": [str(folder)], "batch_size": batch_size}
    check_together({"training_data": data}, TYPE_MAP)
    check_systems([str(folder)], TYPE_MAP)


def refuse(folder, complaint, **more):
    for key in ("training_data", "validation_data"):
        with pytest.raises(ChargeError, match=complaint) as caught:
            check_together({key: {"systems": str(folder), **more}}, TYPE_MAP)
        assert "\n" not in str(caught.value)


SHAPES = [
    ("coord", lambda a: a[0], r"coord.npy: of shape \(\d+,\), not \(1, "),
    ("coord", lambda a: a[:, :-3], "coord.npy: of shape"),
    ("coord", lambda a: a[:0], "coord.npy: holds no frame"),
    ("density", lambda a: a.T, r"density.npy: of shape \(\d+, 4\), not \(4, "),
    ("density", lambda a: a[:, :-2], "density.npy: of shape"),
    ("density", lambda a: np.vstack([a, a]), r"density.npy: of shape \(8, \d+\), not \(4, "),
    ("density", lambda a: a.astype(complex), r"density.npy: holds no real numbers \(complex"),
    ("density", lambda a: a.astype(str), "density.npy: holds no real numbers"),
    ("box", lambda a: a[:2], r"box.npy: of shape \(2, 9\), not \(4, 9\)"),
    ("box", put(0.0, 2), "box.npy: the cell of frame 2 has no volume; .*nopbc"),
    ("n_electrons", lambda a: a[1:], r"n_electrons.npy: of shape \(3,\), not \(4, 1\)"),
    ("grid_shape", lambda a: a[:1], r"grid_shape.npy: of shape \(1, 3\), not \(4, 3\)"),
]


@pytest.mark.parametrize("name, change, complaint", SHAPES)
def test_arrays_of_another_shape(make, kind, name, change, complaint):
    refuse(make(kind, name, change), complaint)


MIXED = [
    (lambda a: a.T, r"real_atom_types.npy: of shape \(39, 4\), not \(4, 39\)"),
    (lambda a: a[:, :-2], "real_atom_types.npy: of shape"),
    (lambda a: a[:1], "real_atom_types.npy: of shape"),
    (lambda a: a.ravel(), "real_atom_types.npy: of shape"),
    (put(-2, 0, 0), "holds the type -2, and type_map.raw"),
    (put(3, 3, 1), "holds the type 3, and type_map.raw"),
    (put(-1, 1, slice(0, 4)), "set.000: frame 1 has grid points and no atom"),
    (put(-1, 1, slice(4, None)), "set.000: a frame has no grid point"),
]


@pytest.mark.parametrize("change, complaint", MIXED)
def test_types_of_frames(make, change, complaint):
    refuse(make("mixed", "real_atom_types", change), complaint)


def test_what_fills_up_may_stand_anywhere(make):
    check(make("mixed", "real_atom_types", put(-1, 0, 10)))


def test_types_that_dp_takes_for_others(make):
    """It counts -1 from the end, and sorts atoms by type.raw but not the types of frames."""
    folder = make("plain")
    types = np.loadtxt(folder / "type.raw", dtype=int)
    types[-1] = -1
    np.savetxt(folder / "type.raw", types, fmt="%d")
    refuse(folder, "type.raw: holds the type -1, which only frames of mixed types may")
    folder = make("mixed")
    np.savetxt(folder / "type.raw", np.arange(ATOMS + FILLED)[::-1] % 3, fmt="%d")
    refuse(folder, "type.raw: is not all zeros")


def test_types_of_frames_need_names(make):
    """DeePMD-kit counts them by type_map.raw alone; those of type.raw also by model/type_map."""
    for kind in ("plain", "mixed"):
        folder = make(kind)
        (folder / "type_map.raw").unlink()
        if kind == "plain":
            check(folder)
        else:
            refuse(folder, "type_map.raw: is not there, and a system of mixed types needs it")


def test_sets_that_differ(make):
    for change, complaint in (
        (lambda part: (part / "real_atom_types.npy").unlink(), "set.001/real_atom_types.npy"),
        (lambda part: (part / "density.npy").unlink(), "set.001/density.npy: cannot be read"),
        (lambda part: (part / "density.npy").write_bytes(b""), "density.npy: cannot be read"),
        (lambda part: edit(part, "coord", lambda a: a[:, :-6]), "set.001/coord.npy: of shape"),
    ):
        folder = make("mixed")
        shutil.copytree(folder / "set.000", folder / "set.001")
        check(folder)
        change(folder / "set.001")
        refuse(folder, complaint)
        shutil.rmtree(folder)


def test_what_is_no_system(make, tmp_path):
    folder = make("plain")
    (folder / "type_map.raw").write_text("")
    with pytest.warns(UserWarning, match="no data"):
        refuse(folder, "type_map.raw: names no type")
    shutil.rmtree(folder / "set.000")
    (folder / "type_map.raw").write_text("\n".join(TYPE_MAP))
    refuse(folder, "plain: holds no frames")
    (tmp_path / "CHGCAR").write_text("Si\n1.0\n")
    refuse(
        "nowhere.hdf5#/train",
        "nowhere.hdf5#/train: no such folder or file in /.*, where dp train runs and its paths"
        " count from; correct training/",
    )
    refuse("/nowhere", "/nowhere: no such folder or file; correct training/")
    refuse(tmp_path / "CHGCAR", r"CHGCAR: no folder, and no HDF5 file .*; correct training/")


def test_a_molecule_needs_no_cell_but_says_so(make):
    folder = make("plain")
    (folder / "set.000/box.npy").unlink()
    refuse(folder, "box.npy: cannot be read")
    (folder / "nopbc").touch()
    check(folder)


@pytest.mark.parametrize("like, reach", [("cluster/al-mg", 11.0), ("molecules", 8.0)])
def test_configure_looks_across_open_axes_as_far_as_dp_train(make, tmp_path, capsys, like, reach):
    """As an atom that a point sees: images nearer than that are no neighbours of either."""
    folder = make("plain")
    part = folder / "set.000"
    np.save(part / "periodic.npy", [[True, True, False]] * FRAMES)
    height = np.ptp(np.load(part / "coord.npy").reshape(FRAMES, -1, 3)[:, :, 2], axis=1).max()
    argv = ["configure", str(folder), "--like", like, "-o", str(tmp_path / "input.json")]
    for gap, code in ((reach - 0.5, 1), (reach + 0.5, 0)):
        box = np.diag([30.0, 30.0, height + gap]).ravel()
        np.save(part / "box.npy", np.tile(box, (FRAMES, 1)))
        assert main(argv) == code
        assert (f"a model that sees {reach:g} A" in capsys.readouterr().err) == bool(code)


@pytest.mark.parametrize("good", [1, 3, "auto", "auto:64", "mixed:2", "max:90", "filter:90", [2]])
def test_frames_of_a_batch(make, good):
    check(make("plain"), good)


@pytest.mark.parametrize(
    "bad, wanted",
    [
        (0, "whole numbers of frames of at least 1"),
        (-2, "whole numbers"),
        ([0], "whole numbers"),
        ([1, 1], "one number for all systems, or 1 of them"),
        ("mixed", '"mixed:N" with a whole number N'),
        ("mixed:0", '"mixed:N"'),
        ("mixed:x", '"mixed:N"'),
        ("mixed:-1", '"mixed:N"'),
        ("mixed:2:3", '"mixed:N"'),
        ("auto:0", '"auto:N"'),
        ("max:1.5", '"max:N"'),
    ],
)
def test_batches_without_a_frame(make, bad, wanted):
    refuse(make("plain"), f"data/batch_size .*: give {wanted}", batch_size=bad)


@pytest.mark.parametrize(
    "key, bad, complaint",
    [
        ("sys_probs", [0.5, 0.5], "sys_probs: 2 numbers for 1 systems; give one for each"),
        ("auto_prob", "prob_sys_size;0:2:1.0", "0:2:1.0 is no part of the 1 systems"),
        ("auto_prob", "prob_sys_size;1:1:1.0", "1:1:1.0 is no part of the 1 systems"),
        ("auto_prob", "prob_sys_size;0:1:0.5;0:1:0.5", "a system is in two blocks"),
        ("auto_prob", "prob_sys_size;0-1-0.5", "0-1-0.5 is not first:end:weight"),
    ],
)
def test_weights_of_other_systems(make, key, bad, complaint):
    folder = make("plain")
    refuse(folder, f"_data/.*{complaint}", **{key: bad})
    for good in ({"sys_probs": [1.0]}, {"auto_prob": "prob_sys_size;0:1:1e-1"}):
        check_together({"training_data": {"systems": str(folder), **good}}, TYPE_MAP)
    twice = {"systems": [str(folder)] * 2, "batch_size": [1, 2], "sys_probs": [0.3, -1]}
    check_together({"training_data": twice}, TYPE_MAP)
    filtered = {"systems": str(folder), "batch_size": "filter:99", key: bad}
    check_together({"training_data": filtered}, TYPE_MAP)


# thousands of frames


def test_open_axes_are_checked_without_copies_of_a_set(tmp_path):
    folder, n, n_atoms = tmp_path / "dp", 3000, 600
    part = folder / "set.000"
    part.mkdir(parents=True)
    types = np.tile(np.arange(n_atoms) > 0, (n, 1)).astype(int)
    types[:, -20:] = -1
    coord = np.random.default_rng(1).uniform(0, 5, size=(n, n_atoms, 3))
    coord[:, -20:] = 500.0
    np.save(part / "real_atom_types.npy", types)
    np.save(part / "coord.npy", coord.reshape(n, -1))
    np.save(part / "box.npy", np.tile(np.diag([5.0, 5.0, 80.0]).ravel(), (n, 1)))
    np.save(part / "periodic.npy", np.tile([True, True, False], (n, 1)))
    (folder / "type.raw").write_text("0\n" * n_atoms)
    (folder / "type_map.raw").write_text("Si\nX\n")
    tracemalloc.start()
    check_open_axes([str(folder)], 70.0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < coord.nbytes
    edit(part, "box", put(np.diag([5.0, 5.0, 70.0]).ravel(), n - 2))
    with pytest.raises(ChargeError, match=f"in frame {n - 2} images"):
        check_open_axes([str(folder)], 70.0)


def test_valences_of_thousands_of_files():
    rng = np.random.default_rng(1)
    n = 3000
    atoms = rng.integers(0, 9, size=(n, 2))
    facts = [({"H": h, "O": o}, h + 6.0 * o, "dp") for h, o in atoms]
    tracemalloc.start()
    found, _ = valences.fit(["H", "O"], facts, {})
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert found == pytest.approx({"H": 1.0, "O": 6.0})
    assert peak < 1000 * n
