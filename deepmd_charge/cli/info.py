# SPDX-License-Identifier: LGPL-3.0-or-later
"""``deepmd-charge info``: what a density file holds."""

import json


def add_parser(subparsers):
    """Add the subcommand to the command line."""
    from ._inputs import add_declarations, add_format, add_species

    parser = subparsers.add_parser(
        "info",
        help="tell what density files hold",
        description="Print format, cell, species, grid, electrons, range, magnetic moment and PAW "
        "augmentation occupancies of density files. Also what is no valence density is read.",
    )
    parser.add_argument("files", nargs="+", metavar="FILE", help="density file")
    parser.add_argument("--json", action="store_true", help="print JSON: a list, one object a file")
    add_species(parser)
    add_format(parser)
    add_declarations(parser)
    parser.set_defaults(run=run)


def run(args):
    """Carry out ``deepmd-charge info``."""
    from ..io import iterate_densities
    from ..io.verdict.declared import Declared
    from ._inputs import check_densities, declared

    check_densities(args.files, args.format)
    facts = []
    options = {"format": args.format, "species": args.species, "check": False, **declared(args)}
    for path in args.files:
        said = Declared.of(path, **declared(args))
        for name, density in iterate_densities(path, **options):
            facts.append(describe(name, density, said))
            if not args.json:
                print(as_text(facts[-1]))
    if args.json:
        print(json.dumps(facts, indent=2))


def describe(path, density, declared=None):
    """Facts on a density.

    Parameters
    ----------
    path : str
        Its file.
    density : Density
    declared : Declared, optional
        What the user says of the file.

    Returns
    -------
    dict
        Of what JSON takes. Lengths in A, values in e/A^3 (or the file's own
        unit, for LOCPOT and ELFCAR), moments in mu_B.
    """
    import numpy as np

    from ..io.paw import augmentation_counts
    from ..io.verdict.declared import Declared
    from ..io.verdict.judge import find_doubts, is_valence_density

    atoms, values, quantity = density.atoms, density.values, density.quantity
    grids = density.extra.get("spin", [])
    spin = grids if quantity.integral == "electrons" else []  # those of a LOCPOT are no moments
    moment = [float(block.mean() * density.volume) for block in spin]
    counts = [augmentation_counts(text) for text in density.extra.get("augmentation", [])]
    return {
        "file": str(path),
        "format": density.format,
        "quantity": quantity.name,
        "holds": quantity.description,
        "unit": density.unit,
        "formula": atoms.get_chemical_formula(),
        "n_atoms": len(atoms),
        "cell": atoms.cell.array.tolist(),
        "lengths": atoms.cell.lengths().tolist(),
        "angles": atoms.cell.angles().tolist(),
        "volume": density.volume,
        "periodic": atoms.pbc.tolist(),
        "origin": density.origin.tolist(),
        "grid": list(density.shape),
        "spacing": (atoms.cell.lengths() / density.shape).tolist(),
        "electrons": density.n_electrons if quantity.integral == "electrons" else None,
        "integral": density.n_electrons if quantity.integral else None,
        "can_be_valence_density": quantity.is_total and is_valence_density(density),
        "mean": float(values.mean()),
        "min": float(values.min()),
        "max": float(values.max()),
        "negative_points": int(np.count_nonzero(values < 0)),
        "spin": {0: "none", 1: "collinear", 3: "non-collinear"}[len(spin)],
        "moment": moment,
        "absolute_moment": float(np.sqrt(sum(block**2 for block in spin)).mean() * density.volume)
        if spin
        else 0.0,
        "augmentation": [{"atoms": len(each), "values": sum(each)} for each in counts if each],
        "further_datasets": len(density.extra.get("datasets", [])) + len(grids) - len(spin),
        "notes": density.extra.get("notes", []),
        "doubts": find_doubts(density, declared or Declared()),
    }


def as_text(facts):
    """Lay out the facts of one file."""

    def row(numbers, form):
        return " ".join(format(number, form) for number in numbers)

    periodic = "".join(axis for axis, is_periodic in zip("abc", facts["periodic"]) if is_periodic)
    lines = [
        ("format", f"{facts['format']}, {facts['holds']}"),
        ("atoms", f"{facts['n_atoms']}, {facts['formula']}"),
        ("cell", f"{row(facts['lengths'], '.5f')} A, {row(facts['angles'], '.3f')} degrees"),
        ("volume", f"{facts['volume']:.5f} A^3, periodic along {periodic or 'no axis'}"),
        ("grid", f"{' x '.join(map(str, facts['grid']))}, spacing {row(facts['spacing'], '.4f')} A"),
    ]
    if any(facts["origin"]):
        lines.append(("origin", f"{row(facts['origin'], '.5f')} A"))
    unit = f" {facts['unit']}".rstrip()
    if facts["electrons"] is None and facts["integral"] is not None:
        lines.append(("integral", f"{facts['integral']:.6f} mu_B"))
    if facts["electrons"] is not None:
        note = "" if facts["can_be_valence_density"] else ", no number of valence electrons"
        lines.append(("electrons", f"{facts['electrons']:.6f}{note}"))
    lines.append(("values", f"{facts['min']:.6g} to {facts['max']:.6g}{unit}, mean {facts['mean']:.6g}"))
    if facts["negative_points"]:
        lines.append(("negative", f"{facts['negative_points']} points"))
    if facts["moment"]:
        lines.append(
            (
                "spin",
                f"{facts['spin']}, moment {row(facts['moment'], '.6f')} mu_B,"
                f" integral of its size {facts['absolute_moment']:.6f}",
            )
        )
    if facts["augmentation"]:
        lines.append(
            (
                "PAW",
                "augmentation occupancies, "
                + ", ".join(f"{a['values']} values of {a['atoms']} atoms" for a in facts["augmentation"]),
            )
        )
    if facts["further_datasets"]:
        lines.append(("datasets", f"{facts['further_datasets']} more, which are not described"))
    lines += [("note", note) for note in facts["notes"]]
    lines += [("doubt", doubt) for doubt in facts["doubts"]]
    return "\n".join([f"{facts['file']}:", *(f"  {name:<10}{text}" for name, text in lines)])
