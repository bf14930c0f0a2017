# SPDX-License-Identifier: LGPL-3.0-or-later
"""Frozen models of any settings, with statistics but without training."""

import json

import numpy as np
from training import RCUT, TYPE_MAP, structure, true_density


def sample(type_map, frames=4, n_points=300):
    """Inputs of the graph, and the densities, of structures with points at random."""
    rng = np.random.default_rng(4)
    for seed in range(frames):
        atoms = structure(seed)
        points = rng.uniform(size=(n_points, 3)) @ atoms.cell.array
        types = [type_map.index(s) for s in atoms.get_chemical_symbols()]
        types += [type_map.index("X")] * n_points
        order = np.argsort(types, kind="stable")
        label = np.concatenate([np.zeros(len(atoms)), true_density(atoms, points)])[order]
        yield (
            {
                "t_coord:0": np.concatenate([atoms.positions, points])[order].reshape(-1),
                "t_type:0": np.array(types)[order],
                "t_natoms:0": [len(types)] * 2
                + np.bincount(types, minlength=len(type_map)).tolist(),
                "t_box:0": atoms.cell.array.reshape(-1),
                "t_mesh:0": np.zeros(6),
            },
            label,
        )


def freeze(path, descriptor=None, fitting=None, type_map=TYPE_MAP, saed=None):
    """Write a frozen model ``se_charge`` of these arguments, its net at random."""
    from deepmd_charge.backends import arguments as argcheck

    descriptor = {"seed": 1, "rcut": RCUT, **(descriptor or {})}
    descriptor = _complete("se_charge", argcheck.se_charge_args(), descriptor)
    fitting = _complete("charge", argcheck.charge_fitting_args(), {"seed": 1, **(fitting or {})})
    built = {}

    def keep(model):
        build = model.descrpt.build_statistics
        model.descrpt.build_statistics = lambda *a: built.update(build(*a)) or built

    def set_statistics(model, session):
        """What statistics.scale_and_fit does, in one graph, with a plain fit."""
        from deepmd_charge.model.fit.sums import Spread

        feeds, labels = zip(*sample(type_map), strict=True)

        def on_sample(tensor):
            return np.concatenate([session.run(tensor, feed) for feed in feeds])

        descriptor, fitting = model.descrpt, model.fitting
        kind = descriptor.moments
        label = np.concatenate(labels)
        label = label[label != 0.0]
        sums, features = kind.new_sums(), Spread()
        sums.add(on_sample(built["moments"]), len(label))
        kind.set_statistics(sums)
        if descriptor.response:
            randomise(descriptor.parameters)
        count = on_sample(descriptor.build_neighbor_count())
        descriptor.set_neighbor_range(count.min(axis=0), count.max(axis=0))
        descriptor.parameters.assign(session)
        found = on_sample("o_descriptor:0")
        features.add(found)
        pair = np.column_stack([found[:, fitting.dim_invariant :], np.ones(len(label))])
        linear = np.linalg.lstsq(pair, label, rcond=1e-3)[0]
        fitting.set_statistics(features, (label - pair @ linear).std(), linear[-1])
        if len(linear) > 1:
            fitting.parameters.set("fitting.linear", linear[:-1])
        # an output that counts
        p = fitting.parameters
        p.set("fitting.output.matrix", 10.0 * p.value("fitting.output.matrix"))
        p.set("fitting.output.bias", [0.3])
        p.assign(session)

    script = {"type_map": type_map, "descriptor": descriptor, "fitting_net": fitting}
    return _write(path, script, saed, keep, set_statistics)


def randomise(parameters):
    """Give what responds to the surroundings of atoms values that count."""
    rng = np.random.default_rng(7)
    for name in ("output.matrix", "output.bias", "mean", "invariant_mean"):
        shape = np.shape(parameters.value(f"response.{name}"))
        parameters.set(f"response.{name}", 0.3 * rng.normal(size=shape))


def freeze_cluster(path, spec, weights, saed=None):
    """Write a frozen model ``se_cluster`` of these settings and weights."""
    from deepmd_charge.backends import arguments as argcheck

    keys = argcheck.se_cluster_args()
    given = {k.name: getattr(spec.descriptor, k.name) for k in keys}
    given = {name: value for name, value in given.items() if value is not None}
    names = "neuron", "activation_function", "resnet"
    net = {name: getattr(spec.fitting_net, name) for name in names}
    net = _complete("charge", argcheck.charge_fitting_args(), {**net, "neuron": [*net["neuron"]]})

    def set_weights(model, session):
        for p in (*model.descrpt.parts, model.fitting.parameters):
            for name in weights:
                if name in p:
                    p.set(name, weights[name])
            p.assign(session)

    script = {
        "type_map": list(spec.type_map),
        "descriptor": _complete("se_cluster", keys, given),
        "fitting_net": net,
    }
    return _write(path, script, saed, lambda model: None, set_weights)


def _complete(name, arguments, given):
    """Arguments with their defaults, as dp gives them to a model."""
    from dargs import Argument

    return {"type": name, **Argument("it", dict, arguments).normalize_value(given)}


def _write(path, script, saed, before, after):
    """Build a model, call ``after(model, session)`` for its parameters, and write it."""
    from deepmd.tf.env import tf

    from deepmd_charge.backends.tf.model import ChargeModelTF

    type_map = script["type_map"]
    script["info"] = {"elements": [name for name in type_map if name != "X"]}
    parts = script["descriptor"], script["fitting_net"], type_map, script["info"]
    model = ChargeModelTF(*parts, saed)
    config = tf.ConfigProto()
    # in few runs, rewriting a graph takes longer than it saves
    config.graph_options.rewrite_options.disable_meta_optimizer = True
    with tf.Graph().as_default() as graph, tf.Session(config=config) as session:
        inputs = [tf.placeholder(tf.float64, [None], name="t_coord")]
        inputs += [tf.placeholder(tf.int32, [None], name="t_type")]
        inputs += [tf.placeholder(tf.int32, [2 + len(type_map)], name="t_natoms")]
        inputs += [tf.placeholder(tf.float64, [None], name="t_box")]
        inputs += [tf.placeholder(tf.int32, [None], name="t_mesh")]
        before(model)
        model.build(*inputs, {})
        tf.constant(json.dumps({"model": script}), name="train_attr/training_script")
        session.run(tf.global_variables_initializer())
        after(model, session)
        names = ["o_atom_energy", "descrpt_attr/rcut", "model_attr/tmap"]
        names += ["train_attr/training_script"]
        frozen = tf.graph_util.convert_variables_to_constants(session, graph.as_graph_def(), names)
    path.write_bytes(frozen.SerializeToString())
    return path


def compiled(frozen):
    """The engine of a frozen model."""
    from deepmd_charge.engine.engine import Engine

    return Engine(frozen.spec, frozen.weights)


class Reference:
    """What a frozen model has learnt, (n,) e/A^3, by its equations, in float64 or as it rounds."""

    def __init__(self, frozen, rounded=False):
        from deepmd_charge.model.weights import COEFFICIENTS, STEP, Weights

        self.spec = frozen.spec
        learnt = {n: w for n, w in frozen.weights.items() if n not in (STEP, COEFFICIENTS)}
        self.weights = Weights(self.spec, learnt)
        if not rounded:
            self.weights = self.weights.map(lambda array: array.astype(np.float64))

    def __call__(self, images, points):
        from deepmd_charge.model import reference
        from deepmd_charge.model.neighbors import list_of_images

        near = list_of_images(self.spec, images, points, self.spec.descriptor.rcut)
        with np.errstate(all="ignore"):
            return reference.evaluate(self.spec, self.weights, *near, len(points))[0]
