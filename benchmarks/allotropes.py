# SPDX-License-Identifier: LGPL-3.0-or-later
"""Whether models of some phases of silicon know others, and whether the difference helps.

    python benchmarks/allotropes.py --data DATA -o RUN [dft] [train] [test] [table]

All stages in turn, or those that are named; each goes on where it was stopped. Needs pw.x and
the potential in ``DATA/qe/pseudo``.

``dft`` computes rattled supercells (phases.py), ``train`` models of the total density and of
its difference to superposed atomic densities, of both families, from five phases; and, of
``se_cluster``, from each four of these. ``test`` predicts the phases that a model has not
seen, and for the first structures of each lets pw.x diagonalise once at the predicted density:
how far are energy, bands and forces from self-consistent ones? ``table`` prints means by phase
and draws them.
"""

import argparse
import json
import shutil
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pw
from phases import PHASES, k_mesh, structure
from runs import CONFIGS, merge, prepare, run_dp

from deepmd_charge import ChargeModel, Density, read_density, write_density
from deepmd_charge.cli.main import main as command
from deepmd_charge.grid.metrics import Comparison
from deepmd_charge.saed import superposition

STAGES = ("dft", "train", "test", "table")
TARGETS = ("total", "difference")
# family: the ready configuration, and what is changed in it.
FAMILIES = {
    "se_cluster": (
        CONFIGS / "cluster" / "c-si.json",
        {"model": {"descriptor": {"rcut": 3.25, "held_out": "systems"}}},
    ),
    "se_charge": (
        CONFIGS / "c-si.json",
        {
            "model": {"descriptor": {"rcut": 5.0}},
            "training": {"numb_steps": 600, "save_freq": 600, "disp_freq": 100},
        },
    ),
}


@dataclass(frozen=True)
class Plan:
    """How much is computed.

    Attributes
    ----------
    phases : list of str
    structures, diagonalised : int
        Of each phase; and how many of these have energies, bands and forces.
    points : int
        Training points of a structure.
    most_atoms : int
        Of a supercell.
    ecutwfc : float
        Ry
    families : tuple of str
    change : dict
        Of their configurations.
    """

    phases: list[str]
    structures: int
    diagonalised: int
    points: int
    ecutwfc: float
    most_atoms: int = 1000
    families: tuple[str, ...] = tuple(FAMILIES)
    change: dict = field(default_factory=dict)

    @property
    def ecutrho(self):
        """float: Cutoff of the density, Ry."""
        return 4.0 * self.ecutwfc

    @property
    def learnt(self):
        """List of str: Phases to learn from."""
        return [name for name in self.phases if PHASES[name].learn]

    @property
    def unseen(self):
        """List of str: The others."""
        return [name for name in self.phases if not PHASES[name].learn]


PLAN = Plan(list(PHASES), structures=6, diagonalised=2, points=3000, ecutwfc=20.0)
QUICK = Plan(
    ["diamond", "simple hexagonal"],
    structures=2,
    diagonalised=1,
    points=1000,
    ecutwfc=8.0,
    most_atoms=8,
    families=("se_cluster",),
    change={"model": {"descriptor": {"order": 1, "n_radial": 6, "n_channel": 2}}},
)
# What stands for a model in the table: superposed atoms, and the density that is sought.
NO_MODEL, SUPERPOSED, TRUE = "none", "superposed atoms", "self-consistent"
MEV = 1000.0


def main():
    """Run the stages."""
    args = arguments()
    for stage in args.stages or STAGES:
        {"dft": dft, "train": train, "test": test, "table": table}[stage](args)


def arguments():
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("stages", nargs="*", metavar="STAGE", help=", ".join(STAGES))
    parser.add_argument("--data", type=Path, required=True, help="folder with qe/pseudo")
    parser.add_argument("-o", "--output", type=Path, required=True, help="folder of all results")
    parser.add_argument("--structures", type=int, help=f"of each phase ({PLAN.structures})")
    parser.add_argument(
        "--quick", action="store_true", help="tiny cells of three phases: whether it all runs"
    )
    args = parser.parse_args()
    if unknown := set(args.stages).difference(STAGES):
        parser.error(f"no stage {', '.join(sorted(unknown))}")
    args.pseudo = args.data / "qe" / "pseudo"
    args.plan = QUICK if args.quick else PLAN
    if args.structures:
        args.plan = replace(args.plan, structures=args.structures)
    return args


def place(args, phase, number):
    """Folder of a structure."""
    return args.output / "structures" / f"{phase.replace(' ', '-')}-{number}"


def density_of(folder):
    """The self-consistent density of a structure."""
    return read_density(folder / pw.SAVE)


def dft(args):
    """Compute all structures: the first of each phase, the second of each, ..."""
    for number in range(1, args.plan.structures + 1):
        for phase in args.plan.phases:
            folder = place(args, phase, number)
            if (folder / "scf.npz").exists():
                continue
            folder.mkdir(parents=True, exist_ok=True)
            atoms = structure(phase, number, args.plan.most_atoms)
            found = run_pw(args, folder, phase, atoms, pw.CONVERGE)
            np.savez(folder / "scf.npz", **vars(found))
            print(f"{folder.name}: {found.energy:.4f} eV/atom, {found.seconds:.0f} s", flush=True)


def run_pw(args, folder, phase, atoms, electrons):
    metal = PHASES[phase].metal
    mesh = k_mesh(atoms.cell.array, metal)
    return pw.run(folder, atoms, args.plan.ecutwfc, mesh, metal, electrons, args.pseudo)


def splits(plan):
    """Names of the models' training sets, with their phases and those that they are tested on."""
    yield "all", plan.learnt, plan.unseen
    for phase in plan.learnt if len(plan.learnt) > 1 else []:
        yield f"without {phase}", [other for other in plan.learnt if other != phase], [phase]


def models(plan, split):
    """Family and target of the models of a split."""
    families = plan.families if split == "all" else ["se_cluster"]
    return [(family, target) for family in families for target in TARGETS]


def train(args):
    """Train what is not there yet; the points of each phase are a system."""
    for phase in args.plan.learnt:
        folder = args.output / "points" / phase.replace(" ", "-")
        if not (folder / "saed.npz").exists():
            convert(args, folder, phase)
    for split, learnt, _ in splits(args.plan):
        for family, target in models(args.plan, split):
            folder = model_folder(args, split, f"{family}-{target}")
            if not (folder / "charge.pb").exists():
                seconds = fit(args, folder, learnt, family, target)
                print(f"{split}, {family}, {target}: {seconds:.0f} s", flush=True)


def model_folder(args, split, name):
    return args.output / "models" / split.replace(" ", "-") / name


def convert(args, folder, phase):
    """Draw the training points of a phase."""
    files = [
        str(place(args, phase, number) / pw.SAVE) for number in range(1, args.plan.structures + 1)
    ]
    points = ["--points", str(args.plan.points), "--points-per-frame", "1000", "--seed", "1"]
    saed = ["--saed", f"upf:{args.pseudo}", "--saed-ecutrho", str(args.plan.ecutrho)]
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    if command(["convert", *files, "-o", str(folder), *points, *saed, "--quiet"]):
        raise SystemExit(1)


def fit(args, folder, phases, family, target):
    """Train one model; returns the seconds."""
    path, change = FAMILIES[family]
    config = merge(json.loads(path.read_text()), change)
    config = merge(config, args.plan.change)
    systems = [f"../../../points/{phase.replace(' ', '-')}" for phase in phases]
    if len(systems) == 1:  # of which none can be held out
        config["model"]["descriptor"].pop("held_out", None)
    if target == "difference":
        config["model"]["saed"] = f"{systems[0]}/saed.npz"
    prepare(folder, config, ["Si", "X"], *systems)
    seconds = run_dp(folder, "train", "input.json")
    run_dp(folder, "freeze", "-o", "charge.pb")
    return seconds


def test(args):
    """Predict what a model has not seen, and let pw.x take it from there."""
    for split, name, phases in tests(args.plan):
        model = None
        if split != NO_MODEL:
            path = model_folder(args, split, name) / "charge.pb"
            if not path.exists():
                continue
            model = ChargeModel(path)
        for phase in phases:
            for number in range(1, args.plan.structures + 1):
                test_one(args, split, name, model, phase, number)


def test_one(args, split, name, model, phase, number):
    """Predict one structure, if it was computed."""
    folder = place(args, phase, number)
    file = args.output / "results" / split / name / f"{folder.name}.json"
    if file.exists() or not (folder / "scf.npz").exists():
        return
    true = density_of(folder)
    predicted = predict(args, model, name, true)
    record = errors_of_density(true, predicted)
    predicted *= true.n_electrons / predicted.n_electrons  # as pw.x would
    if number <= args.plan.diagonalised:
        record |= errors_of_run(args, folder, phase, predicted)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(record | {"phase": phase, "number": number}))
    print(split, name, folder.name, summary(record), flush=True)


def tests(plan):
    """Split, name and phases of all that is tested."""
    yield from ((NO_MODEL, name, plan.phases) for name in (SUPERPOSED, TRUE))
    for split, _, tested in splits(plan):
        for family, target in models(plan, split):
            yield split, f"{family}-{target}", tested


def predict(args, model, name, true):
    """The density that a model, or one of its stand-ins, gives on the grid of another."""
    if name == TRUE:
        return true
    if name == SUPERPOSED:
        found = superposition(true.atoms, true.shape, f"upf:{args.pseudo}", args.plan.ecutrho)
    else:
        found = model.predict(true.atoms, grid=true.shape)
    return Density(true.atoms, found.values)


def errors_of_density(true, predicted):
    """MAE (e/A^3), NMAE (%) and the error of the electrons of an atom."""
    found = Comparison.of(true.values, predicted.values, true.volume / true.values.size).summary()
    lost = found["electrons_predicted"] - found["electrons_true"]
    return {
        "mae": found["mae"],
        "nmae": found["nmae"],
        "max": found["max"],
        "electrons": lost / len(true.atoms),
    }


def errors_of_run(args, folder, phase, predicted):
    """Errors of one diagonalisation: energy (meV/atom), bands (meV) and forces (meV/A)."""
    with np.load(folder / "scf.npz") as file:
        energy, bands, forces = (file[key] for key in ("energy", "bands", "forces"))
    with tempfile.TemporaryDirectory(dir=args.output) as once:
        shutil.copytree(folder / pw.SAVE, Path(once) / pw.SAVE)
        write_density(Path(once) / pw.SAVE, predicted)
        found = run_pw(args, Path(once), phase, predicted.atoms, pw.ONCE)
    bands, forces = np.abs(found.bands - bands), np.abs(found.forces - forces)
    return {
        "energy": MEV * float(found.energy - energy),
        "bands": MEV * float(bands.mean()),
        "bands_max": MEV * float(bands.max()),
        "forces": MEV * float(forces.mean()),
        "forces_max": MEV * float(forces.max()),
        "seconds": found.seconds,
    }


def summary(record):
    """A record in one line."""
    text = f"MAE {record['mae']:.2e}"
    if "energy" in record:
        text += "".join(f", {key} {record[key]:.3g}" for key in ("energy", "bands", "forces"))
    return text


def table(args):
    """Print the means of all phases, and draw them."""
    records = {
        (split, name, phase): read_records(args.output / "results" / split / name, phase)
        for split, name, phases in tests(args.plan)
        for phase in phases
    }
    print(table_of(records))
    draw(args.plan, records, args.output / "allotropes.png")


def read_records(folder, phase):
    """Records of the structures of a phase, in order."""
    found = [json.loads(path.read_text()) for path in folder.glob("*.json")]
    return sorted((r for r in found if r["phase"] == phase), key=lambda r: r["number"])


def rows_of(records):
    """Phase, what was predicted by, records; superposition first, phases in order."""
    for phase in PHASES:
        for (split, name, of_phase), some in records.items():
            if of_phase == phase and some:
                yield phase, split, name, some


def table_of(records):
    """The table, as Markdown."""
    lines = [
        "| phase | predicted by | MAE, 10⁻³ e/Å³ | NMAE, % | E, meV/atom | bands, meV |"
        " forces, meV/Å | better |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for phase, split, name, some in rows_of(records):
        cells = [phase, name, f"{1e3 * mean(some, 'mae'):.2f}", f"{mean(some, 'nmae'):.2f}"]
        cells += [f"{mean(some, key):.3g}" for key in ("energy", "bands", "forces")]
        better = ""
        if name.endswith("-difference"):
            total = records[split, name.replace("difference", "total"), phase]
            better = "{} of {}".format(*count_better(some, total))
        lines.append("| " + " | ".join([*cells, better]) + " |")
    return "\n".join(lines)


def mean(records, key):
    """Mean over the structures that have it."""
    found = [record[key] for record in records if key in record]
    return float(np.mean(found)) if found else float("nan")


def count_better(difference, total):
    """Structures whose density the model of the difference knows better, and all of them."""
    by_number = {record["number"]: record["mae"] for record in total}
    pairs = [(r["mae"], by_number[r["number"]]) for r in difference if r["number"] in by_number]
    return sum(a < b for a, b in pairs), len(pairs)


def draw(plan, records, path):
    """Energies and densities by phase, on logarithmic axes."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(9.0, 6.0), layout="constrained")
    axes = figure.subplots(2, 1, sharex=True)
    shown = {name: None for _, _, name, _ in rows_of(records) if name != TRUE}
    for k, name in enumerate(shown):
        shift = 0.8 * ((k + 0.5) / len(shown) - 0.5)
        points = {"mae": [], "energy": []}
        for phase, _, its, some in rows_of(records):
            if its == name:
                x = plan.phases.index(phase) + shift
                for key, found in points.items():
                    found += [(x, abs(record[key])) for record in some if key in record]
        for plot, (key, found) in zip(axes, points.items(), strict=True):
            factor = 1e3 if key == "mae" else 1.0
            x, y = np.array(found).reshape(-1, 2).T
            plot.plot(x, factor * y, "o", markersize=4, label=name)
    axes[0].set(ylabel="MAE, 10⁻³ e/Å³", yscale="log")
    axes[1].set(ylabel="error of the energy, meV/atom", yscale="log")
    axes[1].axhline(43.0, color="0.5", linewidth=0.8)
    axes[1].annotate("chemical accuracy", (0.0, 46.0), (-0.45, 46.0), color="0.4", fontsize=8)
    axes[1].set_xticks(range(len(plan.phases)), [name.replace(" ", "\n") for name in plan.phases])
    for plot in axes:
        plot.axvline(len(plan.learnt) - 0.5, color="0.5", linestyle=":")
        plot.grid(axis="y", alpha=0.3)
    axes[0].set_title("left out once", loc="left", fontsize=10)
    axes[0].set_title("never seen", loc="right", fontsize=10)
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=5, fontsize=8
    )
    figure.savefig(path, dpi=120)


if __name__ == "__main__":
    main()
