# SPDX-License-Identifier: LGPL-3.0-or-later
"""Grid points a second: this package's engine, its frozen graph, the stock route.

    python benchmarks/inference.py -m charge.pb [--beside cluster.pb] [--data DATA] [--quick]

Every route runs in a process of its own on the same cores, one after the other
in turns, so that a machine whose speed changes is fair to all. Points a second
are counted twice: by the clock on the wall, and for each second in which a core
worked for the process, which another program on the same cores does not change.
"""

import argparse
import multiprocessing
import os
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

SILICON = Path(__file__).resolve().parent.parent / "examples" / "silicon" / "data" / "1" / "POSCAR"
GRID = (168, 168, 168)
# 64 atoms, times this: 101,376
LARGE = (12, 12, 11)
STAGES = {
    "neighbours": ["candidates", "_neighbours"],
    "features": ["_moments", "_linear", "_invariants"],
    "net": ["_net"],
}


def main():
    """Time every route and print the tables."""
    args = arguments()
    planes = 8 if args.quick else GRID[0]
    few = 1000 if args.quick else 4000
    with tempfile.TemporaryDirectory() as folder:
        stock = args.stock or make_stock(Path(folder))
        routes = {
            # points of each run
            "stock, 200 at once": (Stock, (stock, 200), few, 1),
            "frozen graph, DeepPot": (Stock, (args.model, 4000), 10 * few, 1),
            "engine": (Ours, (args.model, (1, 1, 1)), planes, 1),
            "engine, 10^5 atoms": (Ours, (args.model, LARGE), planes, 1),
            "engine, 2 cores": (Ours, (args.model, (1, 1, 1)), planes, 2),
            "sgemm": (Multiply, (), 1, 1),
            "stages": (Stages, (args.model,), min(planes, 20), 1),
        }
        if args.beside:
            routes["beside"] = (Ours, (args.beside, (1, 1, 1)), planes, 1)
            routes["beside, 10^5 atoms"] = (Ours, (args.beside, LARGE), planes, 1)
        if len(available()) < 2:
            del routes["engine, 2 cores"]
        workers = {name: Worker(*route) for name, route in routes.items()}
        runs = {name: [] for name in routes}
        for _ in range(args.repeat):
            for name, worker in workers.items():
                runs[name].append(worker.run())
        for worker in workers.values():
            worker.close()
    show(runs, args)


def arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "-m", "--model", required=True, help="frozen model of plugin_configs/c-si.json"
    )
    parser.add_argument("--beside", help="another model, such as one of se_cluster, in turns, too")
    parser.add_argument("--stock", help="frozen stock model; default: one that is hardly trained")
    parser.add_argument("--data", type=Path, help="folder of the data sets: the model's error too")
    parser.add_argument("--repeat", type=int, default=3, help="runs of each route")
    parser.add_argument("--quick", action="store_true", help="part of the grid: a minute or two")
    return parser.parse_args()


def available():
    """The cores that this process may use."""
    return sorted(os.sched_getaffinity(0))


def make_stock(folder):
    """A stock model of the paper's sizes; its training does not change its speed."""
    import stock as stock_route
    from ase.io import read
    from data import write_system
    from runs import prepare, run_dp

    atoms = read(SILICON)
    points = np.random.default_rng(0).uniform(size=(2000, 3)) @ atoms.cell.array
    structure = atoms, points, np.full(len(points), 0.2) + 0.01 * points[:, 0]
    type_map = write_system(folder / "train", [structure], 200, len(points), 1, stock=True)
    prepare(folder, stock_route.configuration(type_map, [structure], 2), type_map, disp_freq=1)
    run_dp(folder, "train", "input.json", "--skip-neighbor-stat")
    run_dp(folder, "freeze", "-o", "stock.pb")
    return str(folder / "stock.pb")


class Worker:
    """A route in a process of its own, which may use so many cores."""

    def __init__(self, route, settings, size, cores):
        context = multiprocessing.get_context("spawn")
        self._pipe, end = context.Pipe()
        cores = available()[:cores]
        self._process = context.Process(target=serve, args=(end, route, settings, size, cores))
        # libraries read these when they are loaded
        names = ["OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "DP_INTRA_OP_PARALLELISM_THREADS"]
        os.environ.update({name: str(len(cores)) for name in names})
        os.environ.update(DP_INTER_OP_PARALLELISM_THREADS="1", TF_CPP_MIN_LOG_LEVEL="3")
        self._process.start()
        self._pipe.recv()

    def run(self):
        """One run: a tuple of its route's numbers."""
        self._pipe.send(True)
        return self._pipe.recv()

    def close(self):
        self._pipe.send(False)
        self._process.join()


def serve(pipe, route, settings, size, cores):
    """Answer every request by a run, after one to warm up."""
    os.sched_setaffinity(0, cores)
    sys.path.insert(0, str(Path(__file__).parent))
    run = route(*settings)
    run(max(1, size // 20))
    pipe.send(True)
    while pipe.recv():
        pipe.send(run(size))


def timed(function, n_points):
    """Points a second: on the clock, and for a second of a core."""
    wall, cpu = time.perf_counter(), time.process_time()
    function()
    return n_points / (time.perf_counter() - wall), n_points / (time.process_time() - cpu)


class Stock:
    """A frozen model through DeepPot, at points of the grid that follow each other."""

    def __init__(self, path, block):
        from ase.io import read
        from stock import StockModel

        self._atoms = read(SILICON)
        self._model = StockModel(path, block)

    def __call__(self, size):
        from deepmd_charge import Density

        start = GRID[0] * GRID[1] * 80
        points = Density(self._atoms, np.zeros(GRID)).points(np.arange(start, start + size))
        return timed(lambda: self._model.predict_points(self._atoms, points), size)


class Ours:
    """ChargeModel on planes of the 64-atom cell's grid, in a cell so many times as large."""

    def __init__(self, path, repeat):
        from ase.io import read

        from deepmd_charge import ChargeModel

        self._model = ChargeModel(path)
        self._atoms, self._repeat = read(SILICON), repeat

    def __call__(self, planes):
        from deepmd_charge import Density

        atoms = self._atoms.repeat(self._repeat)
        if self._repeat == (1, 1, 1) and planes == GRID[0]:
            return timed(lambda: self._model.predict(atoms, GRID), np.prod(GRID))
        density = Density(self._atoms, np.zeros(GRID))
        points = density.points(np.arange(planes * GRID[1] * GRID[2]))
        points += 0.5 * np.floor(self._repeat) @ self._atoms.cell.array
        return timed(lambda: self._model.predict_points(atoms, points), len(points))


class Multiply:
    """Multiplications a second of numpy's matrix product in float32."""

    def __call__(self, size):
        n = 1536
        a = np.random.default_rng(0).normal(size=(n, n)).astype(np.float32)
        return timed(lambda: a @ a, n**3)


class Stages:
    """The engine with a clock between its stages, and the writing of a file."""

    def __init__(self, path):
        from ase.io import read

        from deepmd_charge import ChargeModel
        from deepmd_charge.engine.se_charge_writer import SeChargeWriter as Writer

        self._atoms = read(SILICON)
        self._cycles = {stage: np.zeros(1, np.int64) for stage in STAGES}
        for stage, methods in STAGES.items():
            for method in methods:
                setattr(Writer, method, self._clocked(stage, getattr(Writer, method)))
        self._model = ChargeModel(path)

    def _clocked(self, stage, method):
        def wrapped(writer, *arguments):
            p = writer.p
            total = p.memory(self._cycles[stage], p.int64)
            start = p.clock()
            result = method(writer, *arguments)
            total[0] = total[0] + (p.clock() - start)
            return result

        return wrapped

    def __call__(self, planes):
        from deepmd_charge import Density, write_density

        grid = (planes, *GRID[1:])
        points = Density(self._atoms, np.zeros(GRID)).points(np.arange(np.prod(grid)))
        for cycles in self._cycles.values():
            cycles[:] = 0
        wall = time.perf_counter()
        values = self._model.predict_points(self._atoms, points)
        wall = time.perf_counter() - wall
        shares = {stage: int(c[0]) for stage, c in self._cycles.items()}
        with tempfile.TemporaryDirectory() as folder:
            start = time.perf_counter()
            write_density(f"{folder}/CHGCAR", Density(self._atoms, values.reshape(grid)))
            writing = time.perf_counter() - start
        # seconds a point: all, the stages, writing
        total = sum(shares.values())
        return wall / len(points), {s: c / total for s, c in shares.items()}, writing / len(points)


def multiplications(path):
    """Of the net's layers, for one point."""
    from deepmd_charge.backends.tf.frozen import read_model

    constants = read_model(path).constants
    names = [n for n in constants if n.startswith("charge_fitting/matrix_")]
    return sum(constants[n].size for n in names)


def error(model, data):
    """Mean absolute error on the paper's test structure."""
    from data import load

    from deepmd_charge import ChargeModel

    atoms, points, density = load(data, "csi_test")
    return np.abs(ChargeModel(model).predict_points(atoms, points) - density).mean()


def show(runs, args):
    """Print the tables from the runs of each route."""
    speeds = {name: np.median(runs[name], axis=0) for name in runs if name != "stages"}
    multiply = speeds.pop("sgemm")
    stock = speeds["stock, 200 at once"]
    if args.data:
        mae = error(args.model, args.data)
        print(f"{args.model}: MAE {mae:.2e} e/A^3 on csi_test (paper: 6.7e-4)")
        if args.beside:
            mae = error(args.beside, args.data)
            print(f"{args.beside}: MAE {mae:.2e} e/A^3 on csi_test")
    print(f"64 Si atoms, {GRID[0]}^3 grid; medians of {args.repeat} runs")
    print(
        f"{'route':>22} {'points/s':>9} {'x stock':>8} {'a core-second':>14} {'x stock':>8}"
        "   points/s of the runs"
    )
    for name, (wall, core) in speeds.items():
        each = " ".join(f"{run[0]:.0f}" for run in runs[name])
        print(
            f"{name:>22} {wall:9.0f} {wall / stock[0]:8.1f} {core:14.0f} {core / stock[1]:8.1f}"
            f"   {each}"
        )
    ours, large = speeds["engine"], speeds["engine, 10^5 atoms"]
    print(
        f"10^5 atoms / 64 atoms: {large[0] / ours[0]:.2f} (a core-second: {large[1] / ours[1]:.2f})"
    )
    if args.beside:
        beside, far = speeds["beside"], speeds["beside, 10^5 atoms"]
        print(
            f"{args.beside} / {args.model}: {beside[0] / ours[0]:.2f} (a core-second: "
            f"{beside[1] / ours[1]:.2f}), with 10^5 atoms {far[0] / large[0]:.2f}"
        )
    if "engine, 2 cores" in speeds:
        print(f"2 cores / 1 core: {speeds['engine, 2 cores'][0] / ours[0]:.2f}")
    best = min(runs["stages"], key=lambda run: run[0])
    print(
        "share of the engine's time: "
        + ", ".join(f"{s} {100 * c:.0f}%" for s, c in best[1].items())
    )
    print(
        f"writing a CHGCAR: {1e6 * best[2]:.2f} us a point"
        f" beside {1e6 / ours[0]:.2f} us of evaluation"
    )
    per_point = multiplications(args.model)
    floor = multiply[1] / per_point
    print(
        f"floor: sgemm does {multiply[1] / 1e9:.1f}e9 multiplications a core-second, the net needs "
        f"{per_point} a point: {floor:.0f} points, "
        f"of which the engine reaches {100 * ours[1] / floor:.0f}%"
    )


if __name__ == "__main__":
    main()
