# SPDX-License-Identifier: LGPL-3.0-or-later
"""What a predicted density is worth in Quantum ESPRESSO: runs with it and without, compared."""

from __future__ import annotations

import hashlib
import json
import os
import statistics
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

from .. import predict as prediction
from ..errors import ChargeError
from ..grid.metrics import Comparison
from ..io import read_density
from ..io.output import replacing
from ..typing import PathLike
from .input import PwInput, parse_input
from .kept import KeptRuns
from .program import Program
from .result import Result
from .start import Settings, settings_for, start
from .worth import ONE_STEP, Worth

if TYPE_CHECKING:
    from ..grid.density import Density

__all__ = ["MIXINGS", "STARTS", "Compared", "Plan", "Scf", "compare"]

STARTS = ("atoms", "prediction", "true")
MIXINGS = ("plain", "local-TF")
_DENSITIES = ("true", "prediction", "atoms")
_NOTES = "prediction.json"
_RESULTS: dict[str, str | None] = {"tprnfor": ".true.", "tstress": ".true."}
_TIGHT = 1e-2  # of conv_thr: a threshold with which pw.x recognises a density that has converged


@dataclass(frozen=True)
class Plan:
    """What is to be run of each structure.

    Attributes
    ----------
    mixings : sequence of str
        As ``mixing_mode`` of pw.x has it; ":BETA" behind one sets ``mixing_beta``.
    conv_thr : float
        Of self-consistency, Ry.
    n_empty : int
        Empty bands at each k point that are compared, and added where a run has none.
    repeat : int
        Runs of each kind, of whose times the median counts.
    starts : sequence of str
        What self-consistency begins with, "atoms" first.
    """

    mixings: Sequence[str] = MIXINGS
    conv_thr: float = 1e-8
    n_empty: int = 4
    repeat: int = 1
    starts: Sequence[str] = STARTS


@dataclass(frozen=True)
class Scf:
    """Self-consistency from one start, with one mixing.

    Attributes
    ----------
    iterations : int
    cpu_seconds : float
        Median over the runs; of the prediction without its own time.
    runs : list of float
        CPU seconds of each run.
    accuracies : list of float
        Estimated scf accuracy after each iteration, Ry.
    energies : list of float
        After each iteration, meV/atom above the last one.
    """

    iterations: int
    cpu_seconds: float
    runs: list[float]
    accuracies: list[float]
    energies: list[float]


@dataclass(frozen=True)
class Compared:
    """What was found of one structure.

    Attributes
    ----------
    name : str
    input : str
        File of the input.
    models : list of str
    n_atoms : int
    is_metal : bool
    densities : dict of str to dict
        Errors of the prediction and of superposed atoms in e/A^3, on the run's grid.
    one_step : dict of str to Worth
        One diagonalisation at the true density, the prediction, and superposed atoms.
    scf : dict of str to dict of str to Scf
        Self-consistency by the start, and by the mixing.
    prediction_seconds : float
        CPU seconds of the prediction: models read, evaluated, the file written.
    converged, found : Result
        Self-consistency, and one diagonalisation at the true density.
    predicted : Result
        One diagonalisation at the prediction.
    """

    name: str
    input: str
    models: list[str]
    n_atoms: int
    is_metal: bool
    densities: dict[str, dict[str, float]]
    one_step: dict[str, Worth]
    scf: dict[str, dict[str, Scf]]
    prediction_seconds: float
    exact: Result
    predicted: Result

    def fewest(self, start: str) -> tuple[str, int]:
        """The mixing with the fewest iterations from a start, and their number."""
        return min(((m, s.iterations) for m, s in self.scf[start].items()), key=lambda x: x[1])

    def fastest(self, start: str) -> tuple[str, float]:
        """The mixing with the least time from a start, and CPU seconds, prediction included."""
        own = self.prediction_seconds if start == "prediction" else 0.0
        times = ((m, s.cpu_seconds + own) for m, s in self.scf[start].items())
        return min(times, key=lambda x: x[1])

    def saved(self, start: str) -> tuple[float, float]:
        """Share of the iterations and of the CPU time that a start saves, each at its best.

        Not a number where pw.x prints no time, for it took less than 5 ms.
        """
        pairs = ((self.fewest(s)[1], self.fastest(s)[1]) for s in (start, "atoms"))
        (iterations, seconds), (from_atoms, seconds_from_atoms) = pairs
        time = 1 - seconds / seconds_from_atoms if seconds_from_atoms else float("nan")
        return 1 - iterations / from_atoms, time

    def to_json(self) -> dict[str, Any]:
        """All of it but the bands, in types of JSON."""
        return {
            "name": self.name, "input": self.input, "models": self.models,
            "n_atoms": self.n_atoms, "is_metal": self.is_metal, "densities": self.densities,
            "gap_ev": self.exact.gap,
            "one_step": {name: asdict(worth) for name, worth in self.one_step.items()},
            "scf": {s: {m: asdict(scf) for m, scf in found.items()}
                    for s, found in self.scf.items()},
            "prediction_cpu_seconds": self.prediction_seconds,
            "saved": {start: {name: None if isnan(share) else share for name, share in
                              zip(("iterations", "cpu_seconds"), self.saved(start), strict=True)}
                      for start in self.scf if start != "atoms"},
        }  # fmt: skip


def compare(
    models: Sequence[PathLike],
    input: PwInput,
    folder: PathLike,
    program: Program,
    plan: Plan = Plan(),
    magnetization: Sequence[PathLike] = (),
    report: Callable[[str], None] = lambda text: None,
) -> Compared:
    """Make all runs of one structure that are not there yet, and compare them.

    Parameters
    ----------
    models : sequence of str
        Frozen models; the mean of several counts.
    input : PwInput
        Of an scf calculation.
    folder : str or os.PathLike
        Of the runs, which are kept there; its name is that of the structure.
    program : Program
    plan : Plan
    magnetization : sequence of str
        Models of the magnetisation, for a run with ``nspin = 2``.
    report : callable
        Is told what is being done.

    Returns
    -------
    Compared

    Raises
    ------
    ChargeError
        If a run fails, or the folder is of other models or settings.
    """
    if input.calculation != "scf":
        raise ChargeError(f"{input.path}: calculation = '{input.calculation}': give an scf input")
    folder = Path(folder)
    kept = KeptRuns(folder, input, program, report)
    return _Comparison(models, magnetization, input, kept, plan).carry_out()


class _Comparison:
    def __init__(
        self,
        models: Sequence[PathLike],
        magnetization: Sequence[PathLike],
        input: PwInput,
        kept: KeptRuns,
        plan: Plan,
    ) -> None:
        self.models = [os.fspath(model) for model in models]
        self.magnetization = [os.fspath(model) for model in magnetization]
        self.input, self.kept, self.plan = input, kept, plan

    def carry_out(self) -> Compared:
        plan = self.plan
        self._dry_run()
        seconds = self._predict()
        scf: dict[str, dict[str, list[Result]]] = {begin: {} for begin in plan.starts}
        # in turns, so that what else the machine does falls upon all alike
        for turn in range(1, plan.repeat + 1):
            for begin in plan.starts:
                for mixing in plan.mixings:
                    scf[begin].setdefault(mixing, []).append(self._scf(begin, mixing, turn))
        converged = scf["atoms"][plan.mixings[0]][0]
        found = {name: self._one_step(name, converged) for name in _DENSITIES}
        exact = found["true"]
        worth = {name: Worth.of(r, converged, exact, plan.n_empty) for name, r in found.items()}
        return Compared(
            self.kept.folder.name,
            self.input.path,
            self.models,
            converged.n_atoms,
            exact.is_metal,
            self._densities(),
            worth,
            {s: {m: _median(runs) for m, runs in by.items()} for s, by in scf.items()},
            seconds,
            exact,
            found["prediction"],
        )

    # the densities

    def _dry_run(self) -> None:
        """Let pw.x write what it begins with: superposed atoms, and the waves it has."""
        settings: Settings = {
            "electrons": {"electron_maxstep": "0", "scf_must_converge": ".false."}
        }
        self.kept.ensure("superposition", settings)

    def _save(self, density: str) -> Path:
        """The prefix.save folder that holds a density."""
        names = {"atoms": "superposition", "true": _name("atoms", self.plan.mixings[0], 1)}
        return self.kept.save(names.get(density, "prediction"))

    def _predict(self) -> float:
        """Predict the density unless it is there; returns CPU seconds, the median of several."""
        folder = self.kept.folder / "prediction"
        notes = folder / _NOTES
        about = [_digest(model) for model in (*self.models, *self.magnetization)]
        if notes.exists():
            earlier = json.loads(notes.read_text())
            if earlier["models"] != about:
                raise ChargeError(f"{folder}: of other models: give another folder (-o)")
            return float(earlier["cpu_seconds"])
        self.kept.report("prediction")
        seconds = []
        for _ in range(self.plan.repeat):
            before = _cpu_seconds()
            self._write_prediction()
            seconds.append(_cpu_seconds() - before)
        median = statistics.median(seconds)
        with replacing(notes) as temporary:
            Path(temporary).write_text(json.dumps({"models": about, "cpu_seconds": median}))
        return median

    def _write_prediction(self) -> None:
        models, magnetization = (
            [prediction.ChargeModel(path, quantity=quantity) for path in paths]
            for paths, quantity in ((self.models, "total"), (self.magnetization, "magnetization"))
        )
        outdir = self._save("prediction").parent
        text = self.kept.text({"control": {"outdir": f"'{outdir}'"}})
        pw = parse_input(text, self.input.path)
        start(pw, models, magnetization, self.kept.program, force=True)

    def _densities(self) -> dict[str, dict[str, float]]:
        true = self._read("true")
        volume = true.atoms.get_volume() / true.values.size
        return {
            name: Comparison.of(true.values, self._read(name).values, volume).summary()
            for name in ("prediction", "atoms")
        }

    def _read(self, density: str) -> Density:
        return read_density(self._save(density), "qe/save", check=False)

    # the runs

    def _scf(self, begin: str, mixing: str, turn: int) -> Result:
        mode, _, beta = mixing.partition(":")
        electrons = {} if begin == "atoms" else settings_for(self.input)["electrons"]
        if begin == "true":
            # else states that are not converged would make another density of it
            electrons["diago_thr_init"] = f"{_TIGHT * self.plan.conv_thr:.1e}"
        electrons |= {"mixing_mode": f"'{mode}'", "conv_thr": f"{self.plan.conv_thr:.2e}"}
        electrons.pop("mixing_beta", None)  # as from atoms: that of the input
        if beta:
            electrons["mixing_beta"] = beta
        name = _name(begin, mixing, turn)
        settings: Settings = {"control": _RESULTS, "electrons": electrons}
        result = self.kept.run(name, settings, None if begin == "atoms" else self._save(begin))
        if result.printed.accuracies[-1] > self.plan.conv_thr:
            raise ChargeError(
                f"{self.kept.folder / name}: self-consistency was not reached: allow more"
                " iterations (electron_maxstep), or leave this mixing out (--mixing)"
            )
        return result

    def _one_step(self, density: str, converged: Result) -> Result:
        n_bands = converged.eigenvalues.shape[2]
        if converged.occupied.all():
            n_bands += self.plan.n_empty
        settings: Settings = {
            "control": _RESULTS,
            "system": {"nbnd": str(n_bands)},
            "electrons": ONE_STEP,
        }
        return self.kept.run(f"one-step-{density}", settings, self._save(density))


def _name(begin: str, mixing: str, turn: int) -> str:
    """The folder of a self-consistent run."""
    return f"{begin}-{mixing.replace(':', '-')}-{turn}"


def _median(runs: Sequence[Result]) -> Scf:
    seconds = [run.printed.cpu_seconds for run in runs]
    first = runs[0].printed
    unit = 1000.0 / runs[0].n_atoms
    energies = [unit * (energy - first.energies[-1]) for energy in first.energies]
    median = statistics.median(seconds)
    return Scf(first.iterations, median, seconds, first.accuracies, energies)


def _digest(path: str) -> str:
    try:
        return hashlib.sha256(Path(path).read_bytes()).hexdigest()
    except OSError as error:
        raise ChargeError(f"{path}: {error.strerror}") from None


def _cpu_seconds() -> float:
    return sum(os.times()[:4])
