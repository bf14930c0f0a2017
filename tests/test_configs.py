# SPDX-License-Identifier: LGPL-3.0-or-later
"""Every ready ``input.json`` is valid, and trains."""

import json
from pathlib import Path

import numpy as np
import pytest
from training import gaussian_table, lcurve, structure, write_system

from deepmd_charge.data.ready import READY, read

ROOT = Path(__file__).parents[1]
READY_FOLDER = ROOT / "deepmd_charge" / "plugin_configs"
CONFIGS = sorted(READY_FOLDER.rglob("*.json")) + sorted(ROOT.glob("examples/*/input.json"))
MATERIALS = ["a-si", "al-mg", "al-surface", "c-si", "water"]


def ident(path):
    return str(path.relative_to(ROOT))


def test_every_material_has_a_configuration_and_that_of_the_paper():
    found = {path.relative_to(READY_FOLDER).as_posix() for path in READY_FOLDER.rglob("*.json")}
    for folder in ("", "paper/"):
        assert {f"{folder}{name}.json" for name in MATERIALS} <= found
    # the list that `configure --list` prints is complete, and each can be read
    assert {f"{name}.json" for name in READY} == found
    for name in READY:
        assert read(name) == json.loads((READY_FOLDER / f"{name}.json").read_text())


@pytest.mark.skipif(not (ROOT / ".git").exists(), reason="not a checkout")
def test_a_checkout_has_them_at_the_top():
    assert (ROOT / "plugin_configs" / "c-si.json").samefile(READY_FOLDER / "c-si.json")


@pytest.mark.slow
@pytest.mark.parametrize("path", CONFIGS, ids=ident)
def test_configuration_is_valid(path):
    import deepmd.dpmodel  # noqa: F401  (loads the plugin)
    from deepmd.utils.argcheck import normalize

    config = json.loads(path.read_text())
    normalize(config)  # strict: an unknown key or a wrong value raises
    training = config["training"]
    assert config["model"]["type_map"][-1] == "X"
    # else lcurve.out misses the last steps
    assert training["numb_steps"] % training.get("disp_freq", 1000) == 0


@pytest.mark.training
@pytest.mark.parametrize("path", CONFIGS, ids=ident)
def test_configuration_trains(path, tmp_path, monkeypatch):
    """A few steps of ``dp train``, in this process, on data with the configuration's elements."""
    from deepmd.tf.entrypoints.train import train
    from deepmd.tf.env import tf

    config = json.loads(path.read_text())
    elements = config["model"]["type_map"][:-1]
    symbols = "SiCSiC" if len(elements) == 2 else "Si4"
    saed = gaussian_table() if "saed" in config["model"] else None
    structures = [structure(k, symbols) for k in range(4)]
    steps, n_points = 4, 50
    if not config["training"]["numb_steps"]:  # a fit, which needs more points than coefficients
        config["model"]["descriptor"].update(n_radial=4, n_radial_product=2)
        steps, n_points = 0, 500
    write_system(tmp_path / "train", structures, n_points, seed=1, saed=saed)
    if saed:
        saed.save(tmp_path / config["model"]["saed"])
    types = np.loadtxt(tmp_path / "train" / "type.raw", dtype=int)
    # the grid type, the last one, comes after all elements, of which the data may have fewer
    types = np.where(types == types.max(), len(elements), types)
    np.savetxt(tmp_path / "train" / "type.raw", types, fmt="%d")
    (tmp_path / "train" / "type_map.raw").write_text("\n".join([*elements, "X"]) + "\n")
    config["training"].update(numb_steps=steps, disp_freq=2)
    monkeypatch.chdir(tmp_path)
    # the statistics of many points would take most of the time
    monkeypatch.setattr("deepmd_charge.backends.tf.statistics._STAT_POINTS", 500)
    Path("input.json").write_text(json.dumps(config))
    with tf.Graph().as_default():
        train(
            INPUT="input.json",
            init_model=None,
            restart=None,
            output="out.json",
            init_frz_model=None,
            mpi_log="master",
            log_level=30,
            log_path=None,
        )
    curve = lcurve(tmp_path)
    assert list(curve["step"]) == ([0, 2, 4] if steps else [0])
    assert np.isfinite(curve["rmse_trn"]).all()
    assert Path("model.ckpt.index").is_file()
