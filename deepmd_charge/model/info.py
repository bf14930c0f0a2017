# SPDX-License-Identifier: LGPL-3.0-or-later
"""What a model remembers of its training data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from ..atoms.valences import ATOM_TOLERANCE, settled
from ..errors import ChargeError
from ..grid.quantity import QUANTITIES, compose_kind, find_quantity, split_kind
from ..io.functionals import spelled

__all__ = ["FILE", "SAME_VALENCE", "ModelInfo"]

FILE = "file"  # source of superposed atomic densities that a model does not carry

# Electrons; fitted valences of different data sets scatter.
SAME_VALENCE = 2.5 * ATOM_TOLERANCE

# Keys of the dict by attribute, and those that it has even where nothing is known.
_KEYS = {
    "elements": "elements",
    "valence": "valence",
    "valence_error": "valence_error",
    "grid_spacing": "grid_spacing",
    "kind": "kind",
    "stated": "quantity",
    "saed": "saed",
}
_ALWAYS = ("elements", "valence", "grid_spacing", "kind")


@dataclass(frozen=True)
class ModelInfo:
    """What a model remembers of its training data.

    In the graph, and in ``ChargeModel.info``, it is a dict with the names of the
    attributes, and the notes among them. Models of former versions lack some.

    Attributes
    ----------
    elements : list of str
        Types of the atoms that occurred.
    valence : dict of str to float
        See :func:`deepmd_charge.atoms.valences.fit`.
    valence_error : dict of str to float, or None
        As above; None in models of former versions.
    grid_spacing : float or None
        A
    kind : str or None
        Format of the files, and what was taken of them, as "vasp/chgcar:up", where
        the data say so.
    stated : str or None
        What was taken of them as the user says; "quantity" in the dict.
    saed : dict or None
        "source", "ecutrho" and "valence" of superposed atomic densities, if the
        difference to them was learnt.
    notes : dict
        What else is known: the "functional", where the data or the user tell it, and what
        else the user noted.
    """

    elements: list[str] = field(default_factory=list)
    valence: dict[str, float] = field(default_factory=dict)
    valence_error: dict[str, float] | None = None
    grid_spacing: float | None = None
    kind: str | None = None
    stated: str | None = None
    saed: dict[str, Any] | None = None
    notes: dict[str, Any] = field(default_factory=dict)

    @classmethod
    def from_json(cls, info: Mapping[str, Any]) -> ModelInfo:
        """Take the dict of a model of any version."""
        notes = dict(info)
        known = {name: notes.pop(key, None) for name, key in _KEYS.items()}
        return cls(**{k: v for k, v in known.items() if v is not None}, notes=notes)

    def to_json(self) -> dict[str, Any]:
        """Make the dict."""
        known = {key: getattr(self, name) for name, key in _KEYS.items()}
        return {**self.notes, **{k: v for k, v in known.items() if v or k in _ALWAYS}}

    @property
    def quantity(self) -> str | None:
        """What was learnt, "total", "up", ...; None where nothing tells."""
        if self.kind:
            return split_kind(self.kind)[1].name
        # data that do not say what they hold are total densities
        return self.stated or ("total" if self.elements or self.saed else None)

    @property
    def needs_superposition(self) -> bool:
        """bool: Whether the user must add a superposition, which the model does not carry."""
        return (self.saed or {}).get("source") == FILE

    @property
    def content(self) -> str | None:
        """What the model gives by itself: a difference without its superposition."""
        return "difference" if self.needs_superposition else self.quantity

    @property
    def predicted_kind(self) -> str:
        """str: Kind of the densities that the model predicts: their quantity, of no format."""
        return compose_kind("", find_quantity(self.quantity or "total"))

    @property
    def valences(self) -> dict[str, tuple[float, float]]:
        """dict: Valence electrons of each type, and by how much they may be wrong.

        Those of the potentials, where the model knows them, or those that the
        training data tell.
        """
        found = {name: settled(name, valence) for name, valence in self.valence.items()}
        for name, valence in self._potentials.items():
            miss = abs(self.valence.get(name, valence) - valence)
            found[name] = valence, miss
        if self.valence_error is not None:
            return {n: (z, self.valence_error.get(n, 0.0)) for n, (z, _) in found.items()}
        return found

    @property
    def _potentials(self) -> dict[str, float]:
        return (self.saed or {}).get("valence", {})

    def declared(self, content: str, path: str) -> ModelInfo:
        """Take the user's word for what the model gives.

        Parameters
        ----------
        content : str
            The name of a quantity; "difference" for one to superposed atomic densities.
        path : str
            The model, for complaints.

        Raises
        ------
        ChargeError
            If the model remembers something else.
        """
        find_quantity(content)
        if self.content not in (None, content):
            raise ChargeError(
                f"{path}: predicts {self.content}, not {content}, as it remembers by itself"
            )
        if self.content is not None:
            return self
        if content == "difference":
            return replace(self, saed={"source": FILE})
        return replace(self, stated=content)

    def noting(self, said: ModelInfo) -> ModelInfo:
        """Add what the user notes to what the data say.

        Parameters
        ----------
        said : ModelInfo
            ``model/info`` of ``input.json``.

        Raises
        ------
        ChargeError
            If it contradicts the data.
        """
        remedy = "correct it, or leave it out"
        if said.stated not in (None, *QUANTITIES):
            raise ChargeError(
                f"model/info: unknown quantity {said.stated!r}: give one of {', '.join(QUANTITIES)}"
            )
        if self.kind:
            self._check_quantity(said, "model/info", remedy)
        if said.saed:
            self._check_saed(said, "model/info", remedy)
        notes = {**self.notes, **said.notes}
        if mine := self.notes.get("functional"):
            its = str(said.notes.get("functional") or mine)
            if spelled(its) != spelled(mine):
                raise ChargeError(
                    f"model/info: functional {its}, but the training data are of {mine}; {remedy}"
                )
            notes["functional"] = mine
        return replace(
            self,
            grid_spacing=self.grid_spacing or said.grid_spacing,
            kind=self.kind or said.kind,
            stated=said.stated,
            notes=notes,
        )

    def after(self, earlier: ModelInfo, path: str) -> ModelInfo:
        """Add what the model remembers whose training goes on with these data.

        Of the grid spacings the finer one is taken, so that a prediction resolves
        what either data did. Valences are as doubtful as either data leave them.

        Parameters
        ----------
        earlier : ModelInfo
        path : str
            The model of before, for complaints.

        Raises
        ------
        ChargeError
            If these data contradict its memory.
        """
        remedy = "go on with data of the same kind, or train anew"
        unseen = [name for name in self.elements if name not in earlier.elements]
        if unseen and earlier.elements:
            raise ChargeError(
                f"{path}: has not seen {', '.join(unseen)} of the training data, only "
                f"{', '.join(earlier.elements)}; go on with data of these, or train anew"
            )
        self._check_quantity(earlier, path, remedy)
        self._check_saed(earlier, path, remedy)
        valence, error = self._merged_valences(earlier, path, remedy)
        saed = self.saed
        if saed:
            saed = {**saed, "valence": {**earlier._potentials, **self._potentials}}
        spacings = filter(None, (earlier.grid_spacing, self.grid_spacing))
        return replace(
            self,
            elements=earlier.elements or self.elements,
            valence=valence,
            valence_error=error,
            grid_spacing=min(spacings, default=None),
            kind=self.kind or earlier.kind,
            stated=self.stated or earlier.stated,
            saed=saed,
            notes={**earlier.notes, **self.notes},
        )

    def _merged_valences(
        self, earlier: ModelInfo, path: str, remedy: str
    ) -> tuple[dict[str, float], dict[str, float]]:
        """Of each element the less doubtful valence, and the larger doubt."""
        valence = dict(self.valence)
        known = self.valences
        error = {name: doubt for name, (_, doubt) in known.items()}
        for name, (value, doubt) in earlier.valences.items():
            here, doubt_here = known.get(name, (value, math.inf))
            if abs(value - here) > SAME_VALENCE + doubt + doubt_here:
                raise ChargeError(
                    f"{path}: learnt {value:g} valence electrons of {name}, but the training data"
                    f" have {here:g}; {remedy}"
                )
            if name in earlier.valence and doubt <= doubt_here:
                valence[name] = earlier.valence[name]
            error[name] = max(doubt, error.get(name, 0.0))
        return valence, error

    def _check_quantity(self, other: ModelInfo, path: str, remedy: str) -> None:
        both_kinds = other.kind and self.kind
        its, mine = (each.kind if both_kinds else each.quantity for each in (other, self))
        if its and mine and its != mine:
            raise ChargeError(f"{path}: of {its}, but the training data are of {mine}; {remedy}")

    def _check_saed(self, other: ModelInfo, path: str, remedy: str) -> None:
        if self.saed and other.saed and other.saed.get("source") is None:
            return  # lost: the tables themselves tell
        its, mine = (_superposed(each.saed) for each in (other, self))
        if its != mine:
            raise ChargeError(f"{path}: of {its}, but the training data are of {mine}; {remedy}")


def _superposed(saed: dict[str, Any] | None) -> str:
    """Words for what was learnt with or without a superposition."""
    if not saed:
        return "densities as they are (no model/saed)"
    cutoff = f" up to {saed['ecutrho']:g} Ry" if saed.get("ecutrho") else ""
    return f"differences to superposed atomic densities of source {saed.get('source')!r}{cutoff}"
