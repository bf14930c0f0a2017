# SPDX-License-Identifier: LGPL-3.0-or-later
"""Fit ``se_cluster`` by ``dp train`` to many elements and points; prints time and memory.

    python benchmarks/fit_scale.py -o RUN [--elements 20] [--points 1000000] [--structures 100]

Structures and densities are made here: 32 atoms of four of the elements about the sites of a
strained fcc lattice, and for each atom a Gaussian whose width, electrons and centre depend on
its neighbours. So the fit has something to find, and nothing needs to be loaded.
"""

import argparse
import json
import os
import re
import sys
import time
from pathlib import Path

import numpy as np
from ase import Atoms
from ase.build import bulk
from data import write_system
from runs import prepare

from deepmd_charge.atoms.images import Images

# Atoms of a structure are of so many elements, and see neighbours so far (A).
TOGETHER, SIGHT = 4, 4.5
# What is read from another structure than those of the fit.
TEST_POINTS = 20000


def main():
    """Make the data, train, and print a row."""
    args = arguments()
    args.output.mkdir(parents=True)
    elements = [Atoms(numbers=[z]).get_chemical_symbols()[0] for z in range(3, 3 + args.elements)]
    n_points = args.points // args.structures
    systems = []
    for k in range(args.structures):
        atoms = structure(k, elements)
        name = f"train/{k}"
        write_system(
            args.output / name, [labelled(atoms, n_points, k)], min(1000, n_points), n_points, k
        )
        systems.append(name)
    config = json.loads(args.config.read_text()) if args.config else default(elements)
    prepare(args.output, config, [*elements, "X"])
    path = args.output / "input.json"
    config = json.loads(path.read_text())
    config["training"]["training_data"]["systems"] = systems
    path.write_text(json.dumps(config, indent=2))
    wall, cpu, memory = train(args.output)
    log = (args.output / "train.log").read_text()
    fit = next(line for line in log.splitlines() if "coefficients from" in line)
    how, what = re.search(r"(least squares|conjugate gradients): (.*)$", fit).groups()
    print(f"{args.elements} elements, {args.structures} structures: {what}")
    print(f"{'matrix' if how == 'least squares' else 'iterative, without a matrix'}")
    print(f"dp train: {wall:.0f} s, {cpu:.0f} s of processor, {memory / 1e9:.2f} GB at most")


def arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("-o", "--output", type=Path, required=True, metavar="RUN")
    parser.add_argument("--elements", type=int, default=20)
    parser.add_argument("--points", type=int, default=10**6, help="of all structures together")
    parser.add_argument("--structures", type=int, default=100)
    parser.add_argument("--config", type=Path, help="default: se_cluster with its default keys")
    return parser.parse_args()


def default(elements):
    """The configuration of a fit with all defaults."""
    return {
        "model": {
            "type": "charge",
            "descriptor": {"type": "se_cluster"},
            "fitting_net": {"type": "charge", "neuron": []},
        },
        "learning_rate": {"type": "exp", "start_lr": 0.001, "stop_lr": 1e-5},
        "loss": {"type": "charge"},
        "training": {"training_data": {"batch_size": 1}, "numb_steps": 0},
    }


def structure(seed, elements):
    """32 atoms of some of the elements in a cell of their own, all of which come about."""
    rng = np.random.default_rng(seed)
    atoms = bulk("Al", a=4.1, cubic=True).repeat(2)
    first = seed * TOGETHER
    chosen = [elements[(first + k) % len(elements)] for k in range(TOGETHER - 1)]
    chosen.append(rng.choice(elements))
    atoms.symbols = rng.permutation([chosen[k % TOGETHER] for k in range(len(atoms))])
    strain = np.eye(3) + rng.normal(scale=0.03, size=(3, 3))
    atoms.set_cell(atoms.cell.array @ strain, scale_atoms=True)
    atoms.rattle(0.2, rng=rng)
    return atoms


def labelled(atoms, n_points, seed):
    """A structure, points at random in it, and its density there: as ``data.load`` gives it."""
    points = np.random.default_rng([seed, 1]).uniform(size=(n_points, 3)) @ atoms.cell.array
    images = Images(atoms, atoms.numbers, 2.0 * SIGHT)
    own = images.originals
    atom, other, r = images.pairs(images.positions[own], SIGHT)
    apart = r > 1e-6
    atom, other, r = atom[apart], other[apart], r[apart]
    share = (1.0 - (r / SIGHT) ** 2) ** 3
    crowd, pull, gain = np.zeros(len(own)), np.zeros((len(own), 3)), np.zeros(len(own))
    difference = images.types[other] - atoms.numbers[atom]
    np.add.at(crowd, atom, share)
    np.add.at(gain, atom, 0.01 * share * difference)
    np.add.at(
        pull,
        atom,
        (0.01 * share * difference / r)[:, None]
        * (images.positions[other] - images.positions[own[atom]]),
    )
    alpha = 0.6 + 0.02 * atoms.numbers + 0.05 * np.tanh(crowd)
    held = 1.0 + atoms.numbers % 8 - gain
    point, image, _ = images.pairs(points, SIGHT)
    parent = images.parents[image]
    squared = np.sum((points[point] - images.positions[image] - pull[parent]) ** 2, axis=1)
    value = held[parent] * (alpha[parent] / np.pi) ** 1.5 * np.exp(-alpha[parent] * squared)
    return atoms, points, np.bincount(point, value, minlength=n_points)


def train(folder):
    """Run ``dp train``: seconds, seconds of processor, bytes at most."""
    start = time.perf_counter()
    with open(folder / "train.log", "w") as log:
        command = str(Path(sys.executable).with_name("dp")), "train", "input.json"
        actions = [(os.POSIX_SPAWN_DUP2, log.fileno(), n) for n in (1, 2)]
        before = os.getcwd()
        os.chdir(folder)
        child = os.posix_spawn(command[0], command, os.environ, file_actions=actions)
        os.chdir(before)
        _, status, used = os.wait4(child, 0)
    if status:
        sys.exit(f"dp train failed: see {folder}/train.log")
    return time.perf_counter() - start, used.ru_utime + used.ru_stime, 1024 * used.ru_maxrss


if __name__ == "__main__":
    main()
