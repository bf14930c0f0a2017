# SPDX-License-Identifier: LGPL-3.0-or-later
"""``deepmd-charge convert``: densities to DP systems."""

import os
import shutil
from pathlib import Path

from ..errors import ChargeError
from ..io.output import check_output
from ..grid.quantity import split_kind
from ..data.sampling import N_POINTS, POINTS_PER_FRAME, random_generator

TABLE = "saed.npz"  # beside the systems; input.json names it (model.saed)


def add_parser(subparsers):
    """Add the subcommand to the command line."""
    from ._inputs import add_declarations, add_format, add_quantity, add_species, add_unchecked

    parser = subparsers.add_parser(
        "convert",
        help="make DP systems for `dp train` from charge densities",
        description="Draw grid points from charge densities and write them as DP systems "
        "(deepmd/npy, float64) in which a grid point is an atom of type X. Files of one "
        "composition go in one system: DIR itself, or DIR/FORMULA where there are several.",
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="density file, plain or .gz or .xz")
    parser.add_argument("-o", "--output", required=True, metavar="DIR", help="new or empty folder")
    parser.add_argument(
        "--points",
        type=int,
        default=N_POINTS,
        metavar="N",
        help="grid points to draw from each file, or each frame of one (default: %(default)s, "
        "or all if there are fewer)",
    )
    parser.add_argument(
        "--points-per-frame",
        type=int,
        default=POINTS_PER_FRAME,
        metavar="M",
        help="grid points in each frame (default: %(default)s); a short last frame is filled up",
    )
    parser.add_argument("--seed", type=int, metavar="S", help="draw the same points every time")
    parser.add_argument(
        "--by-gradient",
        type=float,
        default=0.0,
        metavar="SHARE",
        help="share of the points, 0 to 1, to draw in proportion to the gradient of the density, "
        "for sharp ones; all others are equally likely (default: %(default)s)",
    )
    add_saed(parser)
    add_quantity(parser)
    add_species(parser)
    add_format(parser)
    add_declarations(parser)
    add_unchecked(parser)
    parser.set_defaults(run=run)


def add_saed(parser):
    """Add the flags of superposed atomic densities."""
    parser.add_argument(
        "--saed",
        metavar="SOURCE",
        help="note superposed atomic densities, which a model with model.saed subtracts: "
        "upf:FOLDER, potcar:FILE, fit, a saed.npz, or a density file; "
        "a name without a folder is looked for beside each FILE first",
    )
    parser.add_argument(
        "--saed-ecutrho",
        type=float,
        metavar="E",
        help="cutoff of |G|^2 (Ry) of the run, for upf: (needed) and potcar:; "
        "Quantum ESPRESSO's ecutrho, four times ecutwfc unless set",
    )


def run(args):
    """Carry out ``deepmd-charge convert``."""
    from tqdm import tqdm

    from ..data.dpdata_plugin import system_data
    from ..io import iterate_densities
    from ._inputs import check_densities, checking, declared

    check_new(args.output)
    check_densities(args.files, args.format)
    generator = random_generator(args.seed)

    def read(path):
        return iterate_densities(
            path, args.format, args.species, check=checking(args), **declared(args)
        )

    saed = None
    if args.saed is not None:
        saed = SaedOfFiles(args.saed, args.saed_ecutrho, args.files, read, args.species)
    elif args.saed_ecutrho is not None:
        raise ChargeError("--saed-ecutrho: there is no --saed; add it (upf:... or potcar:...)")
    systems, found = {}, {}
    # a delay, however short: no bar before the first file is done, so that its error stands alone
    bar = tqdm(args.files, desc="convert", unit="file", delay=1e-6)
    for path, density in (found for file in bar for found in read(file)):
        data = system_data(
            density,
            args.points,
            args.points_per_frame,
            generator,
            args.quantity,
            path,
            saed and saed.of(path),
            args.by_gradient,
        )
        add_system(systems, data)
        found.setdefault("; ".join(density.extra.get("notes", [])), []).append(path)
        if saed:
            saed.count(path, density.atoms, data["n_electrons"][0])
    table = saed and saed.table
    write_systems(list(systems.values()), args.output, table)
    print(*notes(found), sep="\n", end="\n" if any(found) else "")
    for system in systems.values():
        print(summary(system, system_folder(system, len(systems), args.output)))
    if table:
        print(*saed.report(Path(args.output, TABLE)), sep="\n")


class SaedOfFiles:
    """The superposed atomic densities of several densities, out of one SOURCE.

    Parameters
    ----------
    source : str
        See :mod:`deepmd_charge.saed.sources`.
    ecutrho : float or None
        Ry.
    files : list of str
        All densities of the conversion.
    read : callable
        Iterates over the names and densities of one of them.
    species : list of str or None
        Names of the types in superpositions that tell no elements.
    """

    def __init__(self, source, ecutrho, files, read, species):
        from ..saed.sources import FIT, beside, is_density_file, open_source

        if not source:
            raise ChargeError("--saed: the SOURCE is empty; name one, or leave --saed out")
        self._counts = []  # of electrons
        self._per_file = is_density_file(source)
        self._source, self._ecutrho, self._species = source, ecutrho, species
        if self._per_file:
            self._opened = None
            for path in files:
                beside(path, self._source)
        elif source == FIT and ecutrho is None:
            self._opened = open_source(fit_table(files, read))
        else:
            self._opened = open_source(source, ecutrho)

    @property
    def table(self):
        """RadialTable: With the elements of the files so far."""
        return self._opened.table

    def of(self, path):
        """Return the open source for a density file."""
        from ..saed.sources import beside, open_source

        if self._per_file:
            found = beside(path, self._source)
            self._opened = open_source(found, self._ecutrho, self._species)
        return self._opened

    def count(self, path, atoms, electrons):
        """Note the electrons of the superposition, and of its density."""
        self._counts.append((path, self._opened.electrons(atoms), electrons))

    def report(self, path):
        """Lines on what was subtracted."""
        table = self.table
        lines = []
        if not table.functions:
            lines.append(f"{path}: superpositions from density files; predict needs one as well")
        for element in table.functions:
            line = f"{path}: {element} {table.electrons(element):.4f} electrons"
            if element in table.valence:
                line += f" of {table.valence[element]:g}"
            line += f" within {table.step * len(table.functions[element]):.1f} A"
            if cost := self._opened.costs.get(element):
                line += f", truncation costs about {cost.truncation:.0e} e/A^3"
                line += f"; {cost.total:.0e} from the plane-wave code's sum"
            lines.append(line)
        file, atoms, total = max(self._counts, key=lambda count: abs(count[1] - count[2]))
        line = f"{file}: superposed atoms hold {atoms:.3f} of {total:.3f} electrons"
        if len(self._counts) > 1:
            line += f" (the farthest of {len(self._counts)} files)"
        return [*lines, line]


def fit_table(files, read):
    """Fit radial functions to densities."""
    from tqdm import tqdm

    from ..saed import RadialFit

    fit = RadialFit(seed=0)
    for path in tqdm(files, desc="fit", unit="file", delay=1e-6):
        for _, density in read(path):
            fit.add(density)
    return fit.table()


def check_new(folder):
    """Raise ChargeError, before any work, unless a folder is empty or can be made."""
    folder = Path(os.path.abspath(folder))
    if not folder.is_dir():
        check_output(folder)
        if folder.exists():
            raise ChargeError(f"{folder}: is a file; give the name of a new folder")
    elif any(folder.iterdir()):
        raise ChargeError(f"{folder}: is not empty; give the name of a new folder")


def add_system(systems, data):
    """Add the points of a density to the system of its composition.

    Parameters
    ----------
    systems : dict of str to dpdata.System
        Systems by composition; changed in place.
    data : dict
        Of :func:`deepmd_charge.data.dpdata_plugin.system_data`.
    """
    from dpdata import System

    system = System(data=data)
    system.rot_lower_triangular()
    first = systems.setdefault(system.uniq_formula, system)
    if first is not system:
        names = first["atom_names"]
        first.append(system)
        first.apply_type_map(names)  # dpdata may have sorted them


def system_folder(system, n_systems, output):
    """Folder of a system: that of the output, or one named by its formula in it."""
    if n_systems == 1:
        return Path(output)
    counts = zip(system["atom_names"][:-1], system["atom_numbs"])
    return Path(output, "".join(f"{name}{n}" for name, n in counts))


def write_systems(systems, output, table=None):
    """Write DP systems, and the table of a SAED beside them.

    The output folder appears when all of them are complete.
    """
    output = Path(os.path.abspath(output))
    temporary = output.with_name(f".{os.getpid()}.{output.name}")
    try:
        for system in systems:
            # one set: dp reads a set at a time
            folder = system_folder(system, len(systems), temporary)
            system.to("deepmd/npy", str(folder), set_size=len(system), prec=float)
        if table:
            table.save(temporary / TABLE)
        os.replace(temporary, output)
    except OSError as error:
        raise ChargeError(f"{output}: cannot be written: {error.strerror}") from None
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def notes(found):
    """Lines on what was found out of files: {"note; note": [file, ...]}."""
    for text, paths in found.items():
        several = f" and {len(paths) - 1} more" if len(paths) > 1 else ""
        if text:
            yield f"{paths[0]}{several}: {text}"


def summary(system, folder):
    """One line on a system."""
    kind = split_kind(system["density_kind"][0].decode())[1]
    held = kind.description
    if "n_electrons" in system.data:
        electrons = sorted({f"{n:.3f}" for n in system["n_electrons"]}, key=float)
        held = " to ".join(dict.fromkeys([electrons[0], electrons[-1]])) + " electrons"
    elements = " ".join(system["atom_names"][:-1])
    n_points = len(system) * system["atom_numbs"][-1]
    return f"{folder}: {len(system)} frames, {n_points} points, {held}, {elements}"
