# SPDX-License-Identifier: LGPL-3.0-or-later
"""What becomes of a predicted density before it is written."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from .. import io as formats
from ..errors import ChargeError
from ..grid.density import Density
from ..grid.grid import Grid
from ..grid.quantity import split_kind
from ..io.occupancies import MISSING, occupancies
from ..typing import Shape
from . import electrons
from .charge_model import ChargeModel

if TYPE_CHECKING:
    from ase import Atoms

# Electrons in doubt that are worth a word.
_SHOWN = 0.01
# Share of the electrons by which no good prediction misses, and beyond which doubt settles nothing.
_FAR = 0.01
# Share beyond which it is rather the structure that is another one than was meant.
_HUGE = 0.1
# Spacing of a grid, in that of the training data, from which on its sum may be no integral.
_COARSE = 1.5


class Postprocessing:
    """Scales a density to an electron count, and adds comment and augmentation of a CHGCAR.

    Parameters
    ----------
    models : list of ChargeModel
        That predict it.
    atoms : ase.Atoms
        The structure.
    grid : Grid
    output : str
        File to write.
    number : str or None
        Electrons to scale to, or "auto"; None to leave the values as they are.
    augmentation : list of str
        Files with augmentation occupancies.
    species : list of str, optional
        Names of the types in those of them that tell no elements.

    Attributes
    ----------
    occupancies : str
        Where the augmentation occupancies of a CHGCAR come from.

    Raises
    ------
    ChargeError
        If any of this does not go together.
    """

    def __init__(
        self,
        models: Sequence[ChargeModel],
        atoms: Atoms,
        grid: Grid,
        output: str,
        number: str | float | None,
        augmentation: Sequence[str],
        species: Sequence[str] | None = None,
    ) -> None:
        first = models[0]
        self._output = output
        self._kind = first.memory.predicted_kind
        formats.check_holds(output, atoms, grid, self._kind)
        is_chgcar = formats.format_of(output) == "vasp/chgcar"
        if augmentation and not is_chgcar:
            raise ChargeError(f"{output}: only a CHGCAR holds augmentation occupancies")
        self._quantity = split_kind(self._kind)[1]
        self._neutral = electrons.expected_electrons(first.memory, atoms)
        self._neutral_doubt = electrons.electrons_in_doubt(first.memory, atoms)
        # electrons to scale to, or None, and those that summary() tells
        self._wanted = self._expected = None
        if number:
            wanted = electrons.parse_electrons(number, first.path, first.memory, atoms)
            self._wanted = self._expected = wanted
        else:
            self._expected = self._neutral
        self._is_given = number not in (None, "auto")
        self._doubt = 0.0 if self._is_given else self._neutral_doubt
        self._lengths = atoms.cell.lengths()
        self._learnt_spacing = first.memory.grid_spacing
        self.occupancies = ""
        self._extra: dict[str, Any] = {}
        if is_chgcar:
            text, self.occupancies = (
                occupancies(atoms, augmentation, species) if augmentation else (None, MISSING)
            )
            name = f"{atoms.get_chemical_formula()} predicted by deepmd-charge"
            self._extra["comment"] = f"{name}: {self.occupancies}"
            if text:
                self._extra["augmentation"] = [text]

    def __call__(self, density: Density) -> Density:
        """Do it to a density, in place, and return it."""
        density.declare(self._kind)
        self._found = density.n_electrons
        if self._wanted is not None:
            electrons.rescale(density, self._wanted, self._output)
        density.extra.update(self._extra)
        return density

    def summary(self) -> str:
        """Say how many electrons were predicted, and by how many that misses."""
        if not self._quantity.integral:
            return self._quantity.description
        text = f"{self._found:.4f} {self._quantity.integral}"
        if self._expected is None:
            return text
        doubt = f" +- {self._doubt:.2g}" if self._doubt >= _SHOWN else ""
        text += f" ({self._found - self._expected:+.4f} of {self._expected:.10g}{doubt})"
        if self._wanted is None:
            return text
        return f"{text}, scaled to {self._expected:.10g}, by {self._expected / self._found:.6f}"

    def warn_if_far(self, name: str, predicted_shape: Shape, is_known: bool = True) -> None:
        """Warn if the electrons that were predicted are not those of the structure.

        Parameters
        ----------
        name : str
            File of the density.
        predicted_shape : tuple of int
            Grid on which models were evaluated.
        is_known : bool
            Whether surroundings of its points are those of the training data.

        Warns
        -----
        UserWarning
            If they miss by more than 1%, and what is in doubt.
        """
        if not self._quantity.integral or self._expected is None:
            return
        allowed = _FAR * self._expected
        miss = self._found - self._expected
        if self._doubt > allowed or abs(miss) <= allowed + self._doubt:
            return
        warnings.warn(
            f"{name}: {self._found:.4f} {self._quantity.integral} predicted,"
            f" {100 * miss / self._expected:+.3g}% off {self._expected:.10g}:"
            f" {self._cause(self._expected, predicted_shape, is_known)}",
            stacklevel=2,
        )

    def _cause(self, expected: float, shape: Shape, is_known: bool) -> str:
        """Why the electrons are probably far off: all that may be, the likeliest first."""
        causes = []
        if self._is_given and not self._is_near(expected):
            if self._is_near(self._found):
                return (
                    f"the valences make {self._neutral:.10g}, as predicted; correct --electrons,"
                    " unless the cell is charged"
                )
            causes.append("--electrons is wrong")
        is_huge = abs(self._found - expected) > _HUGE * expected
        spacing, learnt = float((self._lengths / shape).max()), self._learnt_spacing
        is_coarse = learnt is not None and spacing > _COARSE * learnt
        if is_coarse:
            causes.append(
                f"the models' grid, of spacing {spacing:.3g} A, is much coarser than that of the"
                f" training data, {learnt:.3g} A; take a finer one"
            )
        if is_huge or not is_known or not is_coarse:
            do = "check the order of its elements, its cell and units"
            do = do if is_huge else "train on such structures"
            causes.append(f"the structure is far from the training data; {do}")
        return ", or ".join(causes)

    def _is_near(self, number: float) -> bool:
        """Whether electrons are those of the valences, if these are known well enough."""
        if self._neutral is None or self._neutral_doubt > _FAR * self._neutral:
            return False
        return abs(number - self._neutral) <= _FAR * self._neutral + self._neutral_doubt
