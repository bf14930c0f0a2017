# SPDX-License-Identifier: LGPL-3.0-or-later
"""Learning properties from tables of numbers: folds, trees, intervals, scores, formulas, files."""

import gzip
import json
import zipfile
from dataclasses import replace

import numpy as np
import pytest
from conftest import SHARED

from deepmd_charge import ChargeError
from deepmd_charge.property import folds, moduli, scores
from deepmd_charge.property.attention import AttentionSettings
from deepmd_charge.property.by_formula import compare_formulas
from deepmd_charge.property.inputs import Block, Facts, Inputs
from deepmd_charge.property.intervals import IntervalScale, cross_coverage, excess
from deepmd_charge.property.matrix import MatrixColumns, PrincipalComponents
from deepmd_charge.property.property_units import factor_to_known, split_unit
from deepmd_charge.property.regressors import Settings, fit
from deepmd_charge.property.tables import read_labels, read_table, write_table
from deepmd_charge.property.targets import Target, choose_targets
from deepmd_charge.property.trained import PropertyModel, train_model
from deepmd_charge.property.trees import TreeSettings, fit_ensemble
from deepmd_charge.property.validation import cross_validate

FEW = Settings(trees=TreeSettings(n_trees=60, learning_rate=0.1, n_members=2))


def samples(n, seed=0, low=0.0, high=1.0, latent=0):
    """Samples with four random columns, and a latent array if it is asked for."""
    generator = np.random.default_rng(seed)
    columns = generator.uniform(low, high, (n, 4))
    blocks = {"invariants": Block(("a", "b", "c", "d"), columns, "one")}
    if latent:
        shape = (2, latent, 2, 2, 2)  # poses, channels and points
        values = generator.normal(size=(n, 16 * latent)).astype(np.float32)
        names = tuple(f"latent {k}" for k in range(16 * latent))
        blocks["latent"] = Block(names, values, "two", shape)
    formulas = tuple(("NaCl", "Al2O3", "Si")[k % 3] for k in range(n))
    facts = Facts(formulas, np.full(n, 3.0), np.full(n, 0.05), np.full(n, np.nan))
    return Inputs(tuple(f"{k}.cube" for k in range(n)), facts, blocks)


def truth(inputs):
    a, b = inputs.blocks["invariants"].values.T[:2]
    return 10.0 * (2.0 + np.sin(4.0 * a) + b)


def noisy(inputs, seed=1):
    """Labels whose noise grows with the first column."""
    a = inputs.blocks["invariants"].values[:, 0]
    generator = np.random.default_rng(seed)
    return truth(inputs) + (0.5 + 2.0 * a) * generator.normal(size=len(inputs))


def validated(inputs, labels, targets, settings=FEW, n_folds=4):
    numbers = folds.make_folds(len(inputs), n_folds)
    return cross_validate(inputs, labels, targets, numbers, settings)


# tables


def table(tmp_path, text, name="labels.csv"):
    path = tmp_path / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def test_labels_and_units(tmp_path):
    text = (
        "id,file,K (kbar),e_form[meV/atom],gap (eV),note\n1,a.cube,1000,,1.5,x\n2,b,20.,-500,,y\n"
    )
    labels = read_labels(table(tmp_path, "\ufeff" + text), ["e_form", "K", "gap"])
    assert labels.names == ("e_form", "K", "gap")
    assert labels.units == ("eV/atom", "GPa", "eV")
    np.testing.assert_allclose(labels.values, [[np.nan, 100.0, 1.5], [-0.5, 2.0, np.nan]])
    assert labels.notes == (
        "e_form converted from meV/atom to eV/atom",
        "K converted from kbar to GPa",
    )
    (told,) = read_labels(table(tmp_path, "file,e_form (eV)\na,1\n", "eV.csv"), ["e_form"]).notes
    assert told == "e_form converted from eV (for each atom) to eV/atom"
    assert labels.table.paths  # the files themselves are looked for later
    with gzip.open(tmp_path / "labels.csv.gz", "wt") as file:
        file.write(text)
    again = read_labels(tmp_path / "labels.csv.gz", ["e_form", "K", "gap"])
    np.testing.assert_array_equal(again.values, labels.values)


@pytest.mark.parametrize(
    "name, unit, known, value",
    [
        ("K", None, "GPa", 1.0),
        ("G", "MPa", "GPa", 1e-3),
        ("E", "eV/A^3", "GPa", 160.2176634),
        ("e_form", "kJ/mol", "eV/atom", 0.010364270),
        ("e_form", "eV", "eV/atom", 1.0),
        ("density", "kg/m3", "g/cm^3", 1e-3),
        ("poisson", "", "", 1.0),
        ("hardness", "Vickers", "Vickers", 1.0),
        ("hardness", None, "", 1.0),
    ],
)
def test_units(name, unit, known, value):
    found, factor = factor_to_known(name, unit)
    assert found == known
    assert factor == pytest.approx(value, rel=1e-7)


def test_heads_of_columns():
    assert split_unit("K (GPa)") == ("K", "GPa")
    assert split_unit(" K[GPa] ") == ("K", "GPa")
    assert split_unit("band gap") == ("band gap", None)
    assert split_unit("poisson ()") == ("poisson", "")


@pytest.mark.parametrize(
    "text, complaint",
    [
        ("", r"labels.csv:1: has no column file; separate the columns by commas"),
        ("file;K\na;1\n", r"labels.csv:1: has no column file; separate"),
        ("name,K\na,1\n", r"labels.csv:1: has no column file; name the densities in it"),
        ("file,K\n", r"labels.csv: has no rows below its head"),
        ("file,K,K (GPa)\na,1,1\n", r"labels.csv:1: has two columns K; rename one"),
        ("file,K\na,1\nb\n", r"labels.csv:3: has 1 cells and the head of the table 2; put"),
        ("file,K\na,1\n\nb,stiff\n", r"labels.csv:4: K is 'stiff', which is no finite number"),
        ("file,K\na,nan\n", r"labels.csv:2: K is 'nan', which is no finite number"),
        ("file,K\na,1_5\n", r"labels.csv:2: K is '1_5', which is no finite number"),
        ("file,K\na,inf\n", r"labels.csv:2: K is 'inf', which is no finite number"),
        ("file,G\na,1\n", r"labels.csv: has no column K; there are file, G"),
        ("file,K (eV)\na,1\n", r"labels.csv: K in eV: give it in GPa, Pa, "),
        ("file,K ()\na,1\n", r"labels.csv: K in no unit: give it in GPa, Pa, "),
        (b"file,K\n\xff\xfe,1\n", r"labels.csv: is no text in UTF-8; give a table"),
        ('file,K\n"a,1\n', r"labels.csv:2: is no line of CSV: "),
    ],
)
def test_bad_tables_are_told_in_a_line(tmp_path, text, complaint):
    with pytest.raises(ChargeError, match=complaint) as told:
        read_labels(table(tmp_path, text), ["K"])
    assert "\n" not in str(told.value)


def test_files_are_beside_the_table(tmp_path):
    (tmp_path / "a.cube").touch()
    found = read_table(table(tmp_path, "file\na.cube\na.cube@2\n"))
    assert found.paths() == [str(tmp_path / "a.cube"), str(tmp_path / "a.cube@2")]
    with pytest.raises(ChargeError, match=r"labels.csv:3: there is no .*b.cube; names are"):
        read_table(table(tmp_path, "file\na.cube\nb.cube\n")).paths()
    with pytest.raises(ChargeError, match=r"labels.csv:2: names no file"):
        read_table(table(tmp_path, "file,K\n,1\n")).paths()


def test_a_written_table_is_read_again(tmp_path):
    path = tmp_path / "out.csv"
    write_table(path, ["file", "K (GPa)"], [("a, b.cube", 1.25), ('"c"', float("nan"))])
    found = read_table(path)
    assert found.files == ["a, b.cube", '"c"']
    np.testing.assert_array_equal(found.numbers("K"), [1.25, np.nan])


@pytest.mark.parametrize(
    "values, options, complaint",
    [
        (["", "", "", ""], {}, "K has no label in any row"),
        (["1", "2", "3", ""], {}, "K has 3 labels, too few for 2 folds; give at least 4"),
        (["5", "5", "5", "5"], {}, "every label of K is 5; there is nothing to learn"),
        (["1", "2", "-3", "5"], {"logarithmic": ["K"]}, ":4: K is -3, which has no logarithm"),
        (["1", "2", "3", "5"], {"logarithmic": ["G"]}, "--log G: is none of --targets"),
    ],
)
def test_what_nothing_can_be_learned_of(tmp_path, values, options, complaint):
    rows = "".join(f"f{k},{value}\n" for k, value in enumerate(values))
    labels = read_labels(table(tmp_path, f"file,K\n{rows}"), ["K"])
    with pytest.raises(ChargeError, match=complaint):
        choose_targets(labels, ["K"], options.get("logarithmic"), 2)


def test_scales(tmp_path):
    text = "file,K,e_form,gap\na,1,1,1\nb,2,2,2\nc,3,3,3\nd,4,4,4\n"
    labels = read_labels(table(tmp_path, text), ["K", "e_form", "gap"])

    def scales(logarithmic):
        return [t.scale for t in choose_targets(labels, labels.names, logarithmic, 2)]

    assert scales(None) == ["sqrt", "linear", "linear"]
    assert scales([]) == ["linear", "linear", "linear"]
    assert scales(["gap"]) == ["linear", "linear", "log"]
    negative = read_labels(table(tmp_path, text.replace("a,1", "a,-1")), ["K"])
    assert choose_targets(negative, ["K"], None, 2)[0].scale == "linear"


@pytest.mark.parametrize("scale", ["linear", "sqrt", "log"])
def test_scales_lead_back(scale):
    target, values = Target("K", "GPa", scale), np.geomspace(1e-3, 1e3, 50)
    np.testing.assert_allclose(target.from_scale(target.to_scale(values)), values)


# folds


def test_folds_are_those_of_scikit_learn():
    from sklearn.model_selection import KFold

    found = folds.make_folds(103, 5, seed=3)
    splits = KFold(5, shuffle=True, random_state=3).split(np.empty(103))
    for number, (_, held_out) in enumerate(splits):
        np.testing.assert_array_equal(np.flatnonzero(found == number), held_out)


def test_groups_stay_in_one_fold():
    groups = [f"g{k}" for k in np.random.default_rng(0).integers(0, 20, 300)]
    found = folds.make_folds(300, 5, 1, groups)
    assert set(found) == set(range(5))
    for group in set(groups):
        assert len({found[k] for k in range(300) if groups[k] == group}) == 1
    order = np.random.default_rng(1).permutation(300)  # of rows does not matter
    again = folds.make_folds(300, 5, 1, [groups[k] for k in order])
    np.testing.assert_array_equal(again, found[order])
    assert (folds.make_folds(300, 5, 2, groups) != found).any()


def test_too_few_for_the_folds():
    with pytest.raises(ChargeError, match="4 samples are too few for 5 folds"):
        folds.make_folds(4, 5)
    with pytest.raises(ChargeError, match="2 groups of samples are too few for 5 folds"):
        folds.make_folds(9, 5, 0, ["a", "b", "a"] * 3)


def test_formulas():
    assert folds.reduced_formula("Fe4O6") == folds.reduced_formula("O3Fe2") == "Fe2O3"
    assert folds.chemical_system("Fe4O6") == "Fe-O"
    assert folds.chemical_system("CaTiO3") == "Ca-O-Ti"


# scores


def test_scores_are_those_of_scikit_learn():
    from sklearn import metrics

    generator = np.random.default_rng(0)
    labels = 1e4 + generator.normal(size=200)
    predicted = labels + 0.5 * generator.normal(size=200)
    found = scores.score(np.append(labels, np.nan), np.append(predicted, 1.0))
    assert found.n == 200
    assert found.r2 == pytest.approx(metrics.r2_score(labels, predicted), rel=1e-9)
    assert found.mae == pytest.approx(metrics.mean_absolute_error(labels, predicted), rel=1e-9)
    assert found.rmse**2 == pytest.approx(metrics.mean_squared_error(labels, predicted), rel=1e-9)


@pytest.mark.parametrize("name", ["r2", "mae", "rmse"])
@pytest.mark.parametrize("grouped", [False, True])
def test_the_bootstrap_is_that_of_a_loop(name, grouped):
    generator = np.random.default_rng(0)
    n = 80
    labels = generator.normal(size=n)
    first = labels + 0.5 * generator.normal(size=n)
    second = labels + 0.4 * generator.normal(size=n)
    groups = [f"{k // 4}" for k in range(n)] if grouped else None
    found = scores.bootstrap_difference(labels, first, second, name, groups, 4000, seed=1)

    def score(rows, predicted):
        return getattr(scores.score(labels[rows], predicted[rows]), name)

    rows = np.arange(n)
    assert found.value == pytest.approx(score(rows, second) - score(rows, first), rel=1e-9)
    draws = []
    for _ in range(1000):
        if grouped:
            drawn = generator.integers(0, n // 4, n // 4)
            rows = (4 * drawn[:, None] + np.arange(4)).ravel()
        else:
            rows = generator.integers(0, n, n)
        draws.append(score(rows, second) - score(rows, first))
    width = found.upper - found.lower
    np.testing.assert_allclose(
        [found.lower, found.upper], np.percentile(draws, (2.5, 97.5)), atol=0.12 * width
    )


def test_the_bootstrap_knows_equals_from_better():
    generator = np.random.default_rng(0)
    labels, noise = generator.normal(size=(2, 500))
    first = labels + 0.3 * noise
    same = scores.bootstrap_difference(labels, first, first)
    assert (same.value, same.lower, same.upper) == (0.0, 0.0, 0.0)
    assert not same.is_clear
    better = scores.bootstrap_difference(labels, first, labels + 0.25 * noise)
    assert better.is_clear
    assert 0.0 < better.lower < better.value < better.upper


# formulas


def test_moduli_of_known_solids():
    # copper: K 137.8, G 47.3 GPa (Voigt-Reuss-Hill), 8.960 g/cm^3, a 3.615 A; 63.546 dalton
    bulk, shear = np.array([137.8]), np.array([47.3])
    assert moduli.young_modulus(bulk, shear) == pytest.approx(127.3, abs=0.1)
    assert moduli.poisson_ratio(bulk, shear) == pytest.approx(0.346, abs=5e-4)
    longitudinal, transverse, mean = moduli.sound_velocities(bulk, shear, np.array([8.96]))
    assert longitudinal == pytest.approx(4735.0, abs=2.0)
    assert transverse == pytest.approx(2297.6, abs=1.0)
    found = moduli.debye_temperature(bulk, shear, np.array([8.96]), np.array([4 / 3.615**3]))
    assert found == pytest.approx(338.0, abs=6.0)  # of elastic constants: 332 to 345 K
    assert mean < longitudinal


def test_moduli_and_their_limits():
    bulk = np.array([10.0, 100.0, 50.0])
    shear = 3.0 * bulk / 5.0  # a Cauchy solid: nu = 1/4, E = 2 G (1 + nu)
    np.testing.assert_allclose(moduli.poisson_ratio(bulk, shear), 0.25)
    np.testing.assert_allclose(moduli.young_modulus(bulk, shear), 2.5 * shear)
    liquid = moduli.poisson_ratio(np.array([1.0]), np.array([0.0]))
    np.testing.assert_allclose(liquid, 0.5)
    negative = np.array([[1.0, -1.0, -1.0], [-1.0, 5.0, 0.2]])
    ones = np.ones(3)
    assert np.isnan(moduli.debye_temperature(*negative, ones, 0.1 * ones)).all()
    longitudinal, transverse, mean = moduli.sound_velocities(*negative, ones)
    assert np.isnan([longitudinal, mean]).all()
    np.testing.assert_array_equal(np.isnan(transverse), [True, False, False])


@pytest.mark.filterwarnings("error")
def test_moduli_of_nothing():
    """Predictions of K and G may end at zero."""
    zero = np.zeros(1)
    assert np.isnan(moduli.young_modulus(zero, zero))
    assert np.isnan(moduli.poisson_ratio(zero, zero))
    assert moduli.debye_temperature(zero, zero, zero + 1.0, zero + 0.1) == 0.0


@pytest.mark.skipif(not (SHARED / "elastic").is_dir(), reason="no shared data")
def test_debye_temperatures_of_labels_are_this_formula():
    from ase import Atoms

    with gzip.open(SHARED / "elastic" / "elastic_structures.json.gz") as file:
        entries = json.load(file)["entries"]
    facts = Facts.of_structures(
        Atoms(numbers=e["numbers"], cell=e["cell"], pbc=True) for e in entries
    )
    bulk, shear, young, debye = (
        np.array([e[k] for e in entries], float) for k in ("K", "G", "E", "debye")
    )
    found = moduli.debye_temperature(bulk, shear, facts.mass_density, facts.number_density)
    np.testing.assert_allclose(found, debye, rtol=1e-3)
    np.testing.assert_allclose(moduli.young_modulus(bulk, shear), young, rtol=1e-3)


def test_formulas_against_learning(tmp_path):
    """E is 9KG/(3K+G) of what is predicted, which is better where few labels of E are known."""
    inputs = samples(900)
    bulk = truth(inputs)
    shear = 0.5 * bulk
    young = moduli.young_modulus(bulk, shear).astype(object)
    young[np.arange(900) % 6 > 0] = ""
    text = "file,K,G,E\n" + "".join(
        f"{k},{a},{b},{c}\n" for k, (a, b, c) in enumerate(zip(bulk, shear, young, strict=True))
    )
    labels = read_labels(table(tmp_path, text), ["K", "G", "E"])
    targets = choose_targets(labels, labels.names, None, 4)
    found = validated(inputs, labels.values, targets)
    (compared,) = compare_formulas(found, labels, inputs.facts)
    assert (compared.name, compared.unit) == ("E", "GPa")
    made = moduli.young_modulus(found.values("K"), found.values("G"))
    assert compared.scores.r2 == pytest.approx(scores.score(labels.of("E"), made).r2)
    learned = found.scores("E")
    assert compared.r2.value == pytest.approx(compared.scores.r2 - learned.r2)
    assert compared.is_better is True
    only = validated(inputs, labels.values[:, :1], targets[:1])
    assert compare_formulas(only, labels, inputs.facts) == []
    without = validated(inputs, labels.values[:, :2], targets[:2])
    (compared,) = compare_formulas(without, labels, inputs.facts)
    assert compared.r2 is None and compared.is_better is None


# trees


def test_trees_learn_and_are_the_same_again():
    inputs = samples(400)
    matrix, labels = inputs.blocks["invariants"].values, truth(inputs)
    settings = TreeSettings(n_trees=200, learning_rate=0.1, column_fraction=1.0, n_members=2)
    ensemble = fit_ensemble(matrix, labels, settings, seed=1)
    new = samples(300, seed=9)
    values, spread = ensemble.predict(new.blocks["invariants"].values)
    assert scores.score(truth(new), values).r2 > 0.97
    assert (spread > 0.0).any()
    assert ensemble.texts[0] != ensemble.texts[1]
    for n_threads in 1, 2:
        again = fit_ensemble(matrix, labels, settings, 1, n_threads)
        np.testing.assert_array_equal(again.predict(matrix)[0], ensemble.predict(matrix)[0])
    other = fit_ensemble(matrix, labels, settings, seed=2)
    assert (other.predict(matrix)[0] != ensemble.predict(matrix)[0]).any()
    gains = ensemble.gains()
    assert gains[:2].min() > 10.0 * gains[2:].max()


@pytest.mark.parametrize(
    "options, complaint",
    [
        ({"n_trees": 0}, "--trees 0"),
        ({"learning_rate": 0.0}, "--learning-rate 0"),
        ({"n_members": 0}, "--members 0"),
    ],
)
def test_settings_of_trees(options, complaint):
    with pytest.raises(ChargeError, match=complaint):
        TreeSettings(**options)


def test_a_missing_label_hides_no_other(tmp_path):
    inputs = samples(200)
    labels = np.stack([truth(inputs), -truth(inputs)], axis=1)
    labels[::3, 0] = np.nan
    targets = (Target("x", ""), Target("y", ""))
    found = validated(inputs, labels, targets)
    assert found.scores("x").n == 133 and found.scores("y").n == 200
    assert found.scores("x").r2 > 0.8
    alone = validated(inputs, labels[:, 1:], targets[1:])
    np.testing.assert_array_equal(alone.values("y"), found.values("y"))


def test_samples_without_labels_are_no_training_data():
    """Intervals widen towards them, as for any other sample that is far from what is known."""
    near, far = samples(60, latent=3), samples(40, seed=5, low=3.0, high=4.0, latent=3)
    blocks = {
        kind: replace(block, values=np.concatenate([block.values, far.blocks[kind].values]))
        for kind, block in near.blocks.items()
    }
    facts = Facts.of([("Si", 3.0, 0.05, np.nan)] * 100)
    inputs = Inputs(near.files + far.files, facts, blocks)
    labels = truth(inputs)[:, None]
    labels[60:] = np.nan
    found = fit(inputs, labels, FEW).predict(inputs)
    alone = fit(near, labels[:60], FEW).predict(inputs)
    assert (found.outside[60:] > 1.0).all() and not found.outside[:60].any()
    np.testing.assert_array_equal(found.values, alone.values)


def test_held_out_samples_are_not_learned_from():
    """Labels of noise alone cannot be predicted."""
    inputs = samples(300, latent=8)
    labels = np.random.default_rng(3).normal(size=(300, 1))
    found = validated(inputs, labels, (Target("noise", ""),))
    assert found.scores("noise").r2 < 0.1


def test_all_labels_in_one_fold():
    inputs = samples(40)
    labels = np.full((40, 1), np.nan)
    numbers = folds.make_folds(40, 4)
    labels[numbers == 1] = 1.0
    with pytest.raises(ChargeError, match="x: all its labels are in one fold"):
        cross_validate(inputs, labels, (Target("x", ""),), numbers, FEW)


# principal components


@pytest.mark.parametrize("n, d", [(60, 20), (20, 60)])
def test_components_are_those_of_scikit_learn(n, d):
    from sklearn.decomposition import PCA

    values = np.random.default_rng(0).normal(size=(n, d)) * np.arange(1, d + 1)
    found = PrincipalComponents.fit(values, 5)
    expected = PCA(5, svd_solver="full").fit(values)
    cosines = np.abs(np.sum(found.directions * expected.components_, axis=1))
    np.testing.assert_allclose(cosines, 1.0, atol=1e-8)
    np.testing.assert_allclose(
        found.project(values).var(axis=0, ddof=1), expected.explained_variance_
    )


def test_there_are_no_more_components_than_samples():
    values = np.random.default_rng(0).normal(size=(5, 60))
    assert PrincipalComponents.fit(values, 64).directions.shape == (4, 60)
    assert PrincipalComponents.fit(np.ones((5, 60)), 64).project(np.ones((2, 60))).shape[0] == 2


def test_latent_arrays_come_in_by_components():
    inputs = samples(100, latent=3)
    columns, matrix = MatrixColumns.fit(inputs, 6)
    assert columns.names[:4] == ("a", "b", "c", "d")
    assert columns.names[4:10] == tuple(f"latent PC {k}" for k in range(1, 7))
    assert columns.kinds == ("invariants",) * 4 + ("latent",) * (6 + 18)
    arrays = inputs.blocks["latent"].values.reshape(100, 2, 3, 8)
    from sklearn.decomposition import PCA

    flat = arrays.mean(axis=1).reshape(100, 24).astype(np.float64)
    expected = PCA(6, svd_solver="full").fit_transform(flat)
    np.testing.assert_allclose(np.abs(matrix[:, 4:10]), np.abs(expected), atol=1e-5)
    np.testing.assert_allclose(matrix[:, 10:13], arrays.mean(axis=(1, 3)), atol=1e-6)
    deviations = [columns.names.index(f"latent_std_{c}") for c in range(3)]
    np.testing.assert_allclose(matrix[:, deviations], arrays.std(axis=(1, 3)), atol=1e-6)
    assert matrix.shape == (100, 4 + 6 + 18)
    np.testing.assert_allclose(columns.matrix(inputs), matrix)
    assert not columns.outside(matrix).any()


# a network, alone and with trees


TINY = AttentionSettings(channels=4, blocks=1, units=8, epochs=3, members=2)


@pytest.mark.slow
def test_a_network_and_trees_together(model, tmp_path):
    inputs = samples(60, latent=3)
    inputs.blocks["invariants"].values[5, 2] = np.nan  # as MAGPIE has it of a few elements
    labels = np.stack([np.log(truth(inputs)), -truth(inputs)], axis=1)
    labels[::4, 0] = np.nan
    both = fit(inputs, labels, replace(FEW, model="both", attention=TINY, n_components=2))
    trees = replace(both, network=None)
    network = replace(both, ensembles=())
    assert set(trees.gains()) == {"a", "b", "c", "d"}  # latent arrays are for the network
    assert not network.gains()
    first, second, mean = (each.predict(inputs) for each in (trees, network, both))
    np.testing.assert_allclose(mean.values, 0.5 * (first.values + second.values))
    apart = np.abs(first.values - second.values) / np.sqrt(2.0)
    assert (mean.spread >= apart).all()
    assert (second.spread > 0.0).all()
    before = replace(model, regressor=both)
    before.save(tmp_path / "m")
    after = PropertyModel.load(tmp_path / "m")
    new = samples(20, seed=4, latent=3)
    for name in ("values", "upper"):
        found, expected = (getattr(m.predict(new), name) for m in (after, before))
        np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_a_network_needs_latent_arrays():
    with pytest.raises(ChargeError, match="--model both: learns from latent arrays; add latent"):
        fit(samples(30), np.zeros((30, 1)), replace(FEW, model="both"))


# intervals


def fitted_with_intervals(n, coverage):
    inputs = samples(n)
    labels = noisy(inputs)[:, None]
    settings = replace(FEW, trees=replace(FEW.trees, n_members=4))
    found = validated(inputs, labels, (Target("x", ""),), settings)
    scale = found.interval_scale("x", coverage)
    return found, scale, fit(inputs, labels, settings)


@pytest.mark.parametrize("coverage", [0.68, 0.9])
def test_intervals_hold_as_many_labels_as_they_are_to(coverage):
    n, n_new = 1500, 4000
    found, scale, regressor = fitted_with_intervals(n, coverage)
    new = samples(n_new, seed=77)
    predicted = regressor.predict(new)
    half = scale.half_width(predicted.spread[:, 0], predicted.outside)
    held = np.abs(noisy(new, seed=78) - predicted.values[:, 0]) <= half
    # of the binomials of both samples, the one that calibrates and the one that is counted
    error = np.sqrt(coverage * (1.0 - coverage) * (1.0 / n + 1.0 / n_new))
    assert held.mean() == pytest.approx(coverage, abs=3.5 * error)
    assert found.coverage("x", coverage) == pytest.approx(coverage, abs=3.5 * error)


def test_intervals_widen_outside_of_the_data():
    _, scale, regressor = fitted_with_intervals(300, 0.9)
    widths = []
    for distance in (0.5, 1.0, 1.5, 2.0, 4.0):
        row = samples(1)
        row.blocks["invariants"].values[:] = (distance, 0.5, 0.5, 0.5)
        predicted = regressor.predict(row)
        widths.append(scale.half_width(predicted.spread[:, 0], predicted.outside)[0])
    assert widths[0] < widths[2] < widths[3] < widths[4]
    assert widths[2] > widths[1]


def test_intervals_without_bounds_are_no_warning():
    assert Target("K", "GPa", "log").from_scale(np.array([1e4])) == np.inf


def test_excess():
    low, high = np.array([0.0, -1.0, 2.0]), np.array([1.0, 1.0, 2.0])
    rows = np.array([[0.5, 0.0, 2.0], [3.0, 0.0, 2.0], [2.0, -5.0, 2.0], [0.0, 0.0, 4.0]])
    np.testing.assert_allclose(excess(rows, low, high), [0.0, 2.0, 2.0, 1.0])
    assert excess(np.full((1, 3), np.nan), low, high) == 0.0
    assert excess(np.array([[1e9, 0.0, 2.0]]), low, high) == 10.0  # just far


def test_the_quantile_is_the_rank_of_split_conformal_prediction():
    residuals = np.arange(1.0, 20.0)  # 19 of them: rank 18 of 0.9
    ones = np.ones(19)
    scale = IntervalScale.fit(residuals, ones, np.zeros(19), 0.9)
    assert scale.half_width(ones[:1], np.zeros(1)) == pytest.approx(18.0)
    few = IntervalScale.fit(residuals[:3], ones[:3], np.zeros(3), 0.99)
    assert few.half_width(ones[:1], np.zeros(1)) == pytest.approx(3.0)
    single = IntervalScale.fit(residuals, 0.0 * ones, np.zeros(19), 0.9)  # one member: no spread
    assert single.half_width(np.zeros(1), np.zeros(1)) == pytest.approx(18.0)
    assert cross_coverage(residuals, ones, 0 * ones, np.arange(19) % 2, 0.5) < 1.0


# files


@pytest.fixture(scope="module")
def model():
    inputs = samples(120, latent=3)
    labels = np.stack([truth(inputs), truth(inputs) - 20.0], axis=1)
    targets = (Target("K", "GPa", "log"), Target("e_form", "eV/atom"))
    settings = replace(FEW, n_components=3)
    found = validated(inputs, labels, targets, settings)
    results = found.to_json(0.9)
    return train_model(inputs, found, settings, 0.9, results, {"Fe": 8.0}, b"an autoencoder")


def test_a_model_comes_back_from_its_file(model, tmp_path):
    path = tmp_path / "model.property"
    model.save(path)
    again = PropertyModel.load(path)
    new = samples(30, seed=4, latent=3)
    for name in ("values", "lower", "upper"):
        before, after = (getattr(m.predict(new), name) for m in (model, again))
        np.testing.assert_array_equal(before, after)
    for name in ("targets", "definitions", "inputs", "intervals", "elements", "scores"):
        assert getattr(again, name) == getattr(model, name), name
    assert (again.settings, again.autoencoder) == (model.settings, model.autoencoder)
    assert again.elements == {"Al": 40, "Cl": 40, "Na": 40, "O": 40, "Si": 40}
    again.save(tmp_path / "again")
    assert (tmp_path / "again").read_bytes() == path.read_bytes()


def test_an_autoencoder_that_is_none_is_told_of_by_the_name_of_the_model(model):
    from deepmd_charge.property.encoder import encoder_of

    with pytest.raises(ChargeError, match=r"^a.zip: the autoencoder in it: is no autoencoder; "):
        encoder_of(model.autoencoder, name="a.zip")


def test_predictions_are_in_their_intervals(model):
    found = model.predict(samples(50, seed=4, latent=3))
    assert (found.lower < found.values).all() and (found.values < found.upper).all()
    assert (found.lower[:, 0] > 0.0).all()  # of a logarithm
    assert found.values.shape == (50, 2)


def test_other_inputs_are_refused(model):
    new = samples(5, latent=3)
    block = new.blocks["invariants"]

    def refuse(complaint, **blocks):
        others = {k: b for k, b in {**new.blocks, **blocks}.items() if b is not None}
        with pytest.raises(ChargeError, match=complaint) as told:
            model.predict(replace(new, blocks=others), "m.property")
        assert "\n" not in str(told.value)

    refuse("m.property: needs latent, which the samples lack", latent=None)
    renamed = replace(block, names=("a", "b", "c", "e"))
    refuse("with other invariants: 4 columns, here are 4; they differ in [de]", invariants=renamed)
    turned = replace(block, names=("b", "a", "c", "d"))
    refuse("they differ in their order", invariants=turned)
    redefined = replace(block, definition="other")
    refuse("was trained with invariants of another definition", invariants=redefined)


def test_elements_that_training_lacked(model):
    assert model.unknown_elements(["NaCl", "XeO3", "Xe2", "CaO"]) == {"Xe": [1, 2], "Ca": [3]}


def changed(path, new, name="header.json", content_there=b"nonsense", **keys):
    """Copy a model with other keys in its header, or another content of a part."""
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(new, "w") as file:
        for part in old.namelist():
            content = old.read(part)
            if part == name and keys:
                header = json.loads(content)
                header.update(keys)
                content = json.dumps({k: v for k, v in header.items() if v is not None})
            elif part == name:
                content = content_there
            file.writestr(part, content)
    return new


@pytest.mark.parametrize(
    "damage, complaint",
    [
        (lambda p, q: q.write_bytes(p.read_bytes()[:5000]), "is no model of properties, or is dam"),
        (lambda p, q: q.write_bytes(b""), "is no model of properties, or is damaged"),
        (lambda p, q: q.write_text("hello"), "is no model of properties, or is damaged"),
        (lambda p, q: np.savez(q.open("wb"), a=1), "is no model of properties; give a file of"),
        (lambda p, q: changed(p, q, format="x"), "is no model of properties; give a file of"),
        (lambda p, q: changed(p, q, version=2), r"is of version 2 .*, newer than this package"),
        (lambda p, q: changed(p, q, targets=None), "is a damaged model of properties"),
        (lambda p, q: changed(p, q, settings={"x": 1}), "is a damaged model of properties"),
        (lambda p, q: changed(p, q), "is a damaged model of properties"),
        (lambda p, q: changed(p, q, content_there=b"[]"), "is no model of properties; give a file"),
        (lambda p, q: changed(p, q, "columns.npz"), "damaged"),
        (lambda p, q: changed(p, q, "trees/0/1.txt"), "damaged model|no trees of LightGBM"),
        (lambda p, q: q.mkdir(), "cannot be read: Is a directory"),
        (lambda p, q: None, "cannot be read: No such file"),
    ],
)
def test_damaged_models_are_told_in_a_line(model, tmp_path, damage, complaint, capfd):
    path, other = tmp_path / "model", tmp_path / "other"
    model.save(path)
    damage(path, other)
    with pytest.raises(ChargeError, match=complaint) as told:
        PropertyModel.load(other)
    assert "\n" not in str(told.value)
    assert str(told.value).startswith(str(other))


def test_changed_bytes_of_a_model_are_noticed_or_do_no_harm(model, tmp_path):
    path = tmp_path / "model"
    small = replace(model, regressor=replace(model.regressor, ensembles=()))
    small.save(path)
    content = path.read_bytes()
    generator = np.random.default_rng(0)
    for _ in range(300):
        damaged = bytearray(content)
        start = generator.choice([0, len(content) // 2, len(content) - 600])
        place = min(start + int(generator.integers(0, 600)), len(content) - 2)
        damaged[place : place + 2] = generator.integers(0, 256, 2, dtype=np.uint8).tobytes()
        path.write_bytes(damaged)
        complaint = complaint_of(path)
        assert complaint is None or (complaint.startswith(str(path)) and "\n" not in complaint)


def complaint_of(path):
    try:
        PropertyModel.load(path)
    except ChargeError as error:
        return str(error)
    return None


# electrons


def test_valences_are_those_of_all_densities():
    from deepmd_charge.property.electron_counts import check_electrons, common_valences

    formulas, names = ["TiC", "Ti2C", "Ti4", "TiO2"], ["a", "b", "c", "d"]
    electrons = np.array([8 / 2, 12 / 3, 4.0, 16 / 3])
    valences = common_valences(names, formulas, electrons)
    assert valences == pytest.approx({"C": 4, "O": 6, "Ti": 4})
    # unknown electrons and elements pass, errors of a prediction, too
    check_electrons(valences, ["x"], ["TiC"], np.array([np.nan]))
    check_electrons(valences, ["x"], ["FeC"], np.array([9.0]))
    check_electrons(valences, ["x"], ["Ti10C10"], np.array([4.0 * 1.015]))
    with pytest.raises(ChargeError, match=r"x: has 16.00 electrons where the .* had 8.00: give"):
        check_electrons(valences, ["x"], ["TiC"], np.array([8.0]))
    with pytest.raises(ChargeError, match="different valences: "):
        common_valences([*names, "e"], [*formulas, "Ti"], np.append(electrons, 12.0))


def test_predicted_densities_may_be_trained_on():
    """Their electrons are not whole: off by parts of a percent, of hundreds in a large cell."""
    from deepmd_charge.property.electron_counts import common_valences

    formulas = ["Ti32C32", "Ti64C32", "Ti128", "Ti32O64", "C64O64", "Ti32C16O32"]
    z = {"Ti": 4, "C": 4, "O": 6}
    counts = [folds.parse_formula(formula) for formula in formulas]
    atoms = np.array([sum(count.values()) for count in counts])
    electrons = np.array([sum(n * z[e] for e, n in count.items()) for count in counts])
    off = 1.0 + 0.006 * np.array([1, -1, 1, -1, 1, 1])
    valences = common_valences(formulas, formulas, off * electrons / atoms)
    assert valences == pytest.approx(z, rel=0.02)
    electrons[0] += 32 * 6  # of one potential with semicore p states
    with pytest.raises(ChargeError, match="different valences: "):
        common_valences(formulas, formulas, off * electrons / atoms)


def test_a_model_refuses_densities_of_other_potentials(model):
    inputs = samples(9, latent=3)
    facts = inputs.facts
    valences = dict.fromkeys({e for f in facts.formulas for e in folds.parse_formula(f)}, 8.0)
    knowing = replace(model, valences=valences)
    other = replace(facts, electrons=np.full(len(inputs), 11.0))
    with pytest.raises(ChargeError, match="electrons where the model's training had"):
        knowing.predict(replace(inputs, facts=other))
    same = replace(facts, electrons=np.full(len(inputs), 8.0))
    knowing.predict(replace(inputs, facts=same))
