# SPDX-License-Identifier: LGPL-3.0-or-later
"""What the comments and the names of density files say in words.

Programs name a quantity in comment lines that nothing prescribes: " SPIN DENSITY" (CP2K),
"Property: Ds" (Psi4), "MO coefficients" (Gaussian). What is written here says it by
``quantity="difference"``, wherever the format has a place for a comment.
"""

from __future__ import annotations

import os
import re

from ...grid.quantity import QUANTITIES, Quantity
from ...typing import PathLike

__all__ = [
    "MOLECULAR", "NAMING", "program_said", "quantity_named", "quantity_said", "split_quantity",
    "units_said", "with_quantity", "words_of",
]  # fmt: skip

_TAG = re.compile(r' ?\bquantity="(\w+)"')  # as in extxyz

_DENSITY = r"(?:densit(?:y|ies)|dens|rho)\b"
_KIND = r"(?:(?:spin|charge|electron|electronic|valence|probability)[ -]?)*"
# The first that fits decides; the text is in lower case, with blanks for underscores.
_QUANTITY_WORDS = {
    "elf": (r"\belf([ab]|car)?\b", r"\belectron(ic)?[ -]locali[sz]ation"),
    "other": (
        r"\blaplacian\b",
        r"\bgradient\b",
        r"\brdg\b",
        r"\blol[ab]?\b",
        r"\blocali[sz]ed orbital locator\b",
        r"\b(kinetic|exchange|correlation|xc|total)?[ -]?energy[ -]density\b",
        r"\bcurrent[ -]density\b",
        r"\btransition[ -]density\b",
        r"\b(electric|e)[ -]field\b",
        r"\bnuclear[ -]" + _DENSITY,
        r"\bdual descriptor\b",
        r"\bproperty: dual\b",
    ),
    "potential": (
        r"(?<!pseudo[ -])(?<!deep )(?<!interatomic )\bpotentials?\b(?! energy)",
        r"\b(esp|mep|locpot)\b",
        r"\bv[ -]?(hartree|ext|xc|ks|eff)\b",
        r"\.(vh|vt|vna)\b",
    ),
    "partial": (
        r"\b(partial|decomposed|eigenstate|band|orbital|homo|lumo|core|fragment|mo ?\d+)[ -]"
        r"(\w+[ -])?(charge |electron )?" + _DENSITY,
        r"\b(local )?density of states\b",
        r"\bp?ldos\b",
        r"\bstm\b",
        r"\bparchg\b",
    ),
    "magnetization": (
        r"\bproperty: ds\b",
        r"\bmagneti[sz]ation\b",
        r"\bdifference (of|between) (the )?(alpha|up|spin)",
        r"\balpha (density )?(-|minus) beta\b",
        r"\bup (density )?(-|minus) (down|dn)\b",
        r"\bspin[ -]polari[sz]ation[ -]" + _DENSITY,
        r"(?<!\balpha[ -])(?<!\bbeta[ -])(?<!\bup[ -])(?<!\bdown[ -])"
        r"\bspin[ -]?(only[ -])?(charge[ -]|electron[ -])?"
        + _DENSITY
        + r"(?! (up|down|alpha|beta)\b)",
    ),
    "difference": (
        r"\bdiff(erences?)?\b",
        r"\bdeformation\b",
        r"\bd(elta[ -]?)?(rho|density)\b",
        r"\bfukui\b",
        r"\bminus\b",
        r"\b(induced|response|attachment|detachment|bonding)[ -]" + _KIND + _DENSITY,
        r"\b" + _DENSITY + r" (change|response|redistribution)\b",
        r"\bcharge redistribution\b",
    ),
    "up": (
        r"\bproperty: da\b",
        r"\b(alpha|up|majority)[ -]" + _KIND + _DENSITY,
        r"\bspin[ -]up\b|\bup[ -]spin\b",
        _DENSITY + r",? \(?(alpha|up)\b(?! (and|\+|&))",
    ),
    "down": (
        r"\bproperty: db\b",
        r"(?<!alpha and )(?<!alpha \+ )(?<!up and )(?<!up \+ )\b(beta|down|minority)[ -]"
        + _KIND
        + _DENSITY,
        r"\bspin[ -]down\b|\bdown[ -]spin\b",
        _DENSITY + r",? \(?(beta|down)\b",
    ),
    "orbital": (
        r"\bproperty: (psi|phi)\b",
        r"\bmo coefficients\b",
        r"\borbitals?\b",
        r"\bwave[ -]?functions?\b",
        r"\b(homo|lumo)\b",
        r"\beigenstate\b",
        r"\bwannier\b",
        r"\b[ab]?mo ?[=#]? ?\d+\b",
    ),
    "total": (
        r"\bproperty: dt\b",
        r"\b(sum of )?(alpha|up) (and|\+) (beta|down) " + _KIND + _DENSITY,
        r"\b(electron|electronic|charge|total|valence|scf)[ -](\w+[ -])?" + _DENSITY,
        r"^ ?" + _DENSITY,
        r"\beldens\b",
    ),
}  # fmt: skip
_QUANTITIES = {name: re.compile("|".join(ways)) for name, ways in _QUANTITY_WORDS.items()}
# How, not what: "electron density from natural orbitals"
_SOURCE = re.compile(r"\bfrom (the )?[\w -]*(orbitals|wave ?functions?)\b")

_PROGRAM_WORDS = {
    "CP2K": r"-quickstep-|\bcp2k\b",
    "PySCF": r"\bpyscf\b",
    "Psi4": r"\bpsi ?4\b",
    "ORCA": r"\borca\b",
    "Multiwfn": r"\bmultiwfn\b",
    "Gaussian": r"\bfrom total \w+ density\b|\btitle card required\b|\bmo coefficients\b",
    "ABACUS": r"\babacus\b|\(nspin\)",
    "Quantum ESPRESSO": r"\bpwscf\b|\bquantum espresso\b",
    "FHI-aims": r"\bfhi-?aims\b",
    "Q-Chem": r"\bq-?chem\b",
    "TURBOMOLE": r"\bturbomole\b",
    "NWChem": r"\bnwchem\b",
    "Molpro": r"\bmolpro\b",
    "OpenMolcas": r"\b(open)?molcas\b",
    "Dalton": r"\bdalton\b",
    "pymatgen": r"\bpymatgen\b",
    "ase": r"\bfrom ase\b",
    "Bader": r"\bbader\b",
}
_PROGRAMS = {name: re.compile(way) for name, way in _PROGRAM_WORDS.items()}
# Programs for molecules. Some know crystals as well; none of them leaves a crystal's box.
MOLECULAR = (
    "PySCF", "Psi4", "ORCA", "Multiwfn", "Gaussian", "Q-Chem", "TURBOMOLE", "NWChem", "Molpro",
    "OpenMolcas", "Dalton",
)  # fmt: skip

_PER_ANGSTROM3 = re.compile(
    r"\be(lectrons?)? ?(/|per) ?(cubic )?(a|å|ang|angstroms?) ?(\^ ?|\*\*)?(3|³)"
    r"|\bper cubic angstrom|\bangstroms? ?\^? ?-3"
)
_PER_BOHR3 = re.compile(r"\be(lectrons?)? ?(/|per) ?(cubic )?(bohr|a0|a\.?u\.?) ?(\^ ?|\*\*)?3?")
_ANGSTROM = re.compile(r"\b(ang|angstroms?)\b|å")
_BOHR = re.compile(r"\bbohrs?\b")

# They say what they write by names that they choose themselves.
NAMING = ("FHI-aims",)

# What names of files add to the words above.
_NAME_WORDS = {
    "magnetization": r"\b(mag|magn|spindens|sden|ds)\b",
    "up": r"\b(up|alpha|da|den0)$|\bdens\w* sp1$",
    "down": r"\b(down|dn|beta|db|den1)$|\bdens\w* sp2$",
    "difference": r"\b(dden|drho|chgdiff|abs2diff)\b",
    "potential": r"\b(pot|pots\d|v0|vh|vt|vks|vhart|hartree)\b",
    "partial": r"\b(bv(ol|at)|at(om)?vol)",
    "orbital": r"\bwf st\d+|\bwp .*\b(real|imag)\b",
}
_NAMES = {name: re.compile(way) for name, way in _NAME_WORDS.items()}


def quantity_said(text: str) -> Quantity | None:
    """What the values are by the words of a comment.

    Parameters
    ----------
    text : str
        Comment lines, a title, labels. A later line goes before an earlier one, for titles
        are the user's; but whatever is no total density goes before that.

    Returns
    -------
    Quantity or None
        None where the words do not tell.
    """
    if tag := _tagged(text):
        return tag
    lines = [line for line in map(_plain, reversed(text.splitlines())) if line]
    found = [name for name in map(_match, lines) if name]
    if "total" in found and program_said(text) == "CP2K" and "total density" in lines[0]:
        return QUANTITIES["other"]  # the nuclei are in it
    others = [name for name in found if name != "total"]
    return next((QUANTITIES[name] for name in others + found), None)


def quantity_named(path: PathLike) -> Quantity | None:
    """What the name of a file lets one think of its values, or None: a hint and no more."""
    stem = os.path.basename(os.fspath(path)).lower().partition(".cub")[0]
    name = re.sub(r"[\W_]+", " ", stem)
    found = _match(name) or next((key for key, way in _NAMES.items() if way.search(name)), None)
    return QUANTITIES[found] if found else None


def units_said(text: str) -> tuple[str | None, str | None]:
    """Units of values and of lengths that a comment names, as ``--unit`` spells them, or None."""
    text = _plain(text)
    values = length = None
    if _PER_ANGSTROM3.search(text):
        values = "e/A^3"
    elif _PER_BOHR3.search(text):
        values = "e/bohr^3"
    text = _PER_BOHR3.sub("", _PER_ANGSTROM3.sub("", text))
    if bool(_ANGSTROM.search(text)) != bool(_BOHR.search(text)):
        length = "A" if _ANGSTROM.search(text) else "bohr"
    return values, length


def program_said(text: str) -> str | None:
    """Name of the program that wrote a comment, or None."""
    text = _plain(text)
    return next((name for name, way in _PROGRAMS.items() if way.search(text)), None)


def words_of(quantity: Quantity) -> str:
    """Words for a comment that :func:`quantity_said` takes for this quantity."""
    if quantity.is_total:
        return "electron density"
    return f'{quantity.description} quantity="{quantity.name}"'


def with_quantity(comment: str, quantity: Quantity) -> str:
    """A comment that says what the values are, unless it does so already.

    Parameters
    ----------
    comment : str
        One line, or several.
    quantity : Quantity

    Returns
    -------
    str
        The comment, with ``quantity="..."`` at its end where :func:`quantity_said` would take
        its words for something else.
    """
    comment, _ = split_quantity(comment)
    said = quantity_said(comment) or QUANTITIES["total"]
    return comment if said == quantity else f'{comment} quantity="{quantity.name}"'.lstrip()


def split_quantity(comment: str) -> tuple[str, Quantity | None]:
    """Part a comment into its words and the quantity that ``quantity="..."`` names, or None."""
    return _TAG.sub("", comment), _tagged(comment)


def _tagged(text: str) -> Quantity | None:
    names = [name for name in _TAG.findall(text) if name in QUANTITIES]
    return QUANTITIES[names[-1]] if names else None


def _plain(text: str) -> str:
    return " ".join(text.lower().replace("_", " ").split())


def _match(line: str) -> str | None:
    line = _SOURCE.sub("", line)
    return next((name for name, way in _QUANTITIES.items() if way.search(line)), None)
